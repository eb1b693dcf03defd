//! Requests that wait for answers: the subjects answers are given (`_R_.…`), where they go, and when nobody waits any
//! longer. Never routes.
//!
//! The shard that took the request and the request's number there are part of the subject.

use std::ops::Deref;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use slab::Slab;

use crate::account::AccountId;
use crate::account::table::ExportId;
use crate::subject::{is_same, pattern_matches};

use super::deadlines::{Deadlines, Place};
use super::latency::Measured;
use super::replies::Replies;
use super::{Broker, ShardPlace};

/// What every subject for answers begins with.
const PREFIX: &[u8] = b"_R_.";

/// Length of such a subject: the prefix, six characters for the account, a dot, the shard, the request's number, and what
/// nobody can guess.
const SUBJECT_LEN: usize = RANDOM_AT + 10;

/// Where the shard's number stands.
const SHARD_AT: usize = 11;

/// Where the request's number stands, and where what nobody can guess: 59 bits of it.
const NUMBER_AT: usize = SHARD_AT + 1;
const RANDOM_AT: usize = NUMBER_AT + 5;

/// A number that no request has: the last one that there is room for.
const NOBODY: u32 = BASE.pow((RANDOM_AT - NUMBER_AT) as u32) - 1;

/// Behind it, where the shard that waits must be told who answers. No word of its own: patterns of three match.
const NAMED: &[u8] = b"T";

/// Digits of the random parts and of the shard's number: as many as there can be shards.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-~";

/// Room for so many is kept when fewer wait.
const KEEP: usize = 4096;

/// Whether a publish there may be an answer.
#[inline(always)]
pub(super) fn is_answer(subject: &[u8]) -> bool {
    subject.first() == Some(&b'_') && subject.starts_with(PREFIX)
}

/// Whether whoever waits for this answer must be told who gives it.
pub(super) fn is_named(subject: &[u8]) -> bool {
    subject.len() == SUBJECT_LEN + NAMED.len() && subject.ends_with(NAMED)
}

/// Whether it has the length of such a subject.
#[inline(always)]
fn has_its_length(subject: &[u8]) -> bool {
    subject.len() == SUBJECT_LEN || is_named(subject)
}

/// The shard that waits for an answer, by its subject.
pub(super) fn shard_of(subject: &[u8]) -> Option<usize> {
    if !has_its_length(subject) {
        return None;
    }
    let shard = VALUES[usize::from(subject[SHARD_AT])];
    (shard < 64).then_some(usize::from(shard))
}

/// A subject that answers are given; its last byte is 0 where it is not [named](is_named).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct AnswerSubject([u8; SUBJECT_LEN + NAMED.len()]);

impl Deref for AnswerSubject {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.0[SUBJECT_LEN] {
            0 => &self.0[..SUBJECT_LEN],
            _ => &self.0,
        }
    }
}

/// Why nobody waits for an answer any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It came, or was not wanted.
    Done,
    /// Nobody took the request.
    Nobody,
    /// Nobody listens for it any more.
    Unheard,
    /// It did not come in time.
    Late,
}

/// A request as the client made it: whom to tell if nobody takes it.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) account: AccountId,
    pub(super) subject: Box<[u8]>,
    pub(super) reply: Box<[u8]>,
}

/// Where the answers to one request go.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Where they answer; set when it is added.
    pub(super) subject: AnswerSubject,
    /// Whose clients answer.
    pub(super) service: AccountId,
    /// Which of that account's exports was asked; or, where an answer asked back, which it had come by.
    pub(super) export: ExportId,
    /// Where they go,
    pub(super) requestor: AccountId,
    /// and on which subject.
    pub(super) reply: Arc<[u8]>,
    /// More than one may come.
    pub(super) many: bool,
    /// How long they are waited for.
    pub(super) threshold_ms: u64,
    /// They are measured; not any more once one has come.
    pub(super) measured: Option<Box<Measured>>,
    /// Set where nobody but who is asked here can take the request.
    pub(super) original: Option<Arc<Original>>,
    /// Where it stands among those with the same threshold; set when it is added.
    pub(super) place: Place,
    /// Where its number stands among those whose replies are not in order yet; kept by [`Replies`].
    pub(super) fresh_at: Option<u32>,
}

/// Requests that wait for answers.
///
/// Invariant: `replies` and `deadlines` have exactly one entry for each of `waiting`.
#[derive(Debug)]
pub(super) struct Answers {
    place: ShardPlace,
    seed: u64,
    random: ChaCha20Rng,
    now_ms: u64,
    waiting: Slab<Waiting>,
    replies: Replies,
    deadlines: Deadlines,
    /// What the subjects of each account begin with, of those accounts that were asked or answered.
    parts: Vec<Option<[u8; 6]>>,
    /// Measured ones that ended otherwise than with an answer.
    pub(super) failed: Vec<(Box<Measured>, End)>,
}

impl Answers {
    pub(super) fn new(place: ShardPlace, seed: u64) -> Self {
        Answers {
            place,
            seed,
            random: keystream(seed, place),
            now_ms: 0,
            waiting: Slab::new(),
            replies: Replies::new(seed),
            deadlines: Deadlines::default(),
            parts: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// A subject nobody can guess, on which nobody waits; `named` if this shard must be told who answers.
    pub(super) fn subject(&mut self, service: AccountId, named: bool) -> AnswerSubject {
        self.numbered_subject(service, named, NOBODY)
    }

    fn numbered_subject(&mut self, service: AccountId, named: bool, number: u32) -> AnswerSubject {
        let mut subject = [b'.'; SUBJECT_LEN + NAMED.len()];
        subject[..4].copy_from_slice(PREFIX);
        subject[4..10].copy_from_slice(&self.account_part(service));
        subject[SHARD_AT] = DIGITS[usize::from(self.place.index)];
        put_digits(number, &mut subject[NUMBER_AT..RANDOM_AT]);
        for five in subject[RANDOM_AT..SUBJECT_LEN].chunks_exact_mut(5) {
            put_digits(self.random.next_u32(), five);
        }
        subject[SUBJECT_LEN..].copy_from_slice(if named { NAMED } else { &[0] });
        AnswerSubject(subject)
    }

    /// The part of these subjects that is the same for all services of an account, on every shard.
    fn account_part(&mut self, service: AccountId) -> [u8; 6] {
        let at = service.0 as usize;
        if let Some(Some(part)) = self.parts.get(at) {
            return *part;
        }
        let of_account = Sha256::new()
            .chain_update(b"account")
            .chain_update(self.seed.to_le_bytes())
            .chain_update(service.0.to_le_bytes())
            .finalize();
        let mut part = [0; 6];
        digits(&of_account, &mut part);
        if self.parts.len() <= at {
            self.parts.resize(at + 1, None);
        }
        self.parts[at] = Some(part);
        part
    }

    /// Whether services of an account are answered there. To all others it is a subject like any other.
    pub(super) fn are_taken_at(&mut self, service: AccountId, subject: &[u8]) -> bool {
        let own = self.account_part(service);
        subject
            .get(4..11)
            .is_some_and(|part| part.strip_suffix(b".") == Some(own.as_slice()))
    }

    /// What waits for answers on a subject.
    pub(super) fn get_mut(&mut self, subject: &[u8]) -> Option<&mut Waiting> {
        let number = self.number(subject)?;
        Some(&mut self.waiting[number as usize])
    }

    /// Whether anybody waits for answers on a subject.
    pub(super) fn contains(&self, subject: &[u8]) -> bool {
        self.number(subject).is_some()
    }

    fn number(&self, subject: &[u8]) -> Option<u32> {
        if !has_its_length(subject) {
            return None;
        }
        let number = number_of(&subject[NUMBER_AT..RANDOM_AT])?;
        let waiting = self.waiting.get(number as usize)?;
        is_same(&waiting.subject, subject).then_some(number)
    }

    /// One more waits. Gives the subject that it is to be answered on.
    pub(super) fn add(&mut self, mut waiting: Waiting, named: bool) -> AnswerSubject {
        let number = self.waiting.vacant_key() as u32;
        let subject = self.numbered_subject(waiting.service, named, number);
        let due_ms = self.now_ms + waiting.threshold_ms;
        waiting.subject = subject;
        waiting.place = self.deadlines.add(waiting.threshold_ms, due_ms, number);
        self.waiting.insert(waiting);
        self.replies.add(number, &mut self.waiting);
        subject
    }

    /// Nobody waits there any longer. Gives what was waited for.
    pub(super) fn remove(&mut self, subject: &[u8], why: End) -> Option<Waiting> {
        let number = self.number(subject)?;
        Some(self.take(number, why))
    }

    fn take(&mut self, number: u32, why: End) -> Waiting {
        let mut waiting = self.waiting.remove(number as usize);
        self.replies.remove(number, &waiting, &mut self.waiting);
        self.deadlines.remove(waiting.place);
        if self.waiting.is_empty() && self.waiting.capacity() > KEEP {
            self.waiting = Slab::new();
        }
        if let (Some(measured), true) = (waiting.measured.take(), why != End::Done) {
            self.failed.push((measured, why));
        }
        waiting
    }

    /// Another answer may come within the threshold from now on.
    pub(super) fn wait_on(&mut self, subject: &[u8]) {
        let Some(number) = self.number(subject) else {
            return;
        };
        let waiting = &mut self.waiting[number as usize];
        let due_ms = self.now_ms + waiting.threshold_ms;
        self.deadlines.remove(waiting.place);
        waiting.place = self.deadlines.add(waiting.threshold_ms, due_ms, number);
    }

    /// What time it is.
    pub(super) fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Ends those whose time has passed.
    #[inline]
    pub(super) fn expire(&mut self) {
        while let Some(number) = self.deadlines.passed(self.now_ms) {
            self.take(number, End::Late);
        }
    }

    /// When the first of them is to be ended.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.deadlines.first_ms()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// What the subjects that a shard gives are made of.
fn keystream(seed: u64, place: ShardPlace) -> ChaCha20Rng {
    let key = Sha256::new()
        .chain_update(b"request")
        .chain_update(seed.to_le_bytes())
        .chain_update([place.index])
        .finalize();
    ChaCha20Rng::from_seed(key.into())
}

/// Digits that nobody can guess who does not know the seed.
pub(super) fn random_digits(
    what: &[u8],
    seed: u64,
    place: ShardPlace,
    count: u64,
    into: &mut [u8],
) {
    let hash = Sha256::new()
        .chain_update(what)
        .chain_update(seed.to_le_bytes())
        .chain_update([place.index])
        .chain_update(count.to_le_bytes())
        .finalize();
    digits(&hash, into);
}

/// Of letters and figures only, as all that is random in a subject.
const BASE: u32 = 62;

/// The end of a number, the lowest digit first.
#[inline]
fn put_digits(mut number: u32, into: &mut [u8]) {
    for digit in into {
        *digit = DIGITS[(number % BASE) as usize];
        number /= BASE;
    }
}

/// The number that [`put_digits`] wrote.
fn number_of(digits: &[u8]) -> Option<u32> {
    digits.iter().rev().try_fold(0, |number, digit| {
        let value = u32::from(VALUES[usize::from(*digit)]);
        (value < BASE).then(|| number * BASE + value)
    })
}

/// What each digit is worth; 64 where it is none.
const VALUES: [u8; 256] = {
    let mut values = [64; 256];
    let mut at = 0;
    while at < DIGITS.len() {
        values[DIGITS[at] as usize] = at as u8;
        at += 1;
    }
    values
};

fn digits(hash: &[u8], into: &mut [u8]) {
    for (digit, byte) in into.iter_mut().zip(hash) {
        *digit = DIGITS[usize::from(*byte) % BASE as usize];
    }
}

impl Broker {
    /// How many requests to other accounts wait for answers on this shard.
    pub fn requests_waiting(&self) -> usize {
        self.answers.len()
    }

    /// When the core must be told the time next, ms: a request will have waited long enough.
    pub fn due_ms(&self) -> Option<u64> {
        self.answers.due_ms()
    }

    /// Perhaps nobody listens any more to the replies that a pattern matches: who waits for answers there waits no
    /// longer.
    pub(super) fn forget_answers(&mut self, account: AccountId, pattern: &[u8]) {
        if self.answers.len() == 0 {
            return;
        }
        for reply in self.replies_within(account, pattern) {
            // The way back of a request that came through this account hears it, and so does a service that it asks.
            let mut heard = self.answers.contains(&reply);
            self.table
                .account(account)
                .services(&reply, false, |_| heard = true);
            self.accounts[account.0 as usize].matches(&reply, |_| heard = true);
            if !heard {
                self.drop_answers_to(account, &reply);
            }
        }
    }

    /// The replies of an account that a pattern matches, each once.
    fn replies_within(&mut self, account: AccountId, pattern: &[u8]) -> Vec<Arc<[u8]>> {
        let answers = &mut self.answers;
        let replies = answers.replies.in_order(&mut answers.waiting);
        let Some(open) = memchr::memchr2(b'*', b'>', pattern) else {
            let mut waiting = replies.equal(account, pattern);
            return waiting
                .next()
                .map(|one| one.reply.clone())
                .into_iter()
                .collect();
        };
        let waiting = replies.beginning(account, &pattern[..open]);
        let mut replies: Vec<Arc<[u8]>> = waiting
            .filter(|waiting| pattern_matches(pattern, &waiting.reply))
            .map(|waiting| waiting.reply.clone())
            .collect();
        replies.sort_unstable();
        replies.dedup();
        replies
    }

    /// Ends what waits for answers to a reply, and what waits for theirs.
    fn drop_answers_to(&mut self, account: AccountId, reply: &[u8]) {
        let answers = &mut self.answers;
        let replies = answers.replies.in_order(&mut answers.waiting);
        let waiting = replies.equal(account, reply);
        let subjects: Vec<AnswerSubject> = waiting.map(|waiting| waiting.subject).collect();
        for subject in subjects {
            if let Some(waiting) = self.answers.remove(&subject, End::Unheard) {
                self.drop_answers_to(waiting.service, &subject);
            }
        }
    }
}

//! Requests to services of other accounts, and the way of their answers back. Owns the subjects that answers are
//! given (`_R_.…`); never decides who may ask: the compiled tables do.
//!
//! A request gets a reply subject of its own in the service's account. What is published there goes to the
//! requestor's reply, in the requestor's account, through the shard that took the request: its number is part of
//! the subject.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use crate::account::{AccountId, Space};

use super::effect::{Origin, Outlet, Record};
use super::matching::Call;
use super::run::{Message, Run};
use super::{Broker, ShardPlace};

/// What every subject for answers begins with.
const PREFIX: &[u8] = b"_R_.";

/// Length of such a subject: the prefix, six characters for the account, a dot, the shard, eleven for the request.
const SUBJECT_LEN: usize = 4 + 6 + 1 + 1 + 11;

/// Where the shard's number stands.
const SHARD_AT: usize = 11;

/// Digits of the random parts and of the shard's number: as many as there can be shards.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-~";

/// A request passes so many imports at most. Cycles are refused at start, those that mappings close as well; this
/// bounds what no check has seen.
const HOPS_MAX: u32 = 16;

const INFO: &[u8] = b"Nats-Request-Info: ";

/// Whether a publish there may be an answer.
#[inline(always)]
pub(super) fn is_answer(subject: &[u8]) -> bool {
    subject.first() == Some(&b'_') && subject.starts_with(PREFIX)
}

/// Who asked first, and through which account the request came last.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    account: AccountId,
    through: AccountId,
    /// The first import shares who asks.
    shared: bool,
    /// A later one does: it can tell only of the server.
    shared_later: bool,
    /// What comes is an answer: it has come through no account yet.
    answers: bool,
    /// How many imports it has passed.
    hops: u32,
}

/// Where the answers to one request go.
#[derive(Debug)]
struct Waiting {
    service: AccountId,
    requestor: AccountId,
    reply: Arc<[u8]>,
    many: bool,
    threshold_ms: u64,
    due_ms: u64,
}

/// Where answers are published: an account, and a subject of its clients.
type Reply = (AccountId, Arc<[u8]>);

/// Requests that wait for answers.
///
/// Invariant: `by_reply` and `by_due` have exactly one entry for each of `waiting`.
#[derive(Debug)]
pub(super) struct Answers {
    place: ShardPlace,
    seed: u64,
    count: u64,
    now_ms: u64,
    waiting: HashMap<Arc<[u8]>, Waiting>,
    by_reply: BTreeMap<Reply, BTreeSet<Arc<[u8]>>>,
    by_due: BTreeSet<(u64, Arc<[u8]>)>,
}

impl Answers {
    pub(super) fn new(place: ShardPlace, seed: u64) -> Self {
        Answers {
            place,
            seed,
            count: 0,
            now_ms: 0,
            waiting: HashMap::new(),
            by_reply: BTreeMap::new(),
            by_due: BTreeSet::new(),
        }
    }

    /// A subject nobody can guess.
    fn subject(&mut self, service: AccountId) -> Arc<[u8]> {
        self.count += 1;
        let mut subject = [b'.'; SUBJECT_LEN];
        subject[..4].copy_from_slice(PREFIX);
        let of_request = Sha256::new()
            .chain_update(b"request")
            .chain_update(self.seed.to_le_bytes())
            .chain_update([self.place.index])
            .chain_update(self.count.to_le_bytes())
            .finalize();
        subject[4..10].copy_from_slice(&self.account_part(service));
        subject[SHARD_AT] = DIGITS[usize::from(self.place.index)];
        digits(&of_request, &mut subject[SHARD_AT + 1..]);
        subject.as_slice().into()
    }

    /// The part of these subjects that is the same for all services of an account, on every shard.
    fn account_part(&self, service: AccountId) -> [u8; 6] {
        let of_account = Sha256::new()
            .chain_update(b"account")
            .chain_update(self.seed.to_le_bytes())
            .chain_update(service.0.to_le_bytes())
            .finalize();
        let mut part = [0; 6];
        digits(&of_account, &mut part);
        part
    }

    /// Whether services of an account are answered there. To all others it is a subject like any other.
    pub(super) fn are_taken_at(&self, service: AccountId, subject: &[u8]) -> bool {
        let own = self.account_part(service);
        subject
            .get(4..11)
            .is_some_and(|part| part.strip_suffix(b".") == Some(own.as_slice()))
    }

    fn add(&mut self, mut waiting: Waiting) -> Arc<[u8]> {
        let subject = self.subject(waiting.service);
        waiting.due_ms = self.now_ms + waiting.threshold_ms;
        self.by_due.insert((waiting.due_ms, subject.clone()));
        let reply = (waiting.requestor, waiting.reply.clone());
        self.by_reply
            .entry(reply)
            .or_default()
            .insert(subject.clone());
        self.waiting.insert(subject.clone(), waiting);
        subject
    }

    fn remove(&mut self, subject: &[u8]) {
        let Some((subject, waiting)) = self.waiting.remove_entry(subject) else {
            return;
        };
        let reply = (waiting.requestor, waiting.reply);
        if let Some(subjects) = self.by_reply.get_mut(&reply) {
            subjects.remove(&subject);
            if subjects.is_empty() {
                self.by_reply.remove(&reply);
            }
        }
        self.by_due.remove(&(waiting.due_ms, subject));
    }

    /// Another answer may come within the threshold from now on.
    fn wait_on(&mut self, subject: &[u8]) {
        let Some((key, waiting)) = self.waiting.get_key_value_mut(subject) else {
            return;
        };
        self.by_due.remove(&(waiting.due_ms, key.clone()));
        waiting.due_ms = self.now_ms + waiting.threshold_ms;
        self.by_due.insert((waiting.due_ms, key.clone()));
    }

    /// Ends those whose time has passed.
    #[inline]
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        while let Some((due_ms, subject)) = self.by_due.first()
            && *due_ms <= now_ms
        {
            let subject = subject.clone();
            self.remove(&subject);
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

fn digits(hash: &[u8], into: &mut [u8]) {
    for (digit, byte) in into.iter_mut().zip(hash) {
        *digit = DIGITS[usize::from(byte % 62)];
    }
}

impl Broker {
    /// Makes a request of one message to a service of another account. Whether anybody there, or further on, got it.
    pub(super) fn request(
        &mut self,
        call: &Call,
        from: AccountId,
        origin: Origin,
        run: &Run<'_>,
        asker: Option<&Asker>,
        out: &mut impl Outlet,
    ) -> bool {
        let message = &run.messages[0];
        let asker = Asker {
            account: asker.map_or(from, |asker| asker.account),
            through: match asker {
                Some(asker) if asker.answers => asker.account,
                _ => from,
            },
            shared: asker.map_or(call.share, |asker| asker.shared),
            shared_later: asker.is_some_and(|asker| asker.shared_later || call.share),
            answers: false,
            hops: asker.map_or(0, |asker| asker.hops) + 1,
        };
        if asker.hops > HOPS_MAX {
            return false;
        }
        let reply = (message.reply_len > 0).then(|| {
            self.answers.add(Waiting {
                service: call.account,
                requestor: from,
                reply: run.reply(message).into(),
                many: call.many_answers,
                threshold_ms: call.threshold_ms,
                due_ms: 0,
            })
        });
        let mut header = own_headers(run, message);
        header.extend_from_slice(INFO);
        header.extend_from_slice(self.describe(&asker, origin).as_bytes());
        header.extend_from_slice(b"\r\n\r\n");
        let payload = &run.payload_crlf(message);
        let (bytes, message) = spell(reply.as_deref().unwrap_or_default(), &header, payload);
        let mapped = self.mapped(call.account, &call.subject);
        let there = Run {
            bytes: &bytes,
            subject: mapped.as_deref().unwrap_or(&call.subject),
            headers: true,
            messages: &[message],
        };
        let space = Space::across(call.account);
        let asked = self.route(space, origin, &there, Some(&asker), out) == Some(true);
        if let (Some(reply), false) = (reply, asked) {
            self.answers.remove(&reply);
        }
        asked
    }

    /// What a service is told of who asks.
    fn describe(&self, asker: &Asker, origin: Origin) -> String {
        let name = |account| serde_json::Value::from(&*self.table.account(account).name);
        let mut account = format!("\"acc\":{}", name(asker.account));
        if asker.hops > 1 {
            account += &format!(",\"svc\":{}", name(asker.through));
        }
        let here = origin.shard == self.place.index;
        let peer = here.then(|| self.find_peer(origin.conn)).flatten();
        let who = peer
            .filter(|peer| peer.origin == origin)
            .and_then(|peer| peer.who.as_ref());
        match who {
            None => format!("{{{account}}}"),
            Some(who) if asker.shared => format!(
                "{{{}{account}{},\"rtt\":{}{}{}}}",
                who.before, who.between, who.rtt_ns, who.server, who.behind
            ),
            Some(who) => {
                let server = if asker.shared_later { &*who.server } else { "" };
                format!("{{{account},\"rtt\":{}{server}}}", who.rtt_ns)
            }
        }
    }

    /// A client published on a subject for answers: takes each to the shard that knows whose they are.
    pub(super) fn pass_answers(
        &mut self,
        account: AccountId,
        origin: Origin,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) {
        let digit = run
            .subject
            .get(SHARD_AT)
            .filter(|_| run.subject.len() == SUBJECT_LEN);
        let Some(shard) = digit.and_then(|digit| memchr::memchr(*digit, DIGITS)) else {
            return;
        };
        if shard == usize::from(self.place.index) {
            for at in 0..run.messages.len() {
                self.answer(account, origin, &run.only(at..at + 1), out);
            }
        } else if shard < usize::from(self.place.count) {
            let batch = &mut self.batches[shard];
            let subject = batch.put(run.subject);
            let first = batch.put_messages(run);
            batch.records.push(Record::Answer {
                account,
                origin,
                subject,
                headers: run.headers,
                first,
                count: run.messages.len() as u32,
            });
        }
    }

    /// Takes one answer to the requestor's account.
    pub(super) fn answer(
        &mut self,
        account: AccountId,
        origin: Origin,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(waiting) = self.answers.waiting.get(run.subject) else {
            return;
        };
        if waiting.service != account {
            return;
        }
        let (requestor, reply, many) = (waiting.requestor, waiting.reply.clone(), waiting.many);
        let threshold_ms = waiting.threshold_ms;
        let message = &run.messages[0];
        let ends = message.body_len() == 0 && !run.headers;
        // An answer that asks back is a request the other way round.
        let back = (message.reply_len > 0).then(|| {
            self.answers.add(Waiting {
                service: requestor,
                requestor: account,
                reply: run.reply(message).into(),
                many,
                threshold_ms,
                due_ms: 0,
            })
        });
        let header = &run.body(message)[..message.header_len as usize];
        let payload = run.payload_crlf(message);
        let (bytes, message) = spell(back.as_deref().unwrap_or_default(), header, payload);
        let mapped = self.mapped(requestor, &reply);
        let there = Run {
            bytes: &bytes,
            subject: mapped.as_deref().unwrap_or(&reply),
            headers: run.headers,
            messages: &[message],
        };
        let space = Space::across(requestor);
        let asker = Asker {
            account,
            through: account,
            shared: false,
            shared_later: false,
            answers: true,
            hops: 0,
        };
        let mut delivered = self.route(space, origin, &there, Some(&asker), out) == Some(true);
        if is_answer(&reply) && self.answers.waiting.contains_key(&reply) {
            self.answer(
                requestor,
                origin,
                &Run {
                    subject: &reply,
                    ..there
                },
                out,
            );
            delivered = true;
        }
        if !many || !delivered || ends {
            self.answers.remove(run.subject);
        } else {
            self.answers.wait_on(run.subject);
        }
    }

    /// Perhaps nobody listens any more to the replies that a pattern matches: who waits for answers there waits no
    /// longer.
    pub(super) fn forget_answers(&mut self, account: AccountId, pattern: &[u8]) {
        if self.answers.len() == 0 {
            return;
        }
        let open = pattern.iter().position(|byte| matches!(byte, b'*' | b'>'));
        let start = &pattern[..open.unwrap_or(pattern.len())];
        let from = (account, Arc::from(start));
        let concerned: Vec<Arc<[u8]>> = self
            .answers
            .by_reply
            .range(from..)
            .take_while(|((of, reply), _)| *of == account && reply.starts_with(start))
            .filter(|((_, reply), _)| crate::subject::pattern_matches(pattern, reply))
            .map(|((_, reply), _)| reply.clone())
            .collect();
        for reply in concerned {
            // The way back of a request that came through this account hears it, and so does a service that it asks.
            let mut heard = self.answers.waiting.contains_key(&reply);
            let table = self.table.account(account);
            table.services(&reply, |_| heard = true);
            self.accounts[account.0 as usize].matches(&reply, |_| heard = true);
            if !heard {
                self.drop_answers_to(account, &reply);
            }
        }
    }

    /// Ends what waits for answers to a reply, and what waits for theirs.
    fn drop_answers_to(&mut self, account: AccountId, reply: &Arc<[u8]>) {
        let Some(subjects) = self
            .answers
            .by_reply
            .get(&(account, reply.clone()))
            .cloned()
        else {
            return;
        };
        for subject in subjects {
            let service = self
                .answers
                .waiting
                .get(&subject)
                .map(|waiting| waiting.service);
            self.answers.remove(&subject);
            if let Some(service) = service {
                self.drop_answers_to(service, &subject);
            }
        }
    }
}

/// The headers of a request up to where the broker's own line goes: without what a client said in its place.
fn own_headers(run: &Run<'_>, message: &Message) -> Vec<u8> {
    let block = &run.body(message)[..message.header_len as usize];
    if block.len() < 2 {
        return b"NATS/1.0\r\n".to_vec();
    }
    let mut header = Vec::with_capacity(block.len() + 128);
    for line in block[..block.len() - 2].split_inclusive(|byte| *byte == b'\n') {
        if !line.starts_with(INFO) {
            header.extend_from_slice(line);
        }
    }
    header
}

/// A message as deliveries spell it.
fn spell(reply: &[u8], header: &[u8], payload_crlf: &[u8]) -> (Vec<u8>, Message) {
    let total = header.len() + payload_crlf.len() - 2;
    let mut bytes = Vec::with_capacity(reply.len() + total + 32);
    bytes.extend_from_slice(reply);
    if !reply.is_empty() {
        bytes.push(b' ');
    }
    if !header.is_empty() {
        bytes.extend_from_slice(header.len().to_string().as_bytes());
        bytes.push(b' ');
    }
    bytes.extend_from_slice(total.to_string().as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let body = bytes.len() as u32;
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(payload_crlf);
    let message = Message {
        tail: 0,
        reply_len: reply.len() as u32,
        body,
        header_len: header.len() as u32,
        end: bytes.len() as u32,
    };
    (bytes, message)
}

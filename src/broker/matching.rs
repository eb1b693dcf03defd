//! The answer to "who gets this subject", and a cache of such answers. Never delivers.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::account::AccountId;

use super::effect::ConnId;
use super::interest::{QueueId, SubId};
use super::outbox::Prefix;

/// Slots of the cache, a power of two. A hot working set of a few thousand subjects fits.
const SLOTS: usize = 16 * 1024;

/// Bytes behind the last prefix, so that short copies may read past it.
const PREFIX_SLACK: usize = 64;

/// A local subscription that gets a subject.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Whose.
    pub conn: ConnId,
    /// Which.
    pub sub: SubId,
    prefix: u32,
    prefix_len: u16,
    /// The client takes headers.
    pub headers: bool,
    /// The subscription has a maximum, or the client earns reply permissions: message by message.
    pub careful: bool,
}

/// A queue group that gets one copy of each message.
#[derive(Debug)]
pub struct Group {
    /// The group.
    pub queue: QueueId,
    /// Its members here.
    pub local: Vec<Target>,
    /// Its members elsewhere: shard and how many.
    pub remote: Vec<(u8, u32)>,
}

impl Group {
    /// Members on all shards.
    pub fn members(&self) -> u32 {
        self.local.len() as u32 + self.remote.iter().map(|(_, n)| n).sum::<u32>()
    }
}

/// Who gets a subject.
#[derive(Debug, Default)]
pub struct Match {
    account: Option<AccountId>,
    subject: Vec<u8>,
    generation: u64,
    /// Plain subscriptions here.
    pub plain: Vec<Target>,
    /// Queue groups, here and elsewhere.
    pub groups: Vec<Group>,
    /// Shards with plain subscriptions, a bit each.
    pub remote_plain: u64,
    /// One connection gets the subject on several subscriptions: order among them is message by message.
    pub interleaved: bool,
    prefixes: Vec<u8>,
}

impl Match {
    /// Whose subject space it speaks of.
    pub fn account(&self) -> AccountId {
        self.account.expect("an answer that was built")
    }

    /// Empties it for another subject; keeps the memory.
    pub fn reset(&mut self, account: AccountId, subject: &[u8], generation: u64) {
        self.account = Some(account);
        self.subject.clear();
        self.subject.extend_from_slice(subject);
        self.generation = generation;
        self.plain.clear();
        self.groups.clear();
        self.remote_plain = 0;
        self.interleaved = false;
        self.prefixes.clear();
    }

    /// A target of this match, with its prefix written.
    pub fn target(
        &mut self,
        conn: ConnId,
        sub: SubId,
        sid: &[u8],
        headers: bool,
        careful: bool,
    ) -> Target {
        let prefix = self.prefixes.len();
        self.prefixes.extend_from_slice(b"HMSG ");
        self.prefixes.extend_from_slice(&self.subject);
        self.prefixes.push(b' ');
        self.prefixes.extend_from_slice(sid);
        self.prefixes.push(b' ');
        let prefix_len = (self.prefixes.len() - prefix) as u16;
        Target {
            conn,
            sub,
            prefix: prefix as u32,
            prefix_len,
            headers,
            careful,
        }
    }

    /// Ends the building.
    pub fn finish(&mut self) {
        self.prefixes.resize(self.prefixes.len() + PREFIX_SLACK, 0);
        let mut conns: Vec<ConnId> = self
            .plain
            .iter()
            .chain(self.groups.iter().flat_map(|g| &g.local))
            .map(|t| t.conn)
            .collect();
        conns.sort_unstable();
        self.interleaved = conns.windows(2).any(|pair| pair[0] == pair[1]);
    }

    /// `HMSG subject sid ` or `MSG subject sid `.
    #[inline(always)]
    pub fn prefix(&self, target: &Target, headers: bool) -> Prefix<'_> {
        let skip = usize::from(!headers);
        Prefix {
            bytes: &self.prefixes[target.prefix as usize + skip..],
            len: usize::from(target.prefix_len) - skip,
        }
    }

    /// Nobody at all, here or elsewhere.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty() && self.remote_plain == 0
    }
}

/// Answers by (account, subject). An answer is taken out for use and put back afterwards.
#[derive(Debug)]
pub struct MatchCache {
    slots: Vec<Option<Box<Match>>>,
    spare: Vec<Box<Match>>,
    hasher: FixedState,
    changes: u64,
}

/// Where an answer belongs, and whether it still does.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    slot: usize,
    changes: u64,
}

impl MatchCache {
    /// An empty cache. The seed makes its slots unpredictable to clients.
    pub fn new(seed: u64) -> Self {
        MatchCache {
            slots: (0..SLOTS).map(|_| None).collect(),
            spare: Vec::new(),
            hasher: FixedState::with_seed(seed),
            changes: 0,
        }
    }

    fn slot(&self, account: AccountId, subject: &[u8]) -> usize {
        (self.hasher.hash_one(subject) as usize ^ account.0 as usize)
            .wrapping_add(account.0 as usize * 31)
            & (SLOTS - 1)
    }

    /// Takes the answer out, if it is known and of this generation; else an empty one to be built.
    #[inline]
    pub fn take(
        &mut self,
        account: AccountId,
        subject: &[u8],
        generation: u64,
    ) -> (Place, Box<Match>, bool) {
        let slot = self.slot(account, subject);
        let place = Place {
            slot,
            changes: self.changes,
        };
        match self.slots[slot].take() {
            Some(found) => {
                let good = found.generation == generation
                    && found.account == Some(account)
                    && found.subject == subject;
                (place, found, good)
            }
            None => (place, self.spare.pop().unwrap_or_default(), false),
        }
    }

    /// Puts an answer back, unless interest has changed meanwhile.
    #[inline]
    pub fn put(&mut self, place: Place, answer: Box<Match>) {
        const TARGETS_MAX: usize = 64 * 1024;
        if place.changes == self.changes && answer.plain.len() <= TARGETS_MAX {
            self.slots[place.slot] = Some(answer);
        } else if self.spare.len() < 4 && answer.plain.capacity() < 1024 {
            self.spare.push(answer);
        }
    }

    /// Forgets the answer about one subject: a literal subscription came or went.
    pub fn forget(&mut self, account: AccountId, subject: &[u8]) {
        self.changes += 1;
        let slot = self.slot(account, subject);
        if let Some(found) = &mut self.slots[slot]
            && found.account == Some(account)
            && found.subject == subject
        {
            found.account = None;
        }
    }

    /// Makes answers that are out right now void: something other than a literal changed.
    pub fn touch(&mut self) {
        self.changes += 1;
    }
}

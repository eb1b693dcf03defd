//! Who waits for answers to a reply, found by the reply: when nobody listens to it any longer. Owns numbers only; what
//! waits is in [`answers`](super::answers).
//!
//! Most requests are answered before anybody asks for their reply here: they are put in order only when somebody does, or
//! when there are many (measured: the order was a third of what a request to another account costs).

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use slab::Slab;

use crate::account::AccountId;

use super::answers::Waiting;

/// So many are put in order at once at most: that takes less than a millisecond.
const FRESH_MAX: usize = 2048;

/// Bytes of a reply that its key holds.
const KEY_BYTES: usize = 24;

/// A reply with the number of who waits for answers to it. Those that begin alike stand together, and of these those
/// that are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ReplyKey {
    account: AccountId,
    /// Its first bytes, the first in the highest place, with zeros behind those of a short one.
    start: [u64; KEY_BYTES / 8],
    /// A hash of all of it.
    hash: u32,
    number: u32,
}

/// The replies of all that wait.
///
/// Invariant: the number of each that waits is either in `fresh`, at its `fresh_at`, or in `sorted`, and has no
/// `fresh_at`.
#[derive(Debug)]
pub(super) struct Replies {
    fresh: Vec<u32>,
    sorted: BTreeSet<ReplyKey>,
    hasher: FixedState,
}

/// The replies when all are in order.
pub(super) struct InOrder<'a> {
    sorted: &'a BTreeSet<ReplyKey>,
    hasher: &'a FixedState,
    waiting: &'a Slab<Waiting>,
}

impl Replies {
    /// Of nobody. The seed makes hashes unpredictable to clients.
    pub fn new(seed: u64) -> Replies {
        Replies {
            fresh: Vec::new(),
            sorted: BTreeSet::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// One of those that wait is new.
    pub fn add(&mut self, number: u32, waiting: &mut Slab<Waiting>) {
        if self.fresh.len() == FRESH_MAX {
            self.sort(waiting);
        }
        waiting[number as usize].fresh_at = Some(self.fresh.len() as u32);
        self.fresh.push(number);
    }

    /// `gone`, which had this number, is no longer among those that wait.
    pub fn remove(&mut self, number: u32, gone: &Waiting, waiting: &mut Slab<Waiting>) {
        let Some(at) = gone.fresh_at else {
            let key = key(&self.hasher, gone.requestor, &gone.reply);
            self.sorted.remove(&ReplyKey { number, ..key });
            return;
        };
        self.fresh.swap_remove(at as usize);
        if let Some(moved) = self.fresh.get(at as usize) {
            waiting[*moved as usize].fresh_at = Some(at);
        }
    }

    /// Puts all in order.
    pub fn in_order<'a>(&'a mut self, waiting: &'a mut Slab<Waiting>) -> InOrder<'a> {
        self.sort(waiting);
        InOrder {
            sorted: &self.sorted,
            hasher: &self.hasher,
            waiting,
        }
    }

    fn sort(&mut self, waiting: &mut Slab<Waiting>) {
        for number in self.fresh.drain(..) {
            let one = &mut waiting[number as usize];
            one.fresh_at = None;
            let key = key(&self.hasher, one.requestor, &one.reply);
            self.sorted.insert(ReplyKey { number, ..key });
        }
    }
}

impl<'a> InOrder<'a> {
    /// Who waits for answers to replies of an account that begin so; of a long beginning only the first bytes count.
    pub fn beginning(self, account: AccountId, start: &[u8]) -> impl Iterator<Item = &'a Waiting> {
        let from = ReplyKey {
            account,
            start: key_start(start),
            hash: 0,
            number: 0,
        };
        let held = &start[..start.len().min(KEY_BYTES)];
        let keys = self.sorted.range(from..);
        keys.map(move |key| &self.waiting[key.number as usize])
            .take_while(move |waiting| {
                waiting.requestor == account && waiting.reply.starts_with(held)
            })
    }

    /// Who waits for answers to one reply.
    pub fn equal(self, account: AccountId, reply: &[u8]) -> impl Iterator<Item = &'a Waiting> {
        let from = key(self.hasher, account, reply);
        let same = move |key: &&ReplyKey| ReplyKey { number: 0, ..**key } == from;
        let keys = self.sorted.range(from..).take_while(same);
        keys.map(move |key| &self.waiting[key.number as usize])
            .filter(move |waiting| *waiting.reply == *reply)
    }
}

/// The key of a reply, with the lowest number.
fn key(hasher: &FixedState, account: AccountId, reply: &[u8]) -> ReplyKey {
    ReplyKey {
        account,
        start: key_start(reply),
        hash: hasher.hash_one(reply) as u32,
        number: 0,
    }
}

fn key_start(reply: &[u8]) -> [u64; KEY_BYTES / 8] {
    let mut held = [0; KEY_BYTES];
    let len = reply.len().min(KEY_BYTES);
    held[..len].copy_from_slice(&reply[..len]);
    let words = held.as_chunks().0;
    std::array::from_fn(|at| u64::from_be_bytes(words[at]))
}

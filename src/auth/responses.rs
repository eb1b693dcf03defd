//! The reply subjects that one connection may answer to. Counts and forgets; the permission itself is in `permission`.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::permission::{Permissions, ResponsePermission};

/// Most reply subjects remembered for one connection; one more makes the oldest forgotten. The oracle keeps all
/// until they expire, which may be never.
pub const REPLIES_MAX: usize = 65_536;

/// Above this many, the memory is given back once none is left.
const REPLIES_KEPT_ALLOCATED: usize = 256;

/// Dynamic permissions of one connection whose user has `allow_responses`.
///
/// - Only reply subjects that may still be answered to are held, at most [`REPLIES_MAX`]; the list from `oldest`
///   to `newest` holds each once, in the order of `since_ms`.
/// - A reply subject is taken as the bytes it is, wildcards included.
pub struct ResponseTracker {
    permissions: Arc<Permissions>,
    limit: ResponsePermission,
    hasher: FixedState,
    by_subject: HashTable<usize>,
    replies: Slab<Reply>,
    oldest: Option<usize>,
    newest: Option<usize>,
}

impl std::fmt::Debug for ResponseTracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseTracker")
            .field("replies", &self.replies.len())
            .finish_non_exhaustive()
    }
}

struct Reply {
    subject: Box<[u8]>,
    since_ms: u64,
    uses: i64,
    older: Option<usize>,
    newer: Option<usize>,
}

impl ResponseTracker {
    /// A tracker for a connection of a user with these permissions; `None` if they have no `allow_responses`.
    /// The seed should be random and secret, for peers choose the reply subjects.
    pub fn new(permissions: &Arc<Permissions>, hash_seed: u64) -> Option<ResponseTracker> {
        let limit = permissions.responses()?;
        Some(ResponseTracker {
            permissions: Arc::clone(permissions),
            limit,
            hasher: FixedState::with_seed(hash_seed),
            by_subject: HashTable::new(),
            replies: Slab::new(),
            oldest: None,
            newest: None,
        })
    }

    /// Goes on under other permissions. What may be answered to stays so, if what they say of answers is the same;
    /// otherwise false, and nothing is done.
    pub fn go_on(&mut self, permissions: &Arc<Permissions>) -> bool {
        let same = permissions.responses() == Some(self.limit);
        if same {
            self.permissions = Arc::clone(permissions);
        }
        same
    }

    /// A message with this reply subject was delivered to the connection at `now_ms`.
    ///
    /// Does nothing for a subject that the lists allow anyway. As with the oracle, a delivery whose reply subject is
    /// remembered already counts as one use of it, and prolongs nothing.
    pub fn on_delivery(&mut self, reply: &[u8], now_ms: u64) {
        if self.permissions.publish(reply).is_allowed() || self.allows(reply, now_ms) {
            return;
        }
        self.forget_expired(now_ms);
        if self.replies.len() == REPLIES_MAX {
            self.forget(self.oldest.expect("a full list has an oldest"));
        }
        self.remember(reply, now_ms);
    }

    /// Whether the connection may publish to `subject` as an answer at `now_ms`; if so, this is one use of it.
    /// To be asked only where the lists deny the publish.
    pub fn allows(&mut self, subject: &[u8], now_ms: u64) -> bool {
        let hash = self.hasher.hash_one(subject);
        let Some(&at) = self
            .by_subject
            .find(hash, |&at| *self.replies[at].subject == *subject)
        else {
            return false;
        };
        if self.is_expired(at, now_ms) {
            self.forget(at);
            return false;
        }
        let reply = &mut self.replies[at];
        reply.uses += 1;
        if self.limit.messages_max > 0 && reply.uses >= self.limit.messages_max {
            self.forget(at);
        }
        true
    }

    /// How many reply subjects are remembered.
    pub fn len(&self) -> usize {
        self.replies.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    fn is_expired(&self, at: usize, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(self.replies[at].since_ms);
        u64::try_from(self.limit.expires_ms).is_ok_and(|expires_ms| age_ms > expires_ms)
    }

    fn forget_expired(&mut self, now_ms: u64) {
        while let Some(oldest) = self
            .oldest
            .filter(|&oldest| self.is_expired(oldest, now_ms))
        {
            self.forget(oldest);
        }
    }

    /// Appends a subject that is not held.
    fn remember(&mut self, subject: &[u8], now_ms: u64) {
        let older = self.newest;
        let at = self.replies.insert(Reply {
            subject: subject.into(),
            since_ms: now_ms,
            uses: 0,
            older,
            newer: None,
        });
        match older {
            Some(older) => self.replies[older].newer = Some(at),
            None => self.oldest = Some(at),
        }
        self.newest = Some(at);
        let (hasher, replies) = (&self.hasher, &self.replies);
        let hash_of = |&at: &usize| hasher.hash_one(&*replies[at].subject);
        self.by_subject.insert_unique(hash_of(&at), at, hash_of);
    }

    fn forget(&mut self, at: usize) {
        let reply = self.replies.remove(at);
        match reply.older {
            Some(older) => self.replies[older].newer = reply.newer,
            None => self.oldest = reply.newer,
        }
        match reply.newer {
            Some(newer) => self.replies[newer].older = reply.older,
            None => self.newest = reply.older,
        }
        let hash = self.hasher.hash_one(&*reply.subject);
        match self.by_subject.find_entry(hash, |&held| held == at) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => unreachable!("every reply is found by its subject"),
        }
        if self.replies.is_empty() && self.replies.capacity() > REPLIES_KEPT_ALLOCATED {
            self.replies = Slab::new();
            self.by_subject = HashTable::new();
        }
    }

    /// Panics where a sentence on the struct does not hold.
    #[cfg(test)]
    fn invariants(&self) {
        let mut at = self.oldest;
        let (mut older, mut since_ms, mut seen) = (None, 0, 0);
        while let Some(here) = at {
            let reply = &self.replies[here];
            assert_eq!(reply.older, older);
            assert!(reply.since_ms >= since_ms);
            assert!(self.limit.messages_max <= 0 || reply.uses < self.limit.messages_max);
            let hash = self.hasher.hash_one(&*reply.subject);
            let found = self
                .by_subject
                .find(hash, |&at| self.replies[at].subject == reply.subject);
            assert_eq!(found, Some(&here));
            (older, since_ms, at) = (at, reply.since_ms, reply.newer);
            seen += 1;
        }
        assert_eq!(self.newest, older);
        assert_eq!((seen, seen), (self.replies.len(), self.by_subject.len()));
        assert!(seen <= REPLIES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::permission_fixture;

    fn tracker(permissions: &str) -> ResponseTracker {
        ResponseTracker::new(&Arc::new(permission_fixture(permissions)), 7).unwrap()
    }

    /// Runs `r:SUBJECT` (a delivery), `p:SUBJECT` (a publish) and `w:MS` (time passes); the publishes' results.
    fn run(permissions: &str, script: &str) -> String {
        let mut tracker = tracker(permissions);
        let (mut now_ms, mut out) = (1_000, Vec::new());
        for step in script.split(' ') {
            let (what, value) = step.split_once(':').unwrap();
            match what {
                "r" => tracker.on_delivery(value.as_bytes(), now_ms),
                "w" => now_ms += value.parse::<u64>().unwrap(),
                _ => {
                    let listed = tracker.permissions.publish(value.as_bytes()).is_allowed();
                    let allowed = listed || tracker.allows(value.as_bytes(), now_ms);
                    out.push(format!("{value}={}", if allowed { "ok" } else { "no" }));
                }
            }
            tracker.invariants();
        }
        out.join(" ")
    }

    /// Each line was run against the oracle.
    #[test]
    fn answers_are_counted_and_expire_as_the_oracle_does() {
        let three = "sub > resp 3 500";
        for (permissions, script, expected) in [
            (
                "resp 1 120000",
                "p:a r:a p:a p:a r:a p:a r:b r:a p:b p:a p:b",
                "a=no a=ok a=no a=ok b=ok a=ok b=no",
            ),
            ("resp 0 0", "p:x r:a p:a p:a", "x=no a=ok a=no"),
            ("resp 1 120000", "r:a r:a p:a p:a", "a=no a=no"),
            ("resp 1 120000", "r:a r:a r:a p:a p:a", "a=ok a=no"),
            ("resp 1 120000", "r:a r:a r:a r:a p:a p:a", "a=no a=no"),
            (
                "resp 1 120000",
                "r:a.* p:a.b p:a.* p:a.*",
                "a.b=no a.*=ok a.*=no",
            ),
            ("resp 1 120000", "r:a.> p:a.b p:a.>", "a.b=no a.>=ok"),
            (three, "r:a p:a p:a p:a p:a", "a=ok a=ok a=ok a=no"),
            (
                three,
                "r:a r:a p:a p:a p:a p:a p:a",
                "a=ok a=ok a=no a=no a=no",
            ),
            (
                three,
                "r:a p:a p:a p:a r:a p:a p:a p:a p:a",
                "a=ok a=ok a=ok a=ok a=ok a=ok a=no",
            ),
            (
                three,
                "r:a p:a p:a p:a r:a r:a p:a p:a p:a p:a p:a",
                "a=ok a=ok a=ok a=ok a=ok a=no a=no a=no",
            ),
            (three, "r:a p:a w:700 p:a p:a", "a=ok a=no a=no"),
            (three, "r:a w:300 r:a w:300 p:a p:a", "a=no a=no"),
            (
                three,
                "r:a w:700 r:a p:a p:a p:a p:a",
                "a=ok a=ok a=ok a=no",
            ),
            (
                "resp -1 -1",
                "r:a p:a p:a p:a p:a p:b",
                "a=ok a=ok a=ok a=ok b=no",
            ),
            (
                "-pub no.> resp 2 120000",
                "r:no.a p:no.a p:no.a p:no.a p:b r:b p:b p:b p:b",
                "no.a=ok no.a=ok no.a=no b=no b=ok b=ok b=no",
            ),
            (
                "pub ok.> resp 2 120000",
                "r:ok.a p:ok.a p:ok.a p:ok.a p:b r:b p:b p:b p:b",
                "ok.a=ok ok.a=ok ok.a=ok b=no b=ok b=ok b=no",
            ),
        ] {
            assert_eq!(
                run(permissions, script),
                expected,
                "{permissions}: {script}"
            );
        }
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let mut tracker = tracker("resp -1 -1");
        let subject = |n: usize| format!("_INBOX.{n}").into_bytes();
        for n in 0..REPLIES_MAX + 10 {
            tracker.on_delivery(&subject(n), 0);
        }
        tracker.invariants();
        assert_eq!(tracker.len(), REPLIES_MAX);
        assert!(!tracker.allows(&subject(9), u64::MAX));
        assert!(tracker.allows(&subject(10), u64::MAX));

        let mut tracker = self::tracker("resp 1 100");
        (0..1_000).for_each(|n| tracker.on_delivery(&subject(n), 0));
        tracker.on_delivery(b"late", 101);
        assert_eq!(tracker.len(), 1);
        assert!(tracker.allows(b"late", 102));
        assert!(tracker.is_empty() && tracker.replies.capacity() <= REPLIES_KEPT_ALLOCATED);
    }

    #[test]
    fn what_the_lists_allow_is_not_remembered() {
        let mut tracker = tracker("pub ok.> resp 1 100");
        tracker.on_delivery(b"ok.a", 0);
        assert!(tracker.is_empty());
    }

    #[test]
    fn without_allow_responses_there_is_none() {
        assert!(ResponseTracker::new(&Arc::new(permission_fixture("pub a")), 7).is_none());
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(steps in proptest::collection::vec((0..3u8, 0..5u8), 0..60)) {
            let mut tracker = tracker("resp 2 10");
            let mut list: Vec<(u8, u64, i64)> = Vec::new();
            let use_one = |subject: u8, now: u64, list: &mut Vec<(u8, u64, i64)>| {
                list.retain(|&(_, since, uses)| now - since <= 10 && uses < 2);
                let held = list.iter_mut().find(|held| held.0 == subject);
                held.map(|held| held.2 += 1).is_some()
            };
            let mut now_ms = 0;
            for (what, value) in steps {
                match what {
                    0 => {
                        tracker.on_delivery(&[b'a' + value], now_ms);
                        if !use_one(value, now_ms, &mut list) {
                            list.push((value, now_ms, 0));
                        }
                    }
                    1 => prop_assert_eq!(tracker.allows(&[b'a' + value], now_ms), use_one(value, now_ms, &mut list)),
                    _ => now_ms += u64::from(value),
                }
                tracker.invariants();
            }
        }
    }
}

//! Subscriptions come and go: the tables of the connection and of the account, and what others are told.

use crate::account::{AccountId, Space};
use crate::subject;

use super::Broker;
use super::effect::{ConnId, Record};
use super::interest::{NONE, Sub, SubId};

/// A pattern that is no valid subject (`foo..bar`, `foo.>.bar`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSubject;

/// A subscription that has ended because it is no longer allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its pattern.
    pub pattern: Box<[u8]>,
    /// Its queue group.
    pub queue: Option<Box<[u8]>>,
    /// The client's name for it.
    pub sid: Box<[u8]>,
}

impl Broker {
    /// Adds a subscription. A sid that is in use keeps its first subscription, as in the oracle, whatever
    /// the new one asks for. `filtered` is whether deny rules must be asked on each delivery.
    pub fn subscribe(
        &mut self,
        conn: ConnId,
        pattern: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        filtered: bool,
    ) -> Result<(), InvalidSubject> {
        if self.find_sub(conn, sid).is_some() {
            return Ok(());
        }
        if !subject::is_subscribable(pattern) {
            return Err(InvalidSubject);
        }
        let account = self.peer(conn).account;
        let interest = &mut self.accounts[account.0 as usize];
        let pattern_id = interest.intern(pattern);
        let queue_id = queue.map_or(NONE, |name| interest.queue(name));
        let id = self
            .subs
            .insert(Sub::new(sid, conn, pattern_id, queue_id, filtered)) as SubId;
        let change = interest.link(&mut self.subs, id);
        self.index_sid(conn, id);
        self.interest_changed(account, pattern);
        if change.announce {
            self.announce(account, pattern, queue, change.count);
        }
        Ok(())
    }

    fn index_sid(&mut self, conn: ConnId, id: SubId) {
        let Broker {
            peers,
            subs,
            sid_hasher,
            ..
        } = self;
        let hash = |id: &SubId| {
            std::hash::BuildHasher::hash_one(sid_hasher, subs[*id as usize].sid.bytes())
        };
        let peer = peers[conn as usize].as_mut().expect("an open connection");
        peer.subs.insert_unique(hash(&id), id, hash);
    }

    /// The subscription a connection calls by this sid.
    pub fn find_sub(&self, conn: ConnId, sid: &[u8]) -> Option<SubId> {
        let peer = self.peers[conn as usize].as_ref()?;
        peer.subs
            .find(self.sid_hash(sid), |id| {
                self.subs[*id as usize].sid.bytes() == sid
            })
            .copied()
    }

    /// Ends a subscription, at once or after `max` messages in all. An unknown sid is no error.
    pub fn unsubscribe(&mut self, conn: ConnId, sid: &[u8], max: Option<u32>) {
        let Some(id) = self.find_sub(conn, sid) else {
            return;
        };
        match max {
            Some(max) if u64::from(max) > self.subs[id as usize].delivered => {
                self.limit(id, u64::from(max))
            }
            _ => self.remove_sub(id),
        }
    }

    fn limit(&mut self, id: SubId, max: u64) {
        self.limits.insert(id, max);
        if !std::mem::replace(&mut self.subs[id as usize].limited, true) {
            let account = self.account_of(id);
            let pattern = self.accounts[account.0 as usize]
                .pattern(self.subs[id as usize].pattern)
                .to_vec();
            self.interest_changed(account, &pattern);
        }
    }

    fn account_of(&self, id: SubId) -> AccountId {
        let conn = self.subs[id as usize].conn;
        self.peers[conn as usize]
            .as_ref()
            .expect("a subscription's connection is open")
            .account
    }

    /// Ends a subscription now.
    pub(super) fn remove_sub(&mut self, id: SubId) {
        let hash = self.sid_hash(self.subs[id as usize].sid.bytes());
        let peer = self.peers[self.subs[id as usize].conn as usize]
            .as_mut()
            .expect("open");
        if let Ok(entry) = peer.subs.find_entry(hash, |known| *known == id) {
            entry.remove();
        }
        if let Some(traced) = &peer.traced {
            traced.subscription_ended(self.subs[id as usize].sid.bytes());
        }
        let account = peer.account;
        self.drop_sub(account, id);
    }

    /// Ends all subscriptions of a connection: it closes, or it changes its account.
    pub fn unsubscribe_all(&mut self, conn: ConnId) {
        let Some(Some(peer)) = self.peers.get_mut(conn as usize) else {
            return;
        };
        let account = peer.account;
        if let Some(traced) = &peer.traced {
            for id in &peer.subs {
                traced.subscription_ended(self.subs[*id as usize].sid.bytes());
            }
        }
        for id in std::mem::take(&mut peer.subs) {
            self.drop_sub(account, id);
        }
    }

    /// Takes a subscription, already out of its connection's table, out of everything else.
    fn drop_sub(&mut self, account: AccountId, id: SubId) {
        let interest = &mut self.accounts[account.0 as usize];
        let change = interest.unlink(&mut self.subs, id);
        let sub = self.subs.remove(id as usize);
        if sub.limited {
            self.limits.remove(&id);
        }
        let pattern = interest.pattern(sub.pattern).to_vec();
        let queue = (sub.queue != NONE).then(|| interest.queue_name(sub.queue).to_vec());
        self.interest_changed(account, &pattern);
        if change.announce {
            self.announce(account, &pattern, queue.as_deref(), change.count);
        }
        self.interest(account).forget(sub.pattern, sub.queue);
        self.forget_answers(account, &pattern);
    }

    /// Tells the other shards, in order with the deliveries, how many there are here now.
    fn announce(&mut self, account: AccountId, pattern: &[u8], queue: Option<&[u8]>, count: u32) {
        for shard in self.others() {
            let batch = &mut self.batches[shard];
            let pattern = batch.put(pattern);
            let queue = queue.map(|name| batch.put(name));
            batch.records.push(Record::Interest {
                account,
                pattern,
                queue,
                count,
            });
        }
    }

    /// Cached matches that the pattern concerns are void.
    pub(super) fn interest_changed(&mut self, account: AccountId, pattern: &[u8]) {
        for exporter in self.table.account(account).exporters_seen(pattern) {
            self.accounts[exporter.0 as usize].generation += 1;
        }
        if subject::has_wildcard(pattern) {
            self.interest(account).generation += 1;
        } else {
            let cache = self.cache.as_mut().expect("no answer is in use");
            cache.forget(Space::of(account), pattern);
            cache.forget(Space::across(account), pattern);
        }
    }

    /// The subscriptions of a connection.
    pub fn subscription_ids(&self, conn: ConnId) -> Vec<SubId> {
        let peer = self.find_peer(conn);
        peer.map_or_else(Vec::new, |peer| peer.subs.iter().copied().collect())
    }

    /// Looks at a subscription under the permissions that its connection has now: ends it where it is no longer
    /// allowed, and says which it was. One that is another's by now is left alone.
    pub fn recheck(&mut self, conn: ConnId, id: SubId) -> Option<Lost> {
        let sub = self.subs.get(id as usize).filter(|sub| sub.conn == conn)?;
        let peer = self.peers[conn as usize].as_ref().expect("it has one");
        let permissions = peer.permissions.as_ref()?;
        let interest = &self.accounts[peer.account.0 as usize];
        let pattern = interest.pattern(sub.pattern);
        let queue = (sub.queue != NONE).then(|| interest.queue_name(sub.queue));
        if permissions.subscribe(pattern, queue).is_allowed() {
            // Cached matches were voided with the change of the permissions, and are again if this one changes.
            let filtered = permissions.subscription_needs_filter(pattern, queue);
            if filtered != sub.filtered {
                let (account, pattern) = (peer.account, pattern.to_vec());
                self.subs[id as usize].filtered = filtered;
                self.interest_changed(account, &pattern);
            }
            return None;
        }
        let lost = Lost {
            pattern: pattern.into(),
            queue: queue.map(Into::into),
            sid: sub.sid.bytes().into(),
        };
        self.remove_sub(id);
        Some(lost)
    }

    /// How many subscriptions a connection has.
    pub fn subscriptions_of(&self, conn: ConnId) -> usize {
        self.peers[conn as usize]
            .as_ref()
            .map_or(0, |peer| peer.subs.len())
    }
}

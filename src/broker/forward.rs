//! Runs to other shards and from them, and their interest. Owns the meaning of records, not their queue.

use crate::account::Space;

use super::effect::{Batch, Effect, Origin, Outlet, Record, Scope};
use super::matching::{Group, Match};
use super::run::Run;
use super::{Broker, interest};

impl Broker {
    /// Adds a run to the batch of every shard with plain subscriptions.
    pub(super) fn forward_plain(&mut self, found: &Match, origin: Origin, run: &Run<'_>) {
        let mut left = found.remote_plain;
        while left != 0 {
            let shard = left.trailing_zeros() as usize;
            left &= left - 1;
            add_run(&mut self.batches[shard], found.space(), origin, run, |_| {
                Scope::Plain
            });
        }
    }

    /// Sends one message to a group's member on another shard, the `pick`-th of all there.
    pub(super) fn forward_queue(
        &mut self,
        found: &Match,
        group: &Group,
        pick: u32,
        one: &Run<'_>,
        origin: Origin,
    ) -> bool {
        let Some(shard) = pick_shard(&group.remote, pick, 0) else {
            return false;
        };
        add_run(
            &mut self.batches[usize::from(shard)],
            found.space(),
            origin,
            one,
            |batch| Scope::Queue {
                name: batch.put(&group.name),
                tried: 0,
            },
        );
        true
    }

    /// Takes what another shard sent.
    pub fn apply(&mut self, from: u8, batch: &Batch, out: &mut impl Outlet) {
        for record in &batch.records {
            if let Record::Interest { account, .. }
            | Record::Answer { account, .. }
            | Record::Deliver {
                space: Space { account, .. },
                ..
            } = record
            {
                self.know_accounts(account.0 as usize + 1);
            }
            match *record {
                Record::Interest {
                    account,
                    pattern,
                    queue,
                    count,
                } => {
                    let (pattern, queue) = (batch.get(pattern), queue.map(|name| batch.get(name)));
                    self.accounts[account.0 as usize].set_remote(from, pattern, queue, count);
                    self.interest_changed(account, pattern);
                    if count == 0 {
                        self.forget_answers(account, pattern);
                    }
                }
                Record::Deliver {
                    space,
                    origin,
                    scope,
                    subject,
                    headers,
                    first,
                    count,
                } => {
                    let messages = &batch.messages[first as usize..(first + count) as usize];
                    let run = Run {
                        bytes: &batch.bytes,
                        subject: batch.get(subject),
                        headers,
                        messages,
                    };
                    match scope {
                        Scope::Plain => self.deliver_forwarded(space, &run, origin, out),
                        Scope::Queue { name, tried } => {
                            self.deliver_forwarded_queue(
                                space,
                                &run,
                                origin,
                                batch.get(name),
                                tried,
                                out,
                            );
                        }
                    }
                }
                Record::Answer {
                    account,
                    origin,
                    subject,
                    headers,
                    first,
                    count,
                } => {
                    for at in first..first + count {
                        let run = Run {
                            bytes: &batch.bytes,
                            subject: batch.get(subject),
                            headers,
                            messages: &batch.messages[at as usize..at as usize + 1],
                        };
                        self.answer(account, origin, &run, out);
                    }
                }
                Record::Hold(origin) => self.effects.push(Effect::Hold(origin)),
                Record::Release(origin) => self.effects.push(Effect::Release(origin)),
            }
        }
    }

    fn deliver_forwarded(
        &mut self,
        space: Space,
        run: &Run<'_>,
        origin: Origin,
        out: &mut impl Outlet,
    ) {
        let mut cache = self.take_cache();
        let generation = self.accounts[space.account.0 as usize].generation;
        let found = cache.answer(space, run.subject, generation, |found| {
            self.find_targets(space, run.subject, found);
        });
        if found.interleaved {
            for at in 0..run.messages.len() {
                self.deliver_plain(found, &run.only(at..at + 1), origin, out);
            }
        } else {
            self.deliver_plain(found, run, origin, out);
        }
        self.put_cache(cache);
        self.end_expired();
    }

    /// This shard was chosen for a queue group's message. If its members have gone meanwhile, another shard
    /// that still has some is chosen; each is asked once.
    fn deliver_forwarded_queue(
        &mut self,
        space: Space,
        run: &Run<'_>,
        origin: Origin,
        name: &[u8],
        tried: u64,
        out: &mut impl Outlet,
    ) {
        let mut cache = self.take_cache();
        let generation = self.accounts[space.account.0 as usize].generation;
        let found = cache.answer(space, run.subject, generation, |found| {
            self.find_targets(space, run.subject, found);
        });
        if let Some(group) = found.groups.iter().find(|group| *group.name == *name) {
            for at in 0..run.messages.len() {
                let one = run.only(at..at + 1);
                let start = self.random_below((group.local.len() as u32).max(1)) as usize;
                if !self.deliver_member(found, group, start, &one, origin, out) {
                    self.pick_again(space, group, &one, origin, tried);
                }
            }
        }
        self.put_cache(cache);
        self.end_expired();
    }

    fn pick_again(
        &mut self,
        space: Space,
        group: &Group,
        one: &Run<'_>,
        origin: Origin,
        tried: u64,
    ) {
        let tried = tried | 1 << self.place.index;
        let left: u32 = group
            .remote
            .iter()
            .filter(|(shard, _)| tried & 1 << shard == 0)
            .map(|(_, n)| n)
            .sum();
        let pick = self.random_below(left.max(1));
        if let Some(shard) = pick_shard(&group.remote, pick, tried) {
            add_run(
                &mut self.batches[usize::from(shard)],
                space,
                origin,
                one,
                |batch| Scope::Queue {
                    name: batch.put(&group.name),
                    tried,
                },
            );
        }
    }
}

/// The shard that has the `pick`-th member, leaving out those tried.
fn pick_shard(remote: &[(u8, u32)], mut pick: u32, tried: u64) -> Option<u8> {
    let mut candidates = remote
        .iter()
        .filter(|(shard, _)| tried & 1 << shard == 0)
        .peekable();
    let first = candidates.peek().map(|(shard, _)| *shard);
    for (shard, members) in candidates {
        if pick < *members {
            return Some(*shard);
        }
        pick -= members;
    }
    first
}

fn add_run(
    batch: &mut Batch,
    space: Space,
    origin: Origin,
    run: &Run<'_>,
    scope: impl FnOnce(&mut Batch) -> Scope,
) {
    let scope = scope(batch);
    let subject = batch.put(run.subject);
    let first = batch.put_messages(run);
    let count = run.messages.len() as u32;
    batch.records.push(Record::Deliver {
        space,
        origin,
        scope,
        subject,
        headers: run.headers,
        first,
        count,
    });
}

const _: () = assert!(interest::SHARDS_MAX <= u64::BITS as usize);

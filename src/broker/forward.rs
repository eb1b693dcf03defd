//! Runs to other shards and from them, and their interest. Owns the meaning of records, not their queue.

use std::sync::Arc;

use crate::account::Space;

use super::answers::is_answer;
use super::effect::{Batch, Effect, Origin, Outlet, Record, Scope};
use super::matching::{Group, Match};
use super::run::Run;
use super::services::Responder;
use super::traced::Ask;
use super::{Broker, interest};

impl Broker {
    /// Adds a run to the batch of every shard with plain subscriptions. `untaken` is whether nobody here has got it.
    pub(super) fn forward_plain(
        &mut self,
        found: &Match,
        origin: Origin,
        run: &Run<'_>,
        untaken: bool,
    ) {
        let last = untaken && found.alone;
        let mut left = found.remote_plain;
        while left != 0 {
            let shard = left.trailing_zeros() as usize;
            left &= left - 1;
            let batch = &mut self.batches[shard];
            add_run(batch, found.space(), origin, run, last, |_| Scope::Plain);
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
        last: bool,
    ) -> bool {
        let Some(shard) = pick_shard(&group.remote, pick, 0) else {
            return false;
        };
        add_run(
            &mut self.batches[usize::from(shard)],
            found.space(),
            origin,
            one,
            last,
            |batch| Scope::Queue {
                name: batch.put(&group.name),
                tried: 0,
            },
        );
        true
    }

    /// Takes what another shard sent.
    pub fn apply(&mut self, from: u8, batch: &Batch, out: &mut impl Outlet) {
        self.take_in(batch.bytes.len());
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
                    last,
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
                        Scope::Plain => self.deliver_forwarded(space, &run, origin, last, out),
                        Scope::Queue { name, tried } => {
                            let asked = (batch.get(name), tried, last);
                            self.deliver_forwarded_queue(space, &run, origin, asked, out);
                        }
                    }
                }
                Record::Answer { .. }
                | Record::Traced { .. }
                | Record::Trace { .. }
                | Record::Untaken { .. } => self.apply_rare(record, batch, out),
                Record::Hold(origin, held) => self.effects.push(Effect::Hold(origin, held)),
                Record::Release(origin) => self.effects.push(Effect::Release(origin)),
            }
        }
    }

    /// The records of requests across accounts, of traces, and of what nobody took.
    fn apply_rare(&mut self, record: &Record, batch: &Batch, out: &mut impl Outlet) {
        let run = |subject, headers, first: u32| Run {
            bytes: &batch.bytes,
            subject: batch.get(subject),
            headers,
            messages: &batch.messages[first as usize..first as usize + 1],
        };
        match *record {
            Record::Answer {
                account,
                origin,
                who,
                tracing,
                subject,
                headers,
                first,
                count,
            } => {
                let who = who.map(|who| Arc::new(batch.whos[who as usize].clone()));
                let responder = Responder { account, who };
                for at in first..first + count {
                    let one = run(subject, headers, at);
                    match tracing {
                        None => self.answer(account, origin, &responder, &one, None, None, out),
                        Some(tracing) => {
                            self.answer_traced(origin, &responder, &one, tracing, out);
                        }
                    }
                }
            }
            Record::Traced {
                space,
                origin,
                scope,
                subject,
                headers,
                first,
                tracing,
            } => {
                let ask = match scope {
                    Scope::Plain => Ask::Plain,
                    Scope::Queue { name, tried } => Ask::Member(batch.get(name), tried),
                };
                let one = run(subject, headers, first);
                self.deliver_traced(space, origin, &one, ask, tracing, out);
            }
            Record::Trace { id, events, last } => self.reported(id, batch.get(events), last),
            Record::Untaken {
                origin,
                account,
                subject,
                reply,
            } => self.untaken(origin, account, batch.get(subject), batch.get(reply)),
            Record::Deliver { .. }
            | Record::Interest { .. }
            | Record::Hold(..)
            | Record::Release(_) => unreachable!("these are not rare"),
        }
    }

    fn deliver_forwarded(
        &mut self,
        space: Space,
        run: &Run<'_>,
        origin: Origin,
        last: bool,
        out: &mut impl Outlet,
    ) {
        let mut cache = self.take_cache();
        let generation = self.accounts[space.account.0 as usize].generation;
        let found = cache.answer(space, run.subject, generation, |found| {
            self.find_targets(space, run.subject, found);
        });
        let asked = last && run.messages[0].reply_len > 0;
        if found.interleaved || asked {
            for at in 0..run.messages.len() {
                let one = run.only(at..at + 1);
                if !self.deliver_plain(found, &one, origin, out) && asked {
                    self.say_untaken(space, origin, &one);
                }
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
        (name, tried, last): (&[u8], u64, bool),
        out: &mut impl Outlet,
    ) {
        let mut cache = self.take_cache();
        let generation = self.accounts[space.account.0 as usize].generation;
        let found = cache.answer(space, run.subject, generation, |found| {
            self.find_targets(space, run.subject, found);
        });
        let group = found.groups.iter().find(|group| *group.name == *name);
        for at in 0..run.messages.len() {
            let one = run.only(at..at + 1);
            let taken = group.is_some_and(|group| {
                let start = self.random_below((group.local.len() as u32).max(1)) as usize;
                self.deliver_member(found, group, start, &one, origin, out)
                    || self.pick_again(space, group, &one, origin, tried, last)
            });
            if !taken && last {
                self.say_untaken(space, origin, &one);
            }
        }
        self.put_cache(cache);
        self.end_expired();
    }

    /// Tells the publisher's shard that nobody took a message, if it has a reply.
    #[cold]
    fn say_untaken(&mut self, space: Space, origin: Origin, one: &Run<'_>) {
        let reply = one.reply(&one.messages[0]);
        // A client's own request is told of in time or not at all: behind its PONG nobody expects a 503.
        if !is_answer(reply) {
            return;
        }
        let batch = &mut self.batches[usize::from(origin.shard)];
        let (subject, reply) = (batch.put(one.subject), batch.put(reply));
        batch.records.push(Record::Untaken {
            origin,
            account: space.account,
            subject,
            reply,
        });
    }

    /// Asks another shard. False if none is left.
    fn pick_again(
        &mut self,
        space: Space,
        group: &Group,
        one: &Run<'_>,
        origin: Origin,
        tried: u64,
        last: bool,
    ) -> bool {
        let tried = tried | 1 << self.place.index;
        let left: u32 = group
            .remote
            .iter()
            .filter(|(shard, _)| tried & 1 << shard == 0)
            .map(|(_, n)| n)
            .sum();
        let pick = self.random_below(left.max(1));
        let shard = pick_shard(&group.remote, pick, tried);
        if let Some(shard) = shard {
            add_run(
                &mut self.batches[usize::from(shard)],
                space,
                origin,
                one,
                last,
                |batch| Scope::Queue {
                    name: batch.put(&group.name),
                    tried,
                },
            );
        }
        shard.is_some()
    }
}

/// The shard that has the `pick`-th member, leaving out those tried.
pub(super) fn pick_shard(remote: &[(u8, u32)], mut pick: u32, tried: u64) -> Option<u8> {
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
    last: bool,
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
        last,
        subject,
        headers: run.headers,
        first,
        count,
    });
}

const _: () = assert!(interest::SHARDS_MAX <= u64::BITS as usize);

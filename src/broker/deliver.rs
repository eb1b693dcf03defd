//! Runs to local subscriptions: plain ones each, queue groups one member each. Never matches, never sends.

use std::io::IoSlice;

use super::Broker;
use super::effect::{CloseReason, ConnId, Effect, Origin, Outlet, Record};
use super::matching::{Group, Match, Target};
use super::outbox::EAGER_BYTES_TOGETHER;
use super::run::{Message, Run};

/// From so many bytes on a payload is sent from where it is: a system call of its own, and the wake-up of the reader
/// that comes with it, cost less than the copy (measured: `perf/`).
const LARGE_BYTES: usize = 48 * 1024;

/// So do payloads of a quarter of it where so many bytes of them go out together (measured: `perf/`, `1to1-16384`).
const LARGE_RUN_BYTES: usize = 96 * 1024;

/// A run of so many bytes is sent as it comes, without a copy for each subscriber, where all of them together get as much
/// as is sent in the middle of a turn anyway. With half of it the readers are woken too often, with twice as much the output
/// of a thousand leaves the cache before it is sent (measured: `perf/`, `1to1000-128`).
const SPREAD_BYTES_MIN: usize = 16 * 1024;

/// Whether a run is better sent from where it is than copied.
#[inline(always)]
fn is_large(run: &Run<'_>) -> bool {
    let body = run.messages[0].body_len();
    body >= LARGE_BYTES / 4 && (body >= LARGE_BYTES || run.span_bytes() >= LARGE_RUN_BYTES)
}

impl Broker {
    /// Delivers a run to everybody on this shard and to one member of each queue group, wherever it is.
    /// Returns whether anybody got it. Plain subscribers on other shards are not its business.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        found: &Match,
        run: &Run<'_>,
        origin: Origin,
        out: &mut impl Outlet,
    ) -> bool {
        if found.interleaved && run.messages.len() > 1 {
            let mut delivered = false;
            for at in 0..run.messages.len() {
                delivered |= self.deliver(found, &run.only(at..at + 1), origin, out);
            }
            return delivered;
        }
        let mut delivered = self.deliver_plain(found, run, origin, out);
        for group in &found.groups {
            let plain = delivered;
            delivered |= self.deliver_group(found, group, run, origin, plain, out);
        }
        delivered
    }

    /// Delivers a run to the plain subscriptions of this shard.
    #[inline]
    pub(super) fn deliver_plain(
        &mut self,
        found: &Match,
        run: &Run<'_>,
        origin: Origin,
        out: &mut impl Outlet,
    ) -> bool {
        let bytes = run.body_bytes();
        let span_bytes = run.span_bytes();
        if span_bytes >= SPREAD_BYTES_MIN
            && found.plain.len() > 1
            && span_bytes * found.plain.len() >= EAGER_BYTES_TOGETHER as usize
        {
            return self.spread(found, run, bytes, origin, out);
        }
        let mut delivered = false;
        for target in &found.plain {
            delivered |= self.deliver_to(found, target, run, bytes, origin, out);
        }
        delivered
    }

    /// Delivers a long run to many: it is spelled once, and what each of them gets goes out from there.
    #[inline(never)]
    fn spread(
        &mut self,
        found: &Match,
        run: &Run<'_>,
        bytes: u64,
        origin: Origin,
        out: &mut impl Outlet,
    ) -> bool {
        let mut spelled = std::mem::take(&mut self.spread);
        let count = run.messages.len() as u64;
        let mut delivered = false;
        for target in &found.plain {
            let peer = self.peers[target.conn as usize]
                .as_mut()
                .expect("a target's connection is open");
            if peer.closing || (!peer.echo && peer.origin == origin) {
                continue;
            }
            if target.careful || (run.headers && !target.headers) {
                delivered |= self.deliver_carefully(found, target, run, origin, out);
                continue;
            }
            let text = spelled.deliveries(found.prefix(target, run.headers), run);
            let send = |parts: &[IoSlice<'_>]| out.send_now(target.conn, parts);
            peer.outbox.push_spelled(&mut self.pool, text, send);
            peer.sent.messages += count;
            peer.sent.bytes += bytes;
            self.subs[target.sub as usize].delivered += count;
            self.after_push(target.conn, origin, out);
            self.after_sent(target.conn);
            delivered = true;
        }
        spelled.clear();
        self.spread = spelled;
        delivered
    }

    /// Delivers a run to one subscription. `bytes` are those of all bodies.
    #[inline(always)]
    pub(super) fn deliver_to(
        &mut self,
        found: &Match,
        target: &Target,
        run: &Run<'_>,
        bytes: u64,
        origin: Origin,
        out: &mut impl Outlet,
    ) -> bool {
        let peer = self.peers[target.conn as usize]
            .as_mut()
            .expect("a target's connection is open");
        if peer.closing || (!peer.echo && peer.origin == origin) {
            return false;
        }
        if target.careful || (run.headers && !target.headers) {
            return self.deliver_carefully(found, target, run, origin, out);
        }
        let prefix = found.prefix(target, run.headers);
        if is_large(run) {
            let send = |parts: &[IoSlice<'_>]| out.send_now(target.conn, parts);
            peer.outbox.push_large(&mut self.pool, prefix, run, send);
        } else {
            peer.outbox.push_run(&mut self.pool, prefix, run);
        }
        let count = run.messages.len() as u64;
        peer.sent.messages += count;
        peer.sent.bytes += bytes;
        self.subs[target.sub as usize].delivered += count;
        self.after_push(target.conn, origin, out);
        true
    }

    /// Message by message: maxima are counted, headers stripped where the client takes none, replies noted
    /// for `allow_responses`.
    #[cold]
    fn deliver_carefully(
        &mut self,
        found: &Match,
        target: &Target,
        run: &Run<'_>,
        origin: Origin,
        out: &mut impl Outlet,
    ) -> bool {
        let mut delivered = false;
        for at in 0..run.messages.len() {
            if !self.count_delivery(target.sub) {
                break;
            }
            let one = run.only(at..at + 1);
            let message = &one.messages[0];
            let strip = one.headers && !target.headers;
            let prefix = found.prefix(target, one.headers && target.headers);
            let peer = self.peers[target.conn as usize]
                .as_mut()
                .expect("a target's connection is open");
            if strip {
                peer.outbox
                    .push_stripped(&mut self.pool, prefix, &one, message);
            } else {
                peer.outbox.push_run(&mut self.pool, prefix, &one);
            }
            if let Some(traced) = &peer.traced {
                traced.delivered(prefix, &one, strip);
            }
            let bytes = message.body_len() as u64
                - if strip {
                    u64::from(message.header_len)
                } else {
                    0
                };
            peer.sent.messages += 1;
            peer.sent.bytes += bytes;
            self.note_reply(target.conn, &one, message);
            delivered = true;
        }
        self.after_push(target.conn, origin, out);
        delivered
    }

    /// Counts one more delivery, unless the maximum is reached; at the maximum the subscription expires.
    fn count_delivery(&mut self, id: u32) -> bool {
        let sub = &mut self.subs[id as usize];
        if sub.limited {
            let max = self.limits[&id];
            if sub.delivered >= max {
                return false;
            }
            if sub.delivered + 1 == max {
                self.expired.push(id);
            }
        }
        sub.delivered += 1;
        true
    }

    /// A client that may answer what it was asked has been asked.
    fn note_reply(&mut self, conn: ConnId, run: &Run<'_>, message: &Message) {
        let peer = self.peers[conn as usize].as_mut().expect("open");
        if let Some(tracker) = &mut peer.responses
            && message.reply_len > 0
        {
            tracker.on_delivery(run.reply(message), self.now_ms);
        }
    }

    /// Ends subscriptions that have had their maximum.
    #[inline]
    pub(super) fn end_expired(&mut self) {
        while let Some(id) = self.expired.pop() {
            self.remove_sub(id);
        }
    }

    /// After bytes were added: sends full chunks early, cuts who is too far behind, holds back who feeds it.
    #[inline(always)]
    fn after_push(&mut self, conn: ConnId, origin: Origin, out: &mut impl Outlet) {
        let peer = self.peers[conn as usize].as_mut().expect("open");
        if !peer.dirty {
            peer.dirty = true;
            self.dirty.push(conn);
        }
        let far = peer.outbox.pending_bytes();
        if far < self.attention_bytes {
            return;
        }
        let first = far < self.pending.attention_bytes;
        if first
            || far >= self.pending.bound_bytes
            || peer.outbox.is_worth_offering(self.dirty.len())
        {
            self.attend(conn, origin, out);
        }
    }

    /// A connection has enough waiting to be looked at.
    fn attend(&mut self, conn: ConnId, origin: Origin, out: &mut impl Outlet) {
        let peer = self.peers[conn as usize].as_mut().expect("open");
        let first = std::mem::replace(&mut self.attention_bytes, self.pending.attention_bytes)
            < self.pending.attention_bytes;
        // Whom a publisher waits for is sent to by the loop, and tells it then.
        let early = first && self.dirty.len() == 1 && peer.waiting.is_empty();
        if (early && peer.outbox.may_offer()) || peer.outbox.is_worth_offering(self.dirty.len()) {
            let send = |parts: &[IoSlice<'_>]| out.send_now(conn, parts);
            peer.outbox.offer(&mut self.pool, send);
            self.after_sent(conn);
        }
        let peer = self.peers[conn as usize].as_mut().expect("open");
        let far = peer.outbox.pending_bytes();
        if self.pending.hold_bytes.is_some_and(|hold| far >= hold)
            || far > self.pending.pending_bytes_max
        {
            self.behind(conn, origin);
        }
    }

    /// A connection is far behind.
    #[cold]
    fn behind(&mut self, conn: ConnId, origin: Origin) {
        let peer = self.peers[conn as usize].as_mut().expect("open");
        if peer.outbox.pending_bytes() > self.pending.pending_bytes_max {
            peer.closing = true;
            self.slow_consumers += 1;
            self.effects
                .push(Effect::Cut(conn, CloseReason::SlowConsumerPendingBytes));
            return;
        }
        // Held back until this one has caught up: once is enough.
        if peer.waiting.contains(&origin) {
            return;
        }
        peer.waiting.push(origin);
        let held = peer.waiting.len() as u32;
        if origin.shard == self.place.index {
            self.effects.push(Effect::Hold(origin, held));
        } else {
            self.batches[usize::from(origin.shard)]
                .records
                .push(Record::Hold(origin, held));
        }
    }

    /// One member of a queue group for each message: members of all shards are equally likely. `plain` is whether anybody
    /// else has got the run.
    fn deliver_group(
        &mut self,
        found: &Match,
        group: &Group,
        run: &Run<'_>,
        origin: Origin,
        plain: bool,
        out: &mut impl Outlet,
    ) -> bool {
        if let ([only], []) = (group.local.as_slice(), group.remote.as_slice()) {
            return self.deliver_to(found, only, run, run.body_bytes(), origin, out);
        }
        let members = group.members();
        let mut delivered = false;
        for at in 0..run.messages.len() {
            let one = run.only(at..at + 1);
            let pick = self.random_below(members.max(1));
            // Whoever is asked there is the last who could take it.
            let last = found.alone && !plain;
            delivered |= match group.local.len() as u32 {
                local if pick < local => {
                    self.deliver_member(found, group, pick as usize, &one, origin, out)
                        || self.forward_queue(found, group, 0, &one, origin, last)
                }
                local => {
                    self.forward_queue(found, group, pick - local, &one, origin, last)
                        || self.deliver_member(found, group, 0, &one, origin, out)
                }
            };
        }
        delivered
    }

    /// One local member, the one at `start` or the next that takes it.
    pub(super) fn deliver_member(
        &mut self,
        found: &Match,
        group: &Group,
        start: usize,
        one: &Run<'_>,
        origin: Origin,
        out: &mut impl Outlet,
    ) -> bool {
        let bytes = one.body_bytes();
        let count = group.local.len();
        (0..count).any(|step| {
            let target = &group.local[(start + step) % count];
            self.deliver_to(found, target, one, bytes, origin, out)
        })
    }
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;

//! The way of a message whose trace is wanted: the same as any other's, one subscription at a time, with a note of each.
//! Slow on purpose; the others never come here.

use std::sync::Arc;

use crate::account::table::StreamHop;
use crate::account::{AccountId, Space};
use crate::auth::violation;
use crate::subject::{Preimage, intersection};

use super::Broker;
use super::answers::is_answer;
use super::effect::{ConnId, Origin, Outlet, Record, Scope};
use super::interest::NONE;
use super::matching::{Call, Match, Target};
use super::publish::Refusal;
use super::run::Run;
use super::services::{Asker, Request, with_destination};
use super::spell::spell;
use super::trace::{Asked, Egress, Trace, Tracing};

const NO_ECHO: &str = "Not delivered because of no echo";
const DENIED: &str = "Not delivered because subscription denies this subject";
const CLOSED: &str = "Not delivered because client is closed";
const EXCEEDED: &str = "Not delivered because auto-unsubscribe exceeded";

/// A subscription of this shard on a message's way.
struct Leg {
    target: Target,
    account: AccountId,
    /// Its pattern; that of the exporter's subjects, where it sees another account's.
    pattern: Vec<u8>,
    queue: Vec<u8>,
    denied: bool,
    /// It sees another account's stream: under which subject, and whether the trace goes on there.
    import: Option<(Vec<u8>, bool)>,
}

/// A queue group on a message's way.
struct Group {
    name: Vec<u8>,
    local: Vec<Leg>,
    remote: Vec<(u8, u32)>,
}

/// Everything on a message's way.
#[derive(Default)]
struct Way {
    found: Match,
    plain: Vec<Leg>,
    groups: Vec<Group>,
    remote_plain: u64,
    calls: Vec<Arc<Call>>,
}

impl Broker {
    /// Publishes a message that may ask for a trace.
    #[cold]
    pub(super) fn publish_asking(
        &mut self,
        conn: ConnId,
        one: &Run<'_>,
        out: &mut impl Outlet,
    ) -> Result<(), Refusal> {
        let message = &one.messages[0];
        let block = &one.body(message)[..message.header_len as usize];
        match self.trace_asked(conn, one.subject, block, message.body_len()) {
            Asked::Nothing => self.publish_unasked(conn, one, out),
            Asked::Drop => Ok(()),
            Asked::Denied(destination) => Err(Refusal::Mapped(destination)),
            Asked::Disable => {
                let block = with_destination(block, super::trace::DISABLED);
                let (bytes, message) = spell(one.reply(message), &block, one.payload_crlf(message));
                let there = Run {
                    bytes: &bytes,
                    messages: &[message],
                    ..*one
                };
                self.publish_unasked(conn, &there, out)
            }
            Asked::Trace(mut trace) => {
                let published = self.publish_traced(conn, one, &mut trace, out);
                self.end_trace(trace);
                published
            }
        }
    }

    fn publish_traced(
        &mut self,
        conn: ConnId,
        one: &Run<'_>,
        trace: &mut Trace,
        out: &mut impl Outlet,
    ) -> Result<(), Refusal> {
        let mapped = match self.peer(conn).mapped {
            true => self.mapped(trace.tracing.account, one.subject),
            false => None,
        };
        if let Some(mapped) = &mapped {
            trace.mapping(self.rfc3339_now(), mapped);
        }
        let there = Run {
            subject: mapped.as_deref().unwrap_or(one.subject),
            ..*one
        };
        let allowed = self.may_publish(conn, &there);
        let (account, origin, no_responders) = allowed.map_err(|refusal| {
            trace.refused(match &refusal {
                Refusal::Reply => violation::reply_refused(there.reply(&there.messages[0])),
                _ => violation::publish_refused(there.subject),
            });
            match refusal {
                Refusal::Subject => Refusal::Mapped(there.subject.into()),
                other => other,
            }
        })?;
        let space = Space::of(account);
        let delivered = self.route_traced(space, origin, &there, None, trace, out);
        if is_answer(there.subject) {
            self.pass_answers(account, origin, &there, Some(trace), out);
        } else if !delivered && no_responders {
            self.tell_no_responders(conn, account, &there);
        }
        Ok(())
    }

    /// As [`Broker::route`], for one message, with notes. Whether anybody got it, or would have.
    pub(super) fn route_traced(
        &mut self,
        space: Space,
        origin: Origin,
        one: &Run<'_>,
        asker: Option<&Asker<'_>>,
        trace: &mut Trace,
        out: &mut impl Outlet,
    ) -> bool {
        let way = self.way(space, one.subject);
        let mut delivered = false;
        for leg in &way.plain {
            delivered |= self.deliver_leg(&way.found, leg, one, origin, trace, out);
        }
        for group in &way.groups {
            delivered |= self.deliver_group_traced(&way, group, one, origin, trace, out);
        }
        let mut left = way.remote_plain;
        while left != 0 {
            let shard = left.trailing_zeros() as u8;
            left &= left - 1;
            self.pass_on(shard, space, origin, one, Ask::Plain, trace.passed_on());
            delivered = true;
        }
        self.end_expired();
        for call in &way.calls {
            let request = Request {
                call,
                from: space.account,
                origin,
                run: one,
                asker,
                alone: false,
            };
            delivered |= self.request(&request, Some(trace), out);
        }
        delivered
    }

    fn deliver_group_traced(
        &mut self,
        way: &Way,
        group: &Group,
        one: &Run<'_>,
        origin: Origin,
        trace: &mut Trace,
        out: &mut impl Outlet,
    ) -> bool {
        let local = group.local.len() as u32;
        let remote: u32 = group.remote.iter().map(|(_, members)| members).sum();
        let pick = self.random_below((local + remote).max(1));
        let ask = Ask::Member(&group.name, 0);
        if pick >= local
            && let Some(shard) = super::forward::pick_shard(&group.remote, pick - local, 0)
        {
            self.pass_on(
                shard,
                way.found.space(),
                origin,
                one,
                ask,
                trace.passed_on(),
            );
            return true;
        }
        for step in 0..group.local.len() {
            let leg = &group.local[(pick as usize + step) % group.local.len()];
            if self.deliver_leg(&way.found, leg, one, origin, trace, out) {
                return true;
            }
        }
        let Some(shard) = super::forward::pick_shard(&group.remote, 0, 0) else {
            return false;
        };
        self.pass_on(
            shard,
            way.found.space(),
            origin,
            one,
            ask,
            trace.passed_on(),
        );
        true
    }

    /// Delivers to one subscription and notes it. Whether it got the message, or would have.
    fn deliver_leg(
        &mut self,
        found: &Match,
        leg: &Leg,
        one: &Run<'_>,
        origin: Origin,
        trace: &mut Trace,
        out: &mut impl Outlet,
    ) -> bool {
        let only = trace.tracing.only;
        let account = self.table.account(leg.account).name.clone();
        if let Some((seen, allowed)) = &leg.import {
            trace.stream_export(self.rfc3339_now(), &account, seen);
            if !allowed {
                return only
                    || (!leg.denied
                        && self.deliver_to(
                            found,
                            &leg.target,
                            one,
                            one.body_bytes(),
                            origin,
                            out,
                        ));
            }
        }
        let peer = self.peer(leg.target.conn);
        let (closing, no_echo) = (peer.closing, !peer.echo && peer.origin == origin);
        let (cid, who) = (peer.client_id, peer.who.clone());
        let (delivered, error) = match () {
            _ if no_echo => (false, Some(NO_ECHO)),
            _ if leg.denied => (false, Some(DENIED)),
            _ if only => (true, None),
            _ if closing => (false, Some(CLOSED)),
            _ => match self.deliver_to(found, &leg.target, one, one.body_bytes(), origin, out) {
                true => (true, None),
                false => (false, Some(EXCEEDED)),
            },
        };
        trace.egress(&Egress {
            r#type: "eg",
            ts: self.rfc3339_now(),
            kind: 0,
            cid,
            name: who.as_ref().map_or("", |who| &who.name),
            acc: (leg.account != trace.tracing.account).then_some(&*account),
            sub: &String::from_utf8_lossy(&leg.pattern),
            queue: &String::from_utf8_lossy(&leg.queue),
            error,
        });
        delivered
    }

    /// Takes a traced message of another shard.
    pub(super) fn deliver_traced(
        &mut self,
        space: Space,
        origin: Origin,
        one: &Run<'_>,
        ask: Ask<'_>,
        tracing: Tracing,
        out: &mut impl Outlet,
    ) {
        let mut trace = Trace::part(tracing);
        let way = self.way(space, one.subject);
        match ask {
            Ask::Plain => {
                for leg in &way.plain {
                    self.deliver_leg(&way.found, leg, one, origin, &mut trace, out);
                }
            }
            Ask::Member(name, tried) => {
                if let Some(group) = way.groups.iter().find(|group| group.name == name) {
                    self.deliver_member_traced(&way, group, one, origin, tried, &mut trace, out);
                }
            }
        }
        self.end_expired();
        self.report(trace);
    }

    #[allow(clippy::too_many_arguments)]
    fn deliver_member_traced(
        &mut self,
        way: &Way,
        group: &Group,
        one: &Run<'_>,
        origin: Origin,
        tried: u64,
        trace: &mut Trace,
        out: &mut impl Outlet,
    ) {
        let count = group.local.len();
        let start = self.random_below((count as u32).max(1)) as usize;
        for step in 0..count {
            let leg = &group.local[(start + step) % count];
            if self.deliver_leg(&way.found, leg, one, origin, trace, out) {
                return;
            }
        }
        let tried = tried | 1 << self.place.index;
        if let Some(shard) = super::forward::pick_shard(&group.remote, 0, tried) {
            let ask = Ask::Member(&group.name, tried);
            self.pass_on(
                shard,
                way.found.space(),
                origin,
                one,
                ask,
                trace.passed_on(),
            );
        }
    }

    fn pass_on(
        &mut self,
        shard: u8,
        space: Space,
        origin: Origin,
        one: &Run<'_>,
        ask: Ask<'_>,
        tracing: Tracing,
    ) {
        let batch = &mut self.batches[usize::from(shard)];
        let scope = match ask {
            Ask::Plain => Scope::Plain,
            Ask::Member(name, tried) => Scope::Queue {
                name: batch.put(name),
                tried,
            },
        };
        let subject = batch.put(one.subject);
        let first = batch.put_messages(one);
        batch.records.push(Record::Traced {
            space,
            origin,
            scope,
            subject,
            headers: one.headers,
            first,
            tracing,
        });
    }

    /// Who gets a subject, each with its pattern.
    fn way(&self, space: Space, subject: &[u8]) -> Way {
        let mut way = Way::default();
        way.found.reset(space, subject, 0);
        self.way_in_account(space.account, subject, None, &mut way);
        let table = self.table.account(space.account);
        if !space.across {
            table.streams(subject, |hop| {
                let mut seen = Vec::new();
                match &hop.transform {
                    None => seen.extend_from_slice(subject),
                    Some(transform) => transform.apply(subject, 0, &mut seen),
                }
                self.way_in_account(hop.to, &seen, Some(hop), &mut way);
            });
        }
        table.services(subject, space.across, |hop| {
            way.calls.push(Arc::new(Call::new(hop, subject)))
        });
        way.found.finish();
        way
    }

    fn way_in_account(
        &self,
        account: AccountId,
        subject: &[u8],
        hop: Option<&StreamHop>,
        way: &mut Way,
    ) {
        let interest = &self.accounts[account.0 as usize];
        let seen = hop.filter(|hop| hop.transform.is_some()).map(|_| subject);
        interest.matches(subject, |pattern| {
            way.remote_plain |= interest.remote_plain(pattern);
            let text = exporters_pattern(interest.pattern(pattern), hop);
            for (id, sub) in interest.local(pattern, &self.subs) {
                let peer = self.find_peer(sub.conn).expect("its connection is open");
                let queue = (sub.queue != NONE).then(|| interest.queue_name(sub.queue));
                let permissions = peer.permissions.as_ref().filter(|_| sub.filtered);
                let leg = Leg {
                    target: way.found.target(
                        seen,
                        sub.conn,
                        id,
                        sub.sid.bytes(),
                        peer.headers,
                        true,
                    ),
                    account,
                    pattern: text.clone(),
                    queue: queue.unwrap_or_default().to_vec(),
                    denied: permissions.is_some_and(|p| !p.delivers(subject, queue)),
                    import: hop.map(|hop| (subject.to_vec(), hop.allow_trace)),
                };
                match queue {
                    None => way.plain.push(leg),
                    Some(name) => group_of(&mut way.groups, name).local.push(leg),
                }
            }
            for count in interest.groups(pattern) {
                let group = group_of(&mut way.groups, interest.queue_name(count.queue));
                group.remote.extend_from_slice(&count.remote);
            }
        });
    }
}

/// Who on another shard gets a traced message.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// Every plain subscription.
    Plain,
    /// One member of this group; shards were asked before that have a bit here.
    Member(&'a [u8], u64),
}

/// The pattern of a subscription among the exporter's subjects, if it sees a stream.
fn exporters_pattern(pattern: &[u8], hop: Option<&StreamHop>) -> Vec<u8> {
    let Some(hop) = hop else {
        return pattern.to_vec();
    };
    let there = match hop.transform.as_ref().map(|t| t.preimage(pattern)) {
        Some(Preimage::Pattern(there)) => there,
        _ => pattern.to_vec(),
    };
    intersection(&there, &hop.pattern).unwrap_or(there)
}

fn group_of<'g>(groups: &'g mut Vec<Group>, name: &[u8]) -> &'g mut Group {
    let at = groups.iter().position(|group| group.name == name);
    let at = at.unwrap_or_else(|| {
        groups.push(Group {
            name: name.to_vec(),
            local: Vec::new(),
            remote: Vec::new(),
        });
        groups.len() - 1
    });
    &mut groups[at]
}

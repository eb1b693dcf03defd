//! One publish, a straight line: permission, match, deliver here, forward there, no-responders.

use std::sync::Arc;

use crate::account::table::Fate;
use crate::account::{AccountId, Space};
use crate::auth::permission::{reply_is_reserved, subject_is_reserved};

use super::Broker;
use super::answers::is_answer;
use super::effect::{ConnId, Origin, Outlet};
use super::interest::NONE;
use super::matching::{Call, Foreseen, Group, Match, Target};
use super::run::Run;
use super::services::{Asker, Request};
use super::trace::may_ask;
use super::user_info::asks_for_user;

/// Why a publish was refused; the session tells the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not allowed to publish on the subject.
    Subject,
    /// Not allowed to publish on what the account's mappings make of the subject.
    Mapped(Box<[u8]>),
    /// The reply is one that only the broker makes.
    Reply,
    /// Nothing was done: the messages of the run must be given one at a time.
    OneByOne,
}

impl Broker {
    /// Publishes a run. A connection whose messages are judged one by one (verbose, `allow_responses`) passes
    /// runs of one. Every branch of a publish is here.
    pub fn publish(
        &mut self,
        conn: ConnId,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) -> Result<(), Refusal> {
        let (count, bytes) = (run.messages.len() as u64, run.body_bytes());
        let peer = self.peers[conn as usize]
            .as_mut()
            .expect("an open connection");
        peer.received.messages += count;
        peer.received.bytes += bytes;
        if peer.mapped || run.headers {
            return self.publish_with_care(conn, run, out);
        }
        self.publish_here(conn, run, out)
    }

    /// The connection publishes on this subject next: what is known of it begins to come nearer while something else is
    /// done (measured: `perf/`, `mix`).
    #[inline(always)]
    pub fn foresee(&self, conn: ConnId, subject: &[u8], out: &impl Outlet) -> Option<Foreseen> {
        let account = self.peers[conn as usize].as_ref()?.account;
        Some(
            self.cache
                .as_ref()?
                .foresee(Space::of(account), subject, out),
        )
    }

    /// The second step of [`Broker::foresee`], when the first has had its time.
    #[inline(always)]
    pub fn fetch(&self, foreseen: &Foreseen, out: &impl Outlet) {
        if let Some(cache) = &self.cache {
            cache.fetch(foreseen, out);
        }
    }

    /// Publishes a run that may ask for a trace, or whose subject may be mapped.
    fn publish_with_care(
        &mut self,
        conn: ConnId,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) -> Result<(), Refusal> {
        let account = self.peer(conn).account;
        let by_parent = || self.table.account(account).trace.is_some();
        let asks = run.headers && may_ask(run, by_parent);
        if !asks && !self.peer(conn).mapped {
            return self.publish_here(conn, run, out);
        }
        // Each of them may go elsewhere, and be refused there.
        if run.messages.len() > 1 {
            let peer = self.peer(conn);
            peer.received.messages -= run.messages.len() as u64;
            peer.received.bytes -= run.body_bytes();
            return Err(Refusal::OneByOne);
        }
        match asks {
            true => self.publish_asking(conn, run, out),
            false => self.publish_unasked(conn, run, out),
        }
    }

    /// Publishes a run of one message, which asks for no trace, on what the account's mappings make of its subject.
    pub(super) fn publish_unasked(
        &mut self,
        conn: ConnId,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) -> Result<(), Refusal> {
        let account = self.peer(conn).account;
        let Some(mapped) = self.mapped(account, run.subject) else {
            return self.publish_here(conn, run, out);
        };
        let there = Run {
            subject: &mapped,
            ..*run
        };
        self.publish_here(conn, &there, out)
            .map_err(|refusal| match refusal {
                Refusal::Subject => Refusal::Mapped(mapped.as_slice().into()),
                other => other,
            })
    }

    /// What the mappings of an account make of a subject; `None` leaves it as it is.
    pub(super) fn mapped(&mut self, account: AccountId, subject: &[u8]) -> Option<Vec<u8>> {
        if !self.table.account(account).has_mappings() {
            return None;
        }
        let (chance, random) = (self.random_below(100), self.random_below(u32::MAX));
        let mapping = self.table.account(account).mapping(subject)?;
        let mut mapped = Vec::new();
        match mapping.fate(chance as u8) {
            Fate::Goes(way) => way.apply(subject, random, &mut mapped),
            // The empty subject, which reaches nobody.
            Fate::Lost => {}
            Fate::Stays => return None,
        }
        Some(mapped)
    }

    /// Publishes a run on its subject.
    #[inline(always)]
    fn publish_here(
        &mut self,
        conn: ConnId,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) -> Result<(), Refusal> {
        let (account, origin, no_responders) = self.may_publish(conn, run)?;
        if asks_for_user(run.subject) && self.table.system.is_some() {
            self.publish_asking_for_user(conn, account, origin, run, out);
            return Ok(());
        }
        if is_answer(run.subject) {
            self.publish_answers(conn, account, origin, run, out);
            return Ok(());
        }
        let space = Space::of(account);
        match self.route(space, origin, run, None, out) {
            Some(true) => {}
            Some(false) if no_responders => self.tell_no_responders(conn, account, run),
            Some(false) => {}
            None => {
                for at in 0..run.messages.len() {
                    let one = run.only(at..at + 1);
                    let delivered = self.route(space, origin, &one, None, out);
                    if delivered == Some(false) && no_responders {
                        self.tell_no_responders(conn, account, &one);
                    }
                }
            }
        }
        Ok(())
    }

    /// Publishes a run on a subject for answers. Hardly ever does anybody else listen there, and no subject is asked for
    /// twice: it is not looked up in the cache before that is known.
    #[inline(never)]
    fn publish_answers(
        &mut self,
        conn: ConnId,
        account: AccountId,
        origin: Origin,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) {
        if !self.concerns_anybody(account, run.subject) {
            self.pass_answers(account, origin, run, None, out);
            return self.tell_no_responders_to_answer(conn, account, run, false);
        }
        let space = Space::of(account);
        if let Some(delivered) = self.route(space, origin, run, None, out) {
            self.pass_answers(account, origin, run, None, out);
            return self.tell_no_responders_to_answer(conn, account, run, delivered);
        }
        for at in 0..run.messages.len() {
            let one = run.only(at..at + 1);
            let delivered = self.route(space, origin, &one, None, out) == Some(true);
            self.pass_answers(account, origin, &one, None, out);
            self.tell_no_responders_to_answer(conn, account, &one, delivered);
        }
    }

    /// Whether a pattern of any kind matches a subject that is published in an account.
    fn concerns_anybody(&self, account: AccountId, subject: &[u8]) -> bool {
        let mut found = false;
        self.accounts[account.0 as usize].matches(subject, |_| found = true);
        let table = self.table.account(account);
        table.streams(subject, |_| found = true);
        table.services(subject, false, |_| found = true);
        found
    }

    /// Whether a connection may publish a run; says +OK if it wants to hear it. Gives its account, its name, and whether
    /// it wants to hear of no responders.
    #[inline(always)]
    pub(super) fn may_publish(
        &mut self,
        conn: ConnId,
        run: &Run<'_>,
    ) -> Result<(AccountId, Origin, bool), Refusal> {
        let peer = self.peers[conn as usize]
            .as_mut()
            .expect("an open connection");
        if subject_is_reserved(run.subject, false)
            && subject_is_reserved(run.subject, self.table.system == Some(peer.account))
        {
            return Err(Refusal::Subject);
        }
        if let Some(permissions) = &peer.permissions
            && !permissions.publish(run.subject).is_allowed()
            && !peer
                .responses
                .as_mut()
                .is_some_and(|tracker| tracker.allows(run.subject, self.now_ms))
        {
            return Err(Refusal::Subject);
        }
        if reply_is_reserved(run.reply(&run.messages[0])) {
            return Err(Refusal::Reply);
        }
        let found = (peer.account, peer.origin, peer.no_responders);
        if peer.verbose {
            if let Some(traced) = &peer.traced {
                traced.said_ok();
            }
            self.push(conn, b"+OK\r\n");
        }
        Ok(found)
    }

    /// Match, deliver here, forward there, ask other accounts. `asker` is who asked them first, where that is not the
    /// publisher of the run. Tells whether anybody got the run; `None`, and nothing is done, where a
    /// subscription may end in the middle of it, or other accounts are asked: then its messages must be taken one by one.
    #[inline]
    pub(super) fn route(
        &mut self,
        space: Space,
        origin: Origin,
        run: &Run<'_>,
        asker: Option<&Asker<'_>>,
        out: &mut impl Outlet,
    ) -> Option<bool> {
        let mut cache = self.take_cache();
        let generation = self.accounts[space.account.0 as usize].generation;
        let found = cache.answer(space, run.subject, generation, |found| {
            self.find_targets(space, run.subject, found);
        });
        if found.solo {
            let target = &found.plain[0];
            let delivered = self.deliver_to(found, target, run, run.body_bytes(), origin, out);
            self.put_cache(cache);
            self.end_expired();
            return Some(delivered);
        }
        if found.counted && run.messages.len() > 1 {
            self.put_cache(cache);
            return None;
        }
        let mut delivered = self.deliver(found, run, origin, out);
        if found.remote_plain != 0 {
            self.forward_plain(found, origin, run, !delivered);
            delivered = true;
        }
        let calls = (!found.calls.is_empty()).then(|| found.calls.clone());
        self.put_cache(cache);
        self.end_expired();
        if let Some(calls) = calls {
            let alone = !delivered && calls.len() == 1;
            delivered |= self.call(&calls, space.account, origin, run, asker, alone, out);
        }
        Some(delivered)
    }

    /// Asks every service that takes the subject. Whether anybody was asked. `alone` is whether nobody else was.
    #[cold]
    #[allow(clippy::too_many_arguments)]
    fn call(
        &mut self,
        calls: &[Arc<Call>],
        from: AccountId,
        origin: Origin,
        run: &Run<'_>,
        asker: Option<&Asker<'_>>,
        alone: bool,
        out: &mut impl Outlet,
    ) -> bool {
        let mut asked = false;
        for call in calls {
            let request = Request {
                call,
                from,
                origin,
                run,
                asker,
                alone,
            };
            asked |= self.request(&request, None, out);
        }
        asked
    }

    /// Who gets a subject: asks every pattern that matches. The cache keeps the answer.
    #[cold]
    pub(super) fn find_targets(&self, space: Space, subject: &[u8], found: &mut Match) {
        let generation = self.accounts[space.account.0 as usize].generation;
        found.reset(space, subject, generation);
        self.find_in_account(space.account, subject, None, found);
        let table = self.table.account(space.account);
        if !space.across {
            table.streams(subject, |hop| match &hop.transform {
                None => self.find_in_account(hop.to, subject, None, found),
                Some(transform) => {
                    let mut seen = Vec::new();
                    transform.apply(subject, 0, &mut seen);
                    self.find_in_account(hop.to, &seen, Some(&seen), found);
                }
            });
        }
        table.services(subject, space.across, |hop| {
            found.calls.push(Arc::new(Call::new(hop, subject)))
        });
        found.finish();
    }

    /// Who gets a subject in one account. `seen` is the subject, where it is not that of the answer.
    fn find_in_account(
        &self,
        account: AccountId,
        subject: &[u8],
        seen: Option<&[u8]>,
        found: &mut Match,
    ) {
        let interest = &self.accounts[account.0 as usize];
        interest.matches(subject, |pattern| {
            found.remote_plain |= interest.remote_plain(pattern);
            for (id, sub) in interest.local(pattern, &self.subs) {
                let peer = self.peers[sub.conn as usize]
                    .as_ref()
                    .expect("a subscription's connection is open");
                let queue = (sub.queue != NONE).then(|| interest.queue_name(sub.queue));
                if sub.filtered
                    && peer
                        .permissions
                        .as_ref()
                        .is_some_and(|p| !p.delivers(subject, queue))
                {
                    continue;
                }
                let careful = sub.limited || peer.responses.is_some() || peer.traced.is_some();
                found.counted |= sub.limited;
                let target =
                    found.target(seen, sub.conn, id, sub.sid.bytes(), peer.headers, careful);
                match queue {
                    None => found.plain.push(target),
                    Some(name) => group_of(&mut found.groups, name).local.push(target),
                }
            }
            for count in interest
                .groups(pattern)
                .iter()
                .filter(|count| !count.remote.is_empty())
            {
                let group = group_of(&mut found.groups, interest.queue_name(count.queue));
                for (shard, members) in &count.remote {
                    match group.remote.iter_mut().find(|(known, _)| known == shard) {
                        Some(known) => known.1 += members,
                        None => group.remote.push((*shard, *members)),
                    }
                }
            }
        });
    }
}

fn group_of<'g>(groups: &'g mut Vec<Group>, name: &[u8]) -> &'g mut Group {
    let at = groups
        .iter()
        .position(|group| *group.name == *name)
        .unwrap_or_else(|| {
            groups.push(Group {
                name: name.into(),
                local: Vec::<Target>::new(),
                remote: Vec::new(),
            });
            groups.len() - 1
        });
    &mut groups[at]
}

//! Requests to services of other accounts, and the way of their answers back. Never decides who may ask: the compiled
//! tables do; what waits for answers is in [`answers`](super::answers).
//!
//! A request gets a reply subject of its own in the service's account. What is published there goes to the
//! requestor's reply, in the requestor's account, through the shard that took the request.

use std::borrow::Cow;
use std::sync::Arc;

use crate::account::table::{ExportId, HOPS_MAX};
use crate::account::{AccountId, Space};

use super::Broker;
use super::answers::{AnswerSubject, End, Original, Waiting, is_answer, is_named, shard_of};
use super::deadlines::Place;
use super::effect::{Origin, Outlet, Record};
use super::events::NOBODY;
use super::headers;
use super::matching::Call;
use super::run::Run;
use super::spell::{Spelling, spell_in};
use super::trace::{DISABLED, HEADER_DESTINATION, Trace, Tracing};
use super::who::{Detail, Who};

const INFO: &[u8] = b"Nats-Request-Info: ";

/// Who asked first, and through which account the request came last.
#[derive(Clone, Debug)]
pub(super) struct Asker<'a> {
    account: AccountId,
    through: AccountId,
    /// Its client, if it is one.
    who: Option<Arc<Who>>,
    /// The first import shares who asks.
    shared: bool,
    /// A later one does: it can tell only of the server.
    shared_later: bool,
    /// What comes is an answer: it has come through no account yet.
    answers: bool,
    /// How many imports it has passed.
    hops: u32,
    /// What it asked; unknown where somebody else could take it as well.
    original: Option<Arc<Original>>,
    /// The export it passed last, and what was true of it before.
    export: ExportId,
    before: Option<&'a Asker<'a>>,
}

impl Asker<'_> {
    /// Whether it has passed an export. The oracle stops it there, which is what ends a chain that turns around.
    fn has_passed(&self, export: ExportId) -> bool {
        let mut asker = Some(self);
        while let Some(at) = asker {
            if at.export == export {
                return true;
            }
            asker = at.before;
        }
        false
    }
}

/// The client that answers.
#[derive(Clone, Debug)]
pub(super) struct Responder {
    pub(super) account: AccountId,
    pub(super) who: Option<Arc<Who>>,
}

/// A request on its way through one import.
pub(super) struct Request<'a> {
    pub(super) call: &'a Call,
    /// Who imports.
    pub(super) from: AccountId,
    pub(super) origin: Origin,
    /// One message.
    pub(super) run: &'a Run<'a>,
    /// Who asked first, where that is not the publisher of the run.
    pub(super) asker: Option<&'a Asker<'a>>,
    /// Nobody else has got it, nor is asked.
    pub(super) alone: bool,
}

impl Broker {
    /// Makes a request of one message to a service of another account. Whether anybody there, or further on, got it.
    /// `trace` notes its way.
    pub(super) fn request(
        &mut self,
        request: &Request<'_>,
        mut trace: Option<&mut Trace>,
        out: &mut impl Outlet,
    ) -> bool {
        let Request {
            call, origin, run, ..
        } = *request;
        // The oracle passes an answer on to a service that is imported by name alone: by a wildcard it would come back as
        // a request to the account that gave it, wherever everything is imported.
        if call.open && request.asker.is_some_and(|asker| asker.answers) {
            return false;
        }
        let passed = |asker: &Asker<'_>| asker.has_passed(call.export);
        if request.asker.is_some_and(passed) {
            return false;
        }
        let asker = self.asker(request);
        if asker.hops > HOPS_MAX {
            return false;
        }
        let reply = self.expect_answer(request, &asker);
        let mapped = self.mapped(call.account, &call.subject);
        let subject = mapped.as_deref().unwrap_or(&call.subject);
        let message = &run.messages[0];
        let block = &run.body(message)[..message.header_len as usize];
        let reply_bytes = reply.as_deref().unwrap_or_default();
        let mut spelling = Spelling::new(std::mem::take(&mut self.spelled), reply_bytes);
        let header = spelling.header();
        let (mut blocked, mut only) = (false, false);
        match &mut trace {
            None => headers::without(block, &[INFO], header),
            Some(noted) => {
                only = noted.tracing.only;
                let account = self.table.account(call.account).name.clone();
                let at = self.rfc3339_now();
                noted.service_import(at, &account, run.subject, subject);
                headers::without(block, &[INFO, HEADER_DESTINATION], header);
            }
        }
        header.extend_from_slice(INFO);
        header.extend_from_slice(self.describe(&asker));
        header.extend_from_slice(b"\r\n");
        if trace.is_some() {
            header.extend_from_slice(HEADER_DESTINATION);
            header.push(b' ');
            match call.allow_trace {
                // Where traces of those behind would go; there are none behind this node.
                true => header.extend_from_slice(&self.answers.subject(call.account, false)),
                false => {
                    header.extend_from_slice(DISABLED);
                    blocked = only;
                    trace = None;
                }
            }
            header.extend_from_slice(b"\r\n");
        }
        header.extend_from_slice(b"\r\n");
        let (bytes, message) = spelling.end(reply_bytes.len(), run.payload_crlf(message));
        let there = Run {
            bytes: &bytes,
            subject,
            headers: true,
            messages: &[message],
        };
        let space = Space::across(call.account);
        let asked = match trace {
            _ if blocked => false,
            Some(trace) => self.route_traced(space, origin, &there, Some(&asker), trace, out),
            None => self.route(space, origin, &there, Some(&asker), out) == Some(true),
        };
        self.spelled = bytes;
        match reply {
            Some(reply) if !asked => drop(self.answers.remove(&reply, End::Nobody)),
            Some(reply) if only => drop(self.answers.remove(&reply, End::Done)),
            _ => {}
        }
        asked
    }

    fn asker<'a>(&self, request: &Request<'a>) -> Asker<'a> {
        let Request {
            call,
            from,
            origin,
            run,
            asker,
            alone,
        } = *request;
        let reply = run.reply(&run.messages[0]);
        let original = match asker {
            _ if !alone || self.place.count == 1 || reply.is_empty() => None,
            Some(asker) => asker.original.clone(),
            None => Some(Arc::new(Original {
                account: from,
                subject: run.subject.into(),
                reply: reply.into(),
            })),
        };
        match asker {
            None => Asker {
                account: from,
                through: from,
                who: self.who(origin),
                shared: call.share,
                shared_later: false,
                answers: false,
                hops: 1,
                original,
                export: call.export,
                before: None,
            },
            Some(asker) => Asker {
                through: if asker.answers { asker.account } else { from },
                shared_later: asker.shared_later || call.share,
                answers: false,
                hops: asker.hops + 1,
                original,
                export: call.export,
                before: Some(asker),
                ..asker.clone()
            },
        }
    }

    /// Waits for answers to a request that has a reply. Gives the subject they are to be published on.
    fn expect_answer(&mut self, request: &Request<'_>, asker: &Asker<'_>) -> Option<AnswerSubject> {
        let Request {
            call, from, run, ..
        } = *request;
        let message = &run.messages[0];
        let by_broker = request.origin.conn == NOBODY;
        let latency = call.latency.as_ref().filter(|_| !by_broker);
        let measured = latency.and_then(|latency| {
            let asks = (asker.account, asker.who.clone());
            let block = &run.body(message)[..message.header_len as usize];
            self.measure(latency, call.account, asks, call.share, block)
        });
        if message.reply_len == 0 {
            if let Some(measured) = measured {
                self.tell_bad_request(&measured);
            }
            return None;
        }
        let reply = run.reply(message);
        let named = measured.is_some() || self.answer_is_named(from, reply);
        let waiting = Waiting {
            service: call.account,
            export: call.export,
            requestor: from,
            reply: reply.into(),
            many: call.many_answers,
            threshold_ms: call.threshold_ms,
            measured,
            original: asker.original.clone(),
            subject: AnswerSubject::default(),
            place: Place::default(),
            fresh_at: None,
        };
        Some(self.answers.add(waiting, named))
    }

    /// Whether it matters who answers there: the answer goes on to a service, or to a measured request.
    fn answer_is_named(&self, requestor: AccountId, reply: &[u8]) -> bool {
        if is_answer(reply) {
            return is_named(reply);
        }
        let table = self.table.account(requestor);
        let mut named = table.has_mappings();
        table.services(reply, false, |_| named = true);
        named
    }

    /// The client of this shard that published.
    fn who(&self, origin: Origin) -> Option<Arc<Who>> {
        if origin.shard != self.place.index {
            return None;
        }
        let peer = self.find_peer(origin.conn);
        peer.filter(|peer| peer.origin == origin)?.who.clone()
    }

    /// What a service is told of who asks.
    fn describe(&mut self, asker: &Asker<'_>) -> &[u8] {
        let detail = match asker {
            Asker { shared: true, .. } => Detail::Full,
            Asker {
                shared_later: true, ..
            } => Detail::Server,
            _ => Detail::Little,
        };
        let through = (asker.hops > 1).then_some(asker.through);
        let table = &self.table;
        let name = |account| &*table.account(account).name;
        self.introductions
            .of(asker.who.as_ref(), asker.account, through, detail, name)
    }

    /// A client published on a subject for answers: takes each to the shard that knows whose they are. `trace` notes its
    /// way; it is one message then.
    pub(super) fn pass_answers(
        &mut self,
        account: AccountId,
        origin: Origin,
        run: &Run<'_>,
        trace: Option<&mut Trace>,
        out: &mut impl Outlet,
    ) {
        let Some(shard) = shard_of(run.subject) else {
            return;
        };
        if shard == usize::from(self.place.index) {
            let who = self.who(origin);
            let responder = Responder { account, who };
            let mut trace = trace;
            for at in 0..run.messages.len() {
                let one = run.only(at..at + 1);
                self.answer(
                    account,
                    origin,
                    &responder,
                    &one,
                    None,
                    trace.as_deref_mut(),
                    out,
                );
            }
        } else if shard < usize::from(self.place.count) {
            let who = is_named(run.subject).then(|| self.who(origin)).flatten();
            let tracing = trace.map(Trace::passed_on);
            let batch = &mut self.batches[shard];
            let subject = batch.put(run.subject);
            let first = batch.put_messages(run);
            let who = who.map(|who| batch.put_who(&who));
            batch.records.push(Record::Answer {
                account,
                origin,
                who,
                tracing,
                subject,
                headers: run.headers,
                first,
                count: run.messages.len() as u32,
            });
        }
    }

    /// An answer that was traced on another shard comes in.
    pub(super) fn answer_traced(
        &mut self,
        origin: Origin,
        responder: &Responder,
        run: &Run<'_>,
        tracing: Tracing,
        out: &mut impl Outlet,
    ) {
        let mut trace = Trace::part(tracing);
        let account = responder.account;
        self.answer(account, origin, responder, run, None, Some(&mut trace), out);
        self.report(trace);
    }

    /// Takes one answer to the requestor's account. `before` is what it has passed already.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer(
        &mut self,
        account: AccountId,
        origin: Origin,
        responder: &Responder,
        run: &Run<'_>,
        before: Option<&Asker<'_>>,
        trace: Option<&mut Trace>,
        out: &mut impl Outlet,
    ) {
        let Some(waiting) = self.answers.get_mut(run.subject) else {
            return;
        };
        let export = waiting.export;
        if waiting.service != account || before.is_some_and(|asker| asker.has_passed(export)) {
            return;
        }
        let (requestor, reply, many) = (waiting.requestor, waiting.reply.clone(), waiting.many);
        let (threshold_ms, measured) = (waiting.threshold_ms, waiting.measured.take());
        if let Some(measured) = measured {
            self.tell_answered(&measured, responder);
        }
        let message = &run.messages[0];
        let ends = message.body_len() == 0 && !run.headers;
        // An answer that asks back is a request the other way round.
        let back = (message.reply_len > 0).then(|| {
            let waiting = Waiting {
                service: requestor,
                export,
                requestor: account,
                reply: run.reply(message).into(),
                many,
                threshold_ms,
                measured: None,
                original: None,
                subject: AnswerSubject::default(),
                place: Place::default(),
                fresh_at: None,
            };
            let named = self.answer_is_named(account, run.reply(message));
            self.answers.add(waiting, named)
        });
        let mapped = self.mapped(requestor, &reply);
        let subject = mapped.as_deref().unwrap_or(&reply);
        let block = &run.body(message)[..message.header_len as usize];
        let mut header = Cow::Borrowed(block);
        let mut only = false;
        if let Some(trace) = trace {
            let name = self.table.account(requestor).name.clone();
            let at = self.rfc3339_now();
            trace.service_import(at, &name, run.subject, subject);
            only = trace.tracing.only;
            header = with_destination(block, DISABLED).into();
        }
        // Most answers go on as they came.
        let spelled = match (&back, &header) {
            (None, Cow::Borrowed(_)) => None,
            _ => Some(spell_in(
                std::mem::take(&mut self.spelled),
                back.as_deref().unwrap_or_default(),
                &header,
                run.payload_crlf(message),
            )),
        };
        let (bytes, message) = match &spelled {
            None => (run.bytes, *message),
            Some((bytes, message)) => (&bytes[..], *message),
        };
        let there = Run {
            bytes,
            subject,
            headers: run.headers,
            messages: &[message],
        };
        let space = Space::across(requestor);
        let asker = Asker {
            account: responder.account,
            through: responder.account,
            who: responder.who.clone(),
            shared: false,
            shared_later: false,
            answers: true,
            hops: 0,
            original: None,
            export,
            before,
        };
        let mut delivered =
            !only && self.route(space, origin, &there, Some(&asker), out) == Some(true);
        if !only && is_answer(&reply) && self.answers.contains(&reply) {
            let further = Run {
                subject: &reply,
                ..there
            };
            self.answer(
                requestor,
                origin,
                responder,
                &further,
                Some(&asker),
                None,
                out,
            );
            delivered = true;
        }
        if let Some((memory, _)) = spelled {
            self.spelled = memory;
        }
        if !many || !delivered || ends {
            self.answers.remove(run.subject, End::Done);
        } else {
            self.answers.wait_on(run.subject);
        }
    }

    /// Another shard says that its interest took nothing of what only it could take. `reply` is that of the message.
    pub(super) fn untaken(
        &mut self,
        origin: Origin,
        account: AccountId,
        subject: &[u8],
        reply: &[u8],
    ) {
        if !is_answer(reply) {
            return self.tell_no_responder(origin, account, subject, reply);
        }
        let Some(waiting) = self.answers.remove(reply, End::Nobody) else {
            return;
        };
        let Some(original) = waiting.original else {
            return;
        };
        // Those who asked on the way had nobody else to ask.
        let mut next = waiting.reply;
        while let Some(waiting) = self.answers.remove(&next, End::Nobody) {
            next = waiting.reply;
        }
        let Original {
            account,
            subject,
            reply,
        } = &*original;
        self.tell_no_responder(origin, *account, subject, reply);
    }
}

/// A block of headers with `Nats-Trace-Dest` set.
pub(super) fn with_destination(block: &[u8], destination: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    headers::without(block, &[HEADER_DESTINATION], &mut header);
    header.extend_from_slice(HEADER_DESTINATION);
    header.push(b' ');
    header.extend_from_slice(destination);
    header.extend_from_slice(b"\r\n\r\n");
    header
}

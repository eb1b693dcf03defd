//! Traces of messages: which message asks for one, what is noted of its way, and the event that tells it (ADR-41).
//! Routes nothing: `traced` does.
//!
//! The shard that a message comes in on keeps its trace. Other shards note what happens on theirs and report it; when
//! all have, the event is published, so that there is one for the whole node as there is for one server.

use hashbrown::HashMap;
use memchr::memmem;
use serde::Serialize;

use crate::account::AccountId;
use crate::proto::encode;
use crate::subject::{has_wildcard, is_pattern};

use super::Broker;
use super::effect::{ConnId, Record};
use super::headers::{self, Headers, lines};
use super::latency::traceparent_samples;
use super::run::{Message, Run};

/// The header that names where a trace goes, with its colon.
pub(super) const HEADER_DESTINATION: &[u8] = b"Nats-Trace-Dest:";

const DESTINATION: &str = "Nats-Trace-Dest";
const ONLY: &str = "Nats-Trace-Only";
const ORIGIN_ACCOUNT: &str = "Nats-Trace-Origin-Account";

/// What it says where a trace must not go on.
pub(super) const DISABLED: &[u8] = b"trace disabled";

/// What shards must know of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// The shard that keeps it,
    shard: u8,
    /// and its number there.
    id: u32,
    /// Nothing is delivered.
    pub(super) only: bool,
    /// Where the message came in.
    pub(super) account: AccountId,
}

/// The notes of one shard about one message.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) tracing: Tracing,
    /// Events, JSON, with commas between.
    events: Vec<u8>,
    /// Reports of other shards that must still come.
    awaiting: u32,
    /// What it is of, on the shard that keeps it.
    message: Option<Box<Traced>>,
}

/// The message that is traced.
#[derive(Debug)]
struct Traced {
    /// Where the event goes.
    destination: Vec<u8>,
    headers: Headers,
    size: usize,
    ingress: Ingress,
}

/// Traces that wait for the reports of other shards.
#[derive(Debug, Default)]
pub(super) struct Traces {
    count: u32,
    open: HashMap<u32, Trace>,
}

/// What the headers of a message ask for.
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// A trace.
    Trace(Trace),
    /// A trace that cannot be: the message is dropped.
    Drop,
    /// A trace that goes where the client may not publish: the message is dropped.
    Denied(Box<[u8]>),
    /// That nobody on the way makes a trace of it.
    Disable,
}

#[derive(Debug, Serialize)]
struct Ingress {
    r#type: &'static str,
    ts: String,
    kind: u8,
    cid: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    acc: String,
    subj: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Mapping<'a> {
    r#type: &'static str,
    ts: String,
    to: &'a str,
}

#[derive(Serialize)]
struct StreamExport<'a> {
    r#type: &'static str,
    ts: String,
    acc: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct ServiceImport<'a> {
    r#type: &'static str,
    ts: String,
    acc: &'a str,
    from: &'a str,
    to: &'a str,
}

/// A subscription that the message reached, or did not.
#[derive(Serialize)]
pub(super) struct Egress<'a> {
    pub(super) r#type: &'static str,
    pub(super) ts: String,
    pub(super) kind: u8,
    pub(super) cid: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) name: &'a str,
    /// Where that is not the account of the ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acc: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) sub: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) queue: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'static str>,
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Headers::is_empty")]
    header: &'a Headers,
    msgsize: usize,
}

impl Trace {
    /// The notes of a shard that does not keep the trace.
    pub(super) fn part(tracing: Tracing) -> Self {
        Trace {
            tracing,
            events: Vec::new(),
            awaiting: 0,
            message: None,
        }
    }

    /// Another shard goes on with it, and will report.
    pub(super) fn passed_on(&mut self) -> Tracing {
        self.awaiting += 1;
        self.tracing
    }

    /// Its publisher was refused.
    pub(super) fn refused(&mut self, error: String) {
        if let Some(message) = &mut self.message {
            message.ingress.error = Some(error);
        }
    }

    /// The account's mappings made another subject of it.
    pub(super) fn mapping(&mut self, ts: String, to: &[u8]) {
        self.add(&Mapping {
            r#type: "sm",
            ts,
            to: &String::from_utf8_lossy(to),
        });
    }

    /// A subscriber of another account sees it.
    pub(super) fn stream_export(&mut self, ts: String, account: &str, to: &[u8]) {
        self.add(&StreamExport {
            r#type: "se",
            ts,
            acc: account,
            to: &String::from_utf8_lossy(to),
        });
    }

    /// It goes to a service of another account.
    pub(super) fn service_import(&mut self, ts: String, account: &str, from: &[u8], to: &[u8]) {
        self.add(&ServiceImport {
            r#type: "si",
            ts,
            acc: account,
            from: &String::from_utf8_lossy(from),
            to: &String::from_utf8_lossy(to),
        });
    }

    pub(super) fn egress(&mut self, egress: &Egress<'_>) {
        self.add(egress);
    }

    fn add(&mut self, event: &impl Serialize) {
        if !self.events.is_empty() {
            self.events.push(b',');
        }
        encode::json(event, &mut self.events);
    }

    fn add_all(&mut self, events: &[u8]) {
        if !self.events.is_empty() && !events.is_empty() {
            self.events.push(b',');
        }
        self.events.extend_from_slice(events);
    }
}

/// Whether a message of the run may ask for a trace. `by_parent` is whether its account takes `traceparent` for asking.
#[inline]
pub(super) fn may_ask(run: &Run<'_>, by_parent: impl Fn() -> bool) -> bool {
    let block = |message: &Message| &run.body(message)[..message.header_len as usize];
    let mut blocks = run.messages.iter().map(block);
    by_parent() || blocks.any(|block| memmem::find(block, HEADER_DESTINATION).is_some())
}

impl Broker {
    /// What the headers of a message ask for. `peer` has published it, or would have but for `error`.
    pub(super) fn trace_asked(
        &mut self,
        conn: ConnId,
        subject: &[u8],
        block: &[u8],
        size: usize,
    ) -> Asked {
        let account = self.peer(conn).account;
        let table = self.table.clone();
        let by_parent = table.account(account).trace.as_ref();
        let named = lines(block).find(|(name, _)| *name == DESTINATION.as_bytes());
        let headers = headers::written(block);
        let says = |name: &str| headers.get(name).map(|values| &*values[0]);
        let only =
            says(ONLY).is_some_and(|value| matches!(&*value.to_lowercase(), "1" | "true" | "on"));
        let (destination, only) = match named {
            Some((_, DISABLED)) => return Asked::Nothing,
            Some((_, destination)) => (destination, only),
            None => match by_parent.filter(|_| asks_by_parent(block)) {
                None => return Asked::Nothing,
                Some(trace) => (trace.subject.as_bytes(), false),
            },
        };
        if let Some(value) = says(ORIGIN_ACCOUNT).filter(|_| named.is_some()) {
            log::error!(
                "Message tracing disabled because of header {ORIGIN_ACCOUNT:?} with value={value:?}"
            );
            return if only { Asked::Drop } else { Asked::Disable };
        }
        if let (None, Some(trace)) = (named, by_parent)
            && self.random_below(100) >= u32::from(trace.percent)
        {
            return Asked::Disable;
        }
        if !is_pattern(destination) || has_wildcard(destination) {
            let destination = String::from_utf8_lossy(destination);
            log::error!("Destination {destination:?} is not valid, won't be able to trace events");
            return if only { Asked::Drop } else { Asked::Nothing };
        }
        if !self.may_trace_to(conn, destination) {
            return Asked::Denied(destination.into());
        }
        let destination = destination.to_vec();
        Asked::Trace(self.begin_trace(conn, subject, destination, only, headers, size))
    }

    fn may_trace_to(&mut self, conn: ConnId, destination: &[u8]) -> bool {
        let system = self.is_system(conn);
        let permissions = &self.peer(conn).permissions;
        !crate::auth::permission::subject_is_reserved(destination, system)
            && permissions
                .as_ref()
                .is_none_or(|permissions| permissions.publish(destination).is_allowed())
    }

    fn begin_trace(
        &mut self,
        conn: ConnId,
        subject: &[u8],
        destination: Vec<u8>,
        only: bool,
        headers: Headers,
        size: usize,
    ) -> Trace {
        self.traces.count = self.traces.count.wrapping_add(1);
        let peer = self.peer(conn);
        let (account, cid) = (peer.account, peer.client_id);
        let name = peer
            .who
            .as_ref()
            .map_or_else(String::new, |who| who.name.to_string());
        let ingress = Ingress {
            r#type: "in",
            ts: self.rfc3339_now(),
            kind: 0,
            cid,
            name,
            acc: self.table.account(account).name.to_string(),
            subj: String::from_utf8_lossy(subject).into_owned(),
            error: None,
        };
        let tracing = Tracing {
            shard: self.place.index,
            id: self.traces.count,
            only,
            account,
        };
        Trace {
            message: Some(Box::new(Traced {
                destination,
                headers,
                size,
                ingress,
            })),
            ..Trace::part(tracing)
        }
    }

    /// A message is refused before all of it has come: its trace, if its headers have come and ask for one, says so.
    /// `size` is that of the message.
    pub fn trace_refused(
        &mut self,
        conn: ConnId,
        subject: &[u8],
        block: &[u8],
        size: usize,
        error: &str,
    ) {
        if let Asked::Trace(mut trace) = self.trace_asked(conn, subject, block, size) {
            trace.refused(error.to_owned());
            self.end_trace(trace);
        }
    }

    /// This shard has done its part of a message whose trace it keeps.
    pub(super) fn end_trace(&mut self, trace: Trace) {
        if trace.awaiting == 0 {
            self.publish_trace(trace);
        } else {
            self.traces.open.insert(trace.tracing.id, trace);
        }
    }

    /// This shard has done its part of a message whose trace another one keeps.
    pub(super) fn report(&mut self, trace: Trace) {
        let Tracing { shard, id, .. } = trace.tracing;
        debug_assert!(trace.awaiting <= 1, "at most one goes on in its place");
        let batch = &mut self.batches[usize::from(shard)];
        let events = batch.put(&trace.events);
        batch.records.push(Record::Trace {
            id,
            events,
            last: trace.awaiting == 0,
        });
    }

    /// Another shard reports. It is the last report of its place unless a third one goes on.
    pub(super) fn reported(&mut self, id: u32, events: &[u8], last: bool) {
        let Some(trace) = self.traces.open.get_mut(&id) else {
            return;
        };
        trace.add_all(events);
        trace.awaiting -= u32::from(last);
        if trace.awaiting == 0
            && let Some(trace) = self.traces.open.remove(&id)
        {
            self.publish_trace(trace);
        }
    }

    fn publish_trace(&mut self, trace: Trace) {
        let (Some(message), Some(_)) = (trace.message, self.table.system) else {
            // Without a system account traces are taken and told nobody, as in the oracle.
            return;
        };
        self.events.count += 1;
        let server = self.server();
        let request = Request {
            header: &message.headers,
            msgsize: message.size,
        };
        let mut payload = b"{\"server\":".to_vec();
        encode::json(&server, &mut payload);
        payload.extend_from_slice(b",\"request\":");
        encode::json(&request, &mut payload);
        payload.extend_from_slice(b",\"events\":[");
        encode::json(&message.ingress, &mut payload);
        if !trace.events.is_empty() {
            payload.push(b',');
            payload.extend_from_slice(&trace.events);
        }
        payload.extend_from_slice(b"]}");
        let account = trace.tracing.account;
        // Whoever takes it packed hears that it is not.
        let headers: &[u8] = match message.headers.contains_key("Accept-Encoding") {
            true => b"NATS/1.0\r\nContent-Encoding: identity\r\n\r\n",
            false => b"",
        };
        self.events
            .add_with(account, &message.destination, headers, payload);
    }
}

/// Whether there is a `traceparent`, in whatever case, that samples.
fn asks_by_parent(block: &[u8]) -> bool {
    lines(block).any(|(name, value)| {
        name.eq_ignore_ascii_case(b"traceparent")
            && std::str::from_utf8(value).is_ok_and(traceparent_samples)
    })
}

//! What the broker itself publishes in accounts: measurements of services and traces of messages. Owns what waits to be
//! published and the node's name in it; never decides that something is to be told.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::account::{AccountId, Space};
use crate::config::Labels;
use crate::proto::handshake::COMPATIBLE_VERSION;

use super::Broker;
use super::answers::random_digits;
use super::effect::{ConnId, Origin, Outlet};
use super::run::{Message, Run};

/// In place of a connection, where the broker itself publishes.
pub(super) const NOBODY: ConnId = ConnId::MAX;

/// Digits of an event's id.
const ID_LEN: usize = 22;

/// The node, as events name it.
#[derive(Clone, Debug, Default)]
pub struct NodeName {
    /// The server's name.
    pub name: Arc<str>,
    /// The host that it tells clients.
    pub host: Arc<str>,
    /// The identity of this run.
    pub id: Arc<str>,
    /// Unix time of the loop's start, ms.
    pub start_unix_ms: i64,
    /// What the operator says of it.
    pub labels: Arc<Labels>,
}

/// The node in events and answers, with the oracle's keys in its order.
#[derive(Debug, Serialize)]
pub struct Server<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
    ver: &'static str,
    #[serde(flatten)]
    labels: &'a Labels,
    jetstream: bool,
    flags: u64,
    seq: u64,
    time: String,
}

impl<'a> Server<'a> {
    /// Its name, address and identity, what the operator says of it, how many such texts there were before, and the time.
    pub fn new(
        [name, host, id]: [&'a str; 3],
        labels: &'a Labels,
        seq: u64,
        time: String,
    ) -> Server<'a> {
        Server {
            name,
            host,
            id,
            ver: COMPATIBLE_VERSION,
            labels,
            jetstream: false,
            flags: 0,
            seq,
            time,
        }
    }
}

/// One message of the broker.
#[derive(Debug)]
struct Event {
    account: AccountId,
    subject: Box<[u8]>,
    /// As they stand in the message; empty without headers.
    headers: &'static [u8],
    payload: Vec<u8>,
}

/// What is to be published.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) node: NodeName,
    /// Events so far.
    pub(super) count: u64,
    waiting: Vec<Event>,
}

impl Events {
    pub(super) fn add(&mut self, account: AccountId, subject: &[u8], payload: Vec<u8>) {
        self.add_with(account, subject, b"", payload);
    }

    pub(super) fn add_with(
        &mut self,
        account: AccountId,
        subject: &[u8],
        headers: &'static [u8],
        payload: Vec<u8>,
    ) {
        self.waiting.push(Event {
            account,
            subject: subject.into(),
            headers,
            payload,
        });
    }
}

impl Broker {
    /// Tells the core who it is part of, in what it publishes itself.
    pub fn introduce(&mut self, node: NodeName) {
        self.events.node = node;
    }

    /// What the operator says of the server has changed.
    pub fn set_labels(&mut self, labels: Arc<Labels>) {
        self.events.node.labels = labels;
    }

    /// The name of the server.
    pub fn node_name(&self) -> Arc<str> {
        self.events.node.name.clone()
    }

    /// Publishes what the broker has to say; once a turn.
    #[inline]
    pub fn publish_events(&mut self, out: &mut impl Outlet) {
        self.tell_failures();
        if !self.events.waiting.is_empty() {
            self.publish_waiting(out);
        }
    }

    #[cold]
    fn publish_waiting(&mut self, out: &mut impl Outlet) {
        let origin = Origin {
            shard: self.place.index,
            conn: NOBODY,
            generation: 0,
        };
        while !self.events.waiting.is_empty() {
            for event in std::mem::take(&mut self.events.waiting) {
                let header_len = event.headers.len();
                let len = header_len + event.payload.len();
                let sizes = match header_len {
                    0 => format!("{len}\r\n"),
                    _ => format!("{header_len} {len}\r\n"),
                };
                let bytes = [sizes.as_bytes(), event.headers, &event.payload, b"\r\n"].concat();
                let message = Message {
                    tail: 0,
                    reply_len: 0,
                    body: sizes.len() as u32,
                    header_len: header_len as u32,
                    end: bytes.len() as u32,
                };
                let run = Run {
                    bytes: &bytes,
                    subject: &event.subject,
                    headers: header_len > 0,
                    messages: &[message],
                };
                self.route(Space::of(event.account), origin, &run, None, out);
            }
            self.tell_failures();
        }
    }

    /// The node at this event: the last that was counted.
    pub(super) fn server(&self) -> Server<'_> {
        let shards = u64::from(self.place.count);
        let node = &self.events.node;
        let seq = self.events.count * shards + u64::from(self.place.index);
        let names = [&*node.name, &*node.host, &*node.id];
        Server::new(names, &node.labels, seq, self.rfc3339_now())
    }

    /// The time in ns from the loop's start.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// A time of the loop, RFC 3339.
    pub(super) fn rfc3339(&self, ns: i128) -> String {
        let ns = i128::from(self.events.node.start_unix_ms) * 1_000_000 + ns;
        Timestamp::from_nanosecond(ns).map_or_else(|_| String::new(), |at| at.to_string())
    }

    /// Now, RFC 3339.
    pub(super) fn rfc3339_now(&self) -> String {
        self.rfc3339(i128::from(self.now_ns))
    }

    /// An id for an event.
    pub(super) fn event_id(&mut self) -> String {
        self.events.count += 1;
        let mut id = [0; ID_LEN];
        random_digits(b"event", self.seed, self.place, self.events.count, &mut id);
        String::from_utf8_lossy(&id).into_owned()
    }
}

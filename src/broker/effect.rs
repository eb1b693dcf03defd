//! What the pure core asks of the loop around it, and what shards tell each other. Owns no queue and no socket.

use std::io::IoSlice;

use crate::account::{AccountId, Space};

use super::run::{Message, Run};
use super::trace::Tracing;
use super::who::Who;

/// A connection of this shard: its slot in the tables.
pub type ConnId = u32;

/// A connection anywhere on the node, for messages between shards; the generation tells a reused slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The shard that owns it.
    pub shard: u8,
    /// Its slot there.
    pub conn: ConnId,
    /// Its slot's generation there.
    pub generation: u32,
}

/// The way out in the middle of a turn.
pub trait Outlet {
    /// Sends bytes of this connection from where they are, as far as the socket takes them at once: returns how many.
    /// None of its chunks is in flight.
    fn send_now(&mut self, conn: ConnId, parts: &[IoSlice<'_>]) -> usize;

    /// The memory at this address will be read soon: a hint, for any address.
    #[inline(always)]
    fn prefetch(&self, _address: *const u8) {}
}

/// Why a connection is closed. The texts are the oracle's reasons in `connz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed, or its socket failed.
    ClientClosed,
    /// More bytes waiting than `max_pending`.
    SlowConsumerPendingBytes,
    /// A send took longer than `write_deadline`.
    SlowConsumerWriteDeadline,
    /// PINGs unanswered.
    StaleConnection,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// Credentials refused.
    AuthenticationFailure,
    /// Credentials that count by way of a trusted proxy only.
    ProxyRequired,
    /// Its credentials counted until now.
    AuthenticationExpired,
    /// Receiving failed: the client has reset the connection, or is gone.
    ReadError,
    /// Sending failed.
    WriteError,
    /// Bytes that make no sense, or what is not spoken here.
    ProtocolViolation,
    /// The client said `-ERR`.
    ParseError,
    /// Payload over `max_payload`.
    MaxPayloadExceeded,
    /// Control line over `max_control_line`.
    MaxControlLineExceeded,
    /// Over `max_connections`.
    MaxConnectionsExceeded,
    /// Over `max_connections` of the account.
    AccountConnectionsExceeded,
    /// No subscription is allowed, or fewer than there are.
    MaxSubscriptionsExceeded,
    /// CONNECT asked for an unknown protocol.
    BadClientProtocol,
    /// CONNECT asked for no-responders without headers.
    NoRespondersRequiresHeaders,
    /// No TLS where there must be, or none that can be agreed on.
    TlsHandshakeFailure,
    /// The broker stops.
    ServerShutdown,
}

impl CloseReason {
    /// The oracle's words.
    pub fn text(self) -> &'static str {
        match self {
            CloseReason::ClientClosed => "Client Closed",
            CloseReason::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            CloseReason::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            CloseReason::StaleConnection => "Stale Connection",
            CloseReason::AuthenticationTimeout => "Authentication Timeout",
            CloseReason::AuthenticationFailure => "Authentication Failure",
            CloseReason::ProxyRequired => "Proxy Required",
            CloseReason::AuthenticationExpired => "Authentication Expired",
            CloseReason::ReadError => "Read Error",
            CloseReason::WriteError => "Write Error",
            CloseReason::ProtocolViolation => "Protocol Violation",
            CloseReason::ParseError => "Parse Error",
            CloseReason::MaxPayloadExceeded => "Maximum Message Payload Exceeded",
            CloseReason::MaxControlLineExceeded => "Maximum Control Line Exceeded",
            CloseReason::MaxConnectionsExceeded => "Maximum Connections Exceeded",
            CloseReason::AccountConnectionsExceeded => "Maximum Account Connections Exceeded",
            CloseReason::MaxSubscriptionsExceeded => "Maximum Subscriptions Exceeded",
            CloseReason::BadClientProtocol => "Bad Client Protocol Version",
            CloseReason::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            CloseReason::TlsHandshakeFailure => "TLS Handshake Failure",
            CloseReason::ServerShutdown => "Server Shutdown",
        }
    }
}

/// What the loop must do after a call into the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Close this connection of this shard.
    Cut(ConnId, CloseReason),
    /// Slow the reading of this publisher down, until [`Effect::Release`]: a subscriber it feeds is far behind, and
    /// holds back so many publishers by now, this one included.
    Hold(Origin, u32),
    /// That subscriber has caught up: go on reading.
    Release(Origin),
}

/// A range of a batch's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// How many.
    pub len: u32,
}

/// Who on the receiving shard gets a forwarded run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every plain subscription.
    Plain,
    /// One member of this queue group; `tried` has a bit for each shard that was asked before.
    Queue {
        /// The group's name.
        name: Span,
        /// Shards that had no member left.
        tried: u64,
    },
}

/// One thing a shard tells another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Messages for the other shard's subscribers.
    Deliver {
        /// Where the subject is looked up.
        space: Space,
        /// Who published.
        origin: Origin,
        /// Who gets them.
        scope: Scope,
        /// Nobody else can take those with a reply: [`Record::Untaken`] tells if nobody does.
        last: bool,
        /// Their subject.
        subject: Span,
        /// Do they carry headers?
        headers: bool,
        /// First message in the batch's list.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Answers to a request that was made through the receiving shard; the subject is the one that it gave.
    Answer {
        /// Who answers: the service's account.
        account: AccountId,
        /// Whose connection.
        origin: Origin,
        /// Who that is, among [`Batch::whos`], where it matters.
        who: Option<u32>,
        /// It is one answer, and traced.
        tracing: Option<Tracing>,
        /// The subject of the answer.
        subject: Span,
        /// Do they carry headers?
        headers: bool,
        /// First message in the batch's list.
        first: u32,
        /// How many.
        count: u32,
    },
    /// A message whose trace is wanted.
    Traced {
        /// Where the subject is looked up.
        space: Space,
        /// Who published.
        origin: Origin,
        /// Who gets it.
        scope: Scope,
        /// Its subject.
        subject: Span,
        /// Does it carry headers?
        headers: bool,
        /// The message in the batch's list.
        first: u32,
        /// Who keeps the trace.
        tracing: Tracing,
    },
    /// What the sending shard notes of a message whose trace the receiving one keeps.
    Trace {
        /// Its number there.
        id: u32,
        /// The notes.
        events: Span,
        /// No other shard goes on in the sending one's place.
        last: bool,
    },
    /// A message that only the sending shard could take was not taken by anybody there.
    Untaken {
        /// Who published, on the receiving shard.
        origin: Origin,
        /// In which account.
        account: AccountId,
        /// The subject.
        subject: Span,
        /// The reply.
        reply: Span,
    },
    /// The sending shard now has this many local subscriptions on a pattern.
    Interest {
        /// Whose subject space.
        account: AccountId,
        /// The pattern.
        pattern: Span,
        /// The queue group; `None` is plain subscriptions.
        queue: Option<Span>,
        /// How many there are now.
        count: u32,
    },
    /// A publisher of the receiving shard feeds a subscriber that is far behind, which holds back so many by now.
    Hold(Origin, u32),
    /// It has caught up.
    Release(Origin),
}

/// Records for one shard, in order, with the bytes they speak of.
#[derive(Debug, Default)]
pub struct Batch {
    /// Bytes that spans and messages point into.
    pub bytes: Vec<u8>,
    /// Messages of the runs.
    pub messages: Vec<Message>,
    /// Clients that answer.
    pub whos: Vec<Who>,
    /// What to do, in order.
    pub records: Vec<Record>,
}

impl Batch {
    /// The bytes of a span.
    pub fn get(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..(span.start + span.len) as usize]
    }

    /// Keeps bytes and says where.
    pub fn put(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Span {
            start,
            len: bytes.len() as u32,
        }
    }

    /// Keeps a run's messages: one copy of the region they cover. Returns the first message's index.
    pub fn put_messages(&mut self, run: &Run<'_>) -> u32 {
        let first = self.messages.len() as u32;
        let (from, to) = (
            run.messages[0].tail,
            run.messages[run.messages.len() - 1].end,
        );
        let at = self.bytes.len() as u32;
        self.bytes
            .extend_from_slice(&run.bytes[from as usize..to as usize]);
        self.messages.extend(run.messages.iter().map(|m| Message {
            tail: m.tail - from + at,
            body: m.body - from + at,
            end: m.end - from + at,
            ..*m
        }));
        first
    }

    /// Keeps what is known of a client: a copy, so that shards share nothing.
    pub fn put_who(&mut self, who: &Who) -> u32 {
        self.whos.push(who.clone());
        self.whos.len() as u32 - 1
    }

    /// Nothing in it?
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Empties it; keeps the memory unless that is large.
    pub fn clear(&mut self) {
        const KEEP_BYTES: usize = 256 * 1024;
        const KEEP_MESSAGES: usize = 16 * 1024;
        const KEEP_RECORDS: usize = 4 * 1024;
        if self.bytes.capacity() > KEEP_BYTES
            || self.messages.capacity() > KEEP_MESSAGES
            || self.records.capacity() > KEEP_RECORDS
        {
            *self = Batch::default();
        }
        self.bytes.clear();
        self.messages.clear();
        self.whos.clear();
        self.records.clear();
    }
}

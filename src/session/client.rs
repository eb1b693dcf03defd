//! The session of a client connection: cuts its bytes into operations and carries them out. Owns the bytes
//! that are not enough yet; never touches a socket.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use memchr::memchr;

use crate::account::seats::Seat;
use crate::auth::permission::queue_is_reserved;
use crate::auth::{Identity, violation};
use crate::broker::Broker;
use crate::broker::effect::{CloseReason, ConnId};
use crate::proto::handshake::{self, ConnectOptions};
use crate::proto::parser::{self, Fault, Op, Step};
use crate::transport::PeerCertificate;

use super::heartbeat::Heartbeat;
use super::limits::ClientLimits;
use super::{Context, Flow, Port};

/// The number of connections that are no client's; those of clients count from 1.
const INTERNAL_ID: u64 = 0;

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Must authenticate before anything else.
    Stranger,
    /// Its credentials are being verified off the shard.
    Verifying,
    /// A service is asked about it.
    Asking,
    /// May do what its user may.
    Member,
}

/// A client connection.
///
/// Invariant: unless parked, `rest` is empty or the beginning of one operation.
#[derive(Debug)]
pub struct Client {
    pub(super) conn: ConnId,
    pub(super) phase: Phase,
    pub(super) connected: bool,
    /// The snapshot it was judged by last.
    pub(super) judged: u64,
    /// The snapshot under which a verdict was asked for last.
    pub(super) asked_under: u64,
    /// Which verdict it waits for: one with another number is on something that no longer matters.
    pub(super) ticket: u32,
    /// What was asked for last is for a callout service to say.
    pub(super) asks_service: bool,
    /// A callout service has let it in.
    pub(super) by_service: bool,
    /// The account of the service that was asked about it last.
    pub(super) service: Option<Arc<str>>,
    /// It was let in, or is judged, without CONNECT.
    pub(super) silent: bool,
    /// The node has said in its place who it is.
    pub(super) completed: bool,
    /// A CONNECT of its own has let it in.
    pub(super) introduced: bool,
    /// What people called its account when it came, where that is not the account's name.
    pub(super) account_label: Option<Arc<str>>,
    /// It was let in, and a verdict on whether it still may be is on its way.
    pub(super) in_doubt: bool,
    pub(super) first_pong_sent: bool,
    pub(super) options: Box<ConnectOptions>,
    pub(super) identity: Option<Box<Identity>>,
    /// What INFO gave the client to sign; empty where no user has a key.
    pub(super) nonce: Box<str>,
    /// What it has shown and proven in a TLS handshake.
    pub(super) certificate: Option<Box<PeerCertificate>>,
    pub(super) heartbeat: Heartbeat,
    /// What it may have.
    pub(super) limits: ClientLimits,
    /// Until then the log is not told again that it has all the subscriptions it may have.
    too_many_told_ms: u64,
    /// It counts among the connections of its account.
    pub(super) seat: Option<Seat>,
    /// The client sends and takes headers.
    pub(super) headers: bool,
    /// Messages are taken one at a time, so that what is said of each comes in its place.
    pub(super) one_by_one: bool,
    /// The client's number on this node.
    pub id: u64,
    /// The client's address.
    pub ip: IpAddr,
    /// The client's port.
    pub port: u16,
    /// Input that could not be used yet.
    rest: Vec<u8>,
    /// Bytes still missing of the operation in `rest`; 0 where its line is not whole.
    missing: usize,
    /// `rest` may hold more than the beginning of one operation.
    stashed: bool,
}

/// What one operation, or a row of publishes, came to.
pub(super) enum Taken {
    /// Done; it was so many bytes.
    Bytes(usize),
    /// Not whole yet: so many bytes are missing, 0 where its line is not whole.
    Missing(usize),
    /// So many bytes are done with, and the session does not simply go on.
    Last(usize, Flow),
}

/// What a session that is held back takes of its input at a time. The oracle's largest read.
pub const PIECE_BYTES: usize = 64 * 1024;

/// What a piece of input came to: bytes used, how to go on, and bytes missing of what is left.
pub(super) struct Progress {
    pub(super) used: usize,
    pub(super) flow: Flow,
    pub(super) missing: usize,
}

impl Client {
    /// A client that has just connected; says INFO, unless TLS comes first.
    pub fn new(
        context: &mut Context,
        broker: &mut Broker,
        conn: ConnId,
        id: u64,
        (ip, port): (IpAddr, u16),
    ) -> Self {
        let stranger = context.authenticator.expects_connect();
        let nonce = match context.authenticator.needs_nonce() {
            true => context.new_nonce(),
            false => Box::default(),
        };
        let client = Client {
            conn,
            phase: if stranger {
                Phase::Stranger
            } else {
                Phase::Member
            },
            connected: false,
            judged: context.snapshot,
            asked_under: context.snapshot,
            ticket: 0,
            asks_service: false,
            by_service: false,
            service: None,
            silent: false,
            completed: false,
            introduced: false,
            account_label: None,
            in_doubt: false,
            first_pong_sent: false,
            options: Box::default(),
            identity: None,
            nonce,
            certificate: None,
            heartbeat: Heartbeat::new(context, stranger),
            limits: ClientLimits::of_server(&context.limits),
            too_many_told_ms: 0,
            seat: None,
            headers: false,
            one_by_one: true,
            id,
            ip,
            port,
            rest: Vec::new(),
            missing: 0,
            stashed: false,
        };
        let peer = broker.peer(conn);
        peer.verbose = client.options.verbose;
        peer.client_id = id;
        peer.traced = client.traced(context);
        if !context.tls_comes_first() {
            client.say_info(context, broker, false);
        }
        client
    }

    /// A connection of the broker itself, in this account: a member from the start, to which nothing is said unasked.
    /// `None` if the account does not exist.
    pub fn internal(
        context: &Context,
        broker: &mut Broker,
        conn: ConnId,
        account: &str,
    ) -> Option<Self> {
        let options = ConnectOptions {
            verbose: false,
            pedantic: false,
            headers: true,
            ..ConnectOptions::default()
        };
        broker.peer(conn).internal = true;
        if !broker.set_account(conn, account) {
            return None;
        }
        broker.set_options(conn, true, &options);
        Some(Client {
            conn,
            phase: Phase::Member,
            connected: true,
            judged: context.snapshot,
            asked_under: context.snapshot,
            ticket: 0,
            asks_service: false,
            by_service: false,
            service: None,
            silent: false,
            completed: false,
            introduced: false,
            account_label: None,
            in_doubt: false,
            first_pong_sent: true,
            options: Box::new(options),
            identity: None,
            nonce: Box::default(),
            certificate: None,
            heartbeat: Heartbeat::never(context),
            limits: ClientLimits::NONE,
            too_many_told_ms: 0,
            seat: None,
            headers: true,
            one_by_one: false,
            id: INTERNAL_ID,
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            rest: Vec::new(),
            missing: 0,
            stashed: false,
        })
    }

    /// Whether this is a connection of the broker itself.
    pub fn is_internal(&self) -> bool {
        self.id == INTERNAL_ID
    }

    pub(super) fn is_stranger(&self) -> bool {
        self.phase == Phase::Stranger
    }

    /// What the oracle calls a client in its log: `127.0.0.1:4711 - cid:5`, and once its CONNECT has let it in, what it says
    /// of itself and who it is: `… - "v1.0:rust:name" - "A/user:bob"`.
    pub fn label(&self) -> String {
        let mut label = format!("{}:{} - cid:{}", self.ip, self.port, self.id);
        if let (true, Some(identity)) = (self.introduced, &self.identity) {
            let known = identity.label();
            let says = self.options.label();
            let who = match known.is_empty() {
                true => String::new(),
                false => format!("{}/{known}", self.account_shown(identity)),
            };
            for part in [says, who].iter().filter(|part| !part.is_empty()) {
                label.push_str(" - ");
                label.push_str(&violation::quoted(part.as_bytes()));
            }
        }
        label
    }

    /// The account, and what people call it.
    fn account_shown(&self, identity: &Identity) -> String {
        match &self.account_label {
            Some(label) => format!("{}/{label}", identity.account),
            None => identity.account.to_string(),
        }
    }

    /// What stands behind some lines of the log about a client that has come in: ` - Account:A - user:bob`.
    pub fn label_behind(&self) -> String {
        let Some(identity) = self.identity.as_ref().filter(|_| self.introduced) else {
            return String::new();
        };
        let known = identity.label();
        let account = self.account_shown(identity);
        match known.is_empty() {
            true => format!(" - Account:{account}"),
            false => format!(" - Account:{account} - {known}"),
        }
    }

    /// It is leaving: it no longer counts among the connections of its account.
    pub fn leave(&mut self) {
        self.seat = None;
    }

    /// CONNECT's options as far as they were said.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// Keeps input for later: the connection is held back or parked.
    pub fn stash(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        self.stashed = true;
    }

    /// Takes some of what was stashed while the session was held back or parked: at most [`PIECE_BYTES`], so
    /// that a publisher that is held back again and again feeds no more than that at a time.
    pub fn resume(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
    ) -> Flow {
        let stashed = std::mem::take(&mut self.rest);
        let piece = &stashed[..stashed.len().min(PIECE_BYTES)];
        let mut progress = self.process(context, broker, port, piece);
        if progress.used == 0
            && piece.len() < stashed.len()
            && matches!(progress.flow, Flow::Continue)
        {
            progress = self.process(context, broker, port, &stashed);
        }
        self.stashed = progress.used > 0 && piece.len() < stashed.len();
        self.note_stop(&progress.flow, stashed.len() - progress.used);
        self.missing = progress.missing;
        self.rest
            .reserve_exact(stashed.len() - progress.used + progress.missing);
        self.rest.extend_from_slice(&stashed[progress.used..]);
        progress.flow
    }

    /// Whoever stopped before the input was used up, has left whole operations: they need no more input to go on.
    fn note_stop(&mut self, flow: &Flow, left: usize) {
        self.stashed |= left > 0 && !matches!(flow, Flow::Continue);
    }

    /// Whether whole operations may have been left behind, for [`Client::resume`] to go on with.
    pub fn has_stash(&self) -> bool {
        self.stashed
    }

    /// Takes bytes from the client.
    pub fn receive(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        bytes: &[u8],
    ) -> Flow {
        let mut bytes = bytes;
        while !self.rest.is_empty() && !bytes.is_empty() {
            bytes = &bytes[self.top_up(bytes)..];
            let begun = std::mem::take(&mut self.rest);
            let progress = self.process(context, broker, port, &begun);
            self.missing = progress.missing;
            if progress.used == 0 {
                self.rest = begun;
            } else {
                self.rest.extend_from_slice(&begun[progress.used..]);
            }
            if !matches!(progress.flow, Flow::Continue) {
                self.rest.extend_from_slice(bytes);
                self.note_stop(&progress.flow, self.rest.len());
                return progress.flow;
            }
        }
        self.receive_fresh(context, broker, port, bytes)
    }

    /// Takes bytes that begin with an operation.
    fn receive_fresh(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        bytes: &[u8],
    ) -> Flow {
        let progress = self.process(context, broker, port, bytes);
        self.missing = progress.missing;
        let left = &bytes[progress.used..];
        self.note_stop(&progress.flow, left.len());
        if !left.is_empty() {
            self.rest.reserve_exact(left.len() + progress.missing);
            self.rest.extend_from_slice(left);
        }
        progress.flow
    }

    /// Moves as much of `bytes` behind the begun operation as may belong to it. Returns how much.
    fn top_up(&mut self, bytes: &[u8]) -> usize {
        let take = match self.missing {
            0 => memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1),
            missing => missing.min(bytes.len()),
        };
        self.rest.extend_from_slice(&bytes[..take]);
        take
    }

    /// Carries out the operations in `input`, as far as they are whole.
    fn process(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        input: &[u8],
    ) -> Progress {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let taken = match parser::publish_fast(rest) {
                Some(line) if self.phase == Phase::Member => {
                    self.publishes(context, broker, port, rest, line)
                }
                _ => self.process_any(context, broker, port, rest),
            };
            match taken {
                Taken::Bytes(bytes) => used += bytes,
                Taken::Missing(missing) => {
                    return Progress {
                        used,
                        flow: Flow::Continue,
                        missing,
                    };
                }
                Taken::Last(bytes, flow) => {
                    return Progress {
                        used: used + bytes,
                        flow,
                        missing: 0,
                    };
                }
            }
        }
        Progress {
            used,
            flow: Flow::Continue,
            missing: 0,
        }
    }

    /// Carries out the operation at the start of `input`, whatever it is and however it is spelled.
    fn process_any(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        input: &[u8],
    ) -> Taken {
        if self.phase != Phase::Member
            && let Some(flow) = self.meet_stranger(context, broker, input)
        {
            return Taken::Last(0, flow);
        }
        match parser::parse(input, context.limits.control_line_bytes_max as usize) {
            Step::Incomplete => Taken::Missing(0),
            Step::Fault(fault) => {
                if context.trace && fault == Fault::BadArguments {
                    self.trace_line(input);
                }
                Taken::Last(0, self.fault(broker, fault))
            }
            Step::Op(Op::Publish(line), _) => self.publishes(context, broker, port, input, line),
            Step::Op(op, line_len) => match self.operation(context, broker, port, op) {
                Flow::Continue => Taken::Bytes(line_len),
                // A PING before a barrier that does not hold yet is read again afterwards.
                Flow::AwaitMesh => Taken::Last(0, Flow::AwaitMesh),
                flow => Taken::Last(line_len, flow),
            },
        }
    }

    fn operation(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        op: Op<'_>,
    ) -> Flow {
        if context.trace {
            self.trace_operation(&op);
        }
        if matches!(op, Op::Sub { .. } | Op::Unsub { .. } | Op::Ping) {
            self.heartbeat.heard(context.now_ms);
        }
        match op {
            Op::Sub {
                subject,
                queue,
                sid,
            } => self.subscribe(context, broker, subject, queue, sid),
            Op::Unsub { sid, max } => {
                broker.unsubscribe(self.conn, sid, max);
                self.say_ok(broker);
            }
            Op::Ping => {
                if !port.push_mesh(broker.batches()) {
                    return Flow::AwaitMesh;
                }
                self.pong(context, broker);
            }
            Op::Pong => {
                self.heartbeat.pong(context.now_ns);
                if let Some(who) = &mut broker.peer(self.conn).who {
                    Arc::make_mut(who).rtt_ns = self.heartbeat.round_trip_ns();
                }
            }
            Op::Connect(json) => return self.connect(context, broker, json),
            Op::Ok => {}
            Op::Info(json) => {
                if !handshake::is_object(json) {
                    return self.fault(broker, Fault::BadArguments);
                }
            }
            Op::Err(text) => {
                log::error!(
                    "{} - Client Error {}",
                    self.label(),
                    String::from_utf8_lossy(text)
                );
                return Flow::Close(CloseReason::ParseError);
            }
            Op::Publish(_) => unreachable!("publishes are taken with their payload"),
        }
        Flow::Continue
    }

    /// PONG; behind the first one, clients that take INFO at any time hear which account they are in.
    fn pong(&mut self, context: &Context, broker: &mut Broker) {
        broker.push(self.conn, b"PONG\r\n");
        if context.trace {
            self.trace_said("PONG");
        }
        if self.connected
            && !std::mem::replace(&mut self.first_pong_sent, true)
            && self.options.protocol >= 1
        {
            self.say_info(context, broker, true);
        }
    }

    fn subscribe(
        &mut self,
        context: &Context,
        broker: &mut Broker,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) {
        let mut filtered = false;
        if queue.is_some_and(queue_is_reserved) {
            return self.subscription_violation(broker, violation::RESERVED, subject, queue, sid);
        }
        if let Some(permissions) = broker.peer(self.conn).permissions.clone() {
            if !permissions.subscribe(subject, queue).is_allowed() {
                let why = permissions.subscribe_reason(subject, queue).to_string();
                return self.subscription_violation(broker, &why, subject, queue, sid);
            }
            filtered = permissions.subscription_needs_filter(subject, queue);
        }
        let limits = &context.limits;
        let tokens = subject.split(|byte| *byte == b'.').count();
        if limits.subscription_tokens_max > 0
            && tokens > usize::from(limits.subscription_tokens_max)
        {
            let why = format!("more than {} tokens", limits.subscription_tokens_max);
            self.log_violation(&violation::subscription_too_deep_log(subject, sid), &why);
            return self.say_error(broker, &violation::subscription_too_deep(subject));
        }
        if broker.subscriptions_of(self.conn) >= self.limits.subscriptions_max as usize {
            return self.too_many_subscriptions(context, broker);
        }
        match broker.subscribe(self.conn, subject, queue, sid, filtered) {
            Ok(()) => self.say_ok(broker),
            Err(_) => self.say_error(broker, "Invalid Subject"),
        }
    }

    /// The log is told at most every two seconds.
    #[cold]
    fn too_many_subscriptions(&mut self, context: &Context, broker: &mut Broker) {
        const TOLD_AGAIN_MS: u64 = 2_000;
        if self.too_many_told_ms <= context.now_ms {
            self.too_many_told_ms = context.now_ms + TOLD_AGAIN_MS;
            log::error!("{} - maximum subscriptions exceeded", self.label());
        }
        self.say_error(broker, "maximum subscriptions exceeded");
    }

    fn subscription_violation(
        &self,
        broker: &mut Broker,
        why: &str,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) {
        let text = violation::subscription_refused_log(subject, queue, sid);
        self.log_violation(&text, why);
        self.say_error(broker, &violation::subscription_refused(subject, queue));
    }

    /// Logs what the client may not do: the oracle's `text`, then who it is and why.
    #[cold]
    pub(super) fn log_violation(&self, text: &str, why: &str) {
        let behind = violation::who_and_why(self.identity.as_deref(), why);
        log::error!("{} - {text}{behind}", self.label());
    }

    pub(super) fn say_ok(&self, broker: &mut Broker) {
        if self.options.verbose {
            broker.push(self.conn, b"+OK\r\n");
            if broker.peer(self.conn).traced.is_some() {
                self.trace_said("OK");
            }
        }
    }

    pub(super) fn say_error(&self, broker: &mut Broker, text: &str) {
        if broker.peer(self.conn).traced.is_some() {
            self.trace_said(&format!("-ERR {text}"));
        }
        broker.push(self.conn, format!("-ERR '{text}'\r\n").as_bytes());
    }

    pub(super) fn fault(&self, broker: &mut Broker, fault: Fault) -> Flow {
        match fault {
            Fault::UnknownOperation => {
                self.say_error(broker, "Unknown Protocol Operation");
                log::error!(
                    "{} - Client parser ERROR: unknown protocol operation",
                    self.label()
                );
                Flow::Close(CloseReason::ProtocolViolation)
            }
            Fault::ControlLineTooLong => {
                self.say_error(broker, "maximum control line exceeded");
                log::error!("{} - maximum control line exceeded", self.label());
                Flow::Close(CloseReason::MaxControlLineExceeded)
            }
            Fault::BadArguments => {
                log::error!(
                    "{} - Client parser ERROR: arguments that make no sense",
                    self.label()
                );
                Flow::Close(CloseReason::ProtocolViolation)
            }
        }
    }
}

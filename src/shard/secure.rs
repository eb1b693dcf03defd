//! Connections in TLS, as the loop sees them: who speaks first, handshakes that workers make, records to open and to seal,
//! their end. Owns what stands between a socket and its session; never makes a handshake itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::auth::Work;
use crate::broker::effect::{CloseReason, ConnId};
use crate::broker::outbox::{CHUNK_BYTES, Chunk};
use crate::config::tls::HandshakeFirst;
use crate::session::secure::TlsPort;
use crate::transport::tls::{self, Codec, Fault, Handshake, Said, Secured, Step};

use super::connections::Parked;
use super::ring::{Ring, Token};
use super::{Shard, Task};

/// What is kept of a client that sends before it may.
const EARLY_BYTES_MAX: usize = 256 * 1024;

/// How a connection stands with TLS.
///
/// Invariant: `sealed_for` is there only while `sending`.
#[derive(Debug)]
pub struct Secure {
    port: Arc<TlsPort>,
    stage: Stage,
    /// INFO has been said, in plain text.
    greeted: bool,
    /// When the stage has lasted too long.
    due_ms: u64,
    /// What came and cannot be used yet.
    early: Vec<u8>,
    /// Since when records are with the kernel.
    sending_since_ms: Option<u64>,
    /// The outbox's chunk that they stand for.
    sealed_for: Option<Chunk>,
    /// The client has said that it says no more.
    ended: bool,
    /// The client has been told that no more will be said.
    said_end: bool,
}

/// How far it has come.
#[derive(Debug)]
enum Stage {
    /// Nothing has come that could be used. All that is said is plain text.
    Waiting(Awaited),
    /// A worker makes a step.
    Away,
    /// More must come.
    Handshaking(Box<Handshake>),
    /// Done.
    Open(Box<Codec>),
    /// Only the alert is left to be sent.
    Failed(Said),
}

/// What the first bytes will decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// Nothing: there must be TLS.
    Tls,
    /// Whether it is TLS or plain text.
    Either,
    /// Whether the client speaks first; it will be TLS then.
    First,
}

/// A step of a handshake, for a worker.
#[derive(Debug)]
pub struct TlsTask {
    handshake: Box<Handshake>,
    bytes: Vec<u8>,
}

impl TlsTask {
    /// Does it.
    pub fn run(self) -> Step {
        self.handshake.step(&self.bytes)
    }
}

impl Secure {
    /// When `Shard::secure_is_due` is to be called; `None` once the session has the connection to itself.
    pub fn due_ms(&self) -> Option<u64> {
        (!self.is_open()).then_some(self.due_ms)
    }

    /// Since when records are with the kernel.
    pub fn sending_since_ms(&self) -> Option<u64> {
        self.sending_since_ms
    }

    /// Whether the client has said that it says no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the handshake is done.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Tells of the handshake who may have to know.
    pub fn tell(&self, work: &mut Work) {
        if let Stage::Open(codec) = &self.stage {
            work.over_tls(|| codec.shown(&self.port.acceptor));
        }
    }

    /// Whether nothing that waits in the outbox can be sent now: if the connection closes, it is lost.
    pub fn is_mute(&self) -> bool {
        !matches!(self.stage, Stage::Waiting(_) | Stage::Open(_))
    }

    /// What is left when the connection is gone.
    pub fn into_chunk(self) -> Option<Chunk> {
        self.sealed_for
    }

    /// What TLS has to say of itself.
    fn said(&mut self) -> Option<&mut Said> {
        let said = match &mut self.stage {
            Stage::Waiting(_) | Stage::Away => return None,
            Stage::Handshaking(handshake) => handshake.said(),
            Stage::Open(codec) => codec.said(),
            Stage::Failed(said) => said,
        };
        (!said.is_empty()).then_some(said)
    }
}

impl<R: Ring> Shard<R> {
    /// A connection has come to a port that has TLS.
    pub(super) fn secure_begin(&mut self, conn: ConnId, port: Arc<TlsPort>) {
        let now_ms = self.context.now_ms;
        let (awaited, wait_ms) = match port.handshake_first {
            HandshakeFirst::Unless { silent_ms } => (Awaited::First, silent_ms),
            HandshakeFirst::No if port.allow_plain => (Awaited::Either, port.timeout_ms),
            _ => (Awaited::Tls, port.timeout_ms),
        };
        let greeted = port.handshake_first == HandshakeFirst::No;
        let rate_max = port.rate_max;
        self.connections.wires.set_secure(conn, true);
        self.connections.get(conn).secure = Some(Box::new(Secure {
            port,
            stage: Stage::Waiting(awaited),
            greeted,
            due_ms: now_ms.saturating_add(wait_ms),
            early: Vec::new(),
            sending_since_ms: None,
            sealed_for: None,
            ended: false,
            said_end: false,
        }));
        if awaited == Awaited::Tls {
            self.admit_handshake(conn, rate_max);
        }
    }

    /// Whether there may be one more handshake; if not, the connection is closed.
    fn admit_handshake(&mut self, conn: ConnId, rate_max: u64) -> bool {
        let now_ms = self.context.now_ms;
        let unix_ms = self
            .context
            .start_unix_ms
            .cast_unsigned()
            .wrapping_add(now_ms);
        if rate_max == 0 || self.node.handshakes.allow(unix_ms, rate_max) {
            return true;
        }
        let text = b"-ERR 'Connection throttling is active. Please try again later.'\r\n";
        self.broker.push(conn, text);
        self.start_close(conn, CloseReason::MaxConnectionsExceeded);
        false
    }

    /// The client has not done in time what it was expected to do.
    #[cold]
    pub(super) fn secure_is_due(&mut self, conn: ConnId) {
        let now_ms = self.context.now_ms;
        let connection = self.connections.get(conn);
        let Some(secure) = &mut connection.secure else {
            return;
        };
        match secure.stage {
            Stage::Waiting(Awaited::First) => {
                let either = secure.port.allow_plain;
                let awaited = if either {
                    Awaited::Either
                } else {
                    Awaited::Tls
                };
                secure.stage = Stage::Waiting(awaited);
                secure.greeted = true;
                secure.due_ms = now_ms.saturating_add(secure.port.timeout_ms);
                let rate_max = secure.port.rate_max;
                connection.client.greet(&self.context, &mut self.broker);
                if !either {
                    self.admit_handshake(conn, rate_max);
                }
            }
            Stage::Waiting(Awaited::Either) => self.secure_is_plain(conn),
            _ => {
                log::debug!("{} - TLS handshake timeout", connection.client.label());
                self.close_now(conn, CloseReason::TlsHandshakeFailure);
            }
        }
    }

    /// There will be no TLS: the session has the connection to itself.
    fn secure_is_plain(&mut self, conn: ConnId) {
        self.connections.wires.set_secure(conn, false);
        let connection = self.connections.get(conn);
        connection.secure = None;
        connection
            .client
            .secured(&self.context, &mut self.broker, None, false);
    }

    /// Takes bytes of a connection that is, or may become, one in TLS.
    pub(super) fn received_secure(&mut self, conn: ConnId, bytes: &[u8]) {
        let connection = self.connections.get(conn);
        let Some(secure) = &mut connection.secure else {
            return;
        };
        match &mut secure.stage {
            Stage::Open(_) => self.open(conn, bytes),
            Stage::Waiting(awaited) => {
                let awaited = *awaited;
                self.first_bytes(conn, awaited, bytes);
            }
            Stage::Away => drop(self.keep_early(conn, bytes)),
            Stage::Handshaking(_) => self.advance(conn, bytes),
            Stage::Failed(_) => {}
        }
    }

    /// False where it was too much: the connection has gone.
    fn keep_early(&mut self, conn: ConnId, bytes: &[u8]) -> bool {
        let connection = self.connections.get(conn);
        let Some(secure) = &mut connection.secure else {
            return false;
        };
        if secure.early.len() + bytes.len() > EARLY_BYTES_MAX {
            log::debug!("{} - too much before its time", connection.client.label());
            self.close_now(conn, CloseReason::TlsHandshakeFailure);
            return false;
        }
        secure.early.extend_from_slice(bytes);
        true
    }

    /// Gives a handshake and bytes for it to a worker, once a record is whole. The connection rests meanwhile.
    fn advance(&mut self, conn: ConnId, bytes: &[u8]) {
        if !self.keep_early(conn, bytes) {
            return;
        }
        let Some(secure) = &mut self.connections.get(conn).secure else {
            return;
        };
        let stage = std::mem::replace(&mut secure.stage, Stage::Away);
        match stage {
            Stage::Handshaking(handshake) if handshake.has_record(&secure.early) => {
                let bytes = std::mem::take(&mut secure.early);
                self.send_away(conn, handshake, bytes);
            }
            stage => secure.stage = stage,
        }
    }

    /// The first byte says whether it is TLS.
    fn first_bytes(&mut self, conn: ConnId, awaited: Awaited, bytes: &[u8]) {
        let is_tls = bytes.first() == Some(&tls::HANDSHAKE);
        if awaited == Awaited::Either && !is_tls {
            self.secure_is_plain(conn);
            return self.received_plain(conn, bytes);
        }
        // Plain text that has not left yet must not be overtaken by records.
        if self.broker.peer(conn).outbox.pending_bytes() > 0 {
            self.keep_early(conn, bytes);
            return;
        }
        let now_ms = self.context.now_ms;
        let connection = self.connections.get(conn);
        let Some(secure) = &mut connection.secure else {
            return;
        };
        let port = Arc::clone(&secure.port);
        if awaited != Awaited::Tls {
            secure.due_ms = now_ms.saturating_add(port.timeout_ms);
            if !self.admit_handshake(conn, port.rate_max) {
                return;
            }
        }
        let connection = self.connections.get(conn);
        let label = connection.client.label();
        log::debug!("{label} - Starting TLS client connection handshake");
        let begun = match is_tls {
            true => Handshake::new(&port.acceptor),
            false => Err(Fault::NotTls),
        };
        match begun {
            Ok(handshake) => {
                if let Some(secure) = &mut self.connections.get(conn).secure {
                    secure.stage = Stage::Handshaking(Box::new(handshake));
                }
                self.advance(conn, bytes);
            }
            Err(fault) => {
                log::debug!("{label} - TLS handshake error: {fault}");
                self.close_now(conn, CloseReason::TlsHandshakeFailure);
            }
        }
    }

    fn send_away(&mut self, conn: ConnId, handshake: Box<Handshake>, bytes: Vec<u8>) {
        self.park(conn, Parked::Handshaking);
        self.send_to_workers(conn, Task::Tls(TlsTask { handshake, bytes }));
    }

    /// A worker has made a step.
    pub(super) fn handshaken(&mut self, token: Token, step: Step) {
        let Some(conn) = self.connections.find(token) else {
            return;
        };
        let connection = self.connections.get(conn);
        if connection.closing.is_some() {
            return;
        }
        connection.parked = None;
        let Some(secure) = &mut connection.secure else {
            return;
        };
        let early = std::mem::take(&mut secure.early);
        match step {
            Step::More(handshake) => {
                secure.stage = Stage::Handshaking(handshake);
                self.send_next(conn);
            }
            Step::Failed(said, fault) => {
                secure.stage = Stage::Failed(said);
                log::error!(
                    "{} - TLS handshake error: {fault}",
                    connection.client.label()
                );
                return self.start_close(conn, CloseReason::TlsHandshakeFailure);
            }
            Step::Done(secured) => self.is_open(conn, *secured),
        }
        self.obey();
        if !early.is_empty() && self.is_listening(token) {
            self.received_secure(conn, &early);
            self.obey();
        }
        if self.is_listening(token) {
            self.receive_again(conn);
        }
    }

    /// The connection of this token is there and not about to close.
    fn is_listening(&mut self, token: Token) -> bool {
        let conn = self.connections.find(token);
        conn.is_some_and(|conn| self.connections.get(conn).closing.is_none())
    }

    /// The handshake is done.
    fn is_open(&mut self, conn: ConnId, secured: Secured) {
        let Secured {
            codec,
            certificate,
            plain,
        } = secured;
        let connection = self.connections.get(conn);
        let Some(secure) = &mut connection.secure else {
            return;
        };
        let greet = !std::mem::replace(&mut secure.greeted, true);
        secure.ended = codec.has_ended();
        let (version, suite) = codec.agreed();
        secure.stage = Stage::Open(codec);
        let label = connection.client.label();
        log::debug!("{label} - TLS handshake complete");
        log::debug!("{label} - TLS version {version}, cipher suite {suite}");
        let client = &mut connection.client;
        client.secured(&self.context, &mut self.broker, certificate, greet);
        self.send_next(conn);
        if !plain.is_empty() {
            self.received_plain(conn, &plain);
        }
    }

    /// Opens records and gives what is in them to the session.
    fn open(&mut self, conn: ConnId, bytes: &[u8]) {
        let connection = self.connections.get(conn);
        let Some(secure) = &mut connection.secure else {
            return;
        };
        let Stage::Open(codec) = &mut secure.stage else {
            return;
        };
        let opened = codec.open(bytes, &mut self.scratch);
        secure.ended = matches!(opened, Ok(true));
        let (ended, says) = (secure.ended, !codec.said().is_empty());
        if !self.scratch.plain().is_empty() {
            let token = self.connections.wires.token(conn);
            let scratch = std::mem::take(&mut self.scratch);
            self.received_plain(conn, scratch.plain());
            self.scratch = scratch;
            if !self.is_listening(token) {
                return;
            }
        }
        match opened {
            Err(fault) => self.cannot_open(conn, &fault),
            Ok(_) if ended && self.connections.get(conn).parked.is_none() => {
                self.start_close(conn, CloseReason::ClientClosed);
            }
            Ok(_) if says => self.send_next(conn),
            Ok(_) => {}
        }
    }

    #[cold]
    fn cannot_open(&mut self, conn: ConnId, fault: &Fault) {
        let connection = self.connections.get(conn);
        log::debug!("{} - TLS error: {fault}", connection.client.label());
        if let Some(secure) = &mut connection.secure {
            let stage = std::mem::replace(&mut secure.stage, Stage::Away);
            if let Stage::Open(codec) = stage {
                secure.stage = Stage::Failed(codec.into_said());
            }
        }
        self.start_close(conn, CloseReason::ReadError);
    }

    /// Gives what is to be said to the ring: the plain text before TLS, what TLS says of itself, or the next chunk of
    /// the outbox in records. Nothing while something is in flight.
    pub(super) fn send_secure(&mut self, conn: ConnId) {
        let now_ms = self.context.now_ms;
        let Some(secure) = &mut self.connections.get(conn).secure else {
            return;
        };
        if secure.sending_since_ms.is_some() {
            return;
        }
        if matches!(secure.stage, Stage::Waiting(_)) {
            if let Some(chunk) = self.broker.next_chunk(conn) {
                let (token, wire) = self.connections.wires.both(conn);
                self.ring.send(token, wire.fd, chunk);
            }
            return;
        }
        let mut records;
        if let Some(said) = secure.said() {
            records = self.broker.spare_chunk();
            records.fill(|out| said.take(out));
        } else if let Stage::Open(codec) = &mut secure.stage
            && let Some(plain) = self.broker.next_chunk(conn)
        {
            records = self.broker.spare_chunk();
            let sealed = seal(codec, &plain, &mut records);
            secure.sealed_for = Some(plain);
            if let Err(fault) = sealed {
                self.broker.chunk_done(records);
                return self.cannot_seal(conn, &fault);
            }
        } else {
            return;
        }
        secure.sending_since_ms = Some(now_ms);
        let (token, wire) = self.connections.wires.both(conn);
        self.ring.send(token, wire.fd, records);
    }

    #[cold]
    fn cannot_seal(&mut self, conn: ConnId, fault: &Fault) {
        let connection = self.connections.get(conn);
        log::debug!("{} - TLS error: {fault}", connection.client.label());
        self.close_now(conn, CloseReason::ClientClosed);
    }

    /// The kernel has taken a part of what [`Shard::send_secure`] gave it.
    pub(super) fn sent_secure(
        &mut self,
        conn: ConnId,
        mut chunk: Chunk,
        result: io::Result<usize>,
    ) {
        let Some(secure) = &mut self.connections.get(conn).secure else {
            return self.broker.chunk_done(chunk);
        };
        if matches!(secure.stage, Stage::Waiting(_)) {
            return self.sent_before_tls(conn, chunk, result);
        }
        let Ok(sent) = result else {
            self.broker.chunk_done(chunk);
            return self.close_now(conn, CloseReason::WriteError);
        };
        chunk.advance(sent);
        if !chunk.unsent().is_empty() {
            let now_ms = self.context.now_ms;
            secure.sending_since_ms = Some(now_ms);
            self.broker.peer(conn).outbox.send_goes_on(now_ms);
            let (token, wire) = self.connections.wires.both(conn);
            self.ring.send(token, wire.fd, chunk);
            return self.schedule(conn);
        }
        secure.sending_since_ms = None;
        self.broker.chunk_done(chunk);
        if let Some(plain) = secure.sealed_for.take() {
            let len = plain.unsent().len();
            self.broker.chunk_sent(conn, plain, len);
        }
        self.send_next(conn);
        self.finish_close(conn);
    }

    /// Plain text has left; what the client sent meanwhile may be looked at.
    fn sent_before_tls(&mut self, conn: ConnId, chunk: Chunk, result: io::Result<usize>) {
        self.sent_plain(conn, chunk, result);
        let Some(connection) = self.connections.try_get(conn) else {
            return;
        };
        if connection.closing.is_some() || self.broker.peer(conn).outbox.pending_bytes() > 0 {
            return;
        }
        let early = connection
            .secure
            .as_mut()
            .map(|secure| std::mem::take(&mut secure.early));
        if let Some(early) = early.filter(|early| !early.is_empty()) {
            self.received_secure(conn, &early);
        }
    }

    /// A closing connection has sent what waited. Returns whether it may go: first it says that it ends.
    pub(super) fn may_go(&mut self, conn: ConnId) -> bool {
        let Some(secure) = &mut self.connections.get(conn).secure else {
            return true;
        };
        if let Stage::Open(codec) = &mut secure.stage
            && !std::mem::replace(&mut secure.said_end, true)
        {
            codec.close();
        }
        self.send_secure(conn);
        let connection = self.connections.try_get(conn);
        let secure = connection.and_then(|connection| connection.secure.as_ref());
        secure.is_some_and(|secure| secure.sending_since_ms.is_none())
    }

    /// Why a connection ends whose client has closed it.
    pub(super) fn reason_of_end(&mut self, conn: ConnId) -> CloseReason {
        let connection = self.connections.get(conn);
        let secure = connection.secure.as_ref();
        match secure.map(|secure| &secure.stage) {
            None | Some(Stage::Open(_) | Stage::Waiting(Awaited::Either)) => {
                CloseReason::ClientClosed
            }
            Some(_) => {
                log::error!("{} - TLS handshake error: EOF", connection.client.label());
                CloseReason::TlsHandshakeFailure
            }
        }
    }
}

/// A chunk's plain text in records that fill another one.
fn seal(codec: &mut Codec, plain: &Chunk, records: &mut Chunk) -> Result<(), Fault> {
    // A chunk keeps some room at its end, which is more than records add.
    debug_assert!(tls::sealed_bytes_max(plain.unsent().len()) <= CHUNK_BYTES);
    let mut outcome = Ok(());
    records.fill(|out| match codec.seal(plain.unsent(), out) {
        Ok(len) => len,
        Err(fault) => {
            outcome = Err(fault);
            0
        }
    });
    outcome
}

/// How many handshakes there have been in this second, on all shards. Touched once a connection.
#[derive(Debug, Default)]
pub struct Rate {
    /// When the second began, in milliseconds, and how many there were since.
    second: AtomicU64,
    /// Refused and not yet told of.
    refused: AtomicU64,
    /// When that was told last.
    told_ms: AtomicU64,
}

impl Rate {
    const COUNT_BITS: u32 = 24;
    const COUNT_MASK: u64 = (1 << Rate::COUNT_BITS) - 1;
    const SECOND_MS: u64 = 1_000;

    /// Whether it is still the second that began then. Clocks of shards are not quite the same.
    fn is_same(began_ms: u64, now_ms: u64) -> bool {
        now_ms.abs_diff(began_ms) < Rate::SECOND_MS
    }

    /// Counts one more; false where that is one too many. Tells the log of those, once a second.
    pub fn allow(&self, now_ms: u64, max: u64) -> bool {
        let now_ms = now_ms & (u64::MAX >> Rate::COUNT_BITS);
        let before = self.second.fetch_update(Relaxed, Relaxed, |second| {
            let (began_ms, count) = (second >> Rate::COUNT_BITS, second & Rate::COUNT_MASK);
            Some(match Rate::is_same(began_ms, now_ms) && count > 0 {
                true => began_ms << Rate::COUNT_BITS | (count + 1).min(Rate::COUNT_MASK),
                false => now_ms << Rate::COUNT_BITS | 1,
            })
        });
        let second = before.unwrap_or_default();
        let is_same = Rate::is_same(second >> Rate::COUNT_BITS, now_ms);
        if !is_same || second & Rate::COUNT_MASK < max {
            return true;
        }
        self.refused.fetch_add(1, Relaxed);
        let told_ms = self.told_ms.load(Relaxed);
        if now_ms.saturating_sub(told_ms) >= Rate::SECOND_MS {
            self.told_ms.store(now_ms, Relaxed);
            let refused = self.refused.swap(0, Relaxed);
            log::warn!("Rejected {refused} connections due to TLS rate limiting");
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn so_many_a_second() {
        let rate = Rate::default();
        let at = |now_ms| rate.allow(now_ms, 2);
        assert_eq!(
            [at(5_000), at(4_999), at(5_001), at(5_999)],
            [true, true, false, false]
        );
        assert_eq!([at(6_000), at(6_500), at(6_999)], [true, true, false]);
    }
}

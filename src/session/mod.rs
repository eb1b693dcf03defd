//! What one connection says and hears: the states of its protocol. Pure: time comes as an argument, bytes go
//! to the broker's outboxes. Routes and leaf nodes will be sessions of their own beside [`client`].

pub mod client;
pub mod connect;
pub mod heartbeat;
pub mod judge;
pub mod limits;
pub mod publish;
mod refuse;
pub mod secure;
pub mod snapshot;
mod trace;

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::auth::{Authenticator, Work};
use crate::broker::effect::{Batch, CloseReason, Outlet};
use crate::broker::run::Message;
use crate::broker::shown::TraceForm;
use crate::config::Limits;
use crate::config::tls::HandshakeFirst;
use crate::proto::handshake::Info;

pub use snapshot::Snapshot;

use secure::TlsPort;

/// Random bytes in a nonce.
const NONCE_BYTES: usize = 11;

/// What all sessions of a shard share: the snapshot in force, taken apart, and the clock.
#[derive(Debug)]
pub struct Context {
    /// Number of the snapshot.
    pub snapshot: u64,
    /// Limits on clients.
    pub limits: Limits,
    /// Decides who may come in.
    pub authenticator: Arc<Authenticator>,
    /// INFO as far as it is the same for everybody.
    pub info: Info,
    /// How connections become TLS; `None` where they do not.
    pub tls: Option<Arc<TlsPort>>,
    /// How long a client may take to say CONNECT, milliseconds.
    pub auth_timeout_ms: u64,
    /// Log every operation.
    pub trace: bool,
    /// How much of a message a trace shows.
    pub trace_form: TraceForm,
    /// Milliseconds from any start.
    pub now_ms: u64,
    /// Nanoseconds from the same.
    pub now_ns: u64,
    /// Unix time of that start, milliseconds.
    pub start_unix_ms: i64,
    /// What nonces are made of: nobody can foretell it.
    random: ChaCha20Rng,
    /// Messages of the run that is being read; kept for its memory.
    pub(crate) messages: Vec<Message>,
    /// Bytes of a message that must be spelled anew.
    pub(crate) scratch: Vec<u8>,
}

impl Context {
    /// Whether INFO waits until the client has begun a handshake, or has not in time.
    fn tls_comes_first(&self) -> bool {
        let port = self.tls.as_deref();
        port.is_some_and(|port| port.handshake_first != HandshakeFirst::No)
    }

    /// A time of the loop as RFC 3339 has it.
    pub fn timestamp(&self, ms: u64) -> String {
        let unix_ms = self.start_unix_ms + ms as i64;
        jiff::Timestamp::from_millisecond(unix_ms)
            .map_or_else(|_| String::new(), |at| at.to_string())
    }

    /// Something to sign that was never given before: 11 random bytes in 15 letters, as the oracle's.
    pub(crate) fn new_nonce(&mut self) -> Box<str> {
        let mut bytes = [0; NONCE_BYTES];
        self.random.fill_bytes(&mut bytes);
        BASE64URL_NOPAD.encode(&bytes).into()
    }

    /// Shared state under a snapshot. Nonces come from `seed`.
    pub fn of(snapshot: &Snapshot, seed: [u8; 32]) -> Self {
        let mut context = Context::new(
            snapshot.limits.clone(),
            snapshot.authenticator.clone(),
            snapshot.info.clone(),
            snapshot.auth_timeout_ms,
            seed,
        );
        context.take(snapshot);
        context
    }

    /// Goes on under this snapshot. Connections are judged by it one by one.
    pub fn take(&mut self, snapshot: &Snapshot) {
        self.snapshot = snapshot.number;
        self.limits.clone_from(&snapshot.limits);
        self.authenticator = snapshot.authenticator.clone();
        self.info.clone_from(&snapshot.info);
        self.tls.clone_from(&snapshot.tls);
        self.auth_timeout_ms = snapshot.auth_timeout_ms;
        self.trace = snapshot.trace;
        self.trace_form = snapshot.trace_form;
    }

    /// Shared state with nothing in use. Nonces come from `seed`.
    pub fn new(
        limits: Limits,
        authenticator: Arc<Authenticator>,
        info: Info,
        auth_timeout_ms: u64,
        seed: [u8; 32],
    ) -> Self {
        Context {
            snapshot: 0,
            limits,
            authenticator,
            info,
            tls: None,
            auth_timeout_ms,
            trace: false,
            trace_form: TraceForm::default(),
            now_ms: 0,
            now_ns: 0,
            start_unix_ms: 0,
            random: ChaCha20Rng::from_seed(seed),
            messages: Vec::new(),
            scratch: Vec::new(),
        }
    }
}

/// How a session goes on after it was given something.
#[derive(Debug)]
pub enum Flow {
    /// Ready for more.
    Continue,
    /// Takes nothing more until its credentials have been verified off the shard.
    Verify(Box<Work>),
    /// Takes nothing more until all batches are in the mesh.
    AwaitMesh,
    /// Closes, after what waits for it has been sent as far as the socket takes it.
    Close(CloseReason),
}

/// What a session needs of the loop while it works.
pub trait Port: Outlet {
    /// Puts every batch into the mesh now. False where a queue is full: then the barrier does not hold yet.
    fn push_mesh(&mut self, batches: &mut [Batch]) -> bool;
}

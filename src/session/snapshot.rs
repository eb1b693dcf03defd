//! What the control thread compiles for the shards, as one immutable whole. Owns nothing that changes while it is
//! in force; never holds a connection.

use std::sync::Arc;

use crate::account::table::RoutingTable;
use crate::auth::Authenticator;
use crate::broker::PendingLimits;
use crate::broker::shown::TraceForm;
use crate::config::{Labels, Limits};
use crate::proto::handshake::Info;

use super::secure::TlsPort;

/// Everything of a configuration that shards run on. Made by the control thread, shared by all shards, replaced as a
/// whole: a shard never sees half of a change. Cloning copies handles and texts, no tables, so that a change of one
/// part is a clone with that part exchanged.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which snapshot this is, counted from 0: what a connection was last judged by.
    pub number: u64,
    /// What subjects lead to, by account. Accounts keep their numbers from one snapshot to the next
    /// ([`compile`](crate::account::compiler::compile)).
    pub table: Arc<RoutingTable>,
    /// Decides who may come in.
    pub authenticator: Arc<Authenticator>,
    /// Limits on clients.
    pub limits: Limits,
    /// INFO as far as it is the same for everybody.
    pub info: Info,
    /// What the operator says of the server.
    pub labels: Arc<Labels>,
    /// How connections become TLS; `None` where they do not.
    pub tls: Option<Arc<TlsPort>>,
    /// How long a client may take to say CONNECT, milliseconds.
    pub auth_timeout_ms: u64,
    /// Log every operation.
    pub trace: bool,
    /// How much of a message a trace shows.
    pub trace_form: TraceForm,
}

impl Snapshot {
    /// The first one, with the global account alone and no traces.
    pub fn new(
        limits: Limits,
        authenticator: Arc<Authenticator>,
        info: Info,
        auth_timeout_ms: u64,
    ) -> Self {
        Snapshot {
            number: 0,
            table: Arc::default(),
            authenticator,
            limits,
            info,
            labels: Arc::default(),
            tls: None,
            auth_timeout_ms,
            trace: false,
            trace_form: TraceForm::default(),
        }
    }

    /// How far connections may fall behind.
    pub fn pending(&self) -> PendingLimits {
        PendingLimits::new(
            self.limits.pending_bytes_max,
            self.limits.no_fast_producer_stall,
        )
    }
}

//! gannet: a NATS-compatible message broker for Linux. One single-threaded shard per core, each an io_uring
//! event loop that owns a share of the connections; nothing is shared between shards but queues.
//!
//! # Reading order
//!
//! Follow one message, in the order of the files:
//!
//! 1. [`shard`]: a turn of the loop. `shard::input` takes bytes from the ring to a session.
//! 2. [`session::client`]: cuts bytes into operations; `session::publish` gathers publishes on one subject
//!    into a run.
//! 3. [`proto::parser`]: control lines, borrowed and in place.
//! 4. [`broker::publish`]: mapping, permission, match, delivery here, forwarding there, other accounts, no-responders.
//!    The match asks [`account::table`] who sees the subject as a stream and which service takes it;
//!    `broker::services` makes the requests and takes the answers back.
//! 5. [`broker::deliver`]: targets and queue groups; [`broker::outbox`]: bytes waiting for one connection; `broker::spelled`:
//!    a long run to many, which waits nowhere.
//! 6. [`broker::forward`]: the same from and to other shards; [`shard::mesh`]: the queues between them.
//!
//! Beside that line: [`subject`] (patterns and the set of them), [`broker::interest`] (who wants which pattern),
//! [`broker::matching`] (the answer to "who gets this subject", cached), [`account::compiler`]
//! (configuration to tables), [`auth`] (who a client is, what it may do), [`config`] (the file), [`cli`] (the flags), [`control`] (boot, workers, signals, log), [`explain`] (the road of a message,
//! said from the same tables), [`bench`](mod@bench)
//! (the load generator, a user of the broker like any other).
//!
//! # Invariants
//!
//! - Modules import downward only: control → shard → session → broker → account → auth → config → proto, subject.
//!   Everything below `shard` is pure: no sockets, no clock, no global randomness. A test holds both (`tests/tidy.rs`).
//! - The data path takes no lock and touches no memory that another shard writes, but the ends of the queues.
//! - `unsafe` is in [`shard`] only.
//! - A shard's turn is: reap the ring, empty the mesh, handle what was reaped, push into the mesh, flush. A PONG
//!   leaves only when everything its client did before is in the mesh. From these two follow both barriers: a
//!   publish that anybody sends after the PONG behind a SUB finds that SUB on every shard, and a PONG follows
//!   every message whose publisher had its own PONG before.
//! - Every queue has a bound. A full mesh stops the reading of the connections that fill it; a subscriber that is
//!   far behind slows down who feeds it, piece by piece, and is cut at `max_pending`.
//! - A shard never waits for anything but its ring: hashing, files, logs and signals are on other threads.

pub mod account;
pub mod auth;
pub mod bench;
pub mod broker;
pub mod cli;
pub mod config;
pub mod control;
pub mod explain;
pub mod proto;
pub mod session;
pub mod shard;
pub mod subject;
pub mod transport;

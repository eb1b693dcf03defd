//! A shard: one thread's connections, its share of the broker, its ring and its ends of the mesh.
//!
//! A turn: [`Shard::poll`] submits, waits and reaps; [`Shard::step`] empties the mesh, handles what was reaped,
//! looks at the clock, pushes into the mesh, and flushes each connection once. The order is what the
//! barriers of the mesh rest on (see [`mesh`]). This module is the only home of `unsafe`.

#![allow(unsafe_code)]

pub mod connections;
pub mod input;
pub mod jobs;
pub mod lent;
pub mod lifecycle;
pub mod memory;
pub mod mesh;
pub mod mesh_queue;
pub mod ring;
pub mod run;
pub mod secure;
pub mod sleep;
mod slice;
pub mod swap;
pub mod timers;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::mpsc::{Receiver, Sender};

use crate::auth::Outcome;
use crate::broker::effect::{Batch, ConnId, Effect, Outlet};
use crate::broker::events::NodeName;
use crate::broker::{Broker, PastRing};
pub use crate::session::Snapshot;
use crate::session::{Context, Port};
use crate::transport::tls::{Scratch, Step};

use connections::{Connections, Wires};
pub use jobs::{Job, Jobs, Task};
use mesh::{Item, Mesh};
use ring::{Event, LARGE_BYTES, Ring, Token, Wait};
use secure::Rate;
use swap::Judging;
use timers::Timers;

/// With so many connections that have output at the end of a turn, or fewer, it is not left to the ring.
const SENT_AT_ONCE_MAX: usize = 8;

/// What the node's threads share: counts touched when connections come and go, never by a message.
#[derive(Debug)]
pub struct Node {
    /// Connections of each shard.
    pub connections: Vec<AtomicU32>,
    /// The last client number given.
    pub last_client_id: AtomicU64,
    /// TLS handshakes of this second.
    pub handshakes: Rate,
}

impl Node {
    /// A node without connections.
    pub fn new(shards: usize) -> Arc<Self> {
        Arc::new(Node {
            connections: (0..shards).map(|_| AtomicU32::new(0)).collect(),
            last_client_id: AtomicU64::new(0),
            handshakes: Rate::default(),
        })
    }
}

/// What others tell a shard, besides the mesh.
#[derive(Debug)]
pub enum ToShard {
    /// The verdict on a connection's credentials, under the number it was asked for by.
    Verified(Token, u32, Outcome),
    /// What came of a step of a TLS handshake.
    Handshaken(Token, Step),
    /// A connection of the broker itself.
    Internal {
        /// The shard's end; does not block.
        socket: OwnedFd,
        /// Which account it is in.
        account: Arc<str>,
    },
    /// Go on under another snapshot.
    Swap(Swap),
    /// Close connections, the newest first: there are more than there may be from now on.
    Shed(Surplus),
    /// Close everything and end.
    Stop,
}

/// Which connections are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// So many of this shard, by `max_connections` of the node.
    OfNode(usize),
    /// As many of each account as it has more than its own `max_connections`, on whichever shards.
    OfAccounts,
}

/// A snapshot for a shard, and the way back for the one it has had.
#[derive(Debug)]
pub struct Swap {
    /// What is in force from now on.
    pub snapshot: Arc<Snapshot>,
    /// Where the old one goes when no connection of the shard is under it any more: it is freed there, as that may
    /// take long.
    pub done: Sender<Arc<Snapshot>>,
}

/// One shard.
pub struct Shard<R: Ring> {
    index: usize,
    ring: R,
    snapshot: Arc<Snapshot>,
    context: Context,
    broker: Broker,
    connections: Connections,
    mesh: Mesh,
    timers: Timers,
    node: Arc<Node>,
    jobs: Jobs,
    inbox: Receiver<ToShard>,
    events: Vec<Event>,
    /// Bytes from clients in them.
    came_bytes: usize,
    effects: VecDeque<Effect>,
    dirty: Vec<ConnId>,
    /// From so much input at once on, what came before it goes out first.
    large_bytes: usize,
    awaiting_mesh: Vec<Token>,
    judging: Judging,
    scratch: Scratch,
    /// It seldom sleeps: the end of a send is no wake-up.
    always_looks: bool,
    /// The log may be told again that clients are held back, the loop's milliseconds.
    stall_told_ms: u64,
    stopping: bool,
}

/// What a shard is made of.
pub struct Parts<R: Ring> {
    /// Its number.
    pub index: usize,
    /// Its ring.
    pub ring: R,
    /// What is in force.
    pub snapshot: Arc<Snapshot>,
    /// Unix time of the loop's clock at 0, milliseconds.
    pub start_unix_ms: i64,
    /// What nonces come from; secret.
    pub nonce_seed: [u8; 32],
    /// Its core; limits and tables are set from the snapshot.
    pub broker: Broker,
    /// Its ends of the mesh.
    pub mesh: Mesh,
    /// What all shards share.
    pub node: Arc<Node>,
    /// Where slow verification is asked for.
    pub jobs: Jobs,
    /// Where others speak to it.
    pub inbox: Receiver<ToShard>,
}

/// What the ring brought in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct News {
    /// Somebody wants something: the end of a send alone is none.
    pub any: bool,
    /// Bytes that clients sent.
    pub bytes: usize,
}

/// Ring and mesh, as a session sees them.
struct Io<'a, R: Ring> {
    ring: &'a mut R,
    mesh: &'a mut Mesh,
    wires: &'a Wires,
}

impl<R: Ring> Outlet for Io<'_, R> {
    fn send_now(&mut self, conn: ConnId, parts: &[IoSlice<'_>]) -> usize {
        let wire = self.wires.get(conn);
        // What is sealed goes out at the end of the turn.
        if wire.secure {
            return 0;
        }
        self.ring.send_now(wire.fd, parts)
    }

    #[inline(always)]
    fn prefetch(&self, address: *const u8) {
        memory::prefetch(address);
    }
}

impl<R: Ring> Port for Io<'_, R> {
    fn push_mesh(&mut self, batches: &mut [Batch]) -> bool {
        self.mesh.push(batches, |shard| self.ring.wake(shard))
    }
}

impl<R: Ring> Shard<R> {
    /// A shard without connections.
    pub fn new(mut parts: Parts<R>) -> Self {
        let mut context = Context::of(&parts.snapshot, parts.nonce_seed);
        context.start_unix_ms = parts.start_unix_ms;
        parts
            .mesh
            .set_pending_bytes_max(parts.snapshot.limits.pending_bytes_max);
        parts.broker.set_pending(parts.snapshot.pending());
        parts.broker.set_table(parts.snapshot.table.clone());
        let info = &context.info;
        parts.broker.introduce(NodeName {
            name: info.server_name.as_str().into(),
            host: info.host.as_str().into(),
            id: info.server_id.as_str().into(),
            start_unix_ms: context.start_unix_ms,
            labels: parts.snapshot.labels.clone(),
        });
        Shard {
            index: parts.index,
            ring: parts.ring,
            snapshot: parts.snapshot,
            context,
            broker: parts.broker,
            connections: Connections::default(),
            mesh: parts.mesh,
            timers: Timers::default(),
            node: parts.node,
            jobs: parts.jobs,
            inbox: parts.inbox,
            events: Vec::new(),
            came_bytes: 0,
            effects: VecDeque::new(),
            dirty: Vec::new(),
            large_bytes: LARGE_BYTES,
            awaiting_mesh: Vec::new(),
            judging: Judging::default(),
            scratch: Scratch::default(),
            always_looks: false,
            stall_told_ms: 0,
            stopping: false,
        }
    }

    /// First half of a turn: submits, waits as told, reaps.
    pub fn poll(&mut self, wait: Wait) -> io::Result<News> {
        self.ring.turn(wait, &mut self.events)?;
        let mut news = News::default();
        for event in &self.events {
            match event {
                Event::Sent { .. } => {}
                Event::Received { len, .. } => {
                    news.any = true;
                    news.bytes += len;
                }
                _ => news.any = true,
            }
        }
        self.came_bytes = news.bytes;
        Ok(news)
    }

    /// Second half: handles everything there is, at this time (milliseconds from any start).
    pub fn step(&mut self, now_ms: u64) {
        self.context.now_ms = now_ms;
        self.broker.set_time(now_ms);
        self.context.now_ns = self.broker.now_ns();
        self.broker.begin_turn(self.came_bytes);
        self.drain_mesh();
        let mut events = std::mem::take(&mut self.events);
        let mut small = true;
        for event in events.drain(..) {
            if small && matches!(event, Event::Received { len, .. } if len >= self.large_bytes) {
                small = false;
                self.push_out();
            }
            self.handle(event);
            self.obey();
        }
        self.events = events;
        while let Some((due_ms, token)) = self.timers.pop_due(now_ms) {
            self.on_time(due_ms, token);
            self.obey();
        }
        self.broker.end_late_requests();
        self.judge_some();
        self.push_mesh();
        self.flush();
    }

    /// Applies what other shards had sent when this began.
    fn drain_mesh(&mut self) {
        for from in 0..self.mesh.count() {
            for _ in 0..self.mesh.arrived(from) {
                match self.mesh.pop(from) {
                    Some(Item::Batch(batch)) => {
                        let mut io = Io {
                            ring: &mut self.ring,
                            mesh: &mut self.mesh,
                            wires: &self.connections.wires,
                        };
                        self.broker.apply(from as u8, &batch, &mut io);
                        self.mesh.reuse(batch);
                        self.obey();
                    }
                    Some(Item::Arrival(arrival)) => {
                        self.adopt(arrival);
                        self.obey();
                    }
                    None => break,
                }
            }
        }
    }

    /// Puts batches into the mesh; sessions that waited for room go on.
    fn push_mesh(&mut self) {
        self.publish_events();
        let clear = self
            .mesh
            .push(self.broker.batches(), |shard| self.ring.wake(shard));
        if clear && !self.awaiting_mesh.is_empty() {
            for token in std::mem::take(&mut self.awaiting_mesh) {
                self.mesh_has_room(token);
                self.obey();
            }
            self.publish_events();
            self.mesh
                .push(self.broker.batches(), |shard| self.ring.wake(shard));
        }
    }

    /// Much is to be worked on: who is answered already does not wait for that.
    fn push_out(&mut self) {
        if self.broker.has_output() {
            self.push_mesh();
            self.flush();
            // What fails here fails in the next turn again, which says so.
            let _ = self.ring.submit();
        }
    }

    /// What the broker itself has to say in accounts.
    fn publish_events(&mut self) {
        let mut io = Io {
            ring: &mut self.ring,
            mesh: &mut self.mesh,
            wires: &self.connections.wires,
        };
        self.broker.publish_events(&mut io);
        self.obey();
    }

    /// Sends what connections have waiting: once a turn for each. Where they are few it goes past the ring: the end of a
    /// send in the ring would wake this shard once more (measured: `perf/`, `request-together`).
    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.broker.take_dirty(&mut dirty);
        let few = dirty.len() <= SENT_AT_ONCE_MAX && !self.always_looks;
        for conn in dirty.drain(..) {
            if few {
                self.send_past_ring(conn, PastRing::Little);
            }
            self.send_next(conn);
        }
        self.dirty = dirty;
    }

    /// Sends what the socket takes now; what is left is for the ring.
    fn send_past_ring(&mut self, conn: ConnId, this: PastRing) {
        let wire = self.connections.wires.get(conn);
        if !wire.secure {
            let ring = &mut self.ring;
            self.broker
                .send_past_ring(conn, this, |parts| ring.send_now(wire.fd, parts));
        }
    }

    /// Gives the next chunk of a connection to the ring, if there is one and none is in flight.
    fn send_next(&mut self, conn: ConnId) {
        let wire = self.connections.wires.get(conn);
        if wire.secure {
            self.send_secure(conn);
        } else if let Some(chunk) = self.broker.next_chunk(conn) {
            self.ring
                .send(self.connections.wires.token(conn), wire.fd, chunk);
        }
        self.schedule(conn);
    }

    /// Whether everything has been closed after [`ToShard::Stop`].
    pub fn is_done(&self) -> bool {
        self.stopping && self.connections.is_empty()
    }

    /// The core, for tests that look into it.
    pub fn broker(&mut self) -> &mut Broker {
        &mut self.broker
    }

    /// The ring, for boot.
    pub fn ring(&mut self) -> &mut R {
        &mut self.ring
    }

    /// What holds between turns, for tests: most of the times that are kept are those of connections that are there.
    pub fn invariants(&self) {
        assert!(!self.timers.is_stale(self.connections.len()));
    }

    /// Nothing in the mesh, here or on the way out?
    pub fn mesh_is_idle(&mut self) -> bool {
        self.mesh.is_clear() && !self.mesh.has_arrivals()
    }

    /// From how many bytes of input on what came before it goes out first: for the simulation, whose input is small.
    pub fn set_large_bytes(&mut self, bytes: usize) {
        self.large_bytes = bytes;
    }

    /// Nothing had to stay behind for want of room in the mesh?
    pub fn mesh_is_clear(&self) -> bool {
        self.mesh.is_clear()
    }

    /// When the clock must be looked at next, milliseconds.
    pub fn next_time_ms(&self) -> Option<u64> {
        let times = [self.timers.next_ms(), self.broker.due_ms()];
        times.into_iter().flatten().min()
    }
}

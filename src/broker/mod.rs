//! The pure core of a shard: interest, matching, delivery. No sockets, no clock, no global randomness.
//!
//! One message, in the order of the files: [`publish`] (mapping, permission, match, other shards,
//! no-responders), [`deliver`] (targets, queue groups), [`outbox`] (bytes for one connection). What the core
//! cannot do itself it asks for: full chunks go to an [`effect::Outlet`], records for other shards into a
//! [`effect::Batch`] a shard, the rest is an [`effect::Effect`].

mod answers;
mod comings;
mod deadlines;
pub mod deliver;
pub mod denials;
pub mod effect;
pub mod events;
pub mod forward;
mod headers;
pub mod interest;
mod latency;
pub mod matching;
mod no_responders;
pub mod outbox;
pub mod peer;
pub mod publish;
mod replies;
pub mod run;
mod services;
pub mod shown;
mod spell;
mod spelled;
pub mod subscribe;
pub mod trace;
mod traced;
pub(crate) mod user_info;
pub mod who;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io::IoSlice;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use slab::Slab;

use crate::account::table::{AccountTable, RoutingTable};
use crate::account::{AccountId, GLOBAL};
use crate::auth::{Permissions, ResponseTracker};
use crate::proto::handshake::ConnectOptions;

use answers::Answers;
use effect::{Batch, ConnId, Effect, Origin};
use events::Events;
use interest::{Interest, SHARDS_MAX, Sub, SubId};
use matching::MatchCache;
use outbox::{Chunk, ChunkPool};
use peer::{Peer, Traffic};
use shown::Traced;
use spelled::Spelled;
use trace::Traces;
use who::Introductions;

/// How far a connection may fall behind.
#[derive(Clone, Copy, Debug)]
pub struct PendingLimits {
    /// `max_pending`: over it the connection is cut.
    pub pending_bytes_max: u64,
    /// From here on publishers that feed it are held back; `None` never.
    pub hold_bytes: Option<u64>,
    /// The lesser of the two: from here on somebody is held back or cut.
    bound_bytes: u64,
    /// Below, nothing is to be done after bytes were added, but for the first that goes out in a turn.
    attention_bytes: u64,
}

impl PendingLimits {
    /// Publishers are held back from half of `max_pending` on: what is on its way by then, from every publisher on every
    /// shard a message of up to `max_payload`, and the pieces that follow must find room in the rest. (The oracle holds
    /// back from three quarters on, and many publishers of large messages cut a subscriber there.)
    pub fn new(pending_bytes_max: u64, no_fast_producer_stall: bool) -> Self {
        let hold_bytes = (!no_fast_producer_stall).then_some(pending_bytes_max / 2);
        let least = hold_bytes.unwrap_or(pending_bytes_max);
        PendingLimits {
            pending_bytes_max,
            hold_bytes,
            bound_bytes: least,
            attention_bytes: least.min(outbox::EAGER_BYTES),
        }
    }
}

/// Which shard this is, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPlace {
    /// This shard.
    pub index: u8,
    /// All of them.
    pub count: u8,
}

/// The core of one shard.
///
/// Invariants: `peers[conn]` is `Some` exactly for open connections; every subscription in `subs` is in its
/// connection's table and in its pattern's list; `limits` has a key for exactly the `limited` ones.
#[derive(Debug)]
pub struct Broker {
    place: ShardPlace,
    pending: PendingLimits,
    /// How much has come in this turn.
    turn_bytes: usize,
    /// Below, nothing is to be done after bytes were added: less where the first that goes out in this turn goes out early.
    attention_bytes: u64,
    table: Arc<RoutingTable>,
    accounts: Vec<Interest>,
    answers: Answers,
    introductions: Introductions,
    /// Memory for messages that the broker makes.
    spelled: Vec<u8>,
    events: Events,
    traces: Traces,
    peers: Vec<Option<Box<Peer>>>,
    subs: Slab<Sub>,
    limits: HashMap<SubId, u64>,
    sid_hasher: FixedState,
    /// Taken out while an answer is in use.
    cache: Option<Box<MatchCache>>,
    pool: ChunkPool,
    /// Memory for runs that many get.
    spread: Spelled,
    seed: u64,
    random: u64,
    now_ms: u64,
    now_ns: u64,
    batches: Vec<Batch>,
    dirty: Vec<ConnId>,
    effects: Vec<Effect>,
    expired: Vec<SubId>,
    /// What connections that have gone had received and sent.
    gone: [Traffic; 2],
    /// Connections cut for being slow.
    pub slow_consumers: u64,
}

/// Room for so many subscriptions is kept when there are fewer.
const SUBS_KEPT: usize = 4096;

/// What goes out without the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastRing {
    /// What little there is; not where a publisher is held back until it is sent.
    Little,
    /// Much, where the socket has taken all so far. What comes behind a long queue is copied into it and read again when it
    /// is out of the cache; where there is none, large messages go out from where they are (measured: `perf/`,
    /// `1to1-16384`).
    Arrears,
}

/// What is more goes out by the ring: meanwhile more comes behind it, and large pieces cost less (measured: `perf/`,
/// `1to1-1024`).
const SENT_AT_ONCE_BYTES_MAX: u64 = 8 * 1024;

impl Broker {
    /// A core without connections. All randomness comes from `seed`.
    pub fn new(place: ShardPlace, pending: PendingLimits, seed: u64) -> Self {
        assert!(place.index < place.count && usize::from(place.count) <= SHARDS_MAX);
        Broker {
            place,
            pending,
            turn_bytes: 0,
            attention_bytes: pending.attention_bytes,
            table: Arc::default(),
            accounts: vec![Interest::new(seed)],
            answers: Answers::new(place, seed),
            introductions: Introductions::default(),
            spelled: Vec::new(),
            events: Events::default(),
            traces: Traces::default(),
            peers: Vec::new(),
            subs: Slab::new(),
            limits: HashMap::new(),
            sid_hasher: FixedState::with_seed(seed ^ 0x5bd1_e995),
            cache: Some(Box::new(MatchCache::new(seed))),
            pool: ChunkPool::default(),
            spread: Spelled::default(),
            seed,
            random: seed | 1,
            now_ms: 0,
            now_ns: 0,
            batches: (0..place.count).map(|_| Batch::default()).collect(),
            dirty: Vec::new(),
            effects: Vec::new(),
            expired: Vec::new(),
            gone: [Traffic::default(); 2],
            slow_consumers: 0,
        }
    }

    /// Tells the core what time it is, in milliseconds from any start.
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.now_ns = self.now_ns.max(now_ms * 1_000_000);
        self.answers.set_time(now_ms);
    }

    /// A turn begins, in which so many bytes came from clients.
    pub fn begin_turn(&mut self, bytes: usize) {
        self.turn_bytes = 0;
        self.attention_bytes = self.pending.attention_bytes.min(outbox::FIRST_BYTES);
        self.take_in(bytes);
    }

    /// So many bytes of messages came in this turn as well.
    fn take_in(&mut self, bytes: usize) {
        self.turn_bytes += bytes;
        if self.turn_bytes > outbox::FIRST_OF_BYTES_MAX {
            self.attention_bytes = self.pending.attention_bytes;
        }
    }

    /// Ends requests whose time has passed. Answers that lie there when a turn begins may have come in time, however late
    /// the turn: this comes behind them.
    pub fn end_late_requests(&mut self) {
        self.answers.expire();
    }

    /// Tells it more exactly, for what is measured: nanoseconds from the same start.
    pub fn set_clock_ns(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// How far connections may fall behind, from now on.
    pub fn set_pending(&mut self, pending: PendingLimits) {
        self.pending = pending;
    }

    /// The tables of the accounts, from now on. Accounts keep their numbers from one table to the next. Connections
    /// are put right one by one, by [`Broker::account_again`].
    pub fn set_table(&mut self, table: Arc<RoutingTable>) {
        self.know_accounts(table.len());
        self.table = table;
        self.introductions = Introductions::default();
        for interest in &mut self.accounts {
            interest.generation += 1;
        }
    }

    /// What the table says of a connection's account, looked at anew.
    pub fn account_again(&mut self, conn: ConnId) {
        let account = self.peer(conn).account;
        let has_mappings = self.table.account(account).has_mappings();
        let peer = self.peer(conn);
        peer.mapped = has_mappings && !peer.internal;
    }

    /// Makes room for accounts with numbers below this one: another shard may speak of an account before this one
    /// has its table.
    fn know_accounts(&mut self, count: usize) {
        let seed = self.seed;
        if self.accounts.len() < count {
            self.accounts.resize_with(count, || Interest::new(seed));
        }
    }

    /// Puts a connection without subscriptions into an account. False, and nothing is done, if there is none of this
    /// name.
    #[must_use]
    pub fn set_account(&mut self, conn: ConnId, name: &str) -> bool {
        let Some(account) = self.table.find(name) else {
            return false;
        };
        let mapped = self.table.account(account).has_mappings();
        if self.peer(conn).account != account {
            self.unsubscribe_all(conn);
        }
        let peer = self.peer(conn);
        peer.account = account;
        peer.mapped = mapped && !peer.internal;
        true
    }

    /// The table of a connection's account.
    pub fn account_table(&self, conn: ConnId) -> &AccountTable {
        let peer = self.find_peer(conn).expect("an open connection");
        self.table.account(peer.account)
    }

    /// Whether a connection is in the system's account.
    pub fn is_system(&self, conn: ConnId) -> bool {
        let account = self.find_peer(conn).map(|peer| peer.account);
        account.is_some() && account == self.table.system
    }

    /// A connection has come.
    pub fn open(&mut self, conn: ConnId, generation: u32) {
        let at = conn as usize;
        if at >= self.peers.len() {
            self.peers.resize_with(at + 1, || None);
        }
        assert!(self.peers[at].is_none(), "slot {conn} is taken");
        self.peers[at] = Some(Box::new(Peer::new(Origin {
            shard: self.place.index,
            conn,
            generation,
        })));
    }

    /// A connection has gone: its subscriptions end, publishers it held back go on.
    pub fn close(&mut self, conn: ConnId) {
        self.unsubscribe_all(conn);
        let Some(mut peer) = self.peers[conn as usize].take() else {
            return;
        };
        peer.outbox.clear(&mut self.pool);
        self.gone[0] += peer.received;
        self.gone[1] += peer.sent;
        self.release(&mut peer);
    }

    /// The delivery side of an open connection.
    pub fn peer(&mut self, conn: ConnId) -> &mut Peer {
        self.peers[conn as usize]
            .as_mut()
            .expect("an open connection")
    }

    /// The delivery side of a connection, if it is open.
    pub fn find_peer(&self, conn: ConnId) -> Option<&Peer> {
        self.peers.get(conn as usize)?.as_deref()
    }

    /// Protocol bytes for a connection. Who does not read its answers is cut like who does not read messages.
    pub fn push(&mut self, conn: ConnId, bytes: &[u8]) {
        let peer = self.peers[conn as usize]
            .as_mut()
            .expect("an open connection");
        peer.outbox.push(&mut self.pool, bytes);
        if !peer.dirty {
            peer.dirty = true;
            self.dirty.push(conn);
        }
        if peer.outbox.pending_bytes() > self.pending.pending_bytes_max && !peer.closing {
            self.cut(conn);
        }
    }

    /// A connection is too far behind: it is closed as soon as the loop hears of it.
    #[cold]
    fn cut(&mut self, conn: ConnId) {
        self.peer(conn).closing = true;
        self.slow_consumers += 1;
        let reason = effect::CloseReason::SlowConsumerPendingBytes;
        self.effects.push(Effect::Cut(conn, reason));
    }

    /// Connections with something new to send, each once.
    pub fn take_dirty(&mut self, into: &mut Vec<ConnId>) {
        for conn in self.dirty.drain(..) {
            if let Some(Some(peer)) = self.peers.get_mut(conn as usize)
                && peer.dirty
            {
                peer.dirty = false;
                into.push(conn);
            }
        }
    }

    /// Whether anything was put into an outbox since [`Self::take_dirty`].
    pub fn has_output(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The next chunk of a connection, unless one is in flight or nothing waits.
    pub fn next_chunk(&mut self, conn: ConnId) -> Option<Chunk> {
        self.peers[conn as usize].as_mut()?.outbox.next(self.now_ms)
    }

    /// Offers what waits for a connection to `send`, which returns how many bytes it took, if it is `this`.
    pub fn send_past_ring(
        &mut self,
        conn: ConnId,
        this: PastRing,
        send: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) {
        let Some(Some(peer)) = self.peers.get_mut(conn as usize) else {
            return;
        };
        let outbox = &peer.outbox;
        let is_this = match this {
            PastRing::Little => {
                peer.waiting.is_empty()
                    && (1..=SENT_AT_ONCE_BYTES_MAX).contains(&outbox.pending_bytes())
            }
            PastRing::Arrears => outbox.is_behind(),
        };
        if is_this && outbox.may_offer() && !peer.closing {
            peer.outbox.offer(&mut self.pool, send);
            self.after_sent(conn);
        }
    }

    /// Since when a chunk of a connection is with the kernel.
    pub fn sending_since_ms(&self, conn: ConnId) -> Option<u64> {
        self.find_peer(conn)?.outbox.in_flight_since_ms()
    }

    /// A chunk came back from the kernel, which took `sent` bytes of it.
    pub fn chunk_sent(&mut self, conn: ConnId, chunk: Chunk, sent: usize) {
        let Some(Some(peer)) = self.peers.get_mut(conn as usize) else {
            self.pool.give(chunk);
            return;
        };
        peer.outbox.sent(&mut self.pool, chunk, sent);
        self.after_sent(conn);
    }

    /// A connection has less waiting: whom it held back goes on, if that is little enough.
    fn after_sent(&mut self, conn: ConnId) {
        let hold = self.pending.hold_bytes.unwrap_or(u64::MAX);
        let peer = self.peer(conn);
        if !peer.waiting.is_empty() && peer.outbox.pending_bytes() < hold {
            let mut peer = self.peers[conn as usize].take().expect("seen above");
            self.release(&mut peer);
            self.peers[conn as usize] = Some(peer);
        }
    }

    /// There is traffic: gives memory back that it has not wanted lately. To be called every now and then.
    pub fn tend(&mut self) {
        self.pool.tend();
    }

    /// Gives memory back: there has been no traffic for a while.
    pub fn trim(&mut self) {
        self.pool.trim();
        self.accounts.iter_mut().for_each(Interest::trim);
        let capacity = self.subs.capacity();
        if capacity > SUBS_KEPT && self.subs.len() < capacity / 4 {
            self.subs.shrink_to_fit();
        }
    }

    /// An empty chunk of the pool.
    pub fn spare_chunk(&mut self) -> Chunk {
        self.pool.take()
    }

    /// A chunk whose connection has gone.
    pub fn chunk_done(&mut self, chunk: Chunk) {
        self.pool.give(chunk);
    }

    /// Lets the publishers that a connection held back go on.
    fn release(&mut self, peer: &mut Peer) {
        for origin in std::mem::take(&mut peer.waiting) {
            if origin.shard == self.place.index {
                self.effects.push(Effect::Release(origin));
            } else {
                self.batches[usize::from(origin.shard)]
                    .records
                    .push(effect::Record::Release(origin));
            }
        }
    }

    /// What the loop must do, in this order, behind what it has not done yet.
    pub fn take_effects(&mut self, into: &mut VecDeque<Effect>) {
        into.extend(self.effects.drain(..));
    }

    /// What CONNECT said that concerns delivery. Cached matches know whether a client takes headers.
    pub fn set_options(&mut self, conn: ConnId, headers: bool, options: &ConnectOptions) {
        let peer = self.peer(conn);
        peer.headers = headers;
        peer.echo = options.echo;
        peer.verbose = options.verbose;
        peer.no_responders = options.no_responders;
        self.matches_void(conn);
    }

    /// What the client's user may do.
    pub fn set_permissions(&mut self, conn: ConnId, permissions: Option<Arc<Permissions>>) {
        let seed = self.seed;
        let peer = self.peer(conn);
        peer.responses = permissions
            .as_ref()
            .and_then(|p| ResponseTracker::new(p, seed))
            .map(Box::new);
        peer.permissions = permissions;
        self.matches_void(conn);
    }

    /// What the client's user may do from now on. What it may answer to stays where the new permissions say the same
    /// of answers. Subscriptions are looked at one by one: see [`Broker::recheck`].
    pub fn change_permissions(&mut self, conn: ConnId, permissions: Option<Arc<Permissions>>) {
        let peer = self.peer(conn);
        let mut tracker = peer.responses.take();
        tracker.take_if(|tracker| !permissions.as_ref().is_some_and(|p| tracker.go_on(p)));
        self.set_permissions(conn, permissions);
        if tracker.is_some() {
            self.peer(conn).responses = tracker;
        }
    }

    /// How the log shows what a connection hears, while operations are traced.
    pub fn set_traced(&mut self, conn: ConnId, traced: Option<Box<Traced>>) {
        self.peer(conn).traced = traced;
        self.matches_void(conn);
    }

    /// What cached matches know of a connection has changed.
    fn matches_void(&mut self, conn: ConnId) {
        let peer = self.peer(conn);
        if !peer.subs.is_empty() {
            let account = peer.account;
            self.interest(account).generation += 1;
        }
    }

    /// The batches of all shards; this shard's own stays empty.
    pub fn batches(&mut self) -> &mut [Batch] {
        &mut self.batches
    }

    /// Records for another shard, to be pushed into the mesh and cleared.
    pub fn batch(&mut self, shard: usize) -> &mut Batch {
        &mut self.batches[shard]
    }

    /// All messages from clients of this shard, and to them. Looks at every connection.
    pub fn traffic(&self) -> [Traffic; 2] {
        let mut traffic = self.gone;
        for peer in self.peers.iter().flatten() {
            traffic[0] += peer.received;
            traffic[1] += peer.sent;
        }
        traffic
    }

    /// How many subscriptions there are on this shard.
    pub fn subscription_count(&self) -> usize {
        self.subs.len()
    }

    /// How many patterns the global account knows, remote ones included.
    pub fn pattern_count(&self) -> usize {
        self.accounts[GLOBAL.0 as usize].pattern_count()
    }

    fn interest(&mut self, account: AccountId) -> &mut Interest {
        &mut self.accounts[account.0 as usize]
    }

    /// The cache of answers, for one use: [`Broker::put_cache`] gives it back.
    #[inline(always)]
    fn take_cache(&mut self) -> Box<MatchCache> {
        self.cache.take().expect("one use at a time")
    }

    #[inline(always)]
    fn put_cache(&mut self, cache: Box<MatchCache>) {
        let none = self.cache.replace(cache);
        debug_assert!(none.is_none());
        // Nothing to drop, which the compiler cannot know.
        std::mem::forget(none);
    }

    fn sid_hash(&self, sid: &[u8]) -> u64 {
        self.sid_hasher.hash_one(sid)
    }

    /// A number below `bound`, evenly enough.
    fn random_below(&mut self, bound: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (((self.random >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Other shards, by number.
    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let place = self.place;
        (0..usize::from(place.count)).filter(move |shard| *shard != usize::from(place.index))
    }
}

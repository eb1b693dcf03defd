//! One simulated node with its clients: who acts when, and what is looked at from outside. Owns the clock and all
//! chance; what clients must receive is the model's to say.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};

use gannet::auth::Authenticator;
use gannet::broker::{Broker, PendingLimits, ShardPlace};
use gannet::config::{Config, Limits};
use gannet::proto::handshake::Info;
use gannet::session::Snapshot;
use gannet::shard::jobs::Incoming;
use gannet::shard::mesh;
use gannet::shard::ring::Ring;
use gannet::shard::{Jobs, Node, Parts, Shard, ToShard};

use super::client::{Client, State};
use super::model::{Model, Seen};
use super::net::Net;
use super::ring::SimRing;
use super::rng::Rng;
use super::scenario::Scenario;
use super::thread::{Did, Thread};

/// Actions between two rests.
const EPOCH_STEPS: usize = 1_000;

/// Actions after which a world that was left alone must have come to rest.
const REST_STEPS_MAX: usize = 2_000_000;

/// Longest time that may have to pass before it does: publishers are held back for 10 ms at a time.
const REST_MS_MAX: u64 = 300;

/// A closing connection may take this long for its last bytes; less a little.
const CLOSE_MS: u64 = 1_500;

/// What a world saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Actions.
    pub steps: u64,
    /// Of messages.
    pub seen: Seen,
    /// Slow subscribers cut.
    pub cuts: u64,
    /// Connections that broke.
    pub broken: u64,
    /// Connections closed in order.
    pub closed: u64,
    /// Sleeps.
    pub sleeps: u64,
    /// Turns that had to leave something behind because a mesh queue was full.
    pub full_mesh: u64,
    /// Everything every client was sent, boiled down.
    pub fingerprint: u64,
}

/// A node and its clients.
pub struct World {
    rng: Rng,
    scenario: Scenario,
    net: Rc<RefCell<Net>>,
    threads: Vec<Thread>,
    node: Arc<Node>,
    clients: Vec<Client>,
    client_weights: Vec<usize>,
    model: Model,
    now_ms: u64,
    slow_consumers: u64,
    fingerprint: DefaultHasher,
    report: Report,
    trace: bool,
    _inboxes: Vec<mpsc::Sender<ToShard>>,
    _jobs: Incoming,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let scenario = Scenario::new(&mut rng);
        if trace {
            eprintln!("{scenario:#?}");
        }
        let net = Rc::new(RefCell::new(Net::new(scenario.shards, scenario.pipe_bytes)));
        let node = Node::new(scenario.shards);
        let (jobs, jobs_out) = Jobs::channels();
        let mut inboxes = Vec::new();
        let mut threads = Vec::new();
        let meshes = mesh::connect_with_capacity(scenario.shards, scenario.mesh_items);
        for (index, mesh) in meshes.into_iter().enumerate() {
            let (inbox_in, inbox) = mpsc::channel();
            inboxes.push(inbox_in);
            let chances = scenario.chances;
            let ring = SimRing::new(index, net.clone(), rng.fork(), chances, scenario.buffers);
            let mut shard = Shard::new(Parts {
                index,
                ring,
                snapshot: Arc::new(snapshot(&scenario)),
                start_unix_ms: 0,
                nonce_seed: [0; 32],
                broker: broker(&scenario, index, rng.next()),
                mesh,
                node: node.clone(),
                jobs: jobs.clone(),
                inbox,
            });
            shard.set_large_bytes(scenario.large_bytes);
            if index == 0 {
                shard.ring().accept(0);
            }
            threads.push(Thread::new(shard));
        }
        World {
            rng,
            scenario,
            net,
            threads,
            node,
            clients: Vec::new(),
            client_weights: Vec::new(),
            model: Model::default(),
            now_ms: 0,
            slow_consumers: 0,
            fingerprint: DefaultHasher::new(),
            report: Report::default(),
            trace,
            _inboxes: inboxes,
            _jobs: jobs_out,
        }
    }

    /// Lets so many actions happen, in epochs with a rest behind each, then sends everybody home.
    pub fn run(mut self, steps: usize) -> Result<Report, String> {
        let mut left = steps;
        while left > 0 {
            let epoch = left.min(EPOCH_STEPS);
            left -= epoch;
            self.shift_weights();
            for step in 0..epoch {
                if step % 100 == 99 {
                    self.shift_weights();
                }
                self.come();
                self.act()?;
            }
            self.rest()?;
        }
        for at in 0..self.clients.len() {
            if self.clients[at].state == State::Open {
                self.clients[at].shut(&mut self.model, self.now_ms);
            }
        }
        self.rest()?;
        self.nothing_is_left()?;
        self.report.seen = self.model.seen;
        self.report.cuts = self.slow_consumers;
        self.report.fingerprint = self.fingerprint.finish();
        Ok(self.report)
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:6} {:6} ms  {}", self.report.steps, self.now_ms, text());
        }
    }

    /// Some are quick now and some slow, or do nothing at all for a while.
    fn shift_weights(&mut self) {
        for thread in &mut self.threads {
            thread.weight = self.rng.pick(&[0, 1, 4, 4, 16]);
        }
        for weight in &mut self.client_weights {
            *weight = self.rng.pick(&[0, 1, 2, 2, 8]);
        }
        if self.threads.iter().all(|thread| thread.weight == 0) {
            self.threads[0].weight = 1;
        }
    }

    fn come(&mut self) {
        let here = self.clients.iter().filter(|c| c.state != State::Gone);
        if here.count() < self.scenario.clients && self.rng.chance(100) {
            let socket = self.net.borrow_mut().connect();
            let client = Client::new(socket, &mut self.rng, &mut self.model);
            self.say(|| format!("client {} connects", client.id));
            self.clients.push(client);
            self.client_weights.push(2);
        }
    }

    /// One action of somebody.
    fn act(&mut self) -> Result<(), String> {
        self.report.steps += 1;
        if self.rng.chance(self.scenario.clock) {
            self.now_ms += self.rng.pick(&[1, 1, 2, 5, 20]);
        }
        let shards: usize = self.threads.iter().map(|thread| thread.weight).sum();
        let clients: usize = self.client_weights.iter().sum();
        // Half of the time is the shards', so that many clients do not starve them.
        if clients == 0 || shards > 0 && self.rng.chance(500) {
            let weights: Vec<usize> = self.threads.iter().map(|t| t.weight).collect();
            let index = self.rng.weighted(&weights);
            self.turn(index)
        } else {
            let at = self.rng.weighted(&self.client_weights);
            self.client_acts(at)
        }
    }

    /// One part of a shard's turn.
    fn turn(&mut self, index: usize) -> Result<(), String> {
        let thread = &mut self.threads[index];
        if !thread.can_turn(self.now_ms) {
            return Ok(());
        }
        let did = thread.turn(&mut self.rng, self.now_ms)?;
        self.say(|| format!("shard {index}: {did:?}"));
        match did {
            Did::FellAsleep => self.report.sleeps += 1,
            Did::StayedAwake { mesh_is_clear } => {
                self.report.full_mesh += u64::from(!mesh_is_clear);
            }
            Did::Polled => {}
            Did::Stepped => self.look_at_outboxes(index)?,
        }
        self.note_ended()
    }

    /// Nobody who stays connected has more waiting than `max_pending`.
    fn look_at_outboxes(&mut self, index: usize) -> Result<(), String> {
        let max = self.scenario.pending_bytes_max;
        let broker = self.threads[index].shard.broker();
        for conn in 0..2 * self.scenario.clients as u32 {
            if let Some(peer) = broker.find_peer(conn)
                && !peer.closing
                && peer.outbox.pending_bytes() > max
            {
                let pending = peer.outbox.pending_bytes();
                return Err(format!(
                    "shard {index} slot {conn}: {pending} bytes wait, {max} may"
                ));
            }
        }
        Ok(())
    }

    /// Connections that the broker has closed, or the network has broken.
    fn note_ended(&mut self) -> Result<(), String> {
        let ended = std::mem::take(&mut self.net.borrow_mut().ended);
        let mut slow = 0;
        for thread in &mut self.threads {
            slow += thread.shard.broker().slow_consumers;
        }
        let cuts = slow - std::mem::replace(&mut self.slow_consumers, slow);
        let mut explained = cuts;
        for socket in ended {
            let Some(at) = self.clients.iter().position(|c| c.socket == socket) else {
                continue;
            };
            let reset = self.net.borrow_mut().socket(socket).reset;
            let client = &mut self.clients[at];
            if client.state == State::Gone {
                continue;
            }
            if reset {
                self.report.broken += 1;
            } else if let State::Shut { since_ms } = client.state {
                // Closed in order, unless it was cut or out of time: then what was under way is lost.
                let in_time = self.now_ms - since_ms < CLOSE_MS;
                if in_time && explained == 0 {
                    continue;
                }
                explained = explained.saturating_sub(1);
            } else {
                if !self.scenario.cuts || explained == 0 {
                    return Err(format!("client {} is cut without cause", client.id));
                }
                explained -= 1;
            }
            self.gone(at, true)?;
        }
        Ok(())
    }

    fn gone(&mut self, at: usize, lossy: bool) -> Result<(), String> {
        let client = &mut self.clients[at];
        client.state = State::Gone;
        self.client_weights[at] = 0;
        let id = client.id;
        self.say(|| format!("client {id} is gone, with loss: {lossy}"));
        if lossy {
            self.model.broken(id);
            return Ok(());
        }
        self.report.closed += 1;
        self.model.closed(id)
    }

    /// A client reads, writes or says something.
    fn client_acts(&mut self, at: usize) -> Result<(), String> {
        let client = &self.clients[at];
        if client.state == State::Gone {
            return Ok(());
        }
        let (mut net, socket) = (self.net.borrow_mut(), client.socket);
        let writes = !client.out.is_empty() && net.room_to_broker(socket) > 0;
        let reads = !client.stopped && !net.socket(socket).to_client.is_empty();
        let idle = client.state != State::Open;
        drop(net);
        if writes && self.rng.chance(400) {
            self.client_writes(at);
            Ok(())
        } else if (reads || idle) && self.rng.chance(500) {
            self.client_reads(at)
        } else if idle {
            self.client_writes(at);
            Ok(())
        } else {
            self.client_speaks(at)
        }
    }

    fn client_speaks(&mut self, at: usize) -> Result<(), String> {
        let client = &mut self.clients[at];
        if client.state != State::Open {
            return Ok(());
        }
        client.act(&mut self.rng, &mut self.model, &self.scenario, self.now_ms);
        if client.state != State::Open && self.rng.chance(self.scenario.abrupt) {
            let socket = client.socket;
            self.net.borrow_mut().break_off(socket);
            return self.note_ended();
        }
        Ok(())
    }

    fn client_writes(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.state == State::Gone {
            return;
        }
        let mut net = self.net.borrow_mut();
        let room = net.room_to_broker(client.socket).min(client.out.len());
        let some = match room {
            0 => 0,
            _ if self.rng.chance(700) => room,
            _ => self.rng.range(1, room),
        };
        let socket = net.socket(client.socket);
        socket.to_broker.extend(client.out.drain(..some));
        socket.shut = client.out.is_empty() && client.state != State::Open;
    }

    fn client_reads(&mut self, at: usize) -> Result<(), String> {
        let client = &mut self.clients[at];
        if client.state == State::Gone || client.stopped {
            return Ok(());
        }
        let mut net = self.net.borrow_mut();
        let socket = net.socket(client.socket);
        let all = socket.to_client.len();
        if all == 0 {
            let closed = socket.closed;
            drop(net);
            return if closed {
                self.end_of_input(at)
            } else {
                Ok(())
            };
        }
        let some = if self.rng.chance(700) {
            all
        } else {
            self.rng.range(1, all)
        };
        let bytes: Vec<u8> = socket.to_client.drain(..some).collect();
        drop(net);
        bytes.hash(&mut self.fingerprint);
        if self.trace {
            eprintln!(
                "{:6} client {at} reads {:?}",
                self.report.steps,
                String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)])
            );
        }
        client.read(
            bytes.into_iter(),
            &mut self.rng,
            &mut self.model,
            &self.scenario,
        )
    }

    fn end_of_input(&mut self, at: usize) -> Result<(), String> {
        let client = &self.clients[at];
        if client.state == State::Open {
            return Err(format!("client {} is closed without cause", client.id));
        }
        if client.waits() {
            return Err(format!("client {} has not had all its answers", client.id));
        }
        self.gone(at, false)
    }

    /// Says PING for everybody, lets everything come to its end, and looks whether that was the right one.
    fn rest(&mut self) -> Result<(), String> {
        self.say(|| "rest".into());
        for client in &mut self.clients {
            if client.state == State::Open {
                client.stopped = false;
                client.ping(&mut self.model);
            }
        }
        let asleep_since = self.now_ms;
        for _ in 0..REST_STEPS_MAX {
            let movers = self.movers();
            if !movers.is_empty() {
                self.report.steps += 1;
                match self.rng.pick(&movers) {
                    Mover::Shard(index) => self.turn(index)?,
                    Mover::Reader(at) => self.client_reads(at)?,
                    Mover::Writer(at) => self.client_writes(at),
                }
                continue;
            }
            self.no_wake_up_was_lost()?;
            let Some(waiting) = self.who_waits() else {
                self.model.at_rest()?;
                return self.counts_agree();
            };
            if self.now_ms - asleep_since > REST_MS_MAX {
                return Err(format!("hangs: {waiting}\n{}", self.outboxes()));
            }
            self.now_ms += 1;
        }
        Err("does not come to rest".into())
    }

    /// What waits for whom, for who must find out why.
    fn outboxes(&mut self) -> String {
        let mut text = String::new();
        for (index, Thread { shard, .. }) in self.threads.iter_mut().enumerate() {
            for conn in 0..2 * self.scenario.clients as u32 {
                if let Some(peer) = shard.broker().find_peer(conn) {
                    let (pending, sends) = (peer.outbox.pending_bytes(), peer.outbox.in_flight());
                    text += &format!(
                        "shard {index} slot {conn}: {pending} bytes wait, sends: {sends}, closes: {}\n",
                        peer.closing
                    );
                }
            }
        }
        text
    }

    fn movers(&mut self) -> Vec<Mover> {
        let mut movers = Vec::new();
        for index in 0..self.threads.len() {
            if self.threads[index].can_turn(self.now_ms) {
                movers.push(Mover::Shard(index));
            }
        }
        let mut net = self.net.borrow_mut();
        for (at, client) in self.clients.iter().enumerate() {
            if client.state == State::Gone {
                continue;
            }
            let room = net.room_to_broker(client.socket) > 0;
            let socket = net.socket(client.socket);
            let unshut = client.state != State::Open && !socket.shut;
            if room && (!client.out.is_empty() || unshut) && !socket.closed {
                movers.push(Mover::Writer(at));
            }
            if !socket.to_client.is_empty() || socket.closed {
                movers.push(Mover::Reader(at));
            }
        }
        movers
    }

    /// Nobody sleeps over what others have sent.
    fn no_wake_up_was_lost(&mut self) -> Result<(), String> {
        for (index, thread) in self.threads.iter_mut().enumerate() {
            if !thread.shard.mesh_is_idle() {
                return Err(format!(
                    "shard {index} sleeps while its mesh holds something"
                ));
            }
        }
        Ok(())
    }

    /// Somebody who still waits for something.
    fn who_waits(&self) -> Option<String> {
        let waits = |c: &&Client| match c.state {
            State::Open => c.waits() || !c.out.is_empty(),
            State::Shut { .. } => true,
            State::Gone => false,
        };
        let client = self.clients.iter().find(waits)?;
        Some(format!("client {} in state {:?}", client.id, client.state))
    }

    /// What the shards count is what the model knows.
    fn counts_agree(&mut self) -> Result<(), String> {
        let (subs, patterns) = self.model.interest();
        let mut known = 0;
        for (index, thread) in self.threads.iter_mut().enumerate() {
            thread.shard.invariants();
            let broker = thread.shard.broker();
            known += broker.subscription_count();
            if broker.pattern_count() != patterns {
                let has = broker.pattern_count();
                return Err(format!("shard {index} knows {has} patterns of {patterns}"));
            }
        }
        if known != subs {
            return Err(format!("{known} subscriptions, should be {subs}"));
        }
        let here = self
            .clients
            .iter()
            .filter(|c| c.state != State::Gone)
            .count();
        let counted = self.node.connections.iter().map(|n| n.load(Relaxed));
        let (counted, open) = (
            counted.sum::<u32>() as usize,
            self.net.borrow().open_count(),
        );
        if counted != here || open != here {
            return Err(format!(
                "{here} clients, {counted} connections counted, {open} sockets open"
            ));
        }
        Ok(())
    }

    fn nothing_is_left(&mut self) -> Result<(), String> {
        for (index, thread) in self.threads.iter_mut().enumerate() {
            if !thread.shard.ring().is_unused() {
                return Err(format!("shard {index} has left something in its ring"));
            }
        }
        match self.net.borrow().open_count() {
            0 => Ok(()),
            open => Err(format!("{open} sockets are left")),
        }
    }
}

#[derive(Clone, Copy)]
enum Mover {
    Shard(usize),
    Reader(usize),
    Writer(usize),
}

fn snapshot(scenario: &Scenario) -> Snapshot {
    let config = Config::default();
    let authenticator = Authenticator::new(&config).expect("nothing to authenticate with");
    let limits = Limits {
        pending_bytes_max: scenario.pending_bytes_max,
        ping_interval_ms: scenario.ping_interval_ms,
        // Clients that stop reading do not answer; they are not what is tested with it.
        pings_out_max: u32::MAX - 1,
        no_fast_producer_stall: scenario.no_stall,
        ..Limits::default()
    };
    let info = Info {
        headers: true,
        ..Info::default()
    };
    Snapshot::new(limits, Arc::new(authenticator), info, 2_000)
}

fn broker(scenario: &Scenario, index: usize, seed: u64) -> Broker {
    let place = ShardPlace {
        index: index as u8,
        count: scenario.shards as u8,
    };
    let pending = PendingLimits::new(scenario.pending_bytes_max, scenario.no_stall);
    Broker::new(place, pending, seed)
}

//! A simulated node with accounts: pure shards under a virtual clock, with chance in whose turn it is. Owns the shards and
//! the network; knows nothing of what is said.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use gannet::account::compiler::compile;
use gannet::auth::Authenticator;
use gannet::broker::{Broker, PendingLimits, ShardPlace};
use gannet::config::Config;
use gannet::proto::handshake::Info;
use gannet::session::Snapshot;
use gannet::shard::jobs::Incoming;
use gannet::shard::ring::Ring;
use gannet::shard::{Jobs, Node, Parts, Shard, ToShard, mesh};

use super::client::Client;
use super::net::{Net, SocketId};
use super::ring::{Chances, SimRing};
use super::rng::Rng;
use super::server::Server;
use super::thread::Thread;

/// Parts of turns after which everybody must have been answered.
const STEPS_MAX: usize = 5_000_000;

/// So many in a row in which nothing could be done let time pass.
const IDLE_MAX: usize = 100;

/// A node.
pub struct Simulated {
    rng: Rng,
    net: Rc<RefCell<Net>>,
    threads: Vec<Thread>,
    sockets: Vec<SocketId>,
    now_ms: u64,
    _inboxes: Vec<mpsc::Sender<ToShard>>,
    _jobs: Incoming,
}

impl Simulated {
    /// A node of so many shards.
    pub fn new(config: &Config, shards: usize, mut rng: Rng) -> Result<Self, String> {
        let snapshot = Arc::new(snapshot(config)?);
        let pipe_bytes = rng.pick(&[200, 1_000, 64_000]);
        let net = Rc::new(RefCell::new(Net::new(shards, pipe_bytes)));
        let node = Node::new(shards);
        let (jobs, jobs_out) = Jobs::channels();
        let (mut inboxes, mut threads) = (Vec::new(), Vec::new());
        let chances = Chances {
            progress: rng.pick(&[300, 1_000]),
            partial: rng.pick(&[0, 300]),
            reap_some: rng.pick(&[0, 500]),
            broken_send: 0,
        };
        // As at a start: the shards know each other's subjects for answers.
        let seed = rng.next();
        let meshes = mesh::connect_with_capacity(shards, rng.pick(&[1, 2, 64]));
        for (index, mesh) in meshes.into_iter().enumerate() {
            let (inbox_in, inbox) = mpsc::channel();
            inboxes.push(inbox_in);
            let broker = broker(config, index, shards, seed);
            let mut shard = Shard::new(Parts {
                index,
                ring: SimRing::new(index, net.clone(), rng.fork(), chances, rng.pick(&[1, 4])),
                snapshot: snapshot.clone(),
                start_unix_ms: 0,
                nonce_seed: [0; 32],
                broker,
                mesh,
                node: node.clone(),
                jobs: jobs.clone(),
                inbox,
            });
            if index == 0 {
                shard.ring().accept(0);
            }
            threads.push(Thread::new(shard));
        }
        Ok(Simulated {
            rng,
            net,
            threads,
            sockets: Vec::new(),
            now_ms: 0,
            _inboxes: inboxes,
            _jobs: jobs_out,
        })
    }

    /// A part of some shard's turn, or some bytes of some client. False if there was nothing to do.
    fn step(&mut self, clients: &mut [Client]) -> Result<bool, String> {
        if self.rng.chance(600) {
            let index = self.rng.below(self.threads.len());
            let thread = &mut self.threads[index];
            let can = thread.can_turn(self.now_ms);
            if can {
                thread.turn(&mut self.rng, self.now_ms)?;
            }
            return Ok(can);
        }
        let at = self.rng.below(clients.len());
        let (client, id) = (&mut clients[at], self.sockets[at]);
        let mut net = self.net.borrow_mut();
        let room = net.room_to_broker(id).min(client.out.len());
        if room > 0 && self.rng.chance(500) {
            let some = if self.rng.chance(700) {
                room
            } else {
                self.rng.range(1, room)
            };
            net.socket(id).to_broker.extend(client.out.drain(..some));
            return Ok(true);
        }
        let socket = net.socket(id);
        if socket.closed && socket.to_client.is_empty() {
            return Err(format!("client {at} has been closed"));
        }
        let bytes: Vec<u8> = socket.to_client.drain(..).collect();
        client.feed(&bytes)?;
        Ok(room > 0 || !bytes.is_empty())
    }
}

impl Server for Simulated {
    fn connect(&mut self) -> Result<(), String> {
        let socket = self.net.borrow_mut().connect();
        self.sockets.push(socket);
        Ok(())
    }

    fn run(&mut self, clients: &mut [Client], pongs: usize) -> Result<(), String> {
        let mut idle = 0;
        for _ in 0..STEPS_MAX {
            if clients.iter().all(|client| client.pongs >= pongs) {
                return Ok(());
            }
            idle = if self.step(clients)? { 0 } else { idle + 1 };
            if idle > IDLE_MAX {
                self.now_ms += 1;
                idle = 0;
            }
        }
        Err("hangs".into())
    }
}

fn snapshot(config: &Config) -> Result<Snapshot, String> {
    let authenticator = Authenticator::new(config).map_err(|errors| format!("{errors:?}"))?;
    let info = Info {
        headers: true,
        auth_required: true,
        ..Info::default()
    };
    let table = compile(config, None).map_err(|error| error.to_string())?;
    let limits = config.limits.clone();
    Ok(Snapshot {
        table: Arc::new(table),
        ..Snapshot::new(limits, Arc::new(authenticator), info, 1 << 40)
    })
}

fn broker(config: &Config, index: usize, shards: usize, seed: u64) -> Broker {
    let place = ShardPlace {
        index: index as u8,
        count: shards as u8,
    };
    Broker::new(
        place,
        PendingLimits::new(config.limits.pending_bytes_max, false),
        seed,
    )
}

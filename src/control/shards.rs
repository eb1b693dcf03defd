//! Starts the shards' threads and joins them: rings are made on their own threads, then told of each other.

use std::fmt;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use crate::broker::{Broker, ShardPlace};
use crate::config::Spin;
use crate::shard::jobs::Incoming;
use crate::shard::mesh::{self, Mesh};
use crate::shard::ring::epoll::EpollRing;
use crate::shard::ring::handles::{PeerHandle, Waker};
use crate::shard::ring::probe::{Kind, Refusal};
use crate::shard::ring::uring::UringRing;
use crate::shard::ring::{Ring, RingOptions};
use crate::shard::run::run;
use crate::shard::{Jobs, Node, Parts, Shard, Snapshot, ToShard};

use super::workers::ShardLine;

/// What every shard starts from.
#[derive(Clone)]
pub struct Plan {
    /// The listening socket; shard 0 accepts.
    pub listener: RawFd,
    /// Which ring.
    pub ring: Kind,
    /// Cores to pin to, one a shard; empty pins nothing.
    pub cores: Vec<usize>,
    /// How many shards.
    pub count: usize,
    /// How long to spin.
    pub spin: Spin,
    /// Seed of all hash tables and choices.
    pub seed: u64,
}

/// Running shards.
pub struct Running {
    /// How to speak to each.
    pub lines: Arc<Vec<ShardLine>>,
    /// Where slow credentials go,
    pub jobs_in: Jobs,
    /// and where they come out.
    pub jobs: Incoming,
    /// A shard's end, with its error if it failed.
    pub ends: Receiver<Result<(), String>>,
    /// What they share.
    pub node: Arc<Node>,
    /// Their threads.
    pub threads: Vec<JoinHandle<()>>,
}

/// Why the shards have not started. None of them is left.
#[derive(Debug)]
pub enum Failure {
    /// One got no io_uring of its own.
    Uring(usize, Refusal),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Uring(shard, refusal) => write!(f, "shard {shard} cannot start: {refusal}"),
            Failure::Other(problem) => f.write_str(problem),
        }
    }
}

/// What a starting shard tells the control thread, and hears back.
struct Greeting {
    index: usize,
    peer: PeerHandle,
    waker: Waker,
}

/// Everything one shard's thread takes with it.
struct Start {
    index: usize,
    plan: Arc<Plan>,
    snapshot: Arc<Snapshot>,
    mesh: Mesh,
    node: Arc<Node>,
    jobs: Jobs,
    inbox: Receiver<ToShard>,
    greet: Sender<Result<Greeting, Failure>>,
    peers: Receiver<Vec<PeerHandle>>,
}

/// Starts all shards and waits until each has its ring.
///
/// # Errors
/// A shard cannot have what it needs.
pub fn start(plan: Plan, snapshot: &Arc<Snapshot>) -> Result<Running, Failure> {
    let plan = Arc::new(plan);
    let node = Node::new(plan.count);
    let (jobs_in, jobs) = Jobs::channels();
    let (greet, greetings) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let mut inboxes = Vec::new();
    let mut peer_lines = Vec::new();
    let mut threads = Vec::new();
    for (index, mesh) in mesh::connect(plan.count).into_iter().enumerate() {
        let (inbox_in, inbox) = mpsc::channel();
        let (peers_in, peers) = mpsc::channel();
        inboxes.push(inbox_in);
        peer_lines.push(peers_in);
        let start = Start {
            index,
            plan: plan.clone(),
            snapshot: snapshot.clone(),
            mesh,
            node: node.clone(),
            jobs: jobs_in.clone(),
            inbox,
            greet: greet.clone(),
            peers,
        };
        let ended = ended.clone();
        let thread = thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || {
                // The control thread outlives its shards; if not, nobody wants to know.
                let _ = ended.send(shard_thread(start));
            });
        threads.push(
            thread
                .map_err(|error| Failure::Other(format!("cannot start shard {index}: {error}")))?,
        );
    }
    drop(greet);
    let greeted: Result<Vec<Greeting>, Failure> = greetings.iter().take(plan.count).collect();
    let mut greeted = match greeted {
        Ok(greeted) => greeted,
        Err(failure) => {
            // Nobody hears of its peers, so each ends, and gives back what it has got.
            drop(peer_lines);
            for thread in threads {
                thread.join().expect("a shard that starts does not panic");
            }
            return Err(failure);
        }
    };
    greeted.sort_by_key(|greeting| greeting.index);
    let handles: Vec<PeerHandle> = greeted
        .iter()
        .map(|greeting| greeting.peer.clone())
        .collect();
    for line in peer_lines {
        line.send(handles.clone())
            .map_err(|_| Failure::Other("a shard ended while starting".into()))?;
    }
    let lines = inboxes
        .into_iter()
        .zip(greeted)
        .map(|(inbox, greeting)| ShardLine {
            inbox,
            waker: greeting.waker,
        });
    Ok(Running {
        lines: Arc::new(lines.collect()),
        jobs_in,
        jobs,
        ends,
        node,
        threads,
    })
}

fn shard_thread(start: Start) -> Result<(), String> {
    if let Some(core) = start.plan.cores.get(start.index) {
        super::process::pin(*core)
            .unwrap_or_else(|error| log::warn!("shard {} is not pinned: {error}", start.index));
    }
    let options = RingOptions::default();
    match start.plan.ring {
        Kind::Uring => match UringRing::new(options) {
            Ok(mut ring) => {
                let greeting = Greeting {
                    index: start.index,
                    peer: ring.peer_handle(),
                    waker: ring.wake_handle(),
                };
                greet(&start, greeting)?;
                ring.connect_peers(hear_peers(&start)?);
                shard_main(start, ring)
            }
            Err(refusal) => refuse(&start, Failure::Uring(start.index, refusal)),
        },
        Kind::Epoll => match EpollRing::new(options) {
            Ok(mut ring) => {
                let greeting = Greeting {
                    index: start.index,
                    peer: ring.peer_handle(),
                    waker: ring.wake_handle(),
                };
                greet(&start, greeting)?;
                ring.connect_peers(hear_peers(&start)?);
                shard_main(start, ring)
            }
            Err(error) => {
                let problem = format!("shard {} cannot start: epoll: {error}", start.index);
                refuse(&start, Failure::Other(problem))
            }
        },
    }
}

fn greet(start: &Start, greeting: Greeting) -> Result<(), String> {
    start
        .greet
        .send(Ok(greeting))
        .map_err(|_| "nobody waits for this shard".to_string())
}

fn hear_peers(start: &Start) -> Result<Vec<PeerHandle>, String> {
    start
        .peers
        .recv()
        .map_err(|_| "another shard could not start".to_string())
}

fn refuse(start: &Start, failure: Failure) -> Result<(), String> {
    let text = failure.to_string();
    let _ = start.greet.send(Err(failure));
    Err(text)
}

fn shard_main<R: Ring>(start: Start, mut ring: R) -> Result<(), String> {
    let place = ShardPlace {
        index: start.index as u8,
        count: start.plan.count as u8,
    };
    if start.index == 0 {
        ring.accept(start.plan.listener);
    }
    let broker = Broker::new(place, start.snapshot.pending(), start.plan.seed);
    let mut shard = Shard::new(Parts {
        index: start.index,
        ring,
        snapshot: start.snapshot,
        start_unix_ms: jiff::Timestamp::now().as_millisecond(),
        nonce_seed: random_seed(),
        broker,
        mesh: start.mesh,
        node: start.node,
        jobs: start.jobs,
        inbox: start.inbox,
    });
    run(&mut shard, start.plan.spin).map_err(|error| format!("shard {}: {error}", start.index))
}

/// From the system's random numbers. Without them nobody could be let in safely.
fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the system has random numbers");
    seed
}

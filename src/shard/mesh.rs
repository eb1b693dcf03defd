//! This shard's ends of the queues to and from every other shard. Owns order and back-pressure; never looks
//! into a batch.
//!
//! The rule that carries both barriers: what a shard pushed before it answered a PING is in the queues, and
//! every shard empties its queues after it has reaped its sockets and before it handles what it reaped. So
//! whatever anybody learns through that PONG and then sends, to whichever shard, is handled after it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::broker::effect::Batch;

use super::mesh_queue::{Consumer, Producer, queue};
use super::sleep::Sleeper;

/// Items a queue holds.
const QUEUE_ITEMS: usize = 64;

/// Bytes a queue holds at most, unless one batch alone is larger: what is in it when a subscriber at its other end
/// falls behind still comes to that subscriber, so it must be little against `max_pending`.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// And at least.
const QUEUE_BYTES_MIN: usize = 64 * 1024;

/// The part of `max_pending` that all queues to a shard may hold together.
const PENDING_PART: u64 = 16;

/// From so many bytes on a batch does not wait for the end of the turn.
const BATCH_BYTES: usize = 64 * 1024;

/// Empty batches kept for reuse.
const SPARE_BATCHES_MAX: usize = 32;

/// A connection accepted by one shard for another.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The socket.
    pub fd: RawFd,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The client's number on this node.
    pub id: u64,
}

/// What goes from shard to shard.
#[derive(Debug)]
pub enum Item {
    /// Interest and deliveries.
    Batch(Box<Batch>),
    /// A connection to own.
    Arrival(Arrival),
}

/// The way to another shard.
struct Way {
    queue: Producer<Item>,
    /// Bytes of each item in the queue, as far as this end knows.
    sizes: VecDeque<usize>,
    /// Their sum.
    bytes: usize,
}

impl Way {
    fn new(queue: Producer<Item>) -> Self {
        Way {
            queue,
            sizes: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Puts an item into the queue, or gives it back where the queue is full or would hold more than `bytes_max`.
    fn push(&mut self, item: Item, bytes_max: usize) -> Result<(), Item> {
        let size = match &item {
            Item::Batch(batch) => batch.bytes.len(),
            Item::Arrival(_) => 0,
        };
        if self.bytes + size > bytes_max {
            let taken = self.sizes.len() - self.queue.untaken();
            self.bytes -= self.sizes.drain(..taken).sum::<usize>();
        }
        if self.bytes > 0 && self.bytes + size > bytes_max {
            return Err(item);
        }
        self.queue.push(item)?;
        while self.sizes.len() >= QUEUE_ITEMS {
            self.bytes -= self.sizes.pop_front().expect("one at least");
        }
        self.sizes.push_back(size);
        self.bytes += size;
        Ok(())
    }
}

/// The queues of one shard.
pub struct Mesh {
    index: usize,
    to: Vec<Option<Way>>,
    bytes_max: usize,
    from: Vec<Option<Consumer<Item>>>,
    sleepers: Vec<Arc<Sleeper>>,
    backlog: Vec<VecDeque<Item>>,
    waiting: usize,
    #[allow(clippy::vec_box)] // boxes go through the queues as they are
    spare: Vec<Box<Batch>>,
}

/// The meshes of `count` shards, connected with each other.
pub fn connect(count: usize) -> Vec<Mesh> {
    connect_with_capacity(count, QUEUE_ITEMS)
}

/// The same with queues of another size: the simulation fills small ones.
pub fn connect_with_capacity(count: usize, items: usize) -> Vec<Mesh> {
    let sleepers: Vec<Arc<Sleeper>> = (0..count).map(|_| Arc::new(Sleeper::default())).collect();
    let mut meshes: Vec<Mesh> = (0..count)
        .map(|index| Mesh {
            index,
            to: (0..count).map(|_| None).collect(),
            bytes_max: QUEUE_BYTES_MAX,
            from: (0..count).map(|_| None).collect(),
            sleepers: sleepers.clone(),
            backlog: (0..count).map(|_| VecDeque::new()).collect(),
            waiting: 0,
            spare: Vec::new(),
        })
        .collect();
    for sender in 0..count {
        for receiver in (0..count).filter(|receiver| *receiver != sender) {
            let (producer, consumer) = queue(items);
            meshes[sender].to[receiver] = Some(Way::new(producer));
            meshes[receiver].from[sender] = Some(consumer);
        }
    }
    meshes
}

impl Mesh {
    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.to.len()
    }

    /// This shard's own flag for sleeping.
    pub fn sleeper(&self) -> &Sleeper {
        &self.sleepers[self.index]
    }

    /// Fits the queues' bound to `max_pending`.
    pub fn set_pending_bytes_max(&mut self, pending_bytes_max: u64) {
        let ways = self.to.len().saturating_sub(1).max(1) as u64;
        let part = pending_bytes_max / PENDING_PART / ways;
        self.bytes_max = (part.min(QUEUE_BYTES_MAX as u64) as usize).max(QUEUE_BYTES_MIN);
    }

    /// Puts those batches into their queues that are large enough not to wait for more.
    pub fn push_large(&mut self, batches: &mut [Batch], wake: impl FnMut(usize)) {
        if batches.iter().any(|batch| batch.bytes.len() >= BATCH_BYTES) {
            self.push(batches, wake);
        }
    }

    /// Puts every batch that holds something into its queue, calling `wake` for shards that sleep. False where
    /// something had to stay behind for want of room.
    pub fn push(&mut self, batches: &mut [Batch], wake: impl FnMut(usize)) -> bool {
        for (shard, batch) in batches
            .iter_mut()
            .enumerate()
            .filter(|(_, batch)| !batch.is_empty())
        {
            let mut full = self.spare.pop().unwrap_or_default();
            std::mem::swap(&mut *full, batch);
            self.backlog[shard].push_back(Item::Batch(full));
            self.waiting += 1;
        }
        self.push_backlog(wake)
    }

    /// Hands a connection to another shard.
    pub fn hand_over(&mut self, shard: usize, arrival: Arrival, wake: impl FnMut(usize)) {
        self.backlog[shard].push_back(Item::Arrival(arrival));
        self.waiting += 1;
        self.push_backlog(wake);
    }

    /// Puts what had to stay behind into the queues. True when nothing is left.
    pub fn push_backlog(&mut self, mut wake: impl FnMut(usize)) -> bool {
        if self.waiting == 0 {
            return true;
        }
        for shard in 0..self.to.len() {
            let Some(way) = &mut self.to[shard] else {
                continue;
            };
            let mut pushed = false;
            while let Some(item) = self.backlog[shard].pop_front() {
                if let Err(item) = way.push(item, self.bytes_max) {
                    self.backlog[shard].push_front(item);
                    break;
                }
                self.waiting -= 1;
                pushed = true;
            }
            if pushed && self.sleepers[shard].needs_wake() {
                wake(shard);
            }
        }
        self.waiting == 0
    }

    /// Nothing had to stay behind?
    pub fn is_clear(&self) -> bool {
        self.waiting == 0
    }

    /// How many items each shard has waiting for this one.
    pub fn arrived(&mut self, from: usize) -> usize {
        self.from[from]
            .as_mut()
            .map_or(0, |consumer| consumer.len())
    }

    /// The next item from a shard.
    pub fn pop(&mut self, from: usize) -> Option<Item> {
        self.from[from].as_mut()?.pop()
    }

    /// Whether anything waits for this shard.
    pub fn has_arrivals(&mut self) -> bool {
        (0..self.from.len()).any(|from| self.arrived(from) > 0)
    }

    /// Takes an applied batch back for reuse.
    pub fn reuse(&mut self, mut batch: Box<Batch>) {
        if self.spare.len() < SPARE_BATCHES_MAX {
            batch.clear();
            self.spare.push(batch);
        }
    }
}

//! The snapshot in force: publishes another one to every shard and frees the old one. Never compiles one.

use std::sync::Arc;
use std::sync::mpsc;

use crate::shard::{Snapshot, Surplus, Swap, ToShard};

use super::workers::ShardLine;

/// What the shards run on, and the way to them.
#[derive(Debug)]
pub struct Snapshots {
    lines: Arc<Vec<ShardLine>>,
    current: Arc<Snapshot>,
}

impl Snapshots {
    /// Shards that have started from `first`.
    pub fn new(first: Arc<Snapshot>, lines: Arc<Vec<ShardLine>>) -> Self {
        Snapshots {
            lines,
            current: first,
        }
    }

    /// What is in force: what a change begins from.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.current
    }

    /// Puts `next` into force on every shard, under the next number. Returns when each has judged all of its connections by
    /// it; whoever asks a shard for anything from then on gets it by `next`. The old one is freed here.
    pub fn publish(&mut self, mut next: Snapshot) {
        next.number = self.current.number + 1;
        let next = Arc::new(next);
        let (done, finished) = mpsc::channel();
        for line in self.lines.iter() {
            line.tell(ToShard::Swap(Swap {
                snapshot: next.clone(),
                done: done.clone(),
            }));
        }
        drop(done);
        // A shard that has ended has dropped its end: nobody is waited for in vain.
        finished.iter().for_each(drop);
        if next.table.is_crowded() {
            for line in self.lines.iter() {
                line.tell(ToShard::Shed(Surplus::OfAccounts));
            }
        }
        self.current = next;
    }
}

//! Another snapshot: what a shard does at once, and its connections one by one, a few a turn. Owns the list of those
//! that are still to be judged; never says what becomes of one, its session does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::broker::effect::ConnId;
use crate::session::{Flow, Snapshot};

use super::ring::{Ring, Token};
use super::{Shard, Swap};

/// Connections judged in a turn: few enough that nobody waits for them.
const JUDGED_A_TURN: usize = 256;

/// What a change of snapshots has left to do.
#[derive(Debug, Default)]
pub struct Judging {
    /// Connections to judge; some may have been judged meanwhile, or have gone.
    queue: VecDeque<Token>,
    /// Snapshots that connections are still under, oldest first, and where they go afterwards.
    retired: Vec<(Arc<Snapshot>, Sender<Arc<Snapshot>>)>,
}

impl Judging {
    /// Nothing left?
    pub fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives the old snapshots back to whom frees them.
    fn finish(&mut self) {
        for (snapshot, done) in self.retired.drain(..) {
            // Who does not wait for it has let it go: then it is not freed here either, others have it.
            let _ = done.send(snapshot);
        }
    }
}

impl<R: Ring> Shard<R> {
    /// Goes on under another snapshot: new connections and whatever is published from now on at once, connections
    /// that are there when they are judged, in this turn or one of the next, and before anything that they send.
    pub fn swap(&mut self, swap: Swap) {
        let Swap { snapshot, done } = swap;
        self.context.take(&snapshot);
        self.mesh
            .set_pending_bytes_max(snapshot.limits.pending_bytes_max);
        self.broker.set_pending(snapshot.pending());
        self.broker.set_table(snapshot.table.clone());
        let old = std::mem::replace(&mut self.snapshot, snapshot);
        self.judging.retired.push((old, done));
        let wires = &self.connections.wires;
        let tokens = self.connections.ids();
        self.judging.queue = tokens.into_iter().map(|conn| wires.token(conn)).collect();
        if self.judging.is_done() {
            self.judging.finish();
        }
    }

    /// Judges some of those that are left.
    pub(super) fn judge_some(&mut self) {
        if self.judging.is_done() {
            return;
        }
        for _ in 0..JUDGED_A_TURN {
            let Some(token) = self.judging.queue.pop_front() else {
                break;
            };
            if let Some(conn) = self.connections.find(token) {
                self.judge(conn);
                self.obey();
            }
        }
        if self.judging.is_done() {
            self.judging.finish();
        }
    }

    /// Judges a connection by the snapshot in force, unless it has been.
    pub(super) fn judge(&mut self, conn: ConnId) {
        let Shard {
            connections,
            broker,
            context,
            ..
        } = self;
        let connection = connections.get(conn);
        if connection.closing.is_some() || connection.client.is_judged(context) {
            return;
        }
        match connection.client.judge(context, broker) {
            // It goes on as it was, parked or not.
            Flow::Continue => {}
            flow => self.follow(conn, flow),
        }
    }
}

//! Another snapshot: what a shard does at once, and its connections one by one, a few a turn. Owns the list of those
//! that are still to be judged; never says what becomes of one, its session does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::broker::effect::{CloseReason, ConnId};
use crate::broker::interest::SubId;
use crate::session::{Flow, Snapshot};

use super::ring::{Ring, Token};
use super::{Shard, Surplus, Swap};

/// Connections and subscriptions judged in a turn: few enough that nobody waits for them. 256 took 1.2 ms (measured: `perf/`,
/// storms).
const JUDGED_A_TURN: usize = 64;

/// What a change of snapshots has left to do.
#[derive(Debug, Default)]
pub struct Judging {
    /// Connections to judge; some may have been judged meanwhile, or have gone.
    queue: VecDeque<Token>,
    /// Subscriptions to look at, of connections that have been judged; some may have ended meanwhile.
    subscriptions: Vec<(Token, Vec<SubId>)>,
    /// Snapshots that connections are still under, oldest first, and where they go afterwards.
    retired: Vec<(Arc<Snapshot>, Sender<Arc<Snapshot>>)>,
    /// How many clients had to go because other keys are pinned now.
    unpinned: usize,
}

impl Judging {
    /// Nothing left?
    pub fn is_done(&self) -> bool {
        self.queue.is_empty() && self.subscriptions.is_empty()
    }

    /// A snapshot that was in force before.
    fn before(&self, number: u64) -> Option<&Snapshot> {
        let mut retired = self.retired.iter().map(|(snapshot, _)| &**snapshot);
        retired.find(|snapshot| snapshot.number == number)
    }

    /// The next subscription to look at.
    fn next_subscription(&mut self) -> Option<(Token, SubId)> {
        loop {
            let (token, ids) = self.subscriptions.last_mut()?;
            match ids.pop() {
                Some(id) => return Some((*token, id)),
                None => drop(self.subscriptions.pop()),
            }
        }
    }

    /// Gives the old snapshots back to whom frees them. Each shard counts those who had to go for itself.
    fn finish(&mut self) {
        let unpinned = std::mem::take(&mut self.unpinned);
        if unpinned > 0 {
            log::info!("Disconnect {unpinned} clients due to pinned certs reload");
        }
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
        self.broker.set_labels(snapshot.labels.clone());
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
            if let Some((token, id)) = self.judging.next_subscription() {
                self.judge_subscription(token, id);
            } else if let Some(token) = self.judging.queue.pop_front() {
                if let Some(conn) = self.connections.find(token) {
                    self.judge(conn);
                }
            } else {
                break;
            }
            self.obey();
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
            judging,
            ..
        } = self;
        let token = connections.wires.token(conn);
        let connection = connections.get(conn);
        let judged = connection.client.judged();
        if connection.closing.is_some() || judged == context.snapshot {
            return;
        }
        let before = judging.before(judged);
        let was = before.and_then(|before| before.tls.as_deref());
        if connection.is_unpinned(context.tls.as_deref(), was) {
            judging.unpinned += 1;
            return self.start_close(conn, CloseReason::TlsHandshakeFailure);
        }
        let before = before.map(|before| &*before.authenticator);
        let flow = connection.client.judge(context, broker, before);
        if !matches!(flow, Flow::Close(_)) && broker.peer(conn).permissions.is_some() {
            let ids = broker.subscription_ids(conn);
            judging.subscriptions.push((token, ids));
        }
        match flow {
            // It goes on as it was, parked or not.
            Flow::Continue => self.schedule(conn),
            flow => self.follow(conn, flow),
        }
    }

    fn judge_subscription(&mut self, token: Token, id: SubId) {
        let Some(conn) = self.connections.find(token) else {
            return;
        };
        let connection = self.connections.get(conn);
        if connection.closing.is_none() {
            connection.client.judge_subscription(&mut self.broker, id);
        }
    }

    /// Closes connections of clients of which there may no longer be as many, the newest first.
    pub(super) fn shed(&mut self, surplus: Surplus) {
        let mut clients: Vec<(u64, ConnId)> = Vec::new();
        for conn in self.connections.ids() {
            let connection = self.connections.get(conn);
            if connection.closing.is_none() && !connection.client.is_internal() {
                clients.push((connection.client.id, conn));
            }
        }
        clients.sort_unstable_by(|one, other| other.cmp(one));
        match surplus {
            Surplus::OfNode(count) => {
                for (_, conn) in clients.into_iter().take(count) {
                    let client = &self.connections.get(conn).client;
                    log::error!("{} - maximum connections exceeded", client.label());
                    self.broker
                        .push(conn, b"-ERR 'maximum connections exceeded'\r\n");
                    self.start_close(conn, CloseReason::MaxConnectionsExceeded);
                }
            }
            Surplus::OfAccounts => {
                for (_, conn) in clients {
                    let client = &mut self.connections.get(conn).client;
                    if client.leaves_crowd(&mut self.broker) {
                        self.start_close(conn, CloseReason::AccountConnectionsExceeded);
                    }
                }
            }
        }
    }
}

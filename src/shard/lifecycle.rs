//! Connections come and go: accepting, placing on a shard, closing in order or at once, and the clock.

use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering::Relaxed;

use crate::broker::effect::{CloseReason, ConnId};
use crate::config::duration;
use crate::session::Flow;
use crate::session::client::Client;

use super::Shard;
use super::connections::{Connection, Parked, Receiving};
use super::mesh::Arrival;
use super::ring::{Ring, Token};

/// How long a closing connection may take for its last bytes.
const CLOSE_MS_MAX: u64 = 2_000;

impl<R: Ring> Shard<R> {
    /// A listener gave a connection: it goes to the shard that has fewest.
    pub(super) fn accepted(&mut self, fd: RawFd, peer: SocketAddr) {
        let counts: Vec<u32> = self
            .node
            .connections
            .iter()
            .map(|count| count.load(Relaxed))
            .collect();
        let id = self.node.last_client_id.fetch_add(1, Relaxed) + 1;
        let start = id as usize % counts.len();
        let shard = (0..counts.len())
            .map(|step| (start + step) % counts.len())
            .min_by_key(|shard| counts[*shard])
            .expect("at least one shard");
        self.node.connections[shard].fetch_add(1, Relaxed);
        let arrival = Arrival { fd, peer, id };
        if shard == self.index {
            self.adopt(arrival);
        } else {
            let Shard { mesh, ring, .. } = self;
            mesh.hand_over(shard, arrival, |shard| ring.wake(shard));
        }
    }

    /// Takes a connection for this shard.
    pub fn adopt(&mut self, arrival: Arrival) {
        let Arrival { fd, peer, id } = arrival;
        let (conn, generation) = self.connections.next(fd);
        self.broker.open(conn, generation);
        let client = Client::new(
            &mut self.context,
            &mut self.broker,
            conn,
            id,
            (peer.ip().to_canonical(), peer.port()),
        );
        log::debug!("{} - Client connection created", client.label());
        self.connections.insert(conn, Connection::new(client));
        let total: u64 = self
            .node
            .connections
            .iter()
            .map(|count| u64::from(count.load(Relaxed)))
            .sum();
        let max = self.context.limits.connections_max;
        if self.stopping {
            self.close_now(conn, CloseReason::ServerShutdown);
        } else if total > max.max(0) as u64 {
            self.broker
                .push(conn, b"-ERR 'maximum connections exceeded'\r\n");
            log::error!("{peer} - cid:{id} - maximum connections exceeded");
            self.start_close(conn, CloseReason::MaxConnectionsExceeded);
        } else {
            self.connections.get(conn).receiving = Receiving::On;
            self.ring.receive(self.connections.wires.token(conn), fd);
            if let Some(port) = self.context.tls.clone() {
                self.secure_begin(conn, port);
            }
            self.schedule(conn);
        }
    }

    /// Takes a connection of the broker itself. It is in no count.
    pub(super) fn adopt_internal(&mut self, socket: OwnedFd, account: &str) {
        if self.stopping {
            return;
        }
        let fd = socket.into_raw_fd();
        let (conn, generation) = self.connections.next(fd);
        self.broker.open(conn, generation);
        let Some(client) = Client::internal(&self.context, &mut self.broker, conn, account) else {
            log::error!("there is no account {account:?} for an internal connection");
            self.broker.close(conn);
            return self.ring.close(self.connections.wires.token(conn), fd);
        };
        let mut connection = Connection::new(client);
        connection.receiving = Receiving::On;
        self.connections.insert(conn, connection);
        self.ring.receive(self.connections.wires.token(conn), fd);
    }

    /// Closes a connection once what waits for it has been sent.
    pub(super) fn start_close(&mut self, conn: ConnId, reason: CloseReason) {
        let now_ms = self.context.now_ms;
        let connection = self.connections.get(conn);
        if connection.closing.is_some() {
            return;
        }
        connection.closing = Some((reason, now_ms + CLOSE_MS_MAX));
        connection.client.leave();
        self.log_closed(conn, reason);
        self.broker.peer(conn).closing = true;
        self.broker.unsubscribe_all(conn);
        self.send_next(conn);
        self.finish_close(conn);
        if self.connections.try_get(conn).is_some() {
            self.schedule(conn);
        }
    }

    /// Ends a closing connection whose outbox is empty.
    pub(super) fn finish_close(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.try_get(conn) else {
            return;
        };
        let lost = connection.secure.as_ref().is_some_and(|tls| tls.is_mute());
        if let Some((reason, _)) = connection.closing
            && (lost || self.broker.peer(conn).outbox.pending_bytes() == 0)
            && self.may_go(conn)
        {
            self.close_now(conn, reason);
        }
    }

    /// Closes a connection at once; what waits for it is lost.
    pub(super) fn close_now(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.connections.try_get(conn) else {
            return;
        };
        let closing = connection.closing;
        let reason = closing.map_or(reason, |(first, _)| first);
        connection.client.leave();
        if closing.is_none() {
            self.log_closed(conn, reason);
        }
        let (token, fd) = (
            self.connections.wires.token(conn),
            self.connections.wires.get(conn).fd,
        );
        self.ring.close(token, fd);
        if !self.stopping {
            let client = &self.connections.get(conn).client;
            client.tell_gone(&self.context, &mut self.broker, reason);
        }
        self.broker.close(conn);
        let connection = self.connections.remove(conn);
        self.renew_timers();
        if let Some(chunk) = connection.secure.and_then(|secure| secure.into_chunk()) {
            self.broker.chunk_done(chunk);
        }
        if !connection.client.is_internal() {
            self.node.connections[self.index].fetch_sub(1, Relaxed);
        }
    }

    /// Tells the log that a connection goes, and why.
    fn log_closed(&mut self, conn: ConnId, reason: CloseReason) {
        let client = &self.connections.get(conn).client;
        match reason {
            CloseReason::SlowConsumerPendingBytes => log::info!(
                "{} - Slow Consumer Detected: MaxPending of {} Exceeded",
                client.label(),
                self.context.limits.pending_bytes_max
            ),
            CloseReason::SlowConsumerWriteDeadline => {
                let outbox = &self.broker.peer(conn).outbox;
                log::info!(
                    "{} - Slow Consumer Detected: WriteDeadline of {} exceeded with {} chunks of {} total bytes.",
                    client.label(),
                    duration::shown(self.context.limits.write_deadline_ms),
                    outbox.pending_chunks(),
                    outbox.pending_bytes()
                );
            }
            _ => {}
        }
        log::debug!(
            "{} - Client connection closed: {}",
            client.label(),
            reason.text()
        );
    }

    /// Closes every connection: the broker stops.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        for conn in self.connections.ids() {
            self.start_close(conn, CloseReason::ServerShutdown);
        }
    }

    /// Makes sure the timers look at a connection when something is due.
    pub(super) fn schedule(&mut self, conn: ConnId) {
        let deadline_ms = self.context.limits.write_deadline_ms;
        let Some(connection) = self.connections.try_get(conn) else {
            return;
        };
        // A closing session has nothing more to do in time.
        let mut due_ms = match connection.closing {
            Some((_, until_ms)) => until_ms,
            None => connection.due_ms(),
        };
        if let Some(Parked::Held { until_ms, .. }) = connection.parked {
            due_ms = due_ms.min(until_ms);
        }
        let sealed_since_ms = connection.sealed_since_ms();
        if let Some(since_ms) = self.broker.sending_since_ms(conn).or(sealed_since_ms) {
            due_ms = due_ms.min(since_ms + deadline_ms);
        }
        if due_ms < connection.timer_ms {
            connection.timer_ms = due_ms;
            self.timers.add(due_ms, self.connections.wires.token(conn));
            self.renew_timers();
        }
    }

    /// Frees the entries of connections that have gone or have been looked at, where most are of these.
    fn renew_timers(&mut self) {
        let Shard {
            timers,
            connections,
            ..
        } = self;
        if timers.is_stale(connections.len()) {
            timers.renew(connections.times());
        }
    }

    /// A time that was asked for has come.
    pub(super) fn on_time(&mut self, due_ms: u64, token: Token) {
        let now_ms = self.context.now_ms;
        let Some(conn) = self.connections.find(token) else {
            return;
        };
        let connection = self.connections.get(conn);
        if connection.timer_ms != due_ms {
            return;
        }
        connection.timer_ms = u64::MAX;
        if connection
            .closing
            .is_some_and(|(_, until_ms)| until_ms <= now_ms)
        {
            return self.close_now(conn, CloseReason::ClientClosed);
        }
        let deadline_ms = self.context.limits.write_deadline_ms;
        let sealed_since_ms = connection.sealed_since_ms();
        let sending_since_ms = self.broker.sending_since_ms(conn).or(sealed_since_ms);
        if sending_since_ms.is_some_and(|since_ms| since_ms + deadline_ms <= now_ms) {
            self.broker.slow_consumers += 1;
            return self.close_now(conn, CloseReason::SlowConsumerWriteDeadline);
        }
        if matches!(connection.parked, Some(Parked::Held { until_ms, .. }) if until_ms <= now_ms) {
            self.unpark(token);
        }
        if let Some(connection) = self.connections.try_get(conn)
            && connection.closing.is_none()
            && connection.due_ms() <= now_ms
        {
            if connection
                .secure
                .as_ref()
                .is_some_and(|tls| tls.due_ms().is_some())
            {
                self.secure_is_due(conn);
                return self.schedule(conn);
            }
            let flow = connection.client.on_time(&self.context, &mut self.broker);
            if let Flow::Close(reason) = flow {
                self.start_close(conn, reason);
            }
        }
        self.schedule(conn);
    }
}

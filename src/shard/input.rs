//! What a shard does with what the ring and others tell it: events to sessions, sessions' wishes to the ring.

use std::sync::mpsc::TryRecvError;

use crate::auth::Outcome;
use crate::broker::PastRing;
use crate::broker::effect::{CloseReason, ConnId, Effect, Origin};
use crate::broker::outbox::Chunk;
use crate::config::duration;
use crate::session::Flow;
use crate::session::client::PIECE_BYTES;

use super::connections::{Parked, Receiving};
use super::lent::Lent;
use super::ring::{Event, ReceiveEnd, Ring, Token};
use super::{Io, Job, Shard, Task, ToShard};

/// How long a publisher is held back before it may feed one more piece to a subscriber that is far behind, again
/// and again until that one has caught up or is cut. The oracle's limit for one read.
const HOLD_MS: u64 = 10;

/// The longest that a publisher is held back for one piece, where a subscriber holds back many: they share what it is
/// fed with meanwhile, or all of them together would soon have filled what it has left.
const HOLD_MS_MAX: u64 = 100;

impl<R: Ring> Shard<R> {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted {
                listener: _,
                fd,
                peer,
            } => self.accepted(fd, peer),
            Event::AcceptFailed(error) => log::error!("Error accepting a connection: {error}"),
            Event::Received { conn, buffer, len } => {
                let lent = Lent::new(&self.ring, buffer, len);
                if let Some(conn) = self.connections.find(conn) {
                    self.received(conn, &lent);
                }
                lent.recycle(&mut self.ring);
            }
            Event::ReceiveEnded { conn, end } => {
                if let Some(conn) = self.connections.find(conn) {
                    self.receive_ended(conn, end);
                }
            }
            Event::Sent {
                conn,
                chunk,
                result,
            } => match self.connections.find(conn) {
                Some(conn) => self.sent(conn, chunk, result),
                None => self.broker.chunk_done(chunk),
            },
            Event::Woken => self.read_inbox(),
        }
    }

    fn received(&mut self, conn: ConnId, bytes: &Lent) {
        if !self.judging.is_done() {
            self.judge(conn);
            if self.connections.try_get(conn).is_none() {
                return;
            }
        }
        let connection = self.connections.get(conn);
        if connection.closing.is_some() {
            return;
        }
        if connection.secure.is_some() {
            return self.received_secure(conn, bytes);
        }
        self.received_plain(conn, bytes);
    }

    /// The session gets what its client says.
    #[inline]
    pub(super) fn received_plain(&mut self, conn: ConnId, bytes: &[u8]) {
        let connection = self.connections.get(conn);
        if connection.parked.is_some() {
            connection.client.stash(bytes);
            return;
        }
        if connection.holders > 0 && bytes.len() > PIECE_BYTES {
            connection.client.stash(bytes);
            return self.resume(conn);
        }
        let Shard {
            ring,
            mesh,
            broker,
            context,
            connections,
            ..
        } = self;
        let (connection, wires) = connections.with_wires(conn);
        let mut io = Io { ring, mesh, wires };
        let flow = connection.client.receive(context, broker, &mut io, bytes);
        self.follow(conn, flow);
    }

    /// Does what a session asks for.
    pub(super) fn follow(&mut self, conn: ConnId, flow: Flow) {
        let Shard {
            mesh, ring, broker, ..
        } = self;
        mesh.push_large(broker.batches(), |shard| ring.wake(shard));
        match flow {
            Flow::Continue if self.mesh.is_clear() => {
                if self.connections.get(conn).holders > 0 {
                    self.park_held(conn);
                }
            }
            // What it sent fills the mesh: its reading stops, the shard goes on.
            Flow::Continue | Flow::AwaitMesh => {
                self.park(conn, Parked::Mesh);
                self.awaiting_mesh.push(self.connections.wires.token(conn));
            }
            Flow::Verify(mut work) => {
                if let Some(secure) = &self.connections.get(conn).secure {
                    secure.tell(&mut work);
                }
                // Who has been let in before goes on until the verdict.
                if self.connections.get(conn).client.awaits_verdict() {
                    self.park(conn, Parked::Verifying);
                }
                let ticket = self.connections.get(conn).client.ticket();
                self.send_to_workers(conn, Task::Verify(ticket, work));
            }
            Flow::Close(reason) => self.start_close(conn, reason),
        }
        self.schedule(conn);
    }

    pub(super) fn send_to_workers(&mut self, conn: ConnId, task: Task) {
        let job = Job {
            shard: self.index,
            conn: self.connections.wires.token(conn),
            source: self.connections.get(conn).client.ip,
            task,
        };
        if self.jobs.send(job).is_err() {
            self.start_close(conn, CloseReason::ServerShutdown);
        }
    }

    pub(super) fn park(&mut self, conn: ConnId, why: Parked) {
        let connection = self.connections.get(conn);
        connection.parked = Some(why);
        if connection.receiving == Receiving::On {
            connection.receiving = Receiving::Stopping;
            let (token, fd) = (
                self.connections.wires.token(conn),
                self.connections.wires.get(conn).fd,
            );
            self.ring.receive_stop(token, fd);
        }
    }

    fn park_held(&mut self, conn: ConnId) {
        let since_ms = self.context.now_ms;
        let until_ms = since_ms + self.connections.get(conn).hold_ms;
        self.park(conn, Parked::Held { since_ms, until_ms });
    }

    /// Tells the log for how long a client was held back, at most once a second.
    fn tell_stalled(&mut self, conn: ConnId, since_ms: u64) {
        const STALL_MS_MIN: u64 = 5;
        const TOLD_AGAIN_MS: u64 = 1_000;
        let now_ms = self.context.now_ms;
        let stalled_ms = now_ms - since_ms;
        if stalled_ms >= STALL_MS_MIN && self.stall_told_ms <= now_ms {
            self.stall_told_ms = now_ms + TOLD_AGAIN_MS;
            let client = &self.connections.get(conn).client;
            log::warn!(
                "{} - Producer was stalled for a total of {}{}",
                client.label(),
                duration::shown(stalled_ms),
                client.label_behind()
            );
        }
    }

    /// A session that waited for room in the mesh goes on, or waits on where a subscriber holds it back: a shard that
    /// takes what comes slowly does not shorten that.
    pub(super) fn mesh_has_room(&mut self, token: Token) {
        let Some(conn) = self.connections.find(token) else {
            return;
        };
        let connection = self.connections.get(conn);
        if connection.holders > 0 && matches!(connection.parked, Some(Parked::Mesh)) {
            self.park_held(conn);
            self.schedule(conn);
        } else {
            self.unpark(token);
        }
    }

    /// Lets a parked session go on: first with what it had to stash, then with its socket.
    pub(super) fn unpark(&mut self, token: Token) {
        let Some(conn) = self.connections.find(token) else {
            return;
        };
        let connection = self.connections.get(conn);
        let Some(parked) = connection.parked.take() else {
            return;
        };
        if connection.closing.is_some() {
            return;
        }
        if let Parked::Held { since_ms, .. } = parked {
            let has_stash = connection.client.has_stash();
            self.tell_stalled(conn, since_ms);
            if !has_stash {
                return self.receive_again(conn);
            }
        }
        self.resume(conn);
    }

    /// What a session had to stash, piece by piece, as long as nothing holds it back; then its socket.
    fn resume(&mut self, conn: ConnId) {
        let token = self.connections.wires.token(conn);
        loop {
            let Shard {
                ring,
                mesh,
                broker,
                context,
                connections,
                ..
            } = self;
            let (connection, wires) = connections.with_wires(conn);
            let mut io = Io { ring, mesh, wires };
            let flow = connection.client.resume(context, broker, &mut io);
            self.follow(conn, flow);
            self.obey();
            let Some(conn) = self.connections.find(token) else {
                return;
            };
            let connection = self.connections.get(conn);
            if connection.parked.is_some()
                || connection.closing.is_some()
                || !connection.client.has_stash()
            {
                break;
            }
        }
        self.receive_again(conn);
    }

    /// Turns receiving on again where nothing speaks against it.
    pub(super) fn receive_again(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.try_get(conn) else {
            return;
        };
        if connection.parked.is_some() || connection.closing.is_some() {
            return;
        }
        if connection
            .secure
            .as_ref()
            .is_some_and(|tls| tls.has_ended())
        {
            return self.start_close(conn, CloseReason::ClientClosed);
        }
        match connection.receiving {
            Receiving::Off => {
                connection.receiving = Receiving::On;
                let (token, fd) = (
                    self.connections.wires.token(conn),
                    self.connections.wires.get(conn).fd,
                );
                self.ring.receive(token, fd);
            }
            Receiving::Ended => self.start_close(conn, CloseReason::ClientClosed),
            Receiving::On | Receiving::Stopping => {}
        }
    }

    fn receive_ended(&mut self, conn: ConnId, end: ReceiveEnd) {
        let connection = self.connections.get(conn);
        match end {
            ReceiveEnd::Stopped => {
                connection.receiving = Receiving::Off;
                self.receive_again(conn);
            }
            ReceiveEnd::Eof => {
                connection.receiving = Receiving::Ended;
                // A session that is parked has input left that the client sent before it closed.
                if connection.parked.is_none() {
                    let reason = self.reason_of_end(conn);
                    self.start_close(conn, reason);
                }
            }
            ReceiveEnd::Failed(_) => {
                connection.receiving = Receiving::Ended;
                self.close_now(conn, CloseReason::ReadError);
            }
        }
    }

    fn sent(&mut self, conn: ConnId, chunk: Chunk, result: std::io::Result<usize>) {
        match self.connections.wires.get(conn).secure {
            true => self.sent_secure(conn, chunk, result),
            false => self.sent_plain(conn, chunk, result),
        }
    }

    pub(super) fn sent_plain(
        &mut self,
        conn: ConnId,
        chunk: Chunk,
        result: std::io::Result<usize>,
    ) {
        match result {
            Ok(sent) => {
                let whole = sent == chunk.unsent().len();
                self.broker.chunk_sent(conn, chunk, sent);
                if whole {
                    self.send_past_ring(conn, PastRing::Arrears);
                }
                self.send_next(conn);
                self.finish_close(conn);
            }
            Err(_) => {
                self.broker.chunk_sent(conn, chunk, 0);
                self.close_now(conn, CloseReason::WriteError);
            }
        }
    }

    /// Does what the core asked for. A publisher that goes on comes back here before this has ended: it is then behind all
    /// that was asked for before, or it could be released from what does not hold it yet.
    pub(super) fn obey(&mut self) {
        loop {
            self.broker.take_effects(&mut self.effects);
            let Some(effect) = self.effects.pop_front() else {
                return;
            };
            match effect {
                Effect::Cut(conn, reason) => self.close_now(conn, reason),
                Effect::Hold(origin, held) => self.hold(origin, held),
                Effect::Release(origin) => self.release(origin),
            }
        }
    }

    fn token_of(&self, origin: Origin) -> Token {
        Token(u64::from(origin.generation) << 32 | u64::from(origin.conn))
    }

    /// A subscriber that this publisher feeds is far behind.
    fn hold(&mut self, origin: Origin, held: u32) {
        let Some(conn) = self.connections.find(self.token_of(origin)) else {
            return;
        };
        let connection = self.connections.get(conn);
        connection.holders += 1;
        let hold_ms = (HOLD_MS * u64::from(held)).min(HOLD_MS_MAX);
        connection.hold_ms = connection.hold_ms.max(hold_ms);
        if connection.parked.is_none() {
            self.park_held(conn);
            self.schedule(conn);
        }
    }

    /// One of those has caught up, or was cut.
    fn release(&mut self, origin: Origin) {
        let token = self.token_of(origin);
        let Some(conn) = self.connections.find(token) else {
            return;
        };
        let connection = self.connections.get(conn);
        connection.holders -= 1;
        if connection.holders == 0 {
            connection.hold_ms = 0;
        }
        if connection.holders == 0 && matches!(connection.parked, Some(Parked::Held { .. })) {
            self.unpark(token);
        }
    }

    /// A verdict on the credentials of a connection.
    fn verified(&mut self, token: Token, ticket: u32, outcome: Outcome) {
        let Some(conn) = self.connections.find(token) else {
            return;
        };
        let connection = self.connections.get(conn);
        if connection.closing.is_some() {
            return;
        }
        let parked = connection.parked == Some(Parked::Verifying);
        let (context, broker) = (&self.context, &mut self.broker);
        match connection.client.verified(context, broker, ticket, outcome) {
            Flow::Continue if !parked || connection.client.awaits_verdict() => {}
            Flow::Continue => {
                self.follow(conn, Flow::Continue);
                self.unpark(token);
            }
            flow => self.follow(conn, flow),
        }
    }

    fn read_inbox(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(ToShard::Verified(token, ticket, outcome)) => {
                    self.verified(token, ticket, outcome);
                }
                Ok(ToShard::Internal { socket, account }) => self.adopt_internal(socket, &account),
                Ok(ToShard::Swap(swap)) => self.swap(swap),
                Ok(ToShard::Shed(surplus)) => self.shed(surplus),
                Ok(ToShard::Handshaken(token, step)) => self.handshaken(token, step),
                Ok(ToShard::Stop) => self.stop(),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }
}

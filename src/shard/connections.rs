//! The connections of one shard: sockets, their sessions, and what each is waiting for. Owns the slots and
//! their generations; never parses.

use std::os::fd::RawFd;

use slab::Slab;

use crate::broker::effect::{CloseReason, ConnId};
use crate::session::client::Client;
use crate::session::secure::TlsPort;

use super::ring::Token;
use super::secure::Secure;

/// How a connection's receiving stands with the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// Bytes may come.
    On,
    /// Asked to stop; the ring has not said so yet.
    Stopping,
    /// Off; may be turned on again.
    Off,
    /// The peer has closed its side, or the socket failed.
    Ended,
}

/// Why a session takes no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// Its credentials are being verified.
    Verifying,
    /// A step of its TLS handshake is being made.
    Handshaking,
    /// Batches wait for room in the mesh.
    Mesh,
    /// A subscriber it feeds is far behind; until this time, then it may feed one more piece.
    Held {
        /// Since when, the loop's milliseconds.
        since_ms: u64,
        /// The loop's milliseconds.
        until_ms: u64,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// Its session.
    pub client: Client,
    /// Its receiving.
    pub receiving: Receiving,
    /// Why it takes no input, if it takes none.
    pub parked: Option<Parked>,
    /// How many subscribers it feeds are far behind and have not caught up: one piece at a time until none is.
    pub holders: u32,
    /// How long it waits before each piece; 0 when there are none.
    pub hold_ms: u64,
    /// It is to be closed once its outbox is empty, or at the time given.
    pub closing: Option<(CloseReason, u64)>,
    /// The time the timers hold for it; `u64::MAX` for none.
    pub timer_ms: u64,
    /// How it stands with TLS; `None` for plain text, today and in future.
    pub secure: Option<Box<Secure>>,
}

impl Connection {
    /// Whether other keys are pinned now than were, and its own is none of them.
    pub fn is_unpinned(&self, now: Option<&TlsPort>, was: Option<&TlsPort>) -> bool {
        let Some(now) = now else {
            return false;
        };
        let same = was.is_some_and(|was| was.acceptor.pins_as(&now.acceptor));
        !same
            && self.secure.as_deref().is_none_or(Secure::is_open)
            && !self.client.is_internal()
            && !now.acceptor.is_pinned(self.client.certificate())
    }

    /// Since when records are with the kernel.
    pub fn sealed_since_ms(&self) -> Option<u64> {
        let secure = self.secure.as_deref();
        secure.and_then(Secure::sending_since_ms)
    }

    /// When something is due at the latest known time.
    pub fn due_ms(&self) -> u64 {
        let secure = self.secure.as_deref().and_then(Secure::due_ms);
        secure.unwrap_or_else(|| self.client.due_ms())
    }

    /// One that receives nothing yet.
    pub fn new(client: Client) -> Self {
        Connection {
            client,
            receiving: Receiving::Off,
            parked: None,
            holders: 0,
            hold_ms: 0,
            closing: None,
            timer_ms: u64::MAX,
            secure: None,
        }
    }
}

/// Socket and generation of a slot, beside the sessions so that both can be used at once.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// The socket.
    pub fd: RawFd,
    /// Which use of the slot this is.
    pub generation: u32,
    /// What is received and sent goes through [`Secure`].
    pub secure: bool,
}

/// Sockets by slot.
#[derive(Debug, Default)]
pub struct Wires {
    list: Vec<Wire>,
}

impl Wires {
    /// The socket of a slot in use.
    pub fn get(&self, conn: ConnId) -> Wire {
        self.list[conn as usize]
    }

    /// The name by which the ring knows the slot's present connection.
    pub fn token(&self, conn: ConnId) -> Token {
        Token(u64::from(self.list[conn as usize].generation) << 32 | u64::from(conn))
    }

    /// Both.
    pub fn both(&self, conn: ConnId) -> (Token, Wire) {
        (self.token(conn), self.get(conn))
    }

    /// Whether what is sent to this slot's connection goes through [`Secure`].
    pub fn set_secure(&mut self, conn: ConnId, secure: bool) {
        self.list[conn as usize].secure = secure;
    }

    fn set(&mut self, conn: ConnId, wire: Wire) {
        let at = conn as usize;
        if at >= self.list.len() {
            self.list.resize(
                at + 1,
                Wire {
                    fd: -1,
                    generation: 0,
                    secure: false,
                },
            );
        }
        self.list[at] = wire;
    }
}

/// All connections of a shard.
#[derive(Debug, Default)]
pub struct Connections {
    /// Each on the heap by itself: slots that move when there are more are small.
    slots: Slab<Box<Connection>>,
    /// Their sockets.
    pub wires: Wires,
    generation: u32,
}

impl Connections {
    /// The slot and generation the next connection gets.
    pub fn next(&mut self, fd: RawFd) -> (ConnId, u32) {
        self.generation = self.generation.wrapping_add(1);
        let conn = self.slots.vacant_key() as ConnId;
        self.wires.set(
            conn,
            Wire {
                fd,
                generation: self.generation,
                secure: false,
            },
        );
        (conn, self.generation)
    }

    /// Fills the slot [`Connections::next`] gave.
    pub fn insert(&mut self, conn: ConnId, connection: Connection) {
        let slot = self.slots.insert(Box::new(connection));
        assert_eq!(slot as ConnId, conn, "the slot that was given");
    }

    /// The slot of a token, unless its connection has gone.
    pub fn find(&self, token: Token) -> Option<ConnId> {
        let conn = token.0 as u32;
        let known = self.slots.contains(conn as usize) && self.wires.token(conn) == token;
        known.then_some(conn)
    }

    /// A connection.
    pub fn get(&mut self, conn: ConnId) -> &mut Connection {
        &mut self.slots[conn as usize]
    }

    /// A connection and all sockets.
    pub fn with_wires(&mut self, conn: ConnId) -> (&mut Connection, &Wires) {
        (&mut self.slots[conn as usize], &self.wires)
    }

    /// A connection, if the slot is in use.
    pub fn try_get(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.slots.get_mut(conn as usize).map(Box::as_mut)
    }

    /// Frees a slot.
    pub fn remove(&mut self, conn: ConnId) -> Connection {
        *self.slots.remove(conn as usize)
    }

    /// The slots in use.
    pub fn ids(&self) -> Vec<ConnId> {
        self.slots.iter().map(|(slot, _)| slot as ConnId).collect()
    }

    /// When which is to be looked at.
    pub fn times(&self) -> impl Iterator<Item = (u64, Token)> {
        let due = self.slots.iter().map(|(slot, one)| (slot, one.timer_ms));
        due.filter(|(_, due_ms)| *due_ms != u64::MAX)
            .map(|(slot, due_ms)| (due_ms, self.wires.token(slot as ConnId)))
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

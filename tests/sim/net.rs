//! The simulated network: sockets as pairs of bounded byte pipes, descriptors that are used again, wakes between
//! shards. Owns what is on the way; never decides when it goes on: the ring and the clients do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;

/// A socket's number, never used twice.
pub type SocketId = usize;

/// Both directions of one connection.
#[derive(Debug, Default)]
pub struct Socket {
    /// From the client, not yet received by the broker.
    pub to_broker: VecDeque<u8>,
    /// The client sends nothing more.
    pub shut: bool,
    /// From the broker, not yet read by the client.
    pub to_client: VecDeque<u8>,
    /// The broker has closed its end.
    pub closed: bool,
    /// The connection broke: either end gets an error.
    pub reset: bool,
}

/// Everything between clients and shards.
#[derive(Debug)]
pub struct Net {
    sockets: Vec<Socket>,
    fds: Vec<Option<SocketId>>,
    /// Connections nobody has accepted yet.
    pub backlog: VecDeque<(RawFd, SocketAddr)>,
    /// Shards that were woken and have not been told.
    pub woken: Vec<bool>,
    /// Bytes each pipe holds at most.
    pub pipe_bytes: usize,
    /// Sockets the broker has begun to close or the network has broken, not yet looked at by the world.
    pub ended: Vec<SocketId>,
}

impl Net {
    /// A network without sockets.
    pub fn new(shards: usize, pipe_bytes: usize) -> Self {
        Net {
            sockets: Vec::new(),
            fds: Vec::new(),
            backlog: VecDeque::new(),
            woken: vec![false; shards],
            pipe_bytes,
            ended: Vec::new(),
        }
    }

    /// A client connects. The lowest free descriptor is used, as the kernel does.
    pub fn connect(&mut self) -> SocketId {
        let id = self.sockets.len();
        self.sockets.push(Socket::default());
        let fd = match self.fds.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.fds.push(None);
                self.fds.len() - 1
            }
        };
        self.fds[fd] = Some(id);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1024 + (id % 60_000) as u16));
        self.backlog.push_back((fd as RawFd, peer));
        id
    }

    /// A socket.
    pub fn socket(&mut self, id: SocketId) -> &mut Socket {
        &mut self.sockets[id]
    }

    /// The socket behind an open descriptor of the broker.
    pub fn of_fd(&self, fd: RawFd) -> SocketId {
        self.fds[fd as usize].expect("an open descriptor")
    }

    /// The broker closes a descriptor.
    pub fn close(&mut self, fd: RawFd) {
        let id = self.fds[fd as usize].take().expect("an open descriptor");
        self.sockets[id].closed = true;
    }

    /// The network breaks a connection.
    pub fn break_off(&mut self, id: SocketId) {
        self.sockets[id].reset = true;
        self.ended.push(id);
    }

    /// Room for bytes to a client.
    pub fn room_to_client(&self, id: SocketId) -> usize {
        self.pipe_bytes
            .saturating_sub(self.sockets[id].to_client.len())
    }

    /// Room for bytes to the broker.
    pub fn room_to_broker(&self, id: SocketId) -> usize {
        self.pipe_bytes
            .saturating_sub(self.sockets[id].to_broker.len())
    }

    /// Descriptors the broker has open.
    pub fn open_count(&self) -> usize {
        self.fds.iter().flatten().count()
    }
}

//! The seam between a shard and the kernel: one trait, implemented by io_uring, by epoll and by the
//! simulation. Owns sockets in flight; never looks into the bytes.
//!
//! A shard's turn is: [`Ring::turn`] (submit what was queued, wait as told, reap), then the shard drains
//! its mesh, then handles the events. What was reaped before the drain is thereby handled after every
//! interest change and delivery that happened before it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::broker::outbox::Chunk;

/// Names one connection of this shard, generation included; the ring only carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// A receive buffer lent by the ring until [`Ring::recycle`].
#[derive(Debug, PartialEq, Eq)]
pub struct BufferId(pub u16);

/// Size of a receive buffer. Few of them (8 to 16), so that they stay in cache.
pub const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// What [`Ring::turn`] does when nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Return at once.
    No,
    /// Sleep until an event or this long.
    For(Duration),
}

/// Why receiving on a connection ended. After it no `Received` for that token follows until
/// [`Ring::receive`] is called again.
#[derive(Debug)]
pub enum ReceiveEnd {
    /// The peer closed its side.
    Eof,
    /// The socket failed.
    Failed(io::Error),
    /// [`Ring::receive_stop`] took effect.
    Stopped,
}

/// What happened since the last turn.
#[derive(Debug)]
pub enum Event {
    /// A listener gave a connection. Non-blocking, close-on-exec, TCP_NODELAY set by the ring.
    Accepted {
        /// The listener it came from, as passed to [`Ring::accept`].
        listener: RawFd,
        /// The new socket, owned by the receiver of this event.
        fd: RawFd,
        /// The peer's address.
        peer: SocketAddr,
    },
    /// Accepting failed (out of descriptors …); the ring goes on accepting, after a pause where it must.
    AcceptFailed(io::Error),
    /// Bytes have come: the first `len` of the buffer.
    Received {
        /// Whose.
        conn: Token,
        /// Where; give it back with [`Ring::recycle`].
        buffer: BufferId,
        /// How many, at least 1.
        len: usize,
    },
    /// Receiving ended.
    ReceiveEnded {
        /// Whose.
        conn: Token,
        /// Why.
        end: ReceiveEnd,
    },
    /// The send of a chunk ended: wholly (`Ok(n)`, n = all that was unsent), in part, or not at all. The
    /// chunk comes back with `advance` NOT yet applied.
    Sent {
        /// Whose.
        conn: Token,
        /// The chunk given to [`Ring::send`].
        chunk: Chunk,
        /// Bytes taken by the kernel.
        result: io::Result<usize>,
    },
    /// Somebody woke this shard (a peer by [`Ring::wake`], or the control thread through the waker).
    Woken,
}

/// One shard's access to the kernel.
pub trait Ring {
    /// Accepts on a listening socket for as long as the ring lives.
    fn accept(&mut self, listener: RawFd);

    /// Stops accepting on it.
    fn accept_stop(&mut self, listener: RawFd);

    /// Receives on a connection until stopped or ended. The ring re-arms by itself where the kernel's
    /// multishot ends for want of buffers.
    fn receive(&mut self, conn: Token, fd: RawFd);

    /// Stops receiving; `ReceiveEnded { Stopped }` follows, `Received` may still come before it.
    fn receive_stop(&mut self, conn: Token, fd: RawFd);

    /// Sends the unsent part of a chunk. At most one send is in flight a connection.
    fn send(&mut self, conn: Token, fd: RawFd, chunk: Chunk);

    /// Shuts the socket down both ways and closes the descriptor. An operation in flight still reports
    /// its event (with an error or an end), so that its chunk or buffer comes back.
    fn close(&mut self, conn: Token, fd: RawFd);

    /// Wakes a sleeping peer shard, by its index.
    fn wake(&mut self, peer: usize);

    /// Submits what was queued, waits as told unless events are ready, and appends events in the order
    /// they happened. The bound on one turn's events is the ring's completion queue.
    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()>;

    /// Submits what was queued without reaping: bounds how long a filled chunk waits in a long turn.
    fn submit(&mut self) -> io::Result<()>;

    /// The bytes of a lent buffer, all [`RECEIVE_BUFFER_BYTES`] of it (callers use the first `len`).
    fn buffer(&self, id: &BufferId) -> &[u8];

    /// Gives a buffer back.
    fn recycle(&mut self, id: BufferId);
}

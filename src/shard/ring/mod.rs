//! The seam between a shard and the kernel: one trait, implemented by io_uring, by epoll and by the
//! simulation. Owns sockets in flight; never looks into the bytes.
//!
//! A shard's turn is: [`Ring::turn`] (submit what was queued, wait as told, reap), then the shard drains
//! its mesh, then handles the events. What was reaped before the drain is thereby handled after every
//! interest change and delivery that happened before it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::broker::outbox::Chunk;

pub mod epoll;
pub mod handles;
pub mod probe;
pub mod uring;

mod fd;
mod listeners;

#[cfg(test)]
mod conformance;

/// Names one connection of this shard, generation included; the ring only carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// Received bytes lent by the ring until [`Ring::recycle`], which is to be before the next turn: what is lent may be all that
/// a ring has. Opaque: the ring that made it knows which buffer it means, and where in it (io_uring may place several
/// receives in one buffer).
#[derive(Debug, PartialEq, Eq)]
pub struct BufferId(pub u32);

/// Size of a receive buffer. Few of them, so that they stay in cache.
pub const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// Who sends so much at once sends more than others: it is received behind them.
pub const LARGE_BYTES: usize = 32 * 1024;

/// How a ring is sized. The same for each kind of ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingOptions {
    /// Receive buffers of [`RECEIVE_BUFFER_BYTES`], 1 to 32768, or one of their size together where the kernel fills it by and
    /// by. They bound what one turn takes in, and so how long a small message may wait behind large ones.
    pub receive_buffers: u16,
    /// The same for those alone who send much. Many small messages of one connection cost less in one go: each of its turns
    /// wakes its publisher and its subscriber (measured: `perf/`, `100to100-128`).
    pub greedy_buffers: u16,
    /// At least so many where the kernel gives a whole buffer to each receive, however small (before Linux 6.12).
    pub whole_buffers_min: u16,
    /// Operations queued before they are submitted of themselves; a power of two.
    pub submission_entries: u32,
    /// Events one turn can bring; a power of two, at least twice `submission_entries`.
    pub completion_entries: u32,
}

impl Default for RingOptions {
    fn default() -> Self {
        RingOptions {
            receive_buffers: 4,
            greedy_buffers: 8,
            whole_buffers_min: 16,
            submission_entries: 256,
            completion_entries: 4096,
        }
    }
}

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
    /// Accepts on a listening socket until [`Ring::accept_stop`].
    fn accept(&mut self, listener: RawFd);

    /// Stops accepting on it. A connection already taken may still come as `Accepted`. The caller may
    /// close the listener after this.
    fn accept_stop(&mut self, listener: RawFd);

    /// Receives on a connection until stopped or ended. The ring re-arms by itself where the kernel's
    /// multishot ends for want of buffers. Each call is answered by exactly one `ReceiveEnded`. May be
    /// called again before a stop has taken effect: receiving goes on after that `Stopped`.
    fn receive(&mut self, conn: Token, fd: RawFd);

    /// Stops receiving; `ReceiveEnded { Stopped }` follows (or the end that came first), `Received` may
    /// still come before it. Nothing is lost: what was not received is there for the next `receive`.
    /// Without effect where receiving has ended.
    fn receive_stop(&mut self, conn: Token, fd: RawFd);

    /// Sends the unsent part of a chunk, at least one byte. At most one send is in flight a connection.
    /// One `Sent` follows, as soon as the kernel has taken a part.
    fn send(&mut self, conn: Token, fd: RawFd, chunk: Chunk);

    /// Sends at once, past the ring, what the socket takes without waiting: returns how many bytes of the parts, 0 also
    /// where the socket has failed. No [`Ring::send`] of this connection is in flight.
    fn send_now(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> usize;

    /// Shuts the socket down both ways and closes the descriptor, after what was queued for it. An
    /// operation in flight still reports its event (with an error or an end), so that its chunk or buffer
    /// comes back; which error or end is not promised. The number may come back as a new connection from
    /// the next turn on.
    fn close(&mut self, conn: Token, fd: RawFd);

    /// Wakes a sleeping peer shard, by its index; at the latest with the next `turn` or `submit`.
    fn wake(&mut self, peer: usize);

    /// Submits what was queued, waits as told unless events are ready, and appends events: of one connection in the order they
    /// happened, of connections that send much behind those of others. The bound on one turn's events is the ring's completion
    /// queue.
    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()>;

    /// Submits what was queued without reaping: bounds how long a filled chunk waits in a long turn.
    fn submit(&mut self) -> io::Result<()>;

    /// The bytes lent, and behind them what else the buffer holds (callers use the first `len`).
    fn buffer(&self, id: &BufferId) -> &[u8];

    /// Gives a buffer back.
    fn recycle(&mut self, id: BufferId);
}

//! What others hold to wake a shard: the control thread a [`Waker`], its peers a [`PeerHandle`].
//! Never carries data; what there is to do stands in the mesh or in a snapshot.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// Wakes one shard from any thread. The shard sees [`Event::Woken`](super::Event::Woken).
#[derive(Clone, Debug)]
pub struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl Waker {
    /// A waker of nobody yet.
    ///
    /// # Errors
    /// No descriptor left.
    pub(super) fn new() -> io::Result<Waker> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker {
            eventfd: Arc::new(eventfd),
        })
    }

    /// Wakes the shard. Wakes that come together are seen as one.
    pub fn wake(&self) {
        // The one error possible is a counter at its limit (2^64 wakes never read): forget them, count on.
        // The reader is told at every write, so what the counter holds is of no matter.
        while rustix::io::write(&self.eventfd, &1u64.to_ne_bytes()) == Err(rustix::io::Errno::AGAIN)
        {
            let _ = rustix::io::read(&self.eventfd, &mut [0u8; 8]);
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

/// How one shard wakes another: [`Ring::wake`](super::Ring::wake) goes through it.
#[derive(Clone, Debug)]
pub struct PeerHandle {
    /// The peer's io_uring, for a message from ring to ring; absent for epoll.
    pub(super) ring: Option<Arc<OwnedFd>>,
    /// The way that always works.
    pub(super) waker: Waker,
}

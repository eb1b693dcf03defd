//! The listeners of a ring: what they take in a turn, and the pauses they take when the process is out of descriptors or
//! memory. Never waits.

use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, RawFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::Event;
use super::fd::borrow;

/// Connections taken in a turn: those that are there already wait no longer than for these.
const ACCEPTS_A_TURN: usize = 16;

/// How long a listener rests after such an error: short for who waits, long for the processor.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// The listeners accepted on, each with the time it rests until.
#[derive(Default)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    paused: usize,
}

struct Listener {
    fd: RawFd,
    paused_until: Option<Instant>,
}

impl Listeners {
    /// Takes one in, not resting. Accepting on it never waits from now on, and its connections send without delay. (Neither
    /// can fail on a listener.)
    pub(super) fn add(&mut self, fd: RawFd) {
        assert!(!self.has(fd), "already accepting");
        let _ = rustix::io::ioctl_fionbio(borrow(fd), true);
        let _ = rustix::net::sockopt::set_tcp_nodelay(borrow(fd), true);
        let paused_until = None;
        self.all.push(Listener { fd, paused_until });
    }

    /// Forgets one; true if it was there and not resting.
    pub(super) fn remove(&mut self, fd: RawFd) -> bool {
        let Some(at) = self.all.iter().position(|l| l.fd == fd) else {
            return false;
        };
        let paused = self.all.swap_remove(at).paused_until.is_some();
        self.paused -= usize::from(paused);
        !paused
    }

    /// Whether it is accepted on, resting or not.
    pub(super) fn has(&self, fd: RawFd) -> bool {
        self.all.iter().any(|l| l.fd == fd)
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.all.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The one of this number, unless it rests.
    pub(super) fn awake(&self, at: usize) -> Option<RawFd> {
        let listener = self.all.get(at)?;
        listener.paused_until.is_none().then_some(listener.fd)
    }

    /// Lets one rest from now on.
    pub(super) fn pause(&mut self, fd: RawFd) {
        if let Some(listener) = self.all.iter_mut().find(|l| l.fd == fd) {
            let until = Instant::now() + PAUSE;
            self.paused += usize::from(listener.paused_until.replace(until).is_none());
        }
    }

    /// One that has rested, to be accepted on again. Asks for the time only if one rests.
    pub(super) fn due(&mut self, now: impl FnOnce() -> Instant) -> Option<RawFd> {
        if self.paused == 0 {
            return None;
        }
        let now = now();
        let rested = |l: &&mut Listener| l.paused_until.is_some_and(|until| until <= now);
        let listener = self.all.iter_mut().find(rested)?;
        listener.paused_until = None;
        self.paused -= 1;
        Some(listener.fd)
    }

    /// Shortens a wait so that it ends when the first has rested.
    pub(super) fn bound(&self, wait: Duration) -> Duration {
        if self.paused == 0 {
            return wait;
        }
        let now = Instant::now();
        let rests = self.all.iter().filter_map(|l| l.paused_until);
        let first = rests
            .map(|until| until.saturating_duration_since(now))
            .min();
        first.map_or(wait, |rest| rest.min(wait))
    }
}

/// Takes some of the connections that wait. True if trying again at once is of no use: then the listener rests.
pub(super) fn accept_some(
    listeners: &mut Listeners,
    listener: RawFd,
    events: &mut Vec<Event>,
) -> bool {
    for _ in 0..ACCEPTS_A_TURN {
        match accept_one(listener) {
            Ok((fd, peer)) => events.push(Event::Accepted { listener, fd, peer }),
            Err(Errno::AGAIN) => return false,
            Err(error) => {
                let rests = out_of_resources(error.raw_os_error());
                if rests {
                    listeners.pause(listener);
                }
                events.push(Event::AcceptFailed(error.into()));
                return rests;
            }
        }
    }
    false
}

/// Takes one connection; it has the listener's TCP_NODELAY.
fn accept_one(listener: RawFd) -> Result<(RawFd, SocketAddr), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (fd, peer) = rustix::net::acceptfrom_with(borrow(listener), flags)?;
    let peer = peer.ok_or(Errno::NOTCONN)?.try_into()?;
    Ok((fd.into_raw_fd(), peer))
}

/// Whether an error of accept says that trying again at once is of no use: accept(2).
fn out_of_resources(errno: i32) -> bool {
    matches!(
        errno,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM
    )
}

//! What a server's shards run on. Owns which of it this machine has.

use io_uring::IoUring;
use io_uring::squeue::Entry;

/// A value of `--io`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// What the server finds.
    Auto,
    /// io_uring.
    Uring,
    /// The fallback.
    Epoll,
}

impl Io {
    /// As the flag says it.
    pub fn name(self) -> &'static str {
        match self {
            Io::Auto => "auto",
            Io::Uring => "uring",
            Io::Epoll => "epoll",
        }
    }

    /// As the log says it.
    pub fn full_name(self) -> &'static str {
        match self {
            Io::Uring => "io_uring",
            _ => self.name(),
        }
    }

    /// How much of a long work is done: on the fallback less.
    pub fn share<T>(self, whole: T, on_fallback: T) -> T {
        match self {
            Io::Epoll => on_fallback,
            _ => whole,
        }
    }

    /// Whether this machine gives it, a ring of the kind gannet needs. Asked of the kernel, not of gannet: a gannet that
    /// fails to start on io_uring fails its tests.
    pub fn is_here(self) -> bool {
        let ring = || {
            IoUring::<Entry>::builder()
                .setup_single_issuer()
                .setup_defer_taskrun()
                .build(8)
        };
        self != Io::Uring || ring().is_ok()
    }
}

//! Borrowing the raw descriptors that come through the seam. Never opens or keeps one.
#![allow(unsafe_code)]

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg, shutdown};

/// Borrows a descriptor for one call.
pub(super) fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    assert!(fd >= 0, "a descriptor is not negative");
    // SAFETY: the seam's contract: the caller owns `fd` and leaves it open until it gives it up with
    // `Ring::close` (listeners: until `accept_stop`). No caller here keeps the borrow past its call.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// [`Ring::send_now`](super::Ring::send_now) with a system call.
pub(super) fn send_now(fd: RawFd, parts: &[IoSlice<'_>]) -> usize {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let sent = match parts {
        [bytes] => send(borrow(fd), bytes, flags),
        _ => sendmsg(
            borrow(fd),
            parts,
            &mut SendAncillaryBuffer::default(),
            flags,
        ),
    };
    sent.unwrap_or(0)
}

/// Shuts a socket down both ways and closes it. That it may no longer be connected is no matter.
pub(super) fn shut_and_close(fd: RawFd) {
    let _ = shutdown(borrow(fd), Shutdown::Both);
    // SAFETY: `Ring::close` hands the descriptor's ownership to the ring, which calls this once.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

//! How soon the scheduler lets a shard go on where other threads want its core too. Owns nothing.

#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;

use libc::{SYS_sched_getattr, SYS_sched_setattr, c_long, sched_attr, syscall};

/// The shortest slice there is.
const SLICE_NS: u64 = 100_000;

/// Asks for short slices for this thread: from Linux 6.12 on, who wakes up with a shorter slice than the thread that runs goes
/// first at once, and not only at the next tick, up to 4 ms later (EEVDF; "custom slice" in kernel/sched/fair.c). Its share of
/// the core stays the same. Older kernels take the wish and pass over it (measured: `perf/`, storms).
///
/// # Errors
/// The kernel's, where a filter of system calls forbids it.
pub fn ask_for_short_slices() -> io::Result<()> {
    const THIS_THREAD: c_long = 0;
    let size = size_of::<sched_attr>() as u32;
    let mut wish = sched_attr {
        size,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most `size` bytes, which is what the structure has.
    let got = unsafe { syscall(SYS_sched_getattr, THIS_THREAD, &raw mut wish, size, 0) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    wish.size = size;
    wish.sched_runtime = SLICE_NS;
    // SAFETY: the kernel reads as many bytes as `size` says, which is what the structure has, and writes back at most `size`.
    let set = unsafe { syscall(SYS_sched_setattr, THIS_THREAD, &raw mut wish, 0) };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_taken_and_nothing_else_changes() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        ask_for_short_slices().unwrap();
        ask_for_short_slices().unwrap();
        assert_eq!(nice(), before);
    }
}

//! What is asked of memory beyond reading and writing it: to come nearer, to go back to the system. Owns nothing.

#![allow(unsafe_code)]

/// Gives back what this thread has freed. The allocator itself would do so only when more is freed, and not before a
/// second is over: after ten thousand logins and silence a third of what they took stays resident (measured: `perf/`,
/// `memory-connection`). Takes up to some milliseconds: for a thread that sleeps anyway.
///
/// Where another allocator is at work, as in tests, nothing happens.
pub fn give_back() {
    // SAFETY: takes no pointer, may be called by any thread at any time, and touches only what is free.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Asks the processor to fetch the cache line of an address; nothing where it cannot be asked.
#[inline(always)]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which touches nothing and faults at no address; every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

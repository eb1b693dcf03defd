//! Priorities of threads: what shards do comes first. A wish: a thread that may not lower its own keeps the usual one.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Niceness of threads that give way: on a full core they get a tenth of it.
const NICE: i32 = 10;

/// This thread, and those that it starts, give way to established traffic, and go on all the same on a full machine.
pub fn give_way() {
    if let Err(error) = rustix::process::nice(NICE) {
        log::debug!("a thread keeps the usual priority: {error}");
    }
}

/// This thread runs only where a core is idle.
pub fn only_when_idle() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let lowered = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    if let Err(error) = lowered {
        log::debug!("a thread keeps the usual priority: {error:?}");
    }
}

//! Priorities of threads: what shards do comes first. A wish: a thread that may not lower its own keeps the usual one.

use std::sync::Mutex;

/// Niceness of threads that give way: on a full core they get a tenth of it.
const NICE: i32 = 10;

/// Niceness of threads that give way most: a seventieth.
const NICE_MOST: i32 = 19;

/// This thread, and those that it starts, give way to established traffic, and go on all the same on a full machine.
pub fn give_way() {
    be_nice(NICE);
}

/// The same, and hardly go on there. A shard that wakes up beside such a thread has, as good as always, the right to go first;
/// beside one that merely gives way it may owe it some time and wait for the scheduler's next tick, up to 4 ms (EEVDF;
/// measured: `perf/`, storms).
pub fn give_way_most() {
    be_nice(NICE_MOST);
}

/// Does something on a thread that gives way most, and waits for it; here where no thread is to be had.
pub fn giving_way_most<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = Mutex::new(Some(work));
    let take = || {
        let mut work = work.lock().expect("nobody panics with the lock");
        work.take().expect("it is taken once")
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("nicely".into());
        let thread = thread.spawn_scoped(scope, || {
            give_way_most();
            take()()
        });
        match thread {
            Ok(thread) => thread.join().expect("the work does not panic"),
            Err(_) => take()(),
        }
    })
}

/// Threads can only become nicer: whoever is nicer already stays so.
fn be_nice(wanted: i32) {
    let nice = rustix::process::getpriority_process(None)
        .and_then(|is| rustix::process::nice(wanted - is.min(wanted)));
    if let Err(error) = nice {
        log::debug!("a thread keeps the usual priority: {error}");
    }
}

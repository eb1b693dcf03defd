//! Jobs that several workers take, each source in its turn, and whether the workers get along. Owns the queue; does no job.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::fair::Fair;
use crate::shard::Job;

/// Workers that have had less than this part of a core, while there was something to do, have been starved.
const STARVED_BELOW: u32 = 10;

/// What workers share.
pub struct Pool {
    intake: Mutex<Intake>,
    /// Jobs that workers have in hand.
    in_hand: AtomicUsize,
    /// What they have had of the processor, ns; counted at the end of each job.
    worked_ns: AtomicU64,
    /// Who helps them,
    helpers: OnceLock<Vec<Thread>>,
    /// and whether they look at them.
    looks: AtomicBool,
}

impl Pool {
    /// A pool of the jobs that come this way.
    pub fn new(incoming: Receiver<Job>) -> Self {
        Pool {
            intake: Mutex::new(Intake {
                incoming,
                waiting: Fair::default(),
            }),
            in_hand: AtomicUsize::new(0),
            worked_ns: AtomicU64::new(0),
            helpers: OnceLock::new(),
            looks: AtomicBool::new(false),
        }
    }

    /// These threads look at the workers from now on. To be said once.
    pub fn helped_by(&self, helpers: Vec<Thread>) {
        self.helpers.set(helpers).expect("it is said once");
    }

    /// The next job; waits for it. `None` when no more can come.
    pub fn next(&self) -> Option<Job> {
        let mut intake = self.intake.lock().expect("no worker panics with the lock");
        intake.next()
    }

    /// The next job if there is one, unless a worker is about to take it.
    pub fn next_late(&self) -> Option<Job> {
        self.intake.try_lock().ok()?.next_now()
    }

    /// Whether there is a next job, and no worker about to take it.
    pub fn has_waiting(&self) -> bool {
        let intake = self.intake.try_lock();
        intake.is_ok_and(|mut intake| intake.has_waiting())
    }

    /// A worker does a job.
    pub fn doing<T>(&self, job: impl FnOnce() -> T) -> T {
        self.in_hand.fetch_add(1, SeqCst);
        if !self.looks.swap(true, SeqCst) {
            let helpers = self.helpers.get().into_iter().flatten();
            helpers.for_each(Thread::unpark);
        }
        let before = thread_ns();
        let done = job();
        let worked_ns = thread_ns().saturating_sub(before);
        self.worked_ns.fetch_add(worked_ns, Relaxed);
        self.in_hand.fetch_sub(1, SeqCst);
        done
    }

    /// Waits until a worker does something, and then for so long. Whether the workers have been starved meanwhile.
    pub fn look(&self, long: Duration) -> bool {
        while !self.looks.load(SeqCst) {
            thread::park();
        }
        let before = self.worked_ns.load(Relaxed);
        thread::sleep(long);
        if self.in_hand.load(SeqCst) == 0 {
            self.looks.store(false, SeqCst);
            // Who has begun just now has not seen that.
            if self.in_hand.load(SeqCst) > 0 {
                self.looks.store(true, SeqCst);
            }
        }
        let worked = Duration::from_nanos(self.worked_ns.load(Relaxed) - before);
        worked < long / STARVED_BELOW
    }
}

/// What the calling thread has had of the processor, ns.
fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let time = Duration::try_from(time).unwrap_or_default();
    time.as_nanos() as u64
}

/// Where jobs come in and wait for their turns.
struct Intake {
    incoming: Receiver<Job>,
    waiting: Fair<Job>,
}

impl Intake {
    fn next(&mut self) -> Option<Job> {
        self.next_now().or_else(|| self.incoming.recv().ok())
    }

    fn next_now(&mut self) -> Option<Job> {
        self.take_in();
        self.waiting.pop()
    }

    fn has_waiting(&mut self) -> bool {
        self.take_in();
        !self.waiting.is_empty()
    }

    fn take_in(&mut self) {
        while let Ok(job) = self.incoming.try_recv() {
            self.waiting.push(job.source, job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LOOK: Duration = Duration::from_millis(50);

    #[test]
    fn who_gets_nothing_of_the_processor_is_starved() {
        let (_jobs, incoming) = mpsc::channel();
        let pool = Pool::new(incoming);
        thread::scope(|scope| {
            let looks = scope.spawn(|| pool.look(LOOK));
            pool.helped_by(vec![looks.thread().clone()]);
            let starved = pool.doing(|| looks.join().unwrap());
            assert!(starved);
        });
        // The next job tells the helper again once nobody has had one in hand for a while.
        assert!(pool.looks.load(SeqCst));
        assert_eq!(pool.in_hand.load(SeqCst), 0);
        pool.look(LOOK);
        assert!(!pool.looks.load(SeqCst));
    }

    #[test]
    fn a_helper_does_not_wait_for_a_job_that_a_worker_waits_for() {
        let (jobs, incoming) = mpsc::channel();
        let pool = Pool::new(incoming);
        assert!(pool.next_late().is_none());
        thread::scope(|scope| {
            let worker = scope.spawn(|| pool.next().is_none());
            while pool.intake.try_lock().is_ok() {
                thread::yield_now();
            }
            assert!(pool.next_late().is_none());
            drop(jobs);
            assert!(worker.join().unwrap());
        });
    }
}

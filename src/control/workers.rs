//! Threads that verify slow credentials and make TLS handshakes off the shards. Own how jobs are taken, each source in its turn; never decide who may come in.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use super::accounts::{self, Waiting, WaitingClient};
use super::callout::{Callouts, Question};
use super::fair::Fair;
use super::process;
use crate::auth::Elsewhere;
use crate::shard::ring::handles::Waker;
use crate::shard::{Job, Task, ToShard};

/// How a worker answers a shard.
#[derive(Clone, Debug)]
pub struct ShardLine {
    /// The shard's inbox.
    pub inbox: Sender<ToShard>,
    /// Wakes it.
    pub waker: Waker,
}

impl ShardLine {
    /// Tells a shard something. False if it has ended and hears nothing more.
    pub fn tell(&self, message: ToShard) -> bool {
        let hears = self.inbox.send(message).is_ok();
        if hears {
            self.waker.wake();
        }
        hears
    }
}

/// Workers that have had less than this part of a core, while there was something to do, have been starved.
const STARVED_BELOW: u32 = 10;

/// How long they are looked at. A login may take two seconds.
const LOOK: Duration = Duration::from_millis(250);

/// Starts workers that take jobs until every sender has gone.
///
/// They give way most, so that logins cost established traffic nothing. Where shards leave them next to nothing one more
/// helps, with a tenth of a core: logins go on on a full machine.
pub fn start(
    count: usize,
    jobs: Receiver<Job>,
    lines: Arc<Vec<ShardLine>>,
    callouts: &Callouts,
    accounts: &Sender<accounts::Event>,
) -> std::io::Result<()> {
    let pool = Arc::new(Pool::new(jobs));
    let desk = |pool: &Arc<Pool>| Desk {
        pool: Arc::clone(pool),
        lines: Arc::clone(&lines),
        callouts: callouts.clone(),
        accounts: accounts.clone(),
    };
    let helper = desk(&pool);
    let helper = thread::Builder::new()
        .name("verify-late".into())
        .spawn(move || {
            process::give_way();
            helper.help();
        })?;
    pool.helper
        .set(helper.thread().clone())
        .expect("it is set once");
    for number in 0..count {
        let desk = desk(&pool);
        thread::Builder::new()
            .name(format!("verify-{number}"))
            .spawn(move || {
                process::give_way_most();
                desk.work();
            })?;
    }
    Ok(())
}

/// What workers share.
struct Pool {
    intake: Mutex<Intake>,
    /// Jobs that workers have in hand.
    in_hand: AtomicUsize,
    /// What they have had of the processor, ns; counted at the end of each job.
    worked_ns: AtomicU64,
    /// Who helps them,
    helper: OnceLock<Thread>,
    /// and whether it looks at them.
    looks: AtomicBool,
}

impl Pool {
    fn new(incoming: Receiver<Job>) -> Self {
        Pool {
            intake: Mutex::new(Intake {
                incoming,
                waiting: Fair::default(),
            }),
            in_hand: AtomicUsize::new(0),
            worked_ns: AtomicU64::new(0),
            helper: OnceLock::new(),
            looks: AtomicBool::new(false),
        }
    }

    /// The next job; waits for it. `None` when no more can come.
    fn next(&self) -> Option<Job> {
        let mut intake = self.intake.lock().expect("no worker panics with the lock");
        intake.next()
    }

    /// The next job if there is one, unless a worker is about to take it.
    fn next_late(&self) -> Option<Job> {
        self.intake.try_lock().ok()?.next_now()
    }

    /// A worker does a job.
    fn doing<T>(&self, job: impl FnOnce() -> T) -> T {
        self.in_hand.fetch_add(1, SeqCst);
        if !self.looks.swap(true, SeqCst)
            && let Some(helper) = self.helper.get()
        {
            helper.unpark();
        }
        let before = thread_ns();
        let done = job();
        let worked_ns = thread_ns().saturating_sub(before);
        self.worked_ns.fetch_add(worked_ns, Relaxed);
        self.in_hand.fetch_sub(1, SeqCst);
        done
    }

    /// Waits until there is something to do, and then for a while. Whether the workers have been starved meanwhile.
    fn look(&self) -> bool {
        while !self.looks.load(SeqCst) {
            thread::park();
        }
        let before = self.worked_ns.load(Relaxed);
        thread::sleep(LOOK);
        if self.in_hand.load(SeqCst) == 0 {
            self.looks.store(false, SeqCst);
            // Who has begun just now has not seen that.
            if self.in_hand.load(SeqCst) > 0 {
                self.looks.store(true, SeqCst);
            }
        }
        let worked = Duration::from_nanos(self.worked_ns.load(Relaxed) - before);
        worked < LOOK / STARVED_BELOW
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
        while let Ok(job) = self.incoming.try_recv() {
            self.waiting.push(job.source, job);
        }
        self.waiting.pop()
    }
}

/// Where a worker works: jobs come from the pool, verdicts go to the shards.
struct Desk {
    pool: Arc<Pool>,
    lines: Arc<Vec<ShardLine>>,
    callouts: Callouts,
    accounts: Sender<accounts::Event>,
}

impl Desk {
    fn work(&self) {
        while let Some(job) = self.pool.next() {
            self.pool.doing(|| self.run(job));
        }
    }

    /// Does jobs as long as the workers are starved.
    fn help(&self) {
        loop {
            if !self.pool.look() {
                continue;
            }
            let since = Instant::now();
            while since.elapsed() < LOOK
                && let Some(job) = self.pool.next_late()
            {
                self.run(job);
            }
        }
    }

    fn run(&self, job: Job) {
        let Job {
            shard,
            conn,
            source,
            task,
        } = job;
        let (ticket, work) = match task {
            Task::Tls(task) => {
                self.lines[shard].tell(ToShard::Handshaken(conn, task.run()));
                return;
            }
            Task::Verify(ticket, work) => (ticket, work),
        };
        match work.run(Timestamp::now()) {
            Ok(outcome) => {
                self.lines[shard].tell(ToShard::Verified(conn, ticket, outcome));
            }
            Err(Elsewhere::Account { key, work }) => {
                let waiting = Waiting::Client(WaitingClient {
                    shard,
                    conn,
                    source,
                    ticket,
                    work,
                });
                // Without the control thread the broker stops: nobody waits for a verdict.
                let _ = self.accounts.send(accounts::Event::Wanted { key, waiting });
            }
            Err(Elsewhere::Callout(work)) => self.callouts.ask(Question {
                shard,
                conn,
                ticket,
                work,
            }),
        }
    }
}

/// The channel jobs go through.
pub fn channel() -> (Sender<Job>, Receiver<Job>) {
    mpsc::channel()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_nothing_of_the_processor_is_starved() {
        let (_jobs, incoming) = channel();
        let pool = Pool::new(incoming);
        thread::scope(|scope| {
            let looks = scope.spawn(|| pool.look());
            pool.helper.set(looks.thread().clone()).unwrap();
            let starved = pool.doing(|| looks.join().unwrap());
            assert!(starved);
        });
        // The next job tells the helper again once nobody has had one in hand for a while.
        assert!(pool.looks.load(SeqCst));
        assert_eq!(pool.in_hand.load(SeqCst), 0);
        pool.look();
        assert!(!pool.looks.load(SeqCst));
    }

    #[test]
    fn a_helper_does_not_wait_for_a_job_that_a_worker_waits_for() {
        let (jobs, incoming) = channel();
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

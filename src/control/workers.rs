//! Threads that verify slow credentials and make TLS handshakes off the shards. Own how jobs are taken, each source in its turn; never decide who may come in.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::accounts::{self, Waiting, WaitingClient};
use super::callout::{Callouts, Question};
use super::pool::Pool;
use super::process;
use crate::auth::Elsewhere;
use crate::shard::jobs::Incoming;
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

/// How long workers are looked at, whether they starve. A login may take two seconds.
const LOOK: Duration = Duration::from_millis(250);

/// A job that takes long and that the first worker has not come to for so long is for the others. On a full machine they are
/// six times as slow: what that one comes to soon is better left to it.
const SOON: Duration = Duration::from_millis(20);

/// Starts workers that take jobs until every sender has gone, so many for the short ones and as many for the others.
///
/// Those of the short ones give way most, so that logins cost established traffic nothing; where shards leave them next to
/// nothing one more helps, with a tenth of a core. Of the others one goes on on a full machine, so that logins do; the rest take
/// what it does not come to.
pub fn start(
    count: usize,
    jobs: Incoming,
    lines: Arc<Vec<ShardLine>>,
    callouts: &Callouts,
    accounts: &Sender<accounts::Event>,
) -> std::io::Result<()> {
    let short = Desk {
        pool: Arc::new(Pool::new(jobs.short)),
        lines,
        callouts: callouts.clone(),
        accounts: accounts.clone(),
    };
    let long = Desk {
        pool: Arc::new(Pool::new(jobs.long)),
        ..short.clone()
    };
    let late = short.clone();
    let late = spawn("verify-late".into(), process::give_way, move || late.help())?;
    short.pool.helped_by(vec![late]);
    for number in 0..count {
        let short = short.clone();
        let name = format!("verify-{number}");
        spawn(name, process::give_way_most, move || short.work())?;
    }
    let beside = |number| {
        let long = long.clone();
        let name = format!("bcrypt-{number}");
        spawn(name, process::give_way_most, move || long.work_beside())
    };
    let beside: std::io::Result<Vec<Thread>> = (1..count).map(beside).collect();
    long.pool.helped_by(beside?);
    spawn("bcrypt-0".into(), process::give_way, move || long.work())?;
    Ok(())
}

fn spawn(
    name: String,
    gives_way: fn(),
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<Thread> {
    let thread = thread::Builder::new().name(name).spawn(move || {
        gives_way();
        work();
    })?;
    Ok(thread.thread().clone())
}

/// Where a worker works: jobs come from the pool, verdicts go to the shards.
#[derive(Clone)]
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

    /// Does jobs that a worker leaves waiting.
    fn work_beside(&self) {
        loop {
            self.pool.look(SOON);
            if !self.pool.has_waiting() {
                continue;
            }
            thread::sleep(SOON);
            while let Some(job) = self.pool.next_late() {
                self.pool.doing(|| self.run(job));
            }
        }
    }

    /// Does jobs as long as the workers are starved.
    fn help(&self) {
        loop {
            if !self.pool.look(LOOK) {
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

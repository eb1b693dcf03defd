//! Threads that verify slow credentials and make TLS handshakes off the shards. Own the order of jobs; never decide who may come in.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use jiff::Timestamp;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use super::accounts::{self, Waiting};
use super::callout::{Callouts, Question};
use crate::auth::Elsewhere;
use crate::shard::ring::handles::Waker;
use crate::shard::{Job, ToShard, VerifyJob};

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

/// Niceness of the first worker: established traffic comes first on a full core, but logins go on. The other workers
/// run only where a core is idle.
const FIRST_WORKER_NICE: i32 = 10;

/// Starts workers that take jobs until every sender has gone.
pub fn start(
    count: usize,
    jobs: Receiver<Job>,
    lines: Arc<Vec<ShardLine>>,
    callouts: &Callouts,
    accounts: &Sender<accounts::Event>,
) -> std::io::Result<()> {
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..count {
        let (jobs, lines) = (jobs.clone(), lines.clone());
        let (callouts, accounts) = (callouts.clone(), accounts.clone());
        thread::Builder::new()
            .name(format!("verify-{number}"))
            .spawn(move || {
                give_way(number);
                work(&jobs, &lines, &callouts, &accounts);
            })?;
    }
    Ok(())
}

fn give_way(number: usize) {
    let lowered = if number == 0 {
        rustix::process::nice(FIRST_WORKER_NICE)
            .map(drop)
            .map_err(|error| error.to_string())
    } else {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
            .map_err(|error| format!("{error:?}"))
    };
    if let Err(error) = lowered {
        log::debug!("worker {number} keeps the usual priority: {error}");
    }
}

fn work(
    jobs: &Mutex<Receiver<Job>>,
    lines: &[ShardLine],
    callouts: &Callouts,
    accounts: &Sender<accounts::Event>,
) {
    loop {
        let next = jobs.lock().expect("no worker panics with the lock").recv();
        match next {
            Ok(Job::Verify(job)) => verify(job, lines, callouts, accounts),
            Ok(Job::Tls(job)) => {
                let (shard, conn) = (job.shard, job.conn);
                lines[shard].tell(ToShard::Handshaken(conn, job.run()));
            }
            Err(_) => return,
        }
    }
}

fn verify(
    job: VerifyJob,
    lines: &[ShardLine],
    callouts: &Callouts,
    accounts: &Sender<accounts::Event>,
) {
    let (shard, conn, ticket) = (job.shard, job.conn, job.ticket);
    match job.work.run(Timestamp::now()) {
        Ok(outcome) => {
            lines[shard].tell(ToShard::Verified(conn, ticket, outcome));
        }
        Err(Elsewhere::Account { key, work }) => {
            let waiting = Waiting {
                shard,
                conn,
                ticket,
                work,
            };
            // Without the control thread the broker stops: nobody waits for a verdict.
            let _ = accounts.send(accounts::Event::Wanted { key, waiting });
        }
        Err(Elsewhere::Callout(work)) => callouts.ask(Question {
            shard,
            conn,
            ticket,
            work,
        }),
    }
}

/// The channel jobs go through.
pub fn channel() -> (Sender<Job>, Receiver<Job>) {
    mpsc::channel()
}

//! Threads that verify slow credentials and make TLS handshakes off the shards. Own how jobs are taken, each source in its turn; never decide who may come in.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use jiff::Timestamp;

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

/// Starts workers that take jobs until every sender has gone.
pub fn start(
    count: usize,
    jobs: Receiver<Job>,
    lines: Arc<Vec<ShardLine>>,
    callouts: &Callouts,
    accounts: &Sender<accounts::Event>,
) -> std::io::Result<()> {
    let intake = Arc::new(Mutex::new(Intake {
        incoming: jobs,
        waiting: Fair::default(),
    }));
    for number in 0..count {
        let (intake, lines) = (intake.clone(), lines.clone());
        let (callouts, accounts) = (callouts.clone(), accounts.clone());
        thread::Builder::new()
            .name(format!("verify-{number}"))
            .spawn(move || {
                give_way(number);
                work(&intake, &lines, &callouts, &accounts);
            })?;
    }
    Ok(())
}

/// One goes on on a full machine, so that logins do; the others run only where a core is idle.
fn give_way(number: usize) {
    match number {
        0 => process::give_way(),
        _ => process::only_when_idle(),
    }
}

/// Where jobs come in and wait for their turns.
struct Intake {
    incoming: Receiver<Job>,
    waiting: Fair<Job>,
}

impl Intake {
    /// The next one; waits for it. `None` when no more can come.
    fn next(&mut self) -> Option<Job> {
        while let Ok(job) = self.incoming.try_recv() {
            self.waiting.push(job.source, job);
        }
        self.waiting.pop().or_else(|| self.incoming.recv().ok())
    }
}

fn work(
    intake: &Mutex<Intake>,
    lines: &[ShardLine],
    callouts: &Callouts,
    accounts: &Sender<accounts::Event>,
) {
    let next = || {
        intake
            .lock()
            .expect("no worker panics with the lock")
            .next()
    };
    while let Some(job) = next() {
        let Job {
            shard,
            conn,
            source,
            task,
        } = job;
        match task {
            Task::Tls(task) => drop(lines[shard].tell(ToShard::Handshaken(conn, task.run()))),
            Task::Verify(ticket, work) => {
                let verified = work.run(Timestamp::now());
                let elsewhere = match verified {
                    Ok(outcome) => {
                        lines[shard].tell(ToShard::Verified(conn, ticket, outcome));
                        continue;
                    }
                    Err(elsewhere) => elsewhere,
                };
                match elsewhere {
                    Elsewhere::Account { key, work } => {
                        let waiting = Waiting::Client(WaitingClient {
                            shard,
                            conn,
                            source,
                            ticket,
                            work,
                        });
                        // Without the control thread the broker stops: nobody waits for a verdict.
                        let _ = accounts.send(accounts::Event::Wanted { key, waiting });
                    }
                    Elsewhere::Callout(work) => callouts.ask(Question {
                        shard,
                        conn,
                        ticket,
                        work,
                    }),
                }
            }
        }
    }
}

/// The channel jobs go through.
pub fn channel() -> (Sender<Job>, Receiver<Job>) {
    mpsc::channel()
}

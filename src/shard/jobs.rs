//! What shards ask of workers, and the way there. Owns which jobs take long; does none.

use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, SendError, Sender};

use crate::auth::Work;

use super::ring::Token;
use super::secure::TlsTask;

/// What a shard asks of the workers.
#[derive(Debug)]
pub struct Job {
    /// Which shard asks.
    pub shard: usize,
    /// For which connection.
    pub conn: Token,
    /// Where the client is: sources take turns.
    pub source: IpAddr,
    /// The slow part.
    pub task: Task,
}

/// What there is to do.
#[derive(Debug)]
pub enum Task {
    /// To verify credentials; the number is for the verdict.
    Verify(u32, Box<Work>),
    /// To make a step of a TLS handshake.
    Tls(TlsTask),
}

/// The way to the workers. Jobs that take long go their own, so that nobody waits behind them.
#[derive(Clone, Debug)]
pub struct Jobs {
    short: Sender<Job>,
    long: Sender<Job>,
}

/// The other end.
#[derive(Debug)]
pub struct Incoming {
    /// Jobs of a millisecond at most.
    pub short: Receiver<Job>,
    /// The others.
    pub long: Receiver<Job>,
}

impl Jobs {
    /// Both ends.
    pub fn channels() -> (Jobs, Incoming) {
        let (short, short_out) = mpsc::channel();
        let (long, long_out) = mpsc::channel();
        let asked = Incoming {
            short: short_out,
            long: long_out,
        };
        (Jobs { short, long }, asked)
    }

    /// Asks for a job to be done.
    ///
    /// # Errors
    /// There are no workers any more: the job comes back.
    pub fn send(&self, job: Job) -> Result<(), SendError<Job>> {
        let way = match &job.task {
            Task::Verify(_, work) if work.takes_long() => &self.long,
            _ => &self.short,
        };
        way.send(job)
    }
}

//! Owns the description of a load and its running: who publishes what, who subscribes to what, on how many threads.
//! Never parses flags and never prints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blob::Blob;
use super::conn::{Conn, Target};
use super::drive::{Driver, Goal, Pace, Publisher, Share};
use super::progress::Progress;

/// What one publishing connection sends.
#[derive(Debug, Clone)]
pub struct PublisherSpec {
    /// The frames, shared where equal.
    pub blob: Arc<Blob>,
    /// How many of our own subscriptions get each message.
    pub fan: u64,
}

/// What one subscribing connection asks for.
#[derive(Debug, Clone)]
pub struct SubscriberSpec {
    /// Patterns, each with its sid.
    pub patterns: Vec<(String, u64)>,
    /// Queue group, if any.
    pub queue: Option<String>,
}

/// A whole load.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Publishing connections.
    pub publishers: Vec<PublisherSpec>,
    /// Subscribing connections.
    pub subscribers: Vec<SubscriberSpec>,
    /// Deliveries outstanding at most; 0 is no bound.
    pub outstanding_max: u64,
    /// Messages a second over all publishers; 0 is flat out.
    pub per_second: f64,
    /// Threads that share the connections; at least 1.
    pub threads: usize,
}

/// What one phase did.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// From the first write to the last delivery and PONG.
    pub elapsed: Duration,
    /// Messages published.
    pub published: u64,
    /// Messages delivered to our subscribers.
    pub delivered: u64,
}

/// A load whose connections are open.
#[derive(Debug)]
pub struct Running {
    drivers: Vec<Driver>,
    progress: Arc<Progress>,
}

impl Load {
    /// Opens all connections; on return the server knows every subscription.
    pub fn open(&self, target: &Target) -> Result<Running, String> {
        let subscribers = self.subscribers.iter().map(|spec| subscribe(target, spec));
        let subscribers: Vec<Conn> = subscribers.collect::<Result<_, _>>()?;
        let publishers = self.publishers.iter().map(|spec| {
            Ok(Publisher::new(
                Conn::open(target)?,
                Arc::clone(&spec.blob),
                spec.fan,
            ))
        });
        let publishers: Vec<Publisher> = publishers.collect::<Result<_, String>>()?;
        self.start(publishers, subscribers)
    }

    /// Shares open connections out over the threads.
    pub fn start(
        &self,
        mut publishers: Vec<Publisher>,
        subscribers: Vec<Conn>,
    ) -> Result<Running, String> {
        let parts = publishers.len() as u64;
        for (place, publisher) in (0..).zip(&mut publishers) {
            publisher.share = Share { place, parts };
        }
        let progress = Arc::new(Progress::default());
        let per_second = self.per_second / publishers.len().max(1) as f64;
        let pace = Pace {
            outstanding_max: self.outstanding_max,
            per_second,
            shared: self.threads > 1,
        };
        let threads = self.threads.max(1);
        let shares = deal(publishers, threads)
            .into_iter()
            .zip(deal(subscribers, threads));
        let drivers = shares.map(|(publishers, subscribers)| {
            Driver::new(publishers, subscribers, Arc::clone(&progress), pace)
        });
        Ok(Running {
            drivers: drivers.collect::<Result<_, _>>()?,
            progress,
        })
    }
}

impl Running {
    /// The shared counters, for a progress bar.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Runs one phase on all threads; the calling thread drives the first share itself.
    pub fn run(&mut self, goal: Goal) -> Result<Outcome, String> {
        let (published, delivered) = (self.progress.published(), self.progress.delivered());
        let started = Instant::now();
        self.drivers.iter_mut().for_each(Driver::begin);
        let (first, others) = self.drivers.split_first_mut().expect("at least one thread");
        let result = std::thread::scope(|scope| {
            let others: Vec<_> = others
                .iter_mut()
                .map(|driver| scope.spawn(move || driver.run(goal)))
                .collect();
            let mut results = vec![first.run(goal)];
            results.extend(
                others
                    .into_iter()
                    .map(|thread| thread.join().expect("a generator thread panicked")),
            );
            first_cause(results)
        });
        result.map(|()| Outcome {
            elapsed: started.elapsed(),
            published: self.progress.published() - published,
            delivered: self.progress.delivered() - delivered,
        })
    }

    /// Checks that every delivery due has come exactly once and nothing else did.
    pub fn confirm(&mut self) -> Result<(), String> {
        let due = self.progress.due();
        self.drivers.iter_mut().try_for_each(Driver::confirm)?;
        match self.progress.delivered() {
            delivered if delivered == due => Ok(()),
            delivered => Err(format!("{delivered} deliveries came where {due} were due")),
        }
    }
}

/// Opens a connection and makes its subscriptions known.
pub fn subscribe(target: &Target, spec: &SubscriberSpec) -> Result<Conn, String> {
    let mut conn = Conn::open(target)?;
    let mut lines = String::new();
    for (pattern, sid) in &spec.patterns {
        let queue = spec
            .queue
            .as_ref()
            .map_or(String::new(), |queue| format!(" {queue}"));
        lines.push_str(&format!("SUB {pattern}{queue} {sid}\r\n"));
    }
    conn.write(lines.as_bytes())?;
    conn.settle()?;
    Ok(conn)
}

fn deal<T>(items: Vec<T>, hands: usize) -> Vec<Vec<T>> {
    let mut dealt: Vec<Vec<T>> = (0..hands).map(|_| Vec::new()).collect();
    for (index, item) in items.into_iter().enumerate() {
        dealt[index % hands].push(item);
    }
    dealt
}

/// The error that came first in meaning: a thread that only gave up with the others says less.
fn first_cause(results: Vec<Result<(), String>>) -> Result<(), String> {
    let mut errors: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    errors.sort_by_key(|error| error.starts_with("another thread"));
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fake::{self, Fault};

    fn run(fault: Fault, threads: usize, outstanding_max: u64) -> Result<(u64, u64), String> {
        let blob = Arc::new(Blob::scrambled(
            &["a".to_owned(), "b.c".to_owned()],
            0..=300,
            3,
        ));
        let patterns = vec![(">".to_owned(), 7)];
        let load = Load {
            publishers: vec![PublisherSpec { blob, fan: 3 }; 2],
            subscribers: vec![
                SubscriberSpec {
                    patterns,
                    queue: None
                };
                3
            ],
            outstanding_max,
            per_second: 0.0,
            threads,
        };
        let mut running = load.open(&fake::start(fault))?;
        running.run(Goal::All(999))?;
        let outcome = running.run(Goal::All(2001))?;
        running.confirm()?;
        Ok((outcome.published, outcome.delivered))
    }

    #[test]
    fn every_delivery_is_counted() {
        for threads in [1, 2] {
            for outstanding_max in [0, 30, 1000] {
                assert_eq!(run(Fault::None, threads, outstanding_max), Ok((2001, 6003)));
            }
        }
    }

    #[test]
    fn a_cut_subscriber_is_an_error() {
        let error = run(Fault::CutsAt(700), 1, 1000).expect_err("it was cut");
        assert!(
            error.contains("cut off") || error.contains("does not take"),
            "{error}"
        );
    }

    #[test]
    fn a_delivery_too_many_is_an_error() {
        let error = run(Fault::RepeatsAt(2999), 1, 1000).expect_err("one came twice");
        assert_eq!(error, "9003 deliveries came where 9000 were due");
    }
}

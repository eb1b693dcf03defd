//! A shard's thread: turn after turn, spinning or sleeping in between. Owns the choice between the two.

use std::io;
use std::time::{Duration, Instant};

use crate::config::Spin;

use super::Shard;
use super::ring::{Ring, Wait};

/// How long the adaptive spin lasts at most.
const ADAPTIVE_SPIN: Duration = Duration::from_micros(50);

/// After so many fruitless spins in a row the adaptive spin rests.
const FRUITLESS_MAX: u32 = 4;

/// For how many waits it rests before it tries again.
const REST_WAITS: u32 = 1024;

/// Longest sleep: a bound only, everything that matters wakes a shard.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Runs a shard until it has stopped.
pub fn run<R: Ring>(shard: &mut Shard<R>, spin: Spin) -> io::Result<()> {
    let start = Instant::now();
    let mut idle = Idle::new(spin);
    while !shard.is_done() {
        let wait = idle.wait(shard, start);
        let busy = shard.poll(wait)?;
        let arrived = shard.wake_up();
        shard.step(start.elapsed().as_millis() as u64);
        idle.saw(busy || arrived);
    }
    shard.poll(Wait::No).map(|_| ())
}

/// Whether to spin or to sleep.
#[derive(Debug)]
struct Idle {
    spin: Spin,
    since: Option<Instant>,
    fruitless: u32,
    resting: u32,
}

impl Idle {
    fn new(spin: Spin) -> Self {
        Idle {
            spin,
            since: None,
            fruitless: 0,
            resting: 0,
        }
    }

    /// Something came, or nothing.
    fn saw(&mut self, something: bool) {
        if something {
            if self.since.take().is_some() {
                self.fruitless = 0;
            }
        } else if self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    fn spins_for(&self) -> Duration {
        match self.spin {
            Spin::Off => Duration::ZERO,
            Spin::Fixed(micros) => Duration::from_micros(u64::from(micros)),
            Spin::Adaptive if self.resting > 0 => Duration::ZERO,
            Spin::Adaptive => ADAPTIVE_SPIN,
        }
    }

    /// How the next poll shall wait.
    fn wait<R: Ring>(&mut self, shard: &mut Shard<R>, start: Instant) -> Wait {
        let limit = self.spins_for();
        if !limit.is_zero() {
            match self.since {
                None => {
                    self.since = Some(Instant::now());
                    return Wait::No;
                }
                Some(since) if since.elapsed() < limit => return Wait::No,
                Some(_) => self.spun_in_vain(),
            }
        }
        self.since = None;
        self.resting = self.resting.saturating_sub(1);
        if !shard.fall_asleep() {
            return Wait::No;
        }
        let now_ms = start.elapsed().as_millis() as u64;
        let sleep = shard.next_time_ms().map_or(SLEEP_MAX, |due| {
            Duration::from_millis(due.saturating_sub(now_ms))
        });
        Wait::For(sleep.min(SLEEP_MAX))
    }

    fn spun_in_vain(&mut self) {
        self.fruitless += 1;
        if self.fruitless >= FRUITLESS_MAX {
            self.fruitless = 0;
            self.resting = REST_WAITS;
        }
    }
}

impl<R: Ring> Shard<R> {
    /// Declares this shard asleep, unless something waits for it already. Behind it comes a poll that waits, then
    /// [`Shard::wake_up`].
    pub fn fall_asleep(&mut self) -> bool {
        self.mesh.sleeper().going_to_sleep();
        if self.mesh.has_arrivals() || !self.mesh.is_clear() {
            self.mesh.sleeper().awake();
            return false;
        }
        true
    }

    /// Declares it awake. Returns whether other shards have sent something.
    pub fn wake_up(&mut self) -> bool {
        self.mesh.sleeper().awake();
        self.mesh.has_arrivals()
    }
}

//! A shard's thread: turn after turn, spinning or sleeping in between. Owns the choice between the two.

use std::io;
use std::time::{Duration, Instant};

use crate::config::Spin;

use super::Shard;
use super::memory;
use super::ring::{Ring, Wait};
use super::slice::ask_for_short_slices;

/// How long the adaptive spin lasts at most.
const ADAPTIVE_SPIN: Duration = Duration::from_micros(50);

/// After a fruitless spin the adaptive spin rests for so many waits; after each further one for twice as many. Where one in
/// twenty is fruitless, a rest of 64 would be most of the time (measured: `perf/`, `request-sleeping`).
const REST_WAITS_MIN: u32 = 4;

/// The longest rest.
const REST_WAITS_MAX: u32 = 64 * 1024;

/// After a turn that brought so many bytes the adaptive spin is left out: somebody who streams waits for no answer, and more of
/// it is there at once after a sleep than after a spin (measured: `perf/`, `1to1-16384`).
const STREAM_BYTES: usize = 32 * 1024;

/// Longest sleep: a bound only, everything that matters wakes a shard.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// When nothing has come for so long, there is no traffic.
const IDLE_MIN: Duration = Duration::from_millis(200);

/// How often memory is given back in a silence: other threads free what this one has made, and may do so after it.
const GIVEN_BACK_TIMES: u32 = 4;

/// How often memory is looked after while there is traffic.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// Runs a shard until it has stopped.
pub fn run<R: Ring>(shard: &mut Shard<R>, spin: Spin) -> io::Result<()> {
    if let Err(error) = ask_for_short_slices() {
        log::debug!("a shard has the usual slices: {error}");
    }
    let start = Instant::now();
    let mut idle = Idle::new(spin);
    shard.always_looks = matches!(spin, Spin::Fixed(_));
    let mut given_back = 0;
    let (mut now, mut tended) = (Duration::ZERO, Duration::ZERO);
    let mut silent_since = now;
    while !shard.is_done() {
        // Silence is noticed soon: what was freed is no longer needed then.
        let give_back_at = silent_since + IDLE_MIN * (given_back + 1);
        let longest = match given_back < GIVEN_BACK_TIMES {
            true => give_back_at.saturating_sub(now),
            false => SLEEP_MAX,
        };
        let wait = idle.wait(shard, start, longest);
        let news = shard.poll(wait)?;
        let arrived = shard.wake_up();
        now = start.elapsed();
        let busy = news.any || arrived;
        if busy {
            (given_back, silent_since) = (0, now);
            if now - tended >= TEND_EVERY {
                shard.broker().tend();
                tended = now;
            }
        } else if now >= give_back_at && given_back < GIVEN_BACK_TIMES {
            shard.broker().trim();
            memory::give_back();
            given_back += 1;
        }
        shard.broker().set_clock_ns(now.as_nanos() as u64);
        shard.step(now.as_millis() as u64);
        idle.saw(busy, news.bytes);
    }
    shard.poll(Wait::No).map(drop)
}

/// Whether to spin or to sleep.
#[derive(Debug)]
struct Idle {
    spin: Spin,
    /// When the first look found nothing: what is there at the first is not what a spin has brought.
    since: Option<Instant>,
    /// Waits left until the adaptive spin is tried again.
    resting: u32,
    /// Length of the next rest.
    rest: u32,
    /// The last turn with something in it brought much.
    streaming: bool,
}

impl Idle {
    fn new(spin: Spin) -> Self {
        Idle {
            spin,
            since: None,
            resting: 0,
            rest: REST_WAITS_MIN,
            streaming: false,
        }
    }

    /// Something came, with so many bytes from clients, or nothing.
    fn saw(&mut self, something: bool, bytes: usize) {
        if something {
            self.streaming = bytes >= STREAM_BYTES;
            if self.since.take().is_some() {
                self.rest = REST_WAITS_MIN;
            }
        } else if self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    fn spins_for(&self) -> Duration {
        match self.spin {
            Spin::Off => Duration::ZERO,
            Spin::Fixed(micros) => Duration::from_micros(u64::from(micros)),
            Spin::Adaptive if self.resting > 0 || self.streaming => Duration::ZERO,
            Spin::Adaptive => ADAPTIVE_SPIN,
        }
    }

    /// How the next poll shall wait, and how long at most.
    fn wait<R: Ring>(&mut self, shard: &mut Shard<R>, start: Instant, longest: Duration) -> Wait {
        let limit = self.spins_for();
        if !limit.is_zero() {
            match self.since {
                None => return Wait::No,
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
        let sleep = shard.next_time_ms().map_or(longest, |due| {
            Duration::from_millis(due.saturating_sub(now_ms))
        });
        Wait::For(sleep.min(longest))
    }

    fn spun_in_vain(&mut self) {
        self.resting = self.rest;
        self.rest = (self.rest * 2).min(REST_WAITS_MAX);
    }
}

impl<R: Ring> Shard<R> {
    /// Declares this shard asleep, unless something waits for it already. Behind it comes a poll that waits, then
    /// [`Shard::wake_up`].
    pub fn fall_asleep(&mut self) -> bool {
        self.mesh.sleeper().going_to_sleep();
        // Who waits for room may have been left behind although there is room by now: another turn sees to it.
        let left =
            !self.mesh.is_clear() || !self.awaiting_mesh.is_empty() || !self.judging.is_done();
        if self.mesh.has_arrivals() || left {
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

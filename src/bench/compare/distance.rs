//! Owns how far two cores are from each other: what a cache line takes from one to the other and back. Never moves anybody.
//!
//! A hypervisor puts virtual cores where it likes, and elsewhere a second later: on cores that share a cache, or on two that
//! do not. The kernel then takes two to three times as long to copy what the other core has read before, and a server whose
//! work is mostly copying costs twice as much for the same work, with nothing to be seen in the machine itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::server::{Cores, confine};

/// Round trips that are timed together: well under a millisecond where cores are near.
const ROUNDS: u32 = 4_000;
/// The quickest of so many counts: what disturbs a round trip only makes it longer.
const TRIES: u32 = 3;
/// What the line holds when one side cannot take part.
const GIVEN_UP: u32 = u32::MAX;

/// ns for a cache line to go from the server's core to the generator's and back: about 60 where they share a cache, 300 and
/// more where they do not. Nothing where both are one core.
pub fn measure(cores: Cores) -> Result<Option<f64>, String> {
    if cores.server == cores.generator {
        return Ok(None);
    }
    let tries = (0..TRIES).map(|_| round_trip_ns(cores));
    let fastest = tries.reduce(|a, b| Ok(a?.min(b?))).transpose()?;
    Ok(fastest)
}

fn round_trip_ns(cores: Cores) -> Result<f64, String> {
    let line = AtomicU32::new(0);
    let pass = |core: usize, own: u32| {
        let begin = confine(Some(core)).map(|()| Instant::now());
        if begin.is_err() {
            line.store(GIVEN_UP, Ordering::Release);
        }
        let begin = begin?;
        for turn in (own..2 * ROUNDS).step_by(2) {
            loop {
                match line.load(Ordering::Acquire) {
                    GIVEN_UP => return Err("the other core cannot be had".to_owned()),
                    now if now == turn => break,
                    _ => std::hint::spin_loop(),
                }
            }
            line.store(turn + 1, Ordering::Release);
        }
        Ok(begin.elapsed().as_nanos() as f64 / f64::from(ROUNDS))
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| pass(cores.generator, 1));
        let here = scope.spawn(|| pass(cores.server, 0));
        let ended = here.join().expect("counting does not panic");
        other.join().expect("counting does not panic")?;
        ended
    })
}

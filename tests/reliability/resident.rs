//! Whether resident memory comes back to where it was after the same work. Owns how that is told from memory that is
//! freed and not given back yet: a shard gives back in real silence only, after a second or when the machine lets it.

use std::thread;
use std::time::Duration;

use super::server::Server;

/// Between two readings.
const PAUSE: Duration = Duration::from_millis(50);

/// So many readings without a new least: it has settled. A shard that has nothing to do looks around after a second.
const STILL_READINGS: usize = 60;

/// So many in which it does not come back: it never will.
const READINGS_MAX: usize = 400;

/// Rounds that may leave what stays, or room in what the allocator keeps.
const WARM_UP_ROUNDS: usize = 3;

/// What a server holds once it is quiet, round after round. While it is read, nobody may speak to it.
#[derive(Default)]
pub struct Memory {
    rounds: Vec<u64>,
}

impl Memory {
    /// Behind a round. The first ones warm up; behind the others, waits until no more is held than behind those, by the
    /// number of readings and not by the clock: where the machine is busy, more time passes between two. Panics when it
    /// never is so little after two rounds on end: what the allocator keeps may rise by megabytes for one.
    pub fn after_round(&mut self, server: &Server, growth_bytes_max: u64) {
        if self.rounds.len() < WARM_UP_ROUNDS {
            self.rounds.push(settled(server));
            return;
        }
        let before = self.rounds[..WARM_UP_ROUNDS].iter().max();
        let before = *before.expect("they are over");
        let enough = before + growth_bytes_max;
        let least = if shown() {
            settled(server)
        } else {
            read(server, enough, READINGS_MAX)
        };
        let last = self.rounds[WARM_UP_ROUNDS..].last().copied();
        self.rounds.push(least);
        let least = least.min(last.unwrap_or(least.min(enough)));
        assert!(
            least <= enough,
            "resident memory has grown by {} bytes and may by {growth_bytes_max}: {:?}",
            least - before,
            self.rounds
        );
    }

    /// Says what the rounds left, where that is asked for.
    pub fn show(&self, what: &str) {
        if shown() {
            println!("{what}: resident after each round {:?}", self.rounds);
        }
    }
}

/// Resident memory of a server that has become quiet, in bytes.
pub fn settled(server: &Server) -> u64 {
    read(server, 0, STILL_READINGS)
}

/// The least of all readings: until it is `enough`, or there are so many without a new least.
fn read(server: &Server, enough: u64, still_max: usize) -> u64 {
    let mut least = u64::MAX;
    let mut still = 0;
    while least > enough && still < still_max {
        let now = server.resident_bytes();
        still = if now < least { 0 } else { still + 1 };
        least = least.min(now);
        thread::sleep(PAUSE);
    }
    least
}

/// Whether figures are to be printed: `GANNET_SHOW`.
pub fn shown() -> bool {
    std::env::var_os("GANNET_SHOW").is_some()
}

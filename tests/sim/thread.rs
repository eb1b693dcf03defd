//! A simulated thread: one shard in its loop, cut where other threads can come in between. Owns where it is; never
//! decides whose turn it is.

use std::time::Duration;

use gannet::shard::Shard;
use gannet::shard::ring::Wait;

use super::ring::SimRing;
use super::rng::Rng;

/// Where a shard is in its turn: the loop of `shard::run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Before it polls.
    Awake,
    /// Has said that it sleeps, and has not yet gone into the kernel.
    FallingAsleep,
    /// In the kernel.
    Asleep,
    /// Has reaped and not yet looked at what.
    Reaped,
}

/// A shard and where it is.
pub struct Thread {
    /// The shard.
    pub shard: Shard<SimRing>,
    /// How often it comes on.
    pub weight: usize,
    turn: Turn,
}

/// What a part of a turn was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Said that it sleeps.
    FellAsleep,
    /// Wanted to, and had something to do.
    StayedAwake {
        /// Nothing had to stay behind for want of room in the mesh.
        mesh_is_clear: bool,
    },
    /// Was in the kernel.
    Polled,
    /// Handled what it had reaped.
    Stepped,
}

impl Thread {
    /// A thread that is awake.
    pub fn new(shard: Shard<SimRing>) -> Self {
        let (turn, weight) = (Turn::Awake, 4);
        Thread {
            shard,
            weight,
            turn,
        }
    }

    /// Whether there is anything that it would do.
    pub fn can_turn(&mut self, now_ms: u64) -> bool {
        self.turn != Turn::Asleep
            || self.shard.ring().has_cause_to_return()
            || self.shard.next_time_ms().is_some_and(|due| due <= now_ms)
    }

    /// One part of its turn.
    pub fn turn(&mut self, rng: &mut Rng, now_ms: u64) -> Result<Did, String> {
        let mut did = Did::Polled;
        self.turn = match self.turn {
            Turn::Awake if rng.chance(300) => {
                if self.shard.fall_asleep() {
                    did = Did::FellAsleep;
                    Turn::FallingAsleep
                } else {
                    let mesh_is_clear = self.shard.mesh_is_clear();
                    did = Did::StayedAwake { mesh_is_clear };
                    Turn::Awake
                }
            }
            Turn::Awake => self.poll(Wait::No, now_ms)?,
            Turn::FallingAsleep | Turn::Asleep => self.poll(Wait::For(Duration::MAX), now_ms)?,
            Turn::Reaped => {
                self.shard.wake_up();
                self.shard.step(now_ms);
                did = Did::Stepped;
                Turn::Awake
            }
        };
        Ok(did)
    }

    fn poll(&mut self, wait: Wait, now_ms: u64) -> Result<Turn, String> {
        let polled = self.shard.poll(wait);
        polled.map_err(|error| error.to_string())?;
        let in_time = self.shard.next_time_ms().is_none_or(|due| due > now_ms);
        let asleep = self.shard.ring().sleeps() && in_time;
        Ok(if asleep { Turn::Asleep } else { Turn::Reaped })
    }
}

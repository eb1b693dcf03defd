//! What kind of world a seed makes: sizes, limits and how often what happens. Owns numbers only.

use super::ring::Chances;
use super::rng::Rng;

/// One world's numbers. Chances are in a thousand.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Shards.
    pub shards: usize,
    /// Items a mesh queue holds.
    pub mesh_items: usize,
    /// Bytes a pipe holds.
    pub pipe_bytes: usize,
    /// Receive buffers of a ring.
    pub buffers: u32,
    /// From so much input on what came before goes out first.
    pub large_bytes: usize,
    /// `max_pending`.
    pub pending_bytes_max: u64,
    /// A slow subscriber may be cut: `max_pending` is small, or some stop reading.
    pub cuts: bool,
    /// `no_fast_producer_stall`
    pub no_stall: bool,
    /// `ping_interval`
    pub ping_interval_ms: u64,
    /// Clients connected at a time.
    pub clients: usize,
    /// Different subjects, up to [`SUBJECTS`].
    pub subjects: usize,
    /// A subscription is a queue group's member.
    pub queue: usize,
    /// A payload is large.
    pub large: usize,
    /// A client that goes breaks its connection instead of closing in order.
    pub abrupt: usize,
    /// Weights of what clients do: publish, request, SUB, UNSUB, UNSUB with maximum, PING, CONNECT, go, stop reading.
    pub weights: [usize; 9],
    /// The rings' chances.
    pub chances: Chances,
    /// The clock goes on at a step.
    pub clock: usize,
}

/// What is published to.
pub const SUBJECTS: [&str; 8] = [
    "a",
    "b",
    "a.b",
    "a.c",
    "b.c",
    "a.b.c",
    "a.b.d",
    "long.subject.name.x",
];

/// What is subscribed to.
pub const PATTERNS: [&str; 16] = [
    "a",
    "b",
    "a.b",
    "a.c",
    "b.c",
    "a.b.c",
    "a.b.d",
    "long.subject.name.x",
    "*",
    "a.*",
    "*.c",
    "a.*.c",
    "a.>",
    "*.b.>",
    ">",
    "long.*.name.*",
];

impl Scenario {
    /// The world of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let tight = rng.chance(300);
        let stops = tight || rng.chance(200);
        Scenario {
            shards: rng.pick(&[1, 2, 2, 2, 3, 3, 4]),
            mesh_items: rng.pick(&[1, 1, 2, 3, 8, 64]),
            pipe_bytes: rng.pick(&[200, 1_000, 8_000, 64_000, 300_000]),
            buffers: rng.pick(&[1, 2, 4, 16]),
            large_bytes: rng.pick(&[1, 50, 500, usize::MAX]),
            pending_bytes_max: match tight {
                true => rng.pick(&[2_000, 20_000, 80_000, 200_000]),
                false => 64 << 20,
            },
            cuts: stops,
            no_stall: rng.chance(300),
            ping_interval_ms: rng.pick(&[120_000, 120_000, 50]),
            clients: rng.range(2, 10),
            subjects: rng.range(1, SUBJECTS.len()),
            queue: rng.pick(&[0, 300, 300, 800]),
            large: rng.pick(&[0, 5, 30, 200]),
            abrupt: rng.pick(&[0, 0, 500]),
            weights: [
                rng.range(5, 60),
                rng.pick(&[0, 3, 15]),
                rng.range(2, 15),
                rng.range(2, 12),
                rng.pick(&[0, 3, 8]),
                rng.range(3, 20),
                rng.pick(&[0, 0, 2]),
                rng.pick(&[0, 1, 2, 5]),
                if stops { 2 } else { 0 },
            ],
            chances: Chances {
                progress: rng.pick(&[200, 500, 900, 1000]),
                partial: rng.pick(&[0, 100, 700]),
                reap_some: rng.pick(&[0, 300, 700]),
                broken_send: 0,
            },
            clock: rng.pick(&[0, 20, 200]),
        }
        .with_broken_sends(rng)
    }

    fn with_broken_sends(mut self, rng: &mut Rng) -> Self {
        if self.abrupt > 0 && rng.chance(500) {
            self.chances.broken_send = 1;
        }
        self
    }
}

//! Bytes waiting for one connection, in pooled chunks of fixed size. Never sends anything itself.

use std::collections::VecDeque;
use std::io::IoSlice;

use smallvec::SmallVec;

use super::run::{Message, Run};

/// Size of a chunk. Fixed and pooled, so that output stays in the second-level cache (measured: `perf/`).
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Sizes that copies are rounded up to: a copy of fixed length costs less than a branch on a length that varies.
const SMALL: usize = 32;
const MEDIUM: usize = 144;

/// The largest of them, and the room kept free at the end of every chunk for it.
const SLACK: usize = 256;

/// From so many bytes on a connection may be sent to in the middle of a turn, past the ring: about a chunk. With a quarter
/// of it the kernel wakes a reader that is faster than the broker four times as often, and waits for its lock; with two
/// chunks the output of many readers leaves the cache (measured: `perf/`).
pub const EAGER_BYTES: u64 = 60 * 1024;

/// It is sent to when all connections with output would have so many bytes if they had as many: few readers are woken more
/// seldom, and what waits stays in the second-level cache. A wake-up costs up to ten microseconds in virtual machines
/// (measured: `perf/`).
pub const EAGER_BYTES_TOGETHER: u64 = 4 * EAGER_BYTES;

/// In a turn that brought few bytes the first connection that gets something is sent to when it has so many: whoever sleeps at
/// the other end wakes up while the rest is worked on, not behind it. Where a message costs some work that is up to twice the
/// messages for two thirds of the CPU (measured: `perf/`, `accounts-service-16`).
pub const FIRST_BYTES: u64 = 1024;

/// How few: who sends much at once does not wait for an answer to it, and every send costs (measured: `perf/`, `1to1-128`).
pub const FIRST_OF_BYTES_MAX: usize = 16 * 1024;

/// The most chunks that are offered in one go: a shard does not go away into the kernel for longer.
const OFFERED_CHUNKS_MAX: usize = 16;

/// A run of more messages than this is copied.
const LARGE_MESSAGES_MAX: usize = 32;

/// How many free chunks a pool keeps in any case.
const POOL_CHUNKS_MIN: usize = 16;

/// How many of those that nobody has wanted are given back at a time: others wait meanwhile.
const POOL_CHUNKS_GIVEN: usize = 64;

/// Copies the blocks of 16 bytes at these places, each through a register: of copies of several fixed lengths the compiler
/// makes one call for any length, and that costs more than the copy (measured: `perf/`, `100to100-16`).
macro_rules! copy_blocks {
    ($target:expr, $source:expr, $($at:literal)*) => {
        $(copy_block($target, $source, $at);)*
    };
}

#[inline(always)]
fn copy_block(target: &mut [u8], source: &[u8], at: usize) {
    const WITHIN: &str = "a block lies within both";
    let block = u128::from_ne_bytes(*source[at..].first_chunk().expect(WITHIN));
    *target[at..].first_chunk_mut().expect(WITHIN) = block.to_ne_bytes();
}

/// A fixed block of output. Filled at the end, sent from the start.
///
/// Invariant: `sent <= len <= CHUNK_BYTES - SLACK`, unless it was filled: then up to CHUNK_BYTES.
#[derive(Debug)]
pub struct Chunk {
    bytes: Box<[u8]>,
    len: usize,
    sent: usize,
}

impl Chunk {
    /// A new empty chunk.
    pub fn new() -> Self {
        Chunk {
            bytes: vec![0; CHUNK_BYTES].into_boxed_slice(),
            len: 0,
            sent: 0,
        }
    }

    /// What is still to be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..self.len]
    }

    /// Notes that the first `n` unsent bytes have gone.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len - self.sent, "more sent than there was");
        self.sent += n;
    }

    /// Lets `write` fill the rest of it, to the last byte; it returns how many bytes it wrote. Nothing may be put in
    /// behind them.
    pub fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        self.len += write(&mut self.bytes[self.len..]);
    }

    /// Bytes that still fit.
    #[inline(always)]
    fn room(&self) -> usize {
        CHUNK_BYTES - SLACK - self.len
    }

    /// Appends the first `len` bytes of `source`; the caller has seen that they fit. `source` may be longer:
    /// short copies then move a fixed number of bytes, which costs less than a length-dependent copy.
    #[inline(always)]
    fn put(&mut self, source: &[u8], len: usize) {
        let target = &mut self.bytes[self.len..];
        if len <= SMALL && source.len() >= SMALL {
            let (target, source) = (&mut target[..SMALL], &source[..SMALL]);
            copy_blocks!(target, source, 0 16);
        } else if len <= SLACK && source.len() >= SLACK {
            let (target, source) = (&mut target[..SLACK], &source[..SLACK]);
            copy_blocks!(target, source, 0 16 32 48 64 80 96 112 128);
            if len > MEDIUM {
                copy_blocks!(target, source, 144 160 176 192 208 224 240);
            }
        } else {
            target[..len].copy_from_slice(&source[..len]);
        }
        self.len += len;
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Chunk::new()
    }
}

#[cfg(test)]
impl Chunk {
    /// A chunk with these bytes to send, at most [`CHUNK_BYTES`].
    pub(crate) fn filled(bytes: &[u8]) -> Chunk {
        let mut chunk = Chunk::new();
        chunk.bytes[..bytes.len()].copy_from_slice(bytes);
        chunk.len = bytes.len();
        chunk
    }
}

/// Free chunks of one shard, last returned first, so that the next one is still in cache. As many as there is use for: making
/// one anew costs as much as filling it (measured: `perf/`, `1to1000-128`).
#[derive(Debug, Default)]
pub struct ChunkPool {
    free: Vec<Chunk>,
    /// The fewest that were free since unused ones were last given back: so many nobody has wanted.
    unused: usize,
}

impl ChunkPool {
    /// An empty chunk.
    pub fn take(&mut self) -> Chunk {
        let chunk = self.free.pop().unwrap_or_default();
        self.unused = self.unused.min(self.free.len());
        chunk
    }

    /// Gives memory back: there has been no traffic for a while.
    pub fn trim(&mut self) {
        if self.free.len() > POOL_CHUNKS_MIN {
            self.free.truncate(POOL_CHUNKS_MIN);
            self.free.shrink_to(POOL_CHUNKS_MIN);
        }
        self.unused = self.free.len();
    }

    /// Gives back some of what nobody has wanted since the last time: there is traffic, but less than there has been. To be
    /// called every now and then.
    pub fn tend(&mut self) {
        let spare = self.free.len().saturating_sub(POOL_CHUNKS_MIN);
        let given = self.unused.min(spare).min(POOL_CHUNKS_GIVEN);
        // The first were returned longest ago.
        self.free.drain(..given);
        self.unused = self.free.len();
    }

    /// Takes back a chunk that is done with.
    pub fn give(&mut self, mut chunk: Chunk) {
        chunk.len = 0;
        chunk.sent = 0;
        self.free.push(chunk);
    }
}

/// The start of a delivery, `HMSG subject sid `, at the beginning of a slice that goes on behind it.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'a> {
    /// The bytes; at least `len` of them.
    pub bytes: &'a [u8],
    /// How many belong to the prefix.
    pub len: usize,
}

/// What waits for one connection.
///
/// Invariants: `pending_bytes` is the unsent part of `full` and `tail`, and of the chunk in flight; chunks in
/// `full` are not empty; at most one chunk is in flight.
#[derive(Debug, Default)]
pub struct Outbox {
    full: VecDeque<Chunk>,
    tail: Option<Chunk>,
    in_flight_bytes: u32,
    in_flight_since_ms: u64,
    pending_bytes: u64,
    /// The socket took less than it was offered: nothing is offered again before a send by the loop has ended.
    blocked: bool,
}

impl Outbox {
    /// Bytes not yet taken by the kernel.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Chunks they are in.
    pub fn pending_chunks(&self) -> usize {
        self.full.len() + usize::from(self.tail.is_some()) + usize::from(self.in_flight())
    }

    /// Whether a chunk is with the kernel.
    pub fn in_flight(&self) -> bool {
        self.in_flight_bytes != 0
    }

    /// Since when a chunk is with the kernel.
    pub fn in_flight_since_ms(&self) -> Option<u64> {
        self.in_flight().then_some(self.in_flight_since_ms)
    }

    /// Whether enough waits to be offered before the turn ends, where so many connections have output: it is still in
    /// cache.
    #[inline(always)]
    pub fn is_worth_offering(&self, connections: usize) -> bool {
        self.pending_bytes >= EAGER_BYTES
            && self.pending_bytes * connections as u64 >= EAGER_BYTES_TOGETHER
            && self.may_offer()
    }

    /// Whether the socket may take something now.
    #[inline]
    pub fn may_offer(&self) -> bool {
        !self.in_flight() && !self.blocked
    }

    /// Whether it is so far behind that the ring, which takes one chunk a turn, would be long in catching up.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.full.len() > 1
    }

    /// Offers what waits to `send`, which returns how many bytes it took.
    pub fn offer(&mut self, pool: &mut ChunkPool, send: impl FnOnce(&[IoSlice<'_>]) -> usize) {
        self.offer_with(pool, &[], send);
    }

    /// The same with these bytes behind it; appends what is left of them.
    fn offer_with(
        &mut self,
        pool: &mut ChunkPool,
        bytes: &[u8],
        send: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) {
        let waiting = self.pending_bytes as usize;
        let chunks = self.full.iter().chain(&self.tail).take(OFFERED_CHUNKS_MAX);
        let mut parts: SmallVec<[IoSlice<'_>; OFFERED_CHUNKS_MAX]> =
            chunks.map(|chunk| IoSlice::new(chunk.unsent())).collect();
        if !bytes.is_empty() && self.full.len() < OFFERED_CHUNKS_MAX {
            parts.push(IoSlice::new(bytes));
        }
        let taken = send(&parts);
        drop(parts);
        self.take_off(pool, taken.min(waiting));
        let rest = &bytes[taken.saturating_sub(waiting)..];
        if !rest.is_empty() {
            self.push(pool, rest);
        }
        self.blocked = self.pending_bytes > 0;
    }

    /// So many bytes from the front have gone.
    fn take_off(&mut self, pool: &mut ChunkPool, mut taken: usize) {
        self.pending_bytes -= taken as u64;
        while let Some(chunk) = self.full.front_mut().or(self.tail.as_mut()) {
            let part = taken.min(chunk.unsent().len());
            chunk.advance(part);
            taken -= part;
            if !chunk.unsent().is_empty() {
                return;
            }
            let empty = self.full.pop_front().or_else(|| self.tail.take());
            pool.give(empty.expect("it was there"));
        }
    }

    /// Appends bytes as they are.
    pub fn push(&mut self, pool: &mut ChunkPool, bytes: &[u8]) {
        self.pending_bytes += bytes.len() as u64;
        let tail = self.tail.get_or_insert_with(|| pool.take());
        if bytes.len() <= tail.room() {
            tail.put(bytes, bytes.len());
        } else {
            self.spill(pool, bytes);
        }
    }

    /// Appends every message of a run behind its prefix: the heart of delivery.
    #[inline(always)]
    pub fn push_run(&mut self, pool: &mut ChunkPool, prefix: Prefix<'_>, run: &Run<'_>) {
        if let ([only], Some(tail)) = (run.messages, &mut self.tail) {
            let len = (only.end - only.tail) as usize;
            if prefix.len + len <= tail.room() {
                tail.put(prefix.bytes, prefix.len);
                tail.put(&run.bytes[only.tail as usize..], len);
                self.pending_bytes += (prefix.len + len) as u64;
                return;
            }
        }
        self.push_messages(pool, prefix, run);
    }

    /// Appends however many there are, over as many chunks as it takes.
    #[inline(never)]
    fn push_messages(&mut self, pool: &mut ChunkPool, prefix: Prefix<'_>, run: &Run<'_>) {
        let mut pushed = 0;
        let mut tail = match self.tail.take() {
            Some(tail) => tail,
            None => pool.take(),
        };
        for message in run.messages {
            let len = (message.end - message.tail) as usize;
            pushed += prefix.len + len;
            if prefix.len + len <= tail.room() {
                tail.put(prefix.bytes, prefix.len);
                tail.put(&run.bytes[message.tail as usize..], len);
            } else {
                self.tail = Some(tail);
                self.spill(pool, &prefix.bytes[..prefix.len]);
                self.spill(pool, run.tail(message));
                tail = self.tail.take().unwrap_or_default();
            }
        }
        self.tail = Some(tail);
        self.pending_bytes += pushed as u64;
    }

    /// Offers what waits and a run of large messages to `send`, which returns how many of their bytes it took, and
    /// appends the rest: large payloads are not copied where the socket takes them.
    #[inline(never)]
    pub fn push_large(
        &mut self,
        pool: &mut ChunkPool,
        prefix: Prefix<'_>,
        run: &Run<'_>,
        send: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) {
        let waiting = self.pending_bytes as usize;
        let whole = self.full.is_empty() && run.messages.len() <= LARGE_MESSAGES_MAX;
        if !self.may_offer() || !whole {
            return self.push_messages(pool, prefix, run);
        }
        let mut parts: SmallVec<[IoSlice<'_>; 2 * LARGE_MESSAGES_MAX + 1]> = SmallVec::new();
        parts.extend(self.tail.iter().map(|tail| IoSlice::new(tail.unsent())));
        for message in run.messages {
            parts.push(IoSlice::new(&prefix.bytes[..prefix.len]));
            parts.push(IoSlice::new(run.tail(message)));
        }
        let taken = send(&parts);
        drop(parts);
        self.append_untaken(pool, prefix, run, waiting, taken);
    }

    /// What waited and the run were offered, and so many bytes taken: keeps the rest.
    fn append_untaken(
        &mut self,
        pool: &mut ChunkPool,
        prefix: Prefix<'_>,
        run: &Run<'_>,
        waiting: usize,
        mut taken: usize,
    ) {
        self.take_off(pool, taken.min(waiting));
        if taken < waiting {
            self.blocked = true;
            return self.push_messages(pool, prefix, run);
        }
        taken -= waiting;
        for message in run.messages {
            for part in [&prefix.bytes[..prefix.len], run.tail(message)] {
                let skip = taken.min(part.len());
                taken -= skip;
                if skip < part.len() {
                    self.pending_bytes += (part.len() - skip) as u64;
                    self.spill(pool, &part[skip..]);
                }
            }
        }
        self.blocked = self.pending_bytes > 0;
    }

    /// Appends one message without its headers, for a client that cannot take them.
    pub fn push_stripped(
        &mut self,
        pool: &mut ChunkPool,
        prefix: Prefix<'_>,
        run: &Run<'_>,
        message: &Message,
    ) {
        let reply = run.reply(message);
        let payload = run.payload_crlf(message);
        self.push(pool, &prefix.bytes[..prefix.len]);
        if !reply.is_empty() {
            self.push(pool, reply);
            self.push(pool, b" ");
        }
        self.push(pool, (payload.len() - 2).to_string().as_bytes());
        self.push(pool, b"\r\n");
        self.push(pool, payload);
    }

    /// Offers what waits and these bytes to `send`, which returns how many it took, and appends the rest; where the socket
    /// takes nothing now, appends them all.
    pub fn push_spelled(
        &mut self,
        pool: &mut ChunkPool,
        bytes: &[u8],
        send: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) {
        match self.may_offer() {
            true => self.offer_with(pool, bytes, send),
            false => self.push(pool, bytes),
        }
    }

    /// Appends bytes over as many chunks as it takes. Does not count them.
    #[cold]
    fn spill(&mut self, pool: &mut ChunkPool, mut bytes: &[u8]) {
        loop {
            let tail = self.tail.get_or_insert_with(|| pool.take());
            let fits = bytes.len().min(tail.room());
            tail.put(&bytes[..fits], fits);
            bytes = &bytes[fits..];
            if bytes.is_empty() {
                return;
            }
            self.full.extend(self.tail.take());
        }
    }

    /// The next chunk to send, unless one is in flight or nothing waits.
    pub fn next(&mut self, now_ms: u64) -> Option<Chunk> {
        if self.in_flight() {
            return None;
        }
        let chunk = self
            .full
            .pop_front()
            .or_else(|| self.tail.take_if(|tail| tail.len > 0))?;
        self.in_flight_bytes = chunk.unsent().len() as u32;
        self.in_flight_since_ms = now_ms;
        Some(chunk)
    }

    /// The kernel has taken a part of what stands for the chunk in flight: its time begins anew.
    pub fn send_goes_on(&mut self, now_ms: u64) {
        self.in_flight_since_ms = now_ms;
    }

    /// Takes a chunk back from the kernel, which took `sent` bytes of it.
    pub fn sent(&mut self, pool: &mut ChunkPool, mut chunk: Chunk, sent: usize) {
        chunk.advance(sent);
        self.in_flight_bytes = 0;
        self.blocked = false;
        self.pending_bytes -= sent as u64;
        if chunk.unsent().is_empty() {
            pool.give(chunk);
        } else {
            self.full.push_front(chunk);
        }
    }

    /// Gives everything that waits back to the pool: the connection is gone.
    pub fn clear(&mut self, pool: &mut ChunkPool) {
        for chunk in self.full.drain(..).chain(self.tail.take()) {
            pool.give(chunk);
        }
        self.full = VecDeque::new();
        self.pending_bytes = u64::from(self.in_flight_bytes);
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;

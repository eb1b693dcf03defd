//! Owns a hash table of `u32` ids whose keys the caller holds. Never rehashes more than one segment at a time.

use std::hash::Hasher;
use std::mem::{size_of, take};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;

/// Ids a segment holds on average just after a split; just before its own split it holds twice as many, which
/// still fits 1,024 buckets at hashbrown's load of 7/8 with room for chance.
const SEGMENT_TARGET: usize = 410;
/// A segment's number comes from these bits of the hash: hashbrown uses the lowest and the highest.
const SEGMENT_SHIFT: u32 = 20;

/// Keys for hashing. All of it derives from the seed, so that a peer who does not know the seed cannot aim at
/// one bucket.
#[derive(Debug)]
pub(super) struct Seed {
    shared: SharedSeed,
    own: u64,
}

/// A linear hash table: grows and shrinks by one segment at a time, segments in turn.
///
/// - An id with hash `h` is in segment `address(h)`.
/// - A table without ids holds no memory.
#[derive(Debug)]
pub(super) struct IdTable {
    segments: Vec<HashTable<u32>>,
    len: usize,
}

impl Seed {
    pub(super) fn new(seed: u64) -> Self {
        Seed {
            shared: SharedSeed::from_u64(seed),
            own: seed.rotate_left(32),
        }
    }

    /// The hash of some bytes within a context.
    #[inline]
    pub(super) fn hash(&self, context: u32, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.own ^ u64::from(context), &self.shared);
        hasher.write(bytes);
        hasher.finish()
    }
}

impl IdTable {
    /// An empty table, without memory.
    pub(super) const fn new() -> Self {
        IdTable {
            segments: Vec::new(),
            len: 0,
        }
    }

    /// Whether there is no id.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of ids.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id with this hash for which `is_it` says yes.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let segment = &self.segments[self.address(hash)];
        segment.find(hash, |&id| is_it(id)).copied()
    }

    /// Adds an id that is not there yet. `hash_of` gives the hash of any id present.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.segments.len() * SEGMENT_TARGET {
            self.split(&hash_of);
        }
        let at = self.address(hash);
        self.segments[at].insert_unique(hash, id, |&id| hash_of(id));
        self.len += 1;
    }

    /// Removes an id. Panics if it is not there. `hash_of` gives the hash of any other id present.
    pub(super) fn remove(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let at = self.address(hash);
        let segment = &mut self.segments[at];
        let Ok(entry) = segment.find_entry(hash, |&other| other == id) else {
            panic!("id {id} is not in the table");
        };
        entry.remove();
        if segment.capacity() > 64 && segment.len() < segment.capacity() / 8 {
            segment.shrink_to(segment.len() * 2, |&id| hash_of(id));
        }
        self.len -= 1;
        if self.len == 0 {
            *self = IdTable::new();
        } else if self.segments.len() > 1 && self.len < self.segments.len() * SEGMENT_TARGET / 2 {
            self.merge(&hash_of);
        }
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let tables: usize = self.segments.iter().map(HashTable::allocation_size).sum();
        tables + self.segments.capacity() * size_of::<HashTable<u32>>()
    }

    /// Panics where a sentence on the struct does not hold.
    #[cfg(test)]
    pub(super) fn invariants(&self, hash_of: impl Fn(u32) -> u64) {
        for (at, segment) in self.segments.iter().enumerate() {
            assert!(
                segment.iter().all(|&id| self.address(hash_of(id)) == at),
                "segment {at}"
            );
        }
        assert_eq!(
            self.len,
            self.segments.iter().map(HashTable::len).sum::<usize>()
        );
        assert!(self.len > 0 || self.memory_bytes() == 0);
    }

    /// Segments are split in order: those below `len - round / 2` and those from `round / 2` on are split already
    /// and addressed by one bit more than the others.
    #[inline]
    fn address(&self, hash: u64) -> usize {
        let len = self.segments.len();
        let round = len.next_power_of_two();
        let at = (hash >> SEGMENT_SHIFT) as usize & (round - 1);
        if at < len { at } else { at - round / 2 }
    }

    /// Adds a segment and moves to it what now belongs there, all from one other segment.
    fn split(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let new = self.segments.len();
        self.segments.push(HashTable::new());
        if new == 0 {
            return;
        }
        let old = partner(new);
        let ids = take(&mut self.segments[old]);
        for at in [old, new] {
            self.segments[at] = HashTable::with_capacity(ids.len() / 2);
        }
        for id in ids {
            self.place(id, hash_of);
        }
    }

    /// Takes the last segment away and moves its ids to the one it was split from.
    fn merge(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let Some(ids) = self.segments.pop() else {
            return;
        };
        let into = partner(self.segments.len());
        self.segments[into].reserve(ids.len(), |&id| hash_of(id));
        for id in ids {
            self.place(id, hash_of);
        }
        if self.segments.len() < self.segments.capacity() / 4 {
            self.segments.shrink_to(self.segments.len() * 2);
        }
    }

    fn place(&mut self, id: u32, hash_of: &impl Fn(u32) -> u64) {
        let hash = hash_of(id);
        let at = self.address(hash);
        self.segments[at].insert_unique(hash, id, |&id| hash_of(id));
    }
}

/// The segment that segment `at`, which is not the first, was split from.
fn partner(at: usize) -> usize {
    at - (1 << at.ilog2())
}

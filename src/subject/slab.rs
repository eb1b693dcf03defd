//! Owns values by dense `u32` keys that are reused. Never moves more than one chunk, so growth has no long pause.

use std::mem::size_of;

/// Values in one chunk.
const CHUNK: usize = 1024;
/// Words of a chunk's map of what is in use.
const WORDS: usize = CHUNK / u64::BITS as usize;

/// A growing store of values in chunks of fixed size.
///
/// - A key is fresh only when every earlier key is in use, so the highest key is the highest number ever held at once.
/// - `with_room` holds exactly the chunks that are not full, each once.
/// - A chunk without values holds no memory for values; a slab without values holds no memory at all.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    with_room: Vec<u32>,
    len: usize,
}

/// `used` has one bit a slot; slots at and beyond `slots.len()` are unused.
#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<T>,
    used: Box<[u64; WORDS]>,
    len: usize,
}

impl<T: Default> Slab<T> {
    /// An empty slab, without memory.
    pub(super) const fn new() -> Self {
        Slab {
            chunks: Vec::new(),
            with_room: Vec::new(),
            len: 0,
        }
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Stores a value and returns its key.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let number = match self.with_room.last() {
            Some(&number) => number as usize,
            None => self.add_chunk(),
        };
        let chunk = &mut self.chunks[number];
        let slot = chunk.insert(value, number == 0);
        if chunk.len == CHUNK {
            self.with_room.pop();
        }
        self.len += 1;
        (number * CHUNK + slot) as u32
    }

    /// Takes a value out. Panics if the key holds none.
    pub(super) fn remove(&mut self, key: u32) -> T {
        let (number, slot) = split(key);
        let chunk = &mut self.chunks[number];
        if chunk.len == CHUNK {
            self.with_room.push(number as u32);
        }
        let value = chunk.remove(slot);
        self.len -= 1;
        if self.len == 0 {
            *self = Slab::new();
        }
        value
    }

    /// The value of a key in use. A key that is not in use panics or gives a stale or default value.
    #[inline]
    pub(super) fn get(&self, key: u32) -> &T {
        let (number, slot) = split(key);
        &self.chunks[number].slots[slot]
    }

    /// As [`Slab::get`], to change it.
    #[inline]
    pub(super) fn get_mut(&mut self, key: u32) -> &mut T {
        let (number, slot) = split(key);
        &mut self.chunks[number].slots[slot]
    }

    /// Whether the key holds a value.
    pub(super) fn contains(&self, key: u32) -> bool {
        let (number, slot) = split(key);
        self.chunks
            .get(number)
            .is_some_and(|chunk| chunk.is_used(slot))
    }

    /// The keys in use, ascending.
    pub(super) fn keys(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let slots = (0..chunk.slots.len()).filter(|&slot| chunk.is_used(slot));
            slots.map(move |slot| (number * CHUNK + slot) as u32)
        })
    }

    /// Bytes of memory held, without what the values themselves point to.
    pub(super) fn memory_bytes(&self) -> usize {
        let slots: usize = self.chunks.iter().map(|chunk| chunk.slots.capacity()).sum();
        slots * size_of::<T>()
            + self.chunks.len() * size_of::<[u64; WORDS]>()
            + self.chunks.capacity() * size_of::<Chunk<T>>()
            + self.with_room.capacity() * size_of::<u32>()
    }

    /// Panics where a sentence on the struct does not hold.
    #[cfg(test)]
    pub(super) fn invariants(&self) {
        let mut roomy: Vec<usize> = self
            .with_room
            .iter()
            .map(|&number| number as usize)
            .collect();
        roomy.sort_unstable();
        let expected: Vec<usize> = (0..self.chunks.len())
            .filter(|&n| self.chunks[n].len < CHUNK)
            .collect();
        assert_eq!(roomy, expected, "with_room");
        for chunk in &self.chunks {
            let used: u32 = chunk.used.iter().map(|word| word.count_ones()).sum();
            assert_eq!(used as usize, chunk.len);
            assert!(
                chunk.len > 0 || chunk.slots.capacity() == 0,
                "an empty chunk holds memory"
            );
        }
        assert_eq!(
            self.len,
            self.chunks.iter().map(|chunk| chunk.len).sum::<usize>()
        );
        assert!(self.len > 0 || self.memory_bytes() == 0);
    }

    fn add_chunk(&mut self) -> usize {
        let number = self.chunks.len();
        assert!(
            number < u32::MAX as usize / CHUNK,
            "a slab holds fewer than 2^32 values"
        );
        self.chunks.push(Chunk {
            slots: Vec::new(),
            used: Box::new([0; WORDS]),
            len: 0,
        });
        self.with_room.push(number as u32);
        number
    }
}

impl<T: Default> Chunk<T> {
    /// Fills the lowest free slot. The first chunk of a slab doubles as it grows, so that small slabs stay small.
    fn insert(&mut self, value: T, is_first: bool) -> usize {
        let free = |word: &u64| *word != u64::MAX;
        let word = self.used.iter().position(free).expect("a chunk with room");
        let bit = self.used[word].trailing_ones() as usize;
        self.used[word] |= 1 << bit;
        self.len += 1;
        let slot = word * u64::BITS as usize + bit;
        if slot < self.slots.len() {
            self.slots[slot] = value;
            return slot;
        }
        if !is_first && self.slots.capacity() == 0 {
            self.slots.reserve_exact(CHUNK);
        }
        self.slots.push(value);
        slot
    }

    fn remove(&mut self, slot: usize) -> T {
        assert!(self.is_used(slot), "the key holds no value");
        self.used[slot / u64::BITS as usize] &= !(1 << (slot % u64::BITS as usize));
        self.len -= 1;
        let value = std::mem::take(&mut self.slots[slot]);
        if self.len == 0 {
            self.slots = Vec::new();
        }
        value
    }

    fn is_used(&self, slot: usize) -> bool {
        self.used[slot / u64::BITS as usize] & 1 << (slot % u64::BITS as usize) != 0
    }
}

#[inline]
fn split(key: u32) -> (usize, usize) {
    (key as usize / CHUNK, key as usize % CHUNK)
}

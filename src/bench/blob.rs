//! Owns the bytes a publisher writes: whole PUB frames, formatted once, written again and again. Never writes them.

use std::ops::RangeInclusive;

/// A blob of equal messages holds about this many bytes, so that it stays in a core's cache.
const UNIFORM_BYTES: usize = 256 << 10;
/// Scrambled messages in a blob: far more than any cache of recent subjects remembers in order.
const SCRAMBLED_MESSAGES: usize = 32 << 10;
/// Scrambled blobs stop growing here.
const SCRAMBLED_BYTES_MAX: usize = 32 << 20;

/// Frames laid end to end.
#[derive(Debug)]
pub struct Blob {
    bytes: Vec<u8>,
    /// Where each frame ends; strictly rising, the last is `bytes.len()`.
    ends: Vec<usize>,
    payload_bytes: u64,
}

impl Blob {
    /// Messages of one size over `subjects` in turn.
    pub fn uniform(subjects: &[String], payload_bytes: usize) -> Blob {
        let frame_bytes = payload_bytes + subjects.first().map_or(0, String::len) + 16;
        let rounds = (UNIFORM_BYTES / frame_bytes / subjects.len()).max(1);
        let mut random = Random(1);
        let mut blob = Blob::empty();
        for _ in 0..rounds {
            for subject in subjects {
                blob.push(subject, payload_bytes, &mut random);
            }
        }
        blob
    }

    /// Messages whose subject and size are drawn at random from `seed`.
    pub fn scrambled(subjects: &[String], sizes: RangeInclusive<usize>, seed: u64) -> Blob {
        let mut random = Random(seed | 1);
        let mut blob = Blob::empty();
        let span = sizes.end() - sizes.start() + 1;
        while blob.messages() < SCRAMBLED_MESSAGES && blob.bytes.len() < SCRAMBLED_BYTES_MAX {
            let subject = &subjects[random.below(subjects.len())];
            let size = sizes.start() + random.below(span);
            blob.push(subject, size, &mut random);
        }
        blob
    }

    /// All frames.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many frames there are.
    pub fn messages(&self) -> usize {
        self.ends.len()
    }

    /// Where the first `messages` frames end.
    pub fn end_of(&self, messages: usize) -> usize {
        if messages == 0 {
            0
        } else {
            self.ends[messages - 1]
        }
    }

    /// How many frames are whole in the first `bytes` bytes.
    pub fn whole_in(&self, bytes: usize) -> usize {
        self.ends.partition_point(|end| *end <= bytes)
    }

    /// The mean payload, in bytes.
    pub fn payload_bytes_mean(&self) -> f64 {
        self.payload_bytes as f64 / self.ends.len() as f64
    }

    fn empty() -> Blob {
        Blob {
            bytes: Vec::new(),
            ends: Vec::new(),
            payload_bytes: 0,
        }
    }

    fn push(&mut self, subject: &str, payload_bytes: usize, random: &mut Random) {
        self.bytes
            .extend_from_slice(format!("PUB {subject} {payload_bytes}\r\n").as_bytes());
        let letters = std::iter::repeat_with(|| b'a' + random.below(26) as u8);
        self.bytes.extend(letters.take(payload_bytes));
        self.bytes.extend_from_slice(b"\r\n");
        self.ends.push(self.bytes.len());
        self.payload_bytes += payload_bytes as u64;
    }
}

/// xorshift64*: repeatable, and good enough to scramble.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_and_counted() {
        let subjects = ["a".to_owned(), "b.c".to_owned()];
        let blob = Blob::scrambled(&subjects, 0..=9, 7);
        assert_eq!(blob.messages(), SCRAMBLED_MESSAGES);
        for message in [0, 1, 2, 500, blob.messages()] {
            let end = blob.end_of(message);
            assert_eq!(blob.whole_in(end), message);
            assert!(message == 0 || blob.whole_in(end - 1) == message - 1);
            assert!(message == 0 || blob.bytes()[..end].ends_with(b"\r\n"));
        }
    }

    #[test]
    fn uniform_takes_subjects_in_turn() {
        let blob = Blob::uniform(&["a".to_owned(), "b".to_owned()], 2);
        assert!(blob.bytes().starts_with(b"PUB a 2\r\n"));
        assert!(blob.bytes()[blob.end_of(1)..].starts_with(b"PUB b 2\r\n"));
        assert_eq!(blob.payload_bytes_mean(), 2.0);
    }
}

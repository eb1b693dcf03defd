//! Bytes waiting for one connection, in pooled chunks of fixed size. Never sends anything itself.

/// Size of a chunk. Fixed and pooled: output stays in the second-level cache (measured, see `perf/`).
pub const CHUNK_BYTES: usize = 64 * 1024;

/// A fixed block of output. Filled at the end, sent from the start.
///
/// Invariant: `sent <= len <= CHUNK_BYTES`.
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

//! When to look at which connection again. Owns the order of times; knows nothing of what is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ring::Token;

/// Times in the order they come. An entry is a hint: whoever gets one asks the connection what is due, so
/// entries of connections that have gone cost nothing but their 16 bytes until they come up.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Timers {
    /// Asks for a look at this connection at `due_ms`.
    pub fn add(&mut self, due_ms: u64, conn: Token) {
        self.heap.push(Reverse((due_ms, conn.0)));
    }

    /// The next connection whose time has come, with that time.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<(u64, Token)> {
        let Reverse((due_ms, _)) = self.heap.peek()?;
        if *due_ms > now_ms {
            return None;
        }
        let Reverse((due_ms, conn)) = self.heap.pop()?;
        if self.heap.len() * 4 < self.heap.capacity() {
            self.heap.shrink_to(self.heap.len() * 2);
        }
        Some((due_ms, Token(conn)))
    }

    /// When the next time comes.
    pub fn next_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((due_ms, _))| *due_ms)
    }
}

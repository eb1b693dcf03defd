//! When to look at which connection again. Owns the order of times; knows nothing of what is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ring::Token;

/// So many entries are kept beyond twice those that count: few are not worth making anew.
const SPARE: usize = 64;

/// Times in the order they come. An entry is a hint: whoever gets one asks the connection what is due. Entries whose
/// connection has gone, or is to be looked at earlier, stay until they come up, which may be minutes, or until they are
/// more than those that count: then [`Timers::renew`] is due.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Timers {
    /// Asks for a look at this connection at `due_ms`.
    pub fn add(&mut self, due_ms: u64, conn: Token) {
        self.heap.push(Reverse((due_ms, conn.0)));
    }

    /// Whether most entries are of no use any more, where so many connections have one that counts.
    pub fn is_stale(&self, connections: usize) -> bool {
        self.heap.len() > 2 * connections + SPARE
    }

    /// Leaves only these: at most one a connection.
    pub fn renew(&mut self, times: impl Iterator<Item = (u64, Token)>) {
        self.heap = times
            .map(|(due_ms, conn)| Reverse((due_ms, conn.0)))
            .collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_no_use_are_told_and_go() {
        let mut timers = Timers::default();
        let (gone, here) = (Token(1), Token(2));
        for due_ms in 0..2 * SPARE as u64 {
            timers.add(1_000 + due_ms, gone);
        }
        timers.add(5, here);
        assert!(timers.is_stale(1));
        timers.renew([(5, here)].into_iter());
        assert!(!timers.is_stale(0));
        assert_eq!(timers.pop_due(5), Some((5, here)));
        assert_eq!(timers.next_ms(), None);
    }
}

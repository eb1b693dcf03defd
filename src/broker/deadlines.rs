//! When requests have waited long enough. Owns a queue for each threshold, from which any entry can be taken; never ends a
//! request itself.
//!
//! All entries of a queue wait equally long from when they were added, and time does not go back: each queue is in the
//! order of its deadlines.

use slab::Slab;

/// Marks the end of a queue.
const NONE: u32 = u32::MAX;

/// Room for so many is kept when fewer wait.
const KEEP: usize = 4096;

/// An entry, for taking it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    queue: u32,
    entry: u32,
}

/// Deadlines, each with the number of its request.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    entries: Slab<Entry>,
    /// No two of the same threshold.
    queues: Vec<Queue>,
}

#[derive(Debug)]
struct Entry {
    due_ms: u64,
    request: u32,
    before: u32,
    behind: u32,
}

#[derive(Debug)]
struct Queue {
    threshold_ms: u64,
    first: u32,
    last: u32,
}

impl Deadlines {
    /// One more, behind all others of its threshold.
    pub fn add(&mut self, threshold_ms: u64, due_ms: u64, request: u32) -> Place {
        let number = self.queue(threshold_ms);
        let queue = &mut self.queues[number];
        let entry = self.entries.insert(Entry {
            due_ms,
            request,
            before: queue.last,
            behind: NONE,
        }) as u32;
        match queue.last {
            NONE => queue.first = entry,
            last => self.entries[last as usize].behind = entry,
        }
        queue.last = entry;
        Place {
            queue: number as u32,
            entry,
        }
    }

    /// The queue of a threshold: if there is none, one that is empty becomes it.
    fn queue(&mut self, threshold_ms: u64) -> usize {
        let known = |queue: &Queue| queue.threshold_ms == threshold_ms;
        let empty = |queue: &Queue| queue.first == NONE;
        let queue = Queue {
            threshold_ms,
            first: NONE,
            last: NONE,
        };
        if let Some(number) = self.queues.iter().position(known) {
            return number;
        }
        match self.queues.iter().position(empty) {
            Some(number) => {
                self.queues[number] = queue;
                number
            }
            None => {
                self.queues.push(queue);
                self.queues.len() - 1
            }
        }
    }

    /// Takes one out that is in.
    pub fn remove(&mut self, place: Place) {
        let Entry { before, behind, .. } = self.entries.remove(place.entry as usize);
        let queue = &mut self.queues[place.queue as usize];
        match before {
            NONE => queue.first = behind,
            before => self.entries[before as usize].behind = behind,
        }
        match behind {
            NONE => queue.last = before,
            behind => self.entries[behind as usize].before = before,
        }
        if self.entries.is_empty() && self.entries.capacity() > KEEP {
            self.entries = Slab::new();
        }
    }

    /// The number of one whose time has come; it stays in.
    pub fn passed(&self, now_ms: u64) -> Option<u32> {
        let mut firsts = self.firsts();
        let passed = firsts.find(|entry| entry.due_ms <= now_ms)?;
        Some(passed.request)
    }

    /// When the first is due.
    pub fn first_ms(&self) -> Option<u64> {
        self.firsts().map(|entry| entry.due_ms).min()
    }

    fn firsts(&self) -> impl Iterator<Item = &Entry> {
        let firsts = self.queues.iter().filter(|queue| queue.first != NONE);
        firsts.map(|queue| &self.entries[queue.first as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_at_its_time() {
        let mut deadlines = Deadlines::default();
        let mut add = |threshold, now, request| deadlines.add(threshold, now + threshold, request);
        let long = add(100, 0, 1);
        add(10, 5, 2);
        add(100, 6, 3);
        assert_eq!(deadlines.first_ms(), Some(15));
        assert_eq!(deadlines.passed(14), None);
        assert_eq!(deadlines.passed(15), Some(2));
        deadlines.remove(long);
        assert_eq!(deadlines.passed(100), Some(2));
    }

    proptest! {
        /// As a plain list.
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((0u8..3, 0u64..4, any::<prop::sample::Index>()), 0..200)) {
            let mut deadlines = Deadlines::default();
            let mut list: Vec<(u64, Place, u32)> = Vec::new();
            let mut now_ms = 0;
            for (number, (step, by, index)) in steps.into_iter().enumerate() {
                match step {
                    0 => now_ms += by,
                    1 => {
                        let request = number as u32;
                        let due_ms = now_ms + by * 3;
                        list.push((due_ms, deadlines.add(by * 3, due_ms, request), request));
                    }
                    _ if list.is_empty() => {}
                    _ => deadlines.remove(list.swap_remove(index.index(list.len())).1),
                }
                prop_assert_eq!(deadlines.first_ms(), list.iter().map(|(due_ms, ..)| *due_ms).min());
                let passed = deadlines.passed(now_ms);
                let has_passed = list.iter().any(|(due_ms, _, request)| *due_ms <= now_ms && Some(*request) == passed);
                prop_assert_eq!(passed.is_some(), has_passed);
                prop_assert_eq!(has_passed, list.iter().any(|(due_ms, ..)| *due_ms <= now_ms));
            }
        }
    }
}

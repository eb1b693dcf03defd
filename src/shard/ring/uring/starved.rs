//! Receives that the kernel ended for want of a buffer: who goes back first, and how many at a turn. Never arms one itself.

use std::collections::VecDeque;

/// Receives out of the kernel, by their key.
///
/// When peers send more than the buffers hold, all of them armed at every turn would mostly come back with nothing, and that
/// costs (measured: `perf/`, `100to100-128`).
#[derive(Debug)]
pub(super) struct Starved {
    waiting: VecDeque<usize>,
    /// How many go back at a turn, at most.
    portion_max: usize,
    /// How many went back at the last.
    portion: usize,
    /// Have come back with nothing since then.
    hungry: usize,
}

impl Default for Starved {
    fn default() -> Self {
        Starved {
            waiting: VecDeque::new(),
            portion_max: usize::MAX,
            portion: 0,
            hungry: 0,
        }
    }
}

impl Starved {
    /// Whether any wait.
    pub(super) fn any(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The kernel ended a receive; `fed` if it had received something. Who got nothing goes first, else one fast peer takes all
    /// buffers each time.
    pub(super) fn push(&mut self, key: usize, fed: bool) {
        if fed {
            self.waiting.push_back(key);
        } else {
            self.hungry += 1;
            self.waiting.push_front(key);
        }
    }

    /// A turn begins: those that go back into the kernel. One more than were fed of the last ones; where none went hungry, up to
    /// twice as many.
    pub(super) fn next_portion(&mut self) -> Vec<usize> {
        self.portion_max = match std::mem::take(&mut self.hungry) {
            0 => self.portion_max.saturating_mul(2),
            hungry => self.portion.saturating_sub(hungry) + 1,
        };
        self.portion = self.waiting.len().min(self.portion_max);
        self.waiting.drain(..self.portion).collect()
    }

    /// It is not to go back.
    pub(super) fn remove(&mut self, key: usize) {
        self.waiting.retain(|waiting| *waiting != key);
    }
}

#[cfg(test)]
mod tests {
    use super::Starved;

    #[test]
    fn as_many_go_back_as_find_something() {
        let mut starved = Starved::default();
        (0..10).for_each(|key| starved.push(key, false));
        // Nothing is known yet.
        assert_eq!(starved.next_portion(), [9]);
        starved.push(9, true);
        assert_eq!(starved.next_portion(), [8, 7]);
        starved.push(8, true);
        starved.push(7, false);
        assert_eq!(starved.next_portion(), [7, 6]);
        assert_eq!(starved.next_portion(), [5, 4, 3, 2]);
        assert_eq!(starved.next_portion(), [1, 0, 9, 8]);
        assert!(!starved.any());
    }

    #[test]
    fn everybody_gets_a_turn_beside_fast_peers() {
        let mut starved = Starved::default();
        (0..10).for_each(|key| starved.push(key, false));
        let mut fed = [0; 10];
        for _ in 0..200 {
            // The first takes all there is.
            for (at, key) in starved.next_portion().into_iter().enumerate() {
                fed[key] += u32::from(at == 0);
                starved.push(key, at == 0);
            }
        }
        assert!(fed.iter().all(|&times| times >= 19), "{fed:?}");
    }
}

//! How many connections an account has on all shards. The one thing of an account that shards share and write: when a
//! connection comes or goes, never for a message.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

/// The connections of one account.
#[derive(Debug, Default)]
pub struct Seats {
    taken: Mutex<Taken>,
}

/// By number: the order in which they came.
#[derive(Debug, Default)]
struct Taken {
    numbers: BTreeSet<u64>,
    last: u64,
}

/// One connection of an account, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    of: Arc<Seats>,
    number: u64,
}

impl Seats {
    /// One more, unless there are `max` already.
    pub fn take(seats: &Arc<Seats>, max: Option<u64>) -> Option<Seat> {
        let mut taken = seats.lock();
        if max.is_some_and(|max| taken.numbers.len() as u64 >= max) {
            return None;
        }
        taken.last += 1;
        let number = taken.last;
        taken.numbers.insert(number);
        let of = seats.clone();
        Some(Seat { of, number })
    }

    /// How many there are.
    pub fn taken(&self) -> u64 {
        self.lock().numbers.len() as u64
    }

    /// Held for a few instructions, by nobody who waits for anything.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("nobody panics with the lock")
    }
}

impl Seat {
    /// Leaves if there are more than `max` and this one is not among the first of them: those who came last go, whatever
    /// shards they are on.
    pub fn leaves_if_over(&mut self, max: u64) -> bool {
        let mut taken = self.of.lock();
        let first_too_many = usize::try_from(max)
            .ok()
            .and_then(|max| taken.numbers.iter().nth(max).copied());
        let leaves = first_too_many.is_some_and(|first| first <= self.number);
        leaves && taken.numbers.remove(&self.number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.of.lock().numbers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_leave_who_are_too_many() {
        let seats = Arc::default();
        let mut three: Vec<Seat> = (0..3).filter_map(|_| Seats::take(&seats, None)).collect();
        let left: Vec<bool> = three
            .iter_mut()
            .map(|seat| seat.leaves_if_over(1))
            .collect();
        assert_eq!(left, [false, true, true], "who came last");
        assert_eq!(seats.taken(), 1);
        assert!(!three[1].leaves_if_over(0), "it has left already");
        drop(three);
        assert_eq!(seats.taken(), 0, "nobody is counted twice");
    }

    #[test]
    fn a_seat_is_free_again_when_it_is_dropped() {
        let seats = Arc::default();
        let first = Seats::take(&seats, Some(2));
        let second = Seats::take(&seats, Some(2));
        assert!(first.is_some() && second.is_some());
        assert!(Seats::take(&seats, Some(2)).is_none());
        drop(first);
        assert_eq!(seats.taken(), 1);
        assert!(
            Seats::take(&seats, Some(2)).is_some(),
            "and dropped at once"
        );
        assert!(Seats::take(&seats, Some(0)).is_none(), "for nobody");
        assert!(Seats::take(&seats, None).is_some());
    }
}

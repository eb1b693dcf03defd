//! How many connections an account has on all shards. The one thing of an account that shards share and write: when a
//! connection comes or goes, never for a message.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The connections of one account.
#[derive(Debug, Default)]
pub struct Seats {
    taken: AtomicU64,
}

/// One connection of an account, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    of: Arc<Seats>,
    counted: bool,
}

impl Seats {
    /// One more, unless there are `max` already.
    pub fn take(seats: &Arc<Seats>, max: Option<u64>) -> Option<Seat> {
        let free = |taken| (max.is_none_or(|max| taken < max)).then_some(taken + 1);
        let taken = seats.taken.fetch_update(Relaxed, Relaxed, free);
        taken.ok().map(|_| Seat {
            of: seats.clone(),
            counted: true,
        })
    }

    /// How many there are.
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }
}

impl Seat {
    /// Leaves if there are more than `max`: of several that ask at the same time only as many as are too many.
    pub fn leaves_if_over(&mut self, max: u64) -> bool {
        let over = |taken| (taken > max).then(|| taken - 1);
        let left = self.counted && self.of.taken.fetch_update(Relaxed, Relaxed, over).is_ok();
        self.counted &= !left;
        left
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.counted {
            self.of.taken.fetch_sub(1, Relaxed);
        }
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
        assert_eq!(left, [true, true, false]);
        assert_eq!(seats.taken(), 1);
        assert!(!three[0].leaves_if_over(0), "it has left already");
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

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
}

impl Seats {
    /// One more, unless there are `max` already.
    pub fn take(seats: &Arc<Seats>, max: Option<u64>) -> Option<Seat> {
        let free = |taken| (max.is_none_or(|max| taken < max)).then_some(taken + 1);
        let taken = seats.taken.fetch_update(Relaxed, Relaxed, free);
        taken.ok().map(|_| Seat { of: seats.clone() })
    }

    /// How many there are.
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.of.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! A bounded queue from one shard to another: one producer, one consumer, no lock. Never wakes anybody:
//! that is [`Sleeper`](super::sleep::Sleeper)'s.
//!
//! Positions count up for ever and wrap; the slot of a position is its low bits. Each side keeps its own
//! position in its handle, and a copy of the other's, which it reads anew only when the copy says full or
//! empty: the cache lines travel between the cores once a batch, not once an item.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use self::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

#[cfg(not(all(loom, test)))]
mod sync {
    pub(super) use std::sync::Arc;
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};

    /// `std`'s, with the interface of loom's.
    pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(super) fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }
        pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(all(loom, test))]
mod sync {
    pub(super) use loom::cell::UnsafeCell;
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
}

/// A queue that holds up to `capacity` items, at least 1.
pub fn queue<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a queue of nothing");
    let slots = capacity.next_power_of_two();
    let shared = Arc::new(Shared {
        slots: (0..slots)
            .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
            .collect(),
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
    });
    let producer = Producer {
        shared: shared.clone(),
        capacity,
        tail: 0,
        head_seen: 0,
    };
    let consumer = Consumer {
        shared,
        head: 0,
        tail_seen: 0,
    };
    (producer, consumer)
}

/// The end that pushes.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    capacity: usize,
    tail: usize,
    head_seen: usize,
}

/// The end that pops.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

/// Invariants: `head <= tail <= head + capacity`, as positions; the slots of `head..tail` hold items, the
/// others none. Only the producer moves `tail` and writes slots outside; only the consumer moves `head`
/// and takes from slots inside.
struct Shared<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
}

/// Two cache lines of its own: the prefetcher of x86-64 fetches in pairs.
#[repr(align(128))]
struct Padded<T>(T);

// SAFETY: items go from one thread to the other and are touched by one at a time (the invariants above);
// so `T: Send` is all that is needed, and nothing is shared that `T: Sync` would be for.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Producer<T> {
    /// Puts an item at the end.
    ///
    /// # Errors
    /// Gives the item back if the queue is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(item);
        }
        self.shared.slot(self.tail).with_mut(|slot| {
            // SAFETY: the position is outside `head..tail`, so the slot is the producer's alone.
            unsafe { (*slot).write(item) };
        });
        self.tail = self.tail.wrapping_add(1);
        // Release: who sees the new tail sees the item written.
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// How many items can be pushed for certain; 0 means full. Reads what the consumer has taken only
    /// when it must.
    pub fn room(&mut self) -> usize {
        if self.tail.wrapping_sub(self.head_seen) == self.capacity {
            // Acquire: the consumer has taken the items before this head out of their slots.
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        }
        self.capacity - self.tail.wrapping_sub(self.head_seen)
    }

    /// How many items the consumer has not taken yet.
    pub fn untaken(&mut self) -> usize {
        // Acquire: as in `room`.
        self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head_seen)
    }
}

impl<T> Consumer<T> {
    /// Takes the first item; `None` if there is none.
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen && self.is_empty() {
            return None;
        }
        let item = self.shared.slot(self.head).with_mut(|slot| {
            // SAFETY: the position is inside `head..tail`, so the slot holds an item and is the consumer's
            // alone; moving `head` past it below makes sure that it is taken once.
            unsafe { (*slot).assume_init_read() }
        });
        self.head = self.head.wrapping_add(1);
        // Release: the item is out before the producer sees that the slot is free.
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(item)
    }

    /// How many items are there now. Popping so many takes exactly what was pushed up to this call,
    /// whatever comes in the meantime.
    pub fn len(&mut self) -> usize {
        // Acquire: the items before this tail have been written.
        self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Whether nothing is there now.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }
}

impl<T> Shared<T> {
    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[position & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Both ends are gone, and what they did happened before this (Arc sees to it).
        let (mut head, tail) = (
            self.head.0.load(Ordering::Relaxed),
            self.tail.0.load(Ordering::Relaxed),
        );
        while head != tail {
            // SAFETY: the position is inside `head..tail`, so the slot holds an item; each is dropped once.
            self.slot(head)
                .with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn holds_its_capacity_and_no_more() {
        for capacity in [1, 2, 3, 5, 8] {
            let (mut producer, mut consumer) = queue(capacity);
            for round in 0..20 {
                assert_eq!(producer.room(), capacity);
                for i in 0..capacity {
                    assert_eq!(producer.push(round + i), Ok(()));
                }
                assert_eq!(producer.push(99), Err(99));
                assert_eq!(consumer.len(), capacity);
                for i in 0..capacity {
                    assert_eq!(producer.untaken(), capacity - i);
                    assert_eq!(consumer.pop(), Some(round + i));
                }
                assert_eq!(producer.untaken(), 0);
                assert_eq!(consumer.pop(), None);
                producer.push(0).unwrap();
                assert_eq!(consumer.pop(), Some(0));
                assert_eq!(producer.tail, consumer.head);
                producer.head_seen = producer.tail;
            }
        }
    }

    #[test]
    fn positions_wrap() {
        let (mut producer, mut consumer) = queue(3);
        let near = usize::MAX - 1;
        (producer.tail, producer.head_seen) = (near, near);
        (consumer.head, consumer.tail_seen) = (near, near);
        producer.shared.head.0.store(near, Ordering::Relaxed);
        producer.shared.tail.0.store(near, Ordering::Relaxed);
        for i in 0..10 {
            for j in 0..3 {
                producer.push(10 * i + j).unwrap();
            }
            assert!(producer.push(0).is_err());
            assert_eq!(
                (0..3).map_while(|_| consumer.pop()).collect::<Vec<_>>(),
                [0, 1, 2].map(|j| 10 * i + j)
            );
        }
    }

    #[test]
    fn unread_items_are_dropped() {
        let item = std::sync::Arc::new(());
        let (mut producer, mut consumer) = queue(4);
        for _ in 0..3 {
            producer.push(item.clone()).unwrap();
        }
        drop(consumer.pop());
        drop(producer);
        assert_eq!(std::sync::Arc::strong_count(&item), 3);
        drop(consumer);
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
    }

    #[test]
    fn two_threads_keep_order() {
        let (mut producer, mut consumer) = queue(7);
        let pushing = std::thread::spawn(move || {
            for i in 0..100_000u64 {
                let mut item = Box::new(i);
                while let Err(back) = producer.push(item) {
                    item = back;
                    std::thread::yield_now();
                }
            }
        });
        for i in 0..100_000 {
            let item = loop {
                match consumer.pop() {
                    Some(item) => break item,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(*item, i);
        }
        pushing.join().unwrap();
        assert!(consumer.is_empty());
    }

    proptest! {
        #[test]
        fn is_a_bounded_fifo(capacity in 1..9usize, steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let (mut producer, mut consumer) = queue(capacity);
            let mut model = std::collections::VecDeque::new();
            for (i, push) in steps.into_iter().enumerate() {
                if push {
                    let room = model.len() < capacity;
                    prop_assert_eq!(producer.push(i).is_ok(), room);
                    if room { model.push_back(i) }
                } else {
                    prop_assert_eq!(consumer.len(), model.len());
                    prop_assert_eq!(consumer.pop(), model.pop_front());
                }
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;

    /// Every interleaving: what is popped is what was pushed, in order, once.
    #[test]
    fn nothing_lost_nothing_twice() {
        loom::model(|| {
            let (mut producer, mut consumer) = queue(2);
            let pushing = thread::spawn(move || {
                let mut pushed = 0;
                for _ in 0..4 {
                    match producer.push(Box::new(pushed)) {
                        Ok(()) => pushed += 1,
                        Err(_) => thread::yield_now(),
                    }
                }
                pushed
            });
            let mut popped = 0;
            for _ in 0..3 {
                while let Some(item) = consumer.pop() {
                    assert_eq!(*item, popped);
                    popped += 1;
                }
                thread::yield_now();
            }
            let pushed = pushing.join().unwrap();
            while let Some(item) = consumer.pop() {
                assert_eq!(*item, popped);
                popped += 1;
            }
            assert_eq!(popped, pushed);
        });
    }

    /// What `len` counted is there to pop, whatever the producer does meanwhile.
    #[test]
    fn a_length_can_be_popped() {
        loom::model(|| {
            let (mut producer, mut consumer) = queue(2);
            producer.push(0).unwrap();
            let pushing = thread::spawn(move || producer.push(1).is_ok());
            let len = consumer.len();
            assert!((1..=2).contains(&len));
            for i in 0..len {
                assert_eq!(consumer.pop(), Some(i));
            }
            assert!(pushing.join().unwrap());
            assert_eq!(consumer.len(), 2 - len);
        });
    }

    /// Either end may go first; what was not popped is dropped once.
    #[test]
    fn unread_items_are_dropped() {
        loom::model(|| {
            let item = std::sync::Arc::new(());
            let (mut producer, mut consumer) = queue(2);
            let pushing = thread::spawn({
                let item = item.clone();
                move || {
                    let _ = producer.push(item.clone());
                    let _ = producer.push(item);
                }
            });
            drop(consumer.pop());
            drop(consumer);
            pushing.join().unwrap();
            assert_eq!(std::sync::Arc::strong_count(&item), 1);
        });
    }
}

//! Who is asleep: so that a shard that has pushed to another wakes it if it sleeps, and only then, and
//! once. Never waits and never wakes itself: the ring does.
//!
//! The sleeper says "asleep", then looks at its queues once more, then waits. The producer pushes, then
//! looks whether the sleeper sleeps. Each writes and then reads what the other writes, so both need a
//! full fence in between: then one of the two at least sees the other, and no wake-up is lost.

use self::sync::{AtomicBool, Ordering, fence};

#[cfg(not(all(loom, test)))]
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};
}

#[cfg(all(loom, test))]
mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

/// One shard's flag, shared with all that push to it.
#[derive(Debug, Default)]
#[repr(align(128))] // Its own cache lines: every push of the others reads it.
pub struct Sleeper {
    asleep: AtomicBool,
}

impl Sleeper {
    /// The shard says that it goes to sleep. After this it looks at all its queues, and sleeps only if
    /// they are empty; in either case it calls [`Self::awake`] then.
    pub fn going_to_sleep(&self) {
        // Swaps, here and in `awake`: stores would do, but loom does not know that a producer's swap comes
        // before all that followed what it read, and so sees wake-ups lost. Going to sleep costs more.
        self.asleep.swap(true, Ordering::Relaxed);
        // Before the look at the queues; pairs with the fence in `needs_wake`.
        fence(Ordering::SeqCst);
    }

    /// The shard is awake: woken, or not asleep after all.
    pub fn awake(&self) {
        // Nothing is published by this: what woke us stands in the queues, which order themselves.
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// Asked by a producer after its pushes (once after many is enough): whether it must wake the shard
    /// now. Of several producers one is told so.
    pub fn needs_wake(&self) -> bool {
        // After the pushes; pairs with the fence in `going_to_sleep`.
        fence(Ordering::SeqCst);
        // The plain read keeps the line shared between the cores while the shard is awake.
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Sleeper;

    #[test]
    fn only_a_sleeping_shard_is_woken_and_once() {
        let sleeper = Sleeper::default();
        assert!(!sleeper.needs_wake());
        sleeper.going_to_sleep();
        assert!(sleeper.needs_wake());
        assert!(!sleeper.needs_wake());
        sleeper.going_to_sleep();
        sleeper.awake();
        assert!(!sleeper.needs_wake());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::super::mesh_queue::{Consumer, queue};
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// The kernel's part: a wake that comes before the sleep is kept, as an eventfd or a completion is.
    #[derive(Default)]
    struct Bell {
        rung: Mutex<bool>,
        told: Condvar,
    }

    impl Bell {
        fn ring(&self) {
            *self.rung.lock().unwrap() = true;
            self.told.notify_one();
        }
        fn wait(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.told.wait(rung).unwrap();
            }
            *rung = false;
        }
    }

    /// The shard's loop until all have come; loom reports a deadlock if it sleeps for ever.
    fn receive(sleeper: &Sleeper, bell: &Bell, queues: &mut [Consumer<usize>], count: usize) {
        let mut received = 0;
        while received < count {
            let mut idle = true;
            for queue in &mut *queues {
                while queue.pop().is_some() {
                    received += 1;
                    idle = false;
                }
            }
            if idle {
                sleeper.going_to_sleep();
                if queues.iter_mut().all(Consumer::is_empty) {
                    bell.wait();
                }
                sleeper.awake();
            }
        }
    }

    /// Interleavings with up to three preemptions; without the bound it passes too, but takes minutes.
    fn check(f: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(f);
    }

    #[test]
    fn no_wake_up_is_lost() {
        check(|| {
            let shared = Arc::new((Sleeper::default(), Bell::default()));
            let (mut producer, consumer) = queue(2);
            let pushing = thread::spawn({
                let shared = shared.clone();
                move || {
                    for i in 0..2 {
                        producer.push(i).unwrap();
                        if shared.0.needs_wake() {
                            shared.1.ring();
                        }
                    }
                }
            });
            receive(&shared.0, &shared.1, &mut [consumer], 2);
            pushing.join().unwrap();
        });
    }

    #[test]
    fn two_producers_wake_once() {
        check(|| {
            let shared = Arc::new((Sleeper::default(), Bell::default()));
            let wakes = Arc::new(AtomicUsize::new(0));
            let (mut producers, mut consumers): (Vec<_>, Vec<_>) = (0..2).map(|_| queue(1)).unzip();
            shared.0.going_to_sleep();
            let push = |mut producer: super::super::mesh_queue::Producer<usize>| {
                let (shared, wakes) = (shared.clone(), wakes.clone());
                thread::spawn(move || {
                    producer.push(1).unwrap();
                    if shared.0.needs_wake() {
                        wakes.fetch_add(1, Ordering::Relaxed);
                        shared.1.ring();
                    }
                })
            };
            let pushing = [push(producers.remove(0)), push(producers.remove(0))];
            shared.1.wait();
            for thread in pushing {
                thread.join().unwrap();
            }
            assert_eq!(wakes.load(Ordering::Relaxed), 1);
            assert!(consumers.iter_mut().all(|c| c.pop().is_some()));
        });
    }
}

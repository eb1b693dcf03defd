//! Owns the counters that the generator's threads share: what was published, what is due, what has come.
//! Never blocks; each counter is added to once per write or read, not once per message.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Counters of one load, since its connections were opened.
#[derive(Debug, Default)]
pub struct Progress {
    published: AtomicU64,
    due: AtomicU64,
    delivered: AtomicU64,
    /// Publishers that have not yet reached their goal.
    publishing: AtomicUsize,
    failed: AtomicBool,
}

impl Progress {
    /// Messages published.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Messages delivered to our subscribers.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Deliveries owed to our subscribers by what was published.
    pub fn due(&self) -> u64 {
        self.due.load(Ordering::Relaxed)
    }

    /// Deliveries due that have not come.
    pub fn outstanding(&self) -> u64 {
        self.due().saturating_sub(self.delivered())
    }

    /// Whether all that was due has come, and nobody publishes any more.
    pub fn drained(&self) -> bool {
        self.publishing.load(Ordering::Acquire) == 0 && self.delivered() >= self.due()
    }

    /// Whether some thread gave up.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Counts messages published, each to be delivered `fan` times.
    pub fn add_published(&self, messages: u64, fan: u64) {
        self.due.fetch_add(messages * fan, Ordering::Relaxed);
        self.published.fetch_add(messages, Ordering::Relaxed);
    }

    /// Counts messages that came in.
    pub fn add_delivered(&self, messages: u64) {
        self.delivered.fetch_add(messages, Ordering::Relaxed);
    }

    /// Announces publishers that are about to begin.
    pub fn begin(&self, publishers: usize) {
        self.publishing.fetch_add(publishers, Ordering::AcqRel);
    }

    /// One publisher reached its goal and has the server's PONG.
    pub fn end_one(&self) {
        self.publishing.fetch_sub(1, Ordering::AcqRel);
    }

    /// Tells the other threads to give up.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

//! placeholder
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
#[derive(Debug)]
pub struct Sleeper(AtomicBool);
impl Sleeper {
    pub fn new() -> Self {
        Sleeper(AtomicBool::new(false))
    }
    pub fn must_wake(&self) -> bool {
        std::sync::atomic::fence(SeqCst);
        self.0.swap(false, SeqCst)
    }
    pub fn declare(&self) {
        self.0.store(true, SeqCst)
    }
    pub fn awake(&self) {
        self.0.store(false, SeqCst)
    }
}

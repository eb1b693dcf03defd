//! The end of a wait, kept in the kernel from one wait to the next: an armed timeout costs nothing while it is early enough,
//! where a time given to each wait costs a timer set and taken back. Never waits itself.

use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types::Timespec};

/// One timeout in the kernel, or none.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// When it goes off. A wait may end by it before its time.
    at: Option<Instant>,
    /// What the kernel copies when the entry is submitted.
    time: Box<Timespec>,
}

impl Alarm {
    /// What to submit so that it goes off within `time`: nothing if it does so anyway. The entry has to be submitted before
    /// the alarm is moved or set again. `own` and `changed` are the completions' `user_data`.
    pub(super) fn within(&mut self, time: Duration, own: u64, changed: u64) -> Option<Entry> {
        let at = Instant::now() + time;
        if self.at.is_some_and(|armed| armed <= at) {
            return None;
        }
        *self.time = Timespec::from(time);
        let entry = match self.at.replace(at) {
            None => opcode::Timeout::new(&*self.time).build().user_data(own),
            // Where it has just gone off its own completion says so, and the next wait sets it anew.
            Some(_) => opcode::TimeoutUpdate::new(own, &*self.time)
                .build()
                .flags(Flags::SKIP_SUCCESS)
                .user_data(changed),
        };
        Some(entry)
    }

    /// Its completion came.
    pub(super) fn went_off(&mut self) {
        self.at = None;
    }
}

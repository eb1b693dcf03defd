//! Owns the progress bar. Never slows what it shows: it looks ten times a second from a thread of its own.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::flags::{self, Options};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs `work` with a bar from 0 to `total` that follows `position`; without one where nobody would see it.
pub fn with_bar<T>(
    options: &Options,
    total: u64,
    position: impl Fn() -> u64 + Sync,
    work: impl FnOnce() -> T,
) -> T {
    if options.has(&flags::NO_PROGRESS) || !std::io::stderr().is_terminal() {
        return work();
    }
    let bar = ProgressBar::new(total).with_style(style());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                bar.set_position(position());
                std::thread::park_timeout(LOOK_EVERY);
            }
            bar.finish_and_clear();
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        result
    })
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
        .expect("the template is right")
}

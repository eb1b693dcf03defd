//! The log: the backend of the `log` crate's macros. Callers hand over a line and go on; one thread writes.
//! Never blocks a caller on I/O, and never loses a line silently: what does not fit is counted and told.
//!
//! Levels are the oracle's tags: info `[INF]`, warn `[WRN]`, error `[ERR]`, debug `[DBG]`, trace `[TRC]`, and an
//! error with target [`FATAL`] is `[FTL]`. As there, debug and trace are switched independently of each other.

mod line;
mod sink;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use log::{Level, LevelFilter, Metadata, Record};

use crate::config::Logging;
use line::{Line, Tag};
use sink::Sink;

/// Target of the last error before the process ends: `error!(target: FATAL, …)` is `[FTL]`.
pub const FATAL: &str = "gannet::fatal";

/// Target of traces of the system account: `trace!(target: SYSTEM, …)` is shown with `-VV` only.
pub const SYSTEM: &str = "gannet::trace::system";

/// How long [`Logger::flush`] waits at exit for an output that does not move.
pub const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Lines that wait for the log thread at most.
const QUEUE_LINES_MAX: usize = 8192;

/// Bytes of text that wait for the log thread at most; a single longer line passes when nothing else waits.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that are written at once at most, give or take a line.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// A handle on the log. Clones share one queue and one thread, which ends with the last of them.
#[derive(Clone)]
pub struct Logger {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl Logger {
    /// Opens the log that `logging` asks for and starts its thread.
    ///
    /// # Errors
    /// The log file cannot be opened, with its path in the text; or no thread can be had.
    pub fn start(logging: &Logging) -> io::Result<Logger> {
        let sink = Sink::open(logging, std::process::id())?;
        let (logger, messages) = Logger::queue(logging, QUEUE_LINES_MAX);
        let shared = Arc::clone(&logger.shared);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || run(&messages, sink, &shared))?;
        Ok(logger)
    }

    /// Makes this logger the one behind the `log` crate's macros, and lets a panic be logged as `[FTL]` and flushed
    /// before the process goes. To be called once a process.
    pub fn install(&self) {
        if log::set_logger(Box::leak(Box::new(self.clone()))).is_ok() {
            self.set_max_level();
            let logger = self.clone();
            let printed = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                logger.offer(Tag::Fatal, panic.to_string());
                if thread::current().name() != Some("log") {
                    logger.flush(FLUSH_MAX);
                }
                printed(panic);
            }));
        }
    }

    /// Switches debug and trace as `logging` says; its other fields are not looked at.
    pub fn set_levels(&self, logging: &Logging) {
        self.shared.debug.store(logging.debug, Relaxed);
        self.shared.trace.store(logging.trace, Relaxed);
        self.shared
            .trace_verbose
            .store(logging.trace_verbose, Relaxed);
        self.set_max_level();
    }

    /// Asks for the log file to be opened anew under its name, as SIGUSR1 does; the log tells the outcome.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
        // A full queue means the thread is awake and comes by.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Lets the log go elsewhere from now on: what was logged before still goes where it went.
    pub fn put(&self, output: Prepared) {
        let message = Message::Output(Box::new(output.0));
        if !self.send_until(message, Instant::now() + FLUSH_MAX) {
            log::error!("The log stays where it is: its output does not move");
        }
    }

    /// Waits until all that was logged before is written, at most `patience`. Returns whether it is.
    /// For the end of the process; a shard never calls it.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let (done, wait) = sync_channel(1);
        self.send_until(Message::Flush(done), deadline)
            && wait
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .is_ok()
    }

    fn queue(logging: &Logging, lines_max: usize) -> (Logger, Receiver<Message>) {
        let (queue, messages) = sync_channel(lines_max);
        let logger = Logger {
            queue,
            shared: Arc::default(),
        };
        logger.shared.debug.store(logging.debug, Relaxed);
        logger.shared.trace.store(logging.trace, Relaxed);
        logger
            .shared
            .trace_verbose
            .store(logging.trace_verbose, Relaxed);
        (logger, messages)
    }

    fn set_max_level(&self) {
        log::set_max_level(if self.shared.trace.load(Relaxed) {
            LevelFilter::Trace
        } else if self.shared.debug.load(Relaxed) {
            LevelFilter::Debug
        } else {
            LevelFilter::Info
        });
    }

    fn offer(&self, tag: Tag, text: String) {
        let bytes = text.len();
        let waiting = self.shared.queued_bytes.fetch_add(bytes, Relaxed);
        let message = Message::Line(Line {
            at: Timestamp::now(),
            tag,
            text,
        });
        let taken = match tag {
            // On the way out there is time to wait, and this is the line that matters.
            Tag::Fatal => self.send_until(message, Instant::now() + FLUSH_MAX),
            _ if waiting > 0 && waiting + bytes > QUEUE_BYTES_MAX => false,
            _ => self.queue.try_send(message).is_ok(),
        };
        if !taken {
            self.shared.queued_bytes.fetch_sub(bytes, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
            // So that the loss is told also when the thread had just emptied the queue.
            let _ = self.queue.try_send(Message::Wake);
        }
    }

    fn send_until(&self, mut message: Message, deadline: Instant) -> bool {
        loop {
            match self.queue.try_send(message) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) if Instant::now() < deadline => message = back,
                Err(TrySendError::Full(_)) => return false,
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// An output of the log that has been opened and not been written to yet.
pub struct Prepared(Sink);

impl Prepared {
    /// Opens what `logging` asks for.
    ///
    /// # Errors
    /// The log file cannot be opened, with its path in the text.
    pub fn open(logging: &Logging) -> io::Result<Prepared> {
        Sink::open(logging, std::process::id()).map(Prepared)
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let ours = || target == "gannet" || target.starts_with("gannet::");
        match metadata.level() {
            Level::Error | Level::Warn | Level::Info => true,
            Level::Debug => self.shared.debug.load(Relaxed) && ours(),
            Level::Trace if target == SYSTEM => self.shared.trace_verbose.load(Relaxed),
            Level::Trace => self.shared.trace.load(Relaxed) && ours(),
        }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.offer(
                Tag::of(record.level(), record.target()),
                record.args().to_string(),
            );
        }
    }

    fn flush(&self) {
        Logger::flush(self, FLUSH_MAX);
    }
}

enum Message {
    Line(Line),
    /// Answer when all before is written.
    Flush(SyncSender<()>),
    /// Write there from now on.
    Output(Box<Sink>),
    /// Look at [`Shared`].
    Wake,
}

/// What callers and the log thread share beside the queue.
#[derive(Default)]
struct Shared {
    debug: AtomicBool,
    trace: AtomicBool,
    trace_verbose: AtomicBool,
    /// Text in the queue, bytes.
    queued_bytes: AtomicUsize,
    /// Lines that found no room since this was last told.
    dropped: AtomicU64,
    /// The log file is to be opened anew.
    reopen: AtomicBool,
}

/// The log thread: ends when no logger is left.
fn run(messages: &Receiver<Message>, mut sink: Sink, shared: &Shared) {
    while let Ok(first) = messages.recv() {
        let mut next = Some(first);
        let mut flushed = Vec::new();
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    shared.queued_bytes.fetch_sub(line.text.len(), Relaxed);
                    sink.line(&line);
                }
                Message::Flush(done) => flushed.push(done),
                Message::Output(output) => {
                    sink.flush();
                    sink = *output;
                }
                Message::Wake => {}
            }
            if sink.buffered_bytes() >= BATCH_BYTES_MAX {
                break;
            }
            next = messages.try_recv().ok();
        }
        tell_dropped(&mut sink, shared);
        if shared.reopen.swap(false, Relaxed) {
            sink.reopen();
        }
        sink.flush();
        for done in flushed {
            let _ = done.send(());
        }
    }
}

fn tell_dropped(sink: &mut Sink, shared: &Shared) {
    let dropped = shared.dropped.swap(0, Relaxed);
    if dropped > 0 {
        let text = format!("{dropped} log lines dropped: more came than could be written");
        sink.line(&Line {
            at: Timestamp::now(),
            tag: Tag::Warn,
            text,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use log::Log;
    use std::fs;

    const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

    fn say(logger: &Logger, level: Level, target: &str, text: &str) {
        logger.log(
            &Record::builder()
                .level(level)
                .target(target)
                .args(format_args!("{text}"))
                .build(),
        );
    }

    fn to_file(dir: &tempfile::TempDir) -> Logging {
        Logging {
            file: Some(dir.path().join("log")),
            time: false,
            ..Logging::default()
        }
    }

    fn check_levels(debug: bool, trace: bool, trace_verbose: bool, expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        let logging = Logging {
            debug,
            trace,
            trace_verbose,
            ..to_file(&dir)
        };
        let logger = Logger::start(&logging).unwrap();
        for level in [
            Level::Info,
            Level::Warn,
            Level::Error,
            Level::Debug,
            Level::Trace,
        ] {
            say(&logger, level, "gannet::shard", "own");
            say(&logger, level, "other_crate", "other");
        }
        say(&logger, Level::Error, FATAL, "fatal");
        say(&logger, Level::Trace, SYSTEM, "system");
        assert!(logger.flush(FOREVER));
        let pid = format!("[{}] ", std::process::id());
        expected.assert_eq(
            &fs::read_to_string(dir.path().join("log"))
                .unwrap()
                .replace(&pid, ""),
        );
    }

    #[test]
    fn levels_are_tags() {
        check_levels(
            false,
            false,
            false,
            expect![[r#"
            [INF] own
            [INF] other
            [WRN] own
            [WRN] other
            [ERR] own
            [ERR] other
            [FTL] fatal
        "#]],
        );
    }

    #[test]
    fn trace_does_not_switch_debug_on() {
        check_levels(
            false,
            true,
            false,
            expect![[r#"
            [INF] own
            [INF] other
            [WRN] own
            [WRN] other
            [ERR] own
            [ERR] other
            [TRC] own
            [FTL] fatal
        "#]],
        );
        check_levels(
            true,
            true,
            true,
            expect![[r#"
            [INF] own
            [INF] other
            [WRN] own
            [WRN] other
            [ERR] own
            [ERR] other
            [DBG] own
            [TRC] own
            [FTL] fatal
            [TRC] system
        "#]],
        );
    }

    #[test]
    fn dropped_lines_are_counted_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let (logger, messages) = Logger::queue(&to_file(&dir), 3);
        for number in 0..10 {
            say(&logger, Level::Info, "gannet", &number.to_string());
        }
        let shared = Arc::clone(&logger.shared);
        drop(logger);
        run(&messages, Sink::open(&to_file(&dir), 7).unwrap(), &shared);
        expect![[r#"
            [7] [INF] 0
            [7] [INF] 1
            [7] [INF] 2
            [7] [WRN] 7 log lines dropped: more came than could be written
        "#]]
        .assert_eq(&fs::read_to_string(dir.path().join("log")).unwrap());
    }

    #[test]
    fn an_output_that_does_not_move_blocks_nobody_and_hides_no_loss() {
        use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat, open};
        use std::io::{BufRead, BufReader};
        const LINES: u64 = 20_000;
        let dir = tempfile::tempdir().unwrap();
        let logging = to_file(&dir);
        let path = logging.file.as_deref().unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        // Opened without waiting for the writer, then read like any pipe.
        let pipe = open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        fcntl_setfl(&pipe, OFlags::empty()).unwrap();
        let logger = Logger::start(&logging).unwrap();
        for _ in 0..LINES {
            say(&logger, Level::Info, "gannet", &"x".repeat(100));
        }
        assert!(!logger.flush(Duration::ZERO));
        drop(logger);
        let (mut written, mut dropped) = (0, 0);
        for line in BufReader::new(fs::File::from(pipe)).lines() {
            let line = line.unwrap();
            match line
                .split_once(" [WRN] ")
                .and_then(|(_, text)| text.split_once(" log lines dropped"))
            {
                Some((count, _)) => dropped += count.parse::<u64>().unwrap(),
                None => written += 1,
            }
        }
        assert!(dropped > 0);
        assert_eq!(written + dropped, LINES);
    }

    #[test]
    fn bytes_that_wait_are_bounded() {
        let (logger, messages) = Logger::queue(&Logging::default(), 100);
        let half = "x".repeat(QUEUE_BYTES_MAX / 2 + 1);
        for _ in 0..3 {
            say(&logger, Level::Info, "gannet", &half);
        }
        assert_eq!(logger.shared.queued_bytes.load(Relaxed), half.len());
        assert_eq!(logger.shared.dropped.load(Relaxed), 2);
        let lines = messages
            .try_iter()
            .filter(|message| matches!(message, Message::Line(_)));
        assert_eq!(lines.count(), 1);
    }

    #[test]
    fn a_file_moved_away_is_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let logger = Logger::start(&to_file(&dir)).unwrap();
        say(&logger, Level::Info, "gannet", "before");
        assert!(logger.flush(FOREVER));
        fs::rename(&path, &moved).unwrap();
        logger.reopen();
        assert!(logger.flush(FOREVER));
        say(&logger, Level::Info, "gannet", "after");
        assert!(logger.flush(FOREVER));
        let pid = format!("[{}] ", std::process::id());
        let read = |path| fs::read_to_string(path).unwrap().replace(&pid, "");
        expect![[r#"
            [INF] before
            --
            [INF] File log re-opened
            [INF] after
        "#]]
        .assert_eq(&format!("{}--\n{}", read(&moved), read(&path)));
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_an_error_with_its_path() {
        let logging = Logging {
            file: Some("/nonexistent/dir/log".into()),
            ..Logging::default()
        };
        let error = Logger::start(&logging).map(|_| ()).unwrap_err();
        expect![
            "error opening file: open /nonexistent/dir/log: No such file or directory (os error 2)"
        ]
        .assert_eq(&error.to_string());
    }
}

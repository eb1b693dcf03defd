//! Owns the epoll loop of one generator thread: publishers that write their blob, subscribers that count.
//! Never blocks on a socket and never stops reading a subscriber, so that no server has reason to cut one.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;

use super::blob::Blob;
use super::conn::{ANSWER_SECONDS_MAX, Conn};
use super::progress::Progress;

const READ_BYTES: usize = 256 << 10;
const TURN_BYTES_MIN: usize = 64 << 10;
const TURN_BYTES_MAX: usize = 256 << 10;
const EVENTS_MAX: usize = 1024;
/// How long the loop may sleep before it looks at what other threads did.
const NAP: Duration = Duration::from_millis(5);

/// The same while a window that other threads open may be closed.
const LOOK_AT_OTHERS: Duration = Duration::from_micros(20);

/// When a phase is over.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// The publishers of all threads have published this many together, each its share; all is delivered.
    All(u64),
    /// It is this late; all that was published is delivered.
    Until(Instant),
    /// Our subscribers have received this many in all, whoever published them.
    Received(u64),
}

/// What bounds the publishers; 0 is no bound.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// Deliveries due and not yet come, over all threads.
    pub outstanding_max: u64,
    /// Messages a second for each publisher.
    pub per_second: f64,
    /// Other threads have a share of the load too: what they receive opens our window.
    pub shared: bool,
}

/// One publishing connection.
#[derive(Debug)]
pub struct Publisher {
    conn: Conn,
    blob: Arc<Blob>,
    fan: u64,
    /// Its part of what all publish.
    pub(super) share: Share,
    /// Bytes of the blob written in this round.
    at: usize,
    /// Frames of the blob wholly written in this round.
    next: usize,
    /// Messages published in this phase.
    published: u64,
    blocked: bool,
    answered: u64,
    window_closed: bool,
    stage: Stage,
}

/// One of so many parts that differ by one at most.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Which.
    pub place: u64,
    /// Of how many.
    pub parts: u64,
}

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share { place: 0, parts: 1 };

    /// How many of `total` are in this part.
    pub fn of(self, total: u64) -> u64 {
        total / self.parts + u64::from(self.place < total % self.parts)
    }
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Stage {
    Publishing,
    /// PING is sent; over when so many PONGs have come.
    Settling {
        pongs: u64,
    },
    Done,
}

impl Publisher {
    /// A publisher of `blob`, each message of which is delivered `fan` times to our own subscribers.
    pub fn new(conn: Conn, blob: Arc<Blob>, fan: u64) -> Publisher {
        Publisher {
            conn,
            blob,
            fan,
            share: Share::WHOLE,
            at: 0,
            next: 0,
            published: 0,
            blocked: false,
            answered: 0,
            window_closed: false,
            stage: Stage::Done,
        }
    }

    fn between_frames(&self) -> bool {
        self.at == self.blob.end_of(self.next)
    }

    /// Answers the server's PINGs where the stream allows it.
    fn answer_pings(&mut self) -> Result<(), String> {
        while self.between_frames() && self.answered < self.conn.skipper.tally().pings {
            self.answered += 1;
            push(&mut self.conn, b"PONG\r\n")?;
        }
        Ok(())
    }

    /// Writes at most `allowed` more messages and about `bytes_max` bytes, to the end of a frame if the socket lets it.
    fn write_frames(&mut self, allowed: u64, bytes_max: usize) -> Result<u64, String> {
        let begun = usize::from(!self.between_frames());
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX).max(begun);
        let last = self.next + allowed.min(self.blob.messages() - self.next);
        let fitting = self.blob.whole_in(self.at + bytes_max).max(self.next + 1);
        let end = self.blob.end_of(last.min(fitting));
        if end > self.at {
            let written = write_some(&mut self.conn, &self.blob.bytes()[self.at..end])?;
            self.blocked = written < end - self.at;
            self.at += written;
        }
        let whole = self.blob.whole_in(self.at);
        let messages = (whole - self.next) as u64;
        self.next = whole;
        if self.next == self.blob.messages() {
            (self.at, self.next) = (0, 0);
        }
        self.published += messages;
        Ok(messages)
    }
}

/// One thread's share of a load.
#[derive(Debug)]
pub struct Driver {
    epoll: OwnedFd,
    publishers: Vec<Publisher>,
    subscribers: Vec<Conn>,
    progress: Arc<Progress>,
    pace: Pace,
    turn_bytes: usize,
    buffer: Vec<u8>,
}

impl Driver {
    /// Takes over connections whose subscriptions are known to the server.
    pub fn new(
        publishers: Vec<Publisher>,
        subscribers: Vec<Conn>,
        progress: Arc<Progress>,
        pace: Pace,
    ) -> Result<Driver, String> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| format!("epoll: {e}"))?;
        let turn_bytes = (1 << 20_usize) / publishers.len().max(1);
        let driver = Driver {
            epoll,
            publishers,
            subscribers,
            progress,
            pace,
            turn_bytes: turn_bytes.clamp(TURN_BYTES_MIN, TURN_BYTES_MAX),
            buffer: vec![0; READ_BYTES],
        };
        driver.register()?;
        Ok(driver)
    }

    /// Runs one phase. On an error the other threads are told to give up.
    pub fn run(&mut self, goal: Goal) -> Result<(), String> {
        let result = self.run_phase(goal);
        if result.is_err() {
            self.progress.fail();
        }
        result
    }

    /// Announces this thread's publishers; all threads must have done so before any runs.
    pub fn begin(&mut self) {
        self.progress.begin(self.publishers.len());
        for publisher in &mut self.publishers {
            publisher.stage = Stage::Publishing;
            publisher.published = 0;
        }
    }

    /// After a phase: asks every subscriber's connection for a PONG, and counts what still came before it.
    pub fn confirm(&mut self) -> Result<(), String> {
        for conn in &mut self.subscribers {
            conn.stream
                .set_nonblocking(false)
                .map_err(|e| e.to_string())?;
            let seen = conn.skipper.tally().messages;
            conn.settle()?;
            let extra = conn.skipper.tally().messages - seen;
            self.progress.add_delivered(extra);
            conn.unblock()?;
        }
        Ok(())
    }

    fn register(&self) -> Result<(), String> {
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        let publishers = self
            .publishers
            .iter()
            .map(|publisher| (&publisher.conn, both));
        let subscribers = self.subscribers.iter().map(|conn| (conn, EventFlags::IN));
        for (index, (conn, flags)) in publishers.chain(subscribers).enumerate() {
            conn.unblock()?;
            epoll::add(
                &self.epoll,
                &conn.stream,
                EventData::new_u64(index as u64),
                flags,
            )
            .map_err(|e| format!("epoll: {e}"))?;
        }
        Ok(())
    }

    fn run_phase(&mut self, goal: Goal) -> Result<(), String> {
        let started = Instant::now();
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut watch = Watch {
            mark: (0, 0),
            since: started,
        };
        loop {
            let now = Instant::now();
            let mut busy = false;
            for index in 0..self.publishers.len() {
                busy |= self.write_turn(index, goal, started, now)?;
            }
            if self.reached(goal) {
                return Ok(());
            }
            self.poll(
                &mut events,
                if busy {
                    Duration::ZERO
                } else {
                    NAP.min(self.gap())
                },
            )?;
            if self.progress.failed() {
                return Err("another thread of the generator failed".to_owned());
            }
            if !matches!(goal, Goal::Received(_)) {
                watch.look(&self.progress, now)?;
            }
        }
    }

    fn reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Received(messages) => self.progress.delivered() >= messages,
            Goal::All(_) | Goal::Until(_) => self.progress.drained(),
        }
    }

    /// How long a publisher that may not write now can sleep.
    fn gap(&self) -> Duration {
        if self.pace.per_second > 0.0 {
            return Duration::from_secs_f64((1.0 / self.pace.per_second).clamp(1e-6, 1.0));
        }
        match self.pace.shared && self.pace.outstanding_max > 0 {
            true => LOOK_AT_OTHERS,
            false => NAP,
        }
    }

    /// One publisher's turn to write. True if it could go on at once.
    fn write_turn(
        &mut self,
        index: usize,
        goal: Goal,
        started: Instant,
        now: Instant,
    ) -> Result<bool, String> {
        let publisher = &mut self.publishers[index];
        if publisher.stage != Stage::Publishing || publisher.blocked {
            return Ok(false);
        }
        publisher.answer_pings()?;
        let left = match goal {
            Goal::All(messages) => publisher.share.of(messages) - publisher.published,
            Goal::Until(end) if now < end => u64::MAX,
            Goal::Until(_) | Goal::Received(_) => 0,
        };
        if left == 0 && publisher.between_frames() {
            let pongs = publisher.conn.skipper.tally().pongs + 1;
            push(&mut publisher.conn, b"PING\r\n")?;
            publisher.stage = Stage::Settling { pongs };
            return Ok(false);
        }
        let room = window_room(
            &self.progress,
            self.pace,
            publisher.fan,
            &mut publisher.window_closed,
        );
        let on_time = rate_room(self.pace.per_second, now - started, publisher.published);
        let allowed = left.min(room).min(on_time);
        let messages = publisher.write_frames(allowed, self.turn_bytes)?;
        self.progress.add_published(messages, publisher.fan);
        Ok(messages > 0 && !publisher.blocked)
    }

    fn poll(&mut self, events: &mut Vec<epoll::Event>, wait: Duration) -> Result<(), String> {
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(format!("epoll: {e}")),
        }
        for event in events.drain(..) {
            let (index, flags) = (event.data.u64() as usize, event.flags);
            match index.checked_sub(self.publishers.len()) {
                Some(subscriber) => self.read_subscriber(subscriber)?,
                None => self.wake_publisher(index, flags)?,
            }
        }
        Ok(())
    }

    fn read_subscriber(&mut self, index: usize) -> Result<(), String> {
        let conn = &mut self.subscribers[index];
        let before = conn.skipper.tally();
        read_some(conn, &mut self.buffer).map_err(|e| format!("subscriber {index}: {e}"))?;
        let after = conn.skipper.tally();
        for _ in before.pings..after.pings {
            push(conn, b"PONG\r\n")?;
        }
        self.progress
            .add_delivered(after.messages - before.messages);
        Ok(())
    }

    fn wake_publisher(&mut self, index: usize, flags: EventFlags) -> Result<(), String> {
        let publisher = &mut self.publishers[index];
        if flags.contains(EventFlags::OUT) {
            publisher.blocked = false;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            while read_some(&mut publisher.conn, &mut self.buffer)
                .map_err(|e| format!("publisher {index}: {e}"))?
                > 0
            {}
        }
        publisher.answer_pings()?;
        if let Stage::Settling { pongs } = publisher.stage
            && publisher.conn.skipper.tally().pongs >= pongs
        {
            publisher.stage = Stage::Done;
            self.progress.end_one();
        }
        Ok(())
    }
}

/// Notices when nothing moves any more.
struct Watch {
    mark: (u64, u64),
    since: Instant,
}

impl Watch {
    fn look(&mut self, progress: &Progress, now: Instant) -> Result<(), String> {
        let mark = (progress.published(), progress.delivered());
        if mark != self.mark {
            *self = Watch { mark, since: now };
        } else if now.saturating_duration_since(self.since).as_secs() > ANSWER_SECONDS_MAX {
            return Err(format!(
                "nothing moved for {ANSWER_SECONDS_MAX} s: {} of {} deliveries came",
                progress.delivered(),
                progress.due()
            ));
        }
        Ok(())
    }
}

/// How many messages a paced publisher may write by now.
fn rate_room(per_second: f64, elapsed: Duration, published: u64) -> u64 {
    match per_second > 0.0 {
        true => ((elapsed.as_secs_f64() * per_second) as u64 + 1).saturating_sub(published),
        false => u64::MAX,
    }
}

/// How many messages a publisher may write now. A full window opens again only when half of it is free:
/// opened bit by bit, it would starve the server into tiny reads.
fn window_room(progress: &Progress, pace: Pace, fan: u64, closed: &mut bool) -> u64 {
    if pace.outstanding_max == 0 || fan == 0 {
        return u64::MAX;
    }
    let free = pace.outstanding_max.saturating_sub(progress.outstanding());
    let room = free / fan;
    *closed = if *closed {
        free < pace.outstanding_max.div_ceil(2)
    } else {
        room == 0
    };
    match *closed {
        true if free < pace.outstanding_max => 0,
        _ => room.max(1),
    }
}

/// Writes what the socket takes.
fn write_some(conn: &mut Conn, bytes: &[u8]) -> Result<usize, String> {
    match conn.stream.write(bytes) {
        Ok(written) => Ok(written),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(e) => Err(format!(
            "the server does not take what a publisher writes: {e}"
        )),
    }
}

/// Writes a few bytes of protocol whole; a full socket is waited for.
fn push(conn: &mut Conn, mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        let written = write_some(conn, bytes)?;
        bytes = &bytes[written..];
        if written == 0 {
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// Reads what is there, at most one buffer; 0 when nothing is. The end of the stream is an error.
fn read_some(conn: &mut Conn, buffer: &mut [u8]) -> Result<usize, String> {
    match conn.stream.read(buffer) {
        Ok(0) => Err("cut off by the server".to_owned()),
        Ok(n) => conn
            .skipper
            .feed(&buffer[..n])
            .map(|()| n)
            .map_err(|fault| fault.to_string()),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(e) => Err(format!("cut off by the server: {e}")),
    }
}

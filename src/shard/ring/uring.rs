//! The ring over io_uring, the one gannet is optimised for: multishot receive with provided
//! buffers, one send in flight a connection, messages from ring to ring as wakes. Never looks into the
//! bytes.
//!
//! Every operation in the kernel stands in a slab, and its key goes with it as `user_data`; the slab owns
//! what the kernel reads from until the last completion is seen. A completion queue that is full loses
//! nothing: the kernel keeps the rest (NODROP is required) and gives it out at the next turn.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs};
use io_uring::{IoUring, cqueue, opcode};
use rustix::event::epoll::{self, EventData, EventFlags};
use slab::Slab;

use self::alarm::Alarm;
use self::buffers::{GENERAL, GREEDY, ReceiveBuffers};
use self::setup::{Features, SetupError};
use self::starved::Starved;
use super::fd::{borrow, send_now, shut_and_close};
use super::handles::{PeerHandle, Waker};
use super::listeners::{Listeners, accept_some};
use super::probe::Refusal;
use super::{BufferId, Event, LARGE_BYTES, ReceiveEnd, Ring, RingOptions, Token, Wait};
use crate::broker::outbox::Chunk;

mod alarm;
mod buffers;
pub mod setup;
mod starved;

/// `user_data` that is no key of the slab: a peer's message, the polls of the eventfd and of the listeners, a cancel, a failed
/// message to the peer in the low bits.
const WOKEN: u64 = u64::MAX;
const WAKER_POLL: u64 = u64::MAX - 1;
const CANCEL: u64 = u64::MAX - 2;
const DOORS_POLL: u64 = u64::MAX - 3;
const ALARM: u64 = u64::MAX - 4;
const WAKE_FAILED: u64 = 1 << 63;

/// `io_uring_enter` flags of linux/io_uring.h.
const ENTER_GETEVENTS: u32 = 1;
const ENTER_NO_IOWAIT: u32 = 128;

/// A shard's access to the kernel by io_uring. Lives and dies on the shard's thread.
///
/// Invariants: an operation is in `operations` exactly while a completion of it is to come, or while it
/// waits for a buffer in `starved`; `receives[fd]` is the receive that goes on for a descriptor not yet
/// given up with `close`.
pub struct UringRing {
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<[ReceiveBuffers; 2]>,
    operations: ManuallyDrop<Slab<Operation>>,
    features: Features,
    /// A second descriptor of the ring, for the peers.
    own: Arc<OwnedFd>,
    waker: Waker,
    peers: Vec<PeerHandle>,
    listeners: Listeners,
    /// An epoll instance that has the listeners that do not rest. The ring polls it instead of them: what a ring polls it
    /// holds, and the kernel ends the rings of a killed process some milliseconds after the process. Until then a port that
    /// a ring holds would be in use.
    doors: OwnedFd,
    doors_armed: bool,
    /// By descriptor: key of the receive, plus one; 0 is none.
    receives: Vec<u32>,
    /// Receives out of the kernel until a buffer is free.
    starved: Starved,
    waker_armed: bool,
    alarm: Alarm,
    /// Shut down and closed as soon as all that was queued before is submitted.
    closing: Vec<RawFd>,
    /// What the submission queue did not take.
    backlog: VecDeque<Entry>,
    /// Events that came about without the kernel.
    ready: Vec<Event>,
    /// What receives of the second group brought in this turn: handed out last.
    late: Vec<Event>,
    /// SINGLE_ISSUER: not to be sent to another thread.
    _thread: PhantomData<*const ()>,
}

/// What is in the kernel, or about to be.
#[derive(Debug)]
enum Operation {
    Receive(Receive),
    Send { conn: Token, chunk: Chunk },
}

#[derive(Debug)]
struct Receive {
    conn: Token,
    fd: RawFd,
    /// In the kernel; else in `starved`.
    armed: bool,
    /// Has received something since it was armed.
    fed: bool,
    /// Has received much, the last time, or all the room there was: receives into the second group when it is armed next.
    greedy: bool,
    /// The group it receives into while it is armed.
    group: u8,
    phase: Phase,
}

/// How a receive goes on when the kernel ends it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Armed again.
    Going,
    /// It ends.
    Stopping,
    /// It ends, and another begins for this token.
    Restarting(Token),
    /// It ends; the descriptor is no longer ours. There is a further `ReceiveEnded` to give if
    /// another receive had been asked for.
    Closed(Option<Token>),
}

impl UringRing {
    /// A ring for the calling thread, with its buffers.
    ///
    /// # Errors
    /// The kernel refuses io_uring, or lacks something that Linux 6.1 has: says what to do about it.
    pub fn new(options: RingOptions) -> Result<UringRing, Refusal> {
        Ok(UringRing::make(options)?)
    }

    fn make(options: RingOptions) -> Result<UringRing, SetupError> {
        let (ring, mut features) = setup::make(options)?;
        let own = Arc::new(duplicate(&ring)?);
        let waker = Waker::new()?;
        let incremental = features.deferred;
        let counts = [options.receive_buffers, options.greedy_buffers]
            .map(|count| [count, options.whole_buffers_min]);
        // SAFETY: `drop` unregisters the buffers when nothing is in flight, or never frees them.
        let buffers =
            unsafe { ReceiveBuffers::register_both(&ring.submitter(), counts, incremental)? };
        features.incremental_buffers = buffers[GENERAL].incremental();
        Ok(UringRing {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            operations: ManuallyDrop::new(Slab::new()),
            features,
            own,
            waker,
            peers: Vec::new(),
            listeners: Listeners::default(),
            doors: epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?,
            doors_armed: false,
            receives: Vec::new(),
            starved: Starved::default(),
            waker_armed: false,
            alarm: Alarm::default(),
            closing: Vec::new(),
            backlog: VecDeque::new(),
            ready: Vec::new(),
            late: Vec::new(),
            _thread: PhantomData,
        })
    }

    /// What this kernel gave.
    pub fn features(&self) -> Features {
        self.features
    }

    /// What the control thread wakes this shard with.
    pub fn wake_handle(&self) -> Waker {
        self.waker.clone()
    }

    /// What the other shards wake this shard with.
    pub fn peer_handle(&self) -> PeerHandle {
        PeerHandle {
            ring: self.features.msg_ring.then(|| self.own.clone()),
            waker: self.waker.clone(),
        }
    }

    /// Tells the ring its peers, by their index; its own stands among them.
    pub fn connect_peers(&mut self, peers: Vec<PeerHandle>) {
        self.peers = peers;
    }
}

impl Ring for UringRing {
    fn accept(&mut self, listener: RawFd) {
        self.listeners.add(listener);
        self.watch_listener(listener);
    }

    fn accept_stop(&mut self, listener: RawFd) {
        if self.listeners.remove(listener) {
            let _ = epoll::delete(&self.doors, borrow(listener));
        }
    }

    fn receive(&mut self, conn: Token, fd: RawFd) {
        let Some(key) = self.receive_of(fd) else {
            return self.begin_receive(conn, fd);
        };
        let receive = self.operations[key].receive();
        assert_eq!(receive.phase, Phase::Stopping, "already receiving");
        receive.phase = Phase::Restarting(conn);
    }

    fn receive_stop(&mut self, conn: Token, fd: RawFd) {
        let Some(key) = self.receive_of(fd) else {
            return;
        };
        let receive = self.operations[key].receive();
        match receive.phase {
            Phase::Restarting(again) => {
                debug_assert_eq!(again, conn);
                receive.phase = Phase::Stopping;
                self.ready.push(ended(conn, ReceiveEnd::Stopped));
            }
            Phase::Going if receive.armed => {
                receive.phase = Phase::Stopping;
                self.cancel(key);
            }
            Phase::Going => self.end_starved(key),
            Phase::Stopping | Phase::Closed(_) => {}
        }
    }

    fn send(&mut self, conn: Token, fd: RawFd, chunk: Chunk) {
        let key = self.operations.insert(Operation::Send { conn, chunk });
        let Operation::Send { chunk, .. } = &self.operations[key] else {
            unreachable!("just inserted");
        };
        let unsent = chunk.unsent();
        debug_assert!(!unsent.is_empty(), "nothing to send");
        let (start, len) = (unsent.as_ptr(), unsent.len() as u32);
        let entry = opcode::Send::new(Fd(fd), start, len)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        self.push(entry.user_data(key as u64));
    }

    fn send_now(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> usize {
        send_now(fd, parts)
    }

    fn close(&mut self, _conn: Token, fd: RawFd) {
        if let Some(key) = self.receive_of(fd) {
            self.receives[fd as usize] = 0;
            let receive = self.operations[key].receive();
            let again = match receive.phase {
                Phase::Restarting(again) => Some(again),
                _ => None,
            };
            receive.phase = Phase::Closed(again);
            if !receive.armed {
                self.end_starved(key);
            }
        }
        self.closing.push(fd);
    }

    fn wake(&mut self, peer: usize) {
        let Some(ring) = &self.peers[peer].ring else {
            return self.peers[peer].waker.wake();
        };
        let entry = opcode::MsgRingData::new(Fd(ring.as_raw_fd()), 0, WOKEN, None).build();
        let entry = entry
            .flags(Flags::SKIP_SUCCESS)
            .user_data(WAKE_FAILED | peer as u64);
        self.push(entry);
    }

    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        self.arm_again();
        if !self.closing.is_empty() {
            self.submit()?;
        }
        let wait = if self.ready.is_empty() && !self.starved.any() {
            wait
        } else {
            Wait::No
        };
        events.append(&mut self.ready);
        self.enter(wait)?;
        self.reap(events);
        Ok(())
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.submit_queued()? {
            self.closing.drain(..).for_each(shut_and_close);
        }
        Ok(())
    }

    fn buffer(&self, id: &BufferId) -> &[u8] {
        self.buffers[ReceiveBuffers::group_of(id)].bytes(id)
    }

    fn recycle(&mut self, id: BufferId) {
        self.buffers[ReceiveBuffers::group_of(&id)].recycle(id);
    }
}

/// Submitting and waiting.
impl UringRing {
    /// Queues an entry; a full queue is submitted first.
    fn push(&mut self, entry: Entry) {
        if !self.backlog.is_empty() || !self.try_push(&entry) {
            self.backlog.push_back(entry);
        }
    }

    fn try_push(&mut self, entry: &Entry) -> bool {
        // SAFETY: what an entry points to (a chunk's bytes, the provided buffers) is owned by the slab or
        // by `buffers` until the operation's last completion; descriptors are open until submitted.
        if unsafe { self.ring.submission().push(entry) }.is_ok() {
            return true;
        }
        if self.ring.submit().is_err() {
            return false;
        }
        // SAFETY: as above.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// Submits what is queued. False: the kernel takes no more until completions are taken or memory is
    /// there; what is left stays queued.
    fn submit_queued(&mut self) -> io::Result<bool> {
        loop {
            while let Some(entry) = self.backlog.pop_front() {
                if !self.try_push(&entry) {
                    self.backlog.push_front(entry);
                    return Ok(false);
                }
            }
            if self.ring.submission().is_empty() {
                return Ok(true);
            }
            if let Err(error) = self.ring.submit() {
                match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EBUSY | libc::EAGAIN) => return Ok(false),
                    _ => return Err(error),
                }
            }
        }
    }

    /// Submits, and waits as told unless there are completions.
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        if !self.backlog.is_empty() {
            self.submit_queued()?;
        }
        let submission = self.ring.submission();
        let queued = submission.len() as u32;
        // What only an enter with GETEVENTS brings: deferred work and completions beyond the queue's end.
        let hidden = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        let there = !self.ring.completion().is_empty();
        let result = match wait {
            Wait::For(time) if !there && !time.is_zero() => {
                self.enter_and_wait(self.listeners.bound(time))
            }
            _ if there || self.features.taskrun_flag => {
                if queued == 0 && !hidden {
                    return Ok(());
                }
                self.enter_now(queued)
            }
            _ => self.enter_now(queued),
        };
        match result.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) => Ok(()),
            // The time is over; a signal came; the completions have to be taken first; memory was short
            // for a moment (what was queued stays queued).
            Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN), _)) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    fn enter_now(&self, queued: u32) -> io::Result<usize> {
        let submitter = self.ring.submitter();
        // SAFETY: no argument is passed; for the entries submitted see `try_push`.
        unsafe { submitter.enter::<SubmitArgs>(queued, 0, ENTER_GETEVENTS, None) }
    }

    fn enter_and_wait(&mut self, time: Duration) -> io::Result<usize> {
        if let Some(entry) = self.alarm.within(time, ALARM, CANCEL) {
            self.push(entry);
        }
        let no_iowait = if self.features.no_iowait {
            ENTER_NO_IOWAIT
        } else {
            0
        };
        let queued = self.ring.submission().len() as u32;
        let flags = ENTER_GETEVENTS | no_iowait;
        // SAFETY: no argument is passed; for the entries submitted see `try_push`.
        unsafe {
            self.ring
                .submitter()
                .enter::<SubmitArgs>(queued, 1, flags, None)
        }
    }

    fn cancel(&mut self, key: usize) {
        let entry = opcode::AsyncCancel::new(key as u64).build();
        self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(CANCEL));
    }
}

/// Keeping armed what the kernel ends.
impl UringRing {
    fn arm_again(&mut self) {
        while let Some(listener) = self.listeners.due(Instant::now) {
            self.watch_listener(listener);
        }
        if self.listeners.any() && !mem::replace(&mut self.doors_armed, true) {
            let fd = Fd(self.doors.as_raw_fd());
            let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).build();
            self.push(entry.user_data(DOORS_POLL));
        }
        if !mem::replace(&mut self.waker_armed, true) {
            let fd = Fd(self.waker.fd().as_raw_fd());
            let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32)
                .multi(true)
                .build();
            self.push(entry.user_data(WAKER_POLL));
        }
        if self.starved.any() && self.buffers.iter().all(ReceiveBuffers::any_provided) {
            for key in self.starved.next_portion() {
                self.arm_receive(key);
            }
        }
    }

    fn watch_listener(&mut self, listener: RawFd) {
        let data = EventData::new_u64(listener as u64);
        if let Err(error) = epoll::add(&self.doors, borrow(listener), data, EventFlags::IN) {
            self.listeners.pause(listener);
            self.ready.push(Event::AcceptFailed(error.into()));
        }
    }

    fn begin_receive(&mut self, conn: Token, fd: RawFd) {
        let phase = Phase::Going;
        let receive = Receive {
            conn,
            fd,
            armed: false,
            fed: false,
            greedy: false,
            group: GENERAL as u8,
            phase,
        };
        let key = self.operations.insert(Operation::Receive(receive));
        if self.receives.len() <= fd as usize {
            self.receives.resize(fd as usize + 1, 0);
        }
        self.receives[fd as usize] = key as u32 + 1;
        self.arm_receive(key);
    }

    fn arm_receive(&mut self, key: usize) {
        let receive = self.operations[key].receive();
        let group = if receive.greedy { GREEDY } else { GENERAL };
        receive.armed = true;
        receive.fed = false;
        receive.group = group as u8;
        let entry = opcode::RecvMulti::new(Fd(receive.fd), group as u16).build();
        self.push(entry.user_data(key as u64));
    }

    fn receive_of(&self, fd: RawFd) -> Option<usize> {
        let key = *self.receives.get(fd as usize)?;
        key.checked_sub(1).map(|key| key as usize)
    }

    /// Ends a receive that is not in the kernel.
    fn end_starved(&mut self, key: usize) {
        self.starved.remove(key);
        let mut ready = mem::take(&mut self.ready);
        self.end_receive(key, ReceiveEnd::Stopped, &mut ready);
        self.ready.append(&mut ready);
    }
}

/// Taking completions.
impl UringRing {
    fn reap(&mut self, events: &mut Vec<Event>) {
        let mut woken = false;
        loop {
            // One at a time, so that handling it may use all of self; this costs two plain loads.
            let Some(completion) = self.ring.completion().next() else {
                break;
            };
            let (data, result, flags) = (
                completion.user_data(),
                completion.result(),
                completion.flags(),
            );
            match data {
                WOKEN => woken = true,
                WAKER_POLL => {
                    woken |= result > 0;
                    self.waker_armed = cqueue::more(flags);
                }
                DOORS_POLL => {
                    self.doors_armed = false;
                    self.accept_some(result, events);
                }
                ALARM => self.alarm.went_off(),
                CANCEL => {} // Nothing left to cancel: its last completion comes, or has come.
                failed if failed & WAKE_FAILED != 0 => {
                    // The peer's ring is gone or will not take it: the way that always works.
                    self.peers[(failed & !WAKE_FAILED) as usize].waker.wake();
                }
                key => self.handle(key as usize, result, flags, events),
            }
        }
        if woken {
            events.push(Event::Woken);
        }
        events.append(&mut self.late);
    }

    fn handle(&mut self, key: usize, result: i32, flags: u32, events: &mut Vec<Event>) {
        match &self.operations[key] {
            Operation::Receive(receive) if usize::from(receive.group) == GREEDY => {
                let mut late = mem::take(&mut self.late);
                self.handle_receive(key, result, flags, &mut late);
                self.late = late;
            }
            Operation::Receive(_) => self.handle_receive(key, result, flags, events),
            Operation::Send { .. } => {
                let Operation::Send { conn, chunk } = self.operations.remove(key) else {
                    unreachable!("just looked at");
                };
                let result = counted(result);
                events.push(Event::Sent {
                    conn,
                    chunk,
                    result,
                });
            }
        }
    }

    fn handle_receive(&mut self, key: usize, result: i32, flags: u32, events: &mut Vec<Event>) {
        if let Some(index) = cqueue::buffer_select(flags) {
            let more = cqueue::buffer_more(flags);
            let receive = self.operations[key].receive();
            let buffers = &mut self.buffers[usize::from(receive.group)];
            if result > 0 {
                let (conn, len) = (receive.conn, result as usize);
                let (buffer, full) = buffers.lend(index, len, more);
                (receive.fed, receive.greedy) = (true, full || len >= LARGE_BYTES);
                events.push(Event::Received { conn, buffer, len });
            } else {
                buffers.given_up(index, more);
            }
        }
        if !cqueue::more(flags) {
            self.operations[key].receive().armed = false;
            self.receive_left_the_kernel(key, result, events);
        }
    }

    fn receive_left_the_kernel(&mut self, key: usize, result: i32, events: &mut Vec<Event>) {
        let receive = self.operations[key].receive();
        let end = match result {
            0 => ReceiveEnd::Eof,
            _ if result > 0 || matches!(-result, libc::ENOBUFS | libc::EINTR) => {
                if receive.phase == Phase::Going {
                    return self.starved.push(key, receive.fed);
                }
                ReceiveEnd::Stopped
            }
            _ if result == -libc::ECANCELED && receive.phase != Phase::Going => ReceiveEnd::Stopped,
            _ => ReceiveEnd::Failed(io::Error::from_raw_os_error(-result)),
        };
        self.end_receive(key, end, events);
    }

    /// Forgets a receive that is not in the kernel, and begins the next if one was asked for.
    fn end_receive(&mut self, key: usize, end: ReceiveEnd, events: &mut Vec<Event>) {
        let Operation::Receive(receive) = self.operations.remove(key) else {
            unreachable!("a receive");
        };
        if !matches!(receive.phase, Phase::Closed(_)) {
            self.receives[receive.fd as usize] = 0;
        }
        events.push(ended(receive.conn, end));
        match receive.phase {
            Phase::Restarting(again) => self.begin_receive(again, receive.fd),
            Phase::Closed(Some(again)) => events.push(ended(again, ReceiveEnd::Stopped)),
            Phase::Going | Phase::Stopping | Phase::Closed(None) => {}
        }
    }

    /// Connections wait. The kernel would take all of them in one go, however many there are: it is only asked whether
    /// there are any.
    fn accept_some(&mut self, result: i32, events: &mut Vec<Event>) {
        if result == -libc::ECANCELED {
            return;
        }
        if result < 0 {
            events.push(Event::AcceptFailed(io::Error::from_raw_os_error(-result)));
        }
        for at in 0..self.listeners.len() {
            if let Some(listener) = self.listeners.awake(at)
                && accept_some(&mut self.listeners, listener, events)
            {
                let _ = epoll::delete(&self.doors, borrow(listener));
            }
        }
    }
}

impl Operation {
    fn receive(&mut self) -> &mut Receive {
        match self {
            Operation::Receive(receive) => receive,
            other => panic!("not a receive: {other:?}"),
        }
    }
}

fn ended(conn: Token, end: ReceiveEnd) -> Event {
    Event::ReceiveEnded { conn, end }
}

fn counted(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn duplicate(ring: &IoUring) -> io::Result<OwnedFd> {
    let fd: BorrowedFd<'_> = borrow(ring.as_raw_fd());
    fd.as_fd().try_clone_to_owned()
}

impl Drop for UringRing {
    /// Ends everything in the kernel before the memory it works on is freed; what will not end keeps it.
    fn drop(&mut self) {
        let _ = self.submit();
        let idle = self.end_all().is_ok()
            && self
                .buffers
                .iter()
                .all(|group| group.unregister(&self.ring.submitter()).is_ok());
        // SAFETY: none of the three is used after this.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        if idle {
            // SAFETY: as above, and the kernel has nothing in flight: nothing points into them.
            unsafe {
                ManuallyDrop::drop(&mut self.operations);
                ManuallyDrop::drop(&mut self.buffers);
            }
        }
    }
}

impl UringRing {
    /// Cancels everything in flight and takes the last completions.
    fn end_all(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        self.listeners = Listeners::default();
        loop {
            let everything = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
            self.push(everything.flags(Flags::SKIP_SUCCESS).user_data(CANCEL));
            self.enter(Wait::For(Duration::from_millis(100)))?;
            self.reap(&mut events);
            for event in events.drain(..) {
                match event {
                    Event::Received { buffer, .. } => self.recycle(buffer),
                    Event::Accepted { fd, .. } => shut_and_close(fd),
                    _ => {}
                }
            }
            let in_kernel =
                |(_, o): (usize, &Operation)| !matches!(o, Operation::Receive(r) if !r.armed);
            if !self.waker_armed && !self.doors_armed && !self.operations.iter().any(in_kernel) {
                return Ok(());
            }
        }
    }
}

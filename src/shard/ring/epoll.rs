//! The ring over epoll: the fallback where io_uring is refused. Receives and sends with plain system
//! calls. Never looks into the bytes.
//!
//! Sockets are registered once, edge-triggered, so that no system call is spent on stopping and starting. Who has
//! something to read stands in a queue and takes turns; who had more than a buffer holds stands in a second one, and those
//! together read at most `REST_READS_A_TURN` buffers a turn: however fast they send, everybody else goes before them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::fd::{borrow, send_now, shut_and_close};
use super::handles::{PeerHandle, Waker};
use super::listeners::{self, Listeners};
use super::{BufferId, Event, RECEIVE_BUFFER_BYTES, ReceiveEnd, Ring, RingOptions, Token, Wait};
use crate::broker::outbox::Chunk;

/// How many buffers may be filled in a turn by those who had more than one holds.
const REST_READS_A_TURN: usize = 4;

/// Readiness taken from the kernel a turn.
const READINESS_A_TURN: usize = 1024;

/// `EventData` of the eventfd; everything else is a descriptor, listeners with [`LISTENER_BIT`].
const WAKER_DATA: u64 = u64::MAX;
const LISTENER_BIT: u64 = 1 << 32;

/// A shard's access to the kernel by epoll.
///
/// Invariant: a buffer is either in `free` or lent.
pub struct EpollRing {
    epoll: OwnedFd,
    readiness: Vec<epoll::Event>,
    connections: Vec<Connection>,
    /// Descriptors with `queued` set, in turn; may hold some that are so no more.
    readable: VecDeque<RawFd>,
    /// The same of those whose last read filled a buffer.
    rest: VecDeque<RawFd>,
    listeners: Listeners,
    buffers: Box<[u8]>,
    free: Vec<u16>,
    /// Events that came about without the kernel's readiness.
    ready: Vec<Event>,
    /// Shut down and closed when this turn is over: who sees that finds what the turn has told other shards.
    closing: Vec<RawFd>,
    waker: Waker,
    peers: Vec<PeerHandle>,
}

/// What the ring knows of a descriptor.
#[derive(Default)]
struct Connection {
    registered: bool,
    receiving: Option<Token>,
    /// There may be something to read.
    readable: bool,
    /// The peer has closed or the socket has failed: a short read is not the end of it.
    hung_up: bool,
    queued: bool,
    sending: Option<(Token, Chunk)>,
}

impl EpollRing {
    /// A ring with its buffers.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new(options: RingOptions) -> io::Result<EpollRing> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let waker = Waker::new()?;
        // Edge-triggered: each write to the eventfd is told once, nobody reads it.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, waker.fd(), EventData::new_u64(WAKER_DATA), flags)?;
        // Each receive takes a whole one.
        let count = options.receive_buffers.max(options.whole_buffers_min);
        Ok(EpollRing {
            epoll,
            readiness: Vec::with_capacity(READINESS_A_TURN),
            connections: Vec::new(),
            readable: VecDeque::new(),
            rest: VecDeque::new(),
            listeners: Listeners::default(),
            buffers: vec![0; usize::from(count) * RECEIVE_BUFFER_BYTES].into_boxed_slice(),
            free: (0..count).rev().collect(),
            ready: Vec::new(),
            closing: Vec::new(),
            waker,
            peers: Vec::new(),
        })
    }

    /// What the control thread wakes this shard with.
    pub fn wake_handle(&self) -> Waker {
        self.waker.clone()
    }

    /// What the other shards wake this shard with.
    pub fn peer_handle(&self) -> PeerHandle {
        PeerHandle {
            ring: None,
            waker: self.waker.clone(),
        }
    }

    /// Tells the ring its peers, by their index; its own stands among them.
    pub fn connect_peers(&mut self, peers: Vec<PeerHandle>) {
        self.peers = peers;
    }
}

impl Ring for EpollRing {
    fn accept(&mut self, listener: RawFd) {
        self.listeners.add(listener);
        self.watch_listener(listener);
    }

    fn accept_stop(&mut self, listener: RawFd) {
        if self.listeners.remove(listener) {
            let _ = epoll::delete(&self.epoll, borrow(listener));
        }
    }

    fn receive(&mut self, conn: Token, fd: RawFd) {
        self.register(fd);
        let connection = connection(&mut self.connections, fd);
        assert!(connection.receiving.is_none(), "already receiving");
        connection.receiving = Some(conn);
        self.enqueue(fd);
    }

    fn receive_stop(&mut self, conn: Token, fd: RawFd) {
        let connection = connection(&mut self.connections, fd);
        if connection
            .receiving
            .take_if(|token| *token == conn)
            .is_some()
        {
            self.ready.push(ended(conn, ReceiveEnd::Stopped));
        }
    }

    fn send(&mut self, conn: Token, fd: RawFd, chunk: Chunk) {
        let connection = connection(&mut self.connections, fd);
        assert!(connection.sending.is_none(), "a send is in flight");
        match try_send(fd, &chunk) {
            Err(Errno::AGAIN) => {
                connection.sending = Some((conn, chunk));
                self.register(fd);
            }
            result => self.ready.push(sent(conn, chunk, result)),
        }
    }

    fn send_now(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> usize {
        send_now(fd, parts)
    }

    fn close(&mut self, _conn: Token, fd: RawFd) {
        let connection = mem::take(connection(&mut self.connections, fd));
        if connection.registered {
            let _ = epoll::delete(&self.epoll, borrow(fd));
        }
        if let Some((token, chunk)) = connection.sending {
            self.ready.push(sent(token, chunk, Err(Errno::PIPE)));
        }
        if let Some(token) = connection.receiving {
            self.ready.push(ended(token, ReceiveEnd::Stopped));
        }
        self.closing.push(fd);
    }

    fn wake(&mut self, peer: usize) {
        self.peers[peer].waker.wake();
    }

    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        self.closing.drain(..).for_each(shut_and_close);
        self.resume_listeners();
        let timeout = self.timeout(wait);
        events.append(&mut self.ready);
        self.take_readiness(timeout, events)?;
        self.receive_in_turn(events);
        Ok(())
    }

    fn submit(&mut self) -> io::Result<()> {
        Ok(()) // Everything is done at once.
    }

    fn buffer(&self, id: &BufferId) -> &[u8] {
        &self.buffers[id.0 as usize * RECEIVE_BUFFER_BYTES..][..RECEIVE_BUFFER_BYTES]
    }

    fn recycle(&mut self, id: BufferId) {
        let index = u16::try_from(id.0).expect("a buffer of this ring");
        debug_assert!(!self.free.contains(&index), "a buffer given back twice");
        self.free.push(index);
    }
}

impl EpollRing {
    fn timeout(&self, wait: Wait) -> Duration {
        let waiting = !self.readable.is_empty() || !self.rest.is_empty();
        let can_read = waiting && !self.free.is_empty();
        match wait {
            Wait::For(time) if self.ready.is_empty() && !can_read => self.listeners.bound(time),
            _ => Duration::ZERO,
        }
    }

    /// Asks the kernel who is ready: marks connections, accepts, resumes sends.
    fn take_readiness(&mut self, timeout: Duration, events: &mut Vec<Event>) -> io::Result<()> {
        let mut readiness = mem::take(&mut self.readiness);
        readiness.clear();
        let timeout = timeout.try_into().ok();
        let waited = epoll::wait(
            &self.epoll,
            spare_capacity(&mut readiness),
            timeout.as_ref(),
        );
        let mut woken = false;
        for event in &readiness {
            let (data, flags) = (event.data.u64(), event.flags);
            if data == WAKER_DATA {
                woken = true;
            } else if data & LISTENER_BIT != 0 {
                self.accept_some((data & !LISTENER_BIT) as RawFd, events);
            } else {
                self.note_readiness(data as RawFd, flags, events);
            }
        }
        if woken {
            events.push(Event::Woken);
        }
        self.readiness = readiness;
        match waited {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn note_readiness(&mut self, fd: RawFd, flags: EventFlags, events: &mut Vec<Event>) {
        let connection = connection(&mut self.connections, fd);
        let hung_up = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        connection.hung_up |= flags.intersects(hung_up);
        connection.readable |= flags.intersects(hung_up | EventFlags::IN);
        if let Some((conn, chunk)) = connection.sending.take() {
            match try_send(fd, &chunk) {
                Err(Errno::AGAIN) => connection.sending = Some((conn, chunk)),
                result => events.push(sent(conn, chunk, result)),
            }
        }
        self.enqueue(fd);
    }

    /// Lets each connection that has something to read have its turn.
    fn receive_in_turn(&mut self, events: &mut Vec<Event>) {
        for _ in 0..self.readable.len() {
            // One is left for the others.
            if self.free.len() <= usize::from(!self.rest.is_empty()) {
                break;
            }
            let fd = self.readable.pop_front().expect("so many are there");
            self.receive_some(fd, events);
        }
        for left in (0..REST_READS_A_TURN).rev() {
            if self.free.is_empty() {
                return;
            }
            let Some(fd) = self.rest.pop_front() else {
                return;
            };
            self.receive_some(fd, events);
            // The same goes on: what one peer sent is best handled in one go.
            if left > 0 && self.rest.back() == Some(&fd) {
                self.rest.rotate_right(1);
            }
        }
    }

    /// Reads one buffer at most.
    fn receive_some(&mut self, fd: RawFd, events: &mut Vec<Event>) {
        let connection = connection(&mut self.connections, fd);
        connection.queued = false;
        let (Some(conn), true) = (connection.receiving, connection.readable) else {
            return;
        };
        let &index = self.free.last().expect("seen by the caller");
        let at = usize::from(index) * RECEIVE_BUFFER_BYTES;
        let buffer = &mut self.buffers[at..at + RECEIVE_BUFFER_BYTES];
        let mut filled = false;
        match rustix::io::retry_on_intr(|| {
            rustix::net::recv(borrow(fd), &mut *buffer, RecvFlags::DONTWAIT)
        }) {
            Ok((_, 0)) => {
                connection.receiving = None;
                events.push(ended(conn, ReceiveEnd::Eof));
            }
            Ok((_, len)) => {
                self.free.pop();
                // A short read has emptied the socket, and what comes later is told anew; but the
                // peer's end or an error that was told before is behind it still.
                filled = len == RECEIVE_BUFFER_BYTES;
                connection.readable = filled || connection.hung_up;
                let buffer = BufferId(index.into());
                events.push(Event::Received { conn, buffer, len });
            }
            Err(Errno::AGAIN) => connection.readable = false,
            Err(error) => {
                connection.receiving = None;
                events.push(ended(conn, ReceiveEnd::Failed(error.into())));
            }
        }
        if connection.receiving.is_some() && connection.readable {
            connection.queued = true;
            if filled {
                &mut self.rest
            } else {
                &mut self.readable
            }
            .push_back(fd);
        }
    }

    /// Puts a connection into the queue if it has something to read and is wanted to.
    fn enqueue(&mut self, fd: RawFd) {
        let connection = connection(&mut self.connections, fd);
        if connection.receiving.is_some() && connection.readable && !connection.queued {
            connection.queued = true;
            self.readable.push_back(fd);
        }
    }

    fn register(&mut self, fd: RawFd) {
        let connection = connection(&mut self.connections, fd);
        if mem::replace(&mut connection.registered, true) {
            return;
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if epoll::add(
            &self.epoll,
            borrow(fd),
            EventData::new_u64(fd as u64),
            flags,
        )
        .is_err()
        {
            // Out of watches (fs.epoll.max_user_watches) or memory: the connection fails, by itself.
            connection.registered = false;
            connection.readable = true;
            connection.hung_up = true;
            let _ = rustix::net::shutdown(borrow(fd), rustix::net::Shutdown::Both);
            if let Some((conn, chunk)) = connection.sending.take() {
                self.ready.push(sent(conn, chunk, Err(Errno::NOBUFS)));
            }
        }
    }

    fn accept_some(&mut self, listener: RawFd, events: &mut Vec<Event>) {
        if listeners::accept_some(&mut self.listeners, listener, events) {
            let _ = epoll::delete(&self.epoll, borrow(listener));
        }
    }

    fn resume_listeners(&mut self) {
        while let Some(listener) = self.listeners.due(Instant::now) {
            self.watch_listener(listener);
        }
    }

    fn watch_listener(&mut self, listener: RawFd) {
        let data = EventData::new_u64(listener as u64 | LISTENER_BIT);
        if let Err(error) = epoll::add(&self.epoll, borrow(listener), data, EventFlags::IN) {
            self.listeners.pause(listener);
            self.ready.push(Event::AcceptFailed(error.into()));
        }
    }
}

fn connection(connections: &mut Vec<Connection>, fd: RawFd) -> &mut Connection {
    let index = fd as usize;
    if index >= connections.len() {
        connections.resize_with(index + 1, Connection::default);
    }
    &mut connections[index]
}

fn try_send(fd: RawFd, chunk: &Chunk) -> Result<usize, Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| rustix::net::send(borrow(fd), chunk.unsent(), flags))
}

fn sent(conn: Token, chunk: Chunk, result: Result<usize, Errno>) -> Event {
    let result = result.map_err(Into::into);
    Event::Sent {
        conn,
        chunk,
        result,
    }
}

fn ended(conn: Token, end: ReceiveEnd) -> Event {
    Event::ReceiveEnded { conn, end }
}

//! What every ring of sockets must do, run on io_uring and on epoll with
//! real sockets on the loopback.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use super::epoll::EpollRing;
use super::handles::{PeerHandle, Waker};
use super::uring::UringRing;
use super::{Event, ReceiveEnd, Ring, RingOptions, Token, Wait};
use crate::broker::outbox::{CHUNK_BYTES, Chunk};

/// Longer than any test; nothing may depend on it ending.
const LONG: Wait = Wait::For(Duration::from_secs(3600));

/// A ring as the tests make it.
trait Made: Ring + Sized {
    fn made(options: RingOptions) -> Self;
    fn waker(&self) -> Waker;
    fn handle(&self) -> PeerHandle;
    fn connect(&mut self, peers: Vec<PeerHandle>);
}

impl Made for UringRing {
    fn made(options: RingOptions) -> Self {
        UringRing::new(options).expect("these tests need io_uring")
    }
    fn waker(&self) -> Waker {
        self.wake_handle()
    }
    fn handle(&self) -> PeerHandle {
        self.peer_handle()
    }
    fn connect(&mut self, peers: Vec<PeerHandle>) {
        self.connect_peers(peers);
    }
}

impl Made for EpollRing {
    fn made(options: RingOptions) -> Self {
        EpollRing::new(options).expect("epoll")
    }
    fn waker(&self) -> Waker {
        self.wake_handle()
    }
    fn handle(&self) -> PeerHandle {
        self.peer_handle()
    }
    fn connect(&mut self, peers: Vec<PeerHandle>) {
        self.connect_peers(peers);
    }
}

mod accept;
mod close;
mod receive;
mod send;
mod turns;

use accept::*;
use close::*;
use receive::*;
use send::*;
use turns::*;

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod uring { $(#[test] fn $case() { super::$case::<super::UringRing>(); })* }
        mod epoll { $(#[test] fn $case() { super::$case::<super::EpollRing>(); })* }
    };
}

/// Cases that look at or change what belongs to the whole process run in a process of their own.
macro_rules! conformance_alone {
    ($($case:ident),* $(,)?) => {
        mod uring_alone { $(#[test] fn $case() {
            super::alone(concat!(module_path!(), "::", stringify!($case)), super::$case::<super::UringRing>);
        })* }
        mod epoll_alone { $(#[test] fn $case() {
            super::alone(concat!(module_path!(), "::", stringify!($case)), super::$case::<super::EpollRing>);
        })* }
    };
}

conformance![
    accepts_with_address_and_options,
    stops_accepting,
    receives_what_was_sent_and_then_the_end,
    receives_from_many_connections,
    receives_more_than_the_buffers_hold,
    resumes_when_buffers_come_back,
    lent_bytes_stay_untouched,
    a_fast_peer_starves_nobody,
    fast_peers_share,
    who_says_little_does_not_wait_for_fast_peers,
    a_reset_ends_the_receive,
    stopping_and_receiving_again_loses_nothing,
    receiving_again_before_the_stop_took_effect,
    stopping_for_want_of_buffers,
    stopping_after_the_end_does_nothing,
    sends_to_a_slow_reader_in_parts,
    a_send_to_a_reset_peer_fails,
    sends_what_was_queued_before_close,
    operations_in_flight_end_on_close,
    a_starved_receive_ends_on_close,
    a_number_used_again_is_another_connection,
    is_woken_by_the_waker,
    is_woken_by_peers,
    turns_that_need_not_wait_return,
    turns_wait_as_long_as_told,
    more_operations_than_the_queues_hold,
    a_ring_dropped_with_operations_in_flight,
];

conformance_alone![
    goes_on_accepting_when_descriptors_are_there_again,
    short_connections_leak_nothing,
];

/// Runs a case in a new process: this test binary, told to run only it.
fn alone(path: &str, case: fn()) {
    const CHILD: &str = "GANNET_TEST_ALONE";
    if std::env::var_os(CHILD).is_some() {
        return case();
    }
    let (_crate, name) = path.split_once("::").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "the case did not run: {text}");
}

/// A ring, and its events that nobody has asked for yet.
struct Shard<R> {
    ring: R,
    events: Vec<Event>,
}

impl<R: Made> Shard<R> {
    fn new() -> Self {
        Shard::with(RingOptions::default())
    }

    fn with_buffers(receive_buffers: u16) -> Self {
        let rest = RingOptions::default();
        Shard::with(RingOptions {
            receive_buffers,
            greedy_buffers: receive_buffers,
            whole_buffers_min: receive_buffers,
            ..rest
        })
    }

    fn with(options: RingOptions) -> Self {
        let (ring, events) = (R::made(options), Vec::new());
        Shard { ring, events }
    }

    /// Turns until there is such an event, and takes it out.
    fn next(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            if let Some(at) = self.events.iter().position(&is_it) {
                return self.events.remove(at);
            }
            self.ring.turn(LONG, &mut self.events).unwrap();
        }
    }

    /// Turns until what was queued so far has been done, and nothing more is ready.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.ring.turn(Wait::No, &mut self.events).unwrap();
            thread::yield_now();
        }
    }

    fn accepted(&mut self) -> (RawFd, SocketAddr) {
        match self.next(|event| matches!(event, Event::Accepted { .. })) {
            Event::Accepted { fd, peer, .. } => (fd, peer),
            _ => unreachable!(),
        }
    }

    /// The next received bytes of a connection, or its end; the buffer is given back.
    fn received(&mut self, conn: Token) -> Result<Vec<u8>, ReceiveEnd> {
        let event = self.next(|event| match event {
            Event::Received { conn: c, .. } | Event::ReceiveEnded { conn: c, .. } => *c == conn,
            _ => false,
        });
        match event {
            Event::Received { buffer, len, .. } => {
                assert!(len > 0);
                let bytes = self.ring.buffer(&buffer)[..len].to_vec();
                self.ring.recycle(buffer);
                Ok(bytes)
            }
            Event::ReceiveEnded { end, .. } => Err(end),
            _ => unreachable!(),
        }
    }

    fn received_exactly(&mut self, conn: Token, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend(self.received(conn).expect("not the end yet"));
        }
        assert_eq!(bytes.len(), len);
        bytes
    }

    fn received_to_end(&mut self, conn: Token) -> (Vec<u8>, ReceiveEnd) {
        let mut bytes = Vec::new();
        loop {
            match self.received(conn) {
                Ok(more) => bytes.extend(more),
                Err(end) => return (bytes, end),
            }
        }
    }

    fn sent(&mut self, conn: Token) -> (Chunk, io::Result<usize>) {
        match self.next(|event| matches!(event, Event::Sent { conn: c, .. } if *c == conn)) {
            Event::Sent { chunk, result, .. } => (chunk, result),
            _ => unreachable!(),
        }
    }

    /// Sends to the last byte; counts the parts it took.
    fn send_all(&mut self, conn: Token, fd: RawFd, bytes: &[u8]) -> usize {
        let mut parts = 0;
        for bytes in bytes.chunks(CHUNK_BYTES) {
            let mut chunk = Chunk::filled(bytes);
            while !chunk.unsent().is_empty() {
                self.ring.send(conn, fd, chunk);
                let (back, result) = self.sent(conn);
                (chunk, parts) = (back, parts + 1);
                chunk.advance(result.unwrap());
            }
        }
        parts
    }
}

/// A connection: our end as the shard has it, and the other.
fn pair() -> (RawFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours.into_raw_fd(), peer)
}

/// Bytes in which every place tells itself from its neighbours.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Makes the peer's close a reset.
fn reset(peer: TcpStream) {
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

const A: Token = Token(0xA_0000_0001);
const B: Token = Token(0xB_0000_0007);

/// Receives until all buffers are lent, and returns the events that lent them.
fn exhaust<R: Made>(shard: &mut Shard<R>, peer: &TcpStream) -> Vec<Event> {
    peer.set_nonblocking(true).unwrap();
    let block = pattern(1 << 16);
    let mut quiet = 0;
    let mut lent = Vec::new();
    while quiet < 20 {
        while (&*peer).write(&block).is_ok() {}
        shard.settle();
        quiet = if shard.events.is_empty() {
            quiet + 1
        } else {
            0
        };
        lent.append(&mut shard.events);
    }
    peer.set_nonblocking(false).unwrap();
    assert!(!lent.is_empty());
    assert!(
        lent.iter().all(|e| matches!(e, Event::Received { .. })),
        "{lent:?}"
    );
    lent
}

/// Sends until the kernel takes no more: one send is in flight then.
fn fill<R: Made>(shard: &mut Shard<R>, conn: Token, fd: RawFd) {
    let mut chunk = Chunk::filled(&pattern(CHUNK_BYTES));
    loop {
        shard.ring.send(conn, fd, chunk);
        shard.settle();
        let is_it = |e: &Event| matches!(e, Event::Sent { conn: c, .. } if *c == conn);
        let Some(at) = shard.events.iter().position(is_it) else {
            return;
        };
        let Event::Sent {
            chunk: back,
            result,
            ..
        } = shard.events.remove(at)
        else {
            unreachable!();
        };
        chunk = back;
        chunk.advance(result.unwrap());
        if chunk.unsent().is_empty() {
            chunk = Chunk::filled(&pattern(CHUNK_BYTES));
        }
    }
}

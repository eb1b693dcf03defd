//! What every ring of sockets must do, run on io_uring (plain and incremental buffers) and on epoll with
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

fn accepts_with_address_and_options<R: Made>() {
    let mut shard = Shard::<R>::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    shard.ring.accept(listener.as_raw_fd());
    for _ in 0..100 {
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (fd, address) = shard.accepted();
        assert_eq!(address, peer.local_addr().unwrap());
        let ours = super::fd::borrow(fd);
        assert!(rustix::net::sockopt::tcp_nodelay(ours).unwrap());
        assert!(
            rustix::fs::fcntl_getfl(ours)
                .unwrap()
                .contains(rustix::fs::OFlags::NONBLOCK)
        );
        assert!(
            rustix::io::fcntl_getfd(ours)
                .unwrap()
                .contains(rustix::io::FdFlags::CLOEXEC)
        );
        shard.ring.close(A, fd);
        shard.settle();
        assert_eq!((&peer).read(&mut [0]).unwrap(), 0);
    }
}

fn stops_accepting<R: Made>() {
    let mut shard = Shard::<R>::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    shard.ring.accept(listener.as_raw_fd());
    let _peer = TcpStream::connect(address).unwrap();
    let (fd, _) = shard.accepted();
    shard.ring.close(A, fd);
    shard.ring.accept_stop(listener.as_raw_fd());
    drop(listener);
    shard.settle();
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(shard.events.is_empty(), "{:?}", shard.events);
}

fn receives_what_was_sent_and_then_the_end<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, mut peer) = pair();
    shard.ring.receive(A, fd);
    for len in [1, 2, 100, 70_000] {
        peer.write_all(&pattern(len)).unwrap();
        assert_eq!(shard.received_exactly(A, len), pattern(len));
    }
    peer.write_all(b"last").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let (bytes, end) = shard.received_to_end(A);
    assert_eq!(bytes, b"last");
    assert!(matches!(end, ReceiveEnd::Eof));
    assert_eq!(shard.send_all(A, fd, b"still open"), 1);
    shard.ring.close(A, fd);
    shard.settle();
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"still open");
}

fn receives_from_many_connections<R: Made>() {
    let mut shard = Shard::<R>::new();
    let mut pairs: Vec<_> = (0..200).map(|_| pair()).collect();
    for (i, (fd, _)) in pairs.iter().enumerate() {
        shard.ring.receive(Token(i as u64), *fd);
    }
    for round in 0..3u8 {
        for (i, (_, peer)) in pairs.iter_mut().enumerate() {
            peer.write_all(&[round, i as u8, 7]).unwrap();
        }
        for i in 0..pairs.len() {
            assert_eq!(
                shard.received_exactly(Token(i as u64), 3),
                [round, i as u8, 7]
            );
        }
    }
    for (i, (fd, _)) in pairs.iter().enumerate() {
        shard.ring.close(Token(i as u64), *fd);
    }
    for i in 0..pairs.len() {
        assert!(shard.received(Token(i as u64)).is_err());
    }
}

fn receives_more_than_the_buffers_hold<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(2);
    let (fd, mut peer) = pair();
    let bytes = pattern(5 << 20);
    shard.ring.receive(A, fd);
    let writer = thread::spawn({
        let bytes = bytes.clone();
        move || peer.write_all(&bytes).unwrap()
    });
    let (received, end) = shard.received_to_end(A);
    assert!(received == bytes);
    assert!(matches!(end, ReceiveEnd::Eof));
    writer.join().unwrap();
    shard.ring.close(A, fd);
}

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

fn resumes_when_buffers_come_back<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(4);
    let ((fd, peer), (other, mut other_peer)) = (pair(), pair());
    shard.ring.receive(A, fd);
    shard.ring.receive(B, other);
    let mut lent = exhaust(&mut shard, &peer);
    other_peer.write_all(b"hello").unwrap();
    shard.settle();
    assert!(shard.events.is_empty(), "no buffer, yet {:?}", shard.events);
    shard.events.append(&mut lent);
    peer.shutdown(Shutdown::Write).unwrap();
    while !matches!(shard.received(A), Err(ReceiveEnd::Eof)) {}
    assert_eq!(shard.received_exactly(B, 5), b"hello");
}

fn lent_bytes_stay_untouched<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(4);
    let ((fd, mut peer), (other, mut other_peer)) = (pair(), pair());
    shard.ring.receive(A, fd);
    shard.ring.receive(B, other);
    other_peer.write_all(b"keep me").unwrap();
    let kept = shard.next(|e| matches!(e, Event::Received { conn: B, .. }));
    let Event::Received { buffer, len: 7, .. } = kept else {
        panic!("{kept:?}");
    };
    let bytes = pattern(1 << 20);
    let writer = thread::spawn(move || peer.write_all(&bytes).map(|()| peer).unwrap());
    shard.received_exactly(A, 1 << 20);
    assert_eq!(&shard.ring.buffer(&buffer)[..7], b"keep me");
    shard.ring.recycle(buffer);
    writer.join().unwrap();
}

fn a_fast_peer_starves_nobody<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(2);
    let ((fd, mut peer), (other, mut other_peer)) = (pair(), pair());
    shard.ring.receive(A, fd);
    shard.ring.receive(B, other);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = thread::spawn({
        let (stop, block) = (stop.clone(), pattern(1 << 20));
        move || while !stop.load(Ordering::Relaxed) && peer.write_all(&block).is_ok() {}
    });
    for _ in 0..50 {
        other_peer.write_all(b"x").unwrap();
        let mut got = false;
        while !got {
            shard.ring.turn(LONG, &mut shard.events).unwrap();
            for event in shard.events.drain(..) {
                if let Event::Received { conn, buffer, .. } = event {
                    got |= conn == B;
                    shard.ring.recycle(buffer);
                }
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    shard.ring.close(A, fd);
    shard.settle();
    writer.join().unwrap();
}

fn a_reset_ends_the_receive<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, peer) = pair();
    shard.ring.receive(A, fd);
    shard.settle();
    reset(peer);
    let end = shard.received(A).unwrap_err();
    let ReceiveEnd::Failed(error) = end else {
        panic!("{end:?}");
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    shard.ring.close(A, fd);
    shard.settle();
    assert!(shard.events.is_empty());
}

fn stopping_and_receiving_again_loses_nothing<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(2);
    let (fd, mut peer) = pair();
    let bytes = pattern(3 << 20);
    let writer = thread::spawn({
        let bytes = bytes.clone();
        move || {
            bytes
                .chunks(30_011)
                .for_each(|part| peer.write_all(part).unwrap())
        }
    });
    let (mut received, mut stops) = (Vec::new(), 0);
    let end = loop {
        shard.ring.receive(A, fd);
        match shard.received(A) {
            Ok(part) => received.extend(part),
            Err(end) => break end,
        }
        shard.ring.receive_stop(A, fd);
        let (rest, end) = shard.received_to_end(A);
        received.extend(rest);
        if !matches!(end, ReceiveEnd::Stopped) {
            break end;
        }
        stops += 1;
        shard.settle();
        let late = &shard.events;
        assert!(late.is_empty(), "received after the stop: {late:?}");
    };
    assert!(matches!(end, ReceiveEnd::Eof), "{end:?}");
    assert!(received == bytes && stops > 3);
    writer.join().unwrap();
    shard.ring.close(A, fd);
}

fn receiving_again_before_the_stop_took_effect<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, mut peer) = pair();
    shard.ring.receive(A, fd);
    shard.settle();
    peer.write_all(b"one").unwrap();
    shard.ring.receive_stop(A, fd);
    shard.ring.receive(A, fd);
    peer.write_all(b"two").unwrap();
    let (mut bytes, mut stops) = (Vec::new(), 0);
    while bytes.len() < 6 || stops == 0 {
        match shard.received(A) {
            Ok(more) => bytes.extend(more),
            Err(ReceiveEnd::Stopped) => stops += 1,
            Err(end) => panic!("{end:?}"),
        }
    }
    assert_eq!((&bytes[..], stops), (&b"onetwo"[..], 1));
    shard.ring.receive_stop(A, fd);
    shard.ring.receive(A, fd);
    shard.ring.close(A, fd);
    assert!(shard.received(A).is_err());
    assert!(shard.received(A).is_err());
    shard.settle();
    assert!(shard.events.is_empty());
}

fn stopping_for_want_of_buffers<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(2);
    let (fd, peer) = pair();
    shard.ring.receive(A, fd);
    // What a shard does whose mesh is full: it holds the buffers and stops reading.
    let lent = exhaust(&mut shard, &peer);
    shard.ring.receive_stop(A, fd);
    assert!(matches!(shard.received(A), Err(ReceiveEnd::Stopped)));
    let held: usize = lent
        .iter()
        .map(|e| {
            if let Event::Received { len, .. } = e {
                *len
            } else {
                0
            }
        })
        .sum();
    shard.events.extend(lent);
    assert_eq!(shard.received_exactly(A, held).len(), held);
    shard.settle();
    assert!(shard.events.is_empty());
    shard.ring.receive(A, fd);
    assert!(!shard.received(A).unwrap().is_empty());
}

fn stopping_after_the_end_does_nothing<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, peer) = pair();
    shard.ring.receive_stop(A, fd);
    shard.ring.receive(A, fd);
    drop(peer);
    assert!(matches!(shard.received(A), Err(ReceiveEnd::Eof)));
    shard.ring.receive_stop(A, fd);
    shard.settle();
    shard.ring.close(A, fd);
    shard.settle();
    assert!(shard.events.is_empty(), "{:?}", shard.events);
}

fn sends_to_a_slow_reader_in_parts<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, mut peer) = pair();
    SockRef::from(&super::fd::borrow(fd))
        .set_send_buffer_size(16 << 10)
        .unwrap();
    SockRef::from(&peer).set_recv_buffer_size(16 << 10).unwrap();
    let bytes = pattern(2 << 20);
    let reader = thread::spawn(move || {
        let (mut all, mut part) = (Vec::<u8>::new(), [0u8; 7001]);
        loop {
            match peer.read(&mut part).unwrap() {
                0 => return all,
                n => all.extend(&part[..n]),
            }
            thread::yield_now();
        }
    });
    let parts = shard.send_all(A, fd, &bytes);
    assert!(
        parts > bytes.len() / CHUNK_BYTES,
        "only whole chunks: {parts}"
    );
    shard.ring.close(A, fd);
    shard.settle();
    assert!(reader.join().unwrap() == bytes);
}

fn a_send_to_a_reset_peer_fails<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, peer) = pair();
    reset(peer);
    shard.ring.send(A, fd, Chunk::filled(b"nobody there"));
    let (chunk, result) = shard.sent(A);
    assert_eq!(chunk.unsent(), b"nobody there");
    let kind = result.unwrap_err().kind();
    assert!(matches!(
        kind,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    ));
    shard.ring.close(A, fd);
    shard.settle();
    assert!(shard.events.is_empty());
}

fn sends_what_was_queued_before_close<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, mut peer) = pair();
    shard.ring.receive(A, fd);
    shard.ring.send(A, fd, Chunk::filled(b"-ERR 'bye'\r\n"));
    shard.ring.close(A, fd);
    assert_eq!(shard.sent(A).1.unwrap(), 12);
    assert!(shard.received(A).is_err());
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "-ERR 'bye'\r\n");
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

fn operations_in_flight_end_on_close<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, peer) = pair();
    shard.ring.receive(A, fd);
    fill(&mut shard, A, fd);
    shard.ring.close(A, fd);
    let (chunk, result) = shard.sent(A);
    assert!(result.is_err() && !chunk.unsent().is_empty());
    assert!(shard.received(A).is_err());
    shard.settle();
    assert!(shard.events.is_empty(), "{:?}", shard.events);
    drop(peer);
}

fn a_starved_receive_ends_on_close<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(2);
    let (fd, peer) = pair();
    shard.ring.receive(A, fd);
    let lent = exhaust(&mut shard, &peer);
    shard.ring.close(A, fd);
    assert!(shard.received(A).is_err());
    for event in lent {
        if let Event::Received { buffer, .. } = event {
            shard.ring.recycle(buffer);
        }
    }
    shard.settle();
    assert!(shard.events.is_empty(), "{:?}", shard.events);
}

fn a_number_used_again_is_another_connection<R: Made>() {
    let mut shard = Shard::<R>::new();
    for generation in 0..50 {
        let (old, new) = (Token(2 * generation), Token(2 * generation + 1));
        let (fd, mut peer) = pair();
        shard.ring.receive(old, fd);
        peer.write_all(b"old").unwrap();
        shard.ring.close(old, fd);
        shard.ring.turn(Wait::No, &mut shard.events).unwrap();
        let (fd, mut peer) = pair();
        shard.ring.receive(new, fd);
        peer.write_all(b"new").unwrap();
        assert_eq!(shard.received_exactly(new, 3), b"new");
        while shard.received(old).is_ok() {}
        shard.ring.close(new, fd);
        assert!(shard.received(new).is_err());
    }
}

fn is_woken_by_the_waker<R: Made>() {
    let mut shard = Shard::<R>::new();
    let waker = shard.ring.waker();
    for _ in 0..3 {
        waker.wake(); // Before it sleeps.
        waker.clone().wake();
        shard.next(|event| matches!(event, Event::Woken));
        shard.settle();
        shard.events.clear();
    }
    let (ask, asked) = channel();
    let control = thread::spawn(move || asked.iter().for_each(|()| waker.wake()));
    for _ in 0..1000 {
        ask.send(()).unwrap();
        shard.next(|event| matches!(event, Event::Woken));
    }
    drop(ask);
    control.join().unwrap();
}

fn is_woken_by_peers<R: Made>() {
    let (mut to, mut from): (Vec<_>, Vec<_>) = (0..2).map(|_| channel()).unzip();
    let shard = |index: usize,
                 tell: std::sync::mpsc::Sender<PeerHandle>,
                 heard: std::sync::mpsc::Receiver<PeerHandle>| {
        let mut shard = Shard::<R>::new();
        tell.send(shard.ring.handle()).unwrap();
        let mut peers = vec![shard.ring.handle(), shard.ring.handle()];
        peers[1 - index] = heard.recv().unwrap();
        shard.ring.connect(peers);
        for _ in 0..1000 {
            if index == 0 {
                shard.ring.wake(1);
            }
            shard.next(|event| matches!(event, Event::Woken));
            if index == 1 {
                shard.ring.wake(0);
            }
        }
        shard.ring.submit().unwrap();
        shard.settle();
        assert!(shard.events.is_empty(), "{:?}", shard.events);
    };
    thread::scope(|scope| {
        let (tell, heard) = (to.remove(1), from.remove(0));
        let other = scope.spawn(move || shard(0, tell, heard));
        shard(1, to.remove(0), from.remove(0));
        other.join().unwrap();
    });
}

fn turns_that_need_not_wait_return<R: Made>() {
    let mut shard = Shard::<R>::new();
    for _ in 0..1000 {
        shard.ring.turn(Wait::No, &mut shard.events).unwrap();
    }
    assert!(shard.events.is_empty());
    // An event that is there already ends a wait: this one was made without the kernel.
    let (fd, _peer) = pair();
    shard.ring.receive(A, fd);
    shard.ring.receive_stop(A, fd);
    assert!(shard.received(A).is_err());
}

fn turns_wait_as_long_as_told<R: Made>() {
    let mut shard = Shard::<R>::new();
    shard.settle();
    for wait in [Duration::from_micros(300), Duration::from_millis(30)] {
        let start = Instant::now();
        shard.ring.turn(Wait::For(wait), &mut shard.events).unwrap();
        assert!(shard.events.is_empty() && start.elapsed() >= wait);
    }
}

fn more_operations_than_the_queues_hold<R: Made>() {
    let mut shard = Shard::<R>::with(RingOptions {
        receive_buffers: 4,
        submission_entries: 4,
        completion_entries: 8,
    });
    let pairs: Vec<_> = (0..150).map(|_| pair()).collect();
    for round in 0..3u8 {
        for (i, (fd, peer)) in pairs.iter().enumerate() {
            (&*peer).write_all(&[round, i as u8]).unwrap();
            if round == 0 {
                shard.ring.receive(Token(i as u64), *fd);
            }
            shard
                .ring
                .send(Token(i as u64), *fd, Chunk::filled(&[i as u8, round]));
        }
        for (i, (_, peer)) in pairs.iter().enumerate() {
            assert_eq!(shard.received_exactly(Token(i as u64), 2), [round, i as u8]);
            assert_eq!(shard.sent(Token(i as u64)).1.unwrap(), 2);
            let mut two = [0; 2];
            (&*peer).read_exact(&mut two).unwrap();
            assert_eq!(two, [i as u8, round]);
        }
    }
    for (i, (fd, _)) in pairs.iter().enumerate() {
        shard.ring.close(Token(i as u64), *fd);
    }
    for i in 0..pairs.len() {
        assert!(shard.received(Token(i as u64)).is_err());
    }
}

fn a_ring_dropped_with_operations_in_flight<R: Made>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ((fd, mut peer), (idle, mut idle_peer)) = (pair(), pair());
    let mut shard = Shard::<R>::new();
    shard.ring.accept(listener.as_raw_fd());
    shard.ring.receive(A, fd);
    shard.ring.receive(B, idle);
    fill(&mut shard, A, fd);
    shard.ring.receive_stop(B, idle);
    shard.ring.receive(B, idle);
    drop(shard);
    // Nothing holds the sockets any more: closing them tells the peers.
    super::fd::shut_and_close(fd);
    super::fd::shut_and_close(idle);
    assert_eq!(idle_peer.read(&mut [0]).unwrap(), 0);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn goes_on_accepting_when_descriptors_are_there_again<R: Made>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peers: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut shard = Shard::<R>::new();
    let limit = getrlimit(Resource::Nofile);
    let lowest_free = listener.try_clone().unwrap().as_raw_fd();
    let current = Some(lowest_free as u64 + 1); // One is left.
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    shard.ring.accept(listener.as_raw_fd());
    let (first, _) = shard.accepted();
    for _ in 0..2 {
        let event = shard.next(|_| true);
        let Event::AcceptFailed(error) = event else {
            panic!("{event:?}");
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        shard.settle();
        assert!(shard.events.is_empty(), "no pause: {:?}", shard.events);
    }
    setrlimit(Resource::Nofile, limit).unwrap();
    let fds = [first, shard.accepted().0, shard.accepted().0];
    fds.iter().for_each(|fd| shard.ring.close(A, *fd));
    shard.settle();
    drop(peers);
}

fn short_connections_leak_nothing<R: Made>() {
    let mut shard = Shard::<R>::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    shard.ring.accept(listener.as_raw_fd());
    shard.settle();
    let before = descriptors();
    let clients = thread::spawn(move || {
        for i in 0..10_000 {
            let mut peer = TcpStream::connect(address).unwrap();
            peer.write_all(b"PING").unwrap();
            if i % 3 == 0 {
                reset(peer); // With or without the answer.
            } else {
                let mut answer = Vec::new();
                peer.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"PONG");
            }
        }
    });
    echo_and_close(&mut shard, 10_000);
    clients.join().unwrap();
    shard.settle();
    assert!(shard.events.is_empty(), "{:?}", shard.events);
    assert_eq!(descriptors(), before);
}

/// Answers each connection and closes it, until so many have had all their events.
fn echo_and_close<R: Made>(shard: &mut Shard<R>, connections: usize) {
    let mut fds = Vec::new();
    let (mut ended, mut sends, mut failed) = (0, 0, 0);
    while ended + failed < connections || sends > 0 {
        shard.ring.turn(LONG, &mut shard.events).unwrap();
        for event in std::mem::take(&mut shard.events) {
            match event {
                Event::Accepted { fd, .. } => {
                    shard.ring.receive(Token(fds.len() as u64), fd);
                    fds.push(Some(fd));
                }
                Event::AcceptFailed(_) => failed += 1, // Reset before it was accepted.
                Event::Received { conn, buffer, .. } => {
                    shard.ring.recycle(buffer);
                    if let Some(fd) = fds[conn.0 as usize].take() {
                        shard.ring.send(conn, fd, Chunk::filled(b"PONG"));
                        shard.ring.close(conn, fd);
                        sends += 1;
                    }
                }
                Event::ReceiveEnded { conn, .. } => {
                    ended += 1;
                    if let Some(fd) = fds[conn.0 as usize].take() {
                        shard.ring.close(conn, fd);
                    }
                }
                Event::Sent { .. } => sends -= 1,
                Event::Woken => {}
            }
        }
    }
}

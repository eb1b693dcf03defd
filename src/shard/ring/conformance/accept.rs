//! Cases of accepting: addresses and options, stopping, running out of descriptors, leaks.

use super::super::listeners::PAUSE;
use super::*;

pub(super) fn accepts_with_address_and_options<R: Made>() {
    let mut shard = Shard::<R>::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    shard.ring.accept(listener.as_raw_fd());
    for _ in 0..100 {
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (fd, address) = shard.accepted();
        assert_eq!(address, peer.local_addr().unwrap());
        let ours = super::super::fd::borrow(fd);
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

pub(super) fn stops_accepting<R: Made>() {
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

pub(super) fn goes_on_accepting_when_descriptors_are_there_again<R: Made>() {
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
    let start = Instant::now();
    shard.ring.accept(listener.as_raw_fd());
    let (first, _) = shard.accepted();
    for _ in 0..3 {
        let event = shard.next(|_| true);
        let Event::AcceptFailed(error) = event else {
            panic!("{event:?}");
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    }
    assert!(start.elapsed() >= 2 * PAUSE, "no pause between failures");
    setrlimit(Resource::Nofile, limit).unwrap();
    let fds = [first, shard.accepted().0, shard.accepted().0];
    fds.iter().for_each(|fd| shard.ring.close(A, *fd));
    shard.settle();
    drop(peers);
}

pub(super) fn short_connections_leak_nothing<R: Made>() {
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

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

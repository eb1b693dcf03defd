//! Cases of sending: slow readers, peers that are gone, what is queued at the close.

use super::*;

pub(super) fn sends_to_a_slow_reader_in_parts<R: Made>() {
    let mut shard = Shard::<R>::new();
    let (fd, mut peer) = pair();
    SockRef::from(&super::super::fd::borrow(fd))
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

pub(super) fn a_send_to_a_reset_peer_fails<R: Made>() {
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

pub(super) fn sends_what_was_queued_before_close<R: Made>() {
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

//! Cases of closing: what is in flight comes back, numbers are used again.

use super::*;

pub(super) fn operations_in_flight_end_on_close<R: Made>() {
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

pub(super) fn a_starved_receive_ends_on_close<R: Made>() {
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

pub(super) fn a_number_used_again_is_another_connection<R: Made>() {
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

pub(super) fn a_ring_dropped_with_operations_in_flight<R: Made>() {
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
    super::super::fd::shut_and_close(fd);
    super::super::fd::shut_and_close(idle);
    assert_eq!(idle_peer.read(&mut [0]).unwrap(), 0);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
}

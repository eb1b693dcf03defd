//! Cases of receiving: order, buffers that run out, fairness, ends, stopping and going on.

use super::*;

pub(super) fn receives_what_was_sent_and_then_the_end<R: Made>() {
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

pub(super) fn receives_from_many_connections<R: Made>() {
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

pub(super) fn receives_more_than_the_buffers_hold<R: Made>() {
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

pub(super) fn resumes_when_buffers_come_back<R: Made>() {
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
    let (mut hello, mut ended) = (Vec::new(), false);
    loop {
        for event in std::mem::take(&mut shard.events) {
            match event {
                Event::Received { conn, buffer, len } => {
                    if conn == B {
                        hello.extend_from_slice(&shard.ring.buffer(&buffer)[..len]);
                    }
                    shard.ring.recycle(buffer);
                }
                Event::ReceiveEnded { conn: A, end } => ended = matches!(end, ReceiveEnd::Eof),
                other => panic!("{other:?}"),
            }
        }
        if ended && hello.len() >= 5 {
            break;
        }
        shard.ring.turn(LONG, &mut shard.events).unwrap();
    }
    assert_eq!(hello, b"hello");
}

pub(super) fn lent_bytes_stay_untouched<R: Made>() {
    let mut shard = Shard::<R>::with_buffers(4);
    let ((fd, mut peer), (other, mut other_peer)) = (pair(), pair());
    shard.ring.receive(A, fd);
    shard.ring.receive(B, other);
    other_peer.write_all(b"keep me").unwrap();
    let kept = shard.next(|e| matches!(e, Event::Received { conn: B, .. }));
    let Event::Received { buffer, len: 7, .. } = kept else {
        panic!("{kept:?}");
    };
    const OTHERS: usize = 1 << 20;
    let bytes = pattern(OTHERS);
    let writer = thread::spawn(move || peer.write_all(&bytes).map(|()| peer).unwrap());
    // What is lent is one of several buffers, or keeps the only one from being filled anew: then it stays at a part.
    let (mut len, mut quiet) = (0, 0);
    while len <= 3 * super::super::RECEIVE_BUFFER_BYTES || (len < OTHERS && quiet < 20) {
        shard.settle();
        quiet += 1;
        for event in std::mem::take(&mut shard.events) {
            let Event::Received {
                conn: A,
                buffer,
                len: more,
            } = event
            else {
                panic!("{event:?}");
            };
            shard.ring.recycle(buffer);
            (len, quiet) = (len + more, 0);
        }
    }
    assert_eq!(&shard.ring.buffer(&buffer)[..7], b"keep me");
    shard.ring.recycle(buffer);
    while len < OTHERS {
        len += shard.received(A).expect("not the end yet").len();
    }
    assert_eq!(len, OTHERS);
    writer.join().unwrap();
}

pub(super) fn a_fast_peer_starves_nobody<R: Made>() {
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

/// Peers that have more to send than one turn takes, and one that says little.
struct Crowd<R> {
    shard: Shard<R>,
    fast: Vec<TcpStream>,
    received: Vec<usize>,
    small: TcpStream,
    small_received: usize,
}

impl<R: Made> Crowd<R> {
    fn new(fast: usize) -> Self {
        let mut shard = Shard::<R>::new();
        let mut receive = |conn| {
            let (fd, peer) = pair();
            shard.ring.receive(conn, fd);
            peer
        };
        let small = receive(B);
        let fast: Vec<_> = (0..fast).map(|at| receive(Token(at as u64))).collect();
        for peer in &fast {
            peer.set_nonblocking(true).unwrap();
        }
        Crowd {
            shard,
            received: vec![0; fast.len()],
            fast,
            small,
            small_received: 0,
        }
    }

    /// One turn, in which everybody fast has as much to say as goes into a socket.
    fn turn(&mut self) {
        let block = [b'x'; 1 << 16];
        for peer in &self.fast {
            while (&*peer).write(&block).is_ok() {}
        }
        let shard = &mut self.shard;
        shard.ring.turn(LONG, &mut shard.events).unwrap();
        for event in shard.events.drain(..) {
            if let Event::Received { conn, buffer, len } = event {
                shard.ring.recycle(buffer);
                match conn {
                    B => self.small_received += len,
                    Token(at) => self.received[at as usize] += len,
                }
            }
        }
    }
}

pub(super) fn fast_peers_share<R: Made>() {
    let mut crowd = Crowd::<R>::new(8);
    (0..400).for_each(|_| crowd.turn());
    let received = &crowd.received;
    // Some have less to say at a time, as the kernel gives their sockets less room.
    let mean = received.iter().sum::<usize>() / received.len();
    assert!(
        received.iter().all(|&bytes| bytes > mean / 8),
        "{received:?}"
    );
}

pub(super) fn who_says_little_does_not_wait_for_fast_peers<R: Made>() {
    let mut crowd = Crowd::<R>::new(8);
    // By then each has filled a buffer.
    (0..100).for_each(|_| crowd.turn());
    for round in 1..=50 {
        crowd.small.write_all(b"x").unwrap();
        crowd.turn();
        assert_eq!(crowd.small_received, round);
    }
}

pub(super) fn a_reset_ends_the_receive<R: Made>() {
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

pub(super) fn stopping_and_receiving_again_loses_nothing<R: Made>() {
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

pub(super) fn receiving_again_before_the_stop_took_effect<R: Made>() {
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

pub(super) fn stopping_for_want_of_buffers<R: Made>() {
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

pub(super) fn stopping_after_the_end_does_nothing<R: Made>() {
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

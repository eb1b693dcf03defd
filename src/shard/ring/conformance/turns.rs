//! Cases of turns: wakes, waiting, queues that overflow.

use super::*;

pub(super) fn is_woken_by_the_waker<R: Made>() {
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

pub(super) fn is_woken_by_peers<R: Made>() {
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

pub(super) fn turns_that_need_not_wait_return<R: Made>() {
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

pub(super) fn turns_wait_as_long_as_told<R: Made>() {
    let mut shard = Shard::<R>::new();
    shard.settle();
    for wait in [Duration::from_micros(300), Duration::from_millis(30)] {
        let start = Instant::now();
        shard.ring.turn(Wait::For(wait), &mut shard.events).unwrap();
        assert!(shard.events.is_empty() && start.elapsed() >= wait);
    }
}

pub(super) fn more_operations_than_the_queues_hold<R: Made>() {
    let mut shard = Shard::<R>::with(RingOptions {
        receive_buffers: 4,
        greedy_buffers: 4,
        whole_buffers_min: 4,
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

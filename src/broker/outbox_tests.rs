use super::*;

fn drain(outbox: &mut Outbox, pool: &mut ChunkPool, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = outbox.next(0) {
        let n = chunk.unsent().len().min(step);
        all.extend_from_slice(&chunk.unsent()[..n]);
        assert!(outbox.next(0).is_none(), "one in flight");
        outbox.sent(pool, chunk, n);
    }
    assert_eq!(outbox.pending_bytes(), 0);
    all
}

#[test]
fn keeps_order_over_chunks_and_partial_sends() {
    let mut pool = ChunkPool::default();
    for size in [1usize, 31, 32, 33, 63, 64, 65, 1000, 70_000, 200_000] {
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for i in 0..50usize {
            let part: Vec<u8> = (0..size).map(|b| (b * 7 + i) as u8).collect();
            outbox.push(&mut pool, &part);
            expected.extend(part);
        }
        assert_eq!(outbox.pending_bytes(), expected.len() as u64);
        assert!(
            drain(&mut outbox, &mut pool, 40_000) == expected,
            "size {size}"
        );
    }
}

#[test]
fn a_run_is_prefix_and_tail_for_each_message() {
    let mut pool = ChunkPool::default();
    let prefix = Prefix {
        bytes: b"MSG a 1 ________________________________",
        len: 8,
    };
    for size in [0usize, 5, 29, 40, 90, 5000] {
        let mut bytes = Vec::new();
        let mut messages = Vec::new();
        for _ in 0..300 {
            let tail = bytes.len() as u32;
            bytes.extend(format!("r.{size} {size}\r\n").bytes());
            let body = bytes.len() as u32;
            bytes.extend(std::iter::repeat_n(b'x', size));
            bytes.extend(b"\r\n");
            let reply_len = 2 + size.to_string().len() as u32;
            messages.push(Message {
                tail,
                reply_len,
                body,
                header_len: 0,
                end: bytes.len() as u32,
            });
        }
        let run = Run {
            bytes: &bytes,
            subject: b"a",
            headers: false,
            messages: &messages,
        };
        let mut outbox = Outbox::default();
        outbox.push_run(&mut pool, prefix, &run);
        let one = format!("MSG a 1 r.{size} {size}\r\n{}\r\n", "x".repeat(size));
        assert!(
            drain(&mut outbox, &mut pool, CHUNK_BYTES) == one.repeat(300).into_bytes(),
            "size {size}"
        );
    }
}

#[test]
fn clear_leaves_only_what_is_in_flight() {
    let mut pool = ChunkPool::default();
    let mut outbox = Outbox::default();
    outbox.push(&mut pool, &[1; 100_000]);
    let chunk = outbox.next(0).expect("a chunk waits");
    outbox.clear(&mut pool);
    assert_eq!(outbox.pending_bytes(), chunk.unsent().len() as u64);
    let n = chunk.unsent().len();
    outbox.sent(&mut pool, chunk, n);
    assert_eq!(outbox.pending_bytes(), 0);
    assert!(outbox.next(0).is_none());
}

#[test]
fn the_fewer_have_output_the_more_is_sent_at_once() {
    let (mut pool, mut outbox) = (ChunkPool::default(), Outbox::default());
    let chunk = vec![0; EAGER_BYTES as usize];
    for chunks in 1..=4 {
        outbox.push(&mut pool, &chunk);
        let together = (1..9).find(|others| outbox.is_worth_offering(*others));
        assert_eq!(together, Some(4usize.div_ceil(chunks)));
    }
    let mut small = Outbox::default();
    small.push(&mut pool, &chunk[1..]);
    assert!(!small.is_worth_offering(1_000));
}

#[test]
fn what_the_socket_does_not_take_stays_and_is_not_offered_again() {
    let (mut pool, mut outbox) = (ChunkPool::default(), Outbox::default());
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    outbox.push(&mut pool, &bytes);
    assert!(outbox.is_worth_offering(2));
    let mut taken = Vec::new();
    outbox.offer(&mut pool, |parts| {
        taken.extend(
            parts
                .iter()
                .flat_map(|part| part.iter().copied())
                .take(70_000),
        );
        70_000
    });
    assert_eq!(outbox.pending_bytes(), 130_000);
    assert!(!outbox.is_worth_offering(2));
    while let Some(chunk) = outbox.next(0) {
        taken.extend_from_slice(chunk.unsent());
        let sent = chunk.unsent().len();
        outbox.sent(&mut pool, chunk, sent);
    }
    assert_eq!(taken, bytes);
    outbox.push(&mut pool, &bytes);
    assert!(
        outbox.is_worth_offering(2),
        "after a send by the loop it is"
    );
    outbox.offer(&mut pool, |_| 200_000);
    assert_eq!(outbox.pending_bytes(), 0);
    assert!(outbox.next(0).is_none());
}

#[test]
fn a_large_run_goes_out_from_where_it_is_and_its_rest_in_order() {
    let payload = vec![b'x'; 30_000];
    let mut bytes = b"30000\r\n".to_vec();
    bytes.extend_from_slice(&payload);
    bytes.extend_from_slice(b"\r\n");
    let message = Message {
        tail: 0,
        reply_len: 0,
        body: 7,
        header_len: 0,
        end: bytes.len() as u32,
    };
    let run = Run {
        bytes: &bytes,
        subject: b"a",
        headers: false,
        messages: &[message],
    };
    let prefix = Prefix {
        bytes: b"MSG a 1 ",
        len: 8,
    };
    let whole = [b"+OK\r\nMSG a 1 ", &bytes[..]].concat();
    for taken in [0, 1, 5, 7, 13, 14, 500, whole.len() - 1, whole.len()] {
        let (mut pool, mut outbox) = (ChunkPool::default(), Outbox::default());
        outbox.push(&mut pool, b"+OK\r\n");
        let mut out = Vec::new();
        outbox.push_large(&mut pool, prefix, &run, |parts| {
            out.extend(
                parts
                    .iter()
                    .flat_map(|part| part.iter().copied())
                    .take(taken),
            );
            taken
        });
        assert_eq!(outbox.pending_bytes() as usize, whole.len() - taken);
        while let Some(chunk) = outbox.next(0) {
            out.extend_from_slice(chunk.unsent());
            let sent = chunk.unsent().len();
            outbox.sent(&mut pool, chunk, sent);
        }
        assert_eq!(out, whole, "{taken} taken");
    }
}

#[test]
fn a_pool_gives_back_what_nobody_wants_and_no_more() {
    let mut pool = ChunkPool::default();
    let used: Vec<Chunk> = (0..100).map(|_| pool.take()).collect();
    used.into_iter().for_each(|chunk| pool.give(chunk));
    // All were wanted in this time.
    pool.tend();
    assert_eq!(pool.free.len(), 100);
    // Thirty are wanted in each of these.
    for left in [100 - 64, 30, 30] {
        let used: Vec<Chunk> = (0..30).map(|_| pool.take()).collect();
        used.into_iter().for_each(|chunk| pool.give(chunk));
        pool.tend();
        assert_eq!(pool.free.len(), left);
    }
    for _ in 0..3 {
        pool.tend();
    }
    assert_eq!(pool.free.len(), POOL_CHUNKS_MIN);
}

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

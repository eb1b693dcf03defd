//! A long run to many goes out from one spelling of it: whatever the sockets take, everybody gets the same as one by one.

use std::collections::HashMap;
use std::io::IoSlice;

use super::super::effect::{Batch, ConnId, Outlet};
use super::super::outbox::{FIRST_BYTES, FIRST_OF_BYTES_MAX};
use super::super::run::{Message, Run};
use super::super::{Broker, PendingLimits, ShardPlace};
use crate::proto::handshake::ConnectOptions;

/// The connection that publishes.
const PUBLISHER: ConnId = 0;

/// Sockets that take so many bytes in all, each its own number.
struct Sockets {
    taken: HashMap<ConnId, Vec<u8>>,
    room: Box<dyn Fn(ConnId) -> usize>,
}

impl Outlet for Sockets {
    fn send_now(&mut self, conn: ConnId, parts: &[IoSlice<'_>]) -> usize {
        let taken = self.taken.entry(conn).or_default();
        let room = (self.room)(conn) - taken.len();
        let before = taken.len();
        let bytes = parts.iter().flat_map(|part| part.iter().copied());
        taken.extend(bytes.take(room));
        taken.len() - before
    }
}

/// `sids` subscribe one after another, from connection 1 on; the last takes no headers.
fn broker(sids: &[&str]) -> Broker {
    let place = ShardPlace { index: 0, count: 1 };
    let mut broker = Broker::new(place, PendingLimits::new(1 << 26, true), 7);
    for conn in 0..=sids.len() as ConnId {
        broker.open(conn, 1);
        let options = ConnectOptions {
            verbose: false,
            echo: conn != PUBLISHER,
            ..ConnectOptions::default()
        };
        broker.set_options(conn, conn != sids.len() as ConnId, &options);
    }
    broker
        .subscribe(PUBLISHER, b"a.>", None, b"own", false)
        .expect("a subject");
    for (at, sid) in sids.iter().enumerate() {
        let conn = at as ConnId + 1;
        let pattern: &[u8] = if at % 2 == 0 { b"a.b" } else { b"a.*" };
        broker
            .subscribe(conn, pattern, None, sid.as_bytes(), false)
            .expect("a subject");
    }
    broker
}

/// What connection `conn` got: what its socket took, then what waits.
fn got(broker: &mut Broker, sockets: &mut Sockets, conn: ConnId) -> Vec<u8> {
    let mut all = sockets.taken.remove(&conn).unwrap_or_default();
    while let Some(chunk) = broker.next_chunk(conn) {
        let len = chunk.unsent().len();
        all.extend_from_slice(chunk.unsent());
        broker.chunk_sent(conn, chunk, len);
    }
    all
}

/// Publishes the messages, `together` in one run or each alone, twice; what everybody got.
fn play(
    sids: &[&str],
    tails: &[String],
    headers: bool,
    together: bool,
    room: impl Fn(ConnId) -> usize + 'static,
) -> Vec<String> {
    let mut broker = broker(sids);
    let bytes = tails.concat().into_bytes();
    let mut end = 0;
    let messages: Vec<Message> = tails
        .iter()
        .map(|text| {
            let tail = end;
            end += text.len() as u32;
            let body = tail + text.find("\r\n").expect("a line") as u32 + 2;
            let header_len = if headers { 12 } else { 0 };
            Message {
                tail,
                reply_len: 0,
                body,
                header_len,
                end,
            }
        })
        .collect();
    let mut sockets = Sockets {
        taken: HashMap::new(),
        room: Box::new(room),
    };
    let size = if together { messages.len() } else { 1 };
    for _ in 0..2 {
        for messages in messages.chunks(size) {
            let run = Run {
                bytes: &bytes,
                subject: b"a.b",
                headers,
                messages,
            };
            broker
                .publish(PUBLISHER, &run, &mut sockets)
                .expect("may publish");
        }
    }
    (PUBLISHER..=sids.len() as ConnId)
        .map(|conn| String::from_utf8(got(&mut broker, &mut sockets, conn)).expect("text"))
        .collect()
}

fn check(sids: &[&str], headers: bool, room: fn(ConnId) -> usize) {
    let tail = |n: usize| {
        let payload = "x".repeat(n * 7 % 300);
        let size = payload.len();
        match headers {
            false => format!("{size}\r\n{payload}\r\n"),
            true => format!("12 {}\r\nNATS/1.0\r\n\r\n{payload}\r\n", size + 12),
        }
    };
    let tails: Vec<String> = (0..400).map(tail).collect();
    let all = play(sids, &tails, headers, true, room);
    let alone = play(sids, &tails, headers, false, |_| 0);
    assert_eq!(all[PUBLISHER as usize], "", "no echo");
    assert!(all[1].len() > 2 * 50_000, "long runs");
    for (conn, (all, alone)) in all.iter().zip(&alone).enumerate() {
        assert!(all == alone, "connection {conn} of {sids:?}");
    }
    for (at, sid) in sids.iter().enumerate() {
        let verb = if headers && at + 1 < sids.len() {
            "HMSG"
        } else {
            "MSG"
        };
        assert!(all[at + 1].starts_with(&format!("{verb} a.b {sid} ")));
    }
}

const SIDS: &[&str] = &[
    "1",
    "2",
    "2",
    "10",
    "3",
    "11",
    "a-sid",
    "b-sid",
    "long-long-sid",
];

#[test]
fn sockets_take_everything() {
    check(SIDS, false, |_| usize::MAX);
    check(SIDS, true, |_| usize::MAX);
}

#[test]
fn sockets_take_a_part() {
    check(SIDS, false, |conn| conn as usize * 20_001);
    check(SIDS, true, |conn| conn as usize * 20_001);
}

#[test]
fn sockets_take_nothing() {
    check(SIDS, false, |_| 0);
}

#[test]
fn a_maximum_is_kept() {
    let mut broker = broker(&["1", "2", "3", "4", "5", "6"]);
    broker.unsubscribe(3, b"3", Some(7));
    let text = format!("1000\r\n{}\r\n", "y".repeat(1000));
    let bytes = text.repeat(100).into_bytes();
    let step = text.len() as u32;
    let messages: Vec<Message> = (0..100)
        .map(|n| Message {
            tail: n * step,
            reply_len: 0,
            body: n * step + 6,
            header_len: 0,
            end: (n + 1) * step,
        })
        .collect();
    let run = Run {
        bytes: &bytes,
        subject: b"a.b",
        headers: false,
        messages: &messages,
    };
    let mut sockets = Sockets {
        taken: HashMap::new(),
        room: Box::new(|_| usize::MAX),
    };
    broker
        .publish(PUBLISHER, &run, &mut sockets)
        .expect("may publish");
    let count = |text: Vec<u8>| memchr::memmem::find_iter(&text, b"MSG a.b ").count();
    assert_eq!(count(got(&mut broker, &mut sockets, 2)), 100);
    assert_eq!(count(got(&mut broker, &mut sockets, 3)), 7);
}

/// What the sockets have got before the turn ends that so many bytes came in, and after it had so many from another shard.
fn early(sids: &[&str], came: usize, from_shard: usize) -> usize {
    let mut broker = broker(sids);
    let mut sockets = Sockets {
        taken: HashMap::new(),
        room: Box::new(|_| usize::MAX),
    };
    broker.begin_turn(came);
    let batch = Batch {
        bytes: vec![0; from_shard],
        ..Batch::default()
    };
    broker.apply(0, &batch, &mut sockets);
    let text = format!("100\r\n{}\r\n", "y".repeat(100));
    let message = Message {
        tail: 0,
        reply_len: 0,
        body: 5,
        header_len: 0,
        end: text.len() as u32,
    };
    let run = Run {
        bytes: text.as_bytes(),
        subject: b"a.b",
        headers: false,
        messages: &[message],
    };
    for _ in 0..60 {
        broker
            .publish(PUBLISHER, &run, &mut sockets)
            .expect("may publish");
    }
    sockets.taken.values().map(Vec::len).sum()
}

#[test]
fn the_first_goes_out_early_where_little_came() {
    let delivery = "MSG a.b 1 100\r\n".len() + 102;
    let first = (FIRST_BYTES as usize).div_ceil(delivery) * delivery;
    assert_eq!(early(&["1"], 60 * 112, 0), first, "once a turn");
    assert_eq!(early(&["1"], FIRST_OF_BYTES_MAX + 1, 0), 0);
    assert_eq!(early(&["1"], 100, FIRST_OF_BYTES_MAX), 0);
    assert_eq!(early(&["1", "2"], 60 * 112, 0), 0, "others wait as well");
}

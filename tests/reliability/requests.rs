//! A million requests that nobody answers leave nothing behind, whichever way they end: their subjects for answers go when
//! the answer comes, when nobody listens for it any more, and when it is too late.

use std::io::Read;

use gannet::broker::Broker;
use gannet::broker::effect::ConnId;
use gannet::broker::run::{Message, Run};

use super::client::Client;
use super::counters::{Nowhere, core};
use super::io::Io;
use super::resident::Memory;
use super::server::Server;

/// Of each kind.
const REQUESTS: usize = 250_000;

/// So many are made before anybody looks.
const PART: usize = 1_000;

/// The first three warm up.
const ROUNDS: usize = 6;

/// By so much the requests of the other rounds may leave more resident memory than those that warm up: 4 bytes each. What
/// is allocated behind a round stays the same, but for what is kept of the last 64 requestors; what the allocator keeps
/// around it grows by 0.5 MB a round at first, and by less than a tenth of that after some dozens.
const GROWTH_BYTES_MAX: u64 = 3 << 20;

const CONFIG: &str = r#"
    accounts {
      A {
        users: [ {user: a, password: p} ]
        exports: [
          {service: "q", response_threshold: "1s"}
          {service: "last", response_threshold: "1s", latency: measured}
        ]
      }
      B {
        users: [ {user: b, password: p} ]
        imports: [ {service: {account: A, subject: "q"}}, {service: {account: A, subject: "last"}} ]
      }
    }
"#;

const SERVICE: ConnId = 0;
const REQUESTOR: ConnId = 1;

/// The core of one shard with a service and who asks it.
fn asked() -> Broker {
    let mut broker = core(CONFIG);
    for (conn, account) in [(SERVICE, "A"), (REQUESTOR, "B")] {
        broker.open(conn, 1);
        assert!(broker.set_account(conn, account));
    }
    broker
        .subscribe(SERVICE, b"q", None, b"1", false)
        .expect("a subject");
    broker
}

/// Publishes an empty message.
fn publish(broker: &mut Broker, conn: ConnId, subject: &[u8], reply: &str) {
    let gap = if reply.is_empty() { "" } else { " " };
    let bytes = format!("{reply}{gap}0\r\n\r\n").into_bytes();
    let end = bytes.len() as u32;
    let message = Message {
        tail: 0,
        reply_len: reply.len() as u32,
        body: end - 2,
        header_len: 0,
        end,
    };
    let run = Run {
        bytes: &bytes,
        subject,
        headers: false,
        messages: &[message],
    };
    broker.publish(conn, &run, &mut Nowhere).expect("allowed");
}

/// What waits for a connection, thrown away.
fn received(broker: &mut Broker, conn: ConnId) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = broker.next_chunk(conn) {
        bytes.extend_from_slice(chunk.unsent());
        let len = chunk.unsent().len();
        broker.chunk_sent(conn, chunk, len);
    }
    bytes
}

/// Makes requests with inboxes of their own; the service gets all and answers if it is told to.
fn ask(broker: &mut Broker, answer: bool) {
    for part in (0..REQUESTS).step_by(PART) {
        for n in part..part + PART {
            publish(broker, REQUESTOR, b"q", &format!("in.{n}"));
        }
        let requests = received(broker, SERVICE);
        let requests = String::from_utf8_lossy(&requests);
        let replies = requests
            .split([' ', '\r'])
            .filter(|word| word.starts_with("_R_."));
        let replies: Vec<&str> = replies.collect();
        assert_eq!(replies.len(), PART);
        for reply in replies.iter().filter(|_| answer) {
            publish(broker, SERVICE, reply.as_bytes(), "");
        }
        received(broker, REQUESTOR);
    }
}

pub fn a_million_requests_leave_no_counter_up() {
    let mut broker = asked();
    let listen = |broker: &mut Broker| {
        broker
            .subscribe(REQUESTOR, b"in.*", None, b"1", false)
            .expect("a subject");
    };

    listen(&mut broker);
    ask(&mut broker, true);
    assert_eq!(broker.requests_waiting(), 0, "the answers came");

    ask(&mut broker, false);
    assert_eq!(broker.requests_waiting(), REQUESTS);
    broker.unsubscribe(REQUESTOR, b"1", None);
    assert_eq!(broker.requests_waiting(), 0, "nobody listens any more");

    listen(&mut broker);
    ask(&mut broker, false);
    assert_eq!(broker.requests_waiting(), REQUESTS);
    broker.close(REQUESTOR);
    assert_eq!(broker.requests_waiting(), 0, "the requestor left");

    broker.open(REQUESTOR, 2);
    assert!(broker.set_account(REQUESTOR, "B"));
    ask(&mut broker, false);
    assert_eq!(broker.requests_waiting(), REQUESTS, "nobody ever listened");
    broker.set_time(999);
    broker.end_late_requests();
    assert_eq!(broker.requests_waiting(), REQUESTS, "it is not time yet");
    broker.set_time(1_000);
    broker.end_late_requests();
    assert_eq!(broker.requests_waiting(), 0, "the threshold has passed");
    assert_eq!(broker.due_ms(), None);
}

pub fn unanswered_requests_leave_no_memory(io: Io) {
    let mut server = Server::with_config(io, CONFIG);
    let mut witness = Client::connect_as(&server, "a");
    witness.op("SUB measured 1");
    witness.barrier();
    let mut service = Client::connect_as(&server, "a");
    service.op("SUB q 1\r\nSUB last 2");
    service.barrier();
    let mut stream = service.writer();
    // Takes what comes and answers nothing.
    let sink = std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let mut memory = Memory::default();
    for _ in 0..ROUNDS {
        for way in 0..3 {
            let mut requestor = Client::connect_as(&server, "b");
            if way < 2 {
                requestor.op("SUB in.* 1");
            }
            for part in (0..REQUESTS / 3).step_by(PART) {
                let lines = (part..part + PART).map(|n| format!("PUB q in.{n} 0\r\n\r\n"));
                requestor.send(lines.collect::<String>().as_bytes());
            }
            match way {
                0 => requestor.op("UNSUB 1"),
                1 => drop(requestor.barrier()),
                // It is told of the last one when its time has passed: by then that of the others has. Nobody who has gone
                // listened there.
                _ => {
                    requestor.op("PUB last out.last 0\r\n");
                    requestor.barrier();
                    let told = String::from_utf8(witness.message().body).expect("text");
                    assert!(told.contains("\"status\":504"), "{told}");
                }
            }
        }
        memory.after_round(&server, GROWTH_BYTES_MAX);
    }
    memory.show("unanswered requests");
    server.wait_until("it still runs", |_| true);
    service.shut_down_writing();
    sink.join().expect("it only reads");
}

//! Who does not read is cut and costs nobody a message; who reads slowly is neither cut nor short of one.

use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::client::Client;
use super::io::Io;
use super::server::Server;

/// Payload of every message: its number, and filler.
const PAYLOAD_BYTES: usize = 1024;

pub fn who_stops_reading_is_cut_and_the_others_get_everything(io: Io) {
    const MESSAGES: u64 = 64_000;
    let mut server = Server::with_config(io, "max_pending: 16MB\n");
    let mut publisher = Client::connect(&server);
    let with_publisher = server.descriptors();
    // Two of each, so that both shards have one.
    let stuck: Vec<Client> = (0..2).map(|_| subscriber(&server, "flood")).collect();
    let readers = ["flood", "flood", "other", "other"].map(|subject| subscriber(&server, subject));
    for client in &stuck {
        let small = SockRef::from(client.stream()).set_recv_buffer_size(4096);
        small.expect("SO_RCVBUF");
    }
    thread::scope(|scope| {
        for reader in readers {
            scope.spawn(move || expect_all(reader, MESSAGES));
        }
        for n in 0..MESSAGES {
            let frames = frame("flood", n) + &frame("other", n);
            publisher.send(frames.as_bytes());
        }
        publisher.barrier();
    });
    server.wait_until("both are cut", |server| {
        let log = server.log();
        log.matches("Slow Consumer Detected").count() >= stuck.len()
    });
    let log = server.log();
    assert_eq!(log.matches("Slow Consumer Detected").count(), 2, "{log}");
    // Not only in the log: their sockets are closed, while the clients still hold theirs.
    server.wait_for_descriptors(with_publisher);
    drop(stuck);
}

pub fn a_slow_reader_on_another_shard_gets_everything(io: Io) {
    let server = Server::with_config(io, "max_pending: 16MB\n");
    let publisher = Client::connect(&server);
    let reader = Client::connect(&server);
    read_slowly(&server, publisher, vec![reader]);
}

pub fn slow_readers_on_both_shards_get_everything(io: Io) {
    let server = Server::with_config(io, "max_pending: 16MB\n");
    let publisher = Client::connect(&server);
    let readers = (0..2).map(|_| Client::connect(&server)).collect();
    read_slowly(&server, publisher, readers);
}

/// The other shard, where each message goes to many, takes what comes more slowly than the publisher writes: who is
/// held back for the sake of a reader on his own shard stays held back meanwhile.
pub fn a_pausing_reader_beside_a_busy_shard_gets_everything(io: Io) {
    const MESSAGES: u64 = 64_000;
    const FAR: usize = 10;
    const PAUSE: Duration = Duration::from_millis(250);
    let server = Server::with_config(io, "max_pending: 16MB\n");
    // Connections go to the shards by turns.
    let publisher = Client::connect(&server);
    let mut far = vec![subscriber(&server, "steady")];
    let mut near = subscriber(&server, "steady");
    let idle: Vec<Client> = (1..FAR)
        .map(|_| {
            far.push(subscriber(&server, "steady"));
            Client::connect(&server)
        })
        .collect();
    thread::scope(|scope| {
        for reader in far {
            scope.spawn(move || expect_all(reader, MESSAGES));
        }
        scope.spawn(move || {
            for expected in 0..MESSAGES {
                if expected % 16_000 == 8_000 {
                    thread::sleep(PAUSE);
                }
                assert_eq!(near.message().number(), expected);
            }
        });
        write_flat_out(publisher, MESSAGES);
    });
    drop(idle);
    let log = server.log();
    assert!(!log.contains("Slow Consumer"), "{log}");
}

/// Many publishers of large messages, readers on both shards that pause: together they are held back so much that nobody
/// is cut, and each of them gets the answer to its PING, which may be all that is left to be read when it may go on.
#[test]
fn many_publishers_of_large_messages_are_held_back_and_all_go_on() {
    const PUBLISHERS: usize = 12;
    const MESSAGES: usize = 60;
    const BYTES: usize = 512 * 1024;
    const PAUSE: Duration = Duration::from_millis(40);
    let server = Server::with_config("max_pending: 32MB\n");
    let readers: Vec<Client> = (0..4).map(|_| subscriber(&server, "large")).collect();
    let publishers: Vec<Client> = (0..PUBLISHERS).map(|_| Client::connect(&server)).collect();
    let frame = format!("PUB large {BYTES}\r\n1{}\r\n", " ".repeat(BYTES - 1));
    thread::scope(|scope| {
        for mut reader in readers {
            scope.spawn(move || {
                for n in 0..PUBLISHERS * MESSAGES {
                    if n % 100 == 50 {
                        thread::sleep(PAUSE);
                    }
                    assert_eq!(reader.message().number(), 1);
                }
                assert_eq!(reader.barrier(), [], "nothing twice");
            });
        }
        for mut publisher in publishers {
            let frame = &frame;
            scope.spawn(move || {
                for _ in 0..MESSAGES {
                    publisher.send(frame.as_bytes());
                }
                publisher.barrier();
            });
        }
    });
    let log = server.log();
    assert!(!log.contains("Slow Consumer"), "{log}");
}

/// The publisher writes as fast as it can; the readers take 64 KiB, rest, take 64 KiB.
fn read_slowly(server: &Server, publisher: Client, readers: Vec<Client>) {
    const MESSAGES: u64 = 96_000;
    const REST: Duration = Duration::from_millis(1);
    thread::scope(|scope| {
        for mut reader in readers {
            reader.op("SUB steady 1");
            reader.barrier();
            reader.rest_between_reads(REST);
            scope.spawn(move || expect_all(reader, MESSAGES));
        }
        write_flat_out(publisher, MESSAGES);
    });
    let log = server.log();
    assert!(!log.contains("Slow Consumer"), "{log}");
}

/// Publishes with large writes, as fast as the server takes it.
fn write_flat_out(mut publisher: Client, messages: u64) {
    let mut frames = String::new();
    for n in 0..messages {
        frames.push_str(&frame("steady", n));
        if frames.len() >= 256 * 1024 {
            publisher.send(frames.as_bytes());
            frames.clear();
        }
    }
    publisher.send(frames.as_bytes());
    publisher.barrier();
}

fn subscriber(server: &Server, subject: &str) -> Client {
    let mut client = Client::connect(server);
    client.op(&format!("SUB {subject} 1"));
    client.barrier();
    client
}

/// Every message, in order, and then nothing.
fn expect_all(mut reader: Client, messages: u64) {
    for expected in 0..messages {
        assert_eq!(reader.message().number(), expected);
    }
    assert_eq!(reader.barrier(), [], "nothing twice");
}

fn frame(subject: &str, number: u64) -> String {
    format!("PUB {subject} {PAYLOAD_BYTES}\r\n{number:<PAYLOAD_BYTES$}\r\n")
}

//! What comes and goes leaves nothing behind: connections, subscriptions, half a message, silent sockets.

use std::fmt::Write as _;
use std::io::{Read, Write as _};

use super::client::{Client, Frame, dial, reset};
use super::resident::assert_steady;
use super::server::Server;

/// Rounds of each kind: [`assert_steady`] compares thirds of them.
const ROUNDS: u64 = 12;

/// Short connections of a round.
const CONNECTIONS: usize = 4_000;

/// At the same time.
const CONNECTIONS_AT_ONCE: usize = 100;

/// By so much a round of churn may leave more resident memory than the one before. A leak of 300 bytes a connection, or of
/// one 64 KiB chunk in 250 connections, is more.
const CHURN_GROWTH_BYTES_MAX: u64 = 1 << 20;

/// Subscriptions of a round.
const SUBSCRIPTIONS: usize = 200_000;

/// The same for subscriptions, a round: 20 bytes leaked in each of them, on one shard, are as much.
const SUBSCRIPTION_GROWTH_BYTES_MAX: u64 = 4 << 20;

/// Clients of a round that vanish in the middle of a large payload.
const VANISHING: usize = 100;

/// Who vanishes has sent half of 1 MiB: a quarter of these left behind are more.
const VANISHING_GROWTH_BYTES_MAX: u64 = 12 << 20;

const PAYLOAD_BYTES: usize = 1 << 20;

#[test]
fn short_connections_leave_nothing() {
    let mut server = Server::start();
    // The first connection may open what stays open.
    drop(Client::connect(&server));
    let at_start = settled_descriptors(&mut server);
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        for batch in 0..CONNECTIONS / CONNECTIONS_AT_ONCE {
            let open = (0..CONNECTIONS_AT_ONCE).map(|n| short_lived(&server, batch + n));
            let open: Vec<Client> = open.collect();
            for (n, client) in open.into_iter().enumerate() {
                end(client, batch + n);
            }
        }
        server.wait_for_descriptors(at_start);
        check_fresh(&server, round);
        server.wait_for_descriptors(at_start);
        resident.push(server.resident_bytes());
    }
    assert_steady(&resident, CHURN_GROWTH_BYTES_MAX);
}

/// Subscribes, and asks for the PONG in some cases only.
fn short_lived(server: &Server, n: usize) -> Client {
    let mut client = Client::dial(server);
    client.send(b"CONNECT {\"verbose\":false}\r\n");
    client.op(&format!("SUB churn.{} 1\r\nSUB churn.* workers 2", n % 10));
    if n.is_multiple_of(3) {
        client.barrier();
    }
    client
}

/// One of the ways in which clients end.
fn end(mut client: Client, n: usize) {
    match n % 5 {
        0 => client.reset(),
        1 => {
            client.send(b"PUB churn.1 100\r\nhalf of it");
            client.reset();
        }
        2 => client.send(b"SUB chur"),
        3 => {
            client.send(b"PUB nobody.is.here 5\r\nhello\r\n");
            client.shut_down_writing();
            while client.frame() != Frame::End {}
        }
        _ => drop(client),
    }
}

/// A fresh connection works, and nobody of those before is still subscribed.
fn check_fresh(server: &Server, round: u64) {
    let mut client = Client::connect(server);
    assert_no_responders(&mut client, "churn.1");
    let number = round.to_string();
    let size = number.len();
    client.op(&format!("SUB churn.1 7\r\nPUB churn.1 {size}\r\n{number}"));
    let messages = client.barrier();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].sid, messages[0].number()), (7, round));
}

#[test]
fn removed_subscriptions_leave_nothing() {
    let mut server = Server::start();
    let mut owner = Client::connect(&server);
    let mut other = Client::connect(&server);
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        send_in_parts(&mut owner, |n| format!("SUB gone.{round}.{n} {n}\r\n"));
        other.op(&format!("PUB gone.{round}.77 2\r\n77"));
        other.barrier();
        let received = owner.barrier();
        assert_eq!(received.len(), 1, "while it is there");
        send_in_parts(&mut owner, |n| format!("UNSUB {n}\r\n"));
        for subject in ["0", "77", "199999"] {
            assert_no_responders(&mut other, &format!("gone.{round}.{subject}"));
        }
        assert_eq!(owner.barrier(), [], "nothing for who has left");
        resident.push(server.resident_bytes());
    }
    server.wait_until("it still runs", |_| true);
    assert_steady(&resident, SUBSCRIPTION_GROWTH_BYTES_MAX);
}

/// An operation for each subscription, with a barrier behind the last.
fn send_in_parts(client: &mut Client, line: impl Fn(usize) -> String) {
    const PART: usize = 10_000;
    for part in (0..SUBSCRIPTIONS).step_by(PART) {
        let mut text = String::new();
        for n in part..part + PART {
            text.write_str(&line(n)).expect("a string takes it");
        }
        client.send(text.as_bytes());
    }
    assert_eq!(client.barrier(), []);
}

#[test]
fn vanished_publishers_leave_nothing() {
    let mut server = Server::start();
    let mut witness = Client::connect(&server);
    witness.op("SUB big 1");
    witness.barrier();
    let at_start = server.descriptors();
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        let clients: Vec<Client> = (0..VANISHING).map(|_| half_a_payload(&server)).collect();
        for (n, client) in clients.into_iter().enumerate() {
            if n.is_multiple_of(2) {
                client.reset();
            }
        }
        server.wait_for_descriptors(at_start);
        assert_eq!(witness.barrier(), [], "half a message is none");
        whole_payload(&server, round);
        let message = witness.message();
        assert_eq!(message.body.len(), PAYLOAD_BYTES);
        assert_eq!(message.number(), round);
        server.wait_for_descriptors(at_start);
        resident.push(server.resident_bytes());
    }
    assert_steady(&resident, VANISHING_GROWTH_BYTES_MAX);
}

fn half_a_payload(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.op(&format!("PUB big {PAYLOAD_BYTES}"));
    client.send(&vec![b'x'; PAYLOAD_BYTES / 2]);
    client
}

fn whole_payload(server: &Server, round: u64) {
    let mut client = Client::connect(server);
    let number = round.to_string();
    let filler = " ".repeat(PAYLOAD_BYTES - number.len());
    client.op(&format!("PUB big {PAYLOAD_BYTES}\r\n{number}{filler}"));
    client.barrier();
}

#[test]
fn silent_sockets_are_closed() {
    let mut server = Server::with_config("ping_interval: \"1s\"\nping_max: 1\n");
    drop(Client::connect(&server));
    let at_start = settled_descriptors(&mut server);
    // What a peer that lost its power looks like: the socket is open and nothing ever comes.
    let after_connect: Vec<Client> = (0..50).map(|_| Client::connect(&server)).collect();
    let after_info: Vec<_> = (0..50).map(|_| dial(&server)).collect();
    server.wait_until("the sockets are open", |s| {
        s.descriptors() == at_start + 100
    });
    server.wait_for_descriptors(at_start);
    for client in &after_connect {
        let mut text = String::new();
        let _ = client.stream().read_to_string(&mut text);
        assert!(text.ends_with("-ERR 'Stale Connection'\r\n"), "{text:?}");
    }
    drop(after_info);
    check_fresh(&server, 1);
}

#[test]
fn vanished_members_swallow_nothing() {
    const MESSAGES: u64 = 1_000;
    let mut server = Server::start();
    let mut stays = [Client::connect(&server), Client::connect(&server)];
    for client in &mut stays {
        client.op("SUB work crew 1");
        client.barrier();
    }
    let mut publisher = Client::connect(&server);
    let at_start = server.descriptors();
    for round in 0..5 {
        let gone: Vec<Client> = (0..20).map(|_| member(&server)).collect();
        for (n, client) in gone.into_iter().enumerate() {
            match n % 3 {
                0 => client.reset(),
                1 => {
                    let mut stream = client.writer();
                    stream.write_all(b"PUB work 5000\r\nhalf").expect("sent");
                    drop(client);
                    reset(stream);
                }
                _ => drop(client),
            }
        }
        server.wait_for_descriptors(at_start);
        for n in 0..MESSAGES {
            publisher.op(&format!("PUB work {}\r\n{n}", n.to_string().len()));
        }
        publisher.barrier();
        let received = stays.iter_mut().flat_map(Client::barrier);
        let mut numbers: Vec<u64> = received.map(|message| message.number()).collect();
        numbers.sort_unstable();
        let expected: Vec<u64> = (0..MESSAGES).collect();
        assert_eq!(numbers, expected, "round {round}: each exactly once");
    }
}

fn member(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.op("SUB work crew 1\r\nSUB work crew 2");
    client.barrier();
    client
}

/// A request is answered by the server: nobody is there.
fn assert_no_responders(client: &mut Client, subject: &str) {
    client.op(&format!("SUB inbox 999999\r\nPUB {subject} inbox 0\r\n"));
    let answers = client.barrier();
    client.op("UNSUB 999999");
    assert_eq!(answers.len(), 1, "{answers:?}");
    let text = String::from_utf8_lossy(&answers[0].body);
    assert!(text.starts_with("NATS/1.0 503\r\n"), "{text:?}");
}

/// The count once closed connections have gone: the same twice, some time apart, with nobody connected.
fn settled_descriptors(server: &mut Server) -> usize {
    let mut last = usize::MAX;
    server.wait_until("the descriptors settle", |server| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        std::mem::replace(&mut last, server.descriptors()) == last
    });
    last
}

//! What comes and goes leaves nothing behind: connections, subscriptions, half a message, silent sockets.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use super::client::{Client, Frame, dial, reset};
use super::io::Io;
use super::resident::{Memory, settled, shown};
use super::server::Server;

/// Rounds of short connections. The first three warm up.
const CHURN_ROUNDS: usize = 8;

/// Short connections of all rounds; `GANNET_CHURN` says another number.
const CONNECTIONS: usize = 160_000;

/// At the same time.
const CONNECTIONS_AT_ONCE: usize = 100;

/// So many the server takes at the same time: room for some batches that are about to go.
const CONNECTIONS_MAX: usize = 1_000;

/// By so much the short connections may leave more resident memory than those that warm up: 24 bytes leaked by each are
/// more. After those, what is resident goes up and down by 1 MB and no further in any number of rounds.
const CHURN_GROWTH_BYTES_MAX: u64 = 2 << 20;

/// Rounds of subscriptions. The first three warm up.
const SUBSCRIPTION_ROUNDS: usize = 5;

/// Subscriptions of a round, and as many as a connection may have.
const SUBSCRIPTIONS: usize = 1_000_000;

/// By so much the subscriptions may leave more than those that warm up, for each of a round: two rounds with 16 bytes
/// leaked by each leave more.
const SUBSCRIPTION_GROWTH_BYTES_EACH_MAX: u64 = 12;

/// Rounds of clients that vanish.
const VANISHING_ROUNDS: usize = 5;

/// Clients of a round that vanish in the middle of a large payload.
const VANISHING: usize = 100;

/// Who vanishes has sent half of 1 MiB.
const VANISHING_GROWTH_BYTES_MAX: u64 = 2 << 20;

const PAYLOAD_BYTES: usize = 1 << 20;

pub fn short_connections_leave_nothing(io: Io) {
    let chosen = std::env::var("GANNET_CHURN").map(|count| count.parse().expect("a number"));
    let connections = chosen.unwrap_or(CONNECTIONS);
    // What is to be done about a connection in time, a PING, is thought of until then, also when it has gone: for a second.
    let config = format!("max_connections: {CONNECTIONS_MAX}\nping_interval: \"1s\"\n");
    let mut server = Server::with_config(io, &config);
    // The first connection may open what stays open.
    drop(Client::connect(&server));
    let at_start = settled_descriptors(&mut server);
    let mut memory = Memory::default();
    for round in 0..CHURN_ROUNDS {
        for batch in 0..connections / CONNECTIONS_AT_ONCE / CHURN_ROUNDS {
            let sockets: Vec<_> = (0..CONNECTIONS_AT_ONCE).map(|_| dial(&server)).collect();
            let open = sockets.into_iter().enumerate();
            let open: Vec<Client> = open
                .map(|(n, socket)| short_lived(socket, batch + n))
                .collect();
            for (n, client) in open.into_iter().enumerate() {
                end(client, batch + n);
            }
        }
        server.wait_for_descriptors(at_start);
        check_fresh(&server, round as u64);
        server.wait_for_descriptors(at_start);
        memory.after_round(&server, CHURN_GROWTH_BYTES_MAX);
    }
    check_limit(&mut server, at_start);
    memory.show(&format!("{connections} short connections"));
}

/// None of those before is still counted: as many as may connect, and not one more.
fn check_limit(server: &mut Server, at_start: usize) {
    let open: Vec<Client> = (0..CONNECTIONS_MAX)
        .map(|_| Client::connect(server))
        .collect();
    let mut surplus = Client::dial(server);
    let refused = "'maximum connections exceeded'".to_owned();
    assert_eq!(surplus.frame(), Frame::Error(refused));
    assert_eq!(surplus.frame(), Frame::End);
    drop((open, surplus));
    server.wait_for_descriptors(at_start);
    drop(Client::connect(server));
}

/// Subscribes, and asks for the PONG in some cases only.
fn short_lived(socket: TcpStream, n: usize) -> Client {
    let mut client = Client::over(socket);
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
    client.assert_no_responders("churn.1");
    let number = round.to_string();
    let size = number.len();
    client.op(&format!("SUB churn.1 7\r\nPUB churn.1 {size}\r\n{number}"));
    let messages = client.barrier();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].sid, messages[0].number()), (7, round));
}

pub fn removed_subscriptions_leave_nothing(io: Io) {
    let count = io.share(SUBSCRIPTIONS, SUBSCRIPTIONS / 5);
    let mut server = Server::with_config(io, &format!("max_subscriptions: {count}\n"));
    let mut other = Client::connect(&server);
    let mut owner = Client::connect(&server);
    let with_owner = server.descriptors();
    let mut memory = Memory::default();
    for round in 0..SUBSCRIPTION_ROUNDS {
        send_in_parts(&mut owner, count, |n| {
            format!("SUB gone.{round}.{n} {n}\r\n")
        });
        other.op(&format!("PUB gone.{round}.77 2\r\n77"));
        other.barrier();
        let received = owner.barrier();
        assert_eq!(received.len(), 1, "while it is there");
        if round == 0 && shown() {
            let each = settled(&server) / count as u64;
            println!("{count} subscriptions on {}: {each} bytes each", io.name());
        }
        // In one of the rounds they go with their connection.
        if round == 1 {
            drop(owner);
            server.wait_for_descriptors(with_owner - 1);
            owner = Client::connect(&server);
        } else {
            send_in_parts(&mut owner, count, |n| format!("UNSUB {n}\r\n"));
        }
        memory.after_round(&server, SUBSCRIPTION_GROWTH_BYTES_EACH_MAX * count as u64);
        for subject in [0, 77, count - 1] {
            other.assert_no_responders(&format!("gone.{round}.{subject}"));
        }
        assert_eq!(owner.barrier(), [], "nothing for who has left");
    }
    // None of those before is still counted: as many as may be, and not one more.
    send_in_parts(&mut owner, count, |n| format!("SUB s.{n} {n}\r\n"));
    owner.op("SUB surplus 9999999");
    let refused = "'maximum subscriptions exceeded'".to_owned();
    assert_eq!(owner.frame(), Frame::Error(refused));
    memory.show("subscriptions");
}

/// An operation for each subscription, with a barrier behind the last.
fn send_in_parts(client: &mut Client, count: usize, line: impl Fn(usize) -> String) {
    const PART: usize = 10_000;
    for part in (0..count).step_by(PART) {
        let mut text = String::new();
        for n in part..part + PART {
            text.write_str(&line(n)).expect("a string takes it");
        }
        client.send(text.as_bytes());
    }
    assert_eq!(client.barrier(), []);
}

pub fn vanished_publishers_leave_nothing(io: Io) {
    let mut server = Server::start(io);
    let mut witness = Client::connect(&server);
    witness.op("SUB big 1");
    witness.barrier();
    let at_start = server.descriptors();
    let mut memory = Memory::default();
    for round in 0..VANISHING_ROUNDS {
        let clients: Vec<Client> = (0..VANISHING).map(|_| half_a_payload(&server)).collect();
        for (n, client) in clients.into_iter().enumerate() {
            if n.is_multiple_of(2) {
                client.reset();
            }
        }
        server.wait_for_descriptors(at_start);
        assert_eq!(witness.barrier(), [], "half a message is none");
        let number = round as u64;
        whole_payload(&server, number);
        let message = witness.message();
        assert_eq!(message.body.len(), PAYLOAD_BYTES);
        assert_eq!(message.number(), number);
        server.wait_for_descriptors(at_start);
        memory.after_round(&server, VANISHING_GROWTH_BYTES_MAX);
    }
    memory.show("vanished publishers");
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

pub fn silent_sockets_are_closed(io: Io) {
    let mut server = Server::with_config(io, "ping_interval: \"1s\"\nping_max: 1\n");
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

pub fn vanished_members_swallow_nothing(io: Io) {
    const MESSAGES: u64 = 1_000;
    let mut server = Server::start(io);
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

/// The count once closed connections have gone: the same twice, some time apart, with nobody connected.
fn settled_descriptors(server: &mut Server) -> usize {
    let mut last = usize::MAX;
    server.wait_until("the descriptors settle", |server| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        std::mem::replace(&mut last, server.descriptors()) == last
    });
    last
}

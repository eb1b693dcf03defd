//! Ten thousand connections that are only there take little memory, are found, and leave nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::client::{Client, dial, reset};
use super::io::Io;
use super::resident::{Memory, settled, shown};
use super::server::Server;

/// With more than this, descriptors are short where the limits are the usual ones.
const CONNECTIONS: usize = 10_000;

/// Connects so many before it waits for the first.
const PART: usize = 250;

/// Of what else the tests have open.
const OTHER_DESCRIPTORS: u64 = 2_000;

/// The first three warm up.
const ROUNDS: usize = 5;

/// An idle connection with a subscription of its own, known to both shards, takes no more.
const BYTES_EACH_MAX: u64 = 3 << 10;

/// By so much a round may leave more than those that warm up.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

pub fn idle_connections_leave_nothing(io: Io) {
    raise_limit();
    let count = io.share(CONNECTIONS, CONNECTIONS / 5);
    let mut server = Server::start(io);
    let mut witness = Client::connect(&server);
    let at_start = server.descriptors();
    let empty = settled(&server);
    let mut memory = Memory::default();
    for round in 0..ROUNDS {
        let idle: Vec<TcpStream> = (0..count)
            .step_by(PART)
            .flat_map(|first| part(&server, first))
            .collect();
        server.wait_for_descriptors(at_start + count);
        if round == 0 {
            let each = settled(&server).saturating_sub(empty) / count as u64;
            if shown() {
                println!(
                    "{count} idle connections on {}: {each} bytes each",
                    io.name()
                );
            }
            assert!(each <= BYTES_EACH_MAX, "{each} bytes each");
        }
        for n in (0..count).step_by(997) {
            witness.op(&format!("PUB idle.{n} 2\r\nhi"));
            read_until(&idle[n], &format!("MSG idle.{n} {n} 2\r\nhi\r\n"));
        }
        for (n, stream) in idle.into_iter().enumerate() {
            if n % 2 == 0 {
                reset(stream);
            }
        }
        server.wait_for_descriptors(at_start);
        for n in (0..count).step_by(997) {
            witness.assert_no_responders(&format!("idle.{n}"));
        }
        memory.after_round(&server, GROWTH_BYTES_MAX);
    }
    memory.show("idle connections");
}

/// Connections, each with a subscription.
fn part(server: &Server, first: usize) -> Vec<TcpStream> {
    let streams: Vec<TcpStream> = (0..PART).map(|_| dial(server)).collect();
    for (n, mut stream) in streams.iter().enumerate() {
        let n = first + n;
        let text = format!("CONNECT {{\"verbose\":false}}\r\nSUB idle.{n} {n}\r\nPING\r\n");
        stream.write_all(text.as_bytes()).expect("the server reads");
    }
    for stream in &streams {
        read_until(stream, "PONG\r\n");
    }
    streams
}

/// Reads to this end; what the server wants to know of the round trip in between is left open.
fn read_until(mut stream: &TcpStream, end: &str) {
    let mut got = Vec::new();
    let mut bytes = [0; 4096];
    while !got.ends_with(end.as_bytes()) {
        let count = stream.read(&mut bytes).expect("the server sends");
        assert_ne!(count, 0, "the connection stays");
        got.extend_from_slice(&bytes[..count]);
    }
}

/// Servers inherit it.
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("as many as allowed");
    let needed = CONNECTIONS as u64 + OTHER_DESCRIPTORS;
    assert!(
        limit.maximum.is_none_or(|most| most >= needed),
        "this test needs {needed} descriptors (ulimit -Hn)"
    );
}

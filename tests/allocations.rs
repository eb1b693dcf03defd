//! What established connections in TLS take of memory that is not theirs yet: nothing. A shard on real sockets, turned by
//! hand in this thread, whose allocations are counted while messages go through; records of all sizes, whole and in pieces.

#[path = "differential/pki.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod pki;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use gannet::auth::Authenticator;
use gannet::broker::{Broker, ShardPlace};
use gannet::config::tls::HandshakeFirst;
use gannet::config::{Config, Limits};
use gannet::proto::handshake::Info;
use gannet::session::Snapshot;
use gannet::session::secure::TlsPort;
use gannet::shard::jobs::Incoming;
use gannet::shard::ring::epoll::EpollRing;
use gannet::shard::ring::handles::Waker;
use gannet::shard::ring::{Ring, RingOptions, Wait};
use gannet::shard::{Job, Jobs, Node, Parts, Shard, Task, ToShard, mesh};
use gannet::transport::tls::acceptor::{Acceptor, Options, Pair};
use pki::identities;
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

/// Payloads, in one record or several.
const SIZES: &[usize] = &[0, 16, 128, 1_000, 5_000, 16_384, 20_000, 60_000];

/// Those up to here come in pieces as well. Of a longer one the session would see a part first, and it keeps a part in memory
/// for that message, with or without TLS.
const IN_PIECES_MAX: usize = 20_000;

/// Rounds of all sizes until everything has grown.
const WARM_UP: usize = 50;

const ROUNDS: usize = 500;

struct World {
    shard: Shard<EpollRing>,
    jobs: Incoming,
    inbox: Sender<ToShard>,
    waker: Waker,
    port: u16,
    allocations: u64,
    _listener: TcpListener,
}

impl World {
    fn new() -> World {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (jobs_in, jobs) = Jobs::channels();
        let (inbox, inbox_out) = mpsc::channel();
        let mut ring = EpollRing::new(RingOptions::default()).unwrap();
        ring.accept(listener.as_raw_fd());
        let waker = ring.wake_handle();
        let snapshot = Arc::new(snapshot());
        let place = ShardPlace { index: 0, count: 1 };
        let broker = Broker::new(place, snapshot.pending(), 7);
        World {
            shard: Shard::new(Parts {
                index: 0,
                ring,
                snapshot,
                start_unix_ms: 0,
                nonce_seed: [0; 32],
                broker,
                mesh: mesh::connect(1).pop().unwrap(),
                node: Node::new(1),
                jobs: jobs_in,
                inbox: inbox_out,
            }),
            jobs,
            inbox,
            waker,
            port,
            allocations: 0,
            _listener: listener,
        }
    }

    /// A turn of the loop, whose allocations count, and what workers do.
    fn turn(&mut self) {
        let counted = allocation_counter::measure(|| {
            self.shard.poll(Wait::No).unwrap();
            self.shard.wake_up();
            // Its clock stands still: it sends no PINGs.
            self.shard.step(0);
        });
        self.allocations += counted.count_total;
        for Job { conn, task, .. } in self.jobs.short.try_iter() {
            let Task::Tls(task) = task else {
                panic!("nobody gives credentials");
            };
            let step = ToShard::Handshaken(conn, task.run());
            self.inbox.send(step).unwrap();
            self.waker.wake();
        }
    }

    fn client(&mut self, version: &'static SupportedProtocolVersion) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut plain = [0; 4096];
        let mut heard = Vec::new();
        while !heard.ends_with(b"\n") {
            self.turn();
            if let Ok(len) = (&socket).read(&mut plain) {
                heard.extend_from_slice(&plain[..len]);
            }
        }
        let name = "localhost".try_into().unwrap();
        let mut tls = ClientConnection::new(Arc::new(client_config(version)), name).unwrap();
        tls.set_buffer_limit(None);
        let mut client = Client {
            socket,
            tls,
            heard: 0,
        };
        client.say(b"CONNECT {\"verbose\":false}\r\nPING\r\n");
        self.go_on(&mut client, b"PONG\r\n".len());
        client
    }

    /// Sends these bytes of a client, with turns as they are needed and one behind them.
    fn send(&mut self, client: &mut Client, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match client.socket.write(bytes) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                written => bytes = &bytes[written.unwrap()..],
            }
            self.turn();
        }
    }

    /// Turns until a client has heard so many bytes.
    fn go_on(&mut self, client: &mut Client, bytes: usize) {
        client.heard = 0;
        while client.heard < bytes {
            client.exchange();
            self.turn();
        }
        assert_eq!(client.heard, bytes);
    }
}

struct Client {
    socket: TcpStream,
    tls: ClientConnection,
    heard: usize,
}

impl Client {
    fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
    }

    /// What it has to send.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    fn exchange(&mut self) {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                written => drop(written.unwrap()),
            }
        }
        let mut room = [0; 16 * 1024];
        while let Ok(read) = self.tls.read_tls(&mut self.socket) {
            assert_ne!(read, 0, "the shard closed a connection");
            self.tls.process_new_packets().unwrap();
            while let Ok(len) = self.tls.reader().read(&mut room) {
                self.heard += len;
            }
        }
    }
}

fn snapshot() -> Snapshot {
    let identity = &identities()["server"];
    let acceptor = Acceptor::new(Options {
        certificates: &[Pair {
            chain: identity.chain.clone().into_bytes(),
            key: identity.key.clone().into_bytes(),
        }],
        authorities: None,
        only_13: false,
        suites: None,
        curves: None,
        pinned: &[],
        clock: Arc::new(DefaultTimeProvider),
    });
    let authenticator = Authenticator::new(&Config::default()).unwrap();
    let (limits, info) = (Limits::default(), Info::default());
    let mut snapshot = Snapshot::new(limits, Arc::new(authenticator), info, 60_000);
    snapshot.tls = Some(Arc::new(TlsPort {
        acceptor: Arc::new(acceptor.unwrap()),
        timeout_ms: 60_000,
        handshake_first: HandshakeFirst::No,
        allow_plain: false,
        rate_max: 0,
    }));
    snapshot
}

fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(identities()["ca"].der.clone().into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[test]
fn records_take_no_memory() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut world = World::new();
        let (mut publisher, mut subscriber) = (world.client(version), world.client(version));
        subscriber.say(b"SUB t 1\r\nPING\r\n");
        world.go_on(&mut subscriber, b"PONG\r\n".len());
        for round in 0..WARM_UP + ROUNDS {
            if round == WARM_UP {
                world.allocations = 0;
            }
            for size in SIZES {
                let payload = "x".repeat(*size);
                publisher.say(format!("PUB t {size}\r\n{payload}\r\n").as_bytes());
                let records = publisher.records();
                // Whole in one round, in pieces in the next.
                let is_whole = round % 2 == 0 || *size > IN_PIECES_MAX;
                let piece = if is_whole { records.len() } else { 7_001 };
                for piece in records.chunks(piece) {
                    world.send(&mut publisher, piece);
                }
                let message = format!("MSG t 1 {size}\r\n{payload}\r\n");
                world.go_on(&mut subscriber, message.len());
            }
        }
        assert_eq!(world.allocations, 0, "{version:?}");
    }
}

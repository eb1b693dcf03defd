//! How bytes come must not matter: a whole input and every split of it, held back or not, give every connection the
//! same bytes. Owns a node of one shard without loop and sockets; what the bytes should be is checked elsewhere.

use std::io::IoSlice;
use std::sync::Arc;

use proptest::prelude::*;

use gannet::auth::Authenticator;
use gannet::broker::effect::{Batch, ConnId, Outlet};
use gannet::broker::outbox::Chunk;
use gannet::broker::{Broker, PendingLimits, ShardPlace};
use gannet::config::{Config, Limits};
use gannet::proto::handshake::Info;
use gannet::session::client::Client;
use gannet::session::{Context, Flow, Port};

/// Connections of a node.
const CONNS: usize = 3;

/// Small limits, so that inputs reach them.
const CONTROL_LINE_BYTES_MAX: u32 = 128;
const PAYLOAD_BYTES_MAX: u32 = 40;

/// A piece of input: whose, and what. Pieces are handled in their order.
type Piece = (usize, Vec<u8>);

/// How a piece is given to its session.
#[derive(Clone, Copy, Debug)]
enum Feeding {
    Whole,
    Bytewise,
    /// Cut at random places; parts are held back and given later, and the mesh has no room now and then.
    Random(u64),
}

/// Where full chunks go, and a mesh that may be full.
struct FakePort {
    sent: Vec<(ConnId, Chunk)>,
    full: bool,
}

impl Outlet for FakePort {
    fn send_now(&mut self, _conn: ConnId, _parts: &[IoSlice<'_>]) -> usize {
        0
    }
}

impl Port for FakePort {
    fn push_mesh(&mut self, _: &mut [Batch]) -> bool {
        !std::mem::take(&mut self.full)
    }
}

struct Node {
    context: Context,
    broker: Broker,
    clients: Vec<Client>,
    said: Vec<Vec<u8>>,
    closed: Vec<Option<String>>,
}

impl Node {
    fn new() -> Self {
        let limits = Limits {
            control_line_bytes_max: CONTROL_LINE_BYTES_MAX,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            ..Limits::default()
        };
        let authenticator = Authenticator::new(&Config::default()).expect("nothing to refuse");
        let info = Info {
            headers: true,
            ..Info::default()
        };
        let mut context = Context::new(limits, Arc::new(authenticator), info, 2_000, [0; 32]);
        let place = ShardPlace { index: 0, count: 1 };
        let mut broker = Broker::new(place, PendingLimits::new(64 << 20, true), 7);
        let clients = (0..CONNS as u32).map(|conn| {
            broker.open(conn, 1);
            let address = ([127, 0, 0, 1].into(), 1);
            Client::new(
                &mut context,
                &mut broker,
                conn,
                u64::from(conn) + 1,
                address,
            )
        });
        Node {
            clients: clients.collect(),
            context,
            broker,
            said: vec![Vec::new(); CONNS],
            closed: vec![None; CONNS],
        }
    }

    fn give(&mut self, at: usize, bytes: &[u8], held: bool, full: bool) {
        if self.closed[at].is_some() {
            return;
        }
        let mut port = FakePort {
            sent: Vec::new(),
            full,
        };
        let client = &mut self.clients[at];
        let mut flow = if held {
            client.stash(bytes);
            client.resume(&mut self.context, &mut self.broker, &mut port)
        } else {
            client.receive(&mut self.context, &mut self.broker, &mut port, bytes)
        };
        while matches!(flow, Flow::AwaitMesh)
            || client.has_stash() && matches!(flow, Flow::Continue)
        {
            // What waits for the mesh is there already: it must be known to be.
            assert!(client.has_stash(), "input that nobody would come back to");
            flow = client.resume(&mut self.context, &mut self.broker, &mut port);
        }
        for (conn, chunk) in port.sent {
            self.sent(conn, chunk);
        }
        match flow {
            Flow::Continue => {}
            Flow::Close(reason) => {
                self.closed[at] = Some(reason.text().into());
                self.broker.peer(at as ConnId).closing = true;
                self.broker.unsubscribe_all(at as ConnId);
            }
            Flow::AwaitMesh | Flow::Verify(_) => unreachable!("nothing to wait for"),
        }
        self.collect();
    }

    fn collect(&mut self) {
        for conn in 0..CONNS as ConnId {
            while let Some(chunk) = self.broker.next_chunk(conn) {
                self.sent(conn, chunk);
            }
        }
    }

    fn sent(&mut self, conn: ConnId, chunk: Chunk) {
        let bytes = chunk.unsent().to_vec();
        self.said[conn as usize].extend_from_slice(&bytes);
        self.broker.chunk_sent(conn, chunk, bytes.len());
    }

    /// What every connection was told and how it ended, and what is left.
    fn transcript(mut self) -> String {
        let mut text = String::new();
        self.collect();
        for conn in 0..CONNS {
            let said = String::from_utf8_lossy(&self.said[conn]);
            text += &format!("{conn} {:?}\n{said}\n", self.closed[conn]);
            self.broker.close(conn as ConnId);
        }
        let left = (
            self.broker.subscription_count(),
            self.broker.pattern_count(),
        );
        assert_eq!(left, (0, 0), "something is left of\n{text}");
        text
    }
}

/// Feeds all pieces and says what came of it.
fn play(pieces: &[Piece], feeding: Feeding) -> String {
    let mut node = Node::new();
    let mut random = match feeding {
        Feeding::Random(seed) => seed,
        _ => 0,
    };
    let mut below = |bound: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    for (at, bytes) in pieces {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (len, held, full) = match feeding {
                Feeding::Whole => (rest.len(), false, false),
                Feeding::Bytewise => (1, false, false),
                Feeding::Random(_) => (1 + below(rest.len().min(30)), below(4) == 0, below(4) == 0),
            };
            node.give(*at, &rest[..len], held, full);
            rest = &rest[len..];
        }
    }
    node.transcript()
}

fn check(pieces: &[Piece], seed: u64) -> Result<(), TestCaseError> {
    let whole = play(pieces, Feeding::Whole);
    prop_assert_eq!(&play(pieces, Feeding::Bytewise), &whole, "byte by byte");
    for seed in seed..seed + 4 {
        prop_assert_eq!(&play(pieces, Feeding::Random(seed)), &whole, "random parts");
    }
    Ok(())
}

fn word(of: &'static [&'static str]) -> prop::sample::Select<&'static str> {
    prop::sample::select(of)
}

fn subject() -> impl Strategy<Value = &'static str> {
    word(&[
        "a",
        "b",
        "a.b",
        "a.c",
        "a.*",
        "a.>",
        ">",
        "*",
        "a..b",
        ".a",
        "inbox.1",
        "a.b.c.d.e.f",
    ])
}

fn end() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just(" \r\n"), 1 => Just("\t\r\n")]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(" "), 1 => Just("  "), 1 => Just("\t")]
}

/// A line with a payload behind it: sizes spelled in every way, some over the limit, some wrong.
fn publish() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![20 => 0..PAYLOAD_BYTES_MAX as usize + 1, 1 => 0..60usize];
    let wrong = prop_oneof![20 => Just(0isize), 1 => Just(-1), 1 => Just(1)];
    let reply = prop::option::of(word(&["inbox.1", "r", "a"]));
    let verb =
        prop_oneof![6 => Just("PUB"), 1 => Just("pub"), 3 => Just("HPUB"), 1 => Just("hPub")];
    let zeros = prop_oneof![8 => Just(""), 1 => Just("00")];
    (
        verb,
        subject(),
        reply,
        (size, wrong),
        zeros,
        (space(), end()),
        any::<u8>(),
    )
        .prop_map(
            |(verb, subject, reply, (size, wrong), zeros, (space, end), fill)| {
                let reply = reply.map_or(String::new(), |reply| format!("{reply}{space}"));
                let header = match verb.len() {
                    4 => format!("{}{space}", size.min(12)),
                    _ => String::new(),
                };
                let line =
                    format!("{verb}{space}{subject}{space}{reply}{header}{zeros}{size}{end}");
                let mut bytes = line.into_bytes();
                bytes.extend(
                    (0..size.saturating_add_signed(wrong)).map(|at| fill.wrapping_add(at as u8)),
                );
                bytes.extend(b"\r\n");
                bytes
            },
        )
}

fn operation() -> impl Strategy<Value = Vec<u8>> {
    let sid = word(&["1", "2", "3", "a-longer-name-for-it"]);
    let queue = prop::option::of(word(&["q", "r"]));
    let max = prop::option::of(word(&["0", "1", "2", "3", "007", "x", "-5"]));
    let sub = (subject(), queue, sid.clone(), space(), end()).prop_map(
        |(subject, queue, sid, space, end)| {
            let queue = queue.map_or(String::new(), |queue| format!("{queue}{space}"));
            format!("SUB{space}{subject}{space}{queue}{sid}{end}").into_bytes()
        },
    );
    let unsub = (sid, max, space(), end()).prop_map(|(sid, max, space, end)| {
        let max = max.map_or(String::new(), |max| format!("{space}{max}"));
        format!("UNSUB{space}{sid}{max}{end}").into_bytes()
    });
    let connect = (any::<[bool; 5]>(), 0..2).prop_map(|([verbose, pedantic, echo, headers, tell], protocol)| {
        let tell = tell && headers;
        format!(
            "CONNECT {{\"verbose\":{verbose},\"pedantic\":{pedantic},\"echo\":{echo},\"headers\":{headers},\
             \"no_responders\":{tell},\"protocol\":{protocol}}}\r\n"
        )
        .into_bytes()
    });
    let short = word(&[
        "PING\r\n",
        "ping\n",
        "PONG\r\n",
        "+OK\r\n",
        "PINGX\r\n",
        "PING abc\r\n",
        "INFO {}\r\n",
    ]);
    let broken = word(&[
        "PUB\r\n",
        "PUB a\r\n",
        "PUB a b c 1\r\n",
        "PUB a -1\r\n",
        "SUB\r\n",
        "SUB a\r\n",
        "SUB a b c d\r\n",
        "UNSUB\r\n",
        "HPUB a 5 3\r\n",
        "XYZ\r\n",
        "CONNECT {\r\n",
        "-ERR 'x'\r\n",
        "\r\n",
        "S",
        "PUB a 5\r\nhelloXY",
        "PUBX a 1\r\n",
        "CONNECT {\"protocol\":7}\r\n",
    ]);
    // At, under and over the limit of a control line, which is 128 here.
    let long = (115..135usize, end())
        .prop_map(|(len, end)| format!("SUB {} 9{end}", "x".repeat(len)).into_bytes());
    prop_oneof![
        40 => publish(),
        20 => sub,
        10 => unsub,
        4 => connect,
        10 => short.prop_map(|text| text.as_bytes().to_vec()),
        1 => broken.prop_map(|text| text.as_bytes().to_vec()),
        1 => long,
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let operations = prop::collection::vec(operation(), 1..12).prop_map(|all| all.concat());
    prop::collection::vec((0..CONNS, operations), 1..8)
}

proptest! {
    #[test]
    fn a_whole_input_and_every_split_of_it_are_the_same(pieces in pieces(), seed in any::<u64>()) {
        check(&pieces, seed)?;
    }

    #[test]
    fn a_run_on_one_subject_is_the_same_message_by_message(
        subs in prop::collection::vec((0..CONNS, 0..3usize, 1..5u32), 1..6),
        replies in prop::collection::vec(any::<bool>(), 2..10),
        seed in any::<u64>(),
    ) {
        let mut pieces: Vec<Piece> = vec![(
            0,
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\nSUB inbox.* 99\r\n".to_vec(),
        )];
        for (sid, (conn, kind, max)) in subs.iter().enumerate() {
            let queue = ["", "q ", "r "][*kind];
            pieces.push((*conn, format!("SUB a {queue}{sid}\r\nUNSUB {sid} {max}\r\n").into_bytes()));
        }
        let run = replies.iter().enumerate().map(|(at, reply)| {
            let reply = if *reply { format!("inbox.{at} ") } else { String::new() };
            format!("PUB a {reply}1\r\n{at}\r\n", at = at % 10)
        });
        pieces.push((0, run.collect::<String>().into_bytes()));
        check(&pieces, seed)?;
    }

    #[test]
    fn arbitrary_bytes_never_panic(pieces in prop::collection::vec(
        (0..CONNS, prop::collection::vec(any::<u8>(), 0..200)), 1..10), seed in any::<u64>()) {
        check(&pieces, seed)?;
    }

    #[test]
    fn control_lines_are_refused_over_the_limit_only(len in 0..200usize, crlf in any::<bool>(), seed in any::<u64>()) {
        let end = if crlf { "\r\n" } else { "\n" };
        let line = format!("SUB {} 1{end}PING\r\n", "x".repeat(len));
        // The limit is on what follows the verb, without its line end: subject, space, sid.
        let fits = len + 2 <= CONTROL_LINE_BYTES_MAX as usize;
        let pieces = [(0, line.into_bytes())];
        let transcript = play(&pieces, Feeding::Whole);
        prop_assert_eq!(transcript.contains("maximum control line exceeded"), !fits);
        prop_assert_eq!(transcript.contains("0 None"), fits && len > 0);
        check(&pieces, seed)?;
    }

    #[test]
    fn payloads_are_refused_over_the_limit_only(len in 0..100usize, headers in any::<bool>(), seed in any::<u64>()) {
        let payload = "x".repeat(len);
        let verb = if headers { "HPUB a 0" } else { "PUB a" };
        let text = format!("CONNECT {{\"headers\":true}}\r\nSUB a 1\r\n{verb} {len}\r\n{payload}\r\nPING\r\n");
        let fits = len <= PAYLOAD_BYTES_MAX as usize;
        let pieces = [(0, text.into_bytes())];
        let transcript = play(&pieces, Feeding::Whole);
        let message = format!("MSG a 1 {len}\r\n{payload}\r\n");
        prop_assert_eq!(transcript.contains("Maximum Payload Violation"), !fits);
        prop_assert_eq!(transcript.contains(&message), fits);
        prop_assert_eq!(transcript.contains("PONG"), fits);
        check(&pieces, seed)?;
    }
}

/// How many PINGs a client hears in so many intervals, if it says this in each of them, 10 ms behind the PING that may have
/// come.
fn pings_heard(connect: &str, says: &str, intervals: u64) -> usize {
    let mut node = Node::new();
    let interval_ms = node.context.limits.ping_interval_ms;
    // That far lies the first one, by which the round trip is measured.
    node.give(0, connect.as_bytes(), false, false);
    for interval in 1..=intervals {
        node.context.now_ms = interval * interval_ms;
        node.context.now_ns = node.context.now_ms * 1_000_000;
        let (client, broker) = (&mut node.clients[0], &mut node.broker);
        if matches!(client.on_time(&node.context, broker), Flow::Close(_)) {
            break;
        }
        node.context.now_ms += 10;
        node.context.now_ns += 10_000_000;
        node.give(0, says.as_bytes(), false, false);
    }
    node.collect();
    let said = String::from_utf8_lossy(&node.said[0]).into_owned();
    said.matches("PING\r\n").count()
}

/// As the oracle counts what it hears: an answer to its own PING is no sign of life, or idle clients would be asked at every
/// other interval only.
#[test]
fn pings_come_at_each_interval_to_whoever_is_idle() {
    let connect = "CONNECT {\"verbose\":false}\r\n";
    assert_eq!(pings_heard(connect, "PONG\r\n", 20), 20);
    assert_eq!(pings_heard(connect, "PONG\r\n+OK\r\n", 20), 20);
    for busy in ["PING\r\n", "PUB a 0\r\n\r\n", "SUB a 1\r\n", "UNSUB 1\r\n"] {
        // The first measures the round trip, whatever else is heard.
        let heard = pings_heard(connect, &format!("PONG\r\n{busy}"), 20);
        assert_eq!(heard, 1, "{busy}");
    }
    // Without CONNECT the round trip is not known before the first PONG.
    let most = Limits::default().pings_out_max as usize;
    assert_eq!(pings_heard("", "PUB a 0\r\n\r\n", 20), most);
}

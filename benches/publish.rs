//! The data path without the kernel: parsing alone, encoding alone, and a session's publishes through matching to
//! outboxes that a fake port empties.

use std::hint::black_box;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gannet::auth::Authenticator;
use gannet::broker::effect::{Batch, ConnId, Outlet};
use gannet::broker::outbox::{Chunk, ChunkPool, Outbox, Prefix};
use gannet::broker::run::{Message, Run};
use gannet::broker::{Broker, PendingLimits, ShardPlace};
use gannet::config::{Config, Limits};
use gannet::proto::handshake::Info;
use gannet::proto::parser::{self, Op, Step};
use gannet::session::client::Client;
use gannet::session::{Context, Port};

/// Takes chunks as a socket that is always ready would, at the end of each buffer.
#[derive(Default)]
struct Sink(Vec<(ConnId, Chunk)>);

impl Outlet for Sink {
    fn send_now(&mut self, _conn: ConnId, parts: &[IoSlice<'_>]) -> usize {
        parts.iter().map(|part| part.len()).sum()
    }
}

impl Port for Sink {
    fn push_mesh(&mut self, _batches: &mut [Batch]) -> bool {
        true
    }
}

struct World {
    context: Context,
    broker: Broker,
    sink: Sink,
    clients: Vec<Client>,
}

impl World {
    fn new(clients: u32) -> Self {
        let authenticator =
            Arc::new(Authenticator::new(&Config::default()).expect("nothing to refuse"));
        let info = Info {
            headers: true,
            max_payload: 1 << 20,
            ..Info::default()
        };
        let mut context = Context::new(Limits::default(), authenticator, info, 2_000, [0; 32]);
        let mut broker = Broker::new(
            ShardPlace { index: 0, count: 1 },
            PendingLimits::new(1 << 26, false),
            7,
        );
        let clients = (0..clients)
            .map(|conn| {
                broker.open(conn, 1);
                Client::new(
                    &mut context,
                    &mut broker,
                    conn,
                    u64::from(conn),
                    (IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
                )
            })
            .collect();
        context.now_ms = 1;
        let mut world = World {
            context,
            broker,
            sink: Sink::default(),
            clients,
        };
        for at in 0..world.clients.len() {
            world.say(
                at,
                b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n",
            );
        }
        world
    }

    fn say(&mut self, client: usize, bytes: &[u8]) {
        let World {
            context,
            broker,
            sink,
            clients,
        } = self;
        black_box(clients[client].receive(context, broker, sink, bytes));
        self.flush();
    }

    fn flush(&mut self) {
        let mut dirty = Vec::new();
        loop {
            for (conn, chunk) in std::mem::take(&mut self.sink.0) {
                let sent = chunk.unsent().len();
                self.broker.chunk_sent(conn, chunk, sent);
                dirty.push(conn);
            }
            self.broker.take_dirty(&mut dirty);
            for conn in dirty.drain(..) {
                self.sink
                    .0
                    .extend(self.broker.next_chunk(conn).map(|chunk| (conn, chunk)));
            }
            if self.sink.0.is_empty() {
                return;
            }
        }
    }
}

/// Publishes that fill so many receive buffers, and how many they are.
fn buffers(number: usize, subjects: u32, sizes: std::ops::Range<u32>) -> (Vec<Vec<u8>>, u64) {
    let (mut all, mut bytes, mut count, mut random) = (Vec::new(), Vec::new(), 0, 12345u32);
    while all.len() < number {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (subject, size) = (
            (random >> 8) % subjects,
            sizes.start + (random >> 16) % (sizes.end - sizes.start),
        );
        bytes.extend(format!("PUB mix.{subject}.x {size}\r\n").bytes());
        bytes.extend(std::iter::repeat_n(b'x', size as usize));
        bytes.extend(b"\r\n");
        count += 1;
        if bytes.len() > 64 * 1024 - 300 {
            all.push(std::mem::take(&mut bytes));
        }
    }
    (all, count)
}

fn parse(c: &mut Criterion) {
    let (bytes, count) = buffers(1, 1000, 8..201);
    let bytes = bytes.concat();
    let mut group = c.benchmark_group("parser");
    group.throughput(Throughput::Elements(count));
    group.bench_function("scrambled publishes", |b| {
        b.iter(|| {
            let mut at = 0;
            while let Step::Op(Op::Publish(line), _) = parser::parse(&bytes[at..], 4096) {
                at += (line.body + line.total_len + 2) as usize;
                black_box(line);
            }
            at
        });
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for size in [16usize, 128, 1024] {
        let one = [
            format!("{size}\r\n").into_bytes(),
            vec![b'x'; size],
            b"\r\n".to_vec(),
        ]
        .concat();
        let bytes = one.repeat(100);
        let messages: Vec<Message> = (0..100)
            .map(|i| {
                let tail = (i * one.len()) as u32;
                let body = tail + (one.len() - size - 2) as u32;
                Message {
                    tail,
                    reply_len: 0,
                    body,
                    header_len: 0,
                    end: tail + one.len() as u32,
                }
            })
            .collect();
        let run = Run {
            bytes: &bytes,
            subject: b"foo.bar",
            headers: false,
            messages: &messages,
        };
        let prefix = Prefix {
            bytes: b"MSG foo.bar 12345                                ",
            len: 18,
        };
        let (mut pool, mut outbox) = (ChunkPool::default(), Outbox::default());
        group.throughput(Throughput::Elements(100));
        group.bench_function(format!("{size} B"), |b| {
            b.iter(|| {
                outbox.push_run(&mut pool, prefix, &run);
                while let Some(chunk) = outbox.next(0) {
                    let sent = chunk.unsent().len();
                    outbox.sent(&mut pool, chunk, sent);
                }
            });
        });
    }
    group.finish();
}

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    let cases = [
        ("16 B, nobody subscribed", 1, 0, 16..17),
        ("16 B to 1", 1, 1, 16..17),
        (
            "1,000 subjects, 8-200 B, to 1 on a wildcard",
            1000,
            1,
            8..201,
        ),
        ("128 B to 100", 1, 100, 128..129),
    ];
    for (name, subjects, subscribers, sizes) in cases {
        let mut world = World::new(subscribers + 1);
        for subscriber in 1..=subscribers {
            world.say(
                subscriber as usize,
                format!("SUB mix.> {}\r\n", 1000 + subscriber).as_bytes(),
            );
        }
        // So many that nothing that looks ahead or back in the processor learns them by heart.
        let (bytes, count) = buffers(64, subjects, sizes);
        let mut received = vec![0; 64 * 1024];
        group.throughput(Throughput::Elements(count * u64::from(subscribers.max(1))));
        group.bench_function(name, |b| {
            b.iter(|| {
                for bytes in &bytes {
                    received[..bytes.len()].copy_from_slice(bytes);
                    world.say(0, &received[..bytes.len()]);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, encode, publish);
criterion_main!(benches);

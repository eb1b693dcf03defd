//! Owns the measurement of one row on one server: open, warm up, measure, check. Never repeats and never prints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounts::{Road, as_user};
use super::result::{Latency, Sample};
use super::rows::{Place, Row, Work};
use super::server::{Cores, Server, Side, confine};
use crate::bench::blob::Blob;
use crate::bench::conn::{Conn, Target};
use crate::bench::drive::{Goal, Publisher};
use crate::bench::load::{Load, PublisherSpec, Running, SubscriberSpec, subscribe};
use crate::bench::request::{Requester, Responder, histogram, keep_in_flight, record};

/// Bytes due and not yet delivered, over all subscribers: with 1,000 of them, some reads of the server's for each. With less
/// than that a publisher never has as much to say at once as one without any bound.
const OUTSTANDING_BYTES_MAX: usize = 256 << 20;
/// The same for one subscriber: far below the 64 MiB at which a server cuts it.
const OUTSTANDING_BYTES_EACH_MAX: usize = 4 << 20;
/// `MSG subject sid size` and the line ends.
const HEADER_BYTES: usize = 24;
/// Time for a server to go back to sleep before its CPU time is read.
const SETTLE: Duration = Duration::from_millis(3);

/// How long the phases last.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The same work, not counted.
    pub warmup: Duration,
    /// The counted phase.
    pub measured: Duration,
}

/// Starts `side`, runs `row` on it and stops it.
pub fn measure(row: &Row, side: &Side, cores: Cores, times: Times) -> Result<Sample, String> {
    let server = Server::start(side, row, cores)?;
    let core = match row.place {
        Place::Apart | Place::ApartSpinning => Some(cores.generator),
        Place::Together => Some(cores.server),
        Place::TwoCores => None,
    };
    let generator = || {
        confine(core)?;
        let sample = run(row.work, &server, side, times)?;
        server.check_log()?;
        Ok(Sample {
            shards: side.shards(row.place),
            ..sample
        })
    };
    std::thread::scope(|scope| {
        scope
            .spawn(generator)
            .join()
            .expect("the generator panicked")
    })
}

fn run(work: Work, server: &Server, side: &Side, times: Times) -> Result<Sample, String> {
    let target = &server.target;
    match work {
        Work::Publish { payload_bytes } => {
            flow(server, publish_load(payload_bytes).open(target)?, times)
        }
        Work::Fan {
            subscribers,
            payload_bytes,
        } => flow(
            server,
            fan_load(subscribers, payload_bytes).open(target)?,
            times,
        ),
        Work::Pairs {
            pairs,
            payload_bytes,
        } => flow(
            server,
            pairs_load(pairs, payload_bytes).open(target)?,
            times,
        ),
        Work::Mix => flow(server, mix_load().open(target)?, times),
        Work::Shards {
            cross,
            payload_bytes,
        } => flow(
            server,
            between_shards(server, side, cross, payload_bytes)?,
            times,
        ),
        Work::Request {
            payload_bytes,
            polls,
        } => request(server, payload_bytes, polls, times),
        Work::Accounts {
            road,
            payload_bytes,
        } => flow(server, road.open(target, payload_bytes)?, times),
        Work::AccountsRequest {
            road,
            payload_bytes,
            in_flight,
        } => requests_together(server, road, payload_bytes, in_flight, times),
        Work::IdleConnections { connections } => idle_connections(server, connections),
        Work::Subscriptions { subscriptions } => subscriptions_of_one(server, subscriptions),
    }
}

fn flow(server: &Server, mut running: Running, times: Times) -> Result<Sample, String> {
    running.run(Goal::Until(Instant::now() + times.warmup))?;
    std::thread::sleep(SETTLE);
    let before = server.cpu()?;
    let outcome = running.run(Goal::Until(Instant::now() + times.measured))?;
    std::thread::sleep(SETTLE);
    let cpu_ns = server.cpu()?.since(&before);
    running.confirm()?;
    let messages = if outcome.delivered > 0 {
        outcome.delivered
    } else {
        outcome.published
    } as f64;
    Ok(Sample {
        per_second: Some(messages / outcome.elapsed.as_secs_f64()),
        cpu_ns: Some(cpu_ns as f64 / messages),
        ..Sample::default()
    })
}

fn publish_load(payload_bytes: usize) -> Load {
    let blob = Arc::new(Blob::uniform(&["bench".to_owned()], payload_bytes));
    Load {
        publishers: vec![PublisherSpec { blob, fan: 0 }],
        ..Load::default()
    }
}

fn fan_load(subscribers: usize, payload_bytes: usize) -> Load {
    let blob = Arc::new(Blob::uniform(&["bench".to_owned()], payload_bytes));
    Load {
        publishers: vec![PublisherSpec {
            blob,
            fan: subscribers as u64,
        }],
        subscribers: (1..=subscribers)
            .map(|sid| subscriber("bench", sid))
            .collect(),
        outstanding_max: outstanding_max(subscribers, payload_bytes),
        ..Load::default()
    }
}

fn pairs_load(pairs: usize, payload_bytes: usize) -> Load {
    let subjects: Vec<String> = (0..pairs).map(|pair| format!("bench.{pair}")).collect();
    let publisher = |subject: &String| {
        let blob = Blob::uniform(std::slice::from_ref(subject), payload_bytes);
        PublisherSpec {
            blob: Arc::new(blob),
            fan: 1,
        }
    };
    Load {
        publishers: subjects.iter().map(publisher).collect(),
        subscribers: subjects
            .iter()
            .map(|subject| subscriber(subject, 1))
            .collect(),
        outstanding_max: outstanding_max(pairs, payload_bytes),
        ..Load::default()
    }
}

fn mix_load() -> Load {
    let subjects: Vec<String> = (0..1000)
        .map(|n| format!("mix.{}.{n}", ["eu", "asia", "america"][n % 3]))
        .collect();
    let blob = Arc::new(Blob::scrambled(&subjects, 8..=200, 42));
    Load {
        publishers: vec![PublisherSpec { blob, fan: 1 }],
        subscribers: vec![subscriber("mix.>", 1)],
        outstanding_max: outstanding_max(1, 104),
        ..Load::default()
    }
}

fn subscriber(pattern: &str, sid: usize) -> SubscriberSpec {
    SubscriberSpec {
        patterns: vec![(pattern.to_owned(), sid as u64)],
        queue: None,
    }
}

/// So many deliveries may be outstanding.
pub(super) fn outstanding_max(subscribers: usize, payload_bytes: usize) -> u64 {
    let bytes = (subscribers * OUTSTANDING_BYTES_EACH_MAX).min(OUTSTANDING_BYTES_MAX);
    (bytes / (payload_bytes + HEADER_BYTES)) as u64
}

/// Opens connections until two fall on one shard and a third on another, and takes those the row asks for.
/// On the oracle, which has no shards, any two will do.
fn between_shards(
    server: &Server,
    side: &Side,
    cross: bool,
    payload_bytes: usize,
) -> Result<Running, String> {
    let load = fan_load(1, payload_bytes);
    if side.oracle {
        return load.open(&server.target);
    }
    let mut placed: Vec<(String, Conn)> = Vec::new();
    for _ in 0..64 {
        let mut conn = Conn::open(&server.target)?;
        let shard = shard_of(server, &mut conn)?;
        if let Some(mate) = placed
            .iter()
            .position(|(other, _)| (*other != shard) == cross)
        {
            let (_, mut subscriber) = placed.swap_remove(mate);
            subscriber.write(b"SUB bench 1\r\n")?;
            subscriber.settle()?;
            let publisher = Publisher::new(conn, Arc::clone(&load.publishers[0].blob), 1);
            return load.start(vec![publisher], vec![subscriber]);
        }
        placed.push((shard, conn));
    }
    Err("64 connections fell on one and the same shard".to_owned())
}

/// The thread that works when this connection does.
fn shard_of(server: &Server, conn: &mut Conn) -> Result<String, String> {
    let blob = Blob::uniform(&["nobody".to_owned()], 16);
    std::thread::sleep(SETTLE);
    let before = server.cpu()?;
    for _ in 0..16 {
        conn.write(blob.bytes())?;
    }
    conn.settle()?;
    std::thread::sleep(SETTLE);
    server
        .cpu()?
        .busiest_since(&before)
        .ok_or_else(|| "the server has no threads".to_owned())
}

fn request(
    server: &Server,
    payload_bytes: usize,
    polls: bool,
    times: Times,
) -> Result<Sample, String> {
    let mut responder = Responder::open(&server.target, "service", None, payload_bytes)?;
    let mut requester = Requester::open(&server.target, "service", "bench", payload_bytes)?;
    if polls {
        responder.poll()?;
        requester.poll()?;
    }
    request_for(&mut requester, &mut responder, times.warmup)?;
    std::thread::sleep(SETTLE);
    let before = server.cpu()?;
    let started = Instant::now();
    let latencies = request_for(&mut requester, &mut responder, times.measured)?;
    let elapsed = started.elapsed();
    std::thread::sleep(SETTLE);
    let cpu_ns = server.cpu()?.since(&before);
    Ok(Sample {
        per_second: Some(latencies.len() as f64 / elapsed.as_secs_f64()),
        cpu_ns: Some(cpu_ns as f64 / latencies.len() as f64),
        latency: Some(Latency::of(&latencies)),
        ..Sample::default()
    })
}

fn requests_together(
    server: &Server,
    road: Road,
    payload_bytes: usize,
    in_flight: u64,
    times: Times,
) -> Result<Sample, String> {
    let (service, asking) = (
        as_user(&server.target, "A"),
        as_user(&server.target, road.requestor()),
    );
    let mut responder = Responder::open(&service, "q", None, payload_bytes)?;
    let mut requester = Requester::open(&asking, "q", "bench", payload_bytes)?;
    let mut ask_for = |length| -> Result<u64, String> {
        let end = Instant::now() + length;
        keep_in_flight(&mut requester, &mut responder, in_flight, end)
    };
    ask_for(times.warmup)?;
    std::thread::sleep(SETTLE);
    let (before, started) = (server.cpu()?, Instant::now());
    let asked = ask_for(times.measured)? as f64;
    let elapsed = started.elapsed();
    std::thread::sleep(SETTLE);
    let cpu_ns = server.cpu()?.since(&before);
    Ok(Sample {
        per_second: Some(asked / elapsed.as_secs_f64()),
        cpu_ns: Some(cpu_ns as f64 / asked),
        ..Sample::default()
    })
}

fn request_for(
    requester: &mut Requester,
    responder: &mut Responder,
    length: Duration,
) -> Result<hdrhistogram::Histogram<u64>, String> {
    let mut latencies = histogram();
    let end = Instant::now() + length;
    loop {
        let started = Instant::now();
        if started >= end {
            return Ok(latencies);
        }
        requester.ask()?;
        while responder.answer_some()? == 0 {}
        requester.hear()?;
        record(&mut latencies, started.elapsed());
    }
}

fn idle_connections(server: &Server, connections: usize) -> Result<Sample, String> {
    let open = |target: &Target| Conn::open(target);
    let first: Vec<Conn> = (0..100)
        .map(|_| open(&server.target))
        .collect::<Result<_, _>>()?;
    let before = server.resident_bytes()?;
    let idle: Vec<Conn> = (0..connections)
        .map(|_| open(&server.target))
        .collect::<Result<_, _>>()?;
    let after = server.resident_bytes()?;
    drop((first, idle));
    Ok(Sample {
        bytes: Some(after.saturating_sub(before) as f64 / connections as f64),
        ..Sample::default()
    })
}

fn subscriptions_of_one(server: &Server, subscriptions: usize) -> Result<Sample, String> {
    let spec = SubscriberSpec {
        patterns: vec![("warm.up".to_owned(), 1)],
        queue: None,
    };
    let mut conn = subscribe(&server.target, &spec)?;
    let before = server.resident_bytes()?;
    let mut lines = String::new();
    for n in 0..subscriptions {
        lines.push_str(&format!("SUB orders.eu.{n} {}\r\n", n + 2));
        if lines.len() > 64 << 10 {
            conn.write(lines.as_bytes())?;
            lines.clear();
        }
    }
    conn.write(lines.as_bytes())?;
    conn.settle()?;
    let after = server.resident_bytes()?;
    Ok(Sample {
        bytes: Some(after.saturating_sub(before) as f64 / subscriptions as f64),
        ..Sample::default()
    })
}

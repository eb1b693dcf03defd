//! Owns the commands a user runs: from flags to a load or to requests, and on to the report. Never touches a socket itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::bar::with_bar;
use super::blob::Blob;
use super::conn::Target;
use super::drive::{Goal, Share};
use super::flags::{self, Flag, Options};
use super::load::{Load, Outcome, PublisherSpec, Running, SubscriberSpec};
use super::report::{Report, print};
use super::request::{Requester, Responder, histogram, record};

/// The flags of `pub`.
pub const PUB_FLAGS: &[&Flag] = &[
    &flags::SERVER,
    &flags::USER,
    &flags::PASSWORD,
    &flags::TOKEN,
    &flags::MESSAGES,
    &flags::SIZE,
    &flags::SUBJECT,
    &flags::SUBJECTS,
    &flags::PUBLISHERS,
    &flags::RATE,
    &flags::LATENCY,
    &flags::THREADS,
    &flags::JSON,
    &flags::CSV,
    &flags::NO_PROGRESS,
    &flags::HELP,
];

/// The flags of `sub`.
pub const SUB_FLAGS: &[&Flag] = &[
    &flags::SERVER,
    &flags::USER,
    &flags::PASSWORD,
    &flags::TOKEN,
    &flags::MESSAGES,
    &flags::SUBJECT,
    &flags::SUBJECTS,
    &flags::SUBSCRIBERS,
    &flags::QUEUE,
    &flags::THREADS,
    &flags::JSON,
    &flags::CSV,
    &flags::NO_PROGRESS,
    &flags::HELP,
];

/// The flags of `fan`.
pub const FAN_FLAGS: &[&Flag] = &[
    &flags::SERVER,
    &flags::USER,
    &flags::PASSWORD,
    &flags::TOKEN,
    &flags::MESSAGES,
    &flags::SIZE,
    &flags::SUBJECT,
    &flags::SUBJECTS,
    &flags::PUBLISHERS,
    &flags::SUBSCRIBERS,
    &flags::QUEUE,
    &flags::RATE,
    &flags::WINDOW,
    &flags::LATENCY,
    &flags::THREADS,
    &flags::JSON,
    &flags::CSV,
    &flags::NO_PROGRESS,
    &flags::HELP,
];

/// The flags of `mix`.
pub const MIX_FLAGS: &[&Flag] = &[
    &flags::SERVER,
    &flags::USER,
    &flags::PASSWORD,
    &flags::TOKEN,
    &flags::MESSAGES,
    &flags::MIX_SIZE,
    &flags::SUBJECT,
    &flags::MIX_SUBJECTS,
    &flags::PUBLISHERS,
    &flags::SUBSCRIBERS,
    &flags::QUEUE,
    &flags::RATE,
    &flags::WINDOW,
    &flags::LATENCY,
    &flags::THREADS,
    &flags::JSON,
    &flags::CSV,
    &flags::NO_PROGRESS,
    &flags::HELP,
];

/// The flags of `request`.
pub const REQUEST_FLAGS: &[&Flag] = &[
    &flags::SERVER,
    &flags::USER,
    &flags::PASSWORD,
    &flags::TOKEN,
    &flags::REQUESTS,
    &flags::SIZE,
    &flags::SUBJECT,
    &flags::CLIENTS,
    &flags::RATE,
    &flags::JSON,
    &flags::CSV,
    &flags::NO_PROGRESS,
    &flags::HELP,
];

/// The flags of `serve`.
pub const SERVE_FLAGS: &[&Flag] = &[
    &flags::SERVER,
    &flags::USER,
    &flags::PASSWORD,
    &flags::TOKEN,
    &flags::SIZE,
    &flags::SUBJECT,
    &flags::SERVE_CLIENTS,
    &flags::SERVE_QUEUE,
    &flags::HELP,
];

/// Time between two messages of the latency probe.
const PROBE_EVERY: Duration = Duration::from_millis(1);

/// `pub`: publishes; nobody of ours listens.
pub fn publish(options: &Options) -> Result<(), String> {
    let subjects = subjects(options, &flags::SUBJECTS)?;
    let sizes = options.sizes(&flags::SIZE)?;
    let publishers = publishers(options.positive(&flags::PUBLISHERS)?, &subjects, sizes, 0);
    publish_all(
        "pub",
        options,
        Load {
            publishers,
            ..Load::default()
        },
    )
}

/// `fan`: publishes and subscribes at once, and checks that every delivery comes exactly once.
pub fn fan(options: &Options) -> Result<(), String> {
    let subjects = subjects(options, &flags::SUBJECTS)?;
    let sizes = options.sizes(&flags::SIZE)?;
    let (subscribers, fan) = subscribers(options, &subjects)?;
    let publishers = publishers(options.positive(&flags::PUBLISHERS)?, &subjects, sizes, fan);
    let outstanding_max = window(options, sizes)?;
    publish_all(
        "fan",
        options,
        Load {
            publishers,
            subscribers,
            outstanding_max,
            ..Load::default()
        },
    )
}

/// `mix`: scrambled subjects and sizes from every publisher to every subscriber, which listen on a wildcard.
pub fn mix(options: &Options) -> Result<(), String> {
    let subjects = subjects(options, &flags::MIX_SUBJECTS)?;
    let sizes = options.sizes(&flags::MIX_SIZE)?;
    let wildcard = [format!("{}.>", options.subject(&flags::SUBJECT)?)];
    let wildcard = if subjects.len() > 1 {
        &wildcard[..]
    } else {
        &subjects
    };
    let (subscribers, fan) = subscribers(options, wildcard)?;
    let blob = |seed| Arc::new(Blob::scrambled(&subjects, sizes.0..=sizes.1, seed));
    let publishers = (0..options.positive(&flags::PUBLISHERS)? as u64).map(|p| PublisherSpec {
        blob: blob(2 * p + 1),
        fan,
    });
    let publishers = publishers.collect();
    let outstanding_max = window(options, sizes)?;
    publish_all(
        "mix",
        options,
        Load {
            publishers,
            subscribers,
            outstanding_max,
            ..Load::default()
        },
    )
}

/// `sub`: subscribes and counts what others publish, timed from the first message on.
pub fn subscribe(options: &Options) -> Result<(), String> {
    let messages = options.count(&flags::MESSAGES)?;
    let (subscribers, _) = subscribers(options, &subjects(options, &flags::SUBJECTS)?)?;
    let load = Load {
        subscribers,
        threads: options.positive(&flags::THREADS)?,
        ..Load::default()
    };
    let mut running = load.open(&target(options))?;
    let progress = running.progress();
    let outcome = with_bar(
        options,
        messages,
        || progress.delivered(),
        || {
            let first = running.run(Goal::Received(1))?;
            let rest = running.run(Goal::Received(messages))?;
            Ok::<_, String>(Outcome {
                delivered: first.delivered + rest.delivered,
                ..rest
            })
        },
    )?;
    print(
        options,
        &Report {
            command: "sub",
            outcome,
            payload_bytes_mean: None,
            latencies: None,
        },
    );
    Ok(())
}

/// `request`: each client asks, waits for the reply, and asks again.
pub fn request(options: &Options) -> Result<(), String> {
    let clients = options.positive(&flags::CLIENTS)?;
    let total = options.count(&flags::REQUESTS)?;
    let payload_bytes = options.sizes(&flags::SIZE)?.1;
    let subject = options.subject(&flags::SUBJECT)?;
    let per_second = options.count(&flags::RATE)? as f64 / clients as f64;
    let target = target(options);
    let open = |_| Requester::open(&target, subject, &unique()?, payload_bytes);
    let requesters: Vec<Requester> = (0..clients).map(open).collect::<Result<_, String>>()?;
    let done = AtomicU64::new(0);
    let started = Instant::now();
    let latencies = with_bar(
        options,
        total,
        || done.load(Ordering::Relaxed),
        || ask_all(requesters, total, per_second, &done),
    )?;
    let outcome = Outcome {
        elapsed: started.elapsed(),
        published: total,
        delivered: latencies.len(),
    };
    let payload_bytes_mean = Some(payload_bytes as f64);
    print(
        options,
        &Report {
            command: "request",
            outcome,
            payload_bytes_mean,
            latencies: Some(latencies),
        },
    );
    Ok(())
}

/// `serve`: answers requests until it is stopped.
pub fn serve(options: &Options) -> Result<(), String> {
    let payload_bytes = options.sizes(&flags::SIZE)?.1;
    let subject = options.subject(&flags::SUBJECT)?;
    let queue = options.text(&flags::SERVE_QUEUE);
    let target = target(options);
    let open = |_| Responder::open(&target, subject, queue, payload_bytes);
    let responders = (0..options.positive(&flags::SERVE_CLIENTS)?)
        .map(open)
        .collect::<Result<Vec<_>, _>>()?;
    eprintln!("answering on {subject}");
    std::thread::scope(|scope| {
        let answer = |mut responder: Responder| {
            move || loop {
                responder.answer_some()?;
            }
        };
        let threads: Vec<_> = responders
            .into_iter()
            .map(|responder| scope.spawn(answer(responder)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a responder panicked"))
    })
}

fn publish_all(command: &'static str, options: &Options, load: Load) -> Result<(), String> {
    let load = Load {
        threads: options.positive(&flags::THREADS)?,
        per_second: options.count(&flags::RATE)? as f64,
        ..load
    };
    let published = options.count(&flags::MESSAGES)?;
    let fan = load.publishers[0].fan;
    let target = target(options);
    let mut running = load.open(&target)?;
    let progress = running.progress();
    let probe = options
        .has(&flags::LATENCY)
        .then(|| Probe::open(&target))
        .transpose()?;
    let position = || {
        if fan > 0 {
            progress.delivered()
        } else {
            progress.published()
        }
    };
    let (outcome, latencies) = with_bar(options, published * fan.max(1), position, || {
        run_probed(&mut running, published, probe)
    })?;
    let sizes: f64 = load
        .publishers
        .iter()
        .map(|publisher| publisher.blob.payload_bytes_mean())
        .sum();
    let payload_bytes_mean = Some(sizes / load.publishers.len() as f64);
    print(
        options,
        &Report {
            command,
            outcome,
            payload_bytes_mean,
            latencies,
        },
    );
    Ok(())
}

/// Runs the load to its end, with a probe beside it if there is one.
fn run_probed(
    running: &mut Running,
    published: u64,
    probe: Option<Probe>,
) -> Result<(Outcome, Option<Histogram<u64>>), String> {
    let over = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let probe = probe.map(|probe| scope.spawn(|| probe.run(&over)));
        let outcome = running
            .run(Goal::All(published))
            .and_then(|outcome| running.confirm().map(|()| outcome));
        over.store(1, Ordering::Relaxed);
        let latencies = probe
            .map(|probe| probe.join().expect("the probe panicked"))
            .transpose();
        Ok((outcome?, latencies?))
    })
}

/// Sends a message to itself through the server, once a millisecond, and times it.
struct Probe(Requester);

impl Probe {
    fn open(target: &Target) -> Result<Probe, String> {
        let unique = unique()?;
        Ok(Probe(Requester::open(
            target,
            &format!("_INBOX.{unique}"),
            &unique,
            16,
        )?))
    }

    fn run(mut self, over: &AtomicU64) -> Result<Histogram<u64>, String> {
        let mut latencies = histogram();
        while over.load(Ordering::Relaxed) == 0 {
            record(&mut latencies, self.0.round_trip()?);
            std::thread::sleep(PROBE_EVERY);
        }
        Ok(latencies)
    }
}

fn ask_all(
    requesters: Vec<Requester>,
    total: u64,
    per_second: f64,
    done: &AtomicU64,
) -> Result<Histogram<u64>, String> {
    std::thread::scope(|scope| {
        let parts = requesters.len() as u64;
        let ask = |(place, requester)| {
            let each = Share { place, parts }.of(total);
            scope.spawn(move || ask_one(requester, each, per_second, done))
        };
        let threads: Vec<_> = (0..).zip(requesters).map(ask).collect();
        let mut all = histogram();
        for thread in threads {
            all.add(thread.join().expect("a requester panicked")?)
                .map_err(|e| e.to_string())?;
        }
        Ok(all)
    })
}

fn ask_one(
    mut requester: Requester,
    each: u64,
    per_second: f64,
    done: &AtomicU64,
) -> Result<Histogram<u64>, String> {
    let mut latencies = histogram();
    let started = Instant::now();
    for asked in 0..each {
        if per_second > 0.0 {
            let due = Duration::from_secs_f64(asked as f64 / per_second);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        record(&mut latencies, requester.round_trip()?);
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(latencies)
}

fn target(options: &Options) -> Target {
    let text = |flag| options.text(flag).map(str::to_owned);
    Target {
        server: options.server(&flags::SERVER),
        user: text(&flags::USER),
        password: text(&flags::PASSWORD),
        token: text(&flags::TOKEN),
    }
}

fn subjects(options: &Options, flag: &Flag) -> Result<Vec<String>, String> {
    let name = options.subject(&flags::SUBJECT)?;
    match options.positive(flag)? {
        1 => Ok(vec![name.to_owned()]),
        count => Ok((0..count).map(|n| format!("{name}.{n}")).collect()),
    }
}

/// Deals the subjects out: with more publishers than subjects, publishers share them.
fn publishers(
    count: usize,
    subjects: &[String],
    sizes: (usize, usize),
    fan: u64,
) -> Vec<PublisherSpec> {
    let groups = count.min(subjects.len());
    let blobs: Vec<Arc<Blob>> = (0..groups)
        .map(|group| Arc::new(blob(&every_nth(subjects, group, groups), sizes)))
        .collect();
    (0..count)
        .map(|publisher| PublisherSpec {
            blob: Arc::clone(&blobs[publisher % groups]),
            fan,
        })
        .collect()
}

/// Deals the subjects out, and says how many deliveries each message makes.
fn subscribers(
    options: &Options,
    subjects: &[String],
) -> Result<(Vec<SubscriberSpec>, u64), String> {
    let count = options.positive(&flags::SUBSCRIBERS)?;
    let groups = count.min(subjects.len());
    if count % groups != 0 {
        return Err(format!(
            "{count} subscribers cannot share {groups} subjects evenly"
        ));
    }
    let queue = options.text(&flags::QUEUE).map(str::to_owned);
    let spec = |subscriber: usize| {
        let own = every_nth(subjects, subscriber % groups, groups).into_iter();
        let patterns = own
            .zip(1..)
            .map(|(subject, n)| (subject, (subscriber + n) as u64))
            .collect();
        SubscriberSpec {
            patterns,
            queue: queue.clone(),
        }
    };
    let fan = if queue.is_some() { 1 } else { count / groups };
    Ok(((0..count).map(spec).collect(), fan as u64))
}

fn every_nth(subjects: &[String], first: usize, step: usize) -> Vec<String> {
    subjects.iter().skip(first).step_by(step).cloned().collect()
}

fn blob(subjects: &[String], sizes: (usize, usize)) -> Blob {
    if sizes.0 == sizes.1 {
        Blob::uniform(subjects, sizes.0)
    } else {
        Blob::scrambled(subjects, sizes.0..=sizes.1, 1)
    }
}

/// The window in deliveries.
fn window(options: &Options, sizes: (usize, usize)) -> Result<u64, String> {
    let message_bytes = (sizes.0 + sizes.1) as u64 / 2 + 24;
    match options.count(&flags::WINDOW)? {
        0 => Ok(0),
        bytes => Ok((bytes / message_bytes).max(1)),
    }
}

/// A word nobody else uses for an inbox.
fn unique() -> Result<String, String> {
    let random = getrandom::u64().map_err(|e| e.to_string())?;
    Ok(format!("{random:016x}"))
}

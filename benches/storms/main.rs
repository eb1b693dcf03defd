//! Storms of logins: many clients come at once, and what those feel who are there already. gannet against nats-server, in
//! turns. Owns the table; how a storm is made is in [`storm`], what its clients have to show in [`material`].
//!
//! `cargo bench --bench storms -- [--pairs N] [--logins N] [--only jwt|accounts|tls|callout|bcrypt] [--gannet PATH] [--oracle PATH]`; prints
//! Markdown. Uses 127.0.0.1 and ports of the kernel's choice. The clients of the storm yield to everybody (nice 19), who
//! measures to nobody (`chrt --fifo`, if it may).

#[path = "../../tests/differential/keys.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod keys;
#[path = "../../tests/differential/marks.rs"]
mod marks;
mod material;
mod ping;
#[path = "../../tests/differential/pki.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod pki;
mod server;
mod service;
mod storm;
#[path = "../../tests/differential/token.rs"]
mod token;

use gannet::bench::{Latency, spread};

use material::{KINDS, Kind, Material};
use ping::Pinger;
use server::Server;

struct Options {
    pairs: usize,
    logins: usize,
    only: Option<String>,
    gannet: String,
    oracle: String,
}

/// What one storm came to.
struct Sample {
    /// Until the last was in, s.
    seconds: f64,
    before: Latency,
    during: Latency,
}

fn main() -> Result<(), String> {
    let options = options()?;
    println!(
        "{} logins at once; medians of {} pairs\n",
        options.logins, options.pairs
    );
    println!(
        "| storm | server | all in after s | before: p50 µs | p99 | during: p50 µs | p99 | max | s B/A | p99 B/A |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut tails = String::new();
    for kind in KINDS {
        if options.only.as_ref().is_none_or(|only| only == kind.name()) {
            tails += &compare(&options, *kind)?;
        }
    }
    println!("\n| storm | server | before: p99.9 µs | during: p99.9 |\n|---|---|---|---|\n{tails}");
    Ok(())
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        pairs: 3,
        logins: 5000,
        only: None,
        gannet: env!("CARGO_BIN_EXE_gannet").to_owned(),
        oracle: "nats-server".to_owned(),
    };
    // `cargo bench` adds a flag of its own.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} what?"))?;
        let number = || value.parse().map_err(|_| format!("{flag} {value}"));
        match flag.as_str() {
            "--pairs" => options.pairs = number()?,
            "--logins" => options.logins = number()?,
            "--only" => options.only = Some(value),
            "--gannet" => options.gannet = value,
            "--oracle" => options.oracle = value,
            _ => return Err(format!("no flag {flag}")),
        }
    }
    Ok(options)
}

/// Gives the rows of the second table.
fn compare(options: &Options, kind: Kind) -> Result<String, String> {
    let material = Material::new(kind, options.logins)?;
    let programs = [&options.gannet, &options.oracle];
    let mut samples = [Vec::new(), Vec::new()];
    for pair in 0..options.pairs {
        for turn in 0..2 {
            let side = (pair + turn) % 2;
            let sample = measure(programs[side], &material, options.logins)?;
            eprintln!(
                "{} {}: {:.1} s, p99 {:.0} µs",
                kind.name(),
                programs[side],
                sample.seconds,
                sample.during.p99 / 1000.0
            );
            samples[side].push(sample);
        }
    }
    print_rows(kind, &samples);
    Ok(tails(kind, &samples))
}

fn tails(kind: Kind, samples: &[Vec<Sample>; 2]) -> String {
    let rows = ["gannet", "nats-server"].into_iter().zip(samples);
    rows.map(|(name, samples)| {
        let median = |figure: fn(&Sample) -> f64| {
            spread(samples.iter().map(figure)).map_or(f64::NAN, |spread| spread.median / 1000.0)
        };
        let (before, during) = (median(|s| s.before.p999), median(|s| s.during.p999));
        format!(
            "| {} | {name} | {before:.0} | {during:.0} |\n",
            kind.title()
        )
    })
    .collect()
}

fn measure(program: &str, material: &Material, logins: usize) -> Result<Sample, String> {
    let server = Server::start(program, material)?;
    if material.kind() == Kind::Callout {
        service::start(&server, material)?;
    }
    let pinger = Pinger::start(&server, material)?;
    std::thread::sleep(material.calm());
    let before = pinger.turn();
    let seconds = storm::run(&server, material, logins)?;
    let during = pinger.turn();
    pinger.end()?;
    Ok(Sample {
        seconds,
        before: Latency::of(&before),
        during: Latency::of(&during),
    })
}

fn print_rows(kind: Kind, samples: &[Vec<Sample>; 2]) {
    let ratio = |figure: fn(&Sample) -> f64| {
        let pairs = samples[0].iter().zip(&samples[1]);
        let ratios = pairs.map(|(a, b)| figure(b) / figure(a));
        spread(ratios).map_or_else(String::new, |s| {
            format!("{:.2} ({:.2}–{:.2})", s.median, s.min, s.max)
        })
    };
    for (side, name) in ["gannet", "nats-server"].into_iter().enumerate() {
        let median = |figure: fn(&Sample) -> f64| {
            spread(samples[side].iter().map(figure)).map_or(f64::NAN, |spread| spread.median)
        };
        let (title, seconds, p99) = match side {
            0 => (
                kind.title(),
                ratio(|sample| sample.seconds),
                ratio(|sample| sample.during.p99),
            ),
            _ => ("", String::new(), String::new()),
        };
        println!(
            "| {title} | {name} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {seconds} | {p99} |",
            median(|sample| sample.seconds),
            median(|sample| sample.before.p50 / 1000.0),
            median(|sample| sample.before.p99 / 1000.0),
            median(|sample| sample.during.p50 / 1000.0),
            median(|sample| sample.during.p99 / 1000.0),
            median(|sample| sample.during.max / 1000.0),
        );
    }
}

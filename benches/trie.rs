//! How long a match takes, and what a pattern costs in memory and in the longest pause.
//!
//! `cargo bench --bench trie`; memory and pauses are printed first. All times are CPU time of the thread, so that
//! waiting for other processes on the machine does not count (what they do to the caches does).

use std::hint::black_box;
use std::time::Duration;

use criterion::{Bencher, BenchmarkId, Criterion};
use gannet::subject::PatternSet;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MILLION: u32 = 1_000_000;

fn main() {
    if std::env::args().any(|argument| argument == "--bench") {
        report("literals of 24 bytes", literal);
        report("inboxes, `_INBOX.<22>.*`", inbox);
    }
    let mut criterion = Criterion::default().configure_from_args();
    literals(&mut criterion);
    wildcards(&mut criterion);
    dearest_walk(&mut criterion);
    changes(&mut criterion);
    criterion.final_summary();
}

/// Prints what a million patterns cost: memory, the mean insertion, the longest ones.
fn report(name: &str, nth: fn(u32) -> Vec<u8>) {
    let patterns: Vec<_> = (0..MILLION).map(nth).collect();
    let resident_before = resident_bytes();
    let mut set = PatternSet::with_seed(1);
    let mut insert_ns: Vec<u64> = Vec::with_capacity(patterns.len());
    insert_ns.resize(patterns.len(), 1);
    let resident_before = resident_bytes().max(resident_before);
    for (pattern, ns) in patterns.iter().zip(&mut insert_ns) {
        let start = thread_ns();
        set.insert(pattern);
        *ns = thread_ns() - start;
    }
    let resident = resident_bytes() - resident_before;
    let of_each = |bytes: usize| bytes as f64 / f64::from(MILLION);
    insert_ns.sort_unstable();
    let mean = insert_ns.iter().sum::<u64>() / u64::from(MILLION);
    let worst = insert_ns[insert_ns.len() - 1] / 1_000;
    let often = insert_ns[insert_ns.len() - 100] / 1_000;
    println!("1,000,000 {name}");
    println!(
        "  a pattern: {:.1} bytes held, {:.1} resident",
        of_each(set.memory_bytes()),
        of_each(resident)
    );
    println!(
        "  an insertion: mean {mean} ns, the 100th longest {often} us, the longest {worst} us"
    );
    let start = thread_ns();
    let mut overlapping = 0;
    set.overlapping(b"*.0000077.>", |_| overlapping += 1);
    println!(
        "  overlapping with a wildcard: {} us, {overlapping} found",
        (thread_ns() - start) / 1_000
    );
    let mut longest = 0;
    let ids: Vec<_> = set.iter().collect();
    for id in ids {
        let start = thread_ns();
        set.remove(id);
        longest = longest.max(thread_ns() - start);
    }
    println!(
        "  the longest removal: {} us; {} bytes left",
        longest / 1_000,
        set.memory_bytes()
    );
}

/// A hit among many literals, the same subject again (hot) and all in scrambled order (cold).
fn literals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("literal");
    for count in [1, 1_000, MILLION] {
        let set = set_of((0..count).map(literal));
        let subjects = scrambled(count, literal);
        group.bench_with_input(BenchmarkId::new("same", count), &set, |bencher, set| {
            let subject = literal(count / 2);
            cpu_time(bencher, || matched(set, black_box(&subject)));
        });
        group.bench_with_input(
            BenchmarkId::new("scrambled", count),
            &set,
            |bencher, set| {
                let mut subjects = subjects.iter().cycle();
                cpu_time(bencher, || matched(set, subjects.next().expect("endless")));
            },
        );
        group.bench_with_input(BenchmarkId::new("miss", count), &set, |bencher, set| {
            cpu_time(bencher, || {
                matched(set, black_box(b"device.missing.telemetry"))
            });
        });
    }
    group.finish();
}

/// Subjects of three tokens, all different, walked through many wildcard patterns.
fn wildcards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wildcard");
    for count in [1, 1_000, MILLION] {
        let set = set_of((0..count).map(wildcard));
        let subjects = scrambled(count, |n| format!("orders.{n}.created").into_bytes());
        group.bench_with_input(BenchmarkId::new("3 tokens", count), &set, |bencher, set| {
            let mut subjects = subjects.iter().cycle();
            cpu_time(bencher, || matched(set, subjects.next().expect("endless")));
        });
    }
    let mut set = set_of((0..1_000).map(wildcard));
    (0..MILLION).map(literal).for_each(|pattern| {
        set.insert(&pattern);
    });
    let subjects = scrambled(MILLION, literal);
    group.bench_function(
        "literal hits among 1,000,000 beside 1,000 wildcards",
        |bencher| {
            let mut subjects = subjects.iter().cycle();
            cpu_time(bencher, || matched(&set, subjects.next().expect("endless")));
        },
    );
    group.finish();
}

/// The most nodes that so many patterns can make a walk visit: every way to write `a` or `*` sixteen times,
/// none of which matches in the end.
fn dearest_walk(criterion: &mut Criterion) {
    let mut set = PatternSet::with_seed(1);
    for bits in 1_u32..1 << 16 {
        let tokens: Vec<_> = (0..16)
            .map(|at| if bits >> at & 1 == 0 { "a" } else { "*" })
            .collect();
        set.insert(format!("{}.b", tokens.join(".")).as_bytes());
    }
    let subject = format!("{}c", "a.".repeat(16));
    criterion.bench_function("dearest walk, 65,535 patterns", |bencher| {
        cpu_time(bencher, || matched(&set, black_box(subject.as_bytes())));
    });
}

/// A subscription that comes and goes among a million.
fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert and remove");
    let mut set = set_of((0..MILLION).map(literal).chain((0..1_000).map(wildcard)));
    for (name, pattern) in [
        ("literal", &b"device.new.telemetry"[..]),
        ("wildcard", b"device.new.*"),
    ] {
        group.bench_function(name, |bencher| {
            cpu_time(bencher, || {
                let (id, _) = set.insert(black_box(pattern));
                set.remove(id);
            });
        });
    }
    group.finish();
}

fn literal(n: u32) -> Vec<u8> {
    format!("device.{n:07}.telemetry").into_bytes()
}

fn inbox(n: u32) -> Vec<u8> {
    format!("_INBOX.{:022}.*", u64::from(n) * 0x9E37_79B9).into_bytes()
}

/// Of every shape: each matches some of the subjects `orders.<n>.created`.
fn wildcard(n: u32) -> Vec<u8> {
    let pattern = match n % 4 {
        0 => format!("orders.{n}.*"),
        1 => format!("orders.{n}.>"),
        2 => format!("*.{n}.created"),
        _ => format!("orders.*.event{n}"),
    };
    pattern.into_bytes()
}

fn set_of(patterns: impl Iterator<Item = Vec<u8>>) -> PatternSet {
    let mut set = PatternSet::with_seed(1);
    patterns.for_each(|pattern| {
        set.insert(&pattern);
    });
    set
}

/// The subjects `0..count` in an order far from theirs, but next to one another in memory.
fn scrambled(count: u32, nth: impl Fn(u32) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| nth((u64::from(n) * 7_368_787 % u64::from(count)) as u32))
        .collect()
}

fn matched(set: &PatternSet, subject: &[u8]) -> u32 {
    let mut sum = 0;
    set.matches(subject, |id| sum += 1 + id.0);
    sum
}

/// As `Bencher::iter`, in CPU time of the thread.
fn cpu_time<T>(bencher: &mut Bencher, mut work: impl FnMut() -> T) {
    bencher.iter_custom(|times| {
        let start = thread_ns();
        for _ in 0..times {
            black_box(work());
        }
        Duration::from_nanos(thread_ns() - start)
    });
}

fn thread_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse().ok())
        .expect("resident pages");
    pages * 4096
}

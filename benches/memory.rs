//! Owns the measurement of what many accounts take of memory: the tables, which all shards share, and what each shard
//! has of its own, its replica of the interest. Prints a table; resident memory grows by whole pages, so the figures are
//! of many.

mod many_accounts;

use std::sync::Arc;

use gannet::account::compiler::compile;
use gannet::account::table::RoutingTable;
use gannet::broker::effect::{Batch, Outlet, Record};
use gannet::broker::{Broker, PendingLimits, ShardPlace};
use gannet::shard::memory::give_back;
use mimalloc::MiMalloc;

/// The broker's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ACCOUNTS: usize = 10_000;
const IMPORTS: usize = 10;

/// Patterns of each account that a connection on another shard subscribes to.
const PATTERNS: usize = 20;

/// Nothing is sent.
struct Nowhere;

impl Outlet for Nowhere {
    fn send_now(&mut self, _: u32, _: &[std::io::IoSlice<'_>]) -> usize {
        0
    }
}

fn main() {
    let text = many_accounts::text(ACCOUNTS, IMPORTS);
    let config = many_accounts::load(&text);
    println!(
        "{ACCOUNTS} accounts with {IMPORTS} imports each, {PATTERNS} patterns of another shard in each:\n"
    );
    let (table, bytes) = growth(|| Arc::new(compile(&config, None).expect("it compiles")));
    say("tables, once a node", bytes, ACCOUNTS * IMPORTS, "import");
    let (mut broker, bytes) = growth(|| broker(&table));
    say(
        "replica without interest, each shard",
        bytes,
        ACCOUNTS,
        "account",
    );
    let ((), bytes) = growth(|| subscribe(&mut broker, &table));
    let patterns = ACCOUNTS * PATTERNS;
    say("its interest, each shard", bytes, patterns, "pattern");
}

fn say(what: &str, bytes: usize, count: usize, unit: &str) {
    let mib = bytes as f64 / f64::from(1 << 20);
    println!(
        "| {what} | {mib:.1} MiB | {} B each {unit} |",
        bytes / count
    );
}

fn broker(table: &Arc<RoutingTable>) -> Broker {
    let place = ShardPlace { index: 0, count: 2 };
    let mut broker = Broker::new(place, PendingLimits::new(1 << 26, false), 7);
    broker.set_table(table.clone());
    broker
}

/// Another shard tells of its subscriptions.
fn subscribe(broker: &mut Broker, table: &RoutingTable) {
    let mut batch = Batch::default();
    for at in 0..ACCOUNTS {
        let account = table.find(&format!("A{at}")).expect("it is configured");
        for number in 0..PATTERNS {
            let pattern = batch.put(format!("orders.{number}.eu.*").as_bytes());
            batch.records.push(Record::Interest {
                account,
                pattern,
                queue: None,
                count: 1,
            });
        }
        broker.apply(1, &batch, &mut Nowhere);
        batch.clear();
    }
}

/// What something makes, and how many bytes of resident memory that takes. What was freed before is given back first: it
/// would be used again.
fn growth<T>(make: impl FnOnce() -> T) -> (T, usize) {
    give_back();
    let before = resident_bytes();
    let made = make();
    give_back();
    (made, resident_bytes().saturating_sub(before))
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("the kernel says it") * 1024
}

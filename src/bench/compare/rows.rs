//! Owns the rows of the comparison: what each does, where it runs, what it must reach. Never runs any.

use serde::{Deserialize, Serialize};

use super::accounts::Road;
use Goal::{AtMost, Ratio};
use Metric::{Bytes, Cpu, P50};
use Place::{Apart, ApartSpinning, Together, TwoCores};

/// What a row does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One publisher, nobody subscribed.
    Publish { payload_bytes: usize },
    /// One publisher, `subscribers` connections, each with its own sid, all on the one subject.
    Fan {
        subscribers: usize,
        payload_bytes: usize,
    },
    /// `pairs` publishers and subscribers, each pair on its own subject.
    Pairs { pairs: usize, payload_bytes: usize },
    /// One publisher, 1,000 subjects and sizes of 8 to 200 bytes scrambled; one subscriber on a wildcard.
    Mix,
    /// A requester and a responder, one request in flight; either sleeps until something comes, or polls its socket.
    Request { payload_bytes: usize, polls: bool },
    /// One publisher, one subscriber, on the same or on different shards.
    Shards { cross: bool, payload_bytes: usize },
    /// Accounts: publishers, each with a subscriber at the end of this road.
    Accounts { road: Road, payload_bytes: usize },
    /// Accounts: a requester with many requests in flight, and a responder at the end of this road.
    AccountsRequest {
        road: Road,
        payload_bytes: usize,
        in_flight: u64,
    },
    /// So many idle connections.
    IdleConnections { connections: usize },
    /// So many literal subscriptions of one connection.
    Subscriptions { subscriptions: usize },
}

/// Where server and generator run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The server on its core, the generator on another.
    Apart,
    /// As `Apart`, and gannet spins before it sleeps.
    ApartSpinning,
    /// Server and generator on one core.
    Together,
    /// Two shards (the oracle: both cores, unpinned); the generator is not confined.
    TwoCores,
}

/// A figure of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Server CPU, ns per message.
    Cpu,
    /// Median latency, ns.
    P50,
    /// Resident memory, bytes per item.
    Bytes,
}

/// What the first server must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The second server's figure is at least so many times the first's.
    Ratio(Metric, f64),
    /// The first server's figure is at most this.
    AtMost(Metric, f64),
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Short, unique, what `--rows` selects by.
    pub key: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// What it does.
    pub work: Work,
    /// Where it runs.
    pub place: Place,
    /// What must be reached; may be empty.
    pub goals: &'static [Goal],
}

impl Work {
    /// The road of a row about accounts.
    pub fn road(self) -> Option<Road> {
        match self {
            Work::Accounts { road, .. } | Work::AccountsRequest { road, .. } => Some(road),
            _ => None,
        }
    }

    /// What a figure "per message" counts.
    pub fn unit(self) -> &'static str {
        match self {
            Work::Publish { .. } => "published message",
            Work::Fan { .. }
            | Work::Pairs { .. }
            | Work::Mix
            | Work::Shards { .. }
            | Work::Accounts { .. } => "delivered message",
            Work::Request { .. } | Work::AccountsRequest { .. } => "request with its reply",
            Work::IdleConnections { .. } => "connection",
            Work::Subscriptions { .. } => "subscription",
        }
    }
}

macro_rules! rows {
    ($($key:literal $title:literal $place:ident $work:expr => [$($goal:expr),*];)*) => {
        &[$(Row { key: $key, title: $title, work: $work, place: $place, goals: &[$($goal),*] }),*]
    };
}

/// Every row, in the order of the table.
pub const ROWS: &[Row] = rows! {
    "publish-16" "publish, nobody subscribed, 16 B" Apart Work::Publish { payload_bytes: 16 } => [Ratio(Cpu, 10.0)];
    "publish-128" "publish, nobody subscribed, 128 B" Apart Work::Publish { payload_bytes: 128 } => [Ratio(Cpu, 6.0)];
    "1to1-16" "1 → 1, 16 B" Apart Work::Fan { subscribers: 1, payload_bytes: 16 } => [Ratio(Cpu, 12.0)];
    "1to1-128" "1 → 1, 128 B" Apart Work::Fan { subscribers: 1, payload_bytes: 128 } => [Ratio(Cpu, 7.0)];
    "1to1-1024" "1 → 1, 1 KiB" Apart Work::Fan { subscribers: 1, payload_bytes: 1024 } => [Ratio(Cpu, 1.9)];
    "1to1-16384" "1 → 1, 16 KiB" Apart Work::Fan { subscribers: 1, payload_bytes: 16384 } => [Ratio(Cpu, 1.4)];
    "mix" "1 → 1, 1,000 subjects and 8–200 B scrambled, wildcard" Apart Work::Mix => [Ratio(Cpu, 6.0)];
    "1to10-16" "1 → 10, 16 B" Apart Work::Fan { subscribers: 10, payload_bytes: 16 } => [Ratio(Cpu, 10.0)];
    "1to10-1024" "1 → 10, 1 KiB" Apart Work::Fan { subscribers: 10, payload_bytes: 1024 } => [Ratio(Cpu, 1.8)];
    "1to100-128" "1 → 100, 128 B" Apart Work::Fan { subscribers: 100, payload_bytes: 128 } => [Ratio(Cpu, 6.0)];
    "1to1000-16" "1 → 1,000, 16 B" Apart Work::Fan { subscribers: 1000, payload_bytes: 16 } => [Ratio(Cpu, 20.0)];
    "1to1000-128" "1 → 1,000, 128 B" Apart Work::Fan { subscribers: 1000, payload_bytes: 128 } => [Ratio(Cpu, 12.0)];
    "1to1000-1024" "1 → 1,000, 1 KiB" Apart Work::Fan { subscribers: 1000, payload_bytes: 1024 } => [Ratio(Cpu, 3.0)];
    "100to100-16" "100 → 100 on 100 subjects, 16 B" Apart Work::Pairs { pairs: 100, payload_bytes: 16 } => [Ratio(Cpu, 12.0)];
    "100to100-128" "100 → 100 on 100 subjects, 128 B" Apart Work::Pairs { pairs: 100, payload_bytes: 128 } => [Ratio(Cpu, 6.0)];
    "100to100-1024" "100 → 100 on 100 subjects, 1 KiB" Apart Work::Pairs { pairs: 100, payload_bytes: 1024 } => [Ratio(Cpu, 1.5)];
    "2cores-100to100-16" "100 → 100, 16 B, two cores" TwoCores Work::Pairs { pairs: 100, payload_bytes: 16 } => [Ratio(Cpu, 9.0)];
    "2cores-100to100-128" "100 → 100, 128 B, two cores" TwoCores Work::Pairs { pairs: 100, payload_bytes: 128 } => [Ratio(Cpu, 5.0)];
    "2cores-same-16" "1 → 1, 16 B, two cores, within one shard" TwoCores Work::Shards { cross: false, payload_bytes: 16 } => [];
    "2cores-cross-16" "1 → 1, 16 B, two cores, from shard to shard" TwoCores Work::Shards { cross: true, payload_bytes: 16 } => [];
    "2cores-same-1024" "1 → 1, 1 KiB, two cores, within one shard" TwoCores Work::Shards { cross: false, payload_bytes: 1024 } => [];
    "2cores-cross-1024" "1 → 1, 1 KiB, two cores, from shard to shard" TwoCores Work::Shards { cross: true, payload_bytes: 1024 } => [];
    "request-together" "request/reply, 16 B, server and client on one core" Together Work::Request { payload_bytes: 16, polls: false }
        => [Ratio(P50, 1.5), Ratio(Cpu, 1.8)];
    "request-apart" "request/reply, 16 B, across cores, gannet spinning" ApartSpinning Work::Request { payload_bytes: 16, polls: false }
        => [Ratio(P50, 2.5)];
    "request-polling" "the same, and the client polls its sockets" ApartSpinning Work::Request { payload_bytes: 16, polls: true } => [];
    "request-sleeping" "request/reply, 16 B, across cores, gannet's default" Apart Work::Request { payload_bytes: 16, polls: false } => [];
    "accounts-inside-16" "1 → 1 inside one of several accounts, 16 B" Apart Work::Accounts { road: Road::Inside, payload_bytes: 16 } => [Ratio(Cpu, 10.0)];
    "accounts-inside-1024" "1 → 1 inside one of several accounts, 1 KiB" Apart Work::Accounts { road: Road::Inside, payload_bytes: 1024 } => [];
    "accounts-stream-16" "1 → 1 across a stream import, 16 B" Apart Work::Accounts { road: Road::Stream, payload_bytes: 16 } => [Ratio(Cpu, 10.0)];
    "accounts-stream-1024" "1 → 1 across a stream import, 1 KiB" Apart Work::Accounts { road: Road::Stream, payload_bytes: 1024 } => [];
    "accounts-prefix-16" "1 → 1 across a stream import with a prefix, 16 B" Apart Work::Accounts { road: Road::Prefix, payload_bytes: 16 } => [Ratio(Cpu, 10.0)];
    "accounts-prefix-1024" "1 → 1 across a stream import with a prefix, 1 KiB" Apart Work::Accounts { road: Road::Prefix, payload_bytes: 1024 } => [];
    "accounts-reorder-16" "1 → 1 across a stream import that reorders, 16 B" Apart Work::Accounts { road: Road::Reorder, payload_bytes: 16 } => [Ratio(Cpu, 10.0)];
    "accounts-reorder-1024" "1 → 1 across a stream import that reorders, 1 KiB" Apart Work::Accounts { road: Road::Reorder, payload_bytes: 1024 } => [];
    "accounts-many-16" "10 → 10 among 1,000 accounts with 100 imports each, 16 B" Apart Work::Accounts { road: Road::Many, payload_bytes: 16 } => [Ratio(Cpu, 10.0)];
    "accounts-many-1024" "10 → 10 among 1,000 accounts with 100 imports each, 1 KiB" Apart Work::Accounts { road: Road::Many, payload_bytes: 1024 } => [];
    "accounts-request-16" "request/reply inside one account, 64 in flight, 16 B" Apart Work::AccountsRequest { road: Road::Inside, payload_bytes: 16, in_flight: 64 } => [];
    "accounts-request-1024" "request/reply inside one account, 64 in flight, 1 KiB" Apart Work::AccountsRequest { road: Road::Inside, payload_bytes: 1024, in_flight: 64 } => [];
    "accounts-service-16" "request/reply across a service import, 64 in flight, 16 B" Apart Work::AccountsRequest { road: Road::Service, payload_bytes: 16, in_flight: 64 } => [Ratio(Cpu, 6.0)];
    "accounts-service-1024" "request/reply across a service import, 64 in flight, 1 KiB" Apart Work::AccountsRequest { road: Road::Service, payload_bytes: 1024, in_flight: 64 } => [];
    "accounts-chain-16" "request/reply through three accounts, 64 in flight, 16 B" Apart Work::AccountsRequest { road: Road::Chain, payload_bytes: 16, in_flight: 64 } => [Ratio(Cpu, 6.0)];
    "accounts-chain-1024" "request/reply through three accounts, 64 in flight, 1 KiB" Apart Work::AccountsRequest { road: Road::Chain, payload_bytes: 1024, in_flight: 64 } => [];
    "accounts-request-deep" "request/reply inside one account, 1,024 in flight, 16 B" Apart Work::AccountsRequest { road: Road::Inside, payload_bytes: 16, in_flight: 1024 } => [];
    "accounts-service-deep" "request/reply across a service import, 1,024 in flight, 16 B" Apart Work::AccountsRequest { road: Road::Service, payload_bytes: 16, in_flight: 1024 } => [];
    "accounts-chain-deep" "request/reply through three accounts, 1,024 in flight, 16 B" Apart Work::AccountsRequest { road: Road::Chain, payload_bytes: 16, in_flight: 1024 } => [];
    "memory-connection" "memory of an idle connection (of 10,000)" Apart Work::IdleConnections { connections: 10_000 }
        => [AtMost(Bytes, 2048.0)];
    "memory-subscription" "memory of a literal subscription (of 1 M)" Apart Work::Subscriptions { subscriptions: 1_000_000 }
        => [AtMost(Bytes, 140.0)];
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique() {
        let mut keys: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ROWS.len());
    }
}

//! A hundred thousand connections that come, subscribe and go leave no counter of a shard's core up.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use gannet::account::compiler::compile;
use gannet::broker::effect::{ConnId, Outlet};
use gannet::broker::{Broker, PendingLimits, ShardPlace};
use gannet::config::load_with;

const CONNECTIONS: u32 = 100_000;

/// At the same time.
const AT_ONCE: u32 = 100;

/// Nothing is sent: it stays in the outboxes.
pub struct Nowhere;

impl Outlet for Nowhere {
    fn send_now(&mut self, _: ConnId, _: &[IoSlice<'_>]) -> usize {
        0
    }
}

/// The core of a single shard with this configuration.
pub fn core(config: &str) -> Broker {
    let read = |_: &Path| Ok(config.as_bytes().to_vec());
    let loaded = load_with(Path::new("test.conf"), &|_| None, &read).expect("it is right");
    let table = compile(&loaded.config, None).expect("it compiles");
    let place = ShardPlace { index: 0, count: 1 };
    let mut broker = Broker::new(place, PendingLimits::new(64 << 20, true), 7);
    broker.set_table(Arc::new(table));
    broker
}

pub fn who_has_gone_leaves_no_counter_up() {
    let mut broker = core("");
    for first in (0..CONNECTIONS).step_by(AT_ONCE as usize) {
        for n in 0..AT_ONCE {
            let conn: ConnId = n;
            broker.open(conn, first + n + 1);
            let own = format!("churn.{}", first + n);
            for (subject, queue, sid) in [
                (own.as_str(), None, "1"),
                ("churn.*", Some("workers"), "2"),
                ("shared", None, "3"),
            ] {
                let queue = queue.map(str::as_bytes);
                broker
                    .subscribe(conn, subject.as_bytes(), queue, sid.as_bytes(), false)
                    .expect("a subject");
            }
        }
        assert_eq!(broker.subscription_count(), 3 * AT_ONCE as usize);
        assert_eq!(broker.pattern_count(), AT_ONCE as usize + 2);
        // Some say so before they go.
        for n in 0..AT_ONCE {
            if n % 3 == 0 {
                broker.unsubscribe(n, b"2", None);
            }
            broker.close(n);
        }
        assert_eq!(broker.subscription_count(), 0);
        assert_eq!(broker.pattern_count(), 0);
    }
}

//! Owns the rows about accounts: their configurations, and who connects as whom. Never measures.

use std::fmt::Write;
use std::sync::Arc;

use super::measure::outstanding_max;
use crate::bench::blob::Blob;
use crate::bench::conn::{Conn, Target};
use crate::bench::drive::Publisher;
use crate::bench::load::{Load, PublisherSpec, Running, SubscriberSpec, subscribe};

/// The way that messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Not out of the account.
    Inside,
    /// To an account that imports the stream.
    Stream,
    /// The same with a prefix.
    Prefix,
    /// The same with two wildcards in another order.
    Reorder,
    /// To an account whose service is imported.
    Service,
    /// The same through a third account.
    Chain,
    /// Ten streams among [`ACCOUNTS`] accounts, each with [`IMPORTS`] imports.
    Many,
}

/// Accounts of [`Road::Many`].
const ACCOUNTS: usize = 1_000;

/// Imports of each.
const IMPORTS: usize = 100;

/// Publishers among them.
const PUBLISHERS: usize = 10;

const PASSWORD: &str = "p";

impl Road {
    /// The configuration. Users are called as their accounts.
    pub fn config(self) -> String {
        let (exports, imports) = match self {
            Road::Inside => ("{stream: \"s.>\"}, {service: q}", ""),
            Road::Stream => (
                "{stream: \"s.>\"}",
                "{stream: {account: A, subject: \"s.>\"}}",
            ),
            Road::Prefix => (
                "{stream: \"s.>\"}",
                "{stream: {account: A, subject: \"s.>\"}, prefix: from.a}",
            ),
            Road::Reorder => (
                "{stream: \"s.*.*\"}",
                "{stream: {account: A, subject: \"s.*.*\"}, to: \"t.$2.$1\"}",
            ),
            Road::Service | Road::Chain => ("{service: q}", "{service: {account: A, subject: q}}"),
            Road::Many => return many(),
        };
        let mut text = String::from("accounts {\n");
        account(&mut text, "A", exports, "");
        account(&mut text, "B", "{service: q}", imports);
        account(&mut text, "C", "", "{service: {account: B, subject: q}}");
        text + "}\n"
    }

    /// Some user of the configuration.
    pub fn anybody(self) -> &'static str {
        if self == Road::Many { "A0" } else { "A" }
    }

    /// Who asks, where somebody asks.
    pub fn requestor(self) -> &'static str {
        match self {
            Road::Inside => "A",
            Road::Chain => "C",
            _ => "B",
        }
    }

    /// The account and subject of each publisher, and of its subscriber.
    fn pairs(self) -> Vec<[(String, String); 2]> {
        let of = |account: &str, subject: &str| (account.to_owned(), subject.to_owned());
        match self {
            Road::Stream => vec![[of("A", "s.1.2"), of("B", "s.1.2")]],
            Road::Prefix => vec![[of("A", "s.1.2"), of("B", "from.a.s.1.2")]],
            Road::Reorder => vec![[of("A", "s.1.2"), of("B", "t.2.1")]],
            Road::Many => (0..PUBLISHERS).map(far_apart).collect(),
            _ => vec![[of("A", "s.1.2"), of("A", "s.1.2")]],
        }
    }

    /// Opens publishers and subscribers; on return the server knows every subscription.
    pub fn open(self, target: &Target, payload_bytes: usize) -> Result<Running, String> {
        let pairs = self.pairs();
        let mut load = Load {
            outstanding_max: outstanding_max(pairs.len(), payload_bytes),
            ..Load::default()
        };
        let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
        for [(account, subject), (seen_in, seen)] in &pairs {
            let spec = SubscriberSpec {
                patterns: vec![(seen.clone(), 1)],
                queue: None,
            };
            subscribers.push(subscribe(&as_user(target, seen_in), &spec)?);
            let blob = Arc::new(Blob::uniform(std::slice::from_ref(subject), payload_bytes));
            let conn = Conn::open(&as_user(target, account))?;
            publishers.push(Publisher::new(conn, blob.clone(), 1));
            load.publishers.push(PublisherSpec { blob, fan: 1 });
            load.subscribers.push(spec);
        }
        load.start(publishers, subscribers)
    }
}

/// The same server for a user of these configurations.
pub fn as_user(target: &Target, user: &str) -> Target {
    Target {
        server: target.server.clone(),
        user: Some(user.to_owned()),
        password: Some(PASSWORD.to_owned()),
        token: None,
    }
}

fn account(text: &mut String, name: &str, exports: &str, imports: &str) {
    let _ = writeln!(
        text,
        "  {name} {{ users: [{{user: {name}, password: {PASSWORD}}}], exports: [{exports}], imports: [{imports}] }}"
    );
}

/// Each account exports one stream and imports those of the accounts behind it.
fn many() -> String {
    let mut text = String::from("accounts {\n");
    for at in 0..ACCOUNTS {
        let import = |step: usize| {
            let from = (at + step) % ACCOUNTS;
            format!("{{stream: {{account: A{from}, subject: \"s.{from}.>\"}}}}")
        };
        let imports: Vec<String> = (1..=IMPORTS).map(import).collect();
        let export = format!("{{stream: \"s.{at}.>\"}}");
        account(&mut text, &format!("A{at}"), &export, &imports.join(", "));
    }
    text + "}\n"
}

/// A publisher of [`many`], and a subscriber of one of the accounts that import its stream.
fn far_apart(number: usize) -> [(String, String); 2] {
    let account = (number * ACCOUNTS / PUBLISHERS) + IMPORTS;
    let importer = account - IMPORTS / 2;
    let subject = format!("s.{}.x", account % ACCOUNTS);
    [
        (format!("A{}", account % ACCOUNTS), subject.clone()),
        (format!("A{importer}"), subject),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load_with;

    #[test]
    fn configurations_are_right_and_have_the_users() {
        use Road::*;
        for road in [Inside, Stream, Prefix, Reorder, Service, Chain, Many] {
            let read = |_: &Path| Ok(road.config().into_bytes());
            let loaded = load_with(Path::new("bench.conf"), &|_| None, &read);
            let config = loaded.expect("nothing is wrong").config;
            let known = |name: &str| config.accounts.iter().any(|account| account.name == name);
            for [(publisher, _), (subscriber, _)] in road.pairs() {
                assert!(known(&publisher) && known(&subscriber), "{road:?}");
            }
            assert!(known(road.anybody()), "{road:?}");
        }
    }
}

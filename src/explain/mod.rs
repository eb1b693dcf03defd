//! `gannet explain`: the road of a message, offline, from the configuration. Asks the tables, rules and identities that a
//! broker would run on, so that it cannot disagree with delivery; never connects to anything, never changes anything.
//!
//! A [`World`] is a configuration and what it comes to; a [`Who`] is somebody in it; [`explain`] answers a [`Question`]
//! with a [`Report`], which is printed as a page ([`page`]) or as JSON.

mod feeds;
pub mod jwt;
mod left_out;
mod limits;
mod names;
mod near;
mod page;
mod passed;
pub mod report;
mod route;
mod verdict;
mod who;
mod world;

pub use page::page;
pub use who::Who;
pub use world::World;

use std::collections::BTreeMap;

use report::{Action, Inbox, Report, text};
use route::Walk;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where a message on this subject goes.
    Publish(Vec<u8>),
    /// What a subscription gets.
    Subscribe {
        /// The pattern.
        pattern: Vec<u8>,
        /// The queue group.
        queue: Option<Vec<u8>>,
    },
    /// Where a request on this subject goes, and how its answers come back.
    Request {
        /// The subject.
        subject: Vec<u8>,
        /// What the client's inboxes begin with: `_INBOX` unless it was told otherwise.
        inbox: String,
    },
}

/// The answer.
pub fn explain(world: &World<'_>, who: &Who, question: &Question) -> Report {
    let (action, subject) = action_of(question);
    let mut report = Report {
        action,
        subject: text(subject),
        queue: None,
        who: who.actor(world),
        refused: who.shut_out.clone(),
        unclear: None,
        names: BTreeMap::new(),
        limits: limits::limits(world, who, action),
        route: None,
        feeds: None,
        inbox: None,
    };
    if report.refused.is_some() {
        report.names = named(world, &report);
        return report;
    }
    match question {
        Question::Publish(subject) => {
            let walk = Walk { world, reply: None };
            report.route = Some(walk.published(who, subject));
        }
        Question::Subscribe { pattern, queue } => {
            report.queue = queue.as_deref().map(text);
            report.feeds = Some(feeds::feeds(world, who, pattern, queue.as_deref()));
        }
        Question::Request { subject, inbox } => {
            let reply = format!("{inbox}.X.1");
            let walk = Walk {
                world,
                reply: Some(reply.as_bytes()),
            };
            report.route = Some(walk.published(who, subject));
            report.inbox = Some(requestor(world, who, inbox, reply.as_bytes()));
        }
    }
    report.names = named(world, &report);
    report
}

fn action_of(question: &Question) -> (Action, &[u8]) {
    match question {
        Question::Publish(subject) => (Action::Pub, subject),
        Question::Subscribe { pattern, .. } => (Action::Sub, pattern),
        Question::Request { subject, .. } => (Action::Request, subject),
    }
}

/// Names of the keys of accounts that stand anywhere in a report. No key is part of another text by chance.
fn named(world: &World<'_>, report: &Report) -> BTreeMap<String, String> {
    let Some(tokens) = world.tokens else {
        return BTreeMap::new();
    };
    let text = report.json();
    let named = tokens.names().filter(|(key, _)| text.contains(key));
    named
        .map(|(key, name)| (key.to_owned(), name.to_owned()))
        .collect()
}

/// The requestor's side. Clients subscribe to their inboxes once, with a wildcard at the end.
fn requestor(world: &World<'_>, who: &Who, inbox: &str, reply: &[u8]) -> Inbox {
    let pattern = format!("{inbox}.X.*");
    let permissions = who.permissions.as_deref();
    let withheld = permissions.and_then(|permissions| permissions.withheld_by(reply, None));
    Inbox {
        subscription: pattern.clone(),
        permission: verdict::subscribe(permissions, pattern.as_bytes(), None),
        withheld: withheld.map(verdict::rule_item),
        mapping: route::mapping_of(world, who.account, reply),
    }
}

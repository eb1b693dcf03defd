//! Permissions in claims. Owns their type, and makes of them what a configuration's are. Never decides on a subject.

use serde::Deserialize;

use crate::config::{self, Position, Responses, Rule};
use crate::subject::is_pattern;

use super::validation::Issues;

/// `pub`, `sub` and `resp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// What may be published to.
    #[serde(rename = "pub")]
    pub publish: Lists,
    /// What may be subscribed to; an entry may be `pattern queue`.
    #[serde(rename = "sub")]
    pub subscribe: Lists,
    /// Answers to requests.
    #[serde(rename = "resp")]
    pub responses: Option<ResponsePermission>,
}

/// What is allowed, everything where nothing is listed, and what is denied of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Lists {
    /// Allowed patterns, where there is a list.
    pub allow: Option<Vec<String>>,
    /// Denied patterns.
    pub deny: Vec<String>,
}

/// `resp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ResponsePermission {
    /// Messages for one request; 0 is the default of 1, negative no limit.
    pub max: i64,
    /// For so long, nanoseconds; 0 is the default of two minutes, negative no limit.
    pub ttl: i64,
}

const NANOS_PER_MS: i64 = 1_000_000;

impl Permissions {
    /// Everything that is wrong.
    pub(super) fn validate(&self, issues: &mut Issues) {
        for (lists, queues) in [(&self.subscribe, true), (&self.publish, false)] {
            for entry in lists.allowed().iter().chain(&lists.deny) {
                check(entry, queues, issues);
            }
        }
    }

    /// As a configuration would say it, standing at `at`; `None` where nothing is said. Entries that no subject can
    /// match are left out, yet a list of nothing else allows nothing.
    pub fn to_config(&self, at: &Position) -> Option<config::Permissions> {
        let says_nothing = |lists: &Lists| lists.allowed().is_empty() && lists.deny.is_empty();
        if says_nothing(&self.publish) && says_nothing(&self.subscribe) && self.responses.is_none()
        {
            return None;
        }
        let mut publish = self.publish.to_config(at);
        // An empty list beside denials allows nothing to be published, unlike one that is not there; alone it says nothing,
        // and subscriptions are not restricted by one. The oracle's.
        if self.publish.allow.as_ref().is_some_and(Vec::is_empty) && !publish.deny.is_empty() {
            publish.deny = vec![rule(">", at)];
        }
        Some(config::Permissions {
            publish,
            subscribe: self.subscribe.to_config(at),
            responses: self.responses.map(ResponsePermission::to_config),
        })
    }
}

impl Lists {
    /// What is allowed, nothing where there is no list.
    pub fn allowed(&self) -> &[String] {
        self.allow.as_deref().unwrap_or_default()
    }

    fn to_config(&self, at: &Position) -> config::Rules {
        let rules = |entries: &[String]| -> Vec<Rule> {
            let rules = entries.iter().map(|entry| rule(entry, at));
            rules.filter(is_valid).collect()
        };
        let allow = rules(self.allowed());
        let mut deny = rules(&self.deny);
        if allow.is_empty() && !self.allowed().is_empty() {
            deny = vec![rule(">", at)];
        }
        config::Rules {
            allow: (!allow.is_empty()).then_some(allow),
            deny,
        }
    }
}

impl ResponsePermission {
    fn to_config(self) -> Responses {
        let expires_ms = match self.ttl {
            1.. => self.ttl.div_euclid(NANOS_PER_MS).max(1),
            ttl => ttl.signum(),
        };
        Responses {
            messages_max: self.max,
            expires_ms,
        }
    }
}

fn rule(entry: &str, at: &Position) -> Rule {
    let (subject, queue) = match entry.split_once(' ') {
        Some((subject, queue)) => (subject, Some(queue.to_owned())),
        None => (entry, None),
    };
    Rule {
        subject: subject.to_owned(),
        queue,
        at: at.clone(),
    }
}

fn is_valid(rule: &Rule) -> bool {
    let queue = rule.queue.as_ref();
    is_pattern(rule.subject.as_bytes()) && queue.is_none_or(|queue| is_pattern(queue.as_bytes()))
}

fn check(entry: &str, queues: bool, issues: &mut Issues) {
    let parts: Vec<&str> = entry.split(' ').collect();
    match parts[..] {
        [subject] => issues.check_subject(subject),
        [subject, queue] => {
            issues.check_subject(subject);
            issues.check_subject(queue);
            if !queues {
                issues.error(format!(
                    "Permission Subject \"{entry}\" is not allowed to contain queue"
                ));
            }
        }
        _ => issues.error(format!(
            "Permission Subject \"{entry}\" contains too many spaces"
        )),
    }
}

//! Owns `permissions`: what a user may publish, subscribe to and answer.
//! Never decides about a message: `auth` compiles what is read here.

use super::{Field, Schema};
use crate::config::value::{Kind, Map};
use crate::config::{Permissions, Position, Responses, Rule, Rules, duration};
use crate::subject::is_pattern;

const FIELDS: &[&str] = &[
    "publish",
    "subscribe",
    "import",
    "export",
    "allow_responses",
    "publish_allow_responses",
];

/// Reads a map of permissions; an empty one allows everything.
pub(super) fn read(schema: &mut Schema<'_>, section: Field<'_>) -> Option<Permissions> {
    let map = schema.map(section)?;
    let mut permissions = Permissions::default();
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "pub" | "publish" | "import" => {
                permissions.publish = rules(schema, field, Queues::Refused);
            }
            "sub" | "subscribe" | "export" => {
                permissions.subscribe = rules(schema, field, Queues::Taken);
            }
            "allow_responses" | "publish_allow_responses" => {
                permissions.responses = responses(schema, field);
            }
            _ => schema.unknown(field, FIELDS),
        }
    }
    // Who may answer may publish nothing else, unless it is said.
    if permissions.responses.is_some() {
        permissions.publish.allow.get_or_insert_default();
    }
    Some(permissions)
}

/// Whether a rule may name a queue group after its subject.
#[derive(Clone, Copy, PartialEq)]
enum Queues {
    Taken,
    Refused,
}

/// One subject, several, or a map of `allow` and `deny`.
fn rules(schema: &mut Schema<'_>, field: Field<'_>, queues: Queues) -> Rules {
    match &field.value.kind {
        Kind::Map(map) => allow_and_deny(schema, map, queues),
        _ => Rules {
            allow: allowed(list(schema, field, queues)),
            deny: Vec::new(),
        },
    }
}

fn allow_and_deny(schema: &mut Schema<'_>, map: &Map, queues: Queues) -> Rules {
    let mut rules = Rules::default();
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "allow" => rules.allow = allowed(list(schema, field, queues)),
            "deny" => rules.deny = list(schema, field, queues),
            _ => schema.unknown(field, &["allow", "deny"]),
        }
    }
    rules
}

/// An empty list is no restriction.
fn allowed(rules: Vec<Rule>) -> Option<Vec<Rule>> {
    Some(rules).filter(|r| !r.is_empty())
}

fn list(schema: &mut Schema<'_>, field: Field<'_>, queues: Queues) -> Vec<Rule> {
    let texts = schema.texts(field).unwrap_or_default();
    texts
        .into_iter()
        .filter_map(|(text, at)| rule(schema, text, at, queues))
        .collect()
}

fn rule(schema: &mut Schema<'_>, text: &str, at: &Position, queues: Queues) -> Option<Rule> {
    if is_pattern(text.as_bytes()) {
        return Some(Rule {
            subject: text.to_owned(),
            queue: None,
            at: at.clone(),
        });
    }
    let mut words = text.split_whitespace();
    let pair = match (words.next(), words.next(), words.next()) {
        (Some(subject), Some(queue), None) if queues == Queues::Taken => Some((subject, queue)),
        _ => None,
    };
    let Some((subject, queue)) = pair else {
        schema.not_a_subject(at, text);
        return None;
    };
    if !is_pattern(subject.as_bytes()) {
        schema.not_a_subject(at, subject);
        return None;
    }
    if !is_pattern(queue.as_bytes()) {
        schema.error(at, format!("{queue:?} is not a valid queue group"));
        return None;
    }
    Some(Rule {
        subject: subject.to_owned(),
        queue: Some(queue.to_owned()),
        at: at.clone(),
    })
}

/// `true`, `false`, or a map of `max` and `expires`.
fn responses(schema: &mut Schema<'_>, field: Field<'_>) -> Option<Responses> {
    let default = Responses {
        messages_max: 1,
        expires_ms: 120_000,
    };
    match &field.value.kind {
        Kind::Boolean(allowed) => allowed.then_some(default),
        Kind::Map(map) => Some(response_limits(schema, map, default)),
        _ => {
            schema.wrong(field, "true, false or a map { … }");
            None
        }
    }
}

/// 0 is the default, less is no limit.
fn response_limits(schema: &mut Schema<'_>, map: &Map, default: Responses) -> Responses {
    let mut responses = default;
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                let messages = schema.integer(field).filter(|m| *m != 0);
                responses.messages_max = messages.unwrap_or(default.messages_max);
            }
            "expires" | "expiration" | "ttl" => {
                let expires = expires_ms(schema, field).filter(|ms| *ms != 0);
                responses.expires_ms = expires.unwrap_or(default.expires_ms);
            }
            _ => schema.unknown(field, &["max", "expires"]),
        }
    }
    responses
}

/// A duration with its unit; a plain number is refused here.
fn expires_ms(schema: &mut Schema<'_>, field: Field<'_>) -> Option<i64> {
    let Kind::Text(text) = &field.value.kind else {
        schema.wrong(field, "a duration such as \"10s\"");
        return None;
    };
    let expires = duration::parse(text);
    if expires.is_none() {
        schema.not_a_duration(field);
    }
    expires.map(duration::to_ms)
}

//! May somebody publish, subscribe, see, answer: what the compiled permissions decide, with the rule in words.
//! Decides nothing itself.

use crate::auth::permission::{Reason, Rule, queue_is_reserved, subject_is_reserved};
use crate::auth::{Permissions, ResponsePermission};
use crate::subject::{has_wildcard, pattern_matches};

use super::report::{Item, Verdict};

/// A subject like those that services answer to.
pub(super) const ANSWER: &[u8] = b"_R_.000000.0000000000000000";

/// Whether a message may be published; `system` is whether in the system account.
pub(super) fn publish(permissions: Option<&Permissions>, subject: &[u8], system: bool) -> Verdict {
    if subject_is_reserved(subject, system) {
        return refused("reserved for the server");
    }
    let Some(permissions) = permissions else {
        return of(Reason::Unrestricted);
    };
    let mut verdict = of(permissions.publish_reason(subject));
    if !verdict.allowed && permissions.responses().is_some() {
        verdict.why += ", unless it is an answer that is due (allow_responses)";
    }
    verdict
}

/// Whether a subscription may be made.
pub(super) fn subscribe(
    permissions: Option<&Permissions>,
    pattern: &[u8],
    queue: Option<&[u8]>,
) -> Verdict {
    if queue.is_some_and(queue_is_reserved) {
        return refused("the queue group is reserved for the server");
    }
    match permissions {
        None => of(Reason::Unrestricted),
        Some(permissions) => of(permissions.subscribe_reason(pattern, queue)),
    }
}

/// Whether there is a subscription that may be made and gets messages on `subject`: on the subject itself, in a queue
/// group that a rule names, or on a wider pattern that an allowed one lets in (`b.>` by `b.*`).
pub(super) fn sees(permissions: Option<&Permissions>, subject: &[u8]) -> Verdict {
    let plain = subscribe(permissions, subject, None);
    let Some(permissions) = permissions.filter(|_| !plain.allowed) else {
        return plain;
    };
    let gets = |pattern: &[u8], queue: Option<&[u8]>| {
        let reason = permissions.subscribe_reason(pattern, queue);
        let gets = reason.is_allowed()
            && pattern_matches(pattern, subject)
            && permissions.delivers(subject, queue);
        gets.then(|| of(reason))
    };
    for rule in permissions.subscribe_allowed().unwrap_or_default() {
        let queue = rule.queue.as_deref().map(str::as_bytes);
        let as_group = |why: String| match &rule.queue {
            Some(queue) => format!("only in the queue group {queue:?}: {why}"),
            None => why,
        };
        if let Some(verdict) = gets(subject, queue) {
            let why = as_group(verdict.why);
            return Verdict { why, ..verdict };
        }
        let wider = rule
            .subject
            .strip_suffix('*')
            .map(|start| format!("{start}>"));
        if let Some(wider) = wider.filter(|wider| has_wildcard(wider.as_bytes()))
            && let Some(verdict) = gets(wider.as_bytes(), queue)
        {
            let why = as_group(format!("only by subscribing to {wider:?}: {}", verdict.why));
            return Verdict { why, ..verdict };
        }
    }
    plain
}

/// Whether an answer may be published to `reply` by somebody who got the request.
pub(super) fn answers(permissions: Option<&Permissions>, reply: &[u8]) -> Verdict {
    // Answers to other accounts are on subjects that clients may not name as replies, but may publish to.
    let Some(permissions) = permissions else {
        return of(Reason::Unrestricted);
    };
    let verdict = of(permissions.publish_reason(reply));
    match permissions.responses() {
        Some(responses) if !verdict.allowed => Verdict {
            allowed: true,
            why: format!("by allow_responses: {}", within(responses)),
            rule: None,
        },
        _ => verdict,
    }
}

/// How many answers there may be, and for how long.
pub(super) fn within(responses: ResponsePermission) -> String {
    let messages = match responses.messages_max {
        ..1 => "any number of messages".to_owned(),
        1 => "one message".to_owned(),
        count => format!("{count} messages"),
    };
    match u64::try_from(responses.expires_ms) {
        Ok(ms) => format!("{messages} within {}", duration(ms)),
        Err(_) => messages,
    }
}

/// What the permissions say.
pub(super) fn of(reason: Reason<'_>) -> Verdict {
    Verdict {
        allowed: reason.is_allowed(),
        why: reason.to_string(),
        rule: match reason {
            Reason::AllowedBy(rule) | Reason::DeniedBy(rule) => Some(rule_item(rule)),
            Reason::Unrestricted | Reason::AllowedByNone(_) => None,
        },
    }
}

/// Refused, whatever permissions say.
pub(super) fn refused(why: impl Into<String>) -> Verdict {
    Verdict {
        allowed: false,
        why: why.into(),
        rule: None,
    }
}

/// A rule as the report shows it.
pub(super) fn rule_item(rule: &Rule) -> Item {
    match &rule.queue {
        Some(queue) => Item::new(format!("{} {queue}", rule.subject), &rule.at),
        None => Item::new(rule.subject.as_str(), &rule.at),
    }
}

/// A time as people write it in a configuration.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

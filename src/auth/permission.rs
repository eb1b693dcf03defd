//! Compiled permissions: may this user publish, subscribe, receive? Immutable; counts nothing, knows no connection.
//!
//! Rules are compared as the oracle compares them: what a client names is taken token by token, so its `*` and `>`
//! are ordinary tokens, which only a wildcard of the rule matches. Therefore an allowed `b.*` also lets `b.>` be
//! subscribed to (and deeper subjects arrive), and a denied `c.*` also refuses `c.>`. A subject with an empty
//! token matches no rule: a list of allowed ones refuses it, a list of denied ones lets it pass.

use std::fmt;

use crate::config;
pub use crate::config::Rule;
use crate::subject::{PatternId, PatternSet, has_wildcard, is_pattern, is_subset, overlaps};

use super::ConfigError;

/// Milliseconds a reply subject stays usable where `allow_responses` does not say.
const RESPONSE_EXPIRES_MS: i64 = 120_000;
/// Messages to a reply subject where `allow_responses` does not say.
const RESPONSE_MESSAGES_MAX: i64 = 1;

/// What one user may do, shared by all its connections.
///
/// A list that allows nothing in particular (`publish: []`) restricts nothing, unless `allow_responses` is set:
/// then nothing but what is listed may be published, and the answers.
pub struct Permissions {
    publish: Lists,
    subscribe: Lists,
    responses: Option<ResponsePermission>,
}

/// The rules of one direction, as they are written.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// What is allowed; nothing is where everything or only answers are.
    pub allow: &'a [Rule],
    /// What is denied.
    pub deny: &'a [Rule],
}

/// `allow_responses`, with the defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePermission {
    /// Messages per reply subject; negative is no limit.
    pub messages_max: i64,
    /// How long after the request, milliseconds; negative is no limit.
    pub expires_ms: i64,
}

/// Yes or no, and by which rule; the rule is for log lines.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// Allowed by this rule, or because nothing restricts it.
    Allowed(Option<&'a Rule>),
    /// Denied by this rule, or because no rule allows it.
    Denied(Option<&'a Rule>),
}

impl Decision<'_> {
    /// Whether it may be done.
    pub fn is_allowed(self) -> bool {
        matches!(self, Decision::Allowed(_))
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Allowed(Some(rule)) => write!(f, "allowed by {}", RuleText(rule)),
            Decision::Allowed(None) => f.write_str("allowed, nothing restricts it"),
            Decision::Denied(Some(rule)) => write!(f, "denied by {}", RuleText(rule)),
            Decision::Denied(None) => f.write_str("denied, no rule allows it"),
        }
    }
}

/// Why something may or may not be done: a [`Decision`] with the rules it comes from. For log lines and explanations,
/// not for each message.
#[derive(Clone, Copy, Debug)]
pub enum Reason<'a> {
    /// Nothing restricts it.
    Unrestricted,
    /// Allowed by this rule.
    AllowedBy(&'a Rule),
    /// Denied by this rule.
    DeniedBy(&'a Rule),
    /// There are rules that allow something, and none of these allows it. There may be no rule at all: then
    /// nothing but answers may be published.
    AllowedByNone(&'a [Rule]),
}

impl Reason<'_> {
    /// Whether it may be done.
    pub fn is_allowed(self) -> bool {
        matches!(self, Reason::Unrestricted | Reason::AllowedBy(_))
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unrestricted => f.write_str("allowed, nothing restricts it"),
            Reason::AllowedBy(rule) => write!(f, "allowed by {} at {}", RuleName(rule), rule.at),
            Reason::DeniedBy(rule) => write!(f, "denied by {} at {}", RuleName(rule), rule.at),
            Reason::AllowedByNone([]) => f.write_str("only answers are allowed"),
            Reason::AllowedByNone([first, ..]) => {
                write!(f, "allowed by none of the rules at {}", first.at)
            }
        }
    }
}

impl Permissions {
    /// Compiles what an operator wrote. Fails with every rule that is not a pattern, or names a queue where none can be.
    pub fn compile(written: &config::Permissions) -> Result<Permissions, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let restrict = written.responses.is_some();
        let permissions = Permissions {
            publish: Lists::compile(&written.publish, restrict, QueueRules::Refused, &mut errors),
            subscribe: Lists::compile(&written.subscribe, false, QueueRules::Taken, &mut errors),
            responses: written.responses.map(ResponsePermission::from),
        };
        if errors.is_empty() {
            Ok(permissions)
        } else {
            Err(errors)
        }
    }

    /// Whether `subject` may be published to by the lists. Where it is denied and there is a `ResponseTracker`, that is asked next.
    pub fn publish(&self, subject: &[u8]) -> Decision<'_> {
        self.publish.decide(subject, None)
    }

    /// As [`Permissions::publish`], with all that a person wants to know of it.
    pub fn publish_reason(&self, subject: &[u8]) -> Reason<'_> {
        self.publish.reason(self.publish(subject))
    }

    /// As [`Permissions::subscribe`], with all that a person wants to know of it.
    pub fn subscribe_reason(&self, pattern: &[u8], queue: Option<&[u8]>) -> Reason<'_> {
        self.subscribe.reason(self.subscribe(pattern, queue))
    }

    /// The rule by which [`Permissions::delivers`] is false; `None` where it is true.
    pub fn withheld_by(&self, subject: &[u8], queue: Option<&[u8]>) -> Option<&Rule> {
        self.subscribe.deny.as_ref()?.denies(subject, queue)
    }

    /// The rules by which something may be subscribed to; `None` where that needs none.
    pub fn subscribe_allowed(&self) -> Option<&[Rule]> {
        self.subscribe.allow.as_ref().map(|allow| &*allow.rules)
    }

    /// The rules that keep messages from this accepted subscription; see [`Permissions::subscription_needs_filter`].
    pub fn withheld_from<'a>(
        &'a self,
        pattern: &'a [u8],
        queue: Option<&'a [u8]>,
    ) -> impl Iterator<Item = &'a Rule> {
        let deny = self.subscribe.deny.iter();
        deny.filter(move |_| has_wildcard(pattern))
            .flat_map(move |deny| deny.denying_part_of(pattern, queue))
    }

    /// Whether `pattern` may be subscribed to, in the queue group `queue` if there is one.
    ///
    /// A rule with a queue says something about queue groups only: where one with the right pattern stands among
    /// the allowed, the group must match one of them, even if the pattern is allowed without a queue too.
    pub fn subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> Decision<'_> {
        self.subscribe.decide(pattern, queue)
    }

    /// Whether a message that matched an accepted subscription of this queue may be delivered: what is denied
    /// inside an allowed wildcard is filtered here. The list of allowed patterns plays no part any more.
    pub fn delivers(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let deny = self.subscribe.deny.as_ref();
        deny.is_none_or(|deny| deny.denies(subject, queue).is_none())
    }

    /// Whether there is anything that `delivers` could refuse to some subscription.
    pub fn filters_deliveries(&self) -> bool {
        self.subscribe.deny.is_some()
    }

    /// Whether `delivers` has to be asked for each message to this accepted subscription. Looks at every denied
    /// pattern: ask once, when the subscription is made, and keep the answer.
    pub fn subscription_needs_filter(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.withheld_from(pattern, queue).next().is_some()
    }

    /// The rules for publishing.
    pub fn listed_publish(&self) -> Listed<'_> {
        self.publish.listed()
    }

    /// The rules for subscribing.
    pub fn listed_subscribe(&self) -> Listed<'_> {
        self.subscribe.listed()
    }

    /// `allow_responses`. Connections of a user that has it keep a [`ResponseTracker`](super::responses::ResponseTracker).
    pub fn responses(&self) -> Option<ResponsePermission> {
        self.responses
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permissions")
            .field("publish", &self.publish)
            .field("subscribe", &self.subscribe)
            .field("responses", &self.responses)
            .finish()
    }
}

impl From<config::Responses> for ResponsePermission {
    fn from(written: config::Responses) -> Self {
        let or_default = |value, default| if value == 0 { default } else { value };
        ResponsePermission {
            messages_max: or_default(written.messages_max, RESPONSE_MESSAGES_MAX),
            expires_ms: or_default(written.expires_ms, RESPONSE_EXPIRES_MS),
        }
    }
}

/// Subjects that no client may publish to, whatever its permissions; `in_system_account` opens the second kind.
/// Refused with [`publish_refused`](super::violation::publish_refused).
#[inline]
pub fn subject_is_reserved(subject: &[u8], in_system_account: bool) -> bool {
    if !matches!(subject.first(), Some(b'_' | b'$')) {
        return false;
    }
    is_gateway_reply(subject) || (subject.starts_with(b"$NRG.") && !in_system_account)
}

/// Reply subjects that no client may name, whatever its permissions.
/// Refused with [`reply_refused`](super::violation::reply_refused).
#[inline]
pub fn reply_is_reserved(reply: &[u8]) -> bool {
    if !matches!(reply.first(), Some(b'_' | b'$')) {
        return false;
    }
    reply.starts_with(b"_R_.") || begins(reply, b"$JS.ACK.") || is_gateway_reply(reply)
}

/// The queue group that no client may join, whatever its permissions.
/// Refused with [`subscription_refused`](super::violation::subscription_refused).
pub fn queue_is_reserved(queue: &[u8]) -> bool {
    queue == b"_sys_"
}

fn is_gateway_reply(subject: &[u8]) -> bool {
    begins(subject, b"_GR_.") || begins(subject, b"$GR.")
}

/// Whether `prefix` and at least one byte more stand at the beginning.
fn begins(subject: &[u8], prefix: &[u8]) -> bool {
    subject.len() > prefix.len() && subject.starts_with(prefix)
}

/// What is allowed and what is denied of it. No list of allowed patterns allows all, none of denied ones denies nothing.
#[derive(Debug)]
struct Lists {
    allow: Option<RuleSet>,
    deny: Option<RuleSet>,
}

#[derive(Clone, Copy, PartialEq)]
enum QueueRules {
    Taken,
    Refused,
}

impl Lists {
    fn compile(
        written: &config::Rules,
        restrict: bool,
        queues: QueueRules,
        errors: &mut Vec<ConfigError>,
    ) -> Lists {
        let allow = written.allow.as_deref().unwrap_or_default();
        let mut compile = |rules: &[Rule]| RuleSet::compile(rules, queues, errors);
        Lists {
            allow: (restrict || !allow.is_empty()).then(|| compile(allow)),
            deny: (!written.deny.is_empty()).then(|| compile(&written.deny)),
        }
    }

    fn listed(&self) -> Listed<'_> {
        fn rules(set: &Option<RuleSet>) -> &[Rule] {
            set.as_ref().map_or(&[], |set| &set.rules)
        }
        Listed {
            allow: rules(&self.allow),
            deny: rules(&self.deny),
        }
    }

    fn reason<'a>(&'a self, decision: Decision<'a>) -> Reason<'a> {
        match decision {
            Decision::Allowed(None) => Reason::Unrestricted,
            Decision::Allowed(Some(rule)) => Reason::AllowedBy(rule),
            Decision::Denied(Some(rule)) => Reason::DeniedBy(rule),
            Decision::Denied(None) => {
                Reason::AllowedByNone(self.allow.as_ref().map_or(&[], |allow| &allow.rules))
            }
        }
    }

    fn decide(&self, subject: &[u8], queue: Option<&[u8]>) -> Decision<'_> {
        let mut by = None;
        if let Some(allow) = &self.allow {
            by = allow.allows(subject, queue);
            if by.is_none() {
                return Decision::Denied(None);
            }
        }
        match self
            .deny
            .as_ref()
            .and_then(|deny| deny.denies(subject, queue))
        {
            Some(rule) => Decision::Denied(Some(rule)),
            None => Decision::Allowed(by),
        }
    }
}

/// Rules found by their patterns. `by_pattern` is indexed by the pattern's id and holds places in `rules`.
struct RuleSet {
    rules: Box<[Rule]>,
    patterns: PatternSet,
    by_pattern: Vec<PatternRules>,
}

/// The rules of one pattern: at most one without a queue counts, the first.
#[derive(Default)]
struct PatternRules {
    plain: Option<u32>,
    queued: Vec<u32>,
}

/// What the matching patterns of a set say about one subject and queue.
#[derive(Default)]
struct Found<'a> {
    plain: Option<&'a Rule>,
    /// A rule whose queue matches.
    queued: Option<&'a Rule>,
    /// Some rule has a queue, matching or not.
    any_queued: bool,
}

impl RuleSet {
    fn compile(written: &[Rule], queues: QueueRules, errors: &mut Vec<ConfigError>) -> RuleSet {
        let mut valid = |rule: &&Rule| {
            check(rule, queues)
                .map_err(|error| errors.push(error))
                .is_ok()
        };
        let rules: Box<[Rule]> = written.iter().filter(|rule| valid(rule)).cloned().collect();
        let mut set = RuleSet {
            rules,
            patterns: PatternSet::new(),
            by_pattern: Vec::new(),
        };
        for (at, rule) in (0..).zip(&set.rules) {
            let (PatternId(id), new) = set.patterns.insert(rule.subject.as_bytes());
            if new {
                set.by_pattern
                    .resize_with(set.patterns.len(), PatternRules::default);
            }
            let entry = &mut set.by_pattern[id as usize];
            match rule.queue {
                Some(_) => entry.queued.push(at),
                None => entry.plain = entry.plain.or(Some(at)),
            }
        }
        set
    }

    fn allows(&self, subject: &[u8], queue: Option<&[u8]>) -> Option<&Rule> {
        let found = self.find(subject, queue);
        if found.any_queued {
            found.queued
        } else {
            found.plain
        }
    }

    fn denies(&self, subject: &[u8], queue: Option<&[u8]>) -> Option<&Rule> {
        let found = self.find(subject, queue);
        found.plain.or(found.queued)
    }

    /// The rules by which `denies` can name a message to this wildcard subscription.
    fn denying_part_of<'a>(
        &'a self,
        pattern: &'a [u8],
        queue: Option<&'a [u8]>,
    ) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| {
            let counts = rule
                .queue
                .as_deref()
                .is_none_or(|own| queue.is_some_and(|queue| queue_matches(own, queue)));
            counts && overlaps(rule.subject.as_bytes(), pattern)
        })
    }

    fn find(&self, subject: &[u8], queue: Option<&[u8]>) -> Found<'_> {
        let mut found = Found::default();
        self.patterns.matches(subject, |PatternId(id)| {
            let entry = &self.by_pattern[id as usize];
            found.plain = found
                .plain
                .or(entry.plain.map(|at| &self.rules[at as usize]));
            if let Some(queue) = queue {
                found.any_queued |= !entry.queued.is_empty();
                found.queued = found.queued.or_else(|| self.queued_rule(entry, queue));
            }
        });
        found
    }

    fn queued_rule(&self, entry: &PatternRules, queue: &[u8]) -> Option<&Rule> {
        let mut rules = entry.queued.iter().map(|&at| &self.rules[at as usize]);
        rules.find(|rule| {
            rule.queue
                .as_deref()
                .is_some_and(|own| queue_matches(own, queue))
        })
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.rules.iter().map(|rule| RuleText(rule).to_string()))
            .finish()
    }
}

/// Whether a client's queue name is one that a rule's queue, a name or a pattern, speaks of.
fn queue_matches(own: &str, queue: &[u8]) -> bool {
    let own = own.as_bytes();
    own == queue || (has_wildcard(own) && is_subset(queue, own))
}

fn check(rule: &Rule, queues: QueueRules) -> Result<(), ConfigError> {
    let fail = |text| {
        Err(ConfigError {
            at: Some(rule.at.clone()),
            text,
        })
    };
    if !is_pattern(rule.subject.as_bytes()) {
        return fail(format!("subject {:?} is not a valid subject", rule.subject));
    }
    match &rule.queue {
        Some(queue) if queues == QueueRules::Refused => fail(format!(
            "subject {:?} is not a valid subject",
            format!("{} {queue}", rule.subject)
        )),
        Some(queue) if !is_pattern(queue.as_bytes()) => {
            fail(format!("queue {queue:?} is not a valid queue"))
        }
        _ => Ok(()),
    }
}

/// A rule as an operator would look for it: `"foo queue" (gannet.conf:3:14)`.
struct RuleText<'a>(&'a Rule);

impl fmt::Display for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", RuleName(self.0), self.0.at)
    }
}

/// A rule as it is written: `"foo queue"`.
struct RuleName<'a>(&'a Rule);

impl fmt::Display for RuleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { subject, queue, .. } = self.0;
        match queue {
            Some(queue) => write!(f, "\"{subject} {queue}\""),
            None => write!(f, "\"{subject}\""),
        }
    }
}

#[cfg(test)]
#[path = "permission_tests.rs"]
mod tests;

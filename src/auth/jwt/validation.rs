//! What is found wrong in claims. Owns the list and the checks that several kinds of claims share.

use std::fmt;

use nkeys::KeyPairType;

use super::claims::Common;
use super::times::instant;
use super::token::is_public;

/// Everything that was found, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issues(pub Vec<Issue>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// What is wrong, for an operator's eyes.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
}

/// How bad an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The claims cannot be used.
    Error,
    /// They cannot be used now.
    Time,
    /// They can be used.
    Warning,
}

impl Issues {
    /// The first because of which the claims cannot be used now.
    pub fn blocking(&self) -> Option<&Issue> {
        let blocks = |issue: &&Issue| issue.severity != Severity::Warning;
        self.0.iter().find(blocks)
    }

    /// Because of which they can never be used.
    pub fn first_error(&self) -> Option<&Issue> {
        let blocks = |issue: &&Issue| issue.severity == Severity::Error;
        self.0.iter().find(blocks)
    }

    pub(super) fn error(&mut self, text: String) {
        let severity = Severity::Error;
        self.0.push(Issue { text, severity });
    }

    pub(super) fn warning(&mut self, text: String) {
        let severity = Severity::Warning;
        self.0.push(Issue { text, severity });
    }

    /// `exp` is the last second at which claims count, `nbf` the first.
    pub(super) fn check_times(&mut self, common: &Common, now: i64) {
        let severity = Severity::Time;
        if common.expires > 0 && now > common.expires {
            let text = format!("expired {}", instant(common.expires));
            self.0.push(Issue { text, severity });
        }
        if common.not_before > now {
            let text = format!("not valid before {}", instant(common.not_before));
            self.0.push(Issue { text, severity });
        }
    }

    /// A subject as claims may hold it: nothing empty, no blanks.
    pub(super) fn check_subject(&mut self, subject: &str) {
        if subject.is_empty() {
            return self.error("subject cannot be empty".to_owned());
        }
        if subject.contains(' ') {
            self.error(format!("subject {subject:?} cannot have spaces"));
        }
        if subject.starts_with('.') || subject.ends_with('.') {
            self.error(format!(
                "subject {subject:?} cannot start or end with a `.`"
            ));
        }
        if subject.contains("..") {
            self.error(format!(
                "subject {subject:?} cannot contain consecutive `.`"
            ));
        }
    }

    pub(super) fn check_account_key(&mut self, key: &str) {
        self.check_key(key, &KeyPairType::Account, |key| {
            format!("{} is not an account public key", key.trim_matches('"'))
        });
    }

    pub(super) fn check_operator_key(&mut self, key: &str) {
        self.check_key(key, &KeyPairType::Operator, |key| {
            format!("{key} is not an operator public key")
        });
    }

    /// `text` says what is wrong of a quoted key. What may be a seed is not repeated.
    pub(super) fn check_key(
        &mut self,
        key: &str,
        kind: &KeyPairType,
        text: impl Fn(&str) -> String,
    ) {
        if !is_public(kind, key) {
            let shown = match key.starts_with(['S', 's', 'P', 'p']) {
                true => "\"[secret]\"".to_owned(),
                false => format!("{key:?}"),
            };
            self.error(text(&shown));
        }
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|issue| issue.text.as_str()).collect();
        f.write_str(&texts.join("; "))
    }
}

/// Whether a text begins as a URL does: a scheme and a colon.
pub(super) fn is_url(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else {
        return false;
    };
    let first = scheme.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        && !text.contains(|c: char| c.is_ascii_control())
}

//! What an explanation says, as data: the structure behind both the page and `--json`. Finds nothing out.
//!
//! Names and meanings of the fields are stable: a later version may add fields, and values to enumerations. A field that
//! has nothing to say is absent. Subjects that are not UTF-8 have their bytes replaced.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::config::Position;

pub use super::jwt::{Chain, Expanded, Given, Grant, Link, Lists, Signer};

/// The whole explanation.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked about.
    pub action: Action,
    /// The subject, or pattern for a subscription, as given.
    pub subject: String,
    /// The queue group of a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Whose message or subscription it is.
    pub who: Actor,
    /// Why it is not let in, as the broker would log it; then there is nothing more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Why nobody can say whether it is let in: what a broker would ask for and is not at hand here. Then, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unclear: Option<String>,
    /// What people call the accounts that are known by keys, those that the report names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// Limits that it is under.
    pub limits: Vec<Limit>,
    /// Where a message goes; for `pub` and `request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// What a subscription gets; for `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feeds: Option<Feeds>,
    /// Where answers come to; for `request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox: Option<Inbox>,
}

/// What is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A message.
    Pub,
    /// A subscription.
    Sub,
    /// A message that wants answers.
    Request,
}

/// Who acts.
#[derive(Clone, Debug, Serialize)]
pub struct Actor {
    /// Its account.
    pub account: String,
    /// Its user, key, or `[REDACTED]` for a token; absent for nobody in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its JWT and those behind it, in operator mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Chain>,
    /// What makes it so, and where that is written.
    pub provenance: Vec<Provenance>,
}

/// Something that was written somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// What.
    pub what: String,
    /// Where; absent for defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// A limit that applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The setting's name.
    pub name: &'static str,
    /// Its value; bytes or a number.
    pub value: u64,
    /// Where it is written; absent for defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct At {
    /// The file as named on the command line or in `include`.
    pub file: String,
    /// Line, from 1; absent where there are none: in a JWT.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u32,
    /// Column in characters, from 1; absent with the line.
    #[serde(skip_serializing_if = "is_zero")]
    pub column: u32,
}

/// Whether something may be done, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    /// Why, in words that name the rule and its place.
    pub why: String,
    /// The rule that decides: the one that allows or denies. Absent where nothing restricts it, or where none of the
    /// rules allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Item>,
}

/// A rule, an import, an export or a mapping: what it is about and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The pattern, as written; a rule's queue group stands behind it.
    pub subject: String,
    /// What the import calls it in its own account, where that is another name; or a mapping's destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Where it stands.
    pub at: At,
}

/// A subject that is published in an account, through the account's mappings.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// The account.
    pub account: String,
    /// The subject before mappings.
    pub subject: String,
    /// The mapping that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Item>,
    /// Mappings that match as well, but stand behind it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadowed: Vec<Item>,
    /// What becomes of it: one way, or one for each destination.
    pub ways: Vec<Way>,
}

/// One of the ways a message can take through mappings.
#[derive(Clone, Debug, Serialize)]
pub struct Way {
    /// Its share of the messages, percent.
    pub share: u8,
    /// The subject it has from here on; absent where it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The subject is an example: chance is part of it.
    #[serde(skip_serializing_if = "is_false")]
    pub random: bool,
    /// Whether the publisher may. Absent for what other accounts send: nobody is asked there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<Verdict>,
    /// Where it arrives; absent where it is lost or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

/// A subject in an account, as its subscribers see it, and everywhere it goes from there.
#[derive(Clone, Debug, Serialize)]
pub struct Stop {
    /// The account.
    pub account: String,
    /// The subject.
    pub subject: String,
    /// It came from another account, as a request: such are not part of the account's streams.
    pub across: bool,
    /// Who there is to see it.
    pub readers: Vec<Reader>,
    /// So may whoever else has a user's JWT of the account, as far as that allows.
    #[serde(skip_serializing_if = "is_false")]
    pub by_jwt: bool,
    /// The broker itself answers a request here: with what it knows of the user.
    #[serde(skip_serializing_if = "is_false")]
    pub answered: bool,
    /// Accounts that see it as a stream.
    pub streams: Vec<StreamStep>,
    /// Services of other accounts that it is a request to.
    pub services: Vec<ServiceStep>,
    /// Why it goes nowhere else, where one might think it does.
    pub notes: Vec<Provenance>,
}

/// Somebody who can be connected to an account.
#[derive(Clone, Debug, Serialize)]
pub struct Reader {
    /// Its user; absent for nobody in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it can have a subscription that gets the subject.
    pub sees: Verdict,
    /// For requests: whether it may answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Verdict>,
}

/// A hop to an account that imports a stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamStep {
    /// Who imports.
    pub account: String,
    /// The subject there.
    pub subject: String,
    /// The import.
    pub import: Item,
    /// The export that allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Item>,
    /// Who there is to see it.
    pub readers: Vec<Reader>,
    /// So may whoever else has a user's JWT of the account, as far as that allows.
    #[serde(skip_serializing_if = "is_false")]
    pub by_jwt: bool,
}

/// A hop to an account that exports a service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStep {
    /// The import.
    pub import: Item,
    /// The export that allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Item>,
    /// The service is told who asks.
    pub share: bool,
    /// How it may answer.
    pub answers: Answers,
    /// Where the request goes in the exporting account; absent where it has passed that export before, or too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
}

/// How a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// Any number, until an empty one; otherwise the first one only.
    pub many: bool,
    /// How long they are waited for, milliseconds: from the request, or from the last answer where there are many.
    pub threshold_ms: u64,
}

/// What a subscription gets.
#[derive(Clone, Debug, Serialize)]
pub struct Feeds {
    /// Whether it may be made.
    pub permission: Verdict,
    /// Rules that keep messages from it although it may be made.
    pub withheld: Vec<Item>,
    /// Everything that can reach it. Empty where it is refused.
    pub sources: Vec<Source>,
    /// What one might think it gets, and does not; and what comes twice.
    pub notes: Vec<Provenance>,
}

/// Something that reaches a subscription.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// Whose clients publish it.
    pub account: String,
    /// The pattern that they publish to; absent where a function stands in the way, so that none says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The pattern that the subscription sees.
    pub seen: String,
    /// The mapping or import that brings it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Item>,
    /// The export that allows the import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Item>,
    /// What in turn becomes those messages, in the account where they are published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<Source>,
}

/// How messages come to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Published in the account, on the very subject.
    Own,
    /// Published in the account on a subject that is mapped.
    Mapping,
    /// A stream of another account.
    Stream,
    /// Requests of another account.
    Requests,
}

/// The requestor's side of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Inbox {
    /// The pattern that clients subscribe to for their answers.
    pub subscription: String,
    /// Whether the requestor may.
    pub permission: Verdict,
    /// A rule that keeps answers from it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Item>,
    /// A mapping of the account that takes answers elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Item>,
}

impl Report {
    /// The report as JSON, indented.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }
}

impl From<&Position> for At {
    fn from(position: &Position) -> At {
        At {
            file: position.file.to_string(),
            line: position.line,
            column: if position.line == 0 {
                0
            } else {
                position.column
            },
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

impl Item {
    /// What stands at a place.
    pub fn new(subject: impl Into<String>, at: &Position) -> Item {
        Item {
            subject: subject.into(),
            to: None,
            at: at.into(),
        }
    }
}

impl Provenance {
    /// What, and where.
    pub fn new(what: impl Into<String>, at: Option<&Position>) -> Provenance {
        Provenance {
            what: what.into(),
            at: at.map(At::from),
        }
    }
}

/// Bytes as the report shows them.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

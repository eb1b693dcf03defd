//! Owns the types of `accounts {}` and `mappings {}`, as written. Never resolves a name.

use super::{Permissions, Position, User};
use crate::subject::{Transform, TransformError};

/// One of `accounts {}`.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name; may be an account nkey.
    pub name: String,
    /// Where its name stands.
    pub at: Position,
    /// What people call it, where that is not its name: what a token says.
    pub label: Option<String>,
    /// `nkey`: a public account key that names it as well.
    pub nkey: Option<(String, Position)>,
    /// `users`.
    pub users: Vec<User>,
    /// `default_permissions`: for users without their own.
    pub default_permissions: Option<Permissions>,
    /// `exports`, in order.
    pub exports: Vec<Export>,
    /// `imports`, in order.
    pub imports: Vec<Import>,
    /// `mappings`, in order.
    pub mappings: Vec<Mapping>,
    /// `limits`.
    pub limits: AccountLimits,
    /// `msg_trace`.
    pub trace: Option<TraceDestination>,
}

/// `msg_trace` of an account: where traces go of messages that ask for one with `traceparent` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceDestination {
    /// `dest`: a subject of the account.
    pub subject: String,
    /// `sampling`: so many of a hundred, from 1.
    pub percent: u8,
}

/// `limits {}` of an account; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountLimits {
    /// `max_connections`.
    pub connections_max: Option<u64>,
    /// `max_subscriptions`.
    pub subscriptions_max: Option<u64>,
    /// `max_payload`, bytes.
    pub payload_bytes_max: Option<u64>,
    /// `max_leafnodes`.
    pub leafnodes_max: Option<u64>,
}

/// One of `exports`. There is one for a subject and kind at most: several in the file are put together.
#[derive(Clone, Debug)]
pub struct Export {
    /// The pattern that is exported.
    pub subject: String,
    /// A stream, or a service.
    pub kind: ExportKind,
    /// `accounts`: who may import it; `None` is everybody.
    pub accounts: Option<Vec<(String, Position)>>,
    /// `account_token_position`, from 1.
    pub account_token_position: Option<u32>,
    /// `allow_trace`.
    pub allow_trace: bool,
    /// Where it stands.
    pub at: Position,
}

/// What an export is.
#[derive(Clone, Debug)]
pub enum ExportKind {
    /// Messages for importers to subscribe to.
    Stream,
    /// Requests for importers to make.
    Service(Service),
}

/// What an exported service says of its answers.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// `response_type`.
    pub response: ResponseType,
    /// `response_threshold`, milliseconds.
    pub threshold_ms: Option<u64>,
    /// `latency`.
    pub latency: Option<Latency>,
}

/// How many answers a request gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseType {
    /// One.
    #[default]
    Singleton,
    /// Any number, until an empty one.
    Stream,
    /// Parts of one, until an empty one.
    Chunked,
}

/// `latency`.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Which requests are measured.
    pub sampling: Sampling,
    /// Where the measurements are published, in the exporting account.
    pub subject: String,
    /// Where it stands.
    pub at: Position,
}

/// `sampling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// So many of a hundred.
    Percent(u8),
    /// Those whose headers ask for it.
    Headers,
}

/// One of `imports`.
#[derive(Clone, Debug)]
pub struct Import {
    /// A stream, or a service.
    pub service: bool,
    /// Whose export.
    pub account: (String, Position),
    /// The subject or pattern in the exporting account.
    pub subject: String,
    /// `prefix`, for streams.
    pub prefix: Option<String>,
    /// `to`: the subject or pattern in the importing account.
    pub to: Option<String>,
    /// `share`: tell the service who asks.
    pub share: bool,
    /// `allow_trace`.
    pub allow_trace: bool,
    /// Where it stands.
    pub at: Position,
}

impl Import {
    /// What the importing account calls it: a pattern or subject, perhaps with placeholders (`$1`).
    pub fn local(&self) -> String {
        match (&self.to, &self.prefix) {
            (None, Some(prefix)) if !self.service => {
                let point = if prefix.ends_with('.') { "" } else { "." };
                format!("{prefix}{point}{}", self.subject)
            }
            (Some(to), _) => to.clone(),
            _ => self.subject.clone(),
        }
    }

    /// What becomes of subjects on their way: for a stream from the exporter's to the importer's, for a service from
    /// the importer's, whose pattern is the transform's source, to the exporter's.
    ///
    /// # Errors
    /// What is wrong with `to`, `prefix` or `subject`; none for an import that has been loaded.
    pub fn transform(&self) -> Result<Transform, TransformError> {
        match self.service {
            true => Transform::service(&self.local(), &self.subject),
            false => Transform::strict(&self.subject, &self.local()),
        }
    }
}

/// One of `mappings {}`: where messages on a subject really go.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The subject or pattern that is published to.
    pub source: String,
    /// Where to, each with its share.
    pub destinations: Vec<Destination>,
    /// Where it stands.
    pub at: Position,
}

/// One way of a mapping.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The new subject, with `$1`, `{{…}}`.
    pub subject: String,
    /// Its share, 0 to 100.
    pub weight: u8,
    /// `cluster`: only in this one.
    pub cluster: Option<String>,
    /// Where it stands.
    pub at: Position,
}

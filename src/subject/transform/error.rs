//! Owns what can be wrong with a transform, and its sentences. Never finds it.

use std::fmt;

/// What is wrong with a transform, and in which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformError {
    /// What.
    pub kind: TransformErrorKind,
    /// Where: the whole source or destination, or a token of it.
    pub text: String,
}

/// The sorts of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransformErrorKind {
    /// The source is not a pattern.
    Source,
    /// The destination is empty.
    EmptyDestination,
    /// The destination has an empty token, white space, or something after `>`.
    Destination,
    /// The destination has a `*`.
    WildcardInDestination,
    /// Only one side ends with `>`.
    RestOnOneSide,
    /// No function has this name, or it is not written like one.
    UnknownFunction,
    /// A function has too few arguments.
    TooFewArguments,
    /// A function has too many arguments.
    TooManyArguments,
    /// An argument is not a number in range, or not a delimiter.
    BadArgument,
    /// A wildcard is named that the source does not have: its number, and how many there are.
    NoSuchWildcard(i64, usize),
    /// The source has no wildcard at all.
    NoWildcards,
    /// An import can only have `$1` and `{{wildcard(1)}}`.
    NotForImports,
    /// An import must use every wildcard: how many too few are used.
    Unused(usize),
    /// A service import must have as many placeholders as the exporter's subject has wildcards: how many.
    NotAsMany(usize),
}

impl TransformErrorKind {
    pub(super) fn at(self, text: &str) -> TransformError {
        let text = text.to_owned();
        TransformError { kind: self, text }
    }
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use TransformErrorKind as Kind;
        let text = &self.text;
        match self.kind {
            Kind::Source | Kind::Destination => write!(f, "{text:?} is not a valid subject"),
            Kind::EmptyDestination => f.write_str("the destination is empty"),
            Kind::WildcardInDestination => {
                write!(
                    f,
                    "{text:?} has a \"*\": name a wildcard of the source, \"$1\""
                )
            }
            Kind::RestOnOneSide => {
                write!(f, "{text:?}: both sides end with \">\", or neither does")
            }
            Kind::UnknownFunction => write!(f, "there is no function {text:?}"),
            Kind::TooFewArguments => write!(f, "{text:?} has too few arguments"),
            Kind::TooManyArguments => write!(f, "{text:?} has too many arguments"),
            Kind::BadArgument => write!(
                f,
                "{text:?} has an argument that is out of range or not of its type"
            ),
            Kind::NoSuchWildcard(number, 1) => {
                write!(
                    f,
                    "{text:?} names wildcard {number}, but the source has only one"
                )
            }
            Kind::NoSuchWildcard(number, count) => {
                write!(
                    f,
                    "{text:?} names wildcard {number}, but the source has only {count}"
                )
            }
            Kind::NoWildcards => write!(f, "{text:?} names a wildcard, but the source has none"),
            Kind::NotForImports => {
                write!(
                    f,
                    "{text:?} cannot be undone: an import can only name wildcards, \"$1\""
                )
            }
            Kind::Unused(1) => write!(
                f,
                "{text:?} has one wildcard too few: an import must use all of them"
            ),
            Kind::Unused(count) => write!(
                f,
                "{text:?} has {count} wildcards too few: an import must use all of them"
            ),
            Kind::NotAsMany(count) => write!(
                f,
                "{text:?} must have as many wildcards as the exporter's subject, {count}, numbered from 1"
            ),
        }
    }
}

impl std::error::Error for TransformError {}

//! Owns subject transforms: what a mapping or an import makes of a subject, forward and back.
//! Never chooses among several, never asks who may.
//!
//! A **transform** has a source, which is a pattern, and a destination, which is a subject that may name the
//! wildcards of the source: `$1`, `{{wildcard(1)}}`, or through a function such as `{{partition(8,1)}}`. Both end
//! with `>`, or neither. There are three ways to make one: [`Transform::new`] for mappings, [`Transform::strict`] for
//! stream imports, [`Transform::service`] for service imports. What is taken and what comes out is what nats-server
//! 2.15.1 does (the tables in `transform/tests.rs`), except:
//!
//! - An empty destination is refused; the oracle takes it and dies of the first message.
//! - `{{partition(n)}}` of a source without wildcards hashes the subject; there the oracle hashes the subject or
//!   nothing at all, depending on the order in which it happened to look at the mappings.
//! - The destination of a stream import without wildcards is a plain subject; the oracle takes anything there, and
//!   delivers on it as it is written.
//! - A service import that cannot be turned around is refused; the oracle sends its requests to the pattern itself.
//!
//! Like the oracle, `$0`, `$-1` and the like stand for the first token of the subject, and a token that only holds
//! a function somewhere (`a{{wildcard(1)}}`) is a literal one.

mod error;
mod function;
mod pattern;
#[cfg(test)]
mod tests;

use super::pattern::{ANY, REST};
use super::subject::{SEPARATOR, tokens};
use super::{is_pattern, is_subscribable};
pub use error::{TransformError, TransformErrorKind};
use function::Function;
pub use pattern::Preimage;

/// What becomes of the subjects that match a pattern. Immutable.
///
/// - `parts` and then, if there is a `rest`, the tokens of the subject from there on, make the result.
/// - No two `Literal` parts stand side by side, so that most results are few copies.
#[derive(Clone, Debug)]
pub struct Transform {
    source: Box<[u8]>,
    destination: Box<str>,
    parts: Box<[Part]>,
    /// Both sides end with `>`, which stands at this token of the source.
    rest: Option<usize>,
}

/// A piece of the destination: tokens of it, without the separators around.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// One token or several.
    Literal(Box<[u8]>),
    /// What a function makes of the subject's tokens, one or several.
    Function(Function),
}

impl Transform {
    /// A transform as mappings have them: any function, and not every wildcard has to be used.
    ///
    /// # Errors
    /// The first thing that is wrong with source or destination.
    pub fn new(source: &str, destination: &str) -> Result<Transform, TransformError> {
        Transform::compile(source, destination)
    }

    /// A transform as stream imports have them, from the exporter's subject to the importer's: no function but
    /// `{{wildcard(1)}}`, and as many placeholders as the source has wildcards, or more. A `*` in the destination
    /// is the next wildcard in order.
    ///
    /// # Errors
    /// The first thing that is wrong with source or destination.
    pub fn strict(source: &str, destination: &str) -> Result<Transform, TransformError> {
        let whole = |error: TransformError| match error.kind {
            // A `*` has been given a number that is not in the file.
            kind @ (TransformErrorKind::NoWildcards
            | TransformErrorKind::NoSuchWildcard(..)
            | TransformErrorKind::RestOnOneSide) => kind.at(destination),
            _ => error,
        };
        let transform =
            Transform::compile(source, &number_wildcards(destination)).map_err(whole)?;
        let mut placeholders = 0;
        for function in transform.functions() {
            if !matches!(function, Function::Token { .. }) {
                return Err(TransformErrorKind::NotForImports.at(destination));
            }
            placeholders += 1;
        }
        match wildcards(source.as_bytes()).count() {
            wanted if placeholders < wanted => {
                Err(TransformErrorKind::Unused(wanted - placeholders).at(destination))
            }
            _ => Ok(transform),
        }
    }

    /// A transform as service imports have them, from the importer's subject `local` to the exporter's `remote`.
    /// `local` may number the wildcards of `remote`: the first wildcard of `remote` becomes the wildcard of `local`
    /// that the first number says, and so on. A `remote` without wildcards takes everything that matches `local`.
    ///
    /// For `q.*.*` and `x.$2.$1` a request on `x.a.b` goes to `q.b.a`. For three, `q.*.*.*` and `x.$2.$3.$1`, one
    /// on `x.a.b.c` goes to `q.b.c.a`, which is not what a stream import of the same would undo; but it is what
    /// the oracle does.
    ///
    /// # Errors
    /// The first thing that is wrong with either.
    pub fn service(local: &str, remote: &str) -> Result<Transform, TransformError> {
        let is_open = |text: &str| text.split('.').any(|token| matches!(token, "*" | ">"));
        if !is_pattern(remote.as_bytes()) {
            return Err(TransformErrorKind::Source.at(remote));
        }
        if !is_open(remote) {
            return Transform::constant(local, remote);
        }
        if local == remote {
            return Transform::compile(remote, &number_wildcards(remote));
        }
        let forward = Transform::strict(remote, local)?;
        let numbers: Vec<i64> = forward.functions().filter_map(Function::number).collect();
        let wanted = wildcards(remote.as_bytes()).count();
        if numbers.len() != wanted || numbers.iter().any(|number| *number < 1) {
            return Err(TransformErrorKind::NotAsMany(wanted).at(local));
        }
        let mut numbers = numbers.into_iter();
        let destination: Vec<String> = remote
            .split('.')
            .map(|token| match token {
                "*" => numbers
                    .next()
                    .map_or_else(String::new, |number| format!("${number}")),
                literal => literal.to_owned(),
            })
            .collect();
        let source = String::from_utf8_lossy(&forward.results()).into_owned();
        Transform::compile(&source, &destination.join("."))
    }

    /// The pattern of subjects that are transformed.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// The destination as written, `*` replaced by numbers.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Whether results depend on chance.
    pub fn is_random(&self) -> bool {
        self.functions().any(Function::is_random)
    }

    /// Whether a message published to `subject` is transformed. The subject is taken token by token as a
    /// pattern: a published `a.>` is not among the subjects of `a.*`.
    pub fn matches(&self, subject: &[u8]) -> bool {
        let mut subject = tokens(subject);
        for wanted in tokens(&self.source) {
            match (wanted, subject.next()) {
                (REST, Some(_)) => return true,
                (ANY, Some(token)) if !token.is_empty() && token != REST => {}
                (literal, Some(token)) if literal == token && literal != ANY => {}
                _ => return false,
            }
        }
        subject.next().is_none()
    }

    /// Appends what becomes of `subject`, which matches the source. `random` decides what depends on chance.
    ///
    /// The result may have empty tokens (`{{split(1,-)}}` of `--`), as in the oracle: then it reaches nobody.
    pub fn apply(&self, subject: &[u8], random: u32, out: &mut Vec<u8>) {
        let mut random = random;
        for (n, part) in self.parts.iter().enumerate() {
            if n > 0 {
                out.push(SEPARATOR);
            }
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal),
                Part::Function(function) => {
                    function.write(subject, random, out);
                    if function.is_random() {
                        random = scramble(random);
                    }
                }
            }
        }
        if let Some(at) = self.rest {
            if !self.parts.is_empty() {
                out.push(SEPARATOR);
            }
            out.extend_from_slice(from_token(subject, at));
        }
    }

    /// Everything that matches `source` becomes `destination`, whatever that may look like.
    fn constant(source: &str, destination: &str) -> Result<Transform, TransformError> {
        if !is_pattern(source.as_bytes()) {
            return Err(TransformErrorKind::Source.at(source));
        }
        Ok(Transform {
            source: source.as_bytes().into(),
            destination: destination.into(),
            parts: [Part::Literal(destination.as_bytes().into())].into(),
            rest: None,
        })
    }

    fn compile(source: &str, destination: &str) -> Result<Transform, TransformError> {
        if !is_pattern(source.as_bytes()) {
            return Err(TransformErrorKind::Source.at(source));
        }
        check_destination(destination)?;
        let rest = tokens(source.as_bytes()).position(|token| token == REST);
        let ends_open = destination.split('.').any(|token| token == ">");
        if rest.is_some() != ends_open {
            return Err(TransformErrorKind::RestOnOneSide.at(destination));
        }
        let wildcards: Vec<usize> = wildcards(source.as_bytes()).collect();
        let has_wildcards = !wildcards.is_empty() || rest.is_some();
        let mut parts: Vec<Part> = Vec::new();
        for token in destination.split('.').filter(|token| *token != ">") {
            match Function::parse(token, &wildcards, has_wildcards)? {
                Some(function) => parts.push(Part::Function(function)),
                None => push_literal(&mut parts, token.as_bytes()),
            }
        }
        Ok(Transform {
            source: source.as_bytes().into(),
            destination: destination.into(),
            parts: parts.into(),
            rest,
        })
    }

    /// The parts with one token each (functions that make several count as one).
    fn flat_parts(&self) -> impl Iterator<Item = Part> + '_ {
        self.parts.iter().flat_map(|part| match part {
            Part::Literal(literal) => tokens(literal)
                .map(|token| Part::Literal(token.into()))
                .collect::<Vec<_>>(),
            function => vec![function.clone()],
        })
    }

    fn functions(&self) -> impl Iterator<Item = &Function> {
        self.parts.iter().filter_map(|part| match part {
            Part::Function(function) => Some(function),
            Part::Literal(_) => None,
        })
    }
}

/// The destination that has the wildcards of `pattern` in their order: `a.*.*` becomes `a.$1.$2`.
pub fn number_wildcards(pattern: &str) -> String {
    let mut number = 0;
    let tokens = pattern.split('.').map(|token| {
        if token == "*" {
            number += 1;
            format!("${number}")
        } else {
            token.to_owned()
        }
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// What can be said of a destination without its source.
fn check_destination(destination: &str) -> Result<(), TransformError> {
    if destination.is_empty() {
        return Err(TransformErrorKind::EmptyDestination.at(destination));
    }
    if !is_subscribable(destination.as_bytes()) {
        return Err(TransformErrorKind::Destination.at(destination));
    }
    for token in destination.split('.') {
        if token == "*" {
            return Err(TransformErrorKind::WildcardInDestination.at(destination));
        }
        let blank = token.contains(['\t', '\n', '\x0c', '\r', ' ']);
        if blank && !function::looks_like_one(token) {
            return Err(TransformErrorKind::Destination.at(destination));
        }
    }
    Ok(())
}

fn push_literal(parts: &mut Vec<Part>, token: &[u8]) {
    if let Some(Part::Literal(before)) = parts.last_mut() {
        *before = [before, &[SEPARATOR][..], token].concat().into();
    } else {
        parts.push(Part::Literal(token.into()));
    }
}

/// Where the `*` of a pattern stand, counted in tokens.
fn wildcards(pattern: &[u8]) -> impl Iterator<Item = usize> {
    let any = |(at, token): (usize, &[u8])| (token == ANY).then_some(at);
    tokens(pattern).enumerate().filter_map(any)
}

/// The subject from token `at` on; empty if it has fewer.
fn from_token(subject: &[u8], at: usize) -> &[u8] {
    if at == 0 {
        return subject;
    }
    match memchr::memchr_iter(SEPARATOR, subject).nth(at - 1) {
        Some(before) => &subject[before + 1..],
        None => &[],
    }
}

/// Another random number, for the next function of the same destination.
fn scramble(random: u32) -> u32 {
    let mixed = (random ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
    (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35) ^ mixed >> 16
}

//! Subjects and patterns: what is valid, what matches what, and the set that answers "which patterns match this
//! subject". Pure and safe; imports no sibling. It never knows who subscribed.
//!
//! A **subject** is what a message is published to: tokens separated by `.`. A **pattern** is a subject that may
//! hold wildcards: `*` alone in a token stands for any one token, `>` alone in the last token for one or more.
//! A wildcard character inside a longer token is an ordinary byte.
//!
//! # What is valid, as nats-server 2.15.1 does it
//!
//! Three rules, from lax to strict (the table in `tests.rs` holds them):
//!
//! | subject | SUB accepted ([`is_subscribable`]) | in configuration ([`is_pattern`]) | pedantic PUB without complaint ([`is_literal`]) |
//! |---|---|---|---|
//! | `a`, `a.b`, `über.€`, bytes that are not UTF-8, `\0` | yes | yes | yes |
//! | `*`, `a.*`, `*.a`, `>`, `a.>`, `*.>` | yes | yes | no |
//! | `a*b`, `*a`, `>a`, `**`, `>>`, `a.>b.c` | yes, as literals | yes | yes |
//! | ``, `.`, `.a`, `a.`, `a..b` | no: `'Invalid Subject'` | no | no |
//! | `>.a`, `a.>.b`, `>.>` | no: `'Invalid Subject'` | no | no |
//! | `a\fb`, a token `\f` (space, tab, CR, LF cannot arrive: they separate arguments) | yes | no | yes |
//! | `a\vb`, U+00A0 | yes | yes | yes |
//!
//! A refused SUB leaves the connection open. A PUB is not checked at all unless pedantic, and then delivered all
//! the same: its subject is taken token by token, so `PUB a.*` reaches the subscribers of `a.*`, `a.>` and `>`
//! (and `PUB a.>` those of `a.*`), never those of `a.b`. A subject with an empty token reaches nobody. The number
//! of tokens is bounded only by the length of the control line and by `max_subscription_tokens`.

mod pattern;
mod set;
mod slab;
#[expect(clippy::module_inception)]
mod subject;
mod table;
mod text;
mod transform;
mod trie;

#[cfg(test)]
mod tests;

pub use pattern::{
    has_wildcard, intersection, is_pattern, is_subscribable, is_subset, overlaps, pattern_matches,
};
pub use set::{PatternId, PatternSet};
pub use subject::{has_empty_token, is_literal, is_same, token_count, tokens};
pub use transform::{Preimage, Transform, TransformError, TransformErrorKind, number_wildcards};

//! Owns an index of patterns by their first token, so that not every pair has to be compared.
//! Never compares them any further.

use std::collections::HashMap;

use crate::subject::tokens;

/// Numbers of patterns, which the caller holds. Those with a wildcard for their first token are apart.
#[derive(Default)]
pub(in crate::config) struct Index {
    by_token: HashMap<Vec<u8>, Vec<usize>>,
    any: Vec<usize>,
}

impl Index {
    /// An index of patterns in their order.
    pub(in crate::config) fn of<'a>(patterns: impl Iterator<Item = &'a [u8]>) -> Index {
        let mut index = Index::default();
        for (number, pattern) in patterns.enumerate() {
            index.add(pattern, number);
        }
        index
    }

    /// Adds a pattern.
    pub(in crate::config) fn add(&mut self, pattern: &[u8], number: usize) {
        match first_token(pattern) {
            Some(token) => self
                .by_token
                .entry(token.to_vec())
                .or_default()
                .push(number),
            None => self.any.push(number),
        }
    }

    /// Whether there is none.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.by_token.is_empty() && self.any.is_empty()
    }

    /// All patterns that may have a subject in common with this one, in no order, and perhaps some that have none.
    pub(in crate::config) fn candidates(&self, pattern: &[u8]) -> impl Iterator<Item = usize> {
        let (one, all) = match first_token(pattern) {
            Some(token) => (self.by_token.get(token), None),
            None => (None, Some(self.by_token.values())),
        };
        let by_token = one.into_iter().chain(all.into_iter().flatten());
        by_token.flatten().chain(&self.any).copied()
    }
}

/// `None` if it is a wildcard.
fn first_token(pattern: &[u8]) -> Option<&[u8]> {
    let token = tokens(pattern).next();
    token.filter(|token| !matches!(*token, b"*" | b">"))
}

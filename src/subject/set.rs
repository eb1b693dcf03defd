//! Owns a set of patterns and finds those that match a subject. Never knows what a pattern is for.

use std::fmt;
use std::ops::ControlFlow;

use super::pattern::{has_wildcard, is_subscribable, overlaps};
use super::slab::Slab;
use super::table::{IdTable, Seed};
use super::text::{LongTexts, Text};
use super::trie::Trie;

/// Bytes of a pattern kept in place: an inbox with 22 random characters and `.*` fits.
const PATTERN_BYTES: usize = 31;
/// The hashing context of whole literal patterns; no node of the trie has this number.
const LITERAL: u32 = u32::MAX;

/// A pattern's number in its set. Dense: numbers are reused after removal, and the highest one is lower than the
/// most patterns the set ever held at once, so a vector beside the set can hold what belongs to each.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Ord, PartialOrd)]
pub struct PatternId(pub u32);

/// A set of patterns, made to hold millions and to answer "which of them match this subject" at once.
///
/// Patterns without wildcards are in a hash table, the others in a trie by tokens: a match costs one probe of the
/// first and a walk of the second, whatever the number of literals. Growing moves about a thousand ids at a
/// time. A literal of up to 31 bytes costs about 43 bytes, 52 resident (`benches/trie.rs`).
///
/// - Every pattern is subscribable, is stored once, and is either in `literals` or in `trie`.
/// - An empty set holds no memory.
pub struct PatternSet {
    seed: Seed,
    patterns: Slab<Text<PATTERN_BYTES>>,
    long: LongTexts,
    literals: IdTable,
    trie: Trie,
}

impl PatternSet {
    /// An empty set with a fixed seed: for patterns that come from people one trusts, and for tests.
    pub fn new() -> Self {
        PatternSet::with_seed(0)
    }

    /// An empty set. With a secret random seed, peers cannot choose patterns whose hashes collide.
    pub fn with_seed(seed: u64) -> Self {
        PatternSet {
            seed: Seed::new(seed),
            patterns: Slab::new(),
            long: LongTexts::new(),
            literals: IdTable::new(),
            trie: Trie::new(),
        }
    }

    /// Adds a pattern, or finds it; says whether it is new.
    ///
    /// Panics if the pattern is not [`is_subscribable`].
    pub fn insert(&mut self, pattern: &[u8]) -> (PatternId, bool) {
        if let Some(id) = self.find(pattern) {
            return (id, false);
        }
        assert!(is_subscribable(pattern), "an invalid pattern");
        let text = Text::store(pattern, &mut self.long);
        let id = self.patterns.insert(text);
        if has_wildcard(pattern) {
            self.trie.insert(pattern, id, &self.seed, &mut self.long);
        } else {
            let hash_of = hash_literal(&self.seed, &self.patterns, &self.long);
            self.literals.insert(hash_of(id), id, hash_of);
        }
        (PatternId(id), true)
    }

    /// The id of a stored pattern. Wildcards count as such: `a.*` finds only `a.*`.
    pub fn find(&self, pattern: &[u8]) -> Option<PatternId> {
        let id = if has_wildcard(pattern) {
            self.trie.find(pattern, &self.seed, &self.long)
        } else {
            self.find_literal(pattern)
        };
        id.map(PatternId)
    }

    /// Removes a pattern; its id may be given to another one. Panics if there is none with this id.
    pub fn remove(&mut self, id: PatternId) {
        let PatternId(id) = id;
        assert!(self.patterns.contains(id), "no pattern has the id {id}");
        let pattern = self.patterns.get(id).get(&self.long);
        if has_wildcard(pattern) {
            let pattern = pattern.to_vec();
            self.trie.remove(&pattern, &self.seed, &mut self.long);
        } else {
            let hash_of = hash_literal(&self.seed, &self.patterns, &self.long);
            self.literals.remove(hash_of(id), id, hash_of);
        }
        self.patterns.remove(id).release(&mut self.long);
    }

    /// The bytes of a stored pattern. For an id that is not in use it panics or gives other bytes.
    pub fn pattern(&self, id: PatternId) -> &[u8] {
        self.patterns.get(id.0).get(&self.long)
    }

    /// Calls `found` once with every pattern that matches the subject, in no particular order.
    ///
    /// The subject need not be valid; see [`pattern_matches`](super::pattern_matches) for what odd ones match.
    #[inline]
    pub fn matches(&self, subject: &[u8], mut found: impl FnMut(PatternId)) {
        let _ = self.search(subject, |id| {
            found(id);
            ControlFlow::Continue(())
        });
    }

    /// Whether some pattern matches the subject.
    #[inline]
    pub fn any_match(&self, subject: &[u8]) -> bool {
        self.search(subject, |_| ControlFlow::Break(())).is_break()
    }

    /// Calls `found` once with every stored pattern that shares a subject with this valid one, in no particular order.
    ///
    /// As fast as [`PatternSet::matches`] for a pattern without wildcards; otherwise it looks at every stored
    /// pattern, so it is not for each message.
    pub fn overlapping(&self, pattern: &[u8], mut found: impl FnMut(PatternId)) {
        if !has_wildcard(pattern) {
            return self.matches(pattern, found);
        }
        for id in self.iter() {
            if overlaps(pattern, self.pattern(id)) {
                found(id);
            }
        }
    }

    /// The number of patterns.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held, without the set itself and what the allocator rounds up.
    pub fn memory_bytes(&self) -> usize {
        let texts = self.patterns.memory_bytes() + self.long.memory_bytes();
        texts + self.literals.memory_bytes() + self.trie.memory_bytes()
    }

    /// The ids in use, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PatternId> {
        self.patterns.keys().map(PatternId)
    }

    #[inline]
    fn search(
        &self,
        subject: &[u8],
        mut found: impl FnMut(PatternId) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(id) = self.find_literal(subject) {
            found(PatternId(id))?;
        }
        if self.trie.is_empty() {
            return ControlFlow::Continue(());
        }
        self.trie
            .walk(subject, &self.seed, &self.long, |id| found(PatternId(id)))
    }

    #[inline]
    fn find_literal(&self, subject: &[u8]) -> Option<u32> {
        if self.literals.is_empty() {
            return None;
        }
        let hash = self.seed.hash(LITERAL, subject);
        self.literals
            .find(hash, |id| self.patterns.get(id).get(&self.long) == subject)
    }

    /// Panics where a sentence on the structs does not hold.
    #[cfg(test)]
    pub(super) fn invariants(&self) {
        self.patterns.invariants();
        let literals = self.iter().filter(|&id| !has_wildcard(self.pattern(id)));
        assert_eq!(literals.count(), self.literals.len());
        self.literals
            .invariants(hash_literal(&self.seed, &self.patterns, &self.long));
        self.trie.invariants(&self.seed, &self.long);
        for id in self.iter() {
            assert!(is_subscribable(self.pattern(id)));
            assert_eq!(self.find(self.pattern(id)), Some(id));
        }
        if self.is_empty() {
            assert_eq!((self.memory_bytes(), self.long.len()), (0, 0));
        }
    }
}

impl Default for PatternSet {
    fn default() -> Self {
        PatternSet::new()
    }
}

impl fmt::Debug for PatternSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self
            .iter()
            .map(|id| (id.0, String::from_utf8_lossy(self.pattern(id))));
        f.debug_map().entries(patterns).finish()
    }
}

fn hash_literal(
    seed: &Seed,
    patterns: &Slab<Text<PATTERN_BYTES>>,
    long: &LongTexts,
) -> impl Fn(u32) -> u64 {
    |id| seed.hash(LITERAL, patterns.get(id).get(long))
}

//! Owns the patterns that have a wildcard, as a trie by tokens. Never holds a pattern's bytes as a whole.

use std::ops::ControlFlow;

use super::pattern::{ANY, REST};
use super::slab::Slab;
use super::subject::{SEPARATOR, Separators, token_count, tokens};
use super::table::{IdTable, Seed};
use super::text::{LongTexts, Text};

/// No pattern, no node.
const NONE: u32 = u32::MAX;
/// The node at which every pattern starts. There is one as long as there is a pattern.
const ROOT: u32 = 0;
/// Bytes of a token kept in its node: an inbox's 22 random characters fit.
const TOKEN_BYTES: usize = 23;

/// Patterns with a wildcard. What they mean to the caller is a `u32` each.
///
/// - Every node but the root leads to at least one pattern; without patterns there are no nodes.
/// - Children by literal token are in `edges`, keyed by parent and token; the child for `*` is in its parent.
/// - A walk visits a node at most once, so it costs at most the nodes whose tokens match the subject so far:
///   an attacker pays for each with the bytes of a subscription. See `benches/trie.rs` for the dearest case.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Slab<Node>,
    edges: IdTable,
}

/// What is known after some tokens.
///
/// - `literal_sum` is the exclusive or of the children by literal token: the child itself if there is one.
#[derive(Debug)]
struct Node {
    /// NONE for the root.
    parent: u32,
    /// The child for a token `*` that is not the last.
    any: u32,
    /// The pattern that ends here; never set where the last token is `*` (then it is the parent's `any_end`).
    end: u32,
    /// The pattern that ends with `*` in the next token.
    any_end: u32,
    /// The pattern that ends with `>` in the next token.
    rest: u32,
    literal_children: u32,
    literal_sum: u32,
    /// The token that leads here from the parent.
    token: Text<TOKEN_BYTES>,
}

/// Where a pattern is noted in a node.
#[derive(Clone, Copy)]
enum Ending {
    Here,
    Any,
    Rest,
}

/// Branches of a walk not yet taken: the node, and where in the subject it goes on. As deep as a usual subject
/// without memory from the heap.
struct Branches {
    first: [(u32, u32); 8],
    len: usize,
    more: Vec<(u32, u32)>,
}

impl Trie {
    /// An empty trie, without memory.
    pub(super) const fn new() -> Self {
        Trie {
            nodes: Slab::new(),
            edges: IdTable::new(),
        }
    }

    /// Whether it holds no pattern.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 0
    }

    /// Adds a valid pattern with a wildcard that is not there yet.
    pub(super) fn insert(&mut self, pattern: &[u8], id: u32, seed: &Seed, long: &mut LongTexts) {
        if self.is_empty() {
            let root = self.nodes.insert(Node::default());
            assert_eq!(root, ROOT);
        }
        let (way, ending) = split_last(pattern);
        let mut at = ROOT;
        for token in way {
            at = match self.child(at, token, seed, long) {
                Some(child) => child,
                None => self.add_child(at, token, seed, long),
            };
        }
        *self.nodes.get_mut(at).ending_mut(ending) = id;
    }

    /// The id of a valid pattern with a wildcard.
    pub(super) fn find(&self, pattern: &[u8], seed: &Seed, long: &LongTexts) -> Option<u32> {
        let (at, ending) = self.locate(pattern, seed, long)?;
        let id = self.nodes.get(at).ending(ending);
        (id != NONE).then_some(id)
    }

    /// Removes a pattern that is there, and the nodes that led only to it.
    pub(super) fn remove(&mut self, pattern: &[u8], seed: &Seed, long: &mut LongTexts) {
        let (mut at, ending) = self
            .locate(pattern, seed, long)
            .expect("the pattern is in the trie");
        *self.nodes.get_mut(at).ending_mut(ending) = NONE;
        while self.nodes.get(at).leads_nowhere() {
            let parent = self.nodes.get(at).parent;
            if parent == NONE {
                *self = Trie::new();
                return;
            }
            self.remove_child(parent, at, seed, long);
            at = parent;
        }
    }

    /// Calls `found` with every pattern that matches, in no particular order, until it breaks off.
    ///
    /// A subject with an empty token matches nothing.
    #[inline]
    pub(super) fn walk(
        &self,
        subject: &[u8],
        seed: &Seed,
        long: &LongTexts,
        mut found: impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(separators) = Separators::of(subject) else {
            return ControlFlow::Continue(());
        };
        let mut branches = Branches::new();
        let mut next = (!self.is_empty()).then_some((ROOT, 0));
        while let Some((at, from)) = next {
            let node = self.nodes.get(at);
            if node.rest != NONE {
                found(node.rest)?;
            }
            let from = from as usize;
            let Some(end) = separators.next(from) else {
                if node.any_end != NONE {
                    found(node.any_end)?;
                }
                if let Some(child) = self.literal_child(at, node, &subject[from..], seed, long) {
                    let end = self.nodes.get(child).end;
                    if end != NONE {
                        found(end)?;
                    }
                }
                next = branches.pop();
                continue;
            };
            let after = end as u32 + 1;
            next = match self.literal_child(at, node, &subject[from..end], seed, long) {
                Some(child) => {
                    if node.any != NONE {
                        branches.push((node.any, after));
                    }
                    Some((child, after))
                }
                None if node.any != NONE => Some((node.any, after)),
                None => branches.pop(),
            };
        }
        ControlFlow::Continue(())
    }

    /// Bytes of memory held, long tokens excepted.
    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes() + self.edges.memory_bytes()
    }

    /// Panics where a sentence on the structs does not hold.
    #[cfg(test)]
    pub(super) fn invariants(&self, seed: &Seed, long: &LongTexts) {
        self.nodes.invariants();
        self.edges.invariants(|id| self.hash_of(id, seed, long));
        let mut by_literal = 0;
        for at in self.nodes.keys() {
            let node = self.nodes.get(at);
            assert!(!node.leads_nowhere(), "node {at} leads nowhere");
            assert_eq!(node.parent == NONE, at == ROOT);
            by_literal += node.literal_children;
            if at != ROOT {
                let token = node.token.get(long);
                assert_eq!(self.child(node.parent, token, seed, long), Some(at));
            }
        }
        assert_eq!(by_literal as usize, self.edges.len());
    }

    /// The node and the place in it where the pattern would be.
    fn locate(&self, pattern: &[u8], seed: &Seed, long: &LongTexts) -> Option<(u32, Ending)> {
        if self.is_empty() {
            return None;
        }
        let (mut way, ending) = split_last(pattern);
        let at = way.try_fold(ROOT, |at, token| self.child(at, token, seed, long))?;
        Some((at, ending))
    }

    /// The child by a token of a pattern, which may be `*`.
    fn child(&self, at: u32, token: &[u8], seed: &Seed, long: &LongTexts) -> Option<u32> {
        let node = self.nodes.get(at);
        if token == ANY {
            return (node.any != NONE).then_some(node.any);
        }
        self.literal_child(at, node, token, seed, long)
    }

    /// The child by a token that is no wildcard. An only child is compared without hashing.
    #[inline]
    fn literal_child(
        &self,
        at: u32,
        node: &Node,
        token: &[u8],
        seed: &Seed,
        long: &LongTexts,
    ) -> Option<u32> {
        match node.literal_children {
            0 => None,
            1 => {
                let child = node.literal_sum;
                (self.nodes.get(child).token.get(long) == token).then_some(child)
            }
            _ => self.edges.find(seed.hash(at, token), |child| {
                let child = self.nodes.get(child);
                child.parent == at && child.token.get(long) == token
            }),
        }
    }

    fn add_child(&mut self, parent: u32, token: &[u8], seed: &Seed, long: &mut LongTexts) -> u32 {
        let token_text = Text::store(token, long);
        let child = self.nodes.insert(Node {
            parent,
            token: token_text,
            ..Node::default()
        });
        let node = self.nodes.get_mut(parent);
        if token == ANY {
            node.any = child;
            return child;
        }
        node.literal_children += 1;
        node.literal_sum ^= child;
        let nodes = &self.nodes;
        let hash_of = |id| hash_of(nodes.get(id), seed, long);
        self.edges.insert(hash_of(child), child, hash_of);
        child
    }

    fn remove_child(&mut self, parent: u32, child: u32, seed: &Seed, long: &mut LongTexts) {
        let node = self.nodes.get_mut(parent);
        if node.any == child {
            node.any = NONE;
        } else {
            node.literal_children -= 1;
            node.literal_sum ^= child;
            let nodes = &self.nodes;
            let hash_of = |id| hash_of(nodes.get(id), seed, long);
            self.edges.remove(hash_of(child), child, hash_of);
        }
        self.nodes.remove(child).token.release(long);
    }

    #[cfg(test)]
    fn hash_of(&self, id: u32, seed: &Seed, long: &LongTexts) -> u64 {
        hash_of(self.nodes.get(id), seed, long)
    }
}

impl Node {
    fn ending(&self, ending: Ending) -> u32 {
        match ending {
            Ending::Here => self.end,
            Ending::Any => self.any_end,
            Ending::Rest => self.rest,
        }
    }

    fn ending_mut(&mut self, ending: Ending) -> &mut u32 {
        match ending {
            Ending::Here => &mut self.end,
            Ending::Any => &mut self.any_end,
            Ending::Rest => &mut self.rest,
        }
    }

    fn leads_nowhere(&self) -> bool {
        let onward = [self.any, self.end, self.any_end, self.rest];
        self.literal_children == 0 && onward == [NONE; 4]
    }
}

impl Default for Node {
    /// The root of an empty trie.
    fn default() -> Self {
        Node {
            parent: NONE,
            any: NONE,
            end: NONE,
            any_end: NONE,
            rest: NONE,
            literal_children: 0,
            literal_sum: 0,
            token: Text::default(),
        }
    }
}

impl Branches {
    #[inline]
    fn new() -> Self {
        Branches {
            first: [(0, 0); 8],
            len: 0,
            more: Vec::new(),
        }
    }

    #[inline]
    fn push(&mut self, branch: (u32, u32)) {
        match self.first.get_mut(self.len) {
            Some(place) => {
                *place = branch;
                self.len += 1;
            }
            None => self.more.push(branch),
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<(u32, u32)> {
        if let Some(branch) = self.more.pop() {
            return Some(branch);
        }
        self.len = self.len.checked_sub(1)?;
        Some(self.first[self.len])
    }
}

fn hash_of(node: &Node, seed: &Seed, long: &LongTexts) -> u64 {
    seed.hash(node.parent, node.token.get(long))
}

/// The tokens that lead to the node of a pattern, and where in it the pattern is noted.
fn split_last(pattern: &[u8]) -> (impl Iterator<Item = &[u8]>, Ending) {
    let last = pattern
        .rsplit(|&byte| byte == SEPARATOR)
        .next()
        .unwrap_or_default();
    let (ending, skipped) = match last {
        ANY => (Ending::Any, 1),
        REST => (Ending::Rest, 1),
        _ => (Ending::Here, 0),
    };
    let way = token_count(pattern) - skipped;
    (tokens(pattern).take(way), ending)
}

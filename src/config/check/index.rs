//! Owns an index of patterns, to find those that cover one or have a subject in common with it without comparing
//! every pair. Never holds what the patterns are for: the caller numbers them.

use std::collections::HashMap;

use crate::subject::tokens;

const ANY: &[u8] = b"*";
const REST: &[u8] = b">";

/// Patterns by their tokens. `nodes[0]` is the root.
pub(in crate::config) struct Index {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    literals: HashMap<Box<[u8]>, usize>,
    any: Option<usize>,
    /// Patterns that end here.
    ends: Vec<usize>,
    /// Patterns that go on with `>`.
    open_ends: Vec<usize>,
}

impl Default for Index {
    fn default() -> Self {
        Index {
            nodes: vec![Node::default()],
        }
    }
}

impl Index {
    /// An index of patterns, numbered in their order.
    pub(in crate::config) fn of<'a>(patterns: impl Iterator<Item = &'a [u8]>) -> Index {
        let mut index = Index::default();
        for (number, pattern) in patterns.enumerate() {
            index.add(pattern, number);
        }
        index
    }

    /// Adds a pattern, which must be valid.
    pub(in crate::config) fn add(&mut self, pattern: &[u8], number: usize) {
        let mut at = 0;
        for token in tokens(pattern) {
            if token == REST {
                return self.nodes[at].open_ends.push(number);
            }
            let new = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match token {
                ANY => *node.any.get_or_insert(new),
                literal => *node.literals.entry(literal.into()).or_insert(new),
            };
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].ends.push(number);
    }

    /// Whether there is none.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.nodes[0].open_ends.is_empty()
    }

    /// The patterns of which `pattern` is a part or the whole, in their order.
    pub(in crate::config) fn covering(&self, pattern: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut level = vec![0];
        for token in tokens(pattern) {
            let nodes = || level.iter().map(|at| &self.nodes[*at]);
            found.extend(nodes().flat_map(|node| &node.open_ends));
            level = match token {
                REST => Vec::new(),
                ANY => nodes().filter_map(|node| node.any).collect(),
                literal => nodes()
                    .flat_map(|node| {
                        node.literals
                            .get(literal)
                            .copied()
                            .into_iter()
                            .chain(node.any)
                    })
                    .collect(),
            };
        }
        found.extend(level.iter().flat_map(|at| &self.nodes[*at].ends));
        found.sort_unstable();
        found
    }

    /// The patterns that have a subject in common with `pattern`, in their order.
    pub(in crate::config) fn overlapping(&self, pattern: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut level = vec![0];
        for token in tokens(pattern) {
            let nodes = || level.iter().map(|at| &self.nodes[*at]);
            found.extend(nodes().flat_map(|node| &node.open_ends));
            level = match token {
                REST => {
                    let below = level.iter().flat_map(|at| self.nodes[*at].children());
                    self.add_all(below.collect(), &mut found);
                    Vec::new()
                }
                ANY => nodes().flat_map(Node::children).collect(),
                literal => nodes()
                    .flat_map(|node| {
                        node.literals
                            .get(literal)
                            .copied()
                            .into_iter()
                            .chain(node.any)
                    })
                    .collect(),
            };
        }
        found.extend(level.iter().flat_map(|at| &self.nodes[*at].ends));
        found.sort_unstable();
        found
    }

    /// Adds the patterns at and below some nodes.
    fn add_all(&self, mut nodes: Vec<usize>, found: &mut Vec<usize>) {
        while let Some(at) = nodes.pop() {
            let node = &self.nodes[at];
            found.extend(node.ends.iter().chain(&node.open_ends));
            nodes.extend(node.children());
        }
    }
}

impl Node {
    fn children(&self) -> impl Iterator<Item = usize> {
        self.literals.values().copied().chain(self.any)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::subject::{is_subset, overlaps};

    fn pattern() -> impl Strategy<Value = String> {
        (vec(select(vec!["a", "b", "*"]), 0..4), any::<bool>()).prop_map(|(mut tokens, open)| {
            if open || tokens.is_empty() {
                tokens.push(">");
            }
            tokens.join(".")
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(patterns in vec(pattern(), 0..20), asked in pattern()) {
            let index = Index::of(patterns.iter().map(|pattern| pattern.as_bytes()));
            let which = |is: &dyn Fn(&[u8]) -> bool| -> Vec<usize> {
                (0..patterns.len()).filter(|at| is(patterns[*at].as_bytes())).collect()
            };
            let asked = asked.as_bytes();
            prop_assert_eq!(index.covering(asked), which(&|own| is_subset(asked, own)));
            prop_assert_eq!(index.overlapping(asked), which(&|own| overlaps(asked, own)));
            prop_assert_eq!(index.is_empty(), patterns.is_empty());
        }
    }
}

//! Subjects and patterns word by word: the model's own matcher. Owns nothing else, and uses nothing of gannet's.

use std::collections::HashMap;

/// One word of a pattern or of what is made of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Itself.
    Is(String),
    /// `*`, or the word that the wildcard of this number took.
    Any(usize),
    /// `>`, or what it took.
    Rest,
    /// `{{partition(of, wildcard)}}`.
    Part {
        /// Into so many.
        of: u32,
        /// By the word of this wildcard.
        by: usize,
    },
}

/// A pattern.
pub type Words = Vec<Word>;

/// What wildcards took.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    words: HashMap<usize, String>,
    rest: String,
}

/// Reads a pattern as subscriptions write it.
pub fn read(text: &str) -> Words {
    let words = text.split('.').enumerate().map(|(at, word)| match word {
        "*" => Word::Any(at),
        ">" => Word::Rest,
        word => Word::Is(word.to_owned()),
    });
    words.collect()
}

/// Matches.
pub fn bind(pattern: &[Word], subject: &str) -> Option<Bound> {
    if subject.is_empty() {
        return None;
    }
    let words: Vec<&str> = subject.split('.').collect();
    let mut bound = Bound::default();
    for (at, word) in pattern.iter().enumerate() {
        let here = *words.get(at)?;
        match word {
            Word::Is(text) if text == here => {}
            Word::Any(number) => {
                bound.words.insert(*number, here.to_owned());
            }
            Word::Rest => {
                bound.rest = words[at..].join(".");
                return Some(bound);
            }
            Word::Is(_) | Word::Part { .. } => return None,
        }
    }
    (words.len() == pattern.len()).then_some(bound)
}

/// Makes a subject of what was taken.
pub fn fill(pattern: &[Word], bound: &Bound) -> String {
    let word = |word: &Word| match word {
        Word::Is(text) => text.clone(),
        Word::Any(number) => bound.words[number].clone(),
        Word::Rest => bound.rest.clone(),
        Word::Part { of, by } => (fnv1a(&bound.words[by]) % of).to_string(),
    };
    pattern.iter().map(word).collect::<Vec<_>>().join(".")
}

/// FNV-1a, 32 bits.
fn fnv1a(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    text.bytes().fold(2_166_136_261, step)
}

/// As a pattern is written.
pub fn pattern_text(pattern: &[Word]) -> String {
    text(pattern, |_| "*".to_owned())
}

/// As a destination is written: with the numbers of the wildcards, from 1.
pub fn numbered_text(pattern: &[Word]) -> String {
    text(pattern, |number| format!("${}", number + 1))
}

/// As is written what wildcards are called by `any`.
pub fn text(pattern: &[Word], mut any: impl FnMut(usize) -> String) -> String {
    let word = |word: &Word| match word {
        Word::Is(text) => text.clone(),
        Word::Any(number) => any(*number),
        Word::Rest => ">".to_owned(),
        Word::Part { of, by } => format!("{{{{partition({of},{})}}}}", by + 1),
    };
    pattern.iter().map(word).collect::<Vec<_>>().join(".")
}

/// The numbers of the wildcards, in order.
pub fn wildcards(pattern: &[Word]) -> Vec<usize> {
    let number = |word: &Word| match word {
        Word::Any(number) => Some(*number),
        _ => None,
    };
    pattern.iter().filter_map(number).collect()
}

/// The same with wildcards numbered from 0.
pub fn renumbered(pattern: &[Word]) -> Words {
    let mut next = 0;
    let word = |word: &Word| match word {
        Word::Any(_) => {
            next += 1;
            Word::Any(next - 1)
        }
        other => other.clone(),
    };
    pattern.iter().map(word).collect()
}

/// Whether some subject matches both.
pub fn meet(a: &[Word], b: &[Word]) -> bool {
    match (a, b) {
        ([Word::Rest, ..], [_, ..]) | ([_, ..], [Word::Rest, ..]) => true,
        ([Word::Is(one), ..], [Word::Is(other), ..]) if one != other => false,
        ([_, a @ ..], [_, b @ ..]) => meet(a, b),
        (a, b) => a.is_empty() && b.is_empty(),
    }
}

/// Whether everything that matches `inner` matches `outer`.
pub fn covers(outer: &[Word], inner: &[Word]) -> bool {
    match (outer, inner) {
        ([Word::Rest, ..], [_, ..]) => true,
        ([Word::Is(one), ..], [Word::Is(other), ..]) if one != other => false,
        ([Word::Is(_), ..], [Word::Any(_), ..]) | ([_, ..], [Word::Rest, ..]) => false,
        ([_, outer @ ..], [_, inner @ ..]) => covers(outer, inner),
        (outer, inner) => outer.is_empty() && inner.is_empty(),
    }
}

//! Owns what a transform does to whole patterns: which subjects come out, and from which they come.
//! Never applies it to a single subject.

use super::super::pattern::{ANY, REST, intersection};
use super::super::subject::tokens;
use super::function::Function;
use super::{Part, Transform};

/// Where the subjects of a pattern in the destination's space come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Preimage {
    /// From nowhere: no result matches.
    Nothing,
    /// From exactly the subjects of this pattern.
    Pattern(Vec<u8>),
    /// From some of the source, but no pattern says which: a function stands in the way.
    Unclear,
}

/// What a token of the source has to be.
type Wanted<'a> = Vec<&'a [u8]>;

impl Transform {
    /// The pattern of all results. Exact for strict transforms; where a function makes several tokens it is wider.
    pub fn results(&self) -> Vec<u8> {
        self.image(&self.source).unwrap_or_default()
    }

    /// The pattern of what becomes of those subjects of the source that match `pattern`; `None` if there are none.
    /// Exact for strict transforms that name no wildcard twice; else it may be wider.
    pub fn image(&self, pattern: &[u8]) -> Option<Vec<u8>> {
        let subjects = intersection(&self.source, pattern)?;
        let subjects: Vec<&[u8]> = tokens(&subjects).collect();
        let mut out: Vec<&[u8]> = Vec::new();
        let parts: Vec<Part> = self.flat_parts().collect();
        for part in &parts {
            match part {
                Part::Literal(literal) => out.push(literal),
                Part::Function(Function::Token { at, .. }) => {
                    out.push(
                        subjects
                            .get(*at)
                            .copied()
                            .filter(|t| *t != REST)
                            .unwrap_or(ANY),
                    );
                }
                Part::Function(function) if function.makes_several() => {
                    out.push(REST);
                    return Some(out.join(&b'.'));
                }
                Part::Function(_) => out.push(ANY),
            }
        }
        if let Some(at) = self.rest {
            out.extend(&subjects[at..]);
        }
        Some(out.join(&b'.'))
    }

    /// Where the results that match `pattern` come from.
    pub fn preimage(&self, pattern: &[u8]) -> Preimage {
        let mut wanted: Wanted<'_> = tokens(&self.source)
            .filter(|token| *token != REST)
            .collect();
        let mut pattern = tokens(pattern);
        let mut unclear = false;
        let parts: Vec<Part> = self.flat_parts().collect();
        for part in &parts {
            let Some(token) = pattern.next() else {
                return Preimage::Nothing;
            };
            if token == REST {
                return self.with_rest(wanted, REST, unclear);
            }
            match part {
                Part::Literal(literal) if token != ANY && token != &**literal => {
                    return Preimage::Nothing;
                }
                Part::Literal(_) => {}
                Part::Function(Function::Token { at, .. }) => {
                    let is_wildcard = tokens(&self.source).nth(*at) == Some(ANY);
                    match wanted.get_mut(*at) {
                        Some(own) if is_wildcard && *own == ANY => *own = token,
                        Some(own) if token != ANY && *own != token => return Preimage::Nothing,
                        Some(_) => {}
                        None => unclear |= token != ANY,
                    }
                }
                Part::Function(function) if function.makes_several() => return Preimage::Unclear,
                Part::Function(_) => unclear |= token != ANY,
            }
        }
        let rest: Vec<&[u8]> = pattern.collect();
        if self.rest.is_some() == rest.is_empty() {
            return Preimage::Nothing;
        }
        self.with_rest(wanted, &rest.join(&b'.'), unclear)
    }

    fn with_rest<'a>(&'a self, mut wanted: Wanted<'a>, rest: &'a [u8], unclear: bool) -> Preimage {
        if unclear {
            return Preimage::Unclear;
        }
        if self.rest.is_some() {
            wanted.push(rest);
        } else if self.source.ends_with(b">") && tokens(&self.source).last() == Some(REST) {
            wanted.push(REST);
        }
        Preimage::Pattern(wanted.join(&b'.'))
    }
}

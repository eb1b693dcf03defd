//! Owns what a pattern is and what two patterns have in common, one pair at a time. Never stores a pattern.

use super::subject::{SEPARATOR, has_empty_token, tokens};

/// The token that stands for any one token.
pub(super) const ANY: &[u8] = b"*";
/// The last token that stands for one or more tokens.
pub(super) const REST: &[u8] = b">";

/// Whether a client may subscribe to `pattern`: no empty token, and `>` only as the last token.
///
/// This is the rule on the wire. It takes any other byte, also the form feed that [`is_pattern`] refuses.
pub fn is_subscribable(pattern: &[u8]) -> bool {
    let mut after_rest = false;
    tokens(pattern).all(|token| {
        let valid = !token.is_empty() && !after_rest;
        after_rest = token == REST;
        valid
    })
}

/// Whether a configuration may name `pattern`: as [`is_subscribable`], and no white space
/// (space, tab, line feed, carriage return, form feed).
pub fn is_pattern(pattern: &[u8]) -> bool {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c');
    is_subscribable(pattern) && !pattern.iter().any(is_space)
}

/// Whether some token is a wildcard. `a*` and `>a` have none.
pub fn has_wildcard(pattern: &[u8]) -> bool {
    let mut before = SEPARATOR;
    for (at, &byte) in pattern.iter().enumerate() {
        let alone = before == SEPARATOR && matches!(pattern.get(at + 1), None | Some(&SEPARATOR));
        if alone && matches!(byte, b'*' | b'>') {
            return true;
        }
        before = byte;
    }
    false
}

/// Whether a message published to `subject` reaches a subscription on `pattern`, which must be valid.
///
/// A subject with an empty token matches nothing. A subject's token `*` or `>` is an ordinary token here: only a
/// wildcard of the pattern matches it.
pub fn pattern_matches(pattern: &[u8], subject: &[u8]) -> bool {
    if has_empty_token(subject) {
        return false;
    }
    let mut subject = tokens(subject);
    for wanted in tokens(pattern) {
        let Some(token) = subject.next() else {
            return false;
        };
        match wanted {
            REST => return true,
            ANY => {}
            literal if literal == token && literal != ANY => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

/// Whether every subject that `narrow` matches is matched by `wide` too. Both must be valid.
pub fn is_subset(narrow: &[u8], wide: &[u8]) -> bool {
    let mut narrow = tokens(narrow);
    for wanted in tokens(wide) {
        let Some(token) = narrow.next() else {
            return false;
        };
        match wanted {
            REST => return true,
            ANY if token != REST => {}
            literal if literal == token && literal != ANY => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether some subject is matched by both patterns. Both must be valid.
pub fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (None, _) | (_, None) => return false,
            (Some(REST), _) | (_, Some(REST)) => return true,
            (Some(a), Some(b)) if a == b || a == ANY || b == ANY => {}
            _ => return false,
        }
    }
}

/// The pattern of the subjects that match both; `None` if there are none. Both must be valid.
pub fn intersection(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    let mut out: Vec<&[u8]> = Vec::new();
    let (mut left, mut right) = (tokens(a), tokens(b));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Some(out.join(&b'.')),
            (None, _) | (_, None) => return None,
            (Some(REST), Some(token)) => {
                out.push(token);
                out.extend(right.by_ref());
                return Some(out.join(&b'.'));
            }
            (Some(token), Some(REST)) => {
                out.push(token);
                out.extend(left.by_ref());
                return Some(out.join(&b'.'));
            }
            (Some(ANY), Some(token)) | (Some(token), Some(ANY)) => out.push(token),
            (Some(a), Some(b)) if a == b => out.push(a),
            _ => return None,
        }
    }
}

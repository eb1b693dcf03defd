//! Owns what a literal subject is: its tokens and its validity. Never looks at what wildcards match.

/// The byte between two tokens.
pub(super) const SEPARATOR: u8 = b'.';

/// The tokens of a subject or pattern, in order, without the separators.
///
/// There is always at least one: an empty subject is one empty token. Invalid subjects yield their empty tokens.
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    subject.split(|&byte| byte == SEPARATOR)
}

/// The number of tokens, empty ones included; at least 1.
pub fn token_count(subject: &[u8]) -> usize {
    1 + subject.iter().filter(|&&byte| byte == SEPARATOR).count()
}

/// Whether some token is empty: `""`, `.a`, `a.`, `a..b`. Nothing is ever delivered on such a subject.
pub fn has_empty_token(subject: &[u8]) -> bool {
    let mut after_separator = true;
    let mut empty = false;
    for &byte in subject {
        let separator = byte == SEPARATOR;
        empty |= separator & after_separator;
        after_separator = separator;
    }
    empty | after_separator
}

/// Whether a message may be published to `subject` without complaint: no empty token, no token that is a wildcard.
///
/// Any other byte is taken, white space too. The oracle asks this of a PUB only from a pedantic client, and then
/// delivers the message whatever the answer.
pub fn is_literal(subject: &[u8]) -> bool {
    tokens(subject).all(|token| !matches!(token, b"" | b"*" | b">"))
}

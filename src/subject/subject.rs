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

/// Where the separators of a subject are: found once, however many branches of a walk ask.
///
/// `first` has bit `n` set if byte `n` is a separator, for the first 64 bytes; later ones are looked for when asked.
pub(super) struct Separators<'a> {
    subject: &'a [u8],
    first: u64,
}

impl<'a> Separators<'a> {
    /// None if the subject has an empty token.
    #[inline]
    pub(super) fn of(subject: &'a [u8]) -> Option<Self> {
        let looked_at = &subject[..subject.len().min(64)];
        let first = separator_bits(looked_at);
        // A separator at the start, after another one, or at the end leaves an empty token.
        let empty = if subject.len() == looked_at.len() {
            subject.is_empty()
                || first & (first << 1 | 1) != 0
                || subject.last() == Some(&SEPARATOR)
        } else {
            has_empty_token(subject)
        };
        (!empty).then_some(Separators { subject, first })
    }

    /// The first separator at or after `from`, which is within the subject.
    #[inline]
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let left = if from < 64 { self.first >> from } else { 0 };
        if left != 0 {
            return Some(from + left.trailing_zeros() as usize);
        }
        let from = from.max(64);
        let later = self.subject.get(from..)?;
        later
            .iter()
            .position(|&byte| byte == SEPARATOR)
            .map(|at| from + at)
    }
}

/// Bit `n` of the result says whether byte `n` is a separator; at most 64 bytes.
#[inline]
fn separator_bits(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut bits = 0;
    for (at, word) in words.iter().enumerate() {
        bits |= separator_bits_of_word(*word) << (at * 8);
    }
    if let (false, Some(last)) = (rest.is_empty(), bytes.last_chunk::<8>()) {
        return bits | separator_bits_of_word(*last) << (bytes.len() - 8);
    }
    for (at, &byte) in rest.iter().enumerate() {
        bits |= u64::from(byte == SEPARATOR) << (words.len() * 8 + at);
    }
    bits
}

/// The same for eight bytes: exact, without a branch for each byte.
#[inline]
fn separator_bits_of_word(word: [u8; 8]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differs = u64::from_le_bytes(word) ^ u64::from_le_bytes([SEPARATOR; 8]);
    let separators = !(((differs & LOW) + LOW) | differs | LOW);
    // One bit in the top of each byte: gather the eight in the top byte.
    (separators >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Whether two texts are the same; those as long as subjects and control lines mostly are, without a call.
#[inline(always)]
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        8..16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        16..=32 => {
            a.first_chunk::<16>() == b.first_chunk() && a.last_chunk::<16>() == b.last_chunk()
        }
        _ => a == b,
    }
}

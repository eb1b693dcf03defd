//! DER as the oracle reads it (Go's `golang.org/x/crypto/cryptobyte`): what it refuses is refused here. Knows values and their
//! kinds; nothing of certificates.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Values one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub &'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether the next value begins with this byte.
    pub(super) fn is_next(self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The next value: its first byte, and what it holds.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // Kinds that need more than one byte are none of a certificate's.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            _ => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                if bytes.len() > 4 || bytes.first().is_none_or(|byte| *byte == 0) {
                    return None;
                }
                let fold = |len: usize, byte: &u8| len << 8 | usize::from(*byte);
                (bytes.iter().fold(0, fold), rest)
            }
        };
        // A length that a shorter form could say.
        if first >= 0x80 && (len < 0x80) {
            return None;
        }
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// What the next value holds, if it begins with this byte.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        match self.is_next(tag) {
            true => self.any().map(|(_, content)| content),
            false => None,
        }
    }

    /// The next value, a sequence.
    pub(super) fn sequence(&mut self) -> Option<Der<'a>> {
        self.take(SEQUENCE).map(Der)
    }

    /// The next value, an object identifier, as dotted numbers.
    pub(super) fn oid(&mut self) -> Option<String> {
        oid(self.take(OID)?)
    }
}

/// An object identifier as dotted numbers, each of at most 31 bits.
pub(super) fn oid(content: &[u8]) -> Option<String> {
    let mut numbers: Vec<u32> = Vec::new();
    let mut number = 0_u32;
    let mut begun = false;
    for byte in content {
        if !begun && *byte == 0x80 || number >= 1 << 24 {
            return None;
        }
        number = number << 7 | u32::from(byte & 0x7f);
        begun = byte & 0x80 != 0;
        if !begun {
            numbers.push(std::mem::take(&mut number));
        }
    }
    if begun {
        return None;
    }
    let (&first, rest) = numbers.split_first()?;
    let top = (first / 40).min(2);
    let mut text = format!("{top}.{}", first - 40 * top);
    rest.iter()
        .for_each(|number| text.push_str(&format!(".{number}")));
    Some(text)
}

/// Whether this is an integer, said as shortly as it can be.
pub(super) fn is_integer(content: &[u8]) -> bool {
    match content {
        [] => false,
        [_] => true,
        [0, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        _ => true,
    }
}

/// Whether this is an integer that 64 bits hold.
pub(super) fn is_i64(content: &[u8]) -> bool {
    is_integer(content) && content.len() <= 8
}

pub(super) fn is_negative(integer: &[u8]) -> bool {
    integer.first().is_some_and(|byte| byte & 0x80 != 0)
}

pub(super) fn is_bool(content: &[u8]) -> bool {
    matches!(content, [0 | 0xff])
}

/// Whether this is a bit string, whose unused bits are zero.
pub(super) fn is_bits(content: &[u8]) -> bool {
    match content {
        [] => false,
        [unused] => *unused == 0,
        [unused, .., last] => *unused < 8 && last & ((1 << unused) - 1) == 0,
    }
}

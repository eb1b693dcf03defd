//! Extensions of a certificate as the oracle reads them: Go's `processExtensions` in `crypto/x509/parser.go` of 1.27. Owns which
//! of them make a certificate unreadable, and the alternative names; decides nothing about the owner.
//!
//! Constraints on names are webpki's: only authorities have them.

use std::collections::HashSet;

use super::der::{self, Der};
use super::uri;

/// Alternative names, each kind in its order.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub emails: Vec<String>,
    pub dns_names: Vec<String>,
    pub uris: Vec<String>,
    addresses: usize,
}

/// One extension.
pub(super) struct Extension<'a> {
    pub oid: String,
    pub is_critical: bool,
    pub value: &'a [u8],
}

const AUTHORITY_INFO: &str = "1.3.6.1.5.5.7.1.1";

/// The alternative names. `None` where the oracle cannot read the extensions, or must not overlook one.
pub(super) fn read(extensions: &[Extension<'_>]) -> Option<Names> {
    let mut seen = HashSet::new();
    let mut names = Names::default();
    for Extension {
        oid,
        is_critical,
        value,
    } in extensions
    {
        if !seen.insert(oid) {
            return None;
        }
        let mut value = Der(value);
        match oid.as_str() {
            "2.5.29.14" if *is_critical => return None,
            "2.5.29.14" => drop(value.take(der::OCTET_STRING)?),
            "2.5.29.15" => is(der::is_bits(value.take(der::BIT_STRING)?))?,
            "2.5.29.17" => {
                names = alternatives(value)?;
                // Nobody is let in for whom nothing of what must be heeded was understood.
                is(!is_critical || !names.is_empty())?;
            }
            "2.5.29.19" => basic_constraints(value.sequence()?)?,
            "2.5.29.31" => points(value.sequence()?)?,
            "2.5.29.32" => policies(value.sequence()?)?,
            "2.5.29.33" => mappings(value.sequence()?)?,
            "2.5.29.35" if *is_critical => return None,
            "2.5.29.35" => {
                let mut inside = value.sequence()?;
                if inside.is_next(0x80) {
                    inside.any()?;
                }
            }
            "2.5.29.36" => {
                let mut inside = value.sequence()?;
                for tag in [0x80, 0x81] {
                    is(!inside.is_next(tag) || der::is_i64(inside.take(tag)?))?;
                }
            }
            "2.5.29.37" => {
                let mut usages = value.sequence()?;
                while !usages.is_empty() {
                    usages.oid()?;
                }
            }
            "2.5.29.54" => is(der::is_i64(value.take(der::INTEGER)?))?,
            AUTHORITY_INFO if *is_critical => return None,
            AUTHORITY_INFO => {
                let mut all = value.sequence()?;
                while !all.is_empty() {
                    let mut one = all.sequence()?;
                    one.oid()?;
                    if one.is_next(0x86) {
                        one.any()?;
                    }
                }
            }
            _ => {}
        }
    }
    Some(names)
}

impl Names {
    fn is_empty(&self) -> bool {
        self.emails.is_empty()
            && self.dns_names.is_empty()
            && self.uris.is_empty()
            && self.addresses == 0
    }
}

fn is(good: bool) -> Option<()> {
    good.then_some(())
}

fn alternatives(mut value: Der<'_>) -> Option<Names> {
    let mut all = value.sequence()?;
    let mut names = Names::default();
    while !all.is_empty() {
        match all.any()? {
            (0x81, text) => names.emails.push(ascii(text)?),
            (0x82, text) => names.dns_names.push(ascii(text)?),
            (0x86, text) => names.uris.push(uri::rewritten(&ascii(text)?)?),
            (0x87, address) => {
                // An IPv4 address that is written as one of IPv6 is neither.
                let mapped = [0; 10].into_iter().chain([0xff; 2]);
                is(match address.len() {
                    4 => true,
                    16 => !mapped.eq(address[..12].iter().copied()),
                    _ => false,
                })?;
                names.addresses += 1;
            }
            _ => {}
        }
    }
    Some(names)
}

fn ascii(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    text.is_ascii().then(|| text.to_owned())
}

fn basic_constraints(mut inside: Der<'_>) -> Option<()> {
    if inside.is_next(der::BOOLEAN) {
        is(der::is_bool(inside.any()?.1))?;
    }
    if inside.is_next(der::INTEGER) {
        let depth = inside.any()?.1;
        is(der::is_i64(depth) && !der::is_negative(depth))?;
    }
    Some(())
}

/// Where lists of revoked certificates are.
fn points(mut all: Der<'_>) -> Option<()> {
    while !all.is_empty() {
        let mut point = all.sequence()?;
        if !point.is_next(0xa0) {
            continue;
        }
        let mut name = Der(point.any()?.1);
        let mut full = Der(name.take(0xa0)?);
        while full.is_next(0x86) {
            full.any()?;
        }
    }
    Some(())
}

fn policies(mut all: Der<'_>) -> Option<()> {
    let mut seen = HashSet::new();
    while !all.is_empty() {
        let policy = all.sequence()?.take(der::OID)?;
        is(!policy.is_empty() && seen.insert(policy))?;
    }
    Some(())
}

fn mappings(mut all: Der<'_>) -> Option<()> {
    while !all.is_empty() {
        let mut mapping = all.sequence()?;
        mapping.take(der::OID)?;
        mapping.take(der::OID)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of DER.
    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    fn readable(oid: &str, is_critical: bool, value: &[u8]) -> Option<Names> {
        read(&[Extension {
            oid: oid.to_owned(),
            is_critical,
            value,
        }])
    }

    #[test]
    fn alternative_names() {
        let mapped = [&[0; 10], &[0xff, 0xff, 1, 2, 3, 4][..]].concat();
        let table: &[(u8, &[u8], bool)] = &[
            (0x81, b"joe", true),
            (0x81, b"", true),
            (0x81, b"j\xffe", false),
            (0x82, b"a b", true),
            (0x82, b"j\xffe", false),
            (0x86, b"spiffe://x.org/joe", true),
            (0x86, b"spiffe://x..org/joe", false),
            (0x86, b"\xc3\xa9", false),
            (0x87, b"abcd", true),
            (0x87, b"abcdabcdabcdabcd", true),
            (0x87, b"abc", false),
            (0x87, &mapped, false),
            // Nobody's concern.
            (0x80, b"junk", true),
            (0xa1, b"g@x.y", true),
            (0xa4, b"junk", true),
            (0x88, b"\xff", true),
            (0x89, b"a", true),
        ];
        for (tag, content, good) in table {
            let names = [value(*tag, content), value(0x81, b"g@x.y")].concat();
            let found = readable("2.5.29.17", true, &value(der::SEQUENCE, &names));
            assert_eq!(found.is_some(), *good, "{tag:#x} {content:?}");
            if let Some(found) = found {
                assert_eq!(found.emails.last().map(String::as_str), Some("g@x.y"));
            }
        }
        let other = value(der::SEQUENCE, &value(0xa4, b"junk"));
        assert!(readable("2.5.29.17", false, &other).is_some());
        assert!(readable("2.5.29.17", true, &other).is_none());
        assert!(readable("2.5.29.17", false, b"abc").is_none());
    }

    #[test]
    fn others() {
        let any_usage = b"\x30\x06\x06\x04\x55\x1d\x25\0";
        let table: &[(&str, bool, &[u8], bool)] = &[
            ("2.5.29.15", true, b"\x03\x02\x07\x80", true),
            ("2.5.29.15", false, b"\x03\x02\x07\x81", false),
            ("2.5.29.15", false, b"abc", false),
            ("2.5.29.19", true, b"\x30\0", true),
            ("2.5.29.19", true, b"\x30\x03\x01\x01\x01", false),
            ("2.5.29.19", true, b"\x30\x03\x02\x01\xff", false),
            ("2.5.29.14", false, b"\x04\x01a", true),
            ("2.5.29.14", true, b"\x04\x01a", false),
            ("2.5.29.35", false, b"\x30\x03\x80\x01a", true),
            ("2.5.29.35", true, b"\x30\x03\x80\x01a", false),
            ("2.5.29.37", false, any_usage, true),
            ("2.5.29.37", false, b"\x30\x02\x04\0", false),
            ("2.5.29.31", false, b"\x30\x02\x30\0", true),
            ("2.5.29.31", false, b"\x30\x02\x04\0", false),
            ("2.5.29.32", false, b"\x30\x05\x30\x03\x06\x01\x2a", true),
            ("2.5.29.32", false, b"\x30\x02\x30\0", false),
            ("2.5.29.33", false, b"\x30\x02\x30\0", false),
            ("2.5.29.36", false, b"\x30\x03\x80\x01\0", true),
            ("2.5.29.36", false, b"\x30\x02\x80\0", false),
            ("2.5.29.54", false, b"\x02\x01\0", true),
            ("2.5.29.54", false, b"\x02\0", false),
            (AUTHORITY_INFO, false, b"\x30\0", true),
            (AUTHORITY_INFO, true, b"\x30\0", false),
            (AUTHORITY_INFO, false, b"\x30\x02\x30\0", false),
            ("1.2.3.4", false, b"abc", true),
        ];
        for (oid, is_critical, value, good) in table {
            let found = readable(oid, *is_critical, value);
            assert_eq!(found.is_some(), *good, "{oid} {value:?}");
        }
        let twice = || Extension {
            oid: "1.2.3.4".to_owned(),
            is_critical: false,
            value: b"a",
        };
        assert!(read(&[twice(), twice()]).is_none());
    }
}

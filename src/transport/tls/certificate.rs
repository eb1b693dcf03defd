//! The certificate a client has shown and proven: the names in it. Never decides whom they belong to.

use sha2::{Digest, Sha256};
use x509_parser::der_parser::asn1_rs::{FromDer, GeneralizedTime, UtcTime};
use x509_parser::prelude::X509Certificate;

use super::der::{self, Der};
use super::extensions::{self, Extension};

/// One attribute of a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type as dotted numbers: `2.5.4.3` is the common name.
    pub oid: String,
    /// Its value, unless it is of a kind that is no text.
    pub value: Option<String>,
}

/// What a verified client certificate says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// E-mail addresses among the alternative names, in their order.
    pub emails: Vec<String>,
    /// DNS names among them.
    pub dns_names: Vec<String>,
    /// URIs among them.
    pub uris: Vec<String>,
    /// The subject: relative distinguished names in the order of the certificate, each with its attributes.
    pub subject: Vec<Vec<Attribute>>,
    /// Until when it is good, Unix seconds.
    pub not_after_unix_s: i64,
    /// SHA-256 of its public key (SubjectPublicKeyInfo).
    pub key_sha256: [u8; 32],
}

impl PeerCertificate {
    /// Reads DER. `None` where it makes no sense, and where the oracle could not read it: a certificate of which a part cannot
    /// be read must not be taken for one that lacks it.
    pub fn parse(der: &[u8]) -> Option<PeerCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        // Names are read here: the parser stops at a part without attributes, and says nothing of those behind it.
        let mut body = Der(certificate.tbs_certificate.as_ref()).sequence()?;
        if body.is_next(VERSION) {
            body.any()?;
        }
        let serial = body.take(der::INTEGER)?;
        if !der::is_integer(serial) || der::is_negative(serial) {
            return None;
        }
        let [_algorithm, issuer, _validity, subject] = [
            body.sequence(),
            body.sequence(),
            body.sequence(),
            body.sequence(),
        ];
        name(issuer?)?;
        let read = certificate.extensions().iter().map(|extension| {
            Some(Extension {
                oid: der::oid(extension.oid.as_bytes())?,
                is_critical: extension.critical,
                value: extension.value,
            })
        });
        let read: Option<Vec<Extension<'_>>> = read.collect();
        let names = extensions::read(&read?)?;
        Some(PeerCertificate {
            emails: names.emails,
            dns_names: names.dns_names,
            uris: names.uris,
            subject: name(subject?)?,
            not_after_unix_s: certificate.validity().not_after.timestamp(),
            key_sha256: Sha256::digest(certificate.public_key().raw).into(),
        })
    }
}

const VERSION: u8 = 0xa0;

/// A distinguished name (Go's `parseName` in `crypto/x509`).
fn name(mut all: Der<'_>) -> Option<Vec<Vec<Attribute>>> {
    let mut parts = Vec::new();
    while !all.is_empty() {
        let mut part = Der(all.take(der::SET)?);
        let mut attributes = Vec::new();
        while !part.is_empty() {
            let mut attribute = part.sequence()?;
            let oid = attribute.oid()?;
            let value = value(attribute)?;
            attributes.push(Attribute { oid, value });
        }
        parts.push(attributes);
    }
    Some(parts)
}

/// A value: text if it is of a kind of text. `None` where it is not what its kind says.
fn value(mut attribute: Der<'_>) -> Option<Option<String>> {
    let whole = attribute.0;
    let (tag, content) = attribute.any()?;
    let good = match tag {
        UTF8_STRING | NUMERIC_STRING | PRINTABLE_STRING | T61_STRING | IA5_STRING | BMP_STRING => {
            return text(tag, content).map(Some);
        }
        der::INTEGER => der::is_i64(content),
        der::BIT_STRING => der::is_bits(content),
        der::OID => der::oid(content).is_some(),
        der::BOOLEAN => der::is_bool(content),
        der::UTC_TIME => UtcTime::from_der(whole).is_ok(),
        der::GENERALIZED_TIME => GeneralizedTime::from_der(whole).is_ok(),
        _ => true,
    };
    good.then_some(None)
}

const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const T61_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;

/// The text of a value of these kinds (Go's `parseASN1String`).
fn text(tag: u8, content: &[u8]) -> Option<String> {
    let ascii = |allowed: fn(u8) -> bool| {
        let good = content.iter().all(|byte| allowed(*byte));
        good.then(|| latin_1(content))
    };
    match tag {
        UTF8_STRING => std::str::from_utf8(content).ok().map(str::to_owned),
        NUMERIC_STRING => ascii(|byte| byte.is_ascii_digit() || byte == b' '),
        PRINTABLE_STRING => {
            ascii(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(&byte))
        }
        IA5_STRING => ascii(|byte| byte.is_ascii()),
        // As the oracle and most others have it.
        T61_STRING => Some(latin_1(content)),
        _ => bmp(content),
    }
}

fn latin_1(content: &[u8]) -> String {
    content.iter().map(|byte| char::from(*byte)).collect()
}

/// Two bytes a character, none of them a half of one or none at all; a zero at the end is not part of it.
fn bmp(content: &[u8]) -> Option<String> {
    let content = content.strip_suffix(&[0, 0]).unwrap_or(content);
    let (pairs, []) = content.as_chunks::<2>() else {
        return None;
    };
    let chars = pairs.iter().map(|pair| {
        let unit = u16::from_be_bytes(*pair);
        let is_none = matches!(unit, 0xfdd0..=0xfdef | 0xfffe | 0xffff);
        char::from_u32(unit.into()).filter(|_| !is_none)
    });
    chars.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn kinds_of_values() {
        /// What a value is read as: nothing, no text, or a text.
        type Read = Option<Option<&'static str>>;
        let table: &[(u8, &[u8], Read)] = &[
            (T61_STRING, b"caf\xe9", Some(Some("caf\u{e9}"))),
            (UTF8_STRING, b"caf\xc3\xa9", Some(Some("caf\u{e9}"))),
            (UTF8_STRING, b"joe\0", Some(Some("joe\0"))),
            (UTF8_STRING, b"", Some(Some(""))),
            (UTF8_STRING, b"caf\xe9", None),
            (PRINTABLE_STRING, b"a*b&c", Some(Some("a*b&c"))),
            (PRINTABLE_STRING, b"a*b@c", None),
            (PRINTABLE_STRING, b"caf\xe9", None),
            (IA5_STRING, b"a@b", Some(Some("a@b"))),
            (IA5_STRING, b"caf\xe9", None),
            (NUMERIC_STRING, b"12 3", Some(Some("12 3"))),
            (NUMERIC_STRING, b"joe", None),
            (BMP_STRING, b"\0j\0o\0e", Some(Some("joe"))),
            (BMP_STRING, b"\0j\0\0", Some(Some("j"))),
            (BMP_STRING, b"\0jo", None),
            (BMP_STRING, b"\xd8\0", None),
            (BMP_STRING, b"\xff\xff", None),
            (der::INTEGER, b"\x05", Some(None)),
            (der::INTEGER, b"\0\x05", None),
            (der::BIT_STRING, b"\0joe", Some(None)),
            (der::BIT_STRING, b"\x09joe", None),
            (der::OCTET_STRING, b"joe", Some(None)),
            (0x05, b"", Some(None)),
            (der::BOOLEAN, b"\xff", Some(None)),
            (der::BOOLEAN, b"\x01", None),
            (der::OID, b"\x55\x04\x03", Some(None)),
            (der::UTC_TIME, b"240101000000Z", Some(None)),
            (der::UTC_TIME, b"joe", None),
            // VisibleString, GeneralString, UniversalString, a kind of somebody's own.
            (0x1a, b"joe", Some(None)),
            (0x1b, b"joe", Some(None)),
            (0x1c, b"\0\0\0j", Some(None)),
            (0x80, b"joe", Some(None)),
        ];
        for (tag, content, expected) in table {
            let mut bytes = vec![*tag, content.len() as u8];
            bytes.extend(*content);
            let found = value(Der(&bytes));
            let found = found.as_ref().map(Option::as_deref);
            assert_eq!(found, *expected, "{tag:#x} {content:?}");
        }
    }

    #[test]
    fn parts_of_names() {
        // CN=joe behind a part without attributes.
        let joe = b"\x31\0\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03joe";
        let parts = name(Der(joe)).unwrap();
        assert_eq!(parts[0], []);
        assert_eq!(parts[1][0].oid, "2.5.4.3");
        assert_eq!(parts[1][0].value.as_deref(), Some("joe"));
        for len in 1..joe.len() {
            assert!(len == 2 || name(Der(&joe[..len])).is_none(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..64), text in any::<String>()) {
            let mut der = Der(&bytes);
            while der.any().is_some() {}
            let _ = (name(Der(&bytes)), value(Der(&bytes)), der::oid(&bytes));
            let _ = super::super::uri::rewritten(&text);
            for oid in ["14", "15", "17", "19", "31", "32", "33", "35", "36", "37", "54"] {
                let extension = Extension {
                    oid: format!("2.5.29.{oid}"),
                    is_critical: bytes.len() % 2 == 0,
                    value: &bytes,
                };
                let _ = extensions::read(&[extension]);
            }
        }
    }
}

//! The method `verify_and_map`: which user a client certificate stands for. Never verifies one: that was done in the handshake.
//!
//! The order is the oracle's: e-mail addresses, DNS names, URIs of the certificate, each compared with the names of users to
//! the letter; then the subject, its parts in the order of RFC 2253 before any other order; last the subject as the oracle
//! writes it, with and without domain components. A name whose user may not connect this way counts as none.

use std::sync::Arc;

use crate::transport::PeerCertificate;

/// Attribute types with a name, in the order in which the oracle writes a subject. Others make a subject one that no user's
/// name can spell part by part.
const TYPES: &[(&str, &str)] = &[
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.6", "C"),
    (DOMAIN_COMPONENT, "DC"),
];

const DOMAIN_COMPONENT: &str = "0.9.2342.19200300.100.1.25";

/// Of these the oracle writes the last one only.
const SINGLE: &[&str] = &["CN", "SERIALNUMBER"];

/// Users whose names are distinguished names.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    list: Vec<(Arc<str>, Name)>,
}

/// A distinguished name: parts of type (in capitals) and value, from the most particular to the most general.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Name {
    parts: Vec<Part>,
}

/// One part: often one type and value, in no order if there are several.
type Part = Vec<(String, String)>;

impl Subjects {
    /// Notes a user that may connect, if its name is a distinguished name. One that comes out empty (`CN=`, `CN=joe+`) is none:
    /// on the oracle it stands for every certificate without a subject, which nobody means who writes it.
    pub(super) fn add(&mut self, user: &Arc<str>) {
        let name = Name::parse(user).filter(|name| !name.parts.is_empty());
        self.list.extend(name.map(|name| (Arc::clone(user), name)));
    }

    fn find(&self, subject: &Name) -> Option<&Arc<str>> {
        let mut same = self
            .list
            .iter()
            .filter(|(_, name)| name.has_parts_of(subject));
        let exact = same.clone().find(|(_, name)| name.equals(subject));
        exact.or_else(|| same.next()).map(|(user, _)| user)
    }
}

/// The user of a certificate. `is_user` tells the names of those that may connect.
pub(super) fn user_of<'a>(
    certificate: &'a PeerCertificate,
    subjects: &'a Subjects,
    is_user: impl Fn(&str) -> bool,
) -> Option<std::borrow::Cow<'a, str>> {
    let PeerCertificate {
        emails,
        dns_names,
        uris,
        ..
    } = certificate;
    let mut names = emails.iter().chain(dns_names).chain(uris);
    if let Some(name) = names.find(|name| is_user(name)) {
        return Some(name.as_str().into());
    }
    let subject = Name::of(certificate);
    if let Some(user) = subject.as_ref().and_then(|subject| subjects.find(subject)) {
        return Some((&**user).into());
    }
    let written = written(certificate);
    let domain = domain_components(certificate);
    let with_domain = format!("{written},{domain}");
    if !domain.is_empty() && is_user(&with_domain) {
        return Some(with_domain.into());
    }
    (!written.is_empty() && is_user(&written)).then(|| written.into())
}

/// The names of a certificate that a user may have, as they are to be written: what to put into the configuration.
pub(super) fn names(certificate: &PeerCertificate) -> String {
    let PeerCertificate {
        emails,
        dns_names,
        uris,
        ..
    } = certificate;
    let others = emails.iter().chain(dns_names).chain(uris).cloned();
    let mut names: Vec<String> = [written(certificate)].into_iter().chain(others).collect();
    names.retain(|name| !name.is_empty());
    match names.is_empty() {
        true => "no names".to_owned(),
        false => format!("the names {names:?}"),
    }
}

impl Name {
    /// The subject of a certificate, which has its parts the other way round; `None` with an attribute without a name or
    /// whose value is no text. Parts without attributes do not count.
    fn of(certificate: &PeerCertificate) -> Option<Name> {
        let mut parts = Vec::new();
        let written = certificate.subject.iter().rev();
        for written in written.filter(|written| !written.is_empty()) {
            let part: Option<Part> = written
                .iter()
                .map(|attribute| {
                    Some((
                        type_name(&attribute.oid)?.to_owned(),
                        attribute.value.clone()?,
                    ))
                })
                .collect();
            parts.push(part?);
        }
        Some(Name { parts })
    }

    /// RFC 2253: `CN=a,OU=b+OU=c,O=d\,e`. `None` where the text is no distinguished name.
    ///
    /// A comma at the end, a last value that is empty and a last backslash say nothing, as on the oracle (`internal/ldap/dn.go`).
    /// What it passes over in silence, part of a name all the same, makes the text none here, so that nobody is let in who
    /// lacks it: `OU=x+` at the end, and `OU=CN=joe`, which it takes for `CN=joe`.
    fn parse(text: &str) -> Option<Name> {
        let mut name = Name::default();
        let mut part = Part::new();
        let mut rest = text;
        loop {
            let kind = Piece::read(rest, b"=,+")?;
            match kind.end {
                // Nothing but blanks may stand here, after a comma.
                None => return (kind.is_empty && part.is_empty()).then_some(name),
                Some(b'=') => {}
                Some(_) => return None,
            }
            // What follows would be BER in hexadecimal digits, which the oracle does not read.
            if kind.rest.starts_with('#') {
                return None;
            }
            let value = Piece::read(kind.rest, b"=,+")?;
            match value.end {
                None if value.is_empty => return part.is_empty().then_some(name),
                Some(b'=') => return None,
                _ if kind.text.is_empty() => return None,
                _ => part.push((fold(&kind.text), value.text)),
            }
            if value.end != Some(b'+') {
                name.parts.push(std::mem::take(&mut part));
            }
            if value.end.is_none() {
                return Some(name);
            }
            rest = value.rest;
        }
    }

    fn equals(&self, other: &Name) -> bool {
        self.parts.len() == other.parts.len()
            && self
                .parts
                .iter()
                .zip(&other.parts)
                .all(|(a, b)| same_part(a, b))
    }

    /// The same parts in any order.
    fn has_parts_of(&self, other: &Name) -> bool {
        let mut left: Vec<&Part> = other.parts.iter().collect();
        self.parts.iter().all(|part| {
            let at = left.iter().position(|one| same_part(part, one));
            at.map(|at| left.swap_remove(at)).is_some()
        }) && left.is_empty()
    }
}

/// Each has what the other has: `CN=a+CN=a` is not `CN=a+CN=b`.
fn same_part(a: &Part, b: &Part) -> bool {
    let has_all = |a: &Part, b: &Part| b.iter().all(|attribute| a.contains(attribute));
    a.len() == b.len() && has_all(a, b) && has_all(b, a)
}

fn type_name(oid: &str) -> Option<&'static str> {
    let known = TYPES.iter().find(|(known, _)| *known == oid);
    known.map(|(_, name)| *name)
}

/// A type in capitals. Beside those of ASCII one letter has one of these types' for its capital, by Unicode.
fn fold(kind: &str) -> String {
    kind.replace('\u{17f}', "S").to_ascii_uppercase()
}

/// A type or a value at the beginning of a text.
struct Piece<'a> {
    /// Without its escapes and the blanks around it.
    text: String,
    /// Whether nothing stands there, not even a blank that is escaped.
    is_empty: bool,
    /// What ends it: one of the separators, or nothing.
    end: Option<u8>,
    /// What comes after that.
    rest: &'a str,
}

impl<'a> Piece<'a> {
    fn read(text: &'a str, separators: &[u8]) -> Option<Piece<'a>> {
        let bytes = text.as_bytes();
        let mut out = Vec::new();
        // As far as the blanks at the end are not only around it.
        let mut kept = 0;
        let mut at = 0;
        let mut end = None;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                byte if separators.contains(&byte) => {
                    end = Some(byte);
                    break;
                }
                // One at the very end escapes nothing.
                b'\\' if at == bytes.len() => kept = out.len(),
                b'\\' => {
                    let (escaped, len) = escaped(&bytes[at..])?;
                    out.push(escaped);
                    kept = out.len();
                    at += len;
                }
                b' ' if out.is_empty() => {}
                b' ' => out.push(byte),
                byte => {
                    out.push(byte);
                    kept = out.len();
                }
            }
        }
        let is_empty = out.is_empty();
        out.truncate(kept);
        Some(Piece {
            text: String::from_utf8(out).ok()?,
            is_empty,
            end,
            rest: &text[at..],
        })
    }
}

/// What follows a backslash: a character that means something, or two hexadecimal digits.
fn escaped(after: &[u8]) -> Option<(u8, usize)> {
    let first = *after.first()?;
    if b" \"#+,;<=>\\".contains(&first) {
        return Some((first, 1));
    }
    let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
    Some(((digit(0)? * 16 + digit(1)?) as u8, 2))
}

/// The subject as the oracle writes it: known types in an order of its own, several of one type as one part.
fn written(certificate: &PeerCertificate) -> String {
    let parts = TYPES.iter().filter(|(oid, _)| *oid != DOMAIN_COMPONENT);
    let parts = parts.filter_map(|(oid, name)| {
        let values = values_of(certificate, oid);
        // An empty one of a single kind is not written.
        let values = match SINGLE.contains(name) {
            true => values.split_last().map_or(&[][..], |(last, _)| match last {
                &"" => &[],
                last => std::slice::from_ref(last),
            }),
            false => &values[..],
        };
        let written = values
            .iter()
            .map(|value| format!("{name}={}", escape(value)));
        let written: Vec<String> = written.collect();
        (!written.is_empty()).then(|| written.join("+"))
    });
    parts.collect::<Vec<String>>().join(",")
}

fn domain_components(certificate: &PeerCertificate) -> String {
    let values = values_of(certificate, DOMAIN_COMPONENT);
    let written = values.iter().map(|value| format!("DC={value}"));
    written.collect::<Vec<String>>().join(",")
}

fn values_of<'a>(certificate: &'a PeerCertificate, oid: &str) -> Vec<&'a str> {
    let attributes = certificate.subject.iter().flatten();
    let wanted = attributes.filter(|attribute| attribute.oid == oid);
    wanted
        .filter_map(|attribute| attribute.value.as_deref())
        .collect()
}

fn escape(value: &str) -> String {
    let mut out = String::new();
    let last = value.len().saturating_sub(1);
    for (at, char) in value.char_indices() {
        let special = match char {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;

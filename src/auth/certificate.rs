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
    /// Notes a user that may connect, if its name is a distinguished name.
    pub(super) fn add(&mut self, user: &Arc<str>) {
        self.list
            .extend(Name::parse(user).map(|name| (Arc::clone(user), name)));
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

impl Name {
    /// The subject of a certificate, which has its parts the other way round; `None` with an attribute without a name.
    fn of(certificate: &PeerCertificate) -> Option<Name> {
        let mut parts = Vec::new();
        for written in certificate.subject.iter().rev() {
            let part: Option<Part> = written
                .iter()
                .map(|attribute| {
                    Some((
                        type_name(&attribute.oid)?.to_owned(),
                        attribute.value.clone(),
                    ))
                })
                .collect();
            parts.push(part?);
        }
        Some(Name { parts })
    }

    /// RFC 2253: `CN=a,OU=b+OU=c,O=d\,e`. `None` where the text is no distinguished name.
    fn parse(text: &str) -> Option<Name> {
        let mut name = Name::default();
        let mut rest = text;
        let mut part = Part::new();
        loop {
            let (kind, after) = rest.split_once('=')?;
            let kind = kind.trim();
            if kind.is_empty() || kind.contains([',', '+', '\\', '"']) {
                return None;
            }
            let (value, end) = value(after)?;
            part.push((kind.to_uppercase(), value));
            let separator = after.as_bytes().get(end);
            if separator != Some(&b'+') {
                name.parts.push(std::mem::take(&mut part));
            }
            if separator.is_none() {
                return Some(name);
            }
            rest = &after[end + 1..];
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

fn same_part(a: &Part, b: &Part) -> bool {
    a.len() == b.len() && a.iter().all(|attribute| b.contains(attribute))
}

fn type_name(oid: &str) -> Option<&'static str> {
    let known = TYPES.iter().find(|(known, _)| *known == oid);
    known.map(|(_, name)| *name)
}

/// A value at the beginning of a text, without its escapes and the blanks around it, and where it ends.
fn value(text: &str) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    // As far as the blanks at the end are not only around the value.
    let mut kept = 0;
    let mut at = bytes.iter().take_while(|byte| **byte == b' ').count();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b',' | b'+' => break,
            // The oracle takes what stands before for a type.
            b'=' => return None,
            b'\\' => {
                let (escaped, len) = escaped(&bytes[at + 1..])?;
                out.push(escaped);
                kept = out.len();
                at += len;
            }
            byte => {
                out.push(byte);
                if byte != b' ' {
                    kept = out.len();
                }
            }
        }
        at += 1;
    }
    out.truncate(kept);
    Some((String::from_utf8(out).ok()?, at))
}

/// What follows a backslash: a character that means something, or two hexadecimal digits.
fn escaped(after: &[u8]) -> Option<(u8, usize)> {
    let first = *after.first()?;
    if b" \"#+,;<=>\\".contains(&first) {
        return Some((first, 1));
    }
    let digits = std::str::from_utf8(after.get(..2)?).ok()?;
    Some((u8::from_str_radix(digits, 16).ok()?, 2))
}

/// The subject as the oracle writes it: known types in an order of its own, several of one type as one part.
fn written(certificate: &PeerCertificate) -> String {
    let parts = TYPES.iter().filter(|(oid, _)| *oid != DOMAIN_COMPONENT);
    let parts = parts.filter_map(|(oid, name)| {
        let values = values_of(certificate, oid);
        let skip = match SINGLE.contains(name) {
            true => values.len().saturating_sub(1),
            false => 0,
        };
        let written = values[skip..]
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
    wanted.map(|attribute| attribute.value.as_str()).collect()
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

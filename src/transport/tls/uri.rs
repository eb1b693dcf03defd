//! URIs as the oracle reads them and writes them again: Go's `net/url` (`Parse`, `URL.String`) of 1.27. A URI that goes through
//! may come out with other bytes in its path, host, user and fragment, and only what comes out is the name of a user.

use std::net::Ipv6Addr;

/// Where a byte stands: whether it must be escaped depends on that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Host,
    /// What follows `%25` in an address in brackets.
    Zone,
    User,
    Fragment,
}

/// The URI as the oracle writes it; `None` where it refuses to read it, or its host is no name of a domain.
pub(super) fn rewritten(uri: &str) -> Option<String> {
    let (before, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    let mut out = without_fragment(before)?;
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&again(fragment, Place::Fragment)?);
    }
    Some(out)
}

fn without_fragment(uri: &str) -> Option<String> {
    if uri.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    let (scheme, rest) = scheme(uri)?;
    let is_web = scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    });
    // A query is never looked into.
    let (rest, query) = match rest.find('?') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let mut out = String::new();
    if let Some(scheme) = scheme {
        out.push_str(&scheme.to_ascii_lowercase());
        out.push(':');
    }
    if rest.starts_with('/') {
        let is_authority = rest.starts_with("//") && (scheme.is_some() || !rest.starts_with("///"));
        let path = match is_authority {
            true => {
                let authority = &rest[2..];
                let at = authority.find('/').unwrap_or(authority.len());
                let (authority, path) = authority.split_at(at);
                let written = self::authority(authority, is_web)?;
                if !written.is_empty() || scheme.is_some() && !path.is_empty() {
                    out.push_str("//");
                }
                out.push_str(&written);
                path
            }
            false => rest,
        };
        out.push_str(&again(path, Place::Path)?);
    } else if scheme.is_some() {
        out.push_str(rest);
    } else {
        let segment = rest.split('/').next().unwrap_or_default();
        if segment.contains(':') {
            return None;
        }
        out.push_str(&again(rest, Place::Path)?);
    }
    // `?` with nothing behind it is kept.
    out.push_str(query);
    Some(out)
}

/// The scheme, if there is one, and the rest. `None` where nothing stands before the colon.
fn scheme(uri: &str) -> Option<(Option<&str>, &str)> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let end = uri.bytes().position(|byte| !inside(byte));
    match end.map(|end| (end, uri.as_bytes()[end])) {
        Some((0, b':')) => None,
        Some((end, b':')) if uri.as_bytes()[0].is_ascii_alphabetic() => {
            Some((Some(&uri[..end]), &uri[end + 1..]))
        }
        _ => Some((None, uri)),
    }
}

/// User and host.
fn authority(text: &str, is_web: bool) -> Option<String> {
    let Some((user, name)) = text.rsplit_once('@') else {
        return host(text, is_web);
    };
    let host = host(name, is_web)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(allowed) {
        return None;
    }
    let part = |text: &str| decoded(text, Place::User).map(|bytes| encoded(&bytes, Place::User));
    let user = match user.split_once(':') {
        Some((name, password)) => format!("{}:{}", part(name)?, part(password)?),
        None => part(user)?,
    };
    Some(format!("{user}@{host}"))
}

/// Host and port. One in brackets is an IPv6 address. Of HTTP the first colon begins the port, elsewhere the last.
fn host(text: &str, is_web: bool) -> Option<String> {
    let bytes = match text.rfind('[') {
        Some(0) => {
            let end = text.rfind(']')?;
            let port = &text[end + 1..];
            if !is_port(port) {
                return None;
            }
            let inside = &text[1..end];
            let zone = inside.find("%25").unwrap_or(inside.len());
            let mut address = decoded(&inside[..zone], Place::Host)?;
            address.extend(decoded(&inside[zone..], Place::Zone)?);
            let plain = std::str::from_utf8(&address).ok()?;
            let (number, zone) = plain.split_once('%').unwrap_or((plain, "0"));
            if zone.is_empty() || number.parse::<Ipv6Addr>().is_err() {
                return None;
            }
            let mut bytes = b"[".to_vec();
            bytes.extend(address);
            bytes.push(b']');
            bytes.extend(port.as_bytes());
            bytes
        }
        Some(_) => return None,
        None => {
            let colon = match is_web {
                true => text.find(':'),
                false => text.rfind(':'),
            };
            let port = colon.map_or("", |at| &text[at..]);
            if !is_port(port) {
                return None;
            }
            decoded(text, Place::Host)?
        }
    };
    is_domain(&bytes).then(|| encoded(&bytes, Place::Host))
}

fn is_port(text: &str) -> bool {
    let digits = match text {
        "" => "",
        _ => match text.strip_prefix(':') {
            Some(digits) => digits,
            None => return false,
        },
    };
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `domainNameValid` of Go's `crypto/x509`, which is asked of a host with its port.
fn is_domain(host: &[u8]) -> bool {
    let mut labels = host.split(|byte| *byte == b'.');
    host.is_empty()
        || host.iter().all(|byte| (33..=126).contains(byte))
            && labels.all(|label| !label.is_empty())
}

/// The text as it is if it is well escaped; otherwise escaped anew.
fn again(text: &str, place: Place) -> Option<String> {
    let bytes = decoded(text, place)?;
    let good = |byte: u8| b"!$&'()*+,;=:@[]%".contains(&byte) || stays(byte, place);
    match text.bytes().all(good) {
        true => Some(text.to_owned()),
        false => Some(encoded(&bytes, place)),
    }
}

/// Whether a byte needs no escape.
fn stays(byte: u8, place: Place) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return true;
    }
    match place {
        Place::Host | Place::Zone => b"!$&'()*+,;=:[]<>\"".contains(&byte),
        Place::Path => b"$&+,/:;=@".contains(&byte),
        Place::User => b"$&+,;=".contains(&byte),
        Place::Fragment => b"$&+,/:;=?@!()*".contains(&byte),
    }
}

fn encoded(bytes: &[u8], place: Place) -> String {
    let mut out = String::new();
    for &byte in bytes {
        match stays(byte, place) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `None` with a percent sign that two hexadecimal digits do not follow, and with what a host must not hold.
fn decoded(text: &str, place: Place) -> Option<Vec<u8>> {
    let is_host = matches!(place, Place::Host | Place::Zone);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            if is_host && byte.is_ascii() && !stays(byte, place) {
                return None;
            }
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let byte = (digit()? * 16 + digit()?) as u8;
        let allowed = match place {
            Place::Host => byte == b'%' || !byte.is_ascii(),
            Place::Zone => byte == b'%' || byte == b' ' || stays(byte, Place::Host),
            _ => true,
        };
        if !allowed {
            return None;
        }
        out.push(byte);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looked at with certificates on nats-server 2.15.1.
    #[test]
    fn as_the_oracle_writes_them() {
        let table: &[(&str, Option<&str>)] = &[
            ("SPIFFE://X.org/Joe", Some("spiffe://X.org/Joe")),
            ("spiffe://x.org/a%2fb%41", Some("spiffe://x.org/a%2fb%41")),
            ("spiffe://x.org/{a}", Some("spiffe://x.org/%7Ba%7D")),
            ("spiffe://x.org/a|b%2f", Some("spiffe://x.org/a%7Cb/")),
            ("spiffe://x.org/a b", Some("spiffe://x.org/a%20b")),
            ("spiffe://x.org/\"\\^`", Some("spiffe://x.org/%22%5C%5E%60")),
            ("spiffe://x.org/a'b[c]", Some("spiffe://x.org/a'b[c]")),
            ("spiffe://x.org/a?b c", Some("spiffe://x.org/a?b c")),
            ("spiffe://x.org/?", Some("spiffe://x.org/?")),
            ("spiffe://x.org/a#b c", Some("spiffe://x.org/a#b%20c")),
            ("spiffe://x.org/a#", Some("spiffe://x.org/a")),
            ("spiffe://u:@x.org:99/a", Some("spiffe://u:@x.org:99/a")),
            ("spiffe://[::1]/joe", Some("spiffe://[::1]/joe")),
            ("spiffe:///joe", Some("spiffe:///joe")),
            ("spiffe:/joe", Some("spiffe:/joe")),
            ("spiffe://", Some("spiffe:")),
            ("urn:a b%zz", Some("urn:a b%zz")),
            ("//x.org/a", Some("//x.org/a")),
            ("joe", Some("joe")),
            ("*", Some("*")),
            ("", Some("")),
            ("x:", Some("x:")),
            (":x", None),
            ("1a://x/", None),
            ("a b://x", None),
            ("spiffe://x.org/a\u{1}", None),
            ("spiffe://x.org/%zz", None),
            ("spiffe://x.org/%4", None),
            ("spiffe://x.org/a#%", None),
            ("spiffe://x%41.org/a", None),
            ("spiffe://x%C3%A9.org/a", None),
            ("spiffe://.x.org/a", None),
            ("spiffe://x.org./a", None),
            ("spiffe://x..org/a", None),
            ("http://x.org:abc/", None),
            ("http://a:1:2/", None),
            ("spiffe://a:1:2/", Some("spiffe://a:1:2/")),
            (
                "spiffe://u%3Av:p%41@x.org/",
                Some("spiffe://u%3Av:pA@x.org/"),
            ),
            ("spiffe://u@v@x.org/", Some("spiffe://u%40v@x.org/")),
            (
                "spiffe://[fe80::1%25en0]/",
                Some("spiffe://[fe80::1%25en0]/"),
            ),
            ("spiffe://[fe80::1%25]/", None),
            ("spiffe://x.org/a#b#c", Some("spiffe://x.org/a#b%23c")),
            ("spiffe://x.org/%c3%a9 ", Some("spiffe://x.org/%C3%A9%20")),
            ("///a", Some("///a")),
            ("//@", Some("//@")),
            ("a/b:c", Some("a/b:c")),
            ("+a:b", None),
            ("spiffe://[::1/", None),
            ("spiffe://[1.2.3.4]/", None),
            ("spiffe://u|v@x.org/", None),
        ];
        for (uri, expected) in table {
            assert_eq!(rewritten(uri).as_deref(), *expected, "{uri:?}");
        }
    }
}

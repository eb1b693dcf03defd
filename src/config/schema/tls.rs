//! Owns the block `tls`: what may stand in it and what its values mean. Never opens the files it names.

use super::authorization::seconds;
use super::{Field, Schema};
use crate::config::tls::{
    CIPHER_SUITES, CURVES, CertificateFiles, FilePlace, HandshakeFirst, Tls, TlsVersion,
};
use crate::config::value::{Array, Kind};
use crate::config::{Position, duration};

const FIELDS: &[&str] = &[
    "allow_insecure_cipher_suites",
    "ca_file",
    "cert_file",
    "certificates",
    "certs",
    "cipher_suites",
    "connection_rate_limit",
    "curve_preferences",
    "first",
    "handshake_first",
    "immediate",
    "insecure",
    "key_file",
    "min_version",
    "pinned_certs",
    "timeout",
    "verify",
    "verify_and_map",
    "verify_cert_and_check_known_urls",
];

/// How long `handshake_first: auto` waits for the client, milliseconds. The oracle's.
const AUTO_SILENT_MS: u64 = 50;

/// Those that the oracle has besides and calls secure.
const SUITES_MISSING: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// Those that it has and calls insecure.
const SUITES_INSECURE: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

/// Those that the oracle has besides.
const CURVES_MISSING: &[&str] = &["CurveP521", "SecP384r1MLKEM1024"];

/// What a name of the oracle is here.
enum Known {
    Here(&'static str),
    Missing,
    Insecure,
}

/// Reads the block into the configuration.
pub(super) fn read(schema: &mut Schema<'_>, block: Field<'_>) {
    let Some(map) = schema.map(block) else {
        return;
    };
    let mut tls = Tls::new(block.at.clone());
    let mut written = Written::default();
    for field in map.iter().map(Field::of) {
        if !written.take(schema, field) {
            setting(schema, field, &mut tls);
        }
    }
    let named = written.is_any();
    tls.certificates = written.all(schema, block);
    if !named {
        let text = "\"tls\" without a certificate: no handshake will succeed";
        schema.hint(block.at, text.to_owned());
    }
    schema.config.tls = Some(tls);
}

/// The certificates of a block, as they are read.
#[derive(Default)]
pub(super) struct Written {
    certificate: Option<FilePlace>,
    key: Option<FilePlace>,
    pairs: Vec<CertificateFiles>,
}

impl Written {
    /// Whether the field is one of these; then it is kept.
    pub(super) fn take(&mut self, schema: &mut Schema<'_>, field: Field<'_>) -> bool {
        match &*field.key() {
            "cert_file" => self.certificate = file(schema, field),
            "key_file" => self.key = file(schema, field),
            "certs" | "certificates" => self.pairs = certificates(schema, field),
            _ => return false,
        }
        true
    }

    fn is_any(&self) -> bool {
        self.certificate.is_some() || self.key.is_some() || !self.pairs.is_empty()
    }

    /// What was written, if it goes together.
    pub(super) fn all(self, schema: &mut Schema<'_>, block: Field<'_>) -> Vec<CertificateFiles> {
        let name = block.key();
        match (self.certificate, self.key) {
            (Some(certificate), Some(_)) if !self.pairs.is_empty() => {
                let text = format!("\"cert_file\" and \"certs\" cannot stand together in {name:?}");
                schema.error(&certificate.at, text);
            }
            (Some(certificate), Some(key)) => return vec![CertificateFiles { certificate, key }],
            (Some(_), None) => schema.error(block.at, format!("{name:?} has no \"key_file\"")),
            (None, Some(_)) => schema.error(block.at, format!("{name:?} has no \"cert_file\"")),
            (None, None) => {}
        }
        self.pairs
    }
}

fn setting(schema: &mut Schema<'_>, field: Field<'_>, tls: &mut Tls) {
    match &*field.key() {
        "ca_file" => tls.authority = file(schema, field),
        "verify" => tls.verify |= schema.boolean(field) == Some(true),
        "verify_and_map" => {
            tls.map = schema.boolean(field) == Some(true);
            tls.verify |= tls.map;
        }
        "verify_cert_and_check_known_urls" => {
            if schema.boolean(field) == Some(true) {
                let text = format!(
                    "{:?} is for clusters and gateways, not for clients",
                    field.name
                );
                schema.error(field.at, text);
            }
        }
        "insecure" => {
            if schema.boolean(field) == Some(true) {
                let text =
                    "\"insecure\" changes nothing here: it is for TLS that this server begins";
                schema.hint(field.at, text.to_owned());
            }
        }
        "timeout" => tls.timeout_ms = timeout_ms(schema, field).unwrap_or(tls.timeout_ms),
        "handshake_first" | "first" | "immediate" => {
            tls.handshake_first = handshake_first(schema, field);
        }
        "min_version" => tls.version_min = version_min(schema, field),
        // Nothing it allows is there: `cipher_suites` says so of each.
        "allow_insecure_cipher_suites" => drop(schema.boolean(field)),
        "cipher_suites" => tls.cipher_suites = Some(suites(schema, field)),
        "curve_preferences" => tls.curves = Some(curves(schema, field)),
        "pinned_certs" => tls.pinned = pins(schema, field),
        "connection_rate_limit" => {
            tls.rate_max = schema.integer(field).unwrap_or(0).max(0).unsigned_abs();
        }
        _ => elsewhere(schema, field, FIELDS),
    }
}

/// What no block of TLS takes here; `fields` are those that this one takes.
pub(super) fn elsewhere(schema: &mut Schema<'_>, field: Field<'_>, fields: &[&str]) {
    match &*field.key() {
        "cert_store"
        | "cert_match"
        | "cert_match_by"
        | "cert_match_skip_invalid"
        | "ca_certs_match" => {
            let text = format!("{:?} has no meaning here: it is for Windows", field.name);
            schema.error(field.at, text);
        }
        "ocsp_peer" => schema.refuse_yet(field),
        _ => schema.unknown(field, fields),
    }
}

/// A path; an empty one is none.
pub(super) fn file(schema: &mut Schema<'_>, field: Field<'_>) -> Option<FilePlace> {
    let path = schema.text(field).filter(|path| !path.is_empty())?;
    Some(FilePlace {
        path: path.into(),
        at: field.at.clone(),
    })
}

fn array<'v>(schema: &mut Schema<'_>, field: Field<'v>) -> Option<&'v Array> {
    match &field.value.kind {
        Kind::Array(array) => Some(array),
        _ => {
            schema.wrong(field, "an array");
            None
        }
    }
}

fn certificates(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<CertificateFiles> {
    let Some(array) = array(schema, field) else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for item in &array.items {
        let item = Field {
            at: &item.at,
            value: item,
            ..field
        };
        pairs.extend(pair(schema, item));
    }
    pairs
}

fn pair(schema: &mut Schema<'_>, item: Field<'_>) -> Option<CertificateFiles> {
    let (mut certificate, mut key) = (None, None);
    for field in schema.map(item)?.iter().map(Field::of) {
        match field.name {
            "cert_file" => certificate = file(schema, field),
            "key_file" => key = file(schema, field),
            _ => schema.unknown(field, &["cert_file", "key_file"]),
        }
    }
    let (Some(certificate), Some(key)) = (certificate, key) else {
        let text = format!(
            "each of {:?} needs \"cert_file\" and \"key_file\"",
            item.name
        );
        schema.error(item.at, text);
        return None;
    };
    Some(CertificateFiles { certificate, key })
}

/// Seconds as a number, or a duration. 0 is the default.
fn timeout_ms(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u64> {
    let seconds = seconds(schema, field)?;
    Some((seconds * 1000.0).ceil() as u64).filter(|ms| *ms != 0)
}

fn handshake_first(schema: &mut Schema<'_>, field: Field<'_>) -> HandshakeFirst {
    let text = match &field.value.kind {
        Kind::Boolean(true) => return HandshakeFirst::Always,
        Kind::Boolean(false) => return HandshakeFirst::No,
        Kind::Text(text) => text.to_lowercase(),
        _ => {
            schema.wrong(field, "true, false, \"auto\" or a duration");
            return HandshakeFirst::No;
        }
    };
    match &*text {
        "true" | "on" => HandshakeFirst::Always,
        "false" | "off" => HandshakeFirst::No,
        "auto" | "auto_fallback" => HandshakeFirst::Unless {
            silent_ms: AUTO_SILENT_MS,
        },
        _ => match duration::parse(&text) {
            // The oracle waits for ever where the time is 0 or less.
            Some(nanoseconds) if nanoseconds <= 0 => HandshakeFirst::Always,
            Some(nanoseconds) => HandshakeFirst::Unless {
                silent_ms: duration::to_ms(nanoseconds).max(1).unsigned_abs(),
            },
            None => {
                let text = format!(
                    "{:?} must be true, false, \"auto\" or a duration",
                    field.name
                );
                schema.error(field.at, text);
                HandshakeFirst::No
            }
        },
    }
}

pub(super) fn version_min(schema: &mut Schema<'_>, field: Field<'_>) -> TlsVersion {
    match schema.text(field) {
        Some("1.2") => TlsVersion::Tls12,
        Some("1.3") => TlsVersion::Tls13,
        Some(text @ ("1.0" | "1.1")) => {
            let text = format!(
                "TLS {text} is not available: {:?} is \"1.2\" or \"1.3\"",
                field.name
            );
            schema.error(field.at, text);
            TlsVersion::Tls12
        }
        Some(_) => {
            let text = format!("{:?} must be \"1.2\" or \"1.3\"", field.name);
            schema.error(field.at, text);
            TlsVersion::Tls12
        }
        None => TlsVersion::Tls12,
    }
}

/// `cipher_suites`.
pub(super) fn suites(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<&'static str> {
    names(schema, field, suite)
}

/// `curve_preferences`.
pub(super) fn curves(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<&'static str> {
    names(schema, field, curve)
}

/// A list of names, none of them unknown or missing here.
fn names(
    schema: &mut Schema<'_>,
    field: Field<'_>,
    find: fn(&str) -> Option<Known>,
) -> Vec<&'static str> {
    let Some(array) = array(schema, field) else {
        return Vec::new();
    };
    if array.items.is_empty() {
        schema.error(field.at, format!("{:?} must not be empty", field.name));
    }
    let mut found = Vec::new();
    for (text, at) in schema.texts(field).unwrap_or_default() {
        let problem = match find(text) {
            Some(Known::Here(name)) => {
                found.push(name);
                continue;
            }
            Some(Known::Missing) => format!("{text} is not available in gannet"),
            Some(Known::Insecure) => format!("{text} is insecure and not available in gannet"),
            None => format!("{text:?} is not known to {:?}", field.name),
        };
        schema.error(at, problem);
    }
    found
}

fn suite(name: &str) -> Option<Known> {
    let has = |list: &[&str]| list.contains(&name);
    let here = CIPHER_SUITES.iter().find(|known| **known == name);
    here.map(|known| Known::Here(known))
        .or_else(|| has(SUITES_MISSING).then_some(Known::Missing))
        .or_else(|| has(SUITES_INSECURE).then_some(Known::Insecure))
}

fn curve(name: &str) -> Option<Known> {
    let here = CURVES.iter().find(|known| **known == name);
    here.map(|known| Known::Here(known))
        .or_else(|| CURVES_MISSING.contains(&name).then_some(Known::Missing))
}

fn pins(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<[u8; 32]> {
    if array(schema, field).is_none() {
        return Vec::new();
    }
    let mut pins = Vec::new();
    for (text, at) in schema.texts(field).unwrap_or_default() {
        match digest(text) {
            Some(pin) => pins.push(pin),
            None => not_a_pin(schema, at, text),
        }
    }
    pins
}

fn not_a_pin(schema: &mut Schema<'_>, at: &Position, text: &str) {
    let text = format!("{text:?} is not the SHA-256 of a public key in 64 hexadecimal digits");
    schema.error(at, text);
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

//! Owns the block `resolver_tls`: how a resolver is asked over HTTPS. What only a server's side of TLS has is refused.
//! Never opens the files it names.

use super::tls::{self, Written};
use super::{Field, Schema};
use crate::config::tls::ResolverTls;
use crate::config::value::Kind;

const FIELDS: &[&str] = &[
    "allow_insecure_cipher_suites",
    "ca_file",
    "cert_file",
    "certificates",
    "certs",
    "cipher_suites",
    "curve_preferences",
    "insecure",
    "key_file",
    "min_version",
];

/// Reads the block into the configuration.
pub(super) fn read(schema: &mut Schema<'_>, block: Field<'_>) {
    let Some(map) = schema.map(block) else {
        return;
    };
    let mut tls = ResolverTls::new(block.at.clone());
    let mut written = Written::default();
    for field in map.iter().map(Field::of) {
        if !written.take(schema, field) {
            setting(schema, field, &mut tls);
        }
    }
    let mut certificates = written.all(schema, block).into_iter();
    tls.certificate = certificates.next();
    if let Some(second) = certificates.next() {
        let text = "\"resolver_tls\" has room for one certificate: no choice is made among several";
        schema.error(&second.certificate.at, text.to_owned());
    }
    schema.config.operators.resolver_tls = Some(tls);
}

fn setting(schema: &mut Schema<'_>, field: Field<'_>, tls: &mut ResolverTls) {
    match &*field.key() {
        "ca_file" => tls.authority = tls::file(schema, field),
        "insecure" => {
            tls.insecure = schema.boolean(field) == Some(true);
            if tls.insecure {
                let text = "\"insecure\": whoever answers at the URL is taken for the resolver";
                schema.hint(field.at, text.to_owned());
            }
        }
        "min_version" => tls.version_min = tls::version_min(schema, field),
        // Nothing it allows is there: `cipher_suites` says so of each.
        "allow_insecure_cipher_suites" => drop(schema.boolean(field)),
        "cipher_suites" => tls.cipher_suites = Some(tls::suites(schema, field)),
        "curve_preferences" => tls.curves = Some(tls::curves(schema, field)),
        "verify" | "verify_and_map" | "verify_cert_and_check_known_urls" => {
            if schema.boolean(field) == Some(true) {
                let text = format!(
                    "{:?} is about clients; the resolver's certificate is verified unless \"insecure\" is set",
                    field.name
                );
                schema.error(field.at, text);
            }
        }
        "timeout"
        | "handshake_first"
        | "first"
        | "immediate"
        | "pinned_certs"
        | "connection_rate_limit" => {
            if !matches!(field.value.kind, Kind::Bad) {
                let text = format!("{:?} has no effect on how a resolver is asked", field.name);
                schema.error(field.at, text);
            }
        }
        _ => tls::elsewhere(schema, field, FIELDS),
    }
}

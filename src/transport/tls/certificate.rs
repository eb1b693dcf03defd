//! The certificate a client has shown and proven: the names in it. Never decides whom they belong to.

use sha2::{Digest, Sha256};
use x509_parser::der_parser::asn1_rs::{Any, FromDer, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ParsedExtension, X509Certificate};

/// One attribute of a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type as dotted numbers: `2.5.4.3` is the common name.
    pub oid: String,
    /// Its value.
    pub value: String,
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
    /// Reads DER. `None` where it makes no sense.
    pub fn parse(der: &[u8]) -> Option<PeerCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut peer = PeerCertificate {
            subject: subject(&certificate),
            not_after_unix_s: certificate.validity().not_after.timestamp(),
            key_sha256: Sha256::digest(certificate.public_key().raw).into(),
            ..PeerCertificate::default()
        };
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                names.general_names.iter().for_each(|name| peer.add(name));
            }
        }
        Some(peer)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::RFC822Name(email) => self.emails.push((*email).to_owned()),
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::URI(uri) => self.uris.push(plain(uri)),
            _ => {}
        }
    }
}

/// A URI as the oracle writes it: the scheme in small letters, and no fragment that is empty.
fn plain(uri: &str) -> String {
    let uri = uri.strip_suffix('#').unwrap_or(uri);
    match uri.split_once(':') {
        Some((scheme, rest)) => format!("{}:{rest}", scheme.to_ascii_lowercase()),
        None => uri.to_owned(),
    }
}

fn subject(certificate: &X509Certificate<'_>) -> Vec<Vec<Attribute>> {
    let names = certificate.subject().iter_rdn();
    names
        .map(|name| {
            let attributes = name.iter().filter_map(|attribute| {
                Some(Attribute {
                    oid: attribute.attr_type().to_id_string(),
                    value: text(attribute.attr_value())?,
                })
            });
            attributes.collect()
        })
        .collect()
}

/// The text of a value, whichever of the string types it has.
fn text(value: &Any<'_>) -> Option<String> {
    if value.tag() == Tag::BmpString {
        let units = value.data.chunks_exact(2);
        let units: Vec<u16> = units
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        return String::from_utf16(&units).ok();
    }
    std::str::from_utf8(value.data).ok().map(str::to_owned)
}

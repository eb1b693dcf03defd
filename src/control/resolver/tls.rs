//! Owns how HTTPS is spoken to a resolver: who is believed to be the server. Never opens a socket.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The system's authorities are believed. Those of them that cannot be read are logged and passed over.
pub fn system() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("authorities of the system: {error}");
    }
    let certificates = found.certs.iter();
    believing(certificates.map(|certificate| Certificate::from_der(certificate).to_owned()))
}

/// These authorities are believed.
pub fn believing(authorities: impl IntoIterator<Item = Certificate<'static>>) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::from(authorities))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build()
}

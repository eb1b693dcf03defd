//! Owns how HTTPS is spoken to a resolver: who is believed to be the server, what is shown to it. Reads the files that
//! `resolver_tls` names; never opens a socket.

use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsConfigBuilder};

use crate::config::tls::{CertificateFiles, ResolverTls, TlsVersion};
use crate::config::{Config, ConfigError};
use crate::control::tls::{read_authority, read_file, unusable};
use crate::transport::tls::acceptor::{certificates, provider};

/// What a configuration says of it: `resolver_tls`, or nothing beyond the system's authorities.
///
/// # Errors
/// What is wrong with the files, each at its place in the configuration.
pub fn load(config: &Config) -> Result<TlsConfig, Vec<ConfigError>> {
    match &config.operators.resolver_tls {
        None => Ok(system()),
        Some(written) => {
            let files = read(written)?;
            let authorities = files.authorities.unwrap_or_else(roots_of_system);
            let configured = by(written, authorities).client_cert(files.certificate);
            Ok(configured.disable_verification(written.insecure).build())
        }
    }
}

/// What is wrong with the files that a configuration names for it.
pub fn check(config: &Config) -> Vec<ConfigError> {
    let written = config.operators.resolver_tls.as_ref();
    let read = written.map(|written| read(written).map(drop));
    read.and_then(Result::err).unwrap_or_default()
}

/// The system's authorities are believed. Those of them that cannot be read are logged and passed over.
pub fn system() -> TlsConfig {
    believing(roots_of_system())
}

/// These authorities are believed.
pub fn believing(authorities: Vec<Certificate<'static>>) -> TlsConfig {
    with(provider(None, None), authorities).build()
}

struct Files {
    certificate: Option<ClientCert>,
    authorities: Option<Vec<Certificate<'static>>>,
}

/// All files, or all that is wrong with them.
fn read(written: &ResolverTls) -> Result<Files, Vec<ConfigError>> {
    let certificate = written.certificate.as_ref().map(client_certificate);
    let authorities = written.authority.as_ref().map(read_authority);
    match (certificate.transpose(), authorities.transpose()) {
        (Ok(certificate), Ok(authorities)) => Ok(Files {
            certificate,
            authorities: authorities.map(|list| list.iter().map(owned).collect()),
        }),
        (certificate, authorities) => Err(certificate
            .err()
            .into_iter()
            .chain(authorities.err())
            .collect()),
    }
}

/// They must belong together, as in the oracle.
fn client_certificate(files: &CertificateFiles) -> Result<ClientCert, ConfigError> {
    let (chain, key) = (read_file(&files.certificate)?, read_file(&files.key)?);
    let chain = certificates(&chain).map_err(|why| unusable(&files.certificate, &why))?;
    let key_error = |why: String| unusable(&files.key, &why);
    let der = PrivateKeyDer::from_pem_slice(&key).map_err(|error| key_error(error.to_string()))?;
    CertifiedKey::from_der(chain.clone(), der, &provider(None, None))
        .map_err(|error| key_error(error.to_string()))?;
    let key = PrivateKey::from_pem(&key).map_err(|error| key_error(error.to_string()))?;
    let chain: Vec<_> = chain.iter().map(owned).collect();
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn by(written: &ResolverTls, authorities: Vec<Certificate<'static>>) -> TlsConfigBuilder {
    let mut provider = provider(written.cipher_suites.as_deref(), written.curves.as_deref());
    if written.version_min == TlsVersion::Tls13 {
        // Without a suite for it TLS 1.2 is not offered.
        let suites = &mut provider.cipher_suites;
        suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
    }
    with(provider, authorities)
}

fn with(
    provider: rustls::crypto::CryptoProvider,
    authorities: Vec<Certificate<'static>>,
) -> TlsConfigBuilder {
    TlsConfig::builder()
        .root_certs(RootCerts::from(authorities.into_iter()))
        .unversioned_rustls_crypto_provider(Arc::new(provider))
}

fn roots_of_system() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("authorities of the system: {error}");
    }
    found.certs.iter().map(owned).collect()
}

fn owned(certificate: &rustls::pki_types::CertificateDer<'_>) -> Certificate<'static> {
    Certificate::from_der(certificate).to_owned()
}

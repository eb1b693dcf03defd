//! Loads what a `tls` block names: certificates, keys, authorities. Owns the reading of those files and the places of what
//! is wrong with them; never listens.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::time_provider::DefaultTimeProvider;

use crate::config::tls::{FilePlace, HandshakeFirst, Tls, TlsVersion};
use crate::config::{Config, ConfigError, Position};
use crate::session::secure::TlsPort;
use crate::transport::tls::acceptor::{self, Acceptor, Options, Pair, Problem};

/// The TLS of the port for clients; `None` without a `tls` block. Reads its files: at start, at a reload, with `-t`.
///
/// # Errors
/// What is wrong with the files, each at its place in the configuration.
pub fn load(config: &Config) -> Result<Option<Arc<TlsPort>>, Vec<ConfigError>> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    let (pairs, authorities) = read(tls)?;
    let acceptor = Acceptor::new(Options {
        certificates: &pairs,
        authorities,
        only_13: tls.version_min == TlsVersion::Tls13,
        suites: tls.cipher_suites.as_deref(),
        curves: tls.curves.as_deref(),
        pinned: &tls.pinned,
        clock: Arc::new(DefaultTimeProvider),
    });
    let acceptor = acceptor.map_err(|problem| vec![placed(tls, problem)])?;
    Ok(Some(Arc::new(TlsPort {
        acceptor: Arc::new(acceptor),
        timeout_ms: tls.timeout_ms,
        handshake_first: tls.handshake_first,
        // A port where clients must begin is for TLS alone, as in the oracle.
        allow_plain: config.allow_non_tls && tls.handshake_first != HandshakeFirst::Always,
        rate_max: tls.rate_max,
    })))
}

/// What the log says of the port at start.
pub fn announce(config: &Config) {
    let Some(tls) = &config.tls else {
        return;
    };
    let first = tls.handshake_first == HandshakeFirst::Always;
    match config.allow_non_tls && !first {
        true => log::info!("TLS available for client connections"),
        false => log::info!("TLS required for client connections"),
    }
    if first {
        log::warn!(
            "Clients that are not using \"TLS Handshake First\" option will fail to connect"
        );
    }
}

type Files = (Vec<Pair>, Option<Vec<CertificateDer<'static>>>);

/// All files, or all that is wrong with their reading.
fn read(tls: &Tls) -> Result<Files, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut pairs = Vec::new();
    for files in &tls.certificates {
        let [chain, key] = [&files.certificate, &files.key].map(read_file);
        match (chain, key) {
            (Ok(chain), Ok(key)) => pairs.push(Pair { chain, key }),
            (chain, key) => errors.extend(chain.err().into_iter().chain(key.err())),
        }
    }
    let authorities = tls.verify.then(|| authorities(tls));
    let authorities = authorities.transpose().unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    // The oracle reads it although nobody is verified by it.
    if let (Some(file), false) = (&tls.authority, tls.verify) {
        errors.extend(read_authority(file).err());
    }
    match errors.is_empty() {
        true => Ok((pairs, authorities)),
        false => Err(errors),
    }
}

/// Without `ca_file` the system's, as in the oracle.
fn authorities(tls: &Tls) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    if let Some(file) = &tls.authority {
        return read_authority(file);
    }
    let found = rustls_native_certs::load_native_certs().certs;
    match found.is_empty() {
        false => Ok(found),
        true => Err(error(
            &tls.at,
            "\"verify\" without \"ca_file\" needs the system's authorities, of which there are none",
        )),
    }
}

/// The certificates in a file.
pub(super) fn read_authority(
    file: &FilePlace,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read_file(file)?;
    acceptor::certificates(&pem).map_err(|text| unusable(file, &text))
}

/// What stands in a file.
pub(super) fn read_file(file: &FilePlace) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(&file.path).map_err(|why| {
        let text = format!("cannot read {}: {why}", shown(&file.path));
        error(&file.at, text)
    })
}

fn placed(tls: &Tls, problem: Problem) -> ConfigError {
    match problem {
        Problem::Certificate(number, text) => {
            unusable(&tls.certificates[number].certificate, &text)
        }
        Problem::Key(number, text) => unusable(&tls.certificates[number].key, &text),
        Problem::Authorities(text) => match &tls.authority {
            Some(file) => unusable(file, &text),
            None => error(&tls.at, text),
        },
        Problem::Other(text) => error(&tls.at, text),
    }
}

/// What is in a file is of no use.
pub(super) fn unusable(file: &FilePlace, why: &str) -> ConfigError {
    error(
        &file.at,
        format!("{} cannot be used: {why}", shown(&file.path)),
    )
}

/// Something is wrong at this place.
pub(super) fn error(at: &Position, text: impl Into<String>) -> ConfigError {
    ConfigError {
        at: at.clone(),
        text: text.into(),
    }
}

fn shown(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

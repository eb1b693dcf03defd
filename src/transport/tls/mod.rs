//! TLS over rustls: [`Handshake`] is for threads that may take their time, [`Codec`] opens and seals records afterwards,
//! with the keys that rustls has agreed on.
//! Neither touches a socket; memory for records belongs to the caller and is used again.

pub mod acceptor;
pub mod certificate;
mod codec;
mod der;
mod extensions;
mod handshake;
#[cfg(test)]
#[path = "../../../tests/differential/pki.rs"]
mod pki;
mod records;
pub mod shown;
#[cfg(test)]
mod tests;
mod uri;
mod verifier;

use std::fmt;

use data_encoding::HEXLOWER;
use rustls::CipherSuite;

pub use acceptor::Acceptor;
pub use codec::{Codec, Scratch};
pub use handshake::{Handshake, Secured, Step};
pub use shown::Shown;

/// The first byte of whatever a TLS client says first: a handshake record.
pub const HANDSHAKE: u8 = 0x16;

/// What stands before each record.
const HEADER_BYTES: usize = 5;

/// Plain text in one record at most.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// What a record is longer than its plain text, at most: that of AES-GCM in TLS 1.2.
const RECORD_OVERHEAD_MAX: usize = 29;

/// Room for what may have to be said between two records: new keys, an alert.
const EXTRA_BYTES: usize = 64;

/// Room that is enough to seal so many bytes.
pub const fn sealed_bytes_max(plain_bytes: usize) -> usize {
    plain_bytes + plain_bytes.div_ceil(RECORD_BYTES_MAX) * RECORD_OVERHEAD_MAX + EXTRA_BYTES
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The peer's fault, or nothing in common with it.
    Tls(rustls::Error),
    /// What came first is not TLS.
    NotTls,
    /// The client's certificate is not among `pinned_certs`: the SHA-256 of its key. Or it has none.
    NotPinned(Option<[u8; 32]>),
    /// The client's certificate was good when its session began and is not any more.
    Expired,
    /// The client's certificate cannot be read although it could be verified.
    Unreadable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls(rustls::Error::NoCertificatesPresented) => {
                f.write_str("client didn't provide a certificate")
            }
            Fault::Tls(error) => error.fmt(f),
            Fault::NotTls => f.write_str("first record does not look like a TLS handshake"),
            Fault::NotPinned(None) => f.write_str("certificate not pinned"),
            Fault::NotPinned(Some(sha256)) => {
                let sha256 = HEXLOWER.encode(sha256);
                write!(f, "certificate not pinned: its key id is {sha256}")
            }
            Fault::Expired => f.write_str("certificate has expired since its session began"),
            Fault::Unreadable => f.write_str("certificate cannot be read"),
        }
    }
}

impl From<rustls::Error> for Fault {
    fn from(error: rustls::Error) -> Self {
        Fault::Tls(error)
    }
}

/// What TLS has to say of itself and must be sent before anything that is sealed later: handshakes, alerts, tickets.
#[derive(Default)]
pub struct Said(Vec<u8>);

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Said({} bytes)", self.0.len())
    }
}

impl Said {
    fn add(&mut self, record: &[u8]) {
        self.0.extend_from_slice(record);
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves it into `out`, as far as it fits, and returns how much that is.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let len = self.0.len().min(out.len());
        out[..len].copy_from_slice(&self.0[..len]);
        self.0.drain(..len);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        len
    }
}

/// Names of suites as they are registered: rustls spells those of TLS 1.3 in its own way.
pub(crate) fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}

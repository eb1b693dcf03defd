//! Owns the types of `tls {}` and `resolver_tls {}`, as they were written. Never opens the files it names.

use std::path::PathBuf;

use super::Position;

/// How long a handshake may take unless `timeout` says otherwise, milliseconds. The oracle's.
pub const TLS_TIMEOUT_MS: u64 = 2_000;

/// Cipher suites that there are. Those of TLS 1.3 are always on: their names are taken and change nothing, as in the oracle.
pub const CIPHER_SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Groups for the exchange of keys that there are.
pub const CURVES: &[&str] = &[
    "CurveP256",
    "CurveP384",
    "SecP256r1MLKEM768",
    "X25519",
    "X25519MLKEM768",
];

/// `tls {}` of the port for clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// `cert_file` with `key_file`, or all of `certs`, in the order of the file. May be empty, as in the oracle: then
    /// no handshake succeeds.
    pub certificates: Vec<CertificateFiles>,
    /// `ca_file`: who may sign the certificates of clients. The system's authorities when absent.
    pub authority: Option<FilePlace>,
    /// `verify`, or `verify_and_map`: clients must show a certificate.
    pub verify: bool,
    /// `verify_and_map`: it says which user the client is.
    pub map: bool,
    /// `timeout`: of a handshake, milliseconds.
    pub timeout_ms: u64,
    /// `handshake_first`.
    pub handshake_first: HandshakeFirst,
    /// `min_version`.
    pub version_min: TlsVersion,
    /// `cipher_suites`; `None` are all there are. They bound TLS 1.2 alone: of 1.3 all are always there, as in the oracle.
    pub cipher_suites: Option<Vec<&'static str>>,
    /// `curve_preferences`, by the oracle's names; `None` are all there are.
    pub curves: Option<Vec<&'static str>>,
    /// `pinned_certs`: SHA-256 of the public keys (SubjectPublicKeyInfo) that clients may have; empty pins nothing.
    pub pinned: Vec<[u8; 32]>,
    /// `connection_rate_limit`: handshakes a second; 0 is no limit.
    pub rate_max: u64,
    /// Where the block stands.
    pub at: Position,
}

/// `resolver_tls {}`: how a resolver is asked over HTTPS.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolverTls {
    /// `cert_file` with `key_file`, or the one of `certs`: what is shown to a resolver that asks for a certificate.
    pub certificate: Option<CertificateFiles>,
    /// `ca_file`: who may sign the resolver's certificate. The system's authorities when absent.
    pub authority: Option<FilePlace>,
    /// `insecure`: the resolver's certificate is not verified.
    pub insecure: bool,
    /// `min_version`.
    pub version_min: TlsVersion,
    /// `cipher_suites`, as in [`Tls::cipher_suites`].
    pub cipher_suites: Option<Vec<&'static str>>,
    /// `curve_preferences`, as in [`Tls::curves`].
    pub curves: Option<Vec<&'static str>>,
    /// Where the block stands.
    pub at: Position,
}

/// A file and where it is named.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePlace {
    /// Relative to the working directory, as in the oracle.
    pub path: PathBuf,
    /// Where it is named.
    pub at: Position,
}

/// A certificate with its chain, and its key.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateFiles {
    /// `cert_file`: PEM, the server's own first.
    pub certificate: FilePlace,
    /// `key_file`: PEM.
    pub key: FilePlace,
}

/// Who speaks first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// The server, in plain text: INFO comes before the handshake.
    #[default]
    No,
    /// The client: INFO comes inside TLS.
    Always,
    /// The client, unless it says nothing for so long; then as [`HandshakeFirst::No`].
    Unless {
        /// Milliseconds.
        silent_ms: u64,
    },
}

/// The lowest version taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and 1.3.
    #[default]
    Tls12,
    /// 1.3 alone.
    Tls13,
}

impl Tls {
    /// A block that says nothing.
    pub fn new(at: Position) -> Tls {
        Tls {
            certificates: Vec::new(),
            authority: None,
            verify: false,
            map: false,
            timeout_ms: TLS_TIMEOUT_MS,
            handshake_first: HandshakeFirst::No,
            version_min: TlsVersion::Tls12,
            cipher_suites: None,
            curves: None,
            pinned: Vec::new(),
            rate_max: 0,
            at,
        }
    }
}

impl ResolverTls {
    /// A block that says nothing.
    pub fn new(at: Position) -> ResolverTls {
        ResolverTls {
            certificate: None,
            authority: None,
            insecure: false,
            version_min: TlsVersion::Tls12,
            cipher_suites: None,
            curves: None,
            at,
        }
    }
}

//! What a port needs to take TLS connections: certificates, authorities, versions, suites, pinned keys. Immutable, so that
//! another one may take its place for connections to come. Never reads files.

use std::fmt;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::certificate::PeerCertificate;
use super::verifier::Verifier;
use super::{Fault, suite_name};

/// What an acceptor is made of.
pub struct Options<'a> {
    /// Certificates with their chains, and keys, in PEM. May be empty: then no handshake succeeds.
    pub certificates: &'a [Pair],
    /// Who may sign clients' certificates, DER; `None` asks clients for none.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// TLS 1.2 is refused.
    pub only_13: bool,
    /// Suites of TLS 1.2, by their registered names; `None` is all.
    pub suites: Option<&'a [&'static str]>,
    /// Groups by the oracle's names; `None` is all.
    pub curves: Option<&'a [&'static str]>,
    /// SHA-256 of the public keys that clients may have; empty is any.
    pub pinned: &'a [[u8; 32]],
    /// The clock that certificates are judged by.
    pub clock: Arc<dyn TimeProvider>,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Pair {
    /// PEM: the server's own certificate first, then those above it.
    pub chain: Vec<u8>,
    /// PEM.
    pub key: Vec<u8>,
}

/// What is wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The certificate of this number cannot be used.
    Certificate(usize, String),
    /// Its key cannot.
    Key(usize, String),
    /// The authorities cannot.
    Authorities(String),
    /// The rest cannot.
    Other(String),
}

/// Takes TLS connections.
pub struct Acceptor {
    config: Arc<ServerConfig>,
    pinned: Vec<[u8; 32]>,
    /// Who signs clients' certificates: as verification takes them, and as they were written, in the same order.
    anchors: Vec<TrustAnchor<'static>>,
    authorities: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Compiles the options.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn new(options: Options<'_>) -> Result<Acceptor, Problem> {
        let provider = Arc::new(provider(options.suites, options.curves));
        let choice = Choice::new(options.certificates, &provider)?;
        let other = |error: rustls::Error| Problem::Other(error.to_string());
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), options.clock)
            .with_protocol_versions(&versions(&provider, options.only_13))
            .map_err(other)?;
        let authorities = options.authorities.clone().unwrap_or_default();
        let mut anchors = Vec::new();
        let builder = match options.authorities {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let roots = roots(authorities)?;
                anchors.clone_from(&roots.roots);
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = verifier.build();
                let verifier = verifier.map_err(|error| Problem::Authorities(error.to_string()))?;
                builder.with_client_cert_verifier(Arc::new(Verifier(verifier)))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(choice));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Records are made here once the handshake is done.
        config.enable_secret_extraction = true;
        config.send_tls13_tickets = 1;
        config.ignore_client_order = true;
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(other)?;
        Ok(Acceptor {
            config: Arc::new(config),
            pinned: options.pinned.to_vec(),
            anchors,
            authorities,
        })
    }

    /// Who signs clients' certificates.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// The certificate of the anchor of this number.
    pub(super) fn authority(&self, number: usize) -> &CertificateDer<'static> {
        &self.authorities[number]
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Whether the key of this certificate may come in; without one only where none is pinned.
    pub fn is_pinned(&self, certificate: Option<&PeerCertificate>) -> bool {
        self.pinned.is_empty()
            || certificate.is_some_and(|known| self.pinned.contains(&known.key_sha256))
    }

    /// Whether another one pins the same keys.
    pub fn pins_as(&self, other: &Acceptor) -> bool {
        self.pinned == other.pinned
    }

    /// What rustls does not look at: pinned keys, and certificates of sessions that are taken up again.
    pub(super) fn admits(&self, certificate: Option<&PeerCertificate>) -> Result<(), Fault> {
        if !self.is_pinned(certificate) {
            return Err(Fault::NotPinned(certificate.map(|known| known.key_sha256)));
        }
        let now = self.config.time_provider.current_time();
        let now = now.map_or(i64::MAX, |now| now.as_secs().cast_signed());
        if certificate.is_some_and(|known| known.not_after_unix_s < now) {
            return Err(Fault::Expired);
        }
        Ok(())
    }
}

/// Certificates in a PEM file.
///
/// # Errors
/// There is none, or one that cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(list) if list.is_empty() => Err("it holds no certificate".to_owned()),
        Ok(list) => Ok(list),
        Err(error) => Err(error.to_string()),
    }
}

/// The cryptography that suites of TLS 1.2 and groups leave, both by the names in [`Options`].
pub fn provider(
    suites: Option<&[&'static str]>,
    curves: Option<&[&'static str]>,
) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    // The cheapest comes first, as in the oracle.
    provider
        .cipher_suites
        .sort_by_key(|suite| !suite_name(suite.suite()).contains("AES_128"));
    if let Some(names) = suites {
        provider.cipher_suites.retain(|suite| {
            matches!(suite, SupportedCipherSuite::Tls13(_))
                || names.contains(&suite_name(suite.suite()))
        });
    }
    let groups: &[(&str, &'static dyn SupportedKxGroup)] = &[
        ("X25519MLKEM768", kx_group::X25519MLKEM768),
        ("SecP256r1MLKEM768", kx_group::SECP256R1MLKEM768),
        ("X25519", kx_group::X25519),
        ("CurveP256", kx_group::SECP256R1),
        ("CurveP384", kx_group::SECP384R1),
    ];
    let wanted = |name: &str| curves.is_none_or(|names| names.contains(&name));
    let groups = groups.iter().filter(|(name, _)| wanted(name));
    provider.kx_groups = groups.map(|(_, group)| *group).collect();
    provider
}

/// Without a suite for it TLS 1.2 is not there.
fn versions(provider: &CryptoProvider, only_13: bool) -> Vec<&'static SupportedProtocolVersion> {
    let mut suites = provider.cipher_suites.iter();
    let has_12 = suites.any(|suite| matches!(suite, SupportedCipherSuite::Tls12(_)));
    if has_12 && !only_13 {
        vec![&TLS13, &TLS12]
    } else {
        vec![&TLS13]
    }
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let added = roots.add(authority);
        added.map_err(|error| Problem::Authorities(error.to_string()))?;
    }
    Ok(roots)
}

/// Several certificates, of which the first that suits the client is shown; the very first if none does, as in the oracle.
#[derive(Debug)]
struct Choice {
    certificates: Vec<Arc<CertifiedKey>>,
    suites: Vec<SupportedCipherSuite>,
}

impl Choice {
    fn new(pairs: &[Pair], provider: &CryptoProvider) -> Result<Choice, Problem> {
        let mut certified = Vec::new();
        for (number, pair) in pairs.iter().enumerate() {
            let chain = certificates(&pair.chain);
            let chain = chain.map_err(|text| Problem::Certificate(number, text))?;
            // Names are looked at when a client comes: it must be possible.
            ParsedCertificate::try_from(&chain[0])
                .map_err(|error| Problem::Certificate(number, error.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(&pair.key)
                .map_err(|error| Problem::Key(number, error.to_string()))?;
            let key = CertifiedKey::from_der(chain, key, provider)
                .map_err(|error| Problem::Key(number, error.to_string()))?;
            certified.push(Arc::new(key));
        }
        Ok(Choice {
            certificates: certified,
            suites: provider.cipher_suites.clone(),
        })
    }

    fn suits(&self, certified: &CertifiedKey, hello: &ClientHello<'_>) -> bool {
        let named = hello
            .server_name()
            .is_none_or(|name| is_for(certified, name));
        let signs = certified.key.choose_scheme(hello.signature_schemes());
        named && signs.is_some() && self.has_suite(certified, hello)
    }

    /// Suites of TLS 1.2 are for one kind of key.
    fn has_suite(&self, certified: &CertifiedKey, hello: &ClientHello<'_>) -> bool {
        let offered = hello.cipher_suites();
        let mut common = self
            .suites
            .iter()
            .filter(|suite| offered.contains(&suite.suite()));
        common.any(|suite| match suite {
            SupportedCipherSuite::Tls13(_) => true,
            SupportedCipherSuite::Tls12(suite) => certified.key.choose_scheme(suite.sign).is_some(),
        })
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut certificates = self.certificates.iter();
        let suitable = match self.certificates.len() {
            0 | 1 => None,
            _ => certificates.find(|certified| self.suits(certified, &hello)),
        };
        suitable.or(self.certificates.first()).cloned()
    }
}

fn is_for(certified: &CertifiedKey, name: &str) -> bool {
    let (Ok(name), Ok(certificate)) = (
        ServerName::try_from(name),
        ParsedCertificate::try_from(&certified.cert[0]),
    ) else {
        return false;
    };
    verify_server_name(&certificate, &name).is_ok()
}

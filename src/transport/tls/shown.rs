//! What a client's handshake came to, as a service is told that decides about the client: version, suite, and the chain
//! from its certificate up to an authority. Made from what rustls still knows of the connection; decides nothing.

use std::fmt;
use std::sync::Arc;

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::Acceptor;

/// What was agreed on, and the certificates that the client has sent.
#[derive(Clone)]
pub struct Shown {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The suite's registered name.
    pub suite: &'static str,
    presented: Vec<CertificateDer<'static>>,
    acceptor: Arc<Acceptor>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({}, {})", self.version, self.suite)
    }
}

impl Shown {
    pub(super) fn new(
        (version, suite): (&'static str, &'static str),
        presented: &[CertificateDer<'_>],
        acceptor: &Arc<Acceptor>,
    ) -> Shown {
        let presented = presented.iter().map(|der| der.clone().into_owned());
        Shown {
            version,
            suite,
            presented: presented.collect(),
            acceptor: Arc::clone(acceptor),
        }
    }

    /// What the client has sent, in PEM.
    pub fn presented(&self) -> Vec<String> {
        self.presented.iter().map(|der| to_pem(der)).collect()
    }

    /// From the client's certificate to the authority that it was verified by, in PEM; `None` if nothing shows that way.
    /// Checks signatures again: rustls keeps no chain. Not for shards.
    pub fn verified_chain(&self) -> Option<Vec<String>> {
        let (leaf, between) = self.presented.split_first()?;
        let certificate = EndEntityCert::try_from(leaf).ok()?;
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let anchors = self.acceptor.anchors();
        let now = UnixTime::now();
        let usage = KeyUsage::client_auth();
        let path = certificate
            .verify_for_usage(algorithms.all, anchors, between, now, usage, None, None)
            .ok()?;
        let mut chain = vec![to_pem(leaf)];
        chain.extend(
            path.intermediate_certificates()
                .map(|one| to_pem(&one.der())),
        );
        let top = anchors.iter().position(|anchor| anchor == path.anchor())?;
        chain.push(to_pem(self.acceptor.authority(top)));
        Some(chain)
    }
}

fn to_pem(der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new("CERTIFICATE", der), config)
}

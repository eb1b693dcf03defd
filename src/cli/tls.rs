//! Owns the flags of TLS: what they need together and what they change in a configuration. Never opens files.

use crate::config::tls::{CertificateFiles, FilePlace, Tls, TlsVersion};
use crate::config::{Config, Position};

/// What the flags of TLS set; `None` where they were not given.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsFlags {
    pub(super) on: Option<bool>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) verify: Option<bool>,
    pub(super) authority: Option<String>,
}

impl TlsFlags {
    /// Any of the flags asks for TLS, `--tls=false` takes it back whatever the others say, as in the oracle.
    fn asked_for(&self) -> bool {
        let others = self.certificate.is_some()
            || self.key.is_some()
            || self.verify.is_some()
            || self.authority.is_some();
        self.on.unwrap_or(others)
    }

    /// Certificate and key must be there.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let given = |path: &Option<String>| path.as_ref().is_some_and(|path| !path.is_empty());
        if self.asked_for() && !given(&self.certificate) {
            return Err("TLS needs a server certificate: --tlscert");
        }
        if self.asked_for() && !given(&self.key) {
            return Err("TLS needs the key of the server certificate: --tlskey");
        }
        Ok(())
    }

    /// The flags replace certificates, authority, `verify` and what the file says of versions, suites and curves; the
    /// rest of the file's block stays, as in the oracle.
    pub(super) fn apply(&self, config: &mut Config) {
        if self.on == Some(false) {
            config.tls = None;
        }
        if !self.asked_for() {
            return;
        }
        let at = Position {
            file: "<command line>".into(),
            line: 1,
            column: 1,
        };
        let file = |path: &Option<String>| {
            let path = path.as_ref().filter(|path| !path.is_empty())?;
            Some(FilePlace {
                path: path.into(),
                at: at.clone(),
            })
        };
        let tls = config.tls.get_or_insert_with(|| Tls::new(at.clone()));
        let pair = file(&self.certificate).zip(file(&self.key));
        tls.certificates = pair
            .map(|(certificate, key)| CertificateFiles { certificate, key })
            .into_iter()
            .collect();
        tls.authority = file(&self.authority);
        tls.verify = self.verify == Some(true);
        tls.version_min = TlsVersion::Tls12;
        tls.cipher_suites = None;
        tls.curves = None;
    }
}

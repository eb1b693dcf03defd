//! TLS clients of scripts: their options, their handshakes, and the files that configurations name. Owns the stream under a
//! connection; knows no protocol.
//!
//! ```text
//! tls A                   connect, read INFO in plain text, then shake hands
//! tls A first             shake hands, then read INFO
//! tls A cert=joe          with this client certificate
//! tls A ca=other-ca       trusting this authority; `ca` by default, `none` trusts everybody
//! tls A sni=alpha.example another name than `localhost`; `sni=-` none at all
//! tls A version=1.2       TLS 1.2 alone, or 1.3 alone
//! tls A suite=NAME        this cipher suite alone
//! tls A group=X25519      this group alone
//! tls A key=eddsa         offering these signatures alone: `ecdsa`, `rsa`, `eddsa`
//! tls A small             with a tiny receive buffer
//! ```
//!
//! What came of the handshake stands in the transcript: version and the server's certificate by its name, or who ended it.
//! A configuration may name the files NAME.pem and NAME.key of [`pki`](crate::pki); `$pin(NAME)` is the pin of a key,
//! `$pem(NAME)`
//! and `$key(NAME)` are what stands in the files.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, RootCertStore,
    SignatureScheme, StreamOwned,
};

use crate::marks;
use crate::pki::identities;

/// The stream under a connection.
pub enum Stream {
    /// Plain text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// How a client shakes hands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Before INFO.
    pub first: bool,
    /// With a tiny receive buffer.
    pub small: bool,
    certificate: Option<String>,
    authority: Option<String>,
    name: Option<String>,
    version: Option<String>,
    suite: Option<String>,
    group: Option<String>,
    key: Option<String>,
}

impl Options {
    /// Reads the words behind the connection's name.
    pub fn parse(words: &str) -> Result<Options, String> {
        let mut options = Options::default();
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let value = || Some(value.to_owned());
            match key {
                "first" => options.first = true,
                "small" => options.small = true,
                "cert" => options.certificate = value(),
                "ca" => options.authority = value(),
                "sni" => options.name = value(),
                "version" => options.version = value(),
                "suite" => options.suite = value(),
                "group" => options.group = value(),
                "key" => options.key = value(),
                _ => return Err(format!("tls: no such option: {word}")),
            }
        }
        Ok(options)
    }

    fn config(&self) -> Result<(ClientConfig, ServerName<'static>), String> {
        let provider = Arc::new(self.provider());
        let versions: &[_] = match self.version.as_deref() {
            None => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Some("1.2") => &[&rustls::version::TLS12],
            Some("1.3") => &[&rustls::version::TLS13],
            Some(other) => return Err(format!("tls: no version {other}")),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions);
        let builder = builder.map_err(|e| e.to_string())?;
        let builder = match self.authority.as_deref().unwrap_or("ca") {
            "none" => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Trusting(provider))),
            name => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from(identity(name)?.der.clone());
                roots.add(root).map_err(|e| e.to_string())?;
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let identity = identity(name)?;
                let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
                let chain: Result<Vec<_>, _> = chain.collect();
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
                builder
                    .with_client_auth_cert(
                        chain.map_err(|e| e.to_string())?,
                        key.map_err(|e| e.to_string())?,
                    )
                    .map_err(|e| e.to_string())?
            }
        };
        let name = self.name.as_deref().unwrap_or("localhost");
        config.enable_sni = name != "-";
        let name = if name == "-" { "localhost" } else { name };
        let name = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
        Ok((config, name))
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = aws_lc_rs::ALL_KX_GROUPS.to_vec();
        if let Some(suite) = &self.suite {
            let wanted = suite.replace("TLS_AES", "TLS13_AES");
            let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
            provider.cipher_suites.retain(|suite| name(suite) == wanted);
        }
        if let Some(group) = &self.group {
            let name = |group: &dyn rustls::crypto::SupportedKxGroup| format!("{:?}", group.name());
            provider.kx_groups.retain(|known| name(*known) == *group);
        }
        if let Some(key) = &self.key {
            let suits = |scheme: SignatureScheme| {
                let name = format!("{scheme:?}").to_lowercase();
                name.starts_with(key) || (key == "eddsa" && name.starts_with("ed"))
            };
            let known = provider.signature_verification_algorithms.mapping;
            let suitable: Vec<_> = known.iter().copied().filter(|(s, _)| suits(*s)).collect();
            provider.signature_verification_algorithms.mapping = suitable.leak();
        }
        provider
    }
}

/// Shakes hands. Gives what came of it, and the stream if it went well.
pub fn connect(
    socket: TcpStream,
    options: &Options,
) -> Result<(String, Result<Stream, TcpStream>), String> {
    let (config, name) = options.config()?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
    let mut stream = StreamOwned::new(client, socket);
    while stream.conn.is_handshaking() {
        if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
            return match outcome(&error) {
                Some(text) => Ok((text, Err(stream.sock))),
                None => Err(format!("the handshake does not end: {error}")),
            };
        }
    }
    let version = match stream.conn.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        other => return Err(format!("tls: version {other:?}")),
    };
    let shown = stream.conn.peer_certificates().and_then(<[_]>::first);
    let named = identities()
        .iter()
        .find(|(_, identity)| shown.is_some_and(|shown| **shown == *identity.der));
    let certificate = named.map_or("unknown", |(name, _)| name);
    Ok((
        format!("<tls {version} {certificate}>"),
        Ok(Stream::Tls(Box::new(stream))),
    ))
}

/// Who ended a handshake. Alerts are not compared: the two do not always give the same.
fn outcome(error: &io::Error) -> Option<String> {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match (inner, error.kind()) {
        (Some(rustls::Error::AlertReceived(_)), _) => Some("<tls refused>".to_owned()),
        (Some(rustls::Error::InvalidMessage(_)), _) => {
            Some("<tls answered in plain text>".to_owned())
        }
        (Some(error), _) => Some(format!("<tls not trusted: {error}>")),
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            Some("<tls refused>".to_owned())
        }
        (None, _) => None,
    }
}

impl Stream {
    /// The socket under it.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Tells the other side that nothing more will be sent.
    pub fn half_close(&mut self) {
        match self {
            Stream::Plain(socket) => drop(socket.shutdown(std::net::Shutdown::Write)),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    }
}

impl Read for Stream {
    /// An alert is an end, and so is an end without one.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => match stream.read(buffer) {
                Err(error) if outcome(&error).is_some() => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Puts in `$pin(NAME)` and `$pem(NAME)`.
pub fn with_marks(text: &str) -> Result<String, String> {
    let expanded = marks::expand(text.as_bytes(), &mut |word, name| match word {
        "pin" => Ok(Some(identity(name)?.pin.clone().into_bytes())),
        "key" => Ok(Some(identity(name)?.key.clone().into_bytes())),
        "pem" => Ok(Some(identity(name)?.chain.clone().into_bytes())),
        _ => Ok(None),
    });
    String::from_utf8(expanded?).map_err(|e| e.to_string())
}

/// Writes the files of certificates and keys that a text names.
pub fn write_named(text: &str, directory: &Path) -> Result<(), String> {
    if !text.contains(".pem") && !text.contains(".key") {
        return Ok(());
    }
    for (name, identity) in identities() {
        for (kind, pem) in [("pem", &identity.chain), ("key", &identity.key)] {
            let file = format!("{name}.{kind}");
            if text.contains(&file) {
                let path = directory.join(&file);
                std::fs::write(path, pem).map_err(|e| format!("{file}: {e}"))?;
            }
        }
    }
    Ok(())
}

fn identity(name: &str) -> Result<&'static crate::pki::Identity, String> {
    identities()
        .get(name)
        .ok_or_else(|| format!("no certificate {name}"))
}

/// Trusts every server.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

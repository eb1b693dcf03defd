//! HTTPS servers of scripts, which a resolver asks for accounts. Owns their sockets, threads and pages; judges nobody.
//!
//! ```text
//! web W: cert=server      an HTTPS server on this machine with this certificate, and below, indented, its pages, a line
//!                         each: the last part of the path, and the text. The page without a name is always there.
//! web W: … verify=ca      clients must show a certificate of this authority
//! web W: … version=1.2    TLS 1.2 alone, or 1.3 alone
//! web W: … suite=NAME     this cipher suite alone
//! web W: … group=X25519   this group alone
//! ```
//!
//! `$web(W)` is its URL in files. The step `met W` says how those spoke whom it answered: version and certificate. `page` puts
//! another text on a page, `asked` counts how often it was asked for.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::keys::Keys;
use crate::marks;
use crate::pki::{Identity, identities};

/// Upper bound of every wait, only there to turn a hang into a failure.
const WAIT: Duration = Duration::from_secs(30);

/// A server as the script says it.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Its name; the last of a name counts.
    pub name: String,
    options: Vec<(String, String)>,
    pages: Vec<(String, String)>,
}

impl Block {
    /// Reads the words behind the name, and the pages.
    pub fn parse(name: &str, words: &str, pages: &str) -> Result<Block, String> {
        let mut block = Block {
            name: name.to_owned(),
            ..Block::default()
        };
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if !["cert", "verify", "version", "suite", "group"].contains(&key) {
                return Err(format!("web: no such option: {word}"));
            }
            block.options.push((key.to_owned(), value.to_owned()));
        }
        let split = |line: &str| {
            let (page, text) = line.split_once(' ').unwrap_or((line, ""));
            (page.to_owned(), text.to_owned())
        };
        block.pages = pages.lines().map(split).collect();
        Ok(block)
    }

    fn option(&self, key: &str) -> Option<&str> {
        let found = self.options.iter().find(|(own, _)| own == key);
        found.map(|(_, value)| value.as_str())
    }

    fn config(&self) -> Result<ServerConfig, String> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(suite) = self.option("suite") {
            let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
            provider.cipher_suites.retain(|known| name(known) == suite);
        }
        if let Some(group) = self.option("group") {
            provider
                .kx_groups
                .retain(|known| format!("{:?}", known.name()) == group);
        }
        let provider = Arc::new(provider);
        let versions: &[_] = match self.option("version") {
            None => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Some("1.2") => &[&rustls::version::TLS12],
            Some("1.3") => &[&rustls::version::TLS13],
            Some(other) => return Err(format!("web: no version {other}")),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions);
        let builder = builder.map_err(|e| e.to_string())?;
        let builder = match self.option("verify") {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from(identity(name)?.der.clone());
                roots.add(root).map_err(|e| e.to_string())?;
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|e| e.to_string())?)
            }
        };
        let own = identity(self.option("cert").unwrap_or("server"))?;
        let chain = CertificateDer::pem_slice_iter(own.chain.as_bytes());
        let chain: Result<Vec<_>, _> = chain.collect();
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes());
        builder
            .with_single_cert(
                chain.map_err(|e| e.to_string())?,
                key.map_err(|e| e.to_string())?,
            )
            .map_err(|e| e.to_string())
    }
}

/// What a server has on its pages, and what it has heard.
#[derive(Default)]
struct Heard {
    pages: HashMap<String, String>,
    met: BTreeSet<String>,
    asked: HashMap<String, usize>,
}

/// The servers of a run. They end when dropped.
pub struct Webs(Vec<Web>);

struct Web {
    name: String,
    port: u16,
    heard: Arc<Mutex<Heard>>,
    ends: Arc<AtomicBool>,
}

impl Webs {
    /// Starts those of a case.
    pub fn start(blocks: &[Block], keys: &Keys<'_>) -> Result<Webs, String> {
        let mut webs = Vec::new();
        for block in blocks {
            let web = Web::start(block, keys);
            webs.push(web.map_err(|e| format!("web {}: {e}", block.name))?);
        }
        Ok(Webs(webs))
    }

    /// Puts in `$web(NAME)`.
    pub fn with_marks(&self, text: &str) -> Result<String, String> {
        let expanded = marks::expand(text.as_bytes(), &mut |word, name| match word {
            "web" => {
                let url = format!("https://localhost:{}/jwt", self.named(name)?.port);
                Ok(Some(url.into_bytes()))
            }
            _ => Ok(None),
        });
        String::from_utf8(expanded?).map_err(|e| e.to_string())
    }

    /// How those spoke whom this one answered.
    pub fn met(&self, name: &str) -> Result<String, String> {
        let heard = self.named(name)?.heard.lock().expect("no panics");
        let met: Vec<&str> = heard.met.iter().map(String::as_str).collect();
        Ok(format!("{name} met: {}", met.join(", ")))
    }

    /// Another text on a page.
    pub fn put(&self, name: &str, page: String, text: String) -> Result<(), String> {
        let mut heard = self.named(name)?.heard.lock().expect("no panics");
        heard.pages.insert(page, text);
        Ok(())
    }

    /// How often somebody asked this one for a page.
    pub fn asked(&self, name: &str, page: &str) -> Result<usize, String> {
        let heard = self.named(name)?.heard.lock().expect("no panics");
        Ok(heard.asked.get(page).copied().unwrap_or(0))
    }

    fn named(&self, name: &str) -> Result<&Web, String> {
        let found = self.0.iter().find(|web| web.name == name);
        found.ok_or_else(|| format!("there is no `web {name}:`"))
    }
}

impl Web {
    fn start(block: &Block, keys: &Keys<'_>) -> Result<Web, String> {
        let config = Arc::new(block.config()?);
        let mut heard = Heard::default();
        for (page, text) in &block.pages {
            heard.pages.insert(keys.text(page)?, keys.text(text)?);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let heard = Arc::new(Mutex::new(heard));
        let ends = Arc::new(AtomicBool::new(false));
        let (hears, ended) = (Arc::clone(&heard), Arc::clone(&ends));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(SeqCst) {
                    return;
                }
                let (config, heard) = (config.clone(), Arc::clone(&hears));
                thread::spawn(move || serve(stream, config, &heard));
            }
        });
        Ok(Web {
            name: block.name.clone(),
            port,
            heard,
            ends,
        })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Answers one request. Who shakes no hands is not answered.
fn serve(socket: TcpStream, config: Arc<ServerConfig>, heard: &Mutex<Heard>) -> Option<()> {
    socket.set_read_timeout(Some(WAIT)).ok()?;
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    let mut first = String::new();
    stream.read_line(&mut first).ok()?;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
    }
    let mut stream = stream.into_inner();
    let who = spoken(&stream.conn);
    let path = first.split(' ').nth(1);
    let page = path.and_then(|path| path.rsplit('/').next());
    let found = {
        let mut heard = heard.lock().expect("no panics");
        heard.met.insert(who);
        *heard.asked.entry(page?.to_owned()).or_default() += 1;
        heard.pages.get(page?).cloned()
    };
    let (status, text) = match (&found, page?) {
        (Some(text), _) => ("200 OK", text.as_str()),
        (None, "") => ("200 OK", "ok"),
        (None, _) => ("404 Not Found", ""),
    };
    let length = text.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}");
    stream.write_all(answer.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// Version and certificate, by its name.
fn spoken(connection: &ServerConnection) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        _ => "?",
    };
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    let named = identities()
        .iter()
        .find(|(_, identity)| shown.is_some_and(|shown| **shown == *identity.der));
    let name = match (shown, named) {
        (None, _) => "nobody",
        (Some(_), None) => "a stranger",
        (Some(_), Some((name, _))) => name,
    };
    format!("{version} {name}")
}

fn identity(name: &str) -> Result<&'static Identity, String> {
    identities()
        .get(name)
        .ok_or_else(|| format!("no certificate {name}"))
}

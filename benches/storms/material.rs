//! What the clients of a storm have to show, and the configuration of the server that lets them in. Owns the keys; never
//! connects.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::keys::{Keys, key};
use crate::pki::identities;
use crate::token::Block;

/// How clients log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By a user's JWT and a signed nonce.
    Jwt,
    /// Likewise, each client in an account of its own that the server has not seen yet.
    Accounts,
    /// By a password whose hash costs 11.
    Bcrypt,
    /// In TLS 1.3, without anything to show.
    Tls,
    /// By a password that a callout service is asked about, which takes its time; 500 a second.
    Callout,
}

/// All of them.
pub const KINDS: &[Kind] = &[
    Kind::Jwt,
    Kind::Accounts,
    Kind::Tls,
    Kind::Callout,
    Kind::Bcrypt,
];

impl Kind {
    /// What the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Jwt => "jwt",
            Kind::Accounts => "accounts",
            Kind::Bcrypt => "bcrypt",
            Kind::Tls => "tls",
            Kind::Callout => "callout",
        }
    }

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Jwt => "JWT and signed nonce",
            Kind::Accounts => "JWT and signed nonce, each in an account of its own",
            Kind::Bcrypt => "bcrypt, cost 11",
            Kind::Tls => "TLS 1.3",
            Kind::Callout => "auth callout, 500 a second, answers after 1 s",
        }
    }
}

/// Who shows something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of the storm, by its number.
    Storm(usize),
    /// Who is there already: by a plain password or JWT, without TLS.
    Calm,
    /// The callout service.
    Service,
}

/// Keys and configuration of one kind.
pub struct Material {
    kind: Kind,
    config: String,
    /// Of the user that is there already.
    jwt: String,
    /// Where each has an account of its own, by number: the user's JWT, and the account's key and JWT.
    own: Vec<(String, [String; 2])>,
    tls: Arc<ClientConfig>,
}

/// The server may be at it for long: nobody is cut meanwhile, nor asked by a ping whether it is there while its password is
/// being hashed.
const TIMEOUT_S: u32 = 3600;

const TOKENS: &[(&str, &str)] = &[
    ("operator", "kind: operator\nby: O.op"),
    ("system", "kind: account\nby: O.op\nfor: A.system"),
    ("app", "kind: account\nby: O.op\nfor: A.app"),
    ("user", "kind: user\nby: A.app\nfor: U.alice"),
];

impl Material {
    /// Makes it, for so many clients.
    pub fn new(kind: Kind, logins: usize) -> Result<Material, String> {
        let block = |(name, text): &(&str, &str)| Ok(((*name).to_owned(), Block::parse(text)?));
        let tokens: Vec<_> = TOKENS.iter().map(block).collect::<Result<_, String>>()?;
        let keys = Keys::new(&tokens);
        let own = match kind {
            Kind::Accounts => (0..logins)
                .map(own_account)
                .collect::<Result<_, String>>()?,
            _ => Vec::new(),
        };
        let config = match kind {
            Kind::Jwt => keys.text(&format!(
                "operator: $jwt(operator)\nresolver: MEMORY\nresolver_preload {{ $pub(A.app): $jwt(app) }}\nauthorization {{ timeout: {TIMEOUT_S} }}\n"
            ))?,
            Kind::Accounts => keys.text(&format!(
                "operator: $jwt(operator)\nsystem_account: $pub(A.system)\nresolver {{ type: full, dir: jwt }}\nresolver_preload {{ $pub(A.system): $jwt(system), $pub(A.app): $jwt(app) }}\nauthorization {{ timeout: {TIMEOUT_S} }}\n"
            ))?,
            Kind::Bcrypt => {
                let hash = bcrypt::hash("storm", 11).map_err(|e| e.to_string())?;
                format!(
                    "ping_interval: {TIMEOUT_S}\nauthorization {{ timeout: {TIMEOUT_S}, users: [ {{user: calm, password: calm}}, {{user: storm, password: \"{hash}\"}} ] }}\n"
                )
            }
            Kind::Callout => keys.text(&format!(
                "accounts {{ AUTH {{ users: [ {{user: service, password: service}} ] }}, APP {{ users: [ {{user: calm, password: calm}} ] }} }}\nauthorization {{ timeout: {TIMEOUT_S}, auth_callout {{ issuer: $pub(A.issuer), account: AUTH, auth_users: [service, calm] }} }}\n"
            ))?,
            Kind::Tls => format!(
                "tls {{ cert_file: \"server.pem\", key_file: \"server.key\", timeout: {TIMEOUT_S} }}\nallow_non_tls: true\n"
            ),
        };
        Ok(Material {
            kind,
            config,
            jwt: keys.text("$jwt(user)")?,
            own,
            tls: Arc::new(tls()?),
        })
    }

    /// How they log in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long it is calm before the storm.
    pub fn calm(&self) -> Duration {
        match self.kind {
            Kind::Callout => Duration::from_secs(10),
            _ => Duration::from_secs(2),
        }
    }

    /// The time between two logins.
    pub fn between(&self) -> Duration {
        match self.kind {
            Kind::Callout => Duration::from_millis(2),
            _ => Duration::ZERO,
        }
    }

    /// Writes the configuration and what it names. Gives its path.
    pub fn write(&self, directory: &Path) -> Result<std::path::PathBuf, String> {
        let server = &identities()["server"];
        let path = directory.join("storm.conf");
        let files = [
            (path.clone(), &self.config),
            (directory.join("server.pem"), &server.chain),
            (directory.join("server.key"), &server.key),
        ];
        for (path, text) in files {
            put(&path, text)?;
        }
        if self.kind == Kind::Accounts {
            let jwts = directory.join("jwt");
            fs::create_dir(&jwts).map_err(|e| e.to_string())?;
            for (_, [key, jwt]) in &self.own {
                put(&jwts.join(format!("{key}.jwt")), jwt)?;
            }
        }
        Ok(path)
    }

    /// The TLS that this one speaks, if any.
    pub fn tls(&self, part: Part) -> Option<Arc<ClientConfig>> {
        (self.kind == Kind::Tls && matches!(part, Part::Storm(_))).then(|| Arc::clone(&self.tls))
    }

    /// CONNECT, with what there is to show for a nonce.
    pub fn connect(&self, part: Part, nonce: &str) -> Result<String, String> {
        let shown = match (self.kind, part) {
            (Kind::Accounts, Part::Storm(number)) => {
                signed(&self.own[number].0, &user(number), nonce)?
            }
            (Kind::Jwt | Kind::Accounts, _) => signed(&self.jwt, "U.alice", nonce)?,
            (Kind::Callout, Part::Storm(number)) => {
                format!(",\"user\":\"storm{number}\",\"pass\":\"storm\"")
            }
            (Kind::Callout, Part::Service) => {
                ",\"user\":\"service\",\"pass\":\"service\"".to_owned()
            }
            (Kind::Callout, Part::Calm) => ",\"user\":\"calm\",\"pass\":\"calm\"".to_owned(),
            (Kind::Bcrypt, Part::Storm(_)) => ",\"user\":\"storm\",\"pass\":\"storm\"".to_owned(),
            (Kind::Bcrypt, _) => ",\"user\":\"calm\",\"pass\":\"calm\"".to_owned(),
            (Kind::Tls, _) => String::new(),
        };
        Ok(format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false{shown}}}\r\n"
        ))
    }
}

/// A user and its account, of this number.
fn own_account(number: usize) -> Result<(String, [String; 2]), String> {
    let account = format!("A.own{number}");
    let name = user(number);
    let tokens = [
        (
            "account".to_owned(),
            Block::parse(&format!("kind: account\nby: O.op\nfor: {account}"))?,
        ),
        (
            "user".to_owned(),
            Block::parse(&format!("kind: user\nby: {account}\nfor: {name}"))?,
        ),
    ];
    let keys = Keys::new(&tokens);
    let account = [keys.public(&account)?, keys.text("$jwt(account)")?];
    Ok((keys.text("$jwt(user)")?, account))
}

fn user(number: usize) -> String {
    format!("U.own{number}")
}

/// The part of CONNECT that shows a JWT and a signature.
fn signed(jwt: &str, user: &str, nonce: &str) -> Result<String, String> {
    let signature = key(user)?.sign(nonce.as_bytes());
    let signature = BASE64URL_NOPAD.encode(&signature.map_err(|e| e.to_string())?);
    Ok(format!(",\"jwt\":\"{jwt}\",\"sig\":\"{signature}\""))
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(identities()["ca"].chain.as_bytes());
    let authority = authority.map_err(|e| e.to_string())?;
    roots.add(authority).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|e| e.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Every handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

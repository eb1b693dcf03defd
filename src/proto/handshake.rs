//! INFO and CONNECT: the JSON either side opens with. Knows its form only; who is let in is decided in `auth`.

use std::fmt;

use serde::Serialize;

use super::encode;
use super::json::{Kind, Reader, SyntaxError};

/// The version INFO tells: clients switch features on by it. It is that of the server whose behaviour gannet has.
pub const COMPATIBLE_VERSION: &str = "2.15.1";

/// What the server says about itself: when a connection opens, once more behind the first PONG of a client of
/// protocol 1 (`connect_info`), and whenever something in it changes (`ldm`, `connect_urls`).
///
/// Fields stand in the order in which the oracle writes them. Empty, zero and false ones are left out of the JSON,
/// save those that it always writes (`server_id`, `server_name`, `version`, `proto`, `go`, `host`, `port`,
/// `headers`, `max_payload`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Info {
    /// Identity of this run of the server.
    pub server_id: String,
    /// Configured name, or `server_id`.
    pub server_name: String,
    /// Version of the server.
    pub version: String,
    /// Protocol spoken with clients: 1.
    pub proto: i32,
    /// Commit the binary was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// What the binary was built with.
    pub go: String,
    /// Host clients may connect to: `client_advertise`, else the address listened on.
    pub host: String,
    /// Port belonging to `host`.
    pub port: u16,
    /// The server takes HPUB.
    pub headers: bool,
    /// Credentials are needed. Absent from the first INFO where `no_auth_user` stands in for them, present in later ones.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// The client must go on in TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// The client must show a certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// The client may go on in TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Largest payload taken on this connection, bytes; -1 is no limit.
    pub max_payload: i32,
    /// JetStream is on.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// Connection's number.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// Address the client comes from, without port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// What the client has to sign; only where keys are configured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Cluster's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Every address of the cluster that takes clients, `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The server is about to leave: lame duck mode.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// This INFO answers CONNECT; the next two fields are set.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// Account the client is in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// That account is the system account.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// Level of the JetStream API.
    #[serde(skip_serializing_if = "is_zero")]
    pub api_lvl: u64,
    /// Public curve key of the server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

impl Info {
    /// Appends `INFO {json} \r\n`: with the space before the line's end, as the oracle.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INFO ");
        encode::json(self, out);
        out.extend_from_slice(b" \r\n");
    }
}

/// A value from CONNECT that is never printed or logged.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a value that must not be printed.
    pub fn new(value: &str) -> Self {
        Secret(value.into())
    }

    /// The value itself, to be compared in constant time.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The client sent none, or an empty one: no difference is made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a client said in CONNECT. Absent strings are empty.
///
/// Lives as long as its connection: a second CONNECT changes what it names and keeps the rest, credentials included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `verbose`: the client wants `+OK`. True until the client says otherwise.
    pub verbose: bool,
    /// `pedantic`: the client wants subjects checked. True until the client says otherwise.
    pub pedantic: bool,
    /// `echo`: deliver the client's own messages to it. True until the client says otherwise.
    pub echo: bool,
    /// `headers`: the client takes HMSG and may send HPUB.
    pub headers: bool,
    /// `no_responders`: answer requests that reach nobody with 503.
    pub no_responders: bool,
    /// `tls_required`.
    pub tls_required: bool,
    /// `new_account`: of no use any more, refused when true.
    pub new_account: bool,
    /// `protocol`: 0, or 1 for clients that take INFO at any time. Unchecked, see [`ConnectOptions::check`].
    pub protocol: i64,
    /// `user`.
    pub user: Box<str>,
    /// `pass`.
    pub pass: Secret,
    /// `auth_token`.
    pub auth_token: Secret,
    /// `jwt`: may be a bearer token, therefore a secret.
    pub jwt: Secret,
    /// `nkey`: the public key.
    pub nkey: Box<str>,
    /// `sig`: signature of the nonce.
    pub sig: Secret,
    /// `name` of the connection.
    pub name: Box<str>,
    /// `lang` of the client library.
    pub lang: Box<str>,
    /// `version` of the client library.
    pub version: Box<str>,
    /// `account`: of no use any more, refused when given.
    pub account: Box<str>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            tls_required: false,
            new_account: false,
            protocol: 0,
            user: Box::default(),
            pass: Secret::default(),
            auth_token: Secret::default(),
            jwt: Secret::default(),
            nkey: Box::default(),
            sig: Secret::default(),
            name: Box::default(),
            lang: Box::default(),
            version: Box::default(),
            account: Box::default(),
        }
    }
}

impl ConnectOptions {
    /// What remains to be refused once the client has been authenticated; `server_headers` is what INFO said.
    /// The connection closes behind the error's `-ERR`.
    pub fn check(&self, server_headers: bool) -> Result<(), ConnectRefusal> {
        if !(0..=1).contains(&self.protocol) {
            return Err(ConnectRefusal::Protocol);
        }
        if self.no_responders && !(self.headers && server_headers) {
            return Err(ConnectRefusal::NoRespondersWithoutHeaders);
        }
        Ok(())
    }

    /// What log lines show of what the client says of itself, as far as it does: `v1.0:rust:name`.
    pub fn label(&self) -> String {
        let version = match self.version.is_empty() {
            true => String::new(),
            false => format!("v{}", self.version),
        };
        let parts = [&*version, &self.lang, &self.name];
        let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        said.join(":")
    }
}

/// A CONNECT that is well formed but cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectRefusal {
    /// `protocol` is neither 0 nor 1.
    Protocol,
    /// `no_responders` needs headers on both sides.
    NoRespondersWithoutHeaders,
}

impl ConnectRefusal {
    /// The text between the quotes of `-ERR`.
    pub fn text(self) -> &'static str {
        match self {
            ConnectRefusal::Protocol => "invalid client protocol",
            ConnectRefusal::NoRespondersWithoutHeaders => "no responders requires headers support",
        }
    }
}

/// A CONNECT that cannot be read. The connection closes without an `-ERR`; the text is for the log and holds
/// nothing that the client sent except the field's name as the protocol spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadConnect {
    /// Not JSON, from this byte on (counted from 0).
    Syntax(usize),
    /// The whole is JSON, but no object and not `null`.
    NotAnObject,
    /// A known field holds a value of another type than it has.
    WrongType {
        /// Which field.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}

impl fmt::Display for BadConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadConnect::Syntax(at) => write!(f, "CONNECT is not JSON from byte {} on", at + 1),
            BadConnect::NotAnObject => f.write_str("CONNECT holds no JSON object"),
            BadConnect::WrongType { field, expected } => {
                write!(f, "CONNECT field {field:?} is not {expected}")
            }
        }
    }
}

impl std::error::Error for BadConnect {}

impl From<SyntaxError> for BadConnect {
    fn from(error: SyntaxError) -> Self {
        BadConnect::Syntax(error.at)
    }
}

/// Whether this is a JSON object, or `null`, which Go's decoder takes for an empty one.
pub fn is_object(json: &[u8]) -> bool {
    parse(json, &mut ConnectOptions::default()).is_ok()
}

/// Reads what follows CONNECT into `into`; fields that are absent or `null` keep their value there.
///
/// Names match in any case; unknown ones are stepped over; of equal ones the last wins. After an error `into` may
/// hold some of the fields, and the connection must be closed.
pub fn parse(json: &[u8], into: &mut ConnectOptions) -> Result<(), BadConnect> {
    let mut reader = Reader::new(json);
    match reader.kind()? {
        Kind::Object => parse_members(&mut reader, into)?,
        Kind::Null => reader.skip(0)?,
        _ => {
            reader.skip(0)?;
            reader.end()?;
            return Err(BadConnect::NotAnObject);
        }
    }
    Ok(reader.end()?)
}

fn parse_members(reader: &mut Reader<'_>, into: &mut ConnectOptions) -> Result<(), BadConnect> {
    reader.open();
    let mut first = true;
    while reader.next_element(first, b'}')? {
        first = false;
        let name = reader.name()?;
        parse_field(reader, &fold(&name), into)?;
    }
    Ok(())
}

/// Puts the next value where `name` says.
fn parse_field(
    reader: &mut Reader<'_>,
    name: &str,
    into: &mut ConnectOptions,
) -> Result<(), BadConnect> {
    match name {
        "verbose" => boolean(reader, "verbose", &mut into.verbose),
        "pedantic" => boolean(reader, "pedantic", &mut into.pedantic),
        "echo" => boolean(reader, "echo", &mut into.echo),
        "headers" => boolean(reader, "headers", &mut into.headers),
        "no_responders" => boolean(reader, "no_responders", &mut into.no_responders),
        "tls_required" => boolean(reader, "tls_required", &mut into.tls_required),
        "new_account" => boolean(reader, "new_account", &mut into.new_account),
        "protocol" => integer(reader, "protocol", &mut into.protocol),
        "user" => string(reader, "user", &mut into.user),
        "pass" => string(reader, "pass", &mut into.pass.0),
        "auth_token" => string(reader, "auth_token", &mut into.auth_token.0),
        "jwt" => string(reader, "jwt", &mut into.jwt.0),
        "nkey" => string(reader, "nkey", &mut into.nkey),
        "sig" => string(reader, "sig", &mut into.sig.0),
        "name" => string(reader, "name", &mut into.name),
        "lang" => string(reader, "lang", &mut into.lang),
        "version" => string(reader, "version", &mut into.version),
        "account" => string(reader, "account", &mut into.account),
        // Of no meaning to a client, yet a wrong type in them is an error to the oracle.
        "remote_account" => string(reader, "remote_account", &mut Box::default()),
        "proxy_sig" => string(reader, "proxy_sig", &mut Box::default()),
        "import" => subjects(reader, "import"),
        "export" => subjects(reader, "export"),
        _ => Ok(reader.skip(1)?),
    }
}

/// A name as the field table spells it: the oracle compares by Unicode's simple folding, under which two letters
/// beyond ASCII equal `s` and `k`.
fn fold(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

fn boolean(
    reader: &mut Reader<'_>,
    field: &'static str,
    into: &mut bool,
) -> Result<(), BadConnect> {
    match reader.kind()? {
        Kind::Bool => *into = reader.boolean()?,
        Kind::Null => reader.skip(1)?,
        _ => {
            return Err(BadConnect::WrongType {
                field,
                expected: "a boolean",
            });
        }
    }
    Ok(())
}

fn integer(reader: &mut Reader<'_>, field: &'static str, into: &mut i64) -> Result<(), BadConnect> {
    let wrong = BadConnect::WrongType {
        field,
        expected: "an integer",
    };
    match reader.kind()? {
        Kind::Number => *into = reader.number()?.parse().map_err(|_| wrong)?,
        Kind::Null => reader.skip(1)?,
        _ => return Err(wrong),
    }
    Ok(())
}

fn string(
    reader: &mut Reader<'_>,
    field: &'static str,
    into: &mut Box<str>,
) -> Result<(), BadConnect> {
    match reader.kind()? {
        Kind::String => *into = reader.string()?.into(),
        Kind::Null => reader.skip(1)?,
        _ => {
            return Err(BadConnect::WrongType {
                field,
                expected: "a string",
            });
        }
    }
    Ok(())
}

/// `import` and `export`, which only routes and leaves send: `{"allow": [...], "deny": [...]}`, read and dropped.
fn subjects(reader: &mut Reader<'_>, field: &'static str) -> Result<(), BadConnect> {
    match reader.kind()? {
        Kind::Object => reader.open(),
        Kind::Null => return Ok(reader.skip(1)?),
        _ => {
            return Err(BadConnect::WrongType {
                field,
                expected: "an object",
            });
        }
    }
    let mut first = true;
    while reader.next_element(first, b'}')? {
        first = false;
        match fold(&reader.name()?).as_str() {
            "allow" | "deny" => list(reader, field)?,
            _ => reader.skip(2)?,
        }
    }
    Ok(())
}

/// An array of strings, or `null`.
fn list(reader: &mut Reader<'_>, field: &'static str) -> Result<(), BadConnect> {
    match reader.kind()? {
        Kind::Array => reader.open(),
        Kind::Null => return Ok(reader.skip(2)?),
        _ => {
            return Err(BadConnect::WrongType {
                field,
                expected: "lists of subjects",
            });
        }
    }
    let mut first = true;
    while reader.next_element(first, b']')? {
        first = false;
        string(reader, field, &mut Box::default())?;
    }
    Ok(())
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;

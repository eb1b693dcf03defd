//! Owns the types of operator mode and of the authorization callout, as written: who is trusted to make accounts, and
//! where account JWTs come from. Never decodes a JWT, never opens a directory.

use std::path::PathBuf;

use super::Position;
use super::tls::ResolverTls;

/// Whom the node trusts, and where it finds accounts. Empty unless the file is of operator mode.
#[derive(Clone, Debug, Default)]
pub struct Operators {
    /// `operator`, `operators`, `roots`, `root`: JWTs of operators, not yet decoded.
    pub operators: Vec<OperatorJwt>,
    /// `trusted_keys`, `trusted`: public operator keys, well formed.
    pub trusted_keys: Vec<(String, Position)>,
    /// `resolver`; without it, the URL in the JWT of a single operator counts.
    pub resolver: Option<(ResolverKind, Position)>,
    /// `resolver_tls`: how a resolver that is a URL is asked over HTTPS.
    pub resolver_tls: Option<ResolverTls>,
    /// `resolver_preload`: account JWTs to begin with, not yet decoded.
    pub preload: Vec<Preload>,
    /// `resolver_pinned_accounts`: the only accounts that may be used, beside the system account; empty is any.
    pub pinned: Vec<(String, Position)>,
    /// `default_sentinel`: the user JWT of clients that bring none, not yet decoded.
    pub default_sentinel: Option<(String, Position)>,
}

impl Operators {
    /// Whether accounts come from JWTs: there is an operator or a trusted key.
    pub fn is_operator_mode(&self) -> bool {
        !self.operators.is_empty() || !self.trusted_keys.is_empty()
    }
}

/// JWT of an operator.
#[derive(Clone, Debug)]
pub struct OperatorJwt {
    /// The JWT, without the lines that `nsc` puts around it.
    pub jwt: String,
    /// The file it was in; `None` if it stands in the configuration.
    pub file: Option<PathBuf>,
    /// Where it, or the file's name, stands.
    pub at: Position,
}

/// One of `resolver_preload`.
#[derive(Clone, Debug)]
pub struct Preload {
    /// Public key of the account, as written.
    pub account: String,
    /// Its JWT, as written.
    pub jwt: String,
    /// Where the key stands.
    pub at: Position,
}

/// `resolver`: where account JWTs are.
#[derive(Clone, Debug, PartialEq)]
pub enum ResolverKind {
    /// `MEMORY`: only what `resolver_preload` gives.
    Memory,
    /// `URL(…)`: asked over HTTP, `<url>/<account>`.
    Url(String),
    /// A directory.
    Directory(DirectoryResolver),
}

/// `resolver { dir: … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectoryResolver {
    /// `type`.
    pub kind: DirectoryKind,
    /// `dir`, relative to the working directory.
    pub dir: PathBuf,
    /// `limit`: how many JWTs there may be; `None` is no limit. A full directory refuses what is more, a cache
    /// (1000 by default) forgets the least recently used.
    pub jwts_max: Option<u64>,
    /// `allow_delete` and `hard_delete`.
    pub delete: Delete,
    /// `interval`: how often the directory is compared with those of other nodes, milliseconds. Default 1 min.
    pub interval_ms: u64,
    /// `timeout`: how long a lookup at other nodes may take, milliseconds. Default 1.9 s.
    pub timeout_ms: u64,
    /// `ttl` of a cache: how long a JWT is kept after its last use, milliseconds; `None` is until it expires.
    pub ttl_ms: Option<u64>,
}

/// `type` of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryKind {
    /// `full`: all accounts there are.
    Full,
    /// `cache`: those that were used lately, looked up at other nodes.
    Cache,
}

/// What becomes of a JWT that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// It is not allowed.
    Refused,
    /// The file is renamed to `….deleted`.
    Renames,
    /// The file is removed.
    Removes,
}

/// `auth_callout`: a service that says who a client is.
#[derive(Clone, Debug)]
pub struct Callout {
    /// `issuer`: public account key that signs the service's answers.
    pub issuer: String,
    /// `account` in which the service listens. Default `$G`.
    pub account: (String, Position),
    /// `auth_users`: names and keys of users who are let in without being asked about; the service is one of them.
    pub auth_users: Vec<(String, Position)>,
    /// `allowed_accounts`: accounts whose users come in this way; empty is any.
    pub allowed_accounts: Vec<(String, Position)>,
    /// `xkey`: public curve key that requests are encrypted for.
    pub xkey: Option<String>,
    /// Where it stands.
    pub at: Position,
}

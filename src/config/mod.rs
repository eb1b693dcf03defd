//! Configuration: what an operator wrote, as typed values with their places in the file.
//! Owns the types; the lexer, parser and schema beside it fill them. Never opens sockets, never logs.

mod accounts;
#[cfg(test)]
mod accounts_tests;
pub mod check;
#[cfg(test)]
mod cycles_tests;
pub mod diff;
mod digest;
pub mod duration;
mod host_port;
mod labels;
mod lexer;
mod lint;
#[cfg(test)]
mod lint_tests;
mod load;
mod operators;
#[cfg(test)]
mod operators_tests;
mod parser;
mod schema;
mod start;
#[cfg(test)]
mod tests;
pub mod tls;
#[cfg(test)]
mod tls_tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use accounts::{
    Account, AccountLimits, Destination, Export, ExportKind, Import, Latency, Mapping,
    ResponseType, Sampling, Service, TraceDestination,
};
pub use labels::Labels;
pub use lint::lint;
pub use load::{ConfigError, Loaded, load, load_with};
pub use operators::{
    Callout, Delete, DirectoryKind, DirectoryResolver, OperatorJwt, Operators, Preload,
    ResolverKind,
};
pub(crate) use schema::is_account_key;
pub use tls::Tls;

/// Where in which file something stands. Lines and columns count from 1. Something that has no lines, a JWT, is in line 0.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Path as given on the command line or in `include`; `"<command line>"` for flags.
    pub file: Arc<str>,
    /// Line, from 1; 0 where there are no lines.
    pub line: u32,
    /// Column in characters, from 1; without lines a place in a list.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value that is never printed or logged: passwords and tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Everything the broker runs on. Defaults are those of the oracle.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address clients connect to. Default `0.0.0.0`.
    pub host: String,
    /// Client port. Default 4222; `-1` asks the kernel for a free one.
    pub port: i32,
    /// `server_name`; the server's id when absent.
    pub server_name: Option<String>,
    /// `server_tags` and `server_metadata`.
    pub labels: Labels,
    /// `client_advertise`: `host:port` told to clients in INFO.
    pub client_advertise: Option<String>,
    /// Limits on clients.
    pub limits: Limits,
    /// Users, tokens and their permissions.
    pub authorization: Authorization,
    /// `tls {}`: clients come in TLS.
    pub tls: Option<Tls>,
    /// `allow_non_tls`: and in plain text as well. Without `tls` it changes nothing.
    pub allow_non_tls: bool,
    /// `accounts {}`, in the order of the file. The global account `$G` is never among them; `$SYS` only where it
    /// is written out.
    pub accounts: Vec<Account>,
    /// Operator mode: `operator`, `trusted_keys`, `resolver` and what belongs to them.
    pub operators: Operators,
    /// `mappings {}` of the global account.
    pub mappings: Vec<Mapping>,
    /// `system_account`; `$SYS` when absent.
    pub system_account: Option<(String, Position)>,
    /// `no_system_account`: no `$SYS` by itself. One that is configured is there all the same.
    pub no_system_account: bool,
    /// Logging.
    pub log: Logging,
    /// Process id file.
    pub pid_file: Option<PathBuf>,
    /// Directory for `gannet_PID.ports`.
    pub ports_file_dir: Option<PathBuf>,
    /// Where streams would be kept. It has no effect as long as JetStream is off, in the oracle as well.
    pub store_dir: Option<PathBuf>,
    /// `disable_sublist_cache`/`no_sublist_cache` style knobs do not exist in gannet; shards do.
    pub shards: Shards,
    /// Where the settings were written, for errors found after the file has been read.
    pub places: Places,
}

/// Where each setting was written last, by its first name in the oracle's documentation (`host`,
/// `port`, `listen`, `max_payload`, …).
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<&'static str, (usize, Position)>);

impl Places {
    /// Notes where `setting` was written; a flag does so with the file `"<command line>"`.
    pub fn set(&mut self, setting: &'static str, at: Position) {
        let order = 1 + self.0.values().map(|(order, _)| *order).max().unwrap_or(0);
        self.0.insert(setting, (order, at));
    }

    /// Where `setting` was written; `<default>:1:1` if nowhere.
    pub fn get(&self, setting: &str) -> Position {
        let default = || Position {
            file: "<default>".into(),
            line: 1,
            column: 1,
        };
        self.0
            .get(setting)
            .map_or_else(default, |(_, at)| at.clone())
    }

    /// Whether `setting` was written anywhere.
    pub fn has(&self, setting: &str) -> bool {
        self.0.contains_key(setting)
    }

    /// Whichever of two settings was written later; the first if neither was.
    pub fn later(&self, a: &'static str, b: &'static str) -> &'static str {
        let order = |setting| self.0.get(setting).map_or(0, |(order, _)| *order);
        if order(b) > order(a) { b } else { a }
    }
}

/// Settings of the shards: gannet's own, flags only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shards {
    /// Number of shards; `None` is one per usable core.
    pub count: Option<usize>,
    /// Do not pin shard threads to cores.
    pub no_pin: bool,
    /// Which ring to run on.
    pub io: IoChoice,
    /// How long a shard spins before it sleeps.
    pub spin: Spin,
}

/// `--io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoChoice {
    /// io_uring where it can be had, else epoll with a warning.
    #[default]
    Auto,
    /// io_uring or refuse to start.
    Uring,
    /// epoll.
    Epoll,
}

/// `--spin`: `auto` (adaptive, default), `off`, or microseconds (edge profile).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spin {
    /// Spin only while recent waits were short, so that an idle core sleeps.
    #[default]
    Adaptive,
    /// Always sleep at once.
    Off,
    /// Always spin this long before sleeping, microseconds.
    Fixed(u32),
}

/// Limits on clients. Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// `max_connections`. Default 65536; 0 and less refuse every client, as in the oracle (0 is
    /// stored as -1).
    pub connections_max: i64,
    /// `max_subscriptions` per connection; 0 is none.
    pub subscriptions_max: u32,
    /// `max_subscription_tokens`: tokens in a subscription's subject; 0 is none.
    pub subscription_tokens_max: u8,
    /// `max_payload`. Default 1 MiB.
    pub payload_bytes_max: u32,
    /// `max_control_line`. Default 4096.
    pub control_line_bytes_max: u32,
    /// `max_pending`. Default 64 MiB.
    pub pending_bytes_max: u64,
    /// `write_deadline`. Default 10 s.
    pub write_deadline_ms: u64,
    /// `ping_interval`. Default 2 min.
    pub ping_interval_ms: u64,
    /// `ping_max`. Default 2.
    pub pings_out_max: u32,
    /// `no_fast_producer_stall`.
    pub no_fast_producer_stall: bool,
    /// `no_header_support`.
    pub no_header_support: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 65536,
            subscriptions_max: 0,
            subscription_tokens_max: 0,
            payload_bytes_max: 1024 * 1024,
            control_line_bytes_max: 4096,
            pending_bytes_max: 64 * 1024 * 1024,
            write_deadline_ms: 10_000,
            ping_interval_ms: 120_000,
            pings_out_max: 2,
            no_fast_producer_stall: false,
            no_header_support: false,
        }
    }
}

/// Who may connect, from `authorization {}` and the flags `--user --pass --auth`.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    /// Single user name.
    pub user: Option<String>,
    /// Single user's password, plain or bcrypt.
    pub password: Option<Secret>,
    /// Token, plain or bcrypt.
    pub token: Option<Secret>,
    /// `default_permissions`/`permissions`: for `users` without their own. The single user and the
    /// token are never restricted, as in the oracle.
    pub default_permissions: Option<Permissions>,
    /// `users`.
    pub users: Vec<User>,
    /// `timeout`, milliseconds. Default 2000.
    pub timeout_ms: Option<u64>,
    /// `no_auth_user`: the user given to clients without credentials.
    pub no_auth_user: Option<(String, Position)>,
    /// `auth_callout`.
    pub callout: Option<Callout>,
}

/// One of `users`.
#[derive(Clone, Debug)]
pub struct User {
    /// Name; empty for one with an `nkey`.
    pub name: String,
    /// `nkey`: a public user key, in place of name and password.
    pub nkey: Option<String>,
    /// Password, plain or bcrypt (`$2a$`, `$2b$`, `$2y$`); empty when the file gives none.
    pub password: Secret,
    /// Own permissions; `None` means `default_permissions` apply.
    pub permissions: Option<Permissions>,
    /// `allowed_connection_types`, upper case; empty means all.
    pub connection_types: Vec<String>,
    /// Where it stands.
    pub at: Position,
}

impl User {
    /// What it is known by: its key, or its name.
    pub fn id(&self) -> &str {
        self.nkey.as_deref().unwrap_or(&self.name)
    }
}

/// `permissions {}` as written.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    /// `publish`/`pub`.
    pub publish: Rules,
    /// `subscribe`/`sub`.
    pub subscribe: Rules,
    /// `allow_responses`.
    pub responses: Option<Responses>,
}

/// Allow and deny lists. An absent `allow` (`None`) allows all that is not denied; an empty one
/// (`allow_responses` without a list of its own) allows nothing.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What is allowed.
    pub allow: Option<Vec<Rule>>,
    /// What is denied.
    pub deny: Vec<Rule>,
}

/// One entry of a list: a pattern, for subscriptions with an optional queue pattern (`"foo queue"`).
#[derive(Clone, Debug)]
pub struct Rule {
    /// The pattern.
    pub subject: String,
    /// Queue name or pattern.
    pub queue: Option<String>,
    /// Where it stands.
    pub at: Position,
}

/// `allow_responses`. Defaults: 1 message, 2 minutes, as the oracle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Responses {
    /// Messages per request; negative is no limit.
    pub messages_max: i64,
    /// How long after the request, milliseconds; negative is no limit.
    pub expires_ms: i64,
}

/// Logging, in the oracle's words.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// `-D`, `debug`.
    pub debug: bool,
    /// `-V`, `trace`.
    pub trace: bool,
    /// `-VV`, `trace_verbose`.
    pub trace_verbose: bool,
    /// `-T`, `logtime`. Default true.
    pub time: bool,
    /// `logtime_utc`.
    pub utc: bool,
    /// `log_file`.
    pub file: Option<PathBuf>,
    /// `log_size_limit`, bytes; 0 is none.
    pub file_bytes_max: u64,
    /// `log_max_num`; 0 is none.
    pub files_max: u64,
    /// `max_traced_msg_len`; 0 is none.
    pub traced_bytes_max: usize,
    /// `trace_headers`: a trace shows headers, and no payloads.
    pub trace_headers: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Logging {
            debug: false,
            trace: false,
            trace_verbose: false,
            time: true,
            utc: false,
            file: None,
            file_bytes_max: 0,
            files_max: 0,
            traced_bytes_max: 0,
            trace_headers: false,
        }
    }
}

/// How long clients may take to say CONNECT, and services to judge them, milliseconds, unless
/// `authorization { timeout }` says otherwise.
pub const AUTH_TIMEOUT_MS: u64 = 2_000;

/// How much longer clients may take to say CONNECT than to make their TLS handshake. The oracle's.
const AFTER_TLS_MS: u64 = 1_000;

impl Config {
    /// How long clients may take to say CONNECT, and services to say who they are, milliseconds.
    pub fn auth_timeout_ms(&self) -> u64 {
        let after = |tls: &tls::Tls| tls.timeout_ms.saturating_add(AFTER_TLS_MS);
        let default = self.tls.as_ref().map_or(AUTH_TIMEOUT_MS, after);
        self.authorization.timeout_ms.unwrap_or(default)
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            host: "0.0.0.0".into(),
            port: 4222,
            server_name: None,
            labels: Labels::default(),
            client_advertise: None,
            limits: Limits::default(),
            authorization: Authorization::default(),
            tls: None,
            allow_non_tls: false,
            accounts: Vec::new(),
            operators: Operators::default(),
            mappings: Vec::new(),
            system_account: None,
            no_system_account: false,
            log: Logging::default(),
            pid_file: None,
            ports_file_dir: None,
            store_dir: None,
            shards: Shards::default(),
            places: Places::default(),
        }
    }
}

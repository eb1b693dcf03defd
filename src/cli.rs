//! The command line: what was asked for ([`parse`]) and what the flags set ([`Flags::apply`]).
//! Parsing, `--help` and README's table come from one registry. Never opens files, never prints, never exits.
//!
//! The grammar and the order of its checks are the oracle's: one or two dashes, a value after a space or `=`,
//! switches with `=false`, a stop at the first word that is no flag. A flag that cannot be read prints the usage
//! and exits 0, as there; a stray word, a refused flag or a bad value found later exits 1.

mod explain;
mod registry;
mod scan;
mod signal;
mod text;
mod tls;

use std::path::PathBuf;

use crate::config::{Config, IoChoice, Position, Secret, Spin};
pub use explain::{Explain, ExplainVerb, TokenFile};
pub use signal::{SignalCommand, SignalRequest};
pub use text::{explain_help, explain_markdown_table, help, markdown_table};

/// The program's name in messages, as `nats-server` is in the oracle's.
pub const PROGRAM: &str = "gannet";

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Print and leave.
    Print(Output),
    /// `--signal`: send a signal to a running server and leave.
    Signal(SignalRequest),
    /// `gannet bench …`: the words after `bench`.
    Bench(Vec<String>),
    /// `gannet explain …`: explain the road of a message and leave.
    Explain(Box<Explain>),
    /// `-t -c FILE`: check the file and leave. Like the oracle, flags are not laid over the file first.
    CheckConfig {
        /// The file.
        file: PathBuf,
        /// `--strict`: a warning is an error.
        strict: bool,
    },
    /// Run the broker.
    Run(Box<Flags>),
}

/// Text for both streams and the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// Exit code of the process.
    pub code: u8,
}

/// What the flags of a command line set; `None` leaves the file's value or the default.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `-c`: the configuration file.
    pub config_file: Option<PathBuf>,
    /// `--strict`: what a configuration should be warned of is an error.
    pub strict: bool,
    host: Option<String>,
    port: Option<i64>,
    server_name: Option<String>,
    client_advertise: Option<String>,
    pid_file: Option<String>,
    ports_file_dir: Option<String>,
    store_dir: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    log_file: Option<String>,
    log_time: Option<bool>,
    log_utc: Option<bool>,
    log_bytes_max: Option<i64>,
    traced_bytes_max: Option<i64>,
    debug: Option<bool>,
    trace: Option<bool>,
    debug_trace: Option<bool>,
    trace_verbose: Option<bool>,
    debug_trace_verbose: Option<bool>,
    shards: Option<usize>,
    no_pin: Option<bool>,
    io: Option<IoChoice>,
    spin: Option<Spin>,
    tls: tls::TlsFlags,
    signal: Option<String>,
    help: bool,
    help_tls: bool,
    version: bool,
    check_config: bool,
    /// Flags given whose feature is not there yet, as they were spelled.
    refused: Vec<String>,
}

/// Reads the words after the program's name.
pub fn parse(words: &[String]) -> Invocation {
    if words.first().is_some_and(|word| word == "bench") {
        return Invocation::Bench(words[1..].to_vec());
    }
    if words.first().is_some_and(|word| word == "explain") {
        return explain::parse(&words[1..]);
    }
    let mut flags = Flags::default();
    let stray = match scan::scan(words, registry::REGISTRY, &mut flags) {
        Ok(scanned) => {
            flags.refused = scanned.refused;
            scanned.stray
        }
        Err(problem) => return usage(&problem),
    };
    if let Some(output) = asked_for_text(&flags, stray) {
        return Invocation::Print(output);
    }
    if let Err(problems) = flags.check() {
        return failure(&problems.join("\n"));
    }
    if let Some(signal) = &flags.signal {
        return match SignalRequest::parse(signal) {
            Ok(request) => Invocation::Signal(request),
            Err(problem) => failure(&problem),
        };
    }
    match (flags.check_config, &flags.config_file) {
        (true, Some(file)) => Invocation::CheckConfig {
            file: file.clone(),
            strict: flags.strict,
        },
        (true, None) => {
            failure("must specify [-c, --config] option to check configuration file syntax")
        }
        (false, _) => match flags.tls.check() {
            Ok(()) => Invocation::Run(Box::new(flags)),
            Err(problem) => failure(problem),
        },
    }
}

/// The line `--version` prints.
pub fn version() -> String {
    format!("{PROGRAM}: v{}\n", env!("CARGO_PKG_VERSION"))
}

/// An error for standard error, of one line or several, with the program's name before it, and exit code 1.
pub fn failed(problem: &str) -> Output {
    let stderr = format!("{PROGRAM}: {problem}\n");
    Output {
        stderr,
        code: 1,
        ..Output::default()
    }
}

impl Flags {
    /// Lays the flags over `config`, which holds the file's values or the defaults. An empty text unsets,
    /// port 0 means the default, as in the oracle. `--user`, `--pass` and `--auth` each replace one field of the
    /// single user's authorization and leave `users` alone; which of them counts is authentication's to say.
    pub fn apply(&self, config: &mut Config) {
        let defaults = Config::default();
        if let Some(host) = &self.host {
            config.host = if host.is_empty() {
                defaults.host
            } else {
                host.clone()
            };
        }
        if let Some(port) = self.port {
            config.port = if port == 0 {
                defaults.port
            } else {
                i32::try_from(port).expect("checked by `parse`")
            };
        }
        self.note_places(config);
        set_text(&mut config.server_name, &self.server_name);
        set_text(&mut config.client_advertise, &self.client_advertise);
        set_path(&mut config.pid_file, &self.pid_file);
        set_path(&mut config.ports_file_dir, &self.ports_file_dir);
        set_path(&mut config.store_dir, &self.store_dir);
        set_text(&mut config.authorization.user, &self.user);
        set_secret(&mut config.authorization.password, &self.password);
        set_secret(&mut config.authorization.token, &self.token);
        self.tls.apply(config);
        self.apply_logging(config);
        self.apply_shards(config);
    }

    /// Flags and settings of `config` that take no effect together, for warnings at start. The oracle is silent
    /// about them; gannet accepts them as it does, but says so.
    pub fn warnings(config: &Config) -> Vec<String> {
        let auth = &config.authorization;
        let mut warnings = Vec::new();
        if auth.password.is_some() && auth.user.is_none() {
            warnings.push(
                "a password without a user has no effect: clients need no credentials".to_string(),
            );
        }
        if auth.user.is_some() && auth.token.is_some() {
            warnings
                .push("a token and a single user are both set: only the token is used".to_string());
        }
        let in_accounts = config
            .accounts
            .iter()
            .any(|account| !account.users.is_empty());
        if auth.user.is_some() && (in_accounts || !auth.users.is_empty()) {
            warnings.push(
                "a single user and a list of users are both set: only the list is used".to_string(),
            );
        }
        if auth.default_permissions.is_some() && auth.users.is_empty() {
            warnings.push(
                "default permissions have no effect: there are no users they apply to".to_string(),
            );
        }
        if config.log.file_bytes_max > 0 && config.log.file.is_none() {
            warnings.push("log_size_limit has no effect without a log file".to_string());
        }
        warnings
    }

    /// So that an error found later points at the command line.
    fn note_places(&self, config: &mut Config) {
        let given = [
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("server_name", self.server_name.is_some()),
            ("client_advertise", self.client_advertise.is_some()),
        ];
        for (setting, _) in given.into_iter().filter(|(_, given)| *given) {
            let file = "<command line>".into();
            config.places.set(
                setting,
                Position {
                    file,
                    line: 1,
                    column: 1,
                },
            );
        }
    }

    fn apply_logging(&self, config: &mut Config) {
        let log = &mut config.log;
        set_path(&mut log.file, &self.log_file);
        set(&mut log.time, self.log_time);
        set(&mut log.utc, self.log_utc);
        set(
            &mut log.file_bytes_max,
            self.log_bytes_max.map(|bytes| bytes.max(0).unsigned_abs()),
        );
        set(
            &mut log.traced_bytes_max,
            self.traced_bytes_max
                .map(|bytes| usize::try_from(bytes).unwrap_or(0)),
        );
        set(&mut log.debug, self.debug);
        set(&mut log.trace, self.trace);
        // The combined switches come after the plain ones whatever their order on the line, as in the oracle.
        set(&mut log.trace, self.debug_trace);
        set(&mut log.debug, self.debug_trace);
        for both in [self.debug_trace_verbose, self.trace_verbose] {
            set(&mut log.trace, both);
            set(&mut log.trace_verbose, both);
        }
        set(&mut log.debug, self.debug_trace_verbose);
    }

    fn apply_shards(&self, config: &mut Config) {
        let shards = &mut config.shards;
        if self.shards.is_some() {
            shards.count = self.shards;
        }
        set(&mut shards.no_pin, self.no_pin);
        set(&mut shards.io, self.io);
        set(&mut shards.spin, self.spin);
    }

    /// What no configuration file can mend, all at once.
    fn check(&self) -> Result<(), Vec<String>> {
        let mut problems: Vec<String> = self
            .refused
            .iter()
            .map(|flag| format!("{flag} is not available in {PROGRAM} yet"))
            .collect();
        if let Some(port) = self.port.filter(|port| !(-1..=65535).contains(port)) {
            problems.push(format!(
                "invalid port {port}: it is -1 (random) or 1 to 65535"
            ));
        }
        if self
            .server_name
            .as_ref()
            .is_some_and(|name| name.contains(' '))
        {
            problems.push("server name cannot contain spaces".into());
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

fn set<T: Copy>(field: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *field = value;
    }
}

fn set_text(field: &mut Option<String>, flag: &Option<String>) {
    if let Some(text) = flag {
        *field = Some(text.clone()).filter(|text| !text.is_empty());
    }
}

fn set_path(field: &mut Option<PathBuf>, flag: &Option<String>) {
    if let Some(text) = flag {
        *field = Some(text)
            .filter(|text| !text.is_empty())
            .map(PathBuf::from);
    }
}

fn set_secret(field: &mut Option<Secret>, flag: &Option<Secret>) {
    if let Some(secret) = flag {
        *field = Some(secret.clone()).filter(|secret| !secret.0.is_empty());
    }
}

fn asked_for_text(flags: &Flags, stray: Option<&str>) -> Option<Output> {
    let word = stray.unwrap_or_default();
    if flags.version {
        Some(printed(version()))
    } else if flags.help {
        Some(printed(help()))
    } else if flags.help_tls {
        Some(printed(text::help_tls()))
    } else if word.eq_ignore_ascii_case("version") {
        Some(printed(version()))
    } else if word.eq_ignore_ascii_case("help") {
        Some(printed(help()))
    } else {
        stray.map(|word| failed(&format!("unrecognized command: {word:?}")))
    }
}

fn printed(stdout: String) -> Output {
    Output {
        stdout,
        ..Output::default()
    }
}

fn usage(problem: &str) -> Invocation {
    Invocation::Print(Output {
        stdout: help(),
        stderr: format!("{problem}\n"),
        code: 0,
    })
}

fn failure(problem: &str) -> Invocation {
    Invocation::Print(failed(problem))
}

#[cfg(test)]
mod tests;

//! What a running broker must do to go on under another configuration, or why it cannot. Owns the list of settings that
//! may change while it runs; never changes anything itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use super::tls::{TLS_TIMEOUT_MS, Tls};
use super::{
    Callout, Config, ConfigError, Limits, Logging, Operators, Permissions, Position, Rule, Rules,
    User,
};

/// What a reload changes beyond what shards run on, which is replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadPlan {
    /// What to tell the log, in the oracle's words and order.
    pub told: Vec<String>,
    /// The log goes elsewhere, or its lines look different.
    pub log_output: bool,
    /// `debug`, `trace` or `trace_verbose` have changed.
    pub log_levels: bool,
    /// The process id is to be written to another file.
    pub pid_file: bool,
    /// The ports file is to be written anew.
    pub ports_file: bool,
    /// There may be fewer connections than before.
    pub fewer_connections: bool,
}

/// Compares the configuration in force with another that could be started with. Flags are laid over both.
///
/// # Errors
/// Everything that cannot change while the broker runs, under the oracle's names and at its place in the file.
pub fn diff(old: &Config, new: &Config) -> Result<ReloadPlan, Vec<ConfigError>> {
    // No `..` here: a new setting must be given its place in this file.
    let Config {
        host: _,
        port: _,
        server_name: _,
        labels: _,
        client_advertise: _,
        limits: _,
        authorization: _,
        tls: _,
        allow_non_tls: _,
        accounts: _,
        operators: _,
        mappings: _,
        system_account: _,
        no_system_account: _,
        log: _,
        pid_file: _,
        ports_file_dir: _,
        store_dir: _,
        shards: _,
        places: _,
    } = old;
    let mut fixed = Fixed {
        old,
        new,
        errors: Vec::new(),
    };
    fixed.node();
    fixed.limits();
    fixed.tls();
    fixed.accounts();
    fixed.operators();
    match fixed.errors.is_empty() {
        true => Ok(plan(old, new)),
        false => Err(fixed.errors),
    }
}

/// Looks for changes of what stays as it was at the start.
struct Fixed<'a> {
    old: &'a Config,
    new: &'a Config,
    errors: Vec<ConfigError>,
}

impl Fixed<'_> {
    /// Name and address.
    fn node(&mut self) {
        let (old, new) = (self.old, self.new);
        self.same("ServerName", "server_name", |c| text(&c.server_name));
        self.same("Host", later(new, old, &["host", "listen"]), |c| {
            c.host.clone()
        });
        // A free port stays the one it is.
        if new.port != -1 {
            let setting = later(new, old, &["port", "listen"]);
            self.same("Port", setting, |c| c.port.to_string());
        }
        self.same("NoHeaderSupport", "no_header_support", |c| {
            c.limits.no_header_support.to_string()
        });
    }

    fn limits(&mut self) {
        let shown = |value: u64| value.to_string();
        self.same("MaxSubs", "max_subscriptions", |c| {
            shown(c.limits.subscriptions_max.into())
        });
        self.same("MaxSubTokens", "max_subscription_tokens", |c| {
            shown(c.limits.subscription_tokens_max.into())
        });
        self.same("MaxPending", "max_pending", |c| {
            shown(c.limits.pending_bytes_max)
        });
        self.same("LogSizeLimit", "log_size_limit", |c| {
            shown(c.log.file_bytes_max)
        });
        self.same("LogMaxFiles", "log_max_num", |c| shown(c.log.files_max));
    }

    /// Whether there is TLS, its certificates and authorities may change; these may not.
    fn tls(&mut self) {
        self.same("AllowNonTLS", "allow_non_tls", |c| {
            c.allow_non_tls.to_string()
        });
        self.same("TLSMap", "tls", |c| {
            c.tls.as_ref().is_some_and(|tls| tls.map).to_string()
        });
        self.same("TLSRateLimit", "tls", |c| {
            c.tls.as_ref().map_or(0, |tls| tls.rate_max).to_string()
        });
    }

    /// Who stands in for whom. The `no_auth_user` may go together with the user it names.
    fn accounts(&mut self) {
        let (old, new) = (self.old, self.new);
        let stands_in = |c: &Config| {
            c.authorization
                .no_auth_user
                .as_ref()
                .map(|(name, _)| name.clone())
        };
        let gone = stands_in(old).filter(|_| stands_in(new).is_none());
        if gone.is_none_or(|name| has_user(new, &name)) {
            self.same("NoAuthUser", "no_auth_user", |c| text(&stands_in(c)));
        }
        self.same("SystemAccount", "system_account", |c| {
            let named = c.system_account.as_ref().map(|(name, _)| name.as_str());
            named.unwrap_or("$SYS").to_owned()
        });
        self.same("NoSystemAccount", "no_system_account", |c| {
            c.no_system_account.to_string()
        });
        let callout = |c: &Config| c.authorization.callout.as_ref().map(callout_key);
        if callout(old) != callout(new) {
            let at = |c: &Config| {
                c.authorization
                    .callout
                    .as_ref()
                    .map(|callout| callout.at.clone())
            };
            self.refuse("AuthCallout", at(new).or(at(old)));
        }
    }

    /// Operator mode.
    fn operators(&mut self) {
        let (old, new) = (&self.old.operators, &self.new.operators);
        let Operators {
            operators: _,
            trusted_keys: _,
            resolver: _,
            resolver_tls: _,
            preload: _,
            pinned: _,
            default_sentinel: _,
        } = old;
        let names = |list: &[(String, Position)]| -> Vec<String> {
            list.iter().map(|(name, _)| name.clone()).collect()
        };
        let jwts =
            |o: &Operators| -> Vec<String> { o.operators.iter().map(|o| o.jwt.clone()).collect() };
        let changed = [
            ("TrustedOperators", "operator", jwts(old) != jwts(new)),
            (
                "TrustedKeys",
                "trusted_keys",
                names(&old.trusted_keys) != names(&new.trusted_keys),
            ),
        ];
        for (name, setting, _) in changed.into_iter().filter(|(_, _, changed)| *changed) {
            let at = self.place(setting);
            self.refuse(name, Some(at));
        }
    }

    fn same(&mut self, name: &str, setting: &str, value: impl Fn(&Config) -> String) {
        let (old, new) = (value(self.old), value(self.new));
        if old != new {
            self.errors.push(ConfigError {
                at: self.place(setting),
                text: format!("config reload not supported for {name}: old={old}, new={new}"),
            });
        }
    }

    /// Refuses a change of something that is not shown.
    fn refuse(&mut self, name: &str, at: Option<Position>) {
        self.errors.push(ConfigError {
            at: at.unwrap_or_else(|| self.new.places.get(name)),
            text: format!("config reload not supported for {name}"),
        });
    }

    /// Where a setting stands, or stood.
    fn place(&self, setting: &str) -> Position {
        match self.new.places.has(setting) {
            true => self.new.places.get(setting),
            false => self.old.places.get(setting),
        }
    }
}

/// Whichever of two settings was written last, in the new file or else in the old one.
fn later(new: &Config, old: &Config, [one, other]: &[&'static str; 2]) -> &'static str {
    let written = new.places.has(one) || new.places.has(other);
    let config = if written { new } else { old };
    config.places.later(one, other)
}

fn text(value: &Option<String>) -> String {
    value.clone().unwrap_or_default()
}

fn has_user(config: &Config, name: &str) -> bool {
    let of_accounts = config.accounts.iter().flat_map(|account| &account.users);
    let mut users = config.authorization.users.iter().chain(of_accounts);
    users.any(|user| user.id() == name)
}

/// What a callout is, without its places.
fn callout_key(callout: &Callout) -> (String, String, Vec<String>, Vec<String>, Option<String>) {
    let names = |list: &[(String, Position)]| {
        list.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    let mut users = names(&callout.auth_users);
    users.sort();
    (
        callout.issuer.clone(),
        callout.account.0.clone(),
        users,
        names(&callout.allowed_accounts),
        callout.xkey.clone(),
    )
}

/// The users with nkeys that are in no account: what each may do and how it may come, by its key.
fn nkey_users(config: &Config) -> impl PartialEq + use<> {
    let auth = &config.authorization;
    let keyed = |user: &User| {
        let permissions = user.permissions.as_ref();
        let permissions = permissions.or(auth.default_permissions.as_ref());
        let types: BTreeSet<String> = user.connection_types.iter().cloned().collect();
        Some((
            user.nkey.clone()?,
            (permissions.map(permissions_key), types),
        ))
    };
    auth.users
        .iter()
        .filter_map(keyed)
        .collect::<BTreeMap<_, _>>()
}

/// What permissions say, without their places.
fn permissions_key(permissions: &Permissions) -> impl PartialEq + use<> {
    let list = |rules: &[Rule]| -> Vec<(String, Option<String>)> {
        let said = rules.iter();
        said.map(|rule| (rule.subject.clone(), rule.queue.clone()))
            .collect()
    };
    let lists = |rules: &Rules| (rules.allow.as_deref().map(list), list(&rules.deny));
    (
        lists(&permissions.publish),
        lists(&permissions.subscribe),
        permissions.responses,
    )
}

/// What to do, where everything may change that has changed. Accounts and users are taken for changed, as in the oracle.
fn plan(old: &Config, new: &Config) -> ReloadPlan {
    let mut told = Told {
        old,
        new,
        lines: Vec::new(),
    };
    if old.client_advertise != new.client_advertise {
        let line = format!("Reload: client_advertise = {}", text(&new.client_advertise));
        told.lines.push(line);
    }
    let flag = |is: fn(&Logging) -> bool| move |c: &Config| is(&c.log);
    told.value("trace", flag(|log| log.trace));
    told.value("trace_headers", flag(|log| log.trace_headers));
    told.value("debug", flag(|log| log.debug));
    told.value("trace_verbose", flag(|log| log.trace_verbose));
    told.value("logtime", flag(|log| log.time));
    told.value("logtime_utc", flag(|log| log.utc));
    told.value("max_connections", |c| c.limits.connections_max);
    if old.labels.tags != new.labels.tags {
        told.lines.push("Reloaded: tags".to_owned());
    }
    if old.labels.metadata != new.labels.metadata {
        told.lines.push("Reloaded: metadata".to_owned());
    }
    told.tls();
    told.authorization();
    told.limits();
    told.files();
    let levels = |log: &Logging| (log.debug, log.trace, log.trace_verbose);
    let output = |log: &Logging| (log.file.clone(), log.time, log.utc);
    ReloadPlan {
        told: told.lines,
        log_output: output(&old.log) != output(&new.log),
        log_levels: levels(&old.log) != levels(&new.log),
        pid_file: old.pid_file != new.pid_file,
        ports_file: old.ports_file_dir != new.ports_file_dir,
        fewer_connections: new.limits.connections_max < old.limits.connections_max,
    }
}

/// The lines that say what has changed.
struct Told<'a> {
    old: &'a Config,
    new: &'a Config,
    lines: Vec<String>,
}

impl Told<'_> {
    /// `Reloaded: NAME = VALUE`, if the value has changed.
    fn value<T: PartialEq + Display>(&mut self, name: &str, value: impl Fn(&Config) -> T) {
        let new = value(self.new);
        if value(self.old) != new {
            self.lines.push(format!("Reloaded: {name} = {new}"));
        }
    }

    /// Certificates are read again, and so taken for changed, as in the oracle.
    fn tls(&mut self) {
        let (old, new) = (&self.old.tls, &self.new.tls);
        if old.is_some() || new.is_some() {
            let state = if new.is_some() { "enabled" } else { "disabled" };
            self.lines.push(format!("Reloaded: tls = {state}"));
        }
        self.value("tls timeout", |c| {
            let ms = c.tls.as_ref().map_or(TLS_TIMEOUT_MS, |tls| tls.timeout_ms);
            ms as f64 / 1_000.0
        });
        let pinned = |tls: &Option<Tls>| tls.as_ref().map_or(Vec::new(), |tls| tls.pinned.clone());
        if pinned(old) != pinned(new) {
            let count = pinned(new).len();
            self.lines.push(format!("Reloaded: {count} pinned_certs"));
        }
    }

    fn authorization(&mut self) {
        let (old, new) = (&self.old.authorization, &self.new.authorization);
        // Accounts are taken for changed, and so are their users.
        let in_accounts = |c: &Config| {
            let mut users = c.accounts.iter().flat_map(|account| &account.users);
            users.any(|user| user.nkey.is_some())
        };
        let nkeys_changed = in_accounts(self.old)
            || in_accounts(self.new)
            || nkey_users(self.old) != nkey_users(self.new);
        let changed = [
            ("authorization nkey users", nkeys_changed),
            ("authorization users", true),
            ("accounts", true),
            ("authorization username", old.user != new.user),
            ("authorization password", old.password != new.password),
            ("authorization token", old.token != new.token),
        ];
        let lines = changed.into_iter().filter(|(_, changed)| *changed);
        self.lines
            .extend(lines.map(|(name, _)| format!("Reloaded: {name}")));
    }

    fn limits(&mut self) {
        self.duration("ping_interval", |limits| limits.ping_interval_ms);
        self.value("ping_max", |c| c.limits.pings_out_max);
        self.value("authorization timeout", |c| {
            c.auth_timeout_ms() as f64 / 1_000.0
        });
        self.value("max_control_line", |c| c.limits.control_line_bytes_max);
        self.value("max_payload", |c| c.limits.payload_bytes_max);
        let stalls = |c: &Config| !c.limits.no_fast_producer_stall;
        if stalls(self.old) != stalls(self.new) {
            let not = if stalls(self.new) { "" } else { "not " };
            let line = format!("Reloaded: fast producers will {not}be stalled");
            self.lines.push(line);
        }
    }

    fn files(&mut self) {
        let shown =
            |path: Option<&Path>| path.map_or_else(String::new, |p| p.display().to_string());
        // The oracle says nothing of a pid file that is named no more.
        if self.new.pid_file.is_some() {
            self.value("pid_file", |c| shown(c.pid_file.as_deref()));
        }
        self.value("ports_file_dir", |c| shown(c.ports_file_dir.as_deref()));
        self.value("log_file", |c| shown(c.log.file.as_deref()));
        self.duration("write_deadline", |limits| limits.write_deadline_ms);
        self.value("max_traced_msg_len", |c| c.log.traced_bytes_max);
    }

    fn duration(&mut self, name: &str, ms: impl Fn(&Limits) -> u64) {
        self.value(name, |c| duration(ms(&c.limits)));
    }
}

/// A duration as the oracle writes it: `50ms`, `7s`, `1.5s`, `10m0s`, `1h0m0s`.
fn duration(ms: u64) -> String {
    let (seconds, rest_ms) = (ms / 1_000, ms % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let under_a_minute = (ms % 60_000) as f64 / 1_000.0;
    match (hours, minutes) {
        (0, 0) if seconds == 0 && rest_ms > 0 => format!("{rest_ms}ms"),
        (0, 0) => format!("{under_a_minute}s"),
        (0, _) => format!("{minutes}m{under_a_minute}s"),
        _ => format!("{hours}h{minutes}m{under_a_minute}s"),
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;

//! Owns what can only be checked when file and flags are put together, before the start.
//! Never changes a setting.

mod operators;

use super::{Config, ConfigError, host_port};

impl Config {
    /// What keeps this configuration from being started with. The oracle's `-t` does not look at these.
    pub fn check_start(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut error = |name, text| {
            errors.push(ConfigError {
                at: self.places.get(name),
                text,
            });
        };
        if self.port == 0 || self.port < -1 || self.port > i32::from(u16::MAX) {
            let text = format!(
                "{} is not a port: 1 to 65535, or -1 for a free one",
                self.port
            );
            error(self.places.later("port", "listen"), text);
        }
        let limits = &self.limits;
        if u64::from(limits.payload_bytes_max) > limits.pending_bytes_max {
            let text = format!(
                "max_payload ({}) cannot be higher than max_pending ({})",
                limits.payload_bytes_max, limits.pending_bytes_max
            );
            error(self.places.later("max_payload", "max_pending"), text);
        }
        if self
            .server_name
            .as_ref()
            .is_some_and(|name| name.contains(' '))
        {
            error(
                "server_name",
                "the server's name must not contain blanks".to_owned(),
            );
        }
        if let Some(text) = &self.client_advertise
            && advertised(text, self.port).is_none()
        {
            error(
                "client_advertise",
                "\"client_advertise\" must be \"host:port\"".to_owned(),
            );
        }
        errors.extend(operators::check(self));
        errors.extend(self.check_no_auth_user());
        errors.extend(self.check_system_account());
        errors
    }

    /// Host and port of `client_advertise`; the port is the client port unless it is given.
    pub fn client_advertise_host_port(&self) -> Option<(String, i32)> {
        advertised(self.client_advertise.as_ref()?, self.port)
    }

    /// The system account that is configured: `system_account`, else `$SYS` if it is among `accounts`.
    pub fn configured_system_account(&self) -> Option<&str> {
        let named = self.system_account.as_ref().map(|(name, _)| name.as_str());
        let default = self.accounts.iter().find(|account| account.name == "$SYS");
        named.or(default.map(|account| account.name.as_str()))
    }

    /// Whether clients without credentials are let into the global account although there may be users: if there is
    /// no account but that and the system's, nor an `authorization`, nor a `no_auth_user`.
    pub fn strangers_are_global(&self) -> bool {
        self.configured_system_account().is_some()
            && self.accounts.len() == 1
            && self.authorization.no_auth_user.is_none()
            && !self.places.has("authorization")
    }

    /// Users of accounts and those of `authorization` are one set. The single user is not among them.
    fn check_no_auth_user(&self) -> Option<ConfigError> {
        let (name, at) = self.authorization.no_auth_user.as_ref()?;
        if !self.operators.operators.is_empty() {
            return None;
        }
        let of_accounts = self.accounts.iter().flat_map(|account| &account.users);
        let mut users = self
            .authorization
            .users
            .iter()
            .chain(of_accounts)
            .peekable();
        let text = if users.peek().is_none() {
            format!("\"no_auth_user\" is {name:?}, but there are no users")
        } else if users.all(|user| user.id() != *name) {
            format!("\"no_auth_user\" is {name:?}, who is not among the users")
        } else {
            return None;
        };
        Some(ConfigError {
            at: at.clone(),
            text,
        })
    }

    /// The global account may be the system account, too. Where accounts come from JWTs, the resolver knows.
    fn check_system_account(&self) -> Option<ConfigError> {
        let (name, at) = self.system_account.as_ref()?;
        if self.operators.is_operator_mode() {
            return None;
        }
        if name == "$G" || self.accounts.iter().any(|account| account.name == *name) {
            return None;
        }
        Some(ConfigError {
            at: at.clone(),
            text: format!(
                "\"system_account\" is {name:?}, but there is no such account in \"accounts\""
            ),
        })
    }
}

fn advertised(text: &str, default_port: i32) -> Option<(String, i32)> {
    let with_port = format!("{text}:{default_port}");
    let (host, port) = host_port::split(text).or_else(|| host_port::split(&with_port))?;
    let port: i32 = port.trim().parse().ok()?;
    let port = if matches!(port, 0 | -1) {
        default_port
    } else {
        port
    };
    Some((host.trim().to_owned(), port))
}

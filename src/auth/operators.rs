//! Operator mode: whom the node trusts, and where it finds accounts, from the configuration and the operators' own JWTs.
//! Owns what they must not contradict. Never fetches an account.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use nkeys::KeyPairType;

use crate::config::{self, Config, ConfigError, Position, ResolverKind, is_account_key};
use crate::proto::handshake::COMPATIBLE_VERSION;

use super::jwt::{AccountClaims, OperatorClaims, Trust, UserClaims, is_public};

/// `nsc push` adds this to the URL of an operator.
const ACCOUNTS_PATH: &str = "/accounts";

/// What operator mode runs on. Immutable.
#[derive(Clone, Debug)]
pub struct OperatorMode {
    /// The operators, in the order of the file; none where keys alone are trusted.
    pub operators: Vec<OperatorClaims>,
    /// Public keys whose accounts are trusted.
    pub trusted: BTreeSet<String>,
    /// Those of them that belong to operators with `strict_signing_key_usage`: their accounts' users must be signed by
    /// signing keys, too.
    pub strict: BTreeSet<String>,
    /// Key of the system account, if there is one.
    pub system_account: Option<(String, Position)>,
    /// Where accounts are found, and where that is said.
    pub resolver: Option<(ResolverKind, Position)>,
    /// Account JWTs to begin with, by key as written.
    pub preload: BTreeMap<String, String>,
    /// The only accounts that may be used; empty is any. The system account is among them.
    pub pinned: BTreeSet<String>,
    /// The user JWT of clients that bring none.
    pub default_sentinel: Option<String>,
}

fn is_operator_key(key: &str) -> bool {
    is_public(&KeyPairType::Operator, key)
}

/// What is wrong with the JWTs that stand in a configuration; what the oracle's `-t` finds.
pub fn check(config: &Config) -> Vec<ConfigError> {
    decode(config).1
}

impl OperatorMode {
    /// Compiles the configuration; `None` if it is not of operator mode.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the file. What is wrong without looking into JWTs is found by
    /// [`Config::check_start`].
    pub fn compile(config: &Config) -> Result<Option<OperatorMode>, Vec<ConfigError>> {
        let (operators, errors) = decode(config);
        let written = &config.operators;
        if !errors.is_empty() || !written.is_operator_mode() {
            return if errors.is_empty() {
                Ok(None)
            } else {
                Err(errors)
            };
        }
        let mode = OperatorMode::new(config, operators);
        let mut errors = mode.contradictions(config);
        if errors.is_empty() {
            return Ok(Some(mode));
        }
        errors.sort_by(|a, b| a.at.cmp(&b.at));
        Err(errors)
    }

    /// Whether accounts issued by this key are trusted.
    pub fn trusts(&self, issuer: &str) -> bool {
        self.trusted.contains(issuer)
    }

    /// Whether this account may be used at all.
    pub fn is_pinned(&self, account: &str) -> bool {
        self.pinned.is_empty() || self.pinned.contains(account)
    }

    /// Whom all this makes the node trust. `zone` is the machine's.
    pub fn trust(&self, zone: TimeZone) -> Trust {
        let trust = match self.operators.is_empty() {
            true => Trust::of_keys(self.trusted.iter().cloned()),
            false => Trust::of_operators(&self.operators),
        };
        let trust = match self.pinned.is_empty() {
            true => trust,
            false => trust.with_pinned(self.pinned.iter().cloned()),
        };
        let trust = match &self.default_sentinel {
            Some(sentinel) => trust.with_sentinel(sentinel.clone()),
            None => trust,
        };
        trust.with_zone(zone)
    }

    /// The configuration with the accounts that JWTs make.
    pub fn effective(&self, config: &Config, accounts: Vec<config::Account>) -> Config {
        let mut effective = config.clone();
        effective.accounts = accounts;
        effective.system_account = self.system_account.clone();
        effective
    }

    fn new(config: &Config, operators: Vec<OperatorClaims>) -> OperatorMode {
        let written = &config.operators;
        let of_operators = operators.iter().flat_map(OperatorClaims::trusted_keys);
        let of_file = written.trusted_keys.iter().map(|(key, _)| key.as_str());
        let trusted = of_operators.chain(of_file).map(str::to_owned).collect();
        let strict = operators
            .iter()
            .filter(|claims| claims.operator.strict_signing_key_usage)
            .flat_map(|claims| claims.operator.signing_keys.clone())
            .collect();
        let only =
            (operators.len() == 1).then(|| (&operators[0].operator, &written.operators[0].at));
        let own_system = || {
            let (operator, at) = only?;
            let key = operator.system_account.clone();
            (!key.is_empty()).then(|| (key, at.clone()))
        };
        let own_resolver = || {
            let (operator, at) = only?;
            let url = operator.account_server_url.trim();
            let url = (!url.is_empty()).then(|| format!("{url}{ACCOUNTS_PATH}"));
            Some((ResolverKind::Url(url?), at.clone()))
        };
        let system_account = config.system_account.clone().or_else(own_system);
        let mut pinned: BTreeSet<String> =
            written.pinned.iter().map(|(key, _)| key.clone()).collect();
        if let Some((key, _)) = system_account.as_ref().filter(|_| !pinned.is_empty()) {
            pinned.insert(key.clone());
        }
        let preloaded =
            |preload: &crate::config::Preload| (preload.account.clone(), preload.jwt.clone());
        OperatorMode {
            trusted,
            strict,
            system_account,
            resolver: written.resolver.clone().or_else(own_resolver),
            preload: written.preload.iter().map(preloaded).collect(),
            pinned,
            default_sentinel: written
                .default_sentinel
                .as_ref()
                .map(|(jwt, _)| jwt.clone()),
            operators,
        }
    }

    /// Where accounts come from. `trusted_keys` alone need no resolver: then no account is known, as on the oracle.
    pub fn resolver_kind(&self) -> &ResolverKind {
        let kind = self.resolver.as_ref().map(|(kind, _)| kind);
        kind.unwrap_or(&ResolverKind::Memory)
    }

    /// What the JWTs say against the file, or against each other.
    fn contradictions(&self, config: &Config) -> Vec<ConfigError> {
        let written = &config.operators;
        let Some(first) = written.operators.first() else {
            return Vec::new();
        };
        let mut errors = Vec::new();
        let mut error = |at: &Position, text: String| {
            let at = at.clone();
            errors.push(ConfigError { at, text });
        };
        if self.resolver.is_none() {
            let text = "\"operator\" needs a \"resolver\": neither the file nor the operator's JWT has one";
            error(&first.at, text.to_owned());
        }
        if let (Some((ResolverKind::Url(_), _)), None, Some(preload)) =
            (&self.resolver, &written.resolver, written.preload.first())
        {
            let text = "\"resolver_preload\" cannot stand beside the resolver of the operator's JWT, which is a URL";
            error(&preload.at, text.to_owned());
        }
        self.system_account_contradicts(&mut error);
        for (claims, operator) in self.operators.iter().zip(&written.operators) {
            if let Some(text) = too_new(claims) {
                error(&operator.at, text);
            }
            // An account's key among them would make that account trust itself.
            if claims.trusted_keys().any(|key| !is_operator_key(key)) {
                let text = "the operator's JWT trusts a key that is not a public operator key";
                error(&operator.at, text.to_owned());
            }
        }
        if let Some((jwt, at)) = &written.default_sentinel
            && let Err(text) = check_sentinel(jwt)
        {
            error(at, text.to_owned());
        }
        errors
    }

    fn system_account_contradicts(&self, error: &mut impl FnMut(&Position, String)) {
        let own: Vec<&str> = self
            .operators
            .iter()
            .map(|claims| claims.operator.system_account.as_str())
            .collect();
        match (&self.system_account, &self.resolver) {
            (Some((key, at)), _) => {
                let said = own.iter().any(|own| !own.is_empty());
                if said && !own.contains(&key.as_str()) {
                    let text = "\"system_account\" is not the one of the operator's JWT";
                    error(at, text.to_owned());
                } else if !is_account_key(key) {
                    let text = "\"system_account\" must be the public key of an account (A…)";
                    error(at, text.to_owned());
                }
            }
            (None, Some((ResolverKind::Directory(_), at)))
                if own.first().is_some_and(|own| own.is_empty()) =>
            {
                let text = "a resolver that is a directory needs \"system_account\", in the file or in the operator's JWT";
                error(at, text.to_owned());
            }
            _ => {}
        }
    }
}

/// The operators, and what is wrong with any JWT of the file. With errors, operators may be missing.
fn decode(config: &Config) -> (Vec<OperatorClaims>, Vec<ConfigError>) {
    let written = &config.operators;
    let mut errors = Vec::new();
    let mut operators = Vec::new();
    for operator in &written.operators {
        match OperatorClaims::decode(&operator.jwt) {
            Ok(claims) => operators.push(claims),
            Err(error) => errors.push(ConfigError {
                at: operator.at.clone(),
                text: match &operator.file {
                    Some(file) => {
                        format!("no JWT of an operator is in {}: {error}", file.display())
                    }
                    None => format!("this is no JWT of an operator: {error}"),
                },
            }),
        }
    }
    for preload in &written.preload {
        if let Err(error) = AccountClaims::decode(&preload.jwt) {
            errors.push(ConfigError {
                at: preload.at.clone(),
                text: format!("this is no JWT of an account: {error}"),
            });
        }
    }
    errors.sort_by(|a, b| a.at.cmp(&b.at));
    (operators, errors)
}

/// The oracle's rule: a bearer token, or one that takes its permissions from the scope of its signing key.
fn check_sentinel(jwt: &str) -> Result<(), &'static str> {
    let Ok(claims) = UserClaims::decode(jwt) else {
        return Err("\"default_sentinel\" is no JWT of a user");
    };
    let scoped = !claims.issuer_account.is_empty() && claims.says_no_limits;
    if claims.limits.bearer_token || scoped {
        return Ok(());
    }
    Err("\"default_sentinel\" must be a bearer token")
}

/// The operator wants a newer server than the one whose behaviour this is.
fn too_new(claims: &OperatorClaims) -> Option<String> {
    let wanted = &claims.operator.assert_server_version;
    let Some(version) = claims.server_version() else {
        return Some(format!(
            "the operator asks for version {wanted:?}, which is none"
        ));
    };
    let own: Vec<u32> = COMPATIBLE_VERSION
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    (version[..] > own[..]).then(|| {
        format!("the operator asks for version {wanted} or later, this one behaves as {COMPATIBLE_VERSION}")
    })
}

#[cfg(test)]
#[path = "operators_tests.rs"]
mod tests;

//! Owns what operator mode and the rest of a configuration forbid each other. Never decodes a JWT.

use crate::config::{Config, ConfigError, Position, ResolverKind};

/// Everything that contradicts operator mode, or needs it. Contradictions that only the JWTs show are not among them.
pub(super) fn check(config: &Config) -> Vec<ConfigError> {
    let mut errors = Errors(Vec::new());
    needs_operators(config, &mut errors);
    if !config.operators.operators.is_empty() {
        beside_operators(config, &mut errors);
    }
    let operators = &config.operators;
    if let (Some((ResolverKind::Url(_), _)), Some(first)) =
        (&operators.resolver, operators.preload.first())
    {
        let text = "\"resolver_preload\" cannot stand beside a resolver that is a URL";
        errors.add(&first.at, text);
    }
    resolver_tls(config, &mut errors);
    errors.0
}

struct Errors(Vec<ConfigError>);

impl Errors {
    fn add(&mut self, at: &Position, text: &str) {
        let (at, text) = (at.clone(), text.to_owned());
        self.0.push(ConfigError { at, text });
    }
}

fn needs_operators(config: &Config, errors: &mut Errors) {
    let operators = &config.operators;
    if !operators.operators.is_empty() {
        return;
    }
    if let Some((_, at)) = &operators.default_sentinel {
        errors.add(at, "\"default_sentinel\" needs \"operator\"");
    }
    if let Some((ResolverKind::Directory(_), at)) = &operators.resolver {
        let text = "a resolver that is a directory needs \"operator\", whose keys may change it";
        errors.add(at, text);
    }
}

/// Without `resolver` the URL may be in the operator's JWT.
fn resolver_tls(config: &Config, errors: &mut Errors) {
    let operators = &config.operators;
    let Some(tls) = &operators.resolver_tls else {
        return;
    };
    if !operators.is_operator_mode() {
        let text = "\"resolver_tls\" has no effect without \"operator\" or \"trusted_keys\"";
        errors.add(&tls.at, text);
    } else if let Some((ResolverKind::Memory | ResolverKind::Directory(_), _)) = operators.resolver
    {
        errors.add(&tls.at, "\"resolver_tls\" is for a resolver that is a URL");
    }
}

fn beside_operators(config: &Config, errors: &mut Errors) {
    let authorization = &config.authorization;
    if let Some((_, at)) = config.operators.trusted_keys.first() {
        errors.add(
            at,
            "\"trusted_keys\" and \"operator\" cannot stand together",
        );
    }
    if let Some(account) = config.accounts.first() {
        let text = "with \"operator\" accounts come from JWTs: there can be no \"accounts\"";
        errors.add(&account.at, text);
    }
    let of_accounts = config.accounts.iter().flat_map(|account| &account.users);
    if let Some(user) = authorization.users.iter().chain(of_accounts).next() {
        let text = "with \"operator\" users come from JWTs: there can be no \"users\"";
        errors.add(&user.at, text);
    }
    let at = config.places.get("authorization");
    if authorization.user.is_some() || authorization.password.is_some() {
        let text = "with \"operator\" users come from JWTs: a single user would be ignored";
        errors.add(&at, text);
    }
    if authorization.token.is_some() {
        let text = "with \"operator\" users come from JWTs: a token would be ignored";
        errors.add(&at, text);
    }
    if let Some(callout) = &authorization.callout {
        let text = "with \"operator\" the callout is a matter of account JWTs: there can be no \"auth_callout\"";
        errors.add(&callout.at, text);
    }
    if let Some((_, at)) = &authorization.no_auth_user {
        let text = "with \"operator\" there can be no \"no_auth_user\"; see \"default_sentinel\"";
        errors.add(at, text);
    }
    for (key, at) in &config.operators.pinned {
        if !crate::config::is_account_key(key) {
            let text = "\"resolver_pinned_accounts\" must hold public keys of accounts (A…)";
            errors.add(at, text);
        }
    }
}

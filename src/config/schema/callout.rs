//! Owns `auth_callout` of `authorization`: the service that says who a client is. Never asks it.

use super::{Field, Schema, nkey};
use crate::config::value::Kind;
use crate::config::{Callout, Config, Position};

const FIELDS: &[&str] = &[
    "acc",
    "account",
    "allowed_accounts",
    "auth_users",
    "issuer",
    "key",
    "users",
    "xkey",
];

/// Account in which the service listens unless `account` names another.
const GLOBAL: &str = "$G";

/// Reads the section; `None` if it holds errors.
pub(super) fn read(schema: &mut Schema<'_>, section: Field<'_>) -> Option<Callout> {
    let before = schema.errors.len();
    let map = schema.map(section)?;
    let mut callout = Callout {
        issuer: String::new(),
        account: (GLOBAL.to_owned(), section.at.clone()),
        auth_users: Vec::new(),
        allowed_accounts: Vec::new(),
        xkey: None,
        at: section.at.clone(),
    };
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "issuer" => callout.issuer = nkey::account(schema, field).unwrap_or_default(),
            "account" | "acc" => {
                let account = schema.text(field).filter(|name| !name.is_empty());
                let account = account.map(|name| (name.to_owned(), field.at.clone()));
                callout.account = account.unwrap_or(callout.account);
            }
            "auth_users" | "users" => callout.auth_users = names(schema, field),
            "allowed_accounts" => callout.allowed_accounts = names(schema, field),
            "xkey" | "key" => callout.xkey = nkey::curve(schema, field),
            _ => schema.unknown(field, FIELDS),
        }
    }
    if schema.errors.len() == before {
        let mut missing = |name: &str| {
            let text = format!("{:?} needs {name:?}", section.name);
            schema.error(section.at, text);
        };
        if callout.issuer.is_empty() {
            missing("issuer");
        }
        if callout.auth_users.is_empty() {
            missing("auth_users");
        }
    }
    (schema.errors.len() == before).then_some(callout)
}

/// What a callout says of accounts and users, once all are known.
pub(super) fn check_together(schema: &mut Schema<'_>) {
    let Some(callout) = schema.config.authorization.callout.take() else {
        return;
    };
    let has_account = |config: &Config, name: &str| config.accounts.iter().any(|a| a.name == name);
    if !schema.doubt_all {
        for (name, at) in &callout.allowed_accounts {
            if !has_account(&schema.config, name) && !schema.doubtful.contains(name) {
                schema.error(at, format!("there is no account {name:?} in \"accounts\""));
            }
        }
        let (name, at) = &callout.account;
        if name != GLOBAL && !has_account(&schema.config, name) && !schema.doubtful.contains(name) {
            let text = format!(
                "there is no account {name:?} in \"accounts\": no callout service can listen there, nobody gets in"
            );
            schema.hint(at, text);
        }
        let unknown: Vec<_> = (callout.auth_users.iter())
            .filter(|(name, _)| !has_user(&schema.config, name))
            .cloned()
            .collect();
        for (name, at) in unknown {
            schema.hint(&at, format!("there is no user {name:?}"));
        }
    }
    schema.config.authorization.callout = Some(callout);
}

/// Users of accounts and those of `authorization` are one set. The single user is not among them.
fn has_user(config: &Config, id: &str) -> bool {
    let of_accounts = config.accounts.iter().flat_map(|account| &account.users);
    let mut users = config.authorization.users.iter().chain(of_accounts);
    users.any(|user| user.id() == id)
}

/// An array of strings; a single one is refused, as by the oracle.
fn names(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<(String, Position)> {
    if !matches!(field.value.kind, Kind::Array(_)) {
        schema.wrong(field, "an array of strings");
        return Vec::new();
    }
    let names = schema.texts(field).unwrap_or_default().into_iter();
    names
        .map(|(name, at)| (name.to_owned(), at.clone()))
        .collect()
}

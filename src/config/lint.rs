//! Owns the warnings about a sound configuration: what can have no effect, or more than one may think.
//! Never changes a configuration, never refuses one.

mod mappings;
mod permissions;

use std::collections::BTreeMap;

use super::check::index::Index;
use super::{Account, Config, ConfigError, Export, ExportKind, Import, Position, Rules, User};
use crate::subject::{Transform, is_subset, overlaps};

/// What should be looked at again, in the order of the file.
pub fn lint(config: &Config) -> Vec<ConfigError> {
    let mut warnings = Warnings(Vec::new());
    let authorization = &config.authorization;
    mappings::lint(&config.mappings, &mut warnings);
    let default = authorization.default_permissions.as_ref();
    permissions::lint(
        &authorization.users,
        default,
        &config.mappings,
        &mut warnings,
    );
    for account in &config.accounts {
        for export in &account.exports {
            lint_export(config, account, export, &mut warnings);
        }
        lint_imports(account, &mut warnings);
        mappings::lint(&account.mappings, &mut warnings);
        let default = account.default_permissions.as_ref();
        permissions::lint(&account.users, default, &account.mappings, &mut warnings);
    }
    for user in users(config) {
        lint_user(user, &mut warnings);
    }
    lint_no_auth_user(config, &mut warnings);
    warnings.0.sort_by(|a, b| a.at.cmp(&b.at));
    warnings.0
}

/// What has been found.
struct Warnings(Vec<ConfigError>);

impl Warnings {
    fn add(&mut self, at: &Position, text: String) {
        let at = at.clone();
        self.0.push(ConfigError { at, text });
    }
}

/// An export that no other account can import.
fn lint_export(config: &Config, account: &Account, export: &Export, warnings: &mut Warnings) {
    let others = || {
        config
            .accounts
            .iter()
            .filter(|other| other.name != account.name)
    };
    let can_be_a_token =
        |other: &Account| !other.name.is_empty() && !other.name.contains(['.', '*', '>']);
    let text = match (export.account_token_position, &export.accounts) {
        _ if others().next().is_none() => "there is no other account".to_owned(),
        (Some(position), _) if !others().any(can_be_a_token) => {
            format!("no other account has a name that can be token {position}")
        }
        (None, Some(accounts)) if accounts.iter().all(|(name, _)| *name == account.name) => {
            "it is only for the account itself".to_owned()
        }
        _ => return,
    };
    let kind = match export.kind {
        ExportKind::Stream => "stream",
        ExportKind::Service(_) => "service",
    };
    let text = format!("nobody can import the {kind} {:?}: {text}", export.subject);
    warnings.add(&export.at, text);
}

fn lint_imports(account: &Account, warnings: &mut Warnings) {
    for import in &account.imports {
        let without_effect = match import.service {
            true => import.prefix.is_some().then_some("prefix"),
            false => import.share.then_some("share"),
        };
        if let Some(name) = without_effect {
            let kind = if import.service { "service" } else { "stream" };
            warnings.add(
                &import.at,
                format!("{name:?} has no effect on the import of a {kind}"),
            );
        }
    }
    // Streams can only be alike if they are of the same account.
    let mut groups: BTreeMap<(bool, &str), Vec<(&Import, Transform)>> = BTreeMap::new();
    for import in &account.imports {
        let of = if import.service {
            ""
        } else {
            &import.account.0
        };
        if let Ok(transform) = import.transform() {
            let group = groups.entry((import.service, of)).or_default();
            group.push((import, transform));
        }
    }
    for ((service, _), imports) in groups {
        lint_shadowed(&imports, service, warnings);
    }
}

/// Imports of one kind whose messages all come or go by another import, too.
fn lint_shadowed(imports: &[(&Import, Transform)], service: bool, warnings: &mut Warnings) {
    let index = Index::of(imports.iter().map(|(_, transform)| transform.source()));
    for (number, (import, transform)) in imports.iter().enumerate() {
        let source = transform.source();
        let covers = |other: &usize| {
            let wide = &imports[*other].1;
            let is_first = *other < number || wide.source() != source;
            *other != number && is_first && (service || arrives_alike(transform, wide))
        };
        let Some(other) = index.covering(source).into_iter().find(covers) else {
            continue;
        };
        let other = &imports[other].0.at;
        let text = match service {
            true => {
                format!("every request that this import takes is taken by the one at {other}, too")
            }
            false => format!(
                "every message of this import arrives by the one at {other}, too, and so twice"
            ),
        };
        warnings.add(&import.at, text);
    }
}

/// Whether two stream imports of one account bring the messages of the narrower one under the same subjects.
fn arrives_alike(narrow: &Transform, wide: &Transform) -> bool {
    wide.image(narrow.source()) == Some(narrow.results())
}

/// A user that may not connect in any way that there is.
fn lint_user(user: &User, warnings: &mut Warnings) {
    let types = &user.connection_types;
    if !types.is_empty() && types.iter().all(|name| name != "STANDARD") {
        let text = format!(
            "the user {:?} can never connect: there are no connections of type {}",
            user.id(),
            types.join(", ")
        );
        warnings.add(&user.at, text);
    }
}

/// What clients without credentials can reach beyond their own account.
fn lint_no_auth_user(config: &Config, warnings: &mut Warnings) {
    let Some((name, at)) = &config.authorization.no_auth_user else {
        return;
    };
    if let Some(user) = users(config).find(|user| user.id() == name)
        && is_bcrypt(&user.password.0)
    {
        let text = format!(
            "the password of {name:?} is a bcrypt hash, so that clients without one are all refused"
        );
        warnings.add(at, text);
    }
    let is_in = |account: &&Account| account.users.iter().any(|user| user.id() == name);
    let Some(account) = config.accounts.iter().find(is_in) else {
        return;
    };
    if config.configured_system_account() == Some(&account.name) {
        warnings.add(
            at,
            format!("clients without credentials are in the system account, as {name:?}"),
        );
    }
    let user = account.users.iter().find(|user| user.id() == name);
    let own = user.and_then(|user| user.permissions.as_ref());
    let permissions = own.or(account.default_permissions.as_ref());
    for import in &account.imports {
        let Ok(transform) = import.transform() else {
            continue;
        };
        let (local, rules, verb) = match import.service {
            true => (
                transform.source().to_vec(),
                permissions.map(|p| &p.publish),
                "make requests to",
            ),
            false => (
                transform.results(),
                permissions.map(|p| &p.subscribe),
                "subscribe to",
            ),
        };
        if rules.is_none_or(|rules| reaches(rules, &local)) {
            let (exporter, _) = &import.account;
            let text = format!(
                "clients without credentials can {verb} {:?} of {exporter:?}, as {name:?}, by the import at {}",
                import.subject, import.at
            );
            warnings.add(at, text);
        }
    }
}

/// Whether something of `pattern` is allowed.
fn reaches(rules: &Rules, pattern: &[u8]) -> bool {
    let allowed = rules.allow.as_ref().is_none_or(|allow| {
        allow
            .iter()
            .any(|rule| overlaps(rule.subject.as_bytes(), pattern))
    });
    let covers =
        |rule: &super::Rule| rule.queue.is_none() && is_subset(pattern, rule.subject.as_bytes());
    allowed && !rules.deny.iter().any(covers)
}

fn users(config: &Config) -> impl Iterator<Item = &User> {
    let of_accounts = config.accounts.iter().flat_map(|account| &account.users);
    config.authorization.users.iter().chain(of_accounts)
}

fn is_bcrypt(password: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|start| password.starts_with(start))
}

//! Owns what can only be seen of all accounts together: unknown names, imports of what is not exported or not for
//! the importer, cycles. Never changes a configuration.

mod cycles;
pub(super) mod index;

use std::collections::{HashMap, HashSet};

use super::{Account, Config, ConfigError, Export, ExportKind, Import, Position, Service};
use crate::subject::{is_subset, tokens};
use index::Index;

/// Everything that is wrong between the accounts of a configuration, in the order of the accounts.
/// A configuration that has been loaded has none of it.
pub fn check(config: &Config) -> Vec<ConfigError> {
    accounts(config, &|_| false)
}

/// As [`check`], but silent about imports from accounts that `doubtful` names, as those were not read well.
pub(super) fn accounts(config: &Config, doubtful: &dyn Fn(&str) -> bool) -> Vec<ConfigError> {
    let exporters = Exporters::new(config);
    let mut errors = Errors(Vec::new());
    let known = |name: &str| exporters.account(name).is_some() || doubtful(name);
    let mut refused = Refused::new();
    for (importer, account) in config.accounts.iter().enumerate() {
        for export in &account.exports {
            for (name, at) in export.accounts.iter().flatten() {
                if !known(name) {
                    errors.add(at, unknown(config, name));
                }
            }
            if let ExportKind::Service(Service {
                latency: Some(latency),
                ..
            }) = &export.kind
                && config.no_system_account
            {
                let text = "\"latency\" is measured by the system account, and \"no_system_account\" is set";
                errors.add(&latency.at, text.to_owned());
            }
        }
        for (at, import) in account.imports.iter().enumerate() {
            let (name, name_at) = &import.account;
            if !known(name) {
                errors.add(name_at, unknown(config, name));
            } else if let Some(text) = refusal(&exporters, account, import) {
                refused.insert((importer, at));
                if !doubtful(name) {
                    errors.add(&import.at, text);
                }
            }
        }
    }
    errors.0.extend(cycles::check(config, &refused));
    errors.0
}

/// Imports that are not allowed: places of their accounts, and their own.
type Refused = HashSet<(usize, usize)>;

/// The exports of all accounts, to find the one that an import takes.
pub struct Exporters<'a> {
    accounts: HashMap<&'a str, Exporter<'a>>,
}

struct Exporter<'a> {
    account: &'a Account,
    exact: HashMap<(bool, &'a str), &'a Export>,
    /// All exports, numbered as in the account.
    index: Index,
}

/// Whether an account may import something.
#[derive(Clone, Copy, Debug)]
pub enum Permit<'a> {
    /// Yes, by this export.
    Granted(&'a Export),
    /// No: this export is not for it.
    Private(&'a Export),
    /// No: nothing is exported that covers it.
    NotExported,
    /// No: there is no such exporter.
    NoAccount,
}

impl<'a> Exporters<'a> {
    /// Indexes the exports of a configuration.
    pub fn new(config: &'a Config) -> Exporters<'a> {
        let by_name = |account: &'a Account| (account.name.as_str(), Exporter::new(account));
        Exporters {
            accounts: config.accounts.iter().map(by_name).collect(),
        }
    }

    /// An account by its name.
    pub fn account(&self, name: &str) -> Option<&'a Account> {
        self.accounts.get(name).map(|exporter| exporter.account)
    }

    /// Whether `importer` may have what `import` says. An export of just this subject decides; else the narrowest of
    /// those that cover it, and where several do of which none is the narrowest, all of them must allow it.
    /// (The oracle takes any one of those that cover it, by chance.)
    pub fn permit(&self, importer: &str, import: &Import) -> Permit<'a> {
        let Some(exporter) = self.accounts.get(import.account.0.as_str()) else {
            return Permit::NoAccount;
        };
        let subject = import.subject.as_str();
        if let Some(export) = exporter.exact.get(&(import.service, subject)) {
            return allows(export, importer, None);
        }
        let covering = exporter.index.covering(subject.as_bytes()).into_iter();
        let covering = covering.map(|number| &exporter.account.exports[number]);
        let covering: Vec<&Export> = covering
            .filter(|export| is_service(export) == import.service)
            .collect();
        let mut permit = Permit::NotExported;
        for export in &covering {
            let own = export.subject.as_bytes();
            let is_wider = |other: &&Export| {
                other.subject != export.subject && is_subset(other.subject.as_bytes(), own)
            };
            if covering.iter().any(is_wider) {
                continue;
            }
            match (permit, allows(export, importer, Some(subject))) {
                (_, denied @ Permit::Private(_)) => return denied,
                (Permit::NotExported, granted) => permit = granted,
                _ => {}
            }
        }
        permit
    }
}

impl<'a> Exporter<'a> {
    fn new(account: &'a Account) -> Exporter<'a> {
        let by_subject =
            |export: &'a Export| ((is_service(export), export.subject.as_str()), export);
        Exporter {
            account,
            exact: account.exports.iter().map(by_subject).collect(),
            index: Index::of(
                account
                    .exports
                    .iter()
                    .map(|export| export.subject.as_bytes()),
            ),
        }
    }
}

fn is_service(export: &Export) -> bool {
    matches!(export.kind, ExportKind::Service(_))
}

/// Whether an export is for `importer`, who wants a narrower subject or (`None`) just what is exported. A token that
/// stands for the importer must be its name: the pattern itself is for nobody.
fn allows<'a>(export: &'a Export, importer: &str, narrower: Option<&str>) -> Permit<'a> {
    let allowed = match (export.account_token_position, &export.accounts) {
        (Some(position), _) => {
            let token =
                narrower.and_then(|subject| tokens(subject.as_bytes()).nth(position as usize - 1));
            token.is_some_and(|token| token == importer.as_bytes() && !matches!(token, b"*" | b">"))
        }
        (None, Some(accounts)) => accounts.iter().any(|(name, _)| name == importer),
        (None, None) => true,
    };
    if allowed {
        Permit::Granted(export)
    } else {
        Permit::Private(export)
    }
}

fn refusal(exporters: &Exporters<'_>, importer: &Account, import: &Import) -> Option<String> {
    let kind = if import.service { "service" } else { "stream" };
    let (subject, (exporter, _)) = (&import.subject, &import.account);
    let name = &importer.name;
    match exporters.permit(name, import) {
        Permit::Granted(_) | Permit::NoAccount => None,
        Permit::NotExported => Some(format!("{exporter:?} exports no {kind} {subject:?}")),
        Permit::Private(export) => Some(match (export.account_token_position, &export.accounts) {
            (Some(position), _) => format!(
                "the {kind} {subject:?} of {exporter:?} is not for {name:?}: token {position} must be its name, by the export at {}",
                export.at
            ),
            (None, accounts) => {
                let names = accounts
                    .iter()
                    .flatten()
                    .map(|(name, _)| format!("{name:?}"));
                let names = names.collect::<Vec<_>>().join(", ");
                format!(
                    "the {kind} {subject:?} of {exporter:?} is not for {name:?}: the export at {} is for {names}",
                    export.at
                )
            }
        }),
    }
}

/// "there is no account", and which could be meant.
fn unknown(config: &Config, name: &str) -> String {
    let is_meant = |account: &&Account| {
        let key = account.nkey.as_ref().is_some_and(|(key, _)| key == name);
        key || account.name.to_lowercase() == name.to_lowercase()
    };
    let hint = match config.accounts.iter().find(is_meant) {
        Some(account) => format!(", did you mean {:?}?", account.name),
        None => String::new(),
    };
    format!("there is no account {name:?} in \"accounts\"{hint}")
}

struct Errors(Vec<ConfigError>);

impl Errors {
    fn add(&mut self, at: &Position, text: String) {
        let at = at.clone();
        self.0.push(ConfigError { at, text });
    }
}

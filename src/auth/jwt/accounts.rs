//! Accounts from claims to what a configuration says of accounts, so that the same compiler makes the same tables of them.
//! Owns which imports hold: what fails is left out, and told. Never fetches an account.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::config::check::check;
use crate::config::{
    self, Config, Destination, Latency, Mapping, Position, ResponseType, Sampling,
};
use crate::subject::{Transform, has_wildcard, is_pattern, is_subset};

use super::account::{AccountClaims, Export, ExportKind, Import, Signer, is_revoked};
use super::activation::ActivationClaims;
use super::chain::limit;
use super::trust::Trust;
use super::validation::Issues;

/// Accounts as a configuration would have them.
#[derive(Debug, Default)]
pub struct Converted {
    /// In the order of the claims; their names are their keys, they have no users.
    pub accounts: Vec<config::Account>,
    /// What was left out.
    pub failures: Vec<Failure>,
    /// Accounts that others import from, and nobody knows yet: get them and convert again.
    pub missing: BTreeSet<String>,
    /// The second since 1970 from which on the outcome is another one: an activation begins or ends.
    pub changes_at: Option<i64>,
}

/// Something of an account that does not hold, and is left out.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The account's key.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// What does not hold.
    pub what: LeftOut,
    /// Why not.
    pub why: String,
}

/// What can be left out of an account. Displayed as log lines name it.
#[derive(Clone, Debug)]
pub enum LeftOut {
    /// An import, as a configuration would say it.
    Import(Box<config::Import>),
    /// The mapping of this subject.
    Mapping(String),
}

/// Converts accounts that [`Trust::account`] took. `now` is seconds since 1970.
pub fn to_config(accounts: &[Arc<AccountClaims>], trust: &Trust, now: i64) -> Converted {
    let by_key = accounts
        .iter()
        .map(|claims| (&*claims.common.subject, &**claims));
    let mut converter = Converter {
        known: by_key.collect(),
        trust,
        now,
        granted: HashMap::new(),
        out: Converted::default(),
    };
    let imports = accounts.iter().map(|claims| converter.imports(claims));
    let imports: Vec<Vec<config::Import>> = imports.collect();
    for (claims, imports) in accounts.iter().zip(imports) {
        let account = converter.account(claims, imports);
        converter.out.accounts.push(account);
    }
    leave_out_cycles(accounts, &mut converter.out);
    converter.out
}

struct Converter<'a> {
    known: HashMap<&'a str, &'a AccountClaims>,
    trust: &'a Trust,
    now: i64,
    /// Who may take an export that needs an activation: by the exporter's key and the export's place.
    granted: HashMap<(&'a str, usize), Vec<(String, Position)>>,
    out: Converted,
}

impl<'a> Converter<'a> {
    fn account(&mut self, claims: &AccountClaims, imports: Vec<config::Import>) -> config::Account {
        let key = claims.common.subject.as_str();
        let at = position(key, 0);
        let account = &claims.account;
        let limits = &account.limits;
        config::Account {
            name: key.to_owned(),
            label: Some(claims.common.name.clone()).filter(|name| !name.is_empty()),
            nkey: None,
            users: Vec::new(),
            default_permissions: account.default_permissions.to_config(&at),
            exports: self.exports(claims),
            imports,
            mappings: self.mappings(claims),
            limits: config::AccountLimits {
                connections_max: limit(limits.conn),
                subscriptions_max: limit(limits.subs),
                payload_bytes_max: limit(limits.payload),
                leafnodes_max: limit(limits.leaf),
            },
            trace: account
                .trace
                .as_ref()
                .map(|trace| config::TraceDestination {
                    subject: trace.dest.clone(),
                    percent: match trace.sampling {
                        percent @ 1..=99 => percent as u8,
                        _ => 100,
                    },
                }),
            at,
        }
    }

    fn exports(&self, claims: &AccountClaims) -> Vec<config::Export> {
        let key = claims.common.subject.as_str();
        let exports = claims.account.exports.iter().enumerate();
        let valid = exports.filter(|(_, export)| is_pattern(export.subject.as_bytes()));
        valid
            .map(|(place, export)| {
                let granted = || self.granted.get(&(key, place)).cloned().unwrap_or_default();
                export.to_config(position(key, place), granted)
            })
            .collect()
    }

    fn imports(&mut self, claims: &'a AccountClaims) -> Vec<config::Import> {
        let mut kept: Vec<config::Import> = Vec::new();
        for (place, import) in claims.account.imports.iter().enumerate() {
            let at = position(&claims.common.subject, place);
            let converted =
                self.import(claims, import, at.clone())
                    .and_then(|converted| {
                        match kept.iter().any(|other| same_source(other, &converted)) {
                            true => Err("is imported already".to_owned()),
                            false => Ok(converted),
                        }
                    });
            match converted {
                Ok(import) => kept.push(import),
                Err(why) => {
                    let import = LeftOut::Import(Box::new(import.to_config(at)));
                    self.fails(claims, import, why);
                }
            }
        }
        kept
    }

    fn import(
        &mut self,
        importer: &AccountClaims,
        import: &Import,
        at: Position,
    ) -> Result<config::Import, String> {
        let Some((&key, &exporter)) = self.known.get_key_value(import.account.as_str()) else {
            self.out.missing.insert(import.account.clone());
            return Err("the account is not known".to_owned());
        };
        let converted = import.to_config(at);
        let (wanted, local) = (converted.subject.as_str(), converted.local());
        if !is_pattern(wanted.as_bytes()) || local.is_empty() {
            return Err("no valid subject".to_owned());
        }
        if converted
            .prefix
            .as_ref()
            .is_some_and(|prefix| has_wildcard(prefix.as_bytes()))
        {
            return Err("\"to\" must not have wildcards".to_owned());
        }
        converted.transform().map_err(|error| error.to_string())?;
        let (place, export) =
            export_for(exporter, &converted).ok_or_else(|| "is not exported".to_owned())?;
        self.authorize(importer, import, exporter, (place, export), wanted)?;
        if export.token_req && export.account_token_position == 0 {
            let granted = self.granted.entry((key, place)).or_default();
            granted.push((importer.common.subject.clone(), converted.at.clone()));
        }
        Ok(converted)
    }

    /// Whether the exporter lets the importer have it: a position in the subject decides, else an activation.
    fn authorize(
        &mut self,
        importer: &AccountClaims,
        import: &Import,
        exporter: &AccountClaims,
        (_, export): (usize, &Export),
        wanted: &str,
    ) -> Result<(), String> {
        let key = importer.common.subject.as_str();
        if export.account_token_position > 0 {
            let place = export.account_token_position as usize - 1;
            let exact = export.subject == wanted;
            return match wanted.split('.').nth(place) {
                Some(token) if token == key && !exact => Ok(()),
                _ => Err(format!("token {} must be the account's key", place + 1)),
            };
        }
        if !export.token_req {
            return Ok(());
        }
        if import.token.is_empty() {
            return Err("needs an activation token".to_owned());
        }
        self.activate(importer, import, exporter, export)
    }

    fn activate(
        &mut self,
        importer: &AccountClaims,
        import: &Import,
        exporter: &AccountClaims,
        export: &Export,
    ) -> Result<(), String> {
        let mut issues = Issues::default();
        import.validate(&importer.common.subject, &mut issues);
        if let Some(issue) = issues.blocking() {
            return Err(issue.text.clone());
        }
        let activation = ActivationClaims::decode(&import.token);
        let activation = activation.map_err(|error| format!("its activation token: {error}"))?;
        let common = &activation.common;
        if !activation.issuer_account.is_empty() {
            let strict = self.trust.is_strict(&exporter.common.issuer);
            let ours = activation.issuer_account == exporter.common.subject;
            if !ours || exporter.signer(&common.issuer, strict) == Signer::Unknown {
                let issuer = &common.issuer;
                return Err(format!(
                    "its activation token is signed by {issuer}, which does not sign for the exporter"
                ));
            }
        }
        for time in [common.not_before, common.expires] {
            if time > self.now {
                let sooner = self.out.changes_at.map_or(time, |other| other.min(time));
                self.out.changes_at = Some(sooner);
            }
        }
        issues.check_times(common, self.now);
        // Unlike elsewhere an end before 1970 is one, and the last second does not count.
        if common.expires < 0 || common.expires == self.now {
            return Err("its activation token has expired".to_owned());
        }
        if let Some(issue) = issues.blocking() {
            return Err(format!("its activation token: {}", issue.text));
        }
        match is_revoked(&export.revocations, &common.subject, common.issued_at) {
            true => Err("its activation token is revoked".to_owned()),
            false => Ok(()),
        }
    }

    /// A mapping that makes no transform is left out.
    fn mappings(&mut self, claims: &AccountClaims) -> Vec<Mapping> {
        let mut kept = Vec::new();
        for (place, (source, ways)) in claims.account.mappings.iter().enumerate() {
            let at = position(&claims.common.subject, place);
            let wrong = ways
                .iter()
                .find_map(|way| Transform::new(source, &way.subject).err());
            if let Some(error) = wrong {
                let mapping = LeftOut::Mapping(source.clone());
                self.fails(claims, mapping, error.to_string());
                continue;
            }
            let destinations = ways.iter().map(|way| Destination {
                subject: way.subject.clone(),
                weight: way.share(),
                cluster: (!way.cluster.is_empty()).then(|| way.cluster.clone()),
                at: at.clone(),
            });
            kept.push(Mapping {
                source: source.clone(),
                destinations: destinations.collect(),
                at: at.clone(),
            });
        }
        kept
    }

    fn fails(&mut self, claims: &AccountClaims, what: LeftOut, why: String) {
        self.out.failures.push(Failure {
            account: claims.common.subject.clone(),
            name: claims.common.name.clone(),
            what,
            why,
        });
    }
}

impl Import {
    /// As a configuration would say it. In claims a service with `to` is turned round.
    fn to_config(&self, at: Position) -> config::Import {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let service = self.is_service();
        let (local, to) = (text(&self.local_subject), text(&self.to));
        let (subject, prefix, to) = match (service, local, to) {
            (_, Some(local), _) => (self.subject.clone(), None, Some(local)),
            (true, None, Some(to)) => (to, None, Some(self.subject.clone())),
            (false, None, prefix) => (self.subject.clone(), prefix, None),
            (true, None, None) => (self.subject.clone(), None, None),
        };
        config::Import {
            service,
            account: (self.account.clone(), at.clone()),
            subject,
            prefix,
            to,
            share: self.share,
            allow_trace: self.allow_trace,
            at,
        }
    }
}

impl Export {
    /// `granted` are those whose activation holds.
    fn to_config(
        &self,
        at: Position,
        granted: impl Fn() -> Vec<(String, Position)>,
    ) -> config::Export {
        let position = self.account_token_position;
        config::Export {
            subject: self.subject.clone(),
            kind: match self.kind {
                Some(ExportKind::Service) => config::ExportKind::Service(self.service(&at)),
                _ => config::ExportKind::Stream,
            },
            accounts: (self.token_req && position == 0).then(granted),
            account_token_position: (position > 0).then_some(position),
            allow_trace: self.allow_trace,
            at,
        }
    }

    fn service(&self, at: &Position) -> config::Service {
        const NANOS_PER_MS: u64 = 1_000_000;
        let threshold = u64::try_from(self.response_threshold).unwrap_or(0);
        config::Service {
            response: match self.response_type.as_str() {
                "Stream" => ResponseType::Stream,
                "Chunked" => ResponseType::Chunked,
                _ => ResponseType::Singleton,
            },
            threshold_ms: (threshold > 0).then(|| threshold.div_ceil(NANOS_PER_MS)),
            latency: self.service_latency.as_ref().map(|latency| Latency {
                sampling: match u8::try_from(latency.sampling) {
                    Ok(0) | Err(_) => Sampling::Headers,
                    Ok(percent) => Sampling::Percent(percent.min(100)),
                },
                subject: latency.results.clone(),
                at: at.clone(),
            }),
        }
    }
}

impl Failure {
    /// The account from which was to come what fails.
    pub fn exporter(&self) -> Option<&str> {
        match &self.what {
            LeftOut::Import(import) => Some(&import.account.0),
            LeftOut::Mapping(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            account,
            name,
            what,
            why,
        } = self;
        write!(f, "account {account} ({name:?}): {what}: {why}")
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::Import(import) => {
                let kind = if import.service { "service" } else { "stream" };
                let (subject, (account, _)) = (&import.subject, &import.account);
                write!(f, "import of {kind} {subject:?} from {account}")
            }
            LeftOut::Mapping(source) => write!(f, "mapping of {source:?}"),
        }
    }
}

/// Where something of an account stands: its token, and the place in the list as the column.
fn position(account: &str, place: usize) -> Position {
    Position {
        file: format!("JWT of account {account}").into(),
        line: 0,
        column: u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1),
    }
}

/// The export of just this subject, else the narrowest of those that cover it; of several that are no narrower than one
/// another the first. (The oracle takes any that covers it, by chance.)
fn export_for<'a>(
    exporter: &'a AccountClaims,
    import: &config::Import,
) -> Option<(usize, &'a Export)> {
    let wanted = import.subject.as_bytes();
    let exports = exporter.account.exports.iter().enumerate();
    let mut found: Option<(usize, &Export)> = None;
    for (place, export) in exports {
        let own = export.subject.as_bytes();
        if (export.kind == Some(ExportKind::Service)) != import.service || !is_pattern(own) {
            continue;
        }
        if own == wanted {
            return Some((place, export));
        }
        let narrower = |other: &Export| is_subset(own, other.subject.as_bytes());
        if is_subset(wanted, own) && found.is_none_or(|(_, other)| narrower(other)) {
            found = Some((place, export));
        }
    }
    found
}

/// Whether two imports of an account take the same, of which there can be one.
fn same_source(one: &config::Import, other: &config::Import) -> bool {
    let local = |import: &config::Import| import.transform().ok().map(|t| t.source().to_vec());
    one.service == other.service
        && one.account.0 == other.account.0
        && match one.service {
            true => local(one) == local(other),
            false => one.subject == other.subject,
        }
}

/// What the configuration's own check finds wrong between accounts, cycles above all: the import that it names goes, until
/// nothing is found. In a cycle of many, one is enough.
fn leave_out_cycles(claims: &[Arc<AccountClaims>], out: &mut Converted) {
    loop {
        let config = Config {
            accounts: std::mem::take(&mut out.accounts),
            ..Config::default()
        };
        let errors = check(&config);
        out.accounts = config.accounts;
        let removed = errors.iter().find_map(|error| {
            let accounts = out.accounts.iter_mut().zip(claims);
            accounts.into_iter().find_map(|(account, claims)| {
                let named = |import: &config::Import| import.at == error.at;
                let place = account.imports.iter().position(named)?;
                let import = account.imports.remove(place);
                Some(Failure {
                    account: claims.common.subject.clone(),
                    name: claims.common.name.clone(),
                    what: LeftOut::Import(Box::new(import)),
                    why: error.text.clone(),
                })
            })
        });
        match removed {
            Some(failure) => out.failures.push(failure),
            None => return,
        }
    }
}

//! The accounts of operator mode, as far as there are files that have them. Owns which JWT of an account counts, and the
//! words for those that are not at hand. Reads no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::auth::jwt::{AccountClaims, Failure, Lookup, Trust};
use crate::auth::operator::{KnownAccounts, Operator, converted};
use crate::auth::operators::OperatorMode;
use crate::auth::resolver::replaces;
use crate::config::{AUTH_TIMEOUT_MS, Config, Position, ResolverKind};

use super::super::report::Provenance;

/// JWTs of accounts beside those that stand in the configuration.
#[derive(Clone, Debug, Default)]
pub struct AccountJwts {
    /// What is in the resolver's directory, by key.
    pub directory: Vec<(String, String)>,
    /// What was given by hand, and what that is called. It counts, whatever else there is.
    pub given: Vec<(String, String)>,
}

/// Operator mode with every account that is at hand. Immutable.
pub struct Tokens {
    /// The configuration with those accounts.
    pub(in crate::explain) config: Config,
    pub(super) mode: OperatorMode,
    pub(super) trust: Arc<Trust>,
    pub(super) known: Arc<KnownAccounts>,
    /// What was left out of accounts.
    pub(in crate::explain) failures: Vec<Failure>,
    pub(super) now: Timestamp,
    /// Where an account's JWT is from, and its claims as their issuer signed them, whether anybody trusts it or not.
    found: BTreeMap<String, Found>,
}

/// The JWT of an account.
pub(super) struct Found {
    pub from: Provenance,
    pub claims: Option<AccountClaims>,
    /// Why it does not count.
    pub wrong: Option<String>,
}

impl Tokens {
    /// What a configuration of operator mode comes to. `zone` is the machine's.
    ///
    /// # Errors
    /// What is wrong with it, or with what was given by hand; a configuration without operators.
    pub fn new(
        config: &Config,
        jwts: &AccountJwts,
        zone: TimeZone,
        now: Timestamp,
    ) -> Result<Tokens, Vec<String>> {
        let mode = OperatorMode::compile(config)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let Some(mode) = mode else {
            let text = "the configuration has no operator: JWTs are for nothing there";
            return Err(vec![text.to_owned()]);
        };
        let trust = Arc::new(mode.trust(zone));
        let at_hand = at_hand(config, &mode, jwts)?;
        let found: BTreeMap<String, Found> = at_hand
            .into_iter()
            .map(|(key, (from, jwt))| {
                let counts = trust.account(&key, &jwt, now.as_second());
                let found = Found {
                    from,
                    claims: AccountClaims::decode(&jwt).ok(),
                    wrong: counts.err().map(|error| error.to_string()),
                };
                (key, found)
            })
            .collect();
        let counting = found.iter().filter(|(_, found)| found.wrong.is_none());
        let claims = counting.filter_map(|(key, found)| {
            let claims = found.claims.clone()?;
            Some((Arc::from(key.as_str()), Arc::new(claims)))
        });
        let known: KnownAccounts = claims.collect();
        let made = converted(&known, &trust, now);
        Ok(Tokens {
            config: mode.effective(config, made.accounts),
            mode,
            trust,
            known: Arc::new(known),
            failures: made.failures,
            now,
            found,
        })
    }

    /// What a broker would judge clients by that knows these accounts.
    pub fn operator(&self) -> Arc<Operator> {
        let timeout_ms = self.config.authorization.timeout_ms;
        Arc::new(Operator {
            trust: self.trust.clone(),
            known: self.known.clone(),
            withdrawn: Arc::default(),
            timeout_ms: timeout_ms.unwrap_or(AUTH_TIMEOUT_MS),
        })
    }

    pub(super) fn found(&self, key: &str) -> Option<&Found> {
        self.found.get(key)
    }

    /// What people call the accounts, by key.
    pub(in crate::explain) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.known.iter();
        named.map(|(key, claims)| (&**key, claims.common.name.as_str()))
    }

    pub(super) fn lookup(&self, key: &str) -> Lookup {
        match (self.known.get(key), self.found.get(key)) {
            (Some(claims), _) => Lookup::Known(claims.clone()),
            (None, Some(found)) => Lookup::Missing(found.wrong.clone().unwrap_or_default()),
            (None, None) => Lookup::Missing(self.missing()),
        }
    }

    /// Whether a broker has another place to ask for an account than those that are looked at here.
    pub(super) fn asks_elsewhere(&self) -> bool {
        matches!(self.mode.resolver, Some((ResolverKind::Url(_), _)))
    }

    /// Why an account is not there; nothing for one that is.
    pub(in crate::explain) fn absent(&self, key: &str) -> Option<String> {
        match self.lookup(key) {
            Lookup::Missing(why) => Some(why),
            Lookup::Known(_) | Lookup::Unknown => None,
        }
    }

    /// Why the JWT of an account is not at hand.
    fn missing(&self) -> String {
        match &self.mode.resolver {
            Some((ResolverKind::Url(_), _)) => {
                "its JWT is not at hand: the resolver is a URL, which is not asked here; give it with --account-jwt".to_owned()
            }
            Some((ResolverKind::Directory(settings), _)) => {
                let dir = settings.dir.display();
                format!("its JWT is not in {dir}; should somebody in the system account have it, give it with --account-jwt")
            }
            Some((ResolverKind::Memory, _)) | None => {
                "there is no such account: \"resolver_preload\" has no JWT of it".to_owned()
            }
        }
    }
}

/// What a resolver begins with, as the broker's own takes it, and over it what was given by hand.
fn at_hand(
    config: &Config,
    mode: &OperatorMode,
    jwts: &AccountJwts,
) -> Result<BTreeMap<String, (Provenance, String)>, Vec<String>> {
    let mut found = BTreeMap::new();
    if let Some((ResolverKind::Directory(settings), at)) = &mode.resolver {
        for (key, jwt) in &jwts.directory {
            let from = format!("the directory {}", settings.dir.display());
            let from = Provenance::new(from, Some(at));
            found.insert(key.clone(), (from, jwt.clone()));
        }
    }
    let keeps = !matches!(mode.resolver, Some((ResolverKind::Url(_), _)));
    for (key, jwt) in mode.preload.iter().filter(|_| keeps) {
        let there = found.get(key).map(|(_, jwt)| jwt.as_str());
        if there.is_none() || replaces(key, there, jwt).unwrap_or(false) {
            let at = place(config, key);
            let from = Provenance::new("resolver_preload", at);
            found.insert(key.clone(), (from, jwt.clone()));
        }
    }
    let mut errors = Vec::new();
    for (file, jwt) in &jwts.given {
        match AccountClaims::decode(jwt) {
            Ok(claims) => {
                let from = Provenance::new(file.as_str(), None);
                found.insert(claims.common.subject, (from, jwt.clone()));
            }
            Err(error) => errors.push(format!("{file}: no JWT of an account: {error}")),
        }
    }
    match errors.is_empty() {
        true => Ok(found),
        false => Err(errors),
    }
}

fn place<'c>(config: &'c Config, key: &str) -> Option<&'c Position> {
    let preload = &config.operators.preload;
    let own = preload.iter().find(|preload| preload.account == key);
    own.map(|own| &own.at)
}

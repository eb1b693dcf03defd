//! Owns the requests about account JWTs in the system account: which subjects there are, who may ask for what, and the
//! answers. Knows no connection, and keeps nothing itself.
//!
//! A request is what `nsc push` and its like send: `$SYS.REQ.CLAIMS.UPDATE`, `LIST`, `PACK`, `DELETE`,
//! `$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP` and `UPDATE`, and `$SYS.ACCOUNT.*.CLAIMS.UPDATE` of older tools.

use data_encoding::BASE64URL_NOPAD;
use log::Level;
use serde_json::Value;

use super::index::Hash;
use super::{Store, Unusable, expires_ms, take, usable};
use crate::auth::jwt::{AccountClaims, Issue, Severity, WeightedMapping, decode};
use crate::auth::operators::OperatorMode;
use crate::config::is_account_key;
use crate::subject::{Transform, TransformError, TransformErrorKind, is_pattern};

pub use super::reply::Reply;

/// What a store is to others, which decides what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds all accounts.
    Full,
    /// It holds those that are used.
    Cache,
    /// There is none: the resolver is memory or a URL. Updates count until the next fetch.
    None,
}

impl Role {
    /// The subjects to listen on.
    pub fn subjects(self) -> &'static [&'static str] {
        const ALL: &[&str] = &[
            "$SYS.ACCOUNT.*.CLAIMS.UPDATE",
            "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
            "$SYS.REQ.CLAIMS.UPDATE",
            "$SYS.REQ.CLAIMS.LIST",
            "$SYS.REQ.CLAIMS.DELETE",
            "$SYS.REQ.CLAIMS.PACK",
            "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
        ];
        match self {
            Role::Full => ALL,
            Role::Cache => &ALL[..5],
            Role::None => &ALL[..2],
        }
    }
}

/// A message on one of [`Role::subjects`].
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// Its payload, without headers.
    pub payload: &'a [u8],
    /// Whether it has a reply subject.
    pub wants_reply: bool,
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Messages to its reply subject, in order.
    pub replies: Vec<Reply>,
    /// What to do, in order.
    pub effects: Vec<Effect>,
    /// What to log.
    pub log: Option<(Level, String)>,
}

/// What a request asks of whoever holds the accounts in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The account's JWT is this one now. If the account is in use, it changes.
    Updated {
        /// The account's key.
        account: String,
        /// Its JWT.
        jwt: String,
    },
    /// The account is no more: its clients go, with `Account Authentication Expired`.
    Deleted {
        /// The account's key.
        account: String,
    },
}

/// What requests are decided by.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// What the store is.
    pub role: Role,
    /// Whom the node trusts.
    pub mode: &'a OperatorMode,
    /// Whether an account is in use.
    pub in_use: &'a dyn Fn(&str) -> bool,
}

impl Rules<'_> {
    /// Answers a request. `now_ms` is milliseconds since 1970. Subjects that are none of [`Role::subjects`] do nothing.
    pub fn answer(&self, store: &mut dyn Store, request: Request<'_>, now_ms: i64) -> Answer {
        let tokens: Vec<&str> = request.subject.split('.').collect();
        let mut answer = match tokens[..] {
            ["$SYS", "ACCOUNT", key, "CLAIMS", "UPDATE"]
            | ["$SYS", "REQ", "ACCOUNT", key, "CLAIMS", "UPDATE"] => {
                self.update(store, Some(key), request.payload, now_ms)
            }
            ["$SYS", "REQ", "CLAIMS", "UPDATE"] => {
                self.update(store, None, request.payload, now_ms)
            }
            ["$SYS", "REQ", "CLAIMS", "DELETE"] => self.delete(store, request.payload),
            ["$SYS", "REQ", "CLAIMS", "LIST"] if request.wants_reply => list(store, now_ms),
            ["$SYS", "REQ", "CLAIMS", "PACK"] if request.wants_reply => {
                pack(store, request.payload, now_ms)
            }
            ["$SYS", "REQ", "ACCOUNT", key, "CLAIMS", "LOOKUP"] if request.wants_reply => {
                lookup(store, key, now_ms)
            }
            _ => Answer::default(),
        };
        if !request.wants_reply {
            answer.replies.clear();
        }
        answer
    }

    /// `key` is what the subject says, if it says one.
    fn update(
        &self,
        store: &mut dyn Store,
        key: Option<&str>,
        payload: &[u8],
        now_ms: i64,
    ) -> Answer {
        let words = Words::of(self.role);
        let jwt = String::from_utf8_lossy(payload);
        if self.role == Role::None && payload.is_empty() {
            let key = key.unwrap_or_default();
            return failed(key, "jwt update error", "request body is empty");
        }
        let claims = match AccountClaims::decode(&jwt) {
            Ok(claims) => claims,
            Err(error) => {
                let key = key.filter(|_| self.role != Role::Full).unwrap_or("n/a");
                return failed(key, words.error, &super::reply::text(&error, payload));
            }
        };
        match self.permits(&words, key, &claims, now_ms) {
            Err(answer) => answer,
            Ok(()) => self.updated(store, &words, &claims, &jwt, now_ms),
        }
    }

    /// The checks in the oracle's order, which decides the text where several fail.
    fn permits(
        &self,
        words: &Words,
        key: Option<&str>,
        claims: &AccountClaims,
        now_ms: i64,
    ) -> Result<(), Answer> {
        let subject = claims.common.subject.as_str();
        let (named, key) = (key.is_some(), key.unwrap_or(subject));
        let invalid = || match errors(claims, now_ms) {
            Some(text) => Err(failed(subject, words.invalid, &text)),
            None => Ok(()),
        };
        let mismatch = || match key == subject {
            true => Ok(()),
            false => Err(failed(
                key,
                words.error,
                "subject does not match jwt content",
            )),
        };
        let wrong_key = || match self.needs_signing_key(&claims.common.issuer) {
            true => Err(failed(
                key,
                words.error,
                "operator requires issuer to be a signing key",
            )),
            false => Ok(()),
        };
        let untrusted = || match self.mode.trusts(&claims.common.issuer) {
            true => Ok(()),
            false => Err(failed(key, words.error, "not trusted")),
        };
        let unused = || match (self.in_use)(key) {
            true => Ok(()),
            false => Err(done(key, words.skipped)),
        };
        match self.role {
            Role::Full if named => invalid()
                .and_then(|()| mismatch())
                .and_then(|()| wrong_key())?,
            Role::Full => wrong_key().and_then(|()| invalid())?,
            Role::Cache => mismatch()
                .and_then(|()| wrong_key())
                .and_then(|()| unused())
                .and_then(|()| invalid())?,
            Role::None => return mismatch().and_then(|()| unused()),
        }
        untrusted()
    }

    fn updated(
        &self,
        store: &mut dyn Store,
        words: &Words,
        claims: &AccountClaims,
        jwt: &str,
        now_ms: i64,
    ) -> Answer {
        let account = claims.common.subject.clone();
        let changed = match self.role {
            Role::None => match usable(&account, jwt, self.mode, now_ms) {
                Ok(_) => true,
                Err(Unusable::Claims(_) | Unusable::Issuer(_)) => {
                    return failed(&account, words.error, "account validation failed");
                }
                Err(error) => return failed(&account, words.error, &error.to_string()),
            },
            _ => match store.save(&account, jwt, now_ms) {
                Ok(changed) => changed,
                Err(error) => return failed(&account, words.error, &error.to_string()),
            },
        };
        let mut answer = done(&account, words.done);
        if changed {
            let jwt = jwt.to_owned();
            answer.effects.push(Effect::Updated { account, jwt });
        }
        answer
    }

    /// With `strict_signing_key_usage` the operator's own key makes no accounts.
    fn needs_signing_key(&self, issuer: &str) -> bool {
        let first = self.mode.operators.first();
        first.is_some_and(|claims| {
            claims.operator.strict_signing_key_usage && claims.common.subject == issuer
        })
    }

    /// The payload is a token, signed by a key of the first operator for itself, whose `accounts` are to go.
    fn delete(&self, store: &mut dyn Store, payload: &[u8]) -> Answer {
        let jwt = String::from_utf8_lossy(payload);
        let (issuer, accounts) = match decode(&jwt) {
            Err(error) => (String::new(), Err(super::reply::text(&error, payload))),
            Ok(claims) => {
                let common = claims.common();
                let accounts = self.deletable(store, &common.issuer, &common.subject, &jwt);
                (common.subject.clone(), accounts.map_err(str::to_owned))
            }
        };
        let accounts = match accounts {
            Ok(accounts) => accounts,
            Err(why) => {
                let what = format!("delete accounts request by {issuer} failed");
                return failed("", &what, &why);
            }
        };
        let (mut count, mut errors, mut effects) = (0, Vec::new(), Vec::new());
        for account in accounts {
            match store.delete(&account) {
                Ok(was_there) => {
                    count += 1;
                    effects.extend(was_there.then_some(Effect::Deleted { account }));
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
        let answer = match errors.len() {
            0 => done("", &format!("deleted {count} accounts")),
            failures => {
                let what = format!("deleted {count} accounts, failed for {failures}");
                failed("", &what, &errors.join("\n"))
            }
        };
        Answer { effects, ..answer }
    }

    fn deletable(
        &self,
        store: &dyn Store,
        issuer: &str,
        subject: &str,
        jwt: &str,
    ) -> Result<Vec<String>, &'static str> {
        let first = self.mode.operators.first();
        if !store.allows_delete() {
            return Err("delete must be enabled in server config");
        }
        if subject != issuer {
            return Err("not self signed");
        }
        if !first.is_some_and(|claims| claims.trusted_keys().any(|key| key == issuer)) {
            return Err("not trusted");
        }
        let accounts = accounts_of(jwt).ok_or("malformed request")?;
        let system = self.mode.system_account.as_ref().map(|(key, _)| key);
        for account in &accounts {
            if !is_account_key(account) {
                return Err("malformed request");
            }
            if Some(account) == system {
                return Err("not allowed to delete system account");
            }
        }
        Ok(accounts)
    }
}

/// The oracle's words for what a store is.
struct Words {
    error: &'static str,
    invalid: &'static str,
    skipped: &'static str,
    done: &'static str,
}

impl Words {
    fn of(role: Role) -> Words {
        match role {
            Role::Cache => Words {
                error: "jwt update cache resulted in error",
                invalid: "jwt update cache validation failed",
                skipped: "jwt update cache skipped",
                done: "jwt updated cache",
            },
            Role::Full | Role::None => Words {
                error: "jwt update resulted in error",
                invalid: "jwt validation failed",
                skipped: "jwt update skipped",
                done: "jwt updated",
            },
        }
    }
}

/// Takes in what another node packed: lines of `KEY|JWT`. Gives what changed, and what is wrong with the rest.
pub fn merge(store: &mut dyn Store, packed: &str, now_ms: i64) -> (Vec<Effect>, Vec<String>) {
    let (mut effects, mut errors) = (Vec::new(), Vec::new());
    for line in packed.lines().filter(|line| !line.is_empty()) {
        let Some((key, jwt)) = line.split_once('|').filter(|(key, _)| is_account_key(key)) else {
            errors.push("a line that is not KEY|JWT".to_owned());
            continue;
        };
        match take(store, key, jwt, now_ms) {
            Ok(true) => effects.push(Effect::Updated {
                account: key.to_owned(),
                jwt: jwt.to_owned(),
            }),
            Ok(false) => {}
            Err(error) => errors.push(format!("account {key}: {error}")),
        }
    }
    (effects, errors)
}

fn list(store: &dyn Store, now_ms: i64) -> Answer {
    let all = match unexpired(store, now_ms) {
        Ok(all) => all,
        Err(error) => return silent(format!("list request error: {error}")),
    };
    let keys: Vec<String> = all.into_iter().map(|(key, _)| key).collect();
    let text = format!("list request responded with {} account ids", keys.len());
    Answer {
        replies: vec![Reply::Accounts(keys)],
        log: Some((Level::Debug, text)),
        ..Answer::default()
    }
}

/// One message for each JWT, and an empty one; that alone if the other has the same ones.
fn pack(store: &dyn Store, theirs: &[u8], now_ms: i64) -> Answer {
    let ours: Hash = store.hash();
    let mut replies = Vec::new();
    if theirs != ours {
        match unexpired(store, now_ms) {
            Ok(all) => replies.extend(all.into_iter().map(|(key, jwt)| format!("{key}|{jwt}"))),
            Err(error) => return silent(format!("DirResolver - Pack request error: {error}")),
        }
    }
    replies.push(String::new());
    Answer {
        replies: replies
            .into_iter()
            .map(|text| Reply::Raw(text.into()))
            .collect(),
        ..Answer::default()
    }
}

/// An empty message says that there is none.
fn lookup(store: &mut dyn Store, key: &str, now_ms: i64) -> Answer {
    if nkeys::from_public_key(key).is_err() {
        let text = format!("DirResolver - Error looking up account {key:?}: invalid public key");
        return silent(text);
    }
    match store.load(key, now_ms) {
        Ok(jwt) => {
            let text = format!("DirResolver - Could not find account {key:?}");
            Answer {
                log: jwt.is_none().then_some((Level::Debug, text)),
                replies: vec![Reply::Raw(jwt.unwrap_or_default().into_bytes())],
                ..Answer::default()
            }
        }
        Err(error) => silent(format!(
            "DirResolver - Error looking up account {key:?}: {error}"
        )),
    }
}

fn unexpired(store: &dyn Store, now_ms: i64) -> std::io::Result<Vec<(String, String)>> {
    let mut all = store.all()?;
    let counts =
        |jwt: &str| expires_ms(jwt).is_none_or(|at| at.div_euclid(1000) >= now_ms.div_euclid(1000));
    all.retain(|(_, jwt)| !jwt.is_empty() && counts(jwt));
    Ok(all)
}

/// What makes an account unusable at any time, in one text.
fn errors(claims: &AccountClaims, now_ms: i64) -> Option<String> {
    let issues = claims.validate(now_ms.div_euclid(1000)).0;
    let is_error = |issue: &&Issue| issue.severity == Severity::Error;
    let texts: Vec<&str> = (issues.iter().filter(is_error))
        .map(|issue| issue.text.as_str())
        .collect();
    let errors = (!texts.is_empty()).then(|| format!("validation errors: [{}]", texts.join(" ")));
    errors.or_else(|| mapping_error(claims))
}

/// What is wrong with the first mapping that is none, in the oracle's words: its account keeps what it has.
fn mapping_error(claims: &AccountClaims) -> Option<String> {
    for (source, ways) in &claims.account.mappings {
        if !is_pattern(source.as_bytes()) {
            return Some(format!("mapping {source:?}: invalid subject"));
        }
        for (at, way) in ways.iter().enumerate() {
            let subject = &way.subject;
            let same =
                |other: &WeightedMapping| other.subject == *subject && other.cluster == way.cluster;
            if ways[..at].iter().any(same) {
                return Some(format!(
                    "mapping {source:?}: duplicate entry for {subject:?}"
                ));
            }
            if let Err(error) = Transform::new(source, subject) {
                let error = transform_error(&error);
                return Some(format!("mapping {source:?} -> {subject:?}: {error}"));
            }
        }
    }
    None
}

fn transform_error(error: &TransformError) -> String {
    let what = match error.kind {
        TransformErrorKind::UnknownFunction => "unknown function",
        TransformErrorKind::TooFewArguments => "not enough arguments passed to the function",
        TransformErrorKind::TooManyArguments => "too many arguments passed to the function",
        TransformErrorKind::BadArgument => "function argument is invalid or in the wrong format",
        TransformErrorKind::NoSuchWildcard(number, _) => {
            let text = &error.text;
            return format!(
                "invalid mapping destination: wildcard index out of range in {text}: [{number}]"
            );
        }
        _ => return "invalid subject".to_owned(),
    };
    format!("invalid mapping destination: {what} in {}", error.text)
}

/// `nats.accounts` of a token that has been decoded.
fn accounts_of(jwt: &str) -> Option<Vec<String>> {
    let payload = jwt.split('.').nth(1)?;
    let claims: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?).ok()?;
    let accounts = claims.get("nats")?.get("accounts")?.as_array()?;
    let text = |account: &Value| account.as_str().map(str::to_owned);
    accounts.iter().map(text).collect()
}

fn done(account: &str, message: &str) -> Answer {
    let log = match account {
        "" => message.to_owned(),
        account => format!("{message} - {account}"),
    };
    Answer {
        replies: vec![Reply::Done {
            account: account.to_owned(),
            message: message.to_owned(),
        }],
        log: Some((Level::Debug, log)),
        ..Answer::default()
    }
}

fn failed(account: &str, message: &str, why: &str) -> Answer {
    let log = match account {
        "" => format!("{message} - {why}"),
        account => format!("{message} - {account} - {why}"),
    };
    Answer {
        replies: vec![Reply::Failed {
            account: account.to_owned(),
            description: format!("{message} - {why}"),
        }],
        log: Some((Level::Error, log)),
        ..Answer::default()
    }
}

/// Who asked waits in vain, as with the oracle.
fn silent(text: String) -> Answer {
    Answer {
        log: Some((Level::Error, text)),
        ..Answer::default()
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;

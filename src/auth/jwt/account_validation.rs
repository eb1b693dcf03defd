//! What must hold for the claims of an account, export by export and import by import. Owns the checks that need no other
//! account.

use nkeys::KeyPairType;

use crate::subject::is_subset;

use super::account::{
    ALL, Account, AccountClaims, AccountLimits, Export, ExportKind, ExternalAuthorization, Import,
    MessageTrace, WeightedMapping,
};
use super::activation::ActivationClaims;
use super::claims::Common;
use super::validation::{Issue, Issues, is_url};

/// Longest text for people, bytes.
const INFO_BYTES_MAX: usize = 8 * 1024;

impl AccountClaims {
    /// Everything that is wrong. `now` is seconds since 1970.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        issues.check_times(&self.common, now);
        self.account.validate(&self.common, &mut issues);
        issues
    }
}

impl Account {
    fn validate(&self, common: &Common, issues: &mut Issues) {
        check_imports(&self.imports, &common.subject, issues);
        check_exports(&self.exports, issues);
        self.default_permissions.validate(issues);
        for (source, ways) in &self.mappings {
            check_mapping(source, ways, issues);
        }
        self.authorization.validate(issues);
        if let Some(trace) = &self.trace {
            trace.validate(issues);
        }
        self.limits.validate(self, issues);
        for (key, scope) in &self.signing_keys {
            match scope {
                Some(scope) => issues.check_account_key(&scope.key),
                None => issues.check_key(key, &KeyPairType::Account, |key| {
                    format!("{key} is not a valid account signing key")
                }),
            }
        }
        check_info(&self.description, &self.info_url, issues);
        if !["", "system", "owner"].contains(&self.cluster_traffic.as_str()) {
            let traffic = &self.cluster_traffic;
            issues.error(format!("unknown cluster traffic option: {traffic:?}"));
        }
    }
}

impl AccountLimits {
    fn validate(&self, account: &Account, issues: &mut Issues) {
        let exceeds = |count: usize, limit: i64| limit != -1 && count as i64 > limit;
        if exceeds(account.imports.len(), self.imports) {
            // The oracle looks twice.
            for _ in 0..1 + usize::from(self.imports >= 0) {
                issues.error(more_than_allowed("imports"));
            }
        }
        if exceeds(account.exports.len(), self.exports) {
            issues.error(more_than_allowed("exports"));
        }
        if self.exports != -1 && !self.wildcards {
            let exports = account.exports.iter();
            for _ in exports.filter(|export| has_wildcards(&export.subject)) {
                let text =
                    "the account contains wildcard exports that are not allowed by the operator";
                issues.error(text.to_owned());
            }
        }
        let tiers = self.others.get("tiered_limits");
        let tiers = tiers.and_then(serde_json::Value::as_object);
        if tiers.is_some_and(|tiers| tiers.contains_key("")) {
            issues.error("tiered limits without a name of the tier".to_owned());
        }
    }
}

/// The oracle's words: whoever pushes an account reads them.
fn more_than_allowed(what: &str) -> String {
    format!("the account contains more {what} than allowed by the operator")
}

impl Export {
    fn validate(&self, issues: &mut Issues) {
        let subject = &self.subject;
        if self.kind.is_none() {
            issues.error("invalid export type: \"unknown\"".to_owned());
        }
        let service = self.kind == Some(ExportKind::Service);
        let response = self.response_type.as_str();
        if service && !["", "Singleton", "Stream", "Chunked"].contains(&response) {
            issues.error(format!("invalid response type for service: {response:?}"));
        }
        if self.kind == Some(ExportKind::Stream) {
            if !response.is_empty() {
                issues.error(format!("invalid response type for stream: {response:?}"));
            }
            if self.allow_trace {
                issues.error("AllowTrace only valid for service export".to_owned());
            }
        }
        if let Some(latency) = &self.service_latency {
            if !service {
                issues.error("latency tracking only permitted for services".to_owned());
            }
            if !(0..=100).contains(&latency.sampling) {
                issues.error("sampling percentage needs to be between 1-100".to_owned());
            }
            issues.check_subject(&latency.results);
            if has_wildcards(&latency.results) {
                issues.error("results subject can not contain wildcards".to_owned());
            }
        }
        match self.response_threshold {
            ..=-1 => issues.error("negative response threshold is invalid".to_owned()),
            1.. if !service => {
                issues.error("response threshold only valid for services".to_owned());
            }
            _ => {}
        }
        issues.check_subject(subject);
        self.check_token_position(issues);
        check_info(&self.description, &self.info_url, issues);
    }

    fn check_token_position(&self, issues: &mut Issues) {
        let (subject, position) = (&self.subject, self.account_token_position);
        if position == 0 {
            return;
        }
        if !has_wildcards(subject) {
            return issues.error(format!(
                "Account Token Position can only be used with wildcard subjects: {subject}"
            ));
        }
        match subject.split('.').nth(position as usize - 1) {
            Some("*") => {}
            None => issues.error(format!(
                "Account Token Position {position} exceeds length of subject '{subject}'"
            )),
            Some(token) => issues.error(format!(
                "Account Token Position {position} matches '{token}' but must match a * in: {subject}"
            )),
        }
    }
}

impl Import {
    /// `importer` is the key of the account that it stands in. What its activation token says is checked as far as no
    /// clock and no exporter is needed.
    pub(super) fn validate(&self, importer: &str, issues: &mut Issues) {
        let subject = &self.subject;
        if self.kind.is_none() {
            issues.error("invalid import type: \"unknown\"".to_owned());
        }
        if self.is_service() && self.allow_trace {
            issues.error("AllowTrace only valid for stream import".to_owned());
        }
        if self.account.is_empty() {
            issues.error("account to import from is not specified".to_owned());
        }
        issues.check_subject(subject);
        if !self.local_subject.is_empty() {
            check_renaming(&self.local_subject, subject, issues);
            if !self.to.is_empty() {
                issues.error("Local Subject replaces To".to_owned());
            }
        } else if !self.to.is_empty() {
            let text = format!("import {subject:?} has \"to\", which \"local_subject\" replaces");
            issues.warning(text);
        }
        if self.share && !self.is_service() {
            issues.error(format!(
                "sharing information (for latency tracking) is only valid for services: {subject:?}"
            ));
        }
        if self.token.is_empty() {
            return;
        }
        match ActivationClaims::decode(&self.token) {
            Ok(activation) => self.check_activation(&activation, importer, issues),
            Err(_) => issues.error(format!(
                "import {subject:?} contains an invalid activation token"
            )),
        }
    }

    fn check_activation(&self, activation: &ActivationClaims, importer: &str, issues: &mut Issues) {
        let subject = &self.subject;
        let ActivationClaims {
            common,
            issuer_account,
            ..
        } = activation;
        if common.issuer != self.account && *issuer_account != self.account {
            issues.error(format!(
                "activation token doesn't match account for import {subject:?}"
            ));
        }
        if common.subject != importer {
            issues.error(format!(
                "activation token doesn't match account it is being included in, {subject:?}"
            ));
        }
        if activation.import_kind != self.kind {
            let (own, other) = (kind_name(self.kind), kind_name(activation.import_kind));
            issues.error(format!(
                "mismatch between token import type {other} and type of import {own}"
            ));
        }
        activation.validate(issues);
        let exported = match self.is_service() && !self.to.is_empty() {
            true => &self.to,
            false => subject,
        };
        if !is_contained(exported, &activation.import_subject) {
            let wider = &activation.import_subject;
            issues.error(format!(
                "activation token import subject {wider:?} doesn't match import {subject:?}"
            ));
        }
    }
}

fn kind_name(kind: Option<ExportKind>) -> &'static str {
    match kind {
        Some(ExportKind::Stream) => "stream",
        Some(ExportKind::Service) => "service",
        None => "unknown",
    }
}

impl ExternalAuthorization {
    fn validate(&self, issues: &mut Issues) {
        if !self.allowed_accounts.is_empty() && self.auth_users.is_empty() {
            issues.error(
                "External authorization cannot have accounts without users specified".to_owned(),
            );
        }
        for user in &self.auth_users {
            issues.check_key(user, &KeyPairType::User, |key| {
                format!("AuthUser {key} is not a valid user public key")
            });
        }
        for account in &self.allowed_accounts {
            match account.as_str() {
                ALL if self.allowed_accounts.len() > 1 => {
                    issues.error(format!(
                        "AllowedAccounts can only be a list of accounts or {ALL:?}"
                    ));
                }
                ALL => {}
                account => issues.check_key(account, &KeyPairType::Account, |key| {
                    format!("Account {key} is not a valid account public key")
                }),
            }
        }
        if !self.xkey.is_empty() {
            issues.check_key(&self.xkey, &KeyPairType::Curve, |key| {
                format!("XKey {key} is not a valid public xkey")
            });
        }
    }
}

impl MessageTrace {
    fn validate(&self, issues: &mut Issues) {
        let mut wrong = Issues::default();
        wrong.check_subject(&self.dest);
        if let Some(Issue { text, .. }) = wrong.0.first() {
            issues.error(format!("the account Trace.Destination {text}"));
        }
        if has_wildcards(&self.dest) {
            issues.error(format!(
                "the account Trace.Destination subject {:?} is not a valid publish subject",
                self.dest
            ));
        }
        if !(0..=100).contains(&self.sampling) {
            issues.error(format!(
                "the account Trace.Sampling value '{}' is not valid, should be in the range [1..100]",
                self.sampling
            ));
        }
    }
}

/// Services of one account may not overlap where the importer sees them.
fn check_imports(imports: &[Import], importer: &str, issues: &mut Issues) {
    let mut services: Vec<(&str, String)> = Vec::new();
    for import in imports {
        if import.is_service() {
            let seen = seen_as(import);
            let from = import.account.as_str();
            let others = services.iter().filter(|(account, _)| *account == from);
            for (_, other) in others {
                if is_contained(&seen, other) || is_contained(other, &seen) {
                    issues.error(format!(
                        "overlapping subject namespace for {seen:?} and {other:?} in same account {from:?}"
                    ));
                }
            }
            let same = |(account, other): &(&str, String)| *account == from && *other == seen;
            if services.iter().any(same) {
                issues.error(format!(
                    "overlapping subject namespace for {seen:?} in account {from:?}"
                ));
            }
            services.push((from, seen));
        }
        import.validate(importer, issues);
    }
}

/// The subject by which overlaps of service imports are judged.
fn seen_as(import: &Import) -> String {
    if !import.to.is_empty() {
        return import.to.clone();
    }
    if import.local_subject.is_empty() {
        return import.subject.clone();
    }
    let tokens = import.local_subject.split('.');
    let plain = tokens.map(|token| {
        if is_reference(token).is_some() {
            "*"
        } else {
            token
        }
    });
    plain.collect::<Vec<_>>().join(".")
}

/// What each subject takes that another export of its kind names as well: the first of those, once a subject.
fn check_exports(exports: &[Export], issues: &mut Issues) {
    exports.iter().for_each(|export| export.validate(issues));
    let is_service = |export: &Export| export.kind == Some(ExportKind::Service);
    for (at, outer) in exports.iter().enumerate() {
        let alike = |other: &Export| is_service(other) == is_service(outer);
        let said = |other: &Export| alike(other) && other.subject == outer.subject;
        if exports[..at].iter().any(said) {
            continue;
        }
        let mut others = exports.iter().enumerate();
        let inner = others.find(|(other_at, other)| {
            *other_at != at && alike(other) && is_contained(&other.subject, &outer.subject)
        });
        if let Some((_, inner)) = inner {
            let kind = kind_name(outer.kind);
            issues.error(format!(
                "{kind} export subject {:?} already exports {:?}",
                outer.subject, inner.subject
            ));
        }
    }
}

fn check_mapping(source: &str, ways: &[WeightedMapping], issues: &mut Issues) {
    issues.check_subject(source);
    let mut sums: Vec<(&str, u32)> = Vec::new();
    for way in ways {
        issues.check_subject(&way.subject);
        if way.share() > 100 {
            let share = way.share();
            issues.error(format!(
                "Mapping {source:?} has a weight {share} that exceeds 100"
            ));
        }
        let cluster = way.cluster.as_str();
        let place = sums.iter().position(|(own, _)| *own == cluster);
        let place = place.unwrap_or_else(|| {
            sums.push((cluster, 0));
            sums.len() - 1
        });
        sums[place].1 += u32::from(way.share());
    }
    if sums.iter().any(|(_, sum)| *sum > 100) {
        issues.error(format!(
            "Mapping {source:?} exceeds 100% among all of it's weighted to mappings"
        ));
    }
}

/// `local_subject`: every wildcard of the subject once, as `*` or `$N`.
fn check_renaming(local: &str, subject: &str, issues: &mut Issues) {
    issues.check_subject(local);
    let ends_open = |subject: &str| subject == ">" || subject.ends_with(".>");
    if ends_open(local) != ends_open(subject) {
        issues.error("both, renaming subject and subject, need to end or not end in >".to_owned());
    }
    let wildcards = subject.split('.').filter(|token| *token == "*").count();
    let mut used = 0;
    for token in local.split('.') {
        match is_reference(token) {
            Some(number) if number > wildcards as i64 => {
                issues.error(format!(
                    "Reference ${number} in {local:?} reference * in {subject:?} that do not exist"
                ));
            }
            Some(_) => used += 1,
            None => used += usize::from(token == "*"),
        }
    }
    if used != wildcards {
        issues.error("subject does not contain enough * or reference wildcards $[0-9]".to_owned());
    }
}

/// `$3`.
fn is_reference(token: &str) -> Option<i64> {
    token.strip_prefix('$')?.parse().ok()
}

fn has_wildcards(subject: &str) -> bool {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token == "*" || (token == ">" && tokens.peek().is_none()) {
            return true;
        }
    }
    false
}

/// Whether every subject of the one is one of the other.
pub(super) fn is_contained(inner: &str, outer: &str) -> bool {
    inner == outer || is_subset(inner.as_bytes(), outer.as_bytes())
}

fn check_info(description: &str, url: &str, issues: &mut Issues) {
    if description.len() > INFO_BYTES_MAX {
        issues.error("Description is too long".to_owned());
    }
    if url.len() > INFO_BYTES_MAX {
        issues.error("Info URL is too long".to_owned());
    }
    let wrong = match url.split_once("://").filter(|_| is_url(url)) {
        _ if url.is_empty() => return,
        Some((_, rest)) => match rest.split(['/', '?', '#']).next() {
            None | Some("") => "no hostname or scheme",
            Some(host) if !is_host(host) => "invalid host",
            Some(_) => return,
        },
        None => "no hostname or scheme",
    };
    issues.error(format!("error parsing info url: {wrong}"));
}

/// Whether a text may stand where a URL has its host, with a user and a port perhaps.
fn is_host(text: &str) -> bool {
    let is_odd = |c: char| c <= ' ' || c == '\u{7f}' || "\"<>\\^`{|}%".contains(c);
    !text.contains(is_odd) && text.contains('[') == text.contains(']')
}

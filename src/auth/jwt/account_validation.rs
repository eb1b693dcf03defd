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
use super::validation::{Issues, is_url};

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
            let key = scope.as_ref().map_or(key, |scope| &scope.key);
            issues.check_account_key(key);
        }
        check_info(&self.description, &self.info_url, issues);
        if !["", "system", "owner"].contains(&self.cluster_traffic.as_str()) {
            let traffic = &self.cluster_traffic;
            issues.error(format!("unknown cluster traffic {traffic:?}"));
        }
    }
}

impl AccountLimits {
    fn validate(&self, account: &Account, issues: &mut Issues) {
        let exceeds = |count: usize, limit: i64| limit != -1 && count as i64 > limit;
        if exceeds(account.imports.len(), self.imports) {
            issues.error(format!("more imports than {}, the limit", self.imports));
        }
        if exceeds(account.exports.len(), self.exports) {
            issues.error(format!("more exports than {}, the limit", self.exports));
        }
        if self.exports != -1 && !self.wildcards {
            let mut exports = account.exports.iter();
            if let Some(wild) = exports.find(|export| has_wildcards(&export.subject)) {
                let subject = &wild.subject;
                issues.error(format!(
                    "export {subject:?} has wildcards, the operator allows none"
                ));
            }
        }
        let tiers = self.others.get("tiered_limits");
        let tiers = tiers.and_then(serde_json::Value::as_object);
        if tiers.is_some_and(|tiers| tiers.contains_key("")) {
            issues.error("tiered limits without a name of the tier".to_owned());
        }
    }
}

impl Export {
    fn validate(&self, issues: &mut Issues) {
        let subject = &self.subject;
        if self.kind.is_none() {
            issues.error(format!(
                "export {subject:?} is neither a stream nor a service"
            ));
        }
        let service = self.kind == Some(ExportKind::Service);
        let response = self.response_type.as_str();
        if service && !["", "Singleton", "Stream", "Chunked"].contains(&response) {
            issues.error(format!(
                "export {subject:?} has the response type {response:?}"
            ));
        }
        if self.kind == Some(ExportKind::Stream) {
            if !response.is_empty() {
                issues.error(format!("stream {subject:?} has a response type"));
            }
            if self.allow_trace {
                issues.error(format!("stream {subject:?} has \"allow_trace\""));
            }
        }
        if let Some(latency) = &self.service_latency {
            if !service {
                issues.error(format!("{subject:?} is no service and has a latency"));
            }
            if !(0..=100).contains(&latency.sampling) {
                issues.error(format!("latency of {subject:?}: the sampling is 1 to 100"));
            }
            issues.check_subject(&latency.results);
            if has_wildcards(&latency.results) {
                issues.error(format!("latency of {subject:?}: results to wildcards"));
            }
        }
        if self.response_threshold < 0 || (self.response_threshold > 0 && !service) {
            issues.error(format!("export {subject:?} has a wrong response threshold"));
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
        let token = subject.split('.').nth(position as usize - 1);
        if token != Some("*") {
            issues.error(format!(
                "account token position {position} is no * of {subject:?}"
            ));
        }
    }
}

impl Import {
    /// `importer` is the key of the account that it stands in. What its activation token says is checked as far as no
    /// clock and no exporter is needed.
    pub(super) fn validate(&self, importer: &str, issues: &mut Issues) {
        let subject = &self.subject;
        if self.kind.is_none() {
            issues.error(format!(
                "import {subject:?} is neither a stream nor a service"
            ));
        }
        if self.is_service() && self.allow_trace {
            issues.error(format!("service import {subject:?} has \"allow_trace\""));
        }
        if self.account.is_empty() {
            issues.error(format!(
                "import {subject:?} does not say from which account"
            ));
        }
        issues.check_subject(subject);
        if !self.local_subject.is_empty() {
            check_renaming(&self.local_subject, subject, issues);
            if !self.to.is_empty() {
                issues.error(format!(
                    "import {subject:?} has \"to\" and \"local_subject\""
                ));
            }
        } else if !self.to.is_empty() {
            let text = format!("import {subject:?} has \"to\", which \"local_subject\" replaces");
            issues.warning(text);
        }
        if self.share && !self.is_service() {
            issues.error(format!("stream import {subject:?} has \"share\""));
        }
        if self.token.is_empty() {
            return;
        }
        match ActivationClaims::decode(&self.token) {
            Ok(activation) => self.check_activation(&activation, importer, issues),
            Err(error) => {
                issues.error(format!(
                    "import {subject:?} has a bad activation token: {error}"
                ));
            }
        }
    }

    fn check_activation(&self, activation: &ActivationClaims, importer: &str, issues: &mut Issues) {
        let subject = &self.subject;
        let mut error = |text: &str| issues.error(format!("import {subject:?}: {text}"));
        let ActivationClaims {
            common,
            issuer_account,
            ..
        } = activation;
        if common.issuer != self.account && *issuer_account != self.account {
            error("the activation token is not of the exporting account");
        }
        if common.subject != importer {
            error("the activation token is for another account");
        }
        if activation.import_kind != self.kind {
            error("the activation token is for another kind of import");
        }
        let exported = match self.is_service() && !self.to.is_empty() {
            true => &self.to,
            false => subject,
        };
        if !is_contained(exported, &activation.import_subject) {
            error("the activation token is for another subject");
        }
        activation.validate(issues);
    }
}

impl ExternalAuthorization {
    fn validate(&self, issues: &mut Issues) {
        if !self.allowed_accounts.is_empty() && self.auth_users.is_empty() {
            issues.error("external authorization has accounts and no users".to_owned());
        }
        for user in &self.auth_users {
            issues.check_user_key(user);
        }
        for account in &self.allowed_accounts {
            match account.as_str() {
                ALL if self.allowed_accounts.len() > 1 => {
                    issues.error("allowed accounts are a list or \"*\"".to_owned());
                }
                ALL => {}
                account => issues.check_account_key(account),
            }
        }
        if !self.xkey.is_empty() {
            issues.check_key(&self.xkey, &KeyPairType::Curve, "a curve key pair");
        }
    }
}

impl MessageTrace {
    fn validate(&self, issues: &mut Issues) {
        issues.check_subject(&self.dest);
        if has_wildcards(&self.dest) {
            issues.error(format!("traces to {:?}, which has wildcards", self.dest));
        }
        if !(0..=100).contains(&self.sampling) {
            issues.error("the sampling of traces is 1 to 100".to_owned());
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
                    issues.error(format!("imports {seen:?} and {other:?} of {from} overlap"));
                }
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

fn check_exports(exports: &[Export], issues: &mut Issues) {
    for (at, export) in exports.iter().enumerate() {
        let is_service = |export: &Export| export.kind == Some(ExportKind::Service);
        for (other_at, other) in exports.iter().enumerate() {
            let same_kind = is_service(export) == is_service(other);
            if at != other_at && same_kind && is_contained(&export.subject, &other.subject) {
                let (inner, outer) = (&export.subject, &other.subject);
                issues.error(format!("export {outer:?} already exports {inner:?}"));
            }
        }
        export.validate(issues);
    }
}

fn check_mapping(source: &str, ways: &[WeightedMapping], issues: &mut Issues) {
    issues.check_subject(source);
    let mut sums: Vec<(&str, u32)> = Vec::new();
    for way in ways {
        issues.check_subject(&way.subject);
        let cluster = way.cluster.as_str();
        let place = sums.iter().position(|(own, _)| *own == cluster);
        let place = place.unwrap_or_else(|| {
            sums.push((cluster, 0));
            sums.len() - 1
        });
        sums[place].1 += u32::from(way.share());
    }
    if sums.iter().any(|(_, sum)| *sum > 100) {
        issues.error(format!("mapping {source:?} exceeds 100%"));
    }
}

/// `local_subject`: every wildcard of the subject once, as `*` or `$N`.
fn check_renaming(local: &str, subject: &str, issues: &mut Issues) {
    issues.check_subject(local);
    let ends_open = |subject: &str| subject == ">" || subject.ends_with(".>");
    if ends_open(local) != ends_open(subject) {
        issues.error(format!(
            "{local:?} and {subject:?} must both end in > or neither"
        ));
    }
    let wildcards = subject.split('.').filter(|token| *token == "*").count();
    let mut used = 0;
    for token in local.split('.') {
        match is_reference(token) {
            Some(number) if number > wildcards as i64 => {
                issues.error(format!("{token} in {local:?} is no * of {subject:?}"));
            }
            Some(_) => used += 1,
            None => used += usize::from(token == "*"),
        }
    }
    if used != wildcards {
        issues.error(format!("{local:?} does not use every * of {subject:?}"));
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
        issues.error("the description is too long".to_owned());
    }
    let named = |url: &str| {
        let rest = url.split_once("://").map(|(_, rest)| rest);
        is_url(url) && rest.is_some_and(|rest| !rest.starts_with('/') && !rest.is_empty())
    };
    if url.len() > INFO_BYTES_MAX || (!url.is_empty() && !named(url)) {
        issues.error("the info url is no URL".to_owned());
    }
}

//! Claims of an operator: who signs accounts. Owns the type and what must hold for it.

use serde::Deserialize;
use serde_json::Value;

use super::claims::Common;
use super::json;
use super::validation::{Issues, is_url};

/// Claims of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorClaims {
    /// What every token says.
    pub common: Common,
    /// What it says as an operator.
    pub operator: Operator,
}

/// `nats` of an operator.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Operator {
    /// Keys that sign accounts beside its own.
    pub signing_keys: Vec<String>,
    /// Where accounts' tokens can be had over HTTP: a resolver's URL without `accounts/`.
    pub account_server_url: String,
    /// Where tools connect; nothing to a server.
    pub operator_service_urls: Vec<String>,
    /// The system account's key.
    pub system_account: String,
    /// Oldest version of the server that it wants, `2.10.0`.
    pub assert_server_version: String,
    /// Accounts must be signed by a signing key, and users of accounts so signed as well.
    pub strict_signing_key_usage: bool,
}

impl OperatorClaims {
    pub(super) fn read(version: i64, claims: &Value) -> serde_json::Result<Self> {
        let mut operator: Operator = json::read(claims.get("nats"))?;
        if version == 1 {
            operator.assert_server_version.clear();
            operator.strict_signing_key_usage = false;
        }
        let common = Common::read(version, claims)?;
        Ok(OperatorClaims { common, operator })
    }

    /// Everything that is wrong. `now` is seconds since 1970.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        issues.check_times(&self.common, now);
        let operator = &self.operator;
        let url = &operator.account_server_url;
        if !url.is_empty() && !is_url(url) {
            issues.error(format!("account server url {url:?} requires a protocol"));
        }
        for url in &operator.operator_service_urls {
            let known = ["nats", "tls", "ws", "wss"];
            let scheme = url
                .split_once("://")
                .map(|(scheme, _)| scheme.to_lowercase());
            if !url.is_empty() && !scheme.is_some_and(|scheme| known.contains(&&*scheme)) {
                issues.error(format!(
                    "operator service url {url:?}: protocol not supported"
                ));
            }
        }
        for key in &operator.signing_keys {
            issues.check_operator_key(key);
        }
        if !operator.system_account.is_empty() {
            issues.check_account_key(&operator.system_account);
        }
        if self.server_version().is_none() {
            let version = &operator.assert_server_version;
            issues.error(format!("assert_server_version {version:?} is no version"));
        }
        issues
    }

    /// `assert_server_version` as numbers, zeros when it says none; `None` when it is no version.
    pub fn server_version(&self) -> Option<[u32; 3]> {
        let version = &self.operator.assert_server_version;
        if version.is_empty() {
            return Some([0; 3]);
        }
        let parts: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
        parts.ok()?.try_into().ok()
    }

    /// The keys whose accounts this operator answers for.
    pub fn trusted_keys(&self) -> impl Iterator<Item = &str> {
        let own = (!self.operator.strict_signing_key_usage).then_some(&self.common.subject);
        own.into_iter()
            .chain(&self.operator.signing_keys)
            .map(String::as_str)
    }
}

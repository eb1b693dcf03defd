//! Claims of a user: whose user, what it may do, from where and when. Owns the types and what must hold for them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::claims::Common;
use super::json;
use super::permissions::Permissions;
use super::validation::Issues;
use super::{network, times};

/// Claims of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserClaims {
    /// What every token says.
    pub common: Common,
    /// The account, where a signing key issued the token; empty where the issuer is the account.
    pub issuer_account: String,
    /// What it may do. Of a user whose signing key has a scope, the scope says it.
    pub limits: UserLimits,
    /// Nothing at all is said in `limits`, as must be where the signing key has a scope.
    pub says_no_limits: bool,
}

/// What a user may do: its own claims, or the template of a scoped signing key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct UserLimits {
    /// `pub`, `sub`, `resp`.
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Networks it may connect from (CIDR); empty is anywhere.
    #[serde(deserialize_with = "json::networks")]
    pub src: Vec<String>,
    /// Times of day at which it may be connected; empty is any.
    pub times: Vec<TimeRange>,
    /// IANA time zone of `times`; empty is the server's.
    #[serde(rename = "times_location")]
    pub locale: String,
    /// Subscriptions of a connection; -1 is no limit.
    pub subs: i64,
    /// Bytes; -1 is no limit. The oracle does not hold anybody to it.
    pub data: i64,
    /// Bytes of a message; -1 is no limit.
    pub payload: i64,
    /// The nonce need not be signed.
    pub bearer_token: bool,
    /// Connections only by way of a trusted proxy.
    pub proxy_required: bool,
    /// Kinds of connections, upper case; empty is all.
    pub allowed_connection_types: Vec<String>,
}

/// From when to when, `hh:mm:ss`; over midnight where the start is later than the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeRange {
    /// From here on.
    pub start: String,
    /// To here.
    pub end: String,
}

/// Members of `nats` that are not part of [`UserLimits`].
const NOT_LIMITS: &[&str] = &["issuer_account", "tags", "type", "version"];

impl UserClaims {
    pub(super) fn read(version: i64, claims: &Value) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Signed {
            issuer_account: String,
        }
        let mut nats = claims.get("nats").cloned().unwrap_or(json!({}));
        let holder = if version == 1 { claims } else { &nats };
        let signed: Signed = json::read(Some(holder))?;
        let said = nats.as_object().into_iter().flatten();
        let says_no_limits = version != 1
            && said
                .filter(|(key, _)| !NOT_LIMITS.contains(&key.as_str()))
                .all(|(key, value)| key != "resp" && json::is_zero(value));
        if version == 1 {
            unlimited_by_default(&mut nats);
            for later in ["proxy_required", "allowed_connection_types"] {
                nats.as_object_mut().map(|fields| fields.remove(later));
            }
        }
        Ok(UserClaims {
            common: Common::read(version, claims)?,
            issuer_account: signed.issuer_account,
            limits: json::read(Some(&nats))?,
            says_no_limits,
        })
    }

    /// The account's key: `issuer_account`, else the issuer.
    pub fn account(&self) -> &str {
        match self.issuer_account.is_empty() {
            true => &self.common.issuer,
            false => &self.issuer_account,
        }
    }

    /// Everything that is wrong. `now` is seconds since 1970.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        issues.check_times(&self.common, now);
        self.limits.validate(&mut issues);
        if !self.issuer_account.is_empty() {
            issues.check_account_key(&self.issuer_account);
        }
        issues
    }
}

impl UserLimits {
    fn validate(&self, issues: &mut Issues) {
        self.permissions.validate(issues);
        for network in &self.src {
            if network::parse(network).is_none() {
                issues.error(format!("invalid cidr {network:?} in user src limits"));
            }
        }
        for range in &self.times {
            for time in [&range.start, &range.end] {
                if times::time_of_day(time).is_none() {
                    issues.error(format!("{time:?} in a time range is no time of day"));
                }
            }
        }
        if !times::is_zone(&self.locale) {
            let locale = &self.locale;
            issues.error(format!("there is no time zone {locale:?}"));
        }
    }
}

/// Where limits that are not said are none: claims of version 1 and templates of scopes.
pub(super) fn unlimited_by_default(nats: &mut Value) {
    if let Some(fields) = nats.as_object_mut() {
        for limit in ["subs", "data", "payload"] {
            fields.entry(limit).or_insert(Value::from(-1));
        }
    }
}

//! Claims of an account: limits, exports, imports, signing keys, revocations. Owns the types and how versions 1 and 2
//! are read; what must hold for them is in `account_validation`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::claims::Common;
use super::json;
use super::permissions::Permissions;
use super::user::{UserLimits, unlimited_by_default};

/// All keys, in revocations; any account, in `allowed_accounts`.
pub const ALL: &str = "*";

/// Claims of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountClaims {
    /// What every token says.
    pub common: Common,
    /// What it says as an account.
    pub account: Account,
}

/// `nats` of an account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Account {
    /// What it takes from others.
    pub imports: Vec<Import>,
    /// What it lets others take.
    pub exports: Vec<Export>,
    /// What it may not exceed.
    pub limits: AccountLimits,
    /// Keys that sign for it beside its own.
    #[serde(deserialize_with = "signing_keys")]
    pub signing_keys: BTreeMap<String, Option<Scope>>,
    /// Users' keys, or [`ALL`], and up to when their tokens are revoked.
    pub revocations: Revocations,
    /// For users whose claims give none.
    pub default_permissions: Permissions,
    /// Where messages on a subject really go.
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// A callout service decides about its users.
    pub authorization: ExternalAuthorization,
    /// Message tracing.
    pub trace: Option<MessageTrace>,
    /// For people.
    pub description: String,
    /// For people.
    pub info_url: String,
    /// Where its replication traffic goes: `system`, `owner` or nothing. Not for a node that replicates nothing.
    pub cluster_traffic: String,
}

/// Public keys, or [`ALL`], and the second up to which tokens issued to them are revoked.
pub type Revocations = BTreeMap<String, i64>;

/// `limits`. What is not said is 0, and 0 is nothing at all; -1 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AccountLimits {
    /// Subscriptions of a connection.
    pub subs: i64,
    /// Bytes. The oracle does not hold anybody to it.
    pub data: i64,
    /// Bytes of a message.
    pub payload: i64,
    /// Imports.
    pub imports: i64,
    /// Exports.
    pub exports: i64,
    /// Exports may have wildcards; asked only where `exports` is a limit.
    pub wildcards: bool,
    /// Users must sign the nonce.
    pub disallow_bearer: bool,
    /// Connections.
    pub conn: i64,
    /// Leaf nodes.
    pub leaf: i64,
    /// Everything else: limits of streams, which a node without streams has no use for.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// A stream or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportKind {
    /// Messages to subscribe to.
    Stream,
    /// Requests to make.
    Service,
}

/// One of `exports`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Export {
    /// For people.
    pub name: String,
    /// The pattern.
    pub subject: String,
    /// A stream or a service.
    #[serde(rename = "type")]
    pub kind: Option<ExportKind>,
    /// Only with an activation token.
    pub token_req: bool,
    /// Importers' keys, or [`ALL`], and up to when their activation tokens are revoked.
    pub revocations: Revocations,
    /// `Singleton`, `Stream`, `Chunked`, or nothing, which is the first.
    pub response_type: String,
    /// How long answers are waited for, nanoseconds; 0 is the server's default.
    pub response_threshold: i64,
    /// How long answers take is published.
    pub service_latency: Option<ServiceLatency>,
    /// The token of the subject that must be the importer's key, from 1; 0 is none.
    pub account_token_position: u32,
    /// For people.
    pub advertise: bool,
    /// Importers may have their messages traced here.
    pub allow_trace: bool,
    /// For people.
    pub description: String,
    /// For people.
    pub info_url: String,
}

/// `service_latency`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceLatency {
    /// So many of a hundred requests; 0 is those whose headers ask for it (`headers`).
    #[serde(deserialize_with = "sampling")]
    pub sampling: i64,
    /// Where to.
    pub results: String,
}

/// One of `imports`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Import {
    /// For people.
    pub name: String,
    /// For a stream the exporter's subject. For a service the importer's, unless `local_subject` is there, then the exporter's.
    pub subject: String,
    /// The exporter's key.
    pub account: String,
    /// An activation token. The text itself: a URL is no token any more.
    pub token: String,
    /// For a stream the prefix of the importer's subject, for a service the exporter's subject. Out of fashion.
    pub to: String,
    /// The importer's subject, which may reorder tokens (`$2`).
    pub local_subject: String,
    /// A stream or a service.
    #[serde(rename = "type")]
    pub kind: Option<ExportKind>,
    /// Tell the service who asks.
    pub share: bool,
    /// Messages of the stream may be traced here.
    pub allow_trace: bool,
}

/// A signing key with a role: what it signs has these limits and no others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// The key.
    pub key: String,
    /// What people call it.
    pub role: String,
    /// What its users may do, with `{{name()}}` and the like in subjects.
    pub template: UserLimits,
    /// For people.
    pub description: String,
}

/// One way of a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WeightedMapping {
    /// Where to.
    pub subject: String,
    /// Its share of a hundred; 0 is all of it.
    pub weight: u8,
    /// Only in this cluster.
    pub cluster: String,
}

/// `authorization`: somebody else decides about the account's users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExternalAuthorization {
    /// Users that nobody is asked about: the service's own. Without any, there is no service.
    pub auth_users: Vec<String>,
    /// Accounts that the service may put users into, or [`ALL`].
    pub allowed_accounts: Vec<String>,
    /// Requests to the service are encrypted for this curve key.
    pub xkey: String,
}

/// `trace`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MessageTrace {
    /// Where traces go.
    pub dest: String,
    /// So many of a hundred messages; 0 is all.
    pub sampling: i64,
}

impl AccountClaims {
    pub(super) fn read(version: i64, claims: &Value) -> serde_json::Result<Self> {
        let common = Common::read(version, claims)?;
        let mut account: Account = json::read(claims.get("nats"))?;
        if version == 1 {
            account.forget_what_version_2_added();
        }
        Ok(AccountClaims { common, account })
    }

    /// What stands in for the claims of an account that nobody has got yet: it limits nothing, and only its own key signs.
    pub fn placeholder(key: &str, issuer: &str) -> Self {
        let none = -1;
        let claims = json!({
            "sub": key,
            "iss": issuer,
            "nats": {
                "version": 2,
                "signing_keys": [key],
                "limits": {
                    "conn": none, "leaf": none, "subs": none, "data": none, "payload": none,
                    "imports": none, "exports": none, "wildcards": true,
                },
            },
        });
        AccountClaims::read(2, &claims).expect("claims of our own")
    }

    /// Whether a key signs for this account. `strict` is whether its operator wants that to be a signing key.
    pub fn signer(&self, key: &str, strict: bool) -> Signer<'_> {
        if key == self.common.subject && !strict {
            return Signer::Trusted;
        }
        match self.account.signing_keys.get(key) {
            Some(Some(scope)) => Signer::Scoped(scope),
            Some(None) => Signer::Trusted,
            None => Signer::Unknown,
        }
    }

    /// Whether they have expired at this second.
    pub fn has_ended(&self, now: i64) -> bool {
        let ends = self.common.expires;
        ends != 0 && ends <= now
    }

    /// Whether a user's token of this time is revoked.
    pub fn revokes(&self, user: &str, issued_at: i64) -> bool {
        is_revoked(&self.account.revocations, user, issued_at)
    }

    /// Up to which second tokens of a user are revoked; `None` if none are.
    pub fn revoked_until(&self, user: &str) -> Option<i64> {
        revoked_until(&self.account.revocations, user)
    }

    /// Whether a user is let in without the callout service being asked.
    pub fn is_auth_user(&self, user: &str) -> bool {
        let known = &self.account.authorization.auth_users;
        known.iter().any(|known| known == user)
    }

    /// Whether a callout service decides about its users.
    pub fn has_callout(&self) -> bool {
        !self.account.authorization.auth_users.is_empty()
    }
}

/// What a key is to an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signer<'a> {
    /// It signs for it.
    Trusted,
    /// It signs for it, and what it signs has these limits.
    Scoped(&'a Scope),
    /// Nothing.
    Unknown,
}

/// Whether a token issued to `key` at this second is revoked.
pub(super) fn is_revoked(revocations: &Revocations, key: &str, issued_at: i64) -> bool {
    revoked_until(revocations, key).is_some_and(|until| until >= issued_at)
}

fn revoked_until(revocations: &Revocations, key: &str) -> Option<i64> {
    let until = [key, ALL]
        .into_iter()
        .filter_map(|key| revocations.get(key));
    until.max().copied()
}

impl WeightedMapping {
    /// Its share of a hundred.
    pub fn share(&self) -> u8 {
        if self.weight == 0 { 100 } else { self.weight }
    }
}

impl Import {
    /// Whether it is a service.
    pub fn is_service(&self) -> bool {
        self.kind == Some(ExportKind::Service)
    }
}

impl Account {
    /// Nobody meant these when they wrote version 1.
    fn forget_what_version_2_added(&mut self) {
        let written = std::mem::take(self);
        *self = Account {
            imports: written.imports,
            exports: written.exports,
            limits: AccountLimits {
                others: BTreeMap::new(),
                ..written.limits
            },
            signing_keys: written.signing_keys,
            revocations: written.revocations,
            ..Account::default()
        };
    }
}

/// Keys, or objects with a role.
fn signing_keys<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Option<Scope>>, D::Error> {
    use serde::de::Error;
    let mut keys = BTreeMap::new();
    for written in Vec::<Value>::deserialize(from)? {
        match written {
            Value::String(key) => {
                keys.insert(key, None);
            }
            Value::Object(ref fields) => {
                if fields.get("kind").and_then(Value::as_str) != Some("user_scope") {
                    return Err(D::Error::custom("unknown scope of a signing key"));
                }
                let scope = scope(written).map_err(D::Error::custom)?;
                keys.insert(scope.key.clone(), Some(scope));
            }
            _ => {}
        }
    }
    Ok(keys)
}

/// Limits that a template does not name are none.
fn scope(mut written: Value) -> serde_json::Result<Scope> {
    if let Some(fields) = written.as_object_mut() {
        let template = fields.entry("template");
        unlimited_by_default(template.or_insert_with(|| Value::Object(serde_json::Map::new())));
    }
    serde_json::from_value(written)
}

/// A number, or `headers`.
fn sampling<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    use serde::de::Error;
    let written = Value::deserialize(from)?;
    match (written.as_i64(), written.as_str()) {
        (Some(number), _) => Ok(number),
        (_, Some(text)) if text.eq_ignore_ascii_case("headers") => Ok(0),
        _ => Err(D::Error::custom("a sampling is a number or \"headers\"")),
    }
}

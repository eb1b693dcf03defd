//! What a report says of a JWT and of those behind it. Finds nothing out.

use serde::Serialize;

use super::super::report::Provenance;

/// From a user's JWT to the operator. Holds keys, names and times, nothing that lets anybody in.
#[derive(Clone, Debug, Serialize)]
pub struct Chain {
    /// The user's JWT.
    pub user: Link,
    /// The account's; absent where it is not at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Link>,
    /// The role of the key that signed the user, where that has a scope; it may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What the scope's template becomes, entry by entry: those with something to fill in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub template: Vec<Expanded>,
    /// What the user may do; absent where nobody can say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// Everything that keeps it out, with times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrong: Vec<String>,
}

/// One JWT, and who signed it. Times are as RFC 3339 has them.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// Whose it is.
    pub key: String,
    /// What people call that.
    pub name: String,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where it was found, for an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Provenance>,
    /// Since when.
    pub issued: String,
    /// From when on it counts, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Until when it counts, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The key that signed it.
    pub issuer: String,
    /// What that key is.
    pub signer: Signer,
    /// The same in words.
    pub signer_text: String,
}

/// What a key is to whose JWT it signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// The own key of the account, or of the operator.
    Identity,
    /// A signing key.
    SigningKey,
    /// A signing key with a scope.
    ScopedKey,
    /// One of `trusted_keys`.
    TrustedKey,
    /// Nothing: what it signs does not count.
    Unknown,
    /// Nobody can say: the JWT behind it is not at hand.
    Unclear,
}

/// An entry of a template.
#[derive(Clone, Debug, Serialize)]
pub struct Expanded {
    /// Its list: `pub.allow` and so on.
    pub list: &'static str,
    /// As it is written.
    pub entry: String,
    /// What it stands for; absent where it is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Why it stands for nothing, and the user for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a user may do, from where and when. Limits are with the report's others.
#[derive(Clone, Debug, Serialize)]
pub struct Grant {
    /// Who says so.
    pub permissions_of: Given,
    /// What it may publish to.
    #[serde(rename = "pub")]
    pub publish: Lists,
    /// What it may subscribe to.
    #[serde(rename = "sub")]
    pub subscribe: Lists,
    /// Answers to requests, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<String>,
    /// It need not sign anything.
    pub bearer: bool,
    /// Ways it may connect; absent is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_types: Vec<String>,
    /// Networks it may connect from; absent is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Times of day, `start-end`; absent is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<String>,
    /// The zone of those; absent for the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Subscriptions of a connection; absent is no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriptions_max: Option<u64>,
    /// Bytes of a message; absent is no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_bytes_max: Option<u64>,
}

/// Where permissions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// The user's JWT.
    User,
    /// The scope's template.
    Scope,
    /// `default_permissions` of the account.
    AccountDefault,
    /// Nowhere: nothing restricts it.
    Nobody,
}

/// What is allowed, everything where nothing is listed, and what is denied of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lists {
    /// Allowed patterns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Denied patterns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

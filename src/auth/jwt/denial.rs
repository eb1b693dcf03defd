//! Why a user with a token is refused. Owns the words for the log; a stranger learns none of them.

use std::fmt;
use std::net::IpAddr;

use super::template::TemplateError;
use super::times::instant;
use super::token::DecodeError;

/// A refusal. Displays as the log line, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The user's public key, as its token says; empty where there is no token.
    pub user: String,
    /// Its account's.
    pub account: String,
    /// Why. For the log only.
    pub reason: Reason,
    /// A callout service decides instead.
    pub callout: bool,
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client brings no token, and there is no sentinel.
    NoToken,
    /// What it brings is no user's token.
    Token(DecodeError),
    /// `default_sentinel` is no user's token.
    Sentinel(DecodeError),
    /// Only by way of a trusted proxy, and there is none.
    ProxyRequired,
    /// The token is expired, not valid yet, or wrong in itself.
    Invalid(String),
    /// The account is none of `resolver_pinned_accounts`.
    NotPinned,
    /// There is no such account, or its claims do not count: why.
    NoAccount(String),
    /// The configuration says its account no longer.
    Withdrawn,
    /// No operator trusts the key that signed the account.
    AccountIssuer(String),
    /// The key that signed the user is none of its account's.
    UserIssuer(String),
    /// The signing key has a scope, and the user's token has limits or permissions of its own.
    ScopedWithLimits,
    /// The scope's template gives no permissions.
    Template(TemplateError),
    /// The account's claims ended at this second.
    AccountExpired(i64),
    /// The account allows no bearer tokens.
    Bearer,
    /// The user may not connect this way.
    ConnectionType,
    /// The nonce is not signed.
    NoSignature,
    /// It is signed by somebody else.
    Signature,
    /// The user's key is none.
    UserKey,
    /// The account revoked tokens issued at this second.
    Revoked(i64),
    /// Not from this address.
    Address(Option<IpAddr>),
    /// Not at this time of day.
    Times,
}

impl Denial {
    /// The text between the quotes of `-ERR`: the same for every reason.
    pub fn text(&self) -> &'static str {
        "Authorization Violation"
    }

    /// Nobody knows who it is.
    pub(super) fn of_stranger(reason: Reason) -> Denial {
        Denial {
            user: String::new(),
            account: String::new(),
            reason,
            callout: false,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication error - ")?;
        let Denial { user, account, .. } = self;
        match &self.reason {
            _ if user.is_empty() => write!(f, "{}", self.reason),
            Reason::UserIssuer(issuer) => {
                write!(
                    f,
                    "user {user}: account {account} does not trust issuer {issuer:?}"
                )
            }
            Reason::AccountIssuer(_) | Reason::AccountExpired(_) | Reason::NoAccount(_) => {
                write!(f, "user {user}: account {account} {}", self.reason)
            }
            reason => write!(f, "user {user} of account {account} {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoToken => f.write_str("a user's JWT is required"),
            Reason::Token(error) => write!(f, "the JWT is not valid: {error}"),
            Reason::Sentinel(error) => write!(f, "\"default_sentinel\" is not valid: {error}"),
            Reason::ProxyRequired => f.write_str("may connect by way of a trusted proxy only"),
            Reason::Invalid(what) => f.write_str(what),
            Reason::NotPinned => f.write_str("is in none of \"resolver_pinned_accounts\""),
            Reason::Withdrawn => f.write_str("is no longer preloaded"),
            Reason::NoAccount(why) => write!(f, "cannot be used: {why}"),
            Reason::AccountIssuer(issuer) => {
                write!(f, "is signed by {issuer:?}, whom no operator trusts")
            }
            Reason::UserIssuer(issuer) => write!(f, "the account does not trust issuer {issuer:?}"),
            Reason::ScopedWithLimits => {
                f.write_str("has permissions or limits, although its signing key has a scope")
            }
            Reason::Template(error) => write!(
                f,
                "cannot have the permissions of its signing key's scope: {error}"
            ),
            Reason::AccountExpired(at) => write!(f, "expired {}", instant(*at)),
            Reason::Bearer => f.write_str("has a bearer token, which the account does not allow"),
            Reason::ConnectionType => f.write_str("may not connect this way"),
            Reason::NoSignature => f.write_str("did not sign the nonce"),
            Reason::Signature => f.write_str("did not sign this nonce: wrong signature"),
            Reason::UserKey => f.write_str("has no user's public key"),
            Reason::Revoked(at) => write!(f, "is revoked, issued {}", instant(*at)),
            Reason::Address(Some(address)) => write!(f, "may not connect from {address}"),
            Reason::Address(None) => f.write_str("may connect from some networks only"),
            Reason::Times => f.write_str("may not connect at this time of day"),
        }
    }
}

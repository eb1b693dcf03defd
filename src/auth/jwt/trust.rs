//! Whom a node trusts: operators' keys, and what comes with them. Owns the question which accounts count; reads no
//! configuration.

use std::collections::HashSet;
use std::fmt;

use jiff::tz::TimeZone;

use super::account::AccountClaims;
use super::operator::OperatorClaims;
use super::token::DecodeError;
use super::user::UserClaims;

/// Whom a node in operator mode trusts. Immutable; shared by all shards.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: HashSet<String>,
    /// Signing keys whose accounts must have their users signed by signing keys, too.
    strict: HashSet<String>,
    /// The only accounts whose users are let in, if there is such a list.
    pinned: Option<HashSet<String>>,
    /// The token of clients that bring none: `default_sentinel`.
    sentinel: Option<String>,
    /// The zone of times of day that name none.
    pub(super) zone: TimeZone,
}

/// Why an account does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// It is no account's token.
    Token(DecodeError),
    /// It is another account's.
    Other {
        /// The account it is of.
        found: String,
    },
    /// Nobody trusted signed it.
    Issuer {
        /// Who signed it.
        issuer: String,
    },
    /// What is wrong with it.
    Invalid(String),
}

impl Trust {
    /// Trusts operators by their claims.
    pub fn of_operators<'a>(operators: impl IntoIterator<Item = &'a OperatorClaims>) -> Trust {
        let mut trust = Trust::of_keys([]);
        for claims in operators {
            trust.keys.extend(claims.trusted_keys().map(str::to_owned));
            if claims.operator.strict_signing_key_usage {
                let keys = claims.operator.signing_keys.iter();
                trust.strict.extend(keys.cloned());
            }
        }
        trust
    }

    /// Trusts keys of operators: `trusted_keys`.
    pub fn of_keys(keys: impl IntoIterator<Item = String>) -> Trust {
        Trust {
            keys: keys.into_iter().collect(),
            strict: HashSet::new(),
            pinned: None,
            sentinel: None,
            zone: TimeZone::UTC,
        }
    }

    /// Lets only users of these accounts in: `resolver_pinned_accounts`, and the system account, which the caller adds.
    #[must_use]
    pub fn with_pinned(mut self, accounts: impl IntoIterator<Item = String>) -> Trust {
        self.pinned = Some(accounts.into_iter().collect());
        self
    }

    /// Takes this token for clients that bring none.
    #[must_use]
    pub fn with_sentinel(mut self, token: String) -> Trust {
        self.sentinel = Some(token);
        self
    }

    /// The zone of times of day whose token names none: the machine's. UTC unless said.
    #[must_use]
    pub fn with_zone(mut self, zone: TimeZone) -> Trust {
        self.zone = zone;
        self
    }

    /// Whether accounts signed by this key count.
    pub fn trusts(&self, issuer: &str) -> bool {
        self.keys.contains(issuer)
    }

    /// Whether an account signed by this key may not sign users with its own key.
    pub fn is_strict(&self, issuer: &str) -> bool {
        self.strict.contains(issuer)
    }

    /// Whether users of this account may be let in at all.
    pub fn is_pinned(&self, account: &str) -> bool {
        let pinned = self.pinned.as_ref();
        pinned.is_none_or(|pinned| pinned.contains(account))
    }

    /// The token of clients that bring none.
    pub fn sentinel(&self) -> Option<&str> {
        self.sentinel.as_deref()
    }

    /// The sentinel, where it stands in for a client that brings this.
    pub fn stand_in(&self, jwt: &str) -> Option<&str> {
        self.sentinel().filter(|_| UserClaims::decode(jwt).is_err())
    }

    /// The claims in a token that a resolver gave for `account`, if they count now (seconds since 1970).
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn account(
        &self,
        account: &str,
        token: &str,
        now: i64,
    ) -> Result<AccountClaims, AccountError> {
        let claims = AccountClaims::decode(token).map_err(AccountError::Token)?;
        if claims.common.subject != account {
            let found = claims.common.subject;
            return Err(AccountError::Other { found });
        }
        if !self.trusts(&claims.common.issuer) {
            let issuer = claims.common.issuer;
            return Err(AccountError::Issuer { issuer });
        }
        match claims.validate(now).blocking() {
            Some(issue) => Err(AccountError::Invalid(issue.text.clone())),
            None => Ok(claims),
        }
    }
}

impl std::error::Error for AccountError {}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountError::Token(error) => write!(f, "not the token of an account: {error}"),
            AccountError::Other { found } => write!(f, "the token of another account, {found:?}"),
            AccountError::Issuer { issuer } => {
                write!(f, "signed by {issuer:?}, whom no operator trusts")
            }
            AccountError::Invalid(what) => f.write_str(what),
        }
    }
}

//! What a token says, by kind. Owns the common part and the choice of the type to read; checks nothing.

use nkeys::KeyPairType;
use serde::Deserialize;
use serde_json::Value;

use super::account::AccountClaims;
use super::activation::ActivationClaims;
use super::authorization::{RequestClaims, ResponseClaims};
use super::operator::OperatorClaims;
use super::token::{self, DecodeError, decode};
use super::user::UserClaims;

/// What every token says. Times are seconds since 1970, 0 is none; keys are public nkeys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Common {
    /// For whom it is.
    #[serde(rename = "aud")]
    pub audience: String,
    /// After this second it counts no more.
    #[serde(rename = "exp")]
    pub expires: i64,
    /// Its own id, a hash; nobody checks it.
    #[serde(rename = "jti")]
    pub id: String,
    /// When it was issued: a revocation of this time or later revokes it.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// The key that signed it.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// What people call the subject.
    pub name: String,
    /// Before this second it does not count.
    #[serde(rename = "nbf")]
    pub not_before: i64,
    /// Whose token it is.
    #[serde(rename = "sub")]
    pub subject: String,
    /// Version of the claims, 1 or 2. Those of 1 are read into the types of 2.
    #[serde(skip)]
    pub version: i64,
    /// Labels, `key:value` by custom, in lower case by custom.
    #[serde(skip)]
    pub tags: Vec<String>,
}

/// A decoded token whose signature is its issuer's.
#[derive(Clone, Debug, PartialEq)]
pub enum Claims {
    /// Of an operator.
    Operator(Box<OperatorClaims>),
    /// Of an account.
    Account(Box<AccountClaims>),
    /// Of a user.
    User(Box<UserClaims>),
    /// Allows an account to import something.
    Activation(Box<ActivationClaims>),
    /// The server asks a callout service.
    AuthorizationRequest(Box<RequestClaims>),
    /// The service answers.
    AuthorizationResponse(Box<ResponseClaims>),
    /// Anything else; nothing is known of it but this.
    Other(String, Box<Common>),
}

/// The kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Operator,
    Account,
    User,
    Activation,
    AuthorizationRequest,
    AuthorizationResponse,
    Other(String),
}

/// Which token a type is read from.
macro_rules! decoded_from {
    ($claims:ty, $kind:ident, $name:literal) => {
        impl $claims {
            /// Decodes such a token and verifies that `iss` signed it. Whether anybody trusts `iss` is another question.
            ///
            /// # Errors
            /// See [`DecodeError`]; a token of another kind is one.
            pub fn decode(token: &str) -> Result<$claims, DecodeError> {
                match decode(token)? {
                    Claims::$kind(claims) => Ok(*claims),
                    other => Err(DecodeError::kind($name, &other)),
                }
            }
        }
    };
}

decoded_from!(OperatorClaims, Operator, "operator");
decoded_from!(AccountClaims, Account, "account");
decoded_from!(UserClaims, User, "user");
decoded_from!(ActivationClaims, Activation, "activation");
decoded_from!(RequestClaims, AuthorizationRequest, "authorization_request");
decoded_from!(
    ResponseClaims,
    AuthorizationResponse,
    "authorization_response"
);

impl Claims {
    /// What every token says.
    pub fn common(&self) -> &Common {
        match self {
            Claims::Operator(claims) => &claims.common,
            Claims::Account(claims) => &claims.common,
            Claims::User(claims) => &claims.common,
            Claims::Activation(claims) => &claims.common,
            Claims::AuthorizationRequest(claims) => &claims.common,
            Claims::AuthorizationResponse(claims) => &claims.common,
            Claims::Other(_, common) => common,
        }
    }

    /// The kind's name, as in the token.
    pub fn kind(&self) -> &str {
        match self {
            Claims::Operator(_) => "operator",
            Claims::Account(_) => "account",
            Claims::User(_) => "user",
            Claims::Activation(_) => "activation",
            Claims::AuthorizationRequest(_) => "authorization_request",
            Claims::AuthorizationResponse(_) => "authorization_response",
            Claims::Other(kind, _) => kind,
        }
    }

    pub(super) fn read(kind: Kind, version: i64, claims: &Value) -> serde_json::Result<Claims> {
        Ok(match kind {
            Kind::Operator => Claims::Operator(Box::new(OperatorClaims::read(version, claims)?)),
            Kind::Account => Claims::Account(Box::new(AccountClaims::read(version, claims)?)),
            Kind::User => Claims::User(Box::new(UserClaims::read(version, claims)?)),
            Kind::Activation => {
                Claims::Activation(Box::new(ActivationClaims::read(version, claims)?))
            }
            Kind::AuthorizationRequest => {
                Claims::AuthorizationRequest(Box::new(RequestClaims::read(claims)?))
            }
            Kind::AuthorizationResponse => {
                Claims::AuthorizationResponse(Box::new(ResponseClaims::read(claims)?))
            }
            Kind::Other(kind) => Claims::Other(kind, Box::new(token::common(claims)?)),
        })
    }

    /// Which kinds of keys may sign what.
    pub(super) fn may_be_signed_by(&self, key: &KeyPairType) -> bool {
        use KeyPairType::{Account, Operator, Server};
        match self {
            Claims::Operator(_) => matches!(key, Operator),
            Claims::Account(_) | Claims::Activation(_) => matches!(key, Account | Operator),
            Claims::User(_) | Claims::AuthorizationResponse(_) => matches!(key, Account),
            Claims::AuthorizationRequest(_) => matches!(key, Server),
            Claims::Other(..) => true,
        }
    }
}

impl Common {
    /// Reads it, version and tags included.
    pub(super) fn read(version: i64, claims: &Value) -> serde_json::Result<Common> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Tagged {
            tags: Vec<String>,
        }
        let holder = match version {
            1 => Some(claims),
            _ => claims.get("nats"),
        };
        let tagged: Tagged = super::json::read(holder)?;
        Ok(Common {
            version,
            tags: tagged.tags,
            ..token::common(claims)?
        })
    }
}

impl Kind {
    pub(super) fn of(name: &str) -> Kind {
        match name {
            "operator" => Kind::Operator,
            "account" => Kind::Account,
            "user" => Kind::User,
            "activation" => Kind::Activation,
            "authorization_request" => Kind::AuthorizationRequest,
            "authorization_response" => Kind::AuthorizationResponse,
            other => Kind::Other(other.to_owned()),
        }
    }
}

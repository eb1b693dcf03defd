//! Decentralized authentication: tokens of operators, accounts and users, signed one by the other. Owns decoding, what
//! must hold for claims, and the chain of trust from a user to an operator. Pure: no files, no resolver, no clock.
//!
//! [`OperatorClaims::decode`] and its like verify that the issuer signed a token; `validate` says what else is wrong with it.

/// What a user is told whose time is up.
pub const EXPIRED_TEXT: &str = "User Authentication Expired";

mod account;
mod account_validation;
mod activation;
mod authorization;
mod claims;
mod json;
mod made;
mod network;
mod operator;
mod permissions;
mod times;
mod token;
mod user;
mod validation;

pub use account::{
    ALL, Account, AccountClaims, AccountLimits, Export, ExportKind, ExternalAuthorization, Import,
    MessageTrace, Revocations, Scope, ServiceLatency, Signer, WeightedMapping,
};
pub use activation::ActivationClaims;
pub use authorization::{
    ClientInfo, ClientTls, ConnectOpts, REQUEST_AUDIENCE, Request, RequestClaims, Response,
    ResponseClaims, ServerId,
};
pub use claims::{Claims, Common};
pub use made::{Grant, closing, grant};
pub use operator::{Operator, OperatorClaims};
pub use permissions::{Lists, Permissions, ResponsePermission};
pub use times::milliseconds_until;
pub(super) use token::base64url;
pub use token::{DecodeError, TOKEN_BYTES_MAX, decode, encode};
pub use user::{TimeRange, UserClaims, UserLimits};
pub use validation::{Issue, Issues, Severity};

//! Decentralized authentication: tokens of operators, accounts and users, signed one by the other. Owns decoding, what
//! must hold for claims, and the chain of trust from a user to an operator. Pure: no files, no resolver, no clock.
//!
//! [`OperatorClaims::decode`] and its like verify that the issuer signed a token; `validate` says what else is wrong with it.

mod account;
mod account_validation;
mod accounts;
mod activation;
mod authorization;
mod chain;
mod claims;
mod creds;
mod denial;
mod json;
mod made;
mod network;
mod operator;
mod permissions;
mod still;
mod template;
mod times;
mod token;
mod trust;
mod user;
mod validation;

pub use account::{
    ALL, Account, AccountClaims, AccountLimits, Export, ExportKind, ExternalAuthorization, Import,
    MessageTrace, Revocations, Scope, ServiceLatency, Signer, WeightedMapping,
};
pub use accounts::{Converted, Failure, LeftOut, to_config};
pub use activation::ActivationClaims;
pub use authorization::{
    ClientInfo, ClientTls, ConnectOpts, REQUEST_AUDIENCE, Request, RequestClaims, Response,
    ResponseClaims, ServerId,
};
pub use chain::{
    ACCOUNT_EXPIRED_TEXT, Admitted, Attempt, Candidate, ConnectionType, EXPIRED_TEXT, Lookup,
    MadeUnder, REVOKED_TEXT, Verdict, admit_made, authenticate, authenticate_again, limits_of,
    suppose, suppose_all,
};
pub use claims::{Claims, Common};
pub use creds::{Creds, CredsError};
pub use denial::{Denial, Reason};
pub use made::{Grant, closing, grant, user_limits};
pub use operator::{Operator, OperatorClaims};
pub use permissions::{Lists, Permissions, ResponsePermission};
pub use still::still_admitted;
pub use template::{EXPANSIONS_MAX, Expansion, TemplateError, expansions};
pub use times::{instant, milliseconds_until};
pub use token::{DecodeError, TOKEN_BYTES_MAX, decode, encode};
pub(super) use token::{is_public, signature};
pub use trust::{AccountError, Trust};
pub use user::{TimeRange, UserClaims, UserLimits};
pub use validation::{Issue, Issues, Severity};

#[cfg(test)]
mod account_tests;
#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod made_in_tests;
#[cfg(test)]
mod tests;

//! Account JWTs, as far as it needs no files and no network: which of them are trusted, what a directory knows of its
//! own, and the answers to requests about them.

pub mod index;
pub mod newer;
mod reply;
pub mod requests;

use std::fmt;
use std::io;

use super::jwt::{AccountClaims, Claims, DecodeError, Issue, TOKEN_BYTES_MAX, decode};
use super::operators::OperatorMode;
use index::Hash;
use newer::{Choice, Stamp};

/// Longest account JWT, bytes.
pub const JWT_BYTES_MAX: usize = TOKEN_BYTES_MAX;

/// A place that account JWTs are kept in. Times are milliseconds since 1970. What is said of errors holds for all of
/// them: a JWT that was there is still there.
pub trait Store {
    /// The account's JWT; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    fn load(&mut self, key: &str, now_ms: i64) -> io::Result<Option<String>>;

    /// Writes the account's JWT. Gives whether it is another one than before.
    ///
    /// # Errors
    /// It cannot be written, or there is no room.
    fn save(&mut self, key: &str, jwt: &str, now_ms: i64) -> io::Result<bool>;

    /// Deletes the account's JWT. Gives whether there was one.
    ///
    /// # Errors
    /// It cannot be deleted.
    fn delete(&mut self, key: &str) -> io::Result<bool>;

    /// Whether JWTs may be deleted.
    fn allows_delete(&self) -> bool;

    /// All JWTs with their keys, in order.
    ///
    /// # Errors
    /// One cannot be read.
    fn all(&self) -> io::Result<Vec<(String, String)>>;

    /// The hash of all JWTs.
    fn hash(&self) -> Hash;
}

/// Why a JWT is not that of an account that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is none.
    Decode(DecodeError),
    /// It is another account's; this one's.
    Subject(String),
    /// Nobody trusts its issuer, this one.
    Issuer(String),
    /// Something in it is wrong, or its time has not come or is over.
    Claims(Issue),
}

/// When a JWT expires by itself, milliseconds since 1970; `None` if never, or if it cannot be read.
pub fn expires_ms(jwt: &str) -> Option<i64> {
    let claims = decode(jwt).ok()?;
    let seconds = claims.common().expires;
    (seconds != 0).then(|| seconds.saturating_mul(1000))
}

/// The claims of the account `key`, from what a resolver says of it.
///
/// # Errors
/// See [`Unusable`].
pub fn usable(
    key: &str,
    jwt: &str,
    mode: &OperatorMode,
    now_ms: i64,
) -> Result<AccountClaims, Unusable> {
    let claims = AccountClaims::decode(jwt).map_err(Unusable::Decode)?;
    let common = &claims.common;
    if !mode.trusts(&common.issuer) {
        return Err(Unusable::Issuer(common.issuer.clone()));
    }
    if common.subject != key {
        return Err(Unusable::Subject(common.subject.clone()));
    }
    let issues = claims.validate(now_ms.div_euclid(1000));
    match issues.blocking() {
        Some(issue) => Err(Unusable::Claims(issue.clone())),
        None => Ok(claims),
    }
}

/// Takes in a JWT that came from somewhere else, unless the one that is there is newer. Gives whether something changed.
///
/// # Errors
/// It is not the account's, or cannot be written.
pub fn take(store: &mut dyn Store, key: &str, jwt: &str, now_ms: i64) -> io::Result<bool> {
    let there = store.load(key, now_ms)?;
    match replaces(key, there.as_deref(), jwt)? {
        true => store.save(key, jwt, now_ms),
        false => Ok(false),
    }
}

/// Whether a JWT that comes takes the place of the one that is there.
///
/// # Errors
/// It is not the account's.
pub fn replaces(key: &str, there: Option<&str>, comes: &str) -> io::Result<bool> {
    let comes = stamp(comes).map_err(|error| io::Error::other(error.to_string()))?;
    let there = there.and_then(|jwt| stamp(jwt).ok());
    match newer::choose(key, there.as_ref(), &comes) {
        Choice::Take => Ok(true),
        Choice::Keep => Ok(false),
        Choice::Refuse => Err(io::Error::other(
            "jwt subject nkey and provided nkey do not match",
        )),
    }
}

fn stamp(jwt: &str) -> Result<Stamp, DecodeError> {
    let claims: Claims = decode(jwt)?;
    let common = claims.common();
    Ok(Stamp {
        subject: common.subject.clone(),
        id: common.id.clone(),
        issued_at: common.issued_at,
    })
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Decode(error) => write!(f, "it is no JWT of an account: {error}"),
            Unusable::Subject(subject) => write!(f, "it is the JWT of account {subject:?}"),
            Unusable::Issuer(issuer) => write!(f, "nobody trusts its issuer {issuer:?}"),
            Unusable::Claims(issue) => f.write_str(&issue.text),
        }
    }
}

impl std::error::Error for Unusable {}

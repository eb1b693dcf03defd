//! What authentication must compute where blocking is allowed. Owns the list of kinds; each is in its method's file.

use jiff::Timestamp;

use crate::transport::tls::Shown;

use super::callout::CalloutWork;
use super::identity::Outcome;
use super::nkey::SignatureWork;
use super::operator::JwtWork;
use super::password::BcryptWork;

/// A slow part of an authentication. For a worker's thread, never for a shard.
#[derive(Debug)]
pub enum Work {
    /// A password against a bcrypt hash: 100 ms and more.
    Bcrypt(BcryptWork),
    /// A signature under the nonce: 0.1 ms, but there are storms of them.
    Signature(SignatureWork),
    /// A JWT, and the chain of trust behind it: several signatures.
    Jwt(JwtWork),
    /// A service must be asked.
    Callout(CalloutWork),
}

/// What somebody else must do before there is an outcome.
#[derive(Debug)]
pub enum Elsewhere {
    /// Ask a service.
    Callout(CalloutWork),
    /// Get an account's claims, and go on with the work under them.
    Account {
        /// The account's key.
        key: String,
        /// The work.
        work: Box<JwtWork>,
    },
}

impl Work {
    /// Whether it takes a hundred times as long as the others.
    pub fn takes_long(&self) -> bool {
        matches!(self, Work::Bcrypt(_))
    }

    /// Tells how the client came in over TLS, if a service may have to know.
    pub fn over_tls(&mut self, shown: impl FnOnce() -> Shown) {
        let tls = match self {
            Work::Bcrypt(_) | Work::Signature(_) => return,
            Work::Jwt(work) => &mut work.tls,
            Work::Callout(work) => &mut work.tls,
        };
        *tls = Some(Box::new(shown()));
    }

    /// Does what can be done here.
    ///
    /// # Errors
    /// What somebody else must do.
    pub fn run(self, now: Timestamp) -> Result<Outcome, Elsewhere> {
        match self {
            Work::Bcrypt(work) => Ok(work.run()),
            Work::Signature(work) => Ok(work.run()),
            Work::Jwt(work) => work.run(now),
            Work::Callout(work) => Err(Elsewhere::Callout(work)),
        }
    }
}

//! What authentication must compute where blocking is allowed. Owns the list of kinds; each is in its method's file.

use super::callout::CalloutWork;
use super::identity::Outcome;
use super::nkey::SignatureWork;
use super::password::BcryptWork;

/// A slow part of an authentication. For a worker's thread, never for a shard.
#[derive(Debug)]
pub enum Work {
    /// A password against a bcrypt hash: 100 ms and more.
    Bcrypt(BcryptWork),
    /// A signature under the nonce: 0.1 ms, but there are storms of them.
    Signature(SignatureWork),
    /// A service must be asked.
    Callout(CalloutWork),
}

impl Work {
    /// Does what can be done here.
    ///
    /// # Errors
    /// A service must be asked: what to ask it.
    pub fn run(self) -> Result<Outcome, CalloutWork> {
        match self {
            Work::Bcrypt(work) => Ok(work.run()),
            Work::Signature(work) => Ok(work.run()),
            Work::Callout(work) => Err(work),
        }
    }
}

//! What authentication must compute where blocking is allowed. Owns the list of kinds; each is in its method's file.

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
}

impl Work {
    /// Does it.
    pub fn run(self) -> Outcome {
        match self {
            Work::Bcrypt(work) => work.run(),
            Work::Signature(work) => work.run(),
        }
    }
}

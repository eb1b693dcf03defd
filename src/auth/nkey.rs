//! The method of nkeys: users known by a public key, who sign the nonce that INFO gave them. Reads no claims.

use std::fmt;
use std::sync::Arc;

use foldhash::fast::FixedState;
use nkeys::KeyPair;

use crate::proto::handshake::Secret;

use super::identity::{Denial, DenialReason, Identity, Outcome};
use super::jwt;
use super::permission::Permissions;
use super::visitor::Visitor;
use super::work::Work;

/// The configured users that have a key, whatever their accounts: a key is there once.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_key: hashbrown::HashMap<Arc<str>, KeyUser, FixedState>,
}

/// A user with a key.
#[derive(Debug)]
pub(super) struct KeyUser {
    pub(super) key: Arc<str>,
    pub(super) account: Arc<str>,
    pub(super) allows_standard: bool,
    pub(super) permissions: Option<Arc<Permissions>>,
}

impl Keys {
    /// Of users with the same key the last counts.
    pub(super) fn add(&mut self, user: KeyUser) {
        self.by_key.insert(Arc::clone(&user.key), user);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The key as the table has it, if it is there.
    pub(super) fn find(&self, key: &str) -> Option<&Arc<str>> {
        self.by_key.get(key).map(|user| &user.key)
    }

    /// The account of the user that has this key.
    pub(super) fn account_of(&self, key: &str) -> Option<&str> {
        Some(&*self.by_key.get(key)?.account)
    }

    /// All of them, as they are once their signature is verified.
    pub(super) fn identities(&self) -> impl Iterator<Item = Identity> {
        self.by_key.values().map(KeyUser::identity)
    }

    /// Who names this key. `open` is a key that nobody has to prove: the `no_auth_user`'s.
    pub(super) fn begin(&self, visitor: &Visitor<'_>, key: &str, open: Option<&str>) -> Outcome {
        let denied = |reason| Denial::of_key(key, reason);
        let Some(user) = self.by_key.get(key) else {
            return denied(DenialReason::UnknownKey).into();
        };
        if !user.allows_standard {
            return denied(DenialReason::ConnectionType).into();
        }
        let identity = user.identity();
        if open == Some(key) {
            return Outcome::Accepted(identity);
        }
        SignatureWork::begin(
            key,
            visitor.nonce,
            &visitor.connect.sig,
            identity,
            denied(DenialReason::WrongSignature),
        )
    }
}

impl KeyUser {
    fn identity(&self) -> Identity {
        Identity::key(&self.key, &self.account, self.permissions.clone())
    }
}

/// The slow end of a challenge: whether a signature is that of a key under a nonce.
pub struct SignatureWork {
    key: Box<str>,
    nonce: Box<str>,
    signature: Vec<u8>,
    accepted: Identity,
    denied: Denial,
}

impl SignatureWork {
    fn begin(
        key: &str,
        nonce: &str,
        signature: &Secret,
        accepted: Identity,
        denied: Denial,
    ) -> Outcome {
        match decode_signature(signature.expose()) {
            Some(signature) => Outcome::Work(Box::new(Work::Signature(SignatureWork {
                key: key.into(),
                nonce: nonce.into(),
                signature,
                accepted,
                denied,
            }))),
            None => Outcome::Denied(denied),
        }
    }

    pub(super) fn accepted(&self) -> &Identity {
        &self.accepted
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Verifies; never gives [`Outcome::Work`].
    pub fn run(self) -> Outcome {
        match verifies(&self.key, &self.nonce, &self.signature) {
            true => Outcome::Accepted(self.accepted),
            false => Outcome::Denied(self.denied),
        }
    }
}

impl fmt::Debug for SignatureWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureWork({})", self.key)
    }
}

/// A signature as clients send it: URL-safe base64 without padding, or else the standard one. `None` for anything
/// else, and for none.
pub(super) fn decode_signature(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() {
        return None;
    }
    jwt::signature(text)
}

/// Whether a signature under a nonce is that of a public key.
pub(super) fn verifies(key: &str, nonce: &str, signature: &[u8]) -> bool {
    let Ok(pair) = KeyPair::from_public_key(key) else {
        return false;
    };
    pair.verify(nonce.as_bytes(), signature).is_ok()
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD};

    use super::*;

    #[test]
    fn signatures_in_both_alphabets() {
        let pair = KeyPair::new_user();
        let signature = pair.sign(b"nonce").unwrap();
        for text in [
            BASE64URL_NOPAD.encode(&signature),
            BASE64.encode(&signature),
        ] {
            let decoded = decode_signature(&text).unwrap();
            assert!(verifies(&pair.public_key(), "nonce", &decoded));
            assert!(!verifies(&pair.public_key(), "nonse", &decoded));
            let other = KeyPair::new_user();
            assert!(!verifies(&other.public_key(), "nonce", &decoded));
        }
        assert!(!verifies(&pair.public_key(), "nonce", &signature[1..]));
        assert!(!verifies("UA", "nonce", &signature));
        for nothing in ["", "?", "=", "AAA=A"] {
            assert_eq!(decode_signature(nothing), None, "{nothing}");
        }
    }
}

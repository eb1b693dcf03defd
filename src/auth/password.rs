//! Passwords and tokens as the configuration has them, plain or bcrypt, and their comparison with what a client sent.
//! Knows nobody by name.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::config::{self, Config};
use crate::proto::handshake::Secret;

use super::identity::{Denial, Identity, Outcome};
use super::work::Work;

/// Length of a bcrypt hash; whatever follows is ignored.
const BCRYPT_BYTES: usize = 60;
/// Where the last character of the salt stands in it. Only its upper two bits belong to the salt.
const SALT_END: usize = 28;
/// bcrypt's base64 alphabet.
const BCRYPT_ALPHABET: &[u8; 64] =
    b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A secret of the configuration.
#[derive(Clone, Debug)]
pub(super) enum Password {
    Plain(Hidden),
    Bcrypt(Hidden),
}

/// A text that is never printed.
#[derive(Clone)]
pub(super) struct Hidden(Arc<str>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Password {
    pub(super) fn new(configured: &config::Secret) -> Password {
        let text = Hidden(configured.0.as_str().into());
        if is_bcrypt(&text.0) {
            Password::Bcrypt(text)
        } else {
            Password::Plain(text)
        }
    }

    pub(super) fn is_bcrypt(&self) -> bool {
        matches!(self, Password::Bcrypt(_))
    }

    /// The password as the configuration has it, in a client's place.
    pub(super) fn as_given(&self) -> Secret {
        let (Password::Plain(own) | Password::Bcrypt(own)) = self;
        Secret::new(&own.0)
    }

    /// Whether the configured bcrypt hash itself was given: that is no password.
    pub(super) fn is_itself(&self, given: &Secret) -> bool {
        match self {
            Password::Plain(_) => false,
            Password::Bcrypt(own) => own.0.as_bytes().ct_eq(given.expose().as_bytes()).into(),
        }
    }

    /// `accepted` if the client gave this password, else `denied`; at once for a plain one, in constant time.
    pub(super) fn check(&self, given: &Secret, accepted: Identity, denied: Denial) -> Outcome {
        match self {
            Password::Plain(own)
                if bool::from(own.0.as_bytes().ct_eq(given.expose().as_bytes())) =>
            {
                Outcome::Accepted(accepted)
            }
            Password::Plain(_) => Outcome::Denied(denied),
            Password::Bcrypt(hash) => Outcome::Work(Box::new(Work::Bcrypt(BcryptWork {
                hash: hash.clone(),
                given: given.clone(),
                accepted,
                denied,
            }))),
        }
    }
}

/// The slow end of an authentication: the comparison of a password with a bcrypt hash.
#[derive(Debug)]
pub struct BcryptWork {
    hash: Hidden,
    given: Secret,
    accepted: Identity,
    denied: Denial,
}

impl BcryptWork {
    pub(super) fn accepted(&self) -> &Identity {
        &self.accepted
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash.0
    }

    /// Computes the hash and compares; never gives [`Outcome::Work`].
    ///
    /// Keeps its thread busy for as long as the hash's cost asks for: about 100 ms at cost 11, twice as long with each
    /// step. For a worker thread, never for a shard.
    pub fn run(self) -> Outcome {
        if matches(&self.hash.0, self.given.expose()) {
            Outcome::Accepted(self.accepted)
        } else {
            Outcome::Denied(self.denied)
        }
    }
}

/// Whether somebody's password stands in the configuration as it is: worth a warning. Tokens are not looked at, and users
/// without a password not where certificates say who they are.
pub fn has_plain_passwords(config: &Config) -> bool {
    let by_certificate = config.tls.as_ref().is_some_and(|tls| tls.map);
    let of_accounts = config.accounts.iter().flat_map(|account| &account.users);
    let mut users = config.authorization.users.iter().chain(of_accounts);
    let single = config.authorization.password.as_ref();
    single.is_some_and(|password| !is_bcrypt(&password.0))
        || users.any(|user| {
            let needs_none = user.nkey.is_some() || (by_certificate && user.password.0.is_empty());
            !needs_none && !is_bcrypt(&user.password.0)
        })
}

/// Whether the oracle takes a configured secret for a bcrypt hash: `$2a$`, `$2b$`, `$2x$` or `$2y$` and two digits.
fn is_bcrypt(text: &str) -> bool {
    matches!(
        text.as_bytes(),
        [
            b'$',
            b'2',
            b'a' | b'b' | b'x' | b'y',
            b'$',
            b'0'..=b'9',
            b'0'..=b'9',
            b'$',
            ..
        ]
    )
}

/// Whether `given` hashes to `hash`. A password is cut after 72 bytes; a malformed hash matches none.
fn matches(hash: &str, given: &str) -> bool {
    normalized(hash).is_some_and(|hash| bcrypt::verify(given, &hash).unwrap_or(false))
}

/// The hash as the library wants it: without what follows, and without bits behind the salt, which some tools set.
fn normalized(hash: &str) -> Option<String> {
    let mut hash = hash.get(..BCRYPT_BYTES)?.to_owned();
    let last = *hash.as_bytes().get(SALT_END)?;
    let value = BCRYPT_ALPHABET.iter().position(|&letter| letter == last)?;
    let clean = char::from(BCRYPT_ALPHABET[value & 0x30]);
    hash.replace_range(SALT_END..=SALT_END, clean.encode_utf8(&mut [0; 4]));
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p` with a salt of our own.
    const P: &str = "$2b$04$abcdefghijklmnopqrstuudMegMbPN37MbpdEfAtP66w1z0RBCtLG";
    /// 80 times `x`.
    const X80: &str = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";

    #[test]
    fn what_looks_like_bcrypt() {
        for yes in ["$2a$10$", "$2b$04$short", "$2x$99$", "$2y$10$x", P] {
            assert!(is_bcrypt(yes), "{yes}");
        }
        for no in [
            "", "$2", "$2c$10$x", "$2a$1$x", "$2a$1x$", "2a$10$", "$1a$10$", "$2$10$", " $2a$10$",
        ] {
            assert!(!is_bcrypt(no), "{no}");
        }
    }

    /// Each was run against the oracle.
    #[test]
    fn hashes_match_as_with_the_oracle() {
        let variant = |from: &str, to: &str| P.replacen(from, to, 1);
        for (hash, given, expected) in [
            (P.to_owned(), "p", true),
            (variant("$2b", "$2a"), "p", true),
            (variant("$2b", "$2y"), "p", true),
            (variant("$2b", "$2x"), "p", true),
            (format!("{P}zz"), "p", true),
            (variant("tuud", "tuvd"), "p", true),
            (P.to_owned(), "", false),
            (P.to_owned(), "P", false),
            (P.to_owned(), "p\0", false),
            (P.to_owned(), P, false),
            (P[..59].to_owned(), "p", false),
            (variant("$04$", "$02$"), "p", false),
            (variant("abcdef", "abc!ef"), "p", false),
            (variant("CtLG", "CtLH"), "p", false),
            ("$2a$10$short".to_owned(), "$2a$10$short", false),
            (variant("abcdef", "abcdé"), "p", false),
            (format!("{}éé", &P[..58]), "p", false),
            (X80.to_owned(), &"x".repeat(71), false),
            (X80.to_owned(), &"x".repeat(72), true),
            (X80.to_owned(), &"x".repeat(80), true),
        ] {
            assert_eq!(matches(&hash, given), expected, "{hash} {given}");
        }
    }
}

//! What authentication comes to: an identity, a denial, or work to be done elsewhere first. Decides nothing.

use std::fmt;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;

use crate::proto::handshake::ConnectOptions;

use super::callout::{PROXY_REQUIRED, Refusal, Service, Standing};
use super::permission::Permissions;
use super::violation::quoted;
use super::work::Work;
use super::{GLOBAL_ACCOUNT, jwt};

/// Shown in place of a token.
pub const REDACTED: &str = "[REDACTED]";

/// Result of one step of authentication.
#[derive(Debug)]
pub enum Outcome {
    /// The client is this.
    Accepted(Identity),
    /// The client is refused: send `-ERR`, log, close.
    Denied(Denial),
    /// Something has to be computed first, on a thread that may block; it gives the outcome.
    Work(Box<Work>),
}

impl From<Denial> for Outcome {
    fn from(denial: Denial) -> Self {
        Outcome::Denied(denial)
    }
}

/// By what a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// By nothing.
    None,
    /// By a user's name.
    User,
    /// By a token.
    Token,
    /// By a public key.
    Nkey,
}

/// Who a connection is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    /// User's name or public key, `[REDACTED]` for a token, empty for nobody in particular.
    pub user: Arc<str>,
    /// By what it is known.
    pub credential: Credential,
    /// Name of the account.
    pub account: Arc<str>,
    /// What it may do; `None` is everything.
    pub permissions: Option<Arc<Permissions>>,
    /// When it must go; `None` is never.
    pub expires: Option<Timestamp>,
    /// What its token says, where it has one.
    pub token: Option<Arc<jwt::Admitted>>,
    /// Who vouches for its key: the account, or one of the account's signing keys. `None` without a key.
    pub issuer_key: Option<Arc<str>>,
    /// What it may have, beside what its account may.
    pub limits: UserLimits,
}

/// Limits of one user; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Subscriptions of each of its connections.
    pub subscriptions_max: Option<u64>,
    /// Payload of each of its messages, bytes.
    pub payload_bytes_max: Option<u64>,
}

impl Identity {
    /// What log lines call it, behind the account's name: `user:bob`, `token`, `nkey:U…`, `jwt:U…`; empty for
    /// nobody.
    pub fn label(&self) -> String {
        match self.credential {
            Credential::None => String::new(),
            Credential::User => format!("user:{}", self.user),
            Credential::Token => "token".into(),
            Credential::Nkey if self.token.is_some() => format!("jwt:{}", self.user),
            Credential::Nkey => format!("nkey:{}", self.user),
        }
    }

    /// A user whose name has been proven.
    pub(super) fn user(
        name: &Arc<str>,
        account: &Arc<str>,
        permissions: Option<Arc<Permissions>>,
    ) -> Identity {
        Identity {
            user: Arc::clone(name),
            credential: Credential::User,
            account: Arc::clone(account),
            permissions,
            expires: None,
            token: None,
            issuer_key: None,
            limits: UserLimits::default(),
        }
    }

    /// A user whose key has been proven.
    pub(super) fn key(
        key: &Arc<str>,
        account: &Arc<str>,
        permissions: Option<Arc<Permissions>>,
    ) -> Identity {
        Identity {
            credential: Credential::Nkey,
            issuer_key: Some(Arc::clone(account)),
            ..Identity::user(key, account, permissions)
        }
    }

    /// Whom a JWT has been found to be of.
    pub fn of_token(token: &Arc<jwt::Admitted>) -> Identity {
        Identity {
            user: Arc::clone(&token.user),
            credential: Credential::Nkey,
            account: Arc::clone(&token.account),
            permissions: token.permissions.clone(),
            limits: UserLimits {
                subscriptions_max: token.subscriptions_max,
                payload_bytes_max: token.payload_bytes_max,
            },
            expires: token.expires,
            token: Some(Arc::clone(token)),
            issuer_key: Some(Arc::clone(&token.issuer)),
        }
    }

    /// The same by another name, unless that is empty.
    pub(super) fn renamed(self, name: &str) -> Identity {
        match name.is_empty() {
            true => self,
            false => Identity {
                user: name.into(),
                credential: Credential::User,
                ..self
            },
        }
    }

    /// A user of the global account that may do everything, whose name has been proven.
    pub(super) fn global_user(name: &Arc<str>) -> Identity {
        Identity::user(name, &global_account(), None)
    }

    /// Nobody in particular, in the global account.
    pub fn stranger() -> Identity {
        Identity {
            user: "".into(),
            credential: Credential::None,
            account: global_account(),
            permissions: None,
            expires: None,
            token: None,
            issuer_key: None,
            limits: UserLimits::default(),
        }
    }

    /// Whoever has the token.
    pub(super) fn token() -> Identity {
        Identity {
            user: REDACTED.into(),
            credential: Credential::Token,
            account: global_account(),
            permissions: None,
            expires: None,
            token: None,
            issuer_key: None,
            limits: UserLimits::default(),
        }
    }

    /// Whoever the client says it is, where nobody is asked for a proof.
    pub(super) fn unproven(connect: &ConnectOptions) -> Identity {
        let (credential, user) = claimed(connect);
        Identity {
            user: user.into(),
            credential,
            account: global_account(),
            permissions: None,
            expires: None,
            token: None,
            issuer_key: None,
            limits: UserLimits::default(),
        }
    }
}

/// Why a client is refused. Displays as the log line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whom the client claimed to be.
    pub user: Arc<str>,
    /// By what.
    pub credential: Credential,
    /// Why not. For the log only: a client must not learn it.
    pub reason: DenialReason,
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// The client gave nothing that any configured method could check.
    NoCredentials,
    /// No such user.
    UnknownUser,
    /// Wrong password.
    WrongPassword,
    /// No such key.
    UnknownKey,
    /// No signature, or not that of the key under the nonce.
    WrongSignature,
    /// The client has shown no certificate, and users are known by one.
    NoCertificate,
    /// No user is known by its certificate: the names that it has.
    UnknownCertificate(Box<str>),
    /// Wrong token, or none.
    WrongToken,
    /// The user may not connect this way: `allowed_connection_types`.
    ConnectionType,
    /// The user is the `no_auth_user`, yet has a bcrypt password, which nobody but who knows it can present.
    NoAuthUserBcrypt,
    /// There is no such account on this node.
    UnknownAccount(Arc<str>),
    /// Its JWT, or what stands behind it, does not let it in.
    Jwt(Arc<jwt::Denial>),
    /// The callout service did not let it in.
    Callout(Box<Refusal>),
    /// CONNECT asks for an account by name, which is no longer possible.
    AccountDesignated,
}

impl Denial {
    /// The text between the quotes of `-ERR`: the same for every reason.
    pub fn text(&self) -> &'static str {
        "Authorization Violation"
    }

    /// Whether the client would have had to come by way of a trusted proxy.
    pub fn wants_proxy(&self) -> bool {
        match &self.reason {
            DenialReason::Jwt(found) => found.reason == jwt::Reason::ProxyRequired,
            DenialReason::Callout(refusal) => refusal.why == PROXY_REQUIRED,
            _ => false,
        }
    }

    /// A denial of the client that sent this.
    pub fn new(connect: &ConnectOptions, reason: DenialReason) -> Denial {
        let (credential, user) = claimed(connect);
        Denial {
            user: user.into(),
            credential,
            reason,
        }
    }

    /// The same of a client whose JWT was found wanting.
    pub(super) fn because(self, found: jwt::Denial) -> Denial {
        Denial {
            reason: DenialReason::Jwt(Arc::new(found)),
            ..self
        }
    }

    /// The same of a client that this service has been asked about.
    pub(super) fn by_service(self, service: &Service, standing: Standing) -> Denial {
        let refusal = Refusal {
            service: (&*service.account).into(),
            standing,
            why: String::new(),
        };
        Denial {
            reason: DenialReason::Callout(Box::new(refusal)),
            ..self
        }
    }

    /// A denial of who has been identified.
    pub fn of(identity: &Identity, reason: DenialReason) -> Denial {
        Denial {
            user: Arc::clone(&identity.user),
            credential: identity.credential,
            reason,
        }
    }

    /// A denial of who named this key.
    pub(super) fn of_key(key: &str, reason: DenialReason) -> Denial {
        Denial {
            user: key.into(),
            credential: Credential::Nkey,
            reason,
        }
    }

    /// A denial of a user whom the client did not name.
    pub(super) fn of_user(name: &Arc<str>, reason: DenialReason) -> Denial {
        Denial {
            user: Arc::clone(name),
            credential: Credential::User,
            reason,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let DenialReason::Jwt(found) = &self.reason {
            return write!(f, "{found}");
        }
        let user = quoted(self.user.as_bytes());
        match self.credential {
            Credential::None => write!(f, "authentication error ({})", self.reason),
            Credential::User => write!(f, "authentication error - User {user} ({})", self.reason),
            Credential::Token => write!(f, "authentication error - Token {user} ({})", self.reason),
            Credential::Nkey => write!(f, "authentication error - Nkey {user} ({})", self.reason),
        }
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DenialReason::Jwt(found) => return write!(f, "{}", found.reason),
            DenialReason::UnknownAccount(account) => {
                return write!(f, "there is no account {account:?}");
            }
            DenialReason::UnknownCertificate(names) => {
                return write!(f, "no user for this certificate, which has {names}");
            }
            DenialReason::Callout(refusal) => return write!(f, "{refusal}"),
            DenialReason::NoCredentials => "no credentials",
            DenialReason::UnknownUser => "unknown user",
            DenialReason::WrongPassword => "wrong password",
            DenialReason::UnknownKey => "unknown key",
            DenialReason::WrongSignature => "no signature that verifies",
            DenialReason::NoCertificate => "no certificate",
            DenialReason::WrongToken => "wrong token",
            DenialReason::ConnectionType => "connection type not allowed",
            DenialReason::NoAuthUserBcrypt => "no_auth_user cannot have a bcrypt password",
            DenialReason::AccountDesignated => "CONNECT designates an account",
        })
    }
}

/// The global account's name, one allocation for all.
fn global_account() -> Arc<str> {
    static NAME: LazyLock<Arc<str>> = LazyLock::new(|| GLOBAL_ACCOUNT.into());
    Arc::clone(&NAME)
}

/// Whom a client says it is, in the oracle's order of preference.
fn claimed(connect: &ConnectOptions) -> (Credential, &str) {
    if !connect.nkey.is_empty() {
        (Credential::Nkey, &connect.nkey)
    } else if !connect.user.is_empty() {
        (Credential::User, &connect.user)
    } else if !connect.auth_token.is_empty() {
        (Credential::Token, REDACTED)
    } else {
        (Credential::None, "")
    }
}

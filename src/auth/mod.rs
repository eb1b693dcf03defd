//! Who a connection is and what it may do. Pure: takes bytes and compiled tables, does no I/O, reads no clock.
//!
//! [`Authenticator`] chooses the method and gives an [`Identity`] or a [`Denial`]; each method has its own file and
//! knows nothing of the others. [`Permissions`] says what an identity may do; [`ResponseTracker`] adds what one
//! connection may do for a while.

mod again;
pub mod callout;
pub mod callout_answer;
mod certificate;
mod completed;
mod connection_type;
mod identity;
pub mod jwt;
mod nkey;
pub mod operator;
pub mod operators;
mod password;
pub mod permission;
pub mod resolver;
pub mod responses;
mod single;
mod token;
mod users;
pub mod violation;
mod visitor;
mod work;

pub use again::Before;
pub(crate) use connection_type::allows_standard;
pub use identity::{Credential, Denial, DenialReason, Identity, Outcome, REDACTED, UserLimits};
pub use nkey::SignatureWork;
pub use password::{BcryptWork, has_plain_passwords};
pub use permission::{Decision, Permissions, ResponsePermission};
pub use responses::ResponseTracker;
pub use visitor::Visitor;
pub use work::{Elsewhere, Work};

use std::fmt;
use std::sync::Arc;

use crate::config::{Config, Position};
use crate::proto::handshake::ConnectOptions;

use callout::Callout;
use operator::Operator;
use single::SingleUser;
use token::Token;
use users::Users;

/// The account of everybody who is in no other.
pub const GLOBAL_ACCOUNT: &str = "$G";

/// What is wrong with the part of a configuration that says who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands; `None` where the configuration keeps no place.
    pub at: Option<Position>,
    /// What is wrong, without secrets.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Decides who a client is, by what the configuration says. Immutable; shared by all shards.
///
/// Methods in the order in which they are tried, the first that the configuration has and the client's credentials
/// call for decides: nkeys (a client that names a key), with `verify_and_map` certificates and nothing else of users, users, those of accounts among them (a client that names a
/// user, or gives nothing while there is a `no_auth_user`), the token, the single user. Without any of them everybody
/// is let in.
#[derive(Debug)]
pub struct Authenticator {
    users: Option<Users>,
    token: Option<Token>,
    single: Option<SingleUser>,
    callout: Option<Callout>,
    operator: Option<Arc<Operator>>,
}

impl Authenticator {
    /// Compiles the configuration. Fails with everything that is wrong with it.
    pub fn new(config: &Config) -> Result<Authenticator, Vec<ConfigError>> {
        let authorization = &config.authorization;
        let timeout_ms = config.auth_timeout_ms();
        let callout = authorization.callout.as_ref();
        let callout = callout.map(|written| Callout::compile(written, timeout_ms));
        Ok(Authenticator {
            users: Users::compile(config, callout.as_ref())?,
            token: Token::compile(authorization),
            single: SingleUser::compile(authorization),
            callout,
            operator: None,
        })
    }

    /// Users come from JWTs, and this knows their accounts.
    #[must_use]
    pub fn with_operator(mut self, operator: Arc<Operator>) -> Authenticator {
        self.operator = Some(operator);
        self
    }

    /// Whether a client is told to bring credentials: `auth_required` in the first INFO of a connection. Where only
    /// the system account has users, it is told so and let in without, as the oracle does.
    pub fn required(&self) -> bool {
        self.expects_connect() && !self.users.as_ref().is_some_and(Users::has_no_auth_user)
    }

    /// Whether clients are authenticated at all. If so, the authentication timer runs until CONNECT, later INFOs
    /// (the one with `connect_info`) say `auth_required` even where the first did not, and a client that begins
    /// with anything but CONNECT is given to [`Authenticator::without_connect`].
    pub fn expects_connect(&self) -> bool {
        self.operator.is_some()
            || self.users.is_some()
            || self.token.is_some()
            || self.single.is_some()
    }

    /// Whether INFO gives every connection something to sign.
    pub fn needs_nonce(&self) -> bool {
        self.operator.is_some() || self.users.as_ref().is_some_and(Users::has_keys)
    }

    /// Authenticates a client that sent CONNECT.
    pub fn begin(&self, visitor: &Visitor<'_>) -> Outcome {
        let outcome = self.begin_alone(visitor);
        self.go_on(visitor, outcome)
    }

    /// What an outcome that came of work off the shard leads to: itself, or more work. Not for what a callout came to.
    pub fn go_on(&self, visitor: &Visitor<'_>, outcome: Outcome) -> Outcome {
        match &self.callout {
            Some(callout) => callout.judge(visitor, self.users.as_ref(), outcome),
            None => outcome,
        }
    }

    /// What a callout service has said of a client that it was asked about under another configuration; `None` where
    /// everything is to be proven anew.
    pub fn said_before(&self, said: &Outcome) -> Option<Outcome> {
        self.operator.as_ref()?.said_before(said)
    }

    /// What the methods of this node say.
    fn begin_alone(&self, visitor: &Visitor<'_>) -> Outcome {
        let connect = visitor.connect;
        if connect.new_account || !connect.account.is_empty() {
            return Denial::new(connect, DenialReason::AccountDesignated).into();
        }
        if !self.expects_connect() {
            return Outcome::Accepted(Identity::unproven(connect));
        }
        if let Some(operator) = &self.operator {
            return operator.begin(visitor);
        }
        if let Some(outcome) = self.users.as_ref().and_then(|users| users.begin(visitor)) {
            return outcome;
        }
        if let Some(token) = &self.token {
            return token.begin(connect);
        }
        match &self.single {
            Some(single) => single.begin(connect),
            None => Denial::new(connect, DenialReason::NoCredentials).into(),
        }
    }

    /// The account of the user that a client names, whether it is let in or not.
    pub fn account_of(&self, connect: &ConnectOptions) -> Option<&str> {
        self.users.as_ref()?.account_of(connect)
    }

    /// Everybody who can be let in, once what it brings is verified, in the order of the accounts' and users' names.
    /// Where nobody is asked for anything it is nobody in particular.
    pub fn identities(&self) -> Vec<Identity> {
        let users = self.users.iter().flat_map(Users::identities);
        let token = self.token.iter().map(|_| Identity::token());
        let single = self.single.iter().map(SingleUser::identity);
        let single = single.filter(|_| self.users.is_none() && self.token.is_none());
        let open = (!self.expects_connect()).then(Identity::stranger);
        let mut all: Vec<Identity> = users.chain(token).chain(single).chain(open).collect();
        all.sort_by(|a, b| (&a.account, &a.user).cmp(&(&b.account, &b.user)));
        all
    }

    /// The token that a client is judged by: its own, unless the `default_sentinel` stands in for it.
    pub fn token_of<'a>(&'a self, connect: &'a ConnectOptions) -> &'a str {
        let jwt = connect.jwt.expose();
        let operator = self.operator.as_ref();
        let stand_in = operator.and_then(|operator| operator.trust.stand_in(jwt));
        stand_in.unwrap_or(jwt)
    }

    /// The account of the callout service, where the configuration names one.
    pub fn callout_account(&self) -> Option<&str> {
        self.callout.as_ref().map(Callout::account)
    }

    /// Whether a callout service is asked about somebody whom the configuration knows, and decides in its place.
    pub fn asks_service(&self, identity: &Identity) -> bool {
        let callout = self.callout.as_ref();
        callout.is_some_and(|callout| callout.is_asked_about(identity))
    }

    /// Authenticates a client whose first operation is not CONNECT: it is the `no_auth_user`, unless that one is known
    /// by a key, or nobody.
    pub fn without_connect(&self, visitor: &Visitor<'_>) -> Outcome {
        let open = self.users.as_ref().is_some_and(Users::has_named_stand_in);
        if self.expects_connect() && !open {
            return Denial::new(visitor.connect, DenialReason::NoCredentials).into();
        }
        self.begin(visitor)
    }
}

#[cfg(test)]
pub(crate) use tests::{permission_fixture, try_permission_fixture};

#[cfg(test)]
mod tests;

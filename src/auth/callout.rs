//! The method of the callout: which clients a service is asked about, and with what. What it answers is judged in
//! [`callout_answer`](super::callout_answer). Asks nobody.

use std::fmt;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::config;
use crate::transport::tls::Shown;

use super::identity::{Denial, DenialReason, Identity, Outcome, REDACTED};
use super::jwt::{ClientInfo, ClientTls, ConnectOpts, Request};
use super::operator::Operator;
use super::users::Users;
use super::visitor::Visitor;
use super::work::Work;

/// Where the service is asked. Whoever is in its account and let in may not publish there.
pub const CALLOUT_SUBJECT: &str = "$SYS.REQ.USER.AUTH";

/// Why a user is refused that a service makes for trusted proxies only, in the oracle's words.
pub const PROXY_REQUIRED: &str = "Proxy connection required";

type Names = hashbrown::HashSet<Box<str>, FixedState>;

/// `auth_callout` of the configuration.
#[derive(Debug)]
pub(super) struct Callout {
    service: Arc<Service>,
    auth_users: Names,
    allowed_accounts: Names,
}

/// The service that is asked, and what holds for its answers.
#[derive(Debug)]
pub struct Service {
    /// The account in which it listens.
    pub account: Arc<str>,
    /// Whose users it may make.
    pub issuer: Issuer,
    /// The curve key for which requests are encrypted.
    pub xkey: Option<Box<str>>,
    /// How long an answer may take, milliseconds.
    pub timeout_ms: u64,
    /// Where accounts come from JWTs: who knows them.
    pub operator: Option<Arc<Operator>>,
}

/// Who signs the users of a service's answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Issuer {
    /// `issuer` of the configuration; the users are of the account that their token's `aud` names.
    Key(Box<str>),
    /// The account itself, or one of those that it allows; the users are of the account that issued them.
    Accounts(Box<[Box<str>]>),
}

/// A client that the service must be asked about.
pub struct CalloutWork {
    /// Whom to ask.
    pub service: Arc<Service>,
    /// What to ask, as far as it is known of the client: the server and the key are missing.
    pub request: Box<Request>,
    /// How it came in over TLS.
    pub tls: Option<Box<Shown>>,
    /// Whom the client is taken for in the log.
    pub denied: Denial,
}

/// A callout service has not let a client in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The service's account.
    pub service: Box<str>,
    /// Who the client would have been without it.
    pub standing: Standing,
    /// Why not, in the oracle's words; empty where nobody answered in time.
    pub why: String,
}

/// Who a client is before a service has been asked, as events tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its account.
    pub account: Box<str>,
    /// What people call the account.
    pub account_name: Box<str>,
    /// Its user, where it is known by a key; empty where it is known by what it says.
    pub user: Box<str>,
    /// Who vouches for that key; empty without one.
    pub issuer_key: Box<str>,
    /// Its tags.
    pub tags: Vec<String>,
}

impl Standing {
    /// Nobody in particular.
    pub fn stranger() -> Standing {
        Standing::of(None)
    }

    /// Nobody in particular, or a user of the configuration.
    fn of(identity: Option<&Identity>) -> Standing {
        let account = identity.map_or(super::GLOBAL_ACCOUNT, |identity| &identity.account);
        let issuer = identity.and_then(|identity| identity.issuer_key.as_deref());
        Standing {
            account: account.into(),
            account_name: account.into(),
            issuer_key: issuer.unwrap_or_default().into(),
            ..Standing::default()
        }
    }
}

impl PartialEq for Service {
    /// The same service under the same rules; what is known of accounts is no part of it.
    fn eq(&self, other: &Self) -> bool {
        (&self.account, &self.issuer, &self.xkey) == (&other.account, &other.issuer, &other.xkey)
    }
}

impl Service {
    /// What its requests are about.
    pub fn subject(&self) -> &str {
        match &self.issuer {
            Issuer::Key(issuer) => issuer,
            Issuer::Accounts(_) => &self.account,
        }
    }
}

impl Callout {
    pub(super) fn compile(written: &config::Callout, timeout_ms: u64) -> Callout {
        let names = |list: &[(String, config::Position)]| {
            list.iter().map(|(name, _)| name.as_str().into()).collect()
        };
        Callout {
            service: Arc::new(Service {
                account: written.account.0.as_str().into(),
                issuer: Issuer::Key(written.issuer.as_str().into()),
                xkey: written.xkey.as_deref().map(Into::into),
                timeout_ms,
                operator: None,
            }),
            auth_users: names(&written.auth_users),
            allowed_accounts: names(&written.allowed_accounts),
        }
    }

    /// The service's account.
    pub(super) fn account(&self) -> &str {
        &self.service.account
    }

    /// Whether users of this account are the service's business.
    fn is_delegated(&self, account: &str) -> bool {
        account == super::GLOBAL_ACCOUNT
            || self.allowed_accounts.is_empty()
            || self.allowed_accounts.contains(account)
    }

    /// Whether those in this account may not ask the service themselves.
    pub(super) fn closes(&self, account: &str) -> bool {
        *self.service.account == *account && self.is_delegated(account)
    }

    /// Whether the service decides about somebody who has been identified.
    pub(super) fn is_asked_about(&self, identity: &Identity) -> bool {
        self.is_delegated(&identity.account) && !self.auth_users.contains(&*identity.user)
    }

    /// What becomes of a client of which the other methods thought this: the service decides, unless the client is one
    /// of `auth_users` or in an account that is not the service's business.
    pub(super) fn judge(
        &self,
        visitor: &Visitor<'_>,
        users: Option<&Users>,
        outcome: Outcome,
    ) -> Outcome {
        let identity = match &outcome {
            Outcome::Accepted(identity) => Some(identity),
            Outcome::Denied(_) => None,
            Outcome::Work(_) => return outcome,
        };
        let account = identity.map_or(super::GLOBAL_ACCOUNT, |identity| &*identity.account);
        let user = claimed_user(visitor, identity);
        let connect = visitor.connect;
        let names_somebody =
            !connect.nkey.is_empty() || (!connect.user.is_empty() && connect.jwt.is_empty());
        let own = match users.filter(|_| names_somebody) {
            // Who names nobody that there is may be anybody, as in the oracle.
            Some(users) => users.named(connect),
            None => Some(&*user),
        };
        if !self.is_delegated(account) || own.is_some_and(|own| self.auth_users.contains(own)) {
            return outcome;
        }
        CalloutWork::begin(self.service.clone(), visitor, &user, Standing::of(identity))
    }
}

impl CalloutWork {
    /// Asks `service` about a client that is known as `user` so far.
    pub(super) fn begin(
        service: Arc<Service>,
        visitor: &Visitor<'_>,
        user: &str,
        standing: Standing,
    ) -> Outcome {
        let request = Box::new(request(visitor, user));
        let denied = Denial::new(visitor.connect, DenialReason::NoCredentials);
        Outcome::Work(Box::new(Work::Callout(CalloutWork {
            denied: denied.by_service(&service, standing),
            request,
            tls: None,
            service,
        })))
    }

    /// What is told of the client's TLS: its certificates as far as an authority, or those that it has sent where nobody
    /// verified them, as in the oracle.
    pub fn client_tls(&self) -> Option<ClientTls> {
        let shown = self.tls.as_ref()?;
        let chain = shown.verified_chain();
        Some(ClientTls {
            version: shown.version.to_owned(),
            cipher: shown.suite.to_owned(),
            certs: match chain {
                Some(_) => Vec::new(),
                None => shown.presented(),
            },
            verified_chains: chain.into_iter().collect(),
        })
    }

    /// The denial of a client that the service has not let in: why, for the log and for events.
    pub fn refused(self, why: String) -> Denial {
        let mut denied = self.denied;
        if let DenialReason::Callout(refusal) = &mut denied.reason {
            refusal.why = why;
        }
        denied
    }
}

impl fmt::Debug for CalloutWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CalloutWork({:?})", self.service.account)
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.why {
            "" => write!(f, "callout in {:?}: no answer in time", self.service),
            // What the service says is for a line of the log.
            why => write!(f, "callout in {:?}: {}", self.service, one_line(why)),
        }
    }
}

/// By what the client is known to the service, and among `auth_users`: its key, its name, its token, or the name of
/// whoever stands in for it.
fn claimed_user(visitor: &Visitor<'_>, identity: Option<&Identity>) -> Box<str> {
    let connect = visitor.connect;
    if !connect.nkey.is_empty() {
        connect.nkey.clone()
    } else if !connect.jwt.is_empty() {
        Box::default()
    } else if !connect.user.is_empty() {
        connect.user.clone()
    } else if !connect.auth_token.is_empty() {
        REDACTED.into()
    } else {
        identity.map_or_else(Box::default, |identity| (*identity.user).into())
    }
}

pub(super) fn request(visitor: &Visitor<'_>, user: &str) -> Request {
    let connect = visitor.connect;
    let nonce = match connect.sig.is_empty() {
        true => "",
        false => visitor.nonce,
    };
    Request {
        client_info: ClientInfo {
            host: visitor.ip.to_string(),
            id: visitor.id,
            user: user.to_owned(),
            name: connect.name.to_string(),
            kind: "Client".to_owned(),
            kind_of_client: "nats".to_owned(),
            nonce: nonce.to_owned(),
            ..ClientInfo::default()
        },
        connect_opts: ConnectOpts {
            jwt: connect.jwt.expose().to_owned(),
            nkey: connect.nkey.to_string(),
            sig: connect.sig.expose().to_owned(),
            auth_token: connect.auth_token.expose().to_owned(),
            user: connect.user.to_string(),
            pass: connect.pass.expose().to_owned(),
            name: connect.name.to_string(),
            lang: connect.lang.to_string(),
            version: connect.version.to_string(),
            protocol: connect.protocol,
        },
        ..Request::default()
    }
}

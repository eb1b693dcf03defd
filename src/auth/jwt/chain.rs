//! The chain of trust on connect: user, account, operator. Owns the order of the checks, which is the oracle's, and the
//! reasons of denials. Never fetches an account and never keeps one.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use nkeys::KeyPair;

use crate::auth::callout::CALLOUT_SUBJECT;
use crate::auth::connection_type::allow_no_way;
use crate::auth::permission::Permissions;
use crate::config::Position;

use super::account::{AccountClaims, Signer};
use super::denial::{Denial, Reason};
use super::made::closing;
use super::network;
use super::template;
use super::times::{self, Allowed};
use super::token;
use super::trust::Trust;
use super::user::{UserClaims, UserLimits};

/// What a client brings, and when and how it comes.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// `jwt` of CONNECT.
    pub jwt: &'a str,
    /// `sig` of CONNECT.
    pub signature: &'a str,
    /// The nonce of this connection's INFO.
    pub nonce: &'a [u8],
    /// How it is connected.
    pub connection: ConnectionType,
    /// Where it comes from; `None` where there is no address.
    pub address: Option<IpAddr>,
    /// Now.
    pub now: Timestamp,
}

/// Kinds of connections, as `allowed_connection_types` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionType {
    /// A client over TCP or TLS.
    Standard,
    /// A client over WebSocket.
    Websocket,
    /// A leaf node.
    Leafnode,
    /// A leaf node over WebSocket.
    LeafnodeWs,
    /// MQTT.
    Mqtt,
    /// MQTT over WebSocket.
    MqttWs,
    /// In the process itself.
    InProcess,
}

/// What is known of an account.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// Its claims, which [`Trust::account`] took.
    Known(Arc<AccountClaims>),
    /// Nobody has it, or what somebody has does not count: why.
    Missing(String),
    /// Somebody has to be asked.
    Unknown,
}

/// What the chain comes to.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Let it in.
    Admitted(Box<Admitted>),
    /// Refuse it.
    Denied(Box<Denial>),
    /// Get the claims of [`Candidate::account`], then [`Candidate::finish`].
    NeedAccount(Box<Candidate>),
}

/// A user whose own token is right.
#[derive(Clone, Debug)]
pub struct Candidate {
    claims: UserClaims,
}

/// Whether there is somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// The attempt has all that a client must show.
    Shown,
    /// The client is imagined.
    Supposed,
}

/// A user that is let in. Limits that the account or the server set are not in here.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Its public key.
    pub user: Arc<str>,
    /// Its account's public key.
    pub account: Arc<str>,
    /// What people call it.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The key that signed its token: the account's, or one of the account's signing keys.
    pub issuer: Arc<str>,
    /// It is a signing key: when it goes, or its scope changes, the connection is closed without a text.
    pub by_signing_key: bool,
    /// The role of that key, if it has a scope: its template says the permissions and limits.
    pub scope: Option<String>,
    /// When its token was issued, seconds since 1970: the account's revocations are held against it.
    pub issued_at: i64,
    /// It need not have signed the nonce: closed when the account no longer allows that.
    pub bearer: bool,
    /// What it may do; `None` is everything.
    pub permissions: Option<Arc<Permissions>>,
    /// These are the account's `default_permissions`, and change with them.
    pub has_default_permissions: bool,
    /// Subscriptions of a connection; `None` is no limit of its own.
    pub subscriptions_max: Option<u64>,
    /// Bytes of a message; `None` is no limit of its own.
    pub payload_bytes_max: Option<u64>,
    /// When it is closed with [`EXPIRED_TEXT`]; its time of day may end before its token.
    pub expires: Option<Timestamp>,
    /// A callout service decides instead, unless the user is one of `auth_users`.
    pub callout: bool,
    /// A callout service made it: under what.
    pub made: Option<MadeUnder>,
}

/// The claims under which a callout service's user was let in: while they are those in force, so is what it said.
#[derive(Clone, Debug)]
pub struct MadeUnder {
    /// Of the service's account, when the service was asked.
    pub service: Arc<AccountClaims>,
    /// Of the user's account, when its answer was judged.
    pub account: Arc<AccountClaims>,
}

/// What a user is told whose time is up.
pub const EXPIRED_TEXT: &str = "User Authentication Expired";
/// What the users of an account are told whose time is up.
pub const ACCOUNT_EXPIRED_TEXT: &str = "Account Authentication Expired";
/// What a user is told that its account revokes.
pub const REVOKED_TEXT: &str = "User Authentication Revoked";

/// Goes the whole chain. `lookup` gives what is known of an account.
pub fn authenticate(
    trust: &Trust,
    attempt: &Attempt<'_>,
    lookup: impl Fn(&str) -> Lookup,
) -> Verdict {
    chain(trust, attempt, lookup, Presence::Shown)
}

/// The same of an imagined client: without a signature it has the key of its token, without an address it comes from where
/// it may. For who explains, never for who lets in.
pub fn suppose(trust: &Trust, attempt: &Attempt<'_>, lookup: impl Fn(&str) -> Lookup) -> Verdict {
    chain(trust, attempt, lookup, Presence::Supposed)
}

fn chain(
    trust: &Trust,
    attempt: &Attempt<'_>,
    lookup: impl Fn(&str) -> Lookup,
    presence: Presence,
) -> Verdict {
    match Candidate::new(trust, attempt) {
        Ok(candidate) => candidate.look_up(trust, attempt, lookup, presence),
        Err(denial) => Verdict::Denied(Box::new(denial)),
    }
}

/// Goes the chain again with a candidate of the same attempt and the same trust, whose signature has been verified; what time
/// may have changed is looked at anew.
pub fn authenticate_again(
    candidate: Candidate,
    trust: &Trust,
    attempt: &Attempt<'_>,
    lookup: impl Fn(&str) -> Lookup,
) -> Verdict {
    match candidate.check(trust, attempt) {
        Ok(()) => candidate.look_up(trust, attempt, lookup, Presence::Shown),
        Err(denial) => Verdict::Denied(Box::new(denial)),
    }
}

/// Who a user is that a callout service made, whose own token has been checked: what its signer's scope says, its times,
/// its permissions. `closed` is a subject that it may not publish to.
///
/// # Errors
/// Why it is not let in.
pub fn admit_made(
    user: &UserClaims,
    account: &AccountClaims,
    trust: &Trust,
    closed: Option<&str>,
    now: Timestamp,
) -> Result<Admitted, Reason> {
    let candidate = Candidate {
        claims: user.clone(),
    };
    let (limits, scope) = limits_of(user, trust, account)?;
    let until = times_left(&limits, trust, now)?;
    if allow_no_way(&limits.allowed_connection_types) {
        return Err(Reason::ConnectionType);
    }
    candidate.identity(&limits, scope, account, until, closed)
}

/// The user's own limits, or what its signing key's template says, with the role.
///
/// # Errors
/// The key that signed it is none of the account's, or the template cannot be used.
pub fn limits_of(
    user: &UserClaims,
    trust: &Trust,
    account: &AccountClaims,
) -> Result<(UserLimits, Option<String>), Reason> {
    let signer = &user.common.issuer;
    match account.signer(signer, trust.is_strict(&account.common.issuer)) {
        Signer::Unknown => Err(Reason::UserIssuer(signer.clone())),
        Signer::Trusted => Ok((user.limits.clone(), None)),
        Signer::Scoped(_) if !user.says_no_limits => Err(Reason::ScopedWithLimits),
        Signer::Scoped(scope) => {
            let limits = template::expand(&scope.template, user, account);
            let limits = limits.map_err(Reason::Template)?;
            Ok((limits, Some(scope.role.clone())))
        }
    }
}

/// All that keeps an imagined client out whose account is known, not only what [`suppose`] comes to first. What is wrong
/// with either token by itself is not in here.
pub fn suppose_all(
    trust: &Trust,
    attempt: &Attempt<'_>,
    user: &UserClaims,
    account: &AccountClaims,
) -> Vec<Reason> {
    let issuer = &account.common.issuer;
    let untrusted = (!trust.trusts(issuer)).then(|| Reason::AccountIssuer(issuer.clone()));
    let mut all: Vec<Reason> = untrusted.into_iter().collect();
    match limits_of(user, trust, account) {
        Ok((limits, _)) => {
            all.extend(faults(user, &limits, attempt, account, Presence::Supposed));
            all.extend(times_left(&limits, trust, attempt.now).err());
        }
        Err(reason) => all.push(reason),
    }
    all
}

/// What keeps a client out, of the checks whose order is the oracle's, but for times of day, which come last.
fn faults(
    user: &UserClaims,
    limits: &UserLimits,
    attempt: &Attempt<'_>,
    account: &AccountClaims,
    presence: Presence,
) -> Vec<Reason> {
    let supposed = presence == Presence::Supposed;
    let common = &user.common;
    let mut faults = Vec::new();
    if account.has_ended(attempt.now.as_second()) {
        faults.push(Reason::AccountExpired(account.common.expires));
    }
    if limits.proxy_required {
        faults.push(Reason::ProxyRequired);
    }
    if limits.bearer_token && account.account.limits.disallow_bearer {
        faults.push(Reason::Bearer);
    }
    if !allows(&limits.allowed_connection_types, attempt.connection) {
        faults.push(Reason::ConnectionType);
    }
    let holds_key = supposed && attempt.signature.is_empty();
    if !limits.bearer_token && !holds_key {
        faults.extend(verify_nonce(&common.subject, attempt).err());
    }
    if account.revokes(&common.subject, common.issued_at) {
        faults.push(Reason::Revoked(common.issued_at));
    }
    let anywhere = supposed && attempt.address.is_none();
    if !anywhere && !comes_from(&limits.src, attempt.address) {
        faults.push(Reason::Address(attempt.address));
    }
    faults
}

impl Candidate {
    /// Checks the user's own token, or the sentinel where the client brings none that is one.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn new(trust: &Trust, attempt: &Attempt<'_>) -> Result<Candidate, Denial> {
        let denied = |reason| Denial::of_stranger(reason);
        let claims = match (UserClaims::decode(attempt.jwt), trust.sentinel()) {
            (Ok(claims), _) => claims,
            (Err(_), Some(sentinel)) => {
                UserClaims::decode(sentinel).map_err(|e| denied(Reason::Sentinel(e)))?
            }
            (Err(_), None) if attempt.jwt.is_empty() => return Err(denied(Reason::NoToken)),
            (Err(error), None) => return Err(denied(Reason::Token(error))),
        };
        let candidate = Candidate { claims };
        candidate.check(trust, attempt)?;
        Ok(candidate)
    }

    /// What its token says by itself.
    fn check(&self, trust: &Trust, attempt: &Attempt<'_>) -> Result<(), Denial> {
        let claims = &self.claims;
        if claims.limits.proxy_required {
            return Err(self.denied(Reason::ProxyRequired));
        }
        if let Some(issue) = claims.validate(attempt.now.as_second()).blocking() {
            let reason = Reason::Invalid(issue.text.clone());
            return Err(self.denied(reason));
        }
        match trust.is_pinned(claims.account()) {
            true => Ok(()),
            false => Err(self.denied(Reason::NotPinned)),
        }
    }

    fn look_up(
        self,
        trust: &Trust,
        attempt: &Attempt<'_>,
        lookup: impl Fn(&str) -> Lookup,
        presence: Presence,
    ) -> Verdict {
        match lookup(self.account()) {
            Lookup::Unknown => Verdict::NeedAccount(Box::new(self)),
            Lookup::Missing(why) => Verdict::Denied(Box::new(self.denied(Reason::NoAccount(why)))),
            Lookup::Known(account) => self.verdict(trust, attempt, &account, presence),
        }
    }

    /// The key of the account whose claims are wanted.
    pub fn account(&self) -> &str {
        self.claims.account()
    }

    /// The user's claims.
    pub fn claims(&self) -> &UserClaims {
        &self.claims
    }

    /// Goes the rest of the chain. `account` must be what [`Trust::account`] took for [`Candidate::account`].
    pub fn finish(&self, trust: &Trust, attempt: &Attempt<'_>, account: &AccountClaims) -> Verdict {
        self.verdict(trust, attempt, account, Presence::Shown)
    }

    fn verdict(
        &self,
        trust: &Trust,
        attempt: &Attempt<'_>,
        account: &AccountClaims,
        presence: Presence,
    ) -> Verdict {
        match self.admitted(trust, attempt, account, presence) {
            Ok(admitted) => Verdict::Admitted(Box::new(admitted)),
            Err(reason) => {
                let mut denial = self.denied(reason);
                denial.callout = account.has_callout();
                Verdict::Denied(Box::new(denial))
            }
        }
    }

    /// The checks after the account is known, in the oracle's order.
    fn admitted(
        &self,
        trust: &Trust,
        attempt: &Attempt<'_>,
        account: &AccountClaims,
        presence: Presence,
    ) -> Result<Admitted, Reason> {
        let user = &self.claims;
        let issuer = &account.common.issuer;
        if !trust.trusts(issuer) {
            return Err(Reason::AccountIssuer(issuer.clone()));
        }
        let (limits, scope) = limits_of(user, trust, account)?;
        let faults = faults(user, &limits, attempt, account, presence);
        if let Some(first) = faults.into_iter().next() {
            return Err(first);
        }
        let until = times_left(&limits, trust, attempt.now)?;
        let closed = account.has_callout().then_some(CALLOUT_SUBJECT);
        self.identity(&limits, scope, account, until, closed)
    }

    fn identity(
        &self,
        limits: &UserLimits,
        scope: Option<String>,
        account: &AccountClaims,
        until: Option<Timestamp>,
        closed: Option<&str>,
    ) -> Result<Admitted, Reason> {
        let user = &self.claims;
        let common = &user.common;
        let at = match &scope {
            Some(role) => {
                let template = format!("{}, scope {role:?}", account.common.subject);
                position("account", &template)
            }
            None => position("user", &common.subject),
        };
        let own = limits.permissions.to_config(&at);
        let has_default_permissions = own.is_none();
        let written = own.or_else(|| {
            let at = position("account", &account.common.subject);
            account.account.default_permissions.to_config(&at)
        });
        let written = closing(
            written,
            closed,
            &position("account", &account.common.subject),
        );
        let compiled = written
            .map(|written| Permissions::compile(&written))
            .transpose();
        let permissions = compiled.map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(|error| error.text.clone()).collect();
            Reason::Invalid(texts.join("; "))
        })?;
        let token_ends = (common.expires != 0).then(|| times::from_seconds(common.expires));
        Ok(Admitted {
            user: common.subject.as_str().into(),
            account: user.account().into(),
            name: common.name.clone(),
            tags: common.tags.clone(),
            issuer: common.issuer.as_str().into(),
            by_signing_key: !user.issuer_account.is_empty(),
            scope,
            issued_at: common.issued_at,
            bearer: limits.bearer_token,
            permissions: permissions.map(Arc::new),
            has_default_permissions,
            subscriptions_max: limit(limits.subs),
            payload_bytes_max: limit(limits.payload),
            expires: token_ends.into_iter().chain(until).min(),
            callout: account.has_callout(),
            made: None,
        })
    }

    fn denied(&self, reason: Reason) -> Denial {
        Denial {
            user: self.claims.common.subject.clone(),
            account: self.claims.account().to_owned(),
            reason,
            callout: false,
        }
    }
}

/// When the times end at which the user may be connected now; `None` if they don't.
fn times_left(
    limits: &UserLimits,
    trust: &Trust,
    now: Timestamp,
) -> Result<Option<Timestamp>, Reason> {
    match times::allowed(&limits.times, &limits.locale, &trust.zone, now) {
        Allowed::Always => Ok(None),
        Allowed::Until(end) => Ok(Some(end)),
        Allowed::Never => Err(Reason::Times),
    }
}

/// A limit as claims say it: -1 is none, everything else below 0 lets nothing pass.
pub(super) fn limit(written: i64) -> Option<u64> {
    match written {
        -1 => None,
        written => Some(u64::try_from(written).unwrap_or(0)),
    }
}

/// Where something stands that a token says.
pub(super) fn position(kind: &str, key: &str) -> Position {
    Position {
        file: format!("JWT of {kind} {key}").into(),
        line: 0,
        column: 1,
    }
}

/// A nonce is signed in base64url without padding, or in standard base64 with it.
fn verify_nonce(user: &str, attempt: &Attempt<'_>) -> Result<(), Reason> {
    if attempt.signature.is_empty() {
        return Err(Reason::NoSignature);
    }
    let signature = token::signature(attempt.signature).ok_or(Reason::Signature)?;
    let key = KeyPair::from_public_key(user).map_err(|_| Reason::UserKey)?;
    key.verify(attempt.nonce, &signature)
        .map_err(|_| Reason::Signature)
}

/// Names that are not known allow nothing, and do not make the list an empty one, which allows all.
fn allows(types: &[String], connection: ConnectionType) -> bool {
    let name = connection.name();
    types.is_empty()
        || types
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
}

fn comes_from(networks: &[String], address: Option<IpAddr>) -> bool {
    let holds = |network: &String| {
        let network = network::parse(network);
        network.is_some_and(|network| address.is_some_and(|address| network.contains(address)))
    };
    networks.is_empty() || networks.iter().any(holds)
}

impl ConnectionType {
    /// The name in `allowed_connection_types`.
    pub fn name(self) -> &'static str {
        match self {
            ConnectionType::Standard => "STANDARD",
            ConnectionType::Websocket => "WEBSOCKET",
            ConnectionType::Leafnode => "LEAFNODE",
            ConnectionType::LeafnodeWs => "LEAFNODE_WS",
            ConnectionType::Mqtt => "MQTT",
            ConnectionType::MqttWs => "MQTT_WS",
            ConnectionType::InProcess => "IN_PROCESS",
        }
    }
}

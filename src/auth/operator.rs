//! The method of operator mode: users known by JWTs, which accounts signed, which operators signed. Owns what a worker
//! needs for it; the chain of trust is in [`jwt`]. Fetches no account.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use jiff::Timestamp;

use crate::proto::handshake::ConnectOptions;
use crate::transport::tls::Shown;

use super::callout::{self, CALLOUT_SUBJECT, CalloutWork, Issuer, Service, Standing};
use super::identity::{Denial, DenialReason, Identity, Outcome, UserLimits};
use super::jwt::{
    self, AccountClaims, Admitted, Attempt, Candidate, ConnectionType, Converted, Lookup,
    MadeUnder, Trust, UserClaims, Verdict,
};
use super::visitor::Visitor;
use super::work::{Elsewhere, Work};

/// Accounts in use, by key.
pub type KnownAccounts = hashbrown::HashMap<Arc<str>, Arc<AccountClaims>, FixedState>;

/// What known accounts come to in a configuration, in the order of their keys.
pub fn converted(known: &KnownAccounts, trust: &Trust, now: Timestamp) -> Converted {
    let ordered: BTreeMap<&Arc<str>, _> = known.iter().collect();
    let claims: Vec<_> = ordered.into_values().cloned().collect();
    jwt::to_config(&claims, trust, now.as_second())
}

/// Whom the node trusts, and the accounts that it knows. Immutable: another account makes another one.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Whom it trusts.
    pub trust: Arc<Trust>,
    /// The accounts whose claims it has.
    pub known: Arc<KnownAccounts>,
    /// Accounts that the configuration said before, and says no longer.
    pub withdrawn: Arc<HashSet<String>>,
    /// How long a callout service may take, milliseconds.
    pub timeout_ms: u64,
}

/// A user whose JWT is to be judged.
pub struct JwtWork {
    operator: Arc<Operator>,
    jwt: Box<str>,
    signature: Box<str>,
    nonce: Box<str>,
    ip: IpAddr,
    /// What its token says, verified, once that is known: its account is waited for.
    candidate: Option<Box<Candidate>>,
    denied: Denial,
    request: Box<jwt::Request>,
    /// How the client came in over TLS.
    pub(super) tls: Option<Box<Shown>>,
}

impl Operator {
    /// Judges who brings a JWT, on a worker.
    pub(super) fn begin(self: &Arc<Self>, visitor: &Visitor<'_>) -> Outcome {
        let connect = visitor.connect;
        Outcome::Work(Box::new(Work::Jwt(JwtWork {
            operator: Arc::clone(self),
            jwt: connect.jwt.expose().into(),
            signature: connect.sig.expose().into(),
            nonce: visitor.nonce.into(),
            ip: visitor.ip,
            candidate: None,
            denied: Denial::new(connect, DenialReason::NoCredentials),
            request: Box::new(callout::request(visitor, claimed_user(connect))),
            tls: None,
        })))
    }

    /// Who a client is by now that was let in as `before` by `was`.
    pub(super) fn again(
        &self,
        was: &Operator,
        token: &Arc<Admitted>,
        before: &Identity,
    ) -> Outcome {
        let account = &*token.account;
        let denied = |reason| denied(token, before, reason);
        if was.trust.is_pinned(account) && !self.trust.is_pinned(account) {
            return denied(jwt::Reason::NotPinned);
        }
        let Some(after) = self.account(account) else {
            return denied(match self.withdrawn.contains(account) {
                true => jwt::Reason::Withdrawn,
                false => jwt::Reason::NoAccount("it is gone".to_owned()),
            });
        };
        let claims = was.account(account).unwrap_or(after);
        self.under(token, claims, after, before)
    }

    /// What is known of an account.
    pub fn account(&self, key: &str) -> Option<&Arc<AccountClaims>> {
        self.known.get(key)
    }

    /// Who the client of `work` is that a callout service made a user of `account` for. What people call it, and its tags,
    /// stay those of the token that it came with, as in the oracle.
    ///
    /// # Errors
    /// Why it is not let in, for the log.
    pub fn admit_made(
        &self,
        user: &UserClaims,
        account: &str,
        work: &CalloutWork,
        now: Timestamp,
    ) -> Result<Identity, String> {
        let service = &*work.service.account;
        let asked = work.service.operator.as_ref();
        let asked = asked.and_then(|operator| operator.account(service));
        let claims = self.account(account);
        let (Some(claims), Some(asked)) = (claims, asked) else {
            return Err(format!(
                "No valid account {account:?} for auth callout response on account {service:?}: account missing"
            ));
        };
        if claims.has_ended(now.as_second()) {
            return Err(format!(
                "No valid account {account:?} for auth callout response on account {service:?}: account expired"
            ));
        }
        let closed = (account == service).then_some(CALLOUT_SUBJECT);
        let admitted = jwt::admit_made(user, claims, &self.trust, closed, now);
        let admitted = admitted.map_err(|reason| made_text(&reason, service))?;
        let told = &work.request.client_info;
        let admitted = Admitted {
            name: told.name_tag.clone(),
            tags: told.tags.clone(),
            made: Some(MadeUnder {
                service: asked.clone(),
                account: claims.clone(),
            }),
            ..admitted
        };
        Ok(Identity {
            limits: UserLimits::default(),
            ..Identity::of_token(&Arc::new(admitted))
        })
    }

    /// What a service has said of a client whom it was asked about before this came into force; `None` where it has to be
    /// asked anew, because its account is another.
    pub(super) fn said_before(&self, said: &Outcome) -> Option<Outcome> {
        let identity = match said {
            Outcome::Accepted(identity) => identity,
            Outcome::Denied(denial) if matches!(denial.reason, DenialReason::Callout(_)) => {
                return Some(Outcome::Denied(denial.clone()));
            }
            _ => return None,
        };
        let token = identity.token.as_ref()?;
        let under = token.made.as_ref()?;
        let service = self.account(&under.service.common.subject)?;
        let account = self.account(&token.account)?;
        Arc::ptr_eq(service, &under.service)
            .then(|| self.under(token, &under.account, account, identity))
    }

    /// Who a client is whose account had the claims `was`, and has others now.
    fn under(
        &self,
        token: &Arc<Admitted>,
        was: &Arc<AccountClaims>,
        is: &Arc<AccountClaims>,
        before: &Identity,
    ) -> Outcome {
        if Arc::ptr_eq(was, is) && is.common.expires == 0 {
            return Outcome::Accepted(before.clone());
        }
        match jwt::still_admitted(token, was, is, &self.trust, Timestamp::now()) {
            Ok(still) if Arc::ptr_eq(&still, token) => Outcome::Accepted(before.clone()),
            Ok(still) => Outcome::Accepted(Identity {
                permissions: still.permissions.clone(),
                token: Some(still),
                ..before.clone()
            }),
            Err(reason) => denied(token, before, reason),
        }
    }
}

fn denied(token: &Admitted, before: &Identity, reason: jwt::Reason) -> Outcome {
    let found = jwt::Denial {
        user: token.user.to_string(),
        account: token.account.to_string(),
        reason,
        callout: false,
    };
    let denied = Denial::of(before, DenialReason::NoCredentials);
    Outcome::Denied(denied.because(found))
}

/// Why a user that a callout service made is not let in, as the oracle tells the account of the service.
fn made_text(reason: &jwt::Reason, service: &str) -> String {
    match reason {
        jwt::Reason::UserIssuer(issuer) => format!("User JWT issuer {issuer:?} is not known"),
        jwt::Reason::Template(error) => {
            format!("User JWT generated invalid permissions: {error}")
        }
        jwt::Reason::Times => {
            format!("Authorized user on account {service:?} outside of valid connect times")
        }
        jwt::Reason::ConnectionType => {
            format!("Authorized user on account {service:?} using invalid connection type")
        }
        reason => format!("User JWT is not valid: {reason}"),
    }
}

impl JwtWork {
    /// Goes the chain of trust.
    ///
    /// # Errors
    /// Somebody else must do something first.
    pub fn run(mut self, now: Timestamp) -> Result<Outcome, Elsewhere> {
        let candidate = self.candidate.take();
        let attempt = Attempt {
            jwt: &self.jwt,
            signature: &self.signature,
            nonce: self.nonce.as_bytes(),
            connection: ConnectionType::Standard,
            address: Some(self.ip),
            now,
        };
        // An account that has expired may have been renewed where nobody told this node: it is asked for again, as in the
        // oracle.
        let lookup = |key: &str| match self.operator.account(key) {
            Some(claims) if !claims.has_ended(now.as_second()) => Lookup::Known(claims.clone()),
            _ => Lookup::Unknown,
        };
        let trust = &self.operator.trust;
        let verdict = match candidate {
            Some(candidate) => jwt::authenticate_again(*candidate, trust, &attempt, lookup),
            None => jwt::authenticate(trust, &attempt, lookup),
        };
        match verdict {
            Verdict::Admitted(admitted) => self.admitted(*admitted),
            // Who cannot prove its JWT is not asked about.
            Verdict::Denied(denial) => Ok(Outcome::Denied(self.denied.because(*denial))),
            Verdict::NeedAccount(candidate) => {
                let key = candidate.account().to_owned();
                let candidate = Some(candidate);
                let work = Box::new(JwtWork { candidate, ..self });
                Err(Elsewhere::Account { key, work })
            }
        }
    }

    /// The same under what the node knows by now. Where it trusts others by now, the token is judged anew.
    #[must_use]
    pub fn under(mut self, operator: Arc<Operator>) -> Self {
        if !Arc::ptr_eq(&self.operator.trust, &operator.trust) {
            self.candidate = None;
        }
        JwtWork { operator, ..self }
    }

    /// The account is not to be had: why. One that is known has expired, and nobody has renewed it.
    pub fn without_account(self, key: &str, why: String) -> Outcome {
        let reason = match self.operator.account(key) {
            Some(claims) => jwt::Reason::AccountExpired(claims.common.expires),
            None => jwt::Reason::NoAccount(why),
        };
        let user = self.candidate.as_ref();
        let user = user.map(|candidate| candidate.claims().common.subject.clone());
        let denial = jwt::Denial {
            user: user.unwrap_or_default(),
            account: key.to_owned(),
            reason,
            callout: false,
        };
        Outcome::Denied(self.denied.because(denial))
    }

    fn admitted(self, admitted: Admitted) -> Result<Outcome, Elsewhere> {
        if admitted.callout && !self.is_auth_user(&admitted.account, &admitted.user) {
            let mut work = self;
            let told = &mut work.request.client_info;
            (told.name_tag, told.tags) = (admitted.name.clone(), admitted.tags.clone());
            return work.ask(admitted);
        }
        let identity = Identity::of_token(&Arc::new(admitted));
        Ok(Outcome::Accepted(identity))
    }

    fn is_auth_user(&self, account: &str, user: &str) -> bool {
        let claims = self.operator.account(account);
        claims.is_some_and(|claims| claims.is_auth_user(user))
    }

    fn ask(self, admitted: Admitted) -> Result<Outcome, Elsewhere> {
        let account = &*admitted.account;
        let claims = self.operator.account(account);
        let written = claims.map(|claims| &claims.account.authorization);
        let allowed = written.map_or(&[][..], |written| &written.allowed_accounts);
        let xkey = written.map_or("", |written| &written.xkey);
        let standing = Standing {
            account: account.into(),
            account_name: claims.map_or(account, |claims| &claims.common.name).into(),
            user: (&*admitted.user).into(),
            issuer_key: (&*admitted.issuer).into(),
            tags: admitted.tags,
        };
        let service = Service {
            account: account.into(),
            issuer: Issuer::Accounts(allowed.iter().map(|key| key.as_str().into()).collect()),
            xkey: (!xkey.is_empty()).then(|| xkey.into()),
            timeout_ms: self.operator.timeout_ms,
            operator: Some(self.operator.clone()),
        };
        let mut request = self.request;
        // The name that it gives itself is shown to the service and decides nothing here.
        if request.client_info.user.is_empty() {
            request.client_info.user = admitted.user.to_string();
        }
        if let Some(sentinel) = self.operator.trust.stand_in(&self.jwt) {
            request.connect_opts.jwt = sentinel.to_owned();
        }
        Err(Elsewhere::Callout(CalloutWork {
            denied: self.denied.by_service(&service, standing),
            service: Arc::new(service),
            request,
            tls: self.tls,
        }))
    }
}

/// As whom a service is told of a client that says more than its JWT: by its key, or its name.
fn claimed_user(connect: &ConnectOptions) -> &str {
    match connect.nkey.is_empty() {
        false => &connect.nkey,
        true => &connect.user,
    }
}

impl fmt::Debug for JwtWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtWork")
    }
}

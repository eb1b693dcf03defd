//! Operator mode: who a user is by its JWT, and which accounts JWTs make. Owns finding out what the chain of trust says and
//! why; the chain itself, and what accounts come to, are the broker's own. Reads no file and asks nobody.

mod chain;
mod grant;
mod known;
mod links;
mod page;
mod wrong;

pub use chain::{Chain, Expanded, Given, Grant, Link, Lists, Signer};
pub use known::{AccountJwts, Tokens};

pub(super) use page::lines;

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;

use crate::auth::Identity;
use crate::auth::jwt::{
    self, Admitted, Attempt, ConnectionType, Denial, Reason, UserClaims, Verdict,
};

use super::report::{Actor, Limit, Provenance, Report, text};
use super::who::{Who, shut_out};
use super::{Question, World, action_of};

/// What an imagined client is given to sign.
const NONCE: &[u8] = b"explained";

/// What somebody comes with.
#[derive(Clone, Copy, Default)]
pub struct Shown<'a> {
    /// The user's JWT; empty for a client that brings none.
    pub jwt: &'a str,
    /// The key that it would sign with; without one it has the right one.
    pub key: Option<&'a KeyPair>,
    /// Where it comes from; without an address, from where it may.
    pub address: Option<IpAddr>,
}

/// Somebody who is not let in, or of whom nobody can say here.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the broker logs, or what is not at hand.
    pub why: String,
    /// Whether a broker would refuse it; else it asks for an account that is not at hand here.
    pub certain: bool,
    /// Who it would be.
    pub(super) actor: Actor,
}

impl Shown<'_> {
    /// Whoever has this JWT, in the accounts of `world`, where it is a member from now on.
    ///
    /// # Errors
    /// It is not let in, or nobody can say.
    ///
    /// # Panics
    /// The world is not of operator mode.
    pub fn enter(&self, world: &mut World<'_>) -> Result<Who, Box<Refusal>> {
        let tokens = world.tokens.expect("a world of operator mode");
        let signature = self.signature();
        let attempt = Attempt {
            jwt: self.jwt,
            signature: &signature,
            nonce: NONCE,
            connection: ConnectionType::Standard,
            address: self.address,
            now: tokens.now,
        };
        // Without a JWT a client is the sentinel, if there is one.
        let of = match (self.jwt, tokens.trust.sentinel()) {
            ("", Some(sentinel)) => sentinel,
            (jwt, _) => jwt,
        };
        let user = UserClaims::decode(of).ok();
        let signs = self.key.map(KeyPair::public_key);
        let chain =
            (user.as_ref()).map(|user| links::chain(tokens, user, &attempt, signs.as_deref()));
        match judged(tokens, &attempt) {
            Ok(admitted) => {
                let mut who = who(world, &admitted, chain);
                who.provenance.extend(self.brought(tokens));
                world.members.push(who.clone());
                Ok(who)
            }
            Err(denial) => {
                let known = user.as_ref();
                let (why, certain) = told(tokens, &denial);
                Err(Box::new(Refusal {
                    why,
                    certain,
                    actor: Actor {
                        account: known.map_or_else(String::new, |user| user.account().to_owned()),
                        user: known.map(|user| user.common.subject.clone()),
                        jwt: chain,
                        provenance: self.brought(tokens).into_iter().collect(),
                    },
                }))
            }
        }
    }

    /// What there is to say of somebody who brings no JWT.
    fn brought(&self, tokens: &Tokens) -> Option<Provenance> {
        let sentinel = tokens.config.operators.default_sentinel.as_ref();
        self.jwt.is_empty().then(|| match sentinel {
            Some((_, at)) => {
                Provenance::new("it brings no JWT, and is the default_sentinel", Some(at))
            }
            None => Provenance::new("it brings no JWT: --creds or --jwt says who it is", None),
        })
    }

    /// Who brings nothing signs nothing, and is supposed to have no key.
    fn signature(&self) -> String {
        match self.key.map(|key| key.sign(NONCE)) {
            Some(Ok(signature)) => BASE64URL_NOPAD.encode(&signature),
            None if !self.jwt.is_empty() => String::new(),
            Some(Err(_)) | None => "-".to_owned(),
        }
    }
}

fn judged(tokens: &Tokens, attempt: &Attempt<'_>) -> Result<Admitted, Box<Denial>> {
    match jwt::suppose(&tokens.trust, attempt, |key| tokens.lookup(key)) {
        Verdict::Admitted(admitted) => Ok(*admitted),
        Verdict::Denied(denial) => Err(denial),
        Verdict::NeedAccount(_) => unreachable!("what is not at hand is missing"),
    }
}

/// A denial as the broker logs it, and whether it is certain.
fn told(tokens: &Tokens, denial: &Denial) -> (String, bool) {
    let account = &denial.account;
    match &denial.reason {
        Reason::NoAccount(why) if tokens.found(account).is_none() && tokens.asks_elsewhere() => {
            (format!("account {account}: {why}"), false)
        }
        _ => {
            let why = denial.to_string();
            let why = why.strip_prefix("authentication error - ").unwrap_or(&why);
            (why.to_owned(), true)
        }
    }
}

/// The report about somebody who is not let in, or of whom nobody can say.
pub fn refused(refusal: Refusal, question: &Question) -> Report {
    let (action, subject) = action_of(question);
    let why = Some(refusal.why);
    let (refused, unclear) = match refusal.certain {
        true => (why, None),
        false => (None, why),
    };
    Report {
        action,
        subject: text(subject),
        queue: None,
        who: refusal.actor,
        refused,
        unclear,
        names: Default::default(),
        limits: Vec::new(),
        route: None,
        feeds: None,
        inbox: None,
    }
}

fn who(world: &World<'_>, admitted: &Admitted, chain: Option<Chain>) -> Who {
    let limit = |name, value: Option<u64>| {
        value.map(|value| Limit {
            name,
            value,
            at: None,
        })
    };
    let limits = [
        limit("user max_subscriptions", admitted.subscriptions_max),
        limit("user max_payload", admitted.payload_bytes_max),
    ];
    let tokens = world.tokens.expect("a world of operator mode");
    let claims = tokens.known.get(&admitted.account);
    let asked =
        admitted.callout && claims.is_some_and(|claims| !claims.is_auth_user(&admitted.user));
    let callout = asked.then(|| {
        let what = "a callout service of its account decides who it is; this is what its JWT says";
        Provenance::new(what, None)
    });
    let identity = Identity::of_token(&Arc::new(admitted.clone()));
    let account = world.table.find(&identity.account);
    let account = account.expect("users are let into accounts that there are");
    let over = admitted.expires.filter(|end| *end <= tokens.now);
    let over = over.map(|end| format!("its time ended at {end}: it is closed at once"));
    let by_limits = || shut_out(world, account, admitted.subscriptions_max);
    Who {
        account,
        user: Some(identity.user),
        permissions: identity.permissions,
        provenance: callout.into_iter().collect(),
        limits: limits.into_iter().flatten().collect(),
        jwt: chain.map(Arc::new),
        shut_out: over.or_else(by_limits),
    }
}

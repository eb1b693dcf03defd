//! Who a client is to others, and what happens when it is not let in: the log and the system account hear why, the client
//! only that. Owns nothing; never decides.

use std::sync::Arc;

use jiff::Timestamp;

use crate::auth::callout::Standing;
use crate::auth::{Denial, DenialReason, GLOBAL_ACCOUNT, Identity, REDACTED};
use crate::broker::Broker;
use crate::broker::denials::Refused;
use crate::broker::effect::CloseReason;
use crate::broker::who::Who;
use crate::proto::handshake::ConnectOptions;

use super::client::Client;
use super::connect::TOO_MANY_TEXT;
use super::{Context, Flow};

const REASON: CloseReason = CloseReason::AuthenticationFailure;

impl Client {
    /// What others may be told of this client.
    pub(super) fn who(&self, context: &Context, broker: &Broker, identity: &Identity) -> Who {
        let token = identity.token.as_deref();
        Who {
            start: context.timestamp(self.heartbeat.started_ms()).into(),
            host: self.ip.to_string().into(),
            id: self.id,
            user: (&*identity.user).into(),
            name: (&*self.options.name).into(),
            lang: (&*self.options.lang).into(),
            version: (&*self.options.version).into(),
            name_tag: token.map_or("", |token| &token.name).into(),
            tags: token.map_or(&[][..], |token| &token.tags).into(),
            server: broker.node_name(),
            jwt: context.authenticator.token_of(&self.options).into(),
            issuer_key: identity.issuer_key.as_deref().unwrap_or_default().into(),
            rtt_ns: self.heartbeat.round_trip_ns(),
            expires_unix_s: identity.expires.map(Timestamp::as_second),
        }
    }

    /// It is not let in.
    #[cold]
    pub(super) fn denied(&self, context: &Context, broker: &mut Broker, denial: &Denial) -> Flow {
        let refusal = match &denial.reason {
            DenialReason::Callout(refusal) => Some(refusal),
            _ => None,
        };
        // Where a service decides, its account is told; else the one that strangers are in.
        let standing = refusal.map(|refusal| &refusal.standing);
        let standing = standing.cloned().unwrap_or_else(Standing::stranger);
        let lost = lost_text(context, denial);
        let concerns = match (refusal, context.authenticator.callout_account()) {
            (Some(refusal), _) => (&*refusal.service, &*refusal.why),
            (None, Some(service)) => (service, lost.as_deref().unwrap_or(REASON.text())),
            (None, None) => (GLOBAL_ACCOUNT, REASON.text()),
        };
        // That is seen before it is clear whom the client is. Of who says no CONNECT only the system account hears.
        let nobody = self.silent || denial.reason == DenialReason::AccountDesignated;
        let concerns = (!nobody).then_some(concerns);
        let who = Who {
            user: match &*standing.user {
                "" => claimed_user(&self.options).into(),
                user => user.into(),
            },
            name_tag: standing.account_name,
            issuer_key: standing.issuer_key,
            tags: standing.tags.into(),
            ..self.who(context, broker, &Identity::stranger())
        };
        let flow = self.turn_away(broker, denial, &who, (&standing.account, concerns));
        // By its own token it was in the account of the service while that was asked: from there it goes.
        let was_there = !standing.user.is_empty();
        if was_there && broker.set_account(self.conn, &standing.account) {
            broker.peer(self.conn).who = Some(Arc::new(who));
        }
        flow
    }

    /// It was let in once, and no longer is.
    #[cold]
    pub(super) fn no_longer_let_in(&self, broker: &mut Broker, denial: &Denial) -> Flow {
        let name = broker.account_table(self.conn).name.clone();
        let was = broker.peer(self.conn).who.clone().unwrap_or_default();
        let who = Who {
            name_tag: (&*name).into(),
            ..Who::clone(&was)
        };
        let concerns = Some((&*name, REASON.text()));
        self.turn_away(broker, denial, &who, (&name, concerns))
    }

    /// It has come in: the system account hears of it.
    pub(super) fn tell_come(&self, context: &Context, broker: &mut Broker) {
        broker.tell_come(self.conn, |broker| self.who_in_account(context, broker));
    }

    /// It goes: the system account hears of it. Of the broker's own connections it does not.
    pub fn tell_gone(&self, context: &Context, broker: &mut Broker, reason: CloseReason) {
        if !self.is_internal() {
            let who = |broker: &Broker| self.who_in_account(context, broker);
            broker.tell_gone(self.conn, who, reason.text());
        }
    }

    /// What is told of it with the name of its account, let in or not.
    fn who_in_account(&self, context: &Context, broker: &Broker) -> Who {
        let label = broker.account_table(self.conn).label.clone();
        let known = broker
            .find_peer(self.conn)
            .and_then(|peer| peer.who.as_ref());
        let who = match known {
            Some(who) => Who::clone(who),
            None => Who {
                user: claimed_user(&self.options).into(),
                ..self.who(context, broker, &Identity::stranger())
            },
        };
        Who {
            name_tag: (&*label).into(),
            rtt_ns: self.heartbeat.round_trip_ns(),
            ..who
        }
    }

    /// A service has made a user for it, which there is no place for.
    pub(super) fn tell_unregistered(
        &self,
        context: &Context,
        broker: &mut Broker,
        identity: &Identity,
        service: &str,
    ) {
        let label = broker.account_table(self.conn).label.clone();
        let who = Who {
            user: claimed_user(&self.options).into(),
            name_tag: (&*label).into(),
            issuer_key: Box::default(),
            jwt: Box::default(),
            ..self.who(context, broker, identity)
        };
        let why = format!("Could not register auth callout user: {TOO_MANY_TEXT}");
        let refused = Refused {
            who: &who,
            account: &identity.account,
            reason: REASON.text(),
            why: &why,
            concerns: Some((service, &why)),
        };
        broker.tell_refused(self.conn, &refused);
    }

    /// Its token is right, but its account is full: that one alone is told.
    #[cold]
    pub(super) fn tell_full(&self, context: &Context, broker: &mut Broker, identity: &Identity) {
        let who = self.who_in_account(context, broker);
        broker.tell_full(self.conn, &who, &identity.account, REASON.text());
    }

    fn turn_away(
        &self,
        broker: &mut Broker,
        denial: &Denial,
        who: &Who,
        (account, concerns): (&str, Option<(&str, &str)>),
    ) -> Flow {
        log::error!("{} - {denial}", self.label());
        self.say_error(broker, denial.text());
        let reason = match denial.wants_proxy() {
            true => CloseReason::ProxyRequired,
            false => REASON,
        };
        let refused = Refused {
            who,
            account,
            reason: reason.text(),
            why: &denial.to_string(),
            concerns,
        };
        broker.tell_refused(self.conn, &refused);
        Flow::Close(reason)
    }
}

/// Whom the client says it is, as the oracle tells others.
fn claimed_user(options: &ConnectOptions) -> &str {
    let by_token = options.jwt.is_empty() && !options.auth_token.is_empty();
    match () {
        () if !options.nkey.is_empty() => &options.nkey,
        () if !options.user.is_empty() => &options.user,
        () if by_token => REDACTED,
        () => "",
    }
}

/// What the account of a callout service is told where the service made a user of an account that is not there.
fn lost_text(context: &Context, denial: &Denial) -> Option<String> {
    let service = context.authenticator.callout_account()?;
    match &denial.reason {
        DenialReason::UnknownAccount(account) => Some(format!(
            "No valid account {account:?} for auth callout response on account {service:?}: account missing"
        )),
        _ => None,
    }
}

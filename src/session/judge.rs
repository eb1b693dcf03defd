//! What another snapshot means to a client that is there: whether it is still who it was, what it may do, which of its
//! subscriptions it keeps. Owns the order of the questions; who may come in is for [`auth`](crate::auth) to say.

use crate::auth::jwt::{self, Reason};
use crate::auth::{
    Authenticator, Before, Credential, Denial, DenialReason, Identity, Outcome, violation,
};
use crate::broker::Broker;
use crate::broker::effect::CloseReason;
use crate::broker::interest::SubId;
use crate::broker::shown::Traced;

use super::client::{Client, Phase};
use super::{Context, Flow};

impl Client {
    /// The number of the snapshot it was judged by last.
    #[inline]
    pub fn judged(&self) -> u64 {
        self.judged
    }

    /// Judges it by the snapshot in force. `before` is what let it in, if that is still known: what was proven to it
    /// need not be proven again. Where credentials must be verified off the shard the client goes on meanwhile.
    pub fn judge(
        &mut self,
        context: &Context,
        broker: &mut Broker,
        before: Option<&Authenticator>,
    ) -> Flow {
        self.judged = context.snapshot;
        self.trace_again(context, broker);
        broker.account_again(self.conn);
        if self.is_internal() || self.phase != Phase::Member {
            // Who has not come in yet is judged when it does.
            return Flow::Continue;
        }
        if !self.connected {
            return self.judge_silent(context, broker);
        }
        let identity = self.identity.as_deref().filter(|_| !self.in_doubt);
        let before = before
            .zip(identity)
            .map(|(authenticator, identity)| Before {
                authenticator,
                identity,
                by_service: self.by_service,
            });
        match context.authenticator.again(&self.visitor(), before) {
            Outcome::Work(work) => {
                let still = match work.accepted().cloned() {
                    Some(identity) => self.is_still(context, broker, identity),
                    None => Flow::Continue,
                };
                // One verdict at a time: the one that is on its way is followed by another.
                match (still, std::mem::replace(&mut self.in_doubt, true)) {
                    (Flow::Continue, false) => self.ask(context, work),
                    (flow, _) => flow,
                }
            }
            outcome => self.confirmed(context, broker, outcome),
        }
    }

    /// Judges it by the snapshot in force, whatever it has proven before: a verdict by another one has come.
    pub(super) fn judge_again(&mut self, context: &Context, broker: &mut Broker) -> Flow {
        self.in_doubt = false;
        self.judge(context, broker, None)
    }

    /// The verdict on a client that has been let in before.
    pub(super) fn confirmed(
        &mut self,
        context: &Context,
        broker: &mut Broker,
        outcome: Outcome,
    ) -> Flow {
        self.in_doubt = false;
        match outcome {
            Outcome::Accepted(identity) => self.is_still(context, broker, identity),
            Outcome::Denied(denial) => self.is_nobody(context, broker, &denial),
            Outcome::Work(work) => {
                self.in_doubt = true;
                self.ask(context, work)
            }
        }
    }

    /// Has said no CONNECT where none was asked for. Now it has to, unless it has used what was open.
    fn judge_silent(&mut self, context: &Context, broker: &mut Broker) -> Flow {
        if !context.authenticator.expects_connect() {
            return self.limits_again(context, broker);
        }
        if broker.subscriptions_of(self.conn) > 0 {
            let denial = Denial::new(&self.options, DenialReason::NoCredentials);
            return self.no_longer_let_in(broker, &denial);
        }
        self.phase = Phase::Stranger;
        self.heartbeat.hurry(context);
        Flow::Continue
    }

    /// It is still let in, as this identity. One that would be in another account has to come again, as in the oracle.
    fn is_still(&mut self, context: &Context, broker: &mut Broker, identity: Identity) -> Flow {
        let was = self.identity.as_ref().map(|was| &was.account);
        if was.is_some_and(|was| *was != identity.account) {
            log::debug!("{} - its user is in another account now", self.label());
            return Flow::Close(CloseReason::ClientClosed);
        }
        if !broker.set_account(self.conn, &identity.account) {
            log::debug!("{} - its account has gone", self.label());
            return Flow::Close(CloseReason::ClientClosed);
        }
        self.heartbeat.expires(context, identity.expires);
        broker.change_permissions(self.conn, identity.permissions.clone());
        self.one_by_one = self.takes_one_by_one(context, broker);
        self.identity = Some(Box::new(identity));
        self.limits_again(context, broker)
    }

    /// Takes the limits that hold now. Who has all the subscriptions it may have is closed if it could have had more
    /// before, as in the oracle.
    fn limits_again(&mut self, context: &Context, broker: &mut Broker) -> Flow {
        let before = self.limits.subscriptions_max;
        self.take_limits(context, broker);
        match self.limits.subscriptions_max < before {
            true => self.apply_limits(context, broker),
            false => Flow::Continue,
        }
    }

    /// Goes, if its account has more connections than it may have from now on.
    pub fn leaves_crowd(&mut self, broker: &mut Broker) -> bool {
        let max = broker.account_table(self.conn).limits.connections_max;
        let (Some(max), Some(seat)) = (max, &mut self.seat) else {
            return false;
        };
        let leaves = seat.leaves_if_over(max);
        if let (true, Some(identity)) = (leaves, &self.identity) {
            self.too_many(broker, identity);
        }
        leaves
    }

    /// It is no longer let in. Whose user has gone, or is in another account now, is not told why, as in the oracle.
    fn is_nobody(&mut self, context: &Context, broker: &mut Broker, denial: &Denial) -> Flow {
        if let DenialReason::Jwt(found) = &denial.reason {
            return self.is_no_longer(broker, denial, &found.reason);
        }
        let named = self.identity.as_ref().map(|was| was.credential);
        let was = self.identity.as_ref().map(|was| &*was.account);
        let account = context.authenticator.account_of(&self.options);
        let moved = account.is_some() && account != was;
        let gone = match denial.reason {
            DenialReason::UnknownUser
            | DenialReason::UnknownKey
            | DenialReason::UnknownCertificate(_) => true,
            // It named nobody: the user who stood in for it has gone.
            DenialReason::NoCredentials => {
                matches!(named, Some(Credential::User | Credential::Nkey))
            }
            _ => moved,
        };
        if gone {
            log::debug!("{} - {denial}", self.label());
            return Flow::Close(CloseReason::ClientClosed);
        }
        self.no_longer_let_in(broker, denial)
    }

    /// Its JWT, or its account's, no longer lets it in: what the oracle says then, if it says anything. Where the account has
    /// too many connections as well, that comes first, as in the oracle.
    fn is_no_longer(&mut self, broker: &mut Broker, denial: &Denial, why: &Reason) -> Flow {
        let by_push = matches!(
            why,
            Reason::Bearer | Reason::Revoked(_) | Reason::UserIssuer(_)
        );
        if by_push && self.leaves_crowd(broker) {
            return Flow::Close(CloseReason::AccountConnectionsExceeded);
        }
        let (text, reason) = match why {
            Reason::Revoked(_) => (jwt::REVOKED_TEXT, CloseReason::AuthenticationFailure),
            Reason::AccountExpired(_) | Reason::NoAccount(_) => (
                jwt::ACCOUNT_EXPIRED_TEXT,
                CloseReason::AuthenticationExpired,
            ),
            Reason::Invalid(_) => (jwt::EXPIRED_TEXT, CloseReason::AuthenticationExpired),
            Reason::UserIssuer(_) | Reason::ScopedWithLimits | Reason::Template(_) => {
                log::debug!("{} - {denial}", self.label());
                return Flow::Close(CloseReason::ClientClosed);
            }
            _ => return self.no_longer_let_in(broker, denial),
        };
        log::error!("{} - {denial}", self.label());
        self.say_error(broker, text);
        Flow::Close(reason)
    }

    /// How its operations are traced, if they are.
    pub(super) fn traced(&self, context: &Context) -> Option<Box<Traced>> {
        let traced = || Traced {
            label: self.label().into(),
            form: context.trace_form,
        };
        (context.trace && !self.is_internal()).then(|| Box::new(traced()))
    }

    /// Operations are traced from now on, or no longer, or otherwise.
    fn trace_again(&mut self, context: &Context, broker: &mut Broker) {
        let traced = self.traced(context);
        if broker.peer(self.conn).traced != traced {
            broker.set_traced(self.conn, traced);
            if self.connected && self.phase == Phase::Member && !self.is_internal() {
                self.one_by_one = self.takes_one_by_one(context, broker);
            }
        }
    }

    /// Looks at one of its subscriptions under changed permissions: it goes where it is no longer allowed.
    pub fn judge_subscription(&self, broker: &mut Broker, id: SubId) {
        let Some(lost) = broker.recheck(self.conn, id) else {
            return;
        };
        let queue = lost.queue.as_deref();
        let text = violation::subscription_lost(&lost.pattern, queue, &lost.sid);
        self.say_error(broker, &text);
        let removed = violation::subscription_lost_log(&lost.pattern, queue, &lost.sid);
        let who = self.identity.as_ref().map(|identity| identity.label());
        let permissions = broker.peer(self.conn).permissions.as_deref();
        let why = permissions.map(|permissions| permissions.subscribe_reason(&lost.pattern, queue));
        let behind = violation::who_and_why(
            self.identity.as_deref(),
            why.map(|why| why.to_string()).unwrap_or_default(),
        );
        log::info!(
            "{} - {removed} for {} - not authorized{behind}",
            self.label(),
            who.unwrap_or_default()
        );
    }
}

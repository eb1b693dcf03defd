//! CONNECT: who the client is, what it wants, and INFO in answer.

use std::sync::Arc;

use crate::auth::{Denial, DenialReason, Identity, Outcome, Visitor, Work};
use crate::broker::Broker;
use crate::broker::effect::CloseReason;
use crate::proto::handshake::{self, ConnectRefusal, Info, Secret};

use super::client::{Client, Phase};
use super::{Context, Flow};

/// What a client is told whose account is full.
pub(super) const TOO_MANY_TEXT: &str = "maximum account active connections exceeded";

impl Client {
    /// INFO; the one behind the first PONG tells the account as well.
    pub(super) fn say_info(&self, context: &Context, broker: &mut Broker, connect_info: bool) {
        let mut info = self.info(context);
        if connect_info {
            info.nonce.clear();
            info.connect_info = true;
            info.auth_required = context.authenticator.expects_connect();
            info.acc_is_sys = broker.is_system(self.conn);
            info.max_payload = i32::try_from(self.limits.payload_bytes_max).unwrap_or(i32::MAX);
            info.remote_account = self
                .identity
                .as_ref()
                .map_or("$G".into(), |identity| identity.account.to_string());
        }
        self.say(broker, &info);
    }

    /// What INFO says before CONNECT.
    pub(super) fn info(&self, context: &Context) -> Info {
        Info {
            client_id: self.id,
            client_ip: self.ip.to_string(),
            nonce: self.nonce.to_string(),
            ..context.info.clone()
        }
    }

    pub(super) fn say(&self, broker: &mut Broker, info: &Info) {
        let mut bytes = Vec::new();
        info.encode(&mut bytes);
        broker.push(self.conn, &bytes);
    }

    /// What the client presents.
    pub(super) fn visitor(&self) -> Visitor<'_> {
        Visitor {
            connect: &self.options,
            nonce: &self.nonce,
            ip: self.ip,
            id: self.id,
            certificate: self.certificate(),
        }
    }

    /// A client that has not authenticated says something. `None` lets it be carried out.
    pub(super) fn meet_stranger(
        &mut self,
        context: &Context,
        broker: &mut Broker,
        input: &[u8],
    ) -> Option<Flow> {
        if matches!(input.first(), Some(b'C' | b'c')) {
            return None;
        }
        // Without CONNECT the client is the user for strangers, if there is one and it may come in.
        self.connected = true;
        self.heartbeat.goes_on(context, 0);
        self.complete(context);
        match context.authenticator.without_connect(&self.visitor()) {
            Outcome::Accepted(identity) => match self.admit(context, broker, identity) {
                Flow::Continue => None,
                flow => Some(flow),
            },
            Outcome::Denied(denial) => {
                self.silent = true;
                Some(self.denied(context, broker, &denial))
            }
            Outcome::Work(work) => {
                self.silent = true;
                Some(self.verify(context, work))
            }
        }
    }

    /// What the node knows of a client counts before what it says.
    fn complete(&mut self, context: &Context) {
        let mut options = std::mem::take(&mut self.options);
        self.completed = context
            .authenticator
            .complete(&mut options, self.certificate());
        self.options = options;
    }

    /// Another CONNECT begins with what the client itself has said, and with no secret of the configuration.
    fn forget_completed(&mut self) {
        if std::mem::take(&mut self.completed) {
            let options = &mut self.options;
            (options.user, options.nkey) = (Box::default(), Box::default());
            options.pass = Secret::default();
        }
    }

    /// CONNECT.
    pub(super) fn connect(&mut self, context: &Context, broker: &mut Broker, json: &[u8]) -> Flow {
        self.forget_completed();
        if let Err(error) = handshake::parse(json, &mut self.options) {
            log::error!("{} - {error}", self.label());
            return Flow::Close(CloseReason::ProtocolViolation);
        }
        self.heartbeat
            .connected(context, self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54);
        if std::mem::replace(&mut self.connected, true) {
            broker.unsubscribe_all(self.conn);
        }
        self.complete(context);
        // A verdict on what it said before no longer matters.
        self.ticket = self.ticket.wrapping_add(1);
        (self.in_doubt, self.by_service, self.silent) = (false, false, false);
        let outcome = context.authenticator.begin(&self.visitor());
        self.received_verdict(context, broker, outcome)
    }

    /// Has credentials verified off the shard.
    pub(super) fn ask(&mut self, context: &Context, work: Box<Work>) -> Flow {
        self.asked_under = context.snapshot;
        self.ticket = self.ticket.wrapping_add(1);
        self.asks_service = matches!(*work, Work::Callout(_));
        if let Work::Callout(work) = &*work {
            self.service = Some(work.service.account.clone());
        }
        Flow::Verify(work)
    }

    /// The number of the verdict it waits for.
    pub fn ticket(&self) -> u32 {
        self.ticket
    }

    /// Whether it takes nothing before a verdict.
    pub fn awaits_verdict(&self) -> bool {
        matches!(self.phase, Phase::Verifying | Phase::Asking)
    }

    /// The verdict on credentials that were verified off the shard. What came meanwhile is taken by
    /// [`Client::resume`] afterwards. A verdict with another ticket than the last changes nothing.
    pub fn verified(
        &mut self,
        context: &Context,
        broker: &mut Broker,
        ticket: u32,
        outcome: Outcome,
    ) -> Flow {
        if ticket != self.ticket {
            return Flow::Continue;
        }
        let stale = self.asked_under != context.snapshot;
        if self.phase == Phase::Member {
            return match stale {
                true => self.judge_again(context, broker),
                false => {
                    let outcome = self.go_on(context, outcome);
                    self.confirmed(context, broker, outcome)
                }
            };
        }
        // Another snapshot may have come meanwhile: what it was measured against may have changed.
        let authenticator = &context.authenticator;
        let outcome = match stale {
            true => (authenticator.said_before(&outcome))
                .unwrap_or_else(|| authenticator.begin(&self.visitor())),
            false => self.go_on(context, outcome),
        };
        self.received_verdict(context, broker, outcome)
    }

    fn go_on(&mut self, context: &Context, outcome: Outcome) -> Outcome {
        self.by_service = self.asks_service;
        match self.asks_service {
            true => outcome,
            false => context.authenticator.go_on(&self.visitor(), outcome),
        }
    }

    fn received_verdict(
        &mut self,
        context: &Context,
        broker: &mut Broker,
        outcome: Outcome,
    ) -> Flow {
        match outcome {
            // Who has said no CONNECT hears nothing in answer to it.
            Outcome::Accepted(identity) if self.silent => self.admit(context, broker, identity),
            Outcome::Accepted(identity) => self.welcome(context, broker, identity),
            Outcome::Denied(denial) => self.denied(context, broker, &denial),
            Outcome::Work(work) => self.verify(context, work),
        }
    }

    /// Waits for what `work` comes to.
    fn verify(&mut self, context: &Context, work: Box<Work>) -> Flow {
        self.phase = match *work {
            Work::Callout(_) => Phase::Asking,
            _ => Phase::Verifying,
        };
        self.ask(context, work)
    }

    fn welcome(&mut self, context: &Context, broker: &mut Broker, identity: Identity) -> Flow {
        let admitted = self.admit(context, broker, identity);
        if !matches!(admitted, Flow::Continue) {
            return admitted;
        }
        self.introduced = true;
        let account = broker.account_table(self.conn);
        self.account_label = (account.label != account.name).then(|| account.label.clone());
        if context.trace {
            let traced = self.traced(context);
            broker.set_traced(self.conn, traced);
        }
        let headers = self.options.headers && context.info.headers;
        broker.set_options(self.conn, headers, &self.options);
        self.headers = headers;
        self.one_by_one = self.takes_one_by_one(context, broker);
        match self.options.check(context.info.headers) {
            Ok(()) => {
                self.say_ok(broker);
                Flow::Continue
            }
            Err(refusal) => {
                self.say_error(broker, refusal.text());
                log::error!("{} - {}", self.label(), refusal.text());
                Flow::Close(match refusal {
                    ConnectRefusal::Protocol => CloseReason::BadClientProtocol,
                    ConnectRefusal::NoRespondersWithoutHeaders => {
                        CloseReason::NoRespondersRequiresHeaders
                    }
                })
            }
        }
    }

    /// Whether something may be said of each single message.
    pub(super) fn takes_one_by_one(&self, context: &Context, broker: &mut Broker) -> bool {
        self.options.verbose
            || self.options.pedantic
            || context.trace
            || broker.peer(self.conn).responses.is_some()
    }

    /// Makes the client a member of its account.
    fn admit(&mut self, context: &Context, broker: &mut Broker, identity: Identity) -> Flow {
        self.seat = None;
        if !broker.set_account(self.conn, &identity.account) {
            let denial = Denial::of(
                &identity,
                DenialReason::UnknownAccount(identity.account.clone()),
            );
            return self.denied(context, broker, &denial);
        }
        self.seat = broker.account_table(self.conn).take_seat();
        if self.seat.is_none() {
            match (&self.service, &identity.token) {
                (Some(service), _) if self.by_service => {
                    self.tell_unregistered(context, broker, &identity, service);
                }
                (_, Some(_)) => self.tell_full(context, broker, &identity),
                _ => {}
            }
            return self.too_many(broker, &identity);
        }
        self.phase = Phase::Member;
        self.heartbeat.expires(context, identity.expires);
        broker.set_permissions(self.conn, identity.permissions.clone());
        let mut who = self.who(context, broker, &identity);
        let token = identity.token.as_ref();
        if self.by_service || token.is_some_and(|token| token.made.is_some()) {
            // The token of its own was for the service that let it in, and may let somebody else in. The oracle drops it.
            who.jwt = Box::default();
        }
        broker.peer(self.conn).who = Some(Arc::new(who));
        self.identity = Some(Box::new(identity));
        self.tell_come(context, broker);
        self.apply_limits(context, broker)
    }

    /// The account has as many connections as it may have.
    #[cold]
    pub(super) fn too_many(&self, broker: &mut Broker, identity: &Identity) -> Flow {
        let (account, user) = (&identity.account, identity.label());
        log::error!(
            "{} - {TOO_MANY_TEXT} - Account:{account} {user}",
            self.label()
        );
        self.say_error(broker, TOO_MANY_TEXT);
        Flow::Close(CloseReason::AccountConnectionsExceeded)
    }
}

//! What the broker tells of a client that is not let in: the system account all of it, the account that it is about only
//! that it happened. Owns the subjects and the JSON; never decides who is let in.

use serde::Serialize;

use crate::account::AccountId;
use crate::proto::encode;

use super::Broker;
use super::effect::ConnId;
use super::events::Server;
use super::peer::Counts;
use super::who::{Told, Who};

/// The oracle's type for clients that have gone; these have never come.
const KIND: &str = "io.nats.server.advisory.v1.client_disconnect";

/// Where the account is told that a client is about.
const ACCOUNT_SUBJECT: &[u8] = b"$SYS.ACCOUNT.CLIENT.AUTH.ERR";

/// A client that is not let in.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// Who it says it is.
    pub who: &'a Who,
    /// The account that it is in so far.
    pub account: &'a str,
    /// What the system account is told, in the oracle's words.
    pub reason: &'a str,
    /// What was wrong. For the system account only.
    pub why: &'a str,
    /// The account that it is about, and what that is told.
    pub concerns: Option<(&'a str, &'a str)>,
}

/// An event, with the oracle's keys in its order and one more.
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    id: String,
    timestamp: &'a str,
    server: Server<'a>,
    client: Told<'a>,
    sent: Counts,
    received: Counts,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

impl Broker {
    /// Tells of a client that is not let in, if there is a system account, as in the oracle.
    pub fn tell_refused(&mut self, conn: ConnId, refused: &Refused<'_>) {
        let Some(system) = self.table.system else {
            return;
        };
        let subject = format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", self.events.node.id);
        self.tell_one(
            (system, subject.as_bytes()),
            conn,
            (refused, refused.account, refused.reason, Some(refused.why)),
        );
        let concerned = refused
            .concerns
            .and_then(|(name, reason)| Some((self.table.find(name)?, name, reason)));
        if let Some((account, name, reason)) = concerned {
            self.tell_one(
                (account, ACCOUNT_SUBJECT),
                conn,
                (refused, name, reason, None),
            );
        }
    }

    /// Tells an account, and nobody else, that it is full for a client, if there is a system account, as in the oracle.
    pub fn tell_full(&mut self, conn: ConnId, who: &Who, name: &str, reason: &str) {
        let account = self.table.system.and_then(|_| self.table.find(name));
        if let Some(account) = account {
            let refused = Refused {
                who,
                account: name,
                reason,
                why: "",
                concerns: None,
            };
            self.tell_one(
                (account, ACCOUNT_SUBJECT),
                conn,
                (&refused, name, reason, None),
            );
        }
    }

    fn tell_one(
        &mut self,
        (to, subject): (AccountId, &[u8]),
        conn: ConnId,
        (refused, account, reason, why): (&Refused<'_>, &str, &str, Option<&str>),
    ) {
        let id = self.event_id();
        let now = self.rfc3339_now();
        let peer = self.find_peer(conn);
        let event = Event {
            r#type: KIND,
            id,
            timestamp: &now,
            server: self.server(),
            client: Told::gone(refused.who, account, &now),
            sent: peer.map(|peer| peer.received).unwrap_or_default().into(),
            received: peer.map(|peer| peer.sent).unwrap_or_default().into(),
            reason,
            why,
        };
        let mut payload = Vec::new();
        encode::json(&event, &mut payload);
        self.events.add(to, subject, payload);
    }
}

//! What the system account is told of clients that come and go: `$SYS.ACCOUNT.<account>.CONNECT` and `.DISCONNECT`, as the
//! oracle tells it. Owns the subjects and the JSON; never decides who is let in.

use serde::Serialize;

use crate::account::AccountId;
use crate::proto::encode;

use super::Broker;
use super::effect::ConnId;
use super::events::Server;
use super::peer::Counts;
use super::who::{Told, Who};

const COME: &str = "io.nats.server.advisory.v1.client_connect";
const GONE: &str = "io.nats.server.advisory.v1.client_disconnect";

/// An event, with the oracle's keys in its order.
#[derive(Serialize)]
struct Come<'a> {
    r#type: &'static str,
    id: String,
    timestamp: &'a str,
    server: Server<'a>,
    client: Told<'a>,
}

/// Likewise.
#[derive(Serialize)]
struct Gone<'a> {
    #[serde(flatten)]
    event: Come<'a>,
    sent: Counts,
    received: Counts,
    reason: &'a str,
}

impl Broker {
    /// Tells that a client has come into its account, if anybody listens.
    pub fn tell_come(&mut self, conn: ConnId, who: impl FnOnce(&Broker) -> Who) {
        let Some((to, subject)) = self.who_hears(conn, "CONNECT") else {
            return;
        };
        let who = who(self);
        let (id, now) = (self.event_id(), self.rfc3339_now());
        let event = Come {
            r#type: COME,
            id,
            timestamp: &now,
            server: self.server(),
            client: Told::come(&who, &self.account_table(conn).name),
        };
        let mut payload = Vec::new();
        encode::json(&event, &mut payload);
        self.events.add(to, subject.as_bytes(), payload);
    }

    /// Tells that a client has gone, and why, if anybody listens.
    pub fn tell_gone(&mut self, conn: ConnId, who: impl FnOnce(&Broker) -> Who, reason: &str) {
        let Some((to, subject)) = self.who_hears(conn, "DISCONNECT") else {
            return;
        };
        let who = who(self);
        let (id, now) = (self.event_id(), self.rfc3339_now());
        let peer = self.find_peer(conn).expect("an open connection");
        let event = Gone {
            event: Come {
                r#type: GONE,
                id,
                timestamp: &now,
                server: self.server(),
                client: Told::gone(&who, &self.account_table(conn).name, &now),
            },
            sent: peer.received.into(),
            received: peer.sent.into(),
            reason,
        };
        let mut payload = Vec::new();
        encode::json(&event, &mut payload);
        self.events.add(to, subject.as_bytes(), payload);
    }

    /// The system account, and the subject there, if anybody listens: in it, or to a stream that it exports.
    fn who_hears(&self, conn: ConnId, what: &str) -> Option<(AccountId, String)> {
        let system = self.table.system?;
        let subject = format!("$SYS.ACCOUNT.{}.{what}", self.account_table(conn).name);
        let mut heard = false;
        self.accounts[system.0 as usize].matches(subject.as_bytes(), |_| heard = true);
        let table = self.table.account(system);
        table.streams(subject.as_bytes(), |_| heard = true);
        heard.then_some((system, subject))
    }
}

//! The delivery side of one connection: what the broker needs to know to give it messages.

use std::sync::Arc;

use hashbrown::HashTable;
use serde::Serialize;

use crate::account::{AccountId, GLOBAL};
use crate::auth::{Permissions, ResponseTracker};

use super::effect::Origin;
use super::interest::SubId;
use super::outbox::Outbox;
use super::shown::Traced;
use super::who::Who;

/// Messages and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Bytes of headers and payloads.
    pub bytes: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, more: Traffic) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}

/// The same in an event.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Counts {
    msgs: u64,
    bytes: u64,
}

impl From<Traffic> for Counts {
    fn from(traffic: Traffic) -> Self {
        Counts {
            msgs: traffic.messages,
            bytes: traffic.bytes,
        }
    }
}

/// The delivery side of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its name on the node.
    pub origin: Origin,
    /// Its account.
    pub account: AccountId,
    /// What waits for it.
    pub outbox: Outbox,
    /// Its subscriptions, by sid.
    pub subs: HashTable<SubId>,
    /// CONNECT `headers`, and the broker has headers on.
    pub headers: bool,
    /// CONNECT `echo`: its own messages come back to its own subscriptions.
    pub echo: bool,
    /// CONNECT `no_responders`.
    pub no_responders: bool,
    /// CONNECT `verbose`: +OK for everything.
    pub verbose: bool,
    /// It is the broker's own.
    pub internal: bool,
    /// Its account has mappings, which its messages go through. Those of the broker itself do not.
    pub mapped: bool,
    /// The client's number on the node.
    pub client_id: u64,
    /// What others may be told of it, once it has authenticated.
    pub who: Option<Arc<Who>>,
    /// It is being closed: nothing more is delivered to it.
    pub closing: bool,
    /// It is in the list of connections to flush.
    pub dirty: bool,
    /// What its user may do; `None` is everything.
    pub permissions: Option<Arc<Permissions>>,
    /// Replies it may publish to because it was asked (`allow_responses`).
    pub responses: Option<Box<ResponseTracker>>,
    /// How the log shows what it hears, while operations are traced.
    pub traced: Option<Box<Traced>>,
    /// Publishers held back until its outbox is shorter.
    pub waiting: Vec<Origin>,
    /// From the client.
    pub received: Traffic,
    /// To the client.
    pub sent: Traffic,
}

impl Peer {
    /// A connection that has just come: in the global account, nothing allowed or denied yet.
    pub fn new(origin: Origin) -> Self {
        Peer {
            origin,
            account: GLOBAL,
            outbox: Outbox::default(),
            subs: HashTable::new(),
            headers: false,
            echo: true,
            no_responders: false,
            verbose: false,
            internal: false,
            mapped: false,
            client_id: 0,
            who: None,
            closing: false,
            dirty: false,
            permissions: None,
            responses: None,
            traced: None,
            waiting: Vec::new(),
            received: Traffic::default(),
            sent: Traffic::default(),
        }
    }
}

//! What the broker tells a client of its own user: the answer to `$SYS.REQ.USER.INFO`, as the oracle gives it in every
//! account. Owns the JSON; never decides who may ask, the permission to publish does.

use std::sync::Arc;

use serde::Serialize;

use crate::account::{AccountId, Space};
use crate::auth::Permissions;
use crate::auth::permission::{Listed, Rule};
use crate::proto::encode;

use super::Broker;
use super::effect::{ConnId, Origin, Outlet};
use super::events::Server;
use super::run::Run;
use super::who::Who;

/// Where a client asks.
const SUBJECT: &[u8] = b"$SYS.REQ.USER.INFO";

/// Whether it is a request for what the broker knows of the user.
#[inline(always)]
pub(crate) fn asks_for_user(subject: &[u8]) -> bool {
    subject.first() == Some(&b'$') && subject == SUBJECT
}

/// An answer, with the oracle's keys in its order.
#[derive(Serialize)]
struct Answer<'a> {
    server: Server<'a>,
    data: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    user: &'a str,
    account: &'a str,
    account_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Allowed<'a>>,
    /// How long it is let in, whole seconds, in ns.
    #[serde(skip_serializing_if = "is_zero")]
    expires: i64,
}

#[derive(Serialize)]
struct Allowed<'a> {
    publish: Lists<'a>,
    subscribe: Lists<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<Responses>,
}

#[derive(Serialize)]
struct Lists<'a> {
    #[serde(skip_serializing_if = "<[Name]>::is_empty")]
    allow: Box<[Name<'a>]>,
    #[serde(skip_serializing_if = "<[Name]>::is_empty")]
    deny: Box<[Name<'a>]>,
}

#[derive(Serialize)]
struct Responses {
    max: i64,
    /// ns.
    ttl: i64,
}

/// A rule as it is written: a pattern, and a queue behind it.
struct Name<'a>(&'a Rule);

impl Serialize for Name<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.queue {
            Some(queue) => serializer.collect_str(&format_args!("{} {queue}", self.0.subject)),
            None => serializer.serialize_str(&self.0.subject),
        }
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl<'a> Lists<'a> {
    fn new(listed: Listed<'a>) -> Self {
        let names = |rules: &'a [Rule]| rules.iter().map(Name).collect();
        Lists {
            allow: names(listed.allow),
            deny: names(listed.deny),
        }
    }
}

impl<'a> Allowed<'a> {
    fn new(permissions: &'a Permissions) -> Self {
        Allowed {
            publish: Lists::new(permissions.listed_publish()),
            subscribe: Lists::new(permissions.listed_subscribe()),
            responses: permissions.responses().map(|responses| Responses {
                max: responses.messages_max,
                ttl: responses.expires_ms.saturating_mul(1_000_000),
            }),
        }
    }
}

impl Broker {
    /// Publishes a run of requests for what the broker knows of the publisher's user, and answers each that has a reply:
    /// it was asked, whoever else hears it.
    #[cold]
    pub(super) fn publish_asking_for_user(
        &mut self,
        conn: ConnId,
        account: AccountId,
        origin: Origin,
        run: &Run<'_>,
        out: &mut impl Outlet,
    ) {
        for at in 0..run.messages.len() {
            let one = run.only(at..at + 1);
            self.route(Space::of(account), origin, &one, None, out);
            let reply = one.reply(&one.messages[0]);
            if !reply.is_empty() {
                self.tell_user(conn, account, reply);
            }
        }
    }

    fn tell_user(&mut self, conn: ConnId, account: AccountId, reply: &[u8]) {
        self.events.count += 1;
        let peer = self.find_peer(conn).expect("an open connection");
        let who: Option<&Arc<Who>> = peer.who.as_ref();
        let table = self.table.account(account);
        let expires_s = who.and_then(|who| who.expires_unix_s);
        let now_ms = self.events.node.start_unix_ms + (self.now_ns / 1_000_000) as i64;
        let left_s = expires_s.map_or(0, |at| (at.saturating_mul(1000) - now_ms) / 1000);
        let answer = Answer {
            server: self.server(),
            data: User {
                user: who.map_or("", |who| &who.user),
                account: &table.name,
                account_name: &table.label,
                user_name: who.map_or("", |who| &who.name_tag),
                permissions: peer.permissions.as_deref().map(Allowed::new),
                expires: left_s.saturating_mul(1_000_000_000),
            },
        };
        let mut payload = Vec::new();
        encode::json(&answer, &mut payload);
        self.events.add(account, reply, payload);
    }
}

//! What the broker tells of a client: to services of other accounts, and in measurements. Owns the JSON; never decides
//! who is told how much.

use std::sync::Arc;

use serde::Serialize;

use crate::account::AccountId;
use crate::proto::encode;

/// A client, as far as others may be told. Made when it connects.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// When it came, RFC 3339.
    pub start: Box<str>,
    /// Where it comes from.
    pub host: Box<str>,
    /// Its number on the node.
    pub id: u64,
    /// Its user.
    pub user: Box<str>,
    /// CONNECT `name`.
    pub name: Box<str>,
    /// CONNECT `lang`.
    pub lang: Box<str>,
    /// CONNECT `version`.
    pub version: Box<str>,
    /// The name of its server.
    pub server: Arc<str>,
    /// CONNECT `jwt`.
    pub jwt: Box<str>,
    /// Who vouches for its key.
    pub issuer_key: Box<str>,
    /// The name in its token.
    pub name_tag: Box<str>,
    /// The tags in its token.
    pub tags: Box<[String]>,
    /// Its round trip, ns.
    pub rtt_ns: u64,
    /// Until when it is let in, Unix time, s.
    pub expires_unix_s: Option<i64>,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Account and round trip.
    Little,
    /// And the server.
    Server,
    /// Everything.
    Full,
}

/// A client told of, with the oracle's keys in its order.
#[derive(Debug, Serialize)]
pub(super) struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    acc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    svc: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    lang: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    ver: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u64>,
    #[serde(skip_serializing_if = "is_empty")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    issuer_key: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    name_tag: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_type: Option<&'static str>,
}

fn is_empty(text: &Option<&str>) -> bool {
    text.is_none_or(str::is_empty)
}

impl<'a> Told<'a> {
    /// Tells of a client of `account`; of the account alone where there is no client. `through` is the account by which
    /// it came last.
    pub(super) fn new(
        who: Option<&'a Who>,
        account: &'a str,
        through: Option<&'a str>,
        detail: Detail,
    ) -> Self {
        let full = who.filter(|_| detail == Detail::Full);
        let server = who.filter(|_| detail != Detail::Little);
        Told {
            start: full.map(|who| &*who.start),
            host: full.map(|who| &*who.host),
            id: full.map(|who| who.id),
            acc: account,
            svc: through,
            user: full.map(|who| &*who.user),
            name: full.map(|who| &*who.name),
            lang: full.map(|who| &*who.lang),
            ver: full.map(|who| &*who.version),
            rtt: who.map(|who| who.rtt_ns).filter(|ns| *ns > 0),
            server: server.map(|who| &*who.server),
            stop: None,
            jwt: full.map(|who| &*who.jwt),
            issuer_key: full.map(|who| &*who.issuer_key),
            name_tag: full.map(|who| &*who.name_tag),
            tags: full.map_or(&[], |who| &who.tags),
            kind: full.map(|_| "Client"),
            client_type: full.map(|_| "nats"),
        }
    }

    /// Tells everything of a client that has just come to `account`. Its server is told elsewhere.
    pub(super) fn come(who: &'a Who, account: &'a str) -> Self {
        Told {
            server: None,
            rtt: None,
            ..Told::new(Some(who), account, None, Detail::Full)
        }
    }

    /// Tells everything of a client that has gone from `account` at this time, RFC 3339. Its server is told elsewhere.
    pub(super) fn gone(who: &'a Who, account: &'a str, stop: &'a str) -> Self {
        Told {
            server: None,
            stop: Some(stop),
            ..Told::new(Some(who), account, None, Detail::Full)
        }
    }
}

/// Descriptions are kept for so many clients.
const KEPT: usize = 64;

/// What was told of clients last.
#[derive(Debug)]
pub(super) struct Introductions(Vec<Introduction>);

#[derive(Debug, Default)]
struct Introduction {
    /// Whose; absent where nothing was told yet.
    of: Option<Introduced>,
    json: Vec<u8>,
}

/// A client, or only its account, and what is told of it.
#[derive(Debug)]
struct Introduced {
    who: Option<Arc<Who>>,
    account: AccountId,
    through: Option<AccountId>,
    detail: Detail,
}

impl Default for Introductions {
    fn default() -> Self {
        Introductions((0..KEPT).map(|_| Introduction::default()).collect())
    }
}

impl Introductions {
    /// The JSON of [`Told`]. `name` is that of an account.
    pub fn of<'n>(
        &mut self,
        who: Option<&Arc<Who>>,
        account: AccountId,
        through: Option<AccountId>,
        detail: Detail,
        name: impl Fn(AccountId) -> &'n str,
    ) -> &[u8] {
        let slot = who.map_or(0, |who| who.id as usize % KEPT);
        let kept = &mut self.0[slot];
        let known = kept.of.as_ref().is_some_and(|of| {
            let same = match (&of.who, who) {
                (Some(known), Some(who)) => Arc::ptr_eq(known, who),
                (known, who) => known.is_none() && who.is_none(),
            };
            same && (of.account, of.through, of.detail) == (account, through, detail)
        });
        if !known {
            kept.of = Some(Introduced {
                who: who.cloned(),
                account,
                through,
                detail,
            });
            kept.json.clear();
            let told = Told::new(
                who.map(|who| &**who),
                name(account),
                through.map(&name),
                detail,
            );
            encode::json(&told, &mut kept.json);
        }
        &kept.json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(who: Option<&Who>, through: Option<&str>, detail: Detail, expected: Expect) {
        let mut json = Vec::new();
        encode::json(&Told::new(who, "B", through, detail), &mut json);
        expected.assert_eq(&String::from_utf8(json).expect("text"));
    }

    #[test]
    fn as_much_as_is_told() {
        let who = Who {
            start: "2026-11-22T20:42:39.745381408Z".into(),
            host: "127.0.0.1".into(),
            id: 8,
            user: "b&c".into(),
            name: "nick".into(),
            server: "S".into(),
            rtt_ns: 9_846_971,
            ..Who::default()
        };
        let who = Some(&who);
        check(None, None, Detail::Full, expect![[r#"{"acc":"B"}"#]]);
        check(
            who,
            None,
            Detail::Little,
            expect![[r#"{"acc":"B","rtt":9846971}"#]],
        );
        check(
            who,
            Some("C"),
            Detail::Server,
            expect![[r#"{"acc":"B","svc":"C","rtt":9846971,"server":"S"}"#]],
        );
        check(
            who,
            None,
            Detail::Full,
            expect![[
                r#"{"start":"2026-11-22T20:42:39.745381408Z","host":"127.0.0.1","id":8,"acc":"B","user":"b\u0026c","name":"nick","rtt":9846971,"server":"S","kind":"Client","client_type":"nats"}"#
            ]],
        );
    }
}

use std::cell::Cell;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use expect_test::{Expect, expect};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::made_in_tests::{NOW, claims, key, named, public, sign};
use super::*;

/// Everything that a test may change. Patches are merged into claims, `null` removes.
struct World {
    trust: Trust,
    account: Value,
    user: Value,
    user_claims: Value,
    by: &'static str,
    signature: Option<String>,
    address: &'static str,
    connection: ConnectionType,
}

const NAMES: &[&str] = &["U.bob", "A.a", "A.b", "A.sign", "O.op", "O.eve"];

fn world() -> World {
    World {
        trust: Trust::of_keys([public("O.op")]),
        account: json!({}),
        user: json!({}),
        user_claims: json!({}),
        by: "A.a",
        signature: None,
        address: "127.0.0.1",
        connection: ConnectionType::Standard,
    }
}

impl World {
    fn token(&self) -> String {
        let claims = claims("user", "U.bob", self.user.clone(), self.user_claims.clone());
        sign(self.by, claims)
    }

    fn verdict(&self, token: &str) -> Verdict {
        const NONCE: &[u8] = b"nonce";
        let own = || BASE64URL_NOPAD.encode(&key("U.bob").sign(NONCE).expect("a seed"));
        let attempt = Attempt {
            jwt: token,
            signature: &self.signature.clone().unwrap_or_else(own),
            nonce: NONCE,
            connection: self.connection,
            address: Some(self.address.parse().expect("an address")),
            now: Timestamp::from_second(NOW).expect("a time"),
        };
        let account = claims("account", "A.a", self.account.clone(), json!({}));
        let account = sign("O.op", account);
        authenticate(&self.trust, &attempt, |wanted| {
            match self.trust.account(wanted, &account, NOW) {
                Ok(claims) => Lookup::Known(Arc::new(claims)),
                Err(error) => Lookup::Missing(error.to_string()),
            }
        })
    }

    fn admitted(&self) -> Admitted {
        match self.verdict(&self.token()) {
            Verdict::Admitted(admitted) => *admitted,
            other => panic!("{other:?}"),
        }
    }

    fn check(&self, expected: Expect) {
        expected.assert_eq(&said(&self.verdict(&self.token())));
    }
}

fn said(verdict: &Verdict) -> String {
    let text = match verdict {
        Verdict::Admitted(admitted) => {
            let expires = admitted.expires.map(|time| format!(", until {time}"));
            let role = admitted.scope.as_ref().map(|role| format!(", a {role}"));
            format!(
                "{} of {}{}{}",
                admitted.user,
                admitted.account,
                expires.unwrap_or_default(),
                role.unwrap_or_default()
            )
        }
        Verdict::Denied(denial) => denial.to_string(),
        Verdict::NeedAccount(candidate) => format!("wants {}", candidate.account()),
    };
    named(&text, NAMES)
}

fn user(nats: Value) -> World {
    World {
        user: nats,
        ..world()
    }
}

fn account(nats: Value) -> World {
    World {
        account: nats,
        ..world()
    }
}

#[test]
fn the_plain_chain() {
    world().check(expect!["U.bob of A.a"]);
    let padded = BASE64.encode(&key("U.bob").sign(b"nonce").expect("a seed"));
    World {
        signature: Some(padded),
        ..world()
    }
    .check(expect!["U.bob of A.a"]);
    for (wrong, why) in [
        ("", "did not sign the nonce"),
        ("***", "did not sign this nonce: wrong signature"),
        ("aGVsbG8", "did not sign this nonce: wrong signature"),
    ] {
        let verdict = World {
            signature: Some(wrong.into()),
            ..world()
        };
        let verdict = said(&verdict.verdict(&verdict.token()));
        assert_eq!(
            verdict,
            format!("authentication error - user U.bob of account A.a {why}")
        );
    }
}

#[test]
fn tokens_that_are_none() {
    let check = |token: &str, expected: Expect| expected.assert_eq(&said(&world().verdict(token)));
    check(
        "",
        expect!["authentication error - a user's JWT is required"],
    );
    check(
        "hello",
        expect!["authentication error - the JWT is not valid: not three parts with points between"],
    );
    let account = sign("O.op", claims("account", "A.a", json!({}), json!({})));
    check(
        &account,
        expect![[
            r#"authentication error - the JWT is not valid: the claims are of "account", not of "user""#
        ]],
    );
}

#[test]
fn a_sentinel_stands_in() {
    let bearer = user(json!({"bearer_token": true}));
    let with = |token: String| World {
        trust: world().trust.with_sentinel(token),
        ..world()
    };
    let check = |world: &World, token: &str, expected: Expect| {
        expected.assert_eq(&said(&world.verdict(token)))
    };
    check(&with(bearer.token()), "", expect!["U.bob of A.a"]);
    check(&with(bearer.token()), "rubbish", expect!["U.bob of A.a"]);
    check(
        &with("rubbish".into()),
        "",
        expect![[
            r#"authentication error - "default_sentinel" is not valid: not three parts with points between"#
        ]],
    );
}

#[test]
fn times() {
    let at = |claims: Value| World {
        user_claims: claims,
        ..world()
    };
    at(json!({"exp": NOW})).check(expect!["U.bob of A.a, until 2024-06-01T12:00:00Z"]);
    at(json!({"exp": NOW - 1})).check(expect![
        "authentication error - user U.bob of account A.a expired 2024-06-01T11:59:59Z"
    ]);
    at(json!({"exp": NOW + 60})).check(expect!["U.bob of A.a, until 2024-06-01T12:01:00Z"]);
    at(json!({"exp": -5})).check(expect!["U.bob of A.a, until 1969-12-31T23:59:55Z"]);
    at(json!({"nbf": NOW})).check(expect!["U.bob of A.a"]);
    at(json!({"nbf": NOW + 1})).check(expect![
        "authentication error - user U.bob of account A.a not valid before 2024-06-01T12:00:01Z"
    ]);
    user(json!({"times": [{"start": "11:00:00", "end": "13:00:00"}]}))
        .check(expect!["U.bob of A.a, until 2024-06-01T13:00:00Z"]);
    let both = World {
        user_claims: json!({"exp": NOW + 60}),
        ..user(json!({"times": [{"start": "11:00:00", "end": "13:00:00"}]}))
    };
    both.check(expect!["U.bob of A.a, until 2024-06-01T12:01:00Z"]);
    user(json!({"times": [{"start": "11:00:00", "end": "12:00:00"}]})).check(expect![
        "authentication error - user U.bob of account A.a may not connect at this time of day"
    ]);
    user(json!({"times_location": "Middle/Earth"})).check(expect![[
        r#"authentication error - user U.bob of account A.a there is no time zone "Middle/Earth""#
    ]]);
}

#[test]
fn who_signed_the_user() {
    let by = |by, user: Value, account: Value| World {
        by,
        user,
        account,
        ..world()
    };
    let ours = || json!({"issuer_account": public("A.a")});
    by("A.b", json!({}), json!({})).check(expect![[r#"authentication error - user U.bob: account A.b cannot be used: the token of another account, "A.a""#]]);
    by("A.sign", ours(), json!({})).check(expect![[
        r#"authentication error - user U.bob: account A.a does not trust issuer "A.sign""#
    ]]);
    by(
        "A.sign",
        ours(),
        json!({"signing_keys": [public("A.sign")]}),
    )
    .check(expect!["U.bob of A.a"]);
    by("A.a", json!({"issuer_account": "me"}), json!({})).check(expect![
        "authentication error - user U.bob of account me me is not an account public key"
    ]);
    let admitted = by(
        "A.sign",
        ours(),
        json!({"signing_keys": [public("A.sign")]}),
    )
    .admitted();
    assert!(admitted.by_signing_key);
    assert_eq!(*admitted.issuer, public("A.sign"));
    assert!(!world().admitted().by_signing_key);
}

#[test]
fn who_signed_the_account() {
    let trust = |by: &str| World {
        trust: Trust::of_keys([public(by)]),
        ..world()
    };
    trust("O.eve").check(expect![[r#"authentication error - user U.bob: account A.a cannot be used: signed by "O.op", whom no operator trusts"#]]);
    let pinned = |name: &str| World {
        trust: world().trust.with_pinned([public(name)]),
        ..world()
    };
    pinned("A.a").check(expect!["U.bob of A.a"]);
    pinned("A.b").check(expect![[r#"authentication error - user U.bob of account A.a is in none of "resolver_pinned_accounts""#]]);
}

#[test]
fn strict_operators_want_signing_keys() {
    let nats = json!({"signing_keys": [public("O.op")], "strict_signing_key_usage": true});
    let operator = sign("O.eve", claims("operator", "O.eve", nats, json!({})));
    let operator = OperatorClaims::decode(&operator).expect("an operator");
    let trust = Trust::of_operators([&operator]);
    assert!(!trust.trusts(&public("O.eve")), "its own key signs nothing");
    let strict = World { trust, ..world() };
    strict.check(expect![[
        r#"authentication error - user U.bob: account A.a does not trust issuer "A.a""#
    ]]);
    let signed = World {
        by: "A.sign",
        user: json!({"issuer_account": public("A.a")}),
        account: json!({"signing_keys": [public("A.sign")]}),
        ..strict
    };
    signed.check(expect!["U.bob of A.a"]);
}

#[test]
fn revocations() {
    let issued = NOW - 24 * 60 * 60;
    let revoked = |key: &str, at: i64| account(json!({"revocations": {key: at}}));
    revoked(&public("U.bob"), issued).check(expect![
        "authentication error - user U.bob of account A.a is revoked, issued 2024-05-31T12:00:00Z"
    ]);
    revoked(&public("U.bob"), issued - 1).check(expect!["U.bob of A.a"]);
    revoked("*", issued).check(expect![
        "authentication error - user U.bob of account A.a is revoked, issued 2024-05-31T12:00:00Z"
    ]);
    revoked("*", issued - 1).check(expect!["U.bob of A.a"]);
    revoked(&public("A.b"), NOW).check(expect!["U.bob of A.a"]);
}

#[test]
fn bearers() {
    let bearer = || World {
        signature: Some(String::new()),
        ..user(json!({"bearer_token": true}))
    };
    bearer().check(expect!["U.bob of A.a"]);
    assert!(bearer().admitted().bearer);
    World { account: json!({"limits": {"disallow_bearer": true}}), ..bearer() }
        .check(expect!["authentication error - user U.bob of account A.a has a bearer token, which the account does not allow"]);
}

#[test]
fn from_where_and_how() {
    user(json!({"src": ["10.0.0.0/8"]})).check(expect![
        "authentication error - user U.bob of account A.a may not connect from 127.0.0.1"
    ]);
    user(json!({"src": "10.0.0.0/8, 127.0.0.0/8"})).check(expect!["U.bob of A.a"]);
    user(json!({"src": ["localhost"]})).check(expect![[r#"authentication error - user U.bob of account A.a invalid cidr "localhost" in user src limits"#]]);
    let types = |types: &[&str]| user(json!({"allowed_connection_types": types}));
    types(&["standard"]).check(expect!["U.bob of A.a"]);
    types(&["PIGEON"]).check(expect![
        "authentication error - user U.bob of account A.a may not connect this way"
    ]);
    World {
        connection: ConnectionType::Websocket,
        ..types(&["STANDARD"])
    }
    .check(expect![
        "authentication error - user U.bob of account A.a may not connect this way"
    ]);
    user(json!({"proxy_required": true})).check(expect!["authentication error - user U.bob of account A.a may connect by way of a trusted proxy only"]);
}

#[test]
fn permissions_are_compiled() {
    let may = |world: World, subject: &str| {
        let permissions = world.admitted().permissions;
        permissions.is_none_or(|permissions| permissions.publish(subject.as_bytes()).is_allowed())
    };
    assert!(may(world(), "foo"));
    assert!(may(user(json!({"pub": {"allow": ["foo"]}})), "foo"));
    assert!(!may(user(json!({"pub": {"allow": ["foo"]}})), "bar"));
    assert!(
        !may(user(json!({"pub": {"allow": ["foo.>.bar"]}})), "foo.x.bar"),
        "matches nothing, allows nothing"
    );
    assert!(!may(user(json!({"resp": {}})), "foo"), "answers only");
    assert!(!may(
        account(json!({"default_permissions": {"pub": {"deny": ["foo"]}}})),
        "foo"
    ));
    let own = World {
        user: json!({"sub": {"deny": ["x"]}}),
        ..account(json!({"default_permissions": {"pub": {"deny": ["foo"]}}}))
    };
    assert!(may(own, "foo"));
    assert!(world().admitted().has_default_permissions);
    user(json!({"pub": {"allow": ["foo q"]}})).check(expect![[r#"authentication error - user U.bob of account A.a Permission Subject "foo q" is not allowed to contain queue"#]]);
}

#[test]
fn limits() {
    let limits = |nats: Value| {
        let admitted = user(nats).admitted();
        (admitted.subscriptions_max, admitted.payload_bytes_max)
    };
    assert_eq!(limits(json!({})), (None, None));
    assert_eq!(limits(json!({"subs": 5, "payload": 7})), (Some(5), Some(7)));
    assert_eq!(
        limits(json!({"subs": null, "payload": -2})),
        (Some(0), Some(0))
    );
}

/// A user of a scope with this template.
fn scoped(template: Value, tags: &[&str]) -> World {
    let key = public("A.sign");
    let scope = json!({"kind": "user_scope", "key": key, "role": "cook", "template": template});
    World {
        by: "A.sign",
        user: json!({"issuer_account": public("A.a"), "subs": null, "data": null, "payload": null, "tags": tags}),
        account: json!({"signing_keys": [scope], "tags": ["region:eu"]}),
        ..world()
    }
}

#[test]
fn scopes() {
    scoped(json!({}), &[]).check(expect!["U.bob of A.a, a cook"]);
    let admitted = scoped(json!({"subs": 3}), &[]).admitted();
    assert_eq!(
        (admitted.subscriptions_max, admitted.payload_bytes_max),
        (Some(3), None)
    );
    let with = |nats: Value| {
        let mut world = scoped(json!({}), &[]);
        super::made_in_tests::merge(&mut world.user, nats);
        said(&world.verdict(&world.token()))
    };
    const REFUSED: &str = "authentication error - user U.bob of account A.a has permissions or limits, although its signing key has a scope";
    for said_something in [
        json!({"subs": -1}),
        json!({"pub": {"allow": []}}),
        json!({"src": []}),
        json!({"resp": {}}),
        json!({"bearer_token": true}),
    ] {
        assert_eq!(with(said_something), REFUSED);
    }
    for said_nothing in [json!({"pub": {}}), json!({"subs": 0}), json!({"src": null})] {
        assert_eq!(with(said_nothing), "U.bob of A.a, a cook");
    }
}

#[test]
fn templates() {
    let tags = ["team:red", "team:blue", "job:cook"];
    let check = |list: &str, entry: &str, subjects: &[&str], expected: Expect| {
        let world = scoped(json!({"pub": {list: [entry]}}), &tags);
        let said = match world.verdict(&world.token()) {
            Verdict::Admitted(admitted) => {
                let permissions = admitted.permissions.expect("some");
                let allowed = subjects.iter().map(|subject| {
                    let subject = subject
                        .replace("U.bob", &public("U.bob"))
                        .replace("A.a", &public("A.a"));
                    permissions
                        .publish(subject.as_bytes())
                        .is_allowed()
                        .to_string()
                });
                allowed.collect::<Vec<_>>().join(" ")
            }
            other => said(&other),
        };
        expected.assert_eq(&said);
    };
    check(
        "allow",
        "n.{{ Name() }}",
        &["n.U.bob", "n.x"],
        expect!["false false"],
    );
    check(
        "allow",
        "s.{{subject()}}",
        &["s.U.bob", "s.x"],
        expect!["true false"],
    );
    check(
        "allow",
        "a.{{account-subject()}}.>",
        &["a.A.a.x", "a.x.x"],
        expect!["true false"],
    );
    check(
        "allow",
        "t.{{tag(team)}}.{{tag(job)}}",
        &["t.red.cook", "t.blue.cook", "t.green.cook"],
        expect!["true true false"],
    );
    check(
        "allow",
        "r.{{account-tag(region)}}",
        &["r.eu", "r.us"],
        expect!["true false"],
    );
    check(
        "allow",
        "g.{{tag(none)}}",
        &["g.x", "g", "x"],
        expect!["false false false"],
    );
    check("allow", "{{TAG(team)}}.x", &["red.x"], expect!["false"]);
    check(
        "deny",
        "d.{{tag(team)}}",
        &["d.red", "d.blue", "d.green"],
        expect!["false false true"],
    );
    check(
        "deny",
        "d.{{tag(none)}}",
        &[],
        expect![[
            r#"authentication error - user U.bob of account A.a cannot have the permissions of its signing key's scope: the denied subject "d.{{tag(none)}}" cannot be filled in"#
        ]],
    );
    check(
        "allow",
        "x.{{host()}}",
        &[],
        expect![[
            r#"authentication error - user U.bob of account A.a cannot have the permissions of its signing key's scope: there is no template function "host()""#
        ]],
    );
    check(
        "allow",
        "x.{name()}",
        &["x.{name()}", "x.U.bob"],
        expect!["true false"],
    );
    let thirteen = ["{{tag(team)}}"; 13].join(".");
    check(
        "allow",
        &thirteen,
        &[],
        expect![
            "authentication error - user U.bob of account A.a cannot have the permissions of its signing key's scope: more than 4096 subjects"
        ],
    );
}

#[test]
fn an_account_that_has_to_be_fetched() {
    let world = world();
    let asked = Cell::new(0);
    let token = world.token();
    let signature = BASE64URL_NOPAD.encode(&key("U.bob").sign(b"n").expect("a seed"));
    let attempt = Attempt {
        jwt: &token,
        signature: &signature,
        nonce: b"n",
        connection: ConnectionType::Standard,
        address: None,
        now: Timestamp::from_second(NOW).expect("a time"),
    };
    let verdict = authenticate(&world.trust, &attempt, |_| {
        asked.set(asked.get() + 1);
        Lookup::Unknown
    });
    let Verdict::NeedAccount(candidate) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!((asked.get(), candidate.account()), (1, &*public("A.a")));
    let account = sign("O.op", claims("account", "A.a", json!({}), json!({})));
    let account = world
        .trust
        .account(candidate.account(), &account, NOW)
        .expect("an account");
    let verdict = candidate.finish(&world.trust, &attempt, &account);
    assert_eq!(said(&verdict), "U.bob of A.a");
    let expired = AccountClaims {
        common: Common {
            expires: NOW,
            ..account.common.clone()
        },
        ..account
    };
    let verdict = candidate.finish(&world.trust, &attempt, &expired);
    assert_eq!(
        said(&verdict),
        "authentication error - user U.bob: account A.a expired 2024-06-01T12:00:00Z"
    );
}

#[test]
fn a_callout_decides_instead() {
    let nats = || json!({"authorization": {"auth_users": [public("U.bob")]}});
    assert!(account(nats()).admitted().callout);
    let world = World {
        signature: Some(String::new()),
        ..account(nats())
    };
    match world.verdict(&world.token()) {
        Verdict::Denied(denial) => assert!(denial.callout),
        other => panic!("{other:?}"),
    }
}

//! Operator mode: who signed what, what the chain of trust says, and the road in accounts that JWTs make. The page and the
//! JSON word for word, and every verdict against what the broker's own authentication says of the same client.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use expect_test::{Expect, expect};
use gannet::auth::jwt as token;
use gannet::auth::operator::Operator;
use gannet::auth::operators::OperatorMode;
use gannet::auth::{Authenticator, Elsewhere, Outcome, Visitor};
use gannet::explain::jwt::{AccountJwts, Shown, Tokens, refused};
use gannet::explain::report::Report;
use gannet::explain::{Question, World, explain, page};
use gannet::proto::handshake::{ConnectOptions, Secret};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::config;
use made::{NOW, claims, key, named, public, sign};

#[path = "../../src/auth/jwt/made_in_tests.rs"]
mod made;

const NAMES: &[&str] = &[
    "O.op", "O.sign", "O.eve", "A.shop", "A.sign", "A.role", "A.depot", "A.sys", "U.bob", "U.eve",
];

/// What a test is about. Patches are merged into claims, `null` removes.
struct Case {
    operator: Value,
    /// Who signs the account `A.shop`.
    operator_key: &'static str,
    shop: Value,
    shop_claims: Value,
    /// Who signs the user.
    by: &'static str,
    user: Value,
    user_claims: Value,
    /// Whose seed there is.
    seed: Option<&'static str>,
    /// Put into the configuration in place of both accounts' JWTs.
    resolver: Option<&'static str>,
    given: AccountJwts,
    question: Question,
    from: Option<&'static str>,
}

fn case() -> Case {
    Case {
        operator: json!({}),
        operator_key: "O.op",
        shop: json!({}),
        shop_claims: json!({"name": "shop"}),
        by: "A.shop",
        user: json!({}),
        user_claims: json!({"name": "bob"}),
        seed: Some("U.bob"),
        resolver: None,
        given: AccountJwts::default(),
        question: Question::Publish(b"order.paid".to_vec()),
        from: None,
    }
}

/// The account behind `A.shop`: a service and a stream.
fn depot() -> String {
    let exports = json!({"exports": [
        {"name": "take", "subject": "take.*", "type": "service"},
        {"name": "news", "subject": "news.>", "type": "stream", "token_req": true},
    ]});
    sign(
        "O.op",
        claims("account", "A.depot", exports, json!({"name": "depot"})),
    )
}

impl Case {
    fn shop_jwt(&self) -> String {
        let claims = claims(
            "account",
            "A.shop",
            self.shop.clone(),
            self.shop_claims.clone(),
        );
        sign(self.operator_key, claims)
    }

    fn user_jwt(&self) -> String {
        let claims = claims("user", "U.bob", self.user.clone(), self.user_claims.clone());
        sign(self.by, claims)
    }

    fn config(&self) -> gannet::config::Config {
        let signing = json!({"signing_keys": [public("O.sign")]});
        let mut operator = claims("operator", "O.op", signing, json!({"name": "op"}));
        made::merge(&mut operator, json!({"nats": self.operator}));
        let operator = sign("O.op", operator);
        let preload = format!(
            "resolver: MEMORY\nresolver_preload {{\n  {}: {}\n  {}: {}\n}}\n",
            public("A.shop"),
            self.shop_jwt(),
            public("A.depot"),
            depot()
        );
        let resolver = self.resolver.map_or(preload, str::to_owned);
        config(&format!("operator: {operator}\n{resolver}")).expect("nothing is wrong with it")
    }

    fn report(&self) -> Report {
        let config = self.config();
        let tokens = Tokens::new(&config, &self.given, TimeZone::UTC, now());
        let tokens = tokens.expect("nothing is wrong with it");
        let mut world = World::of_tokens(&tokens).expect("nothing is wrong with it");
        let (jwt, key) = (self.user_jwt(), self.seed.map(key));
        let shown = Shown {
            jwt: &jwt,
            key: key.as_ref(),
            address: self
                .from
                .map(|address| address.parse().expect("an address")),
        };
        match shown.enter(&mut world) {
            Ok(who) => explain(&world, &who, &self.question),
            Err(refusal) => refused(*refusal, &self.question),
        }
    }

    /// Checks the page, that it gives nothing away, and that the broker says the same.
    fn check(&self, expected: Expect) {
        let report = self.shows(expected);
        let chain = report.who.jwt.as_ref().expect("a JWT");
        assert_eq!(
            report.refused.is_some(),
            !chain.wrong.is_empty(),
            "all that is wrong"
        );
        let refused = report
            .refused
            .map(|why| format!("authentication error - {why}"));
        let broker = self.broker_refuses().map(|text| without_account(&text));
        assert_eq!(refused.map(|text| without_account(&text)), broker);
    }

    /// Checks the page, and that it gives nothing away.
    fn shows(&self, expected: Expect) -> Report {
        let report = self.report();
        expected.assert_eq(&named(&page(&report), NAMES));
        let json = report.json();
        assert!(!json.contains("eyJ"), "a JWT in {json}");
        if let Some(seed) = self.seed {
            let seed = key(seed).seed().expect("a seed");
            assert!(!json.contains(&seed), "a seed in {json}");
        }
        report
    }

    /// What the broker's own authentication says of a client with this JWT, that signs its nonce: first without any
    /// account, then with that which the resolver gives it.
    fn broker_refuses(&self) -> Option<String> {
        const NONCE: &str = "the nonce of INFO";
        let config = self.config();
        let mode = OperatorMode::compile(&config).expect("nothing is wrong");
        let mode = mode.expect("of operator mode");
        let mut operator = Operator {
            trust: Arc::new(mode.trust(TimeZone::UTC)),
            known: Arc::default(),
            withdrawn: Arc::default(),
            timeout_ms: 2000,
        };
        let authenticator = Authenticator::new(&config).expect("nothing is wrong");
        let authenticator = authenticator.with_operator(Arc::new(operator.clone()));
        let signature = key(self.seed.unwrap_or("U.bob")).sign(NONCE.as_bytes());
        let connect = ConnectOptions {
            jwt: Secret::new(&self.user_jwt()),
            sig: Secret::new(&BASE64URL_NOPAD.encode(&signature.expect("a seed"))),
            ..ConnectOptions::default()
        };
        let mut visitor = Visitor::saying(&connect);
        visitor.nonce = NONCE;
        visitor.ip = self.from.unwrap_or("10.1.2.3").parse().expect("an address");
        let Outcome::Work(work) = authenticator.begin(&visitor) else {
            panic!("a JWT is looked at on a worker");
        };
        let outcome = match work.run(now()) {
            Err(Elsewhere::Account { key, work }) => {
                let given = self.given.given.first().map(|(_, jwt)| jwt);
                let jwt = given.or_else(|| mode.preload.get(&key));
                let jwt = jwt.expect("the resolver has it");
                match operator.trust.account(&key, jwt, NOW) {
                    Ok(claims) => {
                        let known = [(Arc::from(key), Arc::new(claims))];
                        operator.known = Arc::new(known.into_iter().collect());
                        let outcome = work.under(Arc::new(operator)).run(now());
                        outcome.expect("everything is known")
                    }
                    Err(error) => work.without_account(&key, error.to_string()),
                }
            }
            outcome => outcome.expect("nobody else is asked"),
        };
        match outcome {
            Outcome::Accepted(_) => None,
            Outcome::Denied(denial) => Some(denial.to_string()),
            Outcome::Work(_) => panic!("all work has been done"),
        }
    }
}

/// The broker no longer knows whose JWT it was where there is no account.
fn without_account(text: &str) -> String {
    text.replace(
        &format!("user {}: account {} ", public("U.bob"), public("A.shop")),
        "",
    )
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time")
}

#[test]
fn by_the_account_itself() {
    Case {
        user: json!({
            "pub": {"allow": ["order.>"], "deny": ["order.void"]},
            "sub": {"allow": ["_INBOX.>"]},
            "resp": {"max": 2, "ttl": 5_000_000_000i64},
            "payload": 1000,
            "allowed_connection_types": ["STANDARD", "WEBSOCKET"],
            "src": ["10.0.0.0/8"],
            "times": [{"start": "08:00:00", "end": "18:00:00"}],
            "times_location": "UTC",
        }),
        user_claims: json!({"name": "bob", "exp": NOW + 3600}),
        shop: json!({"limits": {"conn": 5}}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, valid until 2024-06-01T13:00:00Z
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          permissions, by its JWT:
            publish: allow order.>; deny order.void
            subscribe: allow _INBOX.>
            answers: 2 messages within 5s
          connection types: STANDARD, WEBSOCKET
          networks: 10.0.0.0/8
          times: 08:00:00-18:00:00 (UTC)
          limits: max_payload 1048576, max_control_line 4096, account max_connections 5 (JWT of account "shop"), user max_payload 1000

        order.paid in "shop"
        │   publish: allowed by "order.>" at JWT of user "bob"
        │   can see it: any user of the account whose JWT allows it
        │   "bob" cannot: allowed by none of the rules at JWT of user "bob"
        └─ it ends here: no import takes it out of "shop"
    "#]]);
}

#[test]
fn by_a_signing_key() {
    Case {
        operator_key: "O.sign",
        shop: json!({
            "signing_keys": [public("A.sign")],
            "default_permissions": {"pub": {"deny": ["order.>"]}},
        }),
        by: "A.sign",
        user: json!({"issuer_account": public("A.shop")}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.sign, a signing key of the account
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.sign, a signing key of the operator "op"
          it has no permissions of its own: the default ones of its account apply:
            publish: deny order.>
          limits: max_payload 1048576, max_control_line 4096

        order.paid in "shop"
            publish: refused, denied by "order.>" at JWT of account "shop"
    "#]]);
}

fn scoped() -> Case {
    Case {
        shop: json!({"signing_keys": [{
            "kind": "user_scope",
            "key": public("A.role"),
            "role": "clerk",
            "template": {
                "pub": {"allow": ["order.{{name()}}.{{tag(region)}}", "desk.{{tag(desk)}}", "plain"]},
                "sub": {"deny": ["secret.{{account-name()}}"]},
                "subs": 10,
                "bearer_token": true,
            },
        }]}),
        by: "A.role",
        user: json!({
            "issuer_account": public("A.shop"),
            "subs": null, "data": null, "payload": null,
            "tags": ["region:eu", "region:us"],
        }),
        question: Question::Publish(b"order.bob.eu".to_vec()),
        ..case()
    }
}

#[test]
fn by_a_key_with_a_scope() {
    scoped().check(expect![[r#"
        publish order.bob.eu, by user "bob" of account "shop"

          user "bob" is U.bob, tags "region:eu" "region:us"
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.role, a signing key of the account, with the scope "clerk"
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          scope "clerk": its template says all that the user may do
            pub.allow "order.{{name()}}.{{tag(region)}}" is order.bob.eu, order.bob.us
            pub.allow "desk.{{tag(desk)}}" is left out: there is nothing to fill in, or what comes of it is no subject
            sub.deny "secret.{{account-name()}}" is secret.shop
          permissions, by the scope:
            publish: allow order.bob.eu, order.bob.us, plain
            subscribe: deny secret.shop
          bearer: whoever has the JWT needs no seed
          limits: max_payload 1048576, max_control_line 4096, user max_subscriptions 10

        order.bob.eu in "shop"
        │   publish: allowed by "order.bob.eu" at JWT of account "shop", scope "clerk"
        │   can see it: "bob", and any other user of the account whose JWT allows it
        └─ it ends here: no import takes it out of "shop"
    "#]]);
}

#[test]
fn with_limits_beside_a_scope() {
    Case {
        user: json!({"issuer_account": public("A.shop"), "subs": 3}),
        ..scoped()
    }
    .check(expect![[r#"
        publish order.bob.eu, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.role, a signing key of the account, with the scope "clerk"
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          scope "clerk": its template says all that the user may do
            pub.allow "order.{{name()}}.{{tag(region)}}" is left out: there is nothing to fill in, or what comes of it is no subject
            pub.allow "desk.{{tag(desk)}}" is left out: there is nothing to fill in, or what comes of it is no subject
            sub.deny "secret.{{account-name()}}" is secret.shop
          wrong: the user has permissions or limits, although its signing key has a scope

        refused: user U.bob of account A.shop has permissions or limits, although its signing key has a scope
    "#]]);
}

#[test]
fn with_a_template_that_cannot_be_filled_in() {
    let template = json!({"sub": {"deny": ["secret.{{tag(team)}}"]}});
    let mut case = scoped();
    made::merge(
        &mut case.shop["signing_keys"][0],
        json!({"template": template}),
    );
    case.check(expect![[r#"
        publish order.bob.eu, by user "bob" of account "shop"

          user "bob" is U.bob, tags "region:eu" "region:us"
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.role, a signing key of the account, with the scope "clerk"
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          scope "clerk": its template says all that the user may do
            pub.allow "order.{{name()}}.{{tag(region)}}" is order.bob.eu, order.bob.us
            pub.allow "desk.{{tag(desk)}}" is left out: there is nothing to fill in, or what comes of it is no subject
            sub.deny "secret.{{tag(team)}}" keeps the user out: the denied subject "secret.{{tag(team)}}" cannot be filled in
          wrong: the user cannot have the permissions of its signing key's scope: the denied subject "secret.{{tag(team)}}" cannot be filled in

        refused: user U.bob of account A.shop cannot have the permissions of its signing key's scope: the denied subject "secret.{{tag(team)}}" cannot be filled in
    "#]]);
}

#[test]
fn expired() {
    Case {
        user_claims: json!({"name": "bob", "exp": NOW - 60}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, valid until 2024-06-01T11:59:00Z
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          wrong: the user's JWT: expired 2024-06-01T11:59:00Z

        refused: user U.bob of account A.shop expired 2024-06-01T11:59:00Z
    "#]]);
}

#[test]
fn not_yet_valid_and_revoked_at_once() {
    Case {
        user_claims: json!({"name": "bob", "nbf": NOW + 60}),
        shop: json!({"revocations": {(public("U.bob")): NOW - 60}}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, valid from 2024-06-01T12:01:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          wrong: the user's JWT: not valid before 2024-06-01T12:01:00Z
          wrong: the user's JWT: revoked by the account, with all that were issued until 2024-06-01T11:59:00Z

        refused: user U.bob of account A.shop not valid before 2024-06-01T12:01:00Z
    "#]]);
}

#[test]
fn revoked() {
    Case {
        shop: json!({"revocations": {"*": NOW - 60}}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          wrong: the user's JWT: revoked by the account, with all that were issued until 2024-06-01T11:59:00Z

        refused: user U.bob of account A.shop is revoked, issued 2024-05-31T12:00:00Z
    "#]]);
}

#[test]
fn of_an_account_that_no_operator_trusts() {
    Case {
        operator_key: "O.eve",
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.eve, whom no operator trusts
          it has no permissions: nothing restricts it
          wrong: the account's JWT: signed by O.eve, whom no operator trusts

        refused: user U.bob: account A.shop cannot be used: signed by "O.eve", whom no operator trusts
    "#]]);
}

#[test]
fn of_an_account_that_has_expired() {
    Case {
        shop_claims: json!({"name": "shop", "exp": NOW - 5}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, valid until 2024-06-01T11:59:55Z
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          wrong: the account's JWT: expired 2024-06-01T11:59:55Z

        refused: user U.bob: account A.shop cannot be used: expired 2024-06-01T11:59:55Z
    "#]]);
}

#[test]
fn of_a_strict_operator() {
    Case {
        operator: json!({"strict_signing_key_usage": true}),
        operator_key: "O.sign",
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key, which its operator does not let sign users (strict_signing_key_usage)
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.sign, a signing key of the operator "op"
          wrong: the user's JWT: signed by A.shop, the account's own key, which its operator does not let sign users (strict_signing_key_usage)

        refused: user U.bob: account A.shop does not trust issuer "A.shop"
    "#]]);
}

#[test]
fn signed_by_a_stranger() {
    Case {
        by: "A.sign",
        user: json!({"issuer_account": public("A.shop")}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.sign, which is no key of the account
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          wrong: the user's JWT: signed by A.sign, which is no key of the account

        refused: user U.bob: account A.shop does not trust issuer "A.sign"
    "#]]);
}

#[test]
fn with_the_seed_of_somebody_else() {
    Case {
        seed: Some("U.eve"),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          wrong: the seed is that of U.eve: it cannot sign for the user U.bob

        refused: user U.bob of account A.shop did not sign this nonce: wrong signature
    "#]]);
}

#[test]
fn a_bearer() {
    let bearer = |shop| Case {
        user: json!({"bearer_token": true}),
        seed: None,
        shop,
        ..case()
    };
    bearer(json!({})).check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          bearer: whoever has the JWT needs no seed
          limits: max_payload 1048576, max_control_line 4096

        order.paid in "shop"
        │   publish: allowed, nothing restricts it
        │   can see it: "bob", and any other user of the account whose JWT allows it
        └─ it ends here: no import takes it out of "shop"
    "#]]);
    bearer(json!({"limits": {"disallow_bearer": true}})).check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          bearer: whoever has the JWT needs no seed
          wrong: the user has a bearer token, which the account does not allow

        refused: user U.bob of account A.shop has a bearer token, which the account does not allow
    "#]]);
}

#[test]
fn by_another_way() {
    Case {
        user: json!({"allowed_connection_types": ["MQTT"]}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          connection types: MQTT
          wrong: the user may not connect by plain TCP or TLS (STANDARD)

        refused: user U.bob of account A.shop may not connect this way
    "#]]);
}

#[test]
fn from_elsewhere() {
    Case {
        user: json!({"src": ["10.0.0.0/8"]}),
        from: Some("192.168.1.1"),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          networks: 10.0.0.0/8
          wrong: the user may not connect from 192.168.1.1

        refused: user U.bob of account A.shop may not connect from 192.168.1.1
    "#]]);
}

fn importing() -> Value {
    json!({
        "imports": [
            {"name": "take", "subject": "take.pallet", "account": public("A.depot"), "type": "service", "local_subject": "fetch"},
            {"name": "news", "subject": "news.>", "account": public("A.depot"), "type": "stream"},
        ],
        "mappings": {"get": [{"subject": "fetch", "weight": 100}]},
    })
}

#[test]
fn on_the_road_to_another_account() {
    Case {
        shop: importing(),
        question: Question::Request {
            subject: b"get".to_vec(),
            inbox: "_INBOX".into(),
        },
        ..case()
    }
    .check(expect![[r#"
        request get, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          account "depot" is A.depot
          limits: max_payload 1048576, max_control_line 4096

        get in "shop"
        │   mapping "get" at JWT of account "shop"
        └─ 100%: fetch
           │   publish: allowed, nothing restricts it
           │   can see it: "bob", and any other user of the account whose JWT allows it
           │   "bob" may answer: allowed, nothing restricts it
           └─ request to "depot" as take.pallet
                  import "take.pallet" as "fetch" at JWT of account "shop"
                  export "take.*" at JWT of account "depot"
                  answers: the first one, within 2m
                  can serve it: any user of the account whose JWT allows it

        answers come to _INBOX.X.*
            subscribe: allowed, nothing restricts it
    "#]]);
}

#[test]
fn of_an_import_that_does_not_hold() {
    Case {
        shop: importing(),
        question: Question::Subscribe {
            pattern: b"news.eu".to_vec(),
            queue: None,
        },
        ..case()
    }
    .check(expect![[r#"
        subscribe to news.eu, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          account "depot" is A.depot
          limits: max_pending 67108864, max_control_line 4096

        news.eu in "shop"
        │   subscribe: allowed, nothing restricts it
        ├─ what "shop" publishes on news.eu, and answers to its requests there
        └─ note: left out of the JWT of account "shop": import of stream "news.>" from "depot": needs an activation token
    "#]]);
}

#[test]
fn of_an_account_that_is_not_at_hand() {
    let missing = |resolver| Case {
        resolver: Some(resolver),
        ..case()
    };
    let url = "resolver: URL(http://127.0.0.1:9/jwt/)";
    missing(url).shows(expect![[r#"
        publish order.paid, by user "bob" of account "A.shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key

        nobody can say: user U.bob: account A.shop cannot be used: its JWT is not at hand: the resolver is a URL, which is not asked here; give it with --account-jwt
    "#]]);
    missing("resolver: MEMORY").shows(expect![[r#"
        publish order.paid, by user "bob" of account "A.shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key

        refused: user U.bob: account A.shop cannot be used: there is no such account: "resolver_preload" has no JWT of it
    "#]]);
    let given = vec![("shop.jwt".to_owned(), case().shop_jwt())];
    Case {
        given: AccountJwts {
            given,
            ..AccountJwts::default()
        },
        ..missing(url)
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from shop.jwt
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          limits: max_payload 1048576, max_control_line 4096

        order.paid in "shop"
        │   publish: allowed, nothing restricts it
        │   can see it: "bob", and any other user of the account whose JWT allows it
        └─ it ends here: no import takes it out of "shop"
    "#]]);
}

#[test]
fn as_data() {
    let report = scoped().report();
    expect![[r#"
        {
          "action": "pub",
          "subject": "order.bob.eu",
          "who": {
            "account": "A.shop",
            "user": "U.bob",
            "jwt": {
              "user": {
                "key": "U.bob",
                "name": "bob",
                "tags": [
                  "region:eu",
                  "region:us"
                ],
                "issued": "2024-05-31T12:00:00Z",
                "issuer": "A.role",
                "signer": "scoped_key",
                "signer_text": "a signing key of the account, with the scope \"clerk\""
              },
              "account": {
                "key": "A.shop",
                "name": "shop",
                "from": {
                  "what": "resolver_preload",
                  "at": {
                    "file": "f.conf",
                    "line": 4,
                    "column": 3
                  }
                },
                "issued": "2024-05-31T12:00:00Z",
                "issuer": "O.op",
                "signer": "identity",
                "signer_text": "the own key of the operator \"op\""
              },
              "scope": "clerk",
              "template": [
                {
                  "list": "pub.allow",
                  "entry": "order.{{name()}}.{{tag(region)}}",
                  "subjects": [
                    "order.bob.eu",
                    "order.bob.us"
                  ]
                },
                {
                  "list": "pub.allow",
                  "entry": "desk.{{tag(desk)}}"
                },
                {
                  "list": "sub.deny",
                  "entry": "secret.{{account-name()}}",
                  "subjects": [
                    "secret.shop"
                  ]
                }
              ],
              "grant": {
                "permissions_of": "scope",
                "pub": {
                  "allow": [
                    "order.bob.eu",
                    "order.bob.us",
                    "plain"
                  ]
                },
                "sub": {
                  "deny": [
                    "secret.shop"
                  ]
                },
                "bearer": true,
                "subscriptions_max": 10
              }
            },
            "provenance": []
          },
          "names": {
            "A.shop": "shop"
          },
          "limits": [
            {
              "name": "max_payload",
              "value": 1048576
            },
            {
              "name": "max_control_line",
              "value": 4096
            },
            {
              "name": "user max_subscriptions",
              "value": 10
            }
          ],
          "route": {
            "account": "A.shop",
            "subject": "order.bob.eu",
            "ways": [
              {
                "share": 100,
                "subject": "order.bob.eu",
                "permission": {
                  "allowed": true,
                  "why": "allowed by \"order.bob.eu\" at JWT of account A.shop, scope \"clerk\"",
                  "rule": {
                    "subject": "order.bob.eu",
                    "at": {
                      "file": "JWT of account A.shop, scope \"clerk\""
                    }
                  }
                },
                "stop": {
                  "account": "A.shop",
                  "subject": "order.bob.eu",
                  "across": false,
                  "readers": [
                    {
                      "user": "U.bob",
                      "sees": {
                        "allowed": true,
                        "why": "allowed, nothing restricts it"
                      }
                    }
                  ],
                  "by_jwt": true,
                  "streams": [],
                  "services": [],
                  "notes": []
                }
              }
            ]
          }
        }"#]]
    .assert_eq(&named(&report.json(), NAMES));
    let report = Case {
        user_claims: json!({"name": "bob", "exp": NOW - 60}),
        ..case()
    }
    .report();
    expect![[r#"
        {
          "action": "pub",
          "subject": "order.paid",
          "who": {
            "account": "A.shop",
            "user": "U.bob",
            "jwt": {
              "user": {
                "key": "U.bob",
                "name": "bob",
                "issued": "2024-05-31T12:00:00Z",
                "expires": "2024-06-01T11:59:00Z",
                "issuer": "A.shop",
                "signer": "identity",
                "signer_text": "the account's own key"
              },
              "account": {
                "key": "A.shop",
                "name": "shop",
                "from": {
                  "what": "resolver_preload",
                  "at": {
                    "file": "f.conf",
                    "line": 4,
                    "column": 3
                  }
                },
                "issued": "2024-05-31T12:00:00Z",
                "issuer": "O.op",
                "signer": "identity",
                "signer_text": "the own key of the operator \"op\""
              },
              "grant": {
                "permissions_of": "nobody",
                "pub": {},
                "sub": {},
                "bearer": false
              },
              "wrong": [
                "the user's JWT: expired 2024-06-01T11:59:00Z"
              ]
            },
            "provenance": []
          },
          "refused": "user U.bob of account A.shop expired 2024-06-01T11:59:00Z",
          "limits": []
        }"#]]
    .assert_eq(&named(&report.json(), NAMES));
}

//! Operator mode: who signed what, what the chain of trust says, and the road in accounts that JWTs make. The page and the
//! JSON word for word, and every verdict against what the broker's own authentication says of the same client.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use expect_test::Expect;
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

mod admitted;
mod refused;
mod road;

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
    /// `jwt` of CONNECT, where that is not the user's.
    brings: Option<&'static str>,
    /// Put into the configuration in place of both accounts' JWTs.
    resolver: Option<String>,
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
        brings: None,
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
        self.shop_jwt_issued(0)
    }

    /// So many seconds later than all else.
    fn shop_jwt_issued(&self, later: i64) -> String {
        let claims = claims(
            "account",
            "A.shop",
            self.shop.clone(),
            self.shop_claims.clone(),
        );
        let at = NOW - 24 * 60 * 60 + later;
        token::encode(claims, &key(self.operator_key), at).expect("the key has a seed")
    }

    /// `jwt` of CONNECT.
    fn shown_jwt(&self) -> String {
        match self.brings {
            Some(other) => other.to_owned(),
            None => self.user_jwt(),
        }
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
        let resolver = self.resolver.clone().unwrap_or(preload);
        config(&format!("operator: {operator}\n{resolver}")).expect("nothing is wrong with it")
    }

    fn report(&self) -> Report {
        let config = self.config();
        let tokens = Tokens::new(&config, &self.given, TimeZone::UTC, now());
        let tokens = tokens.expect("nothing is wrong with it");
        let mut world = World::of_tokens(&tokens).expect("nothing is wrong with it");
        let (jwt, key) = (self.shown_jwt(), self.seed.map(key));
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
        assert_eq!(refused, self.broker_refuses());
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
            jwt: Secret::new(&self.shown_jwt()),
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

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time")
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

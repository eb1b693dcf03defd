//! Whatever strangers send: no panic, and nothing is taken that nobody trusted signed.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::made_in_tests::{NOW, claims, key, merge, public, sign};
use super::*;

/// Any JSON, not too large, whose keys are often those of claims.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        r"[a-z]{0,2}(\.(\*|>|[a-z]|\$[0-9]|\{\{[a-z()]{0,9}\}\})){0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(any_key(), inner, 0..6)
                .prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    const KEYS: &[&str] = &[
        "sub",
        "iss",
        "exp",
        "nbf",
        "iat",
        "name",
        "nats",
        "type",
        "version",
        "tags",
        "pub",
        "allow",
        "deny",
        "resp",
        "max",
        "ttl",
        "src",
        "times",
        "start",
        "end",
        "times_location",
        "subs",
        "data",
        "payload",
        "limits",
        "imports",
        "exports",
        "subject",
        "account",
        "token",
        "to",
        "local_subject",
        "signing_keys",
        "kind",
        "key",
        "template",
        "revocations",
        "mappings",
        "weight",
        "cluster",
        "authorization",
        "auth_users",
        "allowed_accounts",
        "trace",
        "dest",
        "sampling",
        "service_latency",
        "results",
        "response_threshold",
        "account_token_position",
        "token_req",
        "default_permissions",
        "issuer_account",
        "bearer_token",
        "allowed_connection_types",
    ];
    prop_oneof![
        proptest::sample::select(KEYS).prop_map(str::to_owned),
        "[a-z*]{0,6}"
    ]
}

/// Goes the whole way with a user's and an account's token.
fn everything(user: &str, account: &str) -> Option<Verdict> {
    let trust = Trust::of_keys([public("O.op")]);
    let attempt = Attempt {
        jwt: user,
        signature: "",
        nonce: b"nonce",
        connection: ConnectionType::Standard,
        address: Some([127, 0, 0, 1].into()),
        now: Timestamp::from_second(NOW).expect("a time"),
    };
    let other = sign(
        "O.op",
        claims(
            "account",
            "A.b",
            json!({"exports": [{"subject": ">", "type": "stream"}]}),
            json!({}),
        ),
    );
    let other = trust
        .account(&public("A.b"), &other, NOW)
        .expect("an account");
    let account = trust
        .account(&public("A.a"), account, NOW)
        .ok()
        .map(Arc::new);
    let all: Vec<_> = account.iter().cloned().chain([Arc::new(other)]).collect();
    let converted = to_config(&all, &trust, NOW);
    assert_eq!(converted.accounts.len(), all.len());
    let account = account?;
    Some(authenticate(&trust, &attempt, |_| {
        Lookup::Known(Arc::clone(&account))
    }))
}

fn user() -> Value {
    claims("user", "U.bob", json!({"bearer_token": true}), json!({}))
}

fn account() -> Value {
    claims("account", "A.a", json!({}), json!({}))
}

#[test]
fn without_anything_odd_it_is_let_in() {
    let verdict = everything(&sign("A.a", user()), &sign("O.op", account()));
    assert!(matches!(verdict, Some(Verdict::Admitted(_))), "{verdict:?}");
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        prop_assert!(decode(&text).is_err());
        let _ = Creds::parse(&text);
        everything(&text, &text);
    }

    #[test]
    fn any_parts(header in any_json(), payload in any_json(), signature in vec(any::<u8>(), 0..80)) {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let token = format!("{}.{}.{}", part(&header), part(&payload), BASE64URL_NOPAD.encode(&signature));
        prop_assert!(decode(&token).is_err());
    }

    #[test]
    fn any_claims_of_a_user(patch in any_json(), nats in any_json()) {
        let mut value = user();
        merge(&mut value["nats"], nats);
        if patch.is_object() {
            merge(&mut value, patch);
        }
        everything(&sign("A.a", value), &sign("O.op", account()));
    }

    #[test]
    fn any_claims_of_an_account(nats in btree_map(any_key(), any_json(), 0..6)) {
        let mut value = account();
        merge(&mut value["nats"], Value::Object(Map::from_iter(nats)));
        everything(&sign("A.a", user()), &sign("O.op", value));
    }

    #[test]
    fn any_claims_of_others(kind in proptest::sample::select(vec!["operator", "activation", "authorization_response"]),
                            nats in btree_map(any_key(), any_json(), 0..6)) {
        let mut value = claims(kind, "U.bob", Value::Object(Map::from_iter(nats)), json!({}));
        value["nats"]["type"] = kind.into();
        for by in ["O.op", "A.a"] {
            match decode(&sign(by, value.clone())) {
                Ok(Claims::Operator(claims)) => { claims.validate(NOW); }
                Ok(Claims::AuthorizationResponse(claims)) => { claims.validate(NOW); }
                _ => {}
            }
        }
    }

    #[test]
    fn any_algorithm_but_two_is_refused(alg in "[ -~]{0,16}") {
        let known = ["ed25519", "ed25519-nkey"].contains(&&*alg.to_lowercase());
        let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let mut value = user();
        value["iss"] = public("A.a").into();
        let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": alg})), part(value));
        let signature = key("A.a").sign(signed.as_bytes()).expect("a seed");
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
        prop_assert_eq!(decode(&token).is_ok(), known);
    }

    #[test]
    fn any_changed_byte_is_seen(at in 0usize..400, bit in 0u8..7) {
        let token = sign("A.a", user());
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        // The last character of the signature has bits that nobody reads.
        let free = at == token.len() - 1;
        prop_assert!(free || decode(&text).is_err(), "at {}", at);
    }

    /// Whatever stands around them, a token and a seed are found; what is wrong with a file tells nothing of it.
    #[test]
    fn any_creds(before in "([ -~]{0,20}\n){0,3}", between in "([ a-zA-Z*]{0,20}\r?\n){0,3}", seed in "[A-Z2-7]{10,60}", cut in any::<usize>()) {
        prop_assume!(!before.contains("---"));
        let (token, key) = (sign("A.a", user()), key("U.bob"));
        let own = key.seed().expect("it has one");
        let file = |seed: &str| format!(
            "{before}-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n{between}\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let found = Creds::parse(&file(&own)).expect("both are there");
        prop_assert_eq!(&found.token, &token);
        prop_assert_eq!(found.key.as_ref().map(nkeys::KeyPair::public_key), Some(public("U.bob")));
        let shown = format!("{found:?}");
        prop_assert!(!shown.contains(&token));
        let wrong = Creds::parse(&file(&seed));
        prop_assert_eq!(wrong.map_err(|error| error.to_string()).err(), Some(CredsError::Seed.to_string()));
        let whole = file(&own);
        // Half a file has the token, or something that no key has signed.
        if let Ok(half) = Creds::parse(&whole[..cut % whole.len()]) {
            prop_assert!(half.token == token || decode(&half.token).is_err());
        }
    }

    /// Of what a resolver answers only the account's own token counts, whole and by one who is trusted.
    #[test]
    fn any_answer_of_a_resolver(bytes in vec(any::<u8>(), 0..400), cut in any::<usize>(), times in 2usize..2000) {
        let trust = Trust::of_keys([public("O.op")]);
        let taken = |text: &str| trust.account(&public("A.a"), text, NOW).is_ok();
        let token = sign("O.op", account());
        prop_assert!(taken(&token));
        prop_assert!(!taken(&String::from_utf8_lossy(&bytes)));
        prop_assert!(!taken(&token[..cut % token.len()]));
        prop_assert!(!taken(&token[1 + cut % (token.len() - 1)..]));
        prop_assert!(!taken(&token.repeat(times)));
        let other = claims("account", "A.b", json!({}), json!({}));
        prop_assert!(!taken(&sign("O.op", other)));
        prop_assert!(!taken(&sign("O.other", account())));
        prop_assert!(!taken(&sign("O.op", user())));
    }

    #[test]
    fn any_seed_or_key(text in "[A-Z2-7]{0,70}") {
        let _ = nkeys::KeyPair::from_public_key(&text);
        let _ = nkeys::KeyPair::from_seed(&text);
    }

    #[test]
    fn any_template(entry in r"[a-z.{}() -]{0,30}", tag in "[a-z:]{0,6}") {
        let scope = json!({"kind": "user_scope", "key": public("A.sign"), "role": "r", "template":
            {"bearer_token": true, "pub": {"allow": [entry, format!("{{{{tag({tag})}}}}")]}}});
        let account = claims("account", "A.a", json!({"signing_keys": [scope]}), json!({}));
        let mut user = claims("user", "U.bob", json!({"issuer_account": public("A.a"), "tags": ["a:b", tag]}), json!({}));
        merge(&mut user, json!({"nats": {"subs": null, "data": null, "payload": null}}));
        everything(&sign("A.sign", user), &sign("O.op", account));
    }
}

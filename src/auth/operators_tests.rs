//! Owns the tests of what operator mode comes to. Never fetches an account.

use expect_test::{Expect, expect};
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::auth::jwt::encode;
use crate::config::load_with;

fn key(name: &str) -> KeyPair {
    let kind = match &name[..1] {
        "O" => KeyPairType::Operator,
        "A" => KeyPairType::Account,
        _ => KeyPairType::User,
    };
    KeyPair::new_from_raw(kind, Sha256::digest(name).into()).expect("a key")
}

fn public(name: &str) -> String {
    key(name).public_key()
}

fn token(by: &str, subject: &str, kind: &str, nats: Value) -> String {
    let mut claims = json!({"sub": public(subject), "nats": nats});
    claims["nats"]["type"] = kind.into();
    claims["nats"]["version"] = 2.into();
    encode(claims, &key(by), 0).expect("a token")
}

fn operator(nats: Value) -> String {
    token("O", "O", "operator", nats)
}

/// Compiles a file, and shows what came of it, keys by name.
fn check(text: &str, expected: Expect) {
    let read = |path: &std::path::Path| match path.to_str() {
        Some("main.conf") => Ok(text.as_bytes().to_vec()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let loaded = load_with("main.conf".as_ref(), &|_| None, &read).expect("it loads");
    let mut said = match OperatorMode::compile(&loaded.config) {
        Ok(None) => "not of operator mode".to_owned(),
        Ok(Some(mode)) => format!(
            "trusted {:?}, strict {:?}, system {:?}, resolver {:?}, pinned {:?}",
            mode.trusted,
            mode.strict,
            mode.system_account.as_ref().map(|(key, _)| key),
            mode.resolver.as_ref().map(|(kind, _)| kind),
            mode.pinned,
        ),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    };
    for name in ["O", "Osign", "Ox", "A", "Asys", "Aother"] {
        said = said.replace(&public(name), name);
    }
    expected.assert_eq(&said);
}

#[test]
fn what_the_file_and_the_jwts_come_to() {
    check("port: 4222", expect!["not of operator mode"]);
    check(
        &format!("trusted: {}\nresolver: MEM", public("O")),
        expect![[r#"trusted {"O"}, strict {}, system None, resolver Some(Memory), pinned {}"#]],
    );
    let all = json!({
        "signing_keys": [public("Osign")], "system_account": public("Asys"),
        "account_server_url": "https://a/jwt/v1",
    });
    let jwt = operator(all.clone());
    check(
        &format!("operator: {jwt}"),
        expect![[
            r#"trusted {"O", "Osign"}, strict {}, system Some("Asys"), resolver Some(Url("https://a/jwt/v1/accounts")), pinned {}"#
        ]],
    );
    check(
        &format!(
            "operator: {jwt}\nresolver: MEM\nresolver_pinned_accounts: {}",
            public("A")
        ),
        expect![[
            r#"trusted {"O", "Osign"}, strict {}, system Some("Asys"), resolver Some(Memory), pinned {"Asys", "A"}"#
        ]],
    );
    let mut strict = all;
    strict["strict_signing_key_usage"] = true.into();
    let other = token("Ox", "Ox", "operator", json!({}));
    check(
        &format!("operators: [{}, {other}]\nresolver: MEM", operator(strict)),
        expect![[
            r#"trusted {"Ox", "Osign"}, strict {"Osign"}, system None, resolver Some(Memory), pinned {}"#
        ]],
    );
}

#[test]
fn what_is_wrong() {
    let plain = operator(json!({}));
    check(
        "operator: eyJ\nresolver: MEM",
        expect![[r#"
        main.conf:1:11: this is no JWT of an operator: not three parts with points between
    "#]],
    );
    let account = token("O", "A", "account", json!({}));
    check(
        &format!(
            "operators: [{account}, {plain}]\nresolver: MEM\nresolver_preload {{\n A: {plain}\n B: {account}\n}}"
        ),
        expect![[r#"
            main.conf:1:13: this is no JWT of an operator: the claims are of "account", not of "operator"
            main.conf:4:2: this is no JWT of an account: the claims are of "operator", not of "account"
        "#]],
    );
    check(
        &format!("operator: {plain}"),
        expect![[r#"
        main.conf:1:11: "operator" needs a "resolver": neither the file nor the operator's JWT has one
    "#]],
    );
    check(
        &format!("operator: {plain}\nresolver {{ type: full, dir: a }}"),
        expect![[r#"
            main.conf:2:1: a resolver that is a directory needs "system_account", in the file or in the operator's JWT
        "#]],
    );
    let system =
        operator(json!({"system_account": public("Asys"), "account_server_url": "http://a"}));
    check(
        &format!(
            "operator: {system}\nsystem_account: {}\nresolver_preload {{ a: {account} }}",
            public("Aother")
        ),
        expect![[r#"
            main.conf:2:1: "system_account" is not the one of the operator's JWT
            main.conf:3:20: "resolver_preload" cannot stand beside the resolver of the operator's JWT, which is a URL
        "#]],
    );
    check(
        &format!("operator: {plain}\nresolver: MEM\nsystem_account: foo"),
        expect![[r#"
            main.conf:3:1: "system_account" must be the public key of an account (A…)
        "#]],
    );
    for version in ["2.15.1", "2.14.99", "2.15.2", "3.0.0", "x"] {
        let jwt = operator(json!({"assert_server_version": version}));
        let expected = match version {
            "2.15.2" => expect![[r#"
                main.conf:1:11: the operator asks for version 2.15.2 or later, this one behaves as 2.15.1
            "#]],
            "3.0.0" => expect![[r#"
                main.conf:1:11: the operator asks for version 3.0.0 or later, this one behaves as 2.15.1
            "#]],
            "x" => expect![[r#"
                main.conf:1:11: the operator asks for version "x", which is none
            "#]],
            _ => expect![[
                r#"trusted {"O"}, strict {}, system None, resolver Some(Memory), pinned {}"#
            ]],
        };
        check(&format!("operator: {jwt}\nresolver: MEM"), expected);
    }
}

#[test]
fn sentinels() {
    let bearer = token("A", "U", "user", json!({"bearer_token": true}));
    let scoped = token(
        "A",
        "U",
        "user",
        json!({"issuer_account": public("Aother")}),
    );
    let plain = token("A", "U", "user", json!({}));
    let said: Vec<_> = [&*bearer, &scoped, &plain, "foo"]
        .map(check_sentinel)
        .into();
    expect![[r#"
        [
            Ok(
                (),
            ),
            Ok(
                (),
            ),
            Err(
                "\"default_sentinel\" must be a bearer token",
            ),
            Err(
                "\"default_sentinel\" is no JWT of a user",
            ),
        ]"#]]
    .assert_eq(&format!("{said:#?}"));
}

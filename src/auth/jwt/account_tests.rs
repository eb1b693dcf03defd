use std::fmt::Write;
use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::made_in_tests::{NOW, claims, named, public, sign};
use super::*;
use crate::config::{Config, ExportKind, check as config_check};

const NAMES: &[&str] = &["A.a", "A.b", "A.c", "A.sign", "A.nobody", "U.bob", "O.op"];

fn account(name: &str, nats: Value) -> Result<AccountClaims, AccountError> {
    let trust = Trust::of_keys([public("O.op")]);
    trust.account(
        &public(name),
        &sign("O.op", claims("account", name, nats, json!({}))),
        NOW,
    )
}

/// What is wrong with the claims of A.a.
fn check_valid(nats: Value, expected: Expect) {
    let said = account("A.a", nats).map_or_else(|error| error.to_string(), |_| String::new());
    expected.assert_eq(&named(&said, NAMES));
}

#[test]
fn what_must_hold() {
    let export = |export: Value| json!({"exports": [export]});
    let import = |import: Value| json!({"imports": [import]});
    check_valid(json!({}), expect![""]);
    check_valid(
        export(json!({"subject": "x", "type": "stream"})),
        expect![""],
    );
    check_valid(
        export(json!({"subject": "x"})),
        expect![[r#"invalid export type: "unknown""#]],
    );
    check_valid(
        export(json!({"type": "stream"})),
        expect!["subject cannot be empty"],
    );
    check_valid(
        export(json!({"subject": "x..y", "type": "stream"})),
        expect![[r#"subject "x..y" cannot contain consecutive `.`"#]],
    );
    check_valid(
        export(json!({"subject": "x", "type": "stream", "response_type": "Stream"})),
        expect![[r#"invalid response type for stream: "Stream""#]],
    );
    check_valid(
        export(json!({"subject": "x", "type": "service", "response_type": "Often"})),
        expect![[r#"invalid response type for service: "Often""#]],
    );
    check_valid(
        export(json!({"subject": "x.*", "type": "stream", "account_token_position": 1})),
        expect!["Account Token Position 1 matches 'x' but must match a * in: x.*"],
    );
    check_valid(
        export(json!({"subject": "x.*", "type": "stream", "account_token_position": 9})),
        expect!["Account Token Position 9 exceeds length of subject 'x.*'"],
    );
    check_valid(
        export(
            json!({"subject": "x", "type": "service", "service_latency": {"sampling": 101, "results": "r"}}),
        ),
        expect!["sampling percentage needs to be between 1-100"],
    );
    check_valid(
        json!({"exports": [{"subject": "x.*", "type": "stream"}, {"subject": "x.1", "type": "stream"}]}),
        expect![[r#"stream export subject "x.*" already exports "x.1""#]],
    );
    check_valid(
        json!({"limits": {"exports": 0}, "exports": [{"subject": "x", "type": "stream"}]}),
        expect!["the account contains more exports than allowed by the operator"],
    );
    check_valid(
        json!({"limits": {"exports": 1, "wildcards": false}, "exports": [{"subject": ">", "type": "stream"}]}),
        expect!["the account contains wildcard exports that are not allowed by the operator"],
    );
    check_valid(
        import(json!({"subject": "x", "type": "stream"})),
        expect!["account to import from is not specified"],
    );
    check_valid(
        import(
            json!({"account": public("A.b"), "subject": "x.*", "local_subject": "y", "type": "stream"}),
        ),
        expect!["subject does not contain enough * or reference wildcards $[0-9]"],
    );
    check_valid(
        import(
            json!({"account": public("A.b"), "subject": "x.*", "local_subject": "y.$2", "type": "stream"}),
        ),
        expect![[r#"Reference $2 in "y.$2" reference * in "x.*" that do not exist"#]],
    );
    check_valid(
        import(json!({"account": public("A.b"), "subject": "x", "type": "stream", "share": true})),
        expect![[r#"sharing information (for latency tracking) is only valid for services: "x""#]],
    );
    check_valid(
        import(
            json!({"account": public("A.b"), "subject": "x", "type": "stream", "token": "http://x/y"}),
        ),
        expect![[r#"import "x" contains an invalid activation token"#]],
    );
    check_valid(
        json!({"mappings": {"m": [{"subject": "a", "weight": 60}, {"subject": "b", "weight": 41}]}}),
        expect![[r#"Mapping "m" exceeds 100% among all of it's weighted to mappings"#]],
    );
    check_valid(
        json!({"authorization": {"allowed_accounts": ["*"]}}),
        expect!["External authorization cannot have accounts without users specified"],
    );
    check_valid(
        json!({"signing_keys": [public("U.bob")]}),
        expect![[r#""U.bob" is not a valid account signing key"#]],
    );
    check_valid(
        json!({"signing_keys": [{"kind": "other"}]}),
        expect!["not the token of an account: the claims: a value of another type at byte 0"],
    );
    check_valid(
        json!({"info_url": "hello"}),
        expect!["error parsing info url: no hostname or scheme"],
    );
    check_valid(
        json!({"trace": {"dest": "x.*"}}),
        expect![[r#"the account Trace.Destination subject "x.*" is not a valid publish subject"#]],
    );
}

/// What three accounts come to.
fn converted(a: Value, b: Value, c: Value) -> Converted {
    let trust = Trust::of_keys([public("O.op")]);
    let all = [("A.a", a), ("A.b", b), ("A.c", c)];
    let all = all.map(|(name, nats)| Arc::new(account(name, nats).expect("valid claims")));
    to_config(&all, &trust, NOW)
}

/// The imports that hold, and what does not.
fn check(a: Value, b: Value, expected: Expect) {
    let out = converted(a, b, json!({}));
    let mut said = String::new();
    for account in &out.accounts {
        for import in &account.imports {
            let kind = if import.service { "service" } else { "stream" };
            let (name, from) = (&account.name, &import.account.0);
            let (subject, local) = (&import.subject, import.local());
            writeln!(said, "{name}: {kind} {subject} of {from} as {local}").expect("a text");
        }
    }
    for failure in &out.failures {
        writeln!(said, "{failure}").expect("a text");
    }
    for missing in &out.missing {
        writeln!(said, "missing: {missing}").expect("a text");
    }
    if let Some(time) = out.changes_at {
        writeln!(said, "changes in {} s", time - NOW).expect("a text");
    }
    expected.assert_eq(&named(&said, NAMES));
    let config = Config {
        accounts: out.accounts,
        ..Config::default()
    };
    let wrong = config_check::check(&config);
    assert!(wrong.is_empty(), "the compiler would take this: {wrong:?}");
}

fn exports(exports: Value) -> Value {
    json!({"exports": exports})
}

/// One import from A.a.
fn import(mut import: Value) -> Value {
    import["account"] = public("A.a").into();
    json!({"imports": [import]})
}

#[test]
fn imports_in_all_their_forms() {
    let a = || {
        exports(
            json!([{"subject": "x.>", "type": "stream"}, {"subject": "q.*.*", "type": "service"}]),
        )
    };
    check(
        a(),
        import(json!({"subject": "x.1", "type": "stream"})),
        expect![[r#"
        A.b: stream x.1 of A.a as x.1
    "#]],
    );
    check(
        a(),
        import(json!({"subject": "x.>", "to": "from.a", "type": "stream"})),
        expect![[r#"
        A.b: stream x.> of A.a as from.a.x.>
    "#]],
    );
    check(
        a(),
        import(json!({"subject": "x.*", "local_subject": "y.$1", "type": "stream"})),
        expect![[r#"
        A.b: stream x.* of A.a as y.$1
    "#]],
    );
    check(
        a(),
        import(json!({"subject": "q.*.*", "local_subject": "ask.$2.$1", "type": "service"})),
        expect![[r#"
        A.b: service q.*.* of A.a as ask.$2.$1
    "#]],
    );
    check(
        a(),
        import(json!({"subject": "ask", "to": "q.1.2", "type": "service"})),
        expect![[r#"
        A.b: service q.1.2 of A.a as ask
    "#]],
    );
    check(
        a(),
        import(json!({"subject": "y", "type": "stream"})),
        expect![[r#"
        account A.b ("A.b"): import of stream "y" from A.a: is not exported
    "#]],
    );
    check(
        a(),
        import(json!({"subject": "x.1", "to": "p.*", "type": "stream"})),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.1" from A.a: "to" must not have wildcards
    "#]],
    );
    let nobody =
        json!({"imports": [{"account": public("A.nobody"), "subject": "x", "type": "stream"}]});
    check(
        a(),
        nobody,
        expect![[r#"
        account A.b ("A.b"): import of stream "x" from A.nobody: the account is not known
        missing: A.nobody
    "#]],
    );
}

#[test]
fn activations() {
    let a = |export: Value| {
        let mut own = json!({"subject": "x.>", "type": "stream", "token_req": true});
        super::made_in_tests::merge(&mut own, export);
        json!({"exports": [own], "signing_keys": [public("A.sign")]})
    };
    let activation = |by: &str, nats: Value, more: Value| {
        let mut own = json!({"subject": "x.>", "kind": "stream"});
        super::made_in_tests::merge(&mut own, nats);
        sign(by, claims("activation", "A.b", own, more))
    };
    let with = |token: String| import(json!({"subject": "x.1", "type": "stream", "token": token}));
    let plain = || activation("A.a", json!({}), json!({}));
    check(
        a(json!({})),
        with(plain()),
        expect![[r#"
        A.b: stream x.1 of A.a as x.1
    "#]],
    );
    check(
        a(json!({})),
        with(String::new()),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.1" from A.a: needs an activation token
    "#]],
    );
    let issuer = || json!({"issuer_account": public("A.a")});
    check(
        a(json!({})),
        with(activation("A.sign", issuer(), json!({}))),
        expect![[r#"
        A.b: stream x.1 of A.a as x.1
    "#]],
    );
    check(
        a(json!({})),
        with(activation("A.c", issuer(), json!({}))),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.1" from A.a: its activation token is signed by A.c, which does not sign for the exporter
    "#]],
    );
    check(
        a(json!({})),
        with(activation("A.a", json!({}), json!({"exp": NOW - 1}))),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.1" from A.a: its activation token: expired 2024-06-01T11:59:59Z
    "#]],
    );
    check(
        a(json!({})),
        with(activation("A.a", json!({}), json!({"exp": NOW}))),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.1" from A.a: its activation token has expired
    "#]],
    );
    check(
        a(json!({})),
        with(activation("A.a", json!({}), json!({"exp": NOW + 60}))),
        expect![[r#"
        A.b: stream x.1 of A.a as x.1
        changes in 60 s
    "#]],
    );
    check(
        a(json!({})),
        with(activation("A.a", json!({}), json!({"nbf": NOW + 60}))),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.1" from A.a: its activation token: not valid before 2024-06-01T12:01:00Z
        changes in 60 s
    "#]],
    );
    let issued = NOW - 24 * 60 * 60;
    check(
        a(json!({"revocations": {"*": issued}})),
        with(plain()),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.1" from A.a: its activation token is revoked
    "#]],
    );
    check(
        a(json!({"revocations": {public("A.b"): issued - 1}})),
        with(plain()),
        expect![[r#"
        A.b: stream x.1 of A.a as x.1
    "#]],
    );
    check(
        a(json!({"token_req": false})),
        with(activation("A.a", json!({}), json!({"exp": NOW - 1}))),
        expect![[r#"
        A.b: stream x.1 of A.a as x.1
    "#]],
    );
}

#[test]
fn a_private_export_is_for_those_whose_activation_holds() {
    let token = sign(
        "A.a",
        claims(
            "activation",
            "A.b",
            json!({"subject": "x", "kind": "stream"}),
            json!({}),
        ),
    );
    let a = exports(json!([{"subject": "x", "type": "stream", "token_req": true}]));
    let b = import(json!({"subject": "x", "type": "stream", "token": token}));
    let c = import(json!({"subject": "x", "type": "stream"}));
    let out = converted(a, b, c);
    let granted = out.accounts[0].exports[0]
        .accounts
        .as_ref()
        .expect("private");
    let names: Vec<&str> = granted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [public("A.b")]);
}

#[test]
fn a_position_in_the_subject() {
    let a =
        || exports(json!([{"subject": "x.*.>", "type": "stream", "account_token_position": 2}]));
    let of =
        |name: &str| import(json!({"subject": format!("x.{}.>", public(name)), "type": "stream"}));
    check(
        a(),
        of("A.b"),
        expect![[r#"
        A.b: stream x.A.b.> of A.a as x.A.b.>
    "#]],
    );
    check(
        a(),
        of("A.c"),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.A.c.>" from A.a: token 2 must be the account's key
    "#]],
    );
    check(
        a(),
        import(json!({"subject": "x.*.>", "type": "stream"})),
        expect![[r#"
        account A.b ("A.b"): import of stream "x.*.>" from A.a: token 2 must be the account's key
    "#]],
    );
}

#[test]
fn what_cannot_be_together() {
    let a = || exports(json!([{"subject": "x", "type": "stream"}]));
    let twice = json!({"imports": [
        {"account": public("A.a"), "subject": "x", "type": "stream"},
        {"account": public("A.a"), "subject": "x", "local_subject": "y", "type": "stream"},
    ]});
    check(
        a(),
        twice,
        expect![[r#"
        A.b: stream x of A.a as x
        account A.b ("A.b"): import of stream "x" from A.a: is imported already
    "#]],
    );
    let ring = |from: &str| {
        json!({
            "exports": [{"subject": "q", "type": "service"}],
            "imports": [{"account": public(from), "subject": "q", "type": "service"}],
        })
    };
    let out = converted(ring("A.b"), ring("A.a"), json!({}));
    let imports: usize = out
        .accounts
        .iter()
        .map(|account| account.imports.len())
        .sum();
    assert_eq!((imports, out.failures.len()), (1, 1), "{:?}", out.failures);
}

#[test]
fn everything_else_of_an_account() {
    let nats = json!({
        "limits": {"conn": 5, "subs": null, "payload": 100, "leaf": -1},
        "default_permissions": {"pub": {"allow": ["a"]}},
        "mappings": {"m": [{"subject": "n", "weight": 40}, {"subject": "o"}], "w.*": [{"subject": "x.$2"}]},
        "exports": [{"subject": "q", "type": "service", "response_type": "Chunked", "response_threshold": 1_500_000,
            "service_latency": {"sampling": "headers", "results": "lat"}}],
    });
    let nats = match nats {
        Value::Object(mut fields) => {
            fields["mappings"]["m"][1]["weight"] = 60.into();
            Value::Object(fields)
        }
        other => other,
    };
    let out = converted(nats, json!({}), json!({}));
    let a = &out.accounts[0];
    assert_eq!(a.limits.connections_max, Some(5));
    assert_eq!(
        a.limits.subscriptions_max,
        Some(0),
        "what is not said is nothing"
    );
    assert_eq!(a.limits.payload_bytes_max, Some(100));
    assert_eq!(a.limits.leafnodes_max, None);
    assert!(a.default_permissions.is_some());
    let weights: Vec<u8> = a.mappings[0]
        .destinations
        .iter()
        .map(|way| way.weight)
        .collect();
    assert_eq!((a.mappings.len(), weights), (1, vec![40, 60]));
    let failures: Vec<String> = out
        .failures
        .iter()
        .map(|f| named(&f.to_string(), NAMES))
        .collect();
    assert_eq!(failures.len(), 1);
    assert!(
        failures[0].starts_with("account A.a (\"A.a\"): mapping of \"w.*\": "),
        "{failures:?}"
    );
    let ExportKind::Service(service) = &a.exports[0].kind else {
        panic!("a service")
    };
    expect![[r#"
        Service {
            response: Chunked,
            threshold_ms: Some(
                2,
            ),
            latency: Some(
                Latency {
                    sampling: Headers,
                    subject: "lat",
                    at: JWT of account A.a,
                },
            ),
        }"#]]
    .assert_eq(&named(&format!("{service:#?}"), NAMES));
}

//! Owns the tests of operator mode and the callout in the configuration: the recorded verdicts of the oracle
//! (operators_cases.txt), what becomes of each setting, and what is refused at the start. Never decodes a JWT.

use expect_test::{expect, expect_file};

use super::tests::{check, load_text, verdicts};

const OPERATOR: &str = "OBLJTVG6IGNGJJPSLIZ7FG2LWGSUAK4HIWDYLCUWLNWJHMX2XPZNSBDW";
const ACCOUNT: &str = "ABXRI23DEY5TOTXRVLVEGY5JLQUQUMHF6TOILURCXERJUDQRNLHDDKK2";

/// Every case has the oracle's verdict, on the oracle's line, unless the file says why not.
#[test]
fn verdicts_of_the_oracle() {
    let surprises = verdicts(
        include_str!("operators_cases.txt"),
        &expect_file!["operators_cases.txt"],
    );
    expect![""].assert_eq(&surprises);
}

#[test]
fn all_settings_of_operator_mode() {
    check(
        "
        roots: [eyJa, eyJb]
        account_resolver: { type: Cache, dir: jwts, limit: 5, timeout: \"1.5s\", ttl: \"1h\" }
        resolver_preload: { ABXRI23DEY5TOTXRVLVEGY5JLQUQUMHF6TOILURCXERJUDQRNLHDDKK2: eyJc }
        resolver_pinned_accounts: [a]
        default_sentinel: eyJd
        ",
        expect![[r#"
            operators: [
                OperatorJwt {
                    jwt: "eyJa",
                    file: None,
                    at: main.conf:2:17,
                },
                OperatorJwt {
                    jwt: "eyJb",
                    file: None,
                    at: main.conf:2:23,
                },
            ],
            resolver: Some(
                (
                    Directory(
                        DirectoryResolver {
                            kind: Cache,
                            dir: "jwts",
                            jwts_max: Some(
                                5,
                            ),
                            delete: Removes,
                            interval_ms: 60000,
                            timeout_ms: 1500,
                            ttl_ms: Some(
                                3600000,
                            ),
                        },
                    ),
                    main.conf:3:9,
                ),
            ),
            preload: [
                Preload {
                    account: "ABXRI23DEY5TOTXRVLVEGY5JLQUQUMHF6TOILURCXERJUDQRNLHDDKK2",
                    jwt: "eyJc",
                    at: main.conf:4:29,
                },
            ],
            pinned: [
                (
                    "a",
                    main.conf:5:36,
                ),
            ],
            default_sentinel: Some(
                (
                    "eyJd",
                    main.conf:6:9,
                ),
            ),
        "#]],
    );
    check(
        "operator: eyJa, resolver: { type: full, dir: \"/a b\", allow_delete: true, hard_delete: true, interval: 30s }",
        expect![[r#"
            operators: [
                OperatorJwt {
                    jwt: "eyJa",
                    file: None,
                    at: main.conf:1:11,
                },
            ],
            resolver: Some(
                (
                    Directory(
                        DirectoryResolver {
                            kind: Full,
                            dir: "/a b",
                            jwts_max: None,
                            delete: Removes,
                            interval_ms: 30000,
                            timeout_ms: 1900,
                            ttl_ms: None,
                        },
                    ),
                    main.conf:1:17,
                ),
            ),
        "#]],
    );
    check(
        &format!("trusted: {OPERATOR}\nresolver: 'url( \"https://a/b/\" )'"),
        expect![[r#"
            trusted_keys: [
                (
                    "OBLJTVG6IGNGJJPSLIZ7FG2LWGSUAK4HIWDYLCUWLNWJHMX2XPZNSBDW",
                    main.conf:1:10,
                ),
            ],
            resolver: Some(
                (
                    Url(
                        "https://a/b/",
                    ),
                    main.conf:2:1,
                ),
            ),
        "#]],
    );
}

#[test]
fn all_settings_of_a_callout() {
    check(
        &format!(
            "accounts {{ A {{ users: [{{user: a, password: b}}] }}, B {{}} }}
            authorization {{ auth_callout {{
              issuer: {ACCOUNT}, acc: A, users: [a], allowed_accounts: [B]
              key: XAISC5VYMR4A6VUPDKHPZAN6S7G37BA224WWSQINSSYN6WZCHW2E2IDN
            }} }}"
        ),
        expect![[r#"
                callout: Some(
                    Callout {
                        issuer: "ABXRI23DEY5TOTXRVLVEGY5JLQUQUMHF6TOILURCXERJUDQRNLHDDKK2",
                        account: (
                            "A",
                            main.conf:3:81,
                        ),
                        auth_users: [
                            (
                                "a",
                                main.conf:3:97,
                            ),
                        ],
                        allowed_accounts: [
                            (
                                "B",
                                main.conf:3:120,
                            ),
                        ],
                        xkey: Some(
                            "XAISC5VYMR4A6VUPDKHPZAN6S7G37BA224WWSQINSSYN6WZCHW2E2IDN",
                        ),
                        at: main.conf:2:29,
                    },
                ),
            accounts: [
                Account {
                    name: "A",
                    at: main.conf:1:12,
                    label: None,
                    nkey: None,
                    users: [
                        User {
                            name: "a",
                            nkey: None,
                            password: [secret],
                            permissions: None,
                            connection_types: [],
                            at: main.conf:1:24,
                        },
                    ],
                    default_permissions: None,
                    exports: [],
                    imports: [],
                    mappings: [],
                    limits: AccountLimits {
                        connections_max: None,
                        subscriptions_max: None,
                        payload_bytes_max: None,
                        leafnodes_max: None,
                    },
                    trace: None,
                },
                Account {
                    name: "B",
                    at: main.conf:1:51,
                    label: None,
                    nkey: None,
                    users: [],
                    default_permissions: None,
                    exports: [],
                    imports: [],
                    mappings: [],
                    limits: AccountLimits {
                        connections_max: None,
                        subscriptions_max: None,
                        payload_bytes_max: None,
                        leafnodes_max: None,
                    },
                    trace: None,
                },
            ],
        "#]],
    );
}

/// What the oracle finds at the start only.
#[test]
fn contradictions() {
    let errors = |text: &str| {
        let config = load_text(text).expect("it loads").config;
        let mut errors: Vec<String> = config.check_start().iter().map(|e| e.to_string()).collect();
        errors.retain(|error| !error.ends_with("not available in gannet yet"));
        errors.join("\n")
    };
    let callout = format!("auth_callout {{ issuer: {ACCOUNT}, auth_users: [a] }}");
    expect![[r#"
        main.conf:6:23: "trusted_keys" and "operator" cannot stand together
        main.conf:7:20: with "operator" accounts come from JWTs: there can be no "accounts"
        main.conf:8:21: with "operator" users come from JWTs: there can be no "users"
        main.conf:13:13: with "operator" the callout is a matter of account JWTs: there can be no "auth_callout"
        main.conf:10:9: with "operator" there can be no "no_auth_user"; see "default_sentinel"
        main.conf:11:36: "resolver_pinned_accounts" must hold public keys of accounts (A…)
        main.conf:4:13: "resolver_preload" cannot stand beside a resolver that is a URL"#]].assert_eq(&errors(&format!(
        "operator: eyJ
        resolver: \"URL(http://a)\"
        resolver_preload {{
            {ACCOUNT}: eyJ
        }}
        trusted_keys: {OPERATOR}
        accounts {{ A {{
            users: [{{user: a, password: b}}]
        }} }}
        no_auth_user: a
        resolver_pinned_accounts: [foo]
        authorization {{
            {callout}
        }}
        system_account: A"
    )));
    expect![[r#"main.conf:3:1: with "operator" users come from JWTs: a token would be ignored"#]]
        .assert_eq(&errors(
            "operator: eyJ\nresolver: MEM\nauthorization { token: a }\nsystem_account: X",
        ));
    expect![[
        r#"main.conf:3:1: with "operator" users come from JWTs: a single user would be ignored"#
    ]]
    .assert_eq(&errors(
        "operator: eyJ\nresolver: MEM\nauthorization { user: a, password: b }",
    ));
    expect![[r#"
        main.conf:1:1: "default_sentinel" needs "operator"
        main.conf:2:1: a resolver that is a directory needs "operator", whose keys may change it"#]]
    .assert_eq(&errors(
        "default_sentinel: a\nresolver { type: full, dir: b }\nresolver_pinned_accounts: [foo]",
    ));
    expect![[""]].assert_eq(&errors(&format!(
        "trusted_keys: {OPERATOR}\nresolver: MEM\naccounts {{ A {{ }} }}\nsystem_account: X"
    )));
}

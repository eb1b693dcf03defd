//! Owns the tests of accounts in the configuration: the recorded verdicts of the oracle (accounts_cases.txt), what
//! becomes of each setting, and properties of any input. Never runs the oracle.

use std::collections::HashMap;

use expect_test::{expect, expect_file};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::check::{Exporters, Permit};
use super::lint;
use super::tests::{assert_inside, check, load_text, render, verdicts};

/// Every case has the oracle's verdict, on the oracle's line, unless the file says why not.
#[test]
fn verdicts_of_the_oracle() {
    let surprises = verdicts(
        include_str!("accounts_cases.txt"),
        &expect_file!["accounts_cases.txt"],
    );
    expect![""].assert_eq(&surprises);
}

#[test]
fn all_settings_of_an_account() {
    check(
        "
        system: S
        no_sys_acc: false
        accounts {
          S {}
          A {
            nkey: AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN
            users: [{user: a, password: b}]
            default_permissions: {publish: x}
            limits: {max_conn: 1, max_subs: -1, max_payload: 1KB, max_leafs: -7}
            maps: {foo: bar}
            mappings: {\"a.*\": [{dest: \"b.$1\", weight: \"10%\", cluster: c}], foo: {destination: x, weight: 5}}
            exports: [
              {stream: s, accounts: [A]}
              {service: q, threshold: \"1s\", latency: {subject: l, sampling: headers}}
              {service: c, response: chunked, response_time: \"0s\"}
              {service: \"r.*\", account_token_position: 2, allow_trace: true}
            ]
          }
        }",
        expect![[r#"
            accounts: [
                Account {
                    name: "S",
                    at: main.conf:5:11,
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
                Account {
                    name: "A",
                    at: main.conf:6:11,
                    label: None,
                    nkey: Some(
                        (
                            "AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN",
                            main.conf:7:13,
                        ),
                    ),
                    users: [
                        User {
                            name: "a",
                            nkey: None,
                            password: [secret],
                            permissions: None,
                            connection_types: [],
                            at: main.conf:8:21,
                        },
                    ],
                    default_permissions: Some(
                        Permissions {
                            publish: Rules {
                                allow: Some(
                                    [
                                        Rule {
                                            subject: "x",
                                            queue: None,
                                            at: main.conf:9:44,
                                        },
                                    ],
                                ),
                                deny: [],
                            },
                            subscribe: Rules {
                                allow: None,
                                deny: [],
                            },
                            responses: None,
                        },
                    ),
                    exports: [
                        Export {
                            subject: "s",
                            kind: Stream,
                            accounts: Some(
                                [
                                    (
                                        "A",
                                        main.conf:14:38,
                                    ),
                                ],
                            ),
                            account_token_position: None,
                            allow_trace: false,
                            at: main.conf:14:15,
                        },
                        Export {
                            subject: "q",
                            kind: Service(
                                Service {
                                    response: Singleton,
                                    threshold_ms: Some(
                                        1000,
                                    ),
                                    latency: Some(
                                        Latency {
                                            sampling: Headers,
                                            subject: "l",
                                            at: main.conf:15:55,
                                        },
                                    ),
                                },
                            ),
                            accounts: None,
                            account_token_position: None,
                            allow_trace: false,
                            at: main.conf:15:15,
                        },
                        Export {
                            subject: "c",
                            kind: Service(
                                Service {
                                    response: Chunked,
                                    threshold_ms: None,
                                    latency: None,
                                },
                            ),
                            accounts: None,
                            account_token_position: None,
                            allow_trace: false,
                            at: main.conf:16:15,
                        },
                        Export {
                            subject: "r.*",
                            kind: Service(
                                Service {
                                    response: Singleton,
                                    threshold_ms: None,
                                    latency: None,
                                },
                            ),
                            accounts: None,
                            account_token_position: Some(
                                2,
                            ),
                            allow_trace: true,
                            at: main.conf:17:15,
                        },
                    ],
                    imports: [],
                    mappings: [
                        Mapping {
                            source: "foo",
                            destinations: [
                                Destination {
                                    subject: "x",
                                    weight: 5,
                                    cluster: None,
                                    at: main.conf:12:82,
                                },
                            ],
                            at: main.conf:12:76,
                        },
                        Mapping {
                            source: "a.*",
                            destinations: [
                                Destination {
                                    subject: "b.$1",
                                    weight: 10,
                                    cluster: Some(
                                        "c",
                                    ),
                                    at: main.conf:12:33,
                                },
                            ],
                            at: main.conf:12:24,
                        },
                    ],
                    limits: AccountLimits {
                        connections_max: Some(
                            1,
                        ),
                        subscriptions_max: None,
                        payload_bytes_max: Some(
                            1024,
                        ),
                        leafnodes_max: Some(
                            0,
                        ),
                    },
                    trace: None,
                },
            ],
            system_account: Some(
                (
                    "S",
                    main.conf:2:9,
                ),
        "#]],
    );
    check(
        "accounts {
          A { exports: [{stream: \">\"}, {service: \">\"}] }
          B { imports: [{stream: {account: A, subject: s}, prefix: p, allow_trace: true}, {service: {account: A, subject: q}, to: x, share: true}] }
        }",
        expect![[r#"
            accounts: [
                Account {
                    name: "A",
                    at: main.conf:2:11,
                    label: None,
                    nkey: None,
                    users: [],
                    default_permissions: None,
                    exports: [
                        Export {
                            subject: ">",
                            kind: Stream,
                            accounts: None,
                            account_token_position: None,
                            allow_trace: false,
                            at: main.conf:2:25,
                        },
                        Export {
                            subject: ">",
                            kind: Service(
                                Service {
                                    response: Singleton,
                                    threshold_ms: None,
                                    latency: None,
                                },
                            ),
                            accounts: None,
                            account_token_position: None,
                            allow_trace: false,
                            at: main.conf:2:40,
                        },
                    ],
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
                    at: main.conf:3:11,
                    label: None,
                    nkey: None,
                    users: [],
                    default_permissions: None,
                    exports: [],
                    imports: [
                        Import {
                            service: false,
                            account: (
                                "A",
                                main.conf:3:35,
                            ),
                            subject: "s",
                            prefix: Some(
                                "p",
                            ),
                            to: None,
                            share: false,
                            allow_trace: true,
                            at: main.conf:3:25,
                        },
                        Import {
                            service: true,
                            account: (
                                "A",
                                main.conf:3:102,
                            ),
                            subject: "q",
                            prefix: None,
                            to: Some(
                                "x",
                            ),
                            share: true,
                            allow_trace: false,
                            at: main.conf:3:91,
                        },
                    ],
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
    check(
        "accounts [A, B]",
        expect![[r#"
            accounts: [
                Account {
                    name: "A",
                    at: main.conf:1:11,
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
                Account {
                    name: "B",
                    at: main.conf:1:14,
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

#[test]
fn exports_of_one_subject_are_one() {
    check(
        "accounts { B {}, A { exports: [
          {service: q, response: stream, accounts: [B]}
          {stream: q}
          {service: q, threshold: \"1s\", allow_trace: true}
        ] } }",
        expect![[r#"
            accounts: [
                Account {
                    name: "B",
                    at: main.conf:1:12,
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
                Account {
                    name: "A",
                    at: main.conf:1:18,
                    label: None,
                    nkey: None,
                    users: [],
                    default_permissions: None,
                    exports: [
                        Export {
                            subject: "q",
                            kind: Stream,
                            accounts: None,
                            account_token_position: None,
                            allow_trace: false,
                            at: main.conf:3:11,
                        },
                        Export {
                            subject: "q",
                            kind: Service(
                                Service {
                                    response: Stream,
                                    threshold_ms: Some(
                                        1000,
                                    ),
                                    latency: None,
                                },
                            ),
                            accounts: Some(
                                [
                                    (
                                        "B",
                                        main.conf:2:53,
                                    ),
                                ],
                            ),
                            account_token_position: None,
                            allow_trace: true,
                            at: main.conf:2:11,
                        },
                    ],
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

#[test]
fn what_an_import_is_called() {
    let config = load_text(
        "accounts { A { exports: [{stream: \">\"}, {service: \">\"}] }, B { imports: [
           {stream: {account: A, subject: a}}
           {stream: {account: A, subject: b}, prefix: p}
           {stream: {account: A, subject: c}, prefix: \"p.\"}
           {stream: {account: A, subject: \"d.*.*\"}, to: \"p.$2.$1\"}
           {service: {account: A, subject: \"e.*.*\"}, to: \"p.$2.$1\", prefix: x}
           {service: {account: A, subject: f}, prefix: x}
         ] } }",
    );
    let config = config.unwrap_or_else(|errors| panic!("{errors:?}")).config;
    let told = config.accounts[1].imports.iter().map(|import| {
        let transform = import.transform().expect("loaded");
        let source = String::from_utf8_lossy(transform.source()).into_owned();
        format!(
            "{}: {source} to {}\n",
            import.local(),
            String::from_utf8_lossy(&transform.results())
        )
    });
    expect![[r#"
        a: a to a
        p.b: b to p.b
        p.c: c to p.c
        p.$2.$1: d.*.* to p.*.*
        p.$2.$1: p.*.* to e.*.*
        f: f to f
    "#]]
    .assert_eq(&told.collect::<String>());
}

/// Where several exports cover an import, the narrowest decide.
#[test]
fn who_may_import() {
    let config = load_text(
        "accounts { A { exports: [
           {stream: \"a.>\"}, {stream: \"a.*.c\", accounts: [C]}, {stream: \"a.b.*\", accounts: [B, C]}
           {service: \"t.*.>\", account_token_position: 2}
         ] }, B {}, C {}, \"*\" {} }",
    );
    let config = config.unwrap_or_else(|errors| panic!("{errors:?}")).config;
    let exporters = Exporters::new(&config);
    let may = |importer: &str, service: bool, subject: &str| {
        let import = super::Import {
            service,
            account: ("A".into(), config.accounts[0].at.clone()),
            subject: subject.into(),
            prefix: None,
            to: None,
            share: false,
            allow_trace: false,
            at: config.accounts[0].at.clone(),
        };
        match exporters.permit(importer, &import) {
            Permit::Granted(export) => format!("by {}", export.subject),
            Permit::Private(export) => format!("not by {}", export.subject),
            other => format!("{other:?}"),
        }
    };
    let mut told = String::new();
    for (importer, service, subject) in [
        ("B", false, "a.x"),
        ("B", false, "a.x.c"),
        ("C", false, "a.x.c"),
        ("B", false, "a.b.x"),
        ("B", false, "a.b.c"),
        ("C", false, "a.b.c"),
        ("B", false, "a.b.*"),
        ("*", false, "a.b.*"),
        ("B", false, "b"),
        ("B", true, "a.x"),
        ("B", true, "t.B.x"),
        ("B", true, "t.C.x"),
        ("B", true, "t.*.>"),
        ("B", true, "t.*.x"),
        ("*", true, "t.*.x"),
    ] {
        told += &format!(
            "{importer} {subject}: {}\n",
            may(importer, service, subject)
        );
    }
    expect![[r#"
        B a.x: by a.>
        B a.x.c: not by a.*.c
        C a.x.c: by a.*.c
        B a.b.x: by a.b.*
        B a.b.c: not by a.*.c
        C a.b.c: by a.*.c
        B a.b.*: by a.b.*
        * a.b.*: not by a.b.*
        B b: NotExported
        B a.x: NotExported
        B t.B.x: by t.*.>
        B t.C.x: not by t.*.>
        B t.*.>: not by t.*.>
        B t.*.x: not by t.*.>
        * t.*.x: not by t.*.>
    "#]]
    .assert_eq(&told);
}

/// Errors do not breed errors: what an account that cannot be read has to give is not missed by others.
#[test]
fn one_mistake_is_one_error() {
    let said = |text: &str| render(&load_text(text));
    expect![[r#"
        main.conf:1:27: "a..b" is not a valid subject
    "#]].assert_eq(&said("accounts { A { exports: [{stream: \"a..b\"}] }, B { imports: [{stream: {account: A, subject: a}}] } }"));
    expect![[r#"
        main.conf:1:12: "A" must be an account { … }, not a whole number
    "#]]
    .assert_eq(&said(
        "accounts { A: 1 , B { imports: [{stream: {account: A, subject: a}}] } }",
    ));
    expect![[r#"
        main.conf:1:26: the stream "a" of "B" is not for "A": the export at main.conf:1:79 is for "C"
        main.conf:1:102: there is no account "C" in "accounts"
    "#]].assert_eq(&said("accounts { A { imports: [{stream: {account: B, subject: a}}] }, B { exports: [{stream: a, accounts: [C]}] } }"));
    expect![[r#"
        main.conf:2:16: this '{' is never closed
    "#]]
    .assert_eq(&said(
        "accounts { B { imports: [{stream: {account: A, subject: a}}] }\n A { exports: [{stream: a",
    ));
}

#[test]
fn secrets_are_not_printed() {
    let text = "accounts {\n  A {\n    users: [ { user: a, pass: \"s3cret\" }\n { user: b, password: s3cret } ]\n    mappings { a: b }\n    exports: [{stream: x}]\n  }\n  B { imports: [{stream: {account: A, subject: x}}] }\n}\n";
    for at in 0..text.len() {
        for damage in ["", "\n", "\"", "{", "}", "]", "\\", ":", "$"] {
            let damaged = format!("{}{damage}{}", &text[..at], &text[at..]);
            let outcome = load_text(&damaged);
            let printed = format!("{}{outcome:?}", render(&outcome));
            assert!(!printed.contains("s3cret"), "{damaged}\n{printed}");
        }
    }
}

/// Pieces of a section of accounts, so that random texts get somewhere.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        "\n",
        ":",
        " ",
        "\"",
        "$x",
        "x: 1\n",
        "A",
        "B",
        "\"$G\"",
        "\"$SYS\"",
        "A {",
        "B {",
        "A {}\n",
        "1",
        "true",
        "\"a.*\"",
        "\">\"",
        "\"$1\"",
        "a..b",
        "\"a.$2.$1\"",
        "\"{{partition(3,1)}}\"",
        "exports: [",
        "imports: [",
        "users: [",
        "mappings {",
        "limits {",
        "max_conn: 1\n",
        "nkey: a\n",
        "default_permissions {",
        "publish: a\n",
        "{stream: ",
        "{service: ",
        "{account: A, subject: \"a.*\"}",
        "accounts: [",
        "to: ",
        "prefix: ",
        "response_type: stream\n",
        "threshold: \"1s\"\n",
        "latency: ",
        "sampling: ",
        "subject: ",
        "account_token_position: ",
        "allow_trace: true\n",
        "share: true\n",
        "{dest: a, weight: 50}",
        "{user: a, password: b}",
        "jetstream: true\n",
        "{stream: {account: B, subject: \"a.>\"}, prefix: p}\n",
        "{service: {account: A, subject: \"a.*\"}, to: \"b.*\"}\n",
        "{stream: \"a.>\"}\n",
        "{service: \"a.*\", accounts: [B]}\n",
        "system_account: A\n",
        "authorization { token: x }\n",
    ];
    select(pieces.map(str::to_owned).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_accounts_have_a_verdict_with_places_inside(pieces in vec(piece(), 0..60)) {
        let main = format!("x: 1\naccounts {{ {}", pieces.concat());
        let files = HashMap::from([("main.conf".to_owned(), main.clone())]);
        match load_text(&main) {
            Ok(loaded) => {
                for warning in lint(&loaded.config).into_iter().chain(loaded.hints) {
                    assert_inside(&files, &warning);
                }
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    assert_inside(&files, &error);
                }
            }
        }
    }
}

//! The page and the JSON, word for word: the examples of the documentation of accounts, and one configuration with
//! everything else in it.

use expect_test::{Expect, expect};
use gannet::explain::{Question, Who, World, explain, page};

use super::config;

/// The import and export example of the documentation.
const DOCUMENTED: &str = "accounts: {
    A: {
        users: [
            {user: a, password: a}
        ]
        exports: [
            {stream: puba.>}
            {service: pubq.>}
            {stream: b.>, accounts: [B]}
            {service: q.b, accounts: [B]}
        ]
    },
    B: {
        users: [
            {user: b, password: b}
        ]
        imports: [
            {stream: {account: A, subject: b.>}}
            {service: {account: A, subject: q.b}}
        ]
    }
    C: {
        users: [
            {user: c, password: c}
        ]
        imports: [
            {stream: {account: A, subject: puba.>}, prefix: from_a}
            {service: {account: A, subject: pubq.C}, to: Q}
        ]
    }
}
";

/// Permissions, mappings, chains, limits.
const RICH: &str = "max_payload: 64KB
no_auth_user: guest
accounts {
  shop {
    users: [
      {user: guest, password: p, permissions: {publish: [\"order.*\"], subscribe: [\"_INBOX.>\"]}}
      {user: clerk, password: p, permissions: {
        publish: {deny: \"order.void\"}
        subscribe: {allow: [\"order.* desk\", \"news.*\"], deny: \"news.secret\"}
      }}
    ]
    mappings: {
      \"order.*\": [{destination: \"order.$1\", weight: 90}, {destination: \"canary.order.$1\", weight: 10}]
    }
    exports: [{stream: \"order.>\", accounts: [audit]}]
    imports: [
      {service: {account: stock, subject: \"reserve.*\"}, to: \"order.$1\"}
      {stream: {account: stock, subject: \"news.>\"}}
    ]
  }
  stock {
    users: [{user: keeper, password: p, permissions: {publish: \"news.>\", subscribe: \"reserve.>\", allow_responses: true}}]
    exports: [{service: \"reserve.*\", response_type: stream, threshold: 5s}, {stream: \"news.>\"}]
    imports: [{service: {account: depot, subject: take}, to: \"reserve.pallet\"}]
  }
  depot {
    users: [{user: robot, password: p, permissions: {publish: {deny: \"_R_.>\"}}}]
    exports: [{service: take}]
  }
  audit {
    imports: [{stream: {account: shop, subject: \"order.paid\"}, prefix: shop}]
  }
}
";

pub fn request(subject: &str) -> Question {
    Question::Request {
        subject: subject.into(),
        inbox: "_INBOX".into(),
    }
}

pub fn publish(subject: &str) -> Question {
    Question::Publish(subject.into())
}

pub fn subscribe(pattern: &str, queue: Option<&str>) -> Question {
    Question::Subscribe {
        pattern: pattern.into(),
        queue: queue.map(Into::into),
    }
}

pub fn check(text: &str, user: Option<&str>, question: &Question, expected: Expect) {
    let config = config(text).expect("nothing is wrong");
    let world = World::new(&config).expect("it could be started with");
    let said = match Who::find(&world, user, None) {
        Ok(who) => page(&explain(&world, &who, question)),
        Err(problem) => problem,
    };
    expected.assert_eq(&said);
}

#[test]
fn documented_streams() {
    check(
        DOCUMENTED,
        Some("a"),
        &publish("puba.x"),
        expect![[r#"
        publish puba.x, by user "a" of account "A"

          user "a" at f.conf:4:13
          it has no permissions: nothing restricts it
          account "A" at f.conf:2:5
          limits: max_payload 1048576, max_control_line 4096

        puba.x in "A"
        │   publish: allowed, nothing restricts it
        │   can see it: a
        └─ stream to "C" as from_a.puba.x
               import "puba.>" as "from_a.puba.>" at f.conf:27:13
               export "puba.>" at f.conf:7:13
               can see it: c
    "#]],
    );
    check(
        DOCUMENTED,
        Some("a"),
        &publish("b.x"),
        expect![[r#"
        publish b.x, by user "a" of account "A"

          user "a" at f.conf:4:13
          it has no permissions: nothing restricts it
          account "A" at f.conf:2:5
          limits: max_payload 1048576, max_control_line 4096

        b.x in "A"
        │   publish: allowed, nothing restricts it
        │   can see it: a
        └─ stream to "B" as b.x
               import "b.>" at f.conf:18:13
               export "b.>" at f.conf:9:13
               can see it: b
    "#]],
    );
    check(
        DOCUMENTED,
        Some("c"),
        &subscribe("from_a.>", None),
        expect![[r#"
            subscribe to from_a.>, by user "c" of account "C"

              user "c" at f.conf:24:13
              it has no permissions: nothing restricts it
              account "C" at f.conf:22:5
              limits: max_pending 67108864, max_control_line 4096

            from_a.> in "C"
            │   subscribe: allowed, nothing restricts it
            ├─ what "C" publishes on from_a.>, and answers to its requests there
            └─ the stream of "A" on puba.>, seen as from_a.puba.>
                   import "puba.>" as "from_a.puba.>" at f.conf:27:13
                   export "puba.>" at f.conf:7:13
        "#]],
    );
    check(
        DOCUMENTED,
        Some("c"),
        &subscribe("puba.>", None),
        expect![[r#"
            subscribe to puba.>, by user "c" of account "C"

              user "c" at f.conf:24:13
              it has no permissions: nothing restricts it
              account "C" at f.conf:22:5
              limits: max_pending 67108864, max_control_line 4096

            puba.> in "C"
            │   subscribe: allowed, nothing restricts it
            ├─ what "C" publishes on puba.>, and answers to its requests there
            └─ note: the stream "puba.>" of "A" is "from_a.puba.>" here: subscribe to that (f.conf:27:13)
        "#]],
    );
    check(
        DOCUMENTED,
        Some("c"),
        &subscribe("b.x", None),
        expect![[r#"
            subscribe to b.x, by user "c" of account "C"

              user "c" at f.conf:24:13
              it has no permissions: nothing restricts it
              account "C" at f.conf:22:5
              limits: max_pending 67108864, max_control_line 4096

            b.x in "C"
            │   subscribe: allowed, nothing restricts it
            ├─ what "C" publishes on b.x, and answers to its requests there
            └─ note: no import takes "b.>" from "A": the exported stream "b.>" is private to "B" (f.conf:9:13)
        "#]],
    );
}

#[test]
fn documented_services() {
    check(
        DOCUMENTED,
        Some("c"),
        &request("Q"),
        expect![[r#"
            request Q, by user "c" of account "C"

              user "c" at f.conf:24:13
              it has no permissions: nothing restricts it
              account "C" at f.conf:22:5
              limits: max_payload 1048576, max_control_line 4096

            Q in "C"
            │   publish: allowed, nothing restricts it
            │   can see it: c
            │   c may answer: allowed, nothing restricts it
            └─ request to "A" as pubq.C
                   import "pubq.C" as "Q" at f.conf:28:13
                   export "pubq.>" at f.conf:8:13
                   answers: the first one, within 2m
                   can serve it: a
                   a may answer: allowed, nothing restricts it

            answers come to _INBOX.X.*
                subscribe: allowed, nothing restricts it
        "#]],
    );
    check(
        DOCUMENTED,
        Some("c"),
        &publish("q.b"),
        expect![[r#"
            publish q.b, by user "c" of account "C"

              user "c" at f.conf:24:13
              it has no permissions: nothing restricts it
              account "C" at f.conf:22:5
              limits: max_payload 1048576, max_control_line 4096

            q.b in "C"
            │   publish: allowed, nothing restricts it
            │   can see it: c
            ├─ it ends here: no import takes it out of "C"
            └─ not: no import takes "q.b" from "A": the exported service "q.b" is private to "B" (f.conf:10:13)
        "#]],
    );
    check(
        DOCUMENTED,
        Some("c"),
        &publish("pubq.C"),
        expect![[r#"
            publish pubq.C, by user "c" of account "C"

              user "c" at f.conf:24:13
              it has no permissions: nothing restricts it
              account "C" at f.conf:22:5
              limits: max_payload 1048576, max_control_line 4096

            pubq.C in "C"
            │   publish: allowed, nothing restricts it
            │   can see it: c
            ├─ it ends here: no import takes it out of "C"
            └─ not: the service "pubq.C" of "A" is "Q" here: publish to that (f.conf:28:13)
        "#]],
    );
    check(
        DOCUMENTED,
        Some("b"),
        &publish("pubq.x"),
        expect![[r#"
            publish pubq.x, by user "b" of account "B"

              user "b" at f.conf:15:13
              it has no permissions: nothing restricts it
              account "B" at f.conf:13:5
              limits: max_payload 1048576, max_control_line 4096

            pubq.x in "B"
            │   publish: allowed, nothing restricts it
            │   can see it: b
            ├─ it ends here: no import takes it out of "B"
            └─ not: "B" does not import "pubq.x" from "A", although the service "pubq.>" is exported (f.conf:8:13)
        "#]],
    );
}

#[test]
fn documented_users() {
    check(
        DOCUMENTED,
        None,
        &publish("x"),
        expect![[
            r#"clients without credentials are refused (no credentials): say who it is with --user; the users are "a", "b", "c""#
        ]],
    );
    check(
        DOCUMENTED,
        Some("d"),
        &publish("x"),
        expect![[r#"there is no user "d"; the users are "a", "b", "c""#]],
    );
    let with_guest = format!("{DOCUMENTED}no_auth_user: a\n");
    check(
        &with_guest,
        None,
        &publish("x"),
        expect![[r#"
        publish x, by user "a" of account "A"

          clients without credentials are the user "a" at f.conf:32:1
          user "a" at f.conf:4:13
          it has no permissions: nothing restricts it
          account "A" at f.conf:2:5
          limits: max_payload 1048576, max_control_line 4096

        x in "A"
        │   publish: allowed, nothing restricts it
        │   can see it: a
        └─ it ends here: no import takes it out of "A"
    "#]],
    );
}

#[test]
fn mappings_chains_and_permissions() {
    check(
        RICH,
        None,
        &request("order.pallet"),
        expect![[r#"
            request order.pallet, by user "guest" of account "shop"

              clients without credentials are the user "guest" at f.conf:2:1
              user "guest" at f.conf:6:7
              it has permissions of its own
              account "shop" at f.conf:4:3
              limits: max_payload 65536 (f.conf:1:1), max_control_line 4096

            order.pallet in "shop"
            │   mapping "order.*" at f.conf:13:7
            ├─ 90%: stays order.pallet
            │  │   publish: allowed by "order.*" at f.conf:6:58
            │  │   can see it: clerk
            │  │   clerk: only in the queue group "desk": allowed by "order.* desk" at f.conf:9:29
            │  │   guest cannot: allowed by none of the rules at f.conf:6:82
            │  │   clerk may answer: allowed, nothing restricts it
            │  ├─ request to "stock" as reserve.pallet
            │  │  │   import "reserve.*" as "order.$1" at f.conf:17:7
            │  │  │   export "reserve.*" at f.conf:23:15
            │  │  │   answers: until an empty one, each within 5s
            │  │  │   can serve it: keeper
            │  │  │   keeper may answer: by allow_responses: one message within 2m
            │  │  └─ request to "depot" as take
            │  │         import "take" as "reserve.pallet" at f.conf:24:15
            │  │         export "take" at f.conf:28:15
            │  │         answers: the first one, within 2m
            │  │         can serve it: robot
            │  │         robot may not answer: denied by "_R_.>" at f.conf:27:70
            │  └─ not: "audit" imports only "order.paid" of the stream "order.>" (f.conf:31:15)
            └─ 10%: canary.order.pallet
                   publish: refused, allowed by none of the rules at f.conf:6:58

            answers come to _INBOX.X.*
                subscribe: allowed by "_INBOX.>" at f.conf:6:82
        "#]],
    );
    check(
        RICH,
        Some("clerk"),
        &publish("order.paid"),
        expect![[r#"
        publish order.paid, by user "clerk" of account "shop"

          user "clerk" at f.conf:7:7
          it has permissions of its own
          account "shop" at f.conf:4:3
          limits: max_payload 65536 (f.conf:1:1), max_control_line 4096

        order.paid in "shop"
        │   mapping "order.*" at f.conf:13:7
        ├─ 90%: stays order.paid
        │  │   publish: allowed, nothing restricts it
        │  │   can see it: clerk
        │  │   clerk: only in the queue group "desk": allowed by "order.* desk" at f.conf:9:29
        │  │   guest cannot: allowed by none of the rules at f.conf:6:82
        │  ├─ stream to "audit" as shop.order.paid
        │  │      import "order.paid" as "shop.order.paid" at f.conf:31:15
        │  │      export "order.>" at f.conf:15:15
        │  │      no user can be there to see it
        │  └─ request to "stock" as reserve.paid
        │         import "reserve.*" as "order.$1" at f.conf:17:7
        │         export "reserve.*" at f.conf:23:15
        │         answers: until an empty one, each within 5s
        │         can serve it: keeper
        └─ 10%: canary.order.paid
           │   publish: allowed, nothing restricts it
           │   no user may see it
           │   clerk cannot: allowed by none of the rules at f.conf:9:29
           │   guest cannot: allowed by none of the rules at f.conf:6:82
           └─ it ends here: no import takes it out of "shop"
    "#]],
    );
    check(
        RICH,
        None,
        &publish("news.x"),
        expect![[r#"
            publish news.x, by user "guest" of account "shop"

              clients without credentials are the user "guest" at f.conf:2:1
              user "guest" at f.conf:6:7
              it has permissions of its own
              account "shop" at f.conf:4:3
              limits: max_payload 65536 (f.conf:1:1), max_control_line 4096

            news.x in "shop"
                publish: refused, allowed by none of the rules at f.conf:6:58
        "#]],
    );
}

#[test]
fn subscriptions_and_what_is_kept_from_them() {
    check(
        RICH,
        Some("clerk"),
        &subscribe("news.*", None),
        expect![[r#"
            subscribe to news.*, by user "clerk" of account "shop"

              user "clerk" at f.conf:7:7
              it has permissions of its own
              account "shop" at f.conf:4:3
              limits: max_pending 67108864, max_control_line 4096

            news.* in "shop"
            │   subscribe: allowed by "news.*" at f.conf:9:45
            │   without what is denied by "news.secret" at f.conf:9:62
            ├─ what "shop" publishes on news.*, and answers to its requests there
            └─ the stream of "stock" on news.*
                   import "news.>" at f.conf:18:7
                   export "news.>" at f.conf:23:77
        "#]],
    );
    check(
        RICH,
        Some("clerk"),
        &subscribe("order.*", None),
        expect![[r#"
            subscribe to order.*, by user "clerk" of account "shop"

              user "clerk" at f.conf:7:7
              it has permissions of its own
              account "shop" at f.conf:4:3
              limits: max_pending 67108864, max_control_line 4096

            order.* in "shop"
                subscribe: refused, allowed by none of the rules at f.conf:9:29
        "#]],
    );
    check(
        RICH,
        Some("clerk"),
        &subscribe("order.*", Some("desk")),
        expect![[r#"
            subscribe to order.* in the queue group desk, by user "clerk" of account "shop"

              user "clerk" at f.conf:7:7
              it has permissions of its own
              account "shop" at f.conf:4:3
              limits: max_pending 67108864, max_control_line 4096

            order.* in "shop"
            │   subscribe: allowed by "order.* desk" at f.conf:9:29
            ├─ what "shop" publishes on order.*
            │      mapping "order.*" as "order.$1" at f.conf:13:7
            └─ note: of what "shop" publishes on "order.*" a mapping takes 90% to "order.$1", 10% to "canary.order.$1" (f.conf:13:7)
        "#]],
    );
    check(
        RICH,
        Some("robot"),
        &subscribe(">", None),
        expect![[r#"
            subscribe to >, by user "robot" of account "depot"

              user "robot" at f.conf:27:13
              it has permissions of its own
              account "depot" at f.conf:26:3
              limits: max_pending 67108864, max_control_line 4096

            > in "depot"
            │   subscribe: allowed, nothing restricts it
            ├─ what "depot" publishes on >, and answers to its requests there
            ├─ requests of "stock" on reserve.pallet, seen as take
            │  │   import "take" as "reserve.pallet" at f.conf:24:15
            │  │   export "take" at f.conf:28:15
            │  └─ requests of "shop" on order.pallet, seen as reserve.pallet
            │     │   import "reserve.*" as "order.$1" at f.conf:17:7
            │     │   export "reserve.*" at f.conf:23:15
            │     └─ what "shop" publishes on order.pallet
            │            mapping "order.*" as "order.$1" at f.conf:13:7
            ├─ note: no import takes "order.>" from "shop": the exported stream "order.>" is private to "audit" (f.conf:15:15)
            └─ note: "depot" does not import "news.>" from "stock", although the stream "news.>" is exported (f.conf:23:77)
        "#]],
    );
}

#[test]
fn json() {
    let config = config(DOCUMENTED).expect("nothing is wrong");
    let world = World::new(&config).expect("it could be started with");
    let who = Who::find(&world, Some("c"), None).expect("a user");
    expect![[r#"
        {
          "action": "request",
          "subject": "Q",
          "who": {
            "account": "C",
            "user": "c",
            "provenance": [
              {
                "what": "user \"c\"",
                "at": {
                  "file": "f.conf",
                  "line": 24,
                  "column": 13
                }
              },
              {
                "what": "it has no permissions: nothing restricts it"
              },
              {
                "what": "account \"C\"",
                "at": {
                  "file": "f.conf",
                  "line": 22,
                  "column": 5
                }
              }
            ]
          },
          "limits": [
            {
              "name": "max_payload",
              "value": 1048576
            },
            {
              "name": "max_control_line",
              "value": 4096
            }
          ],
          "route": {
            "account": "C",
            "subject": "Q",
            "ways": [
              {
                "share": 100,
                "subject": "Q",
                "permission": {
                  "allowed": true,
                  "why": "allowed, nothing restricts it"
                },
                "stop": {
                  "account": "C",
                  "subject": "Q",
                  "across": false,
                  "readers": [
                    {
                      "user": "c",
                      "sees": {
                        "allowed": true,
                        "why": "allowed, nothing restricts it"
                      },
                      "answers": {
                        "allowed": true,
                        "why": "allowed, nothing restricts it"
                      }
                    }
                  ],
                  "streams": [],
                  "services": [
                    {
                      "import": {
                        "subject": "pubq.C",
                        "to": "Q",
                        "at": {
                          "file": "f.conf",
                          "line": 28,
                          "column": 13
                        }
                      },
                      "export": {
                        "subject": "pubq.>",
                        "at": {
                          "file": "f.conf",
                          "line": 8,
                          "column": 13
                        }
                      },
                      "share": false,
                      "answers": {
                        "many": false,
                        "threshold_ms": 120000
                      },
                      "route": {
                        "account": "A",
                        "subject": "pubq.C",
                        "ways": [
                          {
                            "share": 100,
                            "subject": "pubq.C",
                            "stop": {
                              "account": "A",
                              "subject": "pubq.C",
                              "across": true,
                              "readers": [
                                {
                                  "user": "a",
                                  "sees": {
                                    "allowed": true,
                                    "why": "allowed, nothing restricts it"
                                  },
                                  "answers": {
                                    "allowed": true,
                                    "why": "allowed, nothing restricts it"
                                  }
                                }
                              ],
                              "streams": [],
                              "services": [],
                              "notes": []
                            }
                          }
                        ]
                      }
                    }
                  ],
                  "notes": []
                }
              }
            ]
          },
          "inbox": {
            "subscription": "_INBOX.X.*",
            "permission": {
              "allowed": true,
              "why": "allowed, nothing restricts it"
            }
          }
        }"#]]
    .assert_eq(&explain(&world, &who, &request("Q")).json());
    expect![[r#"
        {
          "action": "sub",
          "subject": "from_a.>",
          "who": {
            "account": "C",
            "user": "c",
            "provenance": [
              {
                "what": "user \"c\"",
                "at": {
                  "file": "f.conf",
                  "line": 24,
                  "column": 13
                }
              },
              {
                "what": "it has no permissions: nothing restricts it"
              },
              {
                "what": "account \"C\"",
                "at": {
                  "file": "f.conf",
                  "line": 22,
                  "column": 5
                }
              }
            ]
          },
          "limits": [
            {
              "name": "max_pending",
              "value": 67108864
            },
            {
              "name": "max_control_line",
              "value": 4096
            }
          ],
          "feeds": {
            "permission": {
              "allowed": true,
              "why": "allowed, nothing restricts it"
            },
            "withheld": [],
            "sources": [
              {
                "kind": "own",
                "account": "C",
                "subject": "from_a.>",
                "seen": "from_a.>"
              },
              {
                "kind": "stream",
                "account": "A",
                "subject": "puba.>",
                "seen": "from_a.puba.>",
                "by": {
                  "subject": "puba.>",
                  "to": "from_a.puba.>",
                  "at": {
                    "file": "f.conf",
                    "line": 27,
                    "column": 13
                  }
                },
                "export": {
                  "subject": "puba.>",
                  "at": {
                    "file": "f.conf",
                    "line": 7,
                    "column": 13
                  }
                }
              }
            ],
            "notes": []
          }
        }"#]]
    .assert_eq(&explain(&world, &who, &subscribe("from_a.>", None)).json());
}

#[test]
fn measurements_and_subjects_that_reach_nobody() {
    const MEASURED: &str = "accounts {
  A {
    users: [{user: a, password: p}]
    exports: [{service: \"q.*\", latency: {sampling: 30, subject: lat.q}}, {stream: \"s.>\"}]
  }
  B { users: [{user: b, password: p}], imports: [{stream: {account: A, subject: \"s.>\"}}] }
}
";
    check(
        MEASURED,
        Some("a"),
        &subscribe("lat.>", None),
        expect![[r#"
            subscribe to lat.>, by user "a" of account "A"

              user "a" at f.conf:3:13
              it has no permissions: nothing restricts it
              account "A" at f.conf:2:3
              limits: max_pending 67108864, max_control_line 4096

            lat.> in "A"
            │   subscribe: allowed, nothing restricts it
            ├─ what "A" publishes on lat.>, and answers to its requests there
            └─ note: measurements of the service "q.*" come on "lat.q" (f.conf:4:56)
        "#]],
    );
    check(
        MEASURED,
        Some("a"),
        &publish("s.x..y"),
        expect![[r#"
        publish s.x..y, by user "a" of account "A"

          user "a" at f.conf:3:13
          it has no permissions: nothing restricts it
          account "A" at f.conf:2:3
          limits: max_payload 1048576, max_control_line 4096

        s.x..y in "A"
        │   publish: allowed, nothing restricts it
        │   no user can be there to see it
        ├─ it ends here: no import takes it out of "A"
        └─ not: a subject with an empty token reaches nobody
    "#]],
    );
}

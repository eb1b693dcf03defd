//! The accounts of JWTs: roads between them, those that are not at hand, and the whole as data.

use expect_test::expect;
use gannet::explain::Question;
use gannet::explain::jwt::AccountJwts;
use gannet::explain::page;
use serde_json::{Value, json};

use super::made::{NOW, named, public};
use super::{Case, NAMES, case, depot, scoped};

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
    let missing = |resolver: &str| Case {
        resolver: Some(resolver.to_owned()),
        ..case()
    };
    let url = "resolver: URL(http://127.0.0.1:9/jwt/)";
    missing(url).shows(expect![[r#"
        publish order.paid, by user "bob" of account "A.shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key

        nobody can say whether it is let in: account A.shop: its JWT is not at hand: the resolver is a URL, which is not asked here; give it with --account-jwt
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

/// What is imported from it goes nowhere as far as can be said.
#[test]
fn to_an_account_that_is_not_at_hand() {
    let importing = Case {
        shop: importing(),
        resolver: Some("resolver: URL(http://127.0.0.1:9/jwt/)".to_owned()),
        question: Question::Publish(b"fetch".to_vec()),
        ..case()
    };
    let given = |jwts: &[String]| AccountJwts {
        given: (jwts.iter())
            .map(|jwt| ("some.jwt".to_owned(), jwt.clone()))
            .collect(),
        ..AccountJwts::default()
    };
    let shop = importing.shop_jwt();
    let alone = Case {
        given: given(std::slice::from_ref(&shop)),
        ..importing
    };
    alone.check(expect![[r#"
        publish fetch, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from some.jwt
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          limits: max_payload 1048576, max_control_line 4096

        fetch in "shop"
        │   publish: allowed, nothing restricts it
        │   can see it: "bob", and any other user of the account whose JWT allows it
        ├─ it ends here: no import takes it out of "shop"
        └─ not: left out of the JWT of account "shop": import of service "take.pallet" from A.depot: its JWT is not at hand: the resolver is a URL, which is not asked here; give it with --account-jwt
    "#]]);
    let both = Case {
        given: given(&[shop, depot()]),
        ..alone
    };
    both.check(expect![[r#"
        publish fetch, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from some.jwt
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          account "depot" is A.depot
          limits: max_payload 1048576, max_control_line 4096

        fetch in "shop"
        │   publish: allowed, nothing restricts it
        │   can see it: "bob", and any other user of the account whose JWT allows it
        └─ request to "depot" as take.pallet
               import "take.pallet" as "fetch" at JWT of account "shop"
               export "take.*" at JWT of account "depot"
               answers: the first one, within 2m
               can serve it: any user of the account whose JWT allows it
    "#]]);
}

/// The JWT of the directory counts where it is newer than that of the file, and what is given counts before both.
#[test]
fn of_which_there_are_many_jwts() {
    let key = public("A.shop");
    let jwt = |name: &str, later: i64| {
        Case {
            shop_claims: json!({"name": name}),
            ..case()
        }
        .shop_jwt_issued(later)
    };
    let page_of = |directory: &str, given: &[String]| {
        let preload = format!("resolver_preload {{ {key}: {} }}\n", jwt("preloaded", 0));
        let resolver = format!(
            "system_account: {}\nresolver {{ type: full, dir: /nowhere, allow_delete: false, interval: \"2m\" }}\n{preload}",
            public("A.sys")
        );
        let case = Case {
            resolver: Some(resolver),
            given: AccountJwts {
                directory: vec![(key.clone(), directory.to_owned())],
                given: (given.iter())
                    .map(|jwt| ("shop.jwt".to_owned(), jwt.clone()))
                    .collect(),
            },
            ..case()
        };
        let page = named(&page(&case.report()), NAMES);
        let account = |line: &&str| line.contains("is A.shop");
        page.lines()
            .find(account)
            .map(|line| line.trim().to_owned())
    };
    let lines = [
        page_of(&jwt("newer", 1), &[]),
        page_of(&jwt("older", -1), &[]),
        page_of(&jwt("newer", 1), &[jwt("given", -2)]),
    ];
    expect![[r#"
          account "newer" is A.shop, from the directory /nowhere at f.conf:3:1
          account "preloaded" is A.shop, from resolver_preload at f.conf:4:20
          account "given" is A.shop, from shop.jwt"#]]
    .assert_eq(&lines.map(|line| line.expect("a page")).join("\n"));
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

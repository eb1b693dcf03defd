//! Users that are let in: which key signed them, and what they may do by it.

use expect_test::expect;
use serde_json::json;

use super::made::{NOW, public};
use super::{Case, case, scoped};

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
fn with_a_callout() {
    Case {
        shop: json!({"authorization": {"auth_users": [public("U.eve")]}}),
        ..case()
    }
    .shows(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          a callout service of its account decides who it is; this is what its JWT says
          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it but this:
            publish: deny $SYS.REQ.USER.AUTH
          limits: max_payload 1048576, max_control_line 4096

        order.paid in "shop"
        │   publish: allowed, nothing restricts it
        │   can see it: "bob", and any other user of the account whose JWT allows it
        └─ it ends here: no import takes it out of "shop"
    "#]]);
}

#[test]
fn of_a_name_that_the_account_has_too() {
    Case {
        user_claims: json!({"name": "shop"}),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "U.bob" of account "A.shop"

          user "shop" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          limits: max_payload 1048576, max_control_line 4096

        order.paid in "A.shop"
        │   publish: allowed, nothing restricts it
        │   can see it: U.bob, and any other user of the account whose JWT allows it
        └─ it ends here: no import takes it out of "A.shop"
    "#]]);
}

/// Somebody without a JWT is the sentinel, where there is one.
#[test]
fn without_a_jwt() {
    let sentinel = Case {
        user: json!({"bearer_token": true}),
        ..case()
    };
    let resolver = format!(
        "resolver: MEMORY\nresolver_preload {{ {}: {} }}\ndefault_sentinel: {}\n",
        public("A.shop"),
        case().shop_jwt(),
        sentinel.user_jwt(),
    );
    let nobody = |resolver| Case {
        resolver,
        brings: Some(""),
        seed: None,
        ..case()
    };
    nobody(Some(resolver)).check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          it brings no JWT, and is the default_sentinel at f.conf:4:1
          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:3:20
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
    nobody(None).shows(expect![[r#"
        publish order.paid, by somebody unknown

          it brings no JWT: --creds or --jwt says who it is

        refused: a user's JWT is required
    "#]]);
}

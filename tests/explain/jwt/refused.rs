//! Users that are not let in, and all that is wrong with them.

use expect_test::expect;
use serde_json::json;

use super::made::{NOW, merge, public};
use super::{Case, case, scoped};

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
    merge(
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
          wrong: the user's JWT: revoked by the account, with all JWTs of this user issued until 2024-06-01T11:59:00Z

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
          wrong: the user's JWT: revoked by the account, with all users' JWTs issued until 2024-06-01T11:59:00Z

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

#[test]
fn at_another_time_of_day() {
    Case {
        user: json!({
            "times": [{"start": "13:00:00", "end": "14:00:00"}],
            "times_location": "Europe/Berlin",
        }),
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
          times: 13:00:00-14:00:00 (Europe/Berlin)
          wrong: the user may not connect at this time of day

        refused: user U.bob of account A.shop may not connect at this time of day
    "#]]);
}

#[test]
fn for_many_reasons() {
    Case {
        user: json!({"src": ["10.0.0.0/8"], "allowed_connection_types": ["MQTT"]}),
        user_claims: json!({"name": "bob", "exp": NOW - 60}),
        shop: json!({"revocations": {"*": NOW - 60}}),
        shop_claims: json!({"name": "shop", "exp": NOW - 5}),
        operator_key: "O.eve",
        seed: Some("U.eve"),
        from: Some("192.168.1.1"),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, valid until 2024-06-01T11:59:00Z
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, valid until 2024-06-01T11:59:55Z
            signed by O.eve, whom no operator trusts
          it has no permissions: nothing restricts it
          connection types: MQTT
          networks: 10.0.0.0/8
          wrong: the user's JWT: expired 2024-06-01T11:59:00Z
          wrong: the account's JWT: expired 2024-06-01T11:59:55Z
          wrong: the account's JWT: signed by O.eve, whom no operator trusts
          wrong: the user may not connect by plain TCP or TLS (STANDARD)
          wrong: the seed is that of U.eve: it cannot sign for the user U.bob
          wrong: the user's JWT: revoked by the account, with all users' JWTs issued until 2024-06-01T11:59:00Z
          wrong: the user may not connect from 192.168.1.1

        refused: user U.bob of account A.shop expired 2024-06-01T11:59:00Z
    "#]]);
}

#[test]
fn of_an_account_that_is_not_pinned() {
    let pinned = format!(
        "resolver: MEMORY\nresolver_preload {{ {}: {} }}\nresolver_pinned_accounts: [{}]\n",
        public("A.shop"),
        case().shop_jwt(),
        public("A.depot"),
    );
    Case {
        resolver: Some(pinned),
        ..case()
    }
    .check(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:3:20
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it
          wrong: the account is none of "resolver_pinned_accounts"

        refused: user U.bob of account A.shop is in none of "resolver_pinned_accounts"
    "#]]);
}

#[test]
fn with_what_is_no_jwt() {
    Case {
        brings: Some("one.two.three"),
        ..case()
    }
    .shows(expect![[r#"
        publish order.paid, by somebody unknown

        refused: the JWT is not valid: the header: no JSON at byte 1
    "#]]);
}

#[test]
fn over_as_soon_as_it_is_in() {
    let case = Case {
        user_claims: json!({"name": "bob", "exp": -5}),
        ..case()
    };
    case.shows(expect![[r#"
        publish order.paid, by user "bob" of account "shop"

          user "bob" is U.bob
            its JWT: issued 2024-05-31T12:00:00Z, valid until 1969-12-31T23:59:55Z
            signed by A.shop, the account's own key
          account "shop" is A.shop, from resolver_preload at f.conf:4:3
            its JWT: issued 2024-05-31T12:00:00Z, does not expire
            signed by O.op, the own key of the operator "op"
          it has no permissions: nothing restricts it

        refused: its time ended at 1969-12-31T23:59:55Z: it is closed at once
    "#]]);
}

//! Who is in the file and cannot be connected: the answer is why, and nobody counts on it.

use expect_test::expect;

use super::page::{check, publish, request, subscribe};

/// Users that no client can be, and one that can.
const SHUT: &str = "\
accounts {
  A {
    users: [
      {user: ann, password: p}
      {user: web, password: p, allowed_connection_types: [WEBSOCKET]}
    ]
  }
  B { users: [{user: bob, password: p}], limits: {max_connections: 0} }
  C { users: [{user: cyd, password: p}], limits: {max_subscriptions: 0} }
}
";

#[test]
fn users_that_cannot_be_connected() {
    check(
        SHUT,
        Some("web"),
        &publish("x"),
        expect![[r#"
        publish x, by user "web" of account "A"

          user "web" at f.conf:5:7
          it has no permissions: nothing restricts it
          account "A" at f.conf:2:3

        refused: it may not connect by plain TCP or TLS (STANDARD), only by WEBSOCKET
    "#]],
    );
    check(
        SHUT,
        Some("bob"),
        &request("x"),
        expect![[r#"
        request x, by user "bob" of account "B"

          user "bob" at f.conf:8:15
          it has no permissions: nothing restricts it
          account "B" at f.conf:8:3

        refused: its account may have no connections
    "#]],
    );
    check(
        SHUT,
        Some("cyd"),
        &subscribe("x", None),
        expect![[r#"
        subscribe to x, by user "cyd" of account "C"

          user "cyd" at f.conf:9:15
          it has no permissions: nothing restricts it
          account "C" at f.conf:9:3

        refused: it may have no subscriptions: it is closed behind its CONNECT
    "#]],
    );
    check(
        SHUT,
        Some("ann"),
        &publish("x"),
        expect![[r#"
        publish x, by user "ann" of account "A"

          user "ann" at f.conf:4:7
          it has no permissions: nothing restricts it
          account "A" at f.conf:2:3
          limits: max_payload 1048576, max_control_line 4096

        x in "A"
        │   publish: allowed, nothing restricts it
        │   can see it: ann
        └─ it ends here: no import takes it out of "A"
    "#]],
    );
}

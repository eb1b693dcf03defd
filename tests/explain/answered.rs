//! Requests that the broker itself answers.

use expect_test::expect;

use super::page::{check, request};

#[test]
fn what_it_knows_of_the_user() {
    check(
        "accounts { A { users: [{user: ann, password: p}] } }",
        Some("ann"),
        &request("$SYS.REQ.USER.INFO"),
        expect![[r#"
            request $SYS.REQ.USER.INFO, by user "ann" of account "A"

              user "ann" at f.conf:1:24
              it has no permissions: nothing restricts it
              account "A" at f.conf:1:12
              limits: max_payload 1048576, max_control_line 4096

            $SYS.REQ.USER.INFO in "A"
            │   publish: allowed, nothing restricts it
            │   can see it: ann
            │   ann may answer: allowed, nothing restricts it
            └─ the broker itself answers a request, with what it knows of the user

            answers come to _INBOX.X.*
                subscribe: allowed, nothing restricts it
        "#]],
    );
}

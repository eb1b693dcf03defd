//! Owns the tests of warnings: a configuration in, sentences out.

use expect_test::{Expect, expect};

use super::lint;
use super::tests::load_text;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&warnings(text));
}

fn warnings(text: &str) -> String {
    let loaded = load_text(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut found = lint(&loaded.config);
    found.extend(loaded.hints);
    let lines: Vec<String> = found.iter().map(|warning| format!("{warning}\n")).collect();
    lines.concat()
}

#[test]
fn what_is_sound_is_not_warned_of() {
    check("", expect![]);
    check(
        "
        no_auth_user: a
        authorization { default_permissions: {publish: x}, users: [{user: g}] }
        mappings { foo: bar, \"a.*\": [{dest: \"b.$1\", weight: 50}, {dest: \"c.$1\", weight: \"50%\"}] }
        accounts {
          A {
            users: [{user: a, permissions: {publish: [\"p.>\"], subscribe: {allow: \"s.*\", deny: \"s.x.y\"}}}]
            exports: [{stream: \"s.>\"}, {service: q, accounts: [B]}, {stream: \"t.*\", account_token_position: 2}]
          }
          B {
            users: [{user: b, connection_types: [STANDARD, WEBSOCKET]}]
            imports: [{stream: {account: A, subject: s.a}}, {stream: {account: A, subject: s.b}, prefix: p}
                      {service: {account: A, subject: q}, to: x}]
          }
        }",
        expect![],
    );
}

#[test]
fn exports_that_nobody_can_import() {
    check(
        "accounts { A {\n exports: [{stream: s}\n {service: q}] } }",
        expect![[r#"
            main.conf:2:12: nobody can import the stream "s": there is no other account
            main.conf:3:2: nobody can import the service "q": there is no other account
        "#]],
    );
    check(
        "accounts { A {\n exports: [{stream: s, accounts: [A]}\n {service: q, accounts: [A, B]}] }, B {} }",
        expect![[r#"
            main.conf:2:12: nobody can import the stream "s": it is only for the account itself
        "#]],
    );
    check(
        "accounts { A {\n exports: [{stream: \"s.*\", account_token_position: 2}] }, \"b.c\" {} }",
        expect![[r#"
            main.conf:2:12: nobody can import the stream "s.*": no other account has a name that can be token 2
        "#]],
    );
    check(
        "accounts { A {\n exports: [{stream: s, accounts: []}] }, B {} }",
        expect![[r#"
            main.conf:2:24: "accounts" is empty, so that every account may import this
        "#]],
    );
}

#[test]
fn imports_that_another_covers() {
    let imports = |imports: &str| {
        format!(
            "accounts {{ A {{ exports: [{{stream: \">\"}}, {{service: \">\"}}] }}, C {{ exports: [{{service: \">\"}}] }}\n B {{ imports: [{imports}] }} }}"
        )
    };
    let stream = |subject: &str, rest: &str| {
        format!("\n{{stream: {{account: A, subject: \"{subject}\"}}{rest}}}")
    };
    let service = |account: &str, to: &str| {
        format!("\n{{service: {{account: {account}, subject: q}}, to: \"{to}\"}}")
    };
    check(
        &imports(&[stream("a.b", ""), stream("a.*", "")].concat()),
        expect![[r#"
            main.conf:3:1: every message of this import arrives by the one at main.conf:4:1, too, and so twice
        "#]],
    );
    check(
        &imports(&[stream("a.*", ""), stream("a.b", "")].concat()),
        expect![[r#"
            main.conf:4:1: every message of this import arrives by the one at main.conf:3:1, too, and so twice
        "#]],
    );
    check(
        &imports(&[stream("a.*", ", to: \"x.$1\""), stream("a.b", ", to: x.b")].concat()),
        expect![[r#"
            main.conf:4:1: every message of this import arrives by the one at main.conf:3:1, too, and so twice
        "#]],
    );
    check(
        &imports(&[stream("a.*", ", prefix: p"), stream("a.b", "")].concat()),
        expect![],
    );
    check(
        &imports(&[service("A", "x.*"), service("C", "x.y")].concat()),
        expect![[r#"
            main.conf:4:1: every request that this import takes is taken by the one at main.conf:3:1, too
        "#]],
    );
    check(
        &imports(&[service("A", "x"), service("C", "x")].concat()),
        expect![[r#"
            main.conf:4:1: every request that this import takes is taken by the one at main.conf:3:1, too
        "#]],
    );
    check(
        &imports(&[service("A", "x"), service("A", "y")].concat()),
        expect![],
    );
    check(
        &imports(
            "\n{stream: {account: A, subject: s}, share: true}\n{service: {account: A, subject: q}, prefix: p}",
        ),
        expect![[r#"
            main.conf:3:1: "share" has no effect on the import of a stream
            main.conf:4:1: "prefix" has no effect on the import of a service
        "#]],
    );
}

#[test]
fn mappings_that_are_never_used_or_take_less_than_all() {
    check(
        "mappings {\n \"a.>\": \"b.>\"\n a.x: c\n \"*.x\": \"d.$1\"\n \"a.*\": \"e.$1\" }",
        expect![[r#"
            main.conf:5:2: the mapping of "a.*" is never used: that of "a.>" at main.conf:2:2 comes first
        "#]],
    );
    check(
        "mappings {\n foo: [{dest: bar, weight: 30}] }",
        expect![[r#"
        main.conf:2:2: 70% of what is published to "foo" stay there: the weights are 30 together
    "#]],
    );
    check(
        "mappings {\n foo: [{dest: foo, weight: 30}] }",
        expect![[r#"
        main.conf:2:2: 70% of what is published to "foo" are lost: the weights are 30 together, and it is a destination itself
    "#]],
    );
    check(
        "mappings {\n foo: []\n bar: {dest: x, weight: 0} }",
        expect![[r#"
            main.conf:2:2: the mapping of "foo" changes nothing
            main.conf:3:2: the mapping of "bar" changes nothing
        "#]],
    );
    check(
        "mappings {\n foo: [{dest: a, weight: 40, cluster: c}, {dest: b, weight: 100}]\n bar: {dest: a, weight: 100, cluster: c} }",
        expect![[r#"
            main.conf:2:2: 60% of what is published to "foo" stay there in the cluster "c": the weights are 40 together
        "#]],
    );
    check(
        "accounts { A { mappings {\n \"*\": \"x.{{split(1,.)}}\"\n y: \"a{{wildcard(1)}}\" } } }",
        expect![[r#"
            main.conf:2:7: "{{split(1," in "x.{{split(1,.)}}" is taken as it is written: a function must be a whole token
            main.conf:3:5: "a{{wildcard(1)}}" in "a{{wildcard(1)}}" is taken as it is written: a function must be a whole token
        "#]],
    );
}

#[test]
fn permissions_that_can_never_match() {
    let of = |permissions: &str| {
        format!("authorization {{ users: [{{user: a, permissions: {{\n{permissions} }}}}] }}")
    };
    check(
        &of("publish: {allow: [a.b, c], deny: \"a.*\"}"),
        expect![[r#"
        main.conf:2:19: "a.b" can never be allowed: "a.*" at main.conf:2:34 denies it
    "#]],
    );
    check(
        &of("publish: {allow: [a.b], deny: [c, a.b.c]}"),
        expect![[r#"
        main.conf:2:32: "c" is denied for nothing: nothing of it is allowed
        main.conf:2:35: "a.b.c" is denied for nothing: nothing of it is allowed
    "#]],
    );
    check(
        &of("publish: {allow: \"a.*\", deny: a.b.c}\nsubscribe: {allow: \"a.*\", deny: a.b.c}"),
        expect![[r#"
            main.conf:2:31: "a.b.c" is denied for nothing: nothing of it is allowed
        "#]],
    );
    check(
        &of("subscribe: {allow: [\"a q\", b], deny: [a, \"b q\"]}"),
        expect![[r#"
            main.conf:2:21: "a q" can never be allowed: "a" at main.conf:2:39 denies it
        "#]],
    );
    check(&of("publish: {deny: a}"), expect![]);
    check(
        "authorization {\n default_permissions: {publish: x}\n users: [{user: a, permissions: {}}] }",
        expect![[r#"
            main.conf:2:33: the default permissions are for nobody: every user has its own
        "#]],
    );
    check(
        "mappings { a: b }\nauthorization { users: [{user: u, permissions: {publish: [a, b]}}] }",
        expect![[r#"
            main.conf:2:59: "a" can never be published to: it is mapped at main.conf:1:12, and permissions are for where it goes
        "#]],
    );
    for stays in [
        "a: {dest: b, weight: 100, cluster: east}",
        "a: [{dest: b, weight: 60}, {dest: c, weight: 40, cluster: east}]",
        "\"*\": \"b.$1\", a: {dest: c, weight: 30}",
    ] {
        let file = format!(
            "mappings {{ {stays} }}\nauthorization {{ users: [{{user: u, permissions: {{publish: a}}}}] }}"
        );
        let found = warnings(&file);
        assert!(!found.contains("never be published"), "{stays}: {found}");
    }
    check(
        "mappings { a: b, c: a }\nauthorization { users: [{user: u, permissions: {publish: [a, b]}}] }",
        expect![],
    );
}

#[test]
fn users_that_cannot_connect() {
    check(
        "authorization { users: [\n{user: a, connection_types: [WEBSOCKET, MQTT]}\n{user: b, connection_types: [standard]}] }",
        expect![[r#"
            main.conf:2:1: the user "a" can never connect: there are no connections of type WEBSOCKET, MQTT
        "#]],
    );
    check(
        "accounts { A { users: [\n{user: a, connection_types: [LEAFNODE]}] } }",
        expect![[r#"
            main.conf:2:1: the user "a" can never connect: there are no connections of type LEAFNODE
        "#]],
    );
}

#[test]
fn strangers_that_reach_far() {
    let file = |users: &str| {
        format!(
            "no_auth_user: a\naccounts {{ A {{ users: [{users}]\n imports: [\n {{stream: {{account: B, subject: s}}, to: x}}\n {{service: {{account: B, subject: q}}}}] }}\n B {{ exports: [{{stream: s}}, {{service: q}}] }} }}"
        )
    };
    check(
        &file("{user: a}"),
        expect![[r#"
        main.conf:1:1: clients without credentials can subscribe to "s" of "B", as "a", by the import at main.conf:4:2
        main.conf:1:1: clients without credentials can make requests to "q" of "B", as "a", by the import at main.conf:5:2
    "#]],
    );
    check(
        &file("{user: a, permissions: {publish: p, subscribe: {deny: x}}}"),
        expect![],
    );
    check(
        &file("{user: a, permissions: {publish: q, subscribe: p}}"),
        expect![[r#"
            main.conf:1:1: clients without credentials can make requests to "q" of "B", as "a", by the import at main.conf:5:2
        "#]],
    );
    check(
        "no_auth_user: a\naccounts { \"$SYS\" { users: [{user: a}] } }",
        expect![[r#"
            main.conf:1:1: clients without credentials are in the system account, as "a"
        "#]],
    );
    check(
        "no_auth_user: a\nauthorization { users: [{user: a, password: \"$2a$11$abcdefghijklmnopqrstuudMegMbPN37MbpdEfAtP66w1z0RBCtLG\"}] }",
        expect![[r#"
            main.conf:1:1: the password of "a" is a bcrypt hash, so that clients without one are all refused
        "#]],
    );
}

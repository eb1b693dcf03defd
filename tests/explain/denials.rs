//! What the log says of refusals: the oracle's words, then account, user, and the rule with its place.

use std::cell::RefCell;
use std::sync::Once;

use expect_test::{Expect, expect};

use super::broker::Node;
use super::config;

thread_local! {
    /// What this thread logged.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| {
            lines.push(format!("[{}] {}\n", record.level(), record.args()))
        });
    }

    fn flush(&self) {}
}

fn check(text: &str, user: Option<&str>, said: &str, expected: Expect) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Keep).expect("the only one");
        log::set_max_level(log::LevelFilter::Error);
    });
    let config = config(text).expect("nothing is wrong");
    let mut node = Node::new(&config, 1);
    let client = node.connect(user);
    LINES.with_borrow_mut(Vec::clear);
    node.say(client, said);
    let heard: String = node
        .hear(client)
        .iter()
        .map(|line| format!("{line:?}\n"))
        .collect();
    let lines = LINES.with_borrow(|lines| lines.concat());
    expected.assert_eq(&(lines + &heard));
}

const RULES: &str = "max_subscription_tokens: 3
accounts {
  A {
    users: [
      {user: bob, password: p, permissions: {
        publish: {allow: [\"foo.*\", bar], deny: \"foo.no\"}
        subscribe: {allow: [\"in.>\", \"work q\"], deny: \"in.no\"}
      }}
      {user: eve, password: p, permissions: {allow_responses: true}}
    ]
    mappings { \"to.*\": \"$1\" }
  }
}
";

#[test]
fn publishes() {
    let said = "PUB foo.no 0\r\n\r\nPUB else 0\r\n\r\nPUB to.else 0\r\n\r\nPUB foo.a _R_.x 0\r\n\r\nPUB $GR.x 0\r\n\r\n";
    check(
        RULES,
        Some("bob"),
        said,
        expect![[r#"
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Publish Violation - Subject "foo.no", Account "A", User "bob", denied by "foo.no" at f.conf:6:48
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Publish Violation - Subject "else", Account "A", User "bob", allowed by none of the rules at f.conf:6:27
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Publish Violation - Subject "else", Account "A", User "bob", allowed by none of the rules at f.conf:6:27
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Publish Violation - Reply "_R_.x", Account "A", User "bob", reserved for the server
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Publish Violation - Subject "$GR.x", Account "A", User "bob", allowed by none of the rules at f.conf:6:27
            Error("Permissions Violation for Publish to \"foo.no\"")
            Error("Permissions Violation for Publish to \"else\"")
            Error("Permissions Violation for Publish to \"else\"")
            Error("Permissions Violation for Publish with Reply of \"_R_.x\"")
            Error("Permissions Violation for Publish to \"$GR.x\"")
        "#]],
    );
    check(
        RULES,
        Some("eve"),
        "PUB foo 0\r\n\r\n",
        expect![[r#"
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:eve" - Publish Violation - Subject "foo", Account "A", User "eve", only answers are allowed, and it is no answer that is due
            Error("Permissions Violation for Publish to \"foo\"")
        "#]],
    );
    check(
        "port: 1",
        None,
        "PUB $GR.x 0\r\n\r\n",
        expect![[r#"
        [ERROR] 127.0.0.1:4711 - cid:5 - Publish Violation - Subject "$GR.x", Account "$G", reserved for the server
        Error("Permissions Violation for Publish to \"$GR.x\"")
    "#]],
    );
}

#[test]
fn subscriptions() {
    let said = "SUB in.no 1\r\nSUB out 2\r\nSUB work 3\r\nSUB work x 4\r\nSUB in.a _sys_ 5\r\nSUB in.a.b.c 6\r\n";
    check(
        RULES,
        Some("bob"),
        said,
        expect![[r#"
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Subscription Violation - Subject "in.no", SID 1, Account "A", User "bob", denied by "in.no" at f.conf:7:54
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Subscription Violation - Subject "out", SID 2, Account "A", User "bob", allowed by none of the rules at f.conf:7:29
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Subscription Violation - Subject "work", SID 3, Account "A", User "bob", allowed by none of the rules at f.conf:7:29
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Subscription Violation - Subject "work", Queue: "x", SID 4, Account "A", User "bob", allowed by none of the rules at f.conf:7:29
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Subscription Violation - Subject "in.a", Queue: "_sys_", SID 5, Account "A", User "bob", reserved for the server
            [ERROR] 127.0.0.1:4711 - cid:5 - "A/user:bob" - Subscription Violation Too Many Tokens - Subject "in.a.b.c", SID 6, Account "A", User "bob", more than 3 tokens
            Error("Permissions Violation for Subscription to \"in.no\"")
            Error("Permissions Violation for Subscription to \"out\"")
            Error("Permissions Violation for Subscription to \"work\"")
            Error("Permissions Violation for Subscription to \"work\" using queue \"x\"")
            Error("Permissions Violation for Subscription to \"in.a\" using queue \"_sys_\"")
            Error("Permissions Violation for Subscription to \"in.a.b.c\", too many tokens")
        "#]],
    );
}

//! Permissions as data in, data out. Every line of the tables was run against the oracle.

use proptest::prelude::*;

use super::*;
use crate::auth::{permission_fixture, try_permission_fixture};
use crate::subject::{is_subscribable, pattern_matches};

const DENY: &str = "-pub x.* -pub y.> -sub c.* -sub d.> -sub e";
const ALLOW: &str = "pub b.* pub a.> sub b.* sub a.> sub f";
const BOTH: &str = "pub p.> -pub p.no.* sub > -sub s.no.*";
const QUEUES: &str =
    "sub foo,v1 sub foo,v2.* sub bar sub baz sub baz,q sub >,*.dev -sub bar,bad -sub zed,>";
const QUEUES_ONLY: &str = "sub >,*.dev sub *.x -sub deny.me,*.dev -sub all.*";
const QUEUES_DENIED: &str = "-sub foo,bad -sub w.*,bad.*";
const EMPTY: &str = "pub sub";

/// Splits `SUBJECT` or `SUBJECT QUEUE`.
fn split(text: &str) -> (&[u8], Option<&[u8]>) {
    match text.split_once(' ') {
        Some((pattern, queue)) => (pattern.as_bytes(), Some(queue.as_bytes())),
        None => (text.as_bytes(), None),
    }
}

/// `yes` and `no` are separated by commas.
fn check(permissions: &str, ask: impl Fn(&Permissions, &str) -> bool, yes: &str, no: &str) {
    let compiled = permission_fixture(permissions);
    for (list, expected) in [(yes, true), (no, false)] {
        for text in list.split(',').filter(|text| !text.is_empty()) {
            assert_eq!(ask(&compiled, text), expected, "{permissions}: {text}");
        }
    }
}

fn check_publish(permissions: &str, yes: &str, no: &str) {
    check(
        permissions,
        |permissions, subject| permissions.publish(subject.as_bytes()).is_allowed(),
        yes,
        no,
    );
}

fn check_subscribe(permissions: &str, yes: &str, no: &str) {
    let ask = |permissions: &Permissions, text: &str| {
        let (pattern, queue) = split(text);
        permissions.subscribe(pattern, queue).is_allowed()
    };
    check(permissions, ask, yes, no);
}

/// What a subscription gets of `published` when all of it matches.
fn check_delivery(permissions: &str, subscription: &str, published: &str, expected: &str) {
    let compiled = permission_fixture(permissions);
    let (pattern, queue) = split(subscription);
    assert!(
        compiled.subscribe(pattern, queue).is_allowed(),
        "{permissions}: {subscription}"
    );
    let needs_filter = compiled.subscription_needs_filter(pattern, queue);
    let published = published
        .split(' ')
        .filter(|subject| pattern_matches(pattern, subject.as_bytes()));
    let (got, filtered): (Vec<&str>, Vec<&str>) =
        published.partition(|subject| compiled.delivers(subject.as_bytes(), queue));
    assert_eq!(got.join(" "), expected, "{permissions}: {subscription}");
    assert!(
        needs_filter || filtered.is_empty(),
        "{permissions}: {subscription}"
    );
}

#[test]
fn publish_as_the_oracle() {
    check_publish(
        DENY,
        "x,x.a.b,y,y..,y.a.,a..b,>,*",
        "x.a,x.*,x.>,y.a,y.>,y.*",
    );
    check_publish(
        ALLOW,
        "b.c,b.*,b.>,a.b,a.>,a.*",
        "b,b.c.d,a,a..b,a.,.a,a.b..c,>,*",
    );
    check_publish(
        BOTH,
        "p.a,p.no,p.>,p.*,p.no.a.b,p.*.*,p.*.>",
        "p,p.no.a,p.no.>",
    );
    check_publish(EMPTY, "a,a.b", "");
    check_publish("", "a", "");
    check_publish("sub svc resp 1 1000", "", "a,_INBOX.x");
    check_publish("pub ok.> resp 1 1000", "ok.a", "a");
    check_publish("-pub no resp 1 1000", "", "a,no");
}

#[test]
fn subscribe_as_the_oracle() {
    check_subscribe(
        DENY,
        "c,c.a.b,d,*,>,*.a,*.*,*.>,> q,x.a",
        "c.a,c.*,c.>,d.a,d.*,d.>,e,e q,c.* q,d.a.>",
    );
    check_subscribe(
        ALLOW,
        "b.c,b.*,b.>,a.>,a.*,a.*.b,f,f q,b.> q,a.>.b",
        "b,b.c.d,*,>,*.c",
    );
    check_subscribe(EMPTY, "a", "");
    check_subscribe("", "a", "");
    check_subscribe("sub svc resp 1 1000", "svc,svc q", "a");
}

#[test]
fn subscribe_in_queue_groups_as_the_oracle() {
    check_subscribe(
        QUEUES,
        "foo v1,foo v2.x,foo v2.*,bar,baz,baz q,x a.dev,x *.dev,> a.dev,a.b a.dev,foo a.dev",
        "foo,foo v2,foo v2.>,foo v2.x.y,foo v3,bar x,bar bad,baz r,x >,> x,a.b b.a.dev,zed a.dev,zed >",
    );
    check_subscribe(
        QUEUES_ONLY,
        "x a.dev,> a.dev,q.x,q.x a.dev",
        "deny.me,deny.me a.dev,all.x a.dev,all.* a.dev,all.> a.dev,>,q.x a",
    );
    check_subscribe(
        QUEUES_DENIED,
        "foo,foo good,w.a bad,w.* bad.>,w.* good,> bad.x",
        "foo bad,w.a bad.x,w.> bad.x,w.* bad.*",
    );
}

#[test]
fn deliveries_as_the_oracle() {
    check_delivery(ALLOW, "b.>", "b.c b.c.d b b.* b.>", "b.c b.c.d b.* b.>");
    check_delivery(DENY, ">", "c.a c.a.b d d.x d.x.y e f", "c.a.b d f");
    check_delivery(DENY, "> q", "c.a c.a.b d d.x d.x.y e f", "c.a.b d f");
    check_delivery(
        BOTH,
        ">",
        "s s.no s.no.a s.no.a.b s.no.* t",
        "s s.no s.no.a.b t",
    );
    check_delivery(
        BOTH,
        "s.>",
        "s s.no s.no.a s.no.a.b s.no.* t",
        "s.no s.no.a.b",
    );
    check_delivery(
        QUEUES_ONLY,
        "> a.dev",
        "deny.me a all.x all.x.y",
        "a all.x.y",
    );
    check_delivery(QUEUES_ONLY, "*.x a.dev", "deny.x all.x", "deny.x");
    check_delivery(QUEUES_ONLY, "*.x", "deny.x all.x", "deny.x");
    check_delivery(QUEUES_DENIED, "> bad", "foo w.a a", "w.a a");
    check_delivery(QUEUES_DENIED, "> bad.x", "foo w.a a", "foo a");
    check_delivery(QUEUES_DENIED, "> good", "foo w.a a", "foo w.a a");
    check_delivery(QUEUES_DENIED, ">", "foo w.a a", "foo w.a a");
}

#[test]
fn most_subscriptions_need_no_filter() {
    let needs = |permissions: &str, text: &str| {
        let (pattern, queue) = split(text);
        permission_fixture(permissions).subscription_needs_filter(pattern, queue)
    };
    assert!(needs(DENY, ">") && needs(DENY, "*.a") && needs(DENY, "> q"));
    assert!(!needs(DENY, "x.>") && !needs(DENY, "c") && !needs(DENY, "c.*.*"));
    assert!(!needs(ALLOW, "b.>"));
    assert!(needs(QUEUES_DENIED, "> bad") && needs(QUEUES_DENIED, "w.> bad.x"));
    assert!(!needs(QUEUES_DENIED, ">") && !needs(QUEUES_DENIED, "> good"));
    assert!(
        permission_fixture(DENY).filters_deliveries()
            && !permission_fixture(ALLOW).filters_deliveries()
    );
}

#[test]
fn decisions_name_their_rule() {
    let permissions = permission_fixture("pub a.> -pub a.no sub foo,v* -sub >,x");
    for (decision, expected) in [
        (
            permissions.publish(b"a.b"),
            "allowed by \"a.>\" (test.conf:1:1)",
        ),
        (
            permissions.publish(b"a.no"),
            "denied by \"a.no\" (test.conf:2:1)",
        ),
        (permissions.publish(b"b"), "denied, no rule allows it"),
        (
            permissions.subscribe(b"foo", Some(b"v*")),
            "allowed by \"foo v*\" (test.conf:3:1)",
        ),
        (
            permissions.subscribe(b"foo", Some(b"x")),
            "denied, no rule allows it",
        ),
        (
            permission_fixture("").publish(b"a"),
            "allowed, nothing restricts it",
        ),
        (
            permission_fixture("-sub >,x").subscribe(b"foo", Some(b"x")),
            "denied by \"> x\" (test.conf:1:1)",
        ),
    ] {
        assert_eq!(decision.to_string(), expected);
    }
}

#[test]
fn wrong_rules_are_all_reported() {
    let errors =
        try_permission_fixture("pub a..b pub ok -pub x,queue sub foo,.q -sub .").unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "test.conf:1:1: subject \"a..b\" is not a valid subject",
            "test.conf:3:1: subject \"x queue\" is not a valid subject",
            "test.conf:4:1: queue \".q\" is not a valid queue",
            "test.conf:5:1: subject \".\" is not a valid subject",
        ]
    );
}

#[test]
fn responses_have_the_oracle_s_defaults() {
    let responses = |text| permission_fixture(text).responses();
    assert_eq!(responses(""), None);
    assert_eq!(
        responses("resp 0 0"),
        Some(ResponsePermission {
            messages_max: 1,
            expires_ms: 120_000
        })
    );
    assert_eq!(
        responses("resp -1 -1"),
        Some(ResponsePermission {
            messages_max: -1,
            expires_ms: -1
        })
    );
}

#[test]
fn what_is_reserved_for_everybody() {
    for yes in [
        "_GR_.x",
        "_GR_.xxxxxx.yyyyyyyy.zz",
        "$GR.x",
        "$GR.x.y.z",
        "$NRG.x",
        "$NRG.",
    ] {
        assert!(subject_is_reserved(yes.as_bytes(), false), "{yes}");
    }
    for no in [
        "_GR_.",
        "_GR_",
        "$GR.",
        "$GR",
        "$GRX.x",
        "$GNR.x",
        "$NRG",
        "_R_.x",
        "$JS.ACK.x",
        "$SYS.x",
    ] {
        assert!(!subject_is_reserved(no.as_bytes(), false), "{no}");
    }
    assert!(!subject_is_reserved(b"$NRG.x", true) && subject_is_reserved(b"$GR.x", true));
    for yes in ["_R_.x", "_R_.", "_GR_.x", "$GR.x", "$JS.ACK.x"] {
        assert!(reply_is_reserved(yes.as_bytes()), "{yes}");
    }
    for no in ["_R_", "_GR_.", "$GR.", "$JS.ACK.", "$NRG.x", "_INBOX.x"] {
        assert!(!reply_is_reserved(no.as_bytes()), "{no}");
    }
    assert!(queue_is_reserved(b"_sys_") && !queue_is_reserved(b"sys"));
}

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", r"\*", ">"], 1..4)
        .prop_map(|tokens| tokens.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    name().prop_filter("a pattern", |name| is_subscribable(name.as_bytes()))
}

proptest! {
    /// The rules taken one by one, as the manual describes them.
    #[test]
    fn agrees_with_a_list(
        allow in proptest::collection::vec((pattern(), proptest::option::of(pattern())), 0..4),
        deny in proptest::collection::vec((pattern(), proptest::option::of(pattern())), 0..4),
        subject in name(),
        queue in proptest::option::of(pattern()),
    ) {
        let text = |sign: &str, (subject, queue): &(String, Option<String>)| match queue {
            Some(queue) => format!("{sign}sub {subject},{queue} "),
            None => format!("{sign}sub {subject} "),
        };
        let text: String = allow.iter().map(|rule| text("", rule)).chain(deny.iter().map(|rule| text("-", rule))).collect();
        let compiled = permission_fixture(&text);

        let says = |rules: &[(String, Option<String>)]| {
            let matching: Vec<_> = rules.iter().filter(|rule| pattern_matches(rule.0.as_bytes(), subject.as_bytes())).collect();
            let plain = matching.iter().any(|rule| rule.1.is_none());
            let queues: Vec<_> = matching.iter().filter_map(|rule| rule.1.as_ref()).collect();
            let queued = queue.as_ref().map(|queue| queues.iter().any(|own| queue_matches(own, queue.as_bytes())));
            (plain, queued.filter(|_| !queues.is_empty()))
        };
        let (plain, queued) = says(&allow);
        let allowed = allow.is_empty() || queued.unwrap_or(plain);
        let (plain, queued) = says(&deny);
        let denied = plain || queued == Some(true);
        let queue = queue.as_ref().map(|queue| queue.as_bytes());
        prop_assert_eq!(compiled.subscribe(subject.as_bytes(), queue).is_allowed(), allowed && !denied);
        prop_assert_eq!(compiled.delivers(subject.as_bytes(), queue), !denied);
    }

    #[test]
    fn without_need_nothing_is_filtered(
        deny in proptest::collection::vec(pattern(), 0..4),
        subscription in pattern(),
        subject in name(),
    ) {
        let text: String = deny.iter().map(|rule| format!("-sub {rule} ")).collect();
        let compiled = permission_fixture(&text);
        let subscribed = compiled.subscribe(subscription.as_bytes(), None).is_allowed();
        if subscribed && pattern_matches(subscription.as_bytes(), subject.as_bytes()) {
            let needs = compiled.subscription_needs_filter(subscription.as_bytes(), None);
            prop_assert!(needs || compiled.delivers(subject.as_bytes(), None));
        }
    }
}

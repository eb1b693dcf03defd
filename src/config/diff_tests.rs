//! What a reload tells, does and refuses.

use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::config::load_with;

fn config(text: &str) -> Config {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded = load_with(Path::new("f.conf"), &|_| None, &read);
    loaded.expect("nothing is wrong").config
}

fn check(old: &str, new: &str, expected: Expect) {
    let shown = match diff(&config(old), &config(new)) {
        Ok(plan) => {
            let changed = [
                ("log output", plan.log_output),
                ("log levels", plan.log_levels),
                ("pid file", plan.pid_file),
                ("ports file", plan.ports_file),
                ("fewer connections", plan.fewer_connections),
            ];
            let changed = changed.into_iter().filter(|(_, is)| *is);
            let lines = changed.map(|(name, _)| format!("({name})"));
            plan.told.into_iter().chain(lines).collect::<Vec<_>>()
        }
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn accounts_and_users_are_always_taken_for_changed() {
    check(
        "debug: false",
        "debug: false",
        expect![[r#"
        Reloaded: authorization users
        Reloaded: accounts"#]],
    );
}

/// As the oracle, asked for each of these, has it: the order of users says nothing, that of rules does.
#[test]
fn users_with_nkeys() {
    const A: &str = "UCNGL4W5QX66CFX6A6DCBVDH5VOHMI7B2UZZU7TXAUQQSI2JPHULCKBR";
    const B: &str = "UADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQPL3S";
    let told = |old: &str, new: &str| {
        let filled = |text: &str| config(&text.replace("$A", A).replace("$B", B));
        let plan = diff(&filled(old), &filled(new)).expect("it can change");
        plan.told
            .contains(&"Reloaded: authorization nkey users".to_owned())
    };
    let users = |users: &str| format!("authorization {{ users: [ {users} ] }}");
    let cases = [
        (false, "{nkey: $A}, {nkey: $B}", "{nkey: $B}, {nkey: $A}"),
        (false, "{user: a, password: b}", "{user: a, password: c}"),
        (true, "{nkey: $A}", "{nkey: $A}, {nkey: $B}"),
        (true, "{nkey: $A}", "{nkey: $A, permissions: {publish: x}}"),
        (
            true,
            "{nkey: $A, permissions: {publish: [x, y]}}",
            "{nkey: $A, permissions: {publish: [y, x]}}",
        ),
        (
            true,
            "{nkey: $A}",
            "{nkey: $A, allowed_connection_types: [STANDARD]}",
        ),
    ];
    for (expected, old, new) in cases {
        assert_eq!(told(&users(old), &users(new)), expected, "{old} to {new}");
    }
    let with_default = |users: &str| {
        format!("authorization {{ users: [ {users} ], default_permissions: {{publish: x}} }}")
    };
    let (plain, own) = ("{nkey: $A}", "{nkey: $A, permissions: {publish: y}}");
    assert!(told(&users(plain), &with_default(plain)));
    assert!(!told(&users(own), &with_default(own)));
    let account = "accounts { A { users: [{nkey: $A}] } }";
    assert!(told(account, account), "accounts are taken for changed");
}

#[test]
fn what_may_change_is_told_in_the_oracles_order() {
    check(
        "max_payload: 100",
        "write_deadline: \"7s\"
         ping_interval: \"50ms\"
         ping_max: 100
         max_payload: 10
         max_control_line: 512
         max_connections: 7
         no_fast_producer_stall: true
         log_file: \"one.log\"
         pid_file: \"x.pid\"
         ports_file_dir: \".\"
         logtime: false
         logtime_utc: true
         debug: true
         trace: true
         max_traced_msg_len: 3
         client_advertise: \"one:4711\"
         authorization { token: t, timeout: 0.5 }",
        expect![[r#"
            Reload: client_advertise = one:4711
            Reloaded: trace = true
            Reloaded: debug = true
            Reloaded: logtime = false
            Reloaded: logtime_utc = true
            Reloaded: max_connections = 7
            Reloaded: authorization users
            Reloaded: accounts
            Reloaded: authorization token
            Reloaded: ping_interval = 50ms
            Reloaded: ping_max = 100
            Reloaded: authorization timeout = 0.5
            Reloaded: max_control_line = 512
            Reloaded: max_payload = 10
            Reloaded: fast producers will not be stalled
            Reloaded: pid_file = x.pid
            Reloaded: ports_file_dir = .
            Reloaded: log_file = one.log
            Reloaded: write_deadline = 7s
            Reloaded: max_traced_msg_len = 3
            (log output)
            (log levels)
            (pid file)
            (ports file)
            (fewer connections)"#]],
    );
}

#[test]
fn what_must_stay_is_refused_all_at_once_and_where_it_stands() {
    check(
        "server_name: one\nlisten: \"127.0.0.1:4000\"\nmax_subscriptions: 7",
        "server_name: two
port: 4711
max_pending: 200000000
max_subscription_tokens: 5
no_header_support: true
log_size_limit: 100000
no_system_account: true
max_payload: 77",
        expect![[r#"
            f.conf:1:1: config reload not supported for ServerName: old=one, new=two
            f.conf:2:1: config reload not supported for Host: old=127.0.0.1, new=0.0.0.0
            f.conf:2:1: config reload not supported for Port: old=4000, new=4711
            f.conf:5:1: config reload not supported for NoHeaderSupport: old=false, new=true
            f.conf:3:1: config reload not supported for MaxSubs: old=7, new=0
            f.conf:4:1: config reload not supported for MaxSubTokens: old=0, new=5
            f.conf:3:1: config reload not supported for MaxPending: old=67108864, new=200000000
            f.conf:6:1: config reload not supported for LogSizeLimit: old=0, new=100000
            f.conf:7:1: config reload not supported for NoSystemAccount: old=false, new=true"#]],
    );
}

#[test]
fn who_stands_in_may_only_go_together_with_the_user() {
    let with = |no_auth_user: &str, users: &str| {
        format!("authorization {{ users: [{users}] }}\n{no_auth_user}")
    };
    let (a, both) = (
        "{user: a, password: p}",
        "{user: a, password: p}, {user: b, password: p}",
    );
    check(
        &with("", a),
        &with("no_auth_user: a", a),
        expect!["f.conf:2:1: config reload not supported for NoAuthUser: old=, new=a"],
    );
    check(
        &with("no_auth_user: b", both),
        &with("", both),
        expect!["f.conf:2:1: config reload not supported for NoAuthUser: old=b, new="],
    );
    check(
        &with("no_auth_user: b", both),
        &with("", a),
        expect![[r#"
        Reloaded: authorization users
        Reloaded: accounts"#]],
    );
}

#[test]
fn the_system_account_stays_under_whatever_name_it_was_given() {
    check(
        "accounts { S {} }",
        "accounts { S {} }, system_account: S",
        expect!["f.conf:1:20: config reload not supported for SystemAccount: old=$SYS, new=S"],
    );
    check(
        "accounts { $SYS {} }, system_account: \"$SYS\"",
        "accounts { $SYS {} }",
        expect![[r#"
            Reloaded: authorization users
            Reloaded: accounts"#]],
    );
}

#[test]
fn a_free_port_stays_the_one_it_is() {
    check(
        "port: 4711",
        "port: -1",
        expect![[r#"
        Reloaded: authorization users
        Reloaded: accounts"#]],
    );
}

#[test]
fn durations_are_written_as_the_oracle_writes_them() {
    for (ms, expected) in [
        (0, "0s"),
        (50, "50ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (1_500, "1.5s"),
        (60_000, "1m0s"),
        (600_000, "10m0s"),
        (61_001, "1m1.001s"),
        (3_600_000, "1h0m0s"),
        (5_400_500, "1h30m0.5s"),
    ] {
        assert_eq!(duration(ms), expected, "{ms}");
    }
}

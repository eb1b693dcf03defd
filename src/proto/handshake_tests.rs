//! INFO and CONNECT as data in, data out; what is expected was read off the oracle.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn info() -> Info {
    Info {
        server_id: "NID".into(),
        server_name: "T".into(),
        version: "2.15.1".into(),
        proto: 1,
        git_commit: "b2fd3ef".into(),
        go: "go1.27.2".into(),
        host: "127.0.0.1".into(),
        port: 4222,
        headers: true,
        max_payload: 1_048_576,
        client_id: 6,
        client_ip: "127.0.0.1".into(),
        api_lvl: 5,
        xkey: "XKEY".into(),
        ..Info::default()
    }
}

fn check_info(info: &Info, expected: Expect) {
    let mut out = b"before ".to_vec();
    info.encode(&mut out);
    expected.assert_eq(&String::from_utf8(out).unwrap().replace("\r\n", "<CRLF>"));
}

fn connect(json: &[u8]) -> Result<ConnectOptions, BadConnect> {
    let mut options = ConnectOptions::default();
    parse(json, &mut options).map(|()| options)
}

fn check_connect(json: &str, expected: Expect) {
    match connect(json.as_bytes()) {
        Ok(options) => expected.assert_eq(&changes(&options)),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

/// The fields that differ from a fresh connection's.
fn changes(options: &ConnectOptions) -> String {
    let (fresh, seen) = (
        format!("{:#?}", ConnectOptions::default()),
        format!("{options:#?}"),
    );
    let fresh: Vec<&str> = fresh.lines().collect();
    let mut lines: Vec<&str> = seen
        .lines()
        .filter(|line| !fresh.contains(line))
        .map(str::trim)
        .collect();
    if options.pass.expose() != "" {
        lines.push("pass given");
    }
    lines.join(" ")
}

#[test]
fn info_when_a_connection_opens() {
    check_info(
        &info(),
        expect![[
            r#"before INFO {"server_id":"NID","server_name":"T","version":"2.15.1","proto":1,"git_commit":"b2fd3ef","go":"go1.27.2","host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"client_id":6,"client_ip":"127.0.0.1","api_lvl":5,"xkey":"XKEY"} <CRLF>"#
        ]],
    );
}

#[test]
fn info_behind_the_first_pong() {
    let second = Info {
        connect_info: true,
        remote_account: "SYS".into(),
        acc_is_sys: true,
        auth_required: true,
        ..info()
    };
    check_info(
        &second,
        expect![[
            r#"before INFO {"server_id":"NID","server_name":"T","version":"2.15.1","proto":1,"git_commit":"b2fd3ef","go":"go1.27.2","host":"127.0.0.1","port":4222,"headers":true,"auth_required":true,"max_payload":1048576,"client_id":6,"client_ip":"127.0.0.1","connect_info":true,"remote_account":"SYS","acc_is_sys":true,"api_lvl":5,"xkey":"XKEY"} <CRLF>"#
        ]],
    );
}

#[test]
fn info_with_everything() {
    let full = Info {
        headers: false,
        auth_required: true,
        tls_required: true,
        tls_verify: true,
        tls_available: true,
        max_payload: -1,
        jetstream: true,
        nonce: "5xI6p0oqKCjxnNU".into(),
        cluster: "c".into(),
        domain: "hub".into(),
        connect_urls: vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()],
        ldm: true,
        connect_info: true,
        remote_account: "$G".into(),
        acc_is_sys: true,
        ..info()
    };
    check_info(
        &full,
        expect![[
            r#"before INFO {"server_id":"NID","server_name":"T","version":"2.15.1","proto":1,"git_commit":"b2fd3ef","go":"go1.27.2","host":"127.0.0.1","port":4222,"headers":false,"auth_required":true,"tls_required":true,"tls_verify":true,"tls_available":true,"max_payload":-1,"jetstream":true,"client_id":6,"client_ip":"127.0.0.1","nonce":"5xI6p0oqKCjxnNU","cluster":"c","domain":"hub","connect_urls":["127.0.0.1:1","127.0.0.1:2"],"ldm":true,"connect_info":true,"remote_account":"$G","acc_is_sys":true,"api_lvl":5,"xkey":"XKEY"} <CRLF>"#
        ]],
    );
}

#[test]
fn info_without_anything_that_may_be_absent() {
    check_info(
        &Info::default(),
        expect![[
            r#"before INFO {"server_id":"","server_name":"","version":"","proto":0,"go":"","host":"","port":0,"headers":false,"max_payload":0} <CRLF>"#
        ]],
    );
}

#[test]
fn info_escapes_what_the_oracle_escapes() {
    let named = Info {
        server_name: "a<b>&\"\\é\u{2028}\u{1}\u{7f}\t".into(),
        ..Info::default()
    };
    check_info(
        &named,
        expect![[
            r#"before INFO {"server_id":"","server_name":"a\u003cb\u003e\u0026\"\\é\u2028\u0001\t","version":"","proto":0,"go":"","host":"","port":0,"headers":false,"max_payload":0} <CRLF>"#
        ]],
    );
}

#[test]
fn connect_says_nothing() {
    check_connect("{}", expect![""]);
    check_connect("null", expect![""]);
    let fresh = ConnectOptions::default();
    assert!(fresh.verbose && fresh.pedantic && fresh.echo && !fresh.headers);
}

#[test]
fn connect_as_clients_send_it() {
    check_connect(
        r#"{"verbose":false,"pedantic":false,"tls_required":false,"name":"n","lang":"rust","version":"0.5","protocol":1,"echo":false,"headers":true,"no_responders":true,"user":"u","pass":"p","auth_token":"t","jwt":"j","nkey":"U","sig":"s"}"#,
        expect![[
            r#"verbose: false, pedantic: false, echo: false, headers: true, no_responders: true, protocol: 1, user: "u", nkey: "U", name: "n", lang: "rust", version: "0.5", pass given"#
        ]],
    );
}

#[test]
fn names_match_in_any_case_and_the_last_wins() {
    check_connect(r#"{"VERBOSE":false}"#, expect!["verbose: false,"]);
    check_connect(r#"{"Verbose":false,"verbose":true}"#, expect![]);
    check_connect(
        r#"{"verbose":true,"VERBOSE":false}"#,
        expect!["verbose: false,"],
    );
    check_connect(
        r#"{"verbo\u0073e":false,"verbo":1}"#,
        expect!["verbose: false,"],
    );
    check_connect(
        "{\"verbo\u{17f}e\":false,\"n\u{212a}ey\":\"U\"}",
        expect![[r#"verbose: false, nkey: "U","#]],
    );
}

#[test]
fn null_and_unknown_fields_change_nothing() {
    check_connect(
        r#" {"verbose":null,"name":null,"protocol":null,"x":{"a":[1,2,{"b":null}]},"client_id":"x","import":null} "#,
        expect![],
    );
    check_connect(
        r#"{"import":{"allow":["a",null],"deny":null,"x":1},"export":{}}"#,
        expect![],
    );
}

#[test]
fn wrong_types_are_refused() {
    check_connect("[]", expect!["CONNECT holds no JSON object"]);
    check_connect("\"x\"", expect!["CONNECT holds no JSON object"]);
    check_connect(
        r#"{"verbose":0}"#,
        expect![[r#"CONNECT field "verbose" is not a boolean"#]],
    );
    check_connect(
        r#"{"verbose":"false"}"#,
        expect![[r#"CONNECT field "verbose" is not a boolean"#]],
    );
    check_connect(
        r#"{"protocol":1.0}"#,
        expect![[r#"CONNECT field "protocol" is not an integer"#]],
    );
    check_connect(
        r#"{"protocol":1e0}"#,
        expect![[r#"CONNECT field "protocol" is not an integer"#]],
    );
    check_connect(
        r#"{"protocol":"1"}"#,
        expect![[r#"CONNECT field "protocol" is not an integer"#]],
    );
    check_connect(
        r#"{"protocol":99999999999999999999}"#,
        expect![[r#"CONNECT field "protocol" is not an integer"#]],
    );
    check_connect(
        r#"{"name":1}"#,
        expect![[r#"CONNECT field "name" is not a string"#]],
    );
    check_connect(
        r#"{"PASS":{}}"#,
        expect![[r#"CONNECT field "pass" is not a string"#]],
    );
    check_connect(
        r#"{"proxy_sig":1}"#,
        expect![[r#"CONNECT field "proxy_sig" is not a string"#]],
    );
    check_connect(
        r#"{"remote_account":1}"#,
        expect![[r#"CONNECT field "remote_account" is not a string"#]],
    );
    check_connect(
        r#"{"import":1}"#,
        expect![[r#"CONNECT field "import" is not an object"#]],
    );
    check_connect(
        r#"{"import":[]}"#,
        expect![[r#"CONNECT field "import" is not an object"#]],
    );
    check_connect(
        r#"{"import":{"allow":"a"}}"#,
        expect![[r#"CONNECT field "import" is not lists of subjects"#]],
    );
    check_connect(
        r#"{"import":{"ALLOW":[1]}}"#,
        expect![[r#"CONNECT field "import" is not a string"#]],
    );
}

#[test]
fn what_is_not_json_is_refused() {
    check_connect("", expect!["CONNECT is not JSON from byte 1 on"]);
    check_connect(
        r#"{"verbose":false,}"#,
        expect!["CONNECT is not JSON from byte 18 on"],
    );
    check_connect(
        r#"{"protocol":01}"#,
        expect!["CONNECT is not JSON from byte 14 on"],
    );
    check_connect(r#"{} x"#, expect!["CONNECT is not JSON from byte 4 on"]);
    check_connect(r#"{'x':1}"#, expect!["CONNECT is not JSON from byte 2 on"]);
    check_connect(
        "{\"name\":\"a\tb\"}",
        expect!["CONNECT is not JSON from byte 11 on"],
    );
    check_connect("\u{feff}{}", expect!["CONNECT is not JSON from byte 1 on"]);
}

#[test]
fn invalid_utf8_is_replaced() {
    let options = connect(b"{\"name\":\"\xff\xfe\",\"na\xffme\":1}").unwrap();
    assert_eq!(&*options.name, "\u{fffd}\u{fffd}");
}

#[test]
fn a_second_connect_keeps_what_it_does_not_name() {
    let mut options =
        connect(br#"{"verbose":false,"user":"u","pass":"p","headers":true}"#).unwrap();
    parse(br#"{"pass":"q","headers":null,"echo":false}"#, &mut options).unwrap();
    expect![[r#"verbose: false, echo: false, headers: true, user: "u", pass given"#]]
        .assert_eq(&changes(&options));
    assert_eq!(options.pass.expose(), "q");
}

#[test]
fn refused_after_authentication() {
    let refusal = |json: &str, headers| {
        connect(json.as_bytes())
            .unwrap()
            .check(headers)
            .err()
            .map(ConnectRefusal::text)
    };
    assert_eq!(refusal("{}", true), None);
    assert_eq!(refusal(r#"{"protocol":-0}"#, true), None);
    assert_eq!(refusal(r#"{"protocol":1}"#, true), None);
    assert_eq!(
        refusal(r#"{"protocol":2}"#, true),
        Some("invalid client protocol")
    );
    assert_eq!(
        refusal(r#"{"protocol":-1}"#, true),
        Some("invalid client protocol")
    );
    assert_eq!(
        refusal(r#"{"protocol":9223372036854775807}"#, true),
        Some("invalid client protocol")
    );
    let text = Some("no responders requires headers support");
    assert_eq!(refusal(r#"{"no_responders":true}"#, true), text);
    assert_eq!(
        refusal(r#"{"no_responders":true,"headers":true}"#, true),
        None
    );
    assert_eq!(
        refusal(r#"{"no_responders":true,"headers":true}"#, false),
        text
    );
}

#[test]
fn deep_nesting_is_bounded_and_needs_no_stack() {
    let nested = |open: &str, close: &str, depth| {
        format!("{{\"x\":{}1{}}}", open.repeat(depth), close.repeat(depth))
    };
    assert!(connect(nested("[", "]", 9_999).as_bytes()).is_ok());
    assert!(connect(nested("[", "]", 10_000).as_bytes()).is_err());
    assert!(connect(nested("{\"a\":", "}", 9_999).as_bytes()).is_ok());
    assert!(connect(nested("{\"a\":", "}", 10_000).as_bytes()).is_err());
    assert!(connect("{\"x\":[".repeat(1_000_000).as_bytes()).is_err());
    assert!(connect(nested("{\"import\":", "}", 100_000).as_bytes()).is_err());
}

#[test]
fn secrets_are_not_printed() {
    let options =
        connect(br#"{"pass":"hush","auth_token":"hush","jwt":"hush","sig":"hush"}"#).unwrap();
    assert!(!format!("{options:?}").contains("hush"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(json in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Err(BadConnect::Syntax(at)) = connect(&json) {
            prop_assert!(at <= json.len());
        }
    }

    #[test]
    fn anything_like_connect_is_read_or_refused(
        json in r#"\{("(verbose|PASS|import|protocol|x|n\\u0061me)":(true|null|-?[0-9]{1,22}|"[a-zé\\\\]{0,4}"|\{"allow":\["a"\]\}|\[\[\{\}),?){0,4}\}?"#
    ) {
        if let Err(BadConnect::Syntax(at)) = connect(json.as_bytes()) {
            prop_assert!(at <= json.len());
        }
    }

    #[test]
    fn what_a_client_names_is_what_is_read(user in any::<String>(), pass in any::<String>(), protocol in any::<i64>(), echo in any::<bool>()) {
        let json = serde_json::json!({"user": user, "pass": pass, "protocol": protocol, "echo": echo, "x": [user]});
        let options = connect(&serde_json::to_vec(&json).unwrap()).unwrap();
        prop_assert_eq!((&*options.user, options.pass.expose()), (&*user, &*pass));
        prop_assert_eq!((options.protocol, options.echo), (protocol, echo));
    }
}

use data_encoding::BASE64URL_NOPAD;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::made_in_tests::{NOW, claims, key, named, public, sign};
use super::network;
use super::times::{self, Allowed};
use super::user::TimeRange;
use super::*;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The documentation's operator, account A and its user, of version 1.
const OPERATOR: &str = "eyJ0eXAiOiJqd3QiLCJhbGciOiJlZDI1NTE5In0.eyJqdGkiOiJQNDJBSkFTVVA0TUdGRU1EQzVCRVVGUkM1MlQ1M05OTzRIWkhRNEdETVk0S0RZTFVRV0JBIiwiaWF0IjoxNTc0Mzc1OTE2LCJpc3MiOiJPQ09KSk5aSUNINkNHUU5LM1NRMzVXTFpXWkpDUkRBTFJIWjZPVzQ0RFpZVVdNVVYzV1BSSEZSRCIsIm5hbWUiOiJLTyIsInN1YiI6Ik9DT0pKTlpJQ0g2Q0dRTkszU1EzNVdMWldaSkNSREFMUkhaNk9XNDREWllVV01VVjNXUFJIRlJEIiwidHlwZSI6Im9wZXJhdG9yIiwibmF0cyI6e319.pppa9-xhWXJLSCCtqj_dqlvXKR7WlVCh0cqoZ6lr8zg3WlWM8U0bNf6FHw_67-wRS7jj0n4PuA0P0MAJdE3pDA";
const USER: &str = "eyJ0eXAiOiJqd3QiLCJhbGciOiJlZDI1NTE5In0.eyJqdGkiOiJNRkM3V1E1N0hKUE9aWUVOTEhVRTZTWFVQTDVKTURWSkxIQzJRTkpYNUVJS0RGR1U1REhRIiwiaWF0IjoxNTc0Mzc1OTE2LCJpc3MiOiJBREZCMkpYWVRYT0pFTDZMTkFYRFJFVUdSWDM1Qk9MWkkzQjRQRkZBQzdJUlBSM09BNFFOS0JOMiIsIm5hbWUiOiJ0ZXN0Iiwic3ViIjoiVUFQT0syUDdFTjNVRkJMN1NCSlBRSzNNM0pNTEFMWVJZS1g1WFdTVk1WWUs2M1pNQkhUT0hWSlIiLCJ0eXBlIjoidXNlciIsIm5hdHMiOnsicHViIjp7ImFsbG93IjpbIl9JTkJPWC5cdTAwM2UiLCJfUl8iLCJfUl8uXHUwMDNlIiwidGVzdCIsInRlc3QuXHUwMDNlIl19LCJzdWIiOnsiYWxsb3ciOlsiX0lOQk9YLlx1MDAzZSIsIl9SXyIsIl9SXy5cdTAwM2UiLCJsYXRlbmN5Lm9uLnRlc3QiLCJ0ZXN0IiwidGVzdC5cdTAwM2UiXX19fQ.MSU2aUIBK1iUsg7h52lLrfEfTwVMF_wB3HDq75ECskxSyyDDMtk9_3957UtQF-3yoGCIhKOkWjzX8C-WXnLADw";

#[test]
fn the_documentations_tokens() {
    let operator = OperatorClaims::decode(OPERATOR).expect("an operator");
    assert_eq!(operator.common.name, "KO");
    assert_eq!(operator.common.version, 1);
    assert!(operator.validate(NOW).0.is_empty());
    let keys: Vec<&str> = operator.trusted_keys().collect();
    assert_eq!(
        keys,
        ["OCOJJNZICH6CGQNK3SQ35WLZWZJCRDALRHZ6OW44DZYUWMUV3WPRHFRD"]
    );
    let user = UserClaims::decode(USER).expect("a user");
    assert_eq!(
        user.account(),
        "ADFB2JXYTXOJEL6LNAXDREUGRX35BOLZI3B4PFFAC7IRPR3OA4QNKBN2"
    );
    assert_eq!(
        user.limits.permissions.publish.allowed(),
        ["_INBOX.>", "_R_", "_R_.>", "test", "test.>"]
    );
    assert_eq!(
        (user.limits.subs, user.limits.payload),
        (-1, -1),
        "version 1 limits nothing by itself"
    );
}

/// What decoding says of the user's token with this header, payload and signature put in place of its own.
fn decoded(header: &str, change: impl Fn([String; 3]) -> String) -> String {
    let claims = claims("user", "U.bob", json!({}), json!({}));
    let token = sign("A.a", claims);
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let [own, payload, _]: [String; 3] = parts.try_into().expect("three parts");
    let header = match header {
        "" => own,
        json => BASE64URL_NOPAD.encode(json.as_bytes()),
    };
    let signed = format!("{header}.{payload}");
    let signature = key("A.a").sign(signed.as_bytes()).expect("a seed");
    let signature = BASE64URL_NOPAD.encode(&signature);
    match decode(&change([header, payload, signature])) {
        Ok(claims) => format!("{} {}", claims.kind(), claims.common().name),
        Err(error) => error.to_string(),
    }
}

fn check_header(header: &str, expected: Expect) {
    expected.assert_eq(&decoded(header, |parts| parts.join(".")));
}

fn check_change(change: impl Fn([String; 3]) -> String, expected: Expect) {
    expected.assert_eq(&decoded("", change));
}

#[test]
fn only_ed25519_is_taken() {
    check_header("", expect!["user U.bob"]);
    check_header(r#"{"typ":"jwt","alg":"ED25519"}"#, expect!["user U.bob"]);
    check_header(
        r#"{"typ":"JWT","alg":"none"}"#,
        expect![[r#"signed with "none", not "ed25519-nkey""#]],
    );
    check_header(
        r#"{"typ":"JWT","alg":"HS256"}"#,
        expect![[r#"signed with "HS256", not "ed25519-nkey""#]],
    );
    check_header(
        r#"{"typ":"JWT","alg":"EdDSA"}"#,
        expect![[r#"signed with "EdDSA", not "ed25519-nkey""#]],
    );
    check_header(
        r#"{"typ":"JWT"}"#,
        expect![[r#"signed with "", not "ed25519-nkey""#]],
    );
    check_header(
        r#"{"typ":"JWE","alg":"ed25519-nkey"}"#,
        expect![[r#"the type is "JWE", not "JWT""#]],
    );
    check_header(
        "[]",
        expect!["the header: a value of another type at byte 0"],
    );
    check_header("{", expect!["the header: no JSON at byte 1"]);
}

#[test]
fn broken_tokens() {
    check_change(
        |[h, p, _]| format!("{h}.{p}"),
        expect!["not three parts with points between"],
    );
    check_change(
        |[h, p, s]| format!("{h}.{p}.{s}."),
        expect!["not three parts with points between"],
    );
    check_change(
        |[h, p, _]| format!("{h}.{p}."),
        expect!["the issuer did not sign it"],
    );
    check_change(
        |[h, p, s]| format!("{h}.{p}.{s}{s}"),
        expect!["the issuer did not sign it"],
    );
    check_change(
        |[h, p, _]| format!("{h}.{p}.***"),
        expect!["the signature is not base64url"],
    );
    check_change(
        |[h, p, s]| format!("{h}.{p}\n.{s}\n"),
        expect!["the issuer did not sign it"],
    );
    check_change(
        |[h, p, s]| format!("{h}.{p}.{s}\r\n"),
        expect!["user U.bob"],
    );
    check_change(
        |_| "x".repeat(TOKEN_BYTES_MAX + 1),
        expect!["longer than 1048576 bytes"],
    );
    check_change(
        |_| String::new(),
        expect!["not three parts with points between"],
    );
}

/// What decoding says of these claims, signed by `by`.
fn check_claims(by: &str, value: Value, expected: Expect) {
    let said = match decode(&sign(by, value)) {
        Ok(claims) => claims.kind().to_owned(),
        Err(error) => named(&error.to_string(), &[by]),
    };
    expected.assert_eq(&said);
}

#[test]
fn who_may_sign_what() {
    let of = |kind: &str| claims(kind, "A.b", json!({}), json!({}));
    check_claims("O.op", of("account"), expect!["account"]);
    check_claims("A.a", of("account"), expect!["account"]);
    check_claims(
        "U.bob",
        of("account"),
        expect![[r#""U.bob" may not issue such claims"#]],
    );
    check_claims(
        "O.op",
        of("user"),
        expect![[r#""O.op" may not issue such claims"#]],
    );
    check_claims(
        "A.a",
        of("operator"),
        expect![[r#""A.a" may not issue such claims"#]],
    );
    check_claims("O.op", of("activation"), expect!["activation"]);
    check_claims(
        "N.one",
        of("authorization_request"),
        expect!["authorization_request"],
    );
    check_claims(
        "A.a",
        of("authorization_request"),
        expect![[r#""A.a" may not issue such claims"#]],
    );
    check_claims(
        "A.a",
        of("authorization_response"),
        expect!["authorization_response"],
    );
    check_claims("U.bob", of("letter"), expect!["letter"]);
}

#[test]
fn versions_and_types() {
    let with = |patch: Value| {
        let mut value = claims("user", "U.bob", json!({}), json!({}));
        super::made_in_tests::merge(&mut value, patch);
        value
    };
    check_claims(
        "A.a",
        with(json!({"nats": {"version": 3}})),
        expect!["claims of version 3 are not known"],
    );
    check_claims(
        "A.a",
        with(json!({"nats": {"version": null}})),
        expect!["claims of version 0 are not known"],
    );
    check_claims(
        "A.a",
        with(json!({"exp": "soon"})),
        expect!["the claims: a value of another type at byte 0"],
    );
    check_claims(
        "A.a",
        with(json!({"nats": {"subs": 1.5}})),
        expect!["the claims: a value of another type at byte 0"],
    );
    check_claims(
        "A.a",
        with(json!({"nats": {"pub": {"allow": "x"}}})),
        expect!["the claims: a value of another type at byte 0"],
    );
    check_claims(
        "A.a",
        with(json!({"nats": {"crown": [1]}})),
        expect!["user"],
    );
    check_claims(
        "A.a",
        json!([1]),
        expect!["the claims: a value of another type at byte 0"],
    );
}

#[test]
fn a_list_is_no_object() {
    let with = |nats: Value| claims("account", "A.a", nats, json!({}));
    for nats in [
        json!({"limits": [1]}),
        json!({"default_permissions": {"pub": [["a"]]}}),
        json!({"exports": [["x"]]}),
        json!({"mappings": {"m": [["x"]]}}),
    ] {
        let said = decode(&sign("O.op", with(nats))).map(|claims| claims.kind().to_owned());
        let wrong = "a value of another type at byte 0".to_owned();
        assert_eq!(said, Err(DecodeError::NotJson("claims", wrong)));
    }
}

#[test]
fn nulls_are_nothing_and_empty_texts_in_lists() {
    let mut value = claims("user", "U.bob", json!({}), json!({}));
    value["nats"]["pub"] = json!({"allow": null, "deny": ["x", null]});
    value["exp"] = Value::Null;
    let user = UserClaims::decode(&sign("A.a", value)).expect("a user");
    assert_eq!(user.limits.permissions.publish.deny, ["x", ""]);
    assert_eq!(user.common.expires, 0);
}

#[test]
fn nesting_is_bounded() {
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!([deep]);
    }
    let mut value = claims("user", "U.bob", json!({}), json!({}));
    value["nats"]["crown"] = deep.clone();
    assert!(decode(&sign("A.a", value.clone())).is_ok());
    for _ in 0..20 {
        deep = json!([deep]);
    }
    value["nats"]["crown"] = deep;
    check_claims("A.a", value, expect!["the claims: no JSON at byte 282"]);
}

#[test]
fn requests_of_a_callout() {
    let request = Request {
        user_nkey: public("U.bob"),
        client_info: ClientInfo {
            host: "127.0.0.1".into(),
            id: 5,
            ..ClientInfo::default()
        },
        ..Request::default()
    };
    let token = request
        .encode(&key("N.one"), "A.iss", NOW, NOW + 2)
        .expect("a seed");
    let read = RequestClaims::decode(&token).expect("a request");
    assert_eq!(read.request, request);
    assert_eq!(read.common.audience, REQUEST_AUDIENCE);
    assert_eq!((read.common.issued_at, read.common.expires), (NOW, NOW + 2));
    assert_eq!(read.common.issuer, public("N.one"));
}

#[test]
fn responses_of_a_callout() {
    let check = |nats: Value, expected: Expect| {
        let more = json!({"aud": public("N.one")});
        let value = claims("authorization_response", "U.bob", nats, more);
        let claims = ResponseClaims::decode(&sign("A.a", value)).expect("a response");
        expected.assert_eq(&claims.validate(NOW).to_string());
    };
    check(json!({"jwt": "x"}), expect![""]);
    check(json!({"error": "no"}), expect![""]);
    check(json!({}), expect!["Error or Jwt is required"]);
    check(
        json!({"jwt": "x", "error": "no"}),
        expect!["Only Error or Jwt can be set"],
    );
    check(
        json!({"error": "no", "issuer_account": "me"}),
        expect!["issuer_account is not an account public key"],
    );
}

#[test]
fn operators() {
    let check = |nats: Value, expected: Expect| {
        let value = claims("operator", "O.op", nats, json!({}));
        let claims = OperatorClaims::decode(&sign("O.op", value)).expect("an operator");
        let said = claims.validate(NOW).to_string();
        expected.assert_eq(&named(&said, &["U.bob"]));
    };
    check(
        json!({"account_server_url": "https://example.org/jwt/v1"}),
        expect![""],
    );
    check(
        json!({"account_server_url": "example"}),
        expect![[r#"account server url "example" requires a protocol"#]],
    );
    check(
        json!({"operator_service_urls": ["nats://a:4222", "tls://b"]}),
        expect![""],
    );
    check(
        json!({"operator_service_urls": ["http://a"]}),
        expect![[r#"operator service url "http://a": protocol not supported"#]],
    );
    check(
        json!({"signing_keys": [public("U.bob")]}),
        expect![[r#""U.bob" is not an operator public key"#]],
    );
    check(
        json!({"system_account": "SUAM"}),
        expect!["[secret] is not an account public key"],
    );
    check(
        json!({"assert_server_version": "2.10"}),
        expect![[r#"assert_server_version "2.10" is no version"#]],
    );
    check(json!({"assert_server_version": "2.10.0"}), expect![""]);
}

#[test]
fn networks() {
    let holds = |network: &str, address: &str| {
        let network = network::parse(network)?;
        Some(network.contains(address.parse().expect("an address")))
    };
    assert_eq!(holds("10.0.0.0/8", "10.1.2.3"), Some(true));
    assert_eq!(holds("10.9.9.9/8", "10.1.2.3"), Some(true));
    assert_eq!(holds("10.0.0.0/8", "11.0.0.0"), Some(false));
    assert_eq!(holds("0.0.0.0/0", "255.255.255.255"), Some(true));
    assert_eq!(holds("0.0.0.0/0", "::1"), Some(false));
    assert_eq!(holds("::/0", "::1"), Some(true));
    assert_eq!(holds("127.0.0.1/32", "::ffff:127.0.0.1"), Some(true));
    assert_eq!(holds("::ffff:127.0.0.0/104", "127.9.9.9"), Some(true));
    assert_eq!(holds("fe80::/10", "febf::1"), Some(true));
    assert_eq!(holds("fe80::/10", "fec0::1"), Some(false));
    for wrong in [
        "10.0.0.0",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/",
        "/8",
        "a/8",
        "10.0.0.0/+8",
    ] {
        assert_eq!(network::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn times_of_day() {
    let check = |ranges: &[(&str, &str)], locale: &str, now: &str, expected: Expect| {
        let ranges = ranges.iter().map(|(start, end)| TimeRange {
            start: (*start).into(),
            end: (*end).into(),
        });
        let ranges: Vec<TimeRange> = ranges.collect();
        let now: Timestamp = now.parse().expect("a time");
        let said = match times::allowed(&ranges, locale, &TimeZone::UTC, now) {
            Allowed::Always => "always".to_owned(),
            Allowed::Until(time) => format!("until {time}"),
            Allowed::Never => "never".to_owned(),
        };
        expected.assert_eq(&said);
    };
    let noon = "2024-06-01T12:00:00Z";
    check(&[], "", noon, expect!["always"]);
    check(
        &[("08:00:00", "17:00:00")],
        "",
        noon,
        expect!["until 2024-06-01T17:00:00Z"],
    );
    check(&[("08:00:00", "12:00:00")], "", noon, expect!["never"]);
    check(&[("12:00:00", "17:00:00")], "", noon, expect!["never"]);
    check(
        &[("22:00:00", "06:00:00")],
        "",
        "2024-06-01T23:00:00Z",
        expect!["until 2024-06-02T06:00:00Z"],
    );
    check(
        &[("22:00:00", "06:00:00")],
        "",
        "2024-06-01T05:00:00Z",
        expect!["until 2024-06-01T06:00:00Z"],
    );
    check(&[("22:00:00", "06:00:00")], "", noon, expect!["never"]);
    check(
        &[("08:00:00", "13:00:00"), ("09:00:00", "14:00:00")],
        "",
        noon,
        expect!["until 2024-06-01T14:00:00Z"],
    );
    check(
        &[("20:00:00", "22:00:00")],
        "Asia/Tokyo",
        noon,
        expect!["until 2024-06-01T13:00:00Z"],
    );
    check(
        &[("08:00:00", "17:00:00")],
        "Asia/Tokyo",
        noon,
        expect!["never"],
    );
    check(
        &[("08:00:00", "17:00:00")],
        "asia/tokyo",
        noon,
        expect!["never"],
    );
    check(&[("08:00", "17:00:00")], "", noon, expect!["never"]);
    check(
        &[("08:00:00.9", "17:00:00,000000000001")],
        "Local",
        noon,
        expect!["until 2024-06-01T17:00:00Z"],
    );
    for no in [
        "08:00:00.",
        "08:00:00.x",
        "08:00:00.5.5",
        "08:00.5:00",
        "+8:00:00",
    ] {
        check(&[(no, "17:00:00")], "", noon, expect!["never"]);
    }
    check(&[("08:00:00", "17:00:00")], "local", noon, expect!["never"]);
    // The night in which the clocks go back is an hour longer.
    let night = "2024-10-26T22:00:00Z";
    check(
        &[("23:00:00", "06:00:00")],
        "Europe/Berlin",
        night,
        expect!["until 2024-10-27T05:00:00Z"],
    );
}

#[test]
fn credentials_files() {
    let seed = key("U.bob").seed().expect("a seed");
    let both = format!(
        "-----BEGIN NATS USER JWT-----\nabc.def.ghi\n------END NATS USER JWT------\n\n*** IMPORTANT ***\nkeep it\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n***\n"
    );
    let check = |text: &str, expected: Expect| {
        let said = match Creds::parse(text) {
            Ok(creds) => format!(
                "{} {:?}",
                creds.token,
                creds.key.map(|key| key.public_key() == public("U.bob"))
            ),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&said);
    };
    check(&both, expect!["abc.def.ghi Some(true)"]);
    check(
        &both.replace('\n', "\r\n"),
        expect!["abc.def.ghi Some(true)"],
    );
    check(" abc.def.ghi\n", expect!["abc.def.ghi None"]);
    check(
        "-----BEGIN X-----\nabc\n-----END X-----",
        expect!["abc None"],
    );
    check(
        "-----BEGIN X-----\n-----END X-----",
        expect!["there is no token in the credentials file"],
    );
    check("", expect!["there is no token in the credentials file"]);
    check(
        &both.replace(&seed, "SUNOTASEED"),
        expect!["the seed in the credentials file is none"],
    );
    assert_eq!(format!("{:?}", Creds::parse(&both)), "Ok([credentials])");
}

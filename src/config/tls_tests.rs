//! What is said of a `tls` block that is wrong, and what becomes of one that is not. The oracle's verdicts are in
//! `tests/differential/cases/tls_config.txt`.

use expect_test::{Expect, expect};

use super::tests::load_text;
use super::tls::{HandshakeFirst, TlsVersion};

fn check(text: &str, expected: &Expect) {
    let said = match load_text(text) {
        Ok(loaded) => loaded
            .hints
            .iter()
            .map(|hint| format!("hint: {hint}\n"))
            .collect(),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{error}\n"))
            .collect::<String>(),
    };
    expected.assert_eq(&said);
}

#[test]
fn every_mistake_at_its_place() {
    check(
        r#"
tls {
  cert_file: 1
  certs: [ {cert_file: a}, 2, {cert_file: a, key_file: b, c: d} ]
  verify: 1
  verify_cert_and_check_known_urls: true
  timeout: -1
  handshake_first: soon
  min_version: "1.1"
  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, x]
  curve_preferences: [CurveP521, y]
  pinned_certs: [abc]
  connection_rate_limit: many
  cert_store: x
  ocsp_peer: true
  verfy: true
}"#,
        &expect![[r#"
            main.conf:3:3: "cert_file" must be a string (put it in quotes), not a whole number
            main.conf:4:12: each of "certs" needs "cert_file" and "key_file"
            main.conf:4:28: "certs" must be a map { … }, not a whole number
            main.conf:4:59: unknown field "c"
            main.conf:5:3: "verify" must be true or false, without quotes, not a whole number
            main.conf:6:3: "verify_cert_and_check_known_urls" is for clusters and gateways, not for clients
            main.conf:7:3: "timeout" must not be negative
            main.conf:8:3: "handshake_first" must be true, false, "auto" or a duration
            main.conf:9:3: TLS 1.1 is not available: "min_version" is "1.2" or "1.3"
            main.conf:10:19: TLS_RSA_WITH_RC4_128_SHA is insecure and not available in gannet
            main.conf:10:45: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is not available in gannet
            main.conf:10:81: "x" is not known to "cipher_suites"
            main.conf:11:23: CurveP521 is not available in gannet
            main.conf:11:34: "y" is not known to "curve_preferences"
            main.conf:12:18: "abc" is not the SHA-256 of a public key in 64 hexadecimal digits
            main.conf:13:3: "connection_rate_limit" must be a whole number, without quotes, not a string
            main.conf:14:3: "cert_store" has no meaning here: it is for Windows
            main.conf:15:3: "ocsp_peer" is not available in gannet yet
            main.conf:16:3: unknown field "verfy", did you mean "verify"?
        "#]],
    );
}

#[test]
fn pairs_are_whole() {
    for (text, expected) in [
        (
            "tls { cert_file: a }",
            expect![[r#"
            main.conf:1:1: "tls" has no "key_file"
        "#]],
        ),
        (
            "tls { key_file: a }",
            expect![[r#"
            main.conf:1:1: "tls" has no "cert_file"
        "#]],
        ),
        (
            "tls { cert_file: a, key_file: b, certs: [ {cert_file: c, key_file: d} ] }",
            expect![[r#"
                main.conf:1:7: "cert_file" and "certs" cannot stand together in "tls"
            "#]],
        ),
        (
            "tls {}",
            expect![[r#"
            hint: main.conf:1:1: "tls" without a certificate: no handshake will succeed
        "#]],
        ),
        (
            "tls { cert_file: a, key_file: b, insecure: true }",
            expect![[r#"
                hint: main.conf:1:34: "insecure" changes nothing here: it is for TLS that this server begins
            "#]],
        ),
        (
            "tls: on",
            expect![[r#"
            main.conf:1:1: "tls" must be a map { … }, not a boolean
        "#]],
        ),
    ] {
        check(text, &expected);
    }
}

#[test]
fn values() {
    let text = r#"
allow_non_tls: true
tls {
  cert_file: a, key_file: b, ca_file: c, verify_and_map: true, verify: false
  timeout: "1500ms", first: "20ms", min_version: "1.3"
  cipher_suites: [TLS_AES_128_GCM_SHA256], curve_preferences: [X25519]
  pinned_certs: ["A0B0C0D0E0F0000102030405060708090A0B0C0D0E0F00010203040506070809"]
  connection_rate_limit: 5
}"#;
    let config = load_text(text).unwrap().config;
    assert!(config.allow_non_tls);
    let tls = config.tls.unwrap();
    assert!(tls.verify && tls.map);
    assert_eq!(tls.certificates[0].certificate.path.as_os_str(), "a");
    assert_eq!(tls.certificates[0].key.at.to_string(), "main.conf:4:17");
    assert_eq!(tls.authority.unwrap().path.as_os_str(), "c");
    assert_eq!(tls.timeout_ms, 1_500);
    assert_eq!(
        tls.handshake_first,
        HandshakeFirst::Unless { silent_ms: 20 }
    );
    assert_eq!(tls.version_min, TlsVersion::Tls13);
    assert_eq!(tls.cipher_suites.unwrap(), ["TLS_AES_128_GCM_SHA256"]);
    assert_eq!(tls.curves.unwrap(), ["X25519"]);
    assert_eq!((tls.pinned[0][0], tls.pinned[0][31]), (0xa0, 0x09));
    assert_eq!(tls.rate_max, 5);
}

#[test]
fn how_a_resolver_is_asked() {
    check(
        r#"
operator: eyJa
resolver: URL("http://localhost/")
resolver_tls {
  ca_file: 1
  certs: [ {cert_file: a, key_file: b}, {cert_file: c, key_file: d} ]
  min_version: "1.0"
  cipher_suites: []
  curve_preferences: [x]
  verify: true
  verify_and_map: true
  verify_cert_and_check_known_urls: true
  timeout: 2
  handshake_first: false
  pinned_certs: []
  connection_rate_limit: 0
  cert_match: x
  ocsp_peer: true
  cafile: x
}"#,
        &expect![[r#"
            main.conf:5:3: "ca_file" must be a string (put it in quotes), not a whole number
            main.conf:6:42: "resolver_tls" has room for one certificate: no choice is made among several
            main.conf:7:3: TLS 1.0 is not available: "min_version" is "1.2" or "1.3"
            main.conf:8:3: "cipher_suites" must not be empty
            main.conf:9:23: "x" is not known to "curve_preferences"
            main.conf:10:3: "verify" is about clients; the resolver's certificate is verified unless "insecure" is set
            main.conf:11:3: "verify_and_map" is about clients; the resolver's certificate is verified unless "insecure" is set
            main.conf:12:3: "verify_cert_and_check_known_urls" is about clients; the resolver's certificate is verified unless "insecure" is set
            main.conf:13:3: "timeout" has no effect on how a resolver is asked
            main.conf:14:3: "handshake_first" has no effect on how a resolver is asked
            main.conf:15:3: "pinned_certs" has no effect on how a resolver is asked
            main.conf:16:3: "connection_rate_limit" has no effect on how a resolver is asked
            main.conf:17:3: "cert_match" has no meaning here: it is for Windows
            main.conf:18:3: "ocsp_peer" is not available in gannet yet
            main.conf:19:3: unknown field "cafile", did you mean "ca_file"?
        "#]],
    );
    check(
        "operator: eyJa\nresolver: URL(\"http://localhost/\")\nresolver_tls { insecure: true, verify: false }",
        &expect![[r#"
            hint: main.conf:3:16: "insecure": whoever answers at the URL is taken for the resolver
            hint: main.conf:3:1: nothing is encrypted on the way to a resolver at http://
        "#]],
    );
    check(
        "operator: eyJa\nresolver: URL(\"https://localhost/\")\nresolver_tls { cert_file: a, certs: [] }",
        &expect![[r#"
            main.conf:3:1: "resolver_tls" has no "key_file"
        "#]],
    );
    check(
        "resolver_tls: 5",
        &expect![[r#"
        main.conf:1:1: "resolver_tls" must be a map { … }, not a whole number
    "#]],
    );
}

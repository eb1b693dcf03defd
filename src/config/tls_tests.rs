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
        "#]],
    );
}

#[test]
fn pairs_are_whole() {
    for (text, expected) in [
        ("tls { cert_file: a }", expect![[""]]),
        ("tls { key_file: a }", expect![[""]]),
        (
            "tls { cert_file: a, key_file: b, certs: [ {cert_file: c, key_file: d} ] }",
            expect![[""]],
        ),
        ("tls {}", expect![[""]]),
        (
            "tls { cert_file: a, key_file: b, insecure: true }",
            expect![[""]],
        ),
        ("tls: on", expect![[""]]),
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

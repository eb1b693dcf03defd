//! What the oracle does with these subjects and names was looked at with certificates of openssl.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::transport::tls::certificate::Attribute;

/// `DC=com/DC=example/O=Org+OU=x`: parts in the order of a certificate.
fn subject(text: &str) -> Vec<Vec<Attribute>> {
    let oid = |name: &str| match TYPES.iter().find(|(_, known)| *known == name) {
        Some((oid, _)) => (*oid).to_owned(),
        None => name.to_owned(),
    };
    let attribute = |text: &str| {
        let (name, value) = text.split_once('=').expect("TYPE=VALUE");
        Attribute {
            oid: oid(name),
            value: Some(value.to_owned()),
        }
    };
    let parts = text.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split('+').map(attribute).collect())
        .collect()
}

fn certificate(text: &str) -> PeerCertificate {
    PeerCertificate {
        subject: subject(text),
        ..PeerCertificate::default()
    }
}

fn find(certificate: &PeerCertificate, users: &[&str]) -> Option<String> {
    let mut subjects = Subjects::default();
    users
        .iter()
        .for_each(|user| subjects.add(&Arc::from(*user)));
    user_of(certificate, &subjects, |name| users.contains(&name)).map(|user| user.into_owned())
}

fn check(subject: &str, table: &[(&str, bool)]) {
    for (user, expected) in table {
        let found = find(&certificate(subject), &[user]).is_some();
        assert_eq!(found, *expected, "{subject:?} as {user:?}");
    }
}

#[test]
fn subjects_in_any_order() {
    check(
        "DC=com/DC=example/O=Org/OU=Unit1/OU=Unit2/CN=Joe Q",
        &[
            ("CN=Joe Q,OU=Unit2,OU=Unit1,O=Org,DC=example,DC=com", true),
            ("DC=com,DC=example,O=Org,OU=Unit1,OU=Unit2,CN=Joe Q", true),
            ("cn=Joe Q,ou=Unit2,ou=Unit1,o=Org,dc=example,dc=com", true),
            (
                "CN=Joe Q, OU=Unit2, OU=Unit1, O=Org, DC=example, DC=com",
                true,
            ),
            ("OU=Unit1,CN=Joe Q,OU=Unit2,DC=com,O=Org,DC=example", true),
            (
                "CN=Joe\\20Q,OU=Unit2,OU=Unit1,O=Org,DC=example,DC=com",
                true,
            ),
            ("CN=Joe Q,OU=Unit1+OU=Unit2,O=Org", true),
            ("CN=Joe Q,OU=Unit1+OU=Unit2,O=Org,DC=com,DC=example", true),
            ("CN=joe q,OU=Unit2,OU=Unit1,O=Org,DC=example,DC=com", false),
            ("CN=Joe Q,OU=Unit1,O=Org,DC=com,DC=example", false),
            ("CN=Joe Q,OU=Unit1,OU=Unit1,O=Org,DC=example,DC=com", false),
            (
                "2.5.4.3=Joe Q,OU=Unit2,OU=Unit1,O=Org,DC=example,DC=com",
                false,
            ),
            ("Joe Q", false),
            ("CN=Joe Q", false),
        ],
    );
}

#[test]
fn parts_of_several_attributes_and_escapes() {
    check(
        "O=a+OU=b/CN=c,d",
        &[
            ("CN=c\\,d,O=a+OU=b", true),
            ("CN=c\\,d,OU=b+O=a", true),
            ("O=a+OU=b,CN=c\\,d", true),
            ("CN=c\\,d,OU=b,O=a", true),
            ("CN=c\\2cd,O=a+OU=b", true),
            ("CN=c,d,O=a+OU=b", false),
            ("CN=c\\,d", false),
        ],
    );
    check(
        "O=x  y /OU=#lead/CN=Zo\u{eb}",
        &[
            ("CN=Zo\u{eb},OU=\\#lead,O=x  y\\ ", true),
            ("CN=Zo\\c3\\ab,OU=\\#lead,O=x  y\\ ", true),
            ("CN=Zo\u{eb},OU=\\#lead,O=x  y", false),
        ],
    );
    check(
        "CN=plain",
        &[
            ("CN=plain", true),
            ("CN = plain", true),
            ("cn=plain", true),
            (" CN=plain", true),
            ("CN=plain ", true),
            ("CN=PLAIN", false),
            ("plain", false),
            ("", false),
        ],
    );
}

#[test]
fn attributes_without_a_name() {
    // `UID` makes the subject one that is found in the oracle's own spelling only.
    check(
        "O=o/CN=c/0.9.2342.19200300.100.1.1=u",
        &[
            ("CN=c,O=o", true),
            ("O=o,CN=c", false),
            ("UID=u,CN=c,O=o", false),
        ],
    );
    check(
        "CN=x/SERIALNUMBER=1/POSTALCODE=2/STREET=s/ST=t/L=l/OU=u/O=o/C=US/OU=u2/1.2.3=z",
        &[(
            "SERIALNUMBER=1,CN=x,OU=u+OU=u2,O=o,POSTALCODE=2,STREET=s,L=l,ST=t,C=US",
            true,
        )],
    );
    check("", &[("CN=a", false), ("", false)]);
}

#[test]
fn alternative_names_come_first() {
    let certificate = PeerCertificate {
        emails: vec!["A@x.org".into(), "b@x.org".into()],
        dns_names: vec!["n1.example".into(), "N2.example".into()],
        uris: vec!["spiffe://h/p".into(), "urn:z".into()],
        ..certificate("CN=upper")
    };
    let table: &[(&[&str], Option<&str>)] = &[
        (
            &["b@x.org", "n1.example", "A@x.org", "CN=upper"],
            Some("A@x.org"),
        ),
        (&["a@x.org", "CN=upper"], Some("CN=upper")),
        (&["urn:z", "N2.example"], Some("N2.example")),
        (&["n2.example", "CN=upper"], Some("CN=upper")),
        (&["spiffe://h/p", "CN=upper"], Some("spiffe://h/p")),
        (&["urn:z", "CN=upper"], Some("urn:z")),
        (&["nobody"], None),
    ];
    for (users, expected) in table {
        assert_eq!(find(&certificate, users).as_deref(), *expected, "{users:?}");
    }
}

#[test]
fn values_that_are_no_text() {
    let mut certificate = certificate("O=Org/CN=joe");
    certificate.subject.push(vec![Attribute {
        oid: "2.5.4.11".into(),
        value: None,
    }]);
    // Found in the oracle's own spelling only, which leaves it out.
    assert!(find(&certificate, &["CN=joe,O=Org"]).is_some());
    assert!(find(&certificate, &["O=Org,CN=joe"]).is_none());
    // A part without attributes does not count.
    certificate.subject[2].clear();
    assert!(find(&certificate, &["O=Org,CN=joe"]).is_some());
}

#[test]
fn a_set_is_more_than_its_number() {
    check(
        "CN=a+CN=b",
        &[
            ("CN=a+CN=a", false),
            ("CN=b+CN=b", false),
            ("CN=b+CN=a", true),
            ("CN=a+CN=b", true),
        ],
    );
    check("CN=a+CN=a", &[("CN=a+CN=b", false), ("CN=a+CN=a", true)]);
}

#[test]
fn what_a_name_leaves_unsaid() {
    check(
        "O=Org/CN=joe",
        &[
            ("O=Org,CN=joe,", true),
            ("O=Org,CN=joe, ", true),
            ("O=Org,CN=joe,,", false),
            ("O=Org,CN=joe,CN=", true),
            ("O=Org,CN=joe,CN= ", true),
            ("O=Org,CN=joe\\", true),
            ("O=Org,CN=joe,\\", true),
            ("O=Org,\\43N=joe", true),
            ("O=Org,CN=jo\\65", true),
            ("O=Org,CN\t=joe", false),
            ("O=Org,CN=joe\\6", false),
            ("O=Org,CN=joe\\+5", false),
            ("O=Org,CN=joe,x", false),
            ("O=Org,=joe", false),
            ("O=Org,CN=joe,=", true),
            // Parts that the oracle passes over.
            ("O=Org,CN=joe+", false),
            ("O=Org,CN=joe,OU=x+", false),
            ("O=Org,CN=joe,OU=x+OU=", false),
            ("O=Org,OU=CN=joe", false),
        ],
    );
    check(
        "O=Org/CN=#1",
        &[
            ("O=Org,CN=#1", false),
            ("O=Org,CN= #1", true),
            ("O=Org,CN=\\#1", true),
        ],
    );
    // One letter's capital is of these types; what is two letters is not.
    check(
        "CN=joe/ST=x",
        &[("CN=joe,\u{17f}t=x", true), ("CN=joe,\u{fb06}=x", false)],
    );
    // Names that come out empty.
    check(
        "",
        &[
            ("CN=", false),
            (" ", false),
            ("CN=joe+", false),
            ("\\", false),
        ],
    );
    // Empty values that the certificate has.
    check(
        "O=Org/CN=",
        &[("CN=,O=Org", true), ("O=Org", true), ("O=Org,CN=", false)],
    );
}

#[test]
fn the_usual_order_before_any_other() {
    let certificate = certificate("DC=com/O=Org/CN=Joe");
    let users = ["DC=com,O=Org,CN=Joe", "CN=Joe,O=Org,DC=com"];
    assert_eq!(find(&certificate, &users).as_deref(), Some(users[1]));
}

/// A name as RFC 2253 writes it.
fn spelt(parts: &[Vec<(String, String)>]) -> String {
    let attribute = |(kind, value): &(String, String)| {
        let escaped: String = value.bytes().map(|byte| format!("\\{byte:02X}")).collect();
        format!("{kind}={escaped}")
    };
    let parts = parts.iter().rev();
    let parts: Vec<String> = parts
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.join(",")
}

fn any_subject() -> impl Strategy<Value = Vec<Vec<(String, String)>>> {
    let kind = proptest::sample::select(vec!["CN", "OU", "O", "L", "DC", "C"]);
    let attribute = (kind.prop_map(str::to_owned), any::<String>());
    vec(vec(attribute, 1..3), 1..4)
}

proptest! {
    /// Whatever a certificate says, it is that of a user that there is, or of none.
    #[test]
    fn any_names(names in vec("[a-z@.,=+\\\\ \"#]{0,12}", 0..6), parts in any_subject(), users in vec(any::<String>(), 0..4), odd in "[A-Za-z=,+\\\\ #\"0-9]{0,30}") {
        let (emails, rest) = names.split_at(names.len() / 3);
        let (dns_names, uris) = rest.split_at(rest.len() / 2);
        let attribute = |(kind, value): &(String, String)| Attribute {
            oid: subject(&format!("{kind}=x"))[0][0].oid.clone(),
            value: Some(value.clone()),
        };
        let certificate = PeerCertificate {
            emails: emails.to_vec(),
            dns_names: dns_names.to_vec(),
            uris: uris.to_vec(),
            subject: parts.iter().map(|part| part.iter().map(attribute).collect()).collect(),
            ..PeerCertificate::default()
        };
        let _ = Name::parse(&odd);
        let own = spelt(&parts);
        let others: Vec<&str> = users.iter().chain([&odd]).map(String::as_str).collect();
        if let Some(user) = find(&certificate, &others) {
            prop_assert!(others.contains(&&*user));
        }
        // With no other name, its subject is found however it is escaped, unless the spelling ends with an empty value, which
        // says nothing; nobody else's is.
        let bare = PeerCertificate { emails: vec![], dns_names: vec![], uris: vec![], ..certificate };
        if !own.ends_with('=') {
            prop_assert_eq!(find(&bare, &[&own]), Some(own.clone()));
        }
        let longer = format!("{own},CN=more");
        prop_assert_eq!(find(&bare, &[&longer]), None);
        prop_assert_eq!(find(&bare, &[]), None);
    }

    /// Bytes that are no certificate, or one with bytes changed, say something or nothing.
    #[test]
    fn any_der(bytes in vec(any::<u8>(), 0..300), flips in vec((any::<usize>(), any::<u8>()), 0..8)) {
        let _ = PeerCertificate::parse(&bytes);
        let names = ["a.example".to_owned(), "b@example".to_owned()];
        let params = rcgen::CertificateParams::new(names).expect("names");
        static KEY: std::sync::LazyLock<rcgen::KeyPair> =
            std::sync::LazyLock::new(|| rcgen::KeyPair::generate().expect("a key"));
        let mut der = params.self_signed(&*KEY).expect("a certificate").der().to_vec();
        for (at, byte) in flips {
            let at = at % der.len();
            der[at] = byte;
        }
        if let Some(certificate) = PeerCertificate::parse(&der) {
            let _ = find(&certificate, &["a.example", "CN=rcgen self signed cert"]);
        }
    }
}

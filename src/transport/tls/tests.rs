//! A client of rustls against the codec, without sockets: bytes go over in pieces of any size.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ContentType, RootCertStore, SupportedProtocolVersion};

use super::acceptor::{Options, Pair, Problem, certificates};
use super::certificate::PeerCertificate;
use super::pki::identities;
use super::*;

/// 2030.
const NOW_S: u64 = 1_893_456_000;

#[derive(Debug)]
struct Clock(Mutex<u64>);

impl Clock {
    fn at(seconds: u64) -> Arc<Clock> {
        Arc::new(Clock(Mutex::new(seconds)))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = *self.0.lock().unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn pair(name: &str) -> Pair {
    let identity = &identities()[name];
    Pair {
        chain: identity.chain.clone().into_bytes(),
        key: identity.key.clone().into_bytes(),
    }
}

fn der(name: &str) -> CertificateDer<'static> {
    identities()[name].der.clone().into()
}

fn try_acceptor(
    pairs: &[Pair],
    verify: bool,
    pinned: &[[u8; 32]],
    clock: Arc<Clock>,
) -> Result<Arc<Acceptor>, Problem> {
    Acceptor::new(Options {
        certificates: pairs,
        authorities: verify.then(|| vec![der("ca")]),
        only_13: false,
        suites: None,
        curves: None,
        pinned,
        clock,
    })
    .map(Arc::new)
}

fn acceptor(verify: bool) -> Arc<Acceptor> {
    try_acceptor(&[pair("server")], verify, &[], Clock::at(NOW_S)).unwrap()
}

fn client_config(
    certificate: Option<&str>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    client_config_of(provider, certificate, version)
}

fn client_config_of(
    provider: CryptoProvider,
    certificate: Option<&str>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(der("ca")).unwrap();
    let builder = ClientConfig::builder_with_details(Arc::new(provider), Clock::at(NOW_S))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let identity = &identities()[name];
            let chain = certificates(identity.chain.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

/// Sizes of pieces, again and again.
struct Pieces(Vec<usize>, usize);

impl Pieces {
    fn whole() -> Pieces {
        Pieces(vec![usize::MAX], 0)
    }

    fn next(&mut self, left: usize) -> usize {
        self.1 += 1;
        self.0[self.1 % self.0.len()].clamp(1, left)
    }
}

/// What the client has to send.
fn written(client: &mut ClientConnection) -> Vec<u8> {
    let mut out = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut out).unwrap();
    }
    out
}

/// Gives bytes to the client and returns what it read in them.
fn hears(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        let state = client.process_new_packets()?;
        let mut read = vec![0; state.plaintext_bytes_to_read()];
        std::io::Read::read_exact(&mut client.reader(), &mut read).unwrap();
        plain.extend_from_slice(&read);
    }
    Ok(plain)
}

fn all(said: &mut Said) -> Vec<u8> {
    let mut out = vec![0; 64 * 1024];
    let len = said.take(&mut out);
    assert!(said.is_empty());
    out.truncate(len);
    out
}

/// Shakes hands in pieces.
fn shake(
    acceptor: &Arc<Acceptor>,
    client: &mut ClientConnection,
    pieces: &mut Pieces,
) -> Result<Secured, Fault> {
    let mut handshake = Box::new(Handshake::new(acceptor).unwrap());
    loop {
        let bytes = written(client);
        let mut bytes = bytes.as_slice();
        assert!(!bytes.is_empty(), "nobody has anything to say");
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(pieces.next(bytes.len()));
            match handshake.step(piece) {
                Step::More(next) => handshake = next,
                Step::Failed(_, fault) => return Err(fault),
                Step::Done(mut secured) => {
                    let said = all(secured.codec.said());
                    assert_eq!(hears(client, &said), Ok(Vec::new()));
                    let mut scratch = Scratch::default();
                    secured.codec.open(rest, &mut scratch).unwrap();
                    secured.plain.extend_from_slice(scratch.plain());
                    return Ok(*secured);
                }
            }
            let said = all(handshake.said());
            assert_eq!(hears(client, &said), Ok(Vec::new()));
            bytes = rest;
        }
    }
}

fn says(client: &mut ClientConnection, plain: &[u8]) -> Vec<u8> {
    std::io::Write::write_all(&mut client.writer(), plain).unwrap();
    written(client)
}

/// Opens in pieces.
fn opened(codec: &mut Codec, mut bytes: &[u8], pieces: &mut Pieces) -> Result<Vec<u8>, Fault> {
    let (mut scratch, mut plain) = (Scratch::default(), Vec::new());
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(pieces.next(bytes.len()));
        codec.open(piece, &mut scratch)?;
        plain.extend_from_slice(scratch.plain());
        bytes = rest;
    }
    Ok(plain)
}

fn sealed(codec: &mut Codec, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; sealed_bytes_max(plain.len())];
    let len = codec.seal(plain, &mut out).unwrap();
    out.truncate(len);
    // What rustls says of itself goes before it.
    [all(codec.said()), out].concat()
}

fn version(is_13: bool) -> &'static SupportedProtocolVersion {
    if is_13 { &TLS13 } else { &TLS12 }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bytes_go_over_in_any_pieces(
        sizes in prop::collection::vec(1usize..40_000, 1..6),
        small in prop::collection::vec(1usize..700, 1..4),
        lengths in prop::collection::vec(1usize..60_000, 1..4),
        is_13: bool,
        verify: bool,
    ) {
        let config = client_config(verify.then_some("joe"), version(is_13));
        let mut client = client(&config);
        let secured = shake(&acceptor(verify), &mut client, &mut Pieces(small, 0)).unwrap();
        prop_assert_eq!(secured.certificate.is_some(), verify);
        let (mut codec, mut pieces) = (secured.codec, Pieces(sizes, 0));
        for length in lengths {
            let plain = bytes(length);
            let there = says(&mut client, &plain);
            prop_assert!(opened(&mut codec, &there, &mut pieces) == Ok(plain.clone()));
            let back = sealed(&mut codec, &plain);
            prop_assert!(hears(&mut client, &back) == Ok(plain));
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(
        first in prop::collection::vec(any::<u8>(), 0..300),
        is_record: bool,
    ) {
        let mut garbage = first;
        if is_record {
            garbage.splice(0..0, [HANDSHAKE, 3, 1]);
        }
        let handshake = Box::new(Handshake::new(&acceptor(false)).unwrap());
        let done = matches!(handshake.step(&garbage), Step::Done(_));
        prop_assert!(!done);
    }
}

#[test]
fn what_is_said_at_once_is_not_lost() {
    let mut client = client(&client_config(None, &TLS13));
    let mut handshake = Box::new(Handshake::new(&acceptor(false)).unwrap());
    let hello = written(&mut client);
    let Step::More(next) = handshake.step(&hello) else {
        panic!("more is needed");
    };
    handshake = next;
    hears(&mut client, &all(handshake.said())).unwrap();
    let mut bytes = says(&mut client, b"PING\r\n");
    client.send_close_notify();
    bytes.extend(written(&mut client));
    let Step::Done(secured) = handshake.step(&bytes) else {
        panic!("it is done");
    };
    assert_eq!(secured.plain, b"PING\r\n");
    assert!(secured.codec.has_ended());
}

#[test]
fn records_are_not_longer_than_said() {
    for is_13 in [true, false] {
        let mut client = client(&client_config(None, version(is_13)));
        let mut codec = shake(&acceptor(false), &mut client, &mut Pieces::whole())
            .unwrap()
            .codec;
        for len in [1, 16_384, 16_385, 65_280] {
            let plain = bytes(len);
            assert!(
                sealed(&mut codec, &plain).len() <= sealed_bytes_max(len),
                "{len}"
            );
        }
    }
}

#[test]
fn keys_are_renewed() {
    let mut client = client(&client_config(None, &TLS13));
    let mut codec = shake(&acceptor(false), &mut client, &mut Pieces::whole())
        .unwrap()
        .codec;
    for round in 0..3 {
        client.refresh_traffic_keys().unwrap();
        let there = says(&mut client, b"there");
        let mut pieces = Pieces(vec![round + 1, 40], 0);
        assert_eq!(
            opened(&mut codec, &there, &mut pieces),
            Ok(b"there".to_vec())
        );
        let back = sealed(&mut codec, b"back");
        assert_eq!(hears(&mut client, &back), Ok(b"back".to_vec()));
    }
}

/// Whoever may come, of each version and suite.
fn connections() -> Vec<(ClientConnection, Box<Codec>, &'static str)> {
    let mut all = Vec::new();
    let every = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
    for (suite, name) in every
        .iter()
        .flat_map(|suite| [(suite, "server"), (suite, "rsa")])
    {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites = vec![*suite];
        let mut client = client(&client_config_of(provider, None, suite.version()));
        let acceptor = try_acceptor(&[pair(name)], false, &[], Clock::at(NOW_S)).unwrap();
        // Suites of TLS 1.2 are for one kind of key.
        if let Ok(secured) = shake(&acceptor, &mut client, &mut Pieces::whole()) {
            all.push((client, secured.codec, suite_name(suite.suite())));
        }
    }
    all
}

#[test]
fn every_suite() {
    let mut names = Vec::new();
    for (mut client, mut codec, name) in connections() {
        assert_eq!(codec.agreed().1, name);
        for len in [1, 100, 16_384, 16_385, 50_000] {
            let plain = bytes(len);
            let there = says(&mut client, &plain);
            let mut pieces = Pieces(vec![3, 70, 16_000], 0);
            assert!(
                opened(&mut codec, &there, &mut pieces) == Ok(plain.clone()),
                "{name} {len}"
            );
            let back = sealed(&mut codec, &plain);
            assert!(hears(&mut client, &back) == Ok(plain), "{name} {len}");
        }
        codec.close();
        assert_eq!(hears(&mut client, &all(codec.said())), Ok(Vec::new()));
        names.push(name);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        names.len(),
        rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES.len()
    );
}

#[test]
fn a_key_is_worn_out() {
    for (mut client, mut codec, name) in connections() {
        codec.wears_out_after(6);
        let mut failed = false;
        for round in 0..20 {
            let plain = bytes(1 + round * 4_000);
            let mut out = vec![0; sealed_bytes_max(plain.len())];
            let Ok(len) = codec.seal(&plain, &mut out) else {
                failed = true;
                break;
            };
            let heard = hears(&mut client, &all(codec.said())).unwrap();
            assert!(heard.is_empty());
            assert!(
                hears(&mut client, &out[..len]) == Ok(plain),
                "{name} {round}"
            );
        }
        assert_eq!(failed, codec.agreed().0 == "1.2", "{name}");
    }
}

#[test]
fn what_may_come_behind_the_handshake() {
    const ALERT: ContentType = ContentType::Alert;
    const HANDSHAKE: ContentType = ContentType::Handshake;
    // Kind, text; whether it is taken in TLS 1.2, and in 1.3.
    let table: &[(ContentType, &[u8], bool, bool)] = &[
        (ContentType::ApplicationData, b"", true, true),
        (ALERT, &[1, 90], true, true),
        (ALERT, &[1, 100], true, false),
        (ALERT, &[2, 40], false, false),
        (ALERT, &[3, 0], false, false),
        (ALERT, &[1], false, false),
        (ALERT, &[1, 0], true, true),
        (HANDSHAKE, &[24, 0, 0, 1, 0], false, true),
        (HANDSHAKE, &[24, 0, 0, 1, 1], false, true),
        (HANDSHAKE, &[24, 0, 0, 1, 2], false, false),
        (HANDSHAKE, &[24, 0, 0], false, false),
        (HANDSHAKE, &[1, 0, 0, 0], false, false),
        (ContentType::ChangeCipherSpec, &[1], false, false),
        (ContentType::from(99), b"x", false, false),
    ];
    for (kind, text, in_12, in_13) in table {
        for (_, mut codec, name) in connections() {
            let record = codec.forge(*kind, text);
            let taken = codec.open(&record, &mut Scratch::default());
            let expected = if codec.agreed().0 == "1.3" {
                in_13
            } else {
                in_12
            };
            assert_eq!(
                taken.is_ok(),
                *expected,
                "{name} {kind:?} {text:?}: {taken:?}"
            );
            let ends = (*kind, *text) == (ALERT, &[1, 0]);
            assert!(
                taken.is_err() || taken == Ok(ends),
                "{name} {kind:?} {text:?}"
            );
        }
    }
}

#[test]
fn records_that_bring_nothing_come_to_an_end() {
    for (_, mut codec, name) in connections() {
        let mut scratch = Scratch::default();
        let mut taken = 0;
        let refused = loop {
            let record = codec.forge(ContentType::ApplicationData, b"");
            match codec.open(&record, &mut scratch) {
                Ok(_) => taken += 1,
                Err(fault) => break fault,
            }
        };
        assert_eq!(taken, 32, "{name}: {refused}");
    }
}

#[test]
fn headers_that_are_none() {
    let table: &[(&[u8], &str)] = &[
        (&[23, 3, 3, 0xff, 0xff], "peer sent excess record size"),
        (
            &[23, 2, 0, 0, 1],
            "received corrupt message of type UnknownProtocolVersion",
        ),
        (
            &[23, 3, 3, 0, 0],
            "received corrupt message of type InvalidEmptyPayload",
        ),
        (&[23, 3, 3, 0, 1, 0], "cannot decrypt peer's message"),
    ];
    for (record, expected) in table {
        for (mut client, mut codec, name) in connections() {
            let there = says(&mut client, b"before");
            let there = [&there, *record].concat();
            let mut scratch = Scratch::default();
            let fault = codec.open(&there, &mut scratch).unwrap_err();
            assert_eq!(scratch.plain(), b"before", "{name}");
            assert_eq!(fault.to_string(), *expected, "{name}");
            assert!(hears(&mut client, &all(codec.said())).is_err(), "{name}");
        }
    }
}

#[test]
fn new_keys_are_asked_for_again_and_again() {
    let mut client = client(&client_config(None, &TLS13));
    let mut codec = shake(&acceptor(false), &mut client, &mut Pieces::whole())
        .unwrap()
        .codec;
    let mut scratch = Scratch::default();
    for _ in 0..20 {
        client.refresh_traffic_keys().unwrap();
    }
    codec.open(&written(&mut client), &mut scratch).unwrap();
    // Nothing piles up: they are made with the next record.
    assert!(codec.said().is_empty());
    let back = sealed(&mut codec, b"back");
    assert_eq!(hears(&mut client, &back), Ok(b"back".to_vec()));
}

#[test]
fn either_side_ends() {
    for is_13 in [true, false] {
        let config = client_config(None, version(is_13));
        let mut first = client(&config);
        let mut codec = shake(&acceptor(false), &mut first, &mut Pieces::whole())
            .unwrap()
            .codec;
        first.send_close_notify();
        let alert = written(&mut first);
        assert!(codec.open(&alert, &mut Scratch::default()).unwrap());
        // It may still be told something.
        let last = sealed(&mut codec, b"last");
        assert_eq!(hears(&mut first, &last), Ok(b"last".to_vec()));
        codec.close();
        let alert = all(codec.said());
        assert_eq!(hears(&mut first, &alert), Ok(Vec::new()));
        let mut end = [0; 1];
        assert_eq!(
            std::io::Read::read(&mut first.reader(), &mut end).unwrap(),
            0
        );
    }
}

#[test]
fn records_that_nobody_made() {
    let mut client = client(&client_config(None, &TLS13));
    let mut codec = shake(&acceptor(false), &mut client, &mut Pieces::whole())
        .unwrap()
        .codec;
    let mut record = says(&mut client, b"hello");
    *record.last_mut().unwrap() ^= 1;
    let fault = codec.open(&record, &mut Scratch::default()).unwrap_err();
    assert_eq!(fault, Fault::Tls(rustls::Error::DecryptError));
    let alert = all(codec.said());
    assert!(matches!(
        hears(&mut client, &alert),
        Err(rustls::Error::AlertReceived(_))
    ));
    assert!(codec.seal(b"x", &mut [0; 200]).is_err());
}

#[test]
fn a_session_goes_on_in_another_connection() {
    let clock = Clock::at(NOW_S);
    let acceptor = try_acceptor(&[pair("server")], true, &[], Arc::clone(&clock)).unwrap();
    for is_13 in [true, false] {
        *clock.0.lock().unwrap() = NOW_S;
        let config = client_config(Some("joe"), version(is_13));
        for resumed in [false, true] {
            let mut client = client(&config);
            let secured = shake(&acceptor, &mut client, &mut Pieces::whole()).unwrap();
            let kind = client.handshake_kind().unwrap();
            assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed, "{kind:?}");
            let certificate = secured.certificate.expect("the one of the first time");
            assert_eq!(certificate.subject[1][0].value.as_deref(), Some("joe"));
        }
    }
}

#[test]
fn a_certificate_that_expired_since() {
    // Good until 2099.
    let clock = Clock::at(NOW_S);
    let acceptor = try_acceptor(&[pair("server")], true, &[], Arc::clone(&clock)).unwrap();
    let known = PeerCertificate::parse(&identities()["joe"].der).unwrap();
    let after = known.not_after_unix_s.cast_unsigned() + 1;
    assert_eq!(acceptor.admits(Some(&known)), Ok(()));
    *clock.0.lock().unwrap() = after;
    assert_eq!(acceptor.admits(Some(&known)), Err(Fault::Expired));
}

#[test]
fn clients_that_are_not_let_in() {
    let pin = |name: &str| {
        PeerCertificate::parse(&identities()[name].der)
            .unwrap()
            .key_sha256
    };
    let pinned = try_acceptor(&[pair("server")], true, &[pin("joe")], Clock::at(NOW_S)).unwrap();
    let verifying = acceptor(true);
    let table: &[(&Arc<Acceptor>, Option<&str>, &str)] = &[
        (&verifying, Some("joe"), ""),
        (&verifying, Some("client-chained"), ""),
        (&verifying, None, "client didn't provide a certificate"),
        (
            &verifying,
            Some("client-stray"),
            "invalid peer certificate: UnknownIssuer",
        ),
        // Its issuer has the name of one that is known, and another key.
        (
            &verifying,
            Some("client-again"),
            "invalid peer certificate: UnknownIssuer",
        ),
        // Signed by one that is known.
        (
            &verifying,
            Some("bad-text"),
            "invalid peer certificate: BadEncoding",
        ),
        (
            &verifying,
            Some("bad-twice"),
            "invalid peer certificate: BadEncoding",
        ),
        (&verifying, Some("latin"), ""),
        (&pinned, Some("joe"), ""),
        (&pinned, Some("rsa-client"), "certificate not pinned"),
    ];
    for is_13 in [true, false] {
        for (acceptor, name, expected) in table {
            let mut client = client(&client_config(*name, version(is_13)));
            let outcome = shake(acceptor, &mut client, &mut Pieces::whole());
            let said = outcome.map_or_else(|fault| fault.to_string(), |_| String::new());
            // Behind that stands which key it is, in hexadecimal digits.
            let said = said
                .split_once(": its key id is ")
                .map_or(&*said, |(said, id)| {
                    assert_eq!(id.len(), 64, "{name:?}");
                    said
                });
            assert_eq!(said, *expected, "{name:?}");
        }
    }
}

#[test]
fn names_in_a_certificate() {
    let parsed = |name: &str| PeerCertificate::parse(&identities()[name].der).unwrap();
    let names = parsed("names");
    assert_eq!(names.emails, ["Joe@x.org", "second@x.org"]);
    assert_eq!(names.dns_names, ["joe.example", "Second.example"]);
    assert_eq!(names.uris, ["spiffe://x.org/joe"]);
    let subject = |name: &str| -> Vec<String> {
        let attributes = parsed(name).subject.into_iter().flatten();
        let attributes =
            attributes.map(|attribute| format!("{}={}", attribute.oid, attribute.value.unwrap()));
        attributes.collect()
    };
    assert_eq!(
        subject("dc"),
        [
            "0.9.2342.19200300.100.1.25=org",
            "2.5.4.10=Org",
            "2.5.4.3=joe"
        ]
    );
    assert_eq!(subject("mail"), Vec::<String>::new());
    assert!(parsed("mail").subject.is_empty());
    let key = parsed("joe").key_sha256;
    let written: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, identities()["joe"].pin);
    assert_eq!(PeerCertificate::parse(b"nonsense"), None);
    assert!(subject("latin").contains(&"2.5.4.11=caf\u{e9}".to_owned()));
    let bad = identities().iter();
    for (name, identity) in bad.filter(|(name, _)| name.starts_with("bad-")) {
        assert_eq!(PeerCertificate::parse(&identity.der), None, "{name}");
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    let problem = |pairs: &[Pair]| try_acceptor(pairs, false, &[], Clock::at(0)).unwrap_err();
    let good = pair("server");
    let bad = Pair {
        chain: b"nonsense".to_vec(),
        ..good.clone()
    };
    assert!(matches!(
        problem(&[good.clone(), bad]),
        Problem::Certificate(1, text) if text == "it holds no certificate"
    ));
    let other_key = Pair {
        key: pair("alpha").key,
        ..good.clone()
    };
    assert!(matches!(problem(&[other_key]), Problem::Key(0, _)));
    let no_key = Pair {
        key: Vec::new(),
        ..good
    };
    assert!(matches!(problem(&[no_key]), Problem::Key(0, _)));
}

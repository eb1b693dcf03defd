//! Owns the tests of the resolver that is a URL, against a server that answers as each test says. Never leaves loopback.

use std::io::Read;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use ureq::tls::Certificate;

use super::super::tls;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::*;

/// Answers each request by its path; tells the lines of all requests. Ends with the test's process.
fn server(answer: fn(&str, &mut TcpStream)) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || serve(stream, answer, &|line| drop(tell.send(line))));
        }
    });
    (format!("http://{address}/jwt"), told)
}

fn serve(mut stream: TcpStream, answer: impl Fn(&str, &mut TcpStream), tell: &dyn Fn(String)) {
    let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    tell(first);
    for line in lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        tell(line);
    }
    answer(&path, &mut stream);
}

fn say(stream: &mut TcpStream, head: &str, body: &str) {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    // The resolver may have gone, as it does from what is too long.
    let _ = stream.write_all(text.as_bytes());
}

fn ask(url: &str, key: &str, fetch_max_ms: u64) -> Result<String, String> {
    let fetch_max = Duration::from_millis(fetch_max_ms);
    let answer = UrlResolver::new(url, fetch_max, TlsConfig::default()).fetch(key);
    let port = |text: String| {
        let (scheme, rest) = text.split_once("127.0.0.1:")?;
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        Some(format!("{scheme}127.0.0.1:PORT{rest}"))
    };
    answer.map_err(|text| port(text.clone()).unwrap_or(text))
}

const LONG_MS: u64 = 60_000;

#[test]
fn the_key_is_the_last_part() {
    let (url, told) = server(|_, stream| say(stream, "200 OK", "eyJ\n"));
    for url in [url.clone(), format!("{url}/")] {
        assert_eq!(ask(&url, "AB", LONG_MS).as_deref(), Ok("eyJ\n"));
        let lines: Vec<String> = told.try_iter().collect();
        assert_eq!(lines[0], "GET /jwt/AB HTTP/1.1");
    }
    assert_eq!(ask(&url, "", LONG_MS).as_deref(), Ok("eyJ\n"));
    assert_eq!(told.recv().expect("asked"), "GET /jwt/ HTTP/1.1");
}

#[test]
fn nothing_but_200_counts() {
    let (url, _told) = server(|path, stream| match path {
        "/jwt/no" => say(stream, "404 Not Found", "eyJ"),
        "/jwt/broken" => say(stream, "500 Internal Server Error", "eyJ"),
        _ => say(stream, "204 No Content", ""),
    });
    let refused = |key: &str| ask(&url, key, LONG_MS).expect_err("refused");
    assert_eq!(
        refused("no"),
        "could not fetch <\"http://127.0.0.1:PORT/jwt/no\">: 404 Not Found"
    );
    assert_eq!(
        refused("broken"),
        "could not fetch <\"http://127.0.0.1:PORT/jwt/broken\">: 500 Internal Server Error"
    );
    assert_eq!(
        refused("empty"),
        "could not fetch <\"http://127.0.0.1:PORT/jwt/empty\">: 204 No Content"
    );
}

#[test]
fn redirects_are_followed_for_a_while() {
    let (url, _told) = server(|path, stream| match path {
        "/jwt/moved" => say(stream, "302 Found\r\nLocation: /there", ""),
        "/there" => say(stream, "200 OK", "eyJ"),
        _ => say(stream, "302 Found\r\nLocation: /round", ""),
    });
    assert_eq!(ask(&url, "moved", LONG_MS).as_deref(), Ok("eyJ"));
    let refused = ask(&url, "round", LONG_MS).expect_err("refused");
    assert!(refused.contains("redirect"), "{refused}");
}

#[test]
fn what_is_slow_or_huge_is_refused() {
    let (url, _told) = server(|path, stream| match path {
        "/jwt/silent" => drop(BufReader::new(stream).read_line(&mut String::new())),
        "/jwt/drips" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ne");
            drop(BufReader::new(stream).read_line(&mut String::new()));
        }
        "/jwt/endless" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'e'; 4096]).is_ok() {}
        }
        _ => say(stream, "200 OK", &"e".repeat(JWT_BYTES_MAX + 1)),
    });
    for key in ["silent", "drips"] {
        let refused = ask(&url, key, 50).expect_err("refused");
        assert!(refused.contains("timeout"), "{refused}");
    }
    for key in ["endless", "huge"] {
        let refused = ask(&url, key, LONG_MS).expect_err("refused");
        assert!(refused.contains("limit"), "{refused}");
    }
}

#[test]
fn what_breaks_off_or_is_no_http_is_refused() {
    let (url, _told) = server(|path, stream| match path {
        "/jwt/short" => drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ne")),
        "/jwt/bytes" => drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff")),
        "/jwt/nats" => drop(stream.write_all(b"INFO {}\r\n")),
        _ => {}
    });
    for key in ["short", "nats", "closed"] {
        ask(&url, key, LONG_MS).expect_err("refused");
    }
    // Not UTF-8: whatever it is, it is no JWT.
    let bytes = ask(&url, "bytes", LONG_MS);
    assert!(bytes.as_deref().is_ok_and(|text| text != "e") || bytes.is_err());
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port");
    ask(&format!("http://{nobody}"), "a", LONG_MS).expect_err("nobody listens");
}

#[test]
fn credentials_are_sent_and_not_said() {
    let (url, told) = server(|_, stream| say(stream, "403 Forbidden", ""));
    let url = url.replace("http://", "http://bob:secret@");
    assert_eq!(
        ask(&url, "a", LONG_MS).expect_err("refused"),
        "could not fetch <\"http://bob:xxxxx@127.0.0.1:PORT/jwt/a\">: 403 Forbidden"
    );
    let lines: Vec<String> = told.try_iter().map(|line| line.to_lowercase()).collect();
    assert!(
        lines.contains(&"authorization: basic ym9iOnnly3jldA==".to_lowercase()),
        "{lines:?}"
    );
    assert_eq!(redacted("http://a/b@c:d"), "http://a/b@c:d");
    assert_eq!(redacted("http://a@b/c"), "http://a@b/c");
}

/// An authority, and an HTTPS server for `name` by it that says `eyJ`.
fn https(name: &str) -> (String, Certificate<'static>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let own = params.signed_by(&key, &authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            key.serialize_der().try_into().expect("a key"),
        )
        .expect("they belong together");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            // A client that does not believe it goes.
            if stream.read(&mut [0; 4096]).is_ok() {
                let text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\neyJ";
                let _ = stream.write_all(text).and_then(|()| stream.flush());
            }
        }
    });
    let authority = Certificate::from_der(authority.der()).to_owned();
    (format!("https://127.0.0.1:{port}"), authority)
}

#[test]
fn https_is_believed_by_its_authority_and_name() {
    let ask = |url: &str, tls: TlsConfig| {
        UrlResolver::new(url, Duration::from_millis(LONG_MS), tls).fetch("a")
    };
    let (url, authority) = https("127.0.0.1");
    assert_eq!(
        ask(&url, tls::believing(vec![authority.clone()])).as_deref(),
        Ok("eyJ")
    );
    ask(&url, tls::system()).expect_err("an authority that nobody knows");
    ask(&url, tls::believing(vec![])).expect_err("no authority at all");
    let (url, _) = https("127.0.0.1");
    ask(&url, tls::believing(vec![authority])).expect_err("another authority");
    let (url, authority) = https("other.example");
    ask(&url, tls::believing(vec![authority])).expect_err("another name");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes as an answer: a text that is no longer than a JWT, or a sentence that names the URL.
    #[test]
    fn any_bytes_as_an_answer(head in "(HTTP/1\\.1 200 OK\r\n([A-Za-z-]{1,12}: [ -~]{0,12}\r\n){0,2}(Content-Length: [0-9]{1,3}\r\n|Transfer-Encoding: chunked\r\n)?\r\n)?", body in vec(any::<u8>(), 0..200)) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/jwt", listener.local_addr().expect("bound"));
        let answering = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("somebody asks");
            let answer = |_: &str, stream: &mut TcpStream| {
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            };
            serve(stream, answer, &|_| {});
        });
        let fetched = UrlResolver::new(&url, Duration::from_millis(300), TlsConfig::default()).fetch("A");
        answering.join().expect("it has answered");
        match fetched {
            Ok(text) => prop_assert!(text.len() <= JWT_BYTES_MAX),
            Err(why) => prop_assert!(why.starts_with("could not fetch <\"http://127.0.0.1:"), "{}", why),
        }
    }
}

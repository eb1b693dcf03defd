//! Accounts from JWTs when something fails: a reload, the disk, who is asked for them, an import. What is known goes on, and
//! the log says what is wrong. Owns these facts; all keys are made from their names.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use gannet::auth::jwt::encode;
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};

use super::client::{Client, Frame};
use super::io::Io;
use super::server::Server;

const LOOKUP: &str = "CLAIMS.LOOKUP";
const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";

/// The key of a name, whose first letter is its kind.
fn key(name: &str) -> KeyPair {
    let kind = match &name[..1] {
        "O" => KeyPairType::Operator,
        "A" => KeyPairType::Account,
        _ => KeyPairType::User,
    };
    let mut secret = [7; 32];
    secret[..name.len()].copy_from_slice(name.as_bytes());
    KeyPair::new_from_raw(kind, secret).expect("a key")
}

fn public(name: &str) -> String {
    key(name).public_key()
}

fn token(by: &str, of: &str, nats: Value, issued_at: i64) -> String {
    let claims = json!({"sub": public(of), "name": of, "nats": nats});
    encode(claims, &key(by), issued_at).expect("a token")
}

fn operator() -> String {
    token("O", "O", json!({"type": "operator", "version": 2}), 1)
}

/// An account's token; `more` are further members of `nats`.
fn account(of: &str, issued_at: i64, more: Value) -> String {
    let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
        "wildcards": true, "conn": -1, "leaf": -1});
    let mut nats = json!({"type": "account", "version": 2, "limits": limits});
    for (name, value) in more.as_object().expect("members") {
        nats[name] = value.clone();
    }
    token("O", of, nats, issued_at)
}

/// What a user of an account says: it need not sign.
fn connect(account: &str) -> String {
    let nats = json!({"type": "user", "version": 2, "bearer_token": true,
        "subs": -1, "data": -1, "payload": -1});
    let jwt = token(account, &format!("U{account}"), nats, 1);
    format!("CONNECT {{\"verbose\":false,\"jwt\":\"{jwt}\"}}")
}

fn user(server: &Server, account: &str) -> Client {
    let mut client = Client::dial(server);
    client.op(&connect(account));
    client.barrier();
    client
}

fn assert_refused(server: &Server, account: &str) {
    let mut client = Client::dial(server);
    client.op(&connect(account));
    let said = client.frame();
    assert_eq!(said, Frame::Error("'Authorization Violation'".to_owned()));
    assert_eq!(client.frame(), Frame::End);
}

/// What the system account is answered.
fn ask(system: &mut Client, subject: &str, payload: &str) -> String {
    system.op(&format!("PUB {subject} r {}\r\n{payload}", payload.len()));
    String::from_utf8(system.message().body).expect("text")
}

fn config(resolver: &str, preloaded: &[(&str, String)]) -> String {
    let lines = preloaded.iter();
    let lines: Vec<String> = lines
        .map(|(name, jwt)| format!("{}: {jwt}", public(name)))
        .collect();
    let preload = match lines.is_empty() {
        true => String::new(),
        false => format!("resolver_preload {{\n{}\n}}", lines.join("\n")),
    };
    let (operator, system) = (operator(), public("AS"));
    format!("operator: {operator}\nsystem_account: {system}\nresolver: {resolver}\n{preload}\n")
}

fn system() -> (&'static str, String) {
    ("AS", account("AS", 1, json!({})))
}

/// A reload that fails changes no account.
pub fn a_reload_that_fails_leaves_the_accounts(io: Io) {
    let [one, other] = ["A1", "A2"].map(|name| (name, account(name, 1, json!({}))));
    let before = config("MEMORY", &[system(), one]);
    let mut server = Server::with_config(io, &before);
    let mut there = user(&server, "A1");
    let after = config("MEMORY", &[system(), other]);
    server.reload_in_vain(&format!("{after}log_file: \"/nowhere/at/all/log\"\n"));
    // Somebody is looked for in vain: whatever is known by now is put into force.
    assert_refused(&server, "A2");
    there.barrier();
    user(&server, "A1");
    server.reload(&after);
    assert_eq!(
        there.frame(),
        Frame::Error("'Authorization Violation'".to_owned())
    );
    user(&server, "A2");
}

/// What cannot be written leaves what there was.
pub fn a_full_disk_keeps_the_old_token(io: Io) {
    let may = Command::new("unshare").args(["--mount", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("not root: no disk can be made small");
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let resolver = format!(
        "{{ type: full, dir: {:?}, allow_delete: true }}",
        place.path()
    );
    let first = account("A1", 1, json!({}));
    let config = config(&resolver, &[system(), ("A1", first.clone())]);
    // A page each for two accounts, and none for a third or for the next of one.
    let mut server = Server::with_small_disk(io, place.path(), 8, &config);
    let mut there = user(&server, "A1");
    let mut system = user(&server, "AS");
    system.op("SUB r 1");
    system.barrier();
    for name in ["A1", "A2"] {
        let next = account(name, 2, json!({}));
        let said = ask(&mut system, UPDATE, &next);
        assert!(said.contains("\"code\":500"), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        let told = format!("jwt update resulted in error - {}", public(name));
        let line = server.wait_for_log(&told);
        assert!(line.contains("[ERR]"), "{line}");
        assert!(line.contains("No space left on device"), "{line}");
        assert!(!line.contains(&next[..40]), "{line}");
    }
    let subject = format!("$SYS.REQ.ACCOUNT.{}.{LOOKUP}", public("A1"));
    assert_eq!(ask(&mut system, &subject, ""), first);
    there.barrier();
    user(&server, "A1");
    assert_refused(&server, "A2");
}

/// Known accounts need nobody to be asked.
pub fn a_resolver_that_is_down_is_needed_for_strangers_only(io: Io) {
    let jwts = ["AS", "A1", "A2"].map(|name| (public(name), account(name, 1, json!({}))));
    let mut web = Web::start(0, BTreeMap::from(jwts));
    let url = format!("URL(\"http://127.0.0.1:{}/jwt\")", web.port);
    let mut server = Server::with_config(io, &config(&url, &[]));
    let mut there = user(&server, "A1");
    there.op("SUB a 1");
    there.barrier();
    web.stop();
    assert_refused(&server, "A2");
    let line = server.wait_for_log("could not fetch");
    assert!(line.contains(&public("A2")), "{line}");
    let mut known = user(&server, "A1");
    known.op("PUB a 1\r\n7");
    assert_eq!(there.message().number(), 7);
    let again = Web::start(web.port, web.jwts.clone());
    user(&server, "A2");
    there.barrier();
    drop(again);
}

/// It names account, import and reason.
pub fn an_import_that_fails_is_an_error_in_the_log(io: Io) {
    let import = json!({"imports": [{"name": "i", "subject": "foo", "account": public("A2"), "type": "stream"}]});
    let accounts = [
        system(),
        ("A1", account("A1", 1, import)),
        ("A2", account("A2", 1, json!({}))),
    ];
    let mut server = Server::with_config(io, &config("MEMORY", &accounts));
    user(&server, "A1");
    let [own, other] = ["A1", "A2"].map(public);
    let line = server.wait_for_log("import of stream");
    let expected = format!("[ERR] account {own} (\"A1\"): import of stream \"foo\" from {other}: ");
    let (_, why) = line
        .split_once(&expected)
        .unwrap_or_else(|| panic!("{line}"));
    assert!(why.contains("export"), "{line}");
}

/// An HTTP server that says the tokens of accounts.
struct Web {
    port: u16,
    jwts: BTreeMap<String, String>,
    down: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    fn start(port: u16, jwts: BTreeMap<String, String>) -> Web {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let down = Arc::new(AtomicBool::new(false));
        let (told, known) = (down.clone(), jwts.clone());
        let serve = move || {
            for stream in listener.incoming().flatten() {
                if told.load(SeqCst) {
                    return;
                }
                serve(&stream, &known);
            }
        };
        Web {
            port,
            jwts,
            down,
            thread: Some(thread::spawn(serve)),
        }
    }

    /// From now on nobody listens there.
    fn stop(&mut self) {
        self.down.store(true, SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it has ended");
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Answers a request: the last part of its path is the account; without one it is asked whether anybody is there.
fn serve(mut stream: &TcpStream, jwts: &BTreeMap<String, String>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.find(String::is_empty);
    let key = first
        .split(' ')
        .nth(1)
        .and_then(|path| path.rsplit('/').next());
    let (status, body) = match key.map(|key| (key, jwts.get(key))) {
        Some(("", _)) => ("200 OK", ""),
        Some((_, Some(jwt))) => ("200 OK", jwt.as_str()),
        _ => ("404 Not Found", ""),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    // Who has asked may have gone.
    let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
}

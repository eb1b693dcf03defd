//! Who is not let in is told nothing; the log and the system account are told why, and neither learns a secret. What of
//! it the oracle tells as well is compared in the differential test.

use nkeys::KeyPair;

use super::client::{Client, Frame};
use super::io::Io;
use super::server::Server;

const CONFIG: &str = r#"
    accounts {
      $SYS { users: [ {user: sys, password: p} ] }
      A { users: [
        {user: a, password: right}, {user: web, password: right, allowed_connection_types: [WEBSOCKET]}
        {nkey: KEY}
      ] }
    }
"#;

/// What must not be told.
const SECRETS: &[&str] = &["right", "wr0ng", "t0ken", "s1gnature"];

/// A CONNECT, and why it is refused. KEY is that of a user.
const REFUSED: &[(&str, &str)] = &[
    (
        r#""user":"a","pass":"wr0ng""#,
        r#"User "a" (wrong password)"#,
    ),
    (r#""user":"b","pass":"wr0ng""#, r#"User "b" (unknown user)"#),
    (
        r#""user":"web","pass":"right""#,
        r#"User "web" (connection type not allowed)"#,
    ),
    (
        r#""auth_token":"t0ken""#,
        r#"Token "[REDACTED]" (no credentials)"#,
    ),
    (
        r#""nkey":"KEY","sig":"s1gnature""#,
        r#"Nkey "KEY" (no signature that verifies)"#,
    ),
];

pub fn a_denial_says_why_to_the_system_only(io: Io) {
    let key = KeyPair::new_user().public_key();
    let mut server = Server::with_config(io, &CONFIG.replace("KEY", &key));
    let mut system = Client::connect_as(&server, "sys");
    system.op("SUB $SYS.SERVER.*.CLIENT.AUTH.ERR 1");
    system.barrier();
    for (connect, why) in REFUSED {
        let [connect, why] = [connect, why].map(|text| text.replace("KEY", &key));
        let mut stranger = Client::dial(&server);
        stranger.op(&format!("CONNECT {{\"verbose\":false,{connect}}}"));
        let said = stranger.frame();
        assert_eq!(said, Frame::Error("'Authorization Violation'".to_owned()));
        assert_eq!(stranger.frame(), Frame::End);
        let body = String::from_utf8(system.message().body).expect("text");
        let event: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(event["reason"], "Authentication Failure");
        assert_eq!(event["why"], format!("authentication error - {why}"));
        // The log is written by a thread of its own.
        server.wait_until("the log says why", |server| server.log().contains(&why));
        for secret in SECRETS {
            assert!(!body.contains(secret), "{secret} in {body}");
        }
    }
    let log = server.log();
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

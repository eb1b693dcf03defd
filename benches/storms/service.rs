//! An auth callout service that lets everybody in and takes its time. Owns its connection and its two threads, which end
//! with the server.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use crate::keys::Keys;
use crate::material::{Material, Part};
use crate::server::Server;
use crate::storm::Client;
use crate::token::Block;

/// How long each question waits for its answer.
pub const DELAY: Duration = Duration::from_secs(1);

const TOKENS: &[(&str, &str)] = &[
    ("made", "kind: user\nby: A.issuer\nfor: $nkey()\naud: APP"),
    (
        "answer",
        "kind: authorization_response\nby: A.issuer\nfor: $nkey()\naud: $server()\nnats: {\"jwt\":\"$jwt(made)\"}",
    ),
];

/// What is to be said, and when.
type Due = (Instant, Vec<u8>);

/// Starts it; it is subscribed when this returns.
pub fn start(server: &Server, material: &Material) -> Result<(), String> {
    let mut client = Client::open(server.port, material, Part::Service)?;
    client.send(b"SUB $SYS.REQ.USER.AUTH 1\r\nPING\r\n")?;
    client.until("PONG")?;
    let writer = client.writer()?;
    let (due, dues) = channel();
    thread::spawn(move || answer(writer, &dues));
    thread::spawn(move || {
        // That the server has gone is how it ends.
        let _ = listen(&mut client, &due);
    });
    Ok(())
}

fn listen(client: &mut Client, due: &Sender<Due>) -> Result<(), String> {
    let blocks = TOKENS
        .iter()
        .map(|(name, text)| Ok(((*name).to_owned(), Block::parse(text)?)));
    let blocks: Vec<_> = blocks.collect::<Result<_, String>>()?;
    let keys = Keys::new(&blocks);
    loop {
        let line = client.line()?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = Instant::now();
        let said = match words[..] {
            ["MSG", _, _, reply, len] => {
                let len = len.parse::<usize>().map_err(|_| line.clone())?;
                let answer = make(&client.payload(len)?, &keys)?;
                let mut said = format!("PUB {reply} {}\r\n", answer.len()).into_bytes();
                said.extend_from_slice(&answer);
                said.extend_from_slice(b"\r\n");
                (now + DELAY, said)
            }
            ["PING"] => (now, b"PONG\r\n".to_vec()),
            _ => continue,
        };
        due.send(said).map_err(|e| e.to_string())?;
    }
}

/// The answer to a question, which is a token without secrets.
fn make(question: &[u8], keys: &Keys<'_>) -> Result<Vec<u8>, String> {
    let question = std::str::from_utf8(question).map_err(|e| e.to_string())?;
    let claims = question.split('.').nth(1).ok_or("it is no token")?;
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes());
    let claims = claims.map_err(|e| e.to_string())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|e| e.to_string())?;
    let text = |at: &str| {
        claims
            .pointer(at)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let nkey = text("/nats/user_nkey").ok_or("it names no user")?;
    let server = text("/nats/server_id/id").ok_or("it names no server")?;
    keys.bytes(b"$jwt(answer)", &mut |word, _| {
        Ok(match word {
            "nkey" => Some(nkey.clone().into_bytes()),
            "server" => Some(server.clone().into_bytes()),
            _ => None,
        })
    })
}

/// Says everything when it is due.
fn answer(mut stream: TcpStream, dues: &Receiver<Due>) {
    for (due, said) in dues {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stream.write_all(&said).is_err() {
            return;
        }
    }
}

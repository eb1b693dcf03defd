//! One pure broker with sessions, without sockets: bytes in, protocol lines out. Never judges what it sees.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gannet::account::compiler::compile;
use gannet::auth::Authenticator;
use gannet::broker::effect::{Batch, ConnId, Outlet};
use gannet::broker::{Broker, PendingLimits, ShardPlace};
use gannet::config::Config;
use gannet::proto::handshake::Info;
use gannet::session::client::Client;
use gannet::session::{Context, Port};

/// A broker of one shard.
pub struct Node {
    broker: Broker,
    context: Context,
    clients: Vec<Client>,
}

/// What a client was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// A message.
    Message {
        subject: String,
        sid: String,
        reply: Option<String>,
        /// It is a 503.
        nobody: bool,
    },
    /// The text of an `-ERR`.
    Error(String),
}

/// No socket, and no other shard.
struct Nowhere;

impl Outlet for Nowhere {
    fn send_now(&mut self, _: ConnId, _: &[IoSlice<'_>]) -> usize {
        0
    }
}

impl Port for Nowhere {
    fn push_mesh(&mut self, _: &mut [Batch]) -> bool {
        true
    }
}

impl Node {
    /// A broker on this configuration.
    pub fn new(config: &Config, seed: u64) -> Node {
        let place = ShardPlace { index: 0, count: 1 };
        let mut broker = Broker::new(place, PendingLimits::new(1 << 26, true), seed);
        broker.set_table(Arc::new(compile(config, None).expect("it compiles")));
        let authenticator = Authenticator::new(config).expect("nothing is wrong with it");
        let info = Info {
            headers: true,
            ..Info::default()
        };
        let context = Context::new(
            config.limits.clone(),
            Arc::new(authenticator),
            info,
            2_000,
            [7; 32],
        );
        Node {
            broker,
            context,
            clients: Vec::new(),
        }
    }

    /// A client that says CONNECT as a user whose password is `p`, or as nobody.
    pub fn connect(&mut self, user: Option<&str>) -> usize {
        let at = self.clients.len();
        self.broker.open(at as ConnId, 1);
        let address = (IpAddr::V4(Ipv4Addr::LOCALHOST), 4711);
        let client = Client::new(
            &mut self.context,
            &mut self.broker,
            at as ConnId,
            at as u64 + 5,
            address,
        );
        self.clients.push(client);
        let who = user
            .map(|user| format!("\"user\":\"{user}\",\"pass\":\"p\","))
            .unwrap_or_default();
        let options = format!(
            "CONNECT {{{who}\"verbose\":false,\"headers\":true,\"no_responders\":true}}\r\n"
        );
        self.say(at, &options);
        self.hear(at);
        at
    }

    /// A client says something.
    pub fn say(&mut self, at: usize, bytes: &str) {
        self.clients[at].receive(
            &mut self.context,
            &mut self.broker,
            &mut Nowhere,
            bytes.as_bytes(),
        );
    }

    /// What a client has been sent since it was asked last.
    pub fn hear(&mut self, at: usize) -> Vec<Line> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.broker.next_chunk(at as ConnId) {
            let unsent = chunk.unsent().to_vec();
            self.broker.chunk_sent(at as ConnId, chunk, unsent.len());
            bytes.extend_from_slice(&unsent);
        }
        lines(&String::from_utf8(bytes).expect("text"))
    }
}

fn lines(mut text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    while let Some((line, rest)) = text.split_once("\r\n") {
        text = rest;
        let words: Vec<&str> = line.split(' ').collect();
        let (tail, sizes) = match words[0] {
            "MSG" => (&words[3..], 1),
            "HMSG" => (&words[3..], 2),
            "-ERR" => {
                lines.push(Line::Error(line[6..line.len() - 1].to_owned()));
                continue;
            }
            _ => continue,
        };
        let size: usize = tail[tail.len() - 1].parse().expect("a size");
        let reply = (tail.len() > sizes).then(|| tail[0].to_owned());
        lines.push(Line::Message {
            subject: words[1].to_owned(),
            sid: words[2].to_owned(),
            reply,
            nobody: rest[..size].starts_with("NATS/1.0 503"),
        });
        text = &rest[size + 2..];
    }
    lines
}

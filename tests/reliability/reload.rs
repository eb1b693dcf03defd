//! A hundred reloads under traffic between two shards: nobody who need not be is cut, no message is lost, comes twice or
//! out of order, no request stays without its answer, and nothing of an old configuration is left behind.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use super::client::{Client, Frame, Message};
use super::io::Io;
use super::resident::Memory;
use super::server::Server;

/// Rounds of reloads. Between them is silence, in which memory is read; the first two warm up.
const ROUNDS: usize = 5;

/// Reloads of a round.
const RELOADS: usize = 20;

/// By so much a round may leave more resident memory than those that warm up: three of its reloads that leave the tables of a
/// configuration are more.
///
/// What rises over the first rounds is no reload's. By an allocator that counts, over thirty rounds, 20.6 to 21.0 MB are in use
/// after each, on io_uring as on epoll, and after the last no more than after the tenth. What stays of a round is what shards
/// remember of subjects, in a bounded number of slots: a round with more requests than any before fills more of them. Resident
/// is twice as much, and rises by megabytes at a time: that is how the allocator keeps its pages.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

/// Accounts that only make tables large.
const FILLERS: usize = 2_000;

/// Messages between two PINGs of a publisher.
const BURST: u64 = 20;

/// And its rest behind them: what is heard is looked at between reloads, one ear after the other.
const REST: Duration = Duration::from_millis(1);

pub fn reloads_under_traffic_lose_nothing_and_leave_nothing(io: Io) {
    let reloads = io.share(RELOADS, RELOADS / 2);
    let mut server = Server::with_config(io, &config(0));
    let mut ears = Ears::new(&server);
    let mut publishers = [0, 1].map(|_| (user(&server, "a"), 0));
    let (mut requestor, mut responder) = (user(&server, "b"), user(&server, "a"));
    requestor.op("SUB in.* 1");
    responder.op("SUB q 1");
    responder.barrier();
    let mut memory = Memory::default();
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for (own, (client, next)) in publishers.iter_mut().enumerate() {
                let stop = &stop;
                scope.spawn(move || publish(client, own, next, stop));
            }
            scope.spawn(|| answer(&mut responder));
            scope.spawn(|| request(&mut requestor, &stop));
            for n in (1..=reloads).map(|n| round * reloads + n) {
                let mut comer = user(&server, &format!("n{}", (n - 1) % 4));
                comer.op("SUB > 1\r\nSUB s.* crew 2");
                comer.barrier();
                server.reload(&config(n));
                ears.listen();
                // Its account has gone, and it with it.
                while !matches!(comer.frame(), Frame::End) {}
            }
            stop.store(true, Relaxed);
        });
        ears.listen();
        memory.after_round(&server, GROWTH_BYTES_MAX);
    }
    ears.check(&publishers.map(|(_, published)| published));
    memory.show("reloads");
    let log = server.log();
    assert!(!log.contains("[ERR]"), "{log}");
}

/// Everything that concerns the traffic is the same in all of them. Each client has as many subscriptions as it may have.
fn config(number: usize) -> String {
    let comer = number % 4;
    let mut text = format!(
        "max_payload: {}
         ping_interval: {}
         accounts {{
           A {{
             users: [ {{user: a, password: p}} ]
             limits: {{ max_subscriptions: 1 }}
             exports: [ {{stream: \"s.>\"}}, {{service: q}}, {{stream: \"x{comer}.>\"}} ]
             mappings: {{ m: m{number} }}
           }}
           N{comer} {{ users: [ {{user: n{comer}, password: p}} ], imports: [ {{stream: {{account: A, subject: \"s.>\"}}}} ] }}
           B {{
             users: [ {{user: b, password: p}} ]
             limits: {{ max_subscriptions: 1 }}
             imports: [
               {{stream: {{account: A, subject: \"s.>\"}}, prefix: p}}
               {{stream: {{account: A, subject: \"x{comer}.>\"}}}}
               {{service: {{account: A, subject: q}}}}
             ]
           }}\n",
        100_000 + number,
        60 + number % 2,
    );
    for filler in 0..FILLERS {
        let _ = writeln!(
            text,
            "F{filler} {{ users: [ {{user: f{filler}, password: p}} ], mappings: {{ \"a.*\": \"b.$1\" }}, imports: [ {{stream: {{account: A, subject: \"s.>\"}}, prefix: f}} ] }}"
        );
    }
    text + "}"
}

fn user(server: &Server, name: &str) -> Client {
    let mut client = Client::dial(server);
    client.op(&format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{name}\",\"pass\":\"p\"}}"
    ));
    client.barrier();
    client
}

/// Publishes numbers on its subject, from the next on, until it is told to stop.
fn publish(client: &mut Client, own: usize, next: &mut u64, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        for number in *next..*next + BURST {
            client.op(&format!("PUB s.{own} 10\r\n{number:<10}"));
        }
        *next += BURST;
        client.barrier();
        thread::sleep(REST);
    }
}

/// Answers each request with its own payload, until one says so.
fn answer(client: &mut Client) {
    loop {
        let request = client.message();
        if request.body == b"end" {
            return;
        }
        let answer = request.number().to_string();
        let (reply, len) = (&request.reply, answer.len());
        client.op(&format!("PUB {reply} {len}\r\n{answer}"));
    }
}

/// One request after the other, each with one answer.
fn request(client: &mut Client, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Relaxed) {
        let text = number.to_string();
        client.op(&format!("PUB q in.{number} {}\r\n{text}", text.len()));
        assert_eq!(client.message().number(), number);
        number += 1;
    }
    assert_eq!(client.barrier(), [], "one answer to each");
    client.op("PUB q 3\r\nend");
    client.barrier();
}

/// Who listens, on both shards and in both accounts, and what they have heard.
struct Ears {
    /// Everything is for each of them: the number that is next, for either publisher.
    plain: Vec<(Client, [u64; 2])>,
    /// Everything is for one of them.
    gang: Vec<Client>,
    /// What those of the gang have heard together, by publisher.
    once: [Vec<u64>; 2],
}

impl Ears {
    fn new(server: &Server) -> Ears {
        // Connections alternate over the shards.
        let ear = |(name, sub): (&str, &str)| {
            let mut client = user(server, name);
            client.op(sub);
            client.barrier();
            client
        };
        let plain = [("a", "SUB s.* 1"), ("b", "SUB p.s.* 1")];
        let gang = [("a", "SUB s.* gang 1"), ("b", "SUB p.s.* gang 1")];
        let twice = |[one, other]: [(&'static str, &'static str); 2]| [one, one, other, other];
        Ears {
            plain: twice(plain).map(|who| (ear(who), [0, 0])).into(),
            gang: twice(gang).map(ear).into(),
            once: [Vec::new(), Vec::new()],
        }
    }

    fn listen(&mut self) {
        for (client, next) in &mut self.plain {
            for message in client.barrier() {
                let next = &mut next[publisher_of(&message)];
                assert_eq!(message.number(), *next, "each once and in order");
                *next += 1;
            }
        }
        for client in &mut self.gang {
            for message in client.barrier() {
                self.once[publisher_of(&message)].push(message.number());
            }
        }
    }

    fn check(&mut self, published: &[u64]) {
        for (own, count) in published.iter().enumerate() {
            for (_, next) in &self.plain {
                assert_eq!(next[own], *count, "all of them");
            }
            self.once[own].sort_unstable();
            let all: Vec<u64> = (0..*count).collect();
            assert_eq!(self.once[own], all, "one of the gang got each");
        }
    }
}

fn publisher_of(message: &Message) -> usize {
    usize::from(message.subject.ends_with('1'))
}

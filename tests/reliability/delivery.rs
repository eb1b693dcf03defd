//! Two shards do as one would: what was subscribed is found, each message comes once. Connections alternate over the shards.

use super::client::{Client, Message};
use super::io::Io;
use super::server::Server;

pub fn a_confirmed_subscription_is_found_by_every_publisher(io: Io) {
    let server = Server::start(io);
    // The first two are on different shards, and each of the other two beside one of them.
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(&server)).collect();
    for round in 0..2_000_u64 {
        let at = round as usize % clients.len();
        let mut subscriber = clients.remove(at);
        let publisher = &mut clients[round as usize / 4 % 3];
        subscriber.op(&format!("SUB round.{round} {round}"));
        assert_eq!(subscriber.barrier(), []);
        publisher.op(&format!("PUB round.{round} 4\r\n{round:<4}"));
        if round.is_multiple_of(2) {
            assert_eq!(subscriber.message().number(), round);
        } else {
            // Both have their PONG: the message has come before the second.
            publisher.barrier();
            let messages = subscriber.barrier();
            assert_eq!(numbers(&messages), [round]);
        }
        subscriber.op(&format!("UNSUB {round}"));
        assert_eq!(subscriber.barrier(), []);
        publisher.op(&format!("PUB round.{round} 4\r\n{round:<4}"));
        publisher.barrier();
        assert_eq!(subscriber.barrier(), [], "unsubscribed in round {round}");
        clients.insert(at, subscriber);
    }
}

pub fn one_member_gets_each_message(io: Io) {
    const MESSAGES: u64 = 20_000;
    let server = Server::start(io);
    let mut members: Vec<Client> = (0..4).map(|_| Client::connect(&server)).collect();
    for member in &mut members {
        member.op("SUB jobs.* crew 1");
        member.barrier();
    }
    let mut publishers = [Client::connect(&server), Client::connect(&server)];
    let mut received: Vec<Vec<Message>> = members.iter().map(|_| Vec::new()).collect();
    for part in 0..MESSAGES / 200 {
        for (n, publisher) in (part * 200..(part + 1) * 200).zip([0, 1].into_iter().cycle()) {
            publishers[publisher].op(&format!("PUB jobs.{publisher} 6\r\n{n:<6}"));
        }
        // One of them leaves and comes back, in the middle of it.
        let leaver = part as usize % members.len();
        members[leaver].op("UNSUB 1");
        received[leaver].extend(members[leaver].barrier());
        members[leaver].op("SUB jobs.* crew 1");
    }
    for client in &mut publishers {
        client.barrier();
    }
    for (member, own) in members.iter_mut().zip(&mut received) {
        own.extend(member.barrier());
        assert!(!own.is_empty(), "every member works");
    }
    let mut numbers: Vec<u64> = received.iter().flat_map(|own| numbers(own)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
}

fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(Message::number).collect()
}

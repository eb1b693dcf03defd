//! A play: clients of random accounts come, listen, publish, ask and answer, in scenes; after each, what they received
//! is held against the model. Owns who does what; what is right is the model's to say.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::accounts::{Accounts, random_pattern};
use super::client::{Client, HEADER};
use super::naive::{Chances, Message, Model, Seen};
use super::rng::Rng;
use super::server::Server;
use super::tally::Tally;
use super::words::{Word, Words, pattern_text};

/// Rounds of PING and PONG after which nothing is on its way any more. An answer passes the shard that took its request
/// and comes from there to another one; that takes a round more than a message.
const ROUNDS: usize = 3;

const ACTS: usize = 6;

/// Requests that are remembered, to be answered, perhaps more than once.
const ASKED_MAX: usize = 30;

/// A play of a seed.
pub struct Play<'a> {
    rng: Rng,
    accounts: Rc<Accounts>,
    model: Model,
    server: &'a mut dyn Server,
    clients: Vec<Client>,
    pongs: usize,
    messages: usize,
    next_sid: u32,
    names: Names,
    asked: Vec<Asked>,
    scene: Vec<(usize, Message)>,
    oracle: bool,
    differs: bool,
    trace: bool,
    /// What there was to be seen.
    pub tally: Tally,
}

/// A request that somebody received.
#[derive(Clone, Debug)]
struct Asked {
    /// What it is answered on.
    reply: String,
    by: usize,
}

impl<'a> Play<'a> {
    /// A play with these accounts; nobody has come yet. The server is the `oracle` or gannet.
    pub fn new(
        rng: Rng,
        accounts: Rc<Accounts>,
        server: &'a mut dyn Server,
        oracle: bool,
        trace: bool,
    ) -> Self {
        Play {
            rng,
            model: Model::new(Rc::clone(&accounts)),
            tally: Tally {
                cycles: accounts.cycles,
                ..Tally::default()
            },
            accounts,
            server,
            clients: Vec::new(),
            pongs: 0,
            messages: 0,
            next_sid: 1,
            names: Names::default(),
            asked: Vec::new(),
            scene: Vec::new(),
            oracle,
            differs: false,
            trace,
        }
    }

    /// All of it; with the oracle, up to where it is known to differ.
    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.range(3, 9) {
            self.come()?;
        }
        for _ in 0..ACTS {
            self.act()?;
            if self.differs {
                break;
            }
        }
        Ok(())
    }

    fn act(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.below(6) {
            self.change()?;
        }
        self.end_scene()?;
        for _ in 0..self.rng.range(5, 25) {
            self.publish_some();
        }
        self.end_scene()?;
        for _ in 0..self.rng.range(1, 3) {
            self.answer_some();
            self.end_scene()?;
        }
        if self.rng.chance(400) {
            self.answer_with_nothing();
            self.end_scene()?;
        }
        Ok(())
    }

    fn come(&mut self) -> Result<(), String> {
        self.server.connect()?;
        let at = self.clients.len();
        self.clients.push(Client::new(at, self.trace));
        self.model.clients.push(Default::default());
        let account = self.rng.below(self.accounts.list.len());
        self.connect(at, account);
        Ok(())
    }

    /// Comes into an account, and listens to something there.
    fn connect(&mut self, at: usize, account: usize) {
        let client = &mut self.model.clients[at];
        client.account = account;
        client.headers = self.rng.chance(700);
        client.no_responders = client.headers && self.rng.chance(700);
        let text = format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{}\",\"pass\":\"p\",\"headers\":{},\"no_responders\":{},\"protocol\":{}}}\r\n",
            self.accounts.list[account].user(),
            client.headers,
            client.no_responders,
            self.rng.below(2)
        );
        self.clients[at].say(&text);
        match self.rng.below(6) {
            0 => {}
            1 => self.subscribe(at, "in.>".to_owned(), None),
            2 => self.subscribe(at, format!("in.{at}.>"), None),
            _ => self.subscribe(at, format!("in.{at}.*"), None),
        }
        for _ in 0..self.rng.range(1, 4) {
            self.subscribe_some(at);
        }
    }

    fn change(&mut self) -> Result<(), String> {
        let at = self.rng.below(self.clients.len());
        if self.rng.chance(600) {
            self.subscribe_some(at);
            return Ok(());
        }
        // Whether anybody still hears an answer depends on who came or went first.
        self.end_scene()?;
        if self.rng.chance(250) {
            self.switch(at);
        } else {
            self.unsubscribe_some(at);
        }
        self.end_scene()
    }

    fn unsubscribe_some(&mut self, at: usize) {
        let sids: Vec<u32> = self.model.clients[at].subs.keys().copied().collect();
        if !sids.is_empty() {
            let sid = self.rng.pick(&sids);
            self.model.unsubscribe(at, sid);
            self.clients[at].say(&format!("UNSUB {sid}\r\n"));
        }
    }

    /// Goes into another account; what it listened to it does no more.
    fn switch(&mut self, at: usize) {
        let account = self.rng.below(self.accounts.list.len());
        if account != self.model.clients[at].account {
            let sids: Vec<u32> = self.model.clients[at].subs.keys().copied().collect();
            sids.iter().for_each(|sid| self.model.unsubscribe(at, *sid));
            self.connect(at, account);
        }
    }

    fn subscribe_some(&mut self, at: usize) {
        let mut words = self.some_pattern(at, false);
        if self.rng.chance(200) {
            let place = self.rng.below(words.len());
            words[place] = Word::Any(0);
        }
        if self.rng.chance(150) {
            words.truncate(self.rng.range(1, words.len()));
            *words.last_mut().expect("one at least") = Word::Rest;
        }
        let queue = self
            .rng
            .chance(350)
            .then(|| self.rng.pick(&["q", "r"]).to_owned());
        self.subscribe(at, pattern_text(&words), queue);
    }

    fn subscribe(&mut self, at: usize, pattern: String, queue: Option<String>) {
        let sid = self.next_sid;
        self.next_sid += 1;
        let group = queue
            .as_ref()
            .map_or(String::new(), |queue| format!("{queue} "));
        self.clients[at].say(&format!("SUB {pattern} {group}{sid}\r\n"));
        self.model.clients[at].subs.insert(sid, (pattern, queue));
    }

    /// A pattern that means something to the client's account.
    fn some_pattern(&mut self, at: usize, publish: bool) -> Words {
        let client = &self.model.clients[at];
        let account = &self.accounts.list[client.account];
        let exports = account.exports.iter().map(|export| &export.subject);
        let imports = account.imports.iter();
        // What requests are made to is published to, what is seen of streams is listened to; now and then otherwise.
        let other = self.rng.chance(100);
        let imports = imports.filter(|import| import.service == publish || other);
        let mut all: Vec<Words> = exports
            .chain(imports.map(|import| &import.ours))
            .cloned()
            .collect();
        for mapping in &account.mappings {
            match publish {
                true => all.push(mapping.source.clone()),
                false => all.extend(mapping.ways.iter().map(|(_, way)| opened(way))),
            }
        }
        if publish {
            all.extend(
                client
                    .subs
                    .values()
                    .map(|(pattern, _)| super::words::read(pattern)),
            );
        }
        if all.is_empty() || self.rng.chance(100) {
            return random_pattern(&mut self.rng, !publish);
        }
        let index = self.rng.below(all.len());
        all.swap_remove(index)
    }

    fn some_subject(&mut self, at: usize) -> String {
        let mut words = self.some_pattern(at, true);
        if words.last() == Some(&Word::Rest) {
            words.pop();
            words.extend((0..self.rng.range(1, 2)).map(|_| Word::Any(0)));
        }
        let later = ["1", "2", "x", "y"];
        super::words::text(&words, |_| self.rng.pick(&later).to_owned())
    }

    fn publish_some(&mut self) {
        let at = self.rng.below(self.clients.len());
        let subject = self.some_subject(at);
        let headers = self.model.clients[at].headers && self.rng.chance(300);
        let asks = self.rng.chance(500);
        let count = if self.rng.chance(250) {
            self.rng.range(2, 5)
        } else {
            1
        };
        for _ in 0..count {
            let reply = if asks { self.some_reply(at) } else { None };
            let message = Message {
                root: self.messages,
                from: at,
                subject: subject.clone(),
                reply,
                headers,
                empty: false,
            };
            self.publish(message, &subject);
        }
    }

    /// A reply that nobody has used in this scene.
    fn some_reply(&mut self, at: usize) -> Option<String> {
        if self.rng.chance(850) {
            return Some(format!("in.{at}.{}", self.messages));
        }
        let subject = self.some_subject(at);
        let used = |(_, message): &(usize, Message)| message.reply.as_ref() == Some(&subject);
        (!self.scene.iter().any(used)).then_some(subject)
    }

    /// Says a message. Its subject is written `wire`.
    fn publish(&mut self, message: Message, wire: &str) {
        let filling = if self.rng.chance(30) {
            5_000
        } else {
            self.rng.below(40)
        };
        let payload = match message.empty {
            true => String::new(),
            false => format!("{} {}", self.messages, ".".repeat(filling)),
        };
        let reply = message.reply.as_ref();
        let reply = reply.map_or(String::new(), |reply| format!("{reply} "));
        let (header, len) = (HEADER.len(), payload.len());
        let text = match message.headers {
            true => format!(
                "HPUB {wire} {reply}{header} {}\r\n{HEADER}{payload}\r\n",
                header + len
            ),
            false => format!("PUB {wire} {reply}{len}\r\n{payload}\r\n"),
        };
        self.clients[message.from].say(&text);
        self.scene.push((self.messages, message));
        self.messages += 1;
    }

    /// Answers one request of each that are one.
    fn answer_some(&mut self) {
        let mut roots = HashSet::new();
        for _ in 0..self.rng.range(1, 10) {
            if let Some(asked) = self.some_request()
                && roots.insert(root(&asked.reply))
            {
                self.answer(&asked, false);
            }
        }
    }

    fn answer_with_nothing(&mut self) {
        if let Some(asked) = self.some_request() {
            self.answer(&asked, true);
        }
    }

    fn some_request(&mut self) -> Option<Asked> {
        let count = self.asked.len();
        (count > 0).then(|| self.asked[self.rng.below(count)].clone())
    }

    fn answer(&mut self, asked: &Asked, empty: bool) {
        let from = match self.rng.chance(850) {
            true => asked.by,
            false => self.rng.below(self.clients.len()),
        };
        let back = format!("in.{from}.{}", self.messages);
        let message = Message {
            root: root(&asked.reply),
            from,
            subject: asked.reply.clone(),
            reply: self.rng.chance(200).then_some(back),
            headers: !empty && self.model.clients[from].headers && self.rng.chance(300),
            empty,
        };
        let wire = self.names.wire(&asked.reply).to_owned();
        self.publish(message, &wire);
    }

    /// Lets everything arrive, and looks whether it was right.
    fn end_scene(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            self.clients
                .iter_mut()
                .for_each(|client| client.say("PING\r\n"));
            self.pongs += 1;
            self.server.run(&mut self.clients, self.pongs)?;
        }
        let scene = std::mem::take(&mut self.scene);
        let mut received = self.received(&scene)?;
        for (number, message) in &scene {
            let seen = received.remove(number).unwrap_or_default();
            self.judge(message, seen)
                .map_err(|e| format!("message {number}: {e}"))?;
        }
        let excess = self.asked.len().saturating_sub(ASKED_MAX);
        self.asked.drain(..excess);
        match received.first_key_value() {
            _ if self.differs => Ok(()),
            Some((number, seen)) => Err(format!("message {number}, of another scene: {seen:?}")),
            None => Ok(()),
        }
    }

    /// What came of each message.
    fn received(
        &mut self,
        scene: &[(usize, Message)],
    ) -> Result<BTreeMap<usize, Vec<Seen>>, String> {
        let mut received: BTreeMap<usize, Vec<Seen>> = BTreeMap::new();
        let mut last: HashMap<(usize, usize, u32), usize> = HashMap::new();
        for client in &mut self.clients {
            for (number, seen) in client.seen.drain(..) {
                let of = |(_, message): &&(usize, Message)| match &seen.nobody {
                    Some(_) => {
                        message.from == seen.client && message.reply.as_ref() == Some(&seen.subject)
                    }
                    None => message.empty,
                };
                let number = number.or_else(|| scene.iter().find(of).map(|(number, _)| *number));
                let number = number.ok_or_else(|| format!("of what is it? {seen:?}"))?;
                let message = scene
                    .iter()
                    .find(|(of, _)| *of == number)
                    .map(|(_, message)| message);
                let sub = self.model.clients[seen.client].subs.get(&seen.sid);
                let plain = sub.is_some_and(|(_, queue)| queue.is_none());
                if let Some(message) = message
                    && plain
                    && !message.subject.starts_with("_R_.")
                {
                    let before = last.insert((message.from, seen.client, seen.sid), number);
                    if seen.nobody.is_none() && before.is_some_and(|before| before > number) {
                        return Err(format!("message {number} came behind {before:?}: {seen:?}"));
                    }
                }
                received.entry(number).or_default().push(seen);
            }
        }
        Ok(received)
    }

    /// Whether these are what must be received of a message, as chance may have it.
    fn judge(&mut self, message: &Message, seen: Vec<Seen>) -> Result<(), String> {
        let mut chances = Chances::default();
        let mut first = None;
        loop {
            let mut model = self.model.clone();
            let expected = model.publish(message, &mut chances);
            self.differs |= self.oracle && model.differs;
            if self.differs {
                return Ok(());
            }
            if self.names.assign(&expected, &mut seen.clone()) {
                self.model = model;
                self.tally.count(message, &expected, &chances, &self.model);
                break;
            }
            first.get_or_insert(expected);
            if !chances.next() {
                let expected = first.unwrap_or_default();
                return Err(format!(
                    "{message:?}\n  must be received, one of each:\n{}  was received:\n{}  where\n{}\n{}",
                    expected
                        .iter()
                        .map(|one| format!("    {one:?}\n"))
                        .collect::<String>(),
                    seen.iter()
                        .map(|one| format!("    {one:?}\n"))
                        .collect::<String>(),
                    self.accounts.text(),
                    self.model
                ));
            }
        }
        for one in seen.into_iter().filter(|one| one.nobody.is_none()) {
            if let Some(reply) = one.reply.as_deref().and_then(|reply| self.names.of(reply)) {
                let reply = reply.to_owned();
                self.asked.push(Asked {
                    reply,
                    by: one.client,
                });
            }
        }
        Ok(())
    }
}

/// What a subject for answers is of.
fn root(reply: &str) -> usize {
    let number = reply
        .strip_prefix("_R_.root")
        .and_then(|rest| rest.split("request").next());
    let number = number.and_then(|number| number.parse().ok());
    number.expect("the model's name of it")
}

/// What a way of a mapping leads to, as a pattern.
fn opened(way: &Words) -> Words {
    let word = |word: &Word| match word {
        Word::Part { .. } => Word::Any(0),
        other => other.clone(),
    };
    way.iter().map(word).collect()
}

/// The server's subjects for answers, and what the model calls them.
#[derive(Debug, Default)]
struct Names(Vec<(String, String)>);

impl Names {
    fn of(&self, wire: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == wire);
        found.map(|(_, name)| name.as_str())
    }

    fn wire<'a>(&'a self, name: &'a str) -> &'a str {
        let found = self.0.iter().find(|(_, known)| known == name);
        found.map_or(name, |(wire, _)| wire)
    }

    /// What the server makes of a name that has gone through an import or a mapping: the same words, somewhere.
    fn renamed(&self, name: &str) -> String {
        let wire = |word: &str| {
            let same = |(wire, name): &(String, String)| {
                let mut words = name.split('.').zip(wire.split('.')).skip(1);
                words
                    .find(|(known, _)| *known == word)
                    .map(|(_, wire)| wire.to_owned())
            };
            self.0
                .iter()
                .find_map(same)
                .unwrap_or_else(|| word.to_owned())
        };
        name.split('.').map(wire).collect::<Vec<_>>().join(".")
    }

    /// Whether everything that must be received was, by one of those who may, and nothing else. Learns names.
    fn assign(&mut self, expected: &[Vec<Seen>], seen: &mut Vec<Seen>) -> bool {
        if expected.len() != seen.len() {
            return false;
        }
        let Some((first, rest)) = expected.split_first() else {
            return true;
        };
        let known = self.0.len();
        for at in 0..seen.len() {
            if seen[..at].contains(&seen[at]) {
                continue;
            }
            for one in first {
                if self.fits(one, &seen[at]) {
                    let taken = seen.remove(at);
                    if self.assign(rest, seen) {
                        return true;
                    }
                    seen.insert(at, taken);
                }
                self.0.truncate(known);
            }
        }
        false
    }

    fn fits(&mut self, expected: &Seen, seen: &Seen) -> bool {
        let same = |seen: &Seen| (seen.client, seen.sid, seen.headers, seen.reply.is_some());
        same(expected) == same(seen)
            && expected.asker == seen.asker
            && expected.nobody.is_some() == seen.nobody.is_some()
            && expected
                .nobody
                .iter()
                .zip(&seen.nobody)
                .all(|(e, s)| self.same(e, s))
            && self.same(&expected.subject, &seen.subject)
            && expected
                .reply
                .iter()
                .zip(&seen.reply)
                .all(|(e, s)| self.same(e, s))
    }

    fn same(&mut self, name: &str, wire: &str) -> bool {
        if !name.starts_with("_R_.") {
            return name == wire || self.renamed(name) == wire;
        }
        match self.0.iter().find(|(w, n)| w == wire || n == name) {
            Some((known_wire, known)) => known_wire == wire && known == name,
            None => {
                self.0.push((wire.to_owned(), name.to_owned()));
                wire.starts_with("_R_.")
            }
        }
    }
}

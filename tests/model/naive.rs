//! The model: who must receive what, said as plainly as it can be. Owns what is true of the accounts; uses nothing of
//! gannet's. Nothing here is quick, and nothing is remembered but who listens and who waits for answers.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::accounts::{Account, Accounts};
use super::words::{Word, Words, bind, fill, meet, numbered_text, pattern_text, read, wildcards};

/// What one client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which client.
    pub client: usize,
    /// By which subscription.
    pub sid: u32,
    /// On which subject.
    pub subject: String,
    /// With which reply.
    pub reply: Option<String>,
    /// With the publisher's headers.
    pub headers: bool,
    /// Who asks, and through which account.
    pub asker: Option<(String, Option<String>)>,
    /// It says that nobody answers on this subject.
    pub nobody: Option<String>,
}

/// What is published.
#[derive(Clone, Debug)]
pub struct Message {
    /// Number of the message that all this began with.
    pub root: usize,
    /// By which client.
    pub from: usize,
    /// Where.
    pub subject: String,
    /// Answers are wanted here.
    pub reply: Option<String>,
    /// It has headers.
    pub headers: bool,
    /// It has no payload.
    pub empty: bool,
}

/// A client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its account.
    pub account: usize,
    /// Takes headers.
    pub headers: bool,
    /// Wants to be told when nobody gets its request.
    pub no_responders: bool,
    /// What it listens to: pattern, queue group.
    pub subs: BTreeMap<u32, (String, Option<String>)>,
}

/// Where the answers to one request go.
#[derive(Clone, Debug)]
struct Waiting {
    service: usize,
    requestor: usize,
    reply: String,
    many: bool,
    export: Export,
}

/// An account, and the number of its export.
type Export = (usize, usize);

/// The accounts, their clients, and requests without an answer yet by the subject for it.
#[derive(Clone)]
pub struct Model {
    accounts: Rc<Accounts>,
    /// The clients.
    pub clients: Vec<Client>,
    waiting: BTreeMap<String, Waiting>,
    /// The account of the service, for every subject for answers that ever was.
    services: BTreeMap<String, usize>,
    /// Subjects for answers that would have gone on to another one, which is not waited for any more.
    orphans: BTreeSet<String>,
    /// What the oracle is known to do otherwise has happened: an answer came to an import with wildcards, which takes none (the oracle
    /// publishes it there on the subject for answers), or another account's subject for answers was seen in a stream
    /// (the oracle takes it for an answer), or an answer is for one that is not waited for any more (the oracle thinks
    /// that somebody heard it, and still publishes it on the way there).
    pub differs: bool,
}

/// Where one message is, on its way.
#[derive(Clone, Debug, Default)]
struct Way {
    root: usize,
    reply: Option<String>,
    headers: bool,
    empty: bool,
    /// The accounts that a request came through.
    path: Vec<usize>,
    /// It is an answer, of the first of these.
    answers: bool,
    exports: Vec<Export>,
}

/// What chance decided: which way of a mapping, each time.
#[derive(Clone, Debug, Default)]
pub struct Chances {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Chances {
    fn choose(&mut self, of: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        self.at += 1;
        self.taken[self.at - 1].0
    }

    /// Whether there was a choice.
    pub fn were_taken(&self) -> bool {
        self.taken.iter().any(|(_, of)| *of > 1)
    }

    /// Goes on to chances that have not been tried; false if there are none.
    pub fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((taken, of)) = self.taken.pop() {
            if taken + 1 < of {
                self.taken.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

impl Model {
    /// Accounts without clients.
    pub fn new(accounts: Rc<Accounts>) -> Self {
        Model {
            accounts,
            clients: Vec::new(),
            waiting: BTreeMap::new(),
            services: BTreeMap::new(),
            orphans: BTreeSet::new(),
            differs: false,
        }
    }

    /// A client listens no more. Answers that nobody hears any more are not waited for.
    pub fn unsubscribe(&mut self, client: usize, sid: u32) {
        let account = self.clients[client].account;
        let Some((pattern, _)) = self.clients[client].subs.remove(&sid) else {
            return;
        };
        let pattern = read(&pattern);
        let imports = &self.accounts.list[account].imports;
        let asks = |subject: &str| {
            let mut services = imports.iter().filter(|import| import.service);
            services.any(|import| bind(&import.ours, subject).is_some())
        };
        let lost = |w: &Waiting| {
            w.requestor == account
                && bind(&pattern, &w.reply).is_some()
                && !self.waiting.contains_key(&w.reply)
                && !asks(&w.reply)
                && self.hear(account, &w.reply).next().is_none()
        };
        let waiting = self.waiting.iter().filter(|(_, waiting)| lost(waiting));
        let lost: Vec<String> = waiting.map(|(subject, _)| subject.clone()).collect();
        lost.iter().for_each(|subject| self.forget(subject));
    }

    /// Nobody waits for an answer on a subject any more, nor for the answers that would have gone there.
    fn forget(&mut self, subject: &str) {
        self.waiting.remove(subject);
        let concerned = self.waiting.iter().filter(|(_, w)| w.reply == subject);
        let concerned: Vec<String> = concerned.map(|(subject, _)| subject.clone()).collect();
        for subject in concerned {
            self.forget(&subject);
            self.orphans.insert(subject);
        }
    }

    /// Who must receive a message: each entry is received by one of those it names.
    pub fn publish(&mut self, message: &Message, chances: &mut Chances) -> Vec<Vec<Seen>> {
        let account = self.clients[message.from].account;
        let way = Way {
            root: message.root,
            reply: message.reply.clone(),
            headers: message.headers,
            empty: message.empty,
            ..Way::default()
        };
        let subject = self.mapped(account, &message.subject, chances);
        let mut all = Vec::new();
        let heard = self.deliver(account, &subject, true, &way, &mut all);
        let asked = self.ask(account, &subject, false, &way, chances, &mut all);
        if self.services.get(&subject) == Some(&account) {
            self.differs |= self.orphans.contains(&subject);
            self.answer(account, &subject, &way, chances, &mut all);
        } else if !heard && !asked {
            all.extend(self.no_responders(message, &subject));
        }
        all
    }

    fn no_responders(&self, message: &Message, subject: &str) -> Option<Vec<Seen>> {
        let (client, reply) = (&self.clients[message.from], message.reply.as_ref()?);
        let own = self.hear(client.account, reply);
        let own = own.filter(|(c, _, queue)| *c == message.from && queue.is_none());
        let told = own.map(|(client, sid, _)| Seen {
            client,
            sid,
            subject: reply.clone(),
            reply: None,
            headers: false,
            asker: None,
            nobody: Some(subject.to_owned()),
        });
        let told: Vec<Seen> = told.collect();
        (client.no_responders && !told.is_empty()).then_some(told)
    }

    /// Client, sid and queue group of everybody in an account who listens to a subject.
    fn hear<'a>(
        &'a self,
        account: usize,
        subject: &'a str,
    ) -> impl Iterator<Item = (usize, u32, Option<&'a String>)> + 'a {
        let clients = self.clients.iter().enumerate();
        let here = clients.filter(move |(_, client)| client.account == account);
        here.flat_map(move |(at, client)| {
            let subs = client.subs.iter();
            let hear = subs.filter(|(_, (pattern, _))| bind(&read(pattern), subject).is_some());
            hear.map(move |(sid, (_, queue))| (at, *sid, queue.as_ref()))
        })
    }

    /// What the account's mappings make of a subject.
    fn mapped(&self, account: usize, subject: &str, chances: &mut Chances) -> String {
        let mappings = &self.accounts.list[account].mappings;
        let (open, literal): (Vec<_>, Vec<_>) = mappings.iter().partition(|m| is_open(&m.source));
        let mut all = literal.into_iter().chain(open);
        let Some((mapping, bound)) = all.find_map(|m| Some((m, bind(&m.source, subject)?))) else {
            return subject.to_owned();
        };
        let ways = &mapping.ways;
        let whole = ways.iter().map(|(share, _)| share).sum::<u32>() == 100;
        let chosen = chances.choose(ways.len() + usize::from(!whole));
        let source = pattern_text(&mapping.source);
        match ways.get(chosen) {
            Some((_, way)) => fill(way, &bound),
            None if ways.iter().any(|(_, way)| numbered_text(way) == source) => String::new(),
            None => subject.to_owned(),
        }
    }

    /// To everybody who listens: in the account, and as `streams`, in those that import it.
    fn deliver(
        &mut self,
        account: usize,
        subject: &str,
        streams: bool,
        way: &Way,
        all: &mut Vec<Vec<Seen>>,
    ) -> bool {
        let mut elsewhere = false;
        let own = self
            .services
            .get(subject)
            .is_none_or(|service| *service == account);
        let mut places = vec![(account, subject.to_owned())];
        for (to, other) in self.accounts.list.iter().enumerate().filter(|_| streams) {
            for import in other
                .imports
                .iter()
                .filter(|i| !i.service && i.from == account)
            {
                if let Some(bound) = bind(&import.theirs, subject) {
                    places.push((to, fill(&import.ours, &bound)));
                    elsewhere |= !own;
                }
            }
        }
        let mut groups: BTreeMap<&String, Vec<Seen>> = BTreeMap::new();
        let before = all.len();
        for (account, subject) in &places {
            for (client, sid, queue) in self.hear(*account, subject) {
                let headers = self.clients[client].headers;
                let seen = Seen {
                    client,
                    sid,
                    subject: subject.clone(),
                    reply: way.reply.clone(),
                    headers: headers && way.headers,
                    asker: way.asker(&self.accounts.list).filter(|_| headers),
                    nobody: None,
                };
                match queue {
                    None => all.push(vec![seen]),
                    Some(queue) => groups.entry(queue).or_default().push(seen),
                }
            }
        }
        all.extend(groups.into_values());
        self.differs |= elsewhere;
        all.len() > before
    }

    /// Asks the services that an account imports, and those that their accounts import. What came `across` an import
    /// goes back to no service of the account's own that it could have come from.
    fn ask(
        &mut self,
        account: usize,
        subject: &str,
        across: bool,
        way: &Way,
        chances: &mut Chances,
        all: &mut Vec<Vec<Seen>>,
    ) -> bool {
        let accounts = Rc::clone(&self.accounts);
        let mut asked = false;
        for import in accounts.list[account].imports.iter().filter(|i| i.service) {
            let comes_back = import.from == account && meet(&import.ours, &import.theirs);
            let Some(bound) = bind(&import.ours, subject).filter(|_| !(across && comes_back))
            else {
                continue;
            };
            if way.answers && is_open(&import.theirs) {
                self.differs = true;
                continue;
            }
            // No export is passed twice.
            let export = (import.from, import.export);
            if way.exports.contains(&export) {
                continue;
            }
            let there = self.mapped(import.from, &fill(&import.theirs, &bound), chances);
            let reply = way.reply.as_ref();
            let reply = reply.map(|reply| {
                let reply = reply.clone();
                let (service, many) = (import.from, import.many);
                self.wait(
                    way.root,
                    Waiting {
                        service,
                        requestor: account,
                        reply,
                        many,
                        export,
                    },
                )
            });
            let mut way = Way {
                reply: reply.clone(),
                ..way.clone()
            };
            way.exports.push(export);
            if !std::mem::take(&mut way.answers) {
                way.path.push(account);
            }
            let heard = self.deliver(import.from, &there, false, &way, all);
            let heard = self.ask(import.from, &there, true, &way, chances, all) || heard;
            if let (false, Some(reply)) = (heard, reply) {
                self.waiting.remove(&reply);
            }
            asked |= heard;
        }
        asked
    }

    fn wait(&mut self, root: usize, waiting: Waiting) -> String {
        // No word of it is another's, nor one that a pattern names.
        let request = self.services.len();
        let subject = format!("_R_.root{root}request{request}.request{request}");
        self.services.insert(subject.clone(), waiting.service);
        self.waiting.insert(subject.clone(), waiting);
        subject
    }

    /// Takes an answer to who waits for it.
    fn answer(
        &mut self,
        account: usize,
        subject: &str,
        way: &Way,
        chances: &mut Chances,
        all: &mut Vec<Vec<Seen>>,
    ) {
        let Some(waiting) = self.waiting.get(subject).cloned() else {
            return;
        };
        if waiting.service != account || way.exports.contains(&waiting.export) {
            return;
        }
        let (to, reply) = (waiting.requestor, &waiting.reply);
        let asks_back = way.reply.as_ref();
        let back = asks_back.map(|back| {
            let (service, requestor, reply) = (to, account, back.clone());
            self.wait(
                way.root,
                Waiting {
                    service,
                    requestor,
                    reply,
                    ..waiting
                },
            )
        });
        let mut way = Way {
            reply: back,
            path: vec![way.path.first().copied().unwrap_or(account)],
            answers: true,
            ..way.clone()
        };
        way.exports.push(waiting.export);
        self.differs |= reply.starts_with("_R_.") && !self.waiting.contains_key(reply);
        let there = self.mapped(to, reply, chances);
        let mut heard = self.deliver(to, &there, false, &way, all);
        heard |= self.ask(to, &there, true, &way, chances, all);
        if self.waiting.contains_key(reply) {
            self.answer(to, reply, &way, chances, all);
            heard = true;
        }
        if !waiting.many || !heard || way.empty && !way.headers {
            self.waiting.remove(subject);
        }
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, client) in self.clients.iter().enumerate() {
            let account = &self.accounts.list[client.account].name;
            writeln!(f, "    client {at} in {account}: {:?}", client.subs)?;
        }
        for (subject, waiting) in &self.waiting {
            writeln!(f, "    {subject}: {waiting:?}")?;
        }
        Ok(())
    }
}

impl Way {
    /// The first account that asks, and the last of several that the request came through.
    fn asker(&self, accounts: &[Account]) -> Option<(String, Option<String>)> {
        let (first, last) = (*self.path.first()?, *self.path.last()?);
        if self.answers {
            return None;
        }
        let through = (self.path.len() > 1).then(|| accounts[last].name.clone());
        Some((accounts[first].name.clone(), through))
    }
}

/// Whether a pattern has wildcards.
fn is_open(words: &Words) -> bool {
    !wildcards(words).is_empty() || words.contains(&Word::Rest)
}

//! Asks callout services about clients, and tells the shards what they said. Owns the questions that are open; judges no
//! answer itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nkeys::{KeyPair, XKey};

use crate::auth::callout::{CALLOUT_SUBJECT, CalloutWork};
use crate::auth::callout_answer::{self, Made};
use crate::auth::jwt::ServerId;
use crate::auth::operator::Operator;
use crate::auth::{Identity, Outcome};
use crate::shard::ToShard;
use crate::shard::ring::Token;

use super::accounts::{self, Waiting};
use super::bus::{Bus, Message};
use super::process::ServerKeys;
use super::workers::ShardLine;

/// The header that says for whom an answer may be encrypted.
const XKEY_HEADER: &str = "Nats-Server-Xkey";
/// What every JWT begins with: an answer that does not is encrypted.
const JWT_START: &[u8] = b"eyJ";
/// With nothing open there is nothing to wait for; a bound all the same.
const IDLE: Duration = Duration::from_secs(3600);

/// A client to ask about.
pub struct Question {
    /// Its shard.
    pub shard: usize,
    /// Its connection.
    pub conn: Token,
    /// Its number for the verdict.
    pub ticket: u32,
    /// What to ask.
    pub work: CalloutWork,
}

/// What the thread needs of the node.
pub struct Node {
    /// The server's keys.
    pub keys: ServerKeys,
    /// `server_name`, host, version and tags, as requests tell them.
    pub server: ServerId,
    /// The shards.
    pub lines: Arc<Vec<ShardLine>>,
    /// Who knows the accounts, where they come from JWTs.
    pub accounts: Sender<accounts::Event>,
}

enum Event {
    Ask(Question),
    Tags(Vec<String>),
    Answer(Message),
    Place(u64, Arc<Operator>),
}

/// Where questions go.
#[derive(Clone)]
pub struct Callouts(Sender<Event>);

impl Callouts {
    /// Starts the thread. It ends when nobody asks any more.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(node: Node) -> std::io::Result<Callouts> {
        let (sender, events) = mpsc::channel();
        let service = Asker {
            node,
            answers: sender.clone(),
            buses: HashMap::new(),
            open: HashMap::new(),
            placed: HashMap::new(),
            deadlines: BTreeMap::new(),
            last: 0,
        };
        thread::Builder::new()
            .name("callout".into())
            .spawn(move || service.run(&events))?;
        Ok(Callouts(sender))
    }

    /// From now on requests tell these `server_tags`.
    pub fn set_tags(&self, tags: Vec<String>) {
        let _ = self.0.send(Event::Tags(tags));
    }

    /// The account that the answer to this question names has come, or there is none: who knows all that there are.
    pub fn place(&self, number: u64, operator: Arc<Operator>) {
        let _ = self.0.send(Event::Place(number, operator));
    }

    /// Asks about a client; its shard hears the verdict, at the timeout at the latest.
    pub fn ask(&self, question: Question) {
        // Without the thread the broker stops: nobody waits for a verdict.
        let _ = self.0.send(Event::Ask(question));
    }
}

/// A question without an answer.
struct Open {
    question: Question,
    user: String,
    deadline: (Instant, u64),
}

/// A question whose answer puts the client into an account that is not known yet.
struct Placed {
    open: Open,
    made: Made,
}

struct Asker {
    node: Node,
    answers: Sender<Event>,
    buses: HashMap<Arc<str>, (Bus, String)>,
    open: HashMap<u64, Open>,
    placed: HashMap<u64, Placed>,
    deadlines: BTreeMap<(Instant, u64), ()>,
    last: u64,
}

impl Asker {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            let next = self.deadlines.keys().next().map(|(due, _)| *due);
            let wait = next.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            match events.recv_timeout(wait) {
                Ok(Event::Ask(question)) => self.ask(question),
                Ok(Event::Tags(tags)) => self.node.server.tags = tags,
                Ok(Event::Answer(message)) => self.answered(&message),
                Ok(Event::Place(number, operator)) => self.place(number, &operator),
                Err(RecvTimeoutError::Timeout) => self.expire(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn ask(&mut self, question: Question) {
        let account = question.work.service.account.clone();
        let (bus, inbox) = match self.bus(&account) {
            Ok((bus, inbox)) => (bus.clone(), inbox.clone()),
            Err(error) => {
                let why = format!("no way to the service: {error}");
                return deny(&self.node, question, why);
            }
        };
        let user = KeyPair::new_user().public_key();
        let (headers, payload) = match self.encode(&question.work, &user) {
            Ok(request) => request,
            Err(error) => {
                let why = format!("no request to the service: {error}");
                return deny(&self.node, question, why);
            }
        };
        self.last += 1;
        let number = self.last;
        let timeout = Duration::from_millis(question.work.service.timeout_ms);
        let deadline = (Instant::now() + timeout, number);
        self.deadlines.insert(deadline, ());
        let open = Open {
            question,
            user,
            deadline,
        };
        self.open.insert(number, open);
        bus.publish(
            CALLOUT_SUBJECT,
            &format!("{inbox}.{number}"),
            &headers,
            &payload,
        );
    }

    /// The connection to an account, and the subject below which answers come.
    fn bus(&mut self, account: &Arc<str>) -> std::io::Result<&(Bus, String)> {
        if !self.buses.contains_key(account) {
            // Answers count only if they come to where nobody can guess.
            let inbox = format!("$SYS._INBOX.{}", KeyPair::new_user().public_key());
            let answers = self.answers.clone();
            let line = self.node.lines[0].clone();
            let subjects = vec![format!("{inbox}.*")];
            let bus = Bus::open(line, account, subjects, move |message| {
                let _ = answers.send(Event::Answer(message));
            })?;
            self.buses.insert(account.clone(), (bus, inbox));
        }
        Ok(&self.buses[account])
    }

    /// Headers and payload of a request.
    fn encode(&self, work: &CalloutWork, user: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
        let node = &self.node;
        let mut request = work.request.clone();
        request.user_nkey = user.to_owned();
        request.server_id = node.server.clone();
        request.client_tls = work.client_tls();
        let theirs = work.service.xkey.as_deref().map(XKey::from_public_key);
        let theirs = theirs.transpose().map_err(|error| error.to_string())?;
        if theirs.is_some() {
            request.server_id.xkey = node.keys.xkey.public_key();
        }
        let now = Timestamp::now().as_second();
        let expires = now + (work.service.timeout_ms / 1000) as i64;
        let token = request
            .encode(&node.keys.key, work.service.subject(), now, expires)
            .map_err(|error| error.to_string())?
            .into_bytes();
        match theirs {
            None => Ok((Vec::new(), token)),
            Some(theirs) => {
                let sealed = node.keys.xkey.seal(&token, &theirs);
                let sealed = sealed.map_err(|error| error.to_string())?;
                let key = node.keys.xkey.public_key();
                let headers = format!("NATS/1.0\r\n{XKEY_HEADER}: {key}\r\n\r\n");
                Ok((headers.into_bytes(), sealed))
            }
        }
    }

    fn answered(&mut self, message: &Message) {
        let number = message
            .subject
            .rsplit('.')
            .next()
            .and_then(|n| n.parse().ok());
        let Some(open) = number.and_then(|number: u64| self.open.remove(&number)) else {
            return;
        };
        let made = match self.judge(&open, message) {
            Ok(made) => made,
            Err(why) => return self.conclude(open, Err(why)),
        };
        let operator = open.question.work.service.operator.clone();
        let now = Timestamp::now().as_second();
        let is_to_be_had = |operator: &Operator| {
            let claims = operator.account(&made.account);
            claims.is_some_and(|claims| !claims.has_ended(now))
        };
        match &operator {
            Some(operator) if !is_to_be_had(operator) => self.want(open, made),
            operator => self.admit(open, &made, operator.as_deref()),
        }
    }

    /// Has the account looked for that the client is to be in.
    fn want(&mut self, open: Open, made: Made) {
        let (number, key) = (open.deadline.1, made.account.clone());
        self.placed.insert(number, Placed { open, made });
        let callouts = Callouts(self.answers.clone());
        let waiting = Waiting::Callout(callouts, number);
        // Without the control thread the broker stops: nobody waits for a verdict.
        let _ = (self.node.accounts).send(accounts::Event::Wanted { key, waiting });
    }

    fn place(&mut self, number: u64, operator: &Operator) {
        if let Some(Placed { open, made }) = self.placed.remove(&number) {
            self.admit(open, &made, Some(operator));
        }
    }

    fn admit(&mut self, open: Open, made: &Made, operator: Option<&Operator>) {
        let (zone, now) = (TimeZone::system(), Timestamp::now());
        let identity = made.identity(&open.question.work, operator, &zone, now);
        self.conclude(open, identity);
    }

    fn conclude(&mut self, open: Open, verdict: Result<Identity, String>) {
        self.deadlines.remove(&open.deadline);
        let question = open.question;
        match verdict {
            Ok(identity) => {
                let accepted = Outcome::Accepted(identity);
                let verdict = ToShard::Verified(question.conn, question.ticket, accepted);
                self.node.lines[question.shard].tell(verdict);
            }
            Err(why) => deny(&self.node, question, why),
        }
    }

    fn judge(&self, open: &Open, message: &Message) -> Result<Made, String> {
        let service = &open.question.work.service;
        let mut answer = message.payload.clone();
        let mut encrypted = false;
        if let Some(theirs) = &service.xkey
            && !answer.is_empty()
            && !answer.starts_with(JWT_START)
        {
            let theirs = XKey::from_public_key(theirs).map_err(|error| error.to_string())?;
            answer = self
                .node
                .keys
                .xkey
                .open(&answer, &theirs)
                .map_err(|error| {
                    let account = &service.account;
                    format!(
                        "Error decrypting auth callout response on account {account:?}: {error}"
                    )
                })?;
            encrypted = true;
        }
        let expected = callout_answer::Expected {
            service,
            user: &open.user,
            server: &self.node.server.id,
            encrypted,
        };
        callout_answer::judge(&answer, &expected, Timestamp::now())
    }

    /// Whoever is not answered in time is not let in.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((&due, ())) = self.deadlines.first_key_value()
            && due.0 <= now
        {
            self.deadlines.remove(&due);
            let placed = self.placed.remove(&due.1).map(|placed| placed.open);
            if let Some(open) = self.open.remove(&due.1).or(placed) {
                deny(&self.node, open.question, String::new());
            }
        }
    }
}

fn deny(node: &Node, question: Question, why: String) {
    let denial = question.work.refused(why);
    log::warn!("{}", denial.reason);
    let verdict = Outcome::Denied(denial);
    let verdict = ToShard::Verified(question.conn, question.ticket, verdict);
    node.lines[question.shard].tell(verdict);
}

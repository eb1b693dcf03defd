//! A simulated client: says things at random and reads what comes. Owns its bytes and what it still waits for; what is
//! right is the model's to say.

use std::collections::VecDeque;
use std::sync::LazyLock;

use super::model::{ClientId, MessageId, Model, Time};
use super::net::SocketId;
use super::rng::Rng;
use super::scenario::{PATTERNS, SUBJECTS, Scenario};

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Speaks and reads.
    Open,
    /// Has said that it says nothing more, at this time; reads on.
    Shut {
        /// Milliseconds.
        since_ms: u64,
    },
    /// Has no connection any more.
    Gone,
}

/// What the broker still has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Ok,
    Pong(Time),
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its number in the model.
    pub id: ClientId,
    /// Its socket.
    pub socket: SocketId,
    /// How it stands.
    pub state: State,
    /// Reads nothing for the time being.
    pub stopped: bool,
    /// Has stopped reading once: it may have been cut.
    pub was_stopped: bool,
    /// What it has said and not yet sent.
    pub out: VecDeque<u8>,
    input: Vec<u8>,
    answers: VecDeque<Answer>,
    verbose: bool,
    headers: bool,
    /// From which sid on it takes headers, or does not.
    headers_from: Vec<(u32, bool)>,
    no_responders: bool,
    next_sid: u32,
    inbox_sid: u32,
    requests: u32,
}

/// Bytes of all payloads: any values, line ends among them.
static FILLING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new(7);
    (0..400_000)
        .map(|_| rng.pick(b"\r\n abcMSGPINGPUB0123456789\0\xff"))
        .collect()
});

/// Bytes a payload begins with: its message's number.
const NUMBER_BYTES: usize = 8;

/// A client says nothing new while this much waits to be sent.
const OUT_BYTES_MAX: usize = 32 * 1024;

/// Subscriptions a client has at most.
const SUBS_MAX: usize = 6;

impl Client {
    /// A client that has just connected, and says so.
    pub fn new(socket: SocketId, rng: &mut Rng, model: &mut Model) -> Self {
        let mut client = Client {
            id: model.client(),
            socket,
            state: State::Open,
            stopped: false,
            was_stopped: false,
            out: VecDeque::new(),
            input: Vec::new(),
            answers: VecDeque::new(),
            verbose: true,
            headers: false,
            headers_from: Vec::new(),
            no_responders: false,
            next_sid: 1,
            inbox_sid: 0,
            requests: 0,
        };
        client.connect(rng, model);
        client
    }

    /// Whether something it has asked for has not come.
    pub fn waits(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Says something.
    pub fn act(&mut self, rng: &mut Rng, model: &mut Model, scenario: &Scenario, now_ms: u64) {
        if self.state != State::Open || self.out.len() > OUT_BYTES_MAX {
            return;
        }
        if self.stopped && rng.chance(200) {
            // What the broker answers must be bounded too.
            for _ in 0..rng.range(1, 100) {
                self.ping(model);
            }
            return;
        }
        match rng.weighted(&scenario.weights) {
            0 => self.publish_some(rng, model, scenario),
            1 => self.request(rng, model, scenario),
            2 => self.subscribe(rng, model, scenario),
            3 => self.unsubscribe(rng, model),
            4 => self.limit(rng, model),
            5 => self.ping(model),
            6 => self.connect(rng, model),
            7 => self.shut(model, now_ms),
            _ => {
                self.stopped = !self.stopped;
                self.was_stopped = true;
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.out.extend(text.as_bytes());
    }

    fn expect_ok(&mut self) {
        if self.verbose {
            self.answers.push_back(Answer::Ok);
        }
    }

    /// CONNECT, the first or one more, and the subscription for answers.
    fn connect(&mut self, rng: &mut Rng, model: &mut Model) {
        let echo = rng.chance(700);
        self.verbose = rng.chance(200);
        self.headers = rng.chance(700);
        self.no_responders = self.headers && rng.chance(700);
        self.headers_from.push((self.next_sid, self.headers));
        model.connect(self.id, echo);
        self.say(&format!(
            "CONNECT {{\"verbose\":{},\"pedantic\":{},\"echo\":{echo},\"headers\":{},\"no_responders\":{},\
             \"protocol\":{}}}\r\n",
            self.verbose,
            rng.chance(300),
            self.headers,
            self.no_responders,
            rng.below(2),
        ));
        self.expect_ok();
        let rest = rng.pick(&["*", ">"]);
        let pattern = format!("inbox.{}.{rest}", self.id);
        self.inbox_sid = self.subscribe_to(model, &pattern, None);
    }

    fn subscribe_to(&mut self, model: &mut Model, pattern: &str, queue: Option<u8>) -> u32 {
        let sid = self.next_sid;
        self.next_sid += 1;
        model.subscribe(self.id, sid, pattern, queue);
        let group = queue.map_or(String::new(), |queue| format!("q{queue} "));
        self.say(&format!("SUB {pattern} {group}{sid}\r\n"));
        self.expect_ok();
        sid
    }

    fn subscribe(&mut self, rng: &mut Rng, model: &mut Model, scenario: &Scenario) {
        if model.sids(self.id).len() >= SUBS_MAX {
            return self.unsubscribe(rng, model);
        }
        let queue = rng.chance(scenario.queue).then(|| rng.below(2) as u8);
        let pattern = match rng.chance(600) {
            true => SUBJECTS[rng.below(scenario.subjects)],
            false => rng.pick(&PATTERNS),
        };
        self.subscribe_to(model, pattern, queue);
        if rng.chance(500) {
            self.ping(model);
        }
    }

    fn some_sid(&self, rng: &mut Rng, model: &Model) -> Option<u32> {
        let mut sids = model.sids(self.id);
        sids.retain(|sid| *sid != self.inbox_sid);
        (!sids.is_empty()).then(|| rng.pick(&sids))
    }

    fn unsubscribe(&mut self, rng: &mut Rng, model: &mut Model) {
        let Some(sid) = self.some_sid(rng, model) else {
            return;
        };
        model.unsubscribe(self.id, sid);
        self.say(&format!("UNSUB {sid}\r\n"));
        self.expect_ok();
        if rng.chance(500) {
            self.ping(model);
        }
    }

    fn limit(&mut self, rng: &mut Rng, model: &mut Model) {
        let Some(sid) = self.some_sid(rng, model) else {
            return;
        };
        let (limited, received) = model.limited(self.id, sid);
        if limited {
            return;
        }
        let max = (received + rng.range(0, 8) as u32).saturating_sub(1).max(1);
        model.limit(self.id, sid, max);
        self.say(&format!("UNSUB {sid} {max}\r\n"));
        self.expect_ok();
        if rng.chance(500) {
            self.ping(model);
        }
    }

    /// PING.
    pub fn ping(&mut self, model: &mut Model) {
        self.answers.push_back(Answer::Pong(model.ping()));
        self.say("PING\r\n");
    }

    /// Says that it says nothing more.
    pub fn shut(&mut self, model: &mut Model, now_ms: u64) {
        self.state = State::Shut { since_ms: now_ms };
        self.stopped = false;
        model.shut(self.id);
    }

    fn publish_some(&mut self, rng: &mut Rng, model: &mut Model, scenario: &Scenario) {
        let subject = SUBJECTS[rng.below(scenario.subjects)];
        let count = if rng.chance(300) { rng.range(2, 12) } else { 1 };
        let headers = self.headers && rng.chance(300);
        for _ in 0..count {
            self.publish(rng, model, scenario, (subject, None), headers);
        }
        if rng.chance(200) {
            self.ping(model);
        }
    }

    fn request(&mut self, rng: &mut Rng, model: &mut Model, scenario: &Scenario) {
        let subject = SUBJECTS[rng.below(scenario.subjects)];
        let headers = self.headers && rng.chance(300);
        for _ in 0..rng.range(1, 3) {
            self.requests += 1;
            let reply = format!("inbox.{}.{}", self.id, self.requests);
            self.publish(rng, model, scenario, (subject, Some(reply)), headers);
        }
        if rng.chance(700) {
            self.ping(model);
        }
    }

    fn publish(
        &mut self,
        rng: &mut Rng,
        model: &mut Model,
        scenario: &Scenario,
        (subject, reply): (&str, Option<String>),
        headers: bool,
    ) {
        let payload_len = match rng.chance(scenario.large) {
            true if rng.chance(200) => rng.range(1_000, 100_000),
            true => rng.range(1_000, 20_000),
            false => NUMBER_BYTES + rng.below(60),
        };
        let tell = reply.is_some() && self.no_responders;
        let header_len = headers.then(|| header(0).len());
        let text = reply
            .as_ref()
            .map_or(String::new(), |reply| format!("{reply} "));
        let lens = (header_len, payload_len);
        let id = model.publish(self.id, subject, reply, lens, tell);
        // A spelling that cannot be copied as it is, now and then.
        let zeros = if rng.chance(50) { "00" } else { "" };
        let line = match header_len {
            Some(len) => format!(
                "HPUB {subject} {text}{len} {zeros}{}\r\n",
                len + payload_len
            ),
            None => format!("PUB {subject} {text}{zeros}{payload_len}\r\n"),
        };
        self.say(&line);
        if headers {
            self.say(&header(id));
        }
        self.say(&number(id));
        self.out.extend(filling(id, payload_len));
        self.say("\r\n");
        self.expect_ok();
    }

    /// Reads what has come.
    pub fn read(
        &mut self,
        bytes: impl Iterator<Item = u8>,
        rng: &mut Rng,
        model: &mut Model,
        scenario: &Scenario,
    ) -> Result<(), String> {
        self.input.extend(bytes);
        let input = std::mem::take(&mut self.input);
        let mut used = 0;
        while let Some(len) = self.read_one(&input[used..], rng, model, scenario)? {
            used += len;
        }
        self.input = input;
        self.input.drain(..used);
        Ok(())
    }

    /// Reads one thing, if it is whole. Returns its length.
    fn read_one(
        &mut self,
        input: &[u8],
        rng: &mut Rng,
        model: &mut Model,
        scenario: &Scenario,
    ) -> Result<Option<usize>, String> {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&input[..end]).into_owned();
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "INFO" => {}
            "PING" => {
                if self.state == State::Open {
                    self.say("PONG\r\n");
                }
            }
            "PONG" => match self.answers.pop_front() {
                Some(Answer::Pong(said)) => model.pong(self.id, said)?,
                other => return Err(format!("client {}: PONG, not {other:?}", self.id)),
            },
            "+OK" => match self.answers.pop_front() {
                Some(Answer::Ok) => {}
                other => return Err(format!("client {}: +OK, not {other:?}", self.id)),
            },
            "MSG" | "HMSG" => {
                let Some(len) = self.read_message(&words, &input[end + 2..], model)? else {
                    return Ok(None);
                };
                if let Some(reply) = reply_of(&words)
                    && self.state == State::Open
                    && self.out.len() < OUT_BYTES_MAX
                    && rng.chance(400)
                {
                    self.publish(rng, model, scenario, (reply, None), false);
                }
                return Ok(Some(end + 2 + len));
            }
            _ => return Err(format!("client {}: the broker says {line:?}", self.id)),
        }
        Ok(Some(end + 2))
    }

    fn headers_of(&self, sid: u32) -> bool {
        let known = self
            .headers_from
            .iter()
            .rev()
            .find(|(from, _)| *from <= sid);
        known.is_some_and(|(_, headers)| *headers)
    }

    /// MSG or HMSG; checks every byte of it. Returns the length of the rest behind its line.
    fn read_message(
        &mut self,
        words: &[&str],
        rest: &[u8],
        model: &mut Model,
    ) -> Result<Option<usize>, String> {
        let bad = || format!("client {}: {words:?}", self.id);
        let headers = words[0] == "HMSG";
        let count = words.len() - 3 - usize::from(headers);
        if !(1..=2).contains(&count) {
            return Err(bad());
        }
        let (subject, sid) = (words[1], words[2].parse::<u32>().map_err(|_| bad())?);
        let total: usize = words[words.len() - 1].parse().map_err(|_| bad())?;
        let Some(body) = rest.get(..total + 2) else {
            return Ok(None);
        };
        let header_len = match headers {
            true => Some(words[words.len() - 2].parse::<usize>().map_err(|_| bad())?),
            false => None,
        };
        if !body.ends_with(b"\r\n") {
            return Err(bad());
        }
        if header_len == Some(total) {
            let text = String::from_utf8_lossy(&body[..total]).into_owned();
            if !text.starts_with("NATS/1.0 503\r\nNats-Subject: ") || !text.ends_with("\r\n\r\n") {
                return Err(format!("{}: {text:?}", bad()));
            }
            model.no_responders(self.id, sid, subject)?;
            return Ok(Some(total + 2));
        }
        let payload = &body[header_len.unwrap_or(0)..total];
        let id = read_number(payload).ok_or_else(bad)?;
        let message = model.message(id).ok_or_else(bad)?;
        let right = message.subject == subject
            && message.reply.as_deref() == reply_of(words)
            && header_len == message.header_len.filter(|_| self.headers_of(sid))
            && header_len.is_none_or(|len| body[..len] == *header(id).as_bytes())
            && payload.len() == message.payload_len
            && payload[NUMBER_BYTES..] == *filling(id, payload.len());
        if !right {
            return Err(format!("{} is not {message:?}", bad()));
        }
        model.receive(self.id, sid, id)?;
        Ok(Some(total + 2))
    }
}

fn header(id: MessageId) -> String {
    format!("NATS/1.0\r\nNumber: {id:08}\r\n\r\n")
}

fn number(id: MessageId) -> String {
    format!("{id:08}")
}

fn read_number(payload: &[u8]) -> Option<MessageId> {
    std::str::from_utf8(payload.get(..NUMBER_BYTES)?)
        .ok()?
        .parse()
        .ok()
}

fn filling(id: MessageId, payload_len: usize) -> &'static [u8] {
    &FILLING[id % 997..][..payload_len - NUMBER_BYTES]
}

fn reply_of<'a>(words: &[&'a str]) -> Option<&'a str> {
    let with_reply = if words[0] == "HMSG" { 6 } else { 5 };
    (words.len() == with_reply).then(|| words[3])
}

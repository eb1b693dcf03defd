//! What each client must, may and must not receive: one naive list of messages and one of subscriptions, for the whole
//! node. Owns the rules; knows nothing of shards.
//!
//! Times are counts of events. A thing happened somewhere between the time it was said and the time a PONG
//! confirmed it; a rule is applied where that is enough to know the order of two things, and only there.
//!
//! What is left open, and why: a message for a queue group is not in order, and may come behind a PONG, while a member
//! is leaving, because it may travel to the one that left first. A member whose connection breaks takes with it what it
//! was given; a connection that breaks loses what it published and has no PONG for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Counts events.
pub type Time = u64;

/// Not yet.
pub const NEVER: Time = Time::MAX;

/// Index of a client.
pub type ClientId = usize;

/// Index of a message; those of one publisher are in the order they were published.
pub type MessageId = usize;

/// Index of a subscription.
pub type SubId = usize;

/// A published message.
#[derive(Debug)]
pub struct Message {
    /// Who published it.
    pub publisher: ClientId,
    /// On what.
    pub subject: String,
    /// Where answers go.
    pub reply: Option<String>,
    /// Bytes of its headers; none without.
    pub header_len: Option<usize>,
    /// Bytes of its payload.
    pub payload_len: usize,
    echo: bool,
    sent: Time,
    confirmed: Time,
    groups: BTreeMap<u8, Group>,
    request: Option<Request>,
}

/// A message and one queue group.
#[derive(Debug, Default)]
struct Group {
    steady: Vec<SubId>,
    taken: bool,
}

/// A message of a publisher that wants to hear when there is nobody.
#[derive(Debug, Default)]
struct Request {
    possible: bool,
    certain: Vec<SubId>,
    told: bool,
}

/// A subscription.
#[derive(Debug)]
pub struct Subscription {
    /// Whose.
    pub client: ClientId,
    /// The client's number for it.
    pub sid: u32,
    /// What it wants.
    pub pattern: String,
    /// In which queue group.
    pub queue: Option<u8>,
    sent: Time,
    confirmed: Time,
    leaving: Time,
    ends_with_connection: bool,
    limit: Option<Limit>,
    received: u32,
    expected: BTreeMap<ClientId, VecDeque<(MessageId, bool)>>,
    last: BTreeMap<ClientId, MessageId>,
    leave: Option<usize>,
}

#[derive(Debug)]
struct Limit {
    max: u32,
    sent: Time,
    confirmed: bool,
}

/// A member of a queue group goes away, over this time.
#[derive(Debug)]
struct Leave {
    queue: u8,
    done: Time,
}

#[derive(Debug, Default)]
struct Client {
    echo: bool,
    subs: BTreeMap<u32, SubId>,
    unconfirmed: VecDeque<MessageId>,
    leaves: Vec<usize>,
    /// When the last answered PING was said.
    answered: Time,
}

/// What was seen, so that a run that saw nothing does not pass for a good one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Deliveries to plain subscriptions.
    pub plain: u64,
    /// Deliveries to queue groups.
    pub queued: u64,
    /// Those that came out of order or late because a member had left: the message travelled on.
    pub travelled: u64,
    /// 503.
    pub no_responders: u64,
    /// Subscriptions that ended at their maximum.
    pub expired: u64,
    /// Deliveries that a PONG proved complete.
    pub barriers: u64,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Model {
    now: Time,
    clients: Vec<Client>,
    messages: Vec<Message>,
    subs: Vec<Subscription>,
    live: BTreeSet<SubId>,
    /// Subscriptions that have ended without a PONG behind: other shards may still take them for there.
    ghosts: Vec<SubId>,
    unsettled: BTreeSet<MessageId>,
    leaves: Vec<Leave>,
    broken_groups: BTreeSet<u8>,
    queue_open: Vec<MessageId>,
    /// What was seen so far.
    pub seen: Seen,
}

impl Model {
    fn tick(&mut self) -> Time {
        self.now += 1;
        self.now
    }

    /// A client has come.
    pub fn client(&mut self) -> ClientId {
        self.clients.push(Client::default());
        self.clients.len() - 1
    }

    /// CONNECT: ends all subscriptions of a client that was connected.
    pub fn connect(&mut self, client: ClientId, echo: bool) {
        for sid in self.sids(client) {
            self.unsubscribe(client, sid);
        }
        self.clients[client].echo = echo;
    }

    /// The live subscriptions of a client that is not ending them yet.
    pub fn sids(&self, client: ClientId) -> Vec<u32> {
        let subs = &self.clients[client].subs;
        subs.iter()
            .filter(|(_, id)| self.subs[**id].leaving == NEVER)
            .map(|(sid, _)| *sid)
            .collect()
    }

    /// SUB is said.
    pub fn subscribe(&mut self, client: ClientId, sid: u32, pattern: &str, queue: Option<u8>) {
        let sent = self.tick();
        let id = self.subs.len();
        let mut sub = Subscription {
            client,
            sid,
            pattern: pattern.into(),
            queue,
            sent,
            confirmed: NEVER,
            leaving: NEVER,
            ends_with_connection: false,
            limit: None,
            received: 0,
            expected: BTreeMap::new(),
            last: BTreeMap::new(),
            leave: None,
        };
        // What is on the way may or may not find it.
        for at in &self.unsettled {
            let message = &mut self.messages[*at];
            if !wants(&sub, message) {
                continue;
            }
            if let Some(request) = &mut message.request {
                request.possible = true;
            }
            match queue {
                None => {
                    let list = sub.expected.entry(message.publisher).or_default();
                    list.push_back((*at, false));
                }
                Some(queue) => {
                    message.groups.entry(queue).or_default();
                }
            }
        }
        self.subs.push(sub);
        self.live.insert(id);
        self.clients[client].subs.insert(sid, id);
    }

    /// UNSUB is said.
    pub fn unsubscribe(&mut self, client: ClientId, sid: u32) {
        let now = self.tick();
        let id = self.clients[client].subs[&sid];
        self.subs[id].leaving = now;
        self.leaves(id);
    }

    /// UNSUB with a maximum is said, for the first time of this subscription.
    pub fn limit(&mut self, client: ClientId, sid: u32, max: u32) {
        let sent = self.tick();
        let id = self.clients[client].subs[&sid];
        self.subs[id].limit = Some(Limit {
            max,
            sent,
            confirmed: false,
        });
        self.leaves(id);
    }

    /// Whether a subscription has a maximum, and how many messages it has had.
    pub fn limited(&self, client: ClientId, sid: u32) -> (bool, u32) {
        let sub = &self.subs[self.clients[client].subs[&sid]];
        (sub.limit.is_some(), sub.received)
    }

    fn leaves(&mut self, id: SubId) {
        let sub = &mut self.subs[id];
        if let (Some(queue), None) = (sub.queue, sub.leave) {
            sub.leave = Some(self.leaves.len());
            self.leaves.push(Leave { queue, done: NEVER });
        }
    }

    /// PUB or HPUB is said. `tell` where the publisher wants 503 and has a subscription to the reply.
    pub fn publish(
        &mut self,
        publisher: ClientId,
        subject: &str,
        reply: Option<String>,
        (header_len, payload_len): (Option<usize>, usize),
        tell: bool,
    ) -> MessageId {
        let sent = self.tick();
        let id = self.messages.len();
        let mut message = Message {
            publisher,
            subject: subject.into(),
            reply,
            header_len,
            payload_len,
            echo: self.clients[publisher].echo,
            sent,
            confirmed: NEVER,
            groups: BTreeMap::new(),
            request: tell.then(Request::default),
        };
        for at in &self.live {
            let sub = &mut self.subs[*at];
            if !wants(sub, &message) {
                continue;
            }
            let must = sub.confirmed < sent && sub.leaving == NEVER;
            let steady = must && sub.limit.is_none();
            if let Some(request) = &mut message.request {
                request.possible = true;
                request.certain.extend(steady.then_some(*at));
            }
            match sub.queue {
                None => {
                    let list = sub.expected.entry(publisher).or_default();
                    list.push_back((id, must));
                }
                Some(queue) => {
                    let group = message.groups.entry(queue).or_default();
                    group.steady.extend(steady.then_some(*at));
                }
            }
        }
        let haunted = self
            .ghosts
            .iter()
            .any(|id| wants(&self.subs[*id], &message));
        if let (Some(request), true) = (&mut message.request, haunted) {
            request.possible = true;
        }
        if !message.groups.is_empty() {
            self.queue_open.push(id);
        }
        self.messages.push(message);
        self.unsettled.insert(id);
        self.clients[publisher].unconfirmed.push_back(id);
        id
    }

    /// A message, by what its payload says.
    pub fn message(&self, id: MessageId) -> Option<&Message> {
        self.messages.get(id)
    }

    /// A client reads MSG or HMSG.
    pub fn receive(&mut self, client: ClientId, sid: u32, id: MessageId) -> Result<(), String> {
        let now = self.tick();
        let Some(sub) = self.clients[client].subs.get(&sid).copied() else {
            return Err(format!(
                "client {client}: a message for sid {sid}, which has ended"
            ));
        };
        let (message, answered) = (&self.messages[id], self.clients[client].answered);
        let told = format!(
            "client {client} sid {sid} ({:?}): message {id} of client {} on {:?}",
            self.subs[sub].pattern, message.publisher, message.subject
        );
        // Who travels to a client that has changed its mind about echo meanwhile may come back to it.
        let echo = self.subs[sub].queue.is_some() && self.clients[client].echo;
        let comes_back = echo && matches(&self.subs[sub].pattern, &message.subject);
        if !wants(&self.subs[sub], message) && !comes_back {
            return Err(format!("{told} is none it wants"));
        }
        match self.subs[sub].queue {
            None => self.take_plain(sub, id, &told)?,
            Some(queue) => self.take_queued(sub, id, queue, answered, &told)?,
        }
        let sub = &mut self.subs[sub];
        sub.received += 1;
        if let Some(limit) = &sub.limit
            && limit.confirmed
        {
            if sub.received > limit.max {
                return Err(format!(
                    "{told} is number {} of {}",
                    sub.received, limit.max
                ));
            }
            if sub.received == limit.max {
                self.seen.expired += 1;
                self.end(client, sid, now);
            }
        }
        Ok(())
    }

    fn take_plain(&mut self, sub: SubId, id: MessageId, told: &str) -> Result<(), String> {
        let publisher = self.messages[id].publisher;
        let list = self.subs[sub].expected.entry(publisher).or_default();
        while let Some((next, must)) = list.pop_front() {
            if next == id {
                self.seen.plain += 1;
                return Ok(());
            }
            if must {
                return Err(format!("{told} comes, {next} before it did not"));
            }
        }
        Err(format!(
            "{told} comes twice, out of order, late, or too early"
        ))
    }

    fn take_queued(
        &mut self,
        sub: SubId,
        id: MessageId,
        queue: u8,
        answered: Time,
        told: &str,
    ) -> Result<(), String> {
        let message = &mut self.messages[id];
        let travels = self
            .leaves
            .iter()
            .any(|leave| leave.queue == queue && leave.done >= message.sent);
        let group = message.groups.entry(queue).or_default();
        if std::mem::replace(&mut group.taken, true) {
            return Err(format!("{told} comes twice to queue group {queue}"));
        }
        let sub = &mut self.subs[sub];
        let last = sub.last.get(&message.publisher).copied();
        let disorder = last.is_some_and(|last| last > id);
        let late = message.confirmed < answered;
        let early = message.confirmed < sub.sent;
        if (disorder || late || early) && !travels {
            let what = match (disorder, late) {
                (true, _) => "out of order",
                (_, true) => "behind a PONG it should precede",
                _ => "published before the SUB was said",
            };
            return Err(format!("{told} comes {what} (queue group {queue})"));
        }
        sub.last
            .insert(message.publisher, last.map_or(id, |last| last.max(id)));
        self.seen.queued += 1;
        self.seen.travelled += u64::from(disorder || late || early);
        Ok(())
    }

    /// A subscription has ended; the shards get to know.
    fn end(&mut self, client: ClientId, sid: u32, now: Time) {
        let Some(id) = self.clients[client].subs.remove(&sid) else {
            return;
        };
        self.live.remove(&id);
        self.ghosts.push(id);
        let sub = &mut self.subs[id];
        sub.expected.clear();
        sub.leaving = sub.leaving.min(now);
        self.clients[client].leaves.extend(sub.leave);
    }

    /// A client reads 503 on a reply.
    pub fn no_responders(&mut self, client: ClientId, sid: u32, reply: &str) -> Result<(), String> {
        self.tick();
        let sub = self.clients[client].subs.get(&sid);
        if !sub.is_some_and(|id| matches(&self.subs[*id].pattern, reply)) {
            return Err(format!("client {client}: 503 for {reply:?} on sid {sid}"));
        }
        let own = &self.clients[client].unconfirmed;
        let asked = own
            .iter()
            .find(|id| self.messages[**id].reply.as_deref() == Some(reply))
            .copied();
        let request = asked.and_then(|id| self.messages[id].request.as_mut());
        let Some(request) = request else {
            return Err(format!("client {client}: 503 for {reply:?}, nothing asked"));
        };
        if std::mem::replace(&mut request.told, true) {
            return Err(format!("client {client}: 503 for {reply:?} twice"));
        }
        let sure =
            |id: &&SubId| self.subs[**id].leaving == NEVER && self.subs[**id].limit.is_none();
        if let Some(sub) = request.certain.iter().find(sure) {
            return Err(format!(
                "client {client}: 503 for {reply:?}, but client {} has sid {} on {:?}",
                self.subs[*sub].client, self.subs[*sub].sid, self.subs[*sub].pattern
            ));
        }
        self.seen.no_responders += 1;
        Ok(())
    }

    /// A PING is said: the time to give to [`Model::pong`].
    pub fn ping(&mut self) -> Time {
        self.tick()
    }

    /// Its PONG is read.
    pub fn pong(&mut self, client: ClientId, said: Time) -> Result<(), String> {
        let now = self.tick();
        while let Some(id) = self.clients[client].unconfirmed.front().copied()
            && self.messages[id].sent < said
        {
            self.clients[client].unconfirmed.pop_front();
            self.confirm(id, now)?;
        }
        for leave in std::mem::take(&mut self.clients[client].leaves) {
            self.leaves[leave].done = now;
        }
        let subs: Vec<(u32, SubId)> = self.clients[client]
            .subs
            .iter()
            .map(|(k, v)| (*k, *v))
            .collect();
        for (sid, id) in subs {
            self.complete(id, said)?;
            let sub = &mut self.subs[id];
            if sub.sent < said && sub.confirmed == NEVER {
                sub.confirmed = now;
            }
            let full = match &mut sub.limit {
                Some(limit) if limit.sent < said => {
                    limit.confirmed = true;
                    sub.received >= limit.max
                }
                _ => false,
            };
            let unsubscribed = sub.leaving < said && !sub.ends_with_connection;
            if unsubscribed || full {
                self.seen.expired += u64::from(full);
                self.end(client, sid, now);
                self.ghosts.pop();
                for leave in std::mem::take(&mut self.clients[client].leaves) {
                    self.leaves[leave].done = now;
                }
            }
        }
        self.clients[client].answered = said;
        Ok(())
    }

    /// A publisher knows that a message is under way.
    fn confirm(&mut self, id: MessageId, now: Time) -> Result<(), String> {
        self.unsettled.remove(&id);
        let message = &mut self.messages[id];
        message.confirmed = now;
        match &message.request {
            Some(request) if !request.possible && !request.told => Err(format!(
                "client {}: no 503 for message {id} on {:?}, which nobody wanted",
                message.publisher, message.subject
            )),
            _ => Ok(()),
        }
    }

    /// All that was confirmed to its publisher before this time has come to the subscription, or never will.
    fn complete(&mut self, id: SubId, until: Time) -> Result<(), String> {
        let Subscription {
            expected,
            limit,
            received,
            leaving,
            client,
            sid,
            pattern,
            ..
        } = &mut self.subs[id];
        let full = limit.as_ref().is_some_and(|limit| *received >= limit.max);
        for list in expected.values_mut() {
            while let Some((message, must)) = list.front().copied()
                && self.messages[message].confirmed < until
            {
                list.pop_front();
                self.seen.barriers += 1;
                if must && !full && self.messages[message].confirmed < *leaving {
                    return Err(format!(
                        "client {client} sid {sid} ({pattern:?}): message {message} of client {} on {:?} \
                         should have come",
                        self.messages[message].publisher, self.messages[message].subject
                    ));
                }
            }
        }
        Ok(())
    }

    /// A client has said all it will say; it reads on until its connection is closed.
    pub fn shut(&mut self, client: ClientId) {
        let now = self.tick();
        let subs: Vec<SubId> = self.clients[client].subs.values().copied().collect();
        for id in subs {
            self.subs[id].ends_with_connection = true;
            if self.subs[id].leaving == NEVER {
                self.subs[id].leaving = now;
                self.leaves(id);
            }
        }
    }

    /// A client that had [`Model::shut`] has read everything up to the end.
    pub fn closed(&mut self, client: ClientId) -> Result<(), String> {
        let now = self.tick();
        let subs: Vec<(u32, SubId)> = self.clients[client]
            .subs
            .iter()
            .map(|(k, v)| (*k, *v))
            .collect();
        for (sid, id) in subs {
            self.complete(id, now)?;
            self.end(client, sid, now);
        }
        Ok(())
    }

    /// A connection broke: what was on its way, either way, may be lost.
    pub fn broken(&mut self, client: ClientId) {
        let now = self.tick();
        let sids: Vec<(u32, SubId)> = self.clients[client]
            .subs
            .iter()
            .map(|(k, v)| (*k, *v))
            .collect();
        for (sid, id) in sids {
            self.leaves(id);
            self.broken_groups.extend(self.subs[id].queue);
            self.end(client, sid, now);
        }
        for id in std::mem::take(&mut self.clients[client].unconfirmed) {
            for at in &self.live {
                let list = self.subs[*at].expected.get_mut(&client);
                for (_, must) in list.into_iter().flatten().filter(|(at, _)| *at == id) {
                    *must = false;
                }
            }
            let message = &mut self.messages[id];
            message.request = None;
            for group in message.groups.values_mut() {
                group.steady.clear();
            }
        }
    }

    /// Everything has come to rest: all that was said has had its effect.
    pub fn at_rest(&mut self) -> Result<(), String> {
        let now = self.tick();
        for id in std::mem::take(&mut self.unsettled) {
            if self.messages[id].confirmed == NEVER {
                self.messages[id].confirmed = now;
            }
        }
        let now = self.tick();
        for client in 0..self.clients.len() {
            self.clients[client].unconfirmed.clear();
            self.clients[client].leaves.clear();
        }
        for id in self.live.clone() {
            self.complete(id, now)?;
        }
        for id in std::mem::take(&mut self.queue_open) {
            self.queue_lost(id)?;
        }
        self.ghosts.clear();
        self.leaves.clear();
        self.broken_groups.clear();
        for id in &self.live {
            let sub = &mut self.subs[*id];
            sub.leave = None;
            if let (Some(queue), true) = (sub.queue, sub.limit.is_some()) {
                sub.leave = Some(self.leaves.len());
                self.leaves.push(Leave { queue, done: NEVER });
            }
        }
        Ok(())
    }

    fn queue_lost(&self, id: MessageId) -> Result<(), String> {
        let message = &self.messages[id];
        for (queue, group) in &message.groups {
            if group.taken || self.broken_groups.contains(queue) {
                continue;
            }
            let steady = |id: &&SubId| {
                let sub = &self.subs[**id];
                sub.leaving == NEVER && sub.limit.is_none()
            };
            if let Some(sub) = group.steady.iter().find(steady) {
                return Err(format!(
                    "queue group {queue}: message {id} of client {} on {:?} is lost, but client {} sid {} was \
                     there all the time",
                    message.publisher, message.subject, self.subs[*sub].client, self.subs[*sub].sid
                ));
            }
        }
        Ok(())
    }

    /// Live subscriptions, and their different patterns.
    pub fn interest(&self) -> (usize, usize) {
        let patterns: BTreeSet<&str> = self
            .live
            .iter()
            .map(|id| self.subs[*id].pattern.as_str())
            .collect();
        (self.live.len(), patterns.len())
    }
}

/// Whether a subscription wants a message; its client's own only with echo.
fn wants(sub: &Subscription, message: &Message) -> bool {
    (sub.client != message.publisher || message.echo) && matches(&sub.pattern, &message.subject)
}

/// `*` is one token, `>` one or more to the end.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

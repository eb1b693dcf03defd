//! The accounts of a node in operator mode: which it knows, where it gets others, what is pushed to it. Owns the claims
//! in use; compiles nothing and publishes no snapshot itself.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::auth::jwt::{AccountClaims, Failure, Trust};
use crate::auth::operator::{self, KnownAccounts, Operator};
use crate::auth::operators::OperatorMode;
use crate::auth::resolver::requests::{Effect, Role, Rules};
use crate::auth::{Outcome, Work};
use crate::broker::events::Server;
use crate::config::{AUTH_TIMEOUT_MS, Config, ConfigError, Labels, ResolverKind};
use crate::shard::{Job, Jobs, Task, ToShard};

use super::bus::{Bus, Message};
use super::fetchers::{Answer, Fetchers, NOBODY};
use super::resolver::{self, Changed, Fetched, Resolver, tls};
use super::waiting::{Pending, Renewals};
use super::workers::ShardLine;

pub use super::waiting::{Waiting, WaitingClient};

/// How often claims are looked at whose time may have come although nobody said when.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// How long changes are gathered while more of them are there already, beside the time that it took to put the last into
/// force.
const GATHER_MAX: Duration = Duration::from_millis(50);

/// The last token of the subject to which others send what their directories have.
const PACK: &str = "pack";

/// How many imports of imports are followed at once when accounts are compiled.
const ROUNDS_MAX: usize = 16;

/// What the control thread hears of accounts.
pub enum Event {
    /// An account is not known, or has expired.
    Wanted {
        /// Its key.
        key: String,
        /// Who waits for it.
        waiting: Waiting,
    },
    /// What came of asking for one.
    Fetched {
        /// Its key.
        key: String,
        /// Which time it was asked for.
        number: u64,
        /// Its claims, or where else to ask, or why there are none.
        found: Result<Answer, String>,
    },
    /// Something came over the bus of the system account.
    Message(Message),
}

/// The accounts.
pub struct Accounts {
    mode: OperatorMode,
    trust: Arc<Trust>,
    resolver: Arc<Resolver>,
    known: KnownAccounts,
    withdrawn: Arc<HashSet<String>>,
    timeout_ms: u64,
    pending: HashMap<String, Pending>,
    /// How often an account was asked for.
    askings: u64,
    renewals: Renewals,
    /// Those whose accounts have come: they go on once those are in force.
    ready: Vec<Waiting>,
    /// What the shards run on is no longer what is known.
    stale: bool,
    /// Since when there has been something to put into force.
    due_since: Option<Instant>,
    /// How long it took to put the last change into force,
    last_took: Duration,
    /// and when that was done.
    last_done: Option<Instant>,
    /// When something changes by itself, seconds since 1970.
    changes_at: Option<i64>,
    /// When the directory was last looked through for what has expired, milliseconds since 1970.
    swept_ms: i64,
    /// What importers lack as long as the account that it comes from is asked for, by that account.
    lacking: HashMap<String, Vec<String>>,
    /// When the directory is compared with those of others.
    sync_at: Option<Instant>,
    fetchers: Fetchers,
    events: Sender<Event>,
    bus: Option<(Bus, String)>,
    /// Answers, and to which subject: they are given when what they say is in force.
    answers: Vec<(String, Vec<u8>)>,
    server: ServerText,
}

/// What there was before a reload, until it is sure that the reload counts.
pub struct Before {
    resolver: resolver::Before,
    mode: OperatorMode,
    trust: Arc<Trust>,
    known: KnownAccounts,
    withdrawn: Arc<HashSet<String>>,
    timeout_ms: u64,
    stale: bool,
    changes_at: Option<i64>,
    labels: Labels,
    /// Accounts that a directory said anew.
    changed: Vec<String>,
}

/// What answers say of the server.
struct ServerText {
    name: String,
    host: String,
    id: String,
    labels: Labels,
    count: u64,
}

impl Accounts {
    /// Opens the resolver and learns the accounts to begin with; `None` where accounts stand in the configuration.
    ///
    /// # Errors
    /// A sentence: the resolver cannot be opened, or has no system account.
    pub fn open(config: &Config, events: Sender<Event>) -> Result<Option<Accounts>, String> {
        let mode = OperatorMode::compile(config).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            texts.join("\n")
        })?;
        let Some(mode) = mode else {
            return Ok(None);
        };
        let now = Timestamp::now();
        let tls = tls::load(config).map_err(|errors| lines_of(&errors))?;
        let resolver = Resolver::open(
            mode.resolver_kind(),
            &mode.preload,
            tls,
            now.as_millisecond(),
        )?;
        let resolver = Arc::new(resolver);
        let mut accounts = Accounts {
            trust: Arc::new(mode.trust(TimeZone::system())),
            resolver: resolver.clone(),
            known: KnownAccounts::default(),
            withdrawn: Arc::default(),
            timeout_ms: config.authorization.timeout_ms.unwrap_or(AUTH_TIMEOUT_MS),
            pending: HashMap::new(),
            askings: 0,
            renewals: Renewals::default(),
            ready: Vec::new(),
            stale: false,
            due_since: None,
            last_took: Duration::ZERO,
            last_done: None,
            changes_at: None,
            swept_ms: now.as_millisecond(),
            lacking: HashMap::new(),
            sync_at: None,
            fetchers: Fetchers::new(resolver, events.clone()),
            events,
            bus: None,
            answers: Vec::new(),
            server: ServerText {
                name: String::new(),
                host: config.host.clone(),
                id: String::new(),
                labels: Labels::default(),
                count: 0,
            },
            mode,
        };
        if let Some((key, _)) = accounts.mode.system_account.clone()
            && let Err(why) = accounts.learn_at_start(&key, now)
            && !accounts.bootstrap(&key)
        {
            return Err(format!(
                "the system account {key} cannot be resolved: {why}"
            ));
        }
        if let Some(directory) = accounts.resolver.directory() {
            let which = match accounts.resolver.role() {
                Role::Full => "all",
                Role::Cache | Role::None => "some",
            };
            log::info!("Managing {which} jwt in exclusive directory {directory}");
        }
        Ok(Some(accounts))
    }

    /// The configuration with the accounts that are known, and what shards judge clients by.
    pub fn effective(&mut self, config: &Config) -> (Config, Arc<Operator>) {
        self.server.labels.clone_from(&config.labels);
        let now = Timestamp::now();
        let mut converted = self.convert(now);
        for _ in 0..ROUNDS_MAX {
            let missing = std::mem::take(&mut converted.missing);
            let learnt = missing.iter().filter(|key| self.learn_nearby(key, now));
            if learnt.count() == 0 {
                break;
            }
            converted = self.convert(now);
        }
        self.tell_failures(&converted.failures);
        let expirations = self.known.values().map(|claims| claims.common.expires);
        let expirations = expirations.filter(|at| *at > now.as_second());
        self.changes_at = expirations.chain(converted.changes_at).min();
        self.stale = false;
        let effective = self.mode.effective(config, converted.accounts);
        (effective, self.operator())
    }

    /// Logs what does not hold. What comes from an account that is being asked for is only told once that is not to be had.
    fn tell_failures(&mut self, failures: &[Failure]) {
        self.lacking.clear();
        for failure in failures {
            let from = failure
                .exporter()
                .filter(|key| self.pending.contains_key(*key) && !self.known.contains_key(*key));
            match from {
                Some(key) => {
                    let lacking = self.lacking.entry(key.to_owned()).or_default();
                    lacking.push(failure.to_string());
                }
                None => log::error!("{failure}"),
            }
        }
    }

    /// Begins to serve requests in the system account.
    ///
    /// # Errors
    /// There can be no socket or thread.
    pub fn listen(&mut self, line: ShardLine, name: &str, id: &str) -> std::io::Result<()> {
        (self.server.name, self.server.id) = (name.to_owned(), id.to_owned());
        let Some((key, _)) = &self.mode.system_account else {
            return Ok(());
        };
        let inbox = format!("$SYS._INBOX.{}", nkeys::KeyPair::new_user().public_key());
        let subjects = self.subjects(&inbox);
        let events = self.events.clone();
        let bus = Bus::open(line, key, subjects, move |message| {
            let _ = events.send(Event::Message(message));
        })?;
        self.bus = Some((bus, inbox));
        self.sync_later();
        Ok(())
    }

    fn sync_later(&mut self) {
        let interval = self.resolver.sync_interval();
        self.sync_at = interval.map(|interval| Instant::now() + interval);
    }

    /// Asks others in the system account for what the directory has not got, as often as `interval` says.
    fn sync(&mut self) {
        if let Some((bus, inbox)) = &self.bus {
            let reply = format!("{inbox}.{PACK}");
            bus.publish("$SYS.REQ.CLAIMS.PACK", &reply, b"", &self.resolver.hash());
        }
        self.sync_later();
    }

    /// What somebody else's directory has: lines of a key and a JWT. What nobody trusts is not kept.
    fn merge(&mut self, packed: &str, now: Timestamp, lines: &[ShardLine]) {
        let mut taken = String::new();
        for line in packed.lines() {
            let parts = line.split_once('|');
            let counts = parts.map(|(key, jwt)| self.trust.account(key, jwt, now.as_second()));
            match counts {
                Some(Ok(_)) => taken.extend([line, "\n"]),
                Some(Err(error)) => {
                    log::error!("DirResolver - Merging resulted in error: {error}");
                }
                None => log::error!("DirResolver - Merging resulted in error: no key and JWT"),
            }
        }
        let effects = self.resolver.merge(&taken, now.as_millisecond());
        self.carry_out(effects, now, lines);
    }

    /// What is listened to in the system account.
    fn subjects(&self, inbox: &str) -> Vec<String> {
        let role = self.resolver.role();
        let requests = role.subjects().iter().map(|subject| (*subject).to_owned());
        requests.chain([format!("{inbox}.*")]).collect()
    }

    /// The resolver may be another one, that others ask other things.
    fn resubscribe(&self) {
        if let Some((bus, inbox)) = &self.bus {
            bus.resubscribe(self.subjects(inbox));
        }
    }

    /// Takes what has come.
    pub fn take(&mut self, event: Event, lines: &[ShardLine]) {
        let now = Timestamp::now();
        match event {
            Event::Wanted { key, waiting } => self.wanted(&key, waiting, now),
            Event::Fetched { key, number, .. } if !self.waits_for(&key, number) => {}
            Event::Fetched {
                key,
                found: Ok(Answer::Refused(_)) | Err(_),
                ..
            } if self.asks_again(&key) => {}
            Event::Fetched { key, found, .. } => match found {
                Ok(Answer::Found(claims)) => self.found(&key, claims),
                Ok(Answer::Elsewhere(timeout)) => self.ask_others(&key, timeout, lines),
                // That what has expired is still there is no news.
                Ok(Answer::Refused(why)) | Err(why) if self.known.contains_key(&*key) => {
                    log::debug!("account {key} is not renewed: {why}");
                    self.give_up(&key, &why, lines);
                }
                Ok(Answer::Refused(why)) => self.refuse(&key, &why, lines),
                Err(why) => self.give_up(&key, &why, lines),
            },
            Event::Message(message) => self.message(&message, now, lines),
        }
        if self.is_stale() {
            self.due_since.get_or_insert_with(Instant::now);
        }
    }

    /// Reads the resolver's place again: the configuration has been. Whether that counts is told by
    /// [`settle`](Accounts::settle) or [`undo`](Accounts::undo), before anything else.
    ///
    /// # Errors
    /// A sentence: then all is as before.
    pub fn reload(&mut self, config: &Config) -> Result<Before, String> {
        let mode = OperatorMode::compile(config).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            texts.join("\n")
        })?;
        let Some(mode) = mode else {
            return Err("operator mode cannot be left by a reload".to_owned());
        };
        let now = Timestamp::now();
        let tls = tls::load(config).map_err(|errors| lines_of(&errors))?;
        let now_ms = now.as_millisecond();
        let kind = mode.resolver_kind();
        let (changed, was) = self.resolver.reload(kind, &mode.preload, tls, now_ms)?;
        let trust = Arc::new(mode.trust(TimeZone::system()));
        let (changed, before) = match changed {
            Changed::These(keys) => (keys, self.mode.preload.keys().cloned().collect()),
            Changed::All => {
                let known: Vec<String> = self.known.keys().map(ToString::to_string).collect();
                (known.clone(), known)
            }
        };
        let gone = before.into_iter();
        let gone = gone.filter(|key| !mode.preload.contains_key(key));
        let withdrawn = Arc::new(gone.chain(self.withdrawn.iter().cloned()).collect());
        let timeout_ms = config.authorization.timeout_ms.unwrap_or(AUTH_TIMEOUT_MS);
        let before = Before {
            resolver: was,
            mode: std::mem::replace(&mut self.mode, mode),
            trust: std::mem::replace(&mut self.trust, trust),
            known: self.known.clone(),
            withdrawn: std::mem::replace(&mut self.withdrawn, withdrawn),
            timeout_ms: std::mem::replace(&mut self.timeout_ms, timeout_ms),
            stale: self.stale,
            changes_at: self.changes_at,
            labels: self.server.labels.clone(),
            changed: changed.clone(),
        };
        for key in changed {
            if self.known.remove(&*key).is_some() {
                self.learn_nearby(&key, now);
            }
        }
        self.stale = true;
        Ok(before)
    }

    /// The reload counts.
    pub fn settle(&mut self, before: &Before) {
        let now = Timestamp::now();
        let now_ms = now.as_millisecond();
        let kept = self.resolver.settle(&self.mode.preload, now_ms);
        self.sweep(now_ms);
        for key in kept.iter().filter(|key| before.changed.contains(*key)) {
            self.learn_nearby(key, now);
        }
        // What is imported from may be there now.
        self.stale |= !kept.is_empty();
        self.resubscribe();
        self.sync_later();
        self.want_again();
    }

    /// The reload does not count: everything is as it was.
    pub fn undo(&mut self, before: Before) {
        self.resolver.undo(before.resolver);
        self.mode = before.mode;
        self.trust = before.trust;
        self.known = before.known;
        self.withdrawn = before.withdrawn;
        self.timeout_ms = before.timeout_ms;
        self.stale = before.stale;
        self.changes_at = before.changes_at;
        self.server.labels = before.labels;
        // What was asked for meanwhile may be of the other place.
        self.want_again();
    }

    /// Whether the shards must be given another snapshot.
    pub fn is_stale(&self) -> bool {
        self.stale || !self.ready.is_empty()
    }

    /// Whether what there is to put into force must not wait for more, however much there is to hear. Accounts are compiled
    /// all together: where that takes long, more are waited for.
    pub fn is_due(&self) -> bool {
        let long = GATHER_MAX + self.last_took;
        self.due_since.is_some_and(|since| since.elapsed() > long)
    }

    /// How long it is better to wait for more although nothing more is there yet: accounts that come one by one take no more
    /// than half of the time to compile. Whoever waits for the answer to a push does not wait for that.
    pub fn pause(&self) -> Option<Duration> {
        if !self.can_wait() {
            return None;
        }
        let left = self.last_took.checked_sub(self.last_done?.elapsed())?;
        Some(left).filter(|left| !left.is_zero())
    }

    /// It took so long to put a change into force.
    pub fn took(&mut self, took: Duration) {
        self.last_took = took;
        self.last_done = Some(Instant::now());
    }

    /// Whether what there is to put into force may take longer where the machine is full: clients wait for accounts that are
    /// new here, and nobody for what has been pushed.
    pub fn can_wait(&self) -> bool {
        self.answers.is_empty() && !self.ready.is_empty()
    }

    /// What is known is in force: requests are answered, clients that waited for it go on.
    pub fn go_on(&mut self, jobs: &Jobs) {
        self.due_since = None;
        for (reply, answer) in self.answers.drain(..) {
            if let Some((bus, _)) = &self.bus {
                bus.publish(&reply, "", b"", &answer);
            }
        }
        if self.ready.is_empty() {
            return;
        }
        let operator = self.operator();
        for waiting in self.ready.drain(..) {
            let WaitingClient {
                shard,
                conn,
                source,
                ticket,
                work,
            } = match waiting {
                Waiting::Client(client) => client,
                Waiting::Callout(callouts, number) => {
                    callouts.place(number, operator.clone());
                    continue;
                }
            };
            let work = work.under(operator.clone());
            // Without workers the broker stops.
            let _ = jobs.send(Job {
                shard,
                conn,
                source,
                task: Task::Verify(ticket, Box::new(Work::Jwt(work))),
            });
        }
    }

    /// How long nothing is due.
    pub fn rest(&self) -> Duration {
        let now_ms = Timestamp::now().as_millisecond();
        let until = |at_ms: i64| Duration::from_millis(u64::try_from(at_ms - now_ms).unwrap_or(0));
        let changes = self.changes_at.map(|at| until(at.saturating_mul(1000)));
        let expiry = self.resolver.expire_at_ms(self.swept_ms).map(until);
        let lookups = self.pending.values().filter_map(Pending::due);
        let instants = lookups.chain(self.sync_at);
        let instants = instants.map(|at| at.saturating_duration_since(Instant::now()));
        let dues = changes.into_iter().chain(expiry).chain(instants);
        dues.min().unwrap_or(LOOK_MAX).min(LOOK_MAX)
    }

    /// Does what is due.
    pub fn on_time(&mut self, lines: &[ShardLine]) {
        let (now, instant) = (Timestamp::now(), Instant::now());
        if self.changes_at.is_some_and(|at| at <= now.as_second()) {
            self.stale = true;
        }
        let now_ms = now.as_millisecond();
        let expiry = self.resolver.expire_at_ms(self.swept_ms);
        if expiry.is_some_and(|at| at <= now_ms) {
            self.sweep(now_ms);
        }
        if self.sync_at.is_some_and(|at| at <= instant) {
            self.sync();
        }
        self.renewals.tidy();
        let due = |pending: &Pending| pending.due().is_some_and(|due| due <= instant);
        let due: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, pending)| due(pending))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            match self.pending[&key].begins {
                Some(_) => self.ask(&key),
                None => self.give_up(&key, "nobody has it", lines),
            }
        }
    }

    fn sweep(&mut self, now_ms: i64) {
        self.resolver.expire(now_ms);
        self.swept_ms = now_ms;
    }

    fn operator(&self) -> Arc<Operator> {
        Arc::new(Operator {
            trust: self.trust.clone(),
            known: Arc::new(self.known.clone()),
            withdrawn: self.withdrawn.clone(),
            timeout_ms: self.timeout_ms,
        })
    }

    fn convert(&self, now: Timestamp) -> crate::auth::jwt::Converted {
        operator::converted(&self.known, &self.trust, now)
    }

    /// Takes an account's JWT in, if it counts.
    fn learn(&mut self, key: &str, jwt: &str, now: Timestamp) -> Result<(), String> {
        let claims = self.trust.account(key, jwt, now.as_second());
        let claims = claims.map_err(|error| error.to_string())?;
        self.take_in(key, Arc::new(claims));
        Ok(())
    }

    fn take_in(&mut self, key: &str, claims: Arc<AccountClaims>) {
        self.known.insert(key.into(), claims);
        self.stale = true;
    }

    fn learn_at_start(&mut self, key: &str, now: Timestamp) -> Result<(), String> {
        match self.resolver.fetch(key, now.as_millisecond()) {
            Ok(Fetched::Found(jwt)) => self.learn(key, &jwt, now),
            Ok(Fetched::Elsewhere(_)) => Err("it is not there".to_owned()),
            Err(why) => Err(why),
        }
    }

    /// A system account that is not to be had yet is there all the same until it is pushed, so that it can be. The oracle's
    /// rule: not for accounts that stand in the configuration, and only where there is one operator.
    /// Whether that is so.
    fn bootstrap(&mut self, key: &str) -> bool {
        let [operator] = &*self.mode.operators else {
            return false;
        };
        if matches!(self.mode.resolver, Some((ResolverKind::Memory, _)) | None) {
            return false;
        }
        let claims = AccountClaims::placeholder(key, &operator.common.issuer);
        self.known.insert(key.into(), Arc::new(claims));
        true
    }

    /// Learns an account that others import from, if it is at hand; else somebody asks for it.
    fn learn_nearby(&mut self, key: &str, now: Timestamp) -> bool {
        if !self.resolver.is_near() {
            self.want(NOBODY, key);
            return false;
        }
        match self.resolver.fetch(key, now.as_millisecond()) {
            Ok(Fetched::Found(jwt)) => match self.learn(key, &jwt, now) {
                Ok(()) => true,
                Err(why) => {
                    log::error!("account {key}: {why}");
                    false
                }
            },
            _ => false,
        }
    }

    /// Somebody cannot go on without an account that counts.
    fn wanted(&mut self, key: &str, waiting: Waiting, now: Timestamp) {
        let known = self.known.get(key);
        if known.is_some_and(|claims| !claims.has_ended(now.as_second())) {
            return self.ready.push(waiting);
        }
        let joins = self.pending.get(key).is_some_and(Pending::is_for_nobody);
        let pending = self.want(waiting.source(), key);
        pending.joined |= joins;
        pending.waiting.push(waiting);
    }

    /// What was asked for nobody has failed, and by now somebody waits for it: then it is asked once more.
    fn asks_again(&mut self, key: &str) -> bool {
        let joined = self.pending.get_mut(key).is_some_and(Pending::take_joined);
        if joined {
            self.ask(key);
        }
        joined
    }

    /// Asks for an account, off this thread, unless that is being done, or has just been for one that has expired.
    fn want(&mut self, source: IpAddr, key: &str) -> &mut Pending {
        self.pending.entry(key.to_owned()).or_insert_with(|| {
            self.askings += 1;
            let begins = self.renewals.next(key);
            if begins.is_none() {
                if self.known.contains_key(key) {
                    self.renewals.begin(key);
                }
                self.fetchers.fetch(source, key, self.askings, &self.trust);
            }
            Pending {
                waiting: Vec::new(),
                joined: false,
                number: self.askings,
                begins,
                until: None,
            }
        })
    }

    /// Asks for an account that is waited for, whatever has been asked before.
    fn ask(&mut self, key: &str) {
        let Some(pending) = self.pending.get_mut(key) else {
            return;
        };
        self.askings += 1;
        (pending.number, pending.begins, pending.until) = (self.askings, None, None);
        if self.known.contains_key(key) {
            self.renewals.begin(key);
        }
        self.fetchers
            .fetch(pending.source(), key, self.askings, &self.trust);
    }

    /// Asks anew for all that is waited for: what is underway may be of before.
    fn want_again(&mut self) {
        let keys: Vec<String> = self.pending.keys().cloned().collect();
        for key in keys {
            self.ask(&key);
        }
    }

    fn waits_for(&self, key: &str, number: u64) -> bool {
        let pending = self.pending.get(key);
        pending.is_some_and(|pending| pending.number == number)
    }

    fn found(&mut self, key: &str, claims: Arc<AccountClaims>) {
        self.take_in(key, claims);
        let pending = self.pending.remove(key);
        self.ready
            .extend(pending.into_iter().flat_map(|pending| pending.waiting));
    }

    /// What was found does not count.
    fn refuse(&mut self, key: &str, why: &str, lines: &[ShardLine]) {
        log::error!("account {key}: {why}");
        self.give_up(key, why, lines);
    }

    /// Somebody says an account's JWT, that may be waited for.
    fn told(&mut self, key: &str, jwt: &str, now: Timestamp, lines: &[ShardLine]) {
        match self.trust.account(key, jwt, now.as_second()) {
            Ok(claims) => self.found(key, Arc::new(claims)),
            Err(error) => self.refuse(key, &error.to_string(), lines),
        }
    }

    /// Nobody waits for this account any longer.
    fn give_up(&mut self, key: &str, why: &str, lines: &[ShardLine]) {
        for failure in self.lacking.remove(key).into_iter().flatten() {
            log::error!("{failure}");
        }
        let pending = self.pending.remove(key);
        for waiting in pending.into_iter().flat_map(|pending| pending.waiting) {
            match waiting {
                Waiting::Client(client) => {
                    let verdict: Outcome = client.work.without_account(key, why.to_owned());
                    let verdict = ToShard::Verified(client.conn, client.ticket, verdict);
                    lines[client.shard].tell(verdict);
                }
                Waiting::Callout(callouts, number) => callouts.place(number, self.operator()),
            }
        }
    }

    /// It is not here: others in the system account may have it.
    fn ask_others(&mut self, key: &str, timeout: Duration, lines: &[ShardLine]) {
        let Some((bus, inbox)) = &self.bus else {
            return self.give_up(key, "nobody has it", lines);
        };
        let subject = format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP");
        bus.publish(&subject, &format!("{inbox}.{key}"), b"", b"");
        if let Some(pending) = self.pending.get_mut(key) {
            pending.until = Some(Instant::now() + timeout);
        }
    }

    fn asks_others(&self, key: &str) -> bool {
        let pending = self.pending.get(key);
        pending.is_some_and(|pending| pending.until.is_some())
    }

    fn message(&mut self, message: &Message, now: Timestamp, lines: &[ShardLine]) {
        let own = self.bus.as_ref().and_then(|(_, inbox)| {
            let key = message.subject.strip_prefix(inbox.as_str())?;
            key.strip_prefix('.')
        });
        match own {
            // An empty answer says that somebody has not got it: others may.
            Some(_) if message.payload.is_empty() => {}
            Some(PACK) => self.merge(&String::from_utf8_lossy(&message.payload), now, lines),
            // Nobody has been asked, or somebody has answered.
            Some(key) if !self.asks_others(key) => {}
            Some(key) => {
                let (key, jwt) = (key.to_owned(), String::from_utf8_lossy(&message.payload));
                let counts = self.trust.account(&key, &jwt, now.as_second());
                let kept = counts.map_err(|error| error.to_string()).and_then(|_| {
                    let now_ms = now.as_millisecond();
                    self.resolver.take(&key, &jwt, now_ms)
                });
                match kept {
                    Ok(()) => self.told(&key, &jwt, now, lines),
                    // Others may have a better one.
                    Err(why) => log::error!("account {key}: {why}"),
                }
            }
            None => self.request(message, now, lines),
        }
    }

    fn request(&mut self, message: &Message, now: Timestamp, lines: &[ShardLine]) {
        let in_use = |key: &str| self.known.contains_key(key);
        let rules = Rules {
            role: self.resolver.role(),
            mode: &self.mode,
            in_use: &in_use,
        };
        self.server.count += 1;
        let server = self.server.json(now);
        let (replies, effects) =
            self.resolver
                .serve(&rules, message, &server, now.as_millisecond());
        self.carry_out(effects, now, lines);
        let answers = replies.into_iter();
        self.answers
            .extend(answers.map(|answer| (message.reply.clone(), answer)));
    }

    fn carry_out(&mut self, effects: Vec<Effect>, now: Timestamp, lines: &[ShardLine]) {
        for effect in effects {
            match effect {
                Effect::Updated { account, jwt } => {
                    let waited = self.pending.contains_key(&account);
                    if waited || self.known.contains_key(&*account) {
                        self.told(&account, &jwt, now, lines);
                    }
                }
                Effect::Deleted { account } => {
                    self.stale |= self.known.remove(&*account).is_some();
                    self.give_up(&account, "it has been deleted", lines);
                }
            }
        }
    }
}

impl ServerText {
    fn json(&self, now: Timestamp) -> String {
        let names = [&*self.name, &*self.host, &*self.id];
        let text = Server::new(names, &self.labels, self.count, now.to_string());
        serde_json::to_string(&text).expect("texts and numbers")
    }
}

fn lines_of(errors: &[ConfigError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

//! Threads that ask for the JWTs of accounts, where blocking is allowed: so many at once and no more, however many accounts
//! are wanted, and each source in its turn. Owns the queue; whether what comes counts, the trust says that came with the
//! question.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::accounts::Event;
use super::fair::Fair;
use super::process;
use super::resolver::{self, Resolver};
use crate::auth::jwt::{AccountClaims, Trust};

/// Accounts asked for at once where that is a matter of this machine alone.
const NEAR: usize = 16;
/// The same where others are waited for. Strangers may have as many accounts looked for as they like, so these must be
/// many: who comes from elsewhere waits until one of them is free.
const FAR: usize = 256;

/// Who asks for accounts on nobody's behalf in particular.
pub const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Where wanted accounts go.
pub struct Fetchers {
    queue: Sender<Asked>,
    intake: Arc<Mutex<Intake>>,
    resolver: Arc<Resolver>,
    events: Sender<Event>,
    /// Accounts that are asked for, or wait for that.
    open: Arc<AtomicUsize>,
    started: usize,
}

/// What came of asking for an account.
pub enum Answer {
    /// Its claims.
    Found(Arc<AccountClaims>),
    /// Its JWT does not count: why.
    Refused(String),
    /// Others may have it; so long they may take.
    Elsewhere(Duration),
}

/// An account to ask for.
struct Asked {
    source: IpAddr,
    key: String,
    number: u64,
    trust: Arc<Trust>,
}

/// Where accounts come in and wait for their turns.
struct Intake {
    incoming: Receiver<Asked>,
    waiting: Fair<Asked>,
}

impl Fetchers {
    /// There are no threads until they are needed.
    pub fn new(resolver: Arc<Resolver>, events: Sender<Event>) -> Fetchers {
        let (queue, incoming) = mpsc::channel();
        let waiting = Fair::default();
        Fetchers {
            queue,
            intake: Arc::new(Mutex::new(Intake { incoming, waiting })),
            resolver,
            events,
            open: Arc::default(),
            started: 0,
        }
    }

    /// Asks for an account: [`Event::Fetched`] tells what came of it, with the same number. `source` is who wants it, `trust`
    /// says whether what is found counts.
    pub fn fetch(&mut self, source: IpAddr, key: &str, number: u64, trust: &Arc<Trust>) {
        let max = if self.resolver.is_near() { NEAR } else { FAR };
        if self.open.fetch_add(1, Relaxed) >= self.started && self.started < max {
            match self.start() {
                Ok(()) => self.started += 1,
                // Those that there are do it, sooner or later.
                Err(_) if self.started > 0 => {}
                Err(error) => {
                    self.open.fetch_sub(1, Relaxed);
                    let found = Err(error.to_string());
                    let key = key.to_owned();
                    let _ = self.events.send(Event::Fetched { key, number, found });
                    return;
                }
            }
        }
        let key = key.to_owned();
        // The other end is here as well.
        let _ = self.queue.send(Asked {
            source,
            key,
            number,
            trust: Arc::clone(trust),
        });
    }

    fn start(&self) -> std::io::Result<()> {
        let (intake, resolver) = (self.intake.clone(), self.resolver.clone());
        let (events, open) = (self.events.clone(), self.open.clone());
        let work = move || {
            process::give_way_most();
            let next = || intake.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some(asked) = next() {
                let found = asked.answer(&resolver);
                open.fetch_sub(1, Relaxed);
                let Asked { key, number, .. } = asked;
                if events.send(Event::Fetched { key, number, found }).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("fetch".into()).spawn(work)?;
        Ok(())
    }
}

impl Asked {
    fn answer(&self, resolver: &Resolver) -> Result<Answer, String> {
        let now = Timestamp::now();
        let found = resolver.fetch(&self.key, now.as_millisecond())?;
        Ok(match found {
            resolver::Fetched::Elsewhere(timeout) => Answer::Elsewhere(timeout),
            resolver::Fetched::Found(jwt) => {
                match self.trust.account(&self.key, &jwt, now.as_second()) {
                    // In its last second it counts as a token, and lets nobody in.
                    Ok(claims) if claims.has_ended(now.as_second()) => {
                        Answer::Refused("it expires".to_owned())
                    }
                    Ok(claims) => Answer::Found(Arc::new(claims)),
                    Err(error) => Answer::Refused(error.to_string()),
                }
            }
        })
    }
}

impl Intake {
    /// The next one; waits for it. `None` when no more can come.
    fn next(&mut self) -> Option<Asked> {
        while let Ok(asked) = self.incoming.try_recv() {
            self.waiting.push(asked.source, asked);
        }
        self.waiting.pop().or_else(|| self.incoming.recv().ok())
    }
}

//! Threads that ask for the JWTs of accounts, where blocking is allowed: so many at once and no more, however many accounts
//! are wanted. Owns the queue; judges nothing of what comes.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use jiff::Timestamp;

use super::accounts::Event;
use super::resolver::Resolver;

/// Accounts asked for at once.
const FETCHERS: usize = 16;

/// Where wanted accounts go.
pub struct Fetchers {
    queue: Sender<(String, u64)>,
    waiting: Arc<Mutex<Receiver<(String, u64)>>>,
    resolver: Arc<Resolver>,
    events: Sender<Event>,
    started: usize,
}

impl Fetchers {
    /// There are no threads until they are needed.
    pub fn new(resolver: Arc<Resolver>, events: Sender<Event>) -> Fetchers {
        let (queue, waiting) = mpsc::channel();
        Fetchers {
            queue,
            waiting: Arc::new(Mutex::new(waiting)),
            resolver,
            events,
            started: 0,
        }
    }

    /// Asks for an account: [`Event::Fetched`] tells what came of it, with the same number.
    pub fn fetch(&mut self, key: &str, number: u64) {
        if self.started < FETCHERS {
            match self.start() {
                Ok(()) => self.started += 1,
                // Those that there are do it, sooner or later.
                Err(_) if self.started > 0 => {}
                Err(error) => {
                    let found = Err(error.to_string());
                    let key = key.to_owned();
                    let _ = self.events.send(Event::Fetched { key, number, found });
                    return;
                }
            }
        }
        // The other end is here as well.
        let _ = self.queue.send((key.to_owned(), number));
    }

    fn start(&self) -> std::io::Result<()> {
        let (waiting, resolver) = (self.waiting.clone(), self.resolver.clone());
        let events = self.events.clone();
        let work = move || {
            let next = || {
                let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.recv()
            };
            while let Ok((key, number)) = next() {
                let found = resolver.fetch(&key, Timestamp::now().as_millisecond());
                if events.send(Event::Fetched { key, number, found }).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("fetch".into()).spawn(work)?;
        Ok(())
    }
}

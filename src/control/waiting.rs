//! Who waits for an account, and since when somebody asks for it. Owns no account and asks nobody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::auth::operator::JwtWork;
use crate::shard::ring::Token;

use super::callout::Callouts;
use super::fetchers::NOBODY;

/// An account that has expired is not asked for sooner again: whoever comes to it meanwhile waits. The oracle does not look
/// at new claims of an account more often either.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

/// Who waits for an account.
pub enum Waiting {
    /// A client whose account it is.
    Client(WaitingClient),
    /// A service has put a client there: who asks services, and the question's number.
    Callout(Callouts, u64),
}

/// A client whose account is not known yet, or has expired.
pub struct WaitingClient {
    /// Its shard.
    pub shard: usize,
    /// Its connection.
    pub conn: Token,
    /// Where the client is.
    pub source: IpAddr,
    /// The number for the verdict.
    pub ticket: u32,
    /// What is left to do.
    pub work: Box<JwtWork>,
}

impl Waiting {
    /// Where the client is; a service's clients have been let through by it.
    pub fn source(&self) -> IpAddr {
        match self {
            Waiting::Client(client) => client.source,
            Waiting::Callout(..) => NOBODY,
        }
    }
}

/// What an account is waited for with.
///
/// What comes of an earlier asking does not count: it may have been read before an update that is in force by now.
pub struct Pending {
    /// Who waits for it.
    pub waiting: Vec<Waiting>,
    /// It was asked for nobody, and somebody waits by now.
    pub joined: bool,
    /// The number of the asking.
    pub number: u64,
    /// Nobody has been asked yet: then it is done.
    pub begins: Option<Instant>,
    /// Others have been asked; until then they may answer.
    pub until: Option<Instant>,
}

impl Pending {
    /// For whom it is asked.
    pub fn source(&self) -> IpAddr {
        self.waiting.first().map_or(NOBODY, Waiting::source)
    }

    /// Whether it has been asked for, and nobody waits for it.
    pub fn is_for_nobody(&self) -> bool {
        self.waiting.is_empty() && self.begins.is_none()
    }

    /// Whether somebody has joined a question that was for nobody; told once.
    pub fn take_joined(&mut self) -> bool {
        std::mem::take(&mut self.joined)
    }

    /// When something is to be done about it, whatever comes.
    pub fn due(&self) -> Option<Instant> {
        self.begins.or(self.until)
    }
}

/// When accounts that are known, and have expired, were asked for last.
#[derive(Default)]
pub struct Renewals(HashMap<String, Instant>);

impl Renewals {
    /// When this one may be asked for; `None` is now.
    pub fn next(&self, key: &str) -> Option<Instant> {
        let next = *self.0.get(key)? + RENEWAL_MIN;
        (next > Instant::now()).then_some(next)
    }

    /// This one is asked for.
    pub fn begin(&mut self, key: &str) {
        self.0.insert(key.to_owned(), Instant::now());
    }

    /// Forgets those that may be asked for again.
    pub fn tidy(&mut self) {
        self.0.retain(|_, last| last.elapsed() < RENEWAL_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_second() {
        let mut renewals = Renewals::default();
        assert_eq!(renewals.next("a"), None, "at once");
        renewals.begin("a");
        let next = renewals.next("a").expect("not yet");
        let wait = next.saturating_duration_since(Instant::now());
        assert!(wait <= RENEWAL_MIN, "{wait:?}");
        assert_eq!(renewals.next("b"), None, "each for itself");
        renewals
            .0
            .insert("c".to_owned(), Instant::now() - RENEWAL_MIN);
        assert_eq!(renewals.next("c"), None, "a second later");
        renewals.tidy();
        assert_eq!(renewals.0.len(), 1, "what is over is forgotten");
    }
}

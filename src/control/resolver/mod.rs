//! Where account JWTs come from: memory, a directory, a URL. Owns the way from the setting to a place, and access to it from
//! several threads. Blocks on files and the network: never called by a shard.

pub mod directory;
pub mod tls;
pub mod url;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ureq::tls::TlsConfig;

use crate::auth::resolver::index::{Bounds, Hash};
use crate::auth::resolver::requests::{Answer, Effect, Request, Role, Rules, merge};
use crate::auth::resolver::{Store, take};
use crate::config::{
    Config, ConfigError, DirectoryKind, DirectoryResolver, ResolverKind, is_account_key,
};

use super::bus::Message;
use directory::Directory;
use url::UrlResolver;

/// A place of account JWTs. Shared by threads; a fetch over the network holds up no other. Times are milliseconds since
/// 1970.
#[derive(Debug)]
pub struct Resolver {
    /// A reload may put another there. The lock is not held while somebody answers.
    place: Mutex<Arc<Place>>,
}

#[derive(Debug)]
enum Place {
    Memory(Mutex<HashMap<String, String>>),
    Directory {
        store: Box<Mutex<Directory>>,
        settings: DirectoryResolver,
    },
    Url(UrlResolver),
}

/// Of which accounts a reload may have changed what is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// These.
    These(Vec<String>),
    /// All: who is not there is gone.
    All,
}

/// What was there before a reload, until it is sure that the reload counts.
#[derive(Debug)]
pub struct Before(Was);

#[derive(Debug)]
enum Was {
    Memory(HashMap<String, String>),
    Directory(Box<Directory>),
    Elsewhere(Arc<Place>),
}

/// What came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// This. Whether it is the account's JWT is still to be seen: [`usable`](crate::auth::resolver::usable).
    Found(String),
    /// It is not here. Others in the system account may have it: who asks `$SYS.REQ.ACCOUNT.<key>.CLAIMS.LOOKUP` may
    /// get it within this time, or an empty answer, and gives it to [`Resolver::take`].
    Elsewhere(Duration),
}

/// What is wrong with the directory and the files that a configuration names, before anything is opened; what the
/// oracle's `-t` finds.
pub fn check(config: &Config) -> Vec<ConfigError> {
    let mut errors = tls::check(config);
    errors.extend(check_directory(config));
    errors
}

fn check_directory(config: &Config) -> Option<ConfigError> {
    const OWNER_WRITES: u32 = 0o200;
    let Some((ResolverKind::Directory(settings), at)) = &config.operators.resolver else {
        return None;
    };
    let usable = |path: &Path| match fs::metadata(path) {
        Ok(found) => found.is_dir() && found.permissions().mode() & OWNER_WRITES != 0,
        Err(_) => true,
    };
    let text = || {
        format!(
            "{} is not a directory that can be written",
            settings.dir.display()
        )
    };
    let error = || ConfigError {
        at: at.clone(),
        text: text(),
    };
    (!usable(&settings.dir)).then(error)
}

/// What is in the directory of a configuration, by key, read and no more; nothing where there is none.
///
/// # Errors
/// A sentence: it cannot be read.
pub fn contents(config: &Config, now_ms: i64) -> Result<Vec<(String, String)>, String> {
    let Some((ResolverKind::Directory(settings), _)) = &config.operators.resolver else {
        return Ok(Vec::new());
    };
    let found = directory::contents(&settings.dir, now_ms);
    found.map_err(|error| format!("cannot read {}: {error}", settings.dir.display()))
}

impl Resolver {
    /// Opens the place and puts into it what it begins with (`preload`, by key), unless something newer is there.
    /// A URL is asked whether anybody is there. JWTs that cannot be taken in are logged.
    ///
    /// # Errors
    /// A sentence: the directory cannot be opened, nobody is at the URL.
    pub fn open(
        kind: &ResolverKind,
        preload: &BTreeMap<String, String>,
        tls: TlsConfig,
        now_ms: i64,
    ) -> Result<Resolver, String> {
        let place = Place::open(kind, tls, now_ms)?;
        if let Place::Url(asks) = &place {
            asks.fetch("")?;
        }
        place.preload(preload, now_ms);
        Ok(Resolver {
            place: Mutex::new(Arc::new(place)),
        })
    }

    fn place(&self) -> Arc<Place> {
        lock(&self.place).clone()
    }

    /// What it is to others.
    pub fn role(&self) -> Role {
        match &*self.place() {
            Place::Directory { settings, .. } => match settings.kind {
                DirectoryKind::Full => Role::Full,
                DirectoryKind::Cache => Role::Cache,
            },
            Place::Memory(_) | Place::Url(_) => Role::None,
        }
    }

    /// Whether a fetch is a matter of this machine alone: it takes no time to speak of.
    pub fn is_near(&self) -> bool {
        !matches!(&*self.place(), Place::Url(_))
    }

    /// The directory, for the log.
    pub fn directory(&self) -> Option<String> {
        let place = self.place();
        let Place::Directory { store, .. } = &*place else {
            return None;
        };
        Some(lock(store).path().display().to_string())
    }

    /// How often the directory is compared with those of other nodes; `None` if it is not.
    pub fn sync_interval(&self) -> Option<Duration> {
        match &*self.place() {
            Place::Directory { settings, .. } if settings.kind == DirectoryKind::Full => {
                Some(Duration::from_millis(settings.interval_ms))
            }
            _ => None,
        }
    }

    /// The payload of the `$SYS.REQ.CLAIMS.PACK` that compares it; all zeros where there is no directory.
    pub fn hash(&self) -> Hash {
        match &*self.place() {
            Place::Directory { store, .. } => *lock(store).index().hash(),
            _ => [0; 32],
        }
    }

    /// Asks for the JWT of an account.
    ///
    /// # Errors
    /// A sentence: it is no account's key, there is no such account, or nobody can tell.
    pub fn fetch(&self, key: &str, now_ms: i64) -> Result<Fetched, String> {
        if !is_account_key(key) {
            return Err("will only fetch valid account keys".to_owned());
        }
        match &*self.place() {
            Place::Memory(jwts) => match lock(jwts).get(key) {
                Some(jwt) => Ok(Fetched::Found(jwt.clone())),
                None => Err("account missing".to_owned()),
            },
            Place::Directory { store, settings } => match lock(store).load(key, now_ms) {
                Ok(Some(jwt)) => Ok(Fetched::Found(jwt)),
                Ok(None) => Ok(Fetched::Elsewhere(Duration::from_millis(
                    settings.timeout_ms,
                ))),
                Err(error) => Err(error.to_string()),
            },
            Place::Url(asks) => asks.fetch(key).map(Fetched::Found),
        }
    }

    /// Keeps the JWT of an account that came from somewhere else, unless the one that is there is newer. A URL keeps
    /// nothing.
    ///
    /// # Errors
    /// A sentence: it is not the account's, or cannot be written.
    pub fn take(&self, key: &str, jwt: &str, now_ms: i64) -> Result<(), String> {
        self.place().take(key, jwt, now_ms).map(drop)
    }

    /// Answers a request about account JWTs.
    pub fn answer(&self, rules: &Rules<'_>, request: Request<'_>, now_ms: i64) -> Answer {
        match &*self.place() {
            Place::Directory { store, .. } => rules.answer(&mut *lock(store), request, now_ms),
            _ => rules.answer(&mut Nowhere, request, now_ms),
        }
    }

    /// Answers a request that came over a bus, and logs what came of it. Gives what is to be published to its reply
    /// subject, in order, and what is to be done. `server` is the JSON object that says who answers.
    pub fn serve(
        &self,
        rules: &Rules<'_>,
        message: &Message,
        server: &str,
        now_ms: i64,
    ) -> (Vec<Vec<u8>>, Vec<Effect>) {
        let request = Request {
            subject: &message.subject,
            payload: &message.payload,
            wants_reply: !message.reply.is_empty(),
        };
        let answer = self.answer(rules, request, now_ms);
        if let Some((level, text)) = &answer.log {
            log::log!(*level, "{text}");
        }
        let payloads = answer.replies.iter().map(|reply| reply.payload(server));
        (payloads.collect(), answer.effects)
    }

    /// Takes in an answer to a `PACK` request; gives what changed. What is wrong with it is logged.
    pub fn merge(&self, packed: &str, now_ms: i64) -> Vec<Effect> {
        let place = self.place();
        let Place::Directory { store, .. } = &*place else {
            return Vec::new();
        };
        let (effects, errors) = merge(&mut *lock(store), packed, now_ms);
        for error in errors {
            log::error!("DirResolver - Merging resulted in error: {error}");
        }
        effects
    }

    /// Removes the files of expired JWTs.
    pub fn expire(&self, now_ms: i64) {
        if let Place::Directory { store, .. } = &*self.place() {
            for key in lock(store).expire(now_ms) {
                log::debug!("the JWT of account {key:?} has expired and was removed");
            }
        }
    }

    /// When to [expire](Resolver::expire) next, if that was done last at `last_ms`; `None` where nothing expires.
    pub fn expire_at_ms(&self, last_ms: i64) -> Option<i64> {
        match &*self.place() {
            Place::Directory { store, .. } => lock(store).index().look_at_ms(last_ms),
            Place::Memory(_) | Place::Url(_) => None,
        }
    }

    /// Reads its place again, as a reload does, or goes to another: memory is what `preload` says now, a directory what its
    /// files say, a URL is asked with this TLS from now on, and not yet. Gives the accounts that may have changed; those in
    /// use that are missing in memory are gone. Nothing is kept in a directory yet: [`Resolver::settle`] does that, or
    /// [`Resolver::undo`] takes everything back.
    ///
    /// # Errors
    /// A sentence: the directory cannot be opened or read; then all is as before.
    pub fn reload(
        &self,
        kind: &ResolverKind,
        preload: &BTreeMap<String, String>,
        tls: TlsConfig,
        now_ms: i64,
    ) -> Result<(Changed, Before), String> {
        let place = self.place();
        match (&*place, kind) {
            (Place::Memory(jwts), ResolverKind::Memory) => {
                let fresh: HashMap<_, _> = preload.clone().into_iter().collect();
                let before = std::mem::replace(&mut *lock(jwts), fresh);
                let changed = preload
                    .iter()
                    .filter(|(key, jwt)| before.get(*key) != Some(*jwt));
                let gone = before.keys().filter(|key| !preload.contains_key(*key));
                let changed = changed.map(|(key, _)| key).chain(gone).cloned().collect();
                Ok((Changed::These(changed), Before(Was::Memory(before))))
            }
            (Place::Directory { store, settings }, ResolverKind::Directory(fresh))
                if settings == fresh =>
            {
                let mut store = lock(store);
                let fresh = store.reread(now_ms).map_err(|error| error.to_string())?;
                let before = std::mem::replace(&mut *store, fresh);
                let changed = Changed::These(store.changed_since(&before));
                Ok((changed, Before(Was::Directory(Box::new(before)))))
            }
            _ => {
                let fresh = Place::open(kind, tls, now_ms)?;
                let changed = match kind {
                    ResolverKind::Memory => {
                        fresh.preload(preload, now_ms);
                        Changed::All
                    }
                    // What is known stays until somebody says otherwise, as in the oracle.
                    ResolverKind::Url(_) | ResolverKind::Directory(_) => Changed::These(Vec::new()),
                };
                let before = std::mem::replace(&mut *lock(&self.place), Arc::new(fresh));
                Ok((changed, Before(Was::Elsewhere(before))))
            }
        }
    }

    /// The reload counts: what the configuration begins with is kept in a directory, unless something newer is there.
    /// Gives the accounts whose JWT is another one for it.
    pub fn settle(&self, preload: &BTreeMap<String, String>, now_ms: i64) -> Vec<String> {
        let place = self.place();
        match &*place {
            Place::Directory { .. } => place.preload(preload, now_ms),
            Place::Memory(_) | Place::Url(_) => Vec::new(),
        }
    }

    /// The reload does not count: everything is as it was.
    pub fn undo(&self, Before(was): Before) {
        let place = self.place();
        match (was, &*place) {
            (Was::Memory(before), Place::Memory(jwts)) => *lock(jwts) = before,
            (Was::Directory(before), Place::Directory { store, .. }) => *lock(store) = *before,
            (Was::Elsewhere(before), _) => *lock(&self.place) = before,
            (Was::Memory(_) | Was::Directory(_), _) => unreachable!("a reload kept the place"),
        }
    }
}

impl Place {
    /// Connects to nothing yet.
    fn open(kind: &ResolverKind, tls: TlsConfig, now_ms: i64) -> Result<Place, String> {
        Ok(match kind {
            ResolverKind::Memory => Place::Memory(Mutex::default()),
            ResolverKind::Url(url) => Place::Url(UrlResolver::new(url, url::FETCH_MAX, tls)),
            ResolverKind::Directory(settings) => Place::Directory {
                store: Box::new(Mutex::new(open_directory(settings, now_ms)?)),
                settings: settings.clone(),
            },
        })
    }

    /// Gives whether something changed.
    fn take(&self, key: &str, jwt: &str, now_ms: i64) -> Result<bool, String> {
        match self {
            Place::Memory(jwts) => {
                let before = lock(jwts).insert(key.to_owned(), jwt.to_owned());
                Ok(before.is_none_or(|before| before != jwt))
            }
            Place::Directory { store, .. } => {
                take(&mut *lock(store), key, jwt, now_ms).map_err(|error| error.to_string())
            }
            Place::Url(_) => Err("store operation not supported for URL Resolver".to_owned()),
        }
    }

    /// Gives the accounts whose JWT is another one than before.
    fn preload(&self, preload: &BTreeMap<String, String>, now_ms: i64) -> Vec<String> {
        let mut changed = Vec::new();
        for (key, jwt) in preload {
            match self.take(key, jwt, now_ms) {
                Ok(true) => changed.push(key.clone()),
                Ok(false) => {}
                Err(error) => log::error!("preloaded account {key:?}: {error}"),
            }
        }
        changed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with the lock")
}

fn open_directory(settings: &DirectoryResolver, now_ms: i64) -> Result<Directory, String> {
    let bounds = Bounds {
        jwts_max: settings.jwts_max,
        evicts: settings.kind == DirectoryKind::Cache,
        ttl_ms: settings.ttl_ms,
    };
    let opened = Directory::open(&settings.dir, bounds, settings.delete, now_ms);
    opened.map_err(|error| {
        format!(
            "cannot open the directory {}: {error}",
            settings.dir.display()
        )
    })
}

impl Store for Directory {
    fn load(&mut self, key: &str, now_ms: i64) -> io::Result<Option<String>> {
        Directory::load(self, key, now_ms)
    }

    fn save(&mut self, key: &str, jwt: &str, now_ms: i64) -> io::Result<bool> {
        Directory::save(self, key, jwt, now_ms)
    }

    fn delete(&mut self, key: &str) -> io::Result<bool> {
        Directory::delete(self, key)
    }

    fn allows_delete(&self) -> bool {
        Directory::allows_delete(self)
    }

    fn all(&self) -> io::Result<Vec<(String, String)>> {
        Directory::all(self)
    }

    fn hash(&self) -> Hash {
        *self.index().hash()
    }
}

/// No store at all: [`Role::None`] asks nothing of it.
struct Nowhere;

impl Store for Nowhere {
    fn load(&mut self, _: &str, _: i64) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn save(&mut self, _: &str, _: &str, _: i64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn delete(&mut self, _: &str) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allows_delete(&self) -> bool {
        false
    }

    fn all(&self) -> io::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn hash(&self) -> Hash {
        [0; 32]
    }
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;

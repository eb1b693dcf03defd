//! Owns a directory of account JWTs: one file an account, `KEY.jwt`, as nats-server and `nsc` have it. Never verifies a
//! signature, never decides who may write.
//!
//! A file is written beside its place, synced, and renamed: whatever happens meanwhile, there is the old JWT or the new
//! one. What cannot be written leaves the old one. What lies in directories below is nobody's account: a copy kept there does
//! not keep alive what was removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::auth::resolver::index::{Bounds, Index, Room};
use crate::auth::resolver::{JWT_BYTES_MAX, expires_ms};
use crate::config::{Delete, is_account_key};

const EXTENSION: &str = ".jwt";
const DELETED: &str = ".deleted";
const UNFINISHED: &str = ".unfinished";
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// The JWTs of a directory. Files whose name is no account's key, and empty ones, are as if they were not there.
///
/// `index` holds the accounts whose file was read or written.
/// Times are milliseconds since 1970.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    delete: Delete,
    index: Index,
}

/// What becomes of a write that did not come to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unfinished {
    /// It is removed.
    Goes,
    /// It is passed over.
    Stays,
}

/// The JWTs in a directory with their keys, without anything being made, removed or written. None where there is no
/// directory.
///
/// # Errors
/// The directory, or a file in it, cannot be read.
pub fn contents(path: &Path, now_ms: i64) -> io::Result<Vec<(String, String)>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut directory = Directory {
        path: path.canonicalize()?,
        delete: Delete::Refused,
        index: Index::new(Bounds::default()),
    };
    directory.read_all(Unfinished::Stays, now_ms)?;
    directory.all()
}

impl Directory {
    /// Opens a directory, which is made if it is not there, and reads what is in it.
    ///
    /// # Errors
    /// It cannot be made or read, or is none. Single files that cannot be read are logged and passed over.
    pub fn open(path: &Path, bounds: Bounds, delete: Delete, now_ms: i64) -> io::Result<Directory> {
        if !path.is_dir() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE).create(path)?;
        }
        let mut directory = Directory {
            path: path.canonicalize()?,
            delete,
            index: Index::new(bounds),
        };
        directory.read_all(Unfinished::Goes, now_ms)?;
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Whether JWTs may be deleted.
    pub fn allows_delete(&self) -> bool {
        self.delete != Delete::Refused
    }

    /// The account's JWT; `None` if there is none. One that somebody else put into the place of the account's last one is
    /// taken in: it expires when it says so itself.
    ///
    /// # Errors
    /// It cannot be read, or is longer than any JWT.
    pub fn load(&mut self, key: &str, now_ms: i64) -> io::Result<Option<String>> {
        if !is_account_key(key) {
            return Ok(None);
        }
        match read(&self.place(key)) {
            Ok(jwt) => {
                if !self.was_replaced(key, &jwt, now_ms) {
                    self.index.used(key, now_ms);
                }
                Ok(Some(jwt).filter(|jwt| !jwt.is_empty()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the account's JWT, whatever is there. Gives whether it is another one than before.
    ///
    /// # Errors
    /// The key is none, the directory is full, or the file cannot be written; then the old one is still there.
    pub fn save(&mut self, key: &str, jwt: &str, now_ms: i64) -> io::Result<bool> {
        if !is_account_key(key) {
            return Err(io::Error::other("invalid public key"));
        }
        if jwt.is_empty() {
            return Err(io::Error::other("invalid JWT"));
        }
        let hash = Index::hash_of(jwt.as_bytes());
        if self.index.is(key, &hash) {
            self.index.used(key, now_ms);
            return Ok(false);
        }
        let evicted = match self.index.room_for(key) {
            Room::Free => None,
            Room::Instead(least) => Some(least),
            Room::Full => return Err(io::Error::other("jwt store is full")),
        };
        write(&self.place(key), jwt)?;
        if let Some(least) = evicted {
            fs::remove_file(self.place(&least))?;
            self.forget(&least);
        }
        self.index.put(key, hash, expires_ms(jwt), now_ms);
        Ok(true)
    }

    /// Deletes the account's JWT. Gives whether there was one.
    ///
    /// # Errors
    /// It is not allowed, or the file cannot be removed or renamed.
    pub fn delete(&mut self, key: &str) -> io::Result<bool> {
        let place = self.place(key);
        let gone = match self.delete {
            Delete::Refused => Err(io::Error::other("store is not set up to for delete")),
            Delete::Renames => fs::rename(&place, with(&place, DELETED)),
            Delete::Removes => fs::remove_file(&place),
        };
        match gone {
            Ok(()) => sync_parent(&place)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        self.forget(key);
        Ok(true)
    }

    /// Removes what has expired; gives their keys. What somebody else has put there meanwhile stays until its own time.
    pub fn expire(&mut self, now_ms: i64) -> Vec<String> {
        let mut removed = Vec::new();
        for key in self.index.expired(now_ms) {
            let jwt = read(&self.place(&key));
            if jwt.is_ok_and(|jwt| self.was_replaced(&key, &jwt, now_ms)) {
                continue;
            }
            match fs::remove_file(self.place(&key)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::error!("cannot remove the expired JWT of account {key:?}: {error}");
                }
                _ => {
                    self.forget(&key);
                    removed.push(key);
                }
            }
        }
        removed
    }

    /// Reads the directory again, to take this one's place: [`changed_since`](Directory::changed_since) it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn reread(&self, now_ms: i64) -> io::Result<Directory> {
        let mut fresh = Directory {
            path: self.path.clone(),
            delete: self.delete,
            index: self.index.emptied(),
        };
        fresh.read_all(Unfinished::Goes, now_ms)?;
        Ok(fresh)
    }

    /// The accounts whose JWT is another one than in `before`, or new.
    pub fn changed_since(&self, before: &Directory) -> Vec<String> {
        self.index.differing(&before.index)
    }

    /// All JWTs with their keys, in the order of the files; without those that somebody else has removed.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn all(&self) -> io::Result<Vec<(String, String)>> {
        let mut places: Vec<(PathBuf, &str)> = self
            .index
            .keys()
            .map(|key| (self.place(key), key))
            .collect();
        places.sort();
        let mut all = Vec::with_capacity(places.len());
        for (place, key) in places {
            match read(&place) {
                Ok(jwt) => all.push((key.to_owned(), jwt)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn place(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}{EXTENSION}"))
    }

    /// Whether somebody else has put another JWT into the place of the one that is known, which is taken in then.
    fn was_replaced(&mut self, key: &str, jwt: &str, now_ms: i64) -> bool {
        let hash = Index::hash_of(jwt.as_bytes());
        let replaced = !jwt.is_empty() && self.index.contains(key) && !self.index.is(key, &hash);
        if replaced {
            self.index.put(key, hash, expires_ms(jwt), now_ms);
        }
        replaced
    }

    fn forget(&mut self, key: &str) {
        self.index.remove(key);
    }

    fn read_all(&mut self, unfinished: Unfinished, now_ms: i64) -> io::Result<()> {
        let mut entries = fs::read_dir(&self.path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        for file in entries.iter().filter(|entry| !is_dir(entry)) {
            self.found(&file.path(), unfinished, now_ms);
        }
        Ok(())
    }

    fn found(&mut self, place: &Path, unfinished: Unfinished, now_ms: i64) {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(UNFINISHED) {
            // If it cannot be removed, the next one overwrites it.
            if unfinished == Unfinished::Goes {
                let _ = fs::remove_file(place);
            }
            return;
        }
        let key = name
            .strip_suffix(EXTENSION)
            .filter(|key| is_account_key(key));
        let Some(key) = key.filter(|key| !self.index.contains(key)) else {
            return;
        };
        match read(place) {
            Ok(jwt) if jwt.is_empty() => log::warn!("{} is empty", place.display()),
            Ok(jwt) => {
                let hash = Index::hash_of(jwt.as_bytes());
                self.index.put(key, hash, expires_ms(&jwt), now_ms);
            }
            Err(error) => log::error!("cannot read {}: {error}", place.display()),
        }
    }
}

fn with(place: &Path, suffix: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A regular file of a length that a JWT can have.
fn read(place: &Path) -> io::Result<String> {
    if !fs::metadata(place)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    let most = JWT_BYTES_MAX as u64 + 1;
    File::open(place)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > JWT_BYTES_MAX {
        return Err(io::Error::other("it is longer than any JWT"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not a text"))
}

/// What was there is there until the new file is whole and on the disk.
fn write(place: &Path, jwt: &str) -> io::Result<()> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = place.with_file_name(format!(".{name}{UNFINISHED}"));
    let written = write_file(&unfinished, jwt).and_then(|()| fs::rename(&unfinished, place));
    if let Err(error) = written {
        // It may not have come into being at all.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    sync_parent(place)
}

fn write_file(place: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = options.mode(FILE_MODE).open(place)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_parent(place: &Path) -> io::Result<()> {
    File::open(place.parent().unwrap_or(place))?.sync_all()
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;

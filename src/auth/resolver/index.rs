//! Owns what is known of the JWTs in a directory: which there are, their hash, when each expires, which was used least.
//! Never opens a file, never decodes a JWT.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

/// Hash of a JWT, or of all of them.
pub type Hash = [u8; 32];

/// What an index is bound by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// How many JWTs there may be; `None` is any number.
    pub jwts_max: Option<u64>,
    /// A full index gives up what was used least, rather than refusing.
    pub evicts: bool,
    /// How long a JWT is kept after it was written or read, milliseconds. `None`: until it expires by itself.
    pub ttl_ms: Option<u64>,
}

/// Whether one more fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes, or it is there already.
    Free,
    /// Only in place of this one.
    Instead(String),
    /// No.
    Full,
}

/// The JWTs of a directory by their account's key. Times are milliseconds since 1970.
///
/// The hash of all is the exclusive or of theirs; `by_use` and `by_expiry` hold just the keys of `entries`.
#[derive(Clone, Debug)]
pub struct Index {
    bounds: Bounds,
    entries: HashMap<String, Entry>,
    by_use: BTreeMap<u64, String>,
    by_expiry: BTreeSet<(i64, String)>,
    hash: Hash,
    uses: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    hash: Hash,
    last_use: u64,
    expires_ms: Option<i64>,
}

impl Index {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Index {
        Index {
            bounds,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            hash: [0; 32],
            uses: 0,
        }
    }

    /// The hash of a JWT.
    pub fn hash_of(jwt: &[u8]) -> Hash {
        Sha256::digest(jwt).into()
    }

    /// The hash of all, which two directories with the same JWTs have in common.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is one of this account.
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether the account's JWT is just this.
    pub fn is(&self, key: &str, hash: &Hash) -> bool {
        self.entries
            .get(key)
            .is_some_and(|entry| entry.hash == *hash)
    }

    /// All accounts, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// An empty one with the same bounds.
    pub fn emptied(&self) -> Index {
        Index::new(self.bounds)
    }

    /// The accounts whose JWT is not in `before`, or is another one there, sorted.
    pub fn differing(&self, before: &Index) -> Vec<String> {
        let differs = |(key, entry): &(&String, &Entry)| !before.is(key, &entry.hash);
        let differing = self.entries.iter().filter(differs);
        let mut keys: Vec<String> = differing.map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    }

    /// Whether a JWT of this account fits.
    pub fn room_for(&self, key: &str) -> Room {
        let full = self
            .bounds
            .jwts_max
            .is_some_and(|max| self.entries.len() as u64 >= max);
        if !full || self.contains(key) {
            return Room::Free;
        }
        match self.by_use.first_key_value() {
            Some((_, least)) if self.bounds.evicts => Room::Instead(least.clone()),
            _ => Room::Full,
        }
    }

    /// Takes in a JWT that has been written or found, which expires by itself at `expires_ms`.
    pub fn put(&mut self, key: &str, hash: Hash, expires_ms: Option<i64>, now_ms: i64) {
        self.remove(key);
        xor(&mut self.hash, &hash);
        self.uses += 1;
        let entry = Entry {
            hash,
            last_use: self.uses,
            expires_ms: match self.bounds.ttl_ms {
                Some(ttl_ms) => Some(later(now_ms, ttl_ms)),
                None => expires_ms,
            },
        };
        self.by_use.insert(self.uses, key.to_owned());
        if let Some(expires_ms) = entry.expires_ms {
            self.by_expiry.insert((expires_ms, key.to_owned()));
        }
        self.entries.insert(key.to_owned(), entry);
    }

    /// Notes that the account's JWT was used.
    pub fn used(&mut self, key: &str, now_ms: i64) {
        if let Some(entry) = self.entries.get(key) {
            let (hash, expires_ms) = (entry.hash, entry.expires_ms);
            self.put(key, hash, expires_ms, now_ms);
        }
    }

    /// Forgets the account's JWT.
    pub fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            xor(&mut self.hash, &entry.hash);
            self.by_use.remove(&entry.last_use);
            if let Some(expires_ms) = entry.expires_ms {
                self.by_expiry.remove(&(expires_ms, key.to_owned()));
            }
        }
    }

    /// Those whose time has come.
    pub fn expired(&self, now_ms: i64) -> Vec<String> {
        let due = self.by_expiry.iter().take_while(|(at, _)| *at <= now_ms);
        due.map(|(_, key)| key.clone()).collect()
    }

    /// When to look for expired JWTs, if that was done last at `last_ms`; `None` where nothing expires. Not before the first
    /// one's time has come, and not sooner again than the oracle looks: after a minute, or half the time that they are kept.
    pub fn look_at_ms(&self, last_ms: i64) -> Option<i64> {
        const LONGEST_MS: u64 = 60_000;
        let (first, _) = self.by_expiry.first()?;
        let half = self.bounds.ttl_ms.map_or(LONGEST_MS, |ttl_ms| ttl_ms / 2);
        Some(later(last_ms, half.clamp(1, LONGEST_MS)).max(*first))
    }

    /// Holds what the struct promises.
    #[cfg(test)]
    fn invariants(&self) {
        let mut hash = [0; 32];
        for (key, entry) in &self.entries {
            xor(&mut hash, &entry.hash);
            assert_eq!(self.by_use.get(&entry.last_use), Some(key));
            let at = entry.expires_ms.map(|at| (at, key.clone()));
            assert!(at.is_none_or(|at| self.by_expiry.contains(&at)));
        }
        let expiring = self.entries.values().filter(|e| e.expires_ms.is_some());
        assert_eq!(self.by_expiry.len(), expiring.count());
        assert_eq!(self.by_use.len(), self.entries.len());
        assert_eq!(self.hash, hash);
    }
}

fn later(now_ms: i64, by_ms: u64) -> i64 {
    now_ms.saturating_add_unsigned(by_ms)
}

fn xor(hash: &mut Hash, other: &Hash) {
    hash.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn evicts_what_was_used_least() {
        let bounds = Bounds {
            jwts_max: Some(2),
            evicts: true,
            ttl_ms: None,
        };
        let mut index = Index::new(bounds);
        index.put("a", [1; 32], None, 0);
        index.put("b", [2; 32], None, 0);
        assert_eq!(index.room_for("b"), Room::Free);
        assert_eq!(index.room_for("c"), Room::Instead("a".to_owned()));
        index.used("a", 1);
        assert_eq!(index.room_for("c"), Room::Instead("b".to_owned()));
        let mut index = Index {
            bounds: Bounds {
                evicts: false,
                ..bounds
            },
            ..index
        };
        assert_eq!(index.room_for("c"), Room::Full);
        index.remove("a");
        assert_eq!(index.room_for("c"), Room::Free);
    }

    #[test]
    fn expires_by_itself_or_by_the_ttl() {
        let mut index = Index::new(Bounds::default());
        index.put("a", [1; 32], Some(10), 0);
        index.put("b", [1; 32], None, 0);
        assert_eq!(index.expired(9), Vec::<String>::new());
        assert_eq!(index.expired(10), ["a"]);
        assert_eq!(index.look_at_ms(0), Some(60_000), "a minute later");
        assert_eq!(index.look_at_ms(-70_000), Some(10), "when it expires");
        index.remove("a");
        assert_eq!(index.look_at_ms(0), None, "nothing expires");

        let ttl_ms = Some(100);
        let mut index = Index::new(Bounds {
            ttl_ms,
            ..Bounds::default()
        });
        index.put("a", [1; 32], Some(10), 0);
        index.put("b", [1; 32], None, 50);
        assert_eq!(index.expired(99), Vec::<String>::new());
        assert_eq!(index.expired(100), ["a"]);
        index.used("a", 60);
        assert_eq!(index.expired(159), ["b"]);
        assert_eq!(
            index.look_at_ms(0),
            Some(150),
            "when the next one's time is over"
        );
        assert_eq!(index.look_at_ms(120), Some(170), "not at once again");
    }

    #[test]
    fn the_hash_does_not_depend_on_the_way() {
        let [one, two] = [b"one", b"two"].map(|jwt| Index::hash_of(jwt));
        let (mut here, mut there) = (Index::new(Bounds::default()), Index::new(Bounds::default()));
        here.put("a", one, None, 0);
        here.put("b", two, None, 0);
        there.put("b", one, None, 0);
        there.put("b", two, None, 0);
        assert_ne!(here.hash(), there.hash());
        there.put("a", one, None, 0);
        assert_eq!(here.hash(), there.hash());
        assert!(here.is("a", &one) && !here.is("a", &two) && !here.is("c", &one));
        here.remove("a");
        here.remove("b");
        assert_eq!(here.hash(), &[0; 32]);
    }

    proptest! {
        #[test]
        fn holds_together(steps in vec((0..4u8, 0..5u8, any::<u8>(), any::<Option<i8>>()), 0..60), ttl_ms: Option<u64>) {
            let mut index = Index::new(Bounds { jwts_max: Some(3), evicts: true, ttl_ms });
            for (now_ms, (step, key, hash, expires_ms)) in steps.into_iter().enumerate() {
                let (now_ms, key) = (now_ms as i64, key.to_string());
                match step {
                    0 => index.remove(&key),
                    1 => index.used(&key, now_ms),
                    2 => index.expired(now_ms).iter().for_each(|key| index.remove(key)),
                    _ => {
                        if let Room::Instead(least) = index.room_for(&key) {
                            index.remove(&least);
                        }
                        index.put(&key, [hash; 32], expires_ms.map(i64::from), now_ms);
                    }
                }
                index.invariants();
                prop_assert!(index.len() <= 3);
            }
        }
    }
}

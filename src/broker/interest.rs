//! Who wants which pattern in one account, here and on other shards. Owns the lists; never delivers.

use hashbrown::HashMap;
use slab::Slab;

use crate::subject::{PatternId, PatternSet};

use super::effect::ConnId;

/// Most shards a node has: remote interest is kept as one bit a shard.
pub const SHARDS_MAX: usize = 64;

/// No subscription, no queue, no extra.
pub const NONE: u32 = u32::MAX;

/// Key of a subscription in the shard's table.
pub type SubId = u32;

/// Key of a queue group's name in its account.
pub type QueueId = u32;

/// The client's name for a subscription: any bytes without white space.
#[derive(Debug, PartialEq, Eq)]
pub enum Sid {
    /// The usual few digits, in place.
    Short {
        /// How many bytes.
        len: u8,
        /// The bytes.
        bytes: [u8; 14],
    },
    /// Longer ones.
    #[allow(clippy::box_collection)] // a thin pointer keeps `Sid` at 16 bytes
    Long(Box<Vec<u8>>),
}

impl Sid {
    /// Keeps a copy.
    pub fn new(sid: &[u8]) -> Self {
        let mut bytes = [0; 14];
        match bytes.get_mut(..sid.len()) {
            Some(place) => {
                place.copy_from_slice(sid);
                Sid::Short {
                    len: sid.len() as u8,
                    bytes,
                }
            }
            None => Sid::Long(Box::new(sid.to_vec())),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Sid::Short { len, bytes } => &bytes[..usize::from(*len)],
            Sid::Long(bytes) => bytes,
        }
    }
}

/// A subscription of a connection of this shard. 48 bytes: a node may hold millions.
#[derive(Debug)]
pub struct Sub {
    /// The client's name for it.
    pub sid: Sid,
    /// Messages delivered.
    pub delivered: u64,
    /// Whose.
    pub conn: ConnId,
    /// Its pattern in its account.
    pub pattern: PatternId,
    /// Its queue group or [`NONE`].
    pub queue: QueueId,
    next: SubId,
    prev: SubId,
    /// Whether a maximum is set (kept in the broker's table of limits).
    pub limited: bool,
    /// Whether deny rules must be asked for each subject delivered.
    pub filtered: bool,
}

impl Sub {
    /// A subscription that is in no list yet.
    pub fn new(
        sid: &[u8],
        conn: ConnId,
        pattern: PatternId,
        queue: QueueId,
        filtered: bool,
    ) -> Self {
        Sub {
            sid: Sid::new(sid),
            delivered: 0,
            conn,
            pattern,
            queue,
            next: NONE,
            prev: NONE,
            limited: false,
            filtered,
        }
    }
}

/// What is known about one pattern.
///
/// Invariant: in the circular list from `first`, plain subscriptions come before queue subscriptions.
#[derive(Clone, Copy, Debug)]
struct Entry {
    first: SubId,
    groups: u32,
    remote_plain: [u32; 2],
}

const EMPTY: Entry = Entry {
    first: NONE,
    groups: NONE,
    remote_plain: [0; 2],
};

/// Members of one queue group on one pattern.
#[derive(Debug)]
pub struct GroupCount {
    /// The group.
    pub queue: QueueId,
    /// Members on this shard.
    pub local: u32,
    /// Members on other shards: shard and how many, never 0.
    pub remote: Vec<(u8, u32)>,
}

#[derive(Debug)]
struct QueueName {
    name: Box<[u8]>,
    uses: u32,
}

/// Room for so many patterns is kept when there are fewer.
const KEEP: usize = 4096;

/// The interest of one account as this shard knows it.
///
/// Invariant: a pattern is in `patterns` exactly while somebody, here or elsewhere, wants it.
#[derive(Debug)]
pub struct Interest {
    patterns: PatternSet,
    entries: Vec<Entry>,
    groups: Slab<Vec<GroupCount>>,
    queue_names: Slab<QueueName>,
    queue_ids: HashMap<Box<[u8]>, QueueId>,
    /// Counts changes of wildcard patterns: a cached match of an older generation is void.
    pub generation: u64,
}

/// What a change of interest means to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// How many local subscriptions of this kind there are now; for plain ones 0 or 1 (some).
    pub count: u32,
    /// Whether other shards must be told.
    pub announce: bool,
}

impl Interest {
    /// No interest at all. The seed makes the hash tables unpredictable to clients.
    pub fn new(seed: u64) -> Self {
        Interest {
            patterns: PatternSet::with_seed(seed),
            entries: Vec::new(),
            groups: Slab::new(),
            queue_names: Slab::new(),
            queue_ids: HashMap::new(),
            generation: 0,
        }
    }

    /// The pattern's number, given one if it is new.
    pub fn intern(&mut self, pattern: &[u8]) -> PatternId {
        let (id, new) = self.patterns.insert(pattern);
        if new {
            let at = id.0 as usize;
            if at >= self.entries.len() {
                self.entries.resize(at + 1, EMPTY);
            }
            self.entries[at] = EMPTY;
        }
        id
    }

    /// The bytes of a pattern.
    pub fn pattern(&self, id: PatternId) -> &[u8] {
        self.patterns.pattern(id)
    }

    /// Every pattern that matches a literal subject.
    pub fn matches(&self, subject: &[u8], found: impl FnMut(PatternId)) {
        self.patterns.matches(subject, found);
    }

    /// Gives memory back where there were far more patterns than there are now.
    pub fn trim(&mut self) {
        let capacity = self.entries.capacity();
        if capacity > KEEP && self.patterns.len() < capacity / 4 {
            let last = self.patterns.iter().last();
            self.entries
                .truncate(last.map_or(0, |id| id.0 as usize + 1));
            self.entries.shrink_to_fit();
            self.groups.shrink_to_fit();
        }
    }

    /// How many patterns are known.
    pub fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    /// A queue group's number, with one more use.
    pub fn queue(&mut self, name: &[u8]) -> QueueId {
        if let Some(id) = self.queue_ids.get(name) {
            self.queue_names[*id as usize].uses += 1;
            return *id;
        }
        let id = self.queue_names.insert(QueueName {
            name: name.into(),
            uses: 1,
        }) as QueueId;
        self.queue_ids.insert(name.into(), id);
        id
    }

    /// The bytes of a queue group's name.
    pub fn queue_name(&self, id: QueueId) -> &[u8] {
        &self.queue_names[id as usize].name
    }

    fn release_queue(&mut self, id: QueueId) {
        let entry = &mut self.queue_names[id as usize];
        entry.uses -= 1;
        if entry.uses == 0 {
            let gone = self.queue_names.remove(id as usize);
            self.queue_ids.remove(&gone.name);
        }
    }

    /// Puts a subscription, already in the table, into its pattern's list.
    pub fn link(&mut self, subs: &mut Slab<Sub>, id: SubId) -> Change {
        let (pattern, queue) = (subs[id as usize].pattern, subs[id as usize].queue);
        let entry = &mut self.entries[pattern.0 as usize];
        let had_plain = entry.first != NONE && subs[entry.first as usize].queue == NONE;
        match entry.first {
            NONE => {
                subs[id as usize].next = id;
                subs[id as usize].prev = id;
                entry.first = id;
            }
            first => {
                let last = subs[first as usize].prev;
                subs[id as usize].next = first;
                subs[id as usize].prev = last;
                subs[last as usize].next = id;
                subs[first as usize].prev = id;
                if queue == NONE {
                    entry.first = id;
                }
            }
        }
        if queue == NONE {
            return Change {
                count: 1,
                announce: !had_plain,
            };
        }
        let group = self.group(pattern, queue);
        group.local += 1;
        Change {
            count: group.local,
            announce: true,
        }
    }

    /// Takes a subscription out of its pattern's list, and the pattern out when nobody is left.
    pub fn unlink(&mut self, subs: &mut Slab<Sub>, id: SubId) -> Change {
        let Sub {
            pattern,
            queue,
            next,
            prev,
            ..
        } = subs[id as usize];
        let entry = &mut self.entries[pattern.0 as usize];
        if next == id {
            entry.first = NONE;
        } else {
            subs[prev as usize].next = next;
            subs[next as usize].prev = prev;
            if entry.first == id {
                entry.first = next;
            }
        }
        let plain_left = entry.first != NONE && subs[entry.first as usize].queue == NONE;
        if queue == NONE {
            return Change {
                count: u32::from(plain_left),
                announce: !plain_left,
            };
        }
        let group = self.group(pattern, queue);
        group.local -= 1;
        Change {
            count: group.local,
            announce: true,
        }
    }

    /// After [`Interest::unlink`] and its announcement: forgets names that nobody uses any more.
    pub fn forget(&mut self, pattern: PatternId, queue: QueueId) {
        if queue != NONE {
            self.drop_empty_group(pattern, queue);
            self.release_queue(queue);
        }
        self.drop_empty_pattern(pattern);
    }

    /// Another shard now has `count` subscriptions on a pattern.
    pub fn set_remote(&mut self, shard: u8, pattern: &[u8], queue: Option<&[u8]>, count: u32) {
        let pattern = self.intern(pattern);
        match queue {
            None => {
                let mask =
                    &mut self.entries[pattern.0 as usize].remote_plain[usize::from(shard) / 32];
                let bit = 1u32 << (shard % 32);
                *mask = if count > 0 { *mask | bit } else { *mask & !bit };
            }
            Some(name) => self.set_remote_group(shard, pattern, name, count),
        }
        self.drop_empty_pattern(pattern);
    }

    fn set_remote_group(&mut self, shard: u8, pattern: PatternId, name: &[u8], count: u32) {
        let queue = self.queue(name);
        let group = self.group(pattern, queue);
        let known = group.remote.iter().position(|(s, _)| *s == shard);
        match (known, count) {
            (Some(at), 0) => {
                group.remote.swap_remove(at);
                self.release_queue(queue);
            }
            (Some(at), _) => group.remote[at].1 = count,
            (None, 0) => {}
            (None, _) => {
                group.remote.push((shard, count));
                return; // the use taken above stays with the new entry
            }
        }
        self.drop_empty_group(pattern, queue);
        self.release_queue(queue);
    }

    fn group(&mut self, pattern: PatternId, queue: QueueId) -> &mut GroupCount {
        let entry = &mut self.entries[pattern.0 as usize];
        if entry.groups == NONE {
            entry.groups = self.groups.insert(Vec::new()) as u32;
        }
        let list = &mut self.groups[entry.groups as usize];
        let at = list
            .iter()
            .position(|g| g.queue == queue)
            .unwrap_or_else(|| {
                list.push(GroupCount {
                    queue,
                    local: 0,
                    remote: Vec::new(),
                });
                list.len() - 1
            });
        &mut list[at]
    }

    fn drop_empty_group(&mut self, pattern: PatternId, queue: QueueId) {
        let entry = &mut self.entries[pattern.0 as usize];
        if entry.groups == NONE {
            return;
        }
        let list = &mut self.groups[entry.groups as usize];
        list.retain(|g| g.queue != queue || g.local > 0 || !g.remote.is_empty());
        if list.is_empty() {
            self.groups.remove(entry.groups as usize);
            entry.groups = NONE;
        }
    }

    fn drop_empty_pattern(&mut self, pattern: PatternId) {
        let entry = &self.entries[pattern.0 as usize];
        if entry.first == NONE && entry.groups == NONE && entry.remote_plain == [0; 2] {
            self.patterns.remove(pattern);
        }
    }

    /// The subscriptions of this shard on a pattern, plain ones first.
    pub fn local<'a>(
        &self,
        pattern: PatternId,
        subs: &'a Slab<Sub>,
    ) -> impl Iterator<Item = (SubId, &'a Sub)> {
        let first = self.entries[pattern.0 as usize].first;
        let mut at = first;
        std::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let id = at;
            let sub = &subs[id as usize];
            at = if sub.next == first { NONE } else { sub.next };
            Some((id, sub))
        })
    }

    /// Shards with plain subscriptions on a pattern, a bit each.
    pub fn remote_plain(&self, pattern: PatternId) -> u64 {
        let [low, high] = self.entries[pattern.0 as usize].remote_plain;
        u64::from(low) | u64::from(high) << 32
    }

    /// The queue groups on a pattern.
    pub fn groups(&self, pattern: PatternId) -> &[GroupCount] {
        match self.entries[pattern.0 as usize].groups {
            NONE => &[],
            at => &self.groups[at as usize],
        }
    }
}

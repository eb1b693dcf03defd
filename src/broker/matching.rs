//! The answer to "who gets this subject", and a cache of such answers. Never delivers.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::account::table::{ExportId, Latency, ServiceHop, THRESHOLD_MS_DEFAULT};
use crate::account::{AccountId, Space};
use crate::subject;

use super::effect::{ConnId, Outlet};
use super::interest::SubId;
use super::outbox::Prefix;

/// Sets of the cache, a power of two: a hot working set of some ten thousand subjects fits.
const SETS: usize = 4 * 1024;

/// Answers in a set.
const WAYS: usize = 4;

/// An answer with more local targets does not leave its memory to the next one.
const TARGETS_MAX: usize = 1024;

/// A line of the processor's caches.
const LINE_BYTES: usize = 64;

/// Bytes behind the last prefix, so that short copies may read past it.
const PREFIX_SLACK: usize = 32;

/// A local subscription that gets a subject.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Whose.
    pub conn: ConnId,
    /// Which.
    pub sub: SubId,
    prefix: u32,
    prefix_len: u16,
    /// The client takes headers.
    pub headers: bool,
    /// The subscription has a maximum, or the client earns reply permissions: message by message.
    pub careful: bool,
}

/// A queue group that gets one copy of each message.
#[derive(Debug)]
pub struct Group {
    /// The group, in whatever accounts its members are.
    pub name: Box<[u8]>,
    /// Its members here.
    pub local: Vec<Target>,
    /// Its members elsewhere: shard and how many.
    pub remote: Vec<(u8, u32)>,
}

impl Group {
    /// Members on all shards.
    pub fn members(&self) -> u32 {
        self.local.len() as u32 + self.remote.iter().map(|(_, n)| n).sum::<u32>()
    }
}

/// Who gets a subject. Small, and with its text in one block: a hot set of thousands stays in cache.
///
/// Invariant: `text` begins with `HMSG subject `, which the first target's sid continues.
#[derive(Debug, Default)]
pub struct Match {
    generation: u64,
    space: Option<Space>,
    subject_len: u32,
    /// One connection gets the subject on several subscriptions: order among them is message by message.
    pub interleaved: bool,
    /// Messages must be taken one by one: a subscription here has a maximum, or other accounts are asked.
    pub counted: bool,
    /// One plain subscription here is all there is.
    pub solo: bool,
    /// Everybody beyond the plain subscriptions here is on one other shard, in one group or in none.
    pub alone: bool,
    /// Shards with plain subscriptions, a bit each.
    pub remote_plain: u64,
    /// Plain subscriptions here.
    pub plain: SmallVec<[Target; 2]>,
    /// Queue groups, here and elsewhere.
    pub groups: Vec<Group>,
    /// Services of other accounts that take it.
    pub calls: Calls,
    text: SmallVec<[u8; TEXT_INLINE]>,
}

/// Services of other accounts that take a subject; mostly there is one.
pub type Calls = SmallVec<[Arc<Call>; 1]>;

/// A service of another account that takes a subject.
#[derive(Debug)]
pub struct Call {
    /// The account.
    pub account: AccountId,
    /// Which of its exports.
    pub export: ExportId,
    /// The subject there.
    pub subject: Box<[u8]>,
    /// Tell the service who asks.
    pub share: bool,
    /// More than one answer may come.
    pub many_answers: bool,
    /// How long answers are waited for, milliseconds.
    pub threshold_ms: u64,
    /// Answers are measured.
    pub latency: Option<Arc<Latency>>,
    /// Traces of messages go on there.
    pub allow_trace: bool,
    /// The import has wildcards: it takes no answers.
    pub open: bool,
}

impl Call {
    /// A request on `subject` that takes this hop.
    pub fn new(hop: &ServiceHop, subject: &[u8]) -> Self {
        let mut there = Vec::new();
        match &hop.transform {
            None => there.extend_from_slice(subject),
            Some(transform) => transform.apply(subject, 0, &mut there),
        }
        Call {
            account: hop.to,
            export: hop.export,
            subject: there.into(),
            share: hop.share,
            many_answers: hop.many_answers,
            threshold_ms: hop.threshold_ms.unwrap_or(THRESHOLD_MS_DEFAULT),
            latency: hop.latency.clone(),
            allow_trace: hop.allow_trace,
            open: hop.open,
        }
    }
}

/// Text kept in the answer itself: a usual subject with one subscriber, and [`PREFIX_SLACK`].
const TEXT_INLINE: usize = 80;

/// What every prefix begins with.
const VERB: &[u8] = b"HMSG ";

impl Match {
    /// Which space it speaks of.
    pub fn space(&self) -> Space {
        self.space.expect("an answer that was built")
    }

    fn subject(&self) -> &[u8] {
        self.text
            .get(VERB.len()..VERB.len() + self.subject_len as usize)
            .unwrap_or_default()
    }

    /// Empties it for another subject; keeps the memory.
    pub fn reset(&mut self, space: Space, subject: &[u8], generation: u64) {
        self.space = Some(space);
        self.generation = generation;
        self.subject_len = subject.len() as u32;
        self.plain.clear();
        self.groups.clear();
        self.calls.clear();
        self.remote_plain = 0;
        self.interleaved = false;
        self.counted = false;
        self.solo = false;
        self.alone = false;
        self.text.clear();
        self.begin_prefix(subject);
    }

    fn begin_prefix(&mut self, subject: &[u8]) {
        self.text.reserve(VERB.len() + subject.len() + 1);
        self.text.extend_from_slice(VERB);
        self.text.extend_from_slice(subject);
        self.text.push(b' ');
    }

    /// A target of this match, with its prefix written. `seen` is the subject it sees, where that is another.
    pub fn target(
        &mut self,
        seen: Option<&[u8]>,
        conn: ConnId,
        sub: SubId,
        sid: &[u8],
        headers: bool,
        careful: bool,
    ) -> Target {
        let begun = VERB.len() + self.subject_len as usize + 1;
        let prefix = if self.text.len() == begun && seen.is_none() {
            0
        } else {
            self.text.len()
        };
        match seen {
            Some(seen) => self.begin_prefix(seen),
            None if prefix > 0 => {
                for at in 0..begun {
                    self.text.push(self.text[at]);
                }
            }
            None => {}
        }
        self.text.extend_from_slice(sid);
        self.text.push(b' ');
        let prefix_len = (self.text.len() - prefix) as u16;
        Target {
            conn,
            sub,
            prefix: prefix as u32,
            prefix_len,
            headers,
            careful,
        }
    }

    /// Ends the building.
    pub fn finish(&mut self) {
        self.counted |= !self.calls.is_empty();
        self.text.resize(self.text.len() + PREFIX_SLACK, 0);
        self.interleaved = self.is_interleaved();
        self.solo = self.plain.len() == 1
            && self.groups.is_empty()
            && self.remote_plain == 0
            && !self.counted;
        let others = self.remote_plain.count_ones() as usize + self.groups.len();
        self.alone = others == 1 && self.calls.is_empty();
        debug_assert!(self.counted || self.calls.is_empty());
    }

    fn is_interleaved(&self) -> bool {
        if self.plain.len() < 2 && self.groups.is_empty() {
            return false;
        }
        let locals = self.groups.iter().flat_map(|group| &group.local);
        let mut conns: SmallVec<[ConnId; 8]> = self
            .plain
            .iter()
            .chain(locals)
            .map(|target| target.conn)
            .collect();
        conns.sort_unstable();
        conns.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// `HMSG subject sid ` or `MSG subject sid `.
    #[inline(always)]
    pub fn prefix(&self, target: &Target, headers: bool) -> Prefix<'_> {
        let skip = usize::from(!headers);
        Prefix {
            bytes: &self.text[target.prefix as usize + skip..],
            len: usize::from(target.prefix_len) - skip,
        }
    }
}

/// Answers whose hashes begin alike, in one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    /// A part of the hash for each slot: a slot whose tag differs need not be looked at.
    tags: [u32; WAYS],
    slots: [Option<Box<Match>>; WAYS],
    /// The last subjects that were asked for once and found no free slot.
    once: [u32; WAYS],
}

/// Where the answer about a subject may be.
#[derive(Debug)]
pub struct Foreseen {
    set: usize,
    tag: u32,
}

/// Answers by (space, subject), four to a set.
///
/// When a set is full, a subject gets into it only when it is asked for again: subjects of replies, each asked for once,
/// push out nothing and touch no memory but the set's line.
#[derive(Debug)]
pub struct MatchCache {
    sets: Vec<Set>,
    /// The answer about a subject that is in no set.
    passing: Match,
    /// Answers that passed.
    passed: usize,
    hasher: FixedState,
}

impl MatchCache {
    /// An empty cache. The seed makes its sets unpredictable to clients.
    pub fn new(seed: u64) -> Self {
        MatchCache {
            sets: (0..SETS).map(|_| Set::default()).collect(),
            passing: Match::default(),
            passed: 0,
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Set and tag of a subject; a tag is never 0.
    #[inline]
    fn place(&self, space: Space, subject: &[u8]) -> (usize, u32) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(subject);
        let hash = hasher.finish() ^ u64::from(space.key()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash as usize & (SETS - 1), (hash >> 32) as u32 | 1)
    }

    /// Where the answer about a subject that comes next may be; begins to fetch the set.
    #[inline(always)]
    pub fn foresee(&self, space: Space, subject: &[u8], out: &impl Outlet) -> Foreseen {
        let (set, tag) = self.place(space, subject);
        out.prefetch((&raw const self.sets[set]).cast());
        Foreseen { set, tag }
    }

    /// Begins to fetch the answer itself, if it is known: the set has come by now.
    #[inline(always)]
    pub fn fetch(&self, foreseen: &Foreseen, out: &impl Outlet) {
        let set = &self.sets[foreseen.set];
        let slot = set.slots.get(way_of(&set.tags, foreseen.tag));
        if let Some(found) = slot.and_then(Option::as_deref) {
            let start: *const u8 = (&raw const *found).cast();
            for at in (0..size_of::<Match>()).step_by(LINE_BYTES) {
                out.prefetch(start.wrapping_add(at));
            }
        }
    }

    /// The answer, built by `build` unless it is known and of this generation.
    #[inline]
    pub fn answer(
        &mut self,
        space: Space,
        subject: &[u8],
        generation: u64,
        build: impl FnOnce(&mut Match),
    ) -> &Match {
        let (set, tag) = self.place(space, subject);
        let way = way_of(&self.sets[set].tags, tag);
        let known = way < WAYS
            && self.sets[set].slots[way].as_ref().is_some_and(|found| {
                found.generation == generation
                    && found.space == Some(space)
                    && subject::is_same(found.subject(), subject)
            });
        if known {
            return self.sets[set].slots[way].as_deref().expect("known");
        }
        self.build(set, way, tag, build)
    }

    /// Builds an answer in the slot with its tag, a free one, or the one whose turn it is if the subject was asked for
    /// before.
    #[cold]
    fn build(
        &mut self,
        set: usize,
        way: usize,
        tag: u32,
        build: impl FnOnce(&mut Match),
    ) -> &Match {
        let set = &mut self.sets[set];
        let free = || set.slots.iter().position(|slot| slot.is_none());
        let way = match way < WAYS {
            true => Some(way),
            false => free().or_else(|| {
                let again = set.once.contains(&tag);
                again.then_some((tag >> 8) as usize % WAYS)
            }),
        };
        let Some(way) = way else {
            set.once[self.passed % WAYS] = tag;
            self.passed = self.passed.wrapping_add(1);
            if self.passing.plain.len() > TARGETS_MAX {
                self.passing = Match::default();
            }
            build(&mut self.passing);
            return &self.passing;
        };
        set.tags[way] = tag;
        let slot = &mut set.slots[way];
        slot.take_if(|old| old.plain.len() > TARGETS_MAX);
        let found = slot.get_or_insert_default();
        build(found);
        found
    }

    /// Forgets the answer about one subject: a literal subscription came or went.
    pub fn forget(&mut self, space: Space, subject: &[u8]) {
        let (set, tag) = self.place(space, subject);
        let way = way_of(&self.sets[set].tags, tag);
        if way < WAYS
            && let Some(found) = &mut self.sets[set].slots[way]
            && found.space == Some(space)
            && found.subject() == subject
        {
            found.space = None;
        }
    }
}

/// The first way with this tag, at least [`WAYS`] if there is none. Without branches: which way it is cannot be
/// predicted.
#[inline(always)]
fn way_of(tags: &[u32; WAYS], tag: u32) -> usize {
    let hits = tags.iter().enumerate().fold(0u32, |hits, (way, known)| {
        hits | u32::from(*known == tag) << way
    });
    hits.trailing_zeros() as usize
}

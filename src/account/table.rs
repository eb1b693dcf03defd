//! The compiled tables: what a subject published in an account leads to, in that account and in others. Immutable
//! once built; never walks a list of exports or imports.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::config::{Sampling, TraceDestination};
use crate::subject::{PatternId, PatternSet, Transform, overlaps};

use super::seats::{Seat, Seats};
use super::{AccountId, AccountLimits, GLOBAL, GLOBAL_NAME};

/// A request passes so many imports at most. Cycles are refused at start, those that mappings close as well; this
/// bounds what no check has seen.
pub const HOPS_MAX: u32 = 16;

/// How long answers are waited for where the export does not say, as in the oracle.
pub const THRESHOLD_MS_DEFAULT: u64 = 120_000;

/// An export: what passes it knows it again. The same for an account's export of a subject in every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportId(u64);

impl ExportId {
    pub(super) fn new(account: AccountId, subject: &[u8]) -> Self {
        ExportId(FixedState::default().hash_one((account.0, subject)))
    }
}

/// The tables of all accounts: one snapshot, the same for every shard.
#[derive(Debug)]
pub struct RoutingTable {
    pub(super) accounts: Vec<AccountTable>,
    /// Accounts that there are; one that was removed keeps its number and an empty table.
    pub(super) names: HashMap<Arc<str>, AccountId>,
    /// The system's account, if there is one.
    pub system: Option<AccountId>,
    /// What is said of numbers that this table does not know yet.
    pub(super) unknown: Box<AccountTable>,
}

/// The table of one account.
#[derive(Debug)]
pub struct AccountTable {
    /// Its name.
    pub name: Arc<str>,
    /// What people call it; its name, if nobody says otherwise.
    pub label: Arc<str>,
    /// What it may have.
    pub limits: AccountLimits,
    /// Where traces go of messages that ask for one with `traceparent` alone.
    pub trace: Option<TraceDestination>,
    pub(super) seats: Arc<Seats>,
    pub(super) mappings: Rules<Mapping>,
    pub(super) streams: Rules<StreamHop>,
    pub(super) services: Rules<ServiceHop>,
    /// Where streams of others appear in this account.
    pub(super) sources: Vec<StreamSource>,
}

/// Where a stream of another account appears.
#[derive(Debug)]
pub struct StreamSource {
    /// The pattern of the subjects here.
    pub seen: Box<[u8]>,
    /// Whose stream.
    pub from: AccountId,
    /// The import's place among those of this account, as they were compiled.
    pub via: u32,
}

/// A mapping: where messages on a subject really go.
#[derive(Debug)]
pub struct Mapping {
    /// The first of the file that matches is taken, a literal one before all.
    pub(super) rank: (bool, usize),
    /// The ways, each with the sum of the weights up to it, of 100.
    pub ways: Vec<(u8, Transform)>,
    /// What no way takes is lost, as in the oracle where one of the ways is the subject itself; otherwise it stays as
    /// it is.
    pub lossy: bool,
}

/// What a mapping does with one message.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// It gets another subject.
    Goes(&'a Transform),
    /// It keeps its subject.
    Stays,
    /// It reaches nobody: its subject is empty.
    Lost,
}

/// An account sees a stream of another one.
#[derive(Debug)]
pub struct StreamHop {
    /// Who sees it.
    pub to: AccountId,
    /// Which of the exporter's subjects.
    pub pattern: Box<[u8]>,
    /// The exporter's subject to the importer's; `None` where they are the same.
    pub transform: Option<Transform>,
    /// Traces of messages go on here.
    pub allow_trace: bool,
    /// The import's place among the importer's, as they were compiled: for explanations.
    pub via: u32,
}

/// An account makes its requests to a service of another one.
#[derive(Debug)]
pub struct ServiceHop {
    /// Whose service.
    pub to: AccountId,
    /// Which of that account's exports.
    pub export: ExportId,
    /// The importer's subject to the exporter's; `None` where they are the same.
    pub transform: Option<Transform>,
    /// Tell the service who asks.
    pub share: bool,
    /// More than one answer may come.
    pub many_answers: bool,
    /// How long answers are waited for, milliseconds; [`THRESHOLD_MS_DEFAULT`] where it is not said.
    pub threshold_ms: Option<u64>,
    /// Answers are measured.
    pub latency: Option<Arc<Latency>>,
    /// Traces of messages go on there.
    pub allow_trace: bool,
    /// The importer's subject has wildcards: no answers go this way.
    pub open: bool,
    /// The account imports its own service, on subjects that the service itself is on: only what is published in the
    /// account goes this way, and once.
    pub comes_back: bool,
    /// The import's place among the importer's, as they were compiled: for explanations.
    pub via: u32,
}

/// Answers of a service are measured.
#[derive(Debug)]
pub struct Latency {
    /// Which.
    pub sampling: Sampling,
    /// Where the measurements go, in the service's account.
    pub subject: Box<[u8]>,
}

/// Rules found by the pattern that they are for.
#[derive(Debug)]
pub(super) struct Rules<T> {
    patterns: PatternSet,
    rules: Vec<Vec<T>>,
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Rules {
            patterns: PatternSet::new(),
            rules: Vec::new(),
        }
    }
}

impl<T> Rules<T> {
    pub(super) fn add(&mut self, pattern: &[u8], rule: T) {
        let (PatternId(id), new) = self.patterns.insert(pattern);
        if new {
            self.rules
                .resize_with(self.rules.len().max(id as usize + 1), Vec::new);
        }
        self.rules[id as usize].push(rule);
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        let of = |id: PatternId| (self.patterns.pattern(id), &self.rules[id.0 as usize]);
        self.patterns
            .iter()
            .map(of)
            .flat_map(|(pattern, rules)| rules.iter().map(move |rule| (pattern, rule)))
    }

    fn matching<'a>(&'a self, subject: &[u8], mut found: impl FnMut(&'a T)) {
        if !self.patterns.is_empty() {
            self.patterns.matches(subject, |id| {
                self.rules[id.0 as usize].iter().for_each(&mut found)
            });
        }
    }
}

impl Default for RoutingTable {
    /// The global account alone.
    fn default() -> Self {
        let name: Arc<str> = GLOBAL_NAME.into();
        RoutingTable {
            accounts: vec![AccountTable::new(name.clone())],
            names: HashMap::from_iter([(name, GLOBAL)]),
            system: None,
            unknown: Box::new(AccountTable::new("".into())),
        }
    }
}

impl RoutingTable {
    /// How many accounts there are or have been; their numbers are below.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Never: the global account is always there.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Accounts that were there before, under the same numbers, keep count of their connections: what lives goes on to
    /// count.
    pub(super) fn keep_seats(&mut self, before: &RoutingTable) {
        for (account, known) in self.accounts.iter_mut().zip(&before.accounts) {
            account.seats = known.seats.clone();
        }
    }

    /// The account of this name, if there is one.
    pub fn find(&self, name: &str) -> Option<AccountId> {
        self.names.get(name).copied()
    }

    /// Whether any account has more connections than it may have.
    pub fn is_crowded(&self) -> bool {
        self.accounts.iter().any(AccountTable::is_crowded)
    }

    /// The table of an account. One with a number of a later table, of which another shard speaks, is empty and has
    /// no name.
    #[inline]
    pub fn account(&self, account: AccountId) -> &AccountTable {
        self.accounts
            .get(account.0 as usize)
            .unwrap_or(&self.unknown)
    }
}

impl AccountTable {
    pub(super) fn new(name: Arc<str>) -> Self {
        AccountTable {
            label: name.clone(),
            name,
            limits: AccountLimits::default(),
            trace: None,
            seats: Arc::default(),
            mappings: Rules::default(),
            streams: Rules::default(),
            services: Rules::default(),
            sources: Vec::new(),
        }
    }

    /// A place for one more connection, unless there are as many as the account may have.
    pub fn take_seat(&self) -> Option<Seat> {
        Seats::take(&self.seats, self.limits.connections_max)
    }

    /// Whether the account has more connections than it may have, since that was changed.
    pub fn is_crowded(&self) -> bool {
        let max = self.limits.connections_max;
        max.is_some_and(|max| self.seats.taken() > max)
    }

    /// How many connections the account has on all shards.
    pub fn connection_count(&self) -> u64 {
        self.seats.taken()
    }

    /// Whether anything is mapped.
    pub fn has_mappings(&self) -> bool {
        !self.mappings.patterns.is_empty()
    }

    /// The mapping for a subject.
    pub fn mapping(&self, subject: &[u8]) -> Option<&Mapping> {
        let mut first: Option<&Mapping> = None;
        self.mappings.matching(subject, |found| {
            let takes = found
                .ways
                .first()
                .is_none_or(|(_, way)| way.matches(subject));
            if takes && first.is_none_or(|first| found.rank < first.rank) {
                first = Some(found);
            }
        });
        first
    }

    /// Every mapping for a subject, in no particular order: [`AccountTable::mapping`] is the one that counts.
    pub fn mappings<'a>(&'a self, subject: &[u8], found: impl FnMut(&'a Mapping)) {
        self.mappings.matching(subject, found);
    }

    /// All mappings with their patterns, in no particular order.
    pub fn all_mappings(&self) -> impl Iterator<Item = (&[u8], &Mapping)> {
        self.mappings.iter()
    }

    /// All services of others that this account can ask, with the patterns here, in no particular order.
    pub fn all_services(&self) -> impl Iterator<Item = (&[u8], &ServiceHop)> {
        self.services.iter()
    }

    /// All who see streams of this account, with the patterns here, in no particular order.
    pub fn all_streams(&self) -> impl Iterator<Item = (&[u8], &StreamHop)> {
        self.streams.iter()
    }

    /// Where streams of others appear in this account, in the order of the imports.
    pub fn sources(&self) -> &[StreamSource] {
        &self.sources
    }

    /// Everybody who sees a subject of this account as a stream.
    pub fn streams<'a>(&'a self, subject: &[u8], found: impl FnMut(&'a StreamHop)) {
        self.streams.matching(subject, found);
    }

    /// Every service of others that takes a subject of this account. `across`: it is a request that came here through an
    /// import, or its answer.
    pub fn services<'a>(
        &'a self,
        subject: &[u8],
        across: bool,
        mut found: impl FnMut(&'a ServiceHop),
    ) {
        self.services.matching(subject, |hop| {
            if !(across && hop.comes_back) {
                found(hop);
            }
        });
    }

    /// Whose answers to "who gets this subject" a change of interest in this account concerns, beside its own.
    pub fn exporters_seen<'a>(&'a self, pattern: &'a [u8]) -> impl Iterator<Item = AccountId> + 'a {
        let near = |source: &&StreamSource| overlaps(&source.seen, pattern);
        self.sources.iter().filter(near).map(|source| source.from)
    }
}

impl Mapping {
    /// Its place among those of its account, as they were compiled.
    pub fn place(&self) -> usize {
        self.rank.1
    }

    /// The way that a number below 100 chooses; `None` leaves the subject as it is.
    pub fn way(&self, chance: u8) -> Option<&Transform> {
        let found = self.ways.iter().find(|(up_to, _)| chance < *up_to);
        found.map(|(_, transform)| transform)
    }

    /// What becomes of a message for which a number below 100 was drawn.
    pub fn fate(&self, chance: u8) -> Fate<'_> {
        match self.way(chance) {
            Some(way) => Fate::Goes(way),
            None if self.lossy => Fate::Lost,
            None => Fate::Stays,
        }
    }
}

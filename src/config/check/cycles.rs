//! Owns the search for cycles of imports: a subject that comes back to the import it passed through.
//! Never asks whether an import is allowed.
//!
//! A hop is one import, in the direction in which messages go. Where what comes out of one hop meets what goes into
//! another of the account where it arrives, the second follows the first. Parts of this graph that have no way back
//! cannot have a cycle. Where there is a way back, patterns are followed along it, narrowed at each hop, since two
//! hops that meet need not meet in the subjects that a third one lets through. What a pattern cannot say (whatever
//! an earlier mapping takes away, two tokens that are the same) is settled by sending one subject around.

use std::collections::{HashMap, HashSet};

use super::super::{Account, Config, ConfigError};
use super::index::Index;
use crate::subject::{
    Preimage, Transform, intersection, is_subset, overlaps, pattern_matches, tokens,
};

/// States that are looked at before a configuration is refused because nobody can tell. A state is a hop and what
/// arrives there.
const STATES_MAX: usize = 1_000_000;

/// Tokens that an example has for a `>`, at most: mappings may take subjects of a certain length away.
const REST_TOKENS_MAX: usize = 8;

/// An error for each cycle, at its first import, with the whole way around. Imports that are `refused` form none.
pub(super) fn check(config: &Config, refused: &super::Refused) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for service in [false, true] {
        let graph = Graph::new(config, refused, service);
        errors.extend(graph.cycles());
    }
    errors
}

/// One import. `transform` goes from subjects of account `from` to those of account `to`.
struct Hop<'a> {
    from: usize,
    to: usize,
    transform: Transform,
    import: &'a super::Import,
}

/// A destination of a mapping, as a transform. `leaves_rest`: messages may stay on their subject, too.
struct Mapped {
    source: String,
    transforms: Vec<Transform>,
    leaves_rest: bool,
}

/// The hops of one kind, and which leave each account.
///
/// - `exact`: patterns say all there is to say of what comes out of a hop.
struct Graph<'a> {
    exact: bool,
    accounts: &'a [Account],
    service: bool,
    hops: Vec<Hop<'a>>,
    leaving: Vec<Index>,
    mappings: Vec<Vec<Mapped>>,
}

/// A subject or pattern on its way, where it arrives and as what it goes on.
#[derive(Clone)]
struct Arrival {
    /// As it arrives.
    pattern: Vec<u8>,
    /// After the mappings of the account.
    mapped: Vec<u8>,
    /// By which mapping of the account.
    way: Way,
}

/// What the mappings of an account do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// None takes it.
    Plain,
    /// This one takes it, and this of its transforms.
    Mapped(usize, usize),
    /// This one takes it and leaves it where it is.
    Stayed(usize),
}

impl<'a> Graph<'a> {
    fn new(config: &'a Config, refused: &super::Refused, service: bool) -> Graph<'a> {
        let names = config.accounts.iter().enumerate();
        let places: HashMap<&str, usize> = names
            .map(|(at, account)| (account.name.as_str(), at))
            .collect();
        let mut graph = Graph {
            exact: true,
            accounts: &config.accounts,
            service,
            hops: Vec::new(),
            leaving: Vec::new(),
            mappings: Vec::new(),
        };
        graph
            .leaving
            .resize_with(config.accounts.len(), Index::default);
        for (importer, account) in config.accounts.iter().enumerate() {
            let imports = account.imports.iter().enumerate();
            for (at, import) in imports.filter(|(_, import)| import.service == service) {
                if refused.contains(&(importer, at)) {
                    continue;
                }
                let exporter = places.get(import.account.0.as_str());
                let (Some(&exporter), Ok(transform)) = (exporter, import.transform()) else {
                    continue;
                };
                let (from, to) = if service {
                    (importer, exporter)
                } else {
                    (exporter, importer)
                };
                graph.leaving[from].add(transform.source(), graph.hops.len());
                graph.hops.push(Hop {
                    from,
                    to,
                    transform,
                    import,
                });
            }
        }
        let mappings = |(account, leaving): (&Account, &Index)| {
            // Only requests are mapped where they arrive.
            if service && !leaving.is_empty() {
                mapped(account)
            } else {
                Vec::new()
            }
        };
        graph.mappings = config
            .accounts
            .iter()
            .zip(&graph.leaving)
            .map(mappings)
            .collect();
        let numbers_once = |hop: &Hop<'_>| {
            let count = |pattern: &[u8]| tokens(pattern).filter(|token| *token == b"*").count();
            count(hop.transform.source()) == count(&hop.transform.results())
        };
        graph.exact =
            graph.mappings.iter().all(Vec::is_empty) && graph.hops.iter().all(numbers_once);
        graph
    }

    fn cycles(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut states_left = STATES_MAX;
        let mut told = HashSet::new();
        for group in self.groups() {
            let group: HashSet<usize> = group.into_iter().collect();
            let mut starts: Vec<usize> = group.iter().copied().collect();
            starts.sort_unstable();
            for start in starts {
                if told.contains(&start) {
                    continue;
                }
                let text = match self.way_around(start, &group, &mut states_left) {
                    Around::No => continue,
                    Around::Yes(hops, text) => {
                        told.extend(hops);
                        text
                    }
                    Around::Unknown => {
                        told.extend(&group);
                        "too many imports lead into each other to tell that they never form a cycle"
                            .to_owned()
                    }
                };
                let at = self.hops[start].import.at.clone();
                errors.push(ConfigError { at, text });
            }
        }
        errors
    }

    /// Groups of hops that lead to each other, if one does not look closely; hops without a way back are in none.
    fn groups(&self) -> Vec<Vec<usize>> {
        let next: Vec<Vec<usize>> = (0..self.hops.len())
            .map(|hop| self.followers(hop))
            .collect();
        let groups = strongly_connected(&next);
        let is_cycle = |group: &Vec<usize>| group.len() > 1 || next[group[0]].contains(&group[0]);
        groups.into_iter().filter(is_cycle).collect()
    }

    fn followers(&self, hop: usize) -> Vec<usize> {
        let hop = &self.hops[hop];
        if self.leaving[hop.to].is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for arrival in self.arrivals(hop, hop.transform.source()) {
            found.extend(self.leaving[hop.to].overlapping(&arrival.mapped));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Follows what goes into `start` along the hops of its group, until it comes back.
    fn way_around(&self, start: usize, group: &HashSet<usize>, states_left: &mut usize) -> Around {
        let mut path: Vec<Step> = Vec::new();
        let mut seen = HashSet::new();
        let first = Arrival::plain(self.hops[start].transform.source().to_vec());
        path.push(self.step(start, first));
        loop {
            let Some(step) = path.last_mut() else {
                return Around::No;
            };
            let Some((next, arrival)) = step.next.pop() else {
                path.pop();
                continue;
            };
            if next == start {
                // An import of the account's own: what comes out goes in no second time.
                let own = path.len() == 1 && self.hops[start].from == self.hops[start].to;
                if own && arrival.way == Way::Plain {
                    continue;
                }
                if !self.some_subject_goes(&path, &arrival) {
                    continue;
                }
                return Around::Yes(
                    path.iter().map(|step| step.hop).collect(),
                    self.text(&path, &arrival),
                );
            }
            let on_path = path.iter().any(|step| step.hop == next);
            if on_path || !group.contains(&next) {
                continue;
            }
            let from = match self.exact {
                true => None,
                false => Some(self.origin(&path, &arrival)),
            };
            if from == Some(Preimage::Nothing) || !seen.insert((next, arrival.mapped.clone(), from))
            {
                continue;
            }
            *states_left = match states_left.checked_sub(1) {
                Some(left) => left,
                None => return Around::Unknown,
            };
            path.push(self.step(next, arrival));
        }
    }

    /// What has to go into the first hop of a path for `last` to come out at its end.
    fn origin(&self, path: &[Step], last: &Arrival) -> Preimage {
        let mut pattern = last.mapped.clone();
        let mut behind = last;
        for step in path.iter().rev() {
            let hop = &self.hops[step.hop];
            let mapped = match behind.way {
                Way::Mapped(mapping, at) => Some(&self.mappings[hop.to][mapping].transforms[at]),
                Way::Plain | Way::Stayed(_) => None,
            };
            for transform in mapped.into_iter().chain([&hop.transform]) {
                match transform.preimage(&pattern) {
                    Preimage::Pattern(before) => pattern = before,
                    other => return other,
                }
            }
            behind = &step.arrival;
        }
        Preimage::Pattern(pattern)
    }

    /// Whether there is a subject that goes all the way and into the first hop again. Where a function hides it, yes.
    fn some_subject_goes(&self, path: &[Step], last: &Arrival) -> bool {
        match self.origin(path, last) {
            Preimage::Nothing => false,
            Preimage::Unclear => true,
            Preimage::Pattern(origin) => (1..=REST_TOKENS_MAX)
                .any(|rest_tokens| self.goes(path, last, example(&origin, rest_tokens))),
        }
    }

    fn goes(&self, path: &[Step], last: &Arrival, subject: Vec<u8>) -> bool {
        let behind = path[1..].iter().map(|step| &step.arrival).chain([last]);
        let mut subject = subject;
        for (step, arrival) in path.iter().zip(behind) {
            let hop = &self.hops[step.hop];
            if !hop.transform.matches(&subject) {
                return false;
            }
            subject = applied(&hop.transform, &subject);
            let mappings = &self.mappings[hop.to];
            let takes = |mapping: &Mapped| pattern_matches(mapping.source.as_bytes(), &subject);
            match (arrival.way, mappings.iter().position(takes)) {
                (Way::Plain, None) => {}
                (Way::Stayed(wanted), Some(mapping)) if mapping == wanted => {}
                (Way::Mapped(wanted, at), Some(mapping)) if mapping == wanted => {
                    subject = applied(&mappings[mapping].transforms[at], &subject);
                }
                _ => return false,
            }
        }
        self.hops[path[0].hop].transform.matches(&subject)
    }

    fn step(&self, hop: usize, arrival: Arrival) -> Step {
        let mut next = Vec::new();
        let from = &self.hops[hop];
        for after in self.arrivals(from, &arrival.mapped) {
            for candidate in self.leaving[from.to].overlapping(&after.mapped) {
                let source = self.hops[candidate].transform.source();
                if let Some(mapped) = intersection(&after.mapped, source) {
                    let arrival = Arrival {
                        mapped,
                        ..after.clone()
                    };
                    next.push((candidate, arrival));
                }
            }
        }
        next.reverse();
        Step { hop, arrival, next }
    }

    /// What arrives behind a hop of what goes in, in all the ways in which it may be mapped there.
    fn arrivals(&self, hop: &Hop<'_>, pattern: &[u8]) -> Vec<Arrival> {
        let Some(pattern) = hop.transform.image(pattern) else {
            return Vec::new();
        };
        let mut arrivals = Vec::new();
        let arrival = |mapped, way| Arrival {
            pattern: pattern.clone(),
            mapped,
            way,
        };
        for (number, mapping) in self.mappings[hop.to].iter().enumerate() {
            let source = mapping.source.as_bytes();
            if !overlaps(source, &pattern) {
                continue;
            }
            for (at, transform) in mapping.transforms.iter().enumerate() {
                let image = transform.image(&pattern);
                arrivals.extend(image.map(|image| arrival(image, Way::Mapped(number, at))));
            }
            if mapping.leaves_rest {
                let left = intersection(source, &pattern);
                arrivals.extend(left.map(|left| arrival(left, Way::Stayed(number))));
            }
            if is_subset(&pattern, source) {
                return arrivals;
            }
        }
        arrivals.push(Arrival::plain(pattern));
        arrivals
    }

    /// `A foo -> B bar -> A foo`.
    fn text(&self, path: &[Step], last: &Arrival) -> String {
        let start = self.hops[path[0].hop].from;
        let accounts = path
            .iter()
            .map(|step| self.hops[step.hop].from)
            .chain([start]);
        let arrivals = path.iter().map(|step| &step.arrival).chain([last]);
        let places = accounts.zip(arrivals).map(|(account, arrival)| {
            let pattern = String::from_utf8_lossy(&arrival.pattern);
            let mapped = String::from_utf8_lossy(&arrival.mapped);
            let name = &self.accounts[account].name;
            match arrival.way {
                Way::Mapped(..) => format!("{name} {pattern}, mapped to {mapped}"),
                Way::Plain | Way::Stayed(_) => format!("{name} {mapped}"),
            }
        });
        let places = places.collect::<Vec<_>>().join(" -> ");
        let kind = if self.service { "service" } else { "stream" };
        format!("this {kind} import is part of a cycle: {places}")
    }
}

enum Around {
    No,
    /// The hops of the way, and its text.
    Yes(Vec<usize>, String),
    Unknown,
}

struct Step {
    hop: usize,
    /// What goes in.
    arrival: Arrival,
    /// Where what comes out can go on, not yet looked at.
    next: Vec<(usize, Arrival)>,
}

impl Arrival {
    fn plain(pattern: Vec<u8>) -> Arrival {
        Arrival {
            mapped: pattern.clone(),
            pattern,
            way: Way::Plain,
        }
    }
}

fn mapped(account: &Account) -> Vec<Mapped> {
    let mapped = |mapping: &super::super::Mapping| {
        let (source, destinations) = (&mapping.source, &mapping.destinations);
        let used = destinations
            .iter()
            .filter(|destination| destination.weight > 0);
        let transforms =
            used.filter_map(|destination| Transform::new(source, &destination.subject).ok());
        let everywhere = destinations
            .iter()
            .filter(|destination| destination.cluster.is_none());
        let sum: u32 = everywhere
            .map(|destination| u32::from(destination.weight))
            .sum();
        let drops_rest = destinations
            .iter()
            .any(|destination| destination.subject == *source);
        Mapped {
            source: source.clone(),
            transforms: transforms.collect(),
            leaves_rest: sum < 100 && !drops_rest,
        }
    };
    account.mappings.iter().map(mapped).collect()
}

fn applied(transform: &Transform, subject: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    transform.apply(subject, 0, &mut out);
    out
}

/// A subject of a pattern, with tokens for the wildcards that are in no configuration, and so many for `>`.
fn example(pattern: &[u8], rest_tokens: usize) -> Vec<u8> {
    let mut number = 0;
    let mut fresh = |count: usize| {
        let tokens = (0..count).map(|_| {
            number += 1;
            format!("\u{1}{number}")
        });
        tokens.collect::<Vec<_>>().join(".").into_bytes()
    };
    let filled = tokens(pattern).map(|token| match token {
        b"*" => fresh(1),
        b">" => fresh(rest_tokens),
        literal => literal.to_vec(),
    });
    filled.collect::<Vec<_>>().join(&b'.')
}

/// The strongly connected components of a graph (Tarjan), without recursion.
fn strongly_connected(next: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut groups = Vec::new();
    let (mut order, mut low) = (vec![NEW; next.len()], vec![NEW; next.len()]);
    let mut on_stack = vec![false; next.len()];
    let (mut stack, mut count) = (Vec::new(), 0);
    for root in 0..next.len() {
        // A node, and how many of those behind it have been looked at.
        let mut walk = if order[root] == NEW {
            vec![(root, 0)]
        } else {
            Vec::new()
        };
        while let Some((node, done)) = walk.pop() {
            if done == 0 {
                (order[node], low[node]) = (count, count);
                count += 1;
                stack.push(node);
                on_stack[node] = true;
            } else if let child = next[node][done - 1]
                && on_stack[child]
            {
                low[node] = low[node].min(low[child]);
            }
            match next[node].get(done) {
                Some(&child) => {
                    walk.push((node, done + 1));
                    if order[child] == NEW {
                        walk.push((child, 0));
                    }
                }
                None if low[node] == order[node] => {
                    let at = stack
                        .iter()
                        .rposition(|other| *other == node)
                        .expect("it was pushed");
                    let group = stack.split_off(at);
                    for member in &group {
                        on_stack[*member] = false;
                    }
                    groups.push(group);
                }
                None => {}
            }
        }
    }
    groups
}

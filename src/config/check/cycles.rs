//! Owns the search for cycles of imports: a subject that comes back to the import it passed through.
//! Never asks whether an import is allowed.
//!
//! A hop is one import, in the direction in which messages go. Where what comes out of one hop meets what goes into
//! another of the account where it arrives, the second follows the first. Parts of this graph that have no way back
//! cannot have a cycle. Where there is a way back, patterns are followed along it, narrowed at each hop, since two
//! hops that meet need not meet in the subjects that a third one lets through.

use std::collections::{HashMap, HashSet};

use super::super::{Account, Config, ConfigError};
use crate::subject::{Transform, intersection, is_subset, overlaps, tokens};

/// States that are looked at before a configuration is refused because nobody can tell. A state is a hop and what
/// arrives there.
const STATES_MAX: usize = 1_000_000;

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
struct Graph<'a> {
    accounts: &'a [Account],
    service: bool,
    hops: Vec<Hop<'a>>,
    leaving: Vec<Leaving>,
    mappings: Vec<Vec<Mapped>>,
}

/// Hops that leave an account, by the first token of what goes in; those with a wildcard there apart.
#[derive(Default)]
struct Leaving {
    by_token: HashMap<Vec<u8>, Vec<usize>>,
    any: Vec<usize>,
}

/// A subject or pattern on its way, where it arrives and as what it goes on.
#[derive(Clone)]
struct Arrival {
    /// As it arrives.
    pattern: Vec<u8>,
    /// After the mappings of the account.
    mapped: Vec<u8>,
}

impl<'a> Graph<'a> {
    fn new(config: &'a Config, refused: &super::Refused, service: bool) -> Graph<'a> {
        let names = config.accounts.iter().enumerate();
        let places: HashMap<&str, usize> = names
            .map(|(at, account)| (account.name.as_str(), at))
            .collect();
        let mut graph = Graph {
            accounts: &config.accounts,
            service,
            hops: Vec::new(),
            leaving: Vec::new(),
            mappings: Vec::new(),
        };
        graph
            .leaving
            .resize_with(config.accounts.len(), Leaving::default);
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
        let mappings = |(account, leaving): (&Account, &Leaving)| {
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
            let meets =
                |next: &usize| overlaps(&arrival.mapped, self.hops[*next].transform.source());
            found.extend(
                self.leaving[hop.to]
                    .candidates(&arrival.mapped)
                    .filter(meets),
            );
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
                return Around::Yes(
                    path.iter().map(|step| step.hop).collect(),
                    self.text(&path, &arrival),
                );
            }
            let on_path = path.iter().any(|step| step.hop == next);
            if on_path || !group.contains(&next) || !seen.insert((next, arrival.mapped.clone())) {
                continue;
            }
            *states_left = match states_left.checked_sub(1) {
                Some(left) => left,
                None => return Around::Unknown,
            };
            path.push(self.step(next, arrival));
        }
    }

    fn step(&self, hop: usize, arrival: Arrival) -> Step {
        let mut next = Vec::new();
        let from = &self.hops[hop];
        for after in self.arrivals(from, &arrival.mapped) {
            for candidate in self.leaving[from.to].candidates(&after.mapped) {
                let source = self.hops[candidate].transform.source();
                if let Some(mapped) = intersection(&after.mapped, source) {
                    let pattern = after.pattern.clone();
                    next.push((candidate, Arrival { pattern, mapped }));
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
        let mapped = |mapped| Arrival {
            pattern: pattern.clone(),
            mapped,
        };
        for mapping in &self.mappings[hop.to] {
            let source = mapping.source.as_bytes();
            if !overlaps(source, &pattern) {
                continue;
            }
            let images = mapping.transforms.iter().filter_map(|t| t.image(&pattern));
            arrivals.extend(images.map(mapped));
            if mapping.leaves_rest {
                arrivals.extend(intersection(source, &pattern).map(mapped));
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
            if overlaps(&arrival.pattern, &arrival.mapped) {
                format!("{name} {mapped}")
            } else {
                format!("{name} {pattern}, mapped to {mapped}")
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
        }
    }
}

impl Leaving {
    fn add(&mut self, source: &[u8], hop: usize) {
        match first_token(source) {
            Some(token) => self.by_token.entry(token.to_vec()).or_default().push(hop),
            None => self.any.push(hop),
        }
    }

    fn is_empty(&self) -> bool {
        self.by_token.is_empty() && self.any.is_empty()
    }

    /// Hops that something of `pattern` may go into.
    fn candidates(&self, pattern: &[u8]) -> impl Iterator<Item = usize> {
        let (one, all) = match first_token(pattern) {
            Some(token) => (self.by_token.get(token), None),
            None => (None, Some(self.by_token.values())),
        };
        let by_token = one.into_iter().chain(all.into_iter().flatten());
        by_token.flatten().chain(&self.any).copied()
    }
}

/// `None` if it is a wildcard.
fn first_token(pattern: &[u8]) -> Option<&[u8]> {
    let token = tokens(pattern).next();
    token.filter(|token| !matches!(*token, b"*" | b">"))
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

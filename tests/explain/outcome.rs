//! What an explanation of a publish comes to, as deliveries: a message takes one of the ways through each mapping. Reads the report
//! alone: what is not in it is not expected.

use gannet::explain::report::{Reader, Route, Stop};
use gannet::subject::pattern_matches;

/// A subscription that was accepted.
#[derive(Clone, Debug)]
pub struct Sub {
    pub client: usize,
    pub account: String,
    pub user: String,
    pub sid: String,
    pub pattern: String,
    pub queue: Option<String>,
    /// Patterns whose messages are kept from it.
    pub withheld: Vec<String>,
}

/// One way that a message can take.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The publish is refused, on this subject.
    pub refused: Option<String>,
    /// The subject after the mappings of the publisher's account; empty where it is lost.
    pub mapped: String,
    /// Accounts and subjects, put together as queue groups are: one copy a group of each.
    pub arrivals: Vec<Vec<Arrival>>,
}

#[derive(Clone, Debug)]
pub struct Arrival {
    pub account: String,
    pub subject: String,
    /// It came through so many imports.
    pub hops: usize,
    pub readers: Vec<Reader>,
}

/// A delivery: client, sid, subject.
pub type Delivery = (usize, String, String);

/// Every way that a message can take.
pub fn outcomes(route: &Route, hops: usize) -> Vec<Outcome> {
    let mut all = Vec::new();
    for way in route.ways.iter().filter(|way| way.share > 0) {
        let mapped = way.subject.clone().unwrap_or_default();
        match (&way.permission, &way.stop) {
            (Some(verdict), _) if !verdict.allowed => all.push(Outcome {
                refused: Some(mapped),
                ..Outcome::default()
            }),
            (_, None) => all.push(Outcome::default()),
            (_, Some(stop)) => {
                all.extend(
                    stop_outcomes(stop, hops)
                        .into_iter()
                        .map(|outcome| Outcome {
                            mapped: mapped.clone(),
                            ..outcome
                        }),
                )
            }
        }
    }
    all
}

fn stop_outcomes(stop: &Stop, hops: usize) -> Vec<Outcome> {
    let mut here = vec![Arrival {
        account: stop.account.clone(),
        subject: stop.subject.clone(),
        hops,
        readers: stop.readers.clone(),
    }];
    here.extend(stop.streams.iter().map(|step| Arrival {
        account: step.account.clone(),
        subject: step.subject.clone(),
        hops: hops + 1,
        readers: step.readers.clone(),
    }));
    let mut all = vec![Outcome {
        arrivals: vec![here],
        ..Outcome::default()
    }];
    for service in &stop.services {
        let route = service.route.as_ref().expect("chains are short here");
        let further = outcomes(route, hops + 1);
        all = (all.iter())
            .flat_map(|before| further.iter().map(|after| before.and(after)))
            .collect();
    }
    all
}

impl Outcome {
    fn and(&self, after: &Outcome) -> Outcome {
        let mut both = self.clone();
        both.arrivals.extend(after.arrivals.iter().cloned());
        both
    }

    /// Whether these are the deliveries that this way leads to: all plain subscriptions, and one member a queue group.
    pub fn explains(&self, subs: &[Sub], seen: &[Delivery]) -> bool {
        let mut left: Vec<Delivery> = seen.to_vec();
        let mut groups: Vec<Vec<Delivery>> = Vec::new();
        for arrivals in &self.arrivals {
            let mut names: Vec<(&str, Vec<Delivery>)> = Vec::new();
            for arrival in arrivals {
                for sub in subs.iter().filter(|sub| sub.gets(arrival)) {
                    let delivery = (sub.client, sub.sid.clone(), arrival.subject.clone());
                    match &sub.queue {
                        None => match left.iter().position(|seen| *seen == delivery) {
                            Some(at) => drop(left.swap_remove(at)),
                            None => return false,
                        },
                        Some(name) => match names.iter_mut().find(|(known, _)| known == name) {
                            Some((_, members)) => members.push(delivery),
                            None => names.push((name, vec![delivery])),
                        },
                    }
                }
            }
            groups.extend(names.into_iter().map(|(_, members)| members));
        }
        one_each(&groups, left)
    }
}

impl Sub {
    /// Whether a message gets to it.
    pub fn gets(&self, arrival: &Arrival) -> bool {
        let matches =
            |pattern: &str| pattern_matches(pattern.as_bytes(), arrival.subject.as_bytes());
        self.account == arrival.account
            && matches(&self.pattern)
            && !self.withheld.iter().any(|pattern| matches(pattern))
    }
}

/// Whether what is left is one member of each group.
fn one_each(groups: &[Vec<Delivery>], left: Vec<Delivery>) -> bool {
    let Some((group, others)) = groups.split_first() else {
        return left.is_empty();
    };
    group.iter().any(|member| {
        left.iter()
            .position(|seen| seen == member)
            .is_some_and(|at| {
                let mut left = left.clone();
                left.swap_remove(at);
                one_each(others, left)
            })
    })
}

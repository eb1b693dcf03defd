//! Owns the warnings about mappings: those that are never used, and destinations that do not take all or look odd.

use super::Warnings;
use crate::config::check::index::Index;
use crate::config::{Destination, Mapping};
use crate::subject::is_literal;

/// Warns about the mappings of one account.
pub(super) fn lint(mappings: &[Mapping], warnings: &mut Warnings) {
    let index = Index::of(mappings.iter().map(|mapping| mapping.source.as_bytes()));
    for (number, mapping) in mappings.iter().enumerate() {
        let source = mapping.source.as_bytes();
        // Whatever its place, a literal comes before patterns.
        let is_before =
            |other: &usize| !is_literal(source) || mappings[*other].source == mapping.source;
        let first = index.covering(source).into_iter().find(is_before);
        if let Some(other) = first.filter(|first| *first < number) {
            let text = format!(
                "the mapping of {:?} is never used: that of {:?} at {} comes first",
                mapping.source, mappings[other].source, mappings[other].at
            );
            warnings.add(&mapping.at, text);
        }
        lint_weights(mapping, warnings);
        for destination in &mapping.destinations {
            lint_literal(destination, warnings);
        }
    }
}

/// Weights of less than 100: of destinations everywhere, and of those in one cluster.
fn lint_weights(mapping: &Mapping, warnings: &mut Warnings) {
    let source = &mapping.source;
    let mut clusters: Vec<Option<&str>> = clusters_of(mapping).map(Some).chain([None]).collect();
    clusters.sort_unstable();
    clusters.dedup();
    for cluster in clusters {
        let own = mapping
            .destinations
            .iter()
            .filter(|d| d.cluster.as_deref() == cluster);
        let sum: u32 = own.map(|destination| u32::from(destination.weight)).sum();
        let scoped_only = cluster.is_none() && sum == 0 && clusters_of(mapping).next().is_some();
        if sum == 100 || scoped_only {
            continue;
        }
        let rest = 100 - sum.min(100);
        let place = cluster.map_or_else(String::new, |cluster| {
            format!(" in the cluster {cluster:?}")
        });
        let stays = mapping
            .destinations
            .iter()
            .all(|destination| destination.subject != *source);
        let text = match (sum, stays) {
            (0, true) => format!("the mapping of {source:?} changes nothing{place}"),
            (_, true) => format!(
                "{rest}% of what is published to {source:?} stay there{place}: the weights are {sum} together"
            ),
            (_, false) => format!(
                "{rest}% of what is published to {source:?} are lost{place}: the weights are {sum} together, and it is a destination itself"
            ),
        };
        warnings.add(&mapping.at, text);
    }
}

fn clusters_of(mapping: &Mapping) -> impl Iterator<Item = &str> {
    mapping
        .destinations
        .iter()
        .filter_map(|destination| destination.cluster.as_deref())
}

/// Braces that are no function, as in `{{split(1,.)}}`, where the point ends the token.
fn lint_literal(destination: &Destination, warnings: &mut Warnings) {
    let is_odd = |token: &str| {
        let function = token.len() > 4 && token.starts_with("{{") && token.ends_with("}}");
        !function && (token.contains("{{") || token.contains("}}"))
    };
    if let Some(token) = destination.subject.split('.').find(|token| is_odd(token)) {
        let subject = &destination.subject;
        let text = format!(
            "{token:?} in {subject:?} is taken as it is written: a function must be a whole token"
        );
        warnings.add(&destination.at, text);
    }
}

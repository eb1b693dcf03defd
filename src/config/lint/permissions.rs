//! Owns the warnings about permissions: rules that can never decide anything, and defaults that are for nobody.

use super::Warnings;
use crate::config::{Mapping, Permissions, Rule, Rules, User};
use crate::subject::{Transform, is_subset, overlaps};

/// Warns about the permissions of users of one account, and of its default.
pub(super) fn lint(
    users: &[User],
    default: Option<&Permissions>,
    mappings: &[Mapping],
    warnings: &mut Warnings,
) {
    let own = users.iter().filter_map(|user| user.permissions.as_ref());
    for permissions in own.chain(default) {
        lint_rules(&permissions.publish, false, warnings);
        lint_rules(&permissions.subscribe, true, warnings);
        for rule in permissions.publish.allow.iter().flatten() {
            lint_mapped_away(rule, mappings, warnings);
        }
    }
    let nobody = !users.is_empty() && users.iter().all(|user| user.permissions.is_some());
    let first = default.and_then(|default| rules(default).next());
    if let (true, Some(rule)) = (nobody, first) {
        let text = "the default permissions are for nobody: every user has its own";
        warnings.add(&rule.at, text.to_owned());
    }
}

fn rules(permissions: &Permissions) -> impl Iterator<Item = &Rule> {
    let lists = [&permissions.publish, &permissions.subscribe];
    lists
        .into_iter()
        .flat_map(|rules| rules.allow.iter().flatten().chain(&rules.deny))
}

/// What is allowed and denied, and what is denied and not allowed.
fn lint_rules(rules: &Rules, subscribe: bool, warnings: &mut Warnings) {
    for rule in rules.allow.iter().flatten() {
        if let Some(deny) = rules.deny.iter().find(|deny| denies_all(deny, rule)) {
            let text = format!(
                "{} can never be allowed: {} at {} denies it",
                name(rule),
                name(deny),
                deny.at
            );
            warnings.add(&rule.at, text);
        }
    }
    let Some(allow) = rules.allow.as_ref().filter(|allow| !allow.is_empty()) else {
        return;
    };
    for deny in &rules.deny {
        let reached = |rule: &Rule| overlaps(&reach(rule, subscribe), deny.subject.as_bytes());
        if !allow.iter().any(reached) {
            warnings.add(
                &deny.at,
                format!(
                    "{} is denied for nothing: nothing of it is allowed",
                    name(deny)
                ),
            );
        }
    }
}

fn denies_all(deny: &Rule, rule: &Rule) -> bool {
    let queue = deny.queue.is_none() || deny.queue == rule.queue;
    queue && is_subset(rule.subject.as_bytes(), deny.subject.as_bytes())
}

/// What may arrive by a rule: who may subscribe to `a.*` may subscribe to `a.>`.
fn reach(rule: &Rule, subscribe: bool) -> Vec<u8> {
    let subject = &rule.subject;
    match subject.strip_suffix('*') {
        Some(start) if subscribe && (start.is_empty() || start.ends_with('.')) => {
            format!("{start}>").into_bytes()
        }
        _ => subject.clone().into_bytes(),
    }
}

/// A rule for subjects that are always mapped to others: permissions are asked after the mapping.
fn lint_mapped_away(rule: &Rule, mappings: &[Mapping], warnings: &mut Warnings) {
    let subject = rule.subject.as_bytes();
    let overlapping = || {
        let meets = |mapping: &&Mapping| overlaps(mapping.source.as_bytes(), subject);
        mappings.iter().filter(meets)
    };
    // A literal comes first, whatever its place.
    let literal = overlapping().find(|mapping| mapping.source.as_bytes() == subject);
    let covers = |mapping: &&Mapping| is_subset(subject, mapping.source.as_bytes());
    let Some(mapping) = literal.or_else(|| overlapping().find(covers)) else {
        return;
    };
    let all_of_it = overlapping().all(takes_all);
    let leads_there = mappings.iter().any(|mapping| {
        let transforms = mapping.destinations.iter();
        let mut transforms =
            transforms.filter_map(|d| Transform::new(&mapping.source, &d.subject).ok());
        transforms.any(|transform| overlaps(&transform.results(), subject))
    });
    if all_of_it && !leads_there {
        let text = format!(
            "{} can never be published to: it is mapped at {}, and permissions are for where it goes",
            name(rule),
            mapping.at
        );
        warnings.add(&rule.at, text);
    }
}

/// Whether nothing stays where it was published. Destinations of a cluster are for no node here.
fn takes_all(mapping: &Mapping) -> bool {
    let everywhere = mapping.destinations.iter();
    let everywhere = everywhere.filter(|destination| destination.cluster.is_none());
    let weights = everywhere.map(|destination| u32::from(destination.weight));
    weights.sum::<u32>() >= 100
}

fn name(rule: &Rule) -> String {
    match &rule.queue {
        Some(queue) => format!("\"{} {queue}\"", rule.subject),
        None => format!("{:?}", rule.subject),
    }
}

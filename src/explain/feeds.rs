//! What a subscription gets: the roads of messages, backwards, by the same tables. Never says who may publish.

use crate::account::AccountId;
use crate::subject::{Preimage, Transform, intersection, is_subscribable, is_subset, overlaps};

use super::passed::Passed;
use super::report::{Feeds, Item, Provenance, Source, SourceKind, Verdict, text};
use super::route::note;
use super::{Who, World, near, verdict};

/// What a subscription of `who` gets.
pub(super) fn feeds(world: &World<'_>, who: &Who, pattern: &[u8], queue: Option<&[u8]>) -> Feeds {
    let permission = permission(world, who, pattern, queue);
    if !permission.allowed {
        return Feeds {
            permission,
            withheld: Vec::new(),
            sources: Vec::new(),
            notes: Vec::new(),
        };
    }
    let permissions = who.permissions.as_deref();
    let withheld = permissions
        .iter()
        .flat_map(|permissions| permissions.withheld_from(pattern, queue));
    let mut sources = published(world, who.account, pattern, Passed::NONE);
    let streams = streams(world, who.account, pattern);
    let mut notes = mapped_away(world, who.account, pattern);
    notes.extend(twice(&streams));
    notes.extend(near::subscribed(world, who.account, pattern));
    sources.extend(streams);
    Feeds {
        permission,
        withheld: withheld.map(verdict::rule_item).collect(),
        sources,
        notes,
    }
}

/// In the order in which a session looks at it.
fn permission(world: &World<'_>, who: &Who, pattern: &[u8], queue: Option<&[u8]>) -> Verdict {
    let verdict = verdict::subscribe(who.permissions.as_deref(), pattern, queue);
    if !verdict.allowed {
        return verdict;
    }
    let tokens_max = usize::from(world.config.limits.subscription_tokens_max);
    if tokens_max > 0 && crate::subject::token_count(pattern) > tokens_max {
        return verdict::refused(format!(
            "more than {tokens_max} tokens (max_subscription_tokens)"
        ));
    }
    if !is_subscribable(pattern) {
        return verdict::refused(
            "not a valid subject: an empty token, or a > that is not the last one",
        );
    }
    verdict
}

/// What is published in an account and arrives on subjects of `pattern`: on them, through its mappings, as requests.
fn published(
    world: &World<'_>,
    account: AccountId,
    pattern: &[u8],
    passed: Passed<'_>,
) -> Vec<Source> {
    let table = world.table.account(account);
    let name = world.name(account).to_owned();
    let mut sources = Vec::new();
    let moved = table.all_mappings().any(|(own, mapping)| {
        let stays = (0..100)
            .any(|chance| matches!(mapping.fate(chance), crate::account::table::Fate::Stays));
        is_subset(pattern, own) && !stays
    });
    if !moved {
        sources.push(Source {
            kind: SourceKind::Own,
            account: name.clone(),
            subject: Some(text(pattern)),
            seen: text(pattern),
            by: None,
            export: None,
            behind: Vec::new(),
        });
        sources.extend(requests(world, account, pattern, passed));
    }
    let mut mappings: Vec<_> = table.all_mappings().collect();
    mappings.sort_by_key(|(_, mapping)| mapping.place());
    for (own, mapping) in mappings {
        for (_, way) in &mapping.ways {
            let Some((from, seen)) = brought(way, own, pattern) else {
                continue;
            };
            let written = world.mapping(account, mapping);
            let behind = from
                .as_deref()
                .map(|from| requests(world, account, from, passed));
            sources.push(Source {
                kind: SourceKind::Mapping,
                account: name.clone(),
                subject: from.as_deref().map(text),
                seen: text(&seen),
                by: Some(Item {
                    to: Some(way.destination().to_owned()),
                    ..Item::new(written.source.as_str(), &written.at)
                }),
                export: None,
                behind: behind.unwrap_or_default(),
            });
        }
    }
    sources
}

/// Requests of other accounts that arrive on subjects of `pattern`, before the mappings of the account.
fn requests(
    world: &World<'_>,
    account: AccountId,
    pattern: &[u8],
    passed: Passed<'_>,
) -> Vec<Source> {
    let mut sources = Vec::new();
    for (importer, _) in world.accounts() {
        let mut own: Vec<_> = world
            .table
            .account(importer)
            .all_services()
            .filter(|(_, hop)| hop.to == account)
            .collect();
        own.sort_by_key(|(_, hop)| hop.via);
        for (local, hop) in own {
            let Some(passed) = passed.and(hop.export) else {
                continue;
            };
            let brought = match &hop.transform {
                None => intersection(local, pattern).map(|both| (Some(both.clone()), both)),
                Some(transform) => brought(transform, local, pattern),
            };
            let Some((from, seen)) = brought else {
                continue;
            };
            let (import, export) = world.import_items(importer, hop.via);
            let behind = match &from {
                // Only what is published in the account itself comes back to it.
                _ if hop.comes_back => Vec::new(),
                None => Vec::new(),
                Some(from) => published(world, importer, from, passed),
            };
            sources.push(Source {
                kind: SourceKind::Requests,
                account: world.name(importer).to_owned(),
                subject: from.as_deref().map(text),
                seen: text(&seen),
                by: Some(import),
                export,
                behind: behind
                    .into_iter()
                    .filter(|source| source.kind != SourceKind::Own)
                    .collect(),
            });
        }
    }
    sources
}

/// Streams of other accounts that arrive on subjects of `pattern`.
fn streams(world: &World<'_>, account: AccountId, pattern: &[u8]) -> Vec<Source> {
    let mut sources = Vec::new();
    for source in world.table.account(account).sources() {
        let Some(here) = intersection(&source.seen, pattern) else {
            continue;
        };
        let exporter = world.table.account(source.from);
        let made = |(_, hop): &(&[u8], &crate::account::table::StreamHop)| {
            hop.to == account && hop.via == source.via
        };
        let (remote, hop) = exporter
            .all_streams()
            .find(made)
            .expect("a source is the other end of a hop");
        let from = match &hop.transform {
            None => Some(here.clone()),
            Some(transform) => match brought(transform, remote, pattern) {
                Some((from, _)) => from,
                None => continue,
            },
        };
        let (import, export) = world.import_items(account, source.via);
        let behind = from
            .as_deref()
            .map(|from| published(world, source.from, from, Passed::ALL));
        let behind = behind
            .into_iter()
            .flatten()
            .filter(|source| source.kind == SourceKind::Mapping);
        sources.push(Source {
            kind: SourceKind::Stream,
            account: world.name(source.from).to_owned(),
            subject: from.as_deref().map(text),
            seen: text(&here),
            by: Some(import),
            export,
            behind: behind.collect(),
        });
    }
    sources
}

/// Which subjects a transform brings to `pattern`, and what they become; `None` for the first where none says which.
fn brought(
    transform: &Transform,
    source: &[u8],
    pattern: &[u8],
) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
    match transform.preimage(pattern) {
        Preimage::Nothing => None,
        Preimage::Unclear => {
            let seen = intersection(&transform.results(), pattern)?;
            Some((None, seen))
        }
        Preimage::Pattern(from) => {
            let from = intersection(&from, source)?;
            let seen = intersection(&transform.image(&from)?, pattern)?;
            Some((Some(from), seen))
        }
    }
}

/// Mappings that take messages away from subjects of `pattern`.
fn mapped_away(world: &World<'_>, account: AccountId, pattern: &[u8]) -> Vec<Provenance> {
    let mut mappings: Vec<_> = world.table.account(account).all_mappings().collect();
    mappings.sort_by_key(|(_, mapping)| mapping.place());
    let mut notes = Vec::new();
    for (own, mapping) in mappings {
        let Some(both) = intersection(own, pattern) else {
            continue;
        };
        let written = world.mapping(account, mapping);
        let to: Vec<String> = (written
            .destinations
            .iter()
            .filter(|way| way.cluster.is_none()))
        .map(|way| format!("{}% to {:?}", way.weight, way.subject))
        .collect();
        let name = world.name(account);
        let what = match to.as_slice() {
            [] => continue,
            _ => format!(
                "of what {name:?} publishes on {:?} a mapping takes {}",
                text(&both),
                to.join(", ")
            ),
        };
        notes.push(Provenance::new(what, Some(&written.at)));
    }
    notes
}

/// Imports that bring the same messages.
fn twice(streams: &[Source]) -> Vec<Provenance> {
    let mut notes = Vec::new();
    for (at, one) in streams.iter().enumerate() {
        for other in &streams[at + 1..] {
            let both = one.subject.as_ref().zip(other.subject.as_ref());
            let alike = one.account == other.account
                && both.is_some_and(|(one, other)| overlaps(one.as_bytes(), other.as_bytes()));
            if let (true, Some(first), Some(second)) = (alike, &one.by, &other.by) {
                notes.push(note(format!(
                    "some messages of {:?} arrive twice: by the imports at {} and at {}",
                    one.account, first.at, second.at
                )));
            }
        }
    }
    notes
}

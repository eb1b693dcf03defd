//! Near misses: exports, imports and mappings that one might think take a message or feed a subscription, and why they do not.
//! Only says what is written; the tables alone decide where messages go.

use crate::account::AccountId;
use crate::account::table::{ServiceHop, StreamHop};
use crate::config::check::Permit;
use crate::config::{Account, Export, ExportKind, Import, Position};
use crate::subject::{has_empty_token, is_literal, is_subset, overlaps, pattern_matches};

use super::World;
use super::left_out;
use super::report::{Provenance, text};
use super::route::note;

/// Why a message on `subject` of an account goes nowhere but by these hops.
pub(super) fn published(
    world: &World<'_>,
    account: AccountId,
    subject: &[u8],
    across: bool,
    (streams, services): (&[&StreamHop], &[&ServiceHop]),
) -> Vec<Provenance> {
    if has_empty_token(subject) {
        return vec![note("a subject with an empty token reaches nobody")];
    }
    let mut notes = Vec::new();
    if !is_literal(subject) {
        let what = "a wildcard in a published subject is an ordinary token: only wildcards of subscriptions match it";
        notes.push(note(what));
    }
    stream_misses(world, account, subject, across, streams, &mut notes);
    service_misses(world, account, subject, services, &mut notes);
    notes.extend(left_out::published(world, account, subject, across));
    notes
}

/// Why a subscription on `pattern` of an account does not get what one might think.
pub(super) fn subscribed(world: &World<'_>, account: AccountId, pattern: &[u8]) -> Vec<Provenance> {
    let mut notes = left_out::subscribed(world, account, pattern);
    if world.tokens.is_none()
        && world.members(account).next().is_none()
        && world
            .account(account)
            .is_some_and(|own| own.users.is_empty())
    {
        notes.push(note(format!(
            "no client can be in {:?}: it has no users",
            world.name(account)
        )));
    }
    measurements(world, account, pattern, &mut notes);
    own_stream_imports(world, account, pattern, &mut notes);
    for (exporter, other) in world.accounts().filter(|(id, _)| *id != account) {
        let near =
            |export: &&Export| is_stream(export) && overlaps(export.subject.as_bytes(), pattern);
        for export in other.exports.iter().filter(near) {
            let fed = world.table.account(account).sources().iter().any(|source| {
                let import = world.import(account, source.via);
                source.from == exporter
                    && overlaps(import.subject.as_bytes(), export.subject.as_bytes())
            });
            let what = (false, export.subject.as_bytes());
            if !fed && !left_out::is_import(world, Some(account), exporter, what) {
                let import = asked(other, &export.subject, false);
                notes.push(unused(world, account, &import, export));
            }
        }
    }
    notes
}

/// What the node itself publishes there of the account's own services.
fn measurements(
    world: &World<'_>,
    account: AccountId,
    pattern: &[u8],
    notes: &mut Vec<Provenance>,
) {
    let exports = world.account(account).map_or(&[][..], |own| &own.exports);
    for export in exports {
        if let ExportKind::Service(service) = &export.kind
            && let Some(latency) = &service.latency
            && overlaps(latency.subject.as_bytes(), pattern)
        {
            let what = format!(
                "measurements of the service {:?} come on {:?}",
                export.subject, latency.subject
            );
            notes.push(Provenance::new(what, Some(&latency.at)));
        }
    }
}

/// Streams that are known here by another name, and those of which only a part is imported.
fn own_stream_imports(
    world: &World<'_>,
    account: AccountId,
    pattern: &[u8],
    notes: &mut Vec<Provenance>,
) {
    for source in world.table.account(account).sources() {
        let import = world.import(account, source.via);
        if overlaps(&source.seen, pattern) || !overlaps(import.subject.as_bytes(), pattern) {
            continue;
        }
        let what = format!(
            "the stream {:?} of {:?} is {:?} here: subscribe to that",
            import.subject,
            import.account.0,
            text(&source.seen)
        );
        notes.push(Provenance::new(what, Some(&import.at)));
    }
}

/// Exported streams that nobody takes the subject of.
fn stream_misses(
    world: &World<'_>,
    account: AccountId,
    subject: &[u8],
    across: bool,
    taken: &[&StreamHop],
    notes: &mut Vec<Provenance>,
) {
    let Some(own) = world.account(account) else {
        return;
    };
    let matching =
        |export: &&Export| is_stream(export) && pattern_matches(export.subject.as_bytes(), subject);
    for export in own.exports.iter().filter(matching) {
        if across {
            let what = format!(
                "requests from other accounts are not part of the exported stream {:?}",
                export.subject
            );
            notes.push(Provenance::new(what, Some(&export.at)));
            continue;
        }
        let before = notes.len();
        narrower_imports(world, account, export, subject, taken, notes);
        let what = (false, export.subject.as_bytes());
        if taken.is_empty()
            && notes.len() == before
            && !left_out::is_import(world, None, account, what)
        {
            let what = match &export.accounts {
                Some(accounts) => format!(
                    "nobody imports it: the exported stream {:?} {}",
                    export.subject,
                    private(world, accounts)
                ),
                None => format!(
                    "nobody imports it, although the stream {:?} is exported",
                    export.subject
                ),
            };
            notes.push(Provenance::new(what, Some(&export.at)));
        }
    }
}

/// Imports of parts of an export that the subject is not in.
fn narrower_imports(
    world: &World<'_>,
    account: AccountId,
    export: &Export,
    subject: &[u8],
    taken: &[&StreamHop],
    notes: &mut Vec<Provenance>,
) {
    for (importer, other) in world.accounts() {
        if taken.iter().any(|hop| hop.to == importer) {
            continue;
        }
        for import in other.imports.iter().filter(|import| !import.service) {
            let (pattern, own) = (import.subject.as_bytes(), export.subject.as_bytes());
            let of_it = *import.account.0 == *world.name(account) && is_subset(pattern, own);
            if of_it && !pattern_matches(pattern, subject) {
                let what = format!(
                    "{:?} imports only {:?} of the stream {:?}",
                    other.name, import.subject, export.subject
                );
                notes.push(Provenance::new(what, Some(&import.at)));
            }
        }
    }
}

/// Services that the subject would be a request to, if they were imported, or imported by that name.
fn service_misses(
    world: &World<'_>,
    account: AccountId,
    subject: &[u8],
    taken: &[&ServiceHop],
    notes: &mut Vec<Provenance>,
) {
    let Some(own) = world.account(account) else {
        return;
    };
    let subject = text(subject);
    for (exporter, other) in world.accounts() {
        if exporter == account || taken.iter().any(|hop| hop.to == exporter) {
            continue;
        }
        if left_out::is_import(world, Some(account), exporter, (true, subject.as_bytes())) {
            continue;
        }
        let import = asked(other, &subject, true);
        let renamed = own.imports.iter().find(|import| {
            import.service
                && import.account.0 == other.name
                && pattern_matches(import.subject.as_bytes(), subject.as_bytes())
        });
        if let Some(renamed) = renamed {
            let what = format!(
                "the service {:?} of {:?} is {:?} here: publish to that",
                renamed.subject,
                other.name,
                renamed.local()
            );
            notes.push(Provenance::new(what, Some(&renamed.at)));
            continue;
        }
        match world.permit(account, &import) {
            Permit::Granted(export) | Permit::Private(export) => {
                notes.push(unused(world, account, &import, export));
            }
            Permit::NotExported | Permit::NoAccount => {}
        }
    }
}

/// Something that is exported, and not imported.
fn unused(world: &World<'_>, importer: AccountId, import: &Import, export: &Export) -> Provenance {
    let (name, (exporter, _)) = (world.name(importer), &import.account);
    let kind = if import.service { "service" } else { "stream" };
    let permit = world.permit(importer, import);
    let not = match (&permit, export.account_token_position, &export.accounts) {
        (Permit::Granted(_), ..) => None,
        (_, Some(position), _) => Some(format!(
            "is only for the account whose name is token {position}"
        )),
        (_, None, accounts) => Some(private(world, accounts.as_deref().unwrap_or_default())),
    };
    let what = match not {
        Some(not) => format!(
            "no import takes {:?} from {exporter:?}: the exported {kind} {:?} {not}",
            import.subject, export.subject
        ),
        None => format!(
            "{name:?} does not import {:?} from {exporter:?}, although the {kind} {:?} is exported",
            import.subject, export.subject
        ),
    };
    Provenance::new(what, Some(&export.at))
}

/// Whom an export is for, of which only some may import.
fn private(world: &World<'_>, accounts: &[(String, Position)]) -> String {
    if world.tokens.is_some() {
        return "needs an activation token".to_owned();
    }
    let names: Vec<String> = accounts
        .iter()
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    format!("is private to {}", names.join(", "))
}

/// The import that somebody might have meant to write.
fn asked(exporter: &Account, subject: &str, service: bool) -> Import {
    let at = Position {
        file: "".into(),
        line: 1,
        column: 1,
    };
    Import {
        service,
        account: (exporter.name.clone(), at.clone()),
        subject: subject.to_owned(),
        prefix: None,
        to: None,
        share: false,
        allow_trace: false,
        at,
    }
}

fn is_stream(export: &Export) -> bool {
    matches!(export.kind, ExportKind::Stream)
}

//! Imports and mappings in the JWTs of accounts that do not hold, as far as they concern what is asked. Finds nothing out: what
//! holds is decided where accounts are made of JWTs.

use crate::account::AccountId;
use crate::auth::jwt::{Failure, LeftOut};
use crate::config::Import;
use crate::subject::{overlaps, pattern_matches};

use super::World;
use super::report::Provenance;
use super::route::note;

/// Those that might have taken a message on `subject` of an account somewhere.
pub(super) fn published(
    world: &World<'_>,
    account: AccountId,
    subject: &[u8],
    across: bool,
) -> Vec<Provenance> {
    let account = world.name(account);
    let takes = |failure: &&Failure| {
        let own = failure.account == account;
        match &failure.what {
            LeftOut::Mapping(source) => own && pattern_matches(source.as_bytes(), subject),
            LeftOut::Import(import) if import.service => {
                own && names(import).any(|name| overlaps(&name, subject))
            }
            LeftOut::Import(import) => {
                let pattern = import.subject.as_bytes();
                !across && import.account.0 == account && pattern_matches(pattern, subject)
            }
        }
    };
    all(world).filter(takes).map(|f| told(world, f)).collect()
}

/// Those that might have fed a subscription on `pattern` of an account.
pub(super) fn subscribed(world: &World<'_>, account: AccountId, pattern: &[u8]) -> Vec<Provenance> {
    let account = world.name(account);
    let feeds = |failure: &&Failure| match &failure.what {
        LeftOut::Mapping(_) => false,
        LeftOut::Import(import) if import.service => {
            import.account.0 == account && overlaps(import.subject.as_bytes(), pattern)
        }
        LeftOut::Import(import) => {
            failure.account == account && names(import).any(|name| overlaps(&name, pattern))
        }
    };
    all(world).filter(feeds).map(|f| told(world, f)).collect()
}

/// Whether an import of anything of this stream or service is among them. `importer` may be anybody.
pub(super) fn is_import(
    world: &World<'_>,
    importer: Option<AccountId>,
    exporter: AccountId,
    (service, subject): (bool, &[u8]),
) -> bool {
    let (importer, exporter) = (importer.map(|id| world.name(id)), world.name(exporter));
    all(world).any(|failure| match &failure.what {
        LeftOut::Mapping(_) => false,
        LeftOut::Import(import) => {
            importer.is_none_or(|importer| failure.account == importer)
                && import.account.0 == exporter
                && import.service == service
                && overlaps(import.subject.as_bytes(), subject)
        }
    })
}

fn all<'w>(world: &World<'w>) -> impl Iterator<Item = &'w Failure> {
    world.tokens.into_iter().flat_map(|tokens| &tokens.failures)
}

/// What the importer calls it and what the exporter does: somebody may have meant either.
fn names(import: &Import) -> impl Iterator<Item = Vec<u8>> {
    let transform = import.transform().ok();
    let local = transform.map(|transform| match import.service {
        true => transform.source().to_vec(),
        false => import.local().into_bytes(),
    });
    local
        .into_iter()
        .chain([import.subject.clone().into_bytes()])
}

fn told(world: &World<'_>, failure: &Failure) -> Provenance {
    let Failure {
        account, what, why, ..
    } = failure;
    let why = match what {
        LeftOut::Import(import) => {
            let absent = world
                .tokens
                .and_then(|tokens| tokens.absent(&import.account.0));
            absent.unwrap_or_else(|| why.clone())
        }
        LeftOut::Mapping(_) => why.clone(),
    };
    note(format!(
        "left out of the JWT of account {account}: {what}: {why}"
    ))
}

//! The road of a message through mappings, permissions, streams and services, by the tables that the broker runs on.
//! Finds the way; what could be meant where it ends is `near`'s to say.

use crate::account::AccountId;
use crate::account::table::{Fate, ServiceHop, StreamHop, THRESHOLD_MS_DEFAULT};
use crate::broker::user_info::asks_for_user;
use crate::subject::{Transform, has_empty_token};

use super::passed::Passed;
use super::report::{
    Answers, Item, Provenance, Reader, Route, ServiceStep, Stop, StreamStep, Way, text,
};
use super::{Who, World, near, verdict};

/// Walks the roads of one message.
pub(super) struct Walk<'w, 'c> {
    pub(super) world: &'w World<'c>,
    /// The reply that clients of the requestor's account answer to; `None` where no answers are asked for.
    pub(super) reply: Option<&'w [u8]>,
}

/// A subject in an account, and how it came there.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    account: AccountId,
    subject: &'a [u8],
    /// Who publishes it there; `None` for what comes from another account.
    publisher: Option<&'a Who>,
    /// What it has passed so far.
    passed: Passed<'a>,
}

impl Walk<'_, '_> {
    /// Where a message goes that `who` publishes.
    pub(super) fn published(&self, who: &Who, subject: &[u8]) -> Route {
        self.route(Arrival {
            account: who.account,
            subject,
            publisher: Some(who),
            passed: Passed::NONE,
        })
    }

    /// Through the mappings of the account.
    fn route(&self, arrival: Arrival<'_>) -> Route {
        let table = self.world.table.account(arrival.account);
        let mapping = table.mapping(arrival.subject);
        let mut shadowed = Vec::new();
        let mut ways = Vec::new();
        if let Some(mapping) = mapping {
            table.mappings(arrival.subject, |other| {
                if !std::ptr::eq(other, mapping) {
                    shadowed.push(self.mapping_item(arrival.account, other));
                }
            });
            for (share, fate) in shares(|chance| mapping.fate(chance)) {
                ways.push(self.way(arrival, share, fate));
            }
        } else {
            ways.push(self.way(arrival, 100, Fate::Stays));
        }
        shadowed.sort_by(|a, b| a.at.cmp(&b.at));
        Route {
            account: self.world.name(arrival.account).to_owned(),
            subject: text(arrival.subject),
            mapping: mapping.map(|mapping| self.mapping_item(arrival.account, mapping)),
            shadowed,
            ways,
        }
    }

    fn mapping_item(&self, account: AccountId, mapping: &crate::account::table::Mapping) -> Item {
        let written = self.world.mapping(account, mapping);
        Item::new(written.source.as_str(), &written.at)
    }

    fn way(&self, arrival: Arrival<'_>, share: u8, fate: Fate<'_>) -> Way {
        let mut subject = Vec::new();
        match fate {
            Fate::Goes(transform) => transform.apply(arrival.subject, 0, &mut subject),
            Fate::Stays => subject.extend_from_slice(arrival.subject),
            Fate::Lost => {}
        }
        let system = self.world.table.system == Some(arrival.account);
        let permission = arrival
            .publisher
            .map(|who| verdict::publish(who.permissions.as_deref(), &subject, system));
        let lost = matches!(fate, Fate::Lost);
        let goes = !lost && permission.as_ref().is_none_or(|verdict| verdict.allowed);
        Way {
            share,
            subject: (!lost).then(|| text(&subject)),
            random: matches!(fate, Fate::Goes(transform) if transform.is_random()),
            permission,
            stop: goes.then(|| {
                self.stop(Arrival {
                    subject: &subject,
                    ..arrival
                })
            }),
        }
    }

    /// Who gets a subject in an account, and where it goes from there.
    fn stop(&self, arrival: Arrival<'_>) -> Stop {
        let Arrival {
            account, subject, ..
        } = arrival;
        let across = arrival.publisher.is_none();
        let table = self.world.table.account(account);
        let mut streams: Vec<&StreamHop> = Vec::new();
        if !across {
            table.streams(subject, |hop| streams.push(hop));
        }
        let mut services: Vec<&ServiceHop> = Vec::new();
        table.services(subject, across, |hop| services.push(hop));
        streams.sort_by_key(|hop| (hop.to, hop.via));
        services.sort_by_key(|hop| hop.via);
        let mut notes =
            near::published(self.world, account, subject, across, (&streams, &services));
        if across && subject.starts_with(b"_R_.") {
            notes.clear();
        }
        let reply = if across {
            Some(verdict::ANSWER)
        } else {
            self.reply
        };
        Stop {
            account: self.world.name(account).to_owned(),
            subject: text(subject),
            across,
            readers: self.readers(account, subject, self.reply.and(reply)),
            by_jwt: self.world.tokens.is_some() && !has_empty_token(subject),
            answered: !across && asks_for_user(subject) && self.world.table.system.is_some(),
            streams: streams
                .iter()
                .map(|hop| self.stream(subject, hop))
                .collect(),
            services: services
                .iter()
                .map(|hop| self.service(arrival, hop))
                .collect(),
            notes,
        }
    }

    fn readers(&self, account: AccountId, subject: &[u8], reply: Option<&[u8]>) -> Vec<Reader> {
        if has_empty_token(subject) {
            return Vec::new();
        }
        let reader = |who: &Who| {
            let permissions = who.permissions.as_deref();
            Reader {
                user: who.user.as_deref().map(str::to_owned),
                sees: verdict::sees(permissions, subject),
                answers: reply.map(|reply| verdict::answers(permissions, reply)),
            }
        };
        self.world.members(account).map(reader).collect()
    }

    fn stream(&self, subject: &[u8], hop: &StreamHop) -> StreamStep {
        let seen = applied(&hop.transform, subject);
        let (import, export) = self.world.import_items(hop.to, hop.via);
        StreamStep {
            account: self.world.name(hop.to).to_owned(),
            subject: text(&seen),
            import,
            export,
            readers: self.readers(hop.to, &seen, None),
            by_jwt: self.world.tokens.is_some(),
        }
    }

    fn service(&self, arrival: Arrival<'_>, hop: &ServiceHop) -> ServiceStep {
        let there = applied(&hop.transform, arrival.subject);
        let (import, export) = self.world.import_items(arrival.account, hop.via);
        ServiceStep {
            import,
            export,
            share: hop.share,
            answers: Answers {
                many: hop.many_answers,
                threshold_ms: hop.threshold_ms.unwrap_or(THRESHOLD_MS_DEFAULT),
            },
            route: arrival.passed.and(hop.export).map(|passed| {
                self.route(Arrival {
                    account: hop.to,
                    subject: &there,
                    publisher: None,
                    passed,
                })
            }),
        }
    }
}

/// A subject behind a hop.
fn applied(transform: &Option<Transform>, subject: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match transform {
        None => out.extend_from_slice(subject),
        Some(transform) => transform.apply(subject, 0, &mut out),
    }
    out
}

/// What becomes of how many of a hundred messages.
fn shares<'a>(fate: impl Fn(u8) -> Fate<'a>) -> Vec<(u8, Fate<'a>)> {
    let same = |a: &Fate<'_>, b: &Fate<'_>| match (a, b) {
        (Fate::Goes(a), Fate::Goes(b)) => std::ptr::eq(*a, *b),
        (Fate::Stays, Fate::Stays) | (Fate::Lost, Fate::Lost) => true,
        _ => false,
    };
    let mut shares: Vec<(u8, Fate<'a>)> = Vec::new();
    for chance in 0..100 {
        let fate = fate(chance);
        match shares.last_mut() {
            Some((share, last)) if same(last, &fate) => *share += 1,
            _ => shares.push((1, fate)),
        }
    }
    shares
}

/// A mapping that would take answers elsewhere, as the report shows it.
pub(super) fn mapping_of(world: &World<'_>, account: AccountId, subject: &[u8]) -> Option<Item> {
    let mapping = world.table.account(account).mapping(subject)?;
    let written = world.mapping(account, mapping);
    let to: Vec<&str> = written
        .destinations
        .iter()
        .map(|way| way.subject.as_str())
        .collect();
    Some(Item {
        to: Some(to.join(", ")),
        ..Item::new(written.source.as_str(), &written.at)
    })
}

/// A line without a place.
pub(super) fn note(what: impl Into<String>) -> Provenance {
    Provenance::new(what, None)
}

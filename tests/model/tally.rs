//! What plays have shown. Owns counts only: a play in which something never happens proves nothing about it.

use super::naive::{Chances, Message, Model, Seen};

/// Counts of what was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Imports left out because they closed a cycle.
    pub cycles: u64,
    /// Deliveries to plain subscriptions.
    pub plain: u64,
    /// Deliveries to one of a group.
    pub queued: u64,
    /// Of those, groups with members in several accounts.
    pub queued_across: u64,
    /// Stream deliveries to another account under another subject.
    pub renamed: u64,
    /// Requests to another account.
    pub asked: u64,
    /// Requests that came through a third one.
    pub chained: u64,
    /// Answers from another account.
    pub answered: u64,
    /// Answers that came too late, or once too often.
    pub unanswered: u64,
    /// Answers that ask back.
    pub asked_back: u64,
    /// Told that nobody is there.
    pub nobody: u64,
    /// Messages whose mapping was left to chance.
    pub chanced: u64,
}

impl Tally {
    /// Counts a message and what came of it.
    pub fn count(
        &mut self,
        message: &Message,
        all: &[Vec<Seen>],
        chances: &Chances,
        model: &Model,
    ) {
        let account = |seen: &Seen| model.clients[seen.client].account;
        let own = model.clients[message.from].account;
        let answers = message.subject.starts_with("_R_.");
        let mut crossed = false;
        for group in all {
            let seen = &group[0];
            let across = account(seen) != own;
            crossed |= across;
            let for_one = seen.nobody.is_none() && group.len() == 1;
            self.plain += u64::from(for_one);
            self.queued += u64::from(group.len() > 1 && seen.nobody.is_none());
            self.queued_across += u64::from(group.iter().any(|one| account(one) != account(seen)));
            self.renamed +=
                u64::from(across && seen.asker.is_none() && seen.subject != message.subject);
            let asked = seen
                .reply
                .as_ref()
                .is_some_and(|reply| reply.starts_with("_R_."));
            self.asked += u64::from(asked && !answers);
            self.chained += u64::from(
                seen.asker
                    .as_ref()
                    .is_some_and(|(_, through)| through.is_some()),
            );
            self.asked_back += u64::from(asked && answers);
            self.nobody += u64::from(seen.nobody.is_some());
        }
        self.answered += u64::from(answers && crossed);
        self.unanswered += u64::from(answers && !crossed);
        self.chanced += u64::from(chances.were_taken());
    }

    /// Adds those of another play.
    pub fn add(&mut self, mut other: Tally) {
        for ((_, sum), (_, count)) in self.all().into_iter().zip(other.all()) {
            *sum += *count;
        }
    }

    /// What was never seen.
    pub fn missing(mut self) -> Vec<&'static str> {
        let all = self.all().into_iter();
        all.filter(|(_, count)| **count == 0)
            .map(|(what, _)| what)
            .collect()
    }

    fn all(&mut self) -> [(&'static str, &mut u64); 12] {
        [
            ("cycles", &mut self.cycles),
            ("plain deliveries", &mut self.plain),
            ("queue deliveries", &mut self.queued),
            ("groups across accounts", &mut self.queued_across),
            ("renamed streams", &mut self.renamed),
            ("requests", &mut self.asked),
            ("chains", &mut self.chained),
            ("answers", &mut self.answered),
            ("answers that vanish", &mut self.unanswered),
            ("answers that ask back", &mut self.asked_back),
            ("503", &mut self.nobody),
            ("mappings left to chance", &mut self.chanced),
        ]
    }
}

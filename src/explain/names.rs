//! Keys of users and accounts as a page shows them: by name, where that is clear. Finds no name out.

use super::report::Report;

/// Keys with the names that stand for them.
pub(super) struct Names<'r>(Vec<(&'r str, &'r str)>);

impl<'r> Names<'r> {
    /// Those of a report. A name that two have is none.
    pub(super) fn of(report: &'r Report) -> Names<'r> {
        let chain = report.who.jwt.as_ref();
        let links = chain.into_iter().flat_map(|chain| {
            let own = chain.account.as_ref();
            [Some(&chain.user), own].into_iter().flatten()
        });
        let of_links = links.map(|link| (link.key.as_str(), link.name.as_str()));
        let of_others = report.names.iter();
        let of_others = of_others.map(|(key, name)| (key.as_str(), name.as_str()));
        let mut all: Vec<_> = of_links.chain(of_others).collect();
        all.sort_unstable();
        all.dedup();
        let clear = |(_, name): &&(&str, &str)| {
            !name.is_empty() && all.iter().filter(|(_, other)| other == name).count() == 1
        };
        Names(all.iter().filter(clear).copied().collect())
    }

    /// The text with names in place of keys. No key is part of another word by chance.
    pub(super) fn read(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (key, name)| {
            let name = format!("{name:?}");
            text.replace(&format!("{key:?}"), &name).replace(key, &name)
        })
    }
}

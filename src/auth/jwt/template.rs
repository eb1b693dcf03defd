//! Templates of scoped signing keys: `{{name()}}` and the like in subjects. Owns their expansion, as the oracle does it; never
//! checks who signed.

use std::fmt;

use crate::subject::is_pattern;

use super::account::AccountClaims;
use super::user::{UserClaims, UserLimits};

/// Most subjects that one list may become where tags have several values.
pub const EXPANSIONS_MAX: usize = 4096;

/// Why a template gives no permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// No such function.
    Function(String),
    /// A denied subject names a tag that is not there, or comes out as no subject: who could tell what it meant to deny?
    Denied(String),
    /// More than [`EXPANSIONS_MAX`] subjects.
    TooMany,
}

/// What a user of a scoped signing key may do: the template with everything put in.
///
/// An allowed subject that names a tag the user has not got, or that comes out as no subject, is left out; a denied one is an
/// error. A list of allowed subjects of which none is left allows nothing.
///
/// # Errors
/// See [`TemplateError`].
pub fn expand(
    template: &UserLimits,
    user: &UserClaims,
    account: &AccountClaims,
) -> Result<UserLimits, TemplateError> {
    let source = Source { user, account };
    let mut limits = template.clone();
    for lists in [
        &mut limits.permissions.publish,
        &mut limits.permissions.subscribe,
    ] {
        let allowed_some = !lists.allowed().is_empty();
        if allowed_some {
            lists.allow = Some(source.list(lists.allowed(), OnBad::LeaveOut)?);
        }
        lists.deny = source.list(&lists.deny, OnBad::Fail)?;
        if allowed_some && lists.allowed().is_empty() {
            lists.deny.push(">".to_owned());
        }
    }
    Ok(limits)
}

/// What one entry of a template stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// Its list, as claims name it: `pub.allow`.
    pub list: &'static str,
    /// The entry.
    pub entry: String,
    /// Subjects, none where it is left out.
    pub subjects: Result<Vec<String>, TemplateError>,
}

/// What each entry comes to that `expand` puts something into.
pub fn expansions(
    template: &UserLimits,
    user: &UserClaims,
    account: &AccountClaims,
) -> Vec<Expansion> {
    let source = Source { user, account };
    let permissions = &template.permissions;
    let lists = [
        ("pub.allow", permissions.publish.allowed(), OnBad::LeaveOut),
        ("pub.deny", &permissions.publish.deny, OnBad::Fail),
        (
            "sub.allow",
            permissions.subscribe.allowed(),
            OnBad::LeaveOut,
        ),
        ("sub.deny", &permissions.subscribe.deny, OnBad::Fail),
    ];
    let filled = lists.into_iter().flat_map(|(list, entries, on_bad)| {
        let marked = entries.iter().filter(|entry| !marks(entry).is_empty());
        marked.map(move |entry| (list, entry, on_bad))
    });
    let expansion = |(list, entry, on_bad): (_, &String, _)| Expansion {
        list,
        entry: entry.clone(),
        subjects: source.entry(entry, on_bad, 0),
    };
    filled.map(expansion).collect()
}

/// What to do about a subject that comes out wrong.
#[derive(Clone, Copy, PartialEq)]
enum OnBad {
    LeaveOut,
    Fail,
}

/// Where values come from.
struct Source<'a> {
    user: &'a UserClaims,
    account: &'a AccountClaims,
}

impl Source<'_> {
    /// A list without any template stays as it is; in one with some, what is no subject (an entry with a queue, too) is bad.
    fn list(&self, entries: &[String], on_bad: OnBad) -> Result<Vec<String>, TemplateError> {
        if !entries.iter().any(|entry| !marks(entry).is_empty()) {
            return Ok(entries.to_vec());
        }
        let mut out = Vec::new();
        for entry in entries {
            let subjects = self.entry(entry, on_bad, out.len())?;
            out.extend(subjects);
        }
        Ok(out)
    }

    /// What one entry of such a list becomes, behind so many others.
    fn entry(
        &self,
        entry: &str,
        on_bad: OnBad,
        before: usize,
    ) -> Result<Vec<String>, TemplateError> {
        let marks = marks(entry);
        let mut out = Vec::new();
        let mut values = Vec::new();
        let mut tags = false;
        for mark in &marks {
            let (found, is_tag) = self.values(entry, mark, on_bad)?;
            tags |= is_tag;
            values.push(found);
        }
        check_count(before, &values, tags)?;
        for choice in Product::new(&values) {
            let subject = filled_in(entry, &marks, &choice);
            match (is_pattern(subject.as_bytes()), on_bad) {
                (true, _) => out.push(subject),
                (false, OnBad::LeaveOut) => {}
                (false, OnBad::Fail) => return Err(TemplateError::Denied(entry.to_owned())),
            }
        }
        Ok(out)
    }

    /// What a mark stands for, and whether it is a tag. There is always something: what stands for nothing makes no subject.
    fn values(
        &self,
        entry: &str,
        mark: &str,
        on_bad: OnBad,
    ) -> Result<(Vec<String>, bool), TemplateError> {
        let inner = mark.strip_prefix("{{").unwrap_or(mark);
        let operation = inner.strip_suffix("}}").unwrap_or(inner).trim();
        let is = |name: &str| operation.eq_ignore_ascii_case(name);
        let one = |text: &str| Ok((vec![text.to_owned()], false));
        if is("name()") {
            return one(&self.user.common.name);
        }
        if is("subject()") {
            return one(&self.user.common.subject);
        }
        if is("account-name()") {
            return one(&self.account.common.name);
        }
        if is("account-subject()") {
            return one(&self.user.issuer_account);
        }
        let (tags, name) = if let Some(name) = tag_name(operation, "account-tag(") {
            (&self.account.common.tags, name)
        } else if let Some(name) = tag_name(operation, "tag(") {
            (&self.user.common.tags, name)
        } else {
            return Err(TemplateError::Function(operation.to_owned()));
        };
        let prefix = format!("{}:", name.to_lowercase());
        let found = tags.iter().filter_map(|tag| tag.strip_prefix(&prefix));
        let found: Vec<String> = found.map(str::to_owned).collect();
        match (found.is_empty(), on_bad) {
            (false, _) => Ok((found, true)),
            (true, OnBad::LeaveOut) => Ok((vec![" ".to_owned()], true)),
            (true, OnBad::Fail) => Err(TemplateError::Denied(entry.to_owned())),
        }
    }
}

/// The name in `tag(name)`. The function's case is free, yet what is not in lower case stays part of the name.
fn tag_name<'a>(operation: &'a str, function: &str) -> Option<&'a str> {
    let head = operation.get(..function.len())?;
    if !head.eq_ignore_ascii_case(function) {
        return None;
    }
    let name = operation.strip_suffix(')')?;
    Some(name.strip_prefix(function).unwrap_or(name))
}

/// Every `{{…}}` of an entry that has no `}` inside.
fn marks(entry: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = entry[at..].find("{{").map(|place| at + place) {
        let body = entry[start + 2..].find('}').unwrap_or(0);
        let end = start + 2 + body;
        if body > 0 && entry[end..].starts_with("}}") {
            found.push(&entry[start..end + 2]);
            at = end + 2;
        } else {
            at = start + 1;
        }
    }
    found
}

fn filled_in(entry: &str, marks: &[&str], values: &[&str]) -> String {
    let each = marks.iter().zip(values);
    each.fold(entry.to_owned(), |text, (mark, value)| {
        text.replace(mark, value)
    })
}

/// Only tags can have many values.
fn check_count(before: usize, values: &[Vec<String>], tags: bool) -> Result<(), TemplateError> {
    let mut lengths = values.iter().map(Vec::len);
    let count = lengths.try_fold(1usize, |product, length| product.checked_mul(length));
    match count {
        Some(count) if !tags || before + count <= EXPANSIONS_MAX => Ok(()),
        _ => Err(TemplateError::TooMany),
    }
}

/// Every choice of one value from each list, the last list's values changing first.
struct Product<'a> {
    lists: &'a [Vec<String>],
    next: Option<Vec<usize>>,
}

impl<'a> Product<'a> {
    fn new(lists: &'a [Vec<String>]) -> Self {
        let possible = lists.iter().all(|list| !list.is_empty());
        Product {
            lists,
            next: possible.then(|| vec![0; lists.len()]),
        }
    }
}

impl Product<'_> {
    fn after(&self, mut places: Vec<usize>) -> Option<Vec<usize>> {
        for at in (0..places.len()).rev() {
            places[at] += 1;
            if places[at] < self.lists[at].len() {
                return Some(places);
            }
            places[at] = 0;
        }
        None
    }
}

impl<'a> Iterator for Product<'a> {
    type Item = Vec<&'a str>;

    fn next(&mut self) -> Option<Vec<&'a str>> {
        let places = self.next.take()?;
        let chosen = self.lists.iter().zip(&places);
        let chosen = chosen.map(|(list, place)| list[*place].as_str()).collect();
        self.next = self.after(places);
        Some(chosen)
    }
}

impl std::error::Error for TemplateError {}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::Function(name) => write!(f, "there is no template function {name:?}"),
            TemplateError::Denied(entry) => {
                write!(f, "the denied subject {entry:?} cannot be filled in")
            }
            TemplateError::TooMany => write!(f, "more than {EXPANSIONS_MAX} subjects"),
        }
    }
}

//! The lines of the page about a JWT and those behind it. Finds nothing out.

use super::super::report::Provenance;
use super::chain::{Chain, Expanded, Given, Grant, Link, Lists};

/// Lines, those about others indented.
pub(in crate::explain) fn lines(chain: &Chain) -> Vec<String> {
    let mut lines = Vec::new();
    link(&mut lines, "user", &chain.user);
    if let Some(account) = &chain.account {
        link(&mut lines, "account", account);
    }
    if let Some(role) = &chain.scope {
        lines.push(format!(
            "scope {role:?}: its template says all that the user may do"
        ));
        lines.extend(chain.template.iter().map(expanded));
    }
    if let Some(grant) = &chain.grant {
        granted(&mut lines, grant);
    }
    lines.extend(chain.wrong.iter().map(|wrong| format!("wrong: {wrong}")));
    lines
}

fn link(lines: &mut Vec<String>, kind: &str, link: &Link) {
    let from = match &link.from {
        Some(Provenance { what, at: Some(at) }) => format!(", from {what} at {at}"),
        Some(Provenance { what, at: None }) => format!(", from {what}"),
        None => String::new(),
    };
    let tags = match link.tags.is_empty() {
        true => String::new(),
        false => format!(", tags {}", link.tags.join(" ")),
    };
    let (key, name) = (&link.key, &link.name);
    lines.push(format!("{kind} {name:?} is {key}{tags}{from}"));
    let begins = link.not_before.as_ref();
    let begins = begins.map_or_else(String::new, |time| format!(", counts from {time}"));
    let ends = match &link.expires {
        Some(time) => format!("expires {time}"),
        None => "does not expire".to_owned(),
    };
    lines.push(format!(
        "  its JWT was issued {}{begins}, {ends}",
        link.issued
    ));
    lines.push(format!("  signed by {}, {}", link.issuer, link.signer_text));
}

fn expanded(entry: &Expanded) -> String {
    let outcome = match (&entry.error, entry.subjects.as_slice()) {
        (Some(error), _) => format!("cannot be filled in: {error}"),
        (None, []) => "is left out: nothing to fill in, or no subject comes of it".to_owned(),
        (None, subjects) => format!("is {}", subjects.join(", ")),
    };
    format!("  {} {:?} {outcome}", entry.list, entry.entry)
}

fn granted(lines: &mut Vec<String>, grant: &Grant) {
    lines.push(match grant.permissions_of {
        Given::User => "permissions of its JWT:".to_owned(),
        Given::Scope => "permissions of the scope:".to_owned(),
        Given::AccountDefault => {
            "it has none, the default permissions of the account apply:".to_owned()
        }
        Given::Nobody => "it has no permissions: nothing restricts it".to_owned(),
    });
    for (name, lists) in [("publish", &grant.publish), ("subscribe", &grant.subscribe)] {
        lines.extend(listed(name, lists));
    }
    if let Some(responses) = &grant.responses {
        lines.push(format!("  answers: {responses}"));
    }
    if grant.bearer {
        lines.push("bearer: whoever has the JWT needs no key".to_owned());
    }
    for (name, values) in [
        ("connection types", &grant.connection_types),
        ("networks", &grant.networks),
    ] {
        if !values.is_empty() {
            lines.push(format!("{name}: {}", values.join(", ")));
        }
    }
    if !grant.times.is_empty() {
        let zone = grant
            .zone
            .as_deref()
            .unwrap_or("the time zone of the server");
        lines.push(format!("times: {} ({zone})", grant.times.join(", ")));
    }
}

fn listed(name: &str, lists: &Lists) -> Option<String> {
    let parts = [("allow", &lists.allow), ("deny", &lists.deny)];
    let said = parts
        .into_iter()
        .filter(|(_, patterns)| !patterns.is_empty());
    let said: Vec<String> = said
        .map(|(kind, patterns)| format!("{kind} {}", patterns.join(", ")))
        .collect();
    (!said.is_empty()).then(|| format!("  {name}: {}", said.join("; ")))
}

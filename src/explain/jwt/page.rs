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
        false => {
            let tags: Vec<String> = link.tags.iter().map(|tag| format!("{tag:?}")).collect();
            format!(", tags {}", tags.join(" "))
        }
    };
    let (key, name) = (&link.key, &link.name);
    lines.push(format!("{kind} {name:?} is {key}{tags}{from}"));
    let counts = match (&link.not_before, &link.expires) {
        (None, None) => "does not expire".to_owned(),
        (Some(begins), None) => format!("valid from {begins}, does not expire"),
        (None, Some(ends)) => format!("valid until {ends}"),
        (Some(begins), Some(ends)) => format!("valid from {begins} until {ends}"),
    };
    lines.push(format!("  its JWT: issued {}, {counts}", link.issued));
    lines.push(format!("  signed by {}, {}", link.issuer, link.signer_text));
}

fn expanded(entry: &Expanded) -> String {
    let outcome = match (&entry.error, entry.subjects.as_slice()) {
        (Some(error), _) => format!("keeps the user out: {error}"),
        (None, []) => {
            "is left out: there is nothing to fill in, or what comes of it is no subject".to_owned()
        }
        (None, subjects) => format!("is {}", subjects.join(", ")),
    };
    format!("  {} {:?} {outcome}", entry.list, entry.entry)
}

fn granted(lines: &mut Vec<String>, grant: &Grant) {
    lines.push(match grant.permissions_of {
        Given::User => "permissions, by its JWT:".to_owned(),
        Given::Scope => "permissions, by the scope:".to_owned(),
        Given::AccountDefault => {
            "it has no permissions of its own: the default ones of its account apply:".to_owned()
        }
        Given::Nobody if grant.publish.deny.is_empty() => {
            "it has no permissions: nothing restricts it".to_owned()
        }
        Given::Nobody => "it has no permissions: nothing restricts it but this:".to_owned(),
    });
    for (name, lists) in [("publish", &grant.publish), ("subscribe", &grant.subscribe)] {
        lines.extend(listed(name, lists));
    }
    if let Some(responses) = &grant.responses {
        lines.push(format!("  answers: {responses}"));
    }
    if grant.bearer {
        lines.push("bearer: whoever has the JWT needs no seed".to_owned());
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

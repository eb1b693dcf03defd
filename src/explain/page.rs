//! An explanation as a page for a terminal: a head, then a tree. Finds nothing out, leaves out nothing but the ends of long lists.

use super::jwt;
use super::names::Names;
use super::report::{
    Action, Feeds, Inbox, Item, Provenance, Reader, Report, Route, ServiceStep, Source, SourceKind,
    Stop, StreamStep, Verdict, Way,
};
use super::verdict::duration;

/// Users that a line names at most.
const USERS_SHOWN: usize = 8;

/// Remarks that are shown at most at one place.
const REMARKS_SHOWN: usize = 12;

/// Prints a report.
pub fn page(report: &Report) -> String {
    let names = Names::of(report);
    let mut out = names.read(&title(report));
    head(&mut out, report, &names);
    for (label, why) in [
        ("refused", &report.refused),
        ("nobody can say whether it is let in", &report.unclear),
    ] {
        if let Some(why) = why {
            let gap = if out.ends_with("\n\n") { "" } else { "\n" };
            return out + gap + &format!("{label}: {why}\n");
        }
    }
    let tree = match (&report.route, &report.feeds) {
        (Some(route), _) => route_node(route, report),
        (None, Some(feeds)) => feeds_node(feeds, report),
        (None, None) => Node::new(""),
    };
    let mut below = String::from("\n");
    tree.print(&mut below);
    if let Some(inbox) = &report.inbox {
        below.push('\n');
        inbox_node(inbox).print(&mut below);
    }
    out + &names.read(&below)
}

/// A line, lines about it, and what follows from it.
#[derive(Default)]
struct Node {
    line: String,
    about: Vec<String>,
    children: Vec<Node>,
}

impl Node {
    fn new(line: impl Into<String>) -> Node {
        Node {
            line: line.into(),
            ..Node::default()
        }
    }

    fn print(&self, out: &mut String) {
        out.push_str(&self.line);
        out.push('\n');
        self.print_below(out, "");
    }

    fn print_below(&self, out: &mut String, indent: &str) {
        let bar = if self.children.is_empty() {
            "  "
        } else {
            "│ "
        };
        for line in &self.about {
            put(out, &format!("{indent}{bar}  {line}"));
        }
        for (at, child) in self.children.iter().enumerate() {
            let last = at + 1 == self.children.len();
            let (branch, below) = if last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            put(out, &format!("{indent}{branch}{}", child.line));
            child.print_below(out, &format!("{indent}{below}"));
        }
    }
}

fn put(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

fn title(report: &Report) -> String {
    let verb = match report.action {
        Action::Pub => "publish",
        Action::Sub => "subscribe to",
        Action::Request => "request",
    };
    let queue = report
        .queue
        .as_ref()
        .map(|queue| format!(" in the queue group {queue}"))
        .unwrap_or_default();
    let by = match &report.who.user {
        _ if report.who.account.is_empty() => "somebody unknown".to_owned(),
        Some(user) => format!("user {user:?} of account {:?}", report.who.account),
        None => format!("a client of account {:?}", report.who.account),
    };
    format!("{verb} {}{queue}, by {by}\n\n", report.subject)
}

fn head(out: &mut String, report: &Report, names: &Names<'_>) {
    for line in &report.who.provenance {
        put(out, &format!("  {}", placed(line)));
    }
    for line in report.who.jwt.iter().flat_map(jwt::lines) {
        put(out, &format!("  {line}"));
    }
    let own = |key: &String| *key == report.who.account;
    for (key, name) in report.names.iter().filter(|(key, _)| !own(key)) {
        put(out, &format!("  account {name:?} is {key}"));
    }
    if report.refused.is_some() || report.unclear.is_some() {
        return;
    }
    let limits: Vec<String> = (report.limits.iter())
        .map(|limit| {
            let at = limit
                .at
                .as_ref()
                .map(|at| format!(" ({at})"))
                .unwrap_or_default();
            format!("{} {}{at}", limit.name, limit.value)
        })
        .collect();
    let limits = names.read(&limits.join(", "));
    put(out, &format!("  limits: {limits}"));
}

fn route_node(route: &Route, report: &Report) -> Node {
    let mut node = Node::new(format!("{} in {:?}", route.subject, route.account));
    if let (None, [way]) = (&route.mapping, route.ways.as_slice()) {
        fill_way(&mut node, way, report);
        return node;
    }
    if let Some(mapping) = &route.mapping {
        node.about.push(format!("mapping {}", item(mapping)));
    }
    for other in &route.shadowed {
        node.about
            .push(format!("which shadows the mapping {}", item(other)));
    }
    for way in &route.ways {
        let example = if way.random { ", for example" } else { "" };
        let mut child = match &way.subject {
            None => Node::new(format!("{}%: lost", way.share)),
            Some(subject) if *subject == route.subject => {
                Node::new(format!("{}%: stays {subject}", way.share))
            }
            Some(subject) => Node::new(format!("{}%: {subject}{example}", way.share)),
        };
        fill_way(&mut child, way, report);
        node.children.push(child);
    }
    node
}

fn fill_way(node: &mut Node, way: &Way, report: &Report) {
    if let Some(permission) = &way.permission {
        node.about.push(format!("publish: {}", decided(permission)));
    }
    if way.subject.is_none() {
        node.about
            .push("no destination takes this share, and one of them is the subject itself".into());
    }
    if let Some(stop) = &way.stop {
        fill_stop(node, stop, report);
    }
}

fn fill_stop(node: &mut Node, stop: &Stop, report: &Report) {
    readers(node, (&stop.readers, stop.by_jwt), stop.across);
    for stream in &stop.streams {
        node.children.push(stream_node(stream));
    }
    for service in &stop.services {
        node.children.push(service_node(service, report));
    }
    let seen = stop.by_jwt || stop.readers.iter().any(|reader| reader.sees.allowed);
    if stop.answered {
        let text = "the broker itself answers a request, with what it knows of the user";
        node.children.push(Node::new(text));
    } else if stop.streams.is_empty() && stop.services.is_empty() && !(stop.across && seen) {
        let account = &stop.account;
        node.children.push(Node::new(format!(
            "it ends here: no import takes it out of {account:?}"
        )));
    }
    remarks(node, "not", &stop.notes);
}

fn stream_node(stream: &StreamStep) -> Node {
    let mut node = Node::new(format!(
        "stream to {:?} as {}",
        stream.account, stream.subject
    ));
    hop(&mut node, &stream.import, stream.export.as_ref());
    readers(&mut node, (&stream.readers, stream.by_jwt), false);
    node
}

fn service_node(service: &ServiceStep, report: &Report) -> Node {
    let route = match &service.route {
        None => {
            let mut node =
                Node::new("request that ends here: it has passed this export before, or too many");
            hop(&mut node, &service.import, service.export.as_ref());
            return node;
        }
        Some(route) => route,
    };
    let mut node = route_node(route, report);
    node.line = format!("request to {:?} as {}", route.account, route.subject);
    let mut about = Node::default();
    hop(&mut about, &service.import, service.export.as_ref());
    if service.share {
        about
            .about
            .push("the service is told who asks (share)".into());
    }
    let within = duration(service.answers.threshold_ms);
    about.about.push(match service.answers.many {
        true => format!("answers: until an empty one, each within {within}"),
        false => format!("answers: the first one, within {within}"),
    });
    about.about.append(&mut node.about);
    node.about = about.about;
    node
}

fn hop(node: &mut Node, import: &Item, export: Option<&Item>) {
    node.about.push(format!("import {}", item(import)));
    if let Some(export) = export {
        node.about.push(format!("export {}", item(export)));
    }
}

/// Who can see a subject, who cannot, and of those who see a request, who may answer.
fn readers(node: &mut Node, (readers, by_jwt): (&[Reader], bool), across: bool) {
    let name = |reader: &&Reader| match &reader.user {
        Some(user) => user.clone(),
        None => "clients without credentials".to_owned(),
    };
    let (seeing, blind): (Vec<&Reader>, Vec<&Reader>) =
        readers.iter().partition(|reader| reader.sees.allowed);
    if by_jwt && seeing.is_empty() {
        let verb = if across { "serve" } else { "see" };
        let text = format!("can {verb} it: any user of the account whose JWT allows it");
        node.about.push(text);
    } else if readers.is_empty() {
        node.about.push("no user can be there to see it".into());
    } else if seeing.is_empty() {
        node.about.push("no user may see it".into());
    } else {
        let verb = if across { "can serve it" } else { "can see it" };
        let others = match by_jwt {
            true => ", and any other user of the account whose JWT allows it",
            false => "",
        };
        let names = names(seeing.iter().map(name));
        node.about.push(format!("{verb}: {names}{others}"));
    }
    for reader in seeing
        .iter()
        .filter(|reader| reader.sees.why.starts_with("only "))
        .take(USERS_SHOWN)
    {
        node.about
            .push(format!("{}: {}", name(reader), reader.sees.why));
    }
    for reader in blind.iter().take(USERS_SHOWN) {
        node.about
            .push(format!("{} cannot: {}", name(reader), reader.sees.why));
    }
    if blind.len() > USERS_SHOWN {
        node.about
            .push(format!("and {} more cannot", blind.len() - USERS_SHOWN));
    }
    for reader in seeing.iter().take(USERS_SHOWN) {
        if let Some(answers) = &reader.answers {
            let may = if answers.allowed {
                "may answer"
            } else {
                "may not answer"
            };
            node.about
                .push(format!("{} {may}: {}", name(reader), answers.why));
        }
    }
}

fn names(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    match all.len() {
        count if count > USERS_SHOWN => {
            format!(
                "{} and {} more",
                all[..USERS_SHOWN].join(", "),
                count - USERS_SHOWN
            )
        }
        _ => all.join(", "),
    }
}

fn feeds_node(feeds: &Feeds, report: &Report) -> Node {
    let mut node = Node::new(format!("{} in {:?}", report.subject, report.who.account));
    node.about
        .push(format!("subscribe: {}", decided(&feeds.permission)));
    for rule in &feeds.withheld {
        node.about
            .push(format!("without what is denied by {}", item(rule)));
    }
    for source in &feeds.sources {
        node.children.push(source_node(source));
    }
    remarks(&mut node, "note", &feeds.notes);
    node
}

fn source_node(source: &Source) -> Node {
    let subject = match &source.subject {
        Some(subject) => subject.clone(),
        None => "some subjects".to_owned(),
    };
    let seen = match source.subject.as_ref() == Some(&source.seen) {
        true => String::new(),
        false => format!(", seen as {}", source.seen),
    };
    let account = &source.account;
    let mut node = Node::new(match source.kind {
        SourceKind::Own => {
            format!("what {account:?} publishes on {subject}, and answers to its requests there")
        }
        SourceKind::Mapping => format!("what {account:?} publishes on {subject}{seen}"),
        SourceKind::Stream => format!("the stream of {account:?} on {subject}{seen}"),
        SourceKind::Requests => format!("requests of {account:?} on {subject}{seen}"),
    });
    match (&source.by, source.kind) {
        (Some(by), SourceKind::Mapping) => node.about.push(format!("mapping {}", item(by))),
        (Some(by), _) => hop(&mut node, by, source.export.as_ref()),
        (None, _) => {}
    }
    node.children.extend(source.behind.iter().map(source_node));
    node
}

fn inbox_node(inbox: &Inbox) -> Node {
    let mut node = Node::new(format!("answers come to {}", inbox.subscription));
    node.about
        .push(format!("subscribe: {}", decided(&inbox.permission)));
    if let Some(rule) = &inbox.withheld {
        node.about
            .push(format!("they are not delivered: denied by {}", item(rule)));
    }
    if let Some(mapping) = &inbox.mapping {
        node.about
            .push(format!("a mapping takes them elsewhere: {}", item(mapping)));
    }
    node
}

/// `"foo.>" to "bar.>" at f.conf:12:9`.
fn item(item: &Item) -> String {
    let to = item
        .to
        .as_ref()
        .map(|to| format!(" as {to:?}"))
        .unwrap_or_default();
    format!("{:?}{to} at {}", item.subject, item.at)
}

fn placed(line: &Provenance) -> String {
    match &line.at {
        Some(at) => format!("{} at {at}", line.what),
        None => line.what.clone(),
    }
}

fn remarks(node: &mut Node, label: &str, lines: &[Provenance]) {
    for line in lines.iter().take(REMARKS_SHOWN) {
        let at = line.at.as_ref().map(|at| format!(" ({at})"));
        let what = &line.what;
        node.children.push(Node::new(format!(
            "{label}: {what}{}",
            at.unwrap_or_default()
        )));
    }
    if lines.len() > REMARKS_SHOWN {
        let more = lines.len() - REMARKS_SHOWN;
        node.children.push(Node::new(format!(
            "{label}: and {more} more, which --json has"
        )));
    }
}

fn decided(verdict: &Verdict) -> String {
    let refused = if verdict.allowed { "" } else { "refused, " };
    format!("{refused}{}", verdict.why)
}

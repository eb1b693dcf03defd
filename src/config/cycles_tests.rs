//! Owns the tests of cycles of imports: a large one, and random accounts against following single subjects.

use std::collections::HashMap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::parser::{self, Sources};
use super::tests::{load_text, render};
use super::{Config, schema};
use crate::subject::{Transform, pattern_matches};

#[test]
fn a_ring_of_many_accounts() {
    let account = |at: usize, next: usize| {
        format!(
            "A{at} {{ exports: [{{service: q}}], imports: [{{service: {{account: A{next}, subject: q}}}}] }}\n"
        )
    };
    let ring: String = (0..3000).map(|at| account(at, (at + 1) % 3000)).collect();
    let errors = load_text(&format!("accounts {{ {ring} }}")).expect_err("a cycle");
    let [error] = &errors[..] else {
        panic!("{} errors", errors.len());
    };
    assert_eq!(error.at.line, 1);
    assert!(
        error
            .text
            .starts_with("this service import is part of a cycle: A0 q -> A1 q -> A2 q ->"),
        "{error}"
    );
    assert!(error.text.ends_with("-> A2999 q -> A0 q"), "{error}");
}

/// Accounts that export everything, with some imports and mappings each.
fn random_accounts() -> impl Strategy<Value = String> {
    const NAMES: [&str; 3] = ["A", "B", "C"];
    let subject = || {
        select(vec![
            "a", "b", "a.b", "a.*", "*.b", "*.*", "a.>", "*.>", ">", "b.a.*",
        ])
    };
    let to = || {
        select(vec![
            "", "a", "b", "b.*", "*.a", "$2.$1", "a.$2.$1", "b.>", "a.b.>", ">", "a.*.>", "z.$1.a",
        ])
    };
    let import = (0..3_usize, any::<bool>(), subject(), to());
    let mapped = select(vec![
        "a", "b", "a.b", "a.*", "*.b", "*.*", "a.>", ">", "b.a.*",
    ]);
    let mapping = (
        mapped,
        select(vec!["a", "b", "b.$1", "$1.b", "$2.$1", "b.>"]),
        select(vec![0, 50, 100]),
    );
    vec((vec(import, 0..4), vec(mapping, 0..2)), 3).prop_map(|accounts| {
        let mut text = "accounts {\n".to_owned();
        for (name, (imports, mappings)) in NAMES.iter().zip(accounts) {
            text += &format!(
                "{name} {{ exports: [{{stream: \">\"}}, {{service: \">\"}}]\n imports: [\n"
            );
            let mut seen = HashMap::new();
            for (exporter, service, subject, to) in imports {
                let kind = if service { "service" } else { "stream" };
                let local = if to.is_empty() { subject } else { to };
                let sound = if service {
                    Transform::service(local, subject)
                } else {
                    Transform::strict(subject, local)
                };
                let local = if service {
                    sound.as_ref().map(|t| t.source().to_vec()).ok()
                } else {
                    Some(subject.into())
                };
                // A number that stands for nothing is a token of its own; subjects here do not have it.
                let literal_number = to.contains('$') && !subject.contains(['*', '>']);
                if sound.is_ok()
                    && !literal_number
                    && seen.insert((service, exporter, local), ()).is_none()
                {
                    text += &format!(
                        "{{{kind}: {{account: {}, subject: \"{subject}\"}}, to: \"{to}\"}}\n",
                        NAMES[exporter]
                    );
                }
            }
            text += "]\n mappings: {";
            for (source, destination, weight) in mappings {
                if Transform::new(source, destination).is_ok() {
                    text +=
                        &format!("\"{source}\": [{{dest: \"{destination}\", weight: {weight}}}]\n");
                }
            }
            text += "} }\n";
        }
        text + "}\n"
    })
}

/// Follows single subjects of up to seven tokens through the imports of one kind; whether one of them passes the same
/// import twice.
fn some_subject_comes_back(config: &Config, service: bool) -> bool {
    let mut hops = Vec::new();
    for (importer, account) in config.accounts.iter().enumerate() {
        for import in account
            .imports
            .iter()
            .filter(|import| import.service == service)
        {
            let exporter = config
                .accounts
                .iter()
                .position(|other| other.name == import.account.0)
                .expect("known");
            let (from, to) = if service {
                (importer, exporter)
            } else {
                (exporter, importer)
            };
            hops.push((from, to, import.transform().expect("loaded")));
        }
    }
    let mut subjects = vec![String::new()];
    let mut all = Vec::new();
    for _ in 0..7 {
        let longer = |subject: &String| ["a", "b", "z"].map(|token| format!("{subject}.{token}"));
        subjects = subjects.iter().flat_map(longer).collect();
        all.extend(subjects.iter().map(|subject| subject[1..].to_owned()));
    }
    let mut path = vec![false; hops.len()];
    let starts = all
        .iter()
        .flat_map(|subject| (0..hops.len()).map(move |hop| (hop, subject)));
    starts.into_iter().any(|(hop, subject)| {
        comes_back(config, &hops, service, hop, subject.as_bytes(), &mut path)
    })
}

type Hops = [(usize, usize, Transform)];

fn comes_back(
    config: &Config,
    hops: &Hops,
    service: bool,
    hop: usize,
    subject: &[u8],
    path: &mut [bool],
) -> bool {
    let (from, to, transform) = &hops[hop];
    if !transform.matches(subject) {
        return false;
    }
    if path[hop] {
        return true;
    }
    let mut arrived = Vec::new();
    transform.apply(subject, 0, &mut arrived);
    let mut ways = Vec::new();
    let mappings = if service {
        &config.accounts[*to].mappings[..]
    } else {
        &[]
    };
    let mapping = mappings
        .iter()
        .find(|mapping| pattern_matches(mapping.source.as_bytes(), &arrived));
    match mapping {
        None => ways.push(arrived),
        Some(mapping) => {
            for destination in mapping
                .destinations
                .iter()
                .filter(|destination| destination.weight > 0)
            {
                let mut mapped = Vec::new();
                let transform =
                    Transform::new(&mapping.source, &destination.subject).expect("loaded");
                transform.apply(&arrived, 0, &mut mapped);
                ways.push(mapped);
            }
            let drops = mapping
                .destinations
                .iter()
                .any(|destination| destination.subject == mapping.source);
            if mapping.destinations[0].weight < 100 && !drops {
                ways.push(arrived);
            }
        }
    }
    path[hop] = true;
    // What an account imports from itself goes in once.
    let own = from == to && mapping.is_none();
    let leaving = |next: &usize| hops[*next].0 == *to && !(own && *next == hop);
    let found = (0..hops.len()).filter(leaving).any(|next| {
        ways.iter()
            .any(|way| comes_back(config, hops, service, next, way, path))
    });
    path[hop] = false;
    found
}

/// What a text says, whatever is wrong with it.
fn unchecked(text: &str) -> Config {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let sources = Sources {
        env: &|_| None,
        read: &read,
    };
    schema::check(
        &parser::parse(Path::new("main.conf"), sources),
        sources.read,
    )
    .config
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A configuration is refused for a cycle if some subject can go round; and where the way is so short that the
    /// subjects that are tried are long enough for it, only if one can.
    #[test]
    fn cycles_are_those_that_a_subject_can_follow(text in random_accounts()) {
        let config = unchecked(&text);
        let found = super::check::check(&config);
        for (service, kind) in [(false, "stream import"), (true, "service import")] {
            let hops = |text: &str| text.matches(" -> ").count();
            let cycles = found.iter().filter(|error| error.text.contains(kind)).map(|error| hops(&error.text));
            let shortest = cycles.min();
            if shortest.is_none_or(|hops| hops <= 2) {
                let goes = some_subject_comes_back(&config, service);
                prop_assert_eq!(shortest.is_some(), goes, "{}{}", text, render(&Err(found.clone())));
            }
        }
    }
}

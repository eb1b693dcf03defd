//! Owns the tests of subjects and patterns: tables of what the oracle does, and naive models to agree with.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::subject::Separators;
use super::*;

/// Subject; whether nats-server 2.15.1 accepts it in SUB, in configuration, and in PUB from a pedantic client.
/// The first and the last were seen on the wire; the second follows from the oracle's rule for configuration.
const VALIDITY: &[(&[u8], bool, bool, bool)] = &[
    (b"foo", true, true, true),
    (b"foo.bar", true, true, true),
    (b"$SYS.a", true, true, true),
    (b"a\"b", true, true, true),
    (b"", false, false, false),
    (b".", false, false, false),
    (b"..", false, false, false),
    (b".foo", false, false, false),
    (b"foo.", false, false, false),
    (b"foo..bar", false, false, false),
    (b"*", true, true, false),
    (b">", true, true, false),
    (b"foo.*", true, true, false),
    (b"foo.>", true, true, false),
    (b"*.*", true, true, false),
    (b"*.>", true, true, false),
    (b"foo.*.bar", true, true, false),
    (b">.bar", false, false, false),
    (b"foo.>.bar", false, false, false),
    (b">.>", false, false, false),
    (b"*.>.>", false, false, false),
    (b"a*b", true, true, true),
    (b"*a", true, true, true),
    (b"a*", true, true, true),
    (b">a", true, true, true),
    (b"a>", true, true, true),
    (b"**", true, true, true),
    (b">>", true, true, true),
    (b"foo.**", true, true, true),
    (b"foo.>bar.baz", true, true, true),
    ("über.€".as_bytes(), true, true, true),
    (b"\xff\xfe", true, true, true),
    (b"a\0b", true, true, true),
    (b"\0", true, true, true),
    (b"a\x7fb", true, true, true),
    (b"a\x0bb", true, true, true),
    (b"a\xc2\xa0b", true, true, true),
    (b"a\x0cb", true, false, true),
    (b"a.\x0c.b", true, false, true),
    (b"\x0c", true, false, true),
    (b"a b", true, false, true),
    (b"a\t", true, false, true),
];

#[test]
fn validity_is_the_oracles() {
    for &(subject, on_wire, in_configuration, literal) in VALIDITY {
        let name = String::from_utf8_lossy(subject);
        assert_eq!(is_subscribable(subject), on_wire, "SUB {name:?}");
        assert_eq!(
            is_pattern(subject),
            in_configuration,
            "configuration {name:?}"
        );
        assert_eq!(is_literal(subject), literal, "PUB {name:?}");
        let empty_token = subject.split(|&byte| byte == b'.').any(<[u8]>::is_empty);
        assert_eq!(has_empty_token(subject), empty_token, "{name:?}");
    }
}

/// What was published; which of the subscriptions below got it from nats-server 2.15.1.
const DELIVERED: &[(&[u8], &str)] = &[
    (b"foo..bar", ""),
    (b".foo", ""),
    (b"foo.", ""),
    (b"", ""),
    (b"foo.x.bar", "> foo.> foo.*.bar"),
    (b"foo.>.bar", "> foo.> foo.*.bar"),
    (b"foo.*.bar", "> foo.> foo.*.bar"),
    (b">.bar", "> *.bar"),
    (b"*.bar", "> *.bar"),
    (b"foo.bar", "> foo.* foo.> *.bar foo.bar"),
    (b"foo.*", "> foo.* foo.>"),
    (b"foo.>", "> foo.* foo.>"),
    (b"foo.**", "> foo.* foo.>"),
    (b"foo.*bar", "> foo.* foo.>"),
    (b"a*b", "> * a*b"),
    (b">a", "> *"),
    (b"*", "> *"),
    (b">", "> *"),
    (b"*.*", ">"),
    (b"*.>.>", ">"),
    (b"\0", "> *"),
];
const SUBSCRIBED: &[&str] = &[
    ">",
    "*",
    "foo.*",
    "foo.>",
    "*.bar",
    "foo.*.bar",
    "foo.bar",
    "a*b",
];

#[test]
fn odd_subjects_reach_whom_the_oracle_gives_them_to() {
    let mut set = PatternSet::new();
    for pattern in SUBSCRIBED {
        set.insert(pattern.as_bytes());
    }
    for &(subject, expected) in DELIVERED {
        let name = String::from_utf8_lossy(subject);
        let mut found = Vec::new();
        set.matches(subject, |id| found.push(id));
        found.sort_unstable();
        let found: Vec<_> = found
            .iter()
            .map(|&id| str::from_utf8(set.pattern(id)).unwrap())
            .collect();
        assert_eq!(found.join(" "), expected, "PUB {name:?}");
        assert_eq!(set.any_match(subject), !expected.is_empty(), "PUB {name:?}");
        for pattern in SUBSCRIBED {
            let expected = expected.split(' ').any(|other| other == *pattern);
            assert_eq!(
                pattern_matches(pattern.as_bytes(), subject),
                expected,
                "SUB {pattern} PUB {name:?}"
            );
        }
    }
}

#[test]
fn wildcards_are_whole_tokens() {
    for pattern in ["*", ">", "a.*", "*.a", "a.*.b", "a.>", "a*.*"] {
        assert!(has_wildcard(pattern.as_bytes()), "{pattern}");
    }
    for pattern in ["", "a", "a*", "*a", "a.>b", ">>", "**.a", "a.b*.c", "."] {
        assert!(!has_wildcard(pattern.as_bytes()), "{pattern}");
    }
}

#[test]
fn tokens_keep_the_empty_ones() {
    let of = |subject: &'static str| {
        tokens(subject.as_bytes()).map(|token| str::from_utf8(token).unwrap())
    };
    assert_eq!(of("a.bc.").collect::<Vec<_>>(), ["a", "bc", ""]);
    assert_eq!(of("").collect::<Vec<_>>(), [""]);
    for subject in ["", ".", "a", "a.b", "a..b."] {
        assert_eq!(
            token_count(subject.as_bytes()),
            of(subject).count(),
            "{subject:?}"
        );
    }
}

#[test]
fn a_pattern_is_stored_once_and_its_id_is_reused() {
    let mut set = PatternSet::new();
    let (a, new_a) = set.insert(b"a");
    let (b, new_b) = set.insert(b"a.*");
    assert_eq!(
        (a, new_a, b, new_b),
        (PatternId(0), true, PatternId(1), true)
    );
    assert_eq!(set.insert(b"a"), (a, false));
    assert_eq!(set.insert(b"a.*"), (b, false));
    assert_eq!(
        (set.len(), set.find(b"a.b"), set.find(b"a.*")),
        (2, None, Some(b))
    );
    set.remove(a);
    assert_eq!(
        (set.len(), set.find(b"a"), set.iter().collect::<Vec<_>>()),
        (1, None, vec![b])
    );
    assert_eq!(set.insert(b"c.>"), (a, true));
    assert_eq!(format!("{set:?}"), r#"{0: "c.>", 1: "a.*"}"#);
    set.invariants();
}

#[test]
#[should_panic(expected = "an invalid pattern")]
fn an_invalid_pattern_is_the_callers_mistake() {
    PatternSet::new().insert(b"a..b");
}

#[test]
#[should_panic(expected = "no pattern has the id 1")]
fn an_unknown_id_is_the_callers_mistake() {
    let mut set = PatternSet::new();
    set.insert(b"a");
    set.remove(PatternId(1));
}

/// The `n`th of many patterns, of every kind and length, that all differ.
fn nth_pattern(n: u32) -> String {
    match n % 5 {
        0 => format!("orders.{n}.created"),
        1 => format!("_INBOX.{n:022}.*"),
        2 => format!("*.{n}.>"),
        3 => format!("a.rather.long.subject.that.does.not.fit.in.place.{n}"),
        _ => format!("a-rather-long-token-that-does-not-fit-in-place-{n}.*.x"),
    }
}

#[test]
fn a_million_insertions_and_removals_leave_nothing_behind() {
    const LIVE: u32 = 5_000;
    let mut set = PatternSet::with_seed(7);
    let mut settled = 0;
    for n in 0..1_000_000 {
        set.insert(nth_pattern(n).as_bytes());
        if n >= LIVE {
            let gone = set
                .find(nth_pattern(n - LIVE).as_bytes())
                .expect("inserted before");
            set.remove(gone);
        }
        if n == 10 * LIVE {
            settled = set.memory_bytes();
        }
    }
    assert_eq!(set.len(), LIVE as usize);
    assert!(set.iter().all(|id| id.0 <= LIVE), "ids are reused");
    let now = set.memory_bytes();
    assert!(
        now < settled + settled / 10,
        "{now} bytes after churn, {settled} before"
    );
    set.invariants();
    let all: Vec<_> = set.iter().collect();
    for id in all {
        set.remove(id);
    }
    set.invariants();
    assert_eq!(set.memory_bytes(), 0);
}

#[test]
fn a_set_that_shrinks_gives_memory_back() {
    let mut set = PatternSet::new();
    let ids: Vec<_> = (0..60_000)
        .map(|n| set.insert(nth_pattern(n).as_bytes()).0)
        .collect();
    set.invariants();
    let full = set.memory_bytes();
    for &id in &ids[600..] {
        set.remove(id);
    }
    set.invariants();
    let left = set.memory_bytes();
    assert!(
        left < full / 40,
        "{left} bytes for a hundredth, {full} for all"
    );
    for (n, &id) in (0..600).zip(&ids) {
        assert_eq!(set.pattern(id), nth_pattern(n).as_bytes());
    }
}

#[test]
fn a_million_literals_cost_less_than_sixty_bytes_each() {
    let mut set = PatternSet::new();
    for n in 0..1_000_000 {
        set.insert(format!("device.{n:07}.telemetry").as_bytes());
    }
    assert!(
        set.memory_bytes() <= 45_000_000,
        "{} bytes",
        set.memory_bytes()
    );
}

#[test]
fn branches_beyond_the_usual_depth_are_all_walked() {
    // Every pattern of {a,*}^12 but the literal one; each matches.
    let mut set = PatternSet::new();
    for bits in 1..1 << 12 {
        let tokens: Vec<_> = (0..12)
            .map(|at| if bits >> at & 1 == 0 { "a" } else { "*" })
            .collect();
        set.insert(tokens.join(".").as_bytes());
    }
    let mut found = 0;
    set.matches(&[&b"a"[..]; 12].join(&b'.'), |_| found += 1);
    assert_eq!(found, (1 << 12) - 1);
    let deep = [&b"*"[..]; 2_000].join(&b'.');
    let (id, _) = set.insert(&deep);
    let mut found = Vec::new();
    set.matches(&[&b"a"[..]; 2_000].join(&b'.'), |id| found.push(id));
    assert_eq!(found, [id]);
}

/// Written apart from the real one, by recursion over tokens.
fn naive_matches(pattern: &[&[u8]], subject: &[&[u8]]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([b"*", pattern @ ..], [_, subject @ ..]) => naive_matches(pattern, subject),
        ([wanted, pattern @ ..], [token, subject @ ..]) => {
            wanted == token && naive_matches(pattern, subject)
        }
        _ => false,
    }
}

fn naive(pattern: &[u8], subject: &[u8]) -> bool {
    let of = |subject| tokens(subject).collect::<Vec<&[u8]>>();
    let subject = of(subject);
    !subject.contains(&&b""[..]) && naive_matches(&of(pattern), &subject)
}

const LONG_TOKEN: &str = "a-token-of-more-than-twenty-three-bytes";

fn some_pattern() -> impl Strategy<Value = Vec<u8>> {
    let token = select(vec!["a", "a", "b", "ab", "*", "*", "a*", LONG_TOKEN]);
    (vec(token, 1..5), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest {
            *tokens.last_mut().unwrap() = ">";
        }
        tokens.join(".").into_bytes()
    })
}

fn some_subject() -> impl Strategy<Value = Vec<u8>> {
    let token = select(vec![
        "a", "a", "a", "b", "b", "ab", "a*", "*", ">", "", LONG_TOKEN,
    ]);
    vec(token, 1..6).prop_map(|tokens| tokens.join(".").into_bytes())
}

#[derive(Clone, Debug)]
enum Change {
    Insert(Vec<u8>),
    Remove(Index),
}

fn some_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        some_pattern().prop_map(Change::Insert),
        any::<Index>().prop_map(Change::Remove)
    ]
}

fn apply(set: &mut PatternSet, model: &mut BTreeMap<Vec<u8>, PatternId>, change: Change) {
    match change {
        Change::Insert(pattern) => {
            let (id, new) = set.insert(&pattern);
            let before = model.insert(pattern, id);
            assert_eq!(before, (!new).then_some(id));
        }
        Change::Remove(index) if !model.is_empty() => {
            let pattern = index
                .get(&model.keys().cloned().collect::<Vec<_>>())
                .clone();
            set.remove(model.remove(&pattern).unwrap());
        }
        Change::Remove(_) => {}
    }
}

fn ids_where(
    model: &BTreeMap<Vec<u8>, PatternId>,
    wanted: impl Fn(&[u8]) -> bool,
) -> Vec<PatternId> {
    let mut ids: Vec<_> = model
        .iter()
        .filter(|(pattern, _)| wanted(pattern))
        .map(|(_, &id)| id)
        .collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #[test]
    fn a_set_agrees_with_the_naive_model(
        seed: u64,
        changes in vec(some_change(), 0..60),
        subjects in vec(some_subject(), 1..10),
        queries in vec(some_pattern(), 1..5),
    ) {
        let mut set = PatternSet::with_seed(seed);
        let mut model = BTreeMap::new();
        for change in changes {
            apply(&mut set, &mut model, change);
        }
        set.invariants();
        let mut ids: Vec<_> = model.values().copied().collect();
        ids.sort_unstable();
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), ids);
        for (pattern, &id) in &model {
            prop_assert_eq!(set.pattern(id), &pattern[..]);
        }
        for subject in subjects {
            let mut found = Vec::new();
            set.matches(&subject, |id| found.push(id));
            found.sort_unstable();
            prop_assert_eq!(set.any_match(&subject), !found.is_empty());
            prop_assert_eq!(found, ids_where(&model, |pattern| naive(pattern, &subject)));
        }
        for query in queries {
            let mut found = Vec::new();
            set.overlapping(&query, |id| found.push(id));
            found.sort_unstable();
            prop_assert_eq!(found, ids_where(&model, |pattern| overlaps(pattern, &query)));
        }
    }

    #[test]
    fn a_pair_agrees_with_the_naive_model(pattern in some_pattern(), subject in some_subject()) {
        prop_assert_eq!(pattern_matches(&pattern, &subject), naive(&pattern, &subject));
    }

    #[test]
    fn separators_are_found_at_any_length(bytes in vec(select(b"abcdef\0\x2d\x2f\xae\xff.".to_vec()), 0..150)) {
        let found = Separators::of(&bytes);
        prop_assert_eq!(found.is_none(), tokens(&bytes).any(<[u8]>::is_empty));
        let Some(found) = found else { return Ok(()) };
        for from in 0..bytes.len() {
            let next = (from..bytes.len()).find(|&at| bytes[at] == b'.');
            prop_assert_eq!(found.next(from), next);
        }
    }

    #[test]
    fn any_bytes_are_taken(bytes in vec(select(b"ab.*>\0\xff \t".to_vec()), 0..40)) {
        let valid = |subject: &[u8]| !tokens(subject).any(<[u8]>::is_empty);
        prop_assert_eq!(has_empty_token(&bytes), !valid(&bytes));
        let wild = tokens(&bytes).any(|token| token == b"*" || token == b">");
        prop_assert_eq!(has_wildcard(&bytes), wild);
        prop_assert_eq!(is_literal(&bytes), valid(&bytes) && !wild);
        prop_assert!(is_subscribable(&bytes) || !is_pattern(&bytes));
        let mut set = PatternSet::new();
        for pattern in [&b">"[..], b"*.*", b"a.*", b"a.b"] {
            set.insert(pattern);
        }
        prop_assert_eq!(set.any_match(&bytes), valid(&bytes));
        if is_subscribable(&bytes) {
            let (id, _) = set.insert(&bytes);
            prop_assert_eq!(set.find(&bytes), Some(id));
            set.invariants();
        } else {
            prop_assert_eq!(set.find(&bytes), None);
        }
    }
}

/// Every way to choose up to `length_max` of the tokens.
fn sequences(tokens: &[&'static str], length_max: usize) -> Vec<Vec<&'static str>> {
    let mut all = vec![vec![]];
    let mut start = 0;
    for _ in 0..length_max {
        let end = all.len();
        for at in start..end {
            for token in tokens {
                let mut longer: Vec<&'static str> = all[at].clone();
                longer.push(token);
                all.push(longer);
            }
        }
        start = end;
    }
    all.remove(0);
    all
}

#[test]
fn subset_and_overlap_agree_with_brute_force() {
    // `z` is in no pattern and subjects are one token longer than patterns, so that every difference shows.
    let subjects: Vec<_> = sequences(&["a", "b", "z"], 4)
        .iter()
        .map(|tokens| tokens.join("."))
        .collect();
    let patterns: Vec<_> = sequences(&["a", "b", "*", ">"], 3)
        .iter()
        .map(|tokens| tokens.join("."))
        .collect();
    let patterns: Vec<_> = patterns
        .into_iter()
        .filter(|pattern| is_pattern(pattern.as_bytes()))
        .collect();
    assert_eq!(patterns.len(), 4 + 3 * 4 + 9 * 4);
    let matched: Vec<Vec<bool>> = patterns
        .iter()
        .map(|pattern| {
            subjects
                .iter()
                .map(|subject| naive(pattern.as_bytes(), subject.as_bytes()))
                .collect()
        })
        .collect();
    for (a, of_a) in patterns.iter().zip(&matched) {
        for (b, of_b) in patterns.iter().zip(&matched) {
            let mut both = of_a.iter().zip(of_b);
            let subset = both.clone().all(|(a, b)| !a || *b);
            assert_eq!(
                is_subset(a.as_bytes(), b.as_bytes()),
                subset,
                "{a} within {b}"
            );
            let overlap = both.any(|(a, b)| *a && *b);
            assert_eq!(overlaps(a.as_bytes(), b.as_bytes()), overlap, "{a} and {b}");
        }
    }
}

#[test]
fn the_same_whatever_the_length() {
    for len in 0..70usize {
        let text: Vec<u8> = (0..len).map(|n| n as u8).collect();
        assert!(is_same(&text, &text.clone()));
        assert!(!is_same(&text, &text[..len.saturating_sub(1)]) || len == 0);
        for at in 0..len {
            let mut other = text.clone();
            other[at] ^= 1;
            assert!(!is_same(&text, &other), "{len} bytes, differing at {at}");
        }
    }
}

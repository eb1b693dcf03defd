//! Owns the tests of transforms: tables of what nats-server 2.15.1 does, and properties of any transform.

use expect_test::{Expect, expect};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{has_empty_token, pattern_matches};
use super::*;

/// Source and destination of a mapping; whether the oracle takes it.
const TAKEN: &[(&str, &str, bool)] = &[
    ("foo.*", "bar.*", false),
    ("foo.*", "bar.$2", false),
    ("foo.*", "bar.$1.>", false),
    ("foo.>", "bar.baz", false),
    ("foo.*.*", "bar.$2", true),
    ("foo.*", "foo.$foo", true),
    ("foo.*", "x.{{left(1,2)}}", true),
    ("foo.*", "x.{{right(1,2)}}", true),
    ("foo.*", "x.{{Left(1,2)}}", true),
    ("foo.*", "x.{{split(1,.)}}", true),
    ("foo.*", "x.{{ Wildcard ( 1 ) }}", true),
    ("foo.*", "x.{{WILDCARD(1)}}", false),
    ("foo.*", "x.{{wildcard(0)}}", true),
    ("foo.*", "x.$0", true),
    ("foo.*", "x.$-1", true),
    ("foo.*", "x.$+1", true),
    ("foo.*", "x.{{wildcard(-3)}}", true),
    ("foo", "x.$1", false),
    ("foo", "x.$0", false),
    ("foo", "x.{{wildcard(0)}}", false),
    ("foo", "x.{{partition(5,1)}}", true),
    ("foo", "x.{{random(3)}}", true),
    ("foo", "x.{{split(1,-)}}", false),
    ("foo", "{{}}", true),
    ("foo", "x y", false),
    ("foo", "", true),
    ("foo", "x.", false),
    ("foo", ">", false),
    (">", ">", true),
    (">", "x.>", true),
    (">", "x.>.y", false),
    ("*.>", "$1.>", true),
    ("*.>", ">", true),
    ("foo.*", "{{a}}x{{wildcard(1)}}", true),
    ("foo.*", "{{wildcard(1)}}x", true),
    ("foo.*", "{{wildcard(1)}}x{{wildcard(1)}}", false),
    ("foo.*", "{{partition(3,1)}}x{{wildcard(1)}}", true),
    ("foo.*", "{{wildcard(1) }}x {{wildcard(1)}}", false),
    ("foo.*", "x.{{wildcard(1,2)}}", false),
    ("foo.*", "x.{{wildcard()}}", false),
    ("foo.*", "x.{{wildcard( )}}", false),
    ("foo.*", "x.{{wildcard(a)}}", false),
    ("foo.*", "x.{{partition()}}", false),
    ("foo.*", "x.{{partition(10)}}", true),
    ("foo.*", "x.{{partition(10,2)}}", false),
    ("foo.*", "x.{{partition(10,0)}}", true),
    ("foo.*", "x.{{partition(-1,1)}}", true),
    ("foo.*", "x.{{partition(0,1)}}", true),
    ("foo.*", "x.{{partition(2147483648,1)}}", false),
    ("foo.*", "x.{{partition(-99999999999,1)}}", true),
    ("foo.*", "x.{{partition(3, 1 , 1)}}", true),
    ("foo.*", "x.{{partition(3,,1)}}", false),
    ("foo.*", "x.{{splitFromLeft(1)}}", false),
    ("foo.*", "x.{{splitFromLeft(1,2,3)}}", false),
    ("foo.*", "x.{{splitFromLeft(1,-2)}}", true),
    ("foo.*", "x.{{splitFromLeft(1,2147483648)}}", false),
    ("foo.*", "x.{{splitFromLeft(2,1)}}", false),
    ("foo.*", "x.{{splitfromleft(1,1)}}", true),
    ("foo.*", "x.{{split(1,)}}", true),
    ("foo.*", "x.{{split(1, -)}}", true),
    ("foo.*", "x.{{split(1,- )}}", false),
    ("foo.*", "x.{{split(1,--)}}", true),
    ("foo.*", "x.{{split(1,,)}}", false),
    ("foo.*", "x.{{split(1)}}", false),
    ("foo.*", "x.{{random()}}", false),
    ("foo.*", "x.{{random(1,2)}}", false),
    ("foo.*", "x.{{random(-5)}}", true),
    ("foo.*", "x.{{random(0)}}", true),
    ("foo.*", "x.{{unknown(1)}}", false),
    ("foo.*", "x.{{wildcard1)}}", false),
    ("foo.*", "x.{{wildcard (1)", false),
    ("foo.*", "x.a{{wildcard(1)}}", true),
    ("foo.*", "a..b", false),
    ("foo..*", "a.b", false),
    ("foo.>.x", "a", false),
    ("foo.*", "x.{{wildcard(1))}}", false),
    ("foo.*", "x.{{wildcard((1)}}", false),
    ("foo.*", "x.$1$1", true),
    ("foo.*", "x.$01", true),
    ("foo.*", "x.$99999999999999999999", true),
    ("foo.*", "x.{{wildcard(99999999999999999999)}}", false),
    ("foo.*", "$", true),
    ("foo.*", ">", false),
    (">", "foo", false),
    ("foo.*", "x.a\tb", false),
    ("foo.*", "{{\twildcard(1)}}", true),
    ("foo.*", "{{wildcard(\t1)}}", false),
    ("foo.*", "{{split(1,a b)}}", false),
    ("foo.*", "{{sliceFromLeft(1,0)}}", true),
    ("foo.*", "{{sliceFromRight(1,-1)}}", true),
    ("foo.*", "{{wildcard(1)}}.{{left(1,1)}}", true),
    ("foo.*", "{{wildcard(+1)}}", true),
    ("foo.*", "{{split(1,)x)}}", true),
    ("foo.*", "{{partition(3,1,)}}", false),
    ("foo.*", "{{toString(1)}}", false),
];

/// Source, destination, and a subject; where the oracle delivers it, empty for nowhere.
const RESULTS: &[(&str, &str, &str, &str)] = &[
    ("c0.*.*", "$2.$1", "c0.a.b", "b.a"),
    (
        "c1.*.*",
        "x.{{wildcard(2)}}.{{ Wildcard ( 1 ) }}",
        "c1.a.b",
        "x.b.a",
    ),
    ("c2.*.*", "$1.$1", "c2.a.b", "a.a"),
    ("c3.*", "x.$0", "c3.a", "x.c3"),
    ("c4.*", "x.{{wildcard(-3)}}", "c4.a", "x.c4"),
    ("c5.*", "x.$+1", "c5.a", "x.a"),
    ("c6.*", "x.$01", "c6.a", "x.a"),
    ("c7.>", "y.>", "c7.a.b.c", "y.a.b.c"),
    ("c8.*.>", "y.$1.>", "c8.a.b.c", "y.a.b.c"),
    ("c9.*.>", "y.>", "c9.a.b.c", "y.b.c"),
    ("c10.>", ">", "c10.a.b", "a.b"),
    ("c11.*.a.>", "$1.>", "c11.q.a.r.s", "q.r.s"),
    ("c12.*", "x.{{left(1,2)}}", "c12.abcd", "x.ab"),
    ("c13.*", "x.{{left(1,9)}}", "c13.abcd", "x.abcd"),
    ("c14.*", "x.{{left(1,0)}}", "c14.abcd", "x.abcd"),
    ("c15.*", "x.{{right(1,3)}}", "c15.abcd", "x.bcd"),
    ("c16.*", "x.{{right(1,-1)}}", "c16.abcd", "x.abcd"),
    ("c17.*", "x.{{right(1,4)}}", "c17.abcd", "x.abcd"),
    (
        "c18.*",
        "x.{{split(1,-)}}",
        "c18.-abc-def--ghi-",
        "x.abc.def.ghi",
    ),
    (
        "c19.*",
        "x.{{split(1,-)}}",
        "c19.abc-def--ghi-",
        "x.abc.def.ghi",
    ),
    ("c20.*", "x.{{split(1,-)}}", "c20.---", ""),
    ("c21.*", "x.{{split(1,-)}}", "c21.a", "x.a"),
    ("c22.*", "x.{{split(1,)}}", "c22.abc", "x.a.b.c"),
    ("c23.*", "x.{{split(1,)}}", "c23.aéz", "x.a.é.z"),
    ("c24.*", "x.{{split(1,--)}}", "c24.a--b---c", "x.a.b.-c"),
    ("c25.*", "x.{{split(1,--)}}", "c25.a----b", "x.a.b"),
    ("c26.*", "x.{{split(1,-)}}.y", "c26.--a--b--", ""),
    ("c27.*", "x.{{splitFromLeft(1,2)}}", "c27.abcd", "x.ab.cd"),
    ("c28.*", "x.{{splitFromLeft(1,4)}}", "c28.abcd", "x.abcd"),
    ("c29.*", "x.{{splitFromLeft(1,0)}}", "c29.abcd", "x.abcd"),
    ("c30.*", "x.{{splitFromLeft(1,-1)}}", "c30.abcd", "x.abcd"),
    ("c31.*", "x.{{splitFromRight(1,1)}}", "c31.abcd", "x.abc.d"),
    ("c32.*", "x.{{splitFromRight(1,5)}}", "c32.abcd", "x.abcd"),
    (
        "c33.*",
        "x.{{sliceFromLeft(1,3)}}",
        "c33.1234567890",
        "x.123.456.789.0",
    ),
    (
        "c34.*",
        "x.{{sliceFromLeft(1,3)}}",
        "c34.123456789",
        "x.123.456.789",
    ),
    (
        "c35.*",
        "x.{{sliceFromLeft(1,5)}}",
        "c35.1234567",
        "x.12345.67",
    ),
    ("c36.*", "x.{{sliceFromLeft(1,3)}}", "c36.123", "x.123"),
    ("c37.*", "x.{{sliceFromLeft(1,3)}}", "c37.1234", "x.123.4"),
    ("c38.*", "x.{{sliceFromLeft(1,0)}}", "c38.1234", "x.1234"),
    (
        "c39.*",
        "x.{{sliceFromRight(1,3)}}",
        "c39.1234567890",
        "x.1.234.567.890",
    ),
    (
        "c40.*",
        "x.{{sliceFromRight(1,3)}}",
        "c40.123456789",
        "x.123.456.789",
    ),
    (
        "c41.*",
        "x.{{sliceFromRight(1,5)}}",
        "c41.1234567",
        "x.12.34567",
    ),
    ("c42.*", "x.{{sliceFromRight(1,1)}}", "c42.123", "x.1.2.3"),
    ("c43.*", "x.{{partition(10,1)}}", "c43.foo", "x.3"),
    ("c44.*", "x.{{partition(10,1)}}", "c44.baz", "x.0"),
    ("c45.*.*", "x.{{partition(10,1,2)}}", "c45.foo.bar", "x.0"),
    ("c46.*.*", "x.{{partition(10,2,1)}}", "c46.foo.bar", "x.2"),
    ("c47.*.*", "x.{{partition(10)}}", "c47.foo.bar", "x.2"),
    ("c48.*", "x.{{partition(0,1)}}", "c48.foo", "x.0"),
    ("c49.*", "x.{{partition(-5,1)}}", "c49.foo", "x.2851307223"),
    (
        "c50.*",
        "x.{{partition(-99999999999,1)}}",
        "c50.foo",
        "x.2851307223",
    ),
    (
        "c51.*",
        "x.{{partition(2147483647,1)}}",
        "c51.foo",
        "x.703823576",
    ),
    ("c52.*.*", "x.{{partition(10,0,2)}}", "c52.foo.bar", "x.8"),
    ("c53.*.*", "x.{{partition(10,1,1)}}", "c53.foo.bar", "x.9"),
    ("c54.*", "x.{{random(0)}}", "c54.foo", "x.0"),
    ("c55.*", "x.{{random(1)}}", "c55.foo", "x.0"),
    ("c56.*", "x.{{random(-1)}}", "c56.foo", "x.0"),
    ("c57.*", "x.{{split(1,.)}}", "c57.a.b", "c57.a.b"),
    ("c58.*", "{{a}}x{{wildcard(1)}}", "c58.b", "b"),
    ("c59.*", "y.{{wildcard(1)}}x", "c59.b", "y.{{wildcard(1)}}x"),
    ("c60.*", "{{partition(3,1)}}x{{wildcard(1)}}", "c60.b", "b"),
    ("c61.*", "y.a{{wildcard(1)}}", "c61.b", "y.a{{wildcard(1)}}"),
    ("c62.*", "y.$1$1", "c62.b", "y.$1$1"),
    ("c63.*", "y.{{split(1,)x)}}", "c63.b)xc", "y.b.c"),
    ("c64.*", "$", "c64.b", "$"),
    ("c65.lit", "x.y", "c65.lit", "x.y"),
    ("c66.lit", "x.{{random(1)}}", "c66.lit", "x.0"),
    (
        "c67.*.*",
        "{{split(2,-)}}.{{splitfromleft(1,2)}}",
        "c67.foo.-abc-def--ghij-",
        "abc.def.ghij.fo.o",
    ),
    ("c68.*", "y.$1", "c68.*", "y.*"),
    ("c69.*", "y.$1", "c69.>", "c69.>"),
    ("c70.>", "y.>", "c70.*", "y.*"),
    ("c71.>", "y.>", "c71.a..b", ""),
    ("c72.*.*", "y.$1", "c72.a.*", "y.a"),
    ("c73.*.*.x", "y.$1", "c73..b.x", ""),
    ("c74.a*", "y", "c74.ab", "c74.ab"),
];

/// The oracle takes an empty destination and dies of the first message.
const TAKEN_ONLY_THERE: &[(&str, &str)] = &[("foo", "")];

fn apply(transform: &Transform, subject: &str, random: u32) -> String {
    let mut out = Vec::new();
    transform.apply(subject.as_bytes(), random, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn what_is_taken_is_what_the_oracle_takes() {
    for &(source, destination, taken) in TAKEN {
        let outcome = Transform::new(source, destination);
        let only_there = TAKEN_ONLY_THERE.contains(&(source, destination));
        assert_eq!(
            outcome.is_ok(),
            taken && !only_there,
            "{source} -> {destination}: {outcome:?}"
        );
    }
}

#[test]
fn results_are_the_oracles() {
    for &(source, destination, subject, expected) in RESULTS {
        let name = format!("{source} -> {destination}, {subject}");
        let transform = Transform::new(source, destination).expect(&name);
        let result = match transform.matches(subject.as_bytes()) {
            true => apply(&transform, subject, 7),
            false => subject.to_owned(),
        };
        match expected {
            "" => assert!(has_empty_token(result.as_bytes()), "{name}: {result}"),
            expected => assert_eq!(result, expected, "{name}"),
        }
    }
}

#[test]
fn errors_say_what_to_mend() {
    let said = |source: &str, destination: &str| match Transform::new(source, destination) {
        Ok(_) => panic!("{source} -> {destination} is taken"),
        Err(error) => error.to_string(),
    };
    let check =
        |source, destination, expected: Expect| expected.assert_eq(&said(source, destination));
    check(
        "foo..",
        "bar",
        expect![[r#""foo.." is not a valid subject"#]],
    );
    check("foo", "", expect!["the destination is empty"]);
    check("foo", "a..b", expect![[r#""a..b" is not a valid subject"#]]);
    check("foo", "a b", expect![[r#""a b" is not a valid subject"#]]);
    check(
        "foo.*",
        "bar.*",
        expect![[r#""bar.*" has a "*": name a wildcard of the source, "$1""#]],
    );
    check(
        "foo.*",
        "bar.>",
        expect![[r#""bar.>": both sides end with ">", or neither does"#]],
    );
    check(
        "foo.>",
        "bar",
        expect![[r#""bar": both sides end with ">", or neither does"#]],
    );
    check(
        "foo.*",
        "{{left(1)}}",
        expect![[r#""{{left(1)}}" has too few arguments"#]],
    );
    check(
        "foo.*",
        "{{left(1,2,3)}}",
        expect![[r#""{{left(1,2,3)}}" has too many arguments"#]],
    );
    check(
        "foo.*",
        "{{left(1,x)}}",
        expect![[r#""{{left(1,x)}}" has an argument that is out of range or not of its type"#]],
    );
    check(
        "foo.*",
        "{{middle(1)}}",
        expect![[r#"there is no function "{{middle(1)}}""#]],
    );
    check(
        "foo.*",
        "$2",
        expect![[r#""$2" names wildcard 2, but the source has only one"#]],
    );
    check(
        "foo.*.*",
        "$3",
        expect![[r#""$3" names wildcard 3, but the source has only 2"#]],
    );
    check(
        "foo",
        "$1",
        expect![[r#""$1" names a wildcard, but the source has none"#]],
    );
    let strict = |destination| {
        let outcome = Transform::strict("foo.*.*", destination);
        outcome.unwrap_err().to_string()
    };
    expect![[
        r#""$1.{{partition(3,2)}}" cannot be undone: an import can only name wildcards, "$1""#
    ]]
    .assert_eq(&strict("$1.{{partition(3,2)}}"));
    expect![[r#""bar.$2" has one wildcard too few: an import must use all of them"#]]
        .assert_eq(&strict("bar.$2"));
    expect![[r#""bar" has 2 wildcards too few: an import must use all of them"#]]
        .assert_eq(&strict("bar"));
    let service = |local, remote| Transform::service(local, remote).unwrap_err().to_string();
    expect![[r#""x" has one wildcard too few: an import must use all of them"#]]
        .assert_eq(&service("x", "q.*"));
    expect![[
        r#""x.$1.$2.$1" must have as many wildcards as the exporter's subject, 2, numbered from 1"#
    ]]
    .assert_eq(&service("x.$1.$2.$1", "q.*.*"));
    expect![[
        r#""x.$0" must have as many wildcards as the exporter's subject, 1, numbered from 1"#
    ]]
    .assert_eq(&service("x.$0", "q.*"));
    expect![[r#""x.>": both sides end with ">", or neither does"#]]
        .assert_eq(&service("x.>", "q.*"));
    expect![[r#""x..y" is not a valid subject"#]].assert_eq(&service("x..y", "q"));
    expect![[r#""q..y" is not a valid subject"#]].assert_eq(&service("x", "q..y"));
}

/// Source, destination, a subject, and where the oracle delivers it to a subscriber of `>` who imports the stream.
const STREAMS: &[(&str, &str, &str, &str)] = &[
    ("w.*.*", "y.*.*", "w.a.b", "y.a.b"),
    ("w.*.*", "y.$1.$1", "w.a.b", "y.a.a"),
    ("w.*.*", "y.$2.*", "w.a.b", "y.b.a"),
    ("w.*.*", "y.$0.$1", "w.a.b", "y.w.a"),
    ("w.*.*", "y.$1.$2.$1", "w.a.b", "y.a.b.a"),
    ("w.*.*", "$1.w.*.*", "w.a.b", "a.w.a.b"),
    ("w.*.*.*", "y.$2.$3.$1", "w.a.b.c", "y.b.c.a"),
    ("w.>", "y.>", "w.a.b", "y.a.b"),
    ("w", "y", "w", "y"),
];

/// Streams that the oracle delivers to one subscriber or other, on the destination as it is written.
const STREAMS_ONLY_THERE: &[(&str, &str)] = &[
    ("w", "y.{{partition(5)}}"),
    ("w", "y.*"),
    ("w", "y.$1"),
    ("w", "y z"),
];

#[test]
fn stream_imports_are_the_oracles() {
    for &(source, destination, subject, expected) in STREAMS {
        let result = Transform::strict(source, destination)
            .map(|transform| apply(&transform, subject, 0))
            .unwrap_or_default();
        assert_eq!(result, expected, "{source} -> {destination}");
    }
    for &(source, destination) in STREAMS_ONLY_THERE {
        assert!(
            Transform::strict(source, destination).is_err(),
            "{source} -> {destination}"
        );
    }
}

/// What the importer calls a service and what it is, a request, and where the oracle sends it to.
const SERVICES: &[(&str, &str, &str, &str)] = &[
    ("y.$2.$1", "sw.*.*", "y.a.b", "sw.b.a"),
    ("y.$1.$1", "sw.*.*", "y.a.b", "sw.a.a"),
    ("y.*.*", "sw.*.*", "y.a.b", "sw.a.b"),
    ("y.$2.$3.$1", "sw.*.*.*", "y.a.b.c", "sw.b.c.a"),
    ("sw.*.*", "sw.*.*", "sw.a.b", "sw.a.b"),
    (">", "q.>", "b.c", "q.b.c"),
    ("*.x.>", "q.*.>", "a.x.c", "q.a.c"),
    ("y.*", "lit", "y.a", "lit"),
    ("y.>", "lit", "y.a.b", "lit"),
    ("y.$1", "lit", "y.$1", "lit"),
    ("x", "q.$1", "x", "q.$1"),
    ("x.*", "q.$1", "x.a", "q.$1"),
];

#[test]
fn service_imports_are_the_oracles() {
    for &(local, remote, subject, expected) in SERVICES {
        let transform = Transform::service(local, remote).expect(local);
        assert!(transform.matches(subject.as_bytes()), "{local}");
        assert_eq!(
            apply(&transform, subject, 0),
            expected,
            "{local} -> {remote}"
        );
        let results = transform.results();
        assert!(
            pattern_matches(&results, expected.as_bytes()),
            "{local} -> {remote}"
        );
    }
    assert_eq!(number_wildcards("a.*.b.*.>"), "a.$1.b.$2.>");
}

#[test]
fn patterns_there_and_back() {
    let check = |source, destination, pattern: &str, expected: Expect| {
        let transform = Transform::new(source, destination).expect("a transform");
        let back = match transform.preimage(pattern.as_bytes()) {
            Preimage::Pattern(pattern) => String::from_utf8(pattern).expect("text"),
            other => format!("{other:?}"),
        };
        let image = transform
            .image(pattern.as_bytes())
            .map(|image| String::from_utf8(image).expect("text"));
        expected.assert_eq(&format!("from {back}, to {image:?}"));
    };
    check("a.*.*", "x.$2.$1", "x.1.*", expect!["from a.*.1, to None"]);
    check("a.*.*", "x.$2.$1", "x.>", expect!["from a.*.*, to None"]);
    check(
        "a.*.*",
        "x.$2.$1",
        ">",
        expect![[r#"from a.*.*, to Some("x.*.*")"#]],
    );
    check(
        "a.*.*",
        "x.$2.$1",
        "a.1.*",
        expect![[r#"from Nothing, to Some("x.*.1")"#]],
    );
    check("a.*.*", "x.$2.$1", "x.1", expect!["from Nothing, to None"]);
    check("a.*", "x.$1.$1", "x.1.2", expect!["from Nothing, to None"]);
    check("a.*", "x.$1.$1", "x.*.2", expect!["from a.2, to None"]);
    check("a.>", "x.>", "x.b.*", expect!["from a.b.*, to None"]);
    check(
        "a.>",
        "x.>",
        "*.b.>",
        expect![[r#"from a.b.>, to Some("x.b.>")"#]],
    );
    check("a.>", "x.>", "x", expect!["from Nothing, to None"]);
    check(
        "a.>",
        "x.>",
        "a.b",
        expect![[r#"from Nothing, to Some("x.b")"#]],
    );
    check(">", "x.>", "x.>", expect![[r#"from >, to Some("x.x.>")"#]]);
    check(">", "x.>", "x.*", expect![[r#"from *, to Some("x.x.*")"#]]);
    check(
        "a.*",
        "x.{{partition(3,1)}}",
        "x.*",
        expect!["from a.*, to None"],
    );
    check(
        "a.*",
        "x.{{partition(3,1)}}",
        "x.1",
        expect!["from Unclear, to None"],
    );
    check(
        "a.*",
        "x.{{partition(3,1)}}",
        "y.1",
        expect!["from Nothing, to None"],
    );
    check(
        "a.*",
        "x.{{split(1,-)}}.$1",
        "x.>",
        expect!["from a.*, to None"],
    );
    check(
        "a.*",
        "x.{{split(1,-)}}.$1",
        "a.b",
        expect![[r#"from Nothing, to Some("x.>")"#]],
    );
    check(">", "x.>", ">", expect![[r#"from >, to Some("x.>")"#]]);
    check("a.*", "x.$0", "x.a", expect!["from a.*, to None"]);
    check("a.*", "x.$0", "x.b", expect!["from Nothing, to None"]);
}

#[test]
fn chance_is_the_callers() {
    let transform = Transform::new("a", "{{random(1000)}}.{{random(1000)}}").expect("a mapping");
    assert!(transform.is_random());
    expect!["172.897"].assert_eq(&apply(&transform, "a", 12345));
    expect!["173.925"].assert_eq(&apply(&transform, "a", 12346));
    let mut counts = [0; 4];
    let transform = Transform::new("a", "{{random(1)}}.{{random(4)}}").expect("a mapping");
    for random in 0..4096_u32 {
        let result = apply(&transform, "a", random.wrapping_mul(0x9e37_79b1));
        counts[result[2..].parse::<usize>().expect("a number")] += 1;
    }
    assert!(
        counts.iter().all(|count| (900..1150).contains(count)),
        "{counts:?}"
    );
}

fn token() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "a-b", "-", "12345"]).prop_map(str::to_owned)
}

/// A pattern with some wildcards.
fn pattern() -> impl Strategy<Value = String> {
    let any_token = prop_oneof![2 => token(), 3 => Just("*".to_owned())];
    (vec(any_token, 1..5), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest {
            tokens.push(">".to_owned());
        }
        tokens.join(".")
    })
}

/// Tokens of a destination, sound or not.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "$1",
        "$2",
        "$0",
        "$9",
        "$x",
        ">",
        "*",
        "",
        "{{}}",
        "{{wildcard(1)}}",
        "{{ Wildcard ( 2 ) }}",
        "{{partition(3,1,2)}}",
        "{{partition(0)}}",
        "{{partition(-7,1)}}",
        "{{random(5)}}",
        "{{random(0)}}",
        "{{split(1,-)}}",
        "{{split(2,)}}",
        "{{splitFromLeft(1,1)}}",
        "{{splitfromright(1,2)}}",
        "{{sliceFromLeft(1,2)}}",
        "{{SliceFromRight(1,-2)}}",
        "{{left(1,1)}}",
        "{{right(2,3)}}",
        "{{split(1",
        "))}}",
        "{{é(1)}}",
        "{{wildcard(\n1)}}",
        "x{{left(1,1)}}",
    ];
    prop_oneof![
        9 => select(pieces.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn destination() -> impl Strategy<Value = String> {
    vec(piece(), 1..5).prop_map(|pieces| pieces.join("."))
}

/// A source, and a destination with each of its wildcards once, in any order.
fn reversible() -> impl Strategy<Value = (String, String)> {
    pattern()
        .prop_flat_map(|source| {
            let count = source.split('.').filter(|token| *token == "*").count();
            let numbers: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
            (
                Just(source),
                Just(numbers).prop_shuffle(),
                vec(token(), 0..3),
            )
        })
        .prop_map(|(source, numbers, literals)| {
            let rest = source.ends_with('>').then(|| ">".to_owned());
            let mut tokens: Vec<String> = literals.into_iter().chain(numbers).collect();
            if tokens.is_empty() && rest.is_none() {
                tokens.push("z".to_owned());
            }
            (
                source,
                tokens.into_iter().chain(rest).collect::<Vec<_>>().join("."),
            )
        })
}

/// A subject that matches: each wildcard filled with one of `fill`.
fn fill(source: &str, fill: &[String]) -> String {
    let mut fill = fill.iter().cycle().cloned();
    let mut next = || fill.next().expect("never ends");
    let tokens = source.split('.').map(|token| match token {
        "*" => next(),
        ">" => format!("{}.{}", next(), next()),
        literal => literal.to_owned(),
    });
    tokens.collect::<Vec<_>>().join(".")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_destination_has_a_verdict_and_a_result(
        source in pattern(), destination in destination(), tokens in vec(token(), 3), random: u32,
    ) {
        if let Ok(transform) = Transform::new(&source, &destination) {
            let subject = fill(&source, &tokens);
            prop_assert!(transform.matches(subject.as_bytes()));
            let result = apply(&transform, &subject, random);
            if !has_empty_token(result.as_bytes()) {
                prop_assert!(pattern_matches(&transform.results(), result.as_bytes()), "{}", result);
            }
        }
        let _ = Transform::strict(&source, &destination);
    }

    #[test]
    fn any_text_has_a_verdict(source: String, destination: String) {
        let _ = Transform::new(&source, &destination);
    }

    #[test]
    fn a_strict_transform_can_be_undone((source, destination) in reversible(), tokens in vec(token(), 4)) {
        let transform = Transform::strict(&source, &destination).expect("strict");
        let subject = fill(&source, &tokens);
        let result = apply(&transform, &subject, 0);
        prop_assert_eq!(transform.preimage(result.as_bytes()), Preimage::Pattern(subject.into_bytes()));
    }

    /// What a service import sends out is what its pattern says, and every request is sent.
    #[test]
    fn services_send_what_they_say((remote, local) in reversible(), tokens in vec(token(), 4)) {
        let transform = Transform::service(&local, &remote).expect("a service");
        let own = String::from_utf8_lossy(transform.source()).into_owned();
        let result = apply(&transform, &fill(&own, &tokens), 0);
        prop_assert!(pattern_matches(&transform.results(), result.as_bytes()));
        prop_assert!(pattern_matches(remote.as_bytes(), result.as_bytes()));
    }

    /// A result matches a pattern if and only if its subject matches where the pattern comes from.
    #[test]
    fn patterns_are_where_their_subjects_are(
        (source, destination) in reversible(), wanted in pattern(), narrow in pattern(), tokens in vec(token(), 4),
        literal: bool,
    ) {
        let transform = Transform::strict(&source, &destination).expect("strict");
        let subject = fill(&source, &tokens);
        let result = apply(&transform, &subject, 0);
        let wanted = match literal {
            true => destination.replace('$', "").split('.').map(|t| if t.parse::<u8>().is_ok() { "*" } else { t }).collect::<Vec<_>>().join("."),
            false => wanted,
        };
        let expected = pattern_matches(wanted.as_bytes(), result.as_bytes());
        match transform.preimage(wanted.as_bytes()) {
            Preimage::Pattern(from) => prop_assert_eq!(pattern_matches(&from, subject.as_bytes()), expected),
            Preimage::Nothing => prop_assert!(!expected),
            Preimage::Unclear => prop_assert!(false, "strict transforms are clear"),
        }
        let inside = pattern_matches(narrow.as_bytes(), subject.as_bytes());
        let image = transform.image(narrow.as_bytes());
        let comes_out = image.is_some_and(|image| pattern_matches(&image, result.as_bytes()));
        prop_assert_eq!(inside, comes_out);
    }

    #[test]
    fn partitions_are_in_range(token in "[a-z]{1,8}", count in 1..1000_i32) {
        let transform = Transform::new("*", &format!("{{{{partition({count},1)}}}}")).expect("a mapping");
        let result: i32 = apply(&transform, &token, 0).parse().expect("a number");
        prop_assert!((0..count).contains(&result));
    }
}

//! Owns the tests of the configuration as a whole: the recorded verdicts of the oracle (cases.txt), what
//! becomes of settings, and properties of any input. Never runs the oracle.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use expect_test::{Expect, ExpectFile, expect, expect_file};
use proptest::prelude::*;

use super::{Config, ConfigError, Loaded, load_with};

/// Loads `main.conf` from files in memory.
fn load(
    files: &HashMap<String, String>,
    env: &HashMap<String, String>,
) -> Result<Loaded, Vec<ConfigError>> {
    let read = |path: &Path| match files.get(&*path.to_string_lossy()) {
        Some(text) => Ok(text.clone().into_bytes()),
        None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    load_with(
        Path::new("main.conf"),
        &|name| env.get(name).cloned(),
        &read,
    )
}

pub(super) fn load_text(text: &str) -> Result<Loaded, Vec<ConfigError>> {
    load(
        &HashMap::from([("main.conf".to_owned(), text.to_owned())]),
        &HashMap::new(),
    )
}

/// One of cases.txt.
#[derive(Default)]
struct Case {
    name: String,
    files: HashMap<String, String>,
    env: HashMap<String, String>,
    oracle: String,
    differs: bool,
    /// Everything up to gannet's verdict, as it stands in the file.
    source: String,
}

/// Every case has the oracle's verdict, on the oracle's line, unless the file says why not.
/// `UPDATE_EXPECT=1` writes gannet's sentences, never the oracle's verdicts.
#[test]
fn verdicts_of_the_oracle() {
    let surprises = verdicts(include_str!("cases.txt"), &expect_file!["cases.txt"]);
    expect![[r#"
        no value on the line of a separator: oracle error 2, gannet main.conf:1:1: the key "port" has no value
        no path after include: oracle error 3, gannet main.conf:2:8: expected the path of a file after "include"
        refused: trusted_keys: oracle ok sha256:f1bb8968e2a93b8ffee238313afe9ef7a01200106ae0eb0608d2114e70fda495, gannet ok
        refused: nkey users: oracle ok sha256:956a77dfce9d5d5ca05163aba5033bd81c414556b5ab91fc200814990e9bb2fa, gannet ok
    "#]].assert_eq(&surprises);
}

/// Holds the cases of a file against gannet's sentences; gives those whose verdict is not the one the file expects.
pub(super) fn verdicts(text: &str, file: &ExpectFile) -> String {
    let (head, cases) = parse_cases(text);
    assert!(cases.len() > 100, "the file was read");
    let (mut rendered, mut surprises) = (head, String::new());
    for case in &cases {
        let outcome = load(&case.files, &case.env);
        let said = render(&outcome);
        if agrees(case, &outcome) == case.differs {
            surprises += &format!("{}: oracle {}, gannet {said}", case.name, case.oracle);
        }
        rendered += &format!("{}--- gannet\n{said}\n", case.source);
    }
    file.assert_eq(&rendered);
    surprises
}

fn parse_cases(text: &str) -> (String, Vec<Case>) {
    let mut parts = text.split("\n=== ");
    let head = parts.next().expect("an introduction");
    (format!("{head}\n"), parts.map(parse_case).collect())
}

fn parse_case(text: &str) -> Case {
    let mut case = Case {
        source: "=== ".to_owned(),
        ..Case::default()
    };
    let mut sections = text.split("\n--- ");
    let main = sections.next().expect("a case");
    let (name, main) = main.split_once('\n').unwrap_or((main, ""));
    case.name = name.to_owned();
    case.files.insert("main.conf".into(), real_text(main));
    writeln!(
        case.source,
        "{}",
        text[..name.len() + 1 + main.len()].trim_end_matches('\n')
    )
    .expect("a string");
    for section in sections {
        let (head, body) = section.split_once('\n').unwrap_or((section, ""));
        if head == "gannet" {
            break;
        }
        writeln!(case.source, "--- {section}").expect("a string");
        match head.split_once(' ') {
            Some(("file", name)) => {
                case.files.insert(name.to_owned(), real_text(body));
            }
            Some(("env", variable)) => {
                let (name, value) = variable.split_once(' ').expect("a value");
                case.env.insert(name.to_owned(), value.to_owned());
            }
            Some(("differs:", _)) => case.differs = true,
            _ => case.oracle = body.trim().to_owned(),
        }
    }
    case
}

fn real_text(text: &str) -> String {
    let text = match text.strip_suffix('␄') {
        Some(text) => text.to_owned(),
        None => format!("{text}\n"),
    };
    text.replace('␍', "\r").replace('␀', "\0")
}

pub(super) fn render(outcome: &Result<Loaded, Vec<ConfigError>>) -> String {
    let mut lines = String::new();
    let (errors, sort) = match outcome {
        Ok(loaded) if loaded.warnings.is_empty() => return "ok\n".to_owned(),
        Ok(loaded) => (&loaded.warnings, "warning: "),
        Err(errors) => (errors, ""),
    };
    for error in errors {
        writeln!(lines, "{sort}{error}").expect("a string");
    }
    lines
}

fn agrees(case: &Case, outcome: &Result<Loaded, Vec<ConfigError>>) -> bool {
    let mut words = case.oracle.split(' ');
    let (sort, named) = match outcome {
        Ok(loaded) if loaded.warnings.is_empty() => {
            return words.eq(["ok", &loaded.digest]);
        }
        Ok(loaded) => ("warning", &loaded.warnings),
        Err(errors) => ("error", errors),
    };
    let same_sort = words.next() == Some(sort);
    let lines: Vec<u32> = words.filter_map(|w| w.parse().ok()).collect();
    same_sort && (lines.is_empty() || named.iter().any(|e| lines.contains(&e.at.line)))
}

/// The lines of the loaded configuration that are not those of an empty one.
pub(super) fn check(text: &str, expected: Expect) {
    let loaded = match load_text(text) {
        Ok(loaded) => loaded,
        Err(errors) => return expected.assert_eq(&render(&Err(errors))),
    };
    let settings = |config: &Config| {
        let config = Config {
            places: Default::default(),
            ..config.clone()
        };
        format!("{config:#?}")
    };
    let (all, default) = (settings(&loaded.config), settings(&Config::default()));
    let changed: Vec<&str> = all
        .lines()
        .filter(|line| !default.lines().any(|other| other == *line))
        .collect();
    let indents = changed
        .iter()
        .map(|line| line.len() - line.trim_start().len());
    let indent = indents.min().unwrap_or(0);
    let changed: String = changed
        .iter()
        .map(|line| format!("{}\n", &line[indent..]))
        .collect();
    expected.assert_eq(&(changed + render(&Ok(loaded)).trim_start_matches("ok\n")));
}

#[test]
fn settings_of_the_outermost_level() {
    check(
        "
        net: localhost, port: -1, server_name: a, client_advertise: \"b:1\"
        max_conn: 10; max_subs: 20; max_sub_tokens: 8
        max_payload: 2MB, max_control_line: 8K, max_pending: 128Mi
        write_deadline: 1m30s, ping_interval: \"1.5s\", ping_max: 3
        no_fast_producer_stall: on, no_header_support: yes
        debug: true, trace_verbose: true, logtime: off, logtime_utc: true
        logfile: \"/tmp/a.log\", logfile_size_limit: 1k, logfile_max_num: 5, max_traced_msg_len: 64
        pidfile: \"/tmp/a.pid\", ports_file_dir: \"/tmp\"
        ",
        expect![[r#"
                host: "localhost",
                port: -1,
                server_name: Some(
                    "a",
                client_advertise: Some(
                    "b:1",
                    connections_max: 10,
                    subscriptions_max: 20,
                    subscription_tokens_max: 8,
                    payload_bytes_max: 2097152,
                    control_line_bytes_max: 8000,
                    pending_bytes_max: 134217728,
                    write_deadline_ms: 90000,
                    ping_interval_ms: 1500,
                    pings_out_max: 3,
                    no_fast_producer_stall: true,
                    no_header_support: true,
                    debug: true,
                    trace: true,
                    trace_verbose: true,
                    time: false,
                    utc: true,
                    file: Some(
                        "/tmp/a.log",
                    ),
                    file_bytes_max: 1000,
                    files_max: 5,
                    traced_bytes_max: 64,
                pid_file: Some(
                    "/tmp/a.pid",
                ports_file_dir: Some(
                    "/tmp",
        "#]],
    );
}

#[test]
fn zero_is_the_default() {
    check(
        "
        port: 0, max_payload: 0, max_control_line: 0, max_pending: 0, ping_max: 0
        ping_interval: \"0s\", write_deadline: \"0s\", max_subscriptions: 0, log_size_limit: -1
        ",
        expect![[""]],
    );
    check(
        "max_connections: 0",
        expect![[r#"
                    connections_max: -1,
        "#]],
    );
    check("max_subscriptions: -1", expect![[""]]);
}

#[test]
fn short_times_are_kept() {
    check(
        "write_deadline: \"1us\"",
        expect![[r#"
                    write_deadline_ms: 1,
        "#]],
    );
    check(
        "authorization { timeout: 0.0001, token: a }",
        expect![[r#"
                    token: Some(
                        [secret],
                    ),
                    timeout_ms: Some(
                        1,
                    ),
        "#]],
    );
}

#[test]
fn the_later_setting_wins() {
    check(
        "host: a, listen: \"b:1\"",
        expect![[r#"
                host: "b",
                port: 1,
        "#]],
    );
    check(
        "listen: \"b:1\", port: 2",
        expect![[r#"
                host: "b",
                port: 2,
        "#]],
    );
    check(
        "host: a, listen: 1",
        expect![[r#"
                host: "a",
                port: 1,
        "#]],
    );
}

#[test]
fn single_users_and_tokens() {
    check(
        "authorization { user: a, pass: \"b\", timeout: 0.5 }",
        expect![[r#"
                    user: Some(
                        "a",
                    ),
                    password: Some(
                        [secret],
                    ),
                    timeout_ms: Some(
                        500,
                    ),
        "#]],
    );
    check(
        "authorization { token: $2a$11$abc, timeout: \"3s\" }",
        expect![[r#"
                    token: Some(
                        [secret],
                    ),
                    timeout_ms: Some(
                        3000,
                    ),
        "#]],
    );
    check(
        "authorization { user: \"\", token: a }\nno_auth_user: \"\"",
        expect![[r#"
                    token: Some(
                        [secret],
                    ),
        "#]],
    );
}

#[test]
fn users_and_their_permissions() {
    check(
        "
        no_auth_user: b
        authorization {
          default_permissions: { publish: \"x\" }
          users: [
            { user: a, permissions: { publish: [foo, \"bar.*\"], subscribe: \"baz q\" } }
            { user: b, password: c, connection_types: [standard, STANDARD] }
          ]
        }
        ",
        expect![[r#"
            default_permissions: Some(
                Permissions {
                    publish: Rules {
                        allow: Some(
                            [
                                Rule {
                                    subject: "x",
                                    queue: None,
                                    at: main.conf:4:43,
                                },
                            ],
                        ),
                        deny: [],
                    },
                    subscribe: Rules {
                        allow: None,
                        deny: [],
                    },
                    responses: None,
                },
            ),
            users: [
                User {
                    name: "a",
                    nkey: None,
                    password: [secret],
                    permissions: Some(
                        Permissions {
                            publish: Rules {
                                allow: Some(
                                    [
                                        Rule {
                                            subject: "foo",
                                            queue: None,
                                            at: main.conf:6:49,
                                        },
                                        Rule {
                                            subject: "bar.*",
                                            queue: None,
                                            at: main.conf:6:54,
                                        },
                                    ],
                                ),
                                deny: [],
                            },
                            subscribe: Rules {
                                allow: Some(
                                    [
                                        Rule {
                                            subject: "baz",
                                            queue: Some(
                                                "q",
                                            ),
                                            at: main.conf:6:75,
                                        },
                                    ],
                                ),
                                deny: [],
                            },
                            responses: None,
                        },
                    ),
                    connection_types: [],
                    at: main.conf:6:13,
                },
                User {
                    name: "b",
                    nkey: None,
                    password: [secret],
                    permissions: None,
                    connection_types: [
                        "STANDARD",
                    ],
                    at: main.conf:7:13,
                },
            ],
            no_auth_user: Some(
                (
                    "b",
                    main.conf:2:9,
                ),
            ),
        "#]],
    );
}

#[test]
fn responses() {
    let of = |permissions: &str| {
        let text = format!(
            "authorization {{ users: [ {{ user: a, permissions: {{ {permissions} }} }} ] }}"
        );
        let loaded = load_text(&text).unwrap_or_else(|e| panic!("{e:?}"));
        let permissions = loaded.config.authorization.users[0].permissions.clone();
        let permissions = permissions.expect("permissions");
        let allow = permissions.publish.allow.map(|allow| allow.len());
        let deny = permissions.publish.deny.len();
        format!("{allow:?} {deny} {:?}", permissions.responses)
    };
    expect!["Some(0) 0 Some(Responses { messages_max: 1, expires_ms: 120000 })"]
        .assert_eq(&of("allow_responses: true"));
    expect!["Some(0) 1 Some(Responses { messages_max: 1, expires_ms: 120000 })"]
        .assert_eq(&of("allow_responses: true, publish: {deny: x}"));
    expect!["Some(2) 0 Some(Responses { messages_max: 5, expires_ms: 60000 })"].assert_eq(&of(
        "publish: [x, y], allow_responses: {max: 5, expires: \"1m\"}",
    ));
    expect!["Some(0) 0 Some(Responses { messages_max: -1, expires_ms: -1000 })"]
        .assert_eq(&of("allow_responses: {max: -1, expires: \"-1s\"}"));
    expect!["Some(0) 0 Some(Responses { messages_max: 1, expires_ms: 120000 })"]
        .assert_eq(&of("allow_responses: {max: 0, expires: \"0\"}"));
    expect!["None 0 None"].assert_eq(&of("allow_responses: false"));
    expect!["None 0 None"].assert_eq(&of(""));
}

#[test]
fn what_is_checked_at_the_start() {
    let errors = |text: &str| {
        let loaded = load_text(text).unwrap_or_else(|e| panic!("{e:?}"));
        render(&Err(loaded.config.check_start()))
    };
    expect![[r#"
        main.conf:1:1: 70000 is not a port: 1 to 65535, or -1 for a free one
    "#]]
    .assert_eq(&errors("port: 70000"));
    expect![[r#"
        main.conf:2:1: -2 is not a port: 1 to 65535, or -1 for a free one
    "#]]
    .assert_eq(&errors("port: 1\nlisten: \"a:-2\""));
    expect![[""]].assert_eq(&errors("port: -1, client_advertise: a, max_payload: 1MB"));
    expect![[r#"
        main.conf:3:1: max_payload (2097152) cannot be higher than max_pending (1048576)
    "#]]
    .assert_eq(&errors("\nmax_payload: 2MB\nmax_pending: 1MB"));
    expect![[r#"
        main.conf:1:1: "client_advertise" must be "host:port"
    "#]]
    .assert_eq(&errors("client_advertise: \"::1\""));
    expect![[r#"
        main.conf:1:1: "client_advertise" must be "host:port"
    "#]]
    .assert_eq(&errors("client_advertise: \"a:b\""));
    expect![[r#"
        main.conf:2:1: "no_auth_user" is "a", but there are no users
    "#]]
    .assert_eq(&errors("port: 1\nno_auth_user: a"));
    let users = "authorization { users: [ {user: a, password: b} ] }\n";
    expect![[r#"
        main.conf:2:1: "no_auth_user" is "b", who is not among the users
    "#]]
    .assert_eq(&errors(&format!("{users}no_auth_user: b")));
    expect![[""]].assert_eq(&errors(&format!("{users}no_auth_user: a")));
    let mut config = Config {
        port: 0,
        server_name: Some("a b".into()),
        ..Config::default()
    };
    config.places.set(
        "port",
        super::Position {
            file: "<command line>".into(),
            line: 1,
            column: 1,
        },
    );
    expect![[r#"
        <command line>:1:1: 0 is not a port: 1 to 65535, or -1 for a free one
        <default>:1:1: the server's name must not contain blanks
    "#]]
    .assert_eq(&render(&Err(config.check_start())));
}

#[test]
fn client_advertise_is_split() {
    for (text, expected) in [
        ("a", Some(("a", 4222))),
        ("a:5", Some(("a", 5))),
        ("a:-1", Some(("a", 4222))),
        ("[::1]", Some(("::1", 4222))),
        ("[::1]:5", Some(("::1", 5))),
        ("::1", None),
    ] {
        let config = Config {
            client_advertise: Some(text.into()),
            ..Config::default()
        };
        let expected = expected.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(config.client_advertise_host_port(), expected, "{text}");
    }
}

#[test]
fn files_that_cannot_be_read() {
    let read = |path: &Path| match path.to_str() {
        Some("bytes.conf") => Ok(b"port: 1\nhost: \"\xff\"".to_vec()),
        Some("a.conf") => Ok(b"include b.conf\n".to_vec()),
        Some("b.conf") => Ok(b"port: 1\ninclude ./a.conf\nfoo: 1".to_vec()),
        _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "not yours")),
    };
    let said = |path: &str| render(&load_with(Path::new(path), &|_| None, &read));
    expect![[r#"
        none.conf:1:1: "none.conf" cannot be read: not yours
    "#]]
    .assert_eq(&said("none.conf"));
    expect![[r#"
        bytes.conf:2:8: the file is not UTF-8 from here on
    "#]]
    .assert_eq(&said("bytes.conf"));
    expect![[r#"
        b.conf:2:1: "a.conf" includes itself
    "#]]
    .assert_eq(&said("a.conf"));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        format!(
            "a: {}x {}\nserver_name: $a",
            "[".repeat(depth),
            "] ".repeat(depth)
        )
    };
    let said = |text: &str| render(&load_text(text));
    expect![[r#"
        main.conf:2:1: "server_name" must be a string, not an array
    "#]]
    .assert_eq(&said(&nested(99)));
    expect![[r#"
        main.conf:1:104: nested more than 100 levels deep
    "#]]
    .assert_eq(&said(&nested(101)));
    expect![[r#"
        main.conf:1:101: nested more than 100 levels deep
    "#]]
    .assert_eq(&said(&"{".repeat(100_000)));
    expect![[r#"
        main.conf:1:303: nested more than 100 levels deep
    "#]]
    .assert_eq(&said(&"a {".repeat(100_000)));
    let chain: String = (1..200).map(|i| format!("a{i}: [$a{}]\n", i - 1)).collect();
    expect![[r#"
        main.conf:101:8: nested more than 100 levels deep
        main.conf:201:1: "server_name" must be a string, not an array
    "#]]
    .assert_eq(&said(&format!("a0: []\n{chain}server_name: $a199")));
    let env = |name: &str| Some(format!("${name}x"));
    let read = |_: &Path| Ok(b"port: $x".to_vec());
    expect![[r#"
        main.conf:1:7: the variable "$x" of the environment does not hold a value (quote it there if it is text)
    "#]].assert_eq(&render(&load_with(Path::new("main.conf"), &env, &read)));
}

/// A configuration that holds secrets in every place, cut off or damaged anywhere, never prints one.
#[test]
fn secrets_are_not_printed() {
    let users =
        "users: [\n    { user: b, pass: \"s3cret\" }\n    { user: c, password: 's3cret' } ]";
    let broken =
        format!("authorization {{\n  token: s3cret\n  password: s3cret ()\n  {users}\n}}\n");
    let sound = format!("authorization {{\n  {users}\n}}\n");
    for text in [broken, sound] {
        for at in 0..text.len() {
            for damage in ["", " ", "\n", "\"", "{", "]", "\\", ":", "-", "$"] {
                let damaged = format!("{}{damage}{}", &text[..at], &text[at..]);
                assert_no_secret(&damaged);
                assert_no_secret(&damaged[..at + damage.len()]);
            }
        }
    }
}

fn assert_no_secret(text: &str) {
    let outcome = load_text(text);
    let printed = format!("{}{outcome:?}", render(&outcome));
    assert!(!printed.contains("s3cret"), "{text}\n{printed}");
}

/// Pieces that mean something to the lexer, so that random texts get somewhere.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "(\n",
        "\n)\n",
        "\"",
        "'",
        ":",
        "=",
        ",",
        ";",
        "#",
        "//",
        "/",
        " ",
        "\n",
        "\r\n",
        "\t",
        "\\",
        "\\x4",
        "\\n",
        "$",
        "$a",
        "$2a$",
        "a",
        "b",
        "é",
        "\u{a0}",
        "1",
        "1k",
        "-",
        "1.5",
        "127.0.0.1",
        "2006-01-02T15:04:05Z",
        "true",
        "include ",
        "include a.conf\n",
        "port: 1\n",
        "host ",
        "authorization {",
        "users: [",
        "{user: a, password: b}",
        "permissions {",
        "publish: ",
        "deny",
        "foo..bar",
        "allow_responses: ",
        "timeout: ",
        "\0",
    ];
    prop_oneof![
        20 => prop::sample::select(pieces.map(str::to_owned).to_vec()),
        1 => any::<char>().prop_map(String::from),
    ]
}

fn random_text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat())
}

/// Lines and columns are those of a character of the file, or of its end.
pub(super) fn assert_inside(files: &HashMap<String, String>, error: &ConfigError) {
    let text = &files[&*error.at.file];
    let line = text.split('\n').nth(error.at.line as usize - 1);
    let columns = line.map_or(0, |line| line.chars().count() as u32 + 1);
    assert!(
        (1..=columns).contains(&error.at.column),
        "{error} in {text:?}"
    );
    assert!(!error.text.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_has_a_verdict_with_places_inside(main in random_text(), other in random_text()) {
        let files = HashMap::from([("main.conf".to_owned(), main), ("a.conf".to_owned(), other.clone())]);
        let env = HashMap::from([("a".to_owned(), other)]);
        match load(&files, &env) {
            Ok(loaded) => {
                for error in loaded.warnings {
                    assert_inside(&files, &error);
                }
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    assert_inside(&files, &error);
                }
            }
        }
    }

    #[test]
    fn any_bytes_have_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let outcome = load_with(Path::new("main.conf"), &|_| None, &|_| Ok(bytes.clone()));
        prop_assert!(outcome.is_ok() || outcome.is_err_and(|errors| !errors.is_empty()));
    }

    /// A string survives quoting, so the lexer neither loses nor invents a character.
    #[test]
    fn quoted_strings_are_read_back(text in "[^\0]*") {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        let loaded = load_text(&format!("log_file: \"{escaped}\"")).expect("a valid file");
        let read = loaded.config.log.file.unwrap_or_default();
        prop_assert_eq!(read.to_str(), Some(&*text));
    }

    /// A duration reads back as what was written, in any unit.
    #[test]
    fn durations_are_read_back(ms in 1_u64..1_000_000_000) {
        let (s, rest) = (ms / 1000, ms % 1000);
        for text in [format!("{ms}ms"), format!("{s}s{rest}ms"), format!("{s}.{rest:03}s"), format!("{ms}000us")] {
            let loaded = load_text(&format!("write_deadline: \"{text}\"")).expect("a valid file");
            prop_assert_eq!(loaded.config.limits.write_deadline_ms, ms);
        }
    }
}

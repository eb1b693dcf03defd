//! Command lines in, invocations out. The oracle's answers were taken by running it.

use expect_test::{Expect, expect};

use super::registry::{Effect, Group, REGISTRY};
use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .map(|word| {
            if word == "''" {
                String::new()
            } else {
                word.into()
            }
        })
        .collect()
}

/// Shows what a line comes to: for a run, what it changes in `config`.
fn show(line: &str, base: &Config) -> String {
    match parse(&words(line)) {
        Invocation::Print(output) => {
            let stdout = output
                .stdout
                .trim()
                .lines()
                .next()
                .unwrap_or_default()
                .to_string();
            format!(
                "exit {} | {stdout} | {}",
                output.code,
                output.stderr.trim_end().replace('\n', " / ")
            )
        }
        Invocation::Signal(request) => format!("{request:?}"),
        Invocation::Bench(rest) => format!("bench {rest:?}"),
        Invocation::Explain(asked) => format!("{asked:?}"),
        Invocation::CheckConfig { file, strict } => {
            let strictly = if strict { ", strictly" } else { "" };
            format!("check {}{strictly}", file.display())
        }
        Invocation::Run(flags) => {
            let mut config = base.clone();
            flags.apply(&mut config);
            let changed: Vec<String> = (fields(&config).into_iter().zip(fields(base)))
                .filter_map(|(new, old)| (new != old).then_some(new))
                .collect();
            let file = flags
                .config_file
                .map(|file| format!("file {} ", file.display()));
            format!("run {}{}", file.unwrap_or_default(), changed.join(" "))
        }
    }
}

/// What flags may change, as `name=value`.
fn fields(config: &Config) -> Vec<String> {
    let (auth, log, shards) = (&config.authorization, &config.log, &config.shards);
    let secret = |secret: &Option<Secret>| secret.clone().map(|secret| secret.0);
    vec![
        format!("host={}", config.host),
        format!("port={}", config.port),
        format!("server_name={:?}", config.server_name),
        format!("client_advertise={:?}", config.client_advertise),
        format!("pid_file={:?}", config.pid_file),
        format!("ports_file_dir={:?}", config.ports_file_dir),
        format!("user={:?}", auth.user),
        format!("password={:?}", secret(&auth.password)),
        format!("token={:?}", secret(&auth.token)),
        format!("debug={}", log.debug),
        format!("trace={}", log.trace),
        format!("trace_verbose={}", log.trace_verbose),
        format!("time={}", log.time),
        format!("utc={}", log.utc),
        format!("file={:?}", log.file),
        format!("file_bytes_max={}", log.file_bytes_max),
        format!("traced_bytes_max={}", log.traced_bytes_max),
        format!("count={:?}", shards.count),
        format!("no_pin={}", shards.no_pin),
        format!("io={:?}", shards.io),
        format!("spin={:?}", shards.spin),
    ]
}

fn check_over(base: &Config, lines: &[&str], expected: Expect) {
    let shown: Vec<String> = lines
        .iter()
        .map(|line| format!("{line}\n    {}\n", show(line, base)))
        .collect();
    expected.assert_eq(&shown.concat());
}

fn check(lines: &[&str], expected: Expect) {
    check_over(&Config::default(), lines, expected);
}

#[test]
fn bad_flags_print_the_usage_and_exit_0() {
    check(
        &[
            "--bogus",
            "-h --bogus",
            "-p abc",
            "-p",
            "-p=",
            "-p 08",
            "-p 0x",
            "-p 1_",
            "-p 1__0",
            "-p 9223372036854775808",
            "-D=maybe",
            "-D=",
            "---x",
            "--=x",
            "--user",
            "--shards 0",
            "--shards two",
            "--io kqueue",
            "--spin fast",
            "-m abc",
        ],
        expect![[r#"
            --bogus
                exit 0 | Usage: gannet [options] | flag provided but not defined: -bogus
            -h --bogus
                exit 0 | Usage: gannet [options] | flag provided but not defined: -bogus
            -p abc
                exit 0 | Usage: gannet [options] | invalid value "abc" for flag -p: parse error
            -p
                exit 0 | Usage: gannet [options] | flag needs an argument: -p
            -p=
                exit 0 | Usage: gannet [options] | invalid value "" for flag -p: parse error
            -p 08
                exit 0 | Usage: gannet [options] | invalid value "08" for flag -p: parse error
            -p 0x
                exit 0 | Usage: gannet [options] | invalid value "0x" for flag -p: parse error
            -p 1_
                exit 0 | Usage: gannet [options] | invalid value "1_" for flag -p: parse error
            -p 1__0
                exit 0 | Usage: gannet [options] | invalid value "1__0" for flag -p: parse error
            -p 9223372036854775808
                exit 0 | Usage: gannet [options] | invalid value "9223372036854775808" for flag -p: value out of range
            -D=maybe
                exit 0 | Usage: gannet [options] | invalid boolean value "maybe" for -D: parse error
            -D=
                exit 0 | Usage: gannet [options] | invalid boolean value "" for -D: parse error
            ---x
                exit 0 | Usage: gannet [options] | bad flag syntax: ---x
            --=x
                exit 0 | Usage: gannet [options] | bad flag syntax: --=x
            --user
                exit 0 | Usage: gannet [options] | flag needs an argument: -user
            --shards 0
                exit 0 | Usage: gannet [options] | invalid value "0" for flag -shards: it is 1 to 1024
            --shards two
                exit 0 | Usage: gannet [options] | invalid value "two" for flag -shards: parse error
            --io kqueue
                exit 0 | Usage: gannet [options] | invalid value "kqueue" for flag -io: it is auto, uring or epoll
            --spin fast
                exit 0 | Usage: gannet [options] | invalid value "fast" for flag -spin: it is auto, off or microseconds
            -m abc
                exit 0 | Usage: gannet [options] | invalid value "abc" for flag -m: parse error
        "#]],
    );
}

#[test]
fn stray_words_and_late_checks_exit_1() {
    check(
        &[
            "stray",
            "-p -1 stray -D",
            "-T false",
            "-- x",
            "-",
            "-p 4222 bench pub",
            "-t",
            "-c '' -t",
            "-p 70000",
            "-p -2",
            "--cluster nats://127.0.0.1:1 -js -m 8222 --https_port 1",
            "-m -1 --profile 0x1f --connect_retries 5 --cluster_name x",
            "--signal foo",
            "--signal ldm",
            "--signal a=b=c=d",
        ],
        expect![[r#"
            stray
                exit 1 |  | gannet: unrecognized command: "stray"
            -p -1 stray -D
                exit 1 |  | gannet: unrecognized command: "stray"
            -T false
                exit 1 |  | gannet: unrecognized command: "false"
            -- x
                exit 1 |  | gannet: unrecognized command: "x"
            -
                exit 1 |  | gannet: unrecognized command: "-"
            -p 4222 bench pub
                exit 1 |  | gannet: unrecognized command: "bench"
            -t
                exit 1 |  | gannet: must specify [-c, --config] option to check configuration file syntax
            -c '' -t
                exit 1 |  | gannet: must specify [-c, --config] option to check configuration file syntax
            -p 70000
                exit 1 |  | gannet: invalid port 70000: it is -1 (random) or 1 to 65535
            -p -2
                exit 1 |  | gannet: invalid port -2: it is -1 (random) or 1 to 65535
            --cluster nats://127.0.0.1:1 -js -m 8222 --https_port 1
                exit 1 |  | gannet: --cluster is not available in gannet yet / -js is not available in gannet yet / -m is not available in gannet yet / --https_port is not available in gannet yet
            -m -1 --profile 0x1f --connect_retries 5 --cluster_name x
                exit 1 |  | gannet: -m is not available in gannet yet / --profile is not available in gannet yet / --connect_retries is not available in gannet yet / --cluster_name is not available in gannet yet
            --signal foo
                exit 1 |  | gannet: unknown signal "foo"
            --signal ldm
                exit 1 |  | gannet: --signal ldm is not available in gannet yet
            --signal a=b=c=d
                exit 1 |  | gannet: invalid signal parameters: [c d]
        "#]],
    );
    let name = parse(&["-n".into(), "a b".into()]);
    assert!(
        matches!(name, Invocation::Print(output) if output.stderr == "gannet: server name cannot contain spaces\n")
    );
}

#[test]
fn what_leaves_at_once() {
    check(
        &[
            "-h",
            "help",
            "HELP -p abc",
            "version",
            "-v -h",
            "--version=true stray",
            "--help_tls",
            "-t -c a.conf -p 1",
            "-t --strict -c a.conf",
            "-c a.conf -t extra",
            "bench pub --size 16",
            "explain",
            "explain -c a.conf --user u pub foo.bar",
            "explain pub foo.bar --json=true -c=a.conf --account A",
            "explain -c a.conf sub foo.> -q workers",
            "explain -c a.conf request foo --inbox _I",
            "explain -c a.conf --creds u.creds --from ::1 pub x",
            "explain -c a.conf --jwt u.jwt --account-jwt a.jwt --account-jwt=b.jwt pub x",
            "explain -c a.conf --jwt u.jwt --creds u.creds pub x",
            "explain -c a.conf --jwt u.jwt --user u pub x",
            "explain -c a.conf --jwt u.jwt --from here pub x",
            "explain -c a.conf",
            "explain -c a.conf pub",
            "explain -c a.conf pub a b",
            "explain -c a.conf list x",
            "explain pub x",
            "explain -c a.conf pub x -q y",
            "explain -c a.conf sub x --inbox y",
            "explain -c a.conf pub ''",
            "explain --shards 2 pub x",
            "--json",
            "--signal stop",
            "-sl quit=12",
            "--signal=reopen=/run/x.pid",
            "-sl term=*",
            "--cluster x -h",
        ],
        expect![[r#"
            -h
                exit 0 | Usage: gannet [options] | 
            help
                exit 0 | Usage: gannet [options] | 
            HELP -p abc
                exit 0 | Usage: gannet [options] | 
            version
                exit 0 | gannet: v0.1.0 | 
            -v -h
                exit 0 | gannet: v0.1.0 | 
            --version=true stray
                exit 0 | gannet: v0.1.0 | 
            --help_tls
                exit 0 | TLS is configured in the block "tls" of a configuration file: | 
            -t -c a.conf -p 1
                check a.conf
            -t --strict -c a.conf
                check a.conf, strictly
            -c a.conf -t extra
                exit 1 |  | gannet: unrecognized command: "extra"
            bench pub --size 16
                bench ["pub", "--size", "16"]
            explain
                exit 0 | Usage: gannet explain -c FILE [options] pub SUBJECT | 
            explain -c a.conf --user u pub foo.bar
                Explain { file: "a.conf", user: Some("u"), account: None, token: None, account_jwts: [], from: None, verb: Pub, subject: "foo.bar", queue: None, inbox: "_INBOX", json: false }
            explain pub foo.bar --json=true -c=a.conf --account A
                Explain { file: "a.conf", user: None, account: Some("A"), token: None, account_jwts: [], from: None, verb: Pub, subject: "foo.bar", queue: None, inbox: "_INBOX", json: true }
            explain -c a.conf sub foo.> -q workers
                Explain { file: "a.conf", user: None, account: None, token: None, account_jwts: [], from: None, verb: Sub, subject: "foo.>", queue: Some("workers"), inbox: "_INBOX", json: false }
            explain -c a.conf request foo --inbox _I
                Explain { file: "a.conf", user: None, account: None, token: None, account_jwts: [], from: None, verb: Request, subject: "foo", queue: None, inbox: "_I", json: false }
            explain -c a.conf --creds u.creds --from ::1 pub x
                Explain { file: "a.conf", user: None, account: None, token: Some(Creds("u.creds")), account_jwts: [], from: Some(::1), verb: Pub, subject: "x", queue: None, inbox: "_INBOX", json: false }
            explain -c a.conf --jwt u.jwt --account-jwt a.jwt --account-jwt=b.jwt pub x
                Explain { file: "a.conf", user: None, account: None, token: Some(Jwt("u.jwt")), account_jwts: ["a.jwt", "b.jwt"], from: None, verb: Pub, subject: "x", queue: None, inbox: "_INBOX", json: false }
            explain -c a.conf --jwt u.jwt --creds u.creds pub x
                exit 2 |  | gannet explain: --creds and --jwt: one of them /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf --jwt u.jwt --user u pub x
                exit 2 |  | gannet explain: a JWT says whose it is: --user and --account are for the users of a file /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf --jwt u.jwt --from here pub x
                exit 2 |  | gannet explain: invalid value "here" for flag -from: it is an IP address /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf
                exit 2 |  | gannet explain: say what is to be explained: pub, sub or request, and a subject /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf pub
                exit 2 |  | gannet explain: say what is to be explained: pub, sub or request, and a subject /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf pub a b
                exit 2 |  | gannet explain: say what is to be explained: pub, sub or request, and a subject /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf list x
                exit 2 |  | gannet explain: "list" is not pub, sub or request /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain pub x
                exit 2 |  | gannet explain: say which configuration with -c FILE /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf pub x -q y
                exit 2 |  | gannet explain: --queue is for sub /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf sub x --inbox y
                exit 2 |  | gannet explain: --inbox is for request /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain -c a.conf pub ''
                exit 2 |  | gannet explain: "" cannot be sent: it is empty or holds white space /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            explain --shards 2 pub x
                exit 2 |  | gannet explain: flag provided but not defined: -shards /  / Usage: gannet explain -c FILE [options] pub SUBJECT /        gannet explain -c FILE [options] sub SUBJECT /        gannet explain -c FILE [options] request SUBJECT /  / Says where a message goes, what a subscription gets, or how a request and its answers travel, / and by which lines of the configuration. Nothing is started or connected to. /  / Options: /     -c, --config <file>               The configuration file /     -u, --user <user>                 Whose message or subscription it is: the name of a user (default: whoever has no credentials) /         --account <account>           A client of this account, where it has no users /         --creds <file>                With an operator: whoever has this credentials file /         --jwt <file>                  The same for a user's JWT without its seed /         --account-jwt <file>          The JWT of an account, in place of what the resolver has; may be given several times /         --from <address>              Where somebody with a JWT connects from (default: where it may) /     -q, --queue <group>               The queue group of a subscription /         --inbox <prefix>              What the reply subjects of a request begin with (default: _INBOX) /         --json                        Print JSON in place of a page /     -h, --help                        This page
            --json
                exit 0 | Usage: gannet [options] | flag provided but not defined: -json
            --signal stop
                SignalRequest { command: Stop, process: None }
            -sl quit=12
                SignalRequest { command: Quit, process: Some("12") }
            --signal=reopen=/run/x.pid
                SignalRequest { command: Reopen, process: Some("/run/x.pid") }
            -sl term=*
                SignalRequest { command: Term, process: Some("*") }
            --cluster x -h
                exit 0 | Usage: gannet [options] | 
        "#]],
    );
}

#[test]
fn flags_set_fields() {
    check(
        &[
            "",
            "--",
            "-a 127.0.0.1 -p -1",
            "--net=::1 --port=0x10",
            "-p 1_000 -addr localhost",
            "-p 052",
            "-p 0b101 -p +7",
            "-n one --name two",
            "-P p.pid --ports_file_dir d --client_advertise h:1",
            "-c a.conf -l f.log -T=false --logtime_utc --log_size_limit 100",
            "-D",
            "-V",
            "-VV",
            "-DV",
            "-DVV",
            "-DV=false -D",
            "-D -D=false",
            "--max_traced_msg_len 8 --log_size_limit -5",
            "--user u --pass p",
            "--auth t",
            "--shards 3 --no-pin --io epoll --spin off",
            "--spin 50 --io uring",
            "-js=false --tls=false -t=false --signal ''",
            "-m 0 -ms 0 --profile 0 --connect_retries 0 -s=false -r= --routes '' --cluster= --cluster_name ''",
        ],
        expect![[r#"

                run 
            --
                run 
            -a 127.0.0.1 -p -1
                run host=127.0.0.1 port=-1
            --net=::1 --port=0x10
                run host=::1 port=16
            -p 1_000 -addr localhost
                run host=localhost port=1000
            -p 052
                run port=42
            -p 0b101 -p +7
                run port=7
            -n one --name two
                run server_name=Some("two")
            -P p.pid --ports_file_dir d --client_advertise h:1
                run client_advertise=Some("h:1") pid_file=Some("p.pid") ports_file_dir=Some("d")
            -c a.conf -l f.log -T=false --logtime_utc --log_size_limit 100
                run file a.conf time=false utc=true file=Some("f.log") file_bytes_max=100
            -D
                run debug=true
            -V
                run trace=true
            -VV
                run trace=true trace_verbose=true
            -DV
                run debug=true trace=true
            -DVV
                run debug=true trace=true trace_verbose=true
            -DV=false -D
                run 
            -D -D=false
                run 
            --max_traced_msg_len 8 --log_size_limit -5
                run traced_bytes_max=8
            --user u --pass p
                run user=Some("u") password=Some("p")
            --auth t
                run token=Some("t")
            --shards 3 --no-pin --io epoll --spin off
                run count=Some(3) no_pin=true io=Epoll spin=Off
            --spin 50 --io uring
                run io=Uring spin=Fixed(50)
            -js=false --tls=false -t=false --signal ''
                run 
            -m 0 -ms 0 --profile 0 --connect_retries 0 -s=false -r= --routes '' --cluster= --cluster_name ''
                run 
        "#]],
    );
}

#[test]
fn flags_win_over_the_file() {
    let mut file = Config {
        host: "10.0.0.1".into(),
        port: 5222,
        ..Config::default()
    };
    file.server_name = Some("file".into());
    file.authorization.user = Some("fu".into());
    file.authorization.password = Some(Secret("fp".into()));
    file.log.debug = true;
    file.log.file = Some("file.log".into());
    check_over(
        &file,
        &[
            "",
            "-p 0",
            "-a ''",
            "-n ''",
            "--user cu",
            "--user '' --pass ''",
            "-D=false",
            "-DV=false",
            "-l ''",
        ],
        expect![[r#"

                run 
            -p 0
                run port=4222
            -a ''
                run host=0.0.0.0
            -n ''
                run server_name=None
            --user cu
                run user=Some("cu")
            --user '' --pass ''
                run user=None password=None
            -D=false
                run debug=false
            -DV=false
                run debug=false
            -l ''
                run file=None
        "#]],
    );
}

#[test]
fn settings_without_effect_are_told() {
    let warned = |line: &str| {
        let mut config = Config::default();
        let Invocation::Run(flags) = parse(&words(line)) else {
            panic!("{line} does not run")
        };
        flags.apply(&mut config);
        Flags::warnings(&config).join(" / ")
    };
    let lines = [
        "--user u --pass p",
        "--pass p",
        "--auth t --user u",
        "--log_size_limit 5",
        "-l f --log_size_limit 5",
    ];
    let shown: Vec<String> = lines
        .iter()
        .map(|line| format!("{line}: {}\n", warned(line)))
        .collect();
    expect![[r#"
        --user u --pass p: 
        --pass p: a password without a user has no effect: clients need no credentials
        --auth t --user u: a token and a single user are both set: only the token is used
        --log_size_limit 5: log_size_limit has no effect without a log file
        -l f --log_size_limit 5: 
    "#]]
    .assert_eq(&shown.concat());
}

#[test]
fn errors_found_later_point_at_the_command_line() {
    let Invocation::Run(flags) = parse(&words("--client_advertise h:x")) else {
        panic!("does not run")
    };
    let mut config = Config::default();
    flags.apply(&mut config);
    let errors: Vec<String> = config
        .check_start()
        .iter()
        .map(ToString::to_string)
        .collect();
    expect![[r#"<command line>:1:1: "client_advertise" must be "host:port""#]]
        .assert_eq(&errors.join("\n"));
}

#[test]
fn secrets_are_not_printed() {
    let Invocation::Run(flags) = parse(&words("--user u --pass hidden --auth hidden")) else {
        panic!("does not run")
    };
    assert!(!format!("{flags:?}").contains("hidden"));
}

#[test]
fn names_are_unique_and_every_flag_is_shown() {
    let mut names: Vec<&str> = REGISTRY
        .iter()
        .flat_map(|flag| flag.names)
        .map(|name| name.trim_start_matches('-'))
        .collect();
    let (page, table, count) = (help(), markdown_table(), names.len());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for flag in REGISTRY {
        let head = flag.names.join(", ");
        assert!(page.contains(&format!(" {head}")), "{head} in help");
        assert!(
            table.contains(&format!("| `{}`", flag.names.join("`, `"))),
            "{head} in the table"
        );
        let later = matches!(
            flag.effect,
            Effect::LaterSwitch | Effect::LaterNumber | Effect::LaterText
        );
        assert_eq!(later, flag.group == Group::Later, "{head}");
    }
    assert!(
        table
            .lines()
            .all(|row| row.replace("\\|", "").matches('|').count() == 4)
    );
}

#[test]
fn defaults_in_the_registry_are_the_configurations() {
    let defaults = Config::default();
    let told = |name: &str| {
        REGISTRY
            .iter()
            .find(|flag| flag.names.contains(&name))
            .map(|flag| flag.default)
    };
    assert_eq!(told("--addr"), Some(defaults.host.as_str()));
    assert_eq!(told("--port"), Some(defaults.port.to_string().as_str()));
    assert_eq!(
        told("--logtime"),
        Some(defaults.log.time.to_string().as_str())
    );
}

/// Every flag of nats-server 2.15.1's help and every alias its parser knows.
#[test]
fn all_of_the_oracles_flags_are_known() {
    let oracle = "a addr net p port n name server_name P pid m http_port ms https_port c config t sl signal \
        client_advertise ports_file_dir l log T logtime logtime_utc s syslog r remote_syslog D debug V trace VV DV DVV \
        log_size_limit max_traced_msg_len js jetstream sd store_dir user pass auth tls tlscert tlskey tlsverify \
        tlscacert routes cluster cluster_name no_advertise cluster_advertise connect_retries cluster_listen profile h \
        help v version help_tls";
    for name in oracle.split_whitespace() {
        let known = REGISTRY
            .iter()
            .flat_map(|flag| flag.names)
            .any(|known| known.trim_start_matches('-') == name);
        assert!(known, "{name}");
    }
}

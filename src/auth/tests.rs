//! Authentication as data in, data out. Every line of the tables was run against the oracle.

use std::sync::Arc;

use super::*;
use crate::config::{self, Authorization, Responses, Rule, Rules, Secret, User};
use crate::proto::handshake::{self, ConnectOptions};

/// `p` and `t` hashed, by the crypt library of the operating system.
const HASH_OF_P: &str = "$2b$04$abcdefghijklmnopqrstuudMegMbPN37MbpdEfAtP66w1z0RBCtLG";
const HASH_OF_T: &str = "$2b$04$abcdefghijklmnopqrstuueS/Ms9iFHHLj0u1TUrroHJNenyIHvcm";

/// Permissions from words: `pub SUBJECT`, `-pub SUBJECT` (denied), `sub SUBJECT` or `sub SUBJECT,QUEUE`, `-sub …`,
/// `resp MAX MS`. The n-th of them stands in `test.conf:n:1`. `pub` or `sub` without anything is an empty list.
pub(crate) fn try_permission_fixture(text: &str) -> Result<Permissions, Vec<ConfigError>> {
    let mut written = config::Permissions::default();
    let mut words = text.split_whitespace().peekable();
    let mut line = 0;
    while let Some(word) = words.next() {
        line += 1;
        let rules = match word {
            "resp" => {
                let mut number = || words.next().unwrap().parse().unwrap();
                written.responses = Some(Responses {
                    messages_max: number(),
                    expires_ms: number(),
                });
                continue;
            }
            "pub" | "-pub" => &mut written.publish,
            _ => &mut written.subscribe,
        };
        let rule = words
            .next_if(|next| !matches!(*next, "pub" | "sub"))
            .map(|text| rule(text, line));
        if word.starts_with('-') {
            &mut rules.deny
        } else {
            rules.allow.get_or_insert_default()
        }
        .extend(rule);
    }
    Permissions::compile(&written)
}

pub(crate) fn permission_fixture(text: &str) -> Permissions {
    try_permission_fixture(text).unwrap()
}

fn rule(text: &str, line: u32) -> Rule {
    let (subject, queue) = match text.split_once(',') {
        Some((subject, queue)) => (subject, Some(queue.to_owned())),
        None => (text, None),
    };
    Rule {
        subject: subject.to_owned(),
        queue,
        at: at(line),
    }
}

fn at(line: u32) -> Position {
    Position {
        file: "test.conf".into(),
        line,
        column: 1,
    }
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret(text.into()))
}

fn only(pattern: &str) -> config::Permissions {
    let publish = Rules {
        allow: Some(vec![rule(pattern, 1)]),
        deny: Vec::new(),
    };
    config::Permissions {
        publish,
        ..config::Permissions::default()
    }
}

fn user(name: &str, password: &str) -> User {
    User {
        name: name.into(),
        nkey: None,
        password: Secret(password.into()),
        permissions: None,
        connection_types: Vec::new(),
        at: at(3),
    }
}

fn users(list: Vec<User>) -> Authorization {
    Authorization {
        users: list,
        ..Authorization::default()
    }
}

fn no_auth_user(name: &str, authorization: Authorization) -> Authorization {
    Authorization {
        no_auth_user: Some((name.into(), at(5))),
        ..authorization
    }
}

fn authenticator(authorization: &Authorization) -> Result<Authenticator, Vec<ConfigError>> {
    Authenticator::new(&Config {
        authorization: authorization.clone(),
        ..Config::default()
    })
}

fn finish(outcome: Outcome) -> Result<Identity, Denial> {
    match outcome {
        Outcome::Accepted(identity) => Ok(identity),
        Outcome::Denied(denial) => Err(denial),
        Outcome::Work(work) => finish(
            work.run(jiff::Timestamp::UNIX_EPOCH)
                .expect("no callout is configured"),
        ),
    }
}

/// The label of who is let in, with `!` if its permissions restrict it, or the log line of who is not.
fn describe(outcome: Outcome) -> String {
    match finish(outcome) {
        Ok(Identity { account, .. }) if &*account != "$G" => panic!("another account: {account}"),
        Ok(identity)
            if identity
                .permissions
                .as_ref()
                .is_some_and(|own| !own.publish(b"zzz").is_allowed()) =>
        {
            format!("{}!", identity.label())
        }
        Ok(identity) => identity.label(),
        Err(denial) => {
            assert_eq!(denial.text(), "Authorization Violation");
            denial.to_string()
        }
    }
}

/// CONNECT from `user=a pass=p`.
fn connect(text: &str) -> ConnectOptions {
    let pairs = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap());
    let json: serde_json::Map<_, _> = pairs
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    let mut options = ConnectOptions::default();
    handshake::parse(&serde_json::to_vec(&json).unwrap(), &mut options).unwrap();
    options
}

fn check(authorization: &Authorization, required: bool, table: &[(&str, &str)]) {
    let authenticator = authenticator(authorization).unwrap();
    assert_eq!(authenticator.required(), required);
    for (credentials, expected) in table {
        assert_eq!(
            describe(authenticator.begin(&Visitor::saying(&connect(credentials)))),
            *expected,
            "{credentials:?}"
        );
    }
}

fn check_errors(authorization: &Authorization, expected: &[&str]) {
    let errors = authenticator(authorization).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn without_configuration_everybody_is_let_in() {
    let open = Authorization::default();
    check(
        &open,
        false,
        &[
            ("", ""),
            ("user=a pass=p", "user:a"),
            ("auth_token=t", "token"),
            ("nkey=N", "nkey:N"),
            ("user=a nkey=N", "nkey:N"),
            ("auth_token=t user=b", "user:b"),
            ("jwt=x", ""),
            (
                "account=x",
                "authentication error (CONNECT designates an account)",
            ),
            (
                "account=x user=a",
                "authentication error - User \"a\" (CONNECT designates an account)",
            ),
        ],
    );
    let authenticator = authenticator(&open).unwrap();
    assert!(!authenticator.expects_connect());
    assert_eq!(
        describe(authenticator.without_connect(&Visitor::saying(&ConnectOptions::default()))),
        ""
    );
    let asking = ConnectOptions {
        new_account: true,
        ..ConnectOptions::default()
    };
    assert!(finish(authenticator.begin(&Visitor::saying(&asking))).is_err());
}

#[test]
fn one_user() {
    let single = Authorization {
        user: Some("a".into()),
        password: secret("p"),
        ..Authorization::default()
    };
    let table = [
        ("", "authentication error (no credentials)"),
        ("user=a pass=p", "user:a"),
        (
            "auth_token=t",
            "authentication error - Token \"[REDACTED]\" (no credentials)",
        ),
        (
            "user=a",
            "authentication error - User \"a\" (wrong password)",
        ),
        (
            "user=A pass=p",
            "authentication error - User \"A\" (unknown user)",
        ),
        (
            "user=x pass=p",
            "authentication error - User \"x\" (unknown user)",
        ),
        ("pass=p", "authentication error (no credentials)"),
        (
            "user=a pass=pp",
            "authentication error - User \"a\" (wrong password)",
        ),
    ];
    check(&single, true, &table);
    check(
        &Authorization {
            password: secret(HASH_OF_P),
            ..single.clone()
        },
        true,
        &table,
    );
    let without = Authorization {
        password: None,
        ..single
    };
    check(
        &without,
        true,
        &[
            ("user=a", "user:a"),
            (
                "user=a pass=p",
                "authentication error - User \"a\" (wrong password)",
            ),
        ],
    );
}

#[test]
fn a_token() {
    let table = [
        ("", "authentication error (wrong token)"),
        ("auth_token=t", "token"),
        (
            "auth_token=x",
            "authentication error - Token \"[REDACTED]\" (wrong token)",
        ),
        ("auth_token=t user=z", "token"),
        (
            "user=a pass=p",
            "authentication error - User \"a\" (wrong token)",
        ),
        ("user=t", "authentication error - User \"t\" (wrong token)"),
        ("pass=t", "authentication error (wrong token)"),
    ];
    check(
        &Authorization {
            token: secret("t"),
            ..Authorization::default()
        },
        true,
        &table,
    );
    let hashed = Authorization {
        token: secret(HASH_OF_T),
        ..Authorization::default()
    };
    check(&hashed, true, &table);
    let itself = format!("auth_token={HASH_OF_T}");
    check(
        &hashed,
        true,
        &[(
            &itself,
            "authentication error - Token \"[REDACTED]\" (wrong token)",
        )],
    );
    // `--auth` on the command line beside a user in the file: the token alone counts.
    let both = Authorization {
        token: secret("t"),
        user: Some("a".into()),
        password: secret("p"),
        ..Authorization::default()
    };
    check(&both, true, &table);
    check(
        &Authorization {
            token: secret(""),
            ..Authorization::default()
        },
        false,
        &[("", "")],
    );
}

#[test]
fn users_with_permissions() {
    let authorization = Authorization {
        default_permissions: Some(only("def")),
        ..users(vec![
            user("a", "p"),
            user("b", ""),
            User {
                permissions: Some(config::Permissions::default()),
                ..user("c", "")
            },
            user("h", HASH_OF_P),
        ])
    };
    check(
        &authorization,
        true,
        &[
            ("", "authentication error (no credentials)"),
            ("user=a pass=p", "user:a!"),
            (
                "user=a",
                "authentication error - User \"a\" (wrong password)",
            ),
            ("user=b", "user:b!"),
            (
                "user=b pass=x",
                "authentication error - User \"b\" (wrong password)",
            ),
            ("user=c", "user:c"),
            ("user=h pass=p", "user:h!"),
            (
                "user=h pass=q",
                "authentication error - User \"h\" (wrong password)",
            ),
            (
                "user=h",
                "authentication error - User \"h\" (wrong password)",
            ),
            ("user=z", "authentication error - User \"z\" (unknown user)"),
            (
                "auth_token=t",
                "authentication error - Token \"[REDACTED]\" (no credentials)",
            ),
            ("pass=p", "authentication error (no credentials)"),
            ("user=a pass=p nkey=N", "user:a!"),
            ("user=a pass=p auth_token=zzz", "user:a!"),
        ],
    );
    let authenticator = authenticator(&authorization).unwrap();
    assert!(authenticator.expects_connect());
    assert_eq!(
        describe(authenticator.without_connect(&Visitor::saying(&ConnectOptions::default()))),
        "authentication error (no credentials)"
    );
    check(&users(Vec::new()), false, &[("", "")]);
}

#[test]
fn only_bcrypt_is_work() {
    let authenticator = authenticator(&users(vec![user("a", "p"), user("h", HASH_OF_P)])).unwrap();
    let is_work = |text| {
        matches!(
            authenticator.begin(&Visitor::saying(&connect(text))),
            Outcome::Work(_)
        )
    };
    assert!(is_work("user=h pass=p") && is_work("user=h"));
    assert!(!is_work("user=a pass=p") && !is_work("user=z pass=p"));
}

#[test]
fn users_beside_a_token_or_a_user_of_the_command_line() {
    let mut list = users(vec![User {
        permissions: Some(only("def")),
        ..user("a", "p")
    }]);
    list.token = secret("t");
    check(
        &list,
        true,
        &[
            ("", "authentication error (wrong token)"),
            ("user=a pass=p", "user:a!"),
            ("auth_token=t", "token"),
            (
                "user=a auth_token=t",
                "authentication error - User \"a\" (wrong password)",
            ),
            (
                "user=z auth_token=t",
                "authentication error - User \"z\" (unknown user)",
            ),
            ("pass=x auth_token=t", "token"),
        ],
    );
    let single = Authorization {
        user: Some("x".into()),
        password: secret("y"),
        ..users(vec![user("a", "p")])
    };
    check(
        &single,
        true,
        &[
            ("", "authentication error (no credentials)"),
            ("user=a pass=p", "user:a"),
            (
                "user=x pass=y",
                "authentication error - User \"x\" (unknown user)",
            ),
        ],
    );
}

#[test]
fn a_user_for_clients_without_credentials() {
    let list = users(vec![
        User {
            permissions: Some(only("def")),
            ..user("a", "p")
        },
        user("b", "q"),
        user("h", HASH_OF_P),
        user("e", ""),
    ]);
    let plain = no_auth_user("a", list.clone());
    check(
        &plain,
        false,
        &[
            ("", "user:a!"),
            ("user=a pass=p", "user:a!"),
            (
                "user=a",
                "authentication error - User \"a\" (wrong password)",
            ),
            ("user= pass=", "user:a!"),
            ("pass=p", "authentication error (no credentials)"),
            (
                "auth_token=t",
                "authentication error - Token \"[REDACTED]\" (no credentials)",
            ),
            ("user=b pass=q", "user:b"),
            ("user=z", "authentication error - User \"z\" (unknown user)"),
            ("nkey=N", "user:a!"),
            ("jwt=j", "user:a!"),
            ("sig=x", "user:a!"),
        ],
    );
    let authenticator = authenticator(&plain).unwrap();
    assert!(authenticator.expects_connect());
    assert_eq!(
        describe(authenticator.without_connect(&Visitor::saying(&ConnectOptions::default()))),
        "user:a!"
    );
    let hashed = "authentication error - User \"h\" (no_auth_user cannot have a bcrypt password)";
    check(
        &no_auth_user("h", list.clone()),
        false,
        &[
            ("", hashed),
            ("user=h pass=p", "user:h"),
            ("user=a pass=p", "user:a!"),
        ],
    );
    check(
        &no_auth_user("e", list.clone()),
        false,
        &[("", "user:e"), ("user=e", "user:e")],
    );
    check(
        &no_auth_user("", list.clone()),
        true,
        &[("", "authentication error (no credentials)")],
    );
    let with_token = Authorization {
        token: secret("t"),
        ..no_auth_user("a", list)
    };
    check(
        &with_token,
        false,
        &[("", "user:a!"), ("auth_token=t", "token")],
    );
}

/// Who is let in by a file, and into which account: `label@account`.
fn check_file(text: &str, required: bool, table: &[(&str, &str)]) {
    let read = |_: &std::path::Path| Ok(text.as_bytes().to_vec());
    let loaded = config::load_with(std::path::Path::new("f.conf"), &|_| None, &read).unwrap();
    assert_eq!(loaded.config.check_start(), []);
    let authenticator = Authenticator::new(&loaded.config).unwrap();
    assert_eq!(authenticator.required(), required, "{text}");
    for (credentials, expected) in table {
        let said = match finish(authenticator.begin(&Visitor::saying(&connect(credentials)))) {
            Ok(identity) => format!("{}@{}", identity.label(), identity.account),
            Err(denial) => denial.to_string(),
        };
        assert_eq!(said, *expected, "{text}: {credentials:?}");
    }
    let first_operation =
        finish(authenticator.without_connect(&Visitor::saying(&ConnectOptions::default())));
    let nothing = finish(authenticator.begin(&Visitor::saying(&ConnectOptions::default())));
    assert_eq!(first_operation.is_ok(), nothing.is_ok(), "{text}");
}

#[test]
fn users_of_accounts() {
    let nobody = "authentication error (no credentials)";
    let accounts =
        "accounts { A { users: [{user: a, password: p}] }, B { users: [{user: b, password: q}] } }";
    check_file(
        accounts,
        true,
        &[
            ("", nobody),
            ("user=a pass=p", "user:a@A"),
            ("user=b pass=q", "user:b@B"),
            (
                "user=b pass=p",
                "authentication error - User \"b\" (wrong password)",
            ),
            ("user=c", "authentication error - User \"c\" (unknown user)"),
        ],
    );
    let and_authorization = format!("authorization {{ users: [{{user: g}}] }}\n{accounts}");
    check_file(
        &and_authorization,
        true,
        &[
            ("", nobody),
            ("user=g", "user:g@$G"),
            ("user=a pass=p", "user:a@A"),
        ],
    );
    check_file(
        &format!("no_auth_user: b\n{accounts}"),
        false,
        &[
            ("", "user:b@B"),
            ("user=a pass=p", "user:a@A"),
            ("pass=q", nobody),
        ],
    );
    check_file(
        &format!("no_auth_user: g\n{and_authorization}"),
        false,
        &[("", "user:g@$G"), ("user=a pass=p", "user:a@A")],
    );
}

#[test]
fn accounts_without_users_close_nothing() {
    for accounts in ["[A]", "{ A {} }", "{ A { users: [] } }"] {
        check_file(
            &format!("accounts: {accounts}"),
            false,
            &[("", "@$G"), ("user=u", "user:u@$G")],
        );
    }
    let single = "accounts { A {} }\nauthorization { user: u, password: p }";
    check_file(single, true, &[("user=u pass=p", "user:u@$G")]);
    let token = "accounts { A {} }\nauthorization { token: t }";
    check_file(token, true, &[("auth_token=t", "token@$G")]);
}

/// INFO asks for credentials, and whoever has none is let in, where nobody but the system account has users.
#[test]
fn users_of_the_system_account_close_nothing() {
    let system = "accounts { \"$SYS\" { users: [{user: s, password: s}] } }";
    let unknown = "authentication error - User \"x\" (unknown user)";
    let named = "accounts { S { users: [{user: s, password: s}] } }\nsystem_account: S";
    let open: &[(&str, &str)] = &[
        ("", "@$G"),
        ("user=x", unknown),
        (
            "auth_token=t",
            "authentication error - Token \"[REDACTED]\" (no credentials)",
        ),
    ];
    for text in [
        system,
        named,
        "system_account: A\naccounts [A]",
        "accounts { \"$SYS\" {} }",
        "system_account: \"$G\", accounts [A]",
    ] {
        check_file(text, true, open);
        check_file(&format!("{text}\nmappings {{ a: b }}"), true, open);
        check_file(&format!("{text}\nno_system_account: true"), true, open);
    }
    check_file(system, true, &[("user=s pass=s", "user:s@$SYS")]);
    let nobody = "authentication error (no credentials)";
    for text in [
        format!("{system}\nauthorization {{ timeout: 1 }}"),
        "accounts { S { users: [{user: s}] }, A {} }\nsystem_account: S".to_owned(),
    ] {
        check_file(&text, true, &[("", nobody)]);
    }
    check_file(
        &format!("{system}\nno_auth_user: s"),
        false,
        &[("", "user:s@$SYS")],
    );
}

#[test]
fn permissions_of_accounts() {
    let text = "
        authorization { default_permissions: {publish: g}, users: [{user: g}] }
        accounts {
          A { default_permissions: {publish: a}, users: [{user: a}, {user: own, permissions: {publish: own}}, {user: all, permissions: {}}] }
          B { users: [{user: b}] }
        }";
    let read = |_: &std::path::Path| Ok(text.as_bytes().to_vec());
    let loaded = config::load_with(std::path::Path::new("f.conf"), &|_| None, &read).unwrap();
    let authenticator = Authenticator::new(&loaded.config).unwrap();
    for (user, subjects) in [
        ("g", "g"),
        ("a", "a"),
        ("own", "own"),
        ("all", "g a own"),
        ("b", "g a own"),
    ] {
        let identity =
            finish(authenticator.begin(&Visitor::saying(&connect(&format!("user={user}")))))
                .unwrap();
        let may = |subject: &&str| match &identity.permissions {
            Some(own) => own.publish(subject.as_bytes()).is_allowed(),
            None => true,
        };
        let allowed: Vec<_> = ["g", "a", "own"].into_iter().filter(may).collect();
        assert_eq!(allowed.join(" "), subjects, "{user}");
    }
}

#[test]
fn connection_types() {
    let typed = |name: &str, types: &[&str]| User {
        connection_types: types.iter().map(|&name| name.into()).collect(),
        ..user(name, "q")
    };
    let list = users(vec![
        typed("a", &["WEBSOCKET"]),
        typed("b", &["standard", "MQTT"]),
        typed("c", &[]),
    ]);
    let refused = "authentication error - User \"a\" (connection type not allowed)";
    check(
        &list,
        true,
        &[
            ("user=a pass=q", refused),
            ("user=b pass=q", "user:b"),
            ("user=c pass=q", "user:c"),
        ],
    );
    check(&no_auth_user("a", list), false, &[("", refused)]);
}

#[test]
fn all_errors_of_a_configuration() {
    let broken = Authorization {
        default_permissions: Some(only("a..b")),
        users: vec![
            User {
                connection_types: vec!["FOO".into(), "MQTT".into()],
                ..user("a", "p")
            },
            User {
                permissions: Some(only(".")),
                ..user("b", "p")
            },
        ],
        no_auth_user: Some(("z".into(), at(9))),
        ..Authorization::default()
    };
    check_errors(
        &broken,
        &[
            "test.conf:1:1: subject \"a..b\" is not a valid subject",
            "test.conf:3:1: unknown connection type \"FOO\"",
            "test.conf:1:1: subject \".\" is not a valid subject",
            "test.conf:9:1: no_auth_user: \"z\" not present as user or nkey in authorization block or account configuration",
        ],
    );
    let no_users = "test.conf:5:1: no_auth_user: \"a\" present, but users/nkeys are not defined";
    check_errors(&no_auth_user("a", Authorization::default()), &[no_users]);
}

#[test]
fn settings_without_effect() {
    let password = Authorization {
        password: secret("p"),
        ..Authorization::default()
    };
    check(
        &password,
        false,
        &[("", ""), ("pass=p", ""), ("pass=x", "")],
    );
    let permissions = Authorization {
        default_permissions: Some(only("def")),
        ..Authorization::default()
    };
    check(
        &permissions,
        false,
        &[("", ""), ("user=a pass=p", "user:a")],
    );
    let token = Authorization {
        token: secret("t"),
        ..permissions.clone()
    };
    check(&token, true, &[("auth_token=t", "token")]);
    let single = Authorization {
        user: Some("a".into()),
        password: secret("p"),
        ..permissions
    };
    check(&single, true, &[("user=a pass=p", "user:a")]);
}

#[test]
fn nothing_printed_holds_a_secret() {
    let list = Authorization {
        token: secret("hush"),
        ..users(vec![user("a", "hush"), user("h", HASH_OF_P)])
    };
    let authenticator = authenticator(&list).unwrap();
    let work = authenticator.begin(&Visitor::saying(&connect("user=h pass=hush")));
    assert!(matches!(work, Outcome::Work(_)));
    let printed = format!("{authenticator:?} {work:?}");
    assert!(
        !printed.contains("hush") && !printed.contains("$2b$"),
        "{printed}"
    );
}

#[test]
fn it_can_be_shared_and_work_can_be_sent() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Arc<Authenticator>>();
    shared::<Arc<Permissions>>();
    sent::<Work>();
    sent::<ResponseTracker>();
}

//! README's configurations are ones that gannet takes, without an error and without a warning. Owns the files that they name:
//! certificates, an operator's token, a directory. What makes those is the differential tests'.
//!
//! Every fence of README says what is in it: `sh`, `text`, or `conf`, which is loaded. Public keys in it are `$pub(NAME)` of
//! [`keys`], so that a token can be put in where README shortens it to `eyJ0eXAi...`.

#[path = "differential/keys.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod keys;
#[path = "differential/marks.rs"]
mod marks;
#[path = "differential/pki.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod pki;
#[path = "differential/token.rs"]
mod token;

use std::fs;
use std::path::Path;
use std::process::Command;

use keys::{Keys, key};
use token::Block;

/// What README shortens a token to.
const SHORTENED: &str = "eyJ0eXAi...";

const TOKENS: &[(&str, &str)] = &[
    (
        "operator",
        "kind: operator\nby: O.op\nnats: {\"system_account\":\"$pub(A.sys)\"}",
    ),
    ("A.sys", "kind: account\nby: O.op\nfor: A.sys"),
    ("A.app", "kind: account\nby: O.op\nfor: A.app"),
];

/// Fewer would mean that the fences are not found.
const CONFIGS_MIN: usize = 10;

#[test]
fn every_fence_says_what_it_is() {
    let readme = readme();
    let wrong: Vec<_> = fences(&readme)
        .into_iter()
        .filter(|fence| !["sh", "text", "conf"].contains(&fence.kind))
        .map(|fence| format!("README.md:{}: {:?}", fence.line, fence.kind))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_configuration_loads() {
    let readme = readme();
    let configs: Vec<_> = fences(&readme)
        .into_iter()
        .filter(|fence| fence.kind == "conf")
        .collect();
    assert!(configs.len() >= CONFIGS_MIN, "only {}", configs.len());
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = tokens();
    let keys = Keys::new(&blocks);
    write_files(directory.path(), &keys);
    let mut wrong = Vec::new();
    for config in configs {
        if let Err(said) = load(directory.path(), &full(config.text, &keys)) {
            wrong.push(format!("README.md:{}:\n{said}", config.line));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What README says that gannet says, of the configuration that it shows there.
#[test]
fn explanations_are_as_shown() {
    const NAME: &str = "seed.conf";
    let readme = readme();
    let fences = fences(&readme);
    let behind = readme.find(&format!("With this as `{NAME}`:"));
    let line = 1 + readme[..behind.expect("it is shown")].matches('\n').count();
    let config = fences.iter().find(|fence| fence.line > line);
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(NAME), config.expect("a fence").text).expect("written");
    let mut shown = 0;
    for fence in &fences {
        let Some((command, said)) = fence.text.split_once('\n') else {
            continue;
        };
        let Some(words) = command.strip_prefix("$ gannet explain ") else {
            continue;
        };
        if !words.contains(NAME) {
            continue;
        }
        let words = words.split(' ').map(|word| word.trim_matches('\''));
        let out = Command::new(env!("CARGO_BIN_EXE_gannet"))
            .current_dir(directory.path())
            .arg("explain")
            .args(words)
            .output()
            .expect("it runs");
        let says = String::from_utf8(out.stdout).expect("text");
        assert_eq!(says.trim_end(), said.trim_end(), "README.md:{}", fence.line);
        shown += 1;
    }
    assert!(shown >= 3, "only {shown}");
}

/// Shows that the other test can fail.
#[test]
fn what_is_wrong_does_not_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = load(directory.path(), "listne: 4222").expect_err("no such setting");
    assert!(said.contains("listne"), "{said}");
    load(
        directory.path(),
        "tls { cert_file: server.pem, key_file: server.key }",
    )
    .expect_err("there are no such files");
}

struct Fence<'a> {
    kind: &'a str,
    /// Of its first line in README.
    line: usize,
    text: &'a str,
}

fn readme() -> String {
    fs::read_to_string("README.md").expect("README.md")
}

fn fences(readme: &str) -> Vec<Fence<'_>> {
    let mut found = Vec::new();
    let (mut at, mut rest) = (1, readme);
    while let Some((before, inside)) = rest.split_once("```") {
        let (kind, inside) = inside.split_once('\n').expect("a line after a fence");
        let (text, after) = inside.split_once("```").expect("a fence that ends");
        at += before.matches('\n').count();
        found.push(Fence {
            kind,
            line: at + 1,
            text,
        });
        at += 1 + text.matches('\n').count();
        rest = after;
    }
    found
}

fn tokens() -> Vec<(String, Block)> {
    let block = |(name, text): &(&str, &str)| {
        let block = Block::parse(text).expect("a block");
        ((*name).to_owned(), block)
    };
    TOKENS.iter().map(block).collect()
}

/// What the configurations name.
fn write_files(directory: &Path, keys: &Keys<'_>) {
    for (name, identity) in [("server", "server"), ("authority", "ca")] {
        let identity = &pki::identities()[identity];
        fs::write(directory.join(format!("{name}.pem")), &identity.chain).expect("written");
        fs::write(directory.join(format!("{name}.key")), &identity.key).expect("written");
    }
    let operator = keys.text("$jwt(operator)").expect("a token");
    fs::write(directory.join("operator.jwt"), operator).expect("written");
    fs::create_dir(directory.join("accounts")).expect("made");
}

/// With tokens in full: each is that of the account whose key stands before it.
fn full(config: &str, keys: &Keys<'_>) -> String {
    let mut text = config.to_owned();
    for (name, _) in TOKENS.iter().filter(|(name, _)| name.starts_with("A.")) {
        let public = key(name).expect("a name of a key").public_key();
        let entry = |token: &str| format!("{public}: {token}");
        let token = keys.text(&format!("$jwt({name})")).expect("a token");
        text = text.replace(&entry(SHORTENED), &entry(&token));
    }
    assert!(
        !text.contains(SHORTENED),
        "a key that is not known:\n{text}"
    );
    text
}

/// Fails with what gannet says against it.
fn load(directory: &Path, config: &str) -> Result<(), String> {
    let path = directory.join("readme.conf");
    fs::write(&path, config).map_err(|e| e.to_string())?;
    let out = Command::new(env!("CARGO_BIN_EXE_gannet"))
        .current_dir(directory)
        .args(["-t", "--strict", "-c"])
        .arg(&path)
        .output()
        .map_err(|e| e.to_string())?;
    match out.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{}{}\n{config}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        )),
    }
}

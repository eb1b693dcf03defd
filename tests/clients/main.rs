//! Real client libraries against gannet: each language's program runs the checks of `CHECKS`, prints `ok NAME` for each and
//! ends with failure when one fails. Owns the list of clients, variants and checks; the servers are `servers`'s, the talk
//! with a program is `program`'s.
//!
//! Every program gets servers of its own, so that it may kill them: it asks for that on its standard output.
//!
//! Environment: `GANNET_BIN` (another gannet), `CLIENTS_SERVER` (another server, such as the oracle: shows that the checks are
//! right), `CLIENTS_VARIANTS` (words from `1-uring 2-uring 2-epoll`; all by default), `CLIENTS_SHOW` (print what passed).

#[path = "../differential/keys.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod keys;
#[path = "../differential/marks.rs"]
mod marks;
mod material;
#[path = "../differential/pki.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod pki;
mod program;
mod servers;
#[path = "../differential/token.rs"]
mod token;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use io_uring::IoUring;
use io_uring::squeue::Entry;
use libtest_mimic::{Arguments, Trial};

use servers::{Servers, Start};

/// Shards and kind of input and output. A short pass sends fewer messages.
const VARIANTS: &[&str] = &["1-uring", "2-uring", "2-epoll"];

/// What every client must have said "ok" to: a check forgotten in one language fails there.
const CHECKS: &[&str] = &[
    "info",
    "publish_subscribe",
    "wildcards",
    "queue_groups",
    "request_reply",
    "concurrent_requests",
    "headers",
    "no_responders",
    "unsubscribe_max",
    "drain",
    "flush",
    "echo_off",
    "many_subscriptions",
    "many_messages",
    "max_payload",
    "payload_1_mib",
    "payload_8_mib",
    "authentication",
    "authentication_errors",
    "nkeys",
    "credentials",
    "tls",
    "tls_verify",
    "tls_map",
    "permissions",
    "reconnect",
    "accounts_streams",
    "accounts_services",
    "accounts_queue_groups",
    "accounts_no_auth_user",
];

const MESSAGES: u32 = 50_000;
const MESSAGES_SHORT: u32 = 5_000;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (variant, start) in starts() {
        for client in ["async-nats", "c", "node", "python"] {
            let start = start.clone();
            let impossible = variant.ends_with("uring") && !kernel_has_io_uring();
            let messages = if variant.ends_with("epoll") {
                MESSAGES_SHORT
            } else {
                MESSAGES
            };
            let trial = Trial::test(format!("{client} [{variant}]"), move || {
                run(client, &start, messages).map_err(Into::into)
            });
            trials.push(trial.with_ignored_flag(impossible));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The variants of gannet, or the one server that is not gannet.
fn starts() -> Vec<(String, Start)> {
    if let Some(server) = std::env::var_os("CLIENTS_SERVER") {
        let (binary, flags) = (PathBuf::from(server), Vec::new());
        return vec![("other server".into(), Start { binary, flags })];
    }
    let binary = std::env::var_os("GANNET_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_gannet").into(), PathBuf::from);
    let chosen = std::env::var("CLIENTS_VARIANTS").unwrap_or_else(|_| VARIANTS.join(" "));
    let start = |variant: &str| {
        let (shards, io) = variant.split_once('-').expect("a variant is SHARDS-IO");
        let flags = ["--shards", shards, "--no-pin", "--io", io].map(str::to_owned);
        let (binary, flags) = (binary.clone(), flags.to_vec());
        (variant.to_owned(), Start { binary, flags })
    };
    chosen.split_whitespace().map(start).collect()
}

fn run(client: &str, start: &Start, messages: u32) -> Result<(), String> {
    let installed = installed()?;
    let mut servers = Servers::new(start)?;
    let mut command = command(client, installed);
    command.env("CLIENTS_MESSAGES", messages.to_string());
    command.env("CLIENTS_MATERIAL", servers.material());
    for (name, url) in servers.urls() {
        command.env(format!("CLIENTS_{}", name.to_uppercase()), url);
    }
    let passed = program::run(command, &mut servers)
        .map_err(|failure| format!("{failure}\n-- the servers\n{}", servers.logs()))?;
    let missing: Vec<_> = CHECKS
        .iter()
        .filter(|check| !passed.iter().any(|name| name == *check))
        .collect();
    if !missing.is_empty() {
        return Err(format!("not checked: {missing:?}"));
    }
    if std::env::var_os("CLIENTS_SHOW").is_some() {
        println!("{client}: {} checks: {passed:?}", passed.len());
    }
    Ok(())
}

fn command(client: &str, installed: &Path) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command;
    match client {
        "async-nats" => {
            command = Command::new(installed.join("async-nats/debug/async-nats-checks"));
        }
        "c" => command = Command::new(installed.join("c/checks")),
        "node" => {
            command = Command::new("node");
            command
                .arg(here.join("node/checks.mjs"))
                .env("CLIENTS_NODE", installed.join("node"));
        }
        "python" => {
            command = Command::new("python3");
            command
                .arg(here.join("python/checks.py"))
                .env("PYTHONPATH", installed.join("python"))
                .env("PYTHONUNBUFFERED", "1");
        }
        _ => unreachable!("listed in main"),
    }
    command
}

/// Where `scripts/install-clients.sh` has installed the clients; it is quick when they are there.
fn installed() -> Result<&'static Path, String> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = root.join("scripts/install-clients.sh");
        let status = Command::new(&script).status();
        match status.map_err(|e| format!("{}: {e}", script.display()))? {
            status if status.success() => Ok(root.join("target/clients")),
            status => Err(format!("{}: {status}", script.display())),
        }
    });
    installed.as_deref().map_err(Clone::clone)
}

/// Whether this machine gives a ring of the kind gannet needs. Asked of the kernel, not of gannet: a gannet that fails to
/// start on io_uring fails its tests.
fn kernel_has_io_uring() -> bool {
    let ring = IoUring::<Entry>::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(8);
    ring.is_ok()
}

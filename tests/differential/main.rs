//! Differential test: the same scripts (`cases/*.txt`, their language in `case.rs`) against gannet and against the oracle,
//! nats-server 2.15.1, which `scripts/install-oracle.sh` installs. What the two answer, normalised, must be equal.
//! Owns the list of tests and the comparison; never talks to a server itself.
//!
//! Every case starts its own servers, so that none can disturb another: both are ready in some 10 ms. Where the oracle's
//! goroutines race, it has a rare answer beside the usual one: when gannet's differs, the oracle is asked again, and gannet's
//! must be what it then always says. A second answer of gannet's is never asked for.
//!
//! Environment: `GANNET_BIN` (another program to compare; the oracle itself shows that the scripts are stable),
//! `GANNET_ORACLE` (an oracle already installed), `GANNET_VARIANTS` (words from `1-uring 2-uring 1-epoll 2-epoll`, all four
//! by default, and `oracle-twice`: the oracle against itself, which shows the scripts whose outcome is open),
//! `GANNET_CASES` (another directory of cases), `GANNET_PENDING` (files marked `pending:` run against gannet as well),
//! `GANNET_SHOW` (print every transcript).

mod case;
mod connection;
mod escape;
mod keys;
mod marks;
mod normalise;
mod pki;
mod run;
mod seal;
mod server;
mod tls;
mod token;
mod transcript;
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};

use io_uring::IoUring;
use io_uring::squeue::Entry;
use libtest_mimic::{Arguments, Failed, Trial};
use similar::TextDiff;

use case::{Case, Step};
use server::{Program, gannet, oracle};

/// The variant that compares the oracle with itself.
const TWICE: &str = "oracle-twice";
/// What a pending case is tried on: the oracle, once.
const ORACLE_ALONE: &str = "oracle";
const VARIANTS: &[&str] = &["1-uring", "2-uring", "1-epoll", "2-epoll"];
/// Those that a slow case is left out of: each ring and each number of shards has seen it all the same.
const NOT_FOR_SLOW: &[&str] = &["1-uring", "2-epoll"];
/// How many times more the oracle is asked when gannet answers something else.
const FURTHER_ANSWERS: usize = 3;

/// A case and what the oracle answered, asked once for all variants.
struct Subject {
    case: Case,
    oracle: OnceLock<Result<String, String>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let directory = std::env::var_os("GANNET_CASES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/cases"),
        PathBuf::from,
    );
    let cases = match read_cases(&directory) {
        Ok(cases) => cases,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    let programs = programs();
    let mut trials = Vec::new();
    for case in cases {
        let oracle = OnceLock::new();
        let subject = Arc::new(Subject { case, oracle });
        for (variant, program) in programs_for(&subject.case, &programs) {
            trials.push(trial(&subject, &variant, program));
            if !starts_server(&subject.case) {
                break;
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The programs that a case runs on: none beside the oracle for what gannet has not got yet.
fn programs_for(case: &Case, programs: &[(String, Program)]) -> Vec<(String, Option<Program>)> {
    let compared = programs
        .iter()
        .filter(|(variant, _)| !case.slow || !NOT_FOR_SLOW.contains(&variant.as_str()))
        .map(|(variant, program)| (variant.clone(), Some(program.clone())));
    if case.pending.is_none() || std::env::var_os("GANNET_PENDING").is_some() {
        return compared.collect();
    }
    let mut itself: Vec<_> = compared
        .filter(|(_, program)| program.as_ref().is_some_and(Program::is_oracle))
        .collect();
    if itself.is_empty() {
        itself.push((ORACLE_ALONE.into(), None));
    }
    itself
}

/// The variants of gannet, or the one program that is not gannet.
fn programs() -> Vec<(String, Program)> {
    let binary = gannet();
    let version = Command::new(&binary).arg("--version").output();
    if version.is_ok_and(|o| o.stdout.starts_with(b"nats-server:")) {
        let flags = Vec::new();
        return vec![("itself".into(), Program { binary, flags })];
    }
    let chosen = std::env::var("GANNET_VARIANTS").unwrap_or_else(|_| VARIANTS.join(" "));
    let variant = |name: &str| {
        if name == TWICE {
            return (name.to_owned(), oracle_program());
        }
        let (shards, io) = name.split_once('-').expect("a variant is SHARDS-IO");
        let flags = ["--shards", shards, "--no-pin", "--io", io]
            .map(str::to_owned)
            .to_vec();
        let binary = binary.clone();
        (name.to_owned(), Program { binary, flags })
    };
    chosen.split_whitespace().map(variant).collect()
}

fn oracle_program() -> Program {
    let (binary, flags) = (oracle().to_owned(), Vec::new());
    Program { binary, flags }
}

fn trial(subject: &Arc<Subject>, variant: &str, program: Option<Program>) -> Trial {
    let name = format!("{} [{variant}]", subject.case.name);
    let impossible = variant.ends_with("uring") && !kernel_has_io_uring();
    let subject = Arc::clone(subject);
    Trial::test(name, move || {
        compare(&subject, program.as_ref()).map_err(Failed::from)
    })
    .with_ignored_flag(impossible)
}

/// Runs both and compares; without a program, only the oracle.
fn compare(subject: &Subject, program: Option<&Program>) -> Result<(), String> {
    let case = &subject.case;
    let oracle = subject.oracle.get_or_init(|| {
        // Where its goroutines race, it may take another way than the case goes: then it is asked again.
        let ask = || run::run(case, &oracle_program());
        let further = match case.oracle_may_stop() {
            true => 0,
            false => FURTHER_ANSWERS,
        };
        let answer = (0..further).fold(ask(), |answer, _| answer.or_else(|_| ask()));
        if let (Ok(text), Some(_)) = (&answer, std::env::var_os("GANNET_SHOW")) {
            println!("== {}\n{text}", case.name);
        }
        answer
    });
    let oracle = match (oracle, &case.gannet) {
        // It need not come to the end of what gannet does otherwise on purpose; by chance it may do what gannet does.
        (Err(_), Some(own)) if case.oracle_may_stop() => own,
        (Err(e), _) => return Err(format!("the oracle: {e}")),
        (Ok(oracle), Some(own)) if oracle == own && !case.oracle_may_stop() => {
            return Err("`differs:`, and yet the oracle answers the same".into());
        }
        (Ok(oracle), _) => oracle,
    };
    if oracle.is_empty() {
        return Err("the transcript is empty: the case shows nothing".into());
    }
    let Some(program) = program else {
        return Ok(());
    };
    let expected = match &case.gannet {
        Some(own) if !program.is_oracle() => own,
        _ => oracle,
    };
    let got = run::run(case, program).map_err(|e| format!("{e}--- expected\n{expected}"))?;
    if got == *expected || (!program.is_oracle() && is_answered_too(case, &got)) {
        return Ok(());
    }
    let diff = TextDiff::from_lines(expected.as_str(), got.as_str());
    let diff = diff
        .unified_diff()
        .context_radius(5)
        .header("expected", "gannet")
        .to_string();
    Err(format!(
        "tests/differential/cases, {} (line {}):\n{diff}",
        case.name, case.line
    ))
}

/// Whether the oracle, asked again, always gives this answer: the first was a rare one. What gannet does otherwise on
/// purpose has one answer only.
fn is_answered_too(case: &Case, got: &str) -> bool {
    let again = |_| run::run(case, &oracle_program());
    let usual = case.gannet.is_none()
        && (0..FURTHER_ANSWERS)
            .map(again)
            .all(|answer| answer.is_ok_and(|answer| answer == got));
    if usual {
        eprintln!("{}: the oracle's first answer was a rare one", case.name);
    }
    usual
}

/// Whether this machine gives a ring of the kind gannet needs (Linux 6.1, and nobody who refuses it). Asked of the kernel,
/// not of gannet: a gannet that fails to start on io_uring fails its tests.
fn kernel_has_io_uring() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let ring = IoUring::<Entry>::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(8);
        if let Err(e) = &ring {
            eprintln!("no io_uring here ({e}): its variants are ignored");
        }
        ring.is_ok()
    })
}

fn starts_server(case: &Case) -> bool {
    let needs = |step: &Step| match step {
        Step::Run(arguments, _) => arguments.contains("$port") || arguments.contains("$pid"),
        Step::Rewrite(..)
        | Step::Out(_)
        | Step::Cat(_)
        | Step::Seen(..)
        | Step::Gone(_)
        | Step::Met(_) => false,
        _ => true,
    };
    case.steps.iter().any(|(_, step)| needs(step))
}

fn read_cases(directory: &Path) -> Result<Vec<Case>, String> {
    let entries =
        std::fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| p.extension().is_some_and(|x| x == "txt"));
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        cases.extend(case::parse(&stem, &text)?);
    }
    for pair in cases.windows(2) {
        if pair[0].name == pair[1].name {
            return Err(format!("two cases are called {}", pair[0].name));
        }
    }
    Ok(cases)
}

//! The `gannet` binary: parse the command line, boot, exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use gannet::cli::{self, ExplainVerb, Flags, Invocation, Output};
use gannet::control::{boot, read, signals};
use gannet::explain::{self, Question, Who, World};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = words().and_then(|words| match cli::parse(&words) {
        Invocation::Print(output) => Ok(print(&output)),
        Invocation::Signal(request) => signals::send(&request).map(|()| ExitCode::SUCCESS),
        Invocation::Bench(words) => Ok(gannet::bench::run(&words)),
        Invocation::Explain(asked) => explain(*asked),
        Invocation::CheckConfig { file, strict } => check_config(&file, strict),
        Invocation::Run(flags) => run(&flags),
    });
    outcome.unwrap_or_else(|problem| print(&cli::failed(&problem)))
}

/// The words after the program's name.
fn words() -> Result<Vec<String>, String> {
    let text = |word: std::ffi::OsString| {
        word.into_string()
            .map_err(|word| format!("not UTF-8: {word:?}"))
    };
    std::env::args_os().skip(1).map(text).collect()
}

fn run(flags: &Flags) -> Result<ExitCode, String> {
    let ready = read::read(flags).map_err(|problems| problems.join("\n"))?;
    Ok(boot::run(flags, ready))
}

/// Explains the road of a message. A configuration that no broker would start with is an error.
fn explain(asked: cli::Explain) -> Result<ExitCode, String> {
    let loaded = read::load(&asked.file).map_err(|problems| problems.join("\n"))?;
    let errors = loaded.config.check_start();
    if !errors.is_empty() {
        return Err(read::texts(&errors).join("\n"));
    }
    let world = World::new(&loaded.config).map_err(|errors| errors.join("\n"))?;
    let who = Who::find(&world, asked.user.as_deref(), asked.account.as_deref())?;
    let subject = asked.subject.into_bytes();
    let question = match asked.verb {
        ExplainVerb::Pub => Question::Publish(subject),
        ExplainVerb::Sub => Question::Subscribe {
            pattern: subject,
            queue: asked.queue.map(String::into_bytes),
        },
        ExplainVerb::Request => Question::Request {
            subject,
            inbox: asked.inbox,
        },
    };
    let report = explain::explain(&world, &who, &question);
    let stdout = match asked.json {
        true => report.json() + "\n",
        false => explain::page(&report),
    };
    Ok(print(&Output {
        stdout,
        ..Output::default()
    }))
}

/// Says what is wrong with a file, and what is odd. What the oracle calls a warning is an error here, as there.
fn check_config(file: &Path, strict: bool) -> Result<ExitCode, String> {
    let loaded = read::load(file).map_err(|problems| problems.join("\n"))?;
    let warnings = read::texts(&loaded.warnings);
    let found = read::lint(&loaded.config, loaded.hints);
    if !warnings.is_empty() || (strict && !found.is_empty()) {
        return Err([warnings, found].concat().join("\n"));
    }
    let mut stderr: String = found
        .iter()
        .map(|text| format!("{}: warning: {text}\n", cli::PROGRAM))
        .collect();
    stderr += &format!(
        "{}: configuration file {} is valid ({})\n",
        cli::PROGRAM,
        file.display(),
        loaded.digest
    );
    Ok(print(&Output {
        stderr,
        ..Output::default()
    }))
}

fn print(output: &Output) -> ExitCode {
    // Nobody may be reading any more; the exit code still counts.
    let _ = std::io::stdout().write_all(output.stdout.as_bytes());
    let _ = std::io::stderr().write_all(output.stderr.as_bytes());
    ExitCode::from(output.code)
}

//! The `gannet` binary: parse the command line, boot, exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use gannet::auth::jwt::Creds;
use gannet::cli::{self, ExplainVerb, Flags, Invocation, Output, TokenFile};
use gannet::config::Config;
use gannet::control::{boot, read, resolver, signals};
use gannet::explain::jwt::{self, AccountJwts, Shown, Tokens};
use gannet::explain::report::Report;
use gannet::explain::{self, Question, Who, World};
use jiff::Timestamp;
use jiff::tz::TimeZone;

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
    let question = question(&asked);
    let brings_jwts =
        asked.token.is_some() || !asked.account_jwts.is_empty() || asked.from.is_some();
    if loaded.config.operators.is_operator_mode() || brings_jwts {
        return explain_jwt(&asked, &loaded.config, &question);
    }
    let world = World::new(&loaded.config).map_err(|errors| errors.join("\n"))?;
    let who = Who::find(&world, asked.user.as_deref(), asked.account.as_deref())?;
    let report = explain::explain(&world, &who, &question);
    Ok(show(&report, asked.json))
}

/// The same with an operator: of whoever has a JWT. That it is not let in is an answer, and a failure.
fn explain_jwt(
    asked: &cli::Explain,
    config: &Config,
    question: &Question,
) -> Result<ExitCode, String> {
    let now = Timestamp::now();
    let jwts = AccountJwts {
        directory: resolver::contents(config, now.as_millisecond())?,
        given: (asked.account_jwts.iter())
            .map(|file| Ok((file.display().to_string(), creds(file)?.token)))
            .collect::<Result<_, String>>()?,
    };
    let tokens = Tokens::new(config, &jwts, TimeZone::system(), now);
    let tokens = tokens.map_err(|errors| errors.join("\n"))?;
    let mut world = World::of_tokens(&tokens).map_err(|errors| errors.join("\n"))?;
    Who::check_named(&world, asked.user.as_deref(), asked.account.as_deref())?;
    let (jwt, key) = match &asked.token {
        None => (String::new(), None),
        Some(TokenFile::Jwt(file)) => (creds(file)?.token, None),
        Some(TokenFile::Creds(file)) => {
            let Creds { token, key } = creds(file)?;
            let key = key.ok_or_else(|| {
                format!(
                    "{}: there is no seed in it; --jwt takes a JWT alone",
                    file.display()
                )
            })?;
            (token, Some(key))
        }
    };
    let shown = Shown {
        jwt: &jwt,
        key: key.as_ref(),
        address: asked.from,
    };
    match shown.enter(&mut world) {
        Ok(who) => Ok(show(&explain::explain(&world, &who, question), asked.json)),
        Err(refusal) => Ok(show(&jwt::refused(*refusal, question), asked.json)),
    }
}

/// A file with a JWT, with a seed or without. What is wrong is said without a word of it.
fn creds(file: &Path) -> Result<Creds, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    Creds::parse(&text).map_err(|error| failed(&error))
}

fn question(asked: &cli::Explain) -> Question {
    let subject = asked.subject.clone().into_bytes();
    match asked.verb {
        ExplainVerb::Pub => Question::Publish(subject),
        ExplainVerb::Sub => Question::Subscribe {
            pattern: subject,
            queue: asked.queue.clone().map(String::into_bytes),
        },
        ExplainVerb::Request => Question::Request {
            subject,
            inbox: asked.inbox.clone(),
        },
    }
}

fn show(report: &Report, json: bool) -> ExitCode {
    let stdout = match json {
        true => report.json() + "\n",
        false => explain::page(report),
    };
    let shown = print(&Output {
        stdout,
        ..Output::default()
    });
    match report.refused.is_some() || report.unclear.is_some() {
        true => ExitCode::FAILURE,
        false => shown,
    }
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

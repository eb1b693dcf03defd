//! The `gannet` binary: parse the command line, boot, exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use gannet::cli::{self, Flags, Invocation, Output};
use gannet::config::Config;
use gannet::control::{boot, signals};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = words().and_then(|words| match cli::parse(&words) {
        Invocation::Print(output) => Ok(print(&output)),
        Invocation::Signal(request) => signals::send(&request).map(|()| ExitCode::SUCCESS),
        Invocation::Bench(words) => bench(&words),
        Invocation::CheckConfig(file) => check_config(&file),
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
    let mut config = match &flags.config_file {
        Some(file) => load(file)?.0,
        None => Config::default(),
    };
    flags.apply(&mut config);
    Ok(boot::run(config))
}

fn check_config(file: &Path) -> Result<ExitCode, String> {
    let (_, digest) = load(file)?;
    let stderr = format!(
        "{}: configuration file {} is valid ({digest})\n",
        cli::PROGRAM,
        file.display()
    );
    Ok(print(&Output {
        stderr,
        ..Output::default()
    }))
}

/// The file's settings and their digest.
fn load(file: &Path) -> Result<(Config, String), String> {
    Err(format!(
        "{}: configuration files are not available in gannet yet",
        file.display()
    ))
}

fn bench(_words: &[String]) -> Result<ExitCode, String> {
    Err("bench is not available in gannet yet".into())
}

fn print(output: &Output) -> ExitCode {
    // Nobody may be reading any more; the exit code still counts.
    let _ = std::io::stdout().write_all(output.stdout.as_bytes());
    let _ = std::io::stderr().write_all(output.stderr.as_bytes());
    ExitCode::from(output.code)
}

//! The `gannet` binary: parse the command line, boot, exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use gannet::auth::operators::{self, OperatorMode};
use gannet::cli::{self, Flags, Invocation, Output};
use gannet::config::{self, Config, Loaded};
use gannet::control::{boot, resolver, signals};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = words().and_then(|words| match cli::parse(&words) {
        Invocation::Print(output) => Ok(print(&output)),
        Invocation::Signal(request) => signals::send(&request).map(|()| ExitCode::SUCCESS),
        Invocation::Bench(words) => Ok(gannet::bench::run(&words)),
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
    let (mut config, source, mut warnings, hints) = match &flags.config_file {
        None => (Config::default(), None, Vec::new(), Vec::new()),
        Some(file) => {
            let loaded = load(file)?;
            let source = boot::Source {
                path: file.display().to_string(),
                digest: loaded.digest,
            };
            let warnings = texts(&loaded.warnings);
            (loaded.config, Some(source), warnings, loaded.hints)
        }
    };
    flags.apply(&mut config);
    let mut errors = config.check_start();
    errors.extend(OperatorMode::compile(&config).err().unwrap_or_default());
    if !errors.is_empty() {
        return Err(texts(&errors).join("\n"));
    }
    warnings.extend(Flags::warnings(&config));
    if flags.strict {
        warnings.extend(lint(&config, hints));
        if !warnings.is_empty() {
            return Err(warnings.join("\n"));
        }
    }
    Ok(boot::run(&config, source.as_ref(), &warnings))
}

/// Says what is wrong with a file, and what is odd. What the oracle calls a warning is an error here, as there.
fn check_config(file: &Path, strict: bool) -> Result<ExitCode, String> {
    let loaded = load(file)?;
    let warnings = texts(&loaded.warnings);
    let found = lint(&loaded.config, loaded.hints);
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

/// What gannet warns of beyond the oracle, in the order of the files.
fn lint(config: &Config, mut hints: Vec<config::ConfigError>) -> Vec<String> {
    hints.extend(config::lint(config));
    hints.sort_by(|a, b| a.at.cmp(&b.at));
    texts(&hints)
}

/// The file's settings, or everything that is wrong with it.
fn load(file: &Path) -> Result<Loaded, String> {
    let loaded = config::load(file, &|name| std::env::var(name).ok());
    let loaded = loaded.map_err(|errors| texts(&errors).join("\n"))?;
    let mut errors = operators::check(&loaded.config);
    errors.extend(resolver::check(&loaded.config));
    match errors.is_empty() {
        true => Ok(loaded),
        false => Err(texts(&errors).join("\n")),
    }
}

fn texts(errors: &[config::ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn print(output: &Output) -> ExitCode {
    // Nobody may be reading any more; the exit code still counts.
    let _ = std::io::stdout().write_all(output.stdout.as_bytes());
    let _ = std::io::stderr().write_all(output.stderr.as_bytes());
    ExitCode::from(output.code)
}

//! `gannet bench`: the load generator. Owns the choice of the command; never touches the broker's own code.

mod bar;
mod blob;
mod commands;
mod compare;
mod conn;
mod drive;
#[cfg(test)]
mod fake;
mod flags;
mod load;
mod progress;
mod report;
mod request;
mod skipper;

use std::process::ExitCode;

pub use compare::{Latency, Spread, spread};
pub use request::{histogram, record};

use flags::{Flag, Options};

/// One command of `gannet bench`.
struct Command {
    name: &'static str,
    summary: &'static str,
    flags: &'static [&'static Flag],
    run: fn(&Options) -> Result<(), String>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "pub",
        summary: "publish, with nobody of ours listening",
        flags: commands::PUB_FLAGS,
        run: commands::publish,
    },
    Command {
        name: "sub",
        summary: "subscribe, and count what others publish",
        flags: commands::SUB_FLAGS,
        run: commands::subscribe,
    },
    Command {
        name: "fan",
        summary: "publish and subscribe, and check every delivery",
        flags: commands::FAN_FLAGS,
        run: commands::fan,
    },
    Command {
        name: "mix",
        summary: "the same with scrambled subjects and sizes, on a wildcard",
        flags: commands::MIX_FLAGS,
        run: commands::mix,
    },
    Command {
        name: "request",
        summary: "request and wait for the reply, timed",
        flags: commands::REQUEST_FLAGS,
        run: commands::request,
    },
    Command {
        name: "serve",
        summary: "answer the requests of `request`",
        flags: commands::SERVE_FLAGS,
        run: commands::serve,
    },
    Command {
        name: "compare",
        summary: "measure two servers on the same work, in alternation",
        flags: compare::COMPARE_FLAGS,
        run: compare::compare,
    },
    Command {
        name: "chart",
        summary: "draw a result of `compare` as an SVG",
        flags: compare::CHART_FLAGS,
        run: compare::chart,
    },
];

/// Runs `gannet bench ARGS…`: 0 when all went well, 1 on a failure, 2 when the arguments are wrong.
pub fn run(args: &[String]) -> ExitCode {
    let name = args.first().map_or("", String::as_str);
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return match name.trim_start_matches('-') {
            "help" | "h" => {
                print!("{}", overview());
                ExitCode::SUCCESS
            }
            _ => {
                eprint!("{}", overview());
                ExitCode::from(2)
            }
        };
    };
    let options = match flags::parse(command.flags, &args[1..]) {
        Ok(options) => options,
        Err(error) => {
            eprintln!(
                "gannet bench {name}: {error}\n\n{}",
                flags::help(command.flags)
            );
            return ExitCode::from(2);
        }
    };
    if options.has(&flags::HELP) {
        print!(
            "gannet bench {name}: {}\n\n{}",
            command.summary,
            flags::help(command.flags)
        );
        return ExitCode::SUCCESS;
    }
    match (command.run)(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gannet bench {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn overview() -> String {
    let commands = COMMANDS
        .iter()
        .map(|command| format!("  {:<10} {}\n", command.name, command.summary));
    format!(
        "Usage: gannet bench COMMAND [FLAGS]; `gannet bench COMMAND --help` lists the flags.\n\n{}",
        commands.collect::<String>()
    )
}

//! The model test of accounts: random accounts, exports, imports and mappings, clients that listen, publish, ask and
//! answer, against a naive model (`naive.rs`) of who must receive what. gannet is simulated with 1, 2 and 4 shards; some
//! of the same seeds are played against the oracle, which shows that the model is right.
//!
//! `cargo test --test model -- --seeds 10000` plays more, `-- --seed 7` one seed alone on all servers, `--trace` shows
//! what is said. `GANNET_MODEL_SEEDS`, `GANNET_MODEL_SEED` and `GANNET_MODEL_ORACLE_SEEDS` say how many, which, and how
//! many against the oracle; `GANNET_ORACLE` names an oracle already installed.

mod accounts;
mod client;
mod naive;
#[allow(dead_code, reason = "the simulation looks into more of it")]
#[path = "../sim/net.rs"]
mod net;
#[allow(dead_code, reason = "the simulation looks into more of it")]
#[path = "../differential/server.rs"]
mod oracle;
mod play;
#[allow(dead_code, reason = "the simulation looks into more of it")]
#[path = "../sim/ring.rs"]
mod ring;
#[allow(dead_code, reason = "the simulation takes more chances")]
#[path = "../sim/rng.rs"]
mod rng;
mod server;
mod simulated;
mod tally;
#[allow(dead_code, reason = "the simulation looks into more of it")]
#[path = "../sim/thread.rs"]
mod thread;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use libtest_mimic::{Arguments, Failed, Trial};

use accounts::Accounts;
use oracle::Program;
use play::Play;
use rng::Rng;
use server::Real;
use simulated::Simulated;
use tally::Tally;

/// Seeds, unless told otherwise.
const SEEDS: u64 = 300;

/// Seeds played against the oracle, unless told otherwise.
const ORACLE_SEEDS: u64 = 20;

/// Seeds of one test.
const TRIAL_SEEDS: u64 = 100;

/// On what a seed is played.
#[derive(Clone, Copy, Debug)]
enum On {
    Shards(usize),
    Oracle,
}

const ALL: [On; 4] = [On::Shards(1), On::Shards(2), On::Shards(4), On::Oracle];

/// What the command line and the environment say.
struct Options {
    seeds: u64,
    oracle_seeds: u64,
    seed: Option<u64>,
    trace: bool,
    rest: Vec<String>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let arguments = Arguments::from_iter(options.rest);
    let trace = options.trace;
    let mut trials = Vec::new();
    for on in ALL {
        if let Some(seed) = options.seed {
            trials.push(Trial::test(format!("seed_{seed} [{on}]"), move || {
                eprintln!("{:#?}", run_seed(seed, on, trace)?);
                Ok(())
            }));
            continue;
        }
        let seeds = match on {
            On::Shards(_) => options.seeds,
            On::Oracle => options.oracle_seeds,
        };
        for from in (1..=seeds).step_by(TRIAL_SEEDS as usize) {
            let to = (from + TRIAL_SEEDS).min(seeds + 1);
            let name = format!("seeds_{from}_to_{} [{on}]", to - 1);
            trials.push(Trial::test(name, move || run_seeds(from..to, on)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn options() -> Result<Options, String> {
    let number = |name: &str, text: String| {
        let text = text.replace('_', "");
        let number = text.parse::<u64>();
        number.map_err(|_| format!("{name}: {text:?} is no number"))
    };
    let variable = |name: &str| std::env::var(name).ok().map(|text| number(name, text));
    let mut options = Options {
        seeds: variable("GANNET_MODEL_SEEDS").unwrap_or(Ok(SEEDS))?,
        oracle_seeds: variable("GANNET_MODEL_ORACLE_SEEDS").unwrap_or(Ok(ORACLE_SEEDS))?,
        seed: variable("GANNET_MODEL_SEED").transpose()?,
        trace: false,
        rest: Vec::new(),
    };
    let mut words = std::env::args();
    while let Some(word) = words.next() {
        let mut value = || {
            let text = words
                .next()
                .ok_or_else(|| format!("{word} wants a number"))?;
            number(&word, text)
        };
        match word.as_str() {
            "--seeds" => options.seeds = value()?,
            "--oracle-seeds" => options.oracle_seeds = value()?,
            "--seed" => options.seed = Some(value()?),
            "--trace" => options.trace = true,
            _ => options.rest.push(word),
        }
    }
    Ok(options)
}

fn run_seeds(seeds: std::ops::Range<u64>, on: On) -> Result<(), Failed> {
    let (mut sum, mut played) = (Tally::default(), 0);
    let many = seeds.end - seeds.start;
    for seed in seeds {
        if let Some(tally) = run_seed(seed, on, false)? {
            played += 1;
            sum.add(tally);
        }
    }
    if played * 4 < many {
        return Err(format!("only {played} of {many} could be played").into());
    }
    let missing = sum.missing();
    if many >= TRIAL_SEEDS && !missing.is_empty() {
        return Err(format!("nothing was seen of {missing:?}").into());
    }
    Ok(())
}

/// Plays one seed; whatever goes wrong comes with the way to repeat it. Nothing, where the oracle does not play it.
fn run_seed(seed: u64, on: On, trace: bool) -> Result<Option<Tally>, Failed> {
    let run = || play(seed, on, trace);
    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panics: {}", text.unwrap_or_default()))
    });
    outcome.map_err(|problem| {
        Failed::from(format!(
            "seed {seed}, {on}: {problem}\nrepeat with: cargo test --test model -- --seed {seed} --trace"
        ))
    })
}

fn play(seed: u64, on: On, trace: bool) -> Result<Option<Tally>, String> {
    let mut rng = Rng::new(seed);
    let accounts = Rc::new(Accounts::new(&mut rng.fork()));
    let (script, chances) = (rng.fork(), rng.fork());
    if trace {
        eprintln!("{}", accounts.text());
    }
    match on {
        On::Shards(count) => {
            let config = accounts.config().map_err(|errors| errors.join("\n"))?;
            let mut node = Simulated::new(&config, count, chances)?;
            let mut play = Play::new(script, accounts, &mut node, false, trace);
            play.run()?;
            Ok(Some(play.tally))
        }
        On::Oracle if !accounts.decided => Ok(None),
        On::Oracle => play_on_oracle(script, accounts, trace),
    }
}

/// The oracle refuses imports that only look like a cycle, and takes some that are one for other reasons: what it does
/// not start with is not played.
fn play_on_oracle(
    script: Rng,
    accounts: Rc<Accounts>,
    trace: bool,
) -> Result<Option<Tally>, String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = directory.path().join("model.conf");
    std::fs::write(&file, accounts.text()).map_err(|e| e.to_string())?;
    let program = Program {
        binary: oracle::oracle().to_owned(),
        flags: Vec::new(),
    };
    let flags = ["-c".to_owned(), file.display().to_string()];
    let server = match program.start(directory.path(), &flags, None) {
        Ok(server) => server,
        Err(problem) if problem.contains("cycle") => return Ok(None),
        Err(problem) => return Err(problem),
    };
    let mut real = Real::new(server.port);
    let mut play = Play::new(script, accounts, &mut real, true, trace);
    play.run()?;
    Ok(Some(play.tally))
}

impl std::fmt::Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            On::Shards(count) => write!(f, "{count} shards"),
            On::Oracle => write!(f, "oracle"),
        }
    }
}

//! The simulation: several shards in one thread, under a virtual clock, over a simulated network, with chance in
//! every place where threads, kernels and peers have their freedom; checked against a naive model.
//!
//! `cargo test --test sim -- --steps 10000000` runs more, `-- --seed 7` one seed alone, `--trace` shows all that
//! happens in it. `GANNET_SIM_STEPS` and `GANNET_SIM_SEED` say the same.

mod client;
mod model;
mod net;
mod ring;
mod rng;
mod scenario;
mod thread;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use world::{Report, World};

/// Actions of a seed between start and end, besides those that bring it to rest.
const SEED_STEPS: usize = 5_000;

/// Actions in all, unless told otherwise.
const STEPS: usize = 2_000_000;

/// Seeds of one test.
const TRIAL_SEEDS: u64 = 100;

/// What the command line and the environment say.
struct Options {
    steps: Option<usize>,
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
    if let (Some(seed), None) = (options.seed, options.steps) {
        trials.push(Trial::test(format!("seed_{seed}"), move || {
            let report = run_seed(seed, trace)?;
            eprintln!("{report:#?}");
            Ok(())
        }));
    } else {
        let first = options.seed.unwrap_or(1);
        let seeds = options.steps.unwrap_or(STEPS).div_ceil(SEED_STEPS) as u64;
        for start in (0..seeds).step_by(TRIAL_SEEDS as usize) {
            let (from, to) = (first + start, first + (start + TRIAL_SEEDS).min(seeds));
            trials.push(Trial::test(
                format!("seeds_{from}_to_{}", to - 1),
                move || run_seeds(from..to),
            ));
        }
        trials.push(Trial::test("a_seed_repeats_itself", move || repeats(first)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn options() -> Result<Options, String> {
    let number = |name: &str, text: String| {
        let text = text.replace('_', "");
        text.parse::<u64>()
            .map_err(|_| format!("{name}: {text:?} is no number"))
    };
    let mut options = Options {
        steps: None,
        seed: None,
        trace: false,
        rest: Vec::new(),
    };
    if let Ok(text) = std::env::var("GANNET_SIM_STEPS") {
        options.steps = Some(number("GANNET_SIM_STEPS", text)? as usize);
    }
    if let Ok(text) = std::env::var("GANNET_SIM_SEED") {
        options.seed = Some(number("GANNET_SIM_SEED", text)?);
    }
    let mut words = std::env::args();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a number"));
        match word.as_str() {
            "--steps" => options.steps = Some(number("--steps", value()?)? as usize),
            "--seed" => options.seed = Some(number("--seed", value()?)?),
            "--trace" => options.trace = true,
            _ => options.rest.push(word),
        }
    }
    Ok(options)
}

/// Runs one seed; whatever goes wrong comes with the way to repeat it.
fn run_seed(seed: u64, trace: bool) -> Result<Report, Failed> {
    let run = || World::new(seed, trace).run(SEED_STEPS);
    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panics: {}", text.unwrap_or_default()))
    });
    outcome.map_err(|problem| {
        Failed::from(format!(
            "seed {seed}: {problem}\nrepeat with: cargo test --test sim -- --seed {seed} --trace"
        ))
    })
}

fn run_seeds(seeds: std::ops::Range<u64>) -> Result<(), Failed> {
    let many = seeds.end - seeds.start >= TRIAL_SEEDS;
    let mut sum = Report::default();
    for seed in seeds {
        sum.add(&run_seed(seed, false)?);
    }
    if many {
        sum.has_seen_everything()?;
    }
    Ok(())
}

fn repeats(seed: u64) -> Result<(), Failed> {
    let (one, two) = (run_seed(seed, false)?, run_seed(seed, false)?);
    if one.fingerprint != two.fingerprint || one.steps != two.steps {
        return Err("the same seed went another way".into());
    }
    Ok(())
}

impl Report {
    fn add(&mut self, other: &Report) {
        for ((_, sum), (_, count)) in self.counts().into_iter().zip(other.clone().counts()) {
            *sum += *count;
        }
    }

    fn counts(&mut self) -> [(&'static str, &mut u64); 12] {
        [
            ("steps", &mut self.steps),
            ("plain deliveries", &mut self.seen.plain),
            ("queue deliveries", &mut self.seen.queued),
            ("deliveries that travelled on", &mut self.seen.travelled),
            ("503", &mut self.seen.no_responders),
            ("subscriptions at their maximum", &mut self.seen.expired),
            ("complete deliveries", &mut self.seen.barriers),
            ("cuts", &mut self.cuts),
            ("broken connections", &mut self.broken),
            ("closed connections", &mut self.closed),
            ("sleeps", &mut self.sleeps),
            ("full mesh queues", &mut self.full_mesh),
        ]
    }

    /// A simulation in which something never happens proves nothing about it.
    fn has_seen_everything(mut self) -> Result<(), Failed> {
        match self.counts().into_iter().find(|(_, count)| **count == 0) {
            Some((what, _)) => Err(format!("{what}: nothing was seen of them").into()),
            None => Ok(()),
        }
    }
}

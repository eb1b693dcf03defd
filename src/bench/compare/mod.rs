//! `gannet bench compare`: two servers on the same work, in alternation. Owns the order of the measurements
//! and the files; never measures itself.

mod accounts;
mod chart;
mod distance;
mod machine;
mod measure;
mod result;
mod rows;
mod server;
mod stats;
mod table;

pub use result::Latency;
pub use stats::{Spread, spread};

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::measure::{Times, measure};
use self::result::{Comparison, RowResult, Sample, SideResult};
use self::rows::{ROWS, Row};
use self::server::{Cores, Side};
use super::flags::{self, Flag, Options};

/// The flags of `gannet bench compare`.
pub const COMPARE_FLAGS: &[&Flag] = &[
    &flags::SIDE_A,
    &flags::SIDE_B,
    &flags::ROWS,
    &flags::PAIRS,
    &flags::NEAR,
    &flags::SECONDS,
    &flags::WARMUP,
    &flags::SPIN,
    &flags::SERVER_CORE,
    &flags::GENERATOR_CORE,
    &flags::OUT,
    &flags::LIST,
    &flags::HELP,
];

/// The flags of `gannet bench chart`.
pub const CHART_FLAGS: &[&Flag] = &[&flags::INPUT, &flags::OUT, &flags::SVG, &flags::HELP];

/// Measures the rows asked for, prints the table and writes the results. An error if a row failed.
pub fn compare(options: &Options) -> Result<(), String> {
    let rows = selected(options.text(&flags::ROWS).unwrap_or_default());
    if options.has(&flags::LIST) {
        rows.iter()
            .for_each(|row| println!("{:<22} {}", row.key, row.title));
        return Ok(());
    }
    let plan = Plan::from(options)?;
    let mut comparison = plan.announce()?;
    let file = plan
        .out
        .as_ref()
        .map(|directory| directory.join(plan.file_name()));
    for row in &rows {
        let result = plan.measure_row(row);
        comparison.rows.push(result);
        if let Some(file) = &file {
            write_json(file, &comparison)?;
        }
    }
    println!("\n{}", table::markdown(&comparison));
    if let Some(file) = file {
        eprintln!("written to {}", file.display());
    }
    match comparison
        .rows
        .iter()
        .filter(|row| row.failure.is_some())
        .count()
    {
        0 => Ok(()),
        failed => Err(format!("{failed} rows failed")),
    }
}

/// Draws a result as an SVG.
pub fn chart(options: &Options) -> Result<(), String> {
    let input = match options.text(&flags::INPUT) {
        Some(file) => PathBuf::from(file),
        None => newest(Path::new(options.text(&flags::OUT).unwrap_or_default()))?,
    };
    let text = fs::read_to_string(&input).map_err(|e| format!("{}: {e}", input.display()))?;
    let comparison: Comparison =
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", input.display()))?;
    let svg = options.text(&flags::SVG).unwrap_or_default();
    fs::write(svg, chart::svg(&comparison)).map_err(|e| format!("{svg}: {e}"))?;
    println!("{} drawn to {svg}", input.display());
    Ok(())
}

/// How often the cores may be found far from each other, in a row's one measurement, before it is given up.
const FAR_MAX: usize = 1_000;
/// How long until they are looked at again.
const FAR_WAIT: Duration = Duration::from_millis(300);

struct Plan {
    a: Side,
    b: Side,
    pairs: usize,
    near_ns: f64,
    cores: Cores,
    times: Times,
    out: Option<PathBuf>,
    began: jiff::Zoned,
}

impl Plan {
    fn from(options: &Options) -> Result<Plan, String> {
        let own = std::env::current_exe()
            .map_err(|e| e.to_string())?
            .display()
            .to_string();
        let seconds = |flag| {
            Ok::<_, String>(Duration::from_secs_f64(
                options.value::<f64>(flag)?.clamp(0.01, 60.0),
            ))
        };
        let out = options
            .text(&flags::OUT)
            .filter(|out| *out != "-")
            .map(PathBuf::from);
        Ok(Plan {
            a: Side::parse(options.text(&flags::SIDE_A).unwrap_or(&own))?,
            b: Side::parse(options.text(&flags::SIDE_B).unwrap_or_default())?,
            pairs: options.positive(&flags::PAIRS)?,
            near_ns: options.value(&flags::NEAR)?,
            cores: Cores {
                server: options.value(&flags::SERVER_CORE)?,
                generator: options.value(&flags::GENERATOR_CORE)?,
                spin_us: options.value(&flags::SPIN)?,
            },
            times: Times {
                warmup: seconds(&flags::WARMUP)?,
                measured: seconds(&flags::SECONDS)?,
            },
            out,
            began: jiff::Zoned::now(),
        })
    }

    fn announce(&self) -> Result<Comparison, String> {
        let side = |side: &Side| {
            Ok::<_, String>(SideResult {
                name: side.name(),
                version: side.version()?,
            })
        };
        Ok(Comparison {
            date: self.began.strftime("%Y-%m-%d %H:%M").to_string(),
            machine: machine::describe(),
            a: side(&self.a)?,
            b: side(&self.b)?,
            seconds: self.times.measured.as_secs_f64(),
            rows: Vec::new(),
        })
    }

    fn file_name(&self) -> String {
        format!("{}.json", self.began.strftime("%Y-%m-%dT%H-%M-%S"))
    }

    /// Every second pair begins with the other server, so that a drift of the machine favours neither.
    fn measure_row(&self, row: &Row) -> RowResult {
        let mut result = RowResult::new(row);
        for pair in 0..self.pairs {
            let order = if pair % 2 == 0 {
                [true, false]
            } else {
                [false, true]
            };
            for first in order {
                let side = if first { &self.a } else { &self.b };
                match self.measure_near(row, side) {
                    Ok(sample) if first => result.a.push(sample),
                    Ok(sample) => result.b.push(sample),
                    Err(error) => {
                        result.failure = Some(format!("{}: {error}", side.name()));
                        break;
                    }
                }
            }
            result.judge(row);
            eprintln!("{}", one_line(&result));
            if result.failure.is_some() {
                break;
            }
        }
        result
    }

    /// Measures, and notes how far apart the cores were: the farther of before and after. Where they are to be near, it waits
    /// until they are, and measures again what they were not near for.
    fn measure_near(&self, row: &Row, side: &Side) -> Result<Sample, String> {
        let mut before = distance::measure(self.cores)?;
        let mut seen = 0;
        loop {
            if self.are_near(before) {
                let sample = measure(row, side, self.cores, self.times)?;
                let after = distance::measure(self.cores)?;
                if self.are_near(after) {
                    let cores_ns = before.zip(after).map(|(a, b)| a.max(b));
                    return Ok(Sample { cores_ns, ..sample });
                }
            }
            seen += 1;
            if seen > FAR_MAX {
                return Err(format!(
                    "the cores do not come within {} ns of each other",
                    self.near_ns
                ));
            }
            std::thread::sleep(FAR_WAIT);
            before = distance::measure(self.cores)?;
        }
    }

    fn are_near(&self, distance_ns: Option<f64>) -> bool {
        self.near_ns == 0.0 || distance_ns.is_none_or(|ns| ns <= self.near_ns)
    }
}

fn one_line(result: &RowResult) -> String {
    let last = |samples: &[Sample]| {
        let Some(sample) = samples.last() else {
            return "–".to_owned();
        };
        let parts = [
            sample.per_second.map(|rate| format!("{rate:.0}/s")),
            sample.cpu_ns.map(|ns| format!("{ns:.1} ns")),
            sample
                .latency
                .map(|latency| format!("p50 {:.1} µs", latency.p50 / 1000.0)),
            sample.bytes.map(|bytes| format!("{bytes:.0} B")),
            sample.cores_ns.map(|ns| format!("({ns:.0} ns apart)")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let failure = result
        .failure
        .as_ref()
        .map_or_else(String::new, |failure| format!("  FAILED: {failure}"));
    format!(
        "{:<22} A {:<48} B {}{failure}",
        result.key,
        last(&result.a),
        last(&result.b)
    )
}

fn selected(patterns: &str) -> Vec<&'static Row> {
    let wanted = |row: &&Row| {
        patterns
            .split(',')
            .any(|pattern| row.key.contains(pattern.trim()))
    };
    ROWS.iter().filter(wanted).collect()
}

fn write_json(file: &Path, comparison: &Comparison) -> Result<(), String> {
    let text = serde_json::to_string_pretty(comparison).map_err(|e| e.to_string())? + "\n";
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    }
    fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}

/// The last by name: file names begin with the date.
fn newest(directory: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let files = entries.flatten().map(|entry| entry.path());
    let json = files.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    json.max()
        .ok_or_else(|| format!("{}: no results", directory.display()))
}

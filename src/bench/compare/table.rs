//! Owns the comparison as Markdown. Never judges.

use std::fmt::Write;

use super::result::{Comparison, RowResult, Sample, SideResult, Verdict};
use super::rows::Metric;
use super::stats::{Spread, spread};

/// The whole comparison as Markdown: work, latency, memory, failures.
pub fn markdown(comparison: &Comparison) -> String {
    let pairs = comparison
        .rows
        .iter()
        .map(|row| row.b.len())
        .max()
        .unwrap_or(0);
    let mut out = format!(
        "A: {}. B: {}. {}. {}, {pairs} pairs, {} s each. Medians; the smallest and largest in brackets.\n",
        side(&comparison.a),
        side(&comparison.b),
        comparison.machine,
        comparison.date,
        comparison.seconds,
    );
    out.push_str(&distance(comparison));
    section(
        &mut out,
        comparison,
        WORK_HEAD,
        |row| has(row, |s| s.cpu_ns) && !has(row, p50),
        work_line,
    );
    section(
        &mut out,
        comparison,
        LATENCY_HEAD,
        |row| has(row, p50),
        latency_lines,
    );
    section(
        &mut out,
        comparison,
        MEMORY_HEAD,
        |row| has(row, |s| s.bytes),
        memory_line,
    );
    for row in &comparison.rows {
        if let Some(failure) = &row.failure {
            writeln!(out, "\nFAILED: {} ({}): {failure}", row.key, row.title).expect(FITS);
        }
    }
    out
}

/// How far apart the cores were, in all measurements.
fn distance(comparison: &Comparison) -> String {
    let samples = comparison
        .rows
        .iter()
        .flat_map(|row| row.a.iter().chain(&row.b));
    spread(samples.filter_map(|sample| sample.cores_ns)).map_or_else(String::new, |ns| {
        format!(
            "A cache line took {} ns from the server's core to the generator's and back.\n",
            bracketed(ns)
        )
    })
}

const FITS: &str = "a string takes all";

const WORK_HEAD: &str = "
| work | A msg/s | B msg/s | A CPU ns | B CPU ns | CPU B/A | must | |
|---|---|---|---|---|---|---|---|
";

const LATENCY_HEAD: &str = "
| work | | p50 µs | p99 µs | p99.9 µs | max µs | CPU ns | p50 B/A (must) | CPU B/A (must) | |
|---|---|---|---|---|---|---|---|---|---|
";

const MEMORY_HEAD: &str = "
| memory | A bytes | B bytes | B/A | A must | |
|---|---|---|---|---|---|
";

fn side(side: &SideResult) -> String {
    format!("{} ({})", side.name, side.version)
}

fn section(
    out: &mut String,
    comparison: &Comparison,
    head: &str,
    belongs: impl Fn(&RowResult) -> bool,
    line: impl Fn(&RowResult) -> String,
) {
    let rows: Vec<&RowResult> = comparison.rows.iter().filter(|row| belongs(row)).collect();
    if !rows.is_empty() {
        out.push_str(head);
        rows.iter().for_each(|row| out.push_str(&line(row)));
    }
}

fn has(row: &RowResult, figure: impl Fn(&Sample) -> Option<f64>) -> bool {
    row.a
        .iter()
        .chain(&row.b)
        .any(|sample| figure(sample).is_some())
}

fn p50(sample: &Sample) -> Option<f64> {
    sample.metric(Metric::P50)
}

fn work_line(row: &RowResult) -> String {
    let verdict = verdict(row, Metric::Cpu);
    let rate = |first| {
        row.figure(first, |s| s.per_second)
            .map_or_else(dash, |s| grouped(s.median))
    };
    let cpu = |first| row.figure(first, |s| s.cpu_ns).map_or_else(dash, bracketed);
    format!(
        "| {} (per {}) | {} | {} | {} | {} | {} | {} | {} |\n",
        row.title,
        row.unit,
        rate(true),
        rate(false),
        cpu(true),
        cpu(false),
        ratio(verdict),
        verdict
            .and_then(|v| v.ratio_min)
            .map_or_else(String::new, short),
        mark(verdict),
    )
}

fn latency_lines(row: &RowResult) -> String {
    let mut out = String::new();
    for (first, name) in [(true, "A"), (false, "B")] {
        let us = |of: fn(&Sample) -> Option<f64>| {
            row.figure(first, of)
                .map_or_else(dash, |s| format!("{:.1}", s.median / 1000.0))
        };
        let cpu = row.figure(first, |s| s.cpu_ns).map_or_else(dash, bracketed);
        let verdicts = if first {
            [Metric::P50, Metric::Cpu].map(|metric| verdict(row, metric))
        } else {
            [None, None]
        };
        let [p50, cpu_ratio] = verdicts.map(|v| if first { with_must(v) } else { String::new() });
        let marks: Vec<&str> = verdicts
            .iter()
            .map(|v| mark(*v))
            .filter(|mark| !mark.is_empty())
            .collect();
        let title = if first {
            format!("{} (per {})", row.title, row.unit)
        } else {
            String::new()
        };
        writeln!(
            out,
            "| {title} | {name} | {} | {} | {} | {} | {cpu} | {p50} | {cpu_ratio} | {} |",
            us(|s| s.latency.map(|l| l.p50)),
            us(|s| s.latency.map(|l| l.p99)),
            us(|s| s.latency.map(|l| l.p999)),
            us(|s| s.latency.map(|l| l.max)),
            marks.join(" "),
        )
        .expect(FITS);
    }
    out
}

fn memory_line(row: &RowResult) -> String {
    let verdict = verdict(row, Metric::Bytes);
    let bytes = |first| row.figure(first, |s| s.bytes).map_or_else(dash, bracketed);
    let shards = |samples: &[Sample]| {
        samples
            .first()
            .and_then(|s| s.shards)
            .map_or_else(String::new, |n| format!(", {n} shard"))
    };
    format!(
        "| {} | {}{} | {}{} | {} | {} | {} |\n",
        row.title,
        bytes(true),
        shards(&row.a),
        bytes(false),
        shards(&row.b),
        ratio(verdict),
        verdict
            .and_then(|v| v.at_most)
            .map_or_else(String::new, |max| format!("≤ {}", short(max))),
        mark(verdict),
    )
}

fn verdict(row: &RowResult, metric: Metric) -> Option<&Verdict> {
    row.verdicts.iter().find(|verdict| verdict.metric == metric)
}

fn with_must(verdict: Option<&Verdict>) -> String {
    let must = verdict
        .and_then(|v| v.ratio_min)
        .map_or_else(String::new, |min| format!(", must {}", short(min)));
    format!("{}{must}", ratio(verdict))
}

fn ratio(verdict: Option<&Verdict>) -> String {
    verdict.map_or_else(dash, |v| bracketed(v.ratio))
}

fn mark(verdict: Option<&Verdict>) -> &'static str {
    match verdict.and_then(|v| v.met) {
        Some(true) => "✓",
        Some(false) => "✗ short",
        None => "",
    }
}

fn bracketed(spread: Spread) -> String {
    format!(
        "{} ({}–{})",
        short(spread.median),
        short(spread.min),
        short(spread.max)
    )
}

/// A figure with about three digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000.0 => grouped(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ if value.fract() == 0.0 => format!("{value}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let shown = [0.7, 2.0, 12.34, 123.4, 1234.5, 12345.6, 26_000_000.0].map(short);
        assert_eq!(
            shown,
            ["0.70", "2", "12.3", "123", "1234", "12,346", "26,000,000"]
        );
    }
}

//! Owns what a comparison found, as it is written to a file. Never measures and never draws.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::rows::{Goal, Metric, Row};
use super::stats::{Spread, spread};

/// Latency percentiles in ns.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// 99 in a hundred are faster.
    pub p99: f64,
    /// 999 in a thousand are faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// The percentiles of a histogram of ns.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64;
        Latency {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64,
        }
    }
}

/// One measurement of one row on one server.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Messages a second.
    pub per_second: Option<f64>,
    /// Server CPU, ns per message.
    pub cpu_ns: Option<f64>,
    /// Latency, where the row measures it.
    pub latency: Option<Latency>,
    /// Resident memory, bytes per item.
    pub bytes: Option<f64>,
    /// Shards, where the server has any.
    pub shards: Option<usize>,
    /// What a cache line took from the server's core to the generator's and back, ns.
    #[serde(default)]
    pub cores_ns: Option<f64>,
}

impl Sample {
    /// One figure of the sample.
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Cpu => self.cpu_ns,
            Metric::P50 => self.latency.map(|latency| latency.p50),
            Metric::Bytes => self.bytes,
        }
    }
}

/// A goal and how it came out.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Verdict {
    /// `cpu`, `p50` or `bytes`.
    pub metric: Metric,
    /// How many times the first server's figure the second's is, pair by pair.
    pub ratio: Spread,
    /// The ratio that must be reached.
    pub ratio_min: Option<f64>,
    /// The figure the first server must keep under.
    pub at_most: Option<f64>,
    /// Whether the median keeps the goal; nothing where there is none.
    pub met: Option<bool>,
}

/// A row as measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RowResult {
    /// The row's key.
    pub key: String,
    /// The row's title.
    pub title: String,
    /// What figures per message count.
    pub unit: String,
    /// Samples of the first server.
    pub a: Vec<Sample>,
    /// Samples of the second server, pair by pair.
    pub b: Vec<Sample>,
    /// Each ratio, with its goal where there is one.
    pub verdicts: Vec<Verdict>,
    /// Why the row broke off, if it did.
    pub failure: Option<String>,
}

/// One of the two servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SideResult {
    /// Program and extra flags.
    pub name: String,
    /// What it says its version is.
    pub version: String,
}

/// A whole comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// When it began, local time with offset.
    pub date: String,
    /// Processor, cores, memory, kernel.
    pub machine: String,
    /// The first server.
    pub a: SideResult,
    /// The second server.
    pub b: SideResult,
    /// Seconds of each measurement.
    pub seconds: f64,
    /// The rows.
    pub rows: Vec<RowResult>,
}

impl RowResult {
    /// A row without samples.
    pub fn new(row: &Row) -> RowResult {
        RowResult {
            key: row.key.to_owned(),
            title: row.title.to_owned(),
            unit: row.work.unit().to_owned(),
            a: Vec::new(),
            b: Vec::new(),
            verdicts: Vec::new(),
            failure: None,
        }
    }

    /// Computes ratios and goals from the samples.
    pub fn judge(&mut self, row: &Row) {
        self.verdicts = [Metric::Cpu, Metric::P50, Metric::Bytes]
            .into_iter()
            .filter_map(|metric| self.verdict(metric, row))
            .collect();
    }

    /// Median and ends of one figure of the first (`true`) or second server.
    pub fn figure(&self, first: bool, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        let samples = if first { &self.a } else { &self.b };
        spread(samples.iter().filter_map(figure))
    }

    fn verdict(&self, metric: Metric, row: &Row) -> Option<Verdict> {
        let pairs = self.a.iter().zip(&self.b);
        let ratios = pairs.filter_map(|(a, b)| Some(b.metric(metric)? / a.metric(metric)?));
        let ratio = spread(ratios)?;
        let own = self.figure(true, |sample| sample.metric(metric))?.median;
        let mut verdict = Verdict {
            metric,
            ratio,
            ratio_min: None,
            at_most: None,
            met: None,
        };
        for goal in row.goals {
            match *goal {
                Goal::Ratio(of, min) if of == metric => {
                    verdict.ratio_min = Some(min);
                    verdict.met = Some(verdict.met != Some(false) && ratio.median >= min);
                }
                Goal::AtMost(of, max) if of == metric => {
                    verdict.at_most = Some(max);
                    verdict.met = Some(verdict.met != Some(false) && own <= max);
                }
                Goal::Ratio(..) | Goal::AtMost(..) => {}
            }
        }
        Some(verdict)
    }
}

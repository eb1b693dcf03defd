//! Owns how a result is told: as text, as one JSON object, as CSV with a header line. Never computes a load.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::flags::{self, Options};
use super::load::Outcome;

/// The percentiles shown.
const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p999", 0.999),
    ("p9999", 0.9999),
    ("max", 1.0),
];

/// What one command found.
#[derive(Debug)]
pub struct Report {
    /// The command.
    pub command: &'static str,
    /// Counts and time.
    pub outcome: Outcome,
    /// Mean payload of a published message, where known.
    pub payload_bytes_mean: Option<f64>,
    /// Latencies in ns, where measured.
    pub latencies: Option<Histogram<u64>>,
}

/// Prints it the way the flags ask for.
pub fn print(options: &Options, report: &Report) {
    let fields = fields(report);
    if options.has(&flags::JSON) {
        println!(
            "{}",
            Value::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            )
        );
    } else if options.has(&flags::CSV) {
        println!("{}", csv(&fields));
    } else {
        print!("{}", text(&fields));
    }
}

fn fields(report: &Report) -> Vec<(&'static str, Value)> {
    let Outcome {
        elapsed,
        published,
        delivered,
    } = report.outcome;
    let seconds = elapsed.as_secs_f64();
    let mut fields = vec![
        ("command", json!(report.command)),
        ("seconds", json!(round(seconds, 6))),
    ];
    for (count, per_second, messages) in [
        ("published", "published_per_s", published),
        ("delivered", "delivered_per_s", delivered),
    ] {
        fields.push((count, json!(messages)));
        fields.push((per_second, json!(round(messages as f64 / seconds, 0))));
    }
    if let Some(mean) = report.payload_bytes_mean {
        let messages = published.max(delivered) as f64;
        fields.push(("payload_bytes_mean", json!(round(mean, 1))));
        fields.push((
            "payload_mb_per_s",
            json!(round(messages * mean / seconds / 1e6, 3)),
        ));
    }
    if let Some(latencies) = &report.latencies {
        for (name, quantile) in QUANTILES {
            let us = latencies.value_at_quantile(quantile) as f64 / 1000.0;
            fields.push((name, json!(round(us, 3))));
        }
    }
    fields
}

fn text(fields: &[(&str, Value)]) -> String {
    let line = |(name, value): &(&str, Value)| {
        let unit = if QUANTILES.iter().any(|(quantile, _)| quantile == name) {
            " µs"
        } else {
            ""
        };
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{name:<20}{value}{unit}\n")
    };
    fields.iter().map(line).collect()
}

fn csv(fields: &[(&str, Value)]) -> String {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let values: Vec<String> = fields
        .iter()
        .map(|(_, value)| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect();
    format!("{}\n{}", names.join(","), values.join(","))
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::*;

    #[test]
    fn told_in_three_ways() {
        let mut latencies = Histogram::new(3).expect("three digits");
        latencies.record(1500).expect("auto-sized");
        let outcome = Outcome {
            elapsed: Duration::from_millis(500),
            published: 10,
            delivered: 20,
        };
        let report = Report {
            command: "fan",
            outcome,
            payload_bytes_mean: Some(16.0),
            latencies: Some(latencies),
        };
        let fields = fields(&report);
        expect![[r"
            command             fan
            seconds             0.5
            published           10
            published_per_s     20.0
            delivered           20
            delivered_per_s     40.0
            payload_bytes_mean  16.0
            payload_mb_per_s    0.001
            p50                 1.5 µs
            p90                 1.5 µs
            p99                 1.5 µs
            p999                1.5 µs
            p9999               1.5 µs
            max                 1.5 µs
        "]]
        .assert_eq(&text(&fields));
        expect![[r"
            command,seconds,published,published_per_s,delivered,delivered_per_s,payload_bytes_mean,payload_mb_per_s,p50,p90,p99,p999,p9999,max
            fan,0.5,10,20.0,20,40.0,16.0,0.001,1.5,1.5,1.5,1.5,1.5,1.5"]]
        .assert_eq(&csv(&fields));
    }
}

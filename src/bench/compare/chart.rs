//! Owns the picture of a comparison: a bar for each ratio on a log scale, with the mark that must be reached.
//! Never measures and never judges.

use std::fmt::Write;

use super::result::{Comparison, RowResult, Verdict};
use super::rows::Metric;

const WIDTH: f64 = 980.0;
const LEFT: f64 = 430.0;
const RIGHT: f64 = 900.0;
const TOP: f64 = 74.0;
const ROW: f64 = 24.0;
const BAR: f64 = 14.0;
const FITS: &str = "a string takes all";

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.small{font-size:11px;fill:#57606a}\
.head{font-size:16px;font-weight:600}.grid{stroke:#d0d7de}.one{stroke:#57606a}.met{fill:#2da44e}.short{fill:#cf222e}\
.free{fill:#6e9bd6}.spread{stroke:#24292f;stroke-width:1.5}.must{stroke:#bf8700;stroke-width:3}";

/// The comparison as an SVG document.
pub fn svg(comparison: &Comparison) -> String {
    let bars: Vec<Bar> = comparison.rows.iter().flat_map(bars_of).collect();
    let scale = Scale::over(&bars);
    let height = TOP + ROW * bars.len() as f64 + 40.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    head(&mut out, comparison);
    grid(&mut out, &scale, height);
    for (bar, at) in bars.iter().zip(0_u32..) {
        draw(&mut out, bar, &scale, TOP + ROW * f64::from(at));
    }
    foot(&mut out, comparison, height);
    out.push_str("</svg>\n");
    out
}

struct Bar {
    label: String,
    median: f64,
    min: f64,
    max: f64,
    must: Option<f64>,
    met: Option<bool>,
}

fn bars_of(row: &RowResult) -> Vec<Bar> {
    let bar = |verdict: &Verdict| {
        let what = match verdict.metric {
            Metric::Cpu => "CPU",
            Metric::P50 => "p50",
            Metric::Bytes => "bytes",
        };
        let other = row
            .figure(false, |sample| sample.metric(verdict.metric))
            .map(|spread| spread.median);
        let at_most = verdict.at_most.zip(other).map(|(max, other)| other / max);
        Bar {
            label: format!("{}: {what}", row.title),
            median: verdict.ratio.median,
            min: verdict.ratio.min,
            max: verdict.ratio.max,
            must: verdict.ratio_min.or(at_most),
            met: verdict.met,
        }
    };
    row.verdicts.iter().map(bar).collect()
}

/// A log scale that holds every bar and 1.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn over(bars: &[Bar]) -> Scale {
        let ends = bars
            .iter()
            .flat_map(|bar| [bar.min, bar.max, bar.must.unwrap_or(1.0)]);
        let ends: Vec<f64> = ends.filter(|end| end.is_finite() && *end > 0.0).collect();
        let low = ends.iter().copied().fold(0.7, f64::min);
        let high = ends.iter().copied().fold(10.0, f64::max) * 1.2;
        Scale {
            low: low.ln(),
            high: high.ln(),
        }
    }

    fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.max(1e-9).ln() - self.low) / (self.high - self.low);
        LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let all: [f64; 13] = [
            0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0,
        ];
        all.into_iter()
            .filter(|tick| (self.low..=self.high).contains(&tick.ln()))
    }
}

fn head(out: &mut String, comparison: &Comparison) {
    let title = format!(
        "{} against {}: how many times less",
        comparison.a.version, comparison.b.version
    );
    writeln!(
        out,
        "<text class=\"head\" x=\"16\" y=\"26\">{}</text>",
        escaped(&title)
    )
    .expect(FITS);
    let key = "CPU of the server per message, median latency, memory; yellow: what must be reached; line: all pairs; right is better";
    writeln!(out, "<text class=\"small\" x=\"16\" y=\"44\">{key}</text>").expect(FITS);
}

fn grid(out: &mut String, scale: &Scale, height: f64) {
    for tick in scale.ticks() {
        let (x, bottom) = (scale.x(tick), height - 34.0);
        let class = if tick == 1.0 { "one" } else { "grid" };
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\"/>",
            TOP - 6.0
        )
        .expect(FITS);
        writeln!(
            out,
            "<text class=\"small\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}×</text>",
            TOP - 10.0
        )
        .expect(FITS);
    }
}

fn draw(out: &mut String, bar: &Bar, scale: &Scale, y: f64) {
    let middle = y + ROW / 2.0;
    let class = match bar.met {
        Some(true) => "met",
        Some(false) => "short",
        None => "free",
    };
    let label = escaped(&bar.label);
    writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
        LEFT - 10.0,
        middle + 4.0
    )
    .expect(FITS);
    let (one, end) = (scale.x(1.0), scale.x(bar.median));
    let (x, width) = (one.min(end), (end - one).abs());
    let top = middle - BAR / 2.0;
    writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\"/>"
    )
    .expect(FITS);
    let (low, high) = (scale.x(bar.min), scale.x(bar.max));
    writeln!(
        out,
        "<line class=\"spread\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>"
    )
    .expect(FITS);
    let mut right = high.max(one);
    if let Some(must) = bar.must {
        let x = scale.x(must);
        right = right.max(x);
        writeln!(
            out,
            "<line class=\"must\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\"/>",
            y + 2.0,
            y + ROW - 2.0
        )
        .expect(FITS);
    }
    writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{}\">{:.1}×</text>",
        right + 6.0,
        middle + 4.0,
        bar.median
    )
    .expect(FITS);
}

fn foot(out: &mut String, comparison: &Comparison, height: f64) {
    let text = format!("{}; {}", comparison.machine, comparison.date);
    writeln!(
        out,
        "<text class=\"small\" x=\"16\" y=\"{}\">{}</text>",
        height - 12.0,
        escaped(&text)
    )
    .expect(FITS);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(median: f64) -> Bar {
        Bar {
            label: "a < b".to_owned(),
            median,
            min: median / 2.0,
            max: median * 2.0,
            must: Some(6.0),
            met: Some(true),
        }
    }

    #[test]
    fn the_scale_holds_every_bar() {
        let bars = [bar(0.5), bar(40.0)];
        let scale = Scale::over(&bars);
        for ratio in [0.25, 1.0, 6.0, 80.0] {
            let x = scale.x(ratio);
            assert!((LEFT..=RIGHT).contains(&x), "{ratio} at {x}");
        }
        assert!(
            scale.x(0.25) < scale.x(1.0)
                && scale.x(1.0) < scale.x(6.0)
                && scale.x(6.0) < scale.x(80.0)
        );
    }

    #[test]
    fn labels_are_escaped() {
        let mut out = String::new();
        let bars = [bar(2.0)];
        draw(&mut out, &bars[0], &Scale::over(&bars), 0.0);
        assert!(out.contains("a &lt; b"), "{out}");
    }
}

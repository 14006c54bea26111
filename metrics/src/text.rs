//! Prometheus' text format 0.0.4: families of samples, each with its kind and a line of help.

use std::fmt::{self, Write as _};

use crate::histogram::{BOUNDS_US, Histogram};

/// The media type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in seconds.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A text to which families are added, one after another. A name may be added once.
#[derive(Clone, Debug, Default)]
pub struct Text(String);

impl Text {
    /// Adds a family.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        self.add(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
        Family { text: self, name }
    }

    /// Adds a family of one sample without labels.
    pub fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// All of it.
    pub fn into_string(self) -> String {
        self.0
    }

    fn add(&mut self, what: fmt::Arguments<'_>) {
        // a String takes whatever is written to it
        let _ = self.0.write_fmt(what);
    }
}

/// A family whose samples are added.
#[derive(Debug)]
pub struct Family<'t> {
    text: &'t mut Text,
    name: &'static str,
}

/// A label's name and value.
pub type Label<'l> = (&'static str, &'l str);

impl Family<'_> {
    /// Adds a sample.
    pub fn sample(&mut self, labels: &[Label<'_>], value: f64) {
        self.text.add(format_args!("{}{} {value}\n", self.name, Labels(labels, None)));
    }

    /// Adds the samples of a histogram.
    pub fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        let (name, snapshot) = (self.name, histogram.snapshot());
        for (index, count) in snapshot.cumulative.iter().enumerate() {
            let bound = BOUNDS_US.get(index).map(|&us| us as f64 / 1e6);
            let bound = bound.unwrap_or(f64::INFINITY);
            self.text.add(format_args!("{name}_bucket{} {count}\n", Labels(labels, Some(bound))));
        }
        let count = snapshot.cumulative.last().copied().unwrap_or_default();
        let labels = Labels(labels, None);
        self.text
            .add(format_args!("{name}_sum{labels} {}\n{name}_count{labels} {count}\n", snapshot.sum_seconds));
    }
}

/// Labels as they are written, `le` last.
struct Labels<'l>(&'l [Label<'l>], Option<f64>);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(labels, bound) = self;
        if labels.is_empty() && bound.is_none() {
            return Ok(());
        }
        let mut before = '{';
        for (name, value) in *labels {
            write!(f, "{before}{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => f.write_char(c)?,
                }
            }
            f.write_char('"')?;
            before = ',';
        }
        match bound {
            Some(bound) if bound.is_infinite() => write!(f, "{before}le=\"+Inf\"}}"),
            Some(bound) => write!(f, "{before}le=\"{bound}\"}}"),
            None => f.write_char('}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_would_end_a_label_is_escaped() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "Things.").sample(&[("x", "a\"b\\c\nd"), ("y", "")], 2.0);
        text.one("b", Kind::Gauge, "One.", 0.5);
        let wanted = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 2\n\
                      # HELP b One.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(text.into_string(), wanted);
    }

    #[test]
    fn buckets_of_a_histogram_count_all_that_are_not_longer() {
        let (mut text, histogram) = (Text::default(), Histogram::default());
        for us in [60, 60, 20_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        text.family("c_seconds", Kind::Histogram, "Long.").histogram(&[("m", "x")], &histogram);
        let text = text.into_string();
        for line in [
            "c_seconds_bucket{m=\"x\",le=\"0.00005\"} 0",
            "c_seconds_bucket{m=\"x\",le=\"0.0001\"} 2",
            "c_seconds_bucket{m=\"x\",le=\"10\"} 2",
            "c_seconds_bucket{m=\"x\",le=\"+Inf\"} 3",
            "c_seconds_sum{m=\"x\"} 20.00012",
            "c_seconds_count{m=\"x\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}

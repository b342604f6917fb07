//! The text format of Prometheus, version 0.0.4.
//!
//! Our own, since the kept library (prometheus-client) writes `OpenMetrics` only, from registries that hold an object a series; ours
//! are read once from atomics that exist anyway.

use std::fmt::{Display, Write};

use crate::Snapshot;

/// What a family of series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows, until the process ends.
    Counter,
    /// Comes and goes.
    Gauge,
    /// Counts by buckets.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of figures, written family by family.
#[derive(Debug, Default)]
pub struct Text {
    page: String,
    family: &'static str,
}

impl Text {
    /// The type of the page's content.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a family; the samples that follow are of it.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        self.family = name;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str()));
        self
    }

    /// One value of the family: a whole number, or seconds.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// One histogram of the family.
    pub fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) -> &mut Self {
        for (bound, count) in &snapshot.buckets {
            self.line("_bucket", labels, Some(&bound.to_string()), count);
        }
        self.line("_bucket", labels, Some("+Inf"), snapshot.count);
        self.line("_sum", labels, None, snapshot.sum);
        self.line("_count", labels, None, snapshot.count);
        self
    }

    /// The page.
    pub fn finish(self) -> String {
        self.page
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: impl Display) {
        self.page.push_str(self.family);
        self.page.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut separator = '{';
        for (name, value) in labels {
            self.page.push(separator);
            self.page.push_str(name);
            self.page.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.page.push_str("\\\\"),
                    '"' => self.page.push_str("\\\""),
                    '\n' => self.page.push_str("\\n"),
                    c => self.page.push(c),
                }
            }
            self.page.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.page.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        self.page.write_fmt(what).expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_the_format_says() {
        let mut text = Text::new();
        text.family("a_total", Kind::Counter, "Back\\slash\nand line.").sample(&[], 3_u64);
        text.family("b", Kind::Gauge, "B.").sample(&[("x", "q\"\\\n"), ("y", "")], 0.5);
        let snapshot = Snapshot { buckets: vec![(0.000_01, 1), (2.5, 2)], count: 3, sum: 9.25 };
        text.family("c_seconds", Kind::Histogram, "C.").histogram(&[("app", "shop")], &snapshot);
        let wanted = r#"# HELP a_total Back\\slash\nand line.
# TYPE a_total counter
a_total 3
# HELP b B.
# TYPE b gauge
b{x="q\"\\\n",y=""} 0.5
# HELP c_seconds C.
# TYPE c_seconds histogram
c_seconds_bucket{app="shop",le="0.00001"} 1
c_seconds_bucket{app="shop",le="2.5"} 2
c_seconds_bucket{app="shop",le="+Inf"} 3
c_seconds_sum{app="shop"} 9.25
c_seconds_count{app="shop"} 3
"#;
        assert_eq!(text.finish(), wanted);
    }
}

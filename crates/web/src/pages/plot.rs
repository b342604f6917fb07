//! Plots drawn in SVG: sparklines for lists, and lines, areas and stacked bars with axes.
//!
//! Colours are classes of the style sheet and sizes are attributes, since a strict Content-Security-Policy allows no inline style.
//! A plot stretches to the width it is given; its axes are text beside it, so that they are read at any width. What is said of it to
//! people who don't see it stands in its title and description.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;

/// The inner width and height in which points are computed.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;

/// Text as it may stand in HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// A small line without axes: one number for each minute, and those of them in which something went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparkline {
    /// The numbers, the oldest first.
    pub(crate) values: Vec<u64>,
    /// How many of each went wrong.
    pub(crate) bad: Vec<u64>,
    /// What they are, as in "requests in the last hour".
    pub(crate) what: &'static str,
}

impl HtmlSafe for Sparkline {}

impl fmt::Display for Sparkline {
    #[expect(clippy::cast_precision_loss, reason = "a plot is some pixels wide")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const W: f64 = 120.0;
        const H: f64 = 24.0;
        let total: u64 = self.values.iter().sum();
        let bad: u64 = self.bad.iter().sum();
        write!(f, r#"<svg class="spark" viewBox="0 0 {W} {H}" preserveAspectRatio="none" role="img" aria-label=""#)?;
        write!(f, "{total} {}", Escaped(self.what))?;
        if bad > 0 {
            write!(f, ", {bad} of them failed")?;
        }
        write!(f, r#""><path class="base" d="M0 {H}H{W}"/>"#)?;
        let highest = self.values.iter().copied().max().unwrap_or(0);
        if highest > 0 && self.values.len() > 1 {
            let step = W / (self.values.len() - 1) as f64;
            // The highest point is a little below the edge, so that the line is not cut.
            let y = |value: u64| H - (value as f64 / highest as f64) * (H - 2.0);
            let mut line = String::new();
            for (index, value) in self.values.iter().enumerate() {
                write!(line, "{}{:.1} {:.1}", if index == 0 { "M" } else { "L" }, index as f64 * step, y(*value))?;
            }
            write!(f, r#"<path class="area" d="{line}L{W} {H}L0 {H}Z"/><path class="line" d="{line}"/>"#)?;
            for (index, _) in self.bad.iter().enumerate().filter(|(_, bad)| **bad > 0) {
                let x = (index as f64 * step - 1.0).max(0.0);
                write!(f, r#"<rect class="bad" x="{x:.1}" y="{:.1}" width="2" height="3"/>"#, H - 1.5)?;
            }
        }
        f.write_str("</svg>")
    }
}

/// What numbers of a plot are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Things that are counted.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Shares of one: 0.5 is 50 %.
    Share,
}

impl Unit {
    /// A number as it is read.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Count if value >= 10_000.0 => format!("{:.0}k", value / 1000.0),
            Self::Count if value >= 10.0 || (value - value.round()).abs() < 0.001 => format!("{value:.0}"),
            Self::Count => format!("{value:.1}"),
            Self::Seconds if value == 0.0 => "0".to_owned(),
            Self::Seconds if value < 0.0095 => format!("{:.1} ms", value * 1000.0),
            Self::Seconds if value < 0.9995 => format!("{:.0} ms", value * 1000.0),
            Self::Seconds if value < 9.95 => format!("{value:.1} s"),
            Self::Seconds => format!("{value:.0} s"),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are whole and positive")]
            Self::Bytes => super::text::Bytes(value.max(0.0) as u64).to_string(),
            Self::Share => format!("{:.0} %", value * 100.0),
        }
    }

    /// The next number above that makes a good end of an axis.
    fn ceiling(self, highest: f64) -> f64 {
        if highest <= 0.0 {
            return match self {
                Self::Count => 4.0,
                Self::Seconds | Self::Share => 1.0,
                Self::Bytes => 1e6,
            };
        }
        let power = 10_f64.powf(highest.log10().floor());
        let steps = [1.0, 2.0, 4.0, 5.0, 10.0];
        let above = steps.into_iter().map(|step| step * power).find(|end| *end >= highest * 0.999).unwrap_or(power * 10.0);
        // Nothing is half a thing, where the axis is halved.
        if self == Self::Count { above.max(2.0) } else { above }
    }
}

/// How numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines beside each other.
    Line,
    /// A line with a ground below it.
    Area,
    /// Bars one above the other.
    Stacked,
}

/// One row of numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// What it is, for the legend.
    pub(crate) name: String,
    /// Its numbers, the oldest first; none where nothing is known.
    pub(crate) values: Vec<Option<f64>>,
    /// Its colour: 1 accent, 2 violet, 3 amber, 4 red, 5 grey.
    pub(crate) colour: u8,
}

impl Series {
    /// Numbers that are all known.
    pub(crate) fn new(name: impl Into<String>, colour: u8, values: impl IntoIterator<Item = f64>) -> Self {
        Self { name: name.into(), colour, values: values.into_iter().map(Some).collect() }
    }

    fn last(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }

    fn highest(&self) -> f64 {
        self.values.iter().flatten().copied().fold(0.0, f64::max)
    }
}

/// A plot with axes, its legend and its description.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    /// What is seen, as in "Requests a minute".
    pub(crate) title: String,
    /// What its numbers are.
    pub(crate) unit: Unit,
    /// How they are drawn.
    pub(crate) style: Style,
    /// The rows, drawn in this order.
    pub(crate) series: Vec<Series>,
    /// What stands below it from left to right, at equal distances: as in `["60 min ago", "30 min ago", "now"]`.
    pub(crate) below: Vec<String>,
}

impl HtmlSafe for Plot {}

impl Plot {
    /// Columns of numbers.
    fn columns(&self) -> usize {
        self.series.iter().map(|series| series.values.len()).max().unwrap_or(0)
    }

    fn highest(&self) -> f64 {
        if self.style != Style::Stacked {
            return self.series.iter().map(Series::highest).fold(0.0, f64::max);
        }
        let sum = |column| self.series.iter().filter_map(|series| *series.values.get(column)?).sum::<f64>();
        (0..self.columns()).map(sum).fold(0.0, f64::max)
    }

    /// What is said of it: each row's last and highest number.
    fn description(&self) -> String {
        let mut text = String::new();
        for series in &self.series {
            let separator = if text.is_empty() { "" } else { "; " };
            let _in_memory = match series.last() {
                Some(last) => write!(
                    text,
                    "{separator}{}: {} at the end, {} at most",
                    series.name,
                    self.unit.text(last),
                    self.unit.text(series.highest())
                ),
                None => write!(text, "{separator}{}: nothing yet", series.name),
            };
        }
        text
    }
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let top = self.unit.ceiling(self.highest());
        write!(f, r#"<figure class="plot"><figcaption><span>{}</span>"#, Escaped(&self.title))?;
        if self.series.len() > 1 {
            f.write_str(r#"<ul class="legend">"#)?;
            for series in &self.series {
                let name = Escaped(&series.name);
                write!(
                    f,
                    r#"<li><svg viewBox="0 0 8 8" aria-hidden="true"><rect class="f{}" width="8" height="8" rx="2"/></svg>{name}</li>"#,
                    series.colour
                )?;
            }
            f.write_str("</ul>")?;
        }
        f.write_str(r#"</figcaption><div class="drawn">"#)?;
        write!(
            f,
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{}. {}">"#,
            Escaped(&self.title),
            Escaped(&self.description())
        )?;
        for part in [0.0, 0.5, 1.0] {
            let y = HEIGHT * part;
            let class = if part > 0.9 { "base" } else { "grid" };
            write!(f, r#"<path class="{class}" d="M0 {y}H{WIDTH}"/>"#)?;
        }
        if self.style == Style::Stacked {
            self.bars(f, top)?;
        } else {
            self.lines(f, top)?;
        }
        f.write_str(r#"</svg><div class="scale" aria-hidden="true">"#)?;
        for part in [1.0, 0.5, 0.0] {
            write!(f, "<span>{}</span>", self.unit.text(top * part))?;
        }
        f.write_str(r#"</div></div><div class="below" aria-hidden="true">"#)?;
        for text in &self.below {
            write!(f, "<span>{}</span>", Escaped(text))?;
        }
        f.write_str("</div></figure>")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a plot is some hundred pixels wide")]
impl Plot {
    fn lines(&self, f: &mut fmt::Formatter<'_>, top: f64) -> fmt::Result {
        let step = WIDTH / (self.columns().max(2) - 1) as f64;
        for series in &self.series {
            // Where nothing is known the line is interrupted.
            let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
            for (column, value) in series.values.iter().enumerate() {
                match value {
                    Some(value) => {
                        let point = (column as f64 * step, HEIGHT - (value / top).clamp(0.0, 1.0) * HEIGHT);
                        if let Some(run) = runs.last_mut() {
                            run.push(point);
                        }
                    }
                    None if runs.last().is_some_and(|run| !run.is_empty()) => runs.push(Vec::new()),
                    None => {}
                }
            }
            for run in runs.iter().filter(|run| !run.is_empty()) {
                let mut path = String::new();
                for (index, (x, y)) in run.iter().enumerate() {
                    write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" })?;
                }
                if run.len() == 1 {
                    path.push_str("h.1");
                }
                if self.style == Style::Area {
                    let (first, last) = (run[0].0, run[run.len() - 1].0);
                    write!(f, r#"<path class="soft f{}" d="{path}L{last:.1} {HEIGHT}L{first:.1} {HEIGHT}Z"/>"#, series.colour)?;
                }
                write!(f, r#"<path class="line c{}" d="{path}"/>"#, series.colour)?;
            }
        }
        Ok(())
    }

    fn bars(&self, f: &mut fmt::Formatter<'_>, top: f64) -> fmt::Result {
        let columns = self.columns();
        let step = WIDTH / columns.max(1) as f64;
        let gap = (step * 0.2).min(3.0);
        let mut below = vec![0.0; columns];
        for series in &self.series {
            // One path for each row: a bar is four commands.
            let mut path = String::new();
            for (column, value) in series.values.iter().enumerate() {
                let Some(value) = value.filter(|value| *value > 0.0) else { continue };
                let height = value / top * HEIGHT;
                let y = HEIGHT - below[column] - height;
                let x = column as f64 * step + gap / 2.0;
                write!(path, "M{x:.1} {y:.1}h{:.1}v{height:.1}H{x:.1}Z", step - gap)?;
                below[column] += height;
            }
            if !path.is_empty() {
                write!(f, r#"<path class="f{}" d="{path}"/>"#, series.colour)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_where_people_count() {
        for (highest, end) in [(0.0, 4.0), (1.0, 2.0), (3.0, 4.0), (7.0, 10.0), (11.0, 20.0), (99.0, 100.0), (450.0, 500.0)] {
            assert!((Unit::Count.ceiling(highest) - end).abs() < 1e-9, "{highest}: {}", Unit::Count.ceiling(highest));
        }
        assert!((Unit::Seconds.ceiling(0.034) - 0.04).abs() < 1e-9);
        assert_eq!(Unit::Seconds.text(0.04), "40 ms");
        assert_eq!(Unit::Seconds.text(0.0025), "2.5 ms");
        assert_eq!(Unit::Share.text(0.5), "50 %");
        assert_eq!(Unit::Count.text(12_000.0), "12k");
    }

    #[test]
    fn a_plot_is_drawn_described_and_harmless() {
        let mut second = Series::new("<b>errors</b>", 4, [0.0, 1.0, 0.0]);
        second.values[0] = None;
        let plot = Plot {
            title: "Requests & \"more\"".to_owned(),
            unit: Unit::Count,
            style: Style::Area,
            series: vec![Series::new("requests", 1, [2.0, 4.0, 3.0]), second],
            below: vec!["then".to_owned(), "now".to_owned()],
        };
        let text = plot.to_string();
        assert!(!text.contains("<b>") && text.contains("&lt;b&gt;errors"), "{text}");
        assert!(text.contains("Requests &amp; &quot;more&quot;. requests: 3 at the end, 4 at most"), "{text}");
        assert!(text.contains(r#"d="M0.0 80.0L300.0 0.0L600.0 40.0""#), "{text}");
        assert!(!text.contains("style="), "the policy forbids it: {text}");
        let stacked = Plot { style: Style::Stacked, ..plot };
        assert!(stacked.to_string().contains(r#"class="f4""#));
        let nothing = Plot { series: Vec::new(), ..stacked };
        assert!(nothing.to_string().contains("</figure>"));
    }

    #[test]
    fn a_sparkline_tells_what_it_shows() {
        let quiet = Sparkline { values: vec![0; 60], bad: vec![0; 60], what: "requests" };
        assert!(quiet.to_string().contains(r#"aria-label="0 requests""#) && !quiet.to_string().contains("line\""));
        let busy = Sparkline { values: vec![1, 4, 2], bad: vec![0, 1, 0], what: "requests" };
        assert!(busy.to_string().contains("7 requests, 1 of them failed"));
        assert!(busy.to_string().contains("class=\"bad\""));
    }
}

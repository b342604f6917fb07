//! A strict reader of Prometheus's text format 0.0.4: what it takes, Prometheus takes; what Prometheus only tolerates, it refuses.

use std::collections::{BTreeMap, BTreeSet};

/// A name and its labels, sorted.
type Series = (String, BTreeMap<String, String>);

/// A page of figures.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: BTreeMap<Series, f64>,
    kinds: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads a page; the error names the line.
    pub fn parse(page: &str) -> Result<Self, String> {
        if !page.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        let mut metrics = Self::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        for line in page.lines() {
            let wrong = |why: &str| Err(format!("{why}: {line}"));
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (what, name, rest) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
                match what {
                    Some("HELP") if helped.insert(name.to_owned()) && is_name(name, true) => name.clone_into(&mut family),
                    Some("TYPE") if name == family && ["counter", "gauge", "histogram"].contains(&rest) => {
                        if metrics.kinds.insert(name.to_owned(), rest.to_owned()).is_some() {
                            return wrong("a second type");
                        }
                    }
                    _ => return wrong("a comment that is out of place"),
                }
                continue;
            }
            let ((name, labels), value) = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
            let kind = metrics.kinds.get(&family).map_or("", String::as_str);
            let belongs = match name.strip_prefix(family.as_str()) {
                Some("") => kind == "gauge" || (kind == "counter" && name.ends_with("_total")),
                Some("_bucket") => kind == "histogram" && labels.contains_key("le"),
                Some("_sum" | "_count") => kind == "histogram" && !labels.contains_key("le"),
                _ => false,
            };
            if !belongs {
                return wrong("a sample in the wrong family");
            }
            if kind != "gauge" && !(value.is_finite() && value >= 0.0) {
                return wrong("a value that can't be");
            }
            if metrics.samples.insert((name, labels), value).is_some() {
                return wrong("a series that is there already");
            }
        }
        metrics.check_histograms()?;
        Ok(metrics)
    }

    /// Buckets are complete, do not fall, and agree with the count.
    fn check_histograms(&self) -> Result<(), String> {
        let mut buckets: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), count) in &self.samples {
            let Some(family) = name.strip_suffix("_bucket") else { continue };
            let mut labels = labels.clone();
            let Some(bound) = labels.remove("le").and_then(|bound| number(&bound)) else {
                return Err(format!("{name} has no bound"));
            };
            buckets.entry((family.to_owned(), labels)).or_default().push((bound, *count));
        }
        for ((name, labels), mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            let falls = buckets.windows(2).any(|pair| pair[0].1 > pair[1].1);
            let of = |suffix: &str| self.samples.get(&(format!("{name}{suffix}"), labels.clone()));
            let last = buckets.last().filter(|(bound, _)| bound.is_infinite()).map(|(_, count)| count);
            if falls || last.is_none() || of("_count") != last || of("_sum").is_none() {
                return Err(format!("the histogram {name} {labels:?} is not whole: {buckets:?}"));
            }
        }
        Ok(())
    }

    /// The value of a series, by its name and all its labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The sum of all series of this name.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|((other, _), _)| other == name).map(|(_, value)| value).sum()
    }

    /// The families that the page names.
    pub fn families(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Option<(Series, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"")?;
            let (value, after) = unescape(value)?;
            if !is_name(label, false) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => break rest = after.strip_prefix('}')?,
            }
        }
    }
    let value = number(rest.strip_prefix(' ')?)?;
    is_name(name, true).then(|| ((name.to_owned(), labels), value))
}

/// A quoted text up to its end, and what follows.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    if text == "+Inf" {
        return Some(f64::INFINITY);
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|_| plain)
}

fn is_name(text: &str, colons: bool) -> bool {
    let first = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    first && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\\\"\\\\\\n\",y=\"\"} 3\na_total 4\n\
        # HELP h H.\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 9.5\nh_count 2\n";

    #[test]
    fn a_good_page_is_read() {
        let metrics = Metrics::parse(GOOD).expect("good");
        assert_eq!(metrics.value("a_total", &[("y", ""), ("x", "1\"\\\n")]), Some(3.0));
        assert_eq!((metrics.sum("a_total"), metrics.value("h_sum", &[])), (7.0, Some(9.5)));
        assert_eq!(metrics.families().collect::<Vec<_>>(), ["a_total", "h"]);
    }

    #[test]
    fn a_bad_page_is_refused() {
        let bad = [
            ("\n", "\n\n"),
            ("a_total 4", "a_total{x=\"1\\\"\\\\\\n\",y=\"\"} 4"),
            ("a_total 4", "b_total 4"),
            ("a_total 4", "a_total -4"),
            ("a_total 4", "a_total 4 "),
            ("a_total 4", "a_total nan"),
            ("a_total 4", "a_total{} 4"),
            ("y=\"\"", "y=\"\\t\""),
            ("y=\"\"", "2=\"\""),
            ("counter", "gouge"),
            ("# HELP h", "# HELP a_total"),
            ("h_bucket{le=\"0.5\"} 1", "h_bucket{le=\"0.5\"} 3"),
            ("h_bucket{le=\"+Inf\"} 2\n", ""),
            ("h_count 2", "h_count 3"),
            ("h_sum 9.5\n", ""),
        ];
        for (good, bad) in bad {
            let page = GOOD.replacen(good, bad, 1);
            assert!(page != GOOD && Metrics::parse(&page).is_err(), "{good} → {bad}: {page}");
        }
        assert!(Metrics::parse(GOOD.trim_end()).is_err());
    }
}

//! Times, sizes, durations and sentences as pages show them.

use std::fmt;

use jiff::Timestamp;

/// A moment, shown by how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When {
    at: Timestamp,
    now: Timestamp,
}

impl When {
    /// That moment, seen from now.
    pub(crate) fn new(at: Timestamp) -> Self {
        Self { at, now: Timestamp::now() }
    }

    /// For `<time datetime>`: RFC 3339, to the second.
    pub(crate) fn iso(&self) -> String {
        self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// In full, for people.
    pub(crate) fn full(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }

    /// As in "3 min ago". The script says the same (`ago` in app.js).
    pub(crate) fn ago(&self) -> String {
        let seconds = self.now.as_second().saturating_sub(self.at.as_second()).max(0);
        match seconds {
            0..10 => "just now".to_owned(),
            10..60 => format!("{seconds} s ago"),
            60..3600 => format!("{} min ago", seconds / 60),
            3600..86_400 => format!("{} h ago", seconds / 3600),
            86_400..172_800 => "yesterday".to_owned(),
            _ if seconds < 30 * 86_400 => format!("{} days ago", seconds / 86_400),
            _ => self.at.strftime("%Y-%m-%d").to_string(),
        }
    }
}

/// A size: `96 MB`, `1.4 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1000.0;
        let mut unit = 0;
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1000.0;
            unit += 1;
        }
        if value < 9.95 { write!(f, "{value:.1} {}", UNITS[unit]) } else { write!(f, "{value:.0} {}", UNITS[unit]) }
    }
}

/// A duration in seconds: `0.4 s`, `12 s`, `3 min 05 s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seconds(pub(crate) f64);

impl fmt::Display for Seconds {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.clamp(0.0, 1e9);
        if seconds > 0.0 && seconds < 0.0995 {
            return write!(f, "{:.0} ms", (seconds * 1000.0).max(1.0));
        }
        if seconds < 9.95 {
            return write!(f, "{seconds:.1} s");
        }
        let whole = seconds.round() as u64;
        match whole {
            0..60 => write!(f, "{whole} s"),
            60..3600 => write!(f, "{} min {:02} s", whole / 60, whole % 60),
            _ => write!(f, "{} h {:02} min", whole / 3600, whole % 3600 / 60),
        }
    }
}

/// The first letters of a commit's id, as git shows it.
pub(crate) fn short_commit(id: &str) -> String {
    id.chars().take(7).collect()
}

/// A piece of a text that knows backticks and pairs of asterisks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    Text(String),
    Code(String),
    Strong(String),
}

/// Cuts a text at its backticks and pairs of asterisks.
pub(crate) fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*']) {
        let mark = if rest[at..].starts_with("**") { "**" } else { &rest[at..=at] };
        let inner = &rest[at + mark.len()..];
        let Some(end) = inner.find(mark).filter(|_| mark != "*") else {
            spans.push(Span::Text(rest[..at + mark.len()].to_owned()));
            rest = inner;
            continue;
        };
        spans.push(Span::Text(rest[..at].to_owned()));
        let marked = inner[..end].to_owned();
        spans.push(if mark == "`" { Span::Code(marked) } else { Span::Strong(marked) });
        rest = &inner[end + mark.len()..];
    }
    spans.push(Span::Text(rest.to_owned()));
    spans.retain(|span| *span != Span::Text(String::new()));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_spans() {
        let said = spans("**Lists** take `limit`, 2 * 3 and `open");
        let expected = [
            Span::Strong("Lists".into()),
            Span::Text(" take ".into()),
            Span::Code("limit".into()),
            Span::Text(", 2 *".into()),
            Span::Text(" 3 and `".into()),
            Span::Text("open".into()),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn times_are_told_as_people_would() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
        let ago = |text: &str| When { at: text.parse().expect("a time"), now }.ago();
        assert_eq!(ago("2026-03-01T11:59:55Z"), "just now");
        assert_eq!(ago("2026-03-01T12:59:55Z"), "just now", "a clock that runs ahead");
        assert_eq!(ago("2026-03-01T11:59:18Z"), "42 s ago");
        assert_eq!(ago("2026-03-01T11:01:00Z"), "59 min ago");
        assert_eq!(ago("2026-02-28T11:00:00Z"), "yesterday");
        assert_eq!(ago("2026-02-20T11:00:00Z"), "9 days ago");
        assert_eq!(ago("2025-02-20T11:00:00Z"), "2025-02-20");
    }

    #[test]
    fn sizes_and_durations_have_as_many_digits_as_one_reads() {
        let sizes =
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (96_400_000, "96 MB"), (999_900, "1.0 MB"), (1_440_000_000, "1.4 GB")];
        for (bytes, text) in sizes {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        for (seconds, text) in [(0.04, "40 ms"), (0.42, "0.4 s"), (9.96, "10 s"), (185.0, "3 min 05 s"), (7322.0, "2 h 02 min")] {
            assert_eq!(Seconds(seconds).to_string(), text);
        }
        assert_eq!(short_commit("0123456789abcdef"), "0123456");
    }
}

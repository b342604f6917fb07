//! Texts as people read them: sizes, durations, lines of strangers.

use unicode_width::UnicodeWidthChar;

/// A size: `1.5 MB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A duration: `0.21 s`, `12.3 s`, `2 min 5 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 99.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round();
        format!("{:.0} min {:.0} s", (whole / 60.0).floor(), whole % 60.0)
    }
}

/// A line of somebody else's without escape sequences and control characters, which could rewrite the terminal.
pub(crate) fn clean(line: &str) -> String {
    if !line.chars().any(char::is_control) {
        return line.to_owned();
    }
    let mut clean = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // A control sequence ends with a byte from @ to ~.
                Some('[') => drop(chars.find(|c| ('\u{40}'..='\u{7e}').contains(c))),
                // An operating system command ends with BEL, or with ESC and a backslash.
                Some(']') => {
                    let end = chars.find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                    if end == Some('\u{1b}') {
                        chars.next_if_eq(&'\\');
                    }
                }
                _ => {}
            },
            '\t' => clean.push_str("    "),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// The beginning of a line that fits into so many columns.
pub(crate) fn clip(line: &str, columns: usize) -> String {
    let width = |c: char| c.width().unwrap_or(0);
    if line.chars().map(width).sum::<usize>() <= columns {
        return line.to_owned();
    }
    // The mark that something is missing takes a column itself.
    let mut left = columns.saturating_sub(1);
    let mut clipped = String::new();
    for c in line.chars() {
        let Some(rest) = left.checked_sub(width(c)) else { break };
        left = rest;
        clipped.push(c);
    }
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_durations_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1500), "1.5 kB");
        assert_eq!(bytes(512_000_000), "512.0 MB");
        assert_eq!(bytes(999_999), "999.9 kB");
        assert_eq!(bytes(u64::MAX), "18446744.0 TB");
        assert_eq!(seconds(0.214), "0.21 s");
        assert_eq!(seconds(12.34), "12.3 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
        assert_eq!(seconds(-1.0), "0.00 s");
    }

    #[test]
    fn escape_sequences_do_not_get_through() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(clean("\u{1b}]0;title\u{7}x"), "x");
        assert_eq!(clean("\u{1b}]0;title\u{1b}\\x"), "x");
        assert_eq!(clean("a\rb\u{8}c\u{9b}d\u{1b}"), "abcd");
        assert_eq!(clean("\u{1b}[2J"), "");
        assert_eq!(clean("plain ä 日本"), "plain ä 日本");
    }

    #[test]
    fn a_long_line_is_clipped_by_columns() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcd", 3), "ab…");
        assert_eq!(clip("日本語", 4), "日…");
    }

    proptest! {
        #[test]
        fn whatever_comes_leaves_no_control_character(line in any::<String>(), escape in "\u{1b}[\\[\\]PX^_].{0,9}") {
            let text = clean(&format!("{line}{escape}{line}"));
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        }

        #[test]
        fn a_clipped_line_fits(line in "\\PC{0,40}", columns in 1_usize..30) {
            let clipped = clip(&line, columns);
            let width: usize = clipped.chars().map(|c| c.width().unwrap_or(0)).sum();
            prop_assert!(width <= columns, "{clipped:?} in {columns}");
        }
    }
}

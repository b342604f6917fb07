//! Printing: one document or one table to standard output, everything else to standard error, colours only where somebody sees them.

mod sparks;
mod table;
mod text;

use std::io::{self, ErrorKind, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use api::{ErrorBody, ErrorDocument};
use serde::Serialize;

pub(crate) use sparks::Sparks;
pub(crate) use table::Table;
pub(crate) use text::{bytes, clean, clip, seconds};

use crate::explain::Failure;

/// Dim text: what matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Text that carries weight.
pub(crate) const BOLD: Style = Style::new().bold();
/// Good news.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
/// News that ask for a look.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
/// Bad news.
pub(crate) const RED: Style = AnsiColor::Red.on_default();
/// Names of things.
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// Where output goes, and how it looks there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
    out: Look,
    err: Look,
}

/// How text looks on one of the two streams.
#[derive(Debug, Clone, Copy)]
struct Look {
    terminal: bool,
    color: bool,
}

impl Printer {
    /// Finds out where the output goes.
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let look = |terminal: bool| Look { terminal, color: terminal && wanted && able };
        Self { json, out: look(io::stdout().is_terminal()), err: look(io::stderr().is_terminal()) }
    }

    /// Whether a document is asked for.
    pub(crate) fn json(self) -> bool {
        self.json
    }

    /// Whether progress is seen by somebody.
    pub(crate) fn live(self) -> bool {
        self.err.terminal && self.err.color
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask(self) -> bool {
        self.err.terminal && io::stdin().is_terminal()
    }

    /// Prints the one document to standard output.
    pub(crate) fn document(self, document: &impl Serialize) -> Result<(), Failure> {
        let text = if self.out.terminal { serde_json::to_string_pretty(document) } else { serde_json::to_string(document) };
        let text = text.map_err(|error| Failure::local(format!("can't write the document: {error}"), ""))?;
        self.line(&text)
    }

    /// Prints a line to standard output.
    pub(crate) fn line(self, line: &str) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }

    /// Prints a text to standard output as it stands, and at once.
    #[expect(clippy::unused_self, reason = "what prints goes through the printer, so that nothing prints behind its back")]
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::local(format!("can't write to standard output: {error}"), ""),
        })
    }

    /// Prints a table to standard output, or what stands for an empty one.
    pub(crate) fn table(self, table: &Table, empty: &str) -> Result<(), Failure> {
        if table.is_empty() {
            self.note(empty);
            return Ok(());
        }
        self.text(&table.render(self.out.color))
    }

    /// Prints a line to standard error. When that is closed, nobody is left to tell.
    #[expect(clippy::unused_self, reason = "what prints goes through the printer, so that nothing prints behind its back")]
    pub(crate) fn note(self, line: &str) {
        writeln!(io::stderr().lock(), "{line}").ok();
    }

    /// Asks a question on the terminal, and reads a line.
    pub(crate) fn ask(self, question: &str) -> Option<String> {
        if !self.can_ask() {
            return None;
        }
        let mut err = io::stderr().lock();
        write!(err, "{question} ").and_then(|()| err.flush()).ok()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(answer.trim().to_owned())
    }

    /// Prints an error: one line, what to do, and with `--json` the document.
    pub(crate) fn error(self, error: &ErrorBody) {
        if self.json {
            let document = ErrorDocument { error: error.clone() };
            self.note(&serde_json::to_string(&document).unwrap_or_else(|_unwritable| error.message.clone()));
            return;
        }
        self.note(&format!("{} {}", self.err_style("error:", RED.bold()), clean(&one_line(&error.message))));
        if !error.help.is_empty() {
            for line in error.help.lines() {
                self.note(&format!("{} {}", self.err_style("  help:", CYAN), clean(line)));
            }
        }
    }

    /// How many columns standard output has: what `COLUMNS` says, or the terminal.
    #[expect(clippy::unused_self, reason = "how output looks is the printer's to say")]
    pub(crate) fn columns(self) -> usize {
        let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let seen = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        said.or_else(seen).filter(|columns| *columns > 0).unwrap_or(80)
    }

    /// Whether the reader's locale shows more than ASCII.
    #[expect(clippy::unused_self, reason = "how output looks is the printer's to say")]
    pub(crate) fn unicode(self) -> bool {
        // The first that is set decides (POSIX, environment variables).
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    }

    /// Text for standard output in a style, where styles are shown.
    pub(crate) fn out_style(self, text: &str, style: Style) -> String {
        paint(text, style, self.out.color)
    }

    /// Text for standard error in a style, where styles are shown.
    pub(crate) fn err_style(self, text: &str, style: Style) -> String {
        paint(text, style, self.err.color)
    }

    /// Text of an app for standard output: on a terminal it may not move the cursor or retitle the window.
    pub(crate) fn foreign(self, text: &str) -> String {
        if self.out.terminal { clean(text) } else { text.to_owned() }
    }
}

fn paint(text: &str, style: Style, color: bool) -> String {
    if color && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// An error is one line, whatever its source wrote.
fn one_line(text: &str) -> String {
    let parts: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("a\n  b\n\n"), "a; b");
    }

    #[test]
    fn styles_vanish_where_nobody_sees_them() {
        assert_eq!(paint("x", RED, false), "x");
        assert_eq!(paint("x", RED, true), "\u{1b}[31mx\u{1b}[0m");
    }
}

//! A table: columns as wide as their widest cell, the last one free.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::{DIM, clean, paint};

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A text and its style.
type Cell = (String, Style);

impl Table {
    /// A table without rows.
    pub(crate) fn new<const N: usize>(heading: [&'static str; N]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of plain texts.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.styled(cells.map(|text| (text, Style::new())));
    }

    /// Adds a row of styled texts.
    pub(crate) fn styled<const N: usize>(&mut self, cells: [Cell; N]) {
        let clean = |(text, style): Cell| (if text.is_empty() { "-".to_owned() } else { clean(&text) }, style);
        self.rows.push(cells.into_iter().map(clean).collect());
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text.
    pub(crate) fn render(&self, color: bool) -> String {
        let heading: Vec<Cell> = self.heading.iter().map(|text| ((*text).to_owned(), DIM)).collect();
        let rows = || std::iter::once(&heading).chain(&self.rows);
        let width = |column: usize| rows().filter_map(|row| row.get(column)).map(|(text, _)| text.width()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.heading.len()).map(width).collect();
        let mut text = String::new();
        for row in rows() {
            let mut line = String::new();
            for ((cell, style), width) in row.iter().zip(&widths) {
                line.push_str(&paint(cell, *style, color));
                line.push_str(&" ".repeat(width - cell.width() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut table = Table::new(["APP", "URL"]);
        table.row(["日本".to_owned(), "https://a".to_owned()]);
        table.row(["shop-of-all".to_owned(), String::new()]);
        assert_eq!(table.render(false), "APP          URL\n日本         https://a\nshop-of-all  -\n");
        assert!(table.render(true).starts_with("\u{1b}[2mAPP\u{1b}[0m          "));
    }

    #[test]
    fn a_cell_can_not_break_the_table() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\n\u{1b}[2Jb".to_owned()]);
        assert_eq!(table.render(false), "NAME\nab\n");
    }
}

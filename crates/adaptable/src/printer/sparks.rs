//! A row of numbers as a line of bars, with marks under what went wrong.

use super::{Printer, RED, paint};

/// Bars for nothing, and for seven heights.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same where only ASCII is shown.
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// How bars are to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sparks {
    columns: usize,
    bars: [char; 8],
    color: bool,
}

impl Sparks {
    /// Bars for a printer's standard output, in so many columns of it.
    pub(crate) fn new(printer: Printer, columns: usize) -> Self {
        Self { columns, bars: if printer.unicode() { BLOCKS } else { ASCII }, color: printer.out.color }
    }

    /// The line of bars, and the line of marks under those of which something failed; empty where nothing did. Where there is not
    /// room for all, neighbours are put together.
    pub(crate) fn draw(self, numbers: &[u64], failed: &[u64]) -> (String, String) {
        let groups = group(numbers, self.columns);
        let size = numbers.len().div_ceil(groups.len().max(1)).max(1);
        let failed: Vec<u64> = (0..groups.len()).map(|at| failed.iter().skip(at * size).take(size).sum()).collect();
        let most = groups.iter().copied().max().unwrap_or(0);
        let (mut line, mut marks) = (String::new(), String::new());
        for (number, failed) in groups.iter().zip(&failed) {
            let bar = self.bars[level(*number, most)].to_string();
            line.push_str(&if *failed > 0 { paint(&bar, RED, self.color) } else { bar });
            marks.push(if *failed > 0 { '!' } else { ' ' });
        }
        let marks = paint(marks.trim_end(), RED, self.color);
        (line, marks)
    }
}

/// Sums of as few neighbours as fit into the columns, all of the same number of them.
fn group(numbers: &[u64], columns: usize) -> Vec<u64> {
    let fits = |size: &usize| numbers.len().is_multiple_of(*size) && numbers.len() / size <= columns.max(1);
    let size = (1..=numbers.len()).find(fits).unwrap_or(1);
    numbers.chunks(size).map(|chunk| chunk.iter().fold(0, |sum: u64, number| sum.saturating_add(*number))).collect()
}

/// The height of a bar: the lowest is for nothing, the highest for the most, and one is never shown as none.
fn level(number: u64, most: u64) -> usize {
    if number == 0 {
        return 0;
    }
    let level = (u128::from(number) * 7).div_ceil(u128::from(most.max(1)));
    usize::try_from(level).map_or(7, |level| level.clamp(1, 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparks(columns: usize, bars: [char; 8]) -> Sparks {
        Sparks { columns, bars, color: false }
    }

    #[test]
    fn bars_are_as_high_as_their_numbers() {
        let numbers = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(sparks(60, BLOCKS).draw(&numbers, &[]), ("▁▂▃▄▅▆▇█".to_owned(), String::new()));
        assert_eq!(sparks(60, ASCII).draw(&numbers, &[0, 0, 1]), ("_.:-=+*#".to_owned(), "  !".to_owned()));
        // One among many is seen, and the most is no more than the top.
        assert_eq!(sparks(60, ASCII).draw(&[1, u64::MAX, 0], &[]).0, ".#_");
        assert_eq!(sparks(60, ASCII).draw(&[0, 0], &[]).0, "__");
        assert_eq!(sparks(60, ASCII).draw(&[], &[]), (String::new(), String::new()));
    }

    #[test]
    fn neighbours_share_a_bar_where_there_is_no_room() {
        let (mut numbers, mut failed) = ([0; 60], [0; 60]);
        (numbers[0], numbers[1], numbers[58], failed[59]) = (3, 4, 1, 1);
        let (line, marks) = sparks(59, ASCII).draw(&numbers, &failed);
        assert_eq!((line.len(), line.as_str()), (30, format!("#{}.", "_".repeat(28)).as_str()));
        assert_eq!(marks, format!("{}!", " ".repeat(29)));
        for columns in 1..70 {
            let (line, marks) = sparks(columns, ASCII).draw(&numbers, &failed);
            assert!(line.len() <= columns && line.len() == marks.len() && 60 % line.len() == 0, "{columns}: {line:?}");
        }
    }

    #[test]
    fn what_failed_is_red_where_colours_are_shown() {
        let look = Sparks { color: true, ..sparks(60, ASCII) };
        let red = |text: &str| format!("\u{1b}[31m{text}\u{1b}[0m");
        assert_eq!(look.draw(&[1, 1], &[0, 1]), (format!("#{}", red("#")), red(" !")));
    }
}

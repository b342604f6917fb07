//! What happened in each minute of the last hour and each quarter of an hour of the last day, kept only where something happened.

use std::collections::VecDeque;

/// Minutes of an hour.
pub const MINUTES: usize = 60;
/// Quarters of an hour of a day.
pub const QUARTERS: usize = 96;
/// Minutes of a quarter.
const QUARTER: u32 = 15;

/// What is kept of a while.
pub trait Merge: Clone {
    /// Takes in what happened later in the same while.
    fn merge(&mut self, later: &Self);
}

/// How far back one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// The last hour, by minutes.
    Hour,
    /// The last day, by quarters of an hour.
    Day,
}

impl Range {
    /// Seconds of one of its steps.
    pub fn step(self) -> u32 {
        match self {
            Self::Hour => 60,
            Self::Day => 60 * QUARTER,
        }
    }

    /// Its steps.
    pub fn steps(self) -> usize {
        match self {
            Self::Hour => MINUTES,
            Self::Day => QUARTERS,
        }
    }

    /// The step in which a minute lies, counted as minutes are.
    pub fn index(self, minute: u32) -> u32 {
        match self {
            Self::Hour => minute,
            Self::Day => minute / QUARTER,
        }
    }
}

/// A sparse history: at most 60 minutes and 96 quarters of an hour, and what there was last before those. Minutes are numbered by whoever
/// adds, and only go forward.
#[derive(Debug, Clone)]
pub struct History<T> {
    minutes: VecDeque<(u32, T)>,
    quarters: VecDeque<(u32, T)>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { minutes: VecDeque::new(), quarters: VecDeque::new() }
    }
}

impl<T: Merge> History<T> {
    /// Adds what happened in a minute; what is late counts to the last one.
    pub fn add(&mut self, minute: u32, what: &T) {
        put(&mut self.minutes, minute, what, MINUTES);
        put(&mut self.quarters, minute / QUARTER, what, QUARTERS);
    }

    /// The steps that end with this minute, the oldest first: what happened in each, where something did.
    pub fn until(&self, range: Range, minute: u32) -> Vec<Option<&T>> {
        let mut steps = vec![None; range.steps()];
        let last = range.index(minute);
        for (index, what) in self.of(range) {
            let ago = last.checked_sub(*index).and_then(|ago| usize::try_from(ago).ok());
            if let Some(place) = ago.and_then(|ago| steps.iter_mut().rev().nth(ago)) {
                *place = Some(what);
            }
        }
        steps
    }

    /// The last thing that happened before the range that ends with this minute, if that is still known.
    pub fn before(&self, range: Range, minute: u32) -> Option<&T> {
        let first = (range.index(minute) + 1).saturating_sub(u32::try_from(range.steps()).unwrap_or(u32::MAX));
        self.of(range).iter().rev().find(|(index, _)| *index < first).map(|(_, what)| what)
    }

    fn of(&self, range: Range) -> &VecDeque<(u32, T)> {
        match range {
            Range::Hour => &self.minutes,
            Range::Day => &self.quarters,
        }
    }
}

/// Adds to the last step, or begins another one. What lies before the range goes, but for the last of it: what it ended with still holds.
fn put<T: Merge>(steps: &mut VecDeque<(u32, T)>, index: u32, what: &T, most: usize) {
    match steps.back_mut() {
        Some((last, there)) if *last >= index => there.merge(what),
        _ => steps.push_back((index, what.clone())),
    }
    let first = (index + 1).saturating_sub(u32::try_from(most).unwrap_or(u32::MAX));
    while steps.get(1).is_some_and(|(second, _)| *second <= first) {
        steps.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Sum(u32);

    impl Merge for Sum {
        fn merge(&mut self, later: &Self) {
            self.0 += later.0;
        }
    }

    fn seen(history: &History<Sum>, range: Range, minute: u32) -> Vec<(usize, u32)> {
        let steps = history.until(range, minute);
        assert_eq!(steps.len(), range.steps());
        steps.iter().enumerate().filter_map(|(at, sum)| sum.map(|sum| (at, sum.0))).collect()
    }

    #[test]
    fn minutes_and_quarters_are_kept_where_something_happened() {
        let mut history = History::default();
        for (minute, count) in [(0, 1), (0, 2), (7, 4), (15, 8), (14, 16)] {
            history.add(minute, &Sum(count));
        }
        // The last one came late and counts to the minute before.
        assert_eq!(seen(&history, Range::Hour, 15), [(44, 3), (51, 4), (59, 24)]);
        assert_eq!(seen(&history, Range::Day, 15), [(94, 7), (95, 24)]);
        assert_eq!(seen(&history, Range::Hour, 74), [(0, 24)]);
        assert_eq!(seen(&history, Range::Hour, 75), []);
        assert_eq!(history.before(Range::Hour, 75), Some(&Sum(24)));
        assert_eq!(history.before(Range::Hour, 66), Some(&Sum(3)));
        assert_eq!(history.before(Range::Hour, 20), None);
        assert_eq!(seen(&history, Range::Day, 15 * 97), []);
    }

    #[test]
    fn a_day_without_a_pause_is_bounded() {
        let mut history = History::default();
        for minute in 0..10_000 {
            history.add(minute, &Sum(1));
        }
        assert_eq!((history.minutes.len(), history.quarters.len()), (60, 96));
        assert_eq!(seen(&history, Range::Hour, 9_999).len(), 60);
        assert_eq!(seen(&history, Range::Day, 9_999).len(), 96);
        assert_eq!(seen(&history, Range::Day, 9_999)[0], (0, 15));
        // A long silence leaves one step from before.
        history.add(50_000, &Sum(5));
        assert_eq!(history.minutes.len(), 2);
        assert_eq!(history.before(Range::Hour, 50_000), Some(&Sum(1)));
    }
}

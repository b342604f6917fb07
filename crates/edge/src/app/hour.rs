//! The last hour of an app, minute by minute, without anybody who looks at the clock while nothing happens.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Minutes that are kept.
const MINUTES: usize = 60;
/// What a cell holds beside its minute.
const VALUE: u64 = u32::MAX as u64;

/// An app's last 60 minutes, the oldest first; the last one is the minute that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastHour {
    /// Requests that ended, by minute.
    pub requests: [u32; MINUTES],
    /// Those of them that were answered with 5xx.
    pub errors: [u32; MINUTES],
    /// The longest of them, in whole milliseconds.
    pub slowest: [Duration; MINUTES],
}

impl LastHour {
    /// An hour without requests.
    pub(super) fn quiet() -> Self {
        Self { requests: [0; MINUTES], errors: [0; MINUTES], slowest: [Duration::ZERO; MINUTES] }
    }
}

/// A ring of minutes. Each cell holds its minute and its value in one word, so that whoever comes first in a new minute takes it
/// over from the one an hour before, and no addition is lost or lands in the wrong hour.
#[derive(Debug)]
pub(super) struct Ring {
    cells: [Minute; MINUTES],
}

#[derive(Debug, Default)]
struct Minute {
    requests: Cell,
    errors: Cell,
    slowest: Cell,
}

/// Above: the minute plus one, so that nothing was counted in a cell of zero. Below: the value.
#[derive(Debug, Default)]
struct Cell(AtomicU64);

impl Cell {
    fn increment(&self, minute: u32) {
        let tag = tag(minute);
        let before = self.0.load(Ordering::Relaxed);
        if before & !VALUE == tag && before & VALUE < VALUE / 2 {
            self.0.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let next = |cell: u64| match cell & !VALUE {
            now if now == tag => Some(tag | (cell & VALUE).saturating_add(1).min(VALUE)),
            now if now < tag => Some(tag | 1),
            _ => None,
        };
        // Refused where the cell belongs to a later minute already: this one is over for an hour.
        let _later = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn raise(&self, minute: u32, value: u64) {
        // A later minute is a larger number, whatever the values.
        let word = tag(minute) | value.min(VALUE);
        if self.0.load(Ordering::Relaxed) < word {
            self.0.fetch_max(word, Ordering::Relaxed);
        }
    }

    fn get(&self, minute: u32) -> u32 {
        let cell = self.0.load(Ordering::Relaxed);
        if cell & !VALUE == tag(minute) { u32::try_from(cell & VALUE).unwrap_or(u32::MAX) } else { 0 }
    }
}

fn tag(minute: u32) -> u64 {
    (u64::from(minute) + 1) << 32
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { cells: array::from_fn(|_| Minute::default()) }
    }

    /// Counts a request that ended in this minute after the app's beginning.
    pub(super) fn count(&self, minute: u32, failed: bool, took: Duration) {
        let cell = &self.cells[minute as usize % MINUTES];
        cell.requests.increment(minute);
        if failed {
            cell.errors.increment(minute);
        }
        cell.slowest.raise(minute, u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }

    /// The hour that ends with this minute.
    pub(super) fn until(&self, minute: u32) -> LastHour {
        let mut hour = LastHour::quiet();
        for (index, ago) in (0..60_u32).rev().enumerate() {
            let Some(then) = minute.checked_sub(ago) else { continue };
            let cell = &self.cells[then as usize % MINUTES];
            hour.requests[index] = cell.requests.get(then);
            hour.errors[index] = cell.errors.get(then);
            hour.slowest[index] = Duration::from_millis(u64::from(cell.slowest.get(then)));
        }
        hour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_go_by_and_old_ones_are_forgotten() {
        let ring = Ring::new();
        ring.count(0, false, Duration::from_millis(5));
        ring.count(0, true, Duration::from_millis(3));
        let hour = ring.until(0);
        assert_eq!((hour.requests[59], hour.errors[59], hour.slowest[59]), (2, 1, Duration::from_millis(5)));
        assert_eq!(hour.requests.iter().sum::<u32>(), 2);
        assert_eq!(ring.until(59).requests[0], 2);
        assert_eq!(ring.until(60), LastHour::quiet());
        // The same cell, an hour later.
        ring.count(60, false, Duration::from_millis(1));
        let hour = ring.until(61);
        assert_eq!((hour.requests[58], hour.errors[58], hour.slowest[58]), (1, 0, Duration::from_millis(1)));
        assert_eq!(hour.requests.iter().sum::<u32>(), 1);
        // Who is an hour late is not counted into a minute that is not his.
        ring.count(0, true, Duration::from_secs(9));
        assert_eq!(ring.until(61), hour);
    }

    #[test]
    fn a_minute_that_overflows_stays_at_its_end() {
        let cell = Cell(AtomicU64::new(tag(7) | (VALUE - 1)));
        for _ in 0..3 {
            cell.increment(7);
        }
        assert_eq!((cell.get(7), cell.get(8)), (u32::MAX, 0));
        cell.raise(7, u64::MAX);
        assert_eq!(cell.get(7), u32::MAX);
        cell.increment(67);
        assert_eq!(cell.get(67), 1);
    }

    #[test]
    fn many_threads_at_the_turn_of_a_minute_lose_nothing() {
        let ring = Ring::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200_000_u32).for_each(|n| ring.count(n / 4000, n % 2 == 0, Duration::ZERO)));
            }
        });
        let hour = ring.until(49);
        assert!(hour.requests[10..].iter().all(|count| *count == 16_000), "{:?}", hour.requests);
        assert!(hour.errors[10..].iter().all(|count| *count == 8_000), "{:?}", hour.errors);
    }
}

//! What an app's visitors got, minute by minute: made of its counters, whose state is noted by the first request of a new minute.
//!
//! So a request costs one comparison more, no minute that had none is kept, and nobody wakes to turn a page. Requests that end in the
//! moment in which a page is turned may be counted to the minute before; none is lost or counted twice.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use figures::history::{History, Merge};

/// Buckets of a histogram of latencies, the one above the last bound included.
const BUCKETS: usize = 17;

/// A moment of both clocks.
static CLOCKS: LazyLock<(Instant, Duration)> =
    LazyLock::new(|| (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()));

/// The minute in which a moment lies, counted from 1970, by the clock as it went when the program began.
pub fn minute_of(moment: Instant) -> u32 {
    let (base, since) = *CLOCKS;
    let at = match moment.checked_duration_since(base) {
        Some(later) => since + later,
        None => since.saturating_sub(base.saturating_duration_since(moment)),
    };
    u32::try_from(at.as_secs() / 60).unwrap_or(u32::MAX)
}

/// What an app's visitors got in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Visits {
    /// Requests that were answered, by class of status, as in [`StatusClass::ALL`](super::counters::StatusClass::ALL).
    pub requests: [u32; 5],
    /// How long they took: as many for each bucket of [`AppCounters::latency`](super::counters::AppCounters::latency), and those above.
    pub latency: [u32; BUCKETS],
    /// Requests that waited for an instance to start.
    pub cold_starts: u32,
    /// How long those have waited, all together, in milliseconds.
    pub cold_millis: u32,
}

impl Merge for Visits {
    fn merge(&mut self, later: &Self) {
        for (own, more) in self.requests.iter_mut().zip(later.requests) {
            *own = own.saturating_add(more);
        }
        for (own, more) in self.latency.iter_mut().zip(later.latency) {
            *own = own.saturating_add(more);
        }
        self.cold_starts = self.cold_starts.saturating_add(later.cold_starts);
        self.cold_millis = self.cold_millis.saturating_add(later.cold_millis);
    }
}

/// The state of an app's counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) requests: [u64; 5],
    pub(super) latency: [u64; BUCKETS],
    pub(super) cold_starts: u64,
    pub(super) cold_millis: u64,
}

impl Totals {
    /// What came in since.
    fn since(&self, before: &Self) -> Visits {
        let grown = |now: u64, then: u64| u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX);
        let mut visits = Visits::default();
        for (place, (now, then)) in visits.requests.iter_mut().zip(self.requests.iter().zip(before.requests)) {
            *place = grown(*now, then);
        }
        for (place, (now, then)) in visits.latency.iter_mut().zip(self.latency.iter().zip(before.latency)) {
            *place = grown(*now, then);
        }
        visits.cold_starts = grown(self.cold_starts, before.cold_starts);
        visits.cold_millis = grown(self.cold_millis, before.cold_millis);
        visits
    }
}

/// An app's minutes.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// The minute whose page is open.
    open: AtomicU32,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    open: u32,
    /// The counters when it was opened.
    base: Totals,
    history: History<Visits>,
}

impl Minutes {
    /// A request is about to be counted in this minute: whoever comes first in one closes the page of the one before.
    pub(super) fn turn(&self, minute: u32, totals: impl FnOnce() -> Totals) {
        if self.open.load(Ordering::Relaxed) < minute && self.open.fetch_max(minute, Ordering::Relaxed) < minute {
            self.pages.lock().unwrap_or_else(PoisonError::into_inner).close(minute, &totals());
        }
    }

    /// All that happened, up to now.
    pub(super) fn history(&self, totals: &Totals) -> History<Visits> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut history = pages.history.clone();
        let last = totals.since(&pages.base);
        if last != Visits::default() {
            history.add(pages.open, &last);
        }
        history
    }
}

impl Pages {
    fn close(&mut self, next: u32, totals: &Totals) {
        let page = totals.since(&self.base);
        if page != Visits::default() {
            self.history.add(self.open, &page);
        }
        self.base = *totals;
        self.open = self.open.max(next);
    }
}

#[cfg(test)]
mod tests {
    use figures::history::Range;

    use super::*;

    fn totals(requests: u64) -> Totals {
        Totals { requests: [0, requests, 0, 0, 0], ..Totals::default() }
    }

    fn counts(minutes: &Minutes, now: &Totals, minute: u32) -> Vec<(usize, u32)> {
        let history = minutes.history(now);
        let steps = history.until(Range::Hour, minute);
        steps.iter().enumerate().filter_map(|(at, step)| step.map(|step| (at, step.requests[1]))).collect()
    }

    #[test]
    fn a_page_is_turned_by_the_first_request_of_a_minute() {
        let minutes = Minutes::default();
        // Five requests in minute 100, then a silence, two in 103, one of which says it is of 101.
        minutes.turn(100, || totals(0));
        minutes.turn(100, || panic!("the page is open already"));
        assert_eq!(counts(&minutes, &totals(5), 100), [(59, 5)]);
        assert_eq!(counts(&minutes, &totals(5), 102), [(57, 5)]);
        minutes.turn(103, || totals(5));
        minutes.turn(101, || panic!("that minute is over"));
        assert_eq!(counts(&minutes, &totals(7), 103), [(56, 5), (59, 2)]);
        // What is read twice is the same.
        assert_eq!(counts(&minutes, &totals(7), 103), [(56, 5), (59, 2)]);
    }

    #[test]
    fn many_threads_at_the_turn_of_a_minute_lose_nothing() {
        use std::sync::atomic::AtomicU64;
        let (minutes, counter) = (Minutes::default(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..40_000_u32 {
                        minutes.turn(n / 4000, || totals(counter.load(Ordering::SeqCst)));
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let all: u32 = counts(&minutes, &totals(160_000), 9).iter().map(|(_, count)| count).sum();
        assert_eq!(all, 160_000);
    }

    #[test]
    fn minutes_follow_the_clock() {
        let now = Instant::now();
        let (one, later) = (minute_of(now), minute_of(now + Duration::from_mins(5)));
        assert_eq!(later - one, 5);
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 60;
        assert!(u64::from(one).abs_diff(clock) <= 1);
        assert!(now.checked_sub(Duration::from_mins(1)).is_none_or(|before| minute_of(before) < one));
    }
}

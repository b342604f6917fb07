//! Figures of one app that only ever grow, and its last hour.
//!
//! A request costs a handful of relaxed additions when it ends. They lie on cache lines of their own: threads that count must
//! not slow those that only read the app's limits. (Cells of its own for each thread were measured and gained nothing on two cores.)

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use figures::Histogram;
use figures::history::History;

use super::hour::{LastHour, Ring};
use super::minutes::{Minutes, Totals, Visits, minute_of};
use super::waiting::Denied;

const fn micros<const N: usize>(bounds: [u64; N]) -> [Duration; N] {
    let mut durations = [Duration::ZERO; N];
    let mut index = 0;
    while index < N {
        durations[index] = Duration::from_micros(bounds[index]);
        index += 1;
    }
    durations
}

/// From the request's head to the end of its response: 1 ms to 5 min.
const LATENCY: [Duration; 16] = micros([
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
]);
/// From a request without an instance to its place on one: 10 ms to 4 min.
const COLD: [Duration; 14] = micros([
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    240_000_000,
]);
/// Giving the processor back: 10 µs to 100 ms.
const THAW: [Duration; 13] = micros([10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000]);

/// The first digit of a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusClass {
    /// 1xx, which is 101 for an upgraded connection.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
}

impl StatusClass {
    /// All classes, in order.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError];

    /// The class of a status code.
    pub fn of(status: http::StatusCode) -> Self {
        match status.as_u16() / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// As people write it: `2xx`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// When its head had come.
    pub(crate) began: Instant,
    /// When it ended.
    pub(crate) now: Instant,
    /// What it was answered with; `None` where its visitor had gone before.
    pub(crate) status: Option<http::StatusCode>,
}

/// What is remembered of the time before now.
#[derive(Debug)]
struct Recent {
    ring: Ring,
    minutes: Minutes,
}

/// Counters of one app since the platform's start.
#[derive(Debug)]
#[repr(align(128))]
pub struct AppCounters {
    requests: [AtomicU64; 5],
    received: AtomicU64,
    sent: AtomicU64,
    latency: Histogram<16>,
    /// Made at the first request: most apps of a platform sleep.
    hour: OnceLock<Box<Recent>>,
    created: Instant,
    abandoned: AtomicU64,
    waits: AtomicU64,
    queue_full: AtomicU64,
    queue_timeouts: AtomicU64,
    cold_starts: Histogram<14>,
    thaws: Histogram<13>,
}

impl Default for AppCounters {
    fn default() -> Self {
        Self {
            requests: Default::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            latency: Histogram::new(&LATENCY),
            hour: OnceLock::new(),
            created: Instant::now(),
            abandoned: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            queue_timeouts: AtomicU64::new(0),
            cold_starts: Histogram::new(&COLD),
            thaws: Histogram::new(&THAW),
        }
    }
}

impl AppCounters {
    /// Requests answered with a status of this class.
    pub fn requests(&self, class: StatusClass) -> u64 {
        self.requests[class as usize].load(Ordering::Relaxed)
    }

    /// Requests whose visitors had gone before there was an answer.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Requests that had to wait for an instance.
    pub fn waited(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Requests that were sent away with 429, since too many waited already.
    pub fn queue_full(&self) -> u64 {
        self.queue_full.load(Ordering::Relaxed)
    }

    /// Requests that were sent away with 429 after they had waited for room.
    pub fn queue_timeouts(&self) -> u64 {
        self.queue_timeouts.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that came from visitors, what passes through a WebSocket included.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that went to visitors, what passes through a WebSocket included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// From a request's head to the end of its response. A WebSocket is not in it: how long one is open tells nothing.
    pub fn latency(&self) -> &Histogram<16> {
        &self.latency
    }

    /// What visitors waited for an instance to start, where none was there.
    pub fn cold_starts(&self) -> &Histogram<14> {
        &self.cold_starts
    }

    /// How long it took to give frozen instances the processor back.
    pub fn thaws(&self) -> &Histogram<13> {
        &self.thaws
    }

    /// The last 60 minutes.
    pub fn last_hour(&self) -> LastHour {
        self.hour.get().map_or_else(LastHour::quiet, |recent| recent.ring.until(self.minute(Instant::now())))
    }

    /// What visitors got in the last hour and the last day; minutes are those of [`minute_of`].
    pub fn history(&self) -> History<Visits> {
        self.hour.get().map_or_else(History::default, |recent| recent.minutes.history(&self.totals()))
    }

    /// An instance was thawed.
    pub fn thawed(&self, took: Duration) {
        self.thaws.observe(took);
    }

    /// A request that found no instance got one.
    pub fn cold_started(&self, waited: Duration) {
        self.cold_starts.observe(waited);
    }

    pub(crate) fn ended(&self, how: Ended) {
        let Some(status) = how.status else {
            self.abandoned.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let class = StatusClass::of(status);
        let recent = self.hour.get_or_init(|| Box::new(Recent { ring: Ring::new(), minutes: Minutes::default() }));
        // Before it is counted, so that it counts to its own minute.
        recent.minutes.turn(minute_of(how.now), || self.totals());
        self.requests[class as usize].fetch_add(1, Ordering::Relaxed);
        let mut took = how.now.saturating_duration_since(how.began);
        if class == StatusClass::Informational {
            took = Duration::ZERO;
        } else {
            self.latency.observe(took);
        }
        recent.ring.count(self.minute(how.now), class == StatusClass::ServerError, took);
    }

    pub(crate) fn moved(&self, received: u64, sent: u64) {
        for (counter, bytes) in [(&self.received, received), (&self.sent, sent)] {
            if bytes > 0 {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that got no instance, where that is for want of room.
    pub(crate) fn denied(&self, denied: &Denied) {
        match denied {
            Denied::QueueFull => self.queue_full.fetch_add(1, Ordering::Relaxed),
            Denied::QueueTimeout => self.queue_timeouts.fetch_add(1, Ordering::Relaxed),
            _ => return,
        };
    }

    fn totals(&self) -> Totals {
        let (latency, cold) = (self.latency.snapshot(), self.cold_starts.snapshot());
        let mut totals = Totals {
            requests: StatusClass::ALL.map(|class| self.requests(class)),
            cold_starts: cold.count,
            cold_millis: Duration::try_from_secs_f64(cold.sum)
                .map_or(0, |sum| u64::try_from(sum.as_millis()).unwrap_or(u64::MAX)),
            ..Totals::default()
        };
        // Buckets hold all that are at most so long; the last place is for those above the last bound.
        let up_to = latency.buckets.iter().map(|(_, count)| *count).chain([latency.count]);
        let mut before = 0;
        for (place, count) in totals.latency.iter_mut().zip(up_to) {
            *place = count - before;
            before = count;
        }
        totals
    }

    fn minute(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.created).as_secs() / 60).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let counters = AppCounters::default();
        assert_eq!(counters.last_hour(), LastHour::quiet());
        let began = Instant::now();
        let after = |millis| began + Duration::from_millis(millis);
        for (status, millis) in [(200, 3), (204, 20), (404, 1), (503, 70_000), (101, 9_000_000)] {
            let status = StatusCode::from_u16(status).ok();
            counters.ended(Ended { began, now: after(millis), status });
        }
        counters.ended(Ended { began, now: after(5), status: None });
        let classes = StatusClass::ALL.map(|class| counters.requests(class));
        assert_eq!((classes, counters.abandoned()), ([1, 2, 0, 1, 1], 1));
        let latency = counters.latency().snapshot();
        assert_eq!(latency.count, 4, "a WebSocket's life is no latency");
        assert_eq!(latency.buckets[0], (0.001, 1));
        assert_eq!(latency.buckets[4], (0.025, 3));
        assert_eq!(latency.buckets[15], (300.0, 4));
        let hour = counters.last_hour();
        assert_eq!((hour.requests[59], hour.errors[59]), (3, 0), "the 503 and the 101 end later: {hour:?}");
    }

    #[test]
    fn a_request_is_in_the_minute_in_which_it_ended() {
        use figures::history::Range;
        let counters = AppCounters::default();
        let began = Instant::now();
        for (status, minutes, millis) in [(200, 0, 3), (500, 0, 400), (404, 2, 1), (200, 2, 900_000)] {
            let now = began + Duration::from_mins(minutes) + Duration::from_millis(millis % 1000);
            let began = now.checked_sub(Duration::from_millis(millis)).unwrap_or(began);
            counters.ended(Ended { began, now, status: StatusCode::from_u16(status).ok() });
            counters.cold_started(Duration::from_millis(250));
        }
        let history = counters.history();
        let last = minute_of(began + Duration::from_mins(2) + Duration::from_millis(1));
        let seen: Vec<_> = history.until(Range::Hour, last).into_iter().flatten().collect();
        let requests: Vec<_> = seen.iter().map(|visits| visits.requests.iter().sum::<u32>()).collect();
        assert_eq!(requests.iter().sum::<u32>(), 4);
        assert_eq!(requests.last(), Some(&2), "{seen:?}");
        assert_eq!(seen.iter().map(|visits| visits.requests[4]).sum::<u32>(), 1);
        assert_eq!(seen.iter().map(|visits| visits.latency.iter().sum::<u32>()).sum::<u32>(), 4);
        assert_eq!(seen.iter().map(|visits| visits.cold_starts).sum::<u32>(), 4);
        assert!(seen.iter().map(|visits| visits.cold_millis).sum::<u32>() >= 999);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [&LATENCY[..], &COLD[..], &THAW[..]] {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{bounds:?}");
        }
    }
}

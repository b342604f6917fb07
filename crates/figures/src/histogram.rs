//! Durations counted by buckets: three relaxed additions at most, no lock, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations since the start, counted by how long they were. Reading it while others add is exact for each bucket, and may be
/// one observation apart between buckets and sum.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    /// The upper bounds (inclusive), ascending.
    bounds: &'static [Duration; N],
    counts: [AtomicU64; N],
    /// Those above the last bound.
    above: AtomicU64,
    /// All of them together, in nanoseconds: room for 584 years.
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// An empty one. The bounds are the largest durations of their buckets, ascending.
    pub const fn new(bounds: &'static [Duration; N]) -> Self {
        Self { bounds, counts: [const { AtomicU64::new(0) }; N], above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let bucket = self.bounds.iter().position(|bound| duration <= *bound);
        bucket.map_or(&self.above, |index| &self.counts[index]).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().chain([&self.above]).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> Snapshot {
        let mut count = 0;
        let buckets = self.bounds.iter().zip(&self.counts).map(|(bound, here)| {
            count += here.load(Ordering::Relaxed);
            (bound.as_secs_f64(), count)
        });
        let buckets = buckets.collect();
        count += self.above.load(Ordering::Relaxed);
        Snapshot { buckets, count, sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)).as_secs_f64() }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Upper bounds in seconds, and how many were at most that long.
    pub buckets: Vec<(f64, u64)>,
    /// All of them.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [Duration; 3] = [Duration::from_micros(10), Duration::from_millis(1), Duration::from_secs(2)];

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&BOUNDS);
        for micros in [0, 10, 11, 1000, 1001, 2_000_000, 2_000_001, 9_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets, [(0.000_01, 2), (0.001, 4), (2.0, 6)]);
        assert_eq!((snapshot.count, histogram.count()), (8, 8));
        assert!((snapshot.sum - 13.002_023).abs() < 1e-9, "{}", snapshot.sum);
    }

    #[test]
    fn what_many_threads_add_is_all_there() {
        let histogram = Histogram::new(&BOUNDS);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let histogram = &histogram;
                scope.spawn(move || (0..10_000).for_each(|n| histogram.observe(Duration::from_micros(n * (thread + 1)))));
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count, 40_000);
        let micros: u64 = (1..=4).map(|factor| factor * (0..10_000).sum::<u64>()).sum();
        assert!((snapshot.sum - Duration::from_micros(micros).as_secs_f64()).abs() < 1e-6);
    }
}

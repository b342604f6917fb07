//! Samples and what is told of them: median, extremes, how many.

use serde::Serialize;

/// Measured times in seconds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<f64>);

/// What is told of samples, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Summary {
    /// The one in the middle.
    pub(crate) median: f64,
    /// The shortest.
    pub(crate) min: f64,
    /// The longest.
    pub(crate) max: f64,
    /// 99 of 100 were as short.
    pub(crate) p99: f64,
    /// How many.
    pub(crate) n: usize,
}

impl Samples {
    /// These samples.
    pub(crate) fn of(seconds: impl IntoIterator<Item = f64>) -> Self {
        Self(seconds.into_iter().collect())
    }

    /// One more.
    pub(crate) fn add(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    /// More of them.
    pub(crate) fn extend(&mut self, seconds: impl IntoIterator<Item = f64>) {
        self.0.extend(seconds);
    }

    /// Each divided by its neighbour of the other series.
    pub(crate) fn ratios(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// Each less its neighbour of the other series.
    pub(crate) fn differences(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours - theirs).collect())
    }

    /// How many are longer than this, in seconds.
    pub(crate) fn above(&self, limit: f64) -> usize {
        self.0.iter().filter(|seconds| **seconds > limit).count()
    }

    /// So many of a hundred are at most this, in seconds; the nearest rank.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// What is told of them; nothing when there are none.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = if n % 2 == 1 { sorted[n / 2] } else { f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]) };
        // The nearest rank: the smallest sample that 99 of 100 do not exceed.
        let p99 = sorted[(n * 99).div_ceil(100) - 1];
        Some(Summary { median, min, max, p99, n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these numbers are represented exactly")]
    fn the_median_lies_in_the_middle() {
        assert!(Samples::default().summary().is_none());
        let odd = Samples::of([3.0, 1.0, 2.0]).summary().expect("samples");
        assert_eq!((odd.median, odd.min, odd.max, odd.n), (2.0, 1.0, 3.0, 3));
        let even = Samples::of([4.0, 1.0, 2.0, 3.0]).summary().expect("samples");
        assert_eq!(even.median, 2.5);
        let hundred = Samples::of((1..=100).map(f64::from)).summary().expect("samples");
        assert_eq!(hundred.p99, 99.0);
    }
}

//! The last hour or the last day of an app, for its page of metrics: put together from what the edge and the meter remember.
//!
//! Reading it wakes nobody and asks nothing of what runs.

use std::time::Instant;

use api::{AppHistory, HistoryRange, HistoryStep, Latency, RequestCounts};
use edge::Visits;
use figures::history::{Merge as _, Range};
use jiff::Timestamp;
use model::AppName;

use crate::error::Result;
use crate::meter::Room;
use crate::{Control, clock};

impl Control {
    /// The last hour or the last day of an app.
    pub fn history(&self, name: &AppName, range: HistoryRange) -> Result<AppHistory> {
        let entry = self.entry(name)?;
        let steps = match range {
            HistoryRange::Hour => Range::Hour,
            HistoryRange::Day => Range::Day,
        };
        let now = edge::minute_of(Instant::now());
        let counters = entry.handle.counters();
        let bounds: Vec<f64> = counters.latency().snapshot().buckets.iter().map(|(bound, _)| *bound).collect();
        let (visits, rooms) = (counters.history(), entry.specs.meter.history());
        let mut all = Visits::default();
        visits.until(steps, now).into_iter().flatten().for_each(|visits| all.merge(visits));
        let since = clock::timestamp(self.inner.started_at);
        // What ran before the first step runs on in it.
        let mut held = rooms.before(steps, now).map_or((0, 0), |room| (room.instances.1, room.memory.1));
        let first = i64::from(steps.index(now)) + 1 - i64::try_from(steps.steps()).unwrap_or(0);
        let list = visits.until(steps, now).into_iter().zip(rooms.until(steps, now)).zip(first..);
        let list = list.map(|((visits, room), index)| {
            let at = Timestamp::from_second(index * i64::from(steps.step())).unwrap_or_default();
            let known = at.as_second() + i64::from(steps.step()) > since.as_second();
            let step = step(at, visits, room, held, &bounds, known);
            held = room.map_or(held, |room| (room.instances.1, room.memory.1));
            step
        });
        let latency = latency(&all.latency, &bounds);
        Ok(AppHistory { app: name.clone(), range, step_seconds: steps.step(), since, latency, steps: list.collect() })
    }
}

/// One step: what visitors got, and what ran. `held` is what ran and what it held when it began.
fn step(
    at: Timestamp,
    visits: Option<&Visits>,
    room: Option<&Room>,
    held: (u32, u64),
    bounds: &[f64],
    known: bool,
) -> HistoryStep {
    let visits = visits.copied().unwrap_or_default();
    let [informational, success, redirection, client_error, server_error] = visits.requests;
    let (instances, memory) = room.map_or(held, |room| (room.instances.0.max(held.0), room.memory.0.max(held.1)));
    HistoryStep {
        at,
        requests: RequestCounts { informational, success, redirection, client_error, server_error },
        latency: latency(&visits.latency, bounds),
        cold_starts: visits.cold_starts,
        cold_start_seconds: (visits.cold_starts > 0)
            .then(|| f64::from(visits.cold_millis) / 1000.0 / f64::from(visits.cold_starts)),
        instances: known.then_some(instances),
        memory_bytes: known.then_some(memory),
        cpu_seconds: room.map_or(0.0, |room| room.cpu),
    }
}

fn latency(counts: &[u32], bounds: &[f64]) -> Option<Latency> {
    let of = |share| percentile(counts, bounds, share);
    Some(Latency { p50: of(0.5)?, p95: of(0.95)?, p99: of(0.99)? })
}

/// The duration that so large a share of the counted ones did not exceed, taking those of a bucket to lie evenly in it. What lies above
/// the last bound is taken to be at it.
fn percentile(counts: &[u32], bounds: &[f64], share: f64) -> Option<f64> {
    let total: u64 = counts.iter().copied().map(u64::from).sum();
    if total == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a minute has no 2^53 requests")]
    let rank = share * total as f64;
    let mut below = 0.0;
    let mut lower = 0.0;
    for (count, upper) in counts.iter().zip(bounds) {
        let count = f64::from(*count);
        if count > 0.0 && below + count >= rank {
            return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        below += count;
        lower = *upper;
    }
    bounds.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 3] = [0.01, 0.1, 1.0];

    #[test]
    fn percentiles_lie_within_their_bucket() {
        assert_eq!(percentile(&[0, 0, 0, 0], &BOUNDS, 0.5), None);
        let at = |counts: &[u32], share| percentile(counts, &BOUNDS, share).expect("some");
        assert!((at(&[100, 0, 0, 0], 0.5) - 0.005).abs() < 1e-9);
        assert!((at(&[90, 10, 0, 0], 0.95) - 0.055).abs() < 1e-9);
        assert!((at(&[90, 9, 1, 0], 0.99) - 0.1).abs() < 1e-9);
        assert!((at(&[0, 0, 1, 9], 0.99) - 1.0).abs() < 1e-9, "above the last bound");
        for counts in [[1, 0, 0, 0], [0, 1, 0, 0], [3, 2, 5, 1]] {
            let three = latency(&counts, &BOUNDS).expect("some");
            assert!(three.p50 <= three.p95 && three.p95 <= three.p99, "{counts:?}");
        }
    }

    #[test]
    fn what_ran_before_a_step_runs_on_in_it() {
        let at = Timestamp::UNIX_EPOCH;
        let quiet = step(at, None, None, (2, 500), &BOUNDS, true);
        assert_eq!((quiet.instances, quiet.memory_bytes, quiet.requests.total()), (Some(2), Some(500), 0));
        assert_eq!((quiet.latency, quiet.cold_start_seconds), (None, None));
        let room = Room { instances: (1, 0), memory: (700, 0), cpu: 1.5 };
        let busy = step(at, None, Some(&room), (2, 500), &BOUNDS, true);
        assert_eq!((busy.instances, busy.memory_bytes, busy.cpu_seconds), (Some(2), Some(700), 1.5));
        let visits = Visits { cold_starts: 4, cold_millis: 1000, ..Visits::default() };
        assert_eq!(step(at, Some(&visits), None, (0, 0), &BOUNDS, false).cold_start_seconds, Some(0.25));
        assert_eq!(step(at, None, None, (0, 0), &BOUNDS, false).instances, None);
    }
}

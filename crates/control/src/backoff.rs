//! A crash loop's brake: after repeated failures the next start waits, and visitors are told at once.

use std::time::{Duration, Instant};

use edge::Failure;

/// An instance that ran at least this long was no crash at its start.
const STABLE: Duration = Duration::from_mins(1);
/// The longest wait between two starts.
const LONGEST: Duration = Duration::from_mins(1);

/// How often an app failed in a row, and until when it is left alone.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    /// When the last one was noticed.
    last: Option<Instant>,
    until: Option<(Instant, Failure)>,
}

impl Backoff {
    /// An instance became ready: visitors are served, though a crash soon after still counts on.
    pub(crate) fn succeeded(&mut self) {
        self.until = None;
    }

    /// A start failed that began at `began`. Several that were under way at the same time count as one failure.
    pub(crate) fn failed(&mut self, began: Instant, now: Instant, failure: Failure) {
        if self.last.is_some_and(|last| began < last) {
            return;
        }
        self.last = Some(now);
        self.failures += 1;
        // The first failure costs nothing: the next visitor tries again at once.
        let wait = match self.failures {
            0 | 1 => return,
            n => Duration::from_secs(1 << (n - 2).min(6)).min(LONGEST),
        };
        self.until = Some((now + wait, failure));
    }

    /// A ready instance ended by itself.
    pub(crate) fn crashed(&mut self, now: Instant, ready_since: Instant, failure: Failure) {
        if now.saturating_duration_since(ready_since) >= STABLE {
            self.failures = 0;
        }
        self.failed(now, now, failure);
    }

    /// What to tell a visitor in place of a start.
    pub(crate) fn refusal(&self, now: Instant) -> Option<Failure> {
        let (until, failure) = self.until.as_ref().filter(|(until, _)| now < *until)?;
        let wait = until.saturating_duration_since(now).as_secs() + 1;
        let loops = format!("It has failed {} times in a row; the next start is tried in {wait} s.", self.failures);
        let detail = [failure.detail.as_str(), &loops].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        Some(Failure { detail, retry_after: Some(wait), ..failure.clone() })
    }

    /// When the wait that is under way ends.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until.as_ref().map(|(until, _)| *until)
    }

    /// Whether a wait has ended just now.
    pub(crate) fn expired(&mut self, now: Instant) -> bool {
        let over = self.until.as_ref().is_some_and(|(until, _)| now >= *until);
        if over {
            self.until = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use edge::FailureKind;

    use super::*;

    fn failure() -> Failure {
        Failure::new(FailureKind::Start, "t", "d")
    }

    #[test]
    fn a_crash_loop_slows_down_to_once_a_minute_and_a_stable_run_forgives() {
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..10 {
            backoff.crashed(now, now, failure());
            let begun = now;
            while backoff.refusal(now).is_some() {
                now += Duration::from_secs(1);
            }
            assert_eq!(backoff.expired(now), begun != now);
            waits.push((now - begun).as_secs());
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.crashed(now + STABLE, now, failure());
        assert!(backoff.refusal(now + STABLE).is_none());
    }
}

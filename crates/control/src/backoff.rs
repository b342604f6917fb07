//! A crash loop's brake: after repeated failures the next start waits, and visitors are told at once.

use std::time::{Duration, Instant};

use edge::Failure;

/// An instance that ran at least this long was no crash at its start.
const STABLE: Duration = Duration::from_secs(60);
/// The longest wait between two starts.
const LONGEST: Duration = Duration::from_secs(60);

/// How often an app failed in a row, and until when it is left alone.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<(Instant, Failure)>,
}

impl Backoff {
    /// An instance became ready: visitors are served, though a crash soon after still counts on.
    pub(crate) fn succeeded(&mut self) {
        self.until = None;
    }

    /// A start failed.
    pub(crate) fn failed(&mut self, now: Instant, failure: Failure) {
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
        self.failed(now, failure);
    }

    /// What to tell a visitor in place of a start.
    pub(crate) fn refusal(&self, now: Instant) -> Option<Failure> {
        self.until.as_ref().filter(|(until, _)| now < *until).map(|(_, failure)| failure.clone())
    }

    /// Whether a wait is under way (or over, but not yet noticed).
    pub(crate) fn waiting(&self) -> bool {
        self.until.is_some()
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

//! How many instances an app should have: a decision on counts, limits and two windows of time.
//!
//! What is needed this instant is decided at once: requests that wait get instances without waiting for a tick. What is needed
//! beyond that comes from averages: the *steady* window follows a load that lasts, the *burst* window one that rises
//! quickly. A burst holds what it asked for until it is one steady window old, so that a wave of load does not
//! start and stop instances with each of its crests. After Knative's autoscaler and Cloud Run's figures.

use std::time::Duration;

/// The steady window, in seconds; also how long a burst holds.
pub const STEADY: usize = 60;
/// The burst window, in seconds.
pub const BURST: usize = 6;
/// The part of its room, in percent, that an instance is to have in use on average: the rest is for what comes next.
const TARGET_PERCENT: u64 = 70;

/// What the settings allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Instances kept without load.
    pub min: u32,
    /// Instances at most.
    pub max: u32,
    /// Requests that one instance has in flight at most.
    pub concurrency: u32,
}

/// What an app has to do now, and with how many instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests that instances have in flight.
    pub in_flight: u32,
    /// Requests that wait for an instance.
    pub waiting: u32,
    /// Instances that take requests.
    pub ready: u32,
    /// Instances on their way.
    pub starting: u32,
    /// Whether there has been no request for as long as the settings let an app be idle.
    pub idle: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// Start so many.
    Start(u32),
    /// Let so many drain and stop.
    Stop(u32),
}

/// The load of the last minute, and what a burst holds.
#[derive(Debug, Clone)]
pub struct Scaler {
    /// Requests in flight on average in each second, in thousandths; the index is the second modulo the window.
    samples: [u32; STEADY],
    /// The second of the newest sample, and how many there are.
    newest: u64,
    filled: usize,
    /// What a burst asked for, and the second until which it holds.
    held: Option<(u32, u64)>,
}

impl Default for Scaler {
    fn default() -> Self {
        Self { samples: [0; STEADY], newest: 0, filled: 0, held: None }
    }
}

impl Scaler {
    /// Takes note of the requests in flight on average, in thousandths, in the second that ends `at` (after any fixed moment).
    /// Seconds that nobody told of were quiet.
    pub fn observe(&mut self, at: Duration, in_flight_millis: u32) {
        let second = at.as_secs();
        if self.filled == 0 || second >= self.newest + STEADY as u64 {
            (self.samples, self.filled) = ([0; STEADY], usize::from(self.filled > 0) * (STEADY - 1));
        } else {
            for quiet in self.newest + 1..second {
                self.put(quiet, 0);
            }
        }
        if second <= self.newest && self.filled > 0 {
            let index = index(self.newest);
            self.samples[index] = self.samples[index].max(in_flight_millis);
            return;
        }
        self.put(second, in_flight_millis);
    }

    /// Holds so many instances for one steady window, as a burst would: elsewhere they were found to be needed.
    pub fn hold(&mut self, at: Duration, instances: u32) {
        if instances > 1 {
            let before = self.held.map_or(0, |(count, _)| count);
            self.held = Some((before.max(instances), at.as_secs() + STEADY as u64));
        }
    }

    fn put(&mut self, second: u64, millis: u32) {
        self.samples[index(second)] = millis;
        self.newest = second;
        self.filled = (self.filled + 1).min(STEADY);
    }

    /// The average over the last seconds that there are samples of.
    fn average(&self, window: usize) -> u64 {
        let count = window.min(self.filled);
        let sum: u64 = (0..count as u64).map(|back| u64::from(self.samples[index(self.newest - back)])).sum();
        sum.div_ceil(count.max(1) as u64)
    }

    /// How many instances there should be.
    pub fn target(&mut self, at: Duration, load: Load, bounds: Bounds) -> u32 {
        let second = at.as_secs();
        if load.idle {
            *self = Self::default();
            return bounds.min.min(bounds.max);
        }
        if load.ready == 0 && load.waiting == 0 {
            // Whatever was: nobody asks for the first instance.
            return bounds.min.min(bounds.max);
        }
        let concurrency = u64::from(bounds.concurrency.max(1));
        let needed = |millis: u64| clamp(millis.div_ceil(concurrency * TARGET_PERCENT * 10));
        let now = clamp((u64::from(load.in_flight) + u64::from(load.waiting)).div_ceil(concurrency));
        let (steady, burst) = (needed(self.average(STEADY)), needed(self.average(BURST)));
        if self.held.is_some_and(|(_, until)| second >= until) {
            self.held = None;
        }
        let rising = now > load.ready || burst >= load.ready.max(1).saturating_mul(2);
        let peak = now.max(burst).min(bounds.max);
        if rising && peak > 1 {
            let before = self.held.map_or(0, |(count, _)| count);
            self.held = Some((before.max(peak), second + STEADY as u64));
        }
        let held = self.held.map_or(0, |(count, _)| count);
        // An app that is not idle keeps the instance that it has.
        let last = u32::from(load.ready > 0);
        now.max(steady).max(held).max(last).max(bounds.min).min(bounds.max)
    }

    /// What to do to have as many as there should be. What is on its way is not stopped: it is looked at again once it is ready.
    pub fn decide(&mut self, at: Duration, load: Load, bounds: Bounds) -> Decision {
        let target = self.target(at, load, bounds);
        let have = load.ready + load.starting;
        if target > have {
            Decision::Start(target - have)
        } else if target < load.ready {
            Decision::Stop(load.ready - target)
        } else {
            Decision::Keep
        }
    }

    /// Whether nothing is remembered that would change a decision later.
    pub fn is_quiet(&self, at: Duration) -> bool {
        let past = self.filled == 0 || at.as_secs() >= self.newest + STEADY as u64;
        let silent = self.samples.iter().all(|sample| *sample == 0);
        (past || silent) && self.held.is_none_or(|(_, until)| at.as_secs() >= until)
    }
}

fn index(second: u64) -> usize {
    usize::try_from(second % STEADY as u64).unwrap_or(0)
}

fn clamp(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

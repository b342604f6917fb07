//! When an app's instances may be stopped: a decision on plain numbers.

use std::time::Duration;

/// What is known of an app's load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests being handled or waiting, over all instances.
    pub in_flight: usize,
    /// Time since the last request ended; since the instance became ready where there was none.
    pub quiet_for: Duration,
    /// Instances that are ready.
    pub ready: u32,
}

/// How many instances to stop now, given the time-out and the floor.
pub fn to_stop(load: Load, idle_timeout: Duration, min_instances: u32) -> u32 {
    if load.in_flight > 0 || load.quiet_for < idle_timeout {
        return 0;
    }
    load.ready.saturating_sub(min_instances)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_quiet_app_above_its_floor_is_stopped() {
        let minute = Duration::from_secs(60);
        let load = |in_flight, seconds, ready| Load { in_flight, quiet_for: Duration::from_secs(seconds), ready };
        assert_eq!(to_stop(load(0, 60, 1), minute, 0), 1);
        assert_eq!(to_stop(load(0, 59, 1), minute, 0), 0);
        assert_eq!(to_stop(load(1, 600, 1), minute, 0), 0);
        assert_eq!(to_stop(load(0, 600, 3), minute, 2), 1);
        assert_eq!(to_stop(load(0, 600, 1), minute, 2), 0);
    }
}

//! Figures of one app that only ever grow.

use std::sync::atomic::{AtomicU64, Ordering};

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
}

/// Counters of one app since the platform's start.
#[derive(Debug, Default)]
pub struct AppCounters {
    requests: [AtomicU64; 5],
    wakes: AtomicU64,
    thaws: AtomicU64,
}

impl AppCounters {
    /// Requests answered with a status of this class.
    pub fn requests(&self, class: StatusClass) -> u64 {
        self.requests[class as usize].load(Ordering::Relaxed)
    }

    /// Requests that had to wait for an instance.
    pub fn waited(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// Times that an instance was thawed for a request.
    pub fn thaws(&self) -> u64 {
        self.thaws.load(Ordering::Relaxed)
    }

    pub(crate) fn thawed(&self, _took: std::time::Duration) {
        self.thaws.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_request(&self, class: StatusClass) {
        self.requests[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_wait(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

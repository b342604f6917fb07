//! An app's limits and state as control sets them.

use std::time::Duration;

/// How much an app takes at once, and how long a visitor waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// Requests that one instance may have in flight.
    pub max_concurrent_requests_per_instance: usize,
    /// Requests that may wait for an instance; more get 429.
    pub queue_limit: usize,
    /// How long a request waits while every instance is full, before it gets 429.
    pub queue_timeout: Duration,
    /// How long a request waits for an instance to start, before it gets 504.
    pub start_timeout: Duration,
    /// How long an instance may take until its response begins, before the visitor gets 504.
    pub request_timeout: Duration,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            max_concurrent_requests_per_instance: 80,
            queue_limit: 1000,
            queue_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_mins(4),
            request_timeout: Duration::from_mins(5),
        }
    }
}

/// What kind of failure kept a request from an instance; decides the status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The instance ended, listened elsewhere, or could not be started: 502.
    Start,
    /// The instance did not become ready in time: 504.
    StartTimeout,
    /// The machine has no room for an instance now: 503, try again.
    Capacity,
    /// The app is being deleted: 404.
    Gone,
}

/// Why an app's instance did not start, in words for its visitors: never a secret, never the app's own output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// One short line: what happened.
    pub title: String,
    /// What the owner can do, or more about it.
    pub detail: String,
    /// After how many seconds it is worth asking again, where that is known.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// A failure with its words.
    pub fn new(kind: FailureKind, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, title: title.into(), detail: detail.into(), retry_after: None }
    }
}

/// Whether an app serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppStatus {
    /// It serves; without an instance, one is asked for.
    Active,
    /// Nothing has been deployed yet: 503.
    NoRevision,
    /// Its owner paused it: 503.
    Paused,
    /// It is known not to start: the failure's page, without asking for an instance.
    Failed(Failure),
}

//! The last hour or the last day of an app on the wire.

use jiff::Timestamp;
use model::AppName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far back: `?range=1h` or `?range=24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum HistoryRange {
    /// The last hour, minute by minute.
    #[default]
    #[serde(rename = "1h")]
    Hour,
    /// The last day, by quarters of an hour.
    #[serde(rename = "24h")]
    Day,
}

impl HistoryRange {
    /// The word in queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
        }
    }
}

/// Answer to `GET /apps/{app}/history?range=1h|24h`. It is kept in memory, and begins anew when the platform does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppHistory {
    /// The app.
    pub app: AppName,
    /// How far it goes back.
    pub range: HistoryRange,
    /// The length of a step in seconds.
    pub step_seconds: u32,
    /// Since when the platform has looked; before that nothing is known.
    pub since: Timestamp,
    /// How long all requests of the range took; none where there were none.
    pub latency: Option<Latency>,
    /// The steps, the oldest first; the last one is the one that runs.
    pub steps: Vec<HistoryStep>,
}

/// One step of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryStep {
    /// When it begins.
    pub at: Timestamp,
    /// Requests that were answered.
    pub requests: RequestCounts,
    /// How long they took; none where there were none.
    pub latency: Option<Latency>,
    /// Requests that waited for an instance to start.
    pub cold_starts: u32,
    /// How long those waited on average, in seconds.
    pub cold_start_seconds: Option<f64>,
    /// The most instances that ran at the same time; none where the platform did not look yet.
    pub instances: Option<u32>,
    /// The most memory that they held together.
    pub memory_bytes: Option<u64>,
    /// Processor time that they used.
    pub cpu_seconds: f64,
}

/// Requests by the class of the status that they were answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RequestCounts {
    /// Upgraded connections, when they have closed.
    #[serde(rename = "1xx")]
    pub informational: u32,
    /// Successes.
    #[serde(rename = "2xx")]
    pub success: u32,
    /// Redirections.
    #[serde(rename = "3xx")]
    pub redirection: u32,
    /// Mistakes of visitors.
    #[serde(rename = "4xx")]
    pub client_error: u32,
    /// Failures.
    #[serde(rename = "5xx")]
    pub server_error: u32,
}

impl RequestCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        [self.informational, self.success, self.redirection, self.client_error, self.server_error].map(u64::from).iter().sum()
    }
}

/// From a request's head to the end of its response, in seconds: half of the requests took at most `p50`, 95 of a hundred at most `p95`.
/// Computed from a histogram, so each is right to within its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Of half of them.
    pub p50: f64,
    /// Of 95 of a hundred.
    pub p95: f64,
    /// Of 99 of a hundred.
    pub p99: f64,
}

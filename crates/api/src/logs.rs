//! Log lines of instances and of deployments.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The app's (or a build's) standard output.
    Stdout,
    /// The app's (or a build's) standard error.
    Stderr,
    /// The platform.
    Platform,
}

impl Stream {
    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Platform => "platform",
        }
    }

    /// The stream of that word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Platform].into_iter().find(|stream| stream.as_str() == text)
    }
}

/// One line of `GET /apps/{app}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// The instance that wrote it; in a deployment's log the name of the step.
    pub instance: String,
    /// Who wrote it.
    pub stream: Stream,
    /// The line, without its end.
    pub line: String,
}

/// Query of `GET /apps/{app}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogQuery {
    /// Only lines since then: a number of seconds before now, or a time in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether to go on with the lines to come.
    pub follow: bool,
    /// The log of that deployment, in place of the instances'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<u32>,
    /// At most this many lines of the past, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
}

//! Log lines of instances and of deployments.

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
    /// The app's requests, in place of the instances' output.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub access: bool,
    /// At most this many lines of the past, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
}

impl LogQuery {
    /// The query as it stands in a URL, with its question mark; empty where it asks for nothing in particular.
    pub fn to_text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(since) = &self.since {
            parts.push(format!("since={}", utf8_percent_encode(since, ENCODED)));
        }
        if self.follow {
            parts.push("follow=true".to_owned());
        }
        if self.access {
            parts.push("access=true".to_owned());
        }
        parts.extend(self.deployment.map(|number| format!("deployment={number}")));
        parts.extend(self.lines.map(|lines| format!("lines={lines}")));
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

/// What is encoded in a query: all but unreserved characters (RFC 3986, 2.3) and colons.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded() {
        let query = LogQuery {
            since: Some("2026-01-01T00:00:00+01:00".to_owned()),
            follow: true,
            deployment: Some(3),
            access: true,
            lines: None,
        };
        assert_eq!(query.to_text(), "?since=2026-01-01T00:00:00%2B01:00&follow=true&access=true&deployment=3");
        assert_eq!(LogQuery::default().to_text(), "");
    }
}

//! How an app is served: freezing between requests, the protocol it speaks, time limits, and how a new revision is probed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an app speaks on its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http1,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113, 3.3), as gRPC servers do.
    H2c,
}

impl Protocol {
    /// The word in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::H2c => "h2c",
        }
    }

    /// The protocol of that word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http1, Self::H2c].into_iter().find(|protocol| protocol.as_str() == text)
    }
}

/// How an app is served (`serving` of the settings document). None of it needs a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Serving {
    /// Whether instances without a request in flight lose the processor.
    pub freeze: bool,
    /// Milliseconds without a request after which that happens; the platform's default where not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze_after: Option<u32>,
    /// What the app speaks.
    pub protocol: Protocol,
    /// Seconds that an instance may take until its response begins.
    pub request_timeout: u32,
    /// Seconds that an instance which leaves may take for the requests it has in flight, before it is told to end.
    pub drain_timeout: u32,
    /// The path that a new revision must answer with a status below 400 before it takes traffic; without one, any answer will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_path: Option<String>,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            freeze: true,
            freeze_after: None,
            protocol: Protocol::Http1,
            request_timeout: 300,
            drain_timeout: 30,
            probe_path: None,
        }
    }
}

impl Serving {
    /// How long an instance may take until its response begins.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.request_timeout))
    }

    /// How long an instance that leaves may take for the requests it has in flight.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.drain_timeout))
    }

    /// After how long without a request an instance is frozen, if at all; `default` is the platform's.
    pub fn freeze_after(&self, default: Option<Duration>) -> Option<Duration> {
        let own = self.freeze_after.map(|millis| Duration::from_millis(u64::from(millis)));
        own.or(default).filter(|_| self.freeze)
    }

    /// Names what is wrong with it.
    pub(crate) fn violations(&self, say: &mut dyn FnMut(&str, String)) {
        if self.freeze_after.is_some_and(|millis| millis > 3_600_000) {
            say(
                "serving.freezeAfter",
                "must be from 0 to 3600000 milliseconds; serving.freeze: false turns freezing off".to_owned(),
            );
        }
        if !(1..=3600).contains(&self.request_timeout) {
            say("serving.requestTimeout", "must be from 1 to 3600 seconds".to_owned());
        }
        if self.drain_timeout > 3600 {
            say("serving.drainTimeout", "must be from 0 to 3600 seconds".to_owned());
        }
        if self.probe_path.as_deref().is_some_and(|path| !is_path(path)) {
            say("serving.probePath", "must be a path that begins with '/', as in /healthz".to_owned());
        }
    }
}

/// Whether a text can stand in a request's first line as path and query.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_what_is_refused() {
        let serving: Serving = serde_json::from_str("{}").expect("an empty document");
        assert_eq!(serving, Serving::default());
        assert_eq!(serving.freeze_after(Some(Duration::from_millis(100))), Some(Duration::from_millis(100)));
        assert_eq!(serving.freeze_after(None), None);
        let off = Serving { freeze: false, ..Serving::default() };
        assert_eq!(off.freeze_after(Some(Duration::from_millis(100))), None);
        let mut named = Vec::new();
        let bad = Serving {
            freeze_after: Some(u32::MAX),
            request_timeout: 0,
            probe_path: Some("health\r\nX: y".to_owned()),
            ..Serving::default()
        };
        bad.violations(&mut |key, _| named.push(key.to_owned()));
        assert_eq!(named, ["serving.freezeAfter", "serving.requestTimeout", "serving.probePath"]);
        assert!(serde_json::from_str::<Serving>(r#"{"protocol":"h3"}"#).is_err());
    }
}

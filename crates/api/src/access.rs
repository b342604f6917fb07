//! A line of the access log.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One request, when it had ended: a line of `DATA/logs/access.log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessLine<'a> {
    /// When it ended.
    pub at: Timestamp,
    /// The app; none for the platform itself, and for hosts that are nobody's.
    pub app: Option<Cow<'a, str>>,
    /// The host as the visitor wrote it.
    pub host: Option<Cow<'a, str>>,
    /// Its method.
    pub method: Cow<'a, str>,
    /// Its path; with its query only where the platform was told so.
    pub path: Option<Cow<'a, str>>,
    /// The status; 499 where the visitor went before there was one.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// From its head to the end of its response, in milliseconds.
    pub duration_ms: f64,
    /// How much of that it waited for an instance, in milliseconds.
    pub wait_ms: f64,
    /// The instance that answered.
    pub upstream: Option<Cow<'a, str>>,
    /// The visitor's address.
    pub client: Cow<'a, str>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: Cow<'a, str>,
    /// What the visitor says it is.
    pub agent: Option<Cow<'a, str>>,
}

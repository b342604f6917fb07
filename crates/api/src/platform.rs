//! The platform itself on the wire: who answers, and what its own checks found.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answer to `GET /platform`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Platform {
    /// Its version.
    pub version: String,
    /// Which program runs; it changes when the program does. Empty where the platform is too old to say.
    #[serde(default)]
    pub build: String,
    /// The domain below which apps lie.
    pub domain: String,
    /// Its own address, as in `https://localhost:8443`.
    pub url: String,
    /// The address of an app, with `NAME` in the place of its name.
    pub app_url: String,
    /// Where it listens for HTTP.
    pub http: String,
    /// Where it listens for HTTPS.
    pub https: String,
    /// The process of the platform.
    pub pid: u32,
    /// Its data directory.
    pub data_dir: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether its certificates come from its own authority (`DATA/ca.pem`, `GET /api/v1/ca`).
    #[serde(default)]
    pub own_ca: bool,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// All is well.
    Ok,
    /// It works, but not as well as it might.
    Warn,
    /// It does not work.
    Fail,
}

/// One check of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked, in a few words.
    pub name: String,
    /// What was found.
    pub state: CheckState,
    /// What was found, for people.
    pub message: String,
    /// What to do; empty where there is nothing to do.
    #[serde(default)]
    pub help: String,
}

impl Check {
    /// A check that found all well.
    pub fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), state: CheckState::Ok, message: message.into(), help: String::new() }
    }

    /// A check that found something worth a look.
    pub fn warn(name: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name: name.into(), state: CheckState::Warn, message: message.into(), help: help.into() }
    }

    /// A check that found something that does not work.
    pub fn fail(name: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name: name.into(), state: CheckState::Fail, message: message.into(), help: help.into() }
    }
}

/// Answer to `GET /doctor`, and the document of the command `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DoctorReport {
    /// The checks in the order in which they were made.
    pub checks: Vec<Check>,
}

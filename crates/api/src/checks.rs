//! Checks before a deployment, on the wire.

use serde::{Deserialize, Serialize};

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreflightState {
    /// All is well.
    Ok,
    /// It can be deployed, but may not do what its owner expects.
    Warning,
    /// A deployment would fail, or never answer.
    Failed,
    /// It could not be told, because of another that failed.
    Skipped,
}

impl PreflightState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightCheck {
    /// What it is called; never changes.
    pub id: String,
    /// What was looked at, in a few words.
    pub title: String,
    /// What became of it.
    pub state: PreflightState,
    /// Why, in one line.
    pub reason: String,
    /// What to do; empty where there is nothing to do.
    #[serde(default)]
    pub help: String,
    /// The file that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Where it is explained: a path on the platform's own address.
    pub page: String,
}

/// All checks of a source with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preflight {
    /// The template that was recognised.
    pub template: Option<String>,
    /// What would start the app.
    pub start_command: Option<String>,
    /// The checks, always in the same order.
    pub checks: Vec<PreflightCheck>,
}

impl Preflight {
    /// How many checks came out so.
    pub fn count(&self, state: PreflightState) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

//! A deployment: one attempt to bring an app up, its steps in order and its one end.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The steps of a deployment, in the order in which they happen. Not every deployment has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The source was received and checked.
    Source,
    /// The template and the plan were found.
    Plan,
    /// Dependencies were installed (or found installed), the source became a layer, and the image was written.
    Dependencies,
    /// The database was made, or found there, and has the limits of the settings.
    Database,
    /// The release command ran.
    Release,
    /// An instance of the new revision accepted connections.
    Start,
    /// The edge sends visitors to the new revision.
    Switch,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 7] =
        [Self::Source, Self::Plan, Self::Dependencies, Self::Database, Self::Release, Self::Start, Self::Switch];

    /// The word used in JSON and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Plan => "plan",
            Self::Dependencies => "dependencies",
            Self::Database => "database",
            Self::Release => "release",
            Self::Start => "start",
            Self::Switch => "switch",
        }
    }

    /// The step of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It is under way.
    Running,
    /// It ended well.
    Done,
    /// There was nothing to do: what it makes was there already.
    Cached,
    /// It ended the deployment.
    Failed,
}

impl StepState {
    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cached => "cached",
            Self::Failed => "failed",
        }
    }

    /// The state of that word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Cached, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

/// The state of a deployment.
///
/// ```text
/// queued ──► running ──► live
///    │          ├──────► failed
///    │          └──────► cancelled
///    └─────────────────► cancelled, superseded, failed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// It waits for the app's deployment before it.
    Queued,
    /// It is under way.
    Running,
    /// It serves, or has served.
    Live,
    /// It ended without taking traffic.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// A newer one took its place before it began.
    Superseded,
}

impl DeploymentState {
    const ALL: [Self; 6] = [Self::Queued, Self::Running, Self::Live, Self::Failed, Self::Cancelled, Self::Superseded];

    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Live => "live",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// The state of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing more will happen.
    pub fn ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether a deployment may go from this state to that one: the only transition function there is.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => next != Self::Queued && next != Self::Live,
            Self::Running => matches!(next, Self::Live | Self::Failed | Self::Cancelled),
            Self::Live | Self::Failed | Self::Cancelled | Self::Superseded => false,
        }
    }
}

/// By what way a deployment was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StarterKind {
    /// A user, signed in.
    User,
    /// The bearer of a token: a program, or git.
    Token,
    /// A push to GitHub.
    Push,
    /// Somebody at the platform's machine.
    Machine,
}

impl StarterKind {
    const ALL: [Self; 4] = [Self::User, Self::Token, Self::Push, Self::Machine];

    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
            Self::Push => "push",
            Self::Machine => "machine",
        }
    }

    /// The kind of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Who asked for a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Starter {
    /// By what way.
    pub kind: StarterKind,
    /// The user's name, the token's, or the login on GitHub of who pushed; empty where there is none.
    #[serde(default)]
    pub name: String,
}

impl Display for Starter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.kind, self.name.as_str()) {
            (StarterKind::Machine, _) => f.write_str("the machine's command line"),
            (StarterKind::User, name) => f.write_str(name),
            (StarterKind::Token, "") => f.write_str("a token"),
            (StarterKind::Token, name) => write!(f, "the token {name}"),
            (StarterKind::Push, "") => f.write_str("a push"),
            (StarterKind::Push, name) => write!(f, "a push of {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_an_end() {
        for state in DeploymentState::ALL {
            assert_eq!(DeploymentState::parse(state.as_str()), Some(state));
            let leaves = DeploymentState::ALL.into_iter().any(|next| state.may_become(next));
            assert_eq!(leaves, !state.ended(), "{state:?}");
        }
        assert!(!DeploymentState::Queued.may_become(DeploymentState::Live));
    }

    #[test]
    fn words_of_steps_are_read_back() {
        for step in Step::ALL {
            assert_eq!(Step::parse(step.as_str()), Some(step));
        }
    }
}

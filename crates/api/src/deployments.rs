//! Deployments on the wire: the upload, the request, the document, and the events that tell its progress.

use jiff::Timestamp;
use model::environment::Environment;
use model::{AppName, DatabaseType, DeploymentNumber, DeploymentState, RevisionNumber, Settings, Starter, Step, StepState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::logs::Stream;

/// Answer to `POST /uploads`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the fields are those of the document")]
pub struct Upload {
    /// The digest of the received source (SHA-256, in hexadecimal), by which a deployment names it.
    pub upload: String,
    /// Files in it.
    pub files: u64,
    /// Bytes of its files together.
    pub bytes: u64,
}

/// Where a source comes from, as far as git knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Commit {
    /// The commit's id.
    pub id: String,
    /// The first line of its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its author's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether the directory held changes that are not in the commit.
    pub dirty: bool,
}

/// What a deployment may change of the app's settings on its way; each that is set is kept with the app.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeployOptions {
    /// The template, where it is not to be recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The command line that starts the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_command: Option<String>,
    /// The part of the source that is visible to build and app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_directory: Option<String>,
    /// The database beside the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseType>,
    /// Variables of the run time, added to those that are there.
    #[serde(skip_serializing_if = "Environment::is_empty")]
    pub env: Environment,
    /// Variables of the build, added to those that are there.
    #[serde(skip_serializing_if = "Environment::is_empty")]
    pub build_env: Environment,
    /// A whole settings document, applied before the options above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// Body of `POST /apps/{app}/deployments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The upload to deploy ([`Upload::upload`]).
    pub upload: String,
    /// What to change on the way.
    #[serde(default)]
    pub options: DeployOptions,
    /// Where the source comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

/// Answer (202) to whatever begins a deployment; its progress is told by its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The app.
    pub app: AppName,
    /// The deployment's number.
    pub deployment: DeploymentNumber,
}

/// One step of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeploymentStep {
    /// Which.
    pub name: Step,
    /// How long it took, or has taken up to now.
    pub seconds: f64,
    /// How far it is.
    pub state: StepState,
}

/// A deployment. The commands `deploy` and `up` print this document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the fields are those of the document")]
pub struct Deployment {
    /// The app.
    pub app: AppName,
    /// Where visitors find the app.
    pub url: String,
    /// The revision it made; none while there is none, or when it failed before.
    pub revision: Option<RevisionNumber>,
    /// Its number within the app.
    pub deployment: DeploymentNumber,
    /// How far it is.
    pub state: DeploymentState,
    /// The template that was recognised or chosen.
    pub template: Option<String>,
    /// Its steps so far, in order.
    pub steps: Vec<DeploymentStep>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// What the failure was recognised as: the likely cause, and what to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
    /// Where its source comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Who asked for it; nothing where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Starter>,
    /// The deployment that the platform's end cut short, and that this one is the second try of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<DeploymentNumber>,
    /// When it was acknowledged.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A failure that is known: what it most likely is, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Which kind of failure; never changes.
    pub id: String,
    /// What went wrong, in a few words.
    pub title: String,
    /// The likely cause, in a sentence; empty where the title says it.
    #[serde(default)]
    pub cause: String,
    /// What to change.
    pub fix: String,
    /// Where it is explained: a path on the platform's own address.
    pub help: String,
    /// The key of the setting that most likely has to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// One event of a deployment, numbered from 1 without gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number; `from=SEQ` asks for this one and those after it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EventKind {
    /// A step began or ended.
    Step {
        /// Which.
        step: Step,
        /// How far it is now.
        state: StepState,
        /// How long it took, once it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
    },
    /// A line of output.
    Line {
        /// The step it belongs to.
        step: Step,
        /// Who wrote it.
        stream: Stream,
        /// The line, without its end.
        line: String,
    },
    /// The deployment ended; the last event.
    End {
        /// The whole document.
        deployment: Box<Deployment>,
    },
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

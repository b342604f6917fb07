//! Apps on the wire: what is there, what runs, variables, settings and scale.

use jiff::Timestamp;
use model::environment::Environment;
use model::{AppName, DatabaseType, DeploymentNumber, EnvName, RevisionNumber, Settings, Starter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deployments::{Commit, Deployment};

/// The state of an app: what the edge serves, not what was last asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AppState {
    /// Its revision is served (also while it sleeps).
    Live,
    /// Its first deployment is under way.
    Deploying,
    /// No deployment has succeeded, and the last one failed.
    Failed,
    /// It answers 503 until it is resumed.
    Paused,
    /// Nothing was deployed yet.
    New,
}

impl AppState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deploying => "deploying",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::New => "new",
        }
    }
}

/// One entry of `GET /apps`; also the answer to `pause`, `resume` and `sleep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppSummary {
    /// Its name.
    pub app: AppName,
    /// Where visitors find it.
    pub url: String,
    /// Its state.
    pub state: AppState,
    /// The revision that is served.
    pub revision: Option<RevisionNumber>,
    /// The template of that revision.
    pub template: Option<String>,
    /// Its database.
    pub database: DatabaseType,
}

/// Answer to `GET /apps/{app}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppStatus {
    /// What lists show of it.
    #[serde(flatten)]
    pub summary: AppSummary,
    /// The part of the visitors that gets another revision, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
    /// Its last deployments, the newest first.
    pub deployments: Vec<Deployment>,
    /// Its last hour; none where an older platform does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_hour: Option<LastHour>,
    /// What people should know: a backup that is old or damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The last hour of an app, minute by minute: the oldest first, and the last one is the minute that runs. Since the platform's
/// start, where that was later.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LastHour {
    /// Requests that were answered, in 60 numbers.
    pub requests: Vec<u64>,
    /// Those of them that were answered with 5xx.
    pub errors: Vec<u64>,
    /// The longest of them, in seconds.
    pub slowest: Vec<f64>,
}

/// How far an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// Its process runs, but does not accept connections yet.
    Starting,
    /// It accepts connections.
    Ready,
    /// It has no processor time until the next request.
    Frozen,
    /// It finishes its requests and gets no new ones.
    Draining,
}

impl InstanceState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Frozen => "frozen",
            Self::Draining => "draining",
        }
    }
}

/// One running instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceStatus {
    /// Its id, as in the log.
    pub id: String,
    /// The revision it runs.
    pub revision: RevisionNumber,
    /// How far it is.
    pub state: InstanceState,
    /// Memory it holds, files it wrote included.
    pub memory_bytes: u64,
    /// Processor time it has used.
    pub cpu_seconds: f64,
}

/// One entry of `GET /apps/{app}/revisions`, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionSummary {
    /// Its number.
    pub revision: RevisionNumber,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where its source comes from.
    pub commit: Option<Commit>,
    /// The digest of its image's manifest.
    pub image: String,
    /// Whether visitors get it.
    pub serving: bool,
    /// How many visitors of a hundred get it.
    #[serde(default)]
    pub percent: u8,
    /// Who asked for the deployment that made it; nothing where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Starter>,
}

/// A part of an app's visitors that gets another revision than the live one: body of `PUT /apps/{app}/split`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The other revision.
    pub revision: RevisionNumber,
    /// How many visitors of a hundred get it: 1 to 99.
    #[schemars(range(min = 1, max = 99))]
    pub percent: u8,
}

/// Body of `POST /apps/{app}/rollback`; the answer is [`crate::Accepted`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision to go back to; the one served before where none is named.
    pub to: Option<RevisionNumber>,
}

/// Which variables: those of the run time, or those of the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvKind {
    /// The run time.
    #[default]
    Run,
    /// The build.
    Build,
}

impl EnvKind {
    /// The word used in JSON and in queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Build => "build",
        }
    }
}

/// Answer to `GET /apps/{app}/env?kind=run|build`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvVariables {
    /// Which.
    #[serde(default)]
    pub kind: EnvKind,
    /// The variables with their values.
    pub variables: Environment,
}

/// Body of `PATCH /apps/{app}/env`; the answer is [`SettingsChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EnvPatch {
    /// Which variables.
    pub kind: EnvKind,
    /// Those to set.
    pub set: Environment,
    /// Those to remove.
    pub unset: Vec<EnvName>,
}

/// Body of `PATCH /apps/{app}/scale`; the answer is [`SettingsChanged`]. What is not named stays.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScalePatch {
    /// Instances kept even without load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Instances at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Requests that one instance handles at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Memory of one instance in MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Processor cores of one instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<f64>,
}

/// Answer to whatever changes settings: `PATCH env`, `PATCH scale`, `PUT settings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsChanged {
    /// The app.
    pub app: AppName,
    /// The settings as they are now.
    pub settings: Settings,
    /// The deployment that makes a new revision of it without a build; none where nothing is live or nothing changed for it.
    pub deployment: Option<DeploymentNumber>,
    /// Whether the change takes effect only with the next `deploy` (it concerns the build).
    #[serde(default)]
    pub needs_deploy: bool,
}

//! States as pages show them: a colour, a shape, and always a word.

use api::{AppState, InstanceState};
use model::backup::BackupState;
use model::{DeploymentState, Step, StepState};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The class of its colour; empty where it has none.
    pub(crate) tone: &'static str,
    /// The icon (`parts.html`).
    pub(crate) icon: &'static str,
    /// The word.
    pub(crate) word: &'static str,
}

const fn state(tone: &'static str, icon: &'static str, word: &'static str) -> State {
    State { tone, icon, word }
}

/// An app: what the edge serves, and whether an instance is there to answer at once.
pub(crate) fn app(served: AppState, instances: usize) -> State {
    match (served, instances) {
        (AppState::Live, 0) => state("asleep", "asleep", "Asleep"),
        (AppState::Live, _) => state("live", "live", "Live"),
        (AppState::Deploying, _) => state("building", "building", "Deploying"),
        (AppState::Failed, _) => state("failed", "failed", "Failed"),
        (AppState::Paused, _) => state("asleep", "paused", "Paused"),
        (AppState::New, _) => state("", "new", "New"),
    }
}

/// A deployment.
pub(crate) fn deployment(it: DeploymentState) -> State {
    match it {
        DeploymentState::Queued => state("", "queued", "Waiting"),
        DeploymentState::Running => state("building", "running", "Deploying"),
        DeploymentState::Live => state("live", "done", "Deployed"),
        DeploymentState::Failed => state("failed", "failed", "Failed"),
        DeploymentState::Cancelled => state("", "cancelled", "Cancelled"),
        DeploymentState::Superseded => state("", "superseded", "Superseded"),
    }
}

/// A step of a deployment; none where it has not begun.
pub(crate) fn step(it: Option<StepState>) -> State {
    match it {
        None => state("", "waiting", "Waiting"),
        Some(StepState::Running) => state("building", "running", "Running"),
        Some(StepState::Done) => state("live", "done", "Done"),
        Some(StepState::Cached) => state("live", "cached", "Done before"),
        Some(StepState::Failed) => state("failed", "failed", "Failed"),
    }
}

/// What a step does, for people.
pub(crate) fn step_title(it: Step) -> &'static str {
    match it {
        Step::Source => "Receive the source",
        Step::Plan => "Recognise the app",
        Step::Dependencies => "Install dependencies and build",
        Step::Database => "Prepare the database",
        Step::Release => "Run the release command",
        Step::Start => "Start the app",
        Step::Switch => "Send visitors to it",
    }
}

/// An instance.
pub(crate) fn instance(it: InstanceState) -> State {
    match it {
        InstanceState::Starting => state("building", "building", "Starting"),
        InstanceState::Ready => state("live", "live", "Ready"),
        InstanceState::Frozen => state("asleep", "asleep", "Frozen"),
        InstanceState::Draining => state("", "minus", "Draining"),
    }
}

/// A backup.
pub(crate) fn backup(it: BackupState) -> State {
    match it {
        BackupState::Made => state("", "new", "Not checked yet"),
        BackupState::Verified => state("live", "done", "Verified"),
        BackupState::Damaged => state("failed", "failed", "Damaged"),
    }
}

//! `deployments`: the attempts to bring an app up.

use anstyle::Style;
use api::Deployment;
use model::{AppName, DeploymentState, Starter};

use super::Context;
use super::apps::optional;
use crate::explain::Failure;
use crate::printer::{DIM, GREEN, RED, Table, YELLOW, clip, seconds};

/// Runs `deployments`.
pub(super) async fn run(context: &Context, app: &AppName) -> Result<(), Failure> {
    let deployments = context.client()?.deployments(app).await?;
    if context.printer.json() {
        return context.printer.document(&deployments);
    }
    context.printer.table(&table(&deployments), "no deployments yet")
}

/// The table of an app's deployments.
pub(super) fn table(deployments: &[Deployment]) -> Table {
    let mut table = Table::new(["DEPLOYMENT", "STATE", "REVISION", "TIME", "CREATED", "BY", "COMMIT", "ERROR"]);
    for deployment in deployments {
        let color = match deployment.state {
            DeploymentState::Live => GREEN,
            DeploymentState::Failed => RED,
            DeploymentState::Queued | DeploymentState::Running => YELLOW,
            DeploymentState::Cancelled | DeploymentState::Superseded => DIM,
        };
        let took: f64 = deployment.steps.iter().map(|step| step.seconds).sum();
        let error = deployment.error.as_ref().map(|error| clip(error.message.lines().next().unwrap_or_default(), 80));
        table.styled([
            (deployment.deployment.to_string(), Style::new()),
            (deployment.state.as_str().to_owned(), color),
            (optional(deployment.revision), Style::new()),
            (seconds(took), Style::new()),
            (moment(deployment.created_at), DIM),
            (by(deployment.by.as_ref()), Style::new()),
            (commit(deployment.commit.as_ref()), Style::new()),
            (error.unwrap_or_default(), Style::new()),
        ]);
    }
    table
}

/// Who asked for a deployment.
pub(super) fn by(starter: Option<&Starter>) -> String {
    starter.map(|starter| clip(&starter.to_string(), 30)).unwrap_or_default()
}

/// A commit, short: `1a2b3c4+ Fix the door` (`+`: with changes that are not in it).
pub(super) fn commit(commit: Option<&api::Commit>) -> String {
    let Some(commit) = commit else { return String::new() };
    let id: String = commit.id.chars().take(7).collect();
    let dirty = if commit.dirty { "+" } else { "" };
    let subject = commit.subject.as_deref().map(|subject| format!(" {}", clip(subject, 40))).unwrap_or_default();
    format!("{id}{dirty}{subject}")
}

/// A time to the second.
pub(super) fn moment(at: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

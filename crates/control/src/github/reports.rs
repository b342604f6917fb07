//! GitHub is told how deployments do: the mark beside the commit, and the repository's list of deployments.
//!
//! What is to be told follows from the store alone, so a restart leaves no commit pending for ever; and it is told beside the deployment,
//! which neither waits for it nor fails with it.

use std::time::Duration;

use github::{
    CommitSha, CommitState, CommitStatus, DeploymentId, DeploymentState as Remote, DeploymentStatus, InstallationId,
    NewDeployment, RepositoryId, RepositoryName,
};
use model::DeploymentState;
use store::Report;
use url::Url;

use super::Hitch;
use crate::error::{Result, internal};
use crate::{Control, clock};

/// How often what may pass is tried for one state.
const TRIES_MAX: u32 = 6;
/// After the first try that failed, in milliseconds; four times as long after each other one.
const FIRST_WAIT: i64 = 2_000;
/// How long to wait where the store itself fails.
const FAULT: Duration = Duration::from_mins(1);

impl Control {
    pub(super) async fn tell_github_forever(self) {
        loop {
            let wait = match self.tell_github().await {
                Ok(next) => next.map(|at| Duration::from_millis(u64::try_from(at - clock::now()).unwrap_or_default())),
                Err(_said) => Some(FAULT),
            };
            tokio::select! {
                () = self.inner.stopping.cancelled() => return,
                () = self.inner.hub.reports.notified() => {}
                () = async {
                    match wait {
                        Some(wait) => tokio::time::sleep(wait.max(Duration::from_millis(100))).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// Tells what is to be told now; gives the time of the next try, where there is one.
    async fn tell_github(&self) -> Result<Option<i64>> {
        if !self.has_github() {
            return Ok(None);
        }
        let mut next: Option<i64> = None;
        for report in self.read(|tx| tx.untold()).await? {
            if report.next_at > clock::now() {
                next = Some(next.map_or(report.next_at, |next| next.min(report.next_at)));
                continue;
            }
            // Not a change: nothing that a successor reads in the meantime, and it must be told of the end that the hand-over waits for.
            let told = tokio::select! {
                told = self.tell(&report) => told,
                () = self.inner.stopping.cancelled() => return Ok(None),
            };
            let (app, number, state) = (report.app, report.deployment, report.state);
            match told {
                Ok(()) => self.write(move |tx| tx.told(app, number, state)).await?,
                Err(hitch) => {
                    let at = match &hitch {
                        Hitch::Passing(_, at) if report.tries + 1 < TRIES_MAX => {
                            let wait = clock::now() + FIRST_WAIT.saturating_mul(1 << (2 * report.tries.min(10)));
                            Some(at.unwrap_or_default().max(wait))
                        }
                        Hitch::Passing(..) | Hitch::Lasting(_) => None,
                    };
                    let error = hitch.into_error();
                    tracing::info!(app = %report.name, deployment = %number, "GitHub was not told of a deployment: {}", error.message);
                    self.write(move |tx| tx.not_told(app, number, state, &error.message, at)).await?;
                    if let Some(at) = at {
                        next = Some(next.map_or(at, |next| next.min(at)));
                    }
                }
            }
        }
        Ok(next)
    }

    async fn tell(&self, report: &Report) -> std::result::Result<(), Hitch> {
        let client = &self.inner.hub.client;
        let odd = |error: &dyn std::fmt::Display| internal("tell GitHub of a deployment", error);
        let name = RepositoryName::parse(&report.full_name).map_err(|error| odd(&error))?;
        let commit = CommitSha::parse(&report.commit_id).map_err(|error| odd(&error))?;
        let token = self.repository_token(InstallationId(report.installation), RepositoryId(report.repository)).await?;
        let page = self.platform_url(&format!("/apps/{}/deployments/{}", report.name, report.deployment))?;
        let (state, remote, description) = words(report);
        let status = CommitStatus {
            state,
            context: format!("adaptable/{}", report.name),
            description: description.clone(),
            target: Some(page.clone()),
        };
        client.set_status(&token, &name, &commit, &status).await?;
        let id = if let Some(id) = report.remote {
            DeploymentId(id)
        } else {
            let new = NewDeployment {
                commit,
                environment: report.name.to_string(),
                description: format!("Deployment {} of {}", report.deployment, report.name),
            };
            let id = client.create_deployment(&token, &name, &new).await?;
            let (app, number) = (report.app, report.deployment);
            self.write(move |tx| tx.set_report_remote(app, number, id.0)).await?;
            id
        };
        let address = Url::parse(&self.urls().app(&report.name)).ok();
        let status = DeploymentStatus { state: remote, description, log: Some(page), environment_url: address };
        client.deployment_status(&token, &name, id, &status).await?;
        Ok(())
    }
}

/// A deployment's state in GitHub's words, and in a line for people.
fn words(report: &Report) -> (CommitState, Remote, String) {
    let line = |text: &str| text.to_owned();
    match report.state {
        DeploymentState::Queued => (CommitState::Pending, Remote::Queued, line("It waits for the deployment before it")),
        DeploymentState::Running => (CommitState::Pending, Remote::InProgress, line("It is being deployed")),
        DeploymentState::Live => (CommitState::Success, Remote::Success, line("It is live")),
        DeploymentState::Failed => {
            let why = report.error.as_deref().unwrap_or_default();
            (CommitState::Failure, Remote::Failure, format!("It failed: {why}"))
        }
        DeploymentState::Cancelled => (CommitState::Error, Remote::Inactive, line("It was cancelled")),
        DeploymentState::Superseded => (CommitState::Error, Remote::Inactive, line("A newer push took its place")),
    }
}

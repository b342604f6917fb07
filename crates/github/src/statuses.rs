//! What GitHub shows of a deployment: the mark beside a commit, and the repository's list of deployments.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::call::{Call, GitHub};
use crate::error::Result;
use crate::ids::{CommitSha, RepositoryName};
use crate::tokens::InstallationToken;

/// The longest description that GitHub takes, in characters.
const DESCRIPTION_MAX: usize = 140;

/// How a commit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitState {
    /// It is under way.
    Pending,
    /// It is live.
    Success,
    /// It did not come up.
    Failure,
    /// The platform could not try it.
    Error,
}

/// The mark beside a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// How it does.
    pub state: CommitState,
    /// Whose mark it is: one for each app, as `adaptable/NAME`.
    pub context: String,
    /// A line about it; what is beyond 140 characters is cut.
    pub description: String,
    /// Where more is to be seen.
    pub target: Option<Url>,
}

/// A deployment on GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(pub u64);

/// A deployment that is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// Which commit.
    pub commit: CommitSha,
    /// What the repository's page calls it, as `adaptable/NAME`.
    pub environment: String,
    /// A line about it; what is beyond 140 characters is cut.
    pub description: String,
}

/// How a deployment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// It waits its turn.
    Queued,
    /// It is under way.
    InProgress,
    /// It is live.
    Success,
    /// It did not come up.
    Failure,
    /// The platform could not try it.
    Error,
    /// Another one took its place.
    Inactive,
}

/// A word about a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// How it does.
    pub state: DeploymentState,
    /// A line about it; what is beyond 140 characters is cut.
    pub description: String,
    /// Where its log is.
    pub log: Option<Url>,
    /// Where the app is.
    pub environment_url: Option<Url>,
}

#[derive(Deserialize)]
struct Made {
    id: DeploymentId,
}

#[derive(Deserialize)]
struct Written {
    #[expect(dead_code, reason = "that it is there says that it was written")]
    created_at: Timestamp,
}

fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= DESCRIPTION_MAX {
        return line.to_owned();
    }
    line.chars().take(DESCRIPTION_MAX - 1).chain(['…']).collect()
}

impl GitHub {
    /// Marks a commit.
    pub async fn set_status(
        &self,
        token: &InstallationToken,
        name: &RepositoryName,
        commit: &CommitSha,
        status: &CommitStatus,
    ) -> Result<()> {
        let url = self.endpoints().resource(&["repos", name.owner(), name.name(), "statuses", commit.as_str()]);
        let mut body = json!({
            "state": status.state,
            "context": status.context,
            "description": cut(&status.description),
        });
        if let Some(target) = &status.target {
            body["target_url"] = json!(target.as_str());
        }
        let doing = format!("mark the commit {} of {name}", commit.short());
        let _written: Written = self.ask(Call::post(token.credentials(), url, doing, body)).await?;
        Ok(())
    }

    /// Tells of a deployment.
    pub async fn create_deployment(
        &self,
        token: &InstallationToken,
        name: &RepositoryName,
        deployment: &NewDeployment,
    ) -> Result<DeploymentId> {
        let url = self.endpoints().resource(&["repos", name.owner(), name.name(), "deployments"]);
        let body = json!({
            "ref": deployment.commit,
            "task": "deploy",
            "environment": deployment.environment,
            "description": cut(&deployment.description),
            // Neither merged into, nor held back by checks of others: the push is what was asked for.
            "auto_merge": false,
            "required_contexts": [],
            "transient_environment": false,
            "production_environment": true,
        });
        let made: Made = self.ask(Call::post(token.credentials(), url, format!("tell {name} of the deployment"), body)).await?;
        Ok(made.id)
    }

    /// Tells how a deployment does. A success makes older ones of the same environment inactive.
    pub async fn deployment_status(
        &self,
        token: &InstallationToken,
        name: &RepositoryName,
        deployment: DeploymentId,
        status: &DeploymentStatus,
    ) -> Result<()> {
        let id = deployment.0.to_string();
        let url = self.endpoints().resource(&["repos", name.owner(), name.name(), "deployments", &id, "statuses"]);
        let mut body = json!({ "state": status.state, "description": cut(&status.description), "auto_inactive": true });
        if let Some(log) = &status.log {
            body["log_url"] = json!(log.as_str());
        }
        if let Some(url) = &status.environment_url {
            body["environment_url"] = json!(url.as_str());
        }
        let call = Call::post(token.credentials(), url, format!("tell {name} how the deployment does"), body);
        let _written: Written = self.ask(call).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_fit() {
        assert_eq!(cut("short\nsecond line"), "short");
        assert_eq!(cut(&"ä".repeat(140)), "ä".repeat(140));
        let long = cut(&"ä".repeat(141));
        assert_eq!((long.chars().count(), long.ends_with('…')), (140, true));
    }
}

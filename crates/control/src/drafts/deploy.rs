//! The last step: a draft becomes an app and its first deployment, once.

use api::{Accepted, DeployOptions, ErrorBody, ErrorCode, PreflightState};

use model::AppName;

use super::{Deployed, DraftSource, facts, owner};
use crate::access::Who;
use crate::deploy::Request;
use crate::error::Result;
use crate::{Control, clock};

impl Control {
    /// Deploys a draft. A second call finds the deployment of the first, whatever came in between.
    pub async fn deploy_draft(&self, who: &Who, id: &str) -> Result<Accepted> {
        // Before the checks: what another click is making would make the name look taken.
        let _one_by_one = self.inner.drafts.deploying.lock().await;
        if let Some(before) = self.draft(who, id).await?.draft.deployed {
            return Ok(Accepted { app: before.app, deployment: before.deployment });
        }
        let report = self.check_draft(who, id).await?;
        if let Some(check) = report.checks.iter().find(|check| check.state == PreflightState::Failed) {
            return Err(
                ErrorBody::new(ErrorCode::Conflict, format!("{}: {}", check.title, check.reason)).help(check.help.clone())
            );
        }
        let view = self.draft(who, id).await?;
        let draft = view.draft;
        if let Some(before) = draft.deployed {
            return Ok(Accepted { app: before.app, deployment: before.deployment });
        }
        let missing = |what: &str| ErrorBody::new(ErrorCode::Conflict, format!("{what} before it can be deployed"));
        let name = draft.name.clone().ok_or_else(|| missing("the app needs a name"))?;
        if !draft.listens {
            return Err(missing("confirm that the app listens for HTTP requests on the port given by PORT")
                .help("tick the box \"HTTP Listener on PORT\""));
        }
        let source = draft.source.clone().ok_or_else(|| missing("the app needs a source"))?;
        let upload = source.upload().map(ToOwned::to_owned).ok_or_else(|| missing("the source has to be fetched"))?;
        let upload = self.inner.uploads.known(&upload)?;
        let commit = match &source {
            DraftSource::GitHub { commit, .. } => commit.clone(),
            DraftSource::Upload { .. } => None,
        };
        let options = DeployOptions { settings: Some(draft.settings.clone()), ..DeployOptions::default() };
        let entry = self.create(who, &name, &options).await?;
        if let Err(error) = self.link_draft(who, &name, &source).await {
            // Nothing is half made: it can be tried again under the same name.
            return Err(self.unmade(&name, error).await);
        }
        let commit_id = commit.as_ref().map(|commit| commit.id.clone()).filter(|id| !id.is_empty());
        let request = Request::Source { upload, commit };
        let deployment = match self.enqueue(&entry, store::DeploymentKind::Source, request, commit_id).await {
            Ok(deployment) => deployment,
            Err(error) => return Err(self.unmade(&name, error).await),
        };
        let mut after = draft;
        after.deployed = Some(Deployed { app: name.clone(), deployment });
        let (owner, id, now) = (owner(who)?, view.id, clock::now());
        self.write(move |tx| tx.set_draft(owner.0, &id, &after, facts(&after), now)).await?;
        Ok(Accepted { app: name, deployment })
    }

    /// Takes back an app that was made a moment ago; gives the error for which it is.
    async fn unmade(&self, name: &AppName, error: ErrorBody) -> ErrorBody {
        if let Err(left) = self.delete(name, true).await {
            tracing::warn!(app = %name, error = %left.message, "an app that was made in vain is left");
        }
        error
    }

    /// From now on a push to the branch deploys.
    async fn link_draft(&self, who: &Who, name: &AppName, source: &DraftSource) -> Result<()> {
        if let DraftSource::GitHub { repository, branch, .. } = source {
            self.link_app(who, name, *repository, branch.as_deref(), true).await?;
        }
        Ok(())
    }
}

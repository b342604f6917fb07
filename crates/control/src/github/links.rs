//! Where an app's source comes from: a branch of a repository, chosen by somebody who may see it, deployed on demand and by pushes.

use std::sync::Arc;

use api::{Accepted, AppSource, DeployOptions, ErrorBody, ErrorCode, SourceTrouble};
use github::{CommitSha, GitHubError, RepositoryId};
use model::{AppName, DeploymentNumber};
use store::{AppId, DeploymentKind, NewReport, SourceRow};

use super::fetched::no_branch;
use super::{Branch, GitHubSource, from_github};
use crate::access::Who;
use crate::deploy::Request;
use crate::error::Result;
use crate::registry::Entry;
use crate::{Control, clock};

impl Control {
    /// The branch that an app is deployed from, where it is one of GitHub's.
    pub async fn app_source(&self, app: &AppName) -> Result<Option<AppSource>> {
        let id = self.entry(app)?.id;
        let row = self.read(move |tx| tx.app_source(id)).await?;
        Ok(row.map(|row| self.source_document(row)))
    }

    /// Deploys an app from a branch from now on: from the next push, or the next "Update Deployment". The one who asks must see the
    /// repository, and the branch must be there.
    pub async fn link_app(
        &self,
        who: &Who,
        app: &AppName,
        repository: u64,
        branch: Option<&str>,
        auto_deploy: bool,
    ) -> Result<AppSource> {
        let entry = self.entry(app)?;
        let seen = self.find_repository(who, RepositoryId(repository)).await?;
        let branch = branch.unwrap_or(&seen.repository.default_branch);
        let token = self.repository_token(seen.installation, seen.repository.id).await?;
        let name = &seen.repository.name;
        let head = self.inner.hub.client.head(&token, name, branch).await.map_err(|error| match error {
            GitHubError::NotFound { .. } => no_branch(branch, name.as_str()),
            error => from_github(error),
        })?;
        let row = SourceRow {
            repository,
            full_name: name.as_str().to_owned(),
            installation: seen.installation.0,
            branch: branch.to_owned(),
            auto_deploy,
            push_before: String::new(),
            push_after: String::new(),
            // The next one deploys, and not this one.
            head: head.id.as_str().to_owned(),
            trouble: None,
            linked_at: clock::now(),
        };
        let (id, kept) = (entry.id, row.clone());
        self.write(move |tx| tx.set_app_source(id, &kept)).await?;
        tracing::info!(%app, repository = %row.full_name, branch = %row.branch, "linked to GitHub");
        Ok(self.source_document(row))
    }

    /// Says whether pushes deploy an app.
    pub async fn set_auto_deploy(&self, app: &AppName, auto_deploy: bool) -> Result<AppSource> {
        let id = self.entry(app)?.id;
        let row = self
            .write(move |tx| {
                tx.set_auto_deploy(id, auto_deploy)?;
                tx.app_source(id)
            })
            .await?;
        row.map(|row| self.source_document(row)).ok_or_else(|| not_linked(app))
    }

    /// Deploys an app from GitHub no more. What is served is served on.
    pub async fn unlink_app(&self, app: &AppName) -> Result<()> {
        let id = self.entry(app)?.id;
        if self.write(move |tx| tx.remove_app_source(id)).await? { Ok(()) } else { Err(not_linked(app)) }
    }

    /// Deploys the newest commit of a branch as an app, which is created where it is missing, and links the app to the branch. The one
    /// who asks must see the repository. This is what the wizard ends with.
    pub async fn deploy_github(
        &self,
        who: &Who,
        app: &AppName,
        repository: u64,
        branch: &str,
        options: &DeployOptions,
    ) -> Result<Accepted> {
        let seen = self.find_repository(who, RepositoryId(repository)).await?;
        let at = Branch { repository, installation: seen.installation.0, name: branch.to_owned() };
        let source = self.fetch_head(&at).await?;
        let entry = self.prepare(who, app, options).await?;
        let row = SourceRow {
            repository,
            full_name: source.full_name.clone(),
            installation: at.installation,
            branch: branch.to_owned(),
            auto_deploy: true,
            push_before: String::new(),
            push_after: String::new(),
            head: source.commit.id.clone(),
            trouble: None,
            linked_at: clock::now(),
        };
        let id = entry.id;
        self.write(move |tx| tx.set_app_source(id, &row)).await?;
        self.enqueue_fetched(&entry, &at, source, |_, _, _| Ok(())).await
    }

    /// "Update Deployment": the head of the branch that the app is linked to, or the last source again. With the settings of now.
    pub async fn update_deployment(&self, app: &AppName) -> Result<Accepted> {
        let entry = self.entry(app)?;
        let id = entry.id;
        let Some(row) = self.read(move |tx| tx.app_source(id)).await? else { return self.deploy_again(&entry).await };
        let at = Branch { repository: row.repository, installation: row.installation, name: row.branch };
        let source = self.fetch_head(&at).await?;
        let head = source.commit.id.clone();
        let done = move |tx: &store::Tx<'_>, app, _| {
            tx.set_source_head(app, &head)?;
            // What stood in the way does so no more.
            tx.set_source_trouble(app, None)
        };
        self.enqueue_fetched(&entry, &at, source, done).await
    }

    /// A commit of the repository that an app is linked to, by its whole id.
    pub async fn deploy_commit(&self, app: &AppName, commit: &str) -> Result<Accepted> {
        let entry = self.entry(app)?;
        let commit = CommitSha::parse(commit).map_err(|error| ErrorBody::new(ErrorCode::BadRequest, error.to_string()))?;
        let id = entry.id;
        let row = self.read(move |tx| tx.app_source(id)).await?.ok_or_else(|| not_linked(app))?;
        let at = Branch { repository: row.repository, installation: row.installation, name: row.branch };
        let source = self.fetch_commit(&at, &commit).await?;
        self.enqueue_fetched(&entry, &at, source, |_, _, _| Ok(())).await
    }

    /// Deploys a commit that was fetched. GitHub is told how it does; `also` is written in the same step.
    pub(super) async fn enqueue_fetched(
        &self,
        entry: &Arc<Entry>,
        at: &Branch,
        source: GitHubSource,
        also: impl FnOnce(&store::Tx<'_>, AppId, DeploymentNumber) -> std::result::Result<(), store::StoreError> + Send + 'static,
    ) -> Result<Accepted> {
        let report = NewReport {
            repository: at.repository,
            full_name: source.full_name,
            installation: at.installation,
            commit_id: source.commit.id.clone(),
        };
        let (id, now) = (entry.id, clock::now());
        let commit_id = Some(source.commit.id.clone());
        let request = Request::Source { upload: source.upload, commit: Some(source.commit) };
        let both = move |tx: &store::Tx<'_>, number: DeploymentNumber| {
            tx.create_report(id, number, &report, now)?;
            also(tx, id, number)
        };
        let deployment = self.enqueue_with(entry, DeploymentKind::Source, request, commit_id, both).await?;
        Ok(Accepted { app: entry.name.clone(), deployment })
    }

    /// The last source once more, with the settings of now.
    async fn deploy_again(&self, entry: &Arc<Entry>) -> Result<Accepted> {
        let (id, app) = (entry.id, &entry.name);
        let last = self
            .read(move |tx| {
                let rows = tx.deployments(id, 100)?;
                let source = rows.into_iter().find(|row| row.kind == DeploymentKind::Source);
                source.map(|row| tx.deployment_request::<Request>(id, row.number)).transpose().map(Option::flatten)
            })
            .await?;
        let Some(Request::Source { upload, commit }) = last else {
            return Err(ErrorBody::new(ErrorCode::Conflict, format!("{app} was never deployed from a source"))
                .help("deploy a directory with `adaptable deploy`, push with git, or connect a GitHub repository"));
        };
        let upload = self.inner.uploads.known(&upload).map_err(|_gone| {
            ErrorBody::new(
                ErrorCode::Conflict,
                format!("the last source of {app} is not kept any more (uploads are kept for an hour)"),
            )
            .help("deploy the directory again, push with git, or connect a GitHub repository")
        })?;
        let commit_id = commit.as_ref().map(|commit| commit.id.clone());
        let request = Request::Source { upload, commit };
        let deployment = self.enqueue(entry, DeploymentKind::Source, request, commit_id).await?;
        Ok(Accepted { app: app.clone(), deployment })
    }

    fn source_document(&self, row: SourceRow) -> AppSource {
        let name = github::RepositoryName::parse(&row.full_name);
        let page = name.map(|name| self.github_endpoints().repository_page(&name).into()).unwrap_or_default();
        AppSource {
            repository_id: row.repository,
            repository: row.full_name,
            installation: row.installation,
            branch: row.branch,
            auto_deploy: row.auto_deploy,
            page,
            linked_at: clock::timestamp(row.linked_at),
            trouble: row.trouble.map(|trouble| SourceTrouble {
                message: trouble.message,
                help: trouble.help,
                at: clock::timestamp(trouble.at),
            }),
        }
    }

    /// What people should know of an app's link to GitHub.
    pub(crate) async fn github_warnings(&self, entry: &Entry) -> Result<Vec<String>> {
        let id = entry.id;
        let (row, report) = self.read(move |tx| Ok((tx.app_source(id)?, tx.report_problem(id)?))).await?;
        let mut warnings = Vec::new();
        if let Some(row) = &row {
            if let Some(trouble) = &row.trouble {
                warnings.push(format!("{}; {}", trouble.message, trouble.help));
            } else if !self.has_github() {
                warnings.push(format!(
                    "{} is not deployed by pushes: this platform is not connected to GitHub any more",
                    row.full_name
                ));
            }
        }
        if let Some(problem) = report {
            warnings.push(format!("GitHub does not show the last deployment: {problem}"));
        }
        Ok(warnings)
    }
}

fn not_linked(app: &AppName) -> ErrorBody {
    ErrorBody::new(ErrorCode::Conflict, format!("{app} is not linked to a repository on GitHub"))
        .help("`adaptable source APP set OWNER/NAME BRANCH` links it, and so do its settings in the dashboard")
}

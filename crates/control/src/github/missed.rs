//! What GitHub's deliveries do not bring: pushes that it could not tell of, and pushes whose deployment the platform's end cut short.
//!
//! Both become deliveries of the platform's own. They are worked off like GitHub's: one after the other for each repository, tried again
//! while something stands in the way, and listed for operators. GitHub does not send again what it could not deliver, and forgets it after
//! three days; so not its list of deliveries is asked, but the branches themselves, each against the commit that was last dealt with.

use std::collections::BTreeMap;
use std::time::Duration;

use github::{CommitSha, GitHubError, InstallationId, Push, RepositoryId, RepositoryName, RepositoryRef};
use model::{AppName, DeploymentNumber, StarterKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{AppId, Deployment, DeploymentKind, SourceRow, StoreError, Trouble, Tx};

use super::{Branch, GitHubSource, Hitch, lock};
use crate::deploy::Request;
use crate::error::{Result, internal};
use crate::starter::asked_by;
use crate::{Control, clock};

/// The event of a deployment that was cut short. No event of GitHub's has a space in its name.
pub(super) const INTERRUPTED: &str = "interrupted push";
/// The event of a push that GitHub did not tell of.
pub(super) const MISSED: &str = "missed push";

/// How long after its start the platform first looks: what GitHub is just delivering comes by itself.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// How often it looks.
const PERIOD: Duration = Duration::from_mins(10);
/// How much longer for each branch: two questions each are then a fifth of what GitHub answers an installation in an hour.
const EACH: Duration = Duration::from_secs(8);
/// How every trouble begins that looking has noted, and that it takes away again.
const UNSEEN: &str = "the GitHub App does not see";
/// When it looks again where GitHub did not answer, or where something was on its way.
const SOON: Duration = Duration::from_mins(1);

/// A deployment of a push that is to be done once more.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Retry {
    app: AppName,
    id: i64,
    deployment: DeploymentNumber,
}

/// A push that was found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    repository: RepositoryId,
    name: RepositoryName,
    installation: InstallationId,
    branch: String,
    before: CommitSha,
    after: CommitSha,
}

/// What a delivery of the platform's own says.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| internal("read what it has noted for itself", &error))
}

/// The push as GitHub would have told of it.
pub(super) fn push(found: Found) -> Push {
    Push {
        repository: RepositoryRef { id: found.repository, name: found.name, is_private: true, default_branch: None },
        git_ref: format!("refs/heads/{}", found.branch),
        is_created: found.before.is_none(),
        before: found.before,
        after: found.after,
        is_deleted: false,
        is_forced: false,
        head: None,
        installation: Some(found.installation),
        sender: None,
    }
}

/// Notes which of the deployments that a killed platform has left open are to be done once more: of each app the newest, where a push
/// asked for it, nothing but changed settings came after it, and it is no second try itself. One that ends its platform does so twice.
pub(crate) fn once_more(
    tx: &Tx<'_>,
    open: &[(AppId, AppName, DeploymentNumber)],
    now: i64,
) -> std::result::Result<Vec<(AppId, DeploymentNumber)>, StoreError> {
    let mut newest: BTreeMap<AppId, (&AppName, Deployment)> = BTreeMap::new();
    for (id, name, number) in open {
        let Some(row) = tx.deployment(*id, *number)? else { continue };
        if row.kind != DeploymentKind::Settings && newest.get(id).is_none_or(|(_, before)| before.number < *number) {
            newest.insert(*id, (name, row));
        }
    }
    let mut again = Vec::new();
    for (id, (name, row)) in newest {
        let Some(source) = tx.app_source(id)? else { continue };
        let pushed = row.by.is_some_and(|by| by.kind == StarterKind::Push);
        if !pushed || row.retry_of.is_some() || !source.auto_deploy {
            continue;
        }
        let number = row.number;
        let retry = Retry { app: name.clone(), id: id.0, deployment: number };
        let body = serde_json::to_vec(&retry).unwrap_or_default();
        // With the time: another app of that name may come after this one.
        tx.receive_delivery(&format!("interrupted-{name}-{number}-{now}"), INTERRUPTED, Some(source.repository), &body, now)?;
        again.push((id, number));
    }
    Ok(again)
}

/// Notes with the apps of a branch what stands in the way, or that nothing does, where what was noted before is such.
fn note(
    tx: &Tx<'_>,
    of: &SourceRow,
    such: impl Fn(Option<&Trouble>) -> bool,
    trouble: Option<&Trouble>,
) -> std::result::Result<(), StoreError> {
    for (app, _, row) in tx.app_sources(Some(of.repository))? {
        if row.branch == of.branch && such(row.trouble.as_ref()) {
            tx.set_source_trouble(app, trouble)?;
        }
    }
    Ok(())
}

impl Control {
    /// Deploys once more what was cut short, unless something else has come meanwhile; says what was done.
    pub(super) async fn retry(&self, retry: &Retry, seq: i64) -> std::result::Result<String, Hitch> {
        let (app, number) = (&retry.app, retry.deployment);
        let Some(entry) = self.inner.registry.get(app.as_str()).filter(|entry| entry.id.0 == retry.id) else {
            return Ok(format!("{app} was deleted meanwhile"));
        };
        let id = entry.id;
        let (source, later, request, by) = self
            .read(move |tx| {
                let mut later = tx.deployments(id, 100)?.into_iter().take_while(|row| row.number > number);
                let later = later.any(|row| row.kind != DeploymentKind::Settings);
                let by = tx.deployment(id, number)?.and_then(|row| row.by);
                Ok((tx.app_source(id)?, later, tx.deployment_request::<Request>(id, number)?, by))
            })
            .await?;
        if later {
            return Ok(format!("{app}: a newer deployment took its place"));
        }
        let (Some(row), Some(Request::Source { upload, commit: Some(commit) })) = (source, request) else {
            return Ok(format!("{app} is not linked to GitHub any more"));
        };
        // Another branch is chosen by another link, which knows no push yet.
        if !row.auto_deploy || row.push_after != commit.id {
            return Ok(format!("{app}: pushes do not deploy that branch any more"));
        }
        let at = Branch { repository: row.repository, installation: row.installation, name: row.branch };
        let sha = CommitSha::parse(&commit.id).map_err(|error| internal("name a commit on GitHub", &error))?;
        let fetched = match self.inner.uploads.known(&upload) {
            Ok(upload) => GitHubSource { upload, commit, notes: Vec::new(), full_name: row.full_name },
            Err(_gone) => self.fetch_commit(&at, &sha).await?,
        };
        let words = format!("deploying {} once more", sha.short());
        let done = move |tx: &Tx<'_>, app: AppId, new: DeploymentNumber| {
            tx.set_retry_of(app, new, number)?;
            tx.progress_delivery(seq, &words)
        };
        let accepted = asked_by(by, self.enqueue_fetched(&entry, &at, fetched, done)).await?;
        Ok(format!("{app}: deployment {}, the second try of {number}", accepted.deployment))
    }

    /// Looks, at the start and now and then, whether branches have commits that nobody told of.
    pub(super) async fn look_for_missed_pushes(self) {
        let mut wait = FIRST_LOOK;
        loop {
            tokio::select! {
                () = self.inner.stopping.cancelled() => return,
                () = self.inner.hub.looks.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = tokio::select! {
                () = self.inner.stopping.cancelled() => return,
                wait = self.look_at_branches() => wait,
            };
        }
    }

    /// Looks at every branch that pushes deploy from; says when to look again.
    async fn look_at_branches(&self) -> Duration {
        if !self.has_github() {
            return PERIOD;
        }
        let Ok(apps) = self.read(|tx| tx.app_sources(None)).await else { return PERIOD };
        // One question for all apps of a branch.
        let branches: BTreeMap<(u64, String), SourceRow> = apps
            .into_iter()
            .filter(|(_, _, row)| row.auto_deploy)
            .map(|(_, _, row)| ((row.repository, row.branch.clone()), row))
            .collect();
        let mut wait = PERIOD.max(EACH * u32::try_from(branches.len()).unwrap_or(u32::MAX));
        for row in branches.into_values() {
            match self.look_at(&row).await {
                Ok(true) => {}
                Ok(false) => wait = SOON,
                Err(Hitch::Passing(error, at)) => {
                    tracing::info!(repository = %row.full_name, "look for pushes that were missed: {}", error.message);
                    // What comes in the way of one question would come in the way of the others.
                    let at = at.map(|at| Duration::from_millis(u64::try_from(at - clock::now()).unwrap_or_default()));
                    return at.unwrap_or(SOON).max(SOON);
                }
                // It is the App's keys that are wrong, which is said elsewhere.
                Err(Hitch::Lasting(_)) if *lock(&self.inner.hub.broken) => return wait,
                // Of a repository that has gone where the App is not, GitHub tells nobody.
                Err(Hitch::Lasting(error)) => {
                    let trouble = Trouble {
                        message: format!("{UNSEEN} {} (any more): {}", row.full_name, error.message),
                        help: "install it where the repository is now, or choose another one in the app's settings".to_owned(),
                        at: clock::now(),
                    };
                    let noted = self.write(move |tx| note(tx, &row, |before| before.is_none(), Some(&trouble))).await;
                    if let Err(error) = noted {
                        tracing::warn!(error = %error.message, "note that a repository is not seen");
                    }
                }
            }
        }
        wait
    }

    /// Looks at one branch. False: something of its repository is on its way, and it is too early to say.
    async fn look_at(&self, row: &SourceRow) -> std::result::Result<bool, Hitch> {
        let Ok(_change) = self.begin_change() else { return Ok(false) };
        let (repository, installation) = (RepositoryId(row.repository), InstallationId(row.installation));
        let token = self.repository_token(installation, repository).await?;
        let client = &self.inner.hub.client;
        let name = client.repository_by_id(&token, repository).await?.name;
        let head = match client.head(&token, &name, &row.branch).await {
            Ok(head) => head.id,
            Err(GitHubError::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let (row, now) = (row.clone(), clock::now());
        let (settled, found) = self
            .write(move |tx| {
                if tx.waiting_deliveries()?.iter().any(|delivery| delivery.repository == Some(row.repository)) {
                    return Ok((false, false));
                }
                note(tx, &row, |before| before.is_some_and(|it| it.message.starts_with(UNSEEN)), None)?;
                // A new name that nobody told of.
                if row.full_name != name.as_str() {
                    tx.move_repository(row.repository, name.as_str(), None)?;
                }
                let mut before = None;
                for (app, _, row) in
                    tx.app_sources(Some(row.repository))?.into_iter().filter(|(_, _, it)| it.branch == row.branch)
                {
                    if row.head.is_empty() {
                        tx.set_source_head(app, head.as_str())?;
                    } else if row.head != head.as_str() && row.auto_deploy {
                        before = CommitSha::parse(&row.head).ok();
                    }
                }
                let Some(before) = before else { return Ok((true, false)) };
                let id = format!("missed-{}-{now}", head.short());
                let found = Found { repository, name, installation, branch: row.branch, before, after: head };
                tx.receive_delivery(&id, MISSED, Some(repository.0), &serde_json::to_vec(&found).unwrap_or_default(), now)?;
                Ok((true, true))
            })
            .await?;
        if found {
            self.inner.hub.deliveries.notify_one();
        }
        Ok(settled)
    }
}

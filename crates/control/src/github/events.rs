//! What an event does: a push deploys, and whatever changes at GitHub is noted where it matters.

use api::ErrorBody;
use github::{
    Account, Event, InstallationAction, InstallationEvent, InstallationId, Push, RepositoriesEvent, RepositoryAction,
    RepositoryEvent, RepositoryId, RepositoryRef,
};
use model::{AppName, DeploymentNumber, Starter, StarterKind};
use store::{AppId, InstallationRow, SourceRow, Trouble, Tx};

use super::sight::kind;
use super::{Branch, Hitch};
use crate::error::Result;
use crate::starter::asked_by;
use crate::{Control, clock};

type Stored = std::result::Result<(), store::StoreError>;

impl Control {
    /// Does what an event asks for; says what was done.
    pub(super) async fn carry_out(&self, event: &Event, seq: i64) -> std::result::Result<String, Hitch> {
        match event {
            Event::Push(push) => self.pushed(push, seq).await,
            Event::Installation(event) => Ok(self.installation_changed(event).await?),
            Event::InstallationRepositories(event) => Ok(self.repositories_changed(event).await?),
            Event::Repository(event) => self.repository_changed(event).await,
            Event::AccountRenamed { account, installation, .. } => Ok(self.account_renamed(account, *installation).await?),
            Event::AuthorizationRevoked { user } => {
                let user = *user;
                self.write(move |tx| tx.revoke_github_token(user)).await?;
                self.look_anew();
                Ok("the user's tokens were forgotten".to_owned())
            }
            Event::Ping(_) | Event::Other(_) => Ok("nothing to do".to_owned()),
        }
    }

    /// The apps that a push is for.
    async fn concerned(&self, push: &Push) -> Result<Vec<(AppId, AppName, SourceRow)>> {
        let repository = push.repository.id.0;
        let apps = self.read(move |tx| tx.app_sources(Some(repository))).await?;
        Ok(apps.into_iter().filter(|(_, _, row)| push.branch() == Some(row.branch.as_str())).collect())
    }

    async fn pushed(&self, push: &Push, seq: i64) -> std::result::Result<String, Hitch> {
        let apps = self.concerned(push).await?;
        if apps.is_empty() {
            return Ok(format!("no app comes from {} of {}", short(&push.git_ref), push.repository.name));
        }
        let mut said = Vec::new();
        for (id, app, row) in apps {
            said.push(format!("{app}: {}", self.pushed_to(push, seq, id, &app, row).await?));
        }
        Ok(said.join("; "))
    }

    async fn pushed_to(
        &self,
        push: &Push,
        seq: i64,
        id: AppId,
        app: &AppName,
        row: SourceRow,
    ) -> std::result::Result<String, Hitch> {
        let name = push.repository.name.as_str().to_owned();
        if push.is_deleted {
            let trouble = trouble(
                format!("the branch {} of {name} was deleted on GitHub", row.branch),
                "what is live stays; push the branch again, or choose another one in the app's settings",
            );
            self.write(move |tx| tx.set_source_trouble(id, Some(&trouble))).await?;
            return Ok("its branch was deleted".to_owned());
        }
        let (before, after) = (push.before.as_str().to_owned(), push.after.as_str().to_owned());
        // Told of twice, or found before GitHub told of it, or deployed by hand in the meantime.
        if (&row.push_before, &row.push_after) == (&before, &after) || row.head == after {
            return Ok("this push was deployed before".to_owned());
        }
        // GitHub keeps no order: a push that ended where one that was deployed already began is the older one.
        if row.push_before == after && row.push_after != before {
            return Ok("a newer push was deployed before".to_owned());
        }
        let Ok(entry) = self.entry(app) else { return Ok("it was deleted meanwhile".to_owned()) };
        if !row.auto_deploy {
            return Ok("pushes do not deploy it".to_owned());
        }
        let installation = push.installation.map_or(row.installation, |id| id.0);
        let at = Branch { repository: row.repository, installation, name: row.branch };
        let source = self.fetch_commit(&at, &push.after).await?;
        let (repository, full_name) = (at.repository, source.full_name.clone());
        let done = move |tx: &Tx<'_>, app: AppId, _: DeploymentNumber| -> Stored {
            tx.set_source_push(app, &before, &after)?;
            tx.set_source_trouble(app, None)?;
            tx.move_repository(repository, &full_name, Some(installation))?;
            // Noted at once: a platform that is killed now does not deploy this again.
            tx.progress_delivery(seq, &format!("deploying {}", &after[..7]))
        };
        let by = Starter { kind: StarterKind::Push, name: push.sender.clone().unwrap_or_default() };
        let accepted = asked_by(Some(by), self.enqueue_fetched(&entry, &at, source, done)).await?;
        Ok(format!("deployment {} of {}", accepted.deployment, push.after.short()))
    }

    /// Notes, with every app that a push was for, that it could not be deployed.
    pub(super) async fn push_troubles(&self, push: &Push, error: &ErrorBody, then: Option<&str>) {
        let noted = async {
            for (id, _, _) in self.concerned(push).await? {
                let message = format!("the push of {} was not deployed: {}", push.after.short(), error.message);
                let trouble = trouble(message, then.unwrap_or(&error.help));
                self.write(move |tx| tx.set_source_trouble(id, Some(&trouble))).await?;
            }
            Ok::<_, ErrorBody>(())
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error.message, "note what came in the way of a push");
        }
    }

    async fn installation_changed(&self, event: &InstallationEvent) -> Result<String> {
        self.inner.hub.forget(event.installation);
        let (id, account) = (event.installation.0, event.account.login.clone());
        match &event.action {
            InstallationAction::Deleted => {
                let trouble = trouble(
                    format!("the GitHub App was removed from {account}, so pushes are not told of any more"),
                    "install it again with \"Connect GitHub Repository\", or choose another repository in the app's settings",
                );
                self.write(move |tx| {
                    tx.remove_installation(id)?;
                    troubles(tx, Some(&trouble), |row| row.installation == id)
                })
                .await?;
                Ok(format!("the App was removed from {account}"))
            }
            InstallationAction::Suspended => {
                let trouble = trouble(
                    format!("the GitHub App is suspended for {account}, so pushes are not told of"),
                    "unsuspend it in the account's settings on GitHub, under \"Installed GitHub Apps\"",
                );
                let row = installation_row(event.installation, &event.account, true);
                self.write(move |tx| {
                    tx.set_installation(&row)?;
                    troubles(tx, Some(&trouble), |row| row.installation == id)
                })
                .await?;
                Ok(format!("the App is suspended for {account}"))
            }
            InstallationAction::Created | InstallationAction::Unsuspended => {
                self.inner.hub.looks.notify_one();
                let row = installation_row(event.installation, &event.account, false);
                let found = event.repositories.clone();
                self.write(move |tx| {
                    tx.set_installation(&row)?;
                    troubles(tx, None, |row| row.installation == id)?;
                    regained(tx, id, &found)
                })
                .await?;
                Ok(format!("the App is installed on {account}"))
            }
            InstallationAction::Other(action) => Ok(format!("nothing to do for {action}")),
        }
    }

    async fn repositories_changed(&self, event: &RepositoriesEvent) -> Result<String> {
        self.inner.hub.forget(event.installation);
        let id = event.installation.0;
        let row = installation_row(event.installation, &event.account, false);
        let (added, removed) = (event.added.clone(), event.removed.clone());
        let words = format!("{} more, {} fewer repositories of {}", added.len(), removed.len(), event.account.login);
        self.write(move |tx| {
            tx.set_installation(&row)?;
            for gone in &removed {
                let trouble = trouble(
                    format!("{} was taken away from the GitHub App, so pushes are not told of any more", gone.name),
                    "add it again with \"Add more GitHub repositories\", or choose another one in the app's settings",
                );
                troubles(tx, Some(&trouble), |row| row.installation == id && row.repository == gone.id.0)?;
            }
            regained(tx, id, &added)
        })
        .await?;
        Ok(words)
    }

    async fn repository_changed(&self, event: &RepositoryEvent) -> std::result::Result<String, Hitch> {
        if let Some(installation) = event.installation {
            self.inner.hub.forget(installation);
        }
        let RepositoryRef { id: RepositoryId(id), name, .. } = event.repository.clone();
        let apps = self.read(move |tx| tx.app_sources(Some(id))).await?;
        if apps.is_empty() {
            return Ok(format!("no app comes from {name}"));
        }
        let full_name = name.as_str().to_owned();
        match &event.action {
            RepositoryAction::Renamed { .. } => {
                self.write(move |tx| tx.move_repository(id, &full_name, None)).await?;
                Ok(format!("it is called {name} now"))
            }
            RepositoryAction::Transferred { .. } => {
                // The App may be installed at the new owner's, or not.
                let installation = event.installation.map_or(apps[0].2.installation, |it| it.0);
                let opens = self.repository_token(InstallationId(installation), RepositoryId(id)).await;
                let trouble = match opens {
                    Ok(_token) => None,
                    Err(passing @ Hitch::Passing(..)) => return Err(passing),
                    Err(Hitch::Lasting(_)) => Some(trouble(
                        format!("the repository belongs to {} now, where the GitHub App does not see it", name.owner()),
                        "its new owner has to install the App and to choose it; then choose it again in the app's settings",
                    )),
                };
                self.write(move |tx| {
                    tx.move_repository(id, &full_name, Some(installation))?;
                    troubles(tx, trouble.as_ref(), |row| row.repository == id)
                })
                .await?;
                Ok(format!("it belongs to {} now", name.owner()))
            }
            RepositoryAction::Deleted => {
                let trouble = trouble(
                    format!("the repository {name} was deleted on GitHub"),
                    "what is live stays; choose another repository in the app's settings",
                );
                self.write(move |tx| troubles(tx, Some(&trouble), |row| row.repository == id)).await?;
                Ok("it was deleted".to_owned())
            }
            RepositoryAction::Archived => {
                let trouble = trouble(
                    format!("the repository {name} was archived on GitHub, so it takes no pushes"),
                    "what is live stays; unarchive it on GitHub, or choose another repository in the app's settings",
                );
                self.write(move |tx| troubles(tx, Some(&trouble), |row| row.repository == id)).await?;
                Ok("it was archived".to_owned())
            }
            RepositoryAction::Unarchived => {
                self.write(move |tx| troubles(tx, None, |row| row.repository == id)).await?;
                Ok("it takes pushes again".to_owned())
            }
            _ => Ok("nothing to do".to_owned()),
        }
    }

    /// An account's new login is the owner in every name of its repositories.
    async fn account_renamed(&self, account: &Account, installation: Option<InstallationId>) -> Result<String> {
        let Some(InstallationId(id)) = installation else { return Ok("nothing to do".to_owned()) };
        self.inner.hub.forget(InstallationId(id));
        let row = installation_row(InstallationId(id), account, false);
        let login = account.login.clone();
        self.write(move |tx| {
            tx.set_installation(&row)?;
            for (_, _, source) in tx.app_sources(None)?.into_iter().filter(|(_, _, source)| source.installation == id) {
                let name = source.full_name.split_once('/').map_or("", |(_, name)| name);
                tx.move_repository(source.repository, &format!("{login}/{name}"), None)?;
            }
            Ok(())
        })
        .await?;
        Ok(format!("the account is called {} now", account.login))
    }
}

/// Notes trouble, or that there is none, with the apps whose source is one of those.
fn troubles(tx: &Tx<'_>, trouble: Option<&Trouble>, is_meant: impl Fn(&SourceRow) -> bool) -> Stored {
    for (app, _, row) in tx.app_sources(None)? {
        if is_meant(&row) {
            tx.set_source_trouble(app, trouble)?;
        }
    }
    Ok(())
}

/// Repositories can be seen (again), perhaps through another installation.
fn regained(tx: &Tx<'_>, installation: u64, list: &[RepositoryRef]) -> Stored {
    for found in list {
        tx.move_repository(found.id.0, found.name.as_str(), Some(installation))?;
        troubles(tx, None, |row| row.repository == found.id.0)?;
    }
    Ok(())
}

fn installation_row(id: InstallationId, account: &Account, suspended: bool) -> InstallationRow {
    InstallationRow {
        id: id.0,
        account: account.login.clone(),
        kind: kind(account.kind).to_owned(),
        page: String::new(),
        suspended,
        seen_at: clock::now(),
    }
}

fn trouble(message: String, help: &str) -> Trouble {
    Trouble { message, help: help.to_owned(), at: clock::now() }
}

/// A ref as people name it.
fn short(git_ref: &str) -> &str {
    git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/")).unwrap_or(git_ref)
}

//! Use cases on apps: what is there, pause and resume, sleep, delete, revisions.

use api::{AppState, AppStatus, AppSummary, RevisionSummary, Split};
use model::{AppName, DeploymentState};
use store::{App, Tx};
use tokio::sync::oneshot;

use crate::access::{Access, Right, Who, may};
use crate::error::{Result, app_not_found, from_store};
use crate::registry::Entry;
use crate::runtime::{Command, Mailbox};
use crate::split::ask_all;
use crate::{Control, clock, documents, overview};

/// Deployments shown with an app's status.
const SHOWN: u32 = 10;

impl Control {
    /// Every app that somebody may look at.
    pub async fn apps(&self, who: &Who) -> Result<Vec<AppSummary>> {
        // The token of one app lists none: it knows which it is for.
        if matches!(who, Who::Token(_)) {
            may(who, &Access::Platform)?;
        }
        let (urls, who) = (self.urls(), who.clone());
        self.read(move |tx| {
            let apps = tx.apps()?;
            let visible = apps.iter().filter(|app| may(&who, &Access::App(&app.name, Right::Look)).is_ok());
            visible.map(|app| summary(tx, app, urls.app(&app.name))).collect()
        })
        .await
    }

    /// One app: what is served, what runs, what was deployed.
    pub async fn app(&self, name: &AppName) -> Result<AppStatus> {
        let entry = self.entry(name)?;
        let (urls, name) = (self.urls(), name.clone());
        let found = self
            .read(move |tx| {
                let Some(app) = tx.app(&name)? else { return Ok(None) };
                let summary = summary(tx, &app, urls.app(&name))?;
                let deployments = tx.deployments(app.id, SHOWN)?;
                let deployments = deployments.iter().map(|it| documents::deployment(&name, &urls.app(&name), it)).collect();
                let split = app.split.map(|split| Split { revision: split.revision, percent: split.percent });
                Ok(Some((summary, split, deployments)))
            })
            .await?;
        let (summary, split, deployments) = found.ok_or_else(|| app_not_found(&entry.name))?;
        let mut instances = Vec::new();
        for (_, mailbox) in entry.parts() {
            let (reply, answer) = oneshot::channel();
            // A mailbox is closed when its app is being deleted.
            if mailbox.send(Command::Status(reply)).is_ok() {
                instances.extend(answer.await.unwrap_or_default());
            }
        }
        let last_hour = overview::last_hour(&entry.handle);
        let mut warnings = self.backup_warnings(&entry).await?;
        warnings.extend(self.github_warnings(&entry).await?);
        Ok(AppStatus { summary, split, instances, deployments, last_hour: Some(last_hour), warnings })
    }

    /// An app's revisions, the newest first.
    pub async fn revisions(&self, name: &AppName) -> Result<Vec<RevisionSummary>> {
        let entry = self.entry(name)?;
        let id = entry.id;
        let name = name.clone();
        self.read(move |tx| {
            let app = tx.app(&name)?;
            let (live, split) = app.map_or((None, None), |app| (app.live, app.split));
            let percent = |number| match split {
                Some(split) if split.revision == number => split.percent,
                Some(split) if live == Some(number) => 100 - split.percent,
                _ => u8::from(live == Some(number)) * 100,
            };
            let mut starters = tx.revision_starters(id)?;
            let list = tx.revisions(id)?;
            let list = list.into_iter().map(|revision| RevisionSummary {
                revision: revision.number,
                created_at: clock::timestamp(revision.created_at),
                commit: revision.spec.commit.as_ref().map(documents::commit),
                image: revision.spec.image.clone(),
                serving: percent(revision.number) > 0,
                percent: percent(revision.number),
                by: starters.remove(&revision.number),
            });
            Ok(list.collect())
        })
        .await
    }

    /// Takes the app's instances away; visitors get 503 until it is resumed.
    pub async fn pause(&self, name: &AppName) -> Result<AppSummary> {
        self.set_paused(name, true).await
    }

    /// Lets visitors in again; the next request starts an instance.
    pub async fn resume(&self, name: &AppName) -> Result<AppSummary> {
        self.set_paused(name, false).await
    }

    async fn set_paused(&self, name: &AppName, paused: bool) -> Result<AppSummary> {
        let entry = self.entry(name)?;
        let id = entry.id;
        self.write(move |tx| tx.set_paused(id, paused)).await?;
        ask_all(&entry, |reply| Command::SetPaused(paused, reply)).await;
        self.summary(&entry).await
    }

    /// Stops the app's instances now, as idleness would.
    pub async fn sleep(&self, name: &AppName) -> Result<AppSummary> {
        let entry = self.entry(name)?;
        ask_all(&entry, Command::Sleep).await;
        self.summary(&entry).await
    }

    /// Deletes the app, its revisions and its logs. What of its images nobody else needs goes with the next collection. A last backup of
    /// its database is made before, unless that is not wanted; where it can't be made, nothing is deleted.
    pub async fn delete(&self, name: &AppName, without_backup: bool) -> Result<()> {
        let entry = self.entry(name)?;
        entry.queue.cancel_all();
        // A deployment that is being cancelled may still hold containers; it ends before its app does.
        let _turn = entry.queue.turn().await;
        // Its database first, and while the app is still there: if that fails, the deletion can be asked for again.
        if without_backup {
            ask_all(&entry, Command::Sleep).await;
        } else {
            self.final_backup(&entry).await?;
        }
        if let Err(error) = self.drop_database(&entry).await {
            self.let_in(&entry).await?;
            return Err(error);
        }
        let (id, gone, now) = (entry.id, name.clone(), clock::now());
        self.write(move |tx| {
            tx.mark_backups_gone(&gone, now)?;
            tx.delete_app(id)
        })
        .await?;
        self.tell_backups_of_end(name).await;
        self.inner.registry.remove(name);
        self.publish_routes();
        ask_all(&entry, Command::End).await;
        entry.log.close();
        let directory = entry.directory.clone();
        if let Err(error) = tokio::fs::remove_dir_all(&directory).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(app = %name, %error, "remove a deleted app's logs");
        }
        if let Err(error) = self.inner.git.forget(name).await {
            tracing::warn!(app = %name, %error, "remove a deleted app's repository");
        }
        // An app of the same name must not find what this one's builds have left.
        if let Ok(cache) = engine::CacheName::parse(&build::run::cache_name(name.as_str()))
            && let Err(error) = self.inner.engine.remove_cache(&cache).await
        {
            tracing::warn!(app = %name, %error, "remove a deleted app's cache");
        }
        self.collect_soon();
        Ok(())
    }

    async fn summary(&self, entry: &Entry) -> Result<AppSummary> {
        let (name, url) = (entry.name.clone(), self.urls().app(&entry.name));
        let found = self.read(move |tx| tx.app(&name)?.map(|app| summary(tx, &app, url)).transpose()).await?;
        found.ok_or_else(|| app_not_found(&entry.name))
    }

    /// Whether there is an app of this name.
    pub fn has_app(&self, name: &AppName) -> bool {
        self.inner.registry.get(name.as_str()).is_some()
    }

    pub(crate) fn entry(&self, name: &AppName) -> Result<std::sync::Arc<Entry>> {
        self.inner.registry.get(name.as_str()).ok_or_else(|| app_not_found(name))
    }

    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> std::result::Result<T, store::StoreError> + Send + 'static,
    {
        self.inner.store.read(work).await.map_err(from_store)
    }

    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> std::result::Result<T, store::StoreError> + Send + 'static,
    {
        self.inner.store.write(work).await.map_err(from_store)
    }
}

/// Sends a command and waits until it was carried out.
pub(crate) async fn ask(mailbox: &Mailbox, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
    let (reply, answer) = oneshot::channel();
    if mailbox.send(command(reply)).is_ok() {
        let _ended = answer.await;
    }
}

pub(crate) fn summary(tx: &Tx<'_>, app: &App, url: String) -> std::result::Result<AppSummary, store::StoreError> {
    let last = tx.deployments(app.id, 1)?.into_iter().next();
    let live = match app.live {
        Some(number) => tx.revision(app.id, number)?,
        None => None,
    };
    let state = match (app.paused, &live, last.as_ref().map(|last| last.state)) {
        (true, ..) => AppState::Paused,
        (false, Some(_), _) => AppState::Live,
        (false, None, Some(DeploymentState::Queued | DeploymentState::Running)) => AppState::Deploying,
        (false, None, Some(_)) => AppState::Failed,
        (false, None, None) => AppState::New,
    };
    Ok(AppSummary {
        app: app.name.clone(),
        url,
        state,
        revision: live.as_ref().map(|live| live.number),
        template: live.map(|live| live.spec.template).or_else(|| last.and_then(|last| last.template)),
        database: app.settings.database_type,
    })
}

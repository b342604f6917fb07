//! Deployments: accepted, queued one behind the other in each app, run to one end, cancelled on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::{Accepted, DeployOptions, DeployRequest, ErrorBody, ErrorCode};
use model::{AppName, AppRole, DeploymentNumber, DeploymentState, RevisionNumber, Settings};
use serde::{Deserialize, Serialize};
use store::{DeploymentEnd, DeploymentKind, NewDeployment, StoreError, Tx};
use tokio_util::sync::CancellationToken;

use crate::access::Who;
use crate::diagnosis::Failed;
use crate::error::{Result, deployment_not_found, from_store, internal, revision_not_found};
use crate::progress::Progress;
use crate::registry::Entry;
use crate::{Control, clock, documents, pipeline, settings};

/// What a deployment is to do, as the store keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Request {
    /// Build this upload.
    Source {
        /// The digest of its canonical form.
        upload: String,
        /// Where it came from.
        commit: Option<model::Commit>,
    },
    /// The live revision's image with the settings of now.
    Settings,
    /// A kept revision as it is.
    Rollback(RevisionNumber),
}

/// The deployments of one app that have not ended, and whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    active: Mutex<BTreeMap<DeploymentNumber, Active>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone)]
struct Active {
    cancel: CancellationToken,
    progress: Progress,
}

impl Queue {
    /// The progress of a deployment that has not ended.
    pub(crate) fn progress(&self, number: DeploymentNumber) -> Option<Progress> {
        self.lock().get(&number).map(|active| active.progress.clone())
    }

    /// Whether there are deployments that have not ended.
    pub(crate) fn is_busy(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Asks every deployment to end.
    pub(crate) fn cancel_all(&self) {
        self.lock().values().for_each(|active| active.cancel.cancel());
    }

    /// Waits until it is the caller's turn; turns are given in the order in which they were asked for.
    pub(crate) async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DeploymentNumber, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Deploys an upload; creates the app at its first deployment, and then it is the deployer's.
    pub async fn deploy(&self, who: &Who, name: &AppName, request: DeployRequest) -> Result<Accepted> {
        let upload = self.inner.uploads.known(&request.upload)?;
        let entry = self.prepare(who, name, &request.options).await?;
        let commit = request.commit.as_ref().map(documents::commit_from);
        let commit_id = commit.as_ref().map(|commit| commit.id.clone()).filter(|id| !id.is_empty());
        let request = Request::Source { upload, commit };
        let deployment = self.enqueue(&entry, DeploymentKind::Source, request, commit_id).await?;
        Ok(Accepted { app: name.clone(), deployment })
    }

    /// Serves a kept revision again; the one served before, where none is named.
    pub async fn rollback(&self, name: &AppName, to: Option<RevisionNumber>) -> Result<Accepted> {
        let entry = self.entry(name)?;
        let id = entry.id;
        let lookup = name.clone();
        let (live, target) = self
            .read(move |tx| {
                let live = tx.app(&lookup)?.and_then(|app| app.live);
                let before = tx.deployments(id, 1000)?.into_iter().filter(|it| it.state == DeploymentState::Live);
                let target = to.or_else(|| before.filter_map(|it| it.revision).find(|revision| Some(*revision) != live));
                let kept = target.map(|target| tx.revision(id, target)).transpose()?.flatten().is_some();
                Ok((live, target.map(|target| (target, kept))))
            })
            .await?;
        match target {
            None => Err(ErrorBody::new(ErrorCode::RevisionNotFound, format!("{name} has no earlier revision to go back to"))),
            Some((target, false)) => Err(revision_not_found(name, target)),
            Some((target, true)) if live == Some(target) => {
                Err(ErrorBody::new(ErrorCode::Conflict, format!("{name} serves revision {target} already")))
            }
            Some((target, true)) => {
                let deployment = self.enqueue(&entry, DeploymentKind::Rollback, Request::Rollback(target), None).await?;
                Ok(Accepted { app: name.clone(), deployment })
            }
        }
    }

    /// The last deployments, the newest first; `limit` of them at most, among those before a number where one is given.
    pub async fn deployments(
        &self,
        name: &AppName,
        before: Option<DeploymentNumber>,
        limit: u32,
    ) -> Result<Vec<api::Deployment>> {
        let entry = self.entry(name)?;
        let (id, name, url) = (entry.id, name.clone(), self.urls().app(name));
        self.read(move |tx| {
            let rows = match before {
                Some(before) => tx.deployments_before(id, before, limit)?,
                None => tx.deployments(id, limit)?,
            };
            Ok(rows.iter().map(|row| documents::deployment(&name, &url, row)).collect())
        })
        .await
    }

    /// One deployment.
    pub async fn deployment(&self, name: &AppName, number: DeploymentNumber) -> Result<api::Deployment> {
        let entry = self.entry(name)?;
        self.deployment_document(&entry, number).await?.ok_or_else(|| deployment_not_found(name, number))
    }

    /// Ends a deployment that has not ended; whatever it runs is killed.
    pub async fn cancel(&self, name: &AppName, number: DeploymentNumber) -> Result<api::Deployment> {
        let entry = self.entry(name)?;
        let active = entry.queue.lock().get(&number).cloned();
        if let Some(active) = active {
            active.cancel.cancel();
            let mut follower = active.progress.follow().map_err(|error| internal("follow the deployment", &error))?;
            while let Ok(Some(_line)) = follower.next().await {}
            return self.deployment(name, number).await;
        }
        let document = self.deployment(name, number).await?;
        Err(ErrorBody::new(
            ErrorCode::Conflict,
            format!("deployment {number} of {name} has ended already: {}", document.state.as_str()),
        ))
    }

    /// The app of a deployment, created where it is missing, with the options applied to its settings.
    pub(crate) async fn prepare(&self, who: &Who, name: &AppName, options: &DeployOptions) -> Result<Arc<Entry>> {
        // Two first deployments of one name at once: one creates the app, the other finds it.
        let _creation = self.inner.creation.lock().await;
        // Asked here once more: since it was asked before, somebody else may have created the app.
        self.may_deploy(who, name)?;
        if let Some(entry) = self.inner.registry.get(name.as_str()) {
            let before = entry.settings.lock().await;
            let old = self.settings(name).await?;
            let new = apply(&old, options);
            settings::check(&new)?;
            self.check_kind(Some(&entry), &old, &new).await?;
            if new != old {
                self.save(&entry, &new).await?;
            }
            drop(before);
            return Ok(entry);
        }
        self.make(who, name, options).await
    }

    /// An app that is not there yet: one that is is nobody's to be taken.
    pub(crate) async fn create(&self, who: &Who, name: &AppName, options: &DeployOptions) -> Result<Arc<Entry>> {
        let _creation = self.inner.creation.lock().await;
        self.name_is_free(who, name)?;
        self.make(who, name, options).await
    }

    /// Makes an app; the creation's lock is held.
    async fn make(&self, who: &Who, name: &AppName, options: &DeployOptions) -> Result<Arc<Entry>> {
        let new = apply(&Settings::default(), options);
        settings::check(&new)?;
        self.check_kind(None, &Settings::default(), &new).await?;
        let (create, now) = (name.clone(), clock::now());
        let owner = who.identity().map(|identity| identity.id);
        let app = self
            .write(move |tx| {
                let app = tx.create_app(&create, &new, now)?;
                if let Some(owner) = owner {
                    tx.set_member(app.id, owner, AppRole::Owner)?;
                }
                Ok(app)
            })
            .await?;
        let entry = self.adopt(&app, None)?;
        self.publish_routes();
        Ok(entry)
    }

    /// Records a deployment (on disk when this returns) and lets it run when its turn comes. One that still waits is superseded.
    pub(crate) async fn enqueue(
        &self,
        entry: &Arc<Entry>,
        kind: DeploymentKind,
        request: Request,
        commit_id: Option<String>,
    ) -> Result<DeploymentNumber> {
        self.enqueue_with(entry, kind, request, commit_id, |_, _| Ok(())).await
    }

    /// The same, with something more that is written in the same step.
    pub(crate) async fn enqueue_with(
        &self,
        entry: &Arc<Entry>,
        kind: DeploymentKind,
        request: Request,
        commit_id: Option<String>,
        also: impl FnOnce(&Tx<'_>, DeploymentNumber) -> std::result::Result<(), StoreError> + Send + 'static,
    ) -> Result<DeploymentNumber> {
        if self.inner.stopping.is_cancelled() {
            return Err(ErrorBody::new(ErrorCode::Unavailable, "the platform is stopping").help("try again once it runs"));
        }
        let change = self.begin_change()?;
        let (id, now, kept) = (entry.id, clock::now(), request.clone());
        let (name, once, by) = (entry.name.clone(), crate::once::current(), crate::starter::current());
        let answered = entry.name.clone();
        let (number, superseded) = self
            .write(move |tx| {
                let mut superseded = Vec::new();
                if kind == DeploymentKind::Source {
                    for row in tx.deployments(id, 100)? {
                        if row.state == DeploymentState::Queued && row.kind == DeploymentKind::Source {
                            tx.end_deployment(id, row.number, &superseded_end(), now)?;
                            superseded.push(row.number);
                        }
                    }
                }
                let new = NewDeployment { kind, request: &kept, commit_id: commit_id.as_deref(), by: by.as_ref() };
                let number = tx.create_deployment(id, &new, now)?;
                also(tx, number)?;
                // Both or neither: a client that comes again with its key does not deploy twice.
                if let Some(once) = once.filter(|_| kind != DeploymentKind::Settings) {
                    let accepted = Accepted { app: answered, deployment: number };
                    tx.answer_once(&once, 202, &serde_json::to_vec(&accepted).unwrap_or_default())?;
                }
                Ok((number, superseded))
            })
            .await?;
        for number in superseded {
            self.finish(entry, number).await;
        }
        let progress = Progress::open(self.inner.store.clone(), id, number, &entry.directory)
            .map_err(|error| internal("keep the deployment's log", &error))?;
        let active = Active { cancel: self.inner.stopping.child_token(), progress };
        entry.queue.lock().insert(number, active.clone());
        self.inner.hub.report_soon();
        let (control, entry) = (self.clone(), Arc::clone(entry));
        self.inner.tasks.spawn(async move {
            control.run(&entry, number, request, active).await;
            drop(change);
        });
        tracing::info!(app = %name, deployment = %number, kind = kind.as_str(), "deployment accepted");
        Ok(number)
    }

    async fn run(&self, entry: &Arc<Entry>, number: DeploymentNumber, request: Request, active: Active) {
        let turn = tokio::select! {
            turn = entry.queue.turn() => Some(turn),
            () = active.cancel.cancelled() => None,
        };
        if entry.queue.progress(number).is_none() {
            // Superseded while it waited: its end is written already.
            return;
        }
        let outcome = match turn {
            Some(_) => pipeline::run(self, entry, number, request, &active.progress, &active.cancel).await,
            None => Err(cancelled().into()),
        };
        if let Err(failed) = outcome {
            self.fail(entry, number, failed).await;
        }
        drop(turn);
        self.finish(entry, number).await;
        self.collect_soon();
    }

    /// Writes a deployment's failure.
    async fn fail(&self, entry: &Entry, number: DeploymentNumber, failed: Failed) {
        let Failed { error, diagnosis } = failed;
        let state = match error.code {
            ErrorCode::Cancelled => DeploymentState::Cancelled,
            _ => DeploymentState::Failed,
        };
        tracing::info!(app = %entry.name, deployment = %number, code = %error.code, "deployment ended: {}", error.message);
        let end = DeploymentEnd {
            state,
            code: Some(error.code.as_str().to_owned()),
            error: Some(error.message),
            help: Some(error.help).filter(|help| !help.is_empty()),
            diagnosis: diagnosis.and_then(|found| serde_json::to_string(&found).ok()),
        };
        let (id, now) = (entry.id, clock::now());
        if let Err(error) = self.inner.store.write(move |tx| tx.end_deployment(id, number, &end, now)).await {
            // A full disk: the end is written at the next start, where every open deployment is ended.
            tracing::error!(app = %entry.name, deployment = %number, %error, "write a deployment's end");
        }
    }

    /// Tells the followers the end that the store holds, and forgets the deployment here.
    async fn finish(&self, entry: &Entry, number: DeploymentNumber) {
        let active = entry.queue.lock().remove(&number);
        self.inner.hub.report_soon();
        if let (Some(active), Ok(Some(document))) = (active, self.deployment_document(entry, number).await) {
            active.progress.finish(document);
        }
    }

    pub(crate) async fn deployment_document(&self, entry: &Entry, number: DeploymentNumber) -> Result<Option<api::Deployment>> {
        let (id, name, url) = (entry.id, entry.name.clone(), self.urls().app(&entry.name));
        self.read(move |tx| Ok(tx.deployment(id, number)?.map(|row| documents::deployment(&name, &url, &row)))).await
    }

    /// Ends, at the start, what a platform before this one left open.
    pub(crate) fn end_interrupted(&self) -> Result<usize> {
        let now = clock::now();
        let ended = self.inner.store.write_now(|tx| {
            let open = tx.open_deployments()?;
            // Asked for in the same step: one that is not done now is done at the next start.
            let again = crate::github::missed::once_more(tx, &open, now)?;
            for (id, _name, number) in &open {
                tx.end_deployment(*id, *number, &interrupted_end(again.contains(&(*id, *number))), now)?;
            }
            Ok(open)
        });
        let ended = ended.map_err(from_store)?;
        for (id, name, number) in &ended {
            tracing::warn!(app = %name, deployment = %number, "a deployment was interrupted by the platform's end");
            let Some(entry) = self.inner.registry.get(name.as_str()) else { continue };
            let row = self.inner.store.read_now(|tx| tx.deployment(*id, *number)).map_err(from_store)?;
            let (Some(row), Ok(progress)) = (row, Progress::resume(self.inner.store.clone(), *id, *number, &entry.directory))
            else {
                continue;
            };
            progress.finish(documents::deployment(name, &self.urls().app(name), &row));
        }
        Ok(ended.len())
    }
}

fn superseded_end() -> DeploymentEnd {
    DeploymentEnd {
        state: DeploymentState::Superseded,
        code: Some(ErrorCode::Superseded.as_str().to_owned()),
        error: Some("a newer deployment took its place before it began".to_owned()),
        help: None,
        diagnosis: None,
    }
}

fn interrupted_end(is_done_again: bool) -> DeploymentEnd {
    let help = if is_done_again {
        "a push asked for it, so it is tried once more by itself; what was served before is served on"
    } else {
        "deploy again; what was served before is served on"
    };
    DeploymentEnd {
        state: DeploymentState::Failed,
        code: Some(ErrorCode::Interrupted.as_str().to_owned()),
        error: Some("the platform ended in the middle of this deployment".to_owned()),
        help: Some(help.to_owned()),
        diagnosis: None,
    }
}

/// The end of a deployment that somebody stopped.
pub(crate) fn cancelled() -> ErrorBody {
    ErrorBody::new(ErrorCode::Cancelled, "the deployment was cancelled")
}

/// The settings with a deployment's options: a whole document first, then single values.
fn apply(old: &Settings, options: &DeployOptions) -> Settings {
    let mut new = options.settings.clone().unwrap_or_else(|| old.clone());
    if let Some(template) = &options.template {
        new.template = Some(template.clone());
    }
    if let Some(line) = &options.start_command {
        new.start_command = Some(line.clone());
    }
    if let Some(directory) = &options.base_directory {
        new.repo_subdir = Some(directory.clone());
    }
    if let Some(kind) = options.database {
        new.database_type = kind;
    }
    new.environment.extend(options.env.clone());
    new.build_environment.extend(options.build_env.clone());
    new
}

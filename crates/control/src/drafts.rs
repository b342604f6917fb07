//! Drafts: an app on its way through the steps of the wizard, from a source to its first deployment.
//!
//! A draft is its user's alone. Every step changes its own part of it in one transaction, so that two tabs don't undo each other, and a
//! second click on "Deploy App" finds the deployment of the first.

mod checks;
mod deploy;
mod look;

use std::sync::{Arc, Mutex, PoisonError};

use api::{ErrorBody, ErrorCode};
use model::{AppName, DeploymentNumber, Settings, UserId};
use serde::{Deserialize, Serialize};
use store::{DraftFacts, DraftRow};

use crate::access::Who;
use crate::error::{Result, internal};
use crate::{Control, clock};

pub use checks::CHECKS;
pub use look::{Lacking, Look, Recognised};

/// Drafts that one user may have; a further one takes the place of the oldest.
const MOST: u32 = 20;
/// How long a draft is kept that nobody changes, in milliseconds.
const KEPT: i64 = 30 * 24 * 3600 * 1000;
/// How long a draft is kept after it was deployed, in milliseconds.
const ENDED_KEPT: i64 = 24 * 3600 * 1000;
/// How long an upload is kept for its draft, in milliseconds; what GitHub has can be fetched anew.
const UPLOAD_KEPT: i64 = 7 * 24 * 3600 * 1000;
/// Reports of checks that are remembered.
const REPORTS: usize = 32;

/// Where the source of a draft comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum DraftSource {
    /// A repository on GitHub.
    GitHub {
        /// GitHub's number of it.
        repository: u64,
        /// The installation that opens it.
        installation: u64,
        /// Owner and name.
        full_name: String,
        /// The branch, once it is chosen.
        branch: Option<String>,
        /// The commit that was looked at last.
        commit: Option<model::Commit>,
        /// The digest of its tree.
        upload: Option<String>,
    },
    /// An archive that was sent.
    Upload {
        /// The digest of its tree.
        upload: String,
        /// The archive's name, as the browser gave it.
        name: String,
        /// Files in it.
        files: u64,
        /// Bytes of its files together.
        bytes: u64,
    },
}

impl DraftSource {
    /// The digest of the tree, where it is known.
    pub fn upload(&self) -> Option<&str> {
        match self {
            Self::GitHub { upload, .. } => upload.as_deref(),
            Self::Upload { upload, .. } => Some(upload),
        }
    }

    /// What people call it.
    pub fn label(&self) -> &str {
        match self {
            Self::GitHub { full_name, .. } => full_name,
            Self::Upload { name, .. } => name,
        }
    }
}

/// What a draft holds; each step of the wizard has its part.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a step that was taken")]
pub struct Draft {
    /// Where the source comes from.
    pub source: Option<DraftSource>,
    /// Whether a template was chosen; it is `settings.template`, and none there means the recognised one.
    pub template_chosen: bool,
    /// Whether a database was chosen, or none; it is `settings.databaseType`.
    pub database_chosen: bool,
    /// Whether the settings were reviewed.
    pub reviewed: bool,
    /// The settings document that the app gets.
    pub settings: Settings,
    /// The app's name.
    pub name: Option<AppName>,
    /// Whether the box is ticked: the app listens for HTTP requests on PORT.
    pub listens: bool,
    /// What it became.
    pub deployed: Option<Deployed>,
}

/// What a draft became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The app.
    pub app: AppName,
    /// Its first deployment.
    pub deployment: DeploymentNumber,
}

/// A draft of somebody's.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftView {
    /// Its id, which is in addresses.
    pub id: String,
    /// What it holds.
    pub draft: Draft,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_at: i64,
}

impl From<DraftRow<Draft>> for DraftView {
    fn from(row: DraftRow<Draft>) -> Self {
        Self { id: row.id, draft: row.document, updated_at: row.updated_at }
    }
}

/// What drafts need beside the store.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    /// Held while one is deployed.
    deploying: tokio::sync::Mutex<()>,
    /// Reports of checks by source and settings, the newest last.
    reports: Mutex<Vec<(checks::Key, Arc<build::preflight::Report>)>>,
}

impl Drafts {
    fn remembered(&self, key: &checks::Key) -> Option<Arc<build::preflight::Report>> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.iter().find(|(known, _)| known == key).map(|(_, report)| Arc::clone(report))
    }

    fn remember(&self, key: checks::Key, report: &Arc<build::preflight::Report>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|(known, _)| *known != key);
        if reports.len() >= REPORTS {
            reports.remove(0);
        }
        reports.push((key, Arc::clone(report)));
    }
}

/// A draft that is not there, or that is somebody else's.
fn not_found() -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, "this unfinished app is not here (any more)")
        .help("begin again with New App; unfinished apps are kept for 30 days")
}

/// Whose drafts: they belong to people, not to tokens.
fn owner(who: &Who) -> Result<UserId> {
    who.identity().map(|identity| identity.id).ok_or_else(|| {
        ErrorBody::new(ErrorCode::Forbidden, "only somebody who is signed in makes an app step by step")
            .help("with a token, use `adaptable deploy` or the API's deployments")
    })
}

fn facts(draft: &Draft) -> DraftFacts<'_> {
    DraftFacts { upload: draft.source.as_ref().and_then(DraftSource::upload), ended: draft.deployed.is_some() }
}

impl Control {
    /// Begins a draft.
    pub async fn begin_draft(&self, who: &Who, source: Option<DraftSource>) -> Result<DraftView> {
        let (owner, now) = (owner(who)?, clock::now());
        let mut draft = Draft { source, ..Draft::default() };
        if let Some(DraftSource::Upload { upload, .. }) = &draft.source {
            draft.settings.repo_subdir = self.only_directory(upload).await?;
        }
        let kept = draft.clone();
        let id = self.write(move |tx| tx.create_draft(owner.0, &kept, facts(&kept), MOST, now)).await?;
        Ok(DraftView { id, draft, updated_at: now })
    }

    /// The drafts of somebody that were not deployed yet, the one changed last first.
    pub async fn drafts(&self, who: &Who) -> Result<Vec<DraftView>> {
        let Ok(owner) = owner(who) else { return Ok(Vec::new()) };
        let rows = self.read(move |tx| tx.drafts::<Draft>(owner.0)).await?;
        Ok(rows.into_iter().filter(|row| !row.ended).map(DraftView::from).collect())
    }

    /// A draft of theirs.
    pub async fn draft(&self, who: &Who, id: &str) -> Result<DraftView> {
        let (owner, id) = (owner(who)?, checked(id)?.to_owned());
        self.read(move |tx| tx.draft::<Draft>(owner.0, &id)).await?.map(DraftView::from).ok_or_else(not_found)
    }

    /// Changes a draft of theirs in one step: whatever another tab changed in the meantime stays.
    pub async fn change_draft(
        &self,
        who: &Who,
        id: &str,
        edit: impl FnOnce(&mut Draft) -> Result<()> + Send + 'static,
    ) -> Result<DraftView> {
        let (owner, id, now) = (owner(who)?, checked(id)?.to_owned(), clock::now());
        self.write(move |tx| {
            let Some(row) = tx.draft::<Draft>(owner.0, &id)? else { return Ok(Err(not_found())) };
            let mut view = DraftView::from(row);
            if view.draft.deployed.is_some() {
                return Ok(Err(ErrorBody::new(ErrorCode::Conflict, "this app is deployed already")
                    .help("change it in its Settings; New App begins another one")));
            }
            let before = view.draft.clone();
            if let Err(error) = edit(&mut view.draft) {
                return Ok(Err(error));
            }
            if view.draft != before {
                tx.set_draft(owner.0, &id, &view.draft, facts(&view.draft), now)?;
                view.updated_at = now;
            }
            Ok(Ok(view))
        })
        .await?
    }

    /// Forgets a draft of theirs.
    pub async fn delete_draft(&self, who: &Who, id: &str) -> Result<()> {
        let (owner, id) = (owner(who)?, checked(id)?.to_owned());
        if self.write(move |tx| tx.delete_draft(owner.0, &id)).await? { Ok(()) } else { Err(not_found()) }
    }

    /// Forgets drafts that nobody has come back to.
    pub(crate) async fn sweep_drafts(&self) {
        let now = clock::now();
        match self.write(move |tx| tx.sweep_drafts(now - KEPT, now - ENDED_KEPT)).await {
            Ok(0) | Err(_) => {}
            Ok(count) => tracing::info!(count, "unfinished apps were forgotten"),
        }
    }

    /// The uploads that drafts still need.
    pub(crate) async fn uploads_of_drafts(&self) -> Result<Vec<String>> {
        let since = clock::now() - UPLOAD_KEPT;
        self.read(move |tx| tx.draft_uploads(since)).await
    }

    /// The one directory at the root of an upload, where nothing else is there: archives are often made of a directory.
    async fn only_directory(&self, upload: &str) -> Result<Option<String>> {
        let tree = self.inner.uploads.tree(upload)?;
        let find = move || {
            let mut only: Option<String> = None;
            for entry in tree.entries() {
                let path = entry.path.as_str()?;
                let (first, below) = path.split_once('/').map_or((path, false), |(first, _)| (first, true));
                if !below && entry.kind != source::Kind::Directory || only.as_ref().is_some_and(|only| only != first) {
                    return None;
                }
                only = Some(first.to_owned());
            }
            only
        };
        tokio::task::spawn_blocking(find).await.map_err(|error| internal("read an upload", &error))
    }
}

/// An id as we make them; anything else is no draft's.
fn checked(id: &str) -> Result<&str> {
    let hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if hex { Ok(id) } else { Err(not_found()) }
}

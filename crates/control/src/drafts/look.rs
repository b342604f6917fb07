//! What is recognised in a draft's source: the template and why, the Python, the start command.

use std::fmt::{self, Display, Formatter};

use build::plan::{Available, Template};
use build::preflight::Request;
use model::{DatabaseType, Settings};

use super::{DraftSource, DraftView};
use crate::access::Who;
use crate::construction::{Planned, plan_request};
use crate::error::{Result, internal};
use crate::{Control, construction};

/// What was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The template.
    pub template: Template,
    /// Why: the words of the plan.
    pub why: String,
    /// The version of Python, and why that one.
    pub python: (String, String),
    /// What starts the app, and why.
    pub start: (String, String),
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// Why a kind of database can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// What lacks.
    pub what: String,
    /// What the platform's operator can do about it; empty where nothing is known.
    pub help: String,
}

impl Display for Lacking {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.help.as_str() {
            "" => f.write_str(&self.what),
            help => write!(f, "{}; {help}", self.what),
        }
    }
}

/// A source that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What was recognised, or the title, cause and advice of why not.
    pub recognised: std::result::Result<Recognised, (String, String, String)>,
    /// The versions of Python that there are.
    pub pythons: Vec<String>,
}

impl Control {
    /// The digest of a draft's source, which is here afterwards: what is on GitHub is fetched, and the draft remembers its commit.
    pub async fn draft_upload(&self, who: &Who, id: &str) -> Result<String> {
        let view = self.draft(who, id).await?;
        match view.draft.source {
            Some(DraftSource::Upload { upload, .. }) => self.inner.uploads.known(&upload),
            None | Some(DraftSource::GitHub { branch: None, .. }) => Err(no_source()),
            Some(DraftSource::GitHub { repository, branch: Some(branch), .. }) => {
                let found = self.github_source(who, repository, &branch).await?;
                let digest = found.upload.clone();
                self.change_draft(who, id, move |draft| {
                    if let Some(DraftSource::GitHub { repository: now, branch: Some(of), commit, upload, full_name, .. }) =
                        &mut draft.source
                        && *now == repository
                        && *of == branch
                    {
                        (*commit, *upload, *full_name) = (Some(found.commit), Some(found.upload), found.full_name);
                    }
                    Ok(())
                })
                .await?;
                Ok(digest)
            }
        }
    }

    /// Looks at a draft's source with the settings that the draft has.
    pub async fn look_at_draft(&self, view: &DraftView, upload: &str) -> Result<Look> {
        let (control, upload, settings) = (self.clone(), upload.to_owned(), view.draft.settings.clone());
        let work = move || {
            let available = control.pythons()?;
            let pythons = available.pythons.iter().map(ToString::to_string).collect();
            let tree = match construction::checked_tree(&control, &upload, settings.repo_subdir.as_deref()) {
                Ok((tree, _)) => tree,
                Err(error) => return Ok(Look { recognised: Err((error.message, String::new(), error.help)), pythons }),
            };
            let planned = Planned::new(tree);
            let recognised = match build::plan(&planned, &plan_request(&settings), &available) {
                Ok(plan) => Ok(Recognised {
                    template: plan.template,
                    why: plan.start.why.clone(),
                    python: (plan.python.version.to_string(), plan.python.why.clone()),
                    start: (plan.start.command.line.clone(), plan.start.why.clone()),
                    notes: plan.notes.clone(),
                }),
                Err(error) => {
                    let words = build::explain::plan_error(&error);
                    Err((words.title, words.cause, words.fix))
                }
            };
            Ok(Look { recognised, pythons })
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| internal("look at a source", &error))?
    }

    /// The kinds of databases, and what stands in the way of each.
    pub async fn database_kinds(&self) -> Vec<(DatabaseType, Option<Lacking>)> {
        let mut kinds = vec![(DatabaseType::None, None)];
        for kind in [DatabaseType::Postgres, DatabaseType::Mongodb, DatabaseType::Mssql] {
            let why = match self.inner.databases.iter().find(|known| known.kind() == kind) {
                None => Some(Lacking { what: "this platform has no server of this kind".to_owned(), help: String::new() }),
                Some(known) => known.available().await.err().map(|error| Lacking { what: error.to_string(), help: error.help() }),
            };
            kinds.push((kind, why));
        }
        kinds
    }

    pub(super) fn pythons(&self) -> Result<Available> {
        self.inner.builder.stacks().available().map_err(|error| internal("look for its base systems", &error))
    }
}

fn no_source() -> api::ErrorBody {
    api::ErrorBody::new(api::ErrorCode::Conflict, "the source is not chosen yet")
        .help("choose a repository and a branch, or upload one")
}

/// The settings, as the checks want them.
pub(super) fn check_request(settings: &Settings, available: Available) -> Request {
    Request {
        plan: plan_request(settings),
        base_directory: settings.repo_subdir.clone(),
        database: settings.database_type,
        variables: settings.environment.keys().map(ToString::to_string).collect(),
        port: settings.environment.get("PORT").cloned(),
        available,
        ..Request::default()
    }
}

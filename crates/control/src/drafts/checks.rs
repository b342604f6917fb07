//! Pre-flight checks of a draft: those of its source, and those that only the platform can make.

use std::sync::{Arc, LazyLock};

use api::{ErrorBody, Preflight, PreflightCheck, PreflightState};
use build::preflight::{self, Check, Report, Repository, State};
use model::{AppName, DatabaseType, Settings};
use source::Kind;

use super::look::check_request;
use super::{DraftSource, DraftView};
use crate::Control;
use crate::access::Who;
use crate::construction::Planned;
use crate::error::{Result, internal};
use crate::machine::UNKNOWN_NEED;

/// Every check of a draft: its id and title.
pub static CHECKS: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let mut all = vec![("commit", COMMIT)];
    all.extend(preflight::ALL);
    all.extend([
        ("database-server", "Database server"),
        ("name", "App name"),
        ("room", "Room on the platform"),
        ("http-listener", "HTTP Listener on PORT"),
    ]);
    all
});

/// What a report depends on: the source, and the settings as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    upload: String,
    settings: String,
    pythons: usize,
}

impl Control {
    /// Runs every check of a draft: of its source in about a second at most, and of the platform. The box that is ticked by hand is not
    /// among them.
    pub async fn check_draft(&self, who: &Who, id: &str) -> Result<Preflight> {
        let fetched = self.draft_upload(who, id).await;
        let view = self.draft(who, id).await?;
        let settings = &view.draft.settings;
        let mut all = match &fetched {
            Ok(upload) => {
                let mut all = documents(&*self.report(upload, settings).await?);
                all.checks.insert(0, reachable(&view));
                all
            }
            Err(error) => {
                let mut all = documents(&preflight::refused(&error.message, &error.help));
                all.checks.retain(|check| check.id != "repository");
                all.checks.insert(0, platform_check("commit", COMMIT, PreflightState::Failed, &error.message, &error.help));
                all
            }
        };
        all.checks.push(self.name_check(who, view.draft.name.as_ref()));
        all.checks.push(self.database_check(settings).await);
        all.checks.push(self.room_check(settings).await);
        Ok(all)
    }

    /// The checks of a source with its settings; remembered, since steps are gone back and forth.
    async fn report(&self, upload: &str, settings: &Settings) -> Result<Arc<Report>> {
        let (control, digest, settings) = (self.clone(), upload.to_owned(), settings.clone());
        let work = move || {
            let available = control.pythons()?;
            let text = serde_json::to_string(&settings).map_err(|error| internal("read the settings", &error))?;
            let key = Key { upload: digest, settings: text, pythons: available.pythons.len() };
            if let Some(report) = control.inner.drafts.remembered(&key) {
                return Ok(report);
            }
            let tree = control.inner.uploads.tree(&key.upload)?;
            let (mut files, mut bytes) = (0, 0);
            for entry in tree.entries() {
                if let Kind::File { size, .. } = entry.kind {
                    files += 1;
                    bytes += size;
                }
            }
            let report =
                preflight::check(&Planned::new(tree), &Repository::Read { files, bytes }, &check_request(&settings, available));
            let report = Arc::new(report);
            control.inner.drafts.remember(key, &report);
            Ok(report)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| internal("check a source", &error))?
    }

    fn name_check(&self, who: &Who, name: Option<&AppName>) -> PreflightCheck {
        let check = |state, reason: &str, help: &str| platform_check("name", "App name", state, reason, help);
        match name {
            None => check(PreflightState::Failed, "no name is chosen", "choose one in the step App name"),
            Some(name) => match self.name_is_free(who, name) {
                Ok(()) => check(PreflightState::Ok, &format!("{name} is free: {}", self.urls().app(name)), ""),
                Err(error) => check(PreflightState::Failed, &error.message, &error.help),
            },
        }
    }

    /// Whether an app of that name can be made by them.
    pub fn name_is_free(&self, who: &Who, name: &AppName) -> Result<()> {
        crate::access::may(who, &crate::access::Access::NewApp)?;
        if self.inner.registry.get(name.as_str()).is_some() {
            return Err(ErrorBody::new(api::ErrorCode::Conflict, format!("the name {name} is taken"))
                .help("choose another one: names are unique on the platform"));
        }
        Ok(())
    }

    /// A free name near to a text: the name of a repository, or of an archive.
    pub fn suggest_name(&self, text: &str) -> Option<AppName> {
        let text = text.rsplit('/').next().unwrap_or(text);
        let first = AppName::suggest(text)?;
        let free = |name: &AppName| self.inner.registry.get(name.as_str()).is_none();
        if free(&first) {
            return Some(first);
        }
        (2..100)
            .filter_map(|number| {
                let tail = format!("-{number}");
                let head: String = first.as_str().chars().take(model::names::APP_NAME_MAX - tail.len()).collect();
                AppName::parse(&format!("{}{tail}", head.trim_end_matches('-'))).ok()
            })
            .find(free)
    }

    async fn database_check(&self, settings: &Settings) -> PreflightCheck {
        let kind = settings.database_type;
        let check = |state, reason: &str, help: &str| platform_check("database-server", "Database server", state, reason, help);
        if kind == DatabaseType::None {
            return check(PreflightState::Ok, "no database was chosen", "");
        }
        let why = self.database_kinds().await.into_iter().find(|(known, _)| *known == kind).and_then(|(_, why)| why);
        match why {
            None => check(PreflightState::Ok, &format!("a database of the kind {} can be made", kind.as_str()), ""),
            Some(why) => check(
                PreflightState::Failed,
                &why.to_string(),
                "choose another database, or none, or ask the platform's operator",
            ),
        }
    }

    /// Room on the platform's disk, and memory for an instance beside those that run.
    async fn room_check(&self, settings: &Settings) -> PreflightCheck {
        let check = |state, reason: &str, help: &str| platform_check("room", "Room on the platform", state, reason, help);
        let reserve = self.inner.config.disk_reserve;
        let free = match build::disk::free(&self.inner.config.data_dir) {
            Ok(free) if free < reserve => {
                let reason = format!(
                    "{} MB of disk are free, less than the {} MB below which nothing is deployed",
                    free >> 20,
                    reserve >> 20
                );
                return check(PreflightState::Failed, &reason, "the platform's operator has to free some space");
            }
            Ok(free) => format!("{:.1} GB of disk are free", megabytes(free) / 1024.0),
            Err(_) => "the free space is not known".to_owned(),
        };
        let need = (u64::from(settings.resource_config.memory) << 20).min(UNKNOWN_NEED);
        match self.inner.engine.room().await {
            Some(room) if room < need => check(
                PreflightState::Warning,
                &format!("{free}; {} MB of memory are free now", room >> 20),
                "instances of other apps that sleep make room when this one starts; it may take a moment",
            ),
            Some(room) => check(PreflightState::Ok, &format!("{free}, and {} MB of memory", room >> 20), ""),
            None => check(PreflightState::Ok, &free, ""),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    (bytes >> 20) as f64
}

const COMMIT: &str = "Repository and commit";

fn reachable(view: &DraftView) -> PreflightCheck {
    let reason = match &view.draft.source {
        Some(DraftSource::GitHub { full_name, branch, commit, .. }) => {
            let commit = commit.as_ref().map(|commit| commit.id.chars().take(7).collect::<String>()).unwrap_or_default();
            format!("{full_name}, branch {}, commit {commit}", branch.as_deref().unwrap_or_default())
        }
        Some(DraftSource::Upload { name, .. }) => format!("the upload {name}"),
        None => String::new(),
    };
    platform_check("commit", COMMIT, PreflightState::Ok, &reason, "")
}

fn platform_check(id: &str, title: &str, state: PreflightState, reason: &str, help: &str) -> PreflightCheck {
    PreflightCheck {
        id: id.to_owned(),
        title: title.to_owned(),
        state,
        reason: reason.to_owned(),
        help: help.to_owned(),
        file: None,
        line: None,
        page: format!("/help/checks/{id}"),
    }
}

fn documents(report: &Report) -> Preflight {
    Preflight {
        template: report.template.map(|template| template.as_str().to_owned()),
        start_command: report.start_command.clone(),
        checks: report.checks.iter().map(document).collect(),
    }
}

fn document(check: &Check) -> PreflightCheck {
    let state = match check.state {
        State::Ok => PreflightState::Ok,
        State::Warning => PreflightState::Warning,
        State::Failed => PreflightState::Failed,
        State::Skipped => PreflightState::Skipped,
    };
    PreflightCheck {
        file: check.file.clone(),
        line: check.line,
        ..platform_check(check.id, check.title, state, &check.reason, &check.help)
    }
}

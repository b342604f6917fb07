//! From an upload to what a revision is made of: the tree, its plan, its image.

use std::sync::Arc;

use api::{ErrorBody, ErrorCode};
use build::plan::{PlanRequest, Template};
use build::tree::{Entry as TreeEntry, SourceTree, TreeError};
use build::{BuildError, BuildLog, BuildRequest, Built, Plan, explain};
use image::{ImageRef, Pin};
use model::{Commit, DeploymentNumber, RevisionSpec, Settings, Step, StepState};
use source::{CheckedTree, Kind, TreePath};
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::deploy::cancelled;
use crate::diagnosis::Failed;
use crate::error::{Result, from_store, internal};
use crate::progress::Progress;
use crate::registry::Entry;

/// A checked tree as planning sees it.
pub(crate) struct Planned {
    tree: CheckedTree,
    entries: Vec<TreeEntry>,
}

impl Planned {
    pub(crate) fn new(tree: CheckedTree) -> Self {
        let mut entries: Vec<TreeEntry> = tree
            .entries()
            .filter_map(|entry| {
                let path = entry.path.as_str()?.to_owned();
                match entry.kind {
                    Kind::File { size, .. } => Some(TreeEntry { path, size, symlink: false }),
                    Kind::Symlink { .. } => Some(TreeEntry { path, size: 0, symlink: true }),
                    Kind::Directory => None,
                }
            })
            .filter(|entry| !build::tree::is_foreign(&entry.path))
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Self { tree, entries }
    }
}

impl SourceTree for Planned {
    fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    fn read(&self, path: &str, limit: u64) -> std::result::Result<Vec<u8>, TreeError> {
        let checked = TreePath::parse(path).map_err(|_outside| TreeError::Outside(path.to_owned()))?;
        self.tree.read(&checked, limit).map_err(|error| match error {
            source::ReadError::TooLarge { .. } => TreeError::TooLarge { path: path.to_owned(), limit },
            source::ReadError::Io(_, source) => TreeError::Io { path: path.to_owned(), source },
            _ => TreeError::NotAFile(path.to_owned()),
        })
    }
}

/// What a build tells, as events of the deployment.
struct Log {
    progress: Progress,
}

impl BuildLog for Log {
    fn activity(&self, name: &str) {
        self.progress.say(format!("{name} ..."));
    }

    fn line(&self, line: &str) {
        self.progress.line(api::Stream::Stdout, line);
    }
}

/// Builds an upload with the app's settings. The pin keeps what was built from being collected until a revision refers to it.
#[expect(clippy::too_many_arguments, reason = "each is of another kind, and they come from one caller")]
pub(crate) async fn build(
    control: &Control,
    entry: &Entry,
    number: DeploymentNumber,
    settings: &Settings,
    upload: &str,
    commit: Option<Commit>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> std::result::Result<(RevisionSpec, Arc<Pin>), Failed> {
    progress.start(Step::Source).await.map_err(from_store)?;
    let (tree, digest) = source_tree(control, upload, settings.repo_subdir.clone()).await?;
    progress.end(StepState::Done).await.map_err(from_store)?;

    progress.start(Step::Plan).await.map_err(from_store)?;
    let (planned, plan) = plan(control, tree, settings).await?;
    say_plan(&plan, progress);
    progress.end(StepState::Done).await.map_err(from_store)?;

    progress.start(Step::Dependencies).await.map_err(from_store)?;
    let log = Log { progress: progress.clone() };
    let built = image(control, entry, number, settings, &plan, &planned, &digest, &log, cancel).await?;
    let state = if built.dependencies_cached { StepState::Cached } else { StepState::Done };
    progress.end(state).await.map_err(from_store)?;
    let spec = RevisionSpec {
        image: built.image.to_string(),
        layers: built.layers.iter().map(ToString::to_string).collect(),
        args: built.start.args.clone(),
        start_command: built.start.line.clone(),
        release: built.release.as_ref().map(|release| release.args.clone()),
        image_env: built.env.clone(),
        environment: settings.environment.clone(),
        resources: settings.resource_config,
        template: built.template.to_string(),
        idle_timeout: settings.idle_timeout,
        serving: settings.serving.clone(),
        commit,
    };
    Ok((spec, built.pin))
}

async fn source_tree(control: &Control, upload: &str, directory: Option<String>) -> Result<(CheckedTree, String)> {
    let (control, upload) = (control.clone(), upload.to_owned());
    let work = move || checked_tree(&control, &upload, directory.as_deref());
    tokio::task::spawn_blocking(work).await.map_err(|error| internal("read the source", &error))?
}

/// The tree of an upload, or its Base Directory as a tree of its own, with its digest. Blocks.
pub(crate) fn checked_tree(control: &Control, upload: &str, directory: Option<&str>) -> Result<(CheckedTree, String)> {
    let tree = control.inner.uploads.tree(upload)?;
    let Some(directory) = directory.filter(|directory| !matches!(directory.trim_end_matches('/'), "" | ".")) else {
        return Ok((tree, upload.to_owned()));
    };
    let refused = |message: String| {
        ErrorBody::new(ErrorCode::SourceRefused, message).help("set the Base Directory to a directory of the source")
    };
    let path = TreePath::parse(directory.trim_end_matches('/')).map_err(|error| refused(error.to_string()))?;
    let scratch = control.inner.uploads.scratch(&format!("base-{}", control.inner.serial()));
    let received = tree.subdirectory(&path, &scratch).map_err(|error| refused(error.to_string()))?;
    // The file is open; its name is of no more use.
    let _gone = std::fs::remove_file(&scratch);
    let digest = received.digest_hex();
    Ok((received.tree, digest))
}

async fn plan(control: &Control, tree: CheckedTree, settings: &Settings) -> std::result::Result<(Planned, Plan), Failed> {
    let request = plan_request(settings);
    let control = control.clone();
    let work = move || {
        let available =
            control.inner.builder.stacks().available().map_err(|error| internal("look for its base systems", &error))?;
        let planned = Planned::new(tree);
        match build::plan(&planned, &request, &available) {
            Ok(plan) => Ok((planned, plan)),
            Err(error) => {
                let words = explain::plan_error(&error);
                let body = ErrorBody::new(ErrorCode::PlanFailed, sentence(&words.title, &words.cause)).help(words.fix.clone());
                Err(Failed::recognised(body, &words))
            }
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| internal("plan the build", &error))?
}

/// The settings, as planning wants them.
pub(crate) fn plan_request(settings: &Settings) -> PlanRequest {
    PlanRequest {
        start_command: settings.start_command.clone(),
        python_version: settings.python_version.clone(),
        install_command: settings.install_command.clone(),
        build_command: settings.build_command.clone(),
        template: settings.template.as_deref().and_then(Template::parse),
    }
}

fn say_plan(plan: &Plan, progress: &Progress) {
    progress.say(format!("template {}, Python {} ({})", plan.template, plan.python.version, plan.python.why));
    for note in &plan.notes {
        progress.say(note.clone());
    }
    progress.say(format!("start command: {} ({})", plan.start.command.line, plan.start.why));
    if let Some(release) = &plan.release {
        progress.say(format!("release command: {}", release.line));
    }
}

#[expect(clippy::too_many_arguments, reason = "each is of another kind, and they come from one caller")]
async fn image(
    control: &Control,
    entry: &Entry,
    number: DeploymentNumber,
    settings: &Settings,
    plan: &Plan,
    planned: &Planned,
    digest: &str,
    log: &Log,
    cancel: &CancellationToken,
) -> std::result::Result<Built, Failed> {
    let name = ImageRef::parse(&format!("{}:d{number}", entry.name)).map_err(|error| internal("name the image", &error))?;
    let source = planned.tree.file().try_clone().map_err(|error| internal("read the source", &error))?;
    let build_env = settings.build_environment.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let request = BuildRequest {
        app: entry.name.as_str(),
        slot: entry.specs.slot,
        plan,
        tree: planned,
        source,
        source_digest: digest,
        build_env: &build_env,
        name: &name,
        labels: [("app".to_owned(), entry.name.to_string())].into(),
    };
    let built = tokio::select! {
        built = control.inner.builder.build(&request, log) => built,
        () = cancel.cancelled() => return Err(cancelled().into()),
    };
    built.map_err(|error| build_failed(&error))
}

fn build_failed(error: &BuildError) -> Failed {
    match error {
        BuildError::Step { tail, .. } => {
            let found = explain::build_failure(&tail.join("\n"));
            let body = ErrorBody::new(ErrorCode::BuildFailed, error.to_string());
            match found {
                Some(words) => {
                    let message = format!("{error}: {}", sentence(&words.title, &words.cause));
                    Failed::recognised(ErrorBody { message, ..body }.help(words.fix.clone()), &words)
                }
                None => body.help("the log of this deployment shows what it printed").into(),
            }
        }
        BuildError::DiskFull { .. } | BuildError::NoStack(_) | BuildError::Tree(_) => {
            ErrorBody::new(ErrorCode::BuildFailed, error.to_string())
                .help("nothing was changed; what is served is served on")
                .into()
        }
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(inner) = cause {
                text.push_str(": ");
                text.push_str(&inner.to_string());
                cause = inner.source();
            }
            tracing::error!(error = %text, "build");
            ErrorBody::new(ErrorCode::BuildFailed, format!("the platform could not build the image: {text}"))
                .help("try again; `adaptable doctor` checks this machine")
                .into()
        }
    }
}

/// A title and a cause in one line.
fn sentence(title: &str, cause: &str) -> String {
    if cause.is_empty() { title.to_owned() } else { format!("{title}. {}", cause.trim_end_matches('.')) }
}

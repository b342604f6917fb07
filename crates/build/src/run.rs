//! Executes a plan: layers that are there already are taken, others are made by jobs in a sandbox, and an image is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, LayerRef};
use image::layers::LayerNameError;
use image::oci::Descriptor;
use image::pins::{Pin, Pinned};
use image::{ImageId, ImageRef, LayerKey, LayerRecord, Layout, LayoutError, Lower};
use tokio::sync::{Mutex, Semaphore};

use crate::disk;
use crate::host::HostSettings;
use crate::job::{JobEnd, JobError, Jobs, layer_ref};
use crate::plan::{Command, Plan, PyVersion, Template};
use crate::stack::{Stack, Stacks};
use crate::tree::{SourceTree, TreeError};

mod assemble;
mod collect;
mod dependencies;
mod env;
mod layer;
mod source;
mod step;
mod system;
mod tarball;

pub use collect::Collection;

/// How builds are limited. Settings of the platform, not of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildLimits {
    /// Memory of one job, in bytes.
    pub memory: u64,
    /// Time of all jobs of one build together.
    pub time: Duration,
    /// A job's share of the processors beside an app's 100.
    pub cpu_weight: u32,
    /// Processes and threads of one job.
    pub pids: u32,
    /// How many builds run jobs at once; others wait.
    pub at_once: usize,
    /// A build is refused when the disk has fewer bytes left.
    pub min_free: u64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self { memory: 2 << 30, time: Duration::from_mins(15), cpu_weight: 20, pids: 1024, at_once: 2, min_free: 1 << 30 }
    }
}

/// Where a build tells what it does, as it does it.
pub trait BuildLog: Send + Sync {
    /// An activity begins: `install dependencies`.
    fn activity(&self, name: &str);
    /// A line, of a program or of our own.
    fn line(&self, line: &str);
}

/// What is to be built.
pub struct BuildRequest<'a> {
    /// The app's name: its layers and caches are its own.
    pub app: &'a str,
    /// The app's range of user ids.
    pub slot: u16,
    /// What to do.
    pub plan: &'a Plan,
    /// The source, to read key files from.
    pub tree: &'a (dyn SourceTree + Sync),
    /// The source as a canonical tar; nobody else may move its position meanwhile.
    pub source: File,
    /// The SHA-256 of that tar, in hexadecimal.
    pub source_digest: &'a str,
    /// The app's variables for builds. They key the layers; their values are kept out of the log.
    pub build_env: &'a BTreeMap<String, String>,
    /// The image's name in the index: `shop:12`.
    pub name: &'a ImageRef,
    /// What is said of the image in its configuration.
    pub labels: BTreeMap<String, String>,
}

/// A finished image. It can't be collected before this value is dropped: store the revision first.
#[derive(Debug)]
pub struct Built {
    /// The digest of its manifest.
    pub image: ImageId,
    /// The directories that make an instance's root, bottom first.
    pub layers: Vec<LayerRef>,
    /// How the app is started.
    pub start: Command,
    /// What runs once before traffic switches.
    pub release: Option<Command>,
    /// The image's variables; the app's own come on top.
    pub env: Vec<(String, String)>,
    /// What was recognised.
    pub template: Template,
    /// Whether dependencies were installed already.
    pub dependencies_cached: bool,
    /// Keeps all of this from being collected.
    pub pin: Arc<Pin>,
}

/// Why a build ended without an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A step of the plan ended badly.
    #[error("{step} failed: {}", ended(*.end, .limits))]
    Step {
        /// The activity's name.
        step: String,
        /// How it ended.
        end: JobEnd,
        /// What it was allowed.
        limits: BuildLimits,
        /// The last lines of its output, for an explanation.
        tail: Vec<String>,
    },
    /// The disk is nearly full.
    #[error(
        "building was refused: {} MiB are free on the disk of {path}, and {} MiB are the least; delete apps or files",
        free >> 20, least >> 20
    )]
    DiskFull {
        /// The directory on that disk.
        path: PathBuf,
        /// The bytes that are free.
        free: u64,
        /// The bytes that have to be.
        least: u64,
    },
    /// The stack with this Python vanished since the plan was made.
    #[error("no stack of this machine has Python {0}; make one with `adaptable stack make`")]
    NoStack(PyVersion),
    /// The source can't be read.
    #[error("reading the source failed")]
    Tree(#[from] TreeError),
    /// The machine failed.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The image store failed.
    #[error("writing the image failed")]
    Layout(#[from] LayoutError),
    /// A name of ours is no name of a layer: a fault of ours.
    #[error("naming a layer failed")]
    Name(#[from] LayerNameError),
    /// Reading or writing a file failed.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl std::fmt::Debug for BuildRequest<'_> {
    /// Values of variables may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildRequest").field("app", &self.app).field("source", &self.source_digest).finish_non_exhaustive()
    }
}

impl BuildError {
    /// Whether the app's source or settings are at fault, rather than this machine.
    pub fn is_users(&self) -> bool {
        matches!(self, Self::Step { .. } | Self::Tree(_))
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

fn ended(end: JobEnd, limits: &BuildLimits) -> String {
    match end {
        JobEnd::Code(code) => format!("exit code {code}"),
        JobEnd::Signal(signal) => format!("killed by signal {signal}"),
        JobEnd::OutOfMemory => format!("it needed more memory than the {} MiB a build may have", limits.memory >> 20),
        JobEnd::OutOfTime => format!("it took longer than the {} s a build may take", limits.time.as_secs()),
    }
}

/// Builds images. One per platform.
pub struct Builder {
    jobs: Jobs,
    layout: Arc<Layout>,
    stacks: Stacks,
    host: HostSettings,
    limits: BuildLimits,
    /// Builds that may run jobs now.
    running: Semaphore,
    /// Held while packages are fetched into the caches that all system layers share.
    packages: Mutex<()>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("stacks", &self.stacks).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// One build under way: what all its parts need.
struct Build<'a> {
    builder: &'a Builder,
    request: &'a BuildRequest<'a>,
    stack: Stack,
    pin: Arc<Pin>,
    log: &'a dyn BuildLog,
    deadline: Instant,
}

/// The directory that the builds of one app share: another app's could be poisoned by its programs.
pub fn cache_name(app: &str) -> String {
    format!("build-{app}")
}

/// A layer of an image: where it lies unpacked, and its blob.
struct Part {
    lower: Lower,
    descriptor: Descriptor,
    diff_id: image::Digest,
    about: &'static str,
}

impl Builder {
    /// A builder over these parts of the platform.
    pub fn new(engine: Arc<dyn Engine>, layout: Arc<Layout>, stacks: Stacks, host: HostSettings, limits: BuildLimits) -> Self {
        Self {
            jobs: Jobs::new(engine),
            layout,
            stacks,
            host,
            limits,
            running: Semaphore::new(limits.at_once),
            packages: Mutex::new(()),
        }
    }

    /// A builder over an engine, with the image store of this data directory.
    pub fn open(data: &Path, engine: Arc<dyn Engine>, stacks: Stacks, host: HostSettings) -> Result<Self, LayoutError> {
        let layout = Arc::new(Layout::open(&data.join("images"))?);
        Ok(Self::new(engine, layout, stacks, host, BuildLimits::default()))
    }

    /// The images.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The machine's stacks, for planning.
    pub fn stacks(&self) -> &Stacks {
        &self.stacks
    }

    /// Builds an image. Dropping the future ends the build: its jobs are killed, and what they made is deleted.
    pub async fn build(&self, request: &BuildRequest<'_>, log: &dyn BuildLog) -> Result<Built, BuildError> {
        disk::check(self.layout.root(), self.limits.min_free)?;
        let version = request.plan.python.version;
        let stack = self.stacks.with_python(version).map_err(BuildError::io("reading the stacks"))?;
        let stack = stack.ok_or(BuildError::NoStack(version))?;
        let deadline = Instant::now() + self.limits.time;
        let build = Build { builder: self, request, stack, pin: Arc::new(self.layout.pins().pin()), log, deadline };
        build.run().await
    }
}

impl Build<'_> {
    async fn run(self) -> Result<Built, BuildError> {
        let plan = self.request.plan;
        // The base's blob is copied once per data directory, beside whatever else there is to do.
        let (base, layers) = tokio::join!(self.base(), self.layers());
        let (base, (dependencies_cached, parts)) = (base?, layers?);
        let parts: Vec<Part> = std::iter::once(base).chain(parts).collect();
        let env = env::image(plan);
        let image = assemble::write(&self, &parts, &env).await?;
        Ok(Built {
            image,
            layers: parts.iter().map(|part| layer_ref(&part.lower)).collect::<Result<_, _>>()?,
            start: plan.start.command.clone(),
            release: plan.release.clone(),
            env,
            template: plan.template,
            dependencies_cached,
            pin: self.pin,
        })
    }

    /// The layers above the base, and whether dependencies were there already.
    async fn layers(&self) -> Result<(bool, Vec<Part>), BuildError> {
        let system = self.run_packages().await?;
        let source = self.source().await?;
        let (cached, dependencies) = self.dependencies(&source).await?;
        let finish = self.finish(dependencies.as_ref(), &source).await?;
        let records = [
            (system, "system packages"),
            (dependencies, "dependencies"),
            (Some(source), "source"),
            (finish, "bytecode and results of the build's last steps"),
        ];
        let mut parts = Vec::new();
        for (record, about) in records {
            parts.extend(record.and_then(|record| part(&record, about)));
        }
        Ok((cached, parts))
    }

    /// The stack, with its blob in the layout.
    async fn base(&self) -> Result<Part, BuildError> {
        let blob = self.stack.blob;
        self.pin.hold(Pinned::Blob(blob.digest));
        if !self.builder.layout.has_blob(&blob.digest) {
            let file =
                File::open(self.builder.stacks.blob_path(&self.stack)).map_err(BuildError::io("opening the stack's blob"))?;
            self.on_disk(move |layout, pin| layout.import_blob(pin, file, &blob.digest)).await?;
        }
        Ok(Part {
            lower: Lower::Stack(self.stack.id.clone()),
            descriptor: self.stack.descriptor(),
            diff_id: blob.diff_id,
            about: "Debian with Python",
        })
    }

    /// Does something with the image store on a thread that may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Layout, &Pin) -> Result<T, LayoutError> + Send + 'static,
    ) -> Result<T, BuildError> {
        let (layout, pin) = (Arc::clone(&self.builder.layout), Arc::clone(&self.pin));
        match tokio::task::spawn_blocking(move || work(&layout, &pin)).await {
            Ok(done) => Ok(done?),
            Err(error) => Err(BuildError::io("writing the image")(error.into())),
        }
    }

    /// The directories below a job, bottom first.
    fn tools(&self) -> Vec<Lower> {
        vec![Lower::Stack(self.stack.id.clone()), Lower::Stack(self.stack.build_id())]
    }

    /// A key for something of this build's stack.
    fn key(&self, parts: &[&str]) -> LayerKey {
        let stack = [self.stack.id.as_str(), "format 1"];
        LayerKey::of(stack.iter().chain(parts))
    }
}

fn part(record: &LayerRecord, about: &'static str) -> Option<Part> {
    let (descriptor, blob) = (record.descriptor()?, record.blob?);
    Some(Part { lower: Lower::Layer(record.layer.clone()), descriptor, diff_id: blob.diff_id, about })
}

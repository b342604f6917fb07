//! What a build needs of the machine: programs run in a sandbox over layers, and layers made of what they leave.

mod local;

pub use local::EngineJobs;
pub(crate) use local::layer_ref;

use std::fs::File;
use std::time::Duration;

use async_trait::async_trait;
use image::layout::Packed;
use image::{LayerId, Lower};

/// One program in a sandbox. What it writes below `/` lands in the layer `upper`.
#[derive(Debug, Clone)]
pub struct Job {
    /// The app's range of user ids.
    pub slot: u16,
    /// The directories below, bottom first.
    pub lowers: Vec<Lower>,
    /// The layer under construction on top.
    pub upper: LayerId,
    /// The argument vector.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub cwd: String,
    /// Small files shown read-only at these paths.
    pub files: Vec<(String, Vec<u8>)>,
    /// Directories that outlive the job: their name, and where they are mounted.
    pub caches: Vec<(String, String)>,
    /// What it may use.
    pub limits: JobLimits,
}

/// What a job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// Memory, in bytes; above it the job is killed.
    pub memory: u64,
    /// Its share of the processors when others want them too; an app's is 100.
    pub cpu_weight: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Wall-clock time; above it the job is killed.
    pub time: Duration,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It wanted more memory than it may have.
    OutOfMemory,
    /// It ran longer than it may.
    OutOfTime,
}

/// Takes a job's lines of output, as they come.
pub type Lines<'a> = dyn FnMut(&str) + Send + 'a;

/// The machine refused or failed; no fault of what was built.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed")]
pub struct JobError {
    /// What was being done.
    pub doing: &'static str,
    /// The cause.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl JobError {
    /// An error with its cause.
    pub fn new(doing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { doing, source: source.into() }
    }
}

/// The machine's side of builds.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Unpacks a canonical tar below `prefix` as a new layer, whole and durable.
    async fn unpack(&self, layer: &LayerId, prefix: &str, tar: File) -> Result<(), JobError>;

    /// Runs a job to its end, telling each line of its output. Dropping the future kills the job with all its processes.
    async fn run(&self, job: Job, line: &mut Lines<'_>) -> Result<JobEnd, JobError>;

    /// Ends a layer's construction: of its files stay those at or below `keep` (all when empty), durably.
    async fn seal(&self, layer: &LayerId, keep: &[String]) -> Result<(), JobError>;

    /// Packs a sealed layer as a blob into a file.
    async fn pack(&self, layer: &LayerId, into: File) -> Result<Packed, JobError>;

    /// Deletes a layer, finished or not; it need not exist.
    async fn remove(&self, layer: &LayerId) -> Result<(), JobError>;

    /// Whether a layer is there, whole.
    async fn has(&self, layer: &LayerId) -> Result<bool, JobError>;

    /// All layers that are whole.
    async fn layers(&self) -> Result<Vec<LayerId>, JobError>;
}

//! Programs of a build, run as containers of an engine over layers, and the layers that they leave.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use engine::{
    CacheName, Container, ContainerId, ContainerSpec, Engine, EngineError, Exit, LayerRef, Limits, Mount, Output, Profile,
    StackId, Upper,
};
use image::layout::Packed;
use image::{Digest, LayerId, Lower};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};

/// The longest line that is told; the rest of a longer one comes as further lines.
const LINE_LIMIT: u64 = 8 * 1024;
/// Lines that wait for whoever takes them; a job that prints faster waits.
const QUEUE: usize = 256;

/// One program in a sandbox. What it writes below `/` lands in the layer `upper`.
#[derive(Debug, Clone)]
pub(crate) struct Job {
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
pub(crate) struct JobLimits {
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
pub(crate) type Lines<'a> = dyn FnMut(&str) + Send + 'a;

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
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    engine: Arc<dyn Engine>,
}

impl Jobs {
    /// Jobs on this engine.
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine }
    }

    /// Unpacks a canonical tar below `prefix` as a new layer, whole and durable.
    pub(crate) async fn unpack(&self, layer: &LayerId, prefix: &str, tar: File) -> Result<(), JobError> {
        self.engine.unpack_layer(&id(layer)?, prefix, tar).await.map_err(failed("unpacking files"))
    }

    /// Runs a job to its end, telling each line of its output. Dropping the future kills the job with all its processes.
    pub(crate) async fn run(&self, job: Job, lines: &mut Lines<'_>) -> Result<JobEnd, JobError> {
        let time = job.limits.time;
        let spec = spec(job)?;
        let (told, mut coming) = mpsc::channel(QUEUE);
        // Dropped with this future, however it ends; the task then kills the container, even one that is only being made.
        let (_alive, dropped) = oneshot::channel::<()>();
        let task = tokio::spawn(run(Arc::clone(&self.engine), spec, time, told, dropped));
        while let Some(line) = coming.recv().await {
            lines(&line);
        }
        task.await.map_err(|error| JobError::new("running a program of the build", error))?
    }

    /// Ends a layer's construction: of its files stay those at or below `keep` (all when empty), durably.
    pub(crate) async fn seal(&self, layer: &LayerId, keep: &[String]) -> Result<(), JobError> {
        self.engine.seal_layer(&id(layer)?, keep).await.map_err(failed("finishing a layer"))
    }

    /// Packs a sealed layer as a blob into a file.
    pub(crate) async fn pack(&self, layer: &LayerId, into: File) -> Result<Packed, JobError> {
        let packing = "packing a layer";
        let packed = self.engine.pack_layer(&id(layer)?, into).await.map_err(failed(packing))?;
        let digest = |hex: &str| Digest::parse_hex(hex).map_err(|error| JobError::new(packing, error));
        Ok(Packed { digest: digest(&packed.digest)?, diff_id: digest(&packed.diff_id)?, size: packed.size })
    }

    /// Deletes a layer, finished or not; it need not exist.
    pub(crate) async fn remove(&self, layer: &LayerId) -> Result<(), JobError> {
        self.engine.remove_layer(&id(layer)?).await.map_err(failed("deleting a layer"))
    }

    /// Whether a layer is there, whole.
    pub(crate) async fn has(&self, layer: &LayerId) -> Result<bool, JobError> {
        self.engine.has_layer(&id(layer)?).await.map_err(failed("looking for a layer"))
    }

    /// All layers that are whole.
    pub(crate) async fn layers(&self) -> Result<Vec<LayerId>, JobError> {
        let layers = self.engine.layers().await.map_err(failed("listing the layers"))?;
        // A name of another rule is none of ours.
        Ok(layers.iter().filter_map(|layer| LayerId::parse(layer.as_str()).ok()).collect())
    }
}

/// Makes the container, passes its lines on, and waits for its end; kills it when `dropped` says that nobody waits any more.
async fn run(
    engine: Arc<dyn Engine>,
    spec: ContainerSpec,
    time: Duration,
    told: mpsc::Sender<String>,
    dropped: oneshot::Receiver<()>,
) -> Result<JobEnd, JobError> {
    let name = spec.id.clone();
    let deadline = tokio::time::Instant::now() + time;
    let mut container = engine.create(spec).await.map_err(failed("starting a program of the build"))?;
    let output = container.take_output();
    let end = tokio::select! {
        end = finished(container, output, told) => Some(end),
        _ = dropped => None,
        () = tokio::time::sleep_until(deadline) => Some(JobEnd::OutOfTime),
    };
    // Also after its own end: what it left running belongs to it.
    engine.stop(&name, Duration::ZERO).await.map_err(failed("ending a program of the build"))?;
    Ok(end.unwrap_or(JobEnd::Signal(9)))
}

async fn finished(container: Container, output: Option<(Output, Output)>, told: mpsc::Sender<String>) -> JobEnd {
    let exit = async move { container.exited().await };
    let output = async move {
        if let Some((out, err)) = output {
            tokio::join!(pass(out, told.clone()), pass(err, told));
        }
    };
    tokio::pin!(exit, output);
    tokio::select! {
        () = &mut output => end(exit.await),
        exit = &mut exit => {
            // A process that outlives the first one may hold the pipes; nobody waits for it long.
            let _ = tokio::time::timeout(Duration::from_millis(200), output).await;
            end(exit)
        }
    }
}

/// Passes a stream on, line by line. A carriage return overwrites what stands before it, as on a terminal.
async fn pass(stream: Output, told: mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let text = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or(text);
        if told.send(text.to_owned()).await.is_err() {
            return;
        }
    }
}

fn end(exit: Exit) -> JobEnd {
    match exit {
        Exit { oom_killed: true, code, .. } if code != Some(0) => JobEnd::OutOfMemory,
        Exit { code: Some(code), .. } => JobEnd::Code(code),
        Exit { signal, .. } => JobEnd::Signal(signal.unwrap_or(9)),
    }
}

fn spec(job: Job) -> Result<ContainerSpec, JobError> {
    let naming = "naming a container of the build";
    let layers = job.lowers.iter().map(layer_ref).collect::<Result<_, _>>()?;
    let caches = job.caches.into_iter().map(|(name, at)| {
        let name = CacheName::parse(&name).map_err(|error| JobError::new(naming, error))?;
        Ok(Mount::Cache { name, at })
    });
    let files = job.files.into_iter().map(|(at, contents)| Ok(Mount::File { at, contents, owner: None }));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let nonce: u64 = rand::random();
    Ok(ContainerSpec {
        id: ContainerId::parse(&format!("build-{nonce:016x}")).map_err(|error| JobError::new(naming, error))?,
        slot: job.slot,
        layers,
        upper: Upper::Layer(id(&job.upper)?),
        args: job.args,
        env: job.env,
        cwd: job.cwd,
        hostname: "build".to_owned(),
        profile: Profile::Build,
        limits: Limits {
            memory_bytes: job.limits.memory,
            cpu_millis: u32::try_from(cores).unwrap_or(u32::MAX).saturating_mul(1000),
            cpu_weight: job.limits.cpu_weight,
            pids: job.limits.pids,
        },
        mounts: caches.chain(files).collect::<Result<_, JobError>>()?,
        stdin: false,
        user: 0,
        links: Vec::new(),
        keeps_address: false,
    })
}

/// The engine's name for a directory.
pub(crate) fn layer_ref(lower: &Lower) -> Result<LayerRef, JobError> {
    match lower {
        Lower::Stack(stack) => StackId::parse(stack).map(LayerRef::Stack).map_err(|error| JobError::new("naming a stack", error)),
        Lower::Layer(layer) => id(layer).map(LayerRef::Layer),
    }
}

fn id(layer: &LayerId) -> Result<engine::LayerId, JobError> {
    engine::LayerId::parse(layer.as_str()).map_err(|error| JobError::new("naming a layer", error))
}

fn failed(doing: &'static str) -> impl FnOnce(EngineError) -> JobError {
    move |error| JobError::new(doing, error)
}

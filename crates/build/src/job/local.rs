//! Jobs as containers of an engine.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::{
    CacheName, Container, ContainerId, ContainerSpec, Engine, EngineError, Exit, LayerRef, Limits, Mount, Output, Profile, StackId, Upper,
};
use image::layout::Packed;
use image::{Digest, LayerId, Lower};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};

use super::{Job, JobEnd, JobError, Jobs, Lines};

/// The longest line that is told; the rest of a longer one comes as further lines.
const LINE_LIMIT: u64 = 8 * 1024;
/// Lines that wait for whoever takes them; a job that prints faster waits.
const QUEUE: usize = 256;

/// Runs jobs as containers of an engine, with the profile for builds.
#[derive(Debug, Clone)]
pub struct EngineJobs {
    engine: Arc<dyn Engine>,
}

impl EngineJobs {
    /// Jobs on this engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl Jobs for EngineJobs {
    async fn unpack(&self, layer: &LayerId, prefix: &str, tar: File) -> Result<(), JobError> {
        self.engine.unpack_layer(&id(layer)?, prefix, tar).await.map_err(failed("unpacking files"))
    }

    async fn run(&self, job: Job, lines: &mut Lines<'_>) -> Result<JobEnd, JobError> {
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

    async fn seal(&self, layer: &LayerId, keep: &[String]) -> Result<(), JobError> {
        self.engine.seal_layer(&id(layer)?, keep).await.map_err(failed("finishing a layer"))
    }

    async fn pack(&self, layer: &LayerId, into: File) -> Result<Packed, JobError> {
        let packing = "packing a layer";
        let packed = self.engine.pack_layer(&id(layer)?, into).await.map_err(failed(packing))?;
        let digest = |hex: &str| Digest::parse_hex(hex).map_err(|error| JobError::new(packing, error));
        Ok(Packed { digest: digest(&packed.digest)?, diff_id: digest(&packed.diff_id)?, size: packed.size })
    }

    async fn remove(&self, layer: &LayerId) -> Result<(), JobError> {
        self.engine.remove_layer(&id(layer)?).await.map_err(failed("deleting a layer"))
    }

    async fn has(&self, layer: &LayerId) -> Result<bool, JobError> {
        self.engine.has_layer(&id(layer)?).await.map_err(failed("looking for a layer"))
    }

    async fn layers(&self) -> Result<Vec<LayerId>, JobError> {
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
    let files = job.files.into_iter().map(|(at, contents)| Ok(Mount::File { at, contents }));
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
    })
}

/// The engine's name for a directory.
pub(crate) fn layer_ref(lower: &Lower) -> Result<LayerRef, JobError> {
    match lower {
        Lower::Stack(stack) => {
            StackId::parse(stack).map(LayerRef::Stack).map_err(|error| JobError::new("naming a stack", error))
        }
        Lower::Layer(layer) => id(layer).map(LayerRef::Layer),
    }
}

fn id(layer: &LayerId) -> Result<engine::LayerId, JobError> {
    engine::LayerId::parse(layer.as_str()).map_err(|error| JobError::new("naming a layer", error))
}

fn failed(doing: &'static str) -> impl FnOnce(EngineError) -> JobError {
    move |error| JobError::new(doing, error)
}

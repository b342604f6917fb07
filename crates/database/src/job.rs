//! Runs a container to its end: a dump, a copy, the making of a cluster.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{ContainerId, ContainerSpec, Engine, EngineError, Exit, LayerRef, Limits, Output, Profile, Upper};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{DatabaseError, Result};

/// How long a volume may be busy, and how often it is tried again.
const BUSY: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_millis(100);
/// What is kept of a job's words.
const KEPT: usize = 4000;

/// How a job went.
#[derive(Debug)]
pub(crate) struct Done {
    /// How it ended.
    pub(crate) exit: Exit,
    /// The end of what it wrote to standard error, and to standard output where that went nowhere else.
    pub(crate) words: String,
}

impl Done {
    /// What went wrong, in one line: the first that says so, or else the last.
    pub(crate) fn problem(&self) -> String {
        let mut lines = self.words.lines().filter(|line| !line.trim().is_empty());
        let first = lines.clone().find(|line| ["error:", "ERROR:", "FATAL:"].iter().any(|word| line.contains(word)));
        first
            .or_else(|| lines.next_back())
            .map_or_else(|| format!("it ended with {:?}", self.exit.code), |line| line.trim().chars().take(300).collect())
    }

    /// Whether it ended well.
    pub(crate) fn is_ok(&self) -> bool {
        self.exit.code == Some(0)
    }
}

/// A container that runs one of the machine's programs, as `user` of a range of ids; without mounts, and at an address of the moment.
pub(crate) fn tools(id: ContainerId, slot: u16, user: u16, limits: Limits, args: Vec<String>) -> ContainerSpec {
    ContainerSpec {
        hostname: id.to_string(),
        id,
        slot,
        layers: vec![LayerRef::Machine],
        upper: Upper::Memory { bytes: 64 << 20 },
        args,
        env: machine_env(),
        cwd: "/".to_owned(),
        profile: Profile::App,
        limits,
        mounts: Vec::new(),
        stdin: false,
        user,
        links: Vec::new(),
        keeps_address: false,
    }
}

/// Variables of the machine's programs.
pub(crate) fn machine_env() -> Vec<(String, String)> {
    [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Runs a container. `input` becomes its standard input, what it writes to standard output goes to `output`, whole and durable.
pub(crate) async fn run(
    engine: &Arc<dyn Engine>,
    mut spec: ContainerSpec,
    input: Option<File>,
    output: Option<File>,
) -> Result<Done> {
    let begun = Instant::now();
    spec.stdin = input.is_some();
    let id = spec.id.clone();
    let mut container = loop {
        match engine.create(spec.clone()).await {
            Ok(container) => break container,
            // A platform that is being replaced may still have it.
            Err(EngineError::Busy(_)) if begun.elapsed() < BUSY => tokio::time::sleep(AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    };
    // Whoever waits for this may go away.
    let guard = Ended(Some((Arc::clone(engine), id)));
    let (stdout, stderr) = container.take_output().ok_or_else(|| DatabaseError::Failed("a job's output is gone".to_owned()))?;
    let feed = async {
        if let (Some(file), Some(mut to)) = (input, container.take_input()) {
            let mut from = tokio::fs::File::from_std(file);
            // It may end before it has read all: its exit code tells.
            let _ended_early = tokio::io::copy(&mut from, &mut to).await;
            let _ended_early = to.shutdown().await;
        }
    };
    let written = async {
        match output {
            Some(file) => save(stdout, file).await.map(|()| String::new()),
            None => Ok(words(stdout).await),
        }
    };
    let ((), saved, mut text) = tokio::join!(feed, written, words(stderr));
    let exit = container.exited().await;
    guard.done();
    text.insert_str(0, &saved.map_err(|error| DatabaseError::Failed(format!("write the dump: {error}")))?);
    Ok(Done { exit, words: text })
}

async fn save(mut from: Output, file: File) -> std::io::Result<()> {
    let mut file = file;
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let end = read == 0;
        let chunk = std::mem::take(&mut buffer);
        (file, buffer) = tokio::task::spawn_blocking(move || {
            if end {
                file.sync_all()?;
            } else {
                file.write_all(&chunk[..read])?;
            }
            Ok::<_, std::io::Error>((file, chunk))
        })
        .await
        .map_err(std::io::Error::other)??;
        if end {
            return Ok(());
        }
    }
}

async fn words(mut stream: Output) -> String {
    let mut kept = VecDeque::new();
    let mut buffer = [0_u8; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend(&buffer[..read]);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}

/// Kills a job that nobody waits for any more.
struct Ended(Option<(Arc<dyn Engine>, ContainerId)>);

impl Ended {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some((engine, id)) = self.0.take() {
            tokio::spawn(async move {
                if let Err(error) = engine.stop(&id, Duration::ZERO).await {
                    tracing::warn!(job = %id, %error, "stop a job that nobody waits for");
                }
            });
        }
    }
}

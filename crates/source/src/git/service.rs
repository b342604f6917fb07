//! One git process that serves one request: its body in, its answer out, and an end in any case.

use std::io;
use std::io::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::command::{GitError, said};

/// A client that sends nothing for so long has gone away.
const SILENCE: Duration = Duration::from_mins(1);
/// The most time for a request before its deployment begins.
const REQUEST: Duration = Duration::from_mins(30);
/// The most time git takes to move the refs after the verdict.
const FINISH: Duration = Duration::from_mins(2);
/// How much is decompressed at once: gzip makes at most a thousand times as much of it.
const PIECE: usize = 4 * 1024;

/// Where a request is; it decides whether git may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has happened yet that matters to anybody but the client.
    Request,
    /// A deployment is under way. It ends as it ends, and the ref must follow, whether anybody listens or not.
    Deployment,
    /// The verdict is given.
    Finish,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    name: &'static str,
}

impl Process {
    /// Starts git with pipes on all sides and a process group of its own.
    pub(crate) fn start(mut command: Command, name: &'static str) -> Result<Self, GitError> {
        use std::process::Stdio;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| GitError::Start(name, error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, group, name })
    }

    /// Carries a request's body to git and its answer to the client, until both have ended. `most` bounds the body.
    pub(crate) async fn carry<B>(
        mut self,
        body: B,
        gzip: bool,
        most: u64,
        out: mpsc::Sender<io::Result<Bytes>>,
        phase: watch::Receiver<Phase>,
    ) where
        B: http_body::Body<Data = Bytes, Error: Send> + Send,
    {
        let pipes = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return };
        let traffic = async {
            let feed = async { feed(body, gzip, most, stdin).await };
            let (drained, said) = (drain(stdout, &out), listen(stderr));
            tokio::pin!(feed, drained, said);
            // A body that fails ends it all; a git that ends doesn't end the body, which the client has to send before it reads.
            let (fed, (), said) = tokio::join!(feed, drained, said);
            (fed, said)
        };
        let ended = tokio::select! {
            (fed, said) = traffic => fed.map(|()| said),
            reason = doom(&out, phase) => Err(io::Error::new(io::ErrorKind::TimedOut, reason)),
        };
        if ended.is_err() {
            self.kill();
        }
        let status = self.child.wait().await;
        match (ended, status) {
            (Ok(_), Ok(status)) if status.success() => {}
            (Ok(text), status) => {
                tracing::info!(command = self.name, ?status, said = %said(&text), "git served a request and failed");
                // Else the answer would look complete.
                out.send(Err(io::Error::other("git failed"))).await.ok();
            }
            (Err(error), _) => {
                tracing::info!(command = self.name, %error, "a git request was given up");
                out.try_send(Err(error)).ok();
            }
        }
    }

    /// Ends git and all it started.
    fn kill(&self) {
        if let Some(group) = self.group {
            // It has not been waited for, so the id is still its own.
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

/// When, and why, git is to be killed.
async fn doom(out: &mpsc::Sender<io::Result<Bytes>>, mut phase: watch::Receiver<Phase>) -> &'static str {
    tokio::select! {
        biased;
        _ = phase.wait_for(|&phase| phase != Phase::Request) => {}
        () = out.closed() => return "the client went away",
        () = sleep(REQUEST) => return "the request took too long",
    }
    phase.wait_for(|&phase| phase == Phase::Finish).await.ok();
    sleep(FINISH).await;
    "git did not end after the deployment"
}

async fn feed<B>(body: B, gzip: bool, most: u64, stdin: ChildStdin) -> io::Result<()>
where
    B: http_body::Body<Data = Bytes, Error: Send> + Send,
{
    let mut body = std::pin::pin!(body);
    let mut inflate = gzip.then(|| flate2::write::MultiGzDecoder::new(Vec::new()));
    let mut git = Sink { stdin: Some(stdin), left: most };
    loop {
        let frame = timeout(SILENCE, body.frame())
            .await
            .map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, "the client sends nothing"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_error| io::Error::new(io::ErrorKind::ConnectionReset, "the client went away"))?;
        let Ok(data) = frame.into_data() else { continue };
        let Some(inflate) = &mut inflate else {
            git.write(&data).await?;
            continue;
        };
        for piece in data.chunks(PIECE) {
            inflate.write_all(piece)?;
            git.write(inflate.get_ref()).await?;
            inflate.get_mut().clear();
        }
    }
    if let Some(inflate) = &mut inflate {
        inflate.try_finish()?;
        git.write(inflate.get_ref()).await?;
    }
    Ok(())
}

/// git's input, or nowhere, once git has stopped reading.
struct Sink {
    stdin: Option<ChildStdin>,
    left: u64,
}

impl Sink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| io::Error::other("the request is too large"))?;
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        match stdin.write_all(bytes).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stdin = None;
                Ok(())
            }
            result => result,
        }
    }
}

/// Passes on what git says, at once; to nobody, if nobody listens any more.
async fn drain(mut from: impl AsyncRead + Unpin, out: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(16 * 1024);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                out.send(Ok(buffer.split().freeze())).await.ok();
            }
        }
    }
}

async fn listen(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut text = Vec::new();
    (&mut from).take(64 * 1024).read_to_end(&mut text).await.ok();
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await.ok();
    text
}

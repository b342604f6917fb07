//! What the platform and the hook say to each other while a push waits for its deployment.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use command_fds::FdMapping;
use model::{AppName, Commit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::names::GitRef;
use super::plan::{Plan, Update, plan};
use super::repository::Repository;
use super::service::Phase;
use super::snapshot::{PushedTree, SnapshotError};
use crate::collect::Received;
use crate::limits::Limits;

/// The most bytes of all refs of one push.
const MOST_REFS: u64 = 1024 * 1024;
/// The lines that wait for a slow pusher; the deployment doesn't wait for it.
const WAITING: usize = 4096;
/// How long a pusher that reads slowly may hold up the verdict.
const SLOW: Duration = Duration::from_secs(20);
/// The longest line shown.
const LONGEST_LINE: usize = 1000;

/// What does with a push what is to be done. Implemented by those who deploy.
#[async_trait]
pub trait Pushes: Send + Sync + 'static {
    /// Deploys a pushed commit; returns when the deployment has ended. An error is for the pusher to read: the push fails with it, and the branch
    /// stays where it was. Once begun, it isn't dropped when the pusher goes away.
    async fn deploy(&self, push: Push, progress: Progress) -> Result<(), String>;
}

/// A push to the branch that is deployed.
#[derive(Clone, Debug)]
pub struct Push {
    /// The app it is for.
    pub app: AppName,
    /// The commit.
    pub commit: Commit,
    /// Its files.
    pub tree: PushedTree,
}

/// The pusher's terminal.
#[derive(Clone, Debug)]
pub struct Progress {
    lines: mpsc::Sender<String>,
    lost: Arc<AtomicUsize>,
}

impl Progress {
    /// Shows a line, or several, to the pusher at once, after `remote:`. Never waits.
    pub fn line(&self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            let line = line.chars().filter(|letter| *letter == '\t' || !letter.is_control()).take(LONGEST_LINE).collect();
            if let Err(mpsc::error::TrySendError::Full(_)) = self.lines.try_send(line) {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl PushedTree {
    /// Checks every entry of the commit and writes the canonical tar to `dest`; tells the pusher of what isn't deployed (submodules, pointers of LFS).
    pub async fn receive(&self, limits: Limits, dest: &Path, progress: &Progress) -> Result<Received, SnapshotError> {
        let (tree, dest) = (self.clone(), dest.to_owned());
        let taken = spawn_blocking(move || tree.take(&limits, &dest)).await;
        let taken = taken.map_err(|error| SnapshotError::Read(io::Error::other(error)))??;
        taken.notes.iter().for_each(|note| progress.line(format!("note: {note}")));
        Ok(taken.received)
    }
}

/// Our ends of the pipes to the hook.
#[derive(Debug)]
pub(crate) struct Conversation {
    asked: pipe::Receiver,
    shown: pipe::Sender,
    verdict: pipe::Sender,
}

impl Conversation {
    /// Makes the pipes; gives our ends, and the hook's with the numbers that it knows them by.
    pub(crate) fn new() -> io::Result<(Self, Vec<FdMapping>)> {
        let (asked, asks) = io::pipe()?;
        let (shows, shown) = io::pipe()?;
        let (hears, verdict) = io::pipe()?;
        let conversation = Self {
            asked: pipe::Receiver::from_owned_fd(asked.into())?,
            shown: pipe::Sender::from_owned_fd(shown.into())?,
            verdict: pipe::Sender::from_owned_fd(verdict.into())?,
        };
        let theirs = |fd: OwnedFd, number| FdMapping { parent_fd: fd, child_fd: number };
        Ok((conversation, vec![theirs(asks.into(), 7), theirs(shows.into(), 8), theirs(hears.into(), 9)]))
    }

    /// Waits for the hook, does what the push asks for, and gives the verdict. Without a hook, git found nothing to do or refused the push by itself.
    pub(crate) async fn hold(self, app: &AppName, repository: &Repository, pushes: &dyn Pushes, phase: &watch::Sender<Phase>) {
        let Self { asked, shown, mut verdict } = self;
        let Ok(Some((quarantine, updates))) = question(asked).await else { return };
        let (lines, waiting) = mpsc::channel(WAITING);
        let progress = Progress { lines, lost: Arc::default() };
        let lost = Arc::clone(&progress.lost);
        let (end, ended) = oneshot::channel();
        let decided = async {
            let result = decide(app, repository, &quarantine, updates, pushes, progress.clone(), phase).await;
            if let Err(text) = &result {
                progress.line(format!("error: {text}"));
            }
            end.send(()).ok();
            result.is_ok()
        };
        let (live, ()) = tokio::join!(decided, show(waiting, shown, &lost, ended));
        phase.send_replace(Phase::Finish);
        // A hook that is gone needs no verdict.
        verdict.write_all(if live { b"live\n" } else { b"failed\n" }).await.ok();
    }
}

/// What the hook asks: the quarantine's directory and the refs. `None` if there is no hook, or it broke off.
async fn question(asked: pipe::Receiver) -> io::Result<Option<(PathBuf, Vec<String>)>> {
    let mut lines = BufReader::new(asked.take(MOST_REFS)).lines();
    let Some(quarantine) = lines.next_line().await? else { return Ok(None) };
    let mut updates = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if line.is_empty() {
            return Ok(Some((PathBuf::from(quarantine), updates)));
        }
        updates.push(line);
    }
    Ok(None)
}

async fn decide(
    app: &AppName,
    repository: &Repository,
    quarantine: &Path,
    updates: Vec<String>,
    pushes: &dyn Pushes,
    progress: Progress,
    phase: &watch::Sender<Phase>,
) -> Result<(), String> {
    let updates: Vec<_> = updates.iter().map(|line| Update::parse(line)).collect::<Result<_, _>>()?;
    // Only deletions come without a quarantine.
    let quarantine = Some(repository.path.join(quarantine)).filter(|path| path.starts_with(repository.path.join("objects")));
    let (at, tree) = (repository.clone(), quarantine);
    let asked = spawn_blocking(move || prepare(&at, tree, &updates)).await;
    let (plan, deploy) = asked.map_err(|_panic| "the platform failed".to_owned())??;
    plan.notes.iter().for_each(|note| progress.line(note));
    let Some((commit, tree)) = deploy else { return Ok(()) };
    phase.send_replace(Phase::Deployment);
    pushes.deploy(Push { app: app.clone(), commit, tree }, progress).await
}

/// Plans a push, and looks up what it deploys.
fn prepare(
    repository: &Repository,
    quarantine: Option<PathBuf>,
    updates: &[Update],
) -> Result<(Plan, Option<(Commit, PushedTree)>), String> {
    let internal = |error: super::GitError| {
        tracing::warn!(repository = %repository.path.display(), %error, "look up a push");
        "the platform failed to read the repository; its log tells more".to_owned()
    };
    let head = repository.head().map_err(internal)?;
    let tip = |name: &GitRef| repository.tip(name).map_err(internal);
    let born = head.as_ref().map(&tip).transpose()?.flatten().is_some();
    let plan = plan(head.as_ref(), born, updates)?;
    let Some((branch, commit, old)) = &plan.deploy else { return Ok((plan, None)) };
    // git itself finds out only when it moves the ref, which is after the deployment.
    if tip(branch)? != *old {
        return Err("somebody else has pushed meanwhile; fetch first".to_owned());
    }
    if head.as_ref() != Some(branch) {
        repository.set_head(branch).map_err(internal)?;
    }
    let tree = PushedTree::new(repository.path.clone(), quarantine, commit.clone());
    let described = tree.described().map_err(internal)?;
    let described = Commit {
        id: commit.to_string(),
        subject: described.subject,
        author: described.author,
        branch: branch.branch().unwrap_or_default().to_owned(),
        dirty: false,
    };
    Ok((plan, Some((described, tree))))
}

/// Passes lines on to the hook until the deployment has ended; then closes the pipe, which is the hook's sign to ask for the verdict.
async fn show(mut waiting: mpsc::Receiver<String>, mut to: pipe::Sender, lost: &AtomicUsize, ended: oneshot::Receiver<()>) {
    let (close, mut closed) = oneshot::channel();
    let lines = async {
        loop {
            let line = tokio::select! {
                biased;
                line = waiting.recv() => line,
                // Whoever keeps a `Progress` has nothing more to say.
                _ = &mut closed, if !waiting.is_closed() => { waiting.close(); continue }
            };
            let Some(line) = line else { break };
            // A hook that is gone reads no more; the deployment goes on.
            to.write_all(format!("{line}\n").as_bytes()).await.ok();
        }
        let lost = lost.load(Ordering::Relaxed);
        if lost > 0 {
            to.write_all(format!("({lost} lines were too many for the connection)\n").as_bytes()).await.ok();
        }
    };
    let patience = async {
        ended.await.ok();
        close.send(()).ok();
        sleep(SLOW).await;
    };
    tokio::select! {
        () = lines => {}
        () = patience => {}
    }
}

//! The side that hands over: it answers who asks, gives what it has, and takes it up again where the successor ends.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use control::Control;
use database::servers::Servers;
use edge::Edge;
use engine::local::{Kept, LocalEngine};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket, sockopt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::{FDS, Forerunner, FromPlatform, FromSuccessor, PROTOCOL, SOCKET, SOCKET_NEW, hear, patience, say};
use crate::serve::directory::Lock;

/// How long who connects may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);
/// How long changes that have begun, deployments most of all, may take to end.
const CHANGES: Duration = Duration::from_mins(10);
/// How long a successor may take from the sockets to its readiness.
const START: Duration = Duration::from_mins(3);
/// How often a sign of life is given.
const BEAT: Duration = Duration::from_secs(2);
/// Apps in one packet.
const APPS: usize = 100;

/// Where successors ask.
#[derive(Debug)]
pub(in crate::serve) struct Desk {
    directory: PathBuf,
    asking: mpsc::UnboundedReceiver<Successor>,
}

/// A successor that is to have everything.
#[derive(Debug)]
pub(in crate::serve) struct Successor {
    pub(in crate::serve) pid: u32,
    version: String,
    socket: Arc<OwnedFd>,
    words: mpsc::UnboundedReceiver<FromSuccessor>,
    busy: Arc<AtomicBool>,
}

/// What there is to hand over.
pub(in crate::serve) struct Source<'a> {
    pub(in crate::serve) control: &'a Control,
    pub(in crate::serve) edge: &'a Edge,
    pub(in crate::serve) lock: &'a Lock,
    /// Runs the servers that apps use.
    pub(in crate::serve) engine: &'a LocalEngine,
    pub(in crate::serve) servers: &'a Servers,
    /// The platform before this one, where that may still be ending.
    pub(in crate::serve) forerunner: Option<&'a Forerunner>,
}

impl Desk {
    /// Listens, under a name that nobody knows yet. `settings` are what the platform was told by flags and variables.
    pub(in crate::serve) fn open(directory: &Path, settings: BTreeMap<String, String>) -> io::Result<Self> {
        let path = directory.join(SOCKET_NEW);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        bind(listener.as_raw_fd(), &UnixAddr::new(&path)?)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listen(&listener, Backlog::new(4)?)?;
        let listener = UnixListener::from(listener);
        let (sender, asking) = mpsc::unbounded_channel();
        // Threads of their own: they wait for packets, which nobody has to wait for at the end.
        std::thread::Builder::new().name("handover".to_owned()).spawn(move || attend(&listener, &settings, &sender))?;
        Ok(Self { directory: directory.to_owned(), asking })
    }

    /// From now on this is where successors ask.
    pub(in crate::serve) fn publish(&self) -> io::Result<()> {
        fs::rename(self.directory.join(SOCKET_NEW), self.directory.join(SOCKET))
    }

    /// The next one that asks.
    pub(in crate::serve) async fn next(&mut self) -> Successor {
        match self.asking.recv().await {
            Some(successor) => successor,
            None => std::future::pending().await,
        }
    }
}

fn attend(listener: &UnixListener, settings: &BTreeMap<String, String>, sender: &mpsc::UnboundedSender<Successor>) {
    let busy = Arc::new(AtomicBool::new(false));
    loop {
        let socket = match listener.accept() {
            Ok((stream, _)) => OwnedFd::from(stream),
            Err(error) => {
                tracing::warn!(%error, "accept a successor");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let (settings, sender, busy) = (settings.clone(), sender.clone(), Arc::clone(&busy));
        let attended = std::thread::Builder::new().name("successor".to_owned()).spawn(move || {
            if let Err(error) = converse(socket, settings, &sender, busy) {
                tracing::warn!("a hand-over was not begun: {error:#}");
            }
        });
        if let Err(error) = attended {
            tracing::warn!(%error, "attend to a successor");
        }
    }
}

/// Hears a successor to its end; what it says after it has asked goes to whoever hands over.
fn converse(
    socket: OwnedFd,
    settings: BTreeMap<String, String>,
    sender: &mpsc::UnboundedSender<Successor>,
    busy: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    // The socket is for root alone already; this is for the day on which somebody changes its mode.
    let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
    if peer.uid() != 0 {
        bail!("user {} asked for it; only root may", peer.uid());
    }
    patience(&socket, Some(GREETING))?;
    let Some((FromSuccessor::Hello { protocol, version, pid }, _)) = hear(&socket)? else { return Ok(()) };
    say(&socket, &FromPlatform::Running { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), settings }, &[])?;
    if protocol != PROTOCOL {
        return Ok(());
    }
    patience(&socket, None)?;
    // Making base systems comes before it, and may take minutes.
    let Some((FromSuccessor::Begin, _)) = hear(&socket)? else { return Ok(()) };
    if busy.swap(true, Ordering::SeqCst) {
        say(&socket, &FromPlatform::Refused("another upgrade is under way".to_owned()), &[])?;
        return Ok(());
    }
    let socket = Arc::new(socket);
    let (told, words) = mpsc::unbounded_channel();
    let successor = Successor { pid, version, socket: Arc::clone(&socket), words, busy };
    if sender.send(successor).is_err() {
        return Ok(());
    }
    while let Some((word, _)) = hear(&socket)? {
        if told.send(word).is_err() {
            break;
        }
    }
    Ok(())
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::SeqCst);
    }
}

impl Successor {
    /// Hands everything over. Returns once the successor serves; after an error all is as before, and changes are taken again.
    pub(in crate::serve) async fn give(&mut self, from: &Source<'_>) -> anyhow::Result<()> {
        tracing::info!(process = self.pid, version = %self.version, "an upgrade begins: changes are refused until it is done");
        let given = self.try_give(from).await;
        if let Err(error) = &given {
            from.control.resume_changes();
            from.servers.set_stops(true);
            // Where it is gone it does not need to know.
            let _gone = say(&self.socket, &FromPlatform::Refused(format!("{error:#}")), &[]);
        }
        given
    }

    async fn try_give(&mut self, from: &Source<'_>) -> anyhow::Result<()> {
        if let Some(forerunner) = from.forerunner {
            // Two platforms at a time have a place on the machine, not three.
            let ended = forerunner.gone();
            self.meanwhile(ended, CHANGES, || "the platform of before still ends what it has begun".to_owned()).await?;
        }
        let quiet = from.control.quiesce();
        self.meanwhile(quiet, CHANGES, || match from.control.deploying().as_slice() {
            [] => "a change is being made".to_owned(),
            apps => format!("deployments have not ended: {}", join(apps)),
        })
        .await?;
        let sockets = from.edge.sockets().context("share the sockets")?;
        // What the successor is told of runs until it has it.
        from.servers.set_stops(false);
        let (launcher, running) = from.engine.give().context("share the launcher of servers")?;
        let in_use = from.control.in_use().await;
        for (sockets, word) in [(&sockets.http, FromPlatform::Http), (&sockets.https, FromPlatform::Https)] {
            for few in sockets.chunks(FDS) {
                let fds: Vec<BorrowedFd<'_>> = few.iter().map(AsFd::as_fd).collect();
                say(&self.socket, &word, &fds)?;
            }
        }
        say(&self.socket, &FromPlatform::Lock, &[from.lock.as_fd()])?;
        say(&self.socket, &FromPlatform::Servers(launcher.pid), &[launcher.socket.as_fd()])?;
        for Kept { id, address, output } in running {
            say(&self.socket, &FromPlatform::Server(id, address), &[output[0].as_fd(), output[1].as_fd()])?;
        }
        for apps in in_use.chunks(APPS) {
            say(&self.socket, &FromPlatform::InUse(apps.to_vec()), &[])?;
        }
        say(&self.socket, &FromPlatform::Given, &[])?;
        match timeout_at(Instant::now() + START, self.words.recv()).await {
            Ok(Some(FromSuccessor::Ready)) => {
                from.engine.leave();
                Ok(())
            }
            Ok(Some(word)) => bail!("the new platform said {word:?} in place of being ready"),
            Ok(None) => bail!("the new platform ended before it was ready"),
            Err(_late) => bail!("the new platform was not ready within {} s", START.as_secs()),
        }
    }

    /// Waits for something while the successor lives, and tells it what for.
    async fn meanwhile(
        &mut self,
        done: impl Future<Output = ()>,
        limit: Duration,
        why: impl Fn() -> String,
    ) -> anyhow::Result<()> {
        let mut done = pin!(done);
        let until = Instant::now() + limit;
        loop {
            tokio::select! {
                biased;
                () = &mut done => return Ok(()),
                word = self.words.recv() => match word {
                    None => bail!("the new platform ended while it waited: {}", why()),
                    Some(word) => bail!("the new platform said {word:?} before it was given anything"),
                },
                () = sleep(BEAT) => {
                    if Instant::now() > until {
                        bail!("{} after {} s", why(), limit.as_secs());
                    }
                    say(&self.socket, &FromPlatform::Waiting(why()), &[])?;
                }
            }
        }
    }

    /// Says that this platform is told to stop, in the middle of it all.
    pub(in crate::serve) fn refuse(&self, why: &str) {
        let _gone = say(&self.socket, &FromPlatform::Refused(why.to_owned()), &[]);
    }

    /// Waits until there is no time left for visitors: the successor ends, or has ended.
    pub(in crate::serve) async fn hurry(&mut self) {
        while let Some(word) = self.words.recv().await {
            if matches!(word, FromSuccessor::Hurry) {
                return;
            }
        }
    }
}

fn join(apps: &[model::AppName]) -> String {
    apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

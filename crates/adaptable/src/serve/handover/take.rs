//! The side that takes over: it finds the platform that runs, asks, and is given everything before it has a second thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use control::InUse;
use edge::Sockets;
use engine::local::Kept;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt};
use nix::unistd::User;
use sandbox::LauncherEnd;
use tokio_util::sync::CancellationToken;

use super::{FromPlatform, FromSuccessor, PROTOCOL, SOCKET, hear, patience, say};

/// How long the platform may be silent before it is taken for hung. It gives a sign of life every two seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// A platform that runs and can hand over.
#[derive(Debug)]
pub(crate) struct Predecessor {
    /// What it was told by flags and variables.
    pub(crate) settings: BTreeMap<String, String>,
    version: String,
    uid: u32,
    socket: OwnedFd,
}

/// What a platform handed over.
#[derive(Debug)]
pub(in crate::serve) struct Inheritance {
    pub(in crate::serve) sockets: Sockets,
    pub(in crate::serve) lock: File,
    pub(in crate::serve) in_use: Vec<InUse>,
    /// The launcher of servers, and what runs there; none where a platform of before had none.
    pub(in crate::serve) servers: Option<(LauncherEnd, Vec<Kept>)>,
    pub(in crate::serve) socket: OwnedFd,
}

/// Finds the platform that runs with this data directory; `None` where there is none.
pub(crate) fn find(data_dir: &Path) -> anyhow::Result<Option<Predecessor>> {
    let path = data_dir.join(SOCKET);
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(&path)?) {
        Ok(()) => {}
        // A platform that is too old to hand over is found by its lock, as at any other start.
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("ask the running platform at {}", path.display())),
    }
    let uid = getsockopt(&socket, sockopt::PeerCredentials)?.uid();
    patience(&socket, Some(SILENCE))?;
    let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
    say(&socket, &FromSuccessor::Hello { protocol: PROTOCOL, version, pid }, &[]).context("ask the running platform")?;
    match hear(&socket).context("wait for the running platform's answer")? {
        Some((FromPlatform::Running { protocol: PROTOCOL, version, settings }, _)) => {
            Ok(Some(Predecessor { settings, version, uid, socket }))
        }
        Some((FromPlatform::Running { version, .. }, _)) => {
            bail!(
                "the running platform (version {version}) hands over in another way than this one; stop it with `adaptable down`, then start this one"
            )
        }
        Some((word, _)) => bail!("the running platform answered with {word:?}"),
        None => bail!("the running platform ended, or does not hand over to this user"),
    }
}

impl Predecessor {
    /// The data is its user's, and so are the rules about who reaches containers: a successor must be the same.
    pub(in crate::serve) fn check_user(&self, user: &User) -> anyhow::Result<()> {
        if self.uid != user.uid.as_raw() {
            bail!("the running platform is the user with the id {}, not {}; to change that, stop it first", self.uid, user.name);
        }
        Ok(())
    }

    /// Asks for everything, and waits for it: until deployments have ended, where there are any.
    pub(in crate::serve) fn receive(self) -> anyhow::Result<Inheritance> {
        let socket = self.socket;
        tracing::info!(from = %self.version, "taking over from the running platform");
        say(&socket, &FromSuccessor::Begin, &[]).context("ask the running platform to hand over")?;
        let (mut sockets, mut lock, mut in_use) = (Sockets::default(), None, Vec::new());
        let (mut launcher, mut running) = (None, Vec::new());
        let mut said = String::new();
        loop {
            let word = hear::<FromPlatform>(&socket).context("wait for the running platform to hand over")?;
            let Some((word, fds)) = word else {
                bail!("the running platform ended before it had handed over; `adaptable serve` starts one");
            };
            match word {
                FromPlatform::Waiting(why) => {
                    if why != said {
                        tracing::info!("waiting: {why}");
                        said = why;
                    }
                }
                FromPlatform::Refused(why) => bail!("the running platform does not hand over: {why}"),
                FromPlatform::Http => sockets.http.extend(fds.into_iter().map(TcpListener::from)),
                FromPlatform::Https => sockets.https.extend(fds.into_iter().map(TcpListener::from)),
                FromPlatform::Lock => lock = fds.into_iter().next().map(File::from),
                FromPlatform::Servers(pid) => launcher = fds.into_iter().next().map(|socket| LauncherEnd { socket, pid }),
                FromPlatform::Server(id, address) => {
                    let output = <[OwnedFd; 2]>::try_from(fds);
                    let output = output.map_err(|_other| anyhow::anyhow!("the output of {id} did not come along"))?;
                    running.push(Kept { id, address, output });
                }
                FromPlatform::InUse(apps) => in_use.extend(apps),
                FromPlatform::Given => break,
                FromPlatform::Running { .. } => bail!("the running platform said who it is a second time"),
            }
        }
        let lock = lock.context("take over the data directory's lock")?;
        Ok(Inheritance { sockets, lock, in_use, servers: launcher.map(|launcher| (launcher, running)), socket })
    }
}

/// The platform of before, from the moment on at which everything is here.
#[derive(Debug)]
pub(in crate::serve) struct Forerunner {
    socket: Arc<OwnedFd>,
    gone: CancellationToken,
    refused: CancellationToken,
}

impl Forerunner {
    /// Begins to listen to it. The process may have threads from here on.
    pub(in crate::serve) fn attend(socket: OwnedFd) -> anyhow::Result<Self> {
        patience(&socket, None)?;
        let (gone, refused) = (CancellationToken::new(), CancellationToken::new());
        let forerunner = Self { socket: Arc::new(socket), gone: gone.clone(), refused: refused.clone() };
        let socket = Arc::clone(&forerunner.socket);
        std::thread::Builder::new().name("forerunner".to_owned()).spawn(move || {
            while let Ok(Some((word, _))) = hear::<FromPlatform>(&socket) {
                if let FromPlatform::Refused(why) = word {
                    tracing::error!("the running platform has taken back what it handed over: {why}");
                    refused.cancel();
                }
            }
            gone.cancel();
        })?;
        Ok(forerunner)
    }

    /// Ends when it has taken everything back; it serves then, and this process must not.
    pub(in crate::serve) async fn refused(&self) {
        self.refused.cancelled().await;
    }

    /// Tells it that this process serves. Where it has ended meanwhile, this one is all the same what serves.
    pub(in crate::serve) fn ready(&self) -> anyhow::Result<()> {
        if self.refused.is_cancelled() {
            bail!("the running platform goes on");
        }
        let _gone = say(&self.socket, &FromSuccessor::Ready, &[]);
        Ok(())
    }

    /// Ends when it has ended.
    pub(in crate::serve) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Asks it to end soon, as this process does.
    pub(in crate::serve) fn hurry(&self) {
        let _gone = say(&self.socket, &FromSuccessor::Hurry, &[]);
    }
}

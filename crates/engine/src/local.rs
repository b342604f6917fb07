//! Runs containers on this machine, through the launcher.

mod reply;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use sandbox::LauncherEnd;
use sandbox::channel::{Message, Question, Reply, Request, receive, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, oneshot, watch};

use reply::{input, output, unexpected};

use crate::{
    Applied, CacheName, Container, ContainerId, ContainerSpec, Engine, EngineError, Exit, Finding, Freezer, LayerId, LayerRoom,
    PackedLayer, Usage, VolumeName,
};

/// How often the launcher looks after what others may have changed.
const MAINTAIN: Duration = Duration::from_secs(30);
/// How long a killed container may take until nothing of it is left.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

type Answer = (Reply, Vec<OwnedFd>);

/// Runs containers on this machine.
#[derive(Debug, Clone)]
pub struct LocalEngine {
    inner: Arc<Inner>,
}

struct Inner {
    socket: AsyncFd<OwnedFd>,
    launcher: u32,
    number: AtomicU64,
    /// Told when another process takes over.
    left: Notify,
    state: Mutex<State>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

/// A container, as another process is to know it.
#[derive(Debug)]
pub struct Kept {
    /// Its name.
    pub id: ContainerId,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its standard output and its standard error.
    pub output: [OwnedFd; 2],
}

#[derive(Default)]
struct State {
    /// What another process would have to know of the containers that run; kept where there may be one.
    kept: Option<HashMap<ContainerId, Kept>>,
    /// Those that run from a time before this process, until somebody asks for them.
    found: HashMap<ContainerId, Container>,
    /// Whoever waits for an answer; and the container that the answer may be about.
    waiting: HashMap<u64, (oneshot::Sender<Answer>, Option<ContainerId>)>,
    /// Who wants to know of a container's end.
    exits: HashMap<ContainerId, watch::Sender<Option<Exit>>>,
    ended: bool,
}

impl LocalEngine {
    /// Begins to talk to a launcher. The future ends when the launcher has ended. Must be called within a runtime.
    pub fn start(launcher: LauncherEnd) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let engine = Self::new(launcher, State::default(), 1)?;
        let gone = engine.begin();
        Ok((engine, gone))
    }

    /// The same for a launcher whose containers may be handed to another process ([`Self::give`]).
    pub fn start_kept(launcher: LauncherEnd) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let engine = Self::new(launcher, State { kept: Some(HashMap::new()), ..State::default() }, 1)?;
        let gone = engine.begin();
        Ok((engine, gone))
    }

    /// Takes a launcher over from a process that still talks to it. Its containers are found here ([`Engine::find`]); nothing may be
    /// asked of it before [`Self::begin`], which is for when the other one has stopped.
    pub fn take_over(launcher: LauncherEnd, containers: Vec<Kept>) -> io::Result<Self> {
        let mut state = State { kept: Some(HashMap::new()), ..State::default() };
        for kept in containers {
            let (watcher, exit) = watch::channel(None);
            let [stdout, stderr] = [kept.output[0].try_clone()?, kept.output[1].try_clone()?];
            let read = |fd| output(fd).map_err(io::Error::other);
            let pipes = (read(stdout)?, read(stderr)?);
            state.exits.insert(kept.id.clone(), watcher);
            state.found.insert(kept.id.clone(), Container::new(kept.id.clone(), IpAddr::V4(kept.address), None, pipes, exit));
            if let Some(all) = &mut state.kept {
                all.insert(kept.id.clone(), kept);
            }
        }
        // What the launcher still answers to the other process must not be taken for an answer to this one.
        Self::new(launcher, state, rand::random::<u32>().into())
    }

    /// What another process needs to take this launcher over: its socket, its process, and its containers.
    pub fn give(&self) -> io::Result<(LauncherEnd, Vec<Kept>)> {
        let state = self.inner.lock();
        let kept = state.kept.iter().flat_map(HashMap::values).map(|kept| {
            let output = [kept.output[0].try_clone()?, kept.output[1].try_clone()?];
            Ok(Kept { id: kept.id.clone(), address: kept.address, output })
        });
        let kept = kept.collect::<io::Result<Vec<_>>>()?;
        let socket = self.inner.socket.get_ref().try_clone()?;
        Ok((LauncherEnd { socket, pid: self.inner.launcher }, kept))
    }

    /// Stops talking to the launcher, which another process does from now on. Containers go on; what is still asked fails.
    pub fn leave(&self) {
        self.inner.left.notify_one();
        self.inner.end();
    }

    /// Stops the containers that ran before and that nobody has asked for.
    pub async fn stop_found(&self, grace: Duration) {
        let found: Vec<ContainerId> = self.inner.lock().found.drain().map(|(id, _)| id).collect();
        for id in found {
            if let Err(error) = self.stop(&id, grace).await {
                tracing::warn!(container = %id, %error, "stop a container of before");
            }
        }
    }

    fn new(launcher: LauncherEnd, state: State, first: u64) -> io::Result<Self> {
        nonblocking(&launcher.socket)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd stays the same descriptor as long as it lives, which is all that the successor asks for"
        )]
        let socket = AsyncFd::with_interest(launcher.socket, Interest::READABLE | Interest::WRITABLE)?;
        let (launcher, number) = (launcher.pid, AtomicU64::new(first << 32 | 1));
        let inner = Inner { socket, launcher, number, left: Notify::new(), state: Mutex::new(state) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Begins to hear the launcher. The future ends when the launcher has ended, and never after [`Self::leave`].
    pub fn begin(&self) -> impl Future<Output = ()> + Send + use<> {
        let (gone, ended) = oneshot::channel::<()>();
        let reader = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let read = tokio::select! {
                read = reader.read() => read,
                () = reader.left.notified() => return std::future::pending().await,
            };
            if let Err(error) = read {
                tracing::error!(%error, "read from the launcher");
            }
            reader.end();
            drop(gone);
        });
        let maintained = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(MAINTAIN).await;
                let Some(inner) = maintained.upgrade() else { return };
                // Only a machine with running containers has anything to look after.
                let busy = !inner.lock().exits.is_empty();
                if busy && inner.ask(Request::Maintain, None, None).await.is_err() {
                    return;
                }
            }
        });
        async move {
            let _dropped = ended.await;
        }
    }

    /// Notes what another process would have to know of a container, where there may be one.
    fn keep(&self, id: &ContainerId, address: Ipv4Addr, stdout: &OwnedFd, stderr: &OwnedFd) -> Result<(), EngineError> {
        let mut state = self.inner.lock();
        let runs = state.exits.contains_key(id);
        let Some(kept) = state.kept.as_mut().filter(|_| runs) else { return Ok(()) };
        let copy =
            |fd: &OwnedFd| fd.try_clone().map_err(|error| EngineError::Failed(format!("keep a container's output: {error}")));
        kept.insert(id.clone(), Kept { id: id.clone(), address, output: [copy(stdout)?, copy(stderr)?] });
        Ok(())
    }

    async fn done(&self, request: Request, file: Option<&File>) -> Result<(), EngineError> {
        match self.inner.ask(request, file, None).await?.0 {
            Reply::Done => Ok(()),
            reply => Err(unexpected(reply)),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self) -> io::Result<()> {
        loop {
            let received = self.socket.async_io(Interest::READABLE, |socket| receive::<Message>(socket.as_fd())).await?;
            let Some((message, fds)) = received else { return Ok(()) };
            match message {
                Message::Answer(number, reply) => self.answered(number, reply, fds),
                Message::Exited(id, exit) => {
                    let mut state = self.lock();
                    if let Some(watcher) = state.exits.remove(&id) {
                        watcher.send_replace(Some(exit));
                    }
                    state.found.remove(&id);
                    if let Some(kept) = &mut state.kept {
                        kept.remove(&id);
                    }
                }
            }
        }
    }

    fn answered(&self, number: u64, reply: Reply, fds: Vec<OwnedFd>) {
        let mut state = self.lock();
        let Some((waiter, container)) = state.waiting.remove(&number) else { return };
        if let (Reply::Refused(_), Some(id)) = (&reply, container) {
            state.exits.remove(&id);
        }
        drop(state);
        // Whoever asked may be gone; a container that nobody waits for is then killed by the guard in `create`.
        let _gone = waiter.send((reply, fds));
    }

    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.waiting.clear();
        state.exits.clear();
    }

    async fn ask(&self, request: Request, file: Option<&File>, container: Option<ContainerId>) -> Result<Answer, EngineError> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.ended {
                return Err(EngineError::Stopped);
            }
            state.waiting.insert(number, (sender, container));
        }
        let question = Question { number, request };
        let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
        let sent = self.socket.async_io(Interest::WRITABLE, |socket| send(socket.as_fd(), &question, &fds)).await;
        if let Err(error) = sent {
            self.lock().waiting.remove(&number);
            return match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Err(EngineError::Stopped),
                _ => Err(EngineError::Failed(format!("ask the launcher: {error}"))),
            };
        }
        answer.await.map_err(|_ended| EngineError::Stopped)
    }
}

fn nonblocking(fd: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Kills a container whose maker was dropped while it was being made.
struct Abandoned(Option<(LocalEngine, ContainerId)>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some((engine, id)) = self.0.take() {
            tokio::spawn(async move {
                // It may not be there yet: the launcher answers in order, so it is once this has been answered.
                for _ in 0..100 {
                    match engine.inner.ask(Request::Kill(id.clone()), None, None).await {
                        Ok((Reply::Done, _)) | Err(_) => return,
                        Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
            });
        }
    }
}

#[async_trait]
impl Engine for LocalEngine {
    async fn find(&self, id: &ContainerId) -> Option<Container> {
        self.inner.lock().found.remove(id)
    }

    async fn create(&self, spec: ContainerSpec) -> Result<Container, EngineError> {
        let id = spec.id.clone();
        let (watcher, exit) = watch::channel(None);
        {
            // Registered before the question is asked: a container may end before its answer has been read.
            let mut state = self.inner.lock();
            if state.exits.contains_key(&id) {
                return Err(EngineError::Failed(format!("a container {id} is there already")));
            }
            state.exits.insert(id.clone(), watcher);
        }
        let mut guard = Abandoned(Some((self.clone(), id.clone())));
        let asked = self.inner.ask(Request::Create(Box::new(spec)), None, Some(id.clone())).await;
        let (reply, fds) = match asked {
            Ok(answer) => answer,
            Err(error) => {
                guard.0 = None;
                self.inner.lock().exits.remove(&id);
                return Err(error);
            }
        };
        let Reply::Created { address, freezer } = reply else {
            guard.0 = None;
            return Err(unexpected(reply));
        };
        let mut fds = fds.into_iter();
        let (Some(stdout), Some(stderr)) = (fds.next(), fds.next()) else {
            return Err(EngineError::Failed("the container's output did not come along".to_owned()));
        };
        let freezer = if freezer { fds.next().map(Freezer::new) } else { None };
        self.keep(&id, address, &stdout, &stderr)?;
        let output = (output(stdout)?, output(stderr)?);
        let input = fds.next().map(input).transpose()?;
        guard.0 = None;
        let container = Container::new(id, IpAddr::V4(address), freezer, output, exit);
        Ok(match input {
            Some(input) => container.with_input(input),
            None => container,
        })
    }

    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), EngineError> {
        self.done(Request::Signal(id.clone(), signal), None).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), EngineError> {
        let Some(watcher) = self.inner.lock().exits.get(id).map(watch::Sender::subscribe) else { return Ok(()) };
        let gone = |patience| {
            let mut watcher = watcher.clone();
            async move { tokio::time::timeout(patience, watcher.wait_for(Option::is_some)).await.is_ok() }
        };
        match self.signal(id, libc::SIGTERM).await {
            Ok(()) if gone(grace).await => return Ok(()),
            Ok(()) | Err(EngineError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        match self.done(Request::Kill(id.clone()), None).await {
            Ok(()) | Err(EngineError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        if gone(KILL_PATIENCE).await { Ok(()) } else { Err(EngineError::Failed(format!("container {id} does not end"))) }
    }

    async fn listeners(&self, id: &ContainerId) -> Result<Vec<SocketAddr>, EngineError> {
        match self.inner.ask(Request::Listeners(id.clone()), None, None).await?.0 {
            Reply::Listeners(addresses) => Ok(addresses),
            reply => Err(unexpected(reply)),
        }
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, EngineError> {
        match self.inner.ask(Request::Usage(id.clone()), None, None).await?.0 {
            Reply::Usage(usage) => Ok(usage),
            reply => Err(unexpected(reply)),
        }
    }

    async fn room(&self) -> Option<u64> {
        // What the kernel could give without swapping (proc(5), MemAvailable).
        let text = tokio::fs::read_to_string("/proc/meminfo").await.ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    async fn weigh(&self, id: &ContainerId, weight: u32) -> Result<(), EngineError> {
        self.done(Request::Weigh(id.clone(), weight), None).await
    }

    async fn push_out(&self, id: &ContainerId) -> Result<(), EngineError> {
        self.done(Request::PushOut(id.clone()), None).await
    }

    async fn unpack_layer(&self, layer: &LayerId, prefix: &str, archive: File) -> Result<(), EngineError> {
        self.done(Request::Unpack(layer.clone(), prefix.to_owned()), Some(&archive)).await
    }

    async fn apply_layer(&self, layer: &LayerId, first: bool, room: LayerRoom, archive: File) -> Result<Applied, EngineError> {
        match self.inner.ask(Request::Apply(layer.clone(), first, room), Some(&archive), None).await?.0 {
            Reply::Applied(applied) => Ok(applied),
            reply => Err(unexpected(reply)),
        }
    }

    async fn layer_file(&self, layer: &LayerId, path: &str) -> Result<Vec<u8>, EngineError> {
        match self.inner.ask(Request::ReadFile(layer.clone(), path.to_owned()), None, None).await?.0 {
            Reply::File(bytes) => Ok(bytes),
            reply => Err(unexpected(reply)),
        }
    }

    async fn seal_layer(&self, layer: &LayerId, keep: &[String]) -> Result<(), EngineError> {
        self.done(Request::Seal(layer.clone(), keep.to_vec()), None).await
    }

    async fn pack_layer(&self, layer: &LayerId, to: File) -> Result<PackedLayer, EngineError> {
        match self.inner.ask(Request::Pack(layer.clone()), Some(&to), None).await?.0 {
            Reply::Packed(packed) => Ok(packed),
            reply => Err(unexpected(reply)),
        }
    }

    async fn has_layer(&self, layer: &LayerId) -> Result<bool, EngineError> {
        match self.inner.ask(Request::Has(layer.clone()), None, None).await?.0 {
            Reply::Has(has) => Ok(has),
            reply => Err(unexpected(reply)),
        }
    }

    async fn remove_layer(&self, layer: &LayerId) -> Result<(), EngineError> {
        self.done(Request::Remove(layer.clone()), None).await
    }

    async fn remove_cache(&self, cache: &CacheName) -> Result<(), EngineError> {
        self.done(Request::RemoveCache(cache.clone()), None).await
    }

    async fn release(&self, id: &ContainerId) -> Result<(), EngineError> {
        self.done(Request::Release(id.clone()), None).await
    }

    async fn remove_volume(&self, volume: &VolumeName) -> Result<(), EngineError> {
        self.done(Request::RemoveVolume(volume.clone()), None).await
    }

    async fn volumes(&self) -> Result<Vec<VolumeName>, EngineError> {
        match self.inner.ask(Request::Volumes, None, None).await?.0 {
            Reply::Volumes(volumes) => Ok(volumes),
            reply => Err(unexpected(reply)),
        }
    }

    async fn layers(&self) -> Result<Vec<LayerId>, EngineError> {
        match self.inner.ask(Request::Layers, None, None).await?.0 {
            Reply::Layers(layers) => Ok(layers),
            reply => Err(unexpected(reply)),
        }
    }

    fn helper(&self) -> Option<u32> {
        Some(self.inner.launcher)
    }

    async fn check(&self) -> Vec<Finding> {
        let running = self.inner.lock().exits.len();
        let asked = self.inner.ask(Request::Check, None, None).await;
        let (found, problem, more) = match asked {
            Ok((Reply::Findings(more), _)) => (format!("it answers; {running} containers run"), None, more),
            Ok((other, _)) => (unexpected(other).to_string(), Some("start the platform again".to_owned()), Vec::new()),
            Err(error) => (error.to_string(), Some("start the platform again".to_owned()), Vec::new()),
        };
        [vec![Finding { what: "launcher".to_owned(), found, problem }], more].concat()
    }

    async fn shutdown(&self) {
        if let Err(error) = self.done(Request::Shutdown, None).await {
            tracing::warn!(%error, "stop the launcher");
        }
    }
}

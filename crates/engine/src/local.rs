//! Runs containers on this machine, through the launcher.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use sandbox::LauncherEnd;
use sandbox::channel::{Message, Question, Refusal, Reply, Request, receive, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use crate::{
    CacheName, Container, ContainerId, ContainerSpec, Engine, EngineError, Exit, Finding, Freezer, Input, LayerId, Output,
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
    state: Mutex<State>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

#[derive(Default)]
struct State {
    /// Whoever waits for an answer; and the container that the answer may be about.
    waiting: HashMap<u64, (oneshot::Sender<Answer>, Option<ContainerId>)>,
    /// Who wants to know of a container's end.
    exits: HashMap<ContainerId, watch::Sender<Option<Exit>>>,
    ended: bool,
}

impl LocalEngine {
    /// Begins to talk to a launcher. The future ends when the launcher has ended. Must be called within a runtime.
    pub fn start(launcher: LauncherEnd) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        nonblocking(&launcher.socket)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd stays the same descriptor as long as it lives, which is all that the successor asks for"
        )]
        let socket = AsyncFd::with_interest(launcher.socket, Interest::READABLE | Interest::WRITABLE)?;
        let inner = Inner { socket, launcher: launcher.pid, number: AtomicU64::new(1), state: Mutex::new(State::default()) };
        let engine = Self { inner: Arc::new(inner) };
        let (gone, ended) = oneshot::channel::<()>();
        let reader = Arc::clone(&engine.inner);
        tokio::spawn(async move {
            if let Err(error) = reader.read().await {
                tracing::error!(%error, "read from the launcher");
            }
            reader.end();
            drop(gone);
        });
        let maintained = Arc::downgrade(&engine.inner);
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
        Ok((engine, async move {
            let _dropped = ended.await;
        }))
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
                    if let Some(watcher) = self.lock().exits.remove(&id) {
                        watcher.send_replace(Some(exit));
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

fn unexpected(reply: Reply) -> EngineError {
    match reply {
        Reply::Refused(Refusal::NoRoom(why)) => EngineError::NoRoom(why),
        Reply::Refused(Refusal::Missing(what)) => EngineError::Missing(what),
        Reply::Refused(Refusal::Busy(why)) => EngineError::Busy(why),
        Reply::Refused(Refusal::Failed(why)) => EngineError::Failed(why),
        other => EngineError::Failed(format!("the launcher gave another answer than was asked for: {other:?}")),
    }
}

fn output(fd: OwnedFd) -> Result<Output, EngineError> {
    let receiver =
        pipe::Receiver::from_owned_fd(fd).map_err(|error| EngineError::Failed(format!("read a container's output: {error}")))?;
    Ok(Box::pin(receiver))
}

fn input(fd: OwnedFd) -> Result<Input, EngineError> {
    let sender =
        pipe::Sender::from_owned_fd(fd).map_err(|error| EngineError::Failed(format!("write a container's input: {error}")))?;
    Ok(Box::pin(sender))
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

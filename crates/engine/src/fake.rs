//! An engine that runs no programs: its containers are tasks that listen on loopback addresses of their own.
//!
//! For tests of what stands above the seam. It passes the same conformance suite as the engines that are real.

mod layers;
mod program;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

pub use program::{Program, Step};

use crate::{
    Applied, CacheName, Container, ContainerId, ContainerSpec, Engine, EngineError, Exit, Finding, LayerId, LayerRef, LayerRoom,
    PackedLayer, Upper, Usage, VolumeName,
};
use layers::{Files, apply, pack, unpack};
use program::{Order, Run};

/// Says what a container does; `None` where its program is missing.
pub type Behaviour = dyn Fn(&ContainerSpec) -> Option<Program> + Send + Sync;

/// An engine for tests.
#[derive(Clone)]
pub struct FakeEngine {
    inner: Arc<Inner>,
}

struct Inner {
    behaviour: Box<Behaviour>,
    addresses: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: HashMap<ContainerId, Running>,
    layers: BTreeMap<LayerId, Layer>,
    created: Vec<ContainerSpec>,
    stopped: bool,
}

struct Running {
    orders: mpsc::UnboundedSender<Order>,
    exit: watch::Receiver<Option<Exit>>,
    listeners: Arc<Mutex<Vec<SocketAddr>>>,
}

#[derive(Default)]
struct Layer {
    files: Files,
    sealed: bool,
}

/// Engines of one process must not take each other's addresses.
static NETS: AtomicU32 = AtomicU32::new(1);

impl std::fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEngine").finish_non_exhaustive()
    }
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeEngine {
    /// An engine whose containers act like `probe` (see the conformance suite).
    pub fn new() -> Self {
        Self::with(Program::of_probe)
    }

    /// An engine whose containers do what `behaviour` says.
    pub fn with(behaviour: impl Fn(&ContainerSpec) -> Option<Program> + Send + Sync + 'static) -> Self {
        let net = NETS.fetch_add(1, Ordering::Relaxed) % 250;
        // Tests of several processes run at the same time.
        let process = std::process::id() % 200 + 20;
        let addresses = AtomicU32::new(u32::from(Ipv4Addr::new(127, process.to_le_bytes()[0], net.to_le_bytes()[0], 1)));
        Self { inner: Arc::new(Inner { behaviour: Box::new(behaviour), addresses, state: Mutex::new(State::default()) }) }
    }

    /// Every container that was asked for so far.
    pub fn created(&self) -> Vec<ContainerSpec> {
        self.lock().created.clone()
    }

    /// The names of those that run.
    pub fn running(&self) -> Vec<ContainerId> {
        self.lock().running.iter().filter(|(_, it)| it.exit.borrow().is_none()).map(|(id, _)| id.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a container sees of the files in its layers.
    fn files(state: &State, spec: &ContainerSpec) -> Result<Files, EngineError> {
        let mut files = Files::new();
        for layer in &spec.layers {
            if let LayerRef::Layer(id) = layer {
                let layer = state.layers.get(id).filter(|it| it.sealed).ok_or_else(|| missing_layer(id))?;
                files.extend(layer.files.clone());
            }
        }
        Ok(files)
    }

    fn order(&self, id: &ContainerId, order: Order) -> Result<(), EngineError> {
        let state = self.lock();
        let running = state.running.get(id).filter(|it| it.exit.borrow().is_none()).ok_or_else(|| missing(id))?;
        running.orders.send(order).map_err(|_ended| missing(id))
    }
}

fn missing(id: &ContainerId) -> EngineError {
    EngineError::Missing(format!("container {id}"))
}

fn missing_layer(id: &LayerId) -> EngineError {
    EngineError::Missing(format!("layer {id}"))
}

#[async_trait]
impl Engine for FakeEngine {
    async fn create(&self, spec: ContainerSpec) -> Result<Container, EngineError> {
        let id = spec.id.clone();
        let address = Ipv4Addr::from(self.inner.addresses.fetch_add(1, Ordering::Relaxed));
        let mut state = self.lock();
        if state.stopped {
            return Err(EngineError::Stopped);
        }
        if state.running.get(&id).is_some_and(|it| it.exit.borrow().is_none()) {
            return Err(EngineError::Failed(format!("a container {id} is there already")));
        }
        let files = Self::files(&state, &spec)?;
        let Some(program) = (self.inner.behaviour)(&spec) else {
            return Err(EngineError::Failed(format!("there is no program {:?}", spec.args.first())));
        };
        let (stdout, out) = tokio::io::duplex(64 * 1024);
        let (stderr, err) = tokio::io::duplex(64 * 1024);
        let (orders, ordered) = mpsc::unbounded_channel();
        let (ended, exit) = watch::channel(None);
        let listeners = Arc::new(Mutex::new(Vec::new()));
        let run = Run { address, files, listeners: Arc::clone(&listeners), out, err, orders: ordered, heeds: None };
        let engine = self.clone();
        let upper = spec.upper.clone();
        tokio::spawn(async move {
            let (exit, written) = run.run(program).await;
            if let Upper::Layer(layer) = upper {
                engine.lock().layers.insert(layer, Layer { files: written, sealed: false });
            }
            ended.send_replace(Some(exit));
        });
        state.running.insert(id.clone(), Running { orders, exit: exit.clone(), listeners });
        state.created.push(spec);
        Ok(Container::new(id, IpAddr::V4(address), None, (Box::pin(stdout), Box::pin(stderr)), exit))
    }

    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), EngineError> {
        self.order(id, Order { signal })
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), EngineError> {
        let Some(mut exit) = self.lock().running.get(id).map(|it| it.exit.clone()) else { return Ok(()) };
        if self.order(id, Order { signal: nix::libc::SIGTERM }).is_ok()
            && tokio::time::timeout(grace, exit.wait_for(Option::is_some)).await.is_err()
        {
            let _ended = self.order(id, Order { signal: nix::libc::SIGKILL });
        }
        let _ended = exit.wait_for(Option::is_some).await;
        Ok(())
    }

    async fn listeners(&self, id: &ContainerId) -> Result<Vec<SocketAddr>, EngineError> {
        let state = self.lock();
        let running = state.running.get(id).filter(|it| it.exit.borrow().is_none()).ok_or_else(|| missing(id))?;
        Ok(running.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, EngineError> {
        self.listeners(id).await.map(|_running| Usage { memory_bytes: 1 << 20, cpu_seconds: 0.01 })
    }

    async fn weigh(&self, id: &ContainerId, _weight: u32) -> Result<(), EngineError> {
        self.listeners(id).await.map(drop)
    }

    async fn push_out(&self, id: &ContainerId) -> Result<(), EngineError> {
        self.listeners(id).await.map(drop)
    }

    async fn unpack_layer(&self, layer: &LayerId, prefix: &str, archive: File) -> Result<(), EngineError> {
        let files = unpack(prefix, archive).map_err(|error| EngineError::Failed(format!("unpack layer {layer}: {error}")))?;
        self.lock().layers.insert(layer.clone(), Layer { files, sealed: true });
        Ok(())
    }

    async fn apply_layer(&self, layer: &LayerId, first: bool, room: LayerRoom, archive: File) -> Result<Applied, EngineError> {
        let below = if first { Some(Files::new()) } else { self.lock().layers.remove(layer).map(|it| it.files) };
        let mut files = below.ok_or_else(|| missing_layer(layer))?;
        let applied =
            apply(&mut files, room, archive).map_err(|error| EngineError::Failed(format!("unpack the image: {error}")))?;
        self.lock().layers.insert(layer.clone(), Layer { files, sealed: false });
        Ok(applied)
    }

    async fn layer_file(&self, layer: &LayerId, path: &str) -> Result<Vec<u8>, EngineError> {
        let state = self.lock();
        let layer = state.layers.get(layer).filter(|it| it.sealed).ok_or_else(|| missing_layer(layer))?;
        layer.files.get(path).cloned().ok_or_else(|| EngineError::Missing(path.to_owned()))
    }

    async fn seal_layer(&self, layer: &LayerId, keep: &[String]) -> Result<(), EngineError> {
        let mut state = self.lock();
        let written = state.layers.get_mut(layer).ok_or_else(|| missing_layer(layer))?;
        if !keep.is_empty() {
            written.files.retain(|path, _| keep.iter().any(|keep| path.starts_with(&format!("{}/", keep.trim_end_matches('/')))));
        }
        written.sealed = true;
        Ok(())
    }

    async fn pack_layer(&self, layer: &LayerId, to: File) -> Result<PackedLayer, EngineError> {
        let state = self.lock();
        let layer = state.layers.get(layer).filter(|it| it.sealed).ok_or_else(|| missing_layer(layer))?;
        pack(&layer.files, to).map_err(|error| EngineError::Failed(format!("pack a layer: {error}")))
    }

    async fn has_layer(&self, layer: &LayerId) -> Result<bool, EngineError> {
        Ok(self.lock().layers.get(layer).is_some_and(|it| it.sealed))
    }

    async fn remove_layer(&self, layer: &LayerId) -> Result<(), EngineError> {
        self.lock().layers.remove(layer);
        Ok(())
    }

    async fn remove_cache(&self, _cache: &CacheName) -> Result<(), EngineError> {
        // Programs here share no directory.
        Ok(())
    }

    async fn release(&self, _id: &ContainerId) -> Result<(), EngineError> {
        Ok(())
    }

    async fn remove_volume(&self, _volume: &VolumeName) -> Result<(), EngineError> {
        // Programs here keep nothing.
        Ok(())
    }

    async fn volumes(&self) -> Result<Vec<VolumeName>, EngineError> {
        Ok(Vec::new())
    }

    async fn layers(&self) -> Result<Vec<LayerId>, EngineError> {
        Ok(self.lock().layers.iter().filter(|(_, it)| it.sealed).map(|(id, _)| id.clone()).collect())
    }

    async fn check(&self) -> Vec<Finding> {
        vec![Finding { what: "engine".to_owned(), found: "a fake, for tests".to_owned(), problem: None }]
    }

    async fn shutdown(&self) {
        let ids: Vec<ContainerId> = {
            let mut state = self.lock();
            state.stopped = true;
            state.running.keys().cloned().collect()
        };
        for id in ids {
            let _ended = self.stop(&id, Duration::ZERO).await;
        }
    }
}

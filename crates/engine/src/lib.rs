//! The engine trait (run this container), the local engine, a fake, and one conformance suite for all.
//!
//! Nothing above this seam may assume that a container is on this machine: it has an address, an output and an end.

#[cfg(feature = "testkit")]
pub mod conformance;
#[cfg(feature = "testkit")]
pub mod fake;
#[cfg(target_os = "linux")]
pub mod local;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub use sandbox::{
    Applied, CacheName, ContainerId, ContainerSpec, Exit, Finding, HostEntry, LayerId, LayerRef, LayerRoom, Limits, Link, Mount,
    NameError, PackedLayer, Profile, StackId, Upper, Usage, VolumeName,
};

/// A container's standard input.
pub type Input = Pin<Box<dyn AsyncWrite + Send + Sync>>;

/// One stream of a container's output.
pub type Output = Pin<Box<dyn AsyncRead + Send + Sync>>;

/// Why the engine could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The machine lacks room: memory, addresses, processes.
    #[error("{0}")]
    NoRoom(String),
    /// It failed, in one line.
    #[error("{0}")]
    Failed(String),
    /// There is no such container or layer (any more).
    #[error("there is no {0}")]
    Missing(String),
    /// Another container has for itself what is needed, a volume: it may go well once that one has ended.
    #[error("{0}")]
    Busy(String),
    /// The engine has ended.
    #[error("the engine has stopped")]
    Stopped,
}

impl EngineError {
    /// Whether it may go well once something else has ended.
    pub fn is_no_room(&self) -> bool {
        matches!(self, Self::NoRoom(_))
    }
}

/// Stops and continues all processes of a container, by one write.
#[derive(Debug)]
pub struct Freezer {
    control: OwnedFd,
}

impl Freezer {
    /// A freezer that writes to an open `cgroup.freeze` (cgroups(7), version 2).
    pub fn new(control: OwnedFd) -> Self {
        Self { control }
    }

    /// Takes the processor away. Returns before every process has stopped.
    pub fn freeze(&self) -> std::io::Result<()> {
        self.write(b"1")
    }

    /// Gives it back.
    pub fn thaw(&self) -> std::io::Result<()> {
        self.write(b"0")
    }

    fn write(&self, state: &[u8]) -> std::io::Result<()> {
        nix::sys::uio::pwrite(self.control.as_fd(), state, 0)?;
        Ok(())
    }
}

/// A container that runs, or has run.
pub struct Container {
    /// Its name.
    pub id: ContainerId,
    /// Its address; only the platform reaches it.
    pub address: IpAddr,
    /// Freezes and thaws it, where the machine can.
    pub freezer: Option<Freezer>,
    output: Option<(Output, Output)>,
    input: Option<Input>,
    exit: watch::Receiver<Option<Exit>>,
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").field("id", &self.id).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Container {
    /// A container as an engine made it.
    pub fn new(
        id: ContainerId,
        address: IpAddr,
        freezer: Option<Freezer>,
        output: (Output, Output),
        exit: watch::Receiver<Option<Exit>>,
    ) -> Self {
        Self { id, address, freezer, output: Some(output), input: None, exit }
    }

    /// The same container with a standard input.
    #[must_use]
    pub fn with_input(mut self, input: Input) -> Self {
        self.input = Some(input);
        self
    }

    /// Its standard input, once, where its description asks for one; it ends when this is dropped.
    pub fn take_input(&mut self) -> Option<Input> {
        self.input.take()
    }

    /// Its standard output and standard error, once.
    pub fn take_output(&mut self) -> Option<(Output, Output)> {
        self.output.take()
    }

    /// Waits until its first process has ended, and all others with it.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(GONE),
            // The engine has ended, and with it all that it ran.
            Err(_engine_ended) => GONE,
        }
    }
}

const GONE: Exit = Exit { code: None, signal: None, oom_killed: false, cpu_micros: 0 };

/// Runs containers, and keeps the layers they are made of.
#[async_trait]
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// A container that runs already, from a time before this process.
    async fn find(&self, _id: &ContainerId) -> Option<Container> {
        None
    }

    /// Makes a container and starts it.
    async fn create(&self, spec: ContainerSpec) -> Result<Container, EngineError>;

    /// Sends a signal to its first process; one that is frozen is thawed before.
    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), EngineError>;

    /// SIGTERM, then SIGKILL after `grace`; returns once nothing of it is left. Fine where it has ended already.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), EngineError>;

    /// Where it listens for TCP connections.
    async fn listeners(&self, id: &ContainerId) -> Result<Vec<SocketAddr>, EngineError>;

    /// What it uses.
    async fn usage(&self, id: &ContainerId) -> Result<Usage, EngineError>;

    /// Memory that containers could still take, in bytes; `None` where nobody needs to care.
    async fn room(&self) -> Option<u64> {
        None
    }

    /// Changes a container's share of the processor under contention, as in [`Limits::cpu_weight`].
    async fn weigh(&self, id: &ContainerId, weight: u32) -> Result<(), EngineError>;

    /// Pushes the memory of a container that does nothing out to where it costs less. Fine where there is no such place.
    async fn push_out(&self, id: &ContainerId) -> Result<(), EngineError>;

    /// Unpacks a checked archive as a new layer, below the directory `prefix` (absolute, as in `/app`).
    async fn unpack_layer(&self, layer: &LayerId, prefix: &str, archive: std::fs::File) -> Result<(), EngineError>;

    /// Applies a layer of a foreign image (image-spec, layer.md: an uncompressed archive, from a file or a pipe) to a layer that is
    /// being written; `first` begins it anew. [`Engine::seal_layer`] makes it whole, [`Engine::remove_layer`] gives it up. What
    /// fails leaves nothing of it.
    async fn apply_layer(
        &self,
        layer: &LayerId,
        first: bool,
        room: LayerRoom,
        archive: std::fs::File,
    ) -> Result<Applied, EngineError>;

    /// Reads a small file of a whole layer, as somebody finds it whose root the layer is.
    async fn layer_file(&self, layer: &LayerId, path: &str) -> Result<Vec<u8>, EngineError>;

    /// Makes a layer that a container has written whole and durable; only what lies below `keep` (absolute paths) stays of it,
    /// or all where `keep` is empty.
    async fn seal_layer(&self, layer: &LayerId, keep: &[String]) -> Result<(), EngineError>;

    /// Packs a layer as a blob (`application/vnd.oci.image.layer.v1.tar+gzip`) into an open file.
    async fn pack_layer(&self, layer: &LayerId, to: std::fs::File) -> Result<PackedLayer, EngineError>;

    /// Whether a layer is there, whole.
    async fn has_layer(&self, layer: &LayerId) -> Result<bool, EngineError>;

    /// Removes a layer, whole or not. Fine where there is none.
    async fn remove_layer(&self, layer: &LayerId) -> Result<(), EngineError>;

    /// Removes a cache that jobs shared. Fine where there is none.
    async fn remove_cache(&self, cache: &CacheName) -> Result<(), EngineError>;

    /// Gives up the address that is kept for containers of this name ([`ContainerSpec::keeps_address`]), unless one runs.
    async fn release(&self, id: &ContainerId) -> Result<(), EngineError>;

    /// Removes a volume with all that it holds. Fine where there is none; an error while a container uses it.
    async fn remove_volume(&self, volume: &VolumeName) -> Result<(), EngineError>;

    /// Every volume that is there.
    async fn volumes(&self) -> Result<Vec<VolumeName>, EngineError>;

    /// Every layer that is there, whole.
    async fn layers(&self) -> Result<Vec<LayerId>, EngineError>;

    /// The process that does its work beside the platform's own, where there is one on this machine: its use is the platform's.
    fn helper(&self) -> Option<u32> {
        None
    }

    /// What it finds of itself, for `doctor`.
    async fn check(&self) -> Vec<Finding>;

    /// Ends everything that runs and puts the machine back as it was.
    async fn shutdown(&self);
}

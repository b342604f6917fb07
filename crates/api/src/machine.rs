//! The machine on the wire: what there is, what is used, and by whom.

use jiff::Timestamp;
use model::{AppName, DeploymentNumber, DeploymentState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answer to `GET /machine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineReport {
    /// Processor cores.
    pub cores: u32,
    /// Tasks that wanted a core on average over the last 1, 5 and 15 minutes; none where the kernel does not tell.
    pub load: Option<[f64; 3]>,
    /// The kernel's version.
    pub kernel: String,
    /// Memory.
    pub memory: MemoryUse,
    /// The disk of the data directory.
    pub disk: DiskUse,
    /// Deployments that wait or run, the oldest first.
    pub builds: Vec<OpenDeployment>,
    /// Apps that have instances, by their memory, the largest first.
    pub apps: Vec<AppUse>,
    /// Apps that are registered.
    pub registered: usize,
    /// Connections that visitors have open.
    pub connections: usize,
}

/// Memory in bytes.
#[expect(clippy::struct_field_names, reason = "sizes on the wire are named so")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MemoryUse {
    /// All there is.
    pub total_bytes: u64,
    /// What could be had without swapping.
    pub available_bytes: u64,
    /// What no instance is started into.
    pub reserve_bytes: u64,
    /// What the platform's process holds.
    pub platform_bytes: u64,
    /// What instances of apps hold.
    pub apps_bytes: u64,
}

/// A disk in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskUse {
    /// All there is.
    pub total_bytes: u64,
    /// What the platform may still write.
    pub free_bytes: u64,
    /// What must be free for a deployment to begin.
    pub reserve_bytes: u64,
    /// What the platform keeps there.
    pub parts: Vec<DiskPart>,
}

/// Something that is kept on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiskPart {
    /// What it is.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A deployment that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenDeployment {
    /// Its app.
    pub app: AppName,
    /// Its number.
    pub deployment: DeploymentNumber,
    /// Whether it waits or runs.
    pub state: DeploymentState,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// What an app's instances use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppUse {
    /// The app.
    pub app: AppName,
    /// Its instances.
    pub instances: usize,
    /// Those of them that are frozen.
    pub frozen: usize,
    /// Memory that they hold together.
    pub memory_bytes: u64,
    /// Processor time of all its instances since the platform's start.
    pub cpu_seconds: f64,
}

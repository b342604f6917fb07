//! What one instance may use, and how many of them there may be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The resources and scaling of an app (`resourceConfig` of the settings document).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    /// Processor cores of one instance; fractions are allowed.
    #[schemars(range(min = 0.05, max = 64))]
    pub v_cpus: f64,
    /// Memory of one instance in MB, a multiple of 256; files it writes count.
    #[schemars(range(min = 256), extend("multipleOf" = 256))]
    pub memory: u32,
    /// Requests that one instance handles at the same time.
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_requests_per_instance: u32,
    /// Instances kept even without load.
    #[schemars(range(max = 1000))]
    pub min_instances: u32,
    /// Instances at most, however large the load.
    #[schemars(range(min = 1, max = 1000))]
    pub max_instances: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self { v_cpus: 1.0, memory: 512, max_concurrent_requests_per_instance: 80, min_instances: 0, max_instances: 10 }
    }
}

impl Resources {
    /// The memory limit in bytes.
    pub fn memory_bytes(&self) -> u64 {
        u64::from(self.memory) * 1024 * 1024
    }

    /// The processor limit in thousandths of a core.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated to lie between 0.05 and 64 cores")]
    pub fn cpu_millis(&self) -> u32 {
        (self.v_cpus.clamp(0.05, 64.0) * 1000.0).round() as u32
    }
}

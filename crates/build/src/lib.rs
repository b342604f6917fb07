//! From a source tree to an image: recognise, plan, run.

pub mod disk;
pub mod error;
pub mod explain;
pub mod host;
mod job;
pub mod key;
pub mod plan;
pub mod preflight;
pub mod procfile;
mod python;
pub mod recognise;
pub mod run;
pub mod shell;
pub mod stack;
mod text;
pub mod tree;

pub use error::PlanError;
pub use host::HostSettings;
pub use job::{JobEnd, JobError};
pub use plan::Plan;
pub use recognise::plan;
pub use run::{BuildError, BuildLimits, BuildLog, BuildRequest, Builder, Built};
pub use stack::Stacks;

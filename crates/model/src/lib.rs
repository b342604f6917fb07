//! Names, settings, states and pure decisions: no I/O, no clock, no async.

pub mod access;
pub mod backup;
pub mod database;
pub mod deployment;
pub mod environment;
pub mod names;
pub mod resources;
pub mod revision;
pub mod scaling;
pub mod serving;
pub mod settings;

pub use access::{AppRole, PlatformRole, UserId, UserName};
pub use deployment::{DeploymentState, Starter, StarterKind, Step, StepState};
pub use environment::EnvName;
pub use names::{AppName, DeploymentNumber, NameError, RevisionNumber};
pub use resources::Resources;
pub use revision::{Commit, RevisionSpec};
pub use serving::{Protocol, Serving};
pub use settings::{DatabaseType, Settings, Violation};

//! From a source tree to an image: recognise, plan, run.

pub mod error;
pub mod host;
pub mod job;
pub mod key;
pub mod plan;
pub mod procfile;
mod python;
pub mod recognise;
pub mod run;
pub mod shell;
pub mod stack;
mod text;
pub mod tree;

pub use error::PlanError;
pub use plan::Plan;
pub use recognise::plan;

//! From a source tree to an image: recognise, plan, run.

pub mod key;
pub mod plan;
pub mod procfile;
pub mod shell;
mod text;
pub mod tree;

pub use plan::Plan;

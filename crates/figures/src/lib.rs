//! Histograms that many threads add to, sparse histories, and the text format in which Prometheus reads figures.
//!
//! The lowest of all crates: knows nothing of what is counted, takes no lock, and asks no clock.

mod histogram;
pub mod history;
mod text;

pub use histogram::{Histogram, Snapshot};
pub use text::{Kind, Text};

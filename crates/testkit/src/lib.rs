//! A whole platform for a test: the real binary with real containers, driven as a user drives it.
//!
//! Tests want to fail loudly and at the spot, so what goes wrong here panics. When a platform ends, the machine is looked over: a
//! process, mount, control group, firewall table or network device that it left behind fails the test.

mod ferret;
pub mod github;
mod http;
mod metrics;
mod platform;
mod visitors;
mod world;

pub use ferret::Ferret;
pub use http::{Answer, Connection, exchange};
pub use metrics::Metrics;
pub use platform::{Options, Output, Platform, wait_until};
pub use visitors::{Report, Visitors, Way};
pub use world::{Contained, contained, leftovers, tags};

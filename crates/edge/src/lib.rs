//! Listeners, TLS, routing, waiting room, balancing; knows no store.
//!
//! Control hands the edge a finished table of [`Routes`] and adds instances to each app's [`AppHandle`] as they become ready;
//! the edge asks for an instance through [`Activate`]. Binding ([`Edge::bind`]) is apart from running ([`BoundEdge::run`]),
//! so that a port that is taken fails the start at once, and so that ports may be bound before a process gives up its rights.

mod access;
mod app;
mod authority;
mod body;
mod certificate;
mod config;
mod freeze;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod host;
mod listen;
mod pages;
mod platform;
mod routes;
mod server;
mod tls;
mod upstream;

pub use access::{AccessLog, AccessRecord};
pub use app::counters::{AppCounters, StatusClass};
pub use app::hour::LastHour;
pub use app::minutes::{Visits, minute_of};
pub use app::settings::{AppSettings, AppStatus, Failure, FailureKind};
pub use app::{Activate, AppHandle};
pub use authority::{Authority, AuthorityError};
pub use body::{BodyError, EdgeBody};
pub use certificate::{CertificateFacts, certificate_facts};
pub use config::{EdgeConfig, Limits, Plain};
pub use freeze::{Freeze, FreezeTimer};
pub use host::{HostError, HostName};
pub use listen::{BoundEdge, EdgeError, Sockets};
pub use platform::{PlatformBody, PlatformFuture, PlatformService, Visitor};
pub use routes::{Routes, Target};
pub use server::{Edge, EdgeHandle};
pub use upstream::{Drained, Protocol, Upstream};

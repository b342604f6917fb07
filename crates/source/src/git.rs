//! A git remote: bare repositories served by the `git` program over HTTP, whose pushes deploy.
//!
//! A push is received by `git receive-pack`, which keeps the new objects in quarantine and runs our `pre-receive` hook. The hook is a few lines of
//! shell that never change: it hands the pushed refs to the platform over inherited pipes, prints what the platform says (git shows
//! it as `remote:` lines), and exits as the platform decides. So the ref moves if, and only if, the deployment became live.
//! Files are read from the commit itself: no checkout, no attributes, no filters, no submodules are at work.

mod command;
mod conversation;
mod fetch;
mod names;
mod plan;
mod remote;
mod repository;
mod response;
mod service;
mod snapshot;

pub use command::GitError;
pub use conversation::{Progress, Push, Pushes};
pub use fetch::{FetchError, Fetched, Origin, OriginError, fetch, sweep};
pub use names::{CommitId, GitRef, NameError};
pub use remote::{Remote, Service};
pub use response::Body;
pub use snapshot::{PushedTree, SnapshotError};

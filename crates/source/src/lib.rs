//! A commit from a directory or a git push, as a checked tree.
//!
//! Both ways in end in one place: a *canonical tar*, whose entries were checked one by one, and whose bytes depend on nothing but
//! what the tree holds. [`pack`] is the client's half of the first way, [`receive`] the platform's.

mod collect;
pub mod git;
mod limits;
mod link;
mod pack;
mod path;
mod receive;
mod tarball;
mod tree;
mod zip;

pub use collect::{CollectError, Received};
pub use limits::Limits;
pub use link::LinkError;
pub use pack::{PackError, Packed, Skipped, list, pack};
pub use path::{PathError, TreePath};
pub use receive::{ReceiveError, receive};
pub use tarball::{TarError, TarProblem};
pub use tree::{CheckedTree, Entry, Kind, OpenError, ReadError, SubdirectoryError};
pub use zip::ZipError;

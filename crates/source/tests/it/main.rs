//! Trees through the front door: directories, archives and pushes as strangers make them.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod git;
mod hostile;
mod pack;
mod tars;
mod tree;
mod zips;

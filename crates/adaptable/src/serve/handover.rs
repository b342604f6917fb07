//! From one platform to its successor: the listening sockets, the lock of the data directory, and what is in use.
//!
//! The successor asks on `DATA/handover.sock` and is given everything once nothing is being changed any more. Until it says that it is
//! ready, the platform of before serves on, and goes on where the successor ends. From then on it only ends what it has begun.

mod give;
mod take;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use control::InUse;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use sandbox::{ContainerId, channel};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) use give::{Desk, Source, Successor};
pub(super) use take::{Forerunner, Inheritance};
pub(crate) use take::{Predecessor, find};

/// The socket of a running platform in its data directory.
const SOCKET: &str = "handover.sock";
/// The name that it bears until it takes the other's place. No longer than the other: paths of sockets are short.
const SOCKET_NEW: &str = "handover.new";
/// The same for the platform's own socket.
pub(super) const API_NEW: &str = "adaptable.new";
/// What both sides speak. A change that the other side can't read makes it another one.
const PROTOCOL: u32 = 1;
/// Descriptors in one packet.
const FDS: usize = 4;

/// What a successor says.
#[derive(Debug, Serialize, Deserialize)]
enum FromSuccessor {
    /// Who asks.
    Hello {
        /// What it speaks.
        protocol: u32,
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
    },
    /// Hand over now.
    Begin,
    /// It serves: end.
    Ready,
    /// It is about to end, too: don't take your time.
    Hurry,
}

/// What the platform says.
#[derive(Debug, Serialize, Deserialize)]
enum FromPlatform {
    /// Who answers.
    Running {
        /// What it speaks.
        protocol: u32,
        /// Its version.
        version: String,
        /// What it was told by flags and variables.
        settings: BTreeMap<String, String>,
    },
    /// What it waits for; said again and again, as a sign of life.
    Waiting(String),
    /// Not now, and why.
    Refused(String),
    /// Sockets that listen for HTTP come along.
    Http,
    /// Sockets that listen for HTTPS come along.
    Https,
    /// The open file of the data directory's lock comes along.
    Lock,
    /// The socket of the launcher of servers comes along, which is to be used once the platform has stopped talking to it: and its
    /// process.
    Servers(u32),
    /// The output of one of its containers comes along: which, and where it is.
    Server(ContainerId, Ipv4Addr),
    /// Apps that are in use.
    InUse(Vec<InUse>),
    /// That was all.
    Given,
}

/// Removes the socket of a platform that nobody follows.
pub(super) fn remove(directory: &Path) {
    let _gone = std::fs::remove_file(directory.join(SOCKET));
}

/// Removes what a platform that did not come to serve has made.
pub(super) fn remove_new(directory: &Path) {
    for name in [SOCKET_NEW, API_NEW] {
        let _gone = std::fs::remove_file(directory.join(name));
    }
}

fn say(socket: &OwnedFd, word: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    channel::send(socket.as_fd(), word, fds)
}

/// The next word; `None` once the other side is gone.
fn hear<T: DeserializeOwned>(socket: &OwnedFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    loop {
        match channel::receive(socket.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It ended without having read all that we said.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            other => return other,
        }
    }
}

/// How long the other side may be silent, and how long it may take to take what is said.
fn patience(socket: &OwnedFd, silence: Option<Duration>) -> io::Result<()> {
    let seconds = |time: Duration| TimeVal::new(i64::try_from(time.as_secs()).unwrap_or(i64::MAX), 0);
    setsockopt(socket, sockopt::ReceiveTimeout, &seconds(silence.unwrap_or_default()))?;
    setsockopt(socket, sockopt::SendTimeout, &seconds(Duration::from_secs(5)))?;
    Ok(())
}

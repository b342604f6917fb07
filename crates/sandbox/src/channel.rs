//! The way between platform and launcher: typed messages as JSON in packets, with file descriptors beside them.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::spec::{
    Applied, CacheName, ContainerId, ContainerSpec, Exit, Finding, LayerId, LayerRoom, PackedLayer, Usage, VolumeName,
};

/// The largest packet; an environment of 1 MB fits.
pub(crate) const PACKET_MAX: usize = 4 * 1024 * 1024;
/// Descriptors that one packet carries at most.
const FDS_MAX: usize = 4;

/// What the platform asks of the launcher. Names only: the launcher knows the directories, and takes no path from here.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Make a container and start it.
    Create(Box<ContainerSpec>),
    /// Send a signal to a container's first process.
    Signal(ContainerId, i32),
    /// Kill everything in a container.
    Kill(ContainerId),
    /// Where does it listen?
    Listeners(ContainerId),
    /// What does it use?
    Usage(ContainerId),
    /// Change its share of the processor under contention.
    Weigh(ContainerId, u32),
    /// Push out its memory, where the machine has a place for that.
    PushOut(ContainerId),
    /// Unpack the archive in the descriptor as a layer, below a directory.
    Unpack(LayerId, String),
    /// Apply the archive in the descriptor, a layer of a foreign image, to a layer that is being written; it begins anew where the
    /// flag is set.
    Apply(LayerId, bool, LayerRoom),
    /// Read a small file of a whole layer.
    ReadFile(LayerId, String),
    /// Make a written layer whole, keeping what lies below these directories; all where there are none.
    Seal(LayerId, Vec<String>),
    /// Pack a layer into the descriptor.
    Pack(LayerId),
    /// Is it there, whole?
    Has(LayerId),
    /// Remove it.
    Remove(LayerId),
    /// Remove a cache.
    RemoveCache(CacheName),
    /// Remove a volume.
    RemoveVolume(VolumeName),
    /// Which volumes are there?
    Volumes,
    /// Give up the address that is kept for containers of this name.
    Release(ContainerId),
    /// Which are there, whole?
    Layers,
    /// How is the machine?
    Check,
    /// Look after what others may have changed on this machine: forwarding rules.
    Maintain,
    /// End everything and put the machine back.
    Shutdown,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The machine lacks room.
    NoRoom(String),
    /// There is no such thing.
    Missing(String),
    /// Another container has what this one needs for itself.
    Busy(String),
    /// It failed.
    Failed(String),
}

/// The launcher's answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// A container runs. Its stdout and stderr come along, and `cgroup.freeze` where there is one, and stdin where it was asked for.
    Created {
        /// Its address.
        address: Ipv4Addr,
        /// Whether the third descriptor is `cgroup.freeze`.
        freezer: bool,
    },
    /// Done.
    Done,
    /// Listening sockets.
    Listeners(Vec<SocketAddr>),
    /// What is used.
    Usage(Usage),
    /// An applied archive.
    Applied(Applied),
    /// A file.
    File(Vec<u8>),
    /// A packed layer.
    Packed(PackedLayer),
    /// Yes or no.
    Has(bool),
    /// Layers.
    Layers(Vec<LayerId>),
    /// Volumes.
    Volumes(Vec<VolumeName>),
    /// What was found.
    Findings(Vec<Finding>),
    /// It failed.
    Refused(Refusal),
}

/// What goes from the platform to the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// The answer bears the same number.
    pub number: u64,
    /// What is asked.
    pub request: Request,
}

/// What comes from the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The answer to a question.
    Answer(u64, Reply),
    /// A container has ended, and nothing of it is left.
    Exited(ContainerId, Exit),
}

/// Sends one message. `WouldBlock` where the other side is behind.
pub fn send(socket: BorrowedFd<'_>, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    if bytes.len() > PACKET_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"));
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let control = if raw.is_empty() { Vec::new() } else { vec![ControlMessage::ScmRights(&raw)] };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], &control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives one message; `None` once the other side is gone. `WouldBlock` where there is none and the socket does not wait.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    // The packet's length first: most are small, and a buffer for the largest would stay in memory for ever.
    let mut nothing = [0_u8; 0];
    let mut slices = [IoSliceMut::new(&mut nothing)];
    let peeked = recvmsg::<()>(socket.as_raw_fd(), &mut slices, None, MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)?;
    let length = peeked.bytes;
    if length == 0 || length > PACKET_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0_u8; length];
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let mut control = nix::cmsg_space!([RawFd; FDS_MAX]);
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            fds.extend(raw.into_iter().map(own));
        }
    }
    let message = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

#[expect(unsafe_code, reason = "descriptors come as numbers")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    #[test]
    fn messages_and_descriptors_arrive_and_the_end_is_seen() {
        let (here, there) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).expect("a pair of sockets");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let question = Question { number: 7, request: Request::Unpack(LayerId::parse("a").expect("a name"), "/app".to_owned()) };
        send(here.as_fd(), &question, &[writer.as_fd()]).expect("sent");
        drop(writer);
        let (question, fds) = receive::<Question>(there.as_fd()).expect("received").expect("a message");
        assert_eq!((question.number, fds.len()), (7, 1));
        std::fs::File::from(fds.into_iter().next().expect("one")).write_all(b"x").expect("written");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
        drop(here);
        assert!(receive::<Question>(there.as_fd()).expect("received").is_none());
    }
}

//! The few words of rtnetlink(7) that a container's network needs, spoken synchronously by a process of one thread.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket};

/// Attributes of links (`linux/if_link.h`) that `libc` does not name.
/// The family of addresses, as messages have it.
#[expect(clippy::cast_possible_truncation, reason = "a small number")]
const AF_INET: u8 = libc::AF_INET as u8;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
#[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits")]
const ACK: u16 = libc::NLM_F_REQUEST as u16 | libc::NLM_F_ACK as u16;
#[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits")]
const CREATE: u16 = ACK | libc::NLM_F_CREATE as u16 | libc::NLM_F_EXCL as u16;

/// A connection to the kernel, in the network namespace of the process that opened it.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A message in the making: a header, a fixed part, and attributes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self(bytes)
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).expect("attributes here are short");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// An attribute that holds attributes.
    fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        self = fill(self);
        let length = u16::try_from(self.0.len() - start).expect("attributes here are short");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self
    }

    fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// `struct ifinfomsg`.
fn link(index: i32, flags: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

fn c_name(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

impl Netlink {
    /// Connects.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// A pair of devices: one here, the other as `peer` in the network namespace of a process.
    pub(crate) fn veth(&mut self, name: &str, peer: &str, pid: i32) -> io::Result<()> {
        let message = Message::new(libc::RTM_NEWLINK, CREATE, &link(0, 0)).attribute(libc::IFLA_IFNAME, &c_name(name)).nested(
            libc::IFLA_LINKINFO,
            |info| {
                info.attribute(IFLA_INFO_KIND, b"veth").nested(IFLA_INFO_DATA, |data| {
                    data.nested(VETH_INFO_PEER, |it| {
                        it.fixed(&link(0, 0))
                            .attribute(libc::IFLA_IFNAME, &c_name(peer))
                            .attribute(libc::IFLA_NET_NS_PID, &pid.to_ne_bytes())
                    })
                })
            },
        );
        self.ask(message)
    }

    /// Removes a device, and the other end of its pair.
    pub(crate) fn remove(&mut self, index: i32) -> io::Result<()> {
        self.ask(Message::new(libc::RTM_DELLINK, ACK, &link(index, 0)))
    }

    /// Turns a device on.
    pub(crate) fn up(&mut self, index: i32) -> io::Result<()> {
        self.ask(Message::new(libc::RTM_NEWLINK, ACK, &link(index, libc::IFF_UP as u32)))
    }

    /// Gives a device an address, and a route to the other end of its pair.
    pub(crate) fn address(&mut self, index: i32, local: Ipv4Addr, peer: Ipv4Addr) -> io::Result<()> {
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let mut fixed = [0; 8];
        fixed[0] = AF_INET;
        fixed[1] = 32;
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        let message = Message::new(libc::RTM_NEWADDR, CREATE, &fixed)
            .attribute(libc::IFA_LOCAL, &local.octets())
            .attribute(libc::IFA_ADDRESS, &peer.octets());
        self.ask(message)
    }

    /// Sends all that has no other way to a gateway.
    pub(crate) fn default_route(&mut self, index: i32, gateway: Ipv4Addr) -> io::Result<()> {
        // struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags.
        let mut fixed = [0; 12];
        fixed[0] = AF_INET;
        fixed[4] = libc::RT_TABLE_MAIN;
        fixed[5] = libc::RTPROT_BOOT;
        fixed[6] = libc::RT_SCOPE_UNIVERSE;
        fixed[7] = libc::RTN_UNICAST;
        let message = Message::new(libc::RTM_NEWROUTE, CREATE, &fixed)
            .attribute(libc::RTA_GATEWAY, &gateway.octets())
            .attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.ask(message)
    }

    fn ask(&mut self, Message(mut bytes): Message) -> io::Result<()> {
        self.sequence += 1;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        sendto(self.socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let read = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // struct nlmsghdr, then for NLMSG_ERROR the negative error number; 0 is the acknowledgement.
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        if read < 20 || i32::from(kind) != libc::NLMSG_ERROR {
            return Err(io::Error::other("the kernel's answer is none"));
        }
        match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }
}

/// The number of a device of this network namespace.
pub(crate) fn index(name: &str) -> io::Result<i32> {
    let index = nix::net::if_::if_nametoindex(name)?;
    i32::try_from(index).map_err(io::Error::other)
}

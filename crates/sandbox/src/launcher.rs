//! The launcher: a process of one thread that keeps root, makes containers for the platform, and does nothing else.
//!
//! It is the first process of a process namespace of its own: when it ends, for whatever reason, the kernel ends every container.

mod claim;
mod creation;
mod server;
mod signals;
mod work;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use sha2::{Digest, Sha256};

use crate::cgroup::Cgroups;
use crate::create::Shared;
use crate::launcher::claim::Claim;
use crate::network::Network;
use crate::rootfs::{Places, RUN, quit};
use crate::seccomp::Filter;
use crate::spec::Profile;

/// What a launcher is told once, at its start.
#[derive(Debug, Clone)]
pub struct LauncherConfig {
    data_dir: PathBuf,
    stack_dir: PathBuf,
    platform_uid: u32,
    ca_bundle: Option<PathBuf>,
    resolv_conf: String,
    role: Role,
}

/// Which of a platform's launchers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// That of apps and builds.
    Apps,
    /// The same, while another one of the same data directory still has containers.
    Beside,
    /// That of servers that apps use.
    Servers,
}

/// The machine's bundle of certificates, wherever a setting says it is.
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where systemd keeps the true resolvers, when resolv.conf names its own stub.
const TRUE_RESOLVERS: &str = "/run/systemd/resolve/resolv.conf";

impl LauncherConfig {
    /// The usual settings: the machine's resolvers and its bundle of certificates serve inside of containers, too.
    pub fn new(data_dir: &Path, stack_dir: &Path, platform_uid: u32) -> Self {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let ca_bundle = named.into_iter().chain([PathBuf::from(CA_BUNDLE)]).find(|path| path.is_file());
        Self {
            data_dir: data_dir.to_owned(),
            stack_dir: stack_dir.to_owned(),
            platform_uid,
            ca_bundle,
            resolv_conf: resolv_conf(),
            role: Role::Apps,
        }
    }

    /// For a launcher that starts while one of the same data directory still has containers. Their layers are shared; nothing may
    /// be under way that writes one.
    #[must_use]
    pub fn beside(self) -> Self {
        Self { role: Role::Beside, ..self }
    }

    /// For a launcher of servers that apps use: their containers may be reached by those that have a link to them, and it lives as
    /// long as somebody has its socket, who need not be the process that started it.
    #[must_use]
    pub fn servers(self) -> Self {
        Self { role: Role::Servers, ..self }
    }
}

/// The machine's resolv.conf without resolvers that only the machine itself reaches.
fn resolv_conf() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let loopback = |text: &str| resolvers(text).iter().all(Ipv4Addr::is_loopback);
    let mut text = read("/etc/resolv.conf");
    if loopback(&text) && Path::new(TRUE_RESOLVERS).is_file() {
        text = read(TRUE_RESOLVERS);
    }
    let kept = text.lines().filter(|line| {
        let mut words = line.split_whitespace();
        words.next() != Some("nameserver") || !words.next().is_some_and(|word| word.starts_with("127.") || word == "::1")
    });
    kept.fold(String::new(), |text, line| text + line + "\n")
}

fn resolvers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok()).collect()
}

/// The platform's end of the way to its launcher.
#[derive(Debug)]
pub struct LauncherEnd {
    /// Packets of [`crate::channel`].
    pub socket: OwnedFd,
    /// The launcher's process, as the platform sees it.
    pub pid: u32,
}

/// The launcher.
#[derive(Debug)]
pub struct Launcher;

impl Launcher {
    /// Starts the launcher as a child of this process, which must be root's and have one thread. It ends with this process.
    pub fn start(config: LauncherConfig) -> io::Result<LauncherEnd> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        for socket in [&ours, &theirs] {
            // A packet must fit whole; without the right to a larger buffer, smaller ones have to do.
            let _smaller = setsockopt(socket, sockopt::SndBufForce, &(2 * crate::channel::PACKET_MAX));
        }
        let parent = std::process::id();
        let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::SIGCHLD;
        #[expect(unsafe_code, reason = "fork into new namespaces")]
        // SAFETY: like fork: no stack is given, so the child continues on a copy of ours; this process has one thread.
        let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        match child {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(ours);
                quit(match run(config, theirs, parent) {
                    Ok(()) => 0,
                    Err(error) => {
                        tracing::error!(%error, "the launcher ends");
                        1
                    }
                })
            }
            pid => Ok(LauncherEnd { socket: ours, pid: u32::try_from(pid).map_err(io::Error::other)? }),
        }
    }
}

fn run(config: LauncherConfig, socket: OwnedFd, _parent: u32) -> io::Result<()> {
    if config.role != Role::Servers {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
    }
    prctl::set_name(c"adaptable-launch")?;
    let socket = alone(socket)?;
    // Its own process group: a Ctrl-C is for the platform, which then stops this one in order.
    nix::unistd::setsid()?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)?;
    let tags = tags(&config.data_dir);
    let places = Places { data: config.data_dir, stacks: config.stack_dir };
    for directory in [Path::new(RUN), &places.data.join("layers"), &places.data.join("cache")] {
        fs::create_dir_all(directory)?;
    }
    let [tag, other, servers] = tags;
    let (mut claim, tag) = match config.role {
        Role::Beside => Claim::take_free(&[tag, other])?,
        Role::Apps => {
            Claim::wait_for_end(&other)?;
            (Claim::take(&tag)?, tag)
        }
        Role::Servers => (Claim::take(&servers)?, servers),
    };
    claim::sweep_others(&tag);
    if config.role != Role::Servers {
        work::sweep(&places)?;
    }
    let cgroups = Cgroups::find(claim::group(&tag));
    cgroups.prepare()?;
    let servers = config.role == Role::Servers;
    let network =
        Network::choose(&tag, config.platform_uid, servers, resolvers(&config.resolv_conf), |number| claim.take_pool(number));
    network.prepare()?;
    let shared = Shared {
        places,
        network,
        resolv_conf: config.resolv_conf.into_bytes(),
        ca_bundle: config.ca_bundle.as_ref().and_then(|path| fs::read(path).ok()),
        app_filter: Filter::compile(Profile::App)?,
        build_filter: Filter::compile(Profile::Build)?,
    };
    server::Server::new(shared, cgroups, claim, socket)?.serve()
}

/// Closes all that the platform had open, but for the socket and the standard descriptors: its ports and locks must not live on here.
fn alone(socket: OwnedFd) -> io::Result<OwnedFd> {
    let number = libc::c_uint::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
    for (first, last) in [(3, number - 1), (number + 1, libc::c_uint::MAX)] {
        if first > last {
            continue;
        }
        #[expect(unsafe_code, reason = "a system call without a wrapper")]
        // SAFETY: what owned these descriptors is a copy of the platform's memory that this process never touches again.
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(socket)
}

/// Three short names for a data directory, the same at each start: names of groups, devices and tables hold one of them. The second is
/// for the launcher of a platform that takes over from one with the first, and the other way round at the next time; the third for
/// that of servers.
fn tags(data_dir: &Path) -> [String; 3] {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;
    let digest = Sha256::digest(data_dir.as_os_str().as_bytes());
    [0..4, 4..8, 8..12].map(|bytes| {
        digest[bytes].iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all");
            text
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read() {
        let text = "# x\nnameserver 10.0.0.1\nnameserver fe80::1\nsearch example\n";
        assert_eq!(resolvers(text), [Ipv4Addr::new(10, 0, 0, 1)]);
    }

    #[test]
    fn a_data_directory_has_tags_that_differ_where_devices_show_it() {
        let [one, other, servers] = tags(Path::new("/a"));
        assert_eq!((one.len(), other.len(), servers.len()), (8, 8, 8));
        assert!(one[..4] != other[..4] && one[..4] != servers[..4] && other[..4] != servers[..4]);
    }
}

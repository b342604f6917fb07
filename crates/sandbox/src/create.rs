//! The creator: a process that makes one container, tells how it went, and ends. What it made belongs to the launcher then.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::libc;
use nix::unistd::dup2_raw;
use serde::{Deserialize, Serialize};

use crate::cgroup::Group;
use crate::channel::receive;
use crate::network::Network;
use crate::rootfs::{self, Places};
use crate::runtime::{self, Payload};
use crate::seccomp::Filter;
use crate::spec::{ContainerSpec, Link, Mount, Profile};

/// What a creator reports: the container's first process, or why there is none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Its process id, in the launcher's namespace.
    Started(i32),
    /// What failed for want of memory, disk or processes.
    NoRoom(String),
    /// What failed.
    Failed(String),
}

/// What a creator is told. The container's standard streams come along, and the way to report on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) spec: ContainerSpec,
    /// The container's number in the pool of addresses.
    pub(crate) number: u32,
}

/// What is the same for all containers.
pub(crate) struct Shared {
    pub(crate) places: Places,
    pub(crate) network: Network,
    pub(crate) resolv_conf: Vec<u8>,
    pub(crate) ca_bundle: Option<Vec<u8>>,
    pub(crate) app_filter: Filter,
    pub(crate) build_filter: Filter,
}

/// The standard streams of a container, and the way to report on.
struct Ends {
    stdout: OwnedFd,
    stderr: OwnedFd,
    report: OwnedFd,
    stdin: Option<OwnedFd>,
}

impl Ends {
    fn of(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        Some(Self { stdout: fds.next()?, stderr: fds.next()?, report: fds.next()?, stdin: fds.next() })
    }
}

/// Waits for an order and makes the container. Runs in a process of its own, with one thread.
///
/// To enter a control group the kernel waits until all processors have been elsewhere, ten milliseconds and more: that is done before
/// there is an order.
pub(crate) fn run(shared: &Shared, group: &Group, orders: &OwnedFd) -> ! {
    let entered = group.enter();
    let Ok(Some((order, fds))) = receive::<Order>(orders.as_fd()) else { rootfs::quit(0) };
    let Some(ends) = Ends::of(fds) else { rootfs::quit(1) };
    let mut report = match ends.report.try_clone() {
        Ok(fd) => fs::File::from(fd),
        Err(_no_descriptor) => rootfs::quit(1),
    };
    // A panic must not unwind into the launcher's loop, of which this process is a copy.
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        entered?;
        make(shared, order, ends)
    }));
    let outcome = match made {
        Ok(Ok(pid)) => Report::Started(pid),
        Ok(Err(error)) if is_no_room(&*error) => Report::NoRoom(chain(&*error)),
        Ok(Err(error)) => Report::Failed(chain(&*error)),
        Err(_panic) => Report::Failed("the making of the container panicked".to_owned()),
    };
    let bytes = serde_json::to_vec(&outcome).unwrap_or_default();
    let _launcher_gone = report.write_all(&bytes);
    rootfs::quit(0)
}

/// The machine's resolver and its bundle of certificates serve inside, too.
fn complete(shared: &Shared, spec: &mut ContainerSpec) {
    let mut hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{}\n", spec.hostname);
    for Link { host, address, .. } in &spec.links {
        if let Some(host) = host {
            let _a_string_takes_all = writeln!(hosts, "{address}\t{}", host.as_str());
        }
    }
    let mut file = |at: &str, contents: Vec<u8>| spec.mounts.push(Mount::File { at: at.to_owned(), contents, owner: None });
    file("/etc/resolv.conf", shared.resolv_conf.clone());
    file("/etc/hosts", hosts.into_bytes());
    if let Some(bundle) = &shared.ca_bundle {
        file("/etc/ssl/certs/ca-certificates.crt", bundle.clone());
    }
}

fn make(shared: &Shared, order: Order, ends: Ends) -> Result<i32, Box<dyn std::error::Error>> {
    let Order { mut spec, number } = order;
    complete(shared, &mut spec);
    let linking = shared.network.link(number, &spec.links)?;
    let rootfs = rootfs::make(&shared.places, &spec)?;
    let bundle = rootfs.scratch.join("bundle");
    fs::create_dir(&bundle)?;
    let state = rootfs.scratch.join("state");
    fs::create_dir(&state)?;
    let description = runtime::describe(&spec, &rootfs);
    fs::write(bundle.join("config.json"), serde_json::to_vec(&description)?)?;
    let Ends { stdin, stdout, stderr, report: _ } = ends;
    stdio(stdin, &stdout, &stderr)?;
    drop((stdout, stderr));
    let filter = match spec.profile {
        Profile::App => &shared.app_filter,
        Profile::Build => &shared.build_filter,
    };
    let mut container = ContainerBuilder::new("c".to_owned(), SyscallType::default())
        .with_root_path(&state)?
        .with_executor(Payload { filter: filter.clone() })
        .as_init(&bundle)
        .with_systemd(false)
        .with_detach(true)
        .build()?;
    let pid = container.pid().ok_or_else(|| io::Error::other("the container has no process"))?.as_raw();
    let connected = shared.network.connect(number, pid);
    if let Err(error) = connected {
        let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        return Err(Box::new(io::Error::new(error.kind(), format!("connect it to the network: {error}"))));
    }
    if let Err(error) = linking.done().map_err(Box::<dyn std::error::Error>::from).and_then(|()| Ok(container.start()?)) {
        let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        return Err(error);
    }
    Ok(pid)
}

/// The container's first process inherits these.
fn stdio(stdin: Option<OwnedFd>, stdout: &OwnedFd, stderr: &OwnedFd) -> io::Result<()> {
    let stdin = match stdin {
        Some(stdin) => stdin,
        None => OwnedFd::from(fs::File::open("/dev/null")?),
    };
    for (fd, number) in [(&stdin, 0), (stdout, 1), (stderr, 2)] {
        debug_assert_ne!(fd.as_raw_fd(), number);
        #[expect(unsafe_code, reason = "the standard descriptors are replaced")]
        // SAFETY: nothing else in this process, which is about to end, uses its standard descriptors.
        let duplicated = unsafe { dup2_raw(fd, number) }?;
        // It must stay open when this scope ends.
        let _number = duplicated.into_raw_fd();
    }
    Ok(())
}

/// Whether it may go well once something else has ended.
fn is_no_room(error: &(dyn std::error::Error + 'static)) -> bool {
    let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    number.is_some_and(|number| {
        [libc::ENOMEM, libc::ENOSPC, libc::EDQUOT, libc::EAGAIN, libc::ENFILE, libc::EMFILE].contains(&number)
    })
}

/// An error with all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

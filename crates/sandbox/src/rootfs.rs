//! A container's root file system: shared layers shown with its own user ids, and its changes above them.
//!
//! All mounts are made in a mount namespace of the creator's, and are gone with the container's last process.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use crate::cgroup;
use crate::machine;
use crate::spec::{ContainerSpec, ID_COUNT, LayerRef, Mount, Upper};
use crate::volume;

/// Where the launcher finds layers, stacks and caches.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The directory of base systems.
    pub(crate) stacks: PathBuf,
}

impl Places {
    /// A layer that is whole.
    pub(crate) fn layer(&self, id: &str) -> PathBuf {
        self.data.join("layers").join(id)
    }

    /// A layer that is being written.
    pub(crate) fn partial(&self, id: &str) -> PathBuf {
        self.data.join("layers").join(format!("{id}.partial"))
    }

    /// The files of a read-only part.
    fn lower(&self, layer: &LayerRef) -> PathBuf {
        match layer {
            LayerRef::Stack(id) => self.stacks.join(id.as_str()).join("fs"),
            LayerRef::Layer(id) => self.layer(id.as_str()).join("fs"),
            // Its skeleton is made by the creator.
            LayerRef::Machine => PathBuf::from(RUN).join("machine"),
        }
    }

    /// What outlives containers.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.data.join("volumes").join(name)
    }

    /// A directory that jobs share.
    pub(crate) fn cache(&self, name: &str) -> PathBuf {
        self.data.join("cache").join(name)
    }
}

/// Where creators mount, each in a mount namespace of its own; empty for everybody else. Every user can reach it, which the runtime
/// needs: it acts as the container's root, who is nobody here and can't enter the data directory.
pub(crate) const RUN: &str = "/run/adaptable";

/// The root file system's directory, and what is to be mounted into it: source outside, place inside, read-only.
pub(crate) struct Rootfs {
    pub(crate) root: PathBuf,
    pub(crate) binds: Vec<(PathBuf, String, bool)>,
    /// A directory for the runtime's own files.
    pub(crate) scratch: PathBuf,
}

/// Mounts everything. The caller is a process of its own, about to end.
pub(crate) fn make(places: &Places, spec: &ContainerSpec) -> io::Result<Rootfs> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    cgroup::hide()?;
    let run = PathBuf::from(RUN);
    let base = spec.id_base();
    let size = match spec.upper {
        Upper::Memory { bytes } => bytes,
        Upper::Layer(_) => 64 * 1024 * 1024,
    };
    let options = format!("mode=755,size={size}");
    mount(Some("adaptable"), &run, Some("tmpfs"), MsFlags::MS_NODEV | MsFlags::MS_NOSUID, Some(options.as_str()))?;
    let ids = id_map(base)?;
    let mut shared = Vec::new();
    if spec.layers.contains(&LayerRef::Machine) {
        machine::skeleton(&run.join("machine"), spec.user)?;
        shared = machine::shared(&run)?;
    }
    let mut lowers = Vec::new();
    for (number, layer) in spec.layers.iter().enumerate() {
        let at = run.join(format!("l{number}"));
        shifted(&places.lower(layer), &at, ids.as_fd(), true).map_err(|error| named(&error, &format!("layer {layer}")))?;
        lowers.push(format!("l{number}"));
    }
    // Overlay wants the topmost first.
    lowers.reverse();
    let (upper, work) = match &spec.upper {
        Upper::Memory { .. } => {
            for name in ["upper", "work"] {
                let path = run.join(name);
                fs::create_dir(&path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                chown(&path, Some(base), Some(base))?;
            }
            ("upper".to_owned(), "work".to_owned())
        }
        Upper::Layer(id) => {
            let partial = places.partial(id.as_str());
            for name in ["fs", "work"] {
                fs::create_dir_all(partial.join(name))?;
            }
            shifted(&partial, &run.join("u"), ids.as_fd(), false)?;
            ("u/fs".to_owned(), "u/work".to_owned())
        }
    };
    let root = run.join("root");
    fs::create_dir(&root)?;
    // Short relative names: all options together must fit into a page.
    std::env::set_current_dir(&run)?;
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", lowers.join(":"));
    mount(Some("adaptable"), &root, Some("overlay"), MsFlags::MS_NODEV, Some(options.as_str()))?;
    let binds = [shared, binds(places, spec, &run, ids.as_fd())?].concat();
    std::env::set_current_dir("/")?;
    Ok(Rootfs { root, binds, scratch: run })
}

fn binds(places: &Places, spec: &ContainerSpec, run: &Path, ids: BorrowedFd<'_>) -> io::Result<Vec<(PathBuf, String, bool)>> {
    let mut binds = Vec::new();
    for (number, wanted) in spec.mounts.iter().enumerate() {
        let at_outside = run.join(format!("m{number}"));
        match wanted {
            Mount::Cache { name, at } => {
                let directory = places.cache(name.as_str());
                fs::create_dir_all(&directory)?;
                shifted(&directory, &at_outside, ids, false)?;
                binds.push((at_outside, at.clone(), false));
            }
            Mount::File { at, contents, owner } => {
                fs::write(&at_outside, contents)?;
                if let Some(owner) = owner {
                    let owner = spec.id_base() + u32::from(*owner);
                    chown(&at_outside, Some(owner), Some(owner))?;
                    fs::set_permissions(&at_outside, fs::Permissions::from_mode(0o400))?;
                }
                binds.push((at_outside, at.clone(), true));
            }
            Mount::Volume { name, at, owner, read_only } => {
                let directory = volume::make(places, name, *owner)?;
                shifted(&directory, &at_outside, ids, *read_only)?;
                binds.push((at_outside, at.clone(), *read_only));
            }
            Mount::Exchange { name, at, owner } => {
                let directory = volume::make(places, name, *owner)?;
                shifted(&directory, &at_outside, ids, false)?;
                binds.push((at_outside, at.clone(), false));
            }
        }
    }
    Ok(binds)
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// A user namespace that maps 0 to `base` and on; its mapping is all that is wanted of it.
fn id_map(base: u32) -> io::Result<OwnedFd> {
    let (told, tell) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (ready, say_ready) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread.
    #[expect(unsafe_code, reason = "fork")]
    let child = match unsafe { fork() }? {
        ForkResult::Child => {
            drop(tell);
            let fine = unshare(CloneFlags::CLONE_NEWUSER).is_ok() && nix::unistd::write(&say_ready, b"x").is_ok();
            let mut byte = [0_u8; 1];
            // Lives until the mapping has been taken, which closes the pipe.
            let _closed = nix::unistd::read(&told, &mut byte);
            quit(i32::from(!fine))
        }
        ForkResult::Parent { child } => child,
    };
    drop((told, say_ready));
    let mut byte = [0_u8; 1];
    let result = (|| {
        if nix::unistd::read(&ready, &mut byte)? != 1 {
            return Err(io::Error::other("no user namespace can be made"));
        }
        // The second line is for the overlay itself: it makes its work directory as the user who mounts, who must have an id there.
        let line = format!("0 {base} {ID_COUNT}\n{ID_COUNT} 0 1\n");
        fs::write(format!("/proc/{child}/uid_map"), &line)?;
        fs::write(format!("/proc/{child}/gid_map"), &line)?;
        Ok(OwnedFd::from(fs::File::open(format!("/proc/{child}/ns/user"))?))
    })();
    drop(tell);
    let _gone = kill(child, Signal::SIGKILL);
    let _status = waitpid(child, None);
    result
}

/// Ends the process at once: no destructor, no buffer of the parent's is run or written again.
pub(crate) fn quit(code: i32) -> ! {
    #[expect(unsafe_code, reason = "_exit")]
    // SAFETY: _exit has no preconditions.
    unsafe {
        nix::libc::_exit(code)
    }
}

/// Shows a directory at another place, with user ids shifted (`mount_setattr(2)`, `MOUNT_ATTR_IDMAP`).
fn shifted(from: &Path, at: &Path, ids: BorrowedFd<'_>, read_only: bool) -> io::Result<()> {
    fs::create_dir(at)?;
    let tree = open_tree(from)?;
    set_attributes(tree.as_fd(), Some(ids), read_only)?;
    move_mount(tree.as_fd(), at)
}

/// Shows a directory of the machine at another place, to be looked at.
pub(crate) fn shown(from: &Path, at: &Path) -> io::Result<()> {
    fs::create_dir(at)?;
    let tree = open_tree(from)?;
    set_attributes(tree.as_fd(), None, true)?;
    move_mount(tree.as_fd(), at)
}

fn open_tree(path: &Path) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let flags = nix::libc::OPEN_TREE_CLONE | nix::libc::OPEN_TREE_CLOEXEC;
    #[expect(unsafe_code, reason = "a system call without a wrapper")]
    // SAFETY: the path is a C string that outlives the call; the result is a new descriptor or an error.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_open_tree, nix::libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = i32::try_from(checked(result)?).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "a descriptor comes as a number")]
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_attributes(tree: BorrowedFd<'_>, ids: Option<BorrowedFd<'_>>, read_only: bool) -> io::Result<()> {
    let read_only = if read_only { nix::libc::MOUNT_ATTR_RDONLY } else { 0 };
    let shift = if ids.is_some() { nix::libc::MOUNT_ATTR_IDMAP } else { 0 };
    let attributes = nix::libc::mount_attr {
        attr_set: shift | nix::libc::MOUNT_ATTR_NODEV | nix::libc::MOUNT_ATTR_NOSUID | read_only,
        attr_clr: 0,
        propagation: 0,
        userns_fd: ids.map_or(Ok(0), |ids| u64::try_from(ids.as_raw_fd())).map_err(io::Error::other)?,
    };
    #[expect(unsafe_code, reason = "a system call without a wrapper")]
    // SAFETY: the path is an empty C string, the structure outlives the call, and its true size is given.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            nix::libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<nix::libc::mount_attr>(),
        )
    };
    checked(result).map(drop)
}

fn move_mount(tree: BorrowedFd<'_>, to: &Path) -> io::Result<()> {
    let to = c_string(to)?;
    #[expect(unsafe_code, reason = "a system call without a wrapper")]
    // SAFETY: both paths are C strings that outlive the call.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            nix::libc::AT_FDCWD,
            to.as_ptr(),
            nix::libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    checked(result).map(drop)
}

fn checked(result: nix::libc::c_long) -> io::Result<nix::libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn c_string(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

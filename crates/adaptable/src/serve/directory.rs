//! The data directory: one platform each, for nobody else's eyes.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::User;

/// What the platform, without its rights, writes below the data directory.
const OWN: [&str; 6] = ["dumps", "git", "images", "logs", "tls", "uploads"];
/// What only the launcher touches: files in them bear the ids of containers.
const LAUNCHERS: [&str; 3] = ["cache", "layers", "volumes"];
/// The file with the platform's process id.
const PID: &str = "adaptable.pid";
/// How long a platform that was just killed may take until its last process is gone; one that it had taken over from ends in order.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    /// Another platform has it.
    #[error("another platform{} uses the data directory {directory}", pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Taken {
        /// The directory.
        directory: String,
        /// Its process.
        pid: Option<String>,
    },
    /// It is somebody else's.
    #[error(
        "the data directory {directory} belongs to another user (id {owner}), so it is not a platform's; choose another with --data-dir"
    )]
    Foreign {
        /// The directory.
        directory: String,
        /// Whose it is.
        owner: u32,
    },
    /// The running platform handed over the lock of another directory.
    #[error(
        "the lock that the running platform handed over is not {path}; was the data directory moved? stop the platform first"
    )]
    OtherLock {
        /// The lock that it should be.
        path: String,
    },
    /// The file system said no.
    #[error("prepare the data directory: {path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// The cause.
        source: io::Error,
    },
}

/// The lock on a data directory; held as long as a process has its open file.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Holds it until the process is gone, whatever else ends before: whoever finds it free finds nothing of this platform.
    pub(super) fn until_the_end(self) -> &'static Self {
        Box::leak(Box::new(self))
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes the directory where it is missing, takes its lock, and gives it to `user`.
pub(super) fn prepare(directory: &Path, user: &User) -> Result<Lock, DirectoryError> {
    make(directory, 0o700, user)?;
    let metadata = fs::metadata(directory).map_err(at(directory))?;
    let owner = metadata.uid();
    let mut names = fs::read_dir(directory).map_err(at(directory))?.filter_map(|entry| Some(entry.ok()?.file_name()));
    // What root may have put there before the first start: settings, the log that `up` opened, a file system of its own.
    let empty = names.all(|name| name == "config.toml" || name == "serve.log" || name == "lost+found");
    let ours = owner == user.uid.as_raw() || directory.join("lock").is_file();
    if !ours && !empty {
        return Err(DirectoryError::Foreign { directory: directory.display().to_string(), owner });
    }
    let lock = lock(directory)?;
    furnish(directory, user)?;
    let pid = directory.join(PID);
    write_pid(&pid)?;
    own(&pid, user)?;
    Ok(lock)
}

/// Goes on with the lock of the platform that runs, which hands it over together with the directory.
pub(super) fn adopt(directory: &Path, file: File, user: &User) -> Result<Lock, DirectoryError> {
    let path = directory.join("lock");
    let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    let (handed, here) = (file.metadata().map_err(at(&path))?, fs::metadata(&path).map_err(at(&path))?);
    if identity(&handed) != identity(&here) {
        return Err(DirectoryError::OtherLock { path: path.display().to_string() });
    }
    furnish(directory, user)?;
    Ok(Lock { file })
}

/// Names this process as the directory's platform, in one step.
pub(super) fn publish_pid(directory: &Path) -> Result<(), DirectoryError> {
    let (path, partial) = (directory.join(PID), directory.join("adaptable.pid.new"));
    write_pid(&partial)?;
    fs::rename(&partial, &path).map_err(at(&path))
}

/// What a platform needs in its directory.
fn furnish(directory: &Path, user: &User) -> Result<(), DirectoryError> {
    own(directory, user)?;
    fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(at(directory))?;
    for name in OWN {
        make(&directory.join(name), 0o700, user)?;
    }
    for name in LAUNCHERS {
        let path = directory.join(name);
        DirBuilder::new().recursive(true).mode(0o755).create(&path).map_err(at(&path))?;
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<Lock, DirectoryError> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(at(&path))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { file }),
            Err(TryLockError::Error(source)) => return Err(at(&path)(source)),
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(directory.join(PID)).ok().map(|pid| pid.trim().to_owned());
                let alive = pid.as_ref().is_some_and(|pid| !pid.is_empty() && Path::new("/proc").join(pid).exists());
                // Its process is gone, its launcher is about to be.
                if alive || begun.elapsed() > PATIENCE {
                    return Err(DirectoryError::Taken { directory: directory.display().to_string(), pid: pid.filter(|_| alive) });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn write_pid(path: &Path) -> Result<(), DirectoryError> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o644).open(path).map_err(at(path))?;
    writeln!(file, "{}", std::process::id()).map_err(at(path))
}

pub(super) fn make(path: &Path, mode: u32, user: &User) -> Result<(), DirectoryError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    DirBuilder::new().mode(mode).create(path).map_err(at(path))?;
    own(path, user)
}

fn own(path: &Path, user: &User) -> Result<(), DirectoryError> {
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.display().to_string();
    move |source| DirectoryError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Uid, User};

    use super::*;

    #[test]
    fn one_platform_a_directory() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("data");
        let me = User::from_uid(Uid::current()).expect("users").expect("myself");
        let held = prepare(&directory, &me).expect("free");
        assert_eq!(fs::metadata(&directory).expect("made").permissions().mode() & 0o777, 0o700);
        let error = prepare(&directory, &me).expect_err("taken");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        prepare(&directory, &me).expect("free again");
    }
}

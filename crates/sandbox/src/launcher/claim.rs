//! Which platforms live on this machine, so that one can clean up after those that were killed and never started again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::cgroup::Cgroups;
use crate::network;
use crate::rootfs::RUN;

/// How long the launcher of a platform that was killed may take to end.
const DYING: Duration = Duration::from_secs(5);

/// What the names of pools begin with.
const POOL: &str = "pool-";

/// A lock that lives as long as the launcher; the file stays behind where it was killed.
pub(super) struct Claim {
    locks: Vec<(Flock<File>, PathBuf)>,
}

fn lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_file, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_file, error)) => Err(error.into()),
    }
}

impl Claim {
    /// Claims a tag. Waits for an earlier launcher of the same data directory to end.
    pub(super) fn take(tag: &str) -> io::Result<Self> {
        let path = Path::new(RUN).join(format!("{tag}.lock"));
        let until = Instant::now() + DYING;
        loop {
            match lock(&path)? {
                // A file that its last owner removed meanwhile would protect nothing.
                Some(lock) if path.exists() => return Ok(Self { locks: vec![(lock, path)] }),
                Some(_removed) => {}
                None if Instant::now() >= until => {
                    return Err(io::Error::other(format!(
                        "another launcher serves this data directory (see {})",
                        path.display()
                    )));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Claims the first of these tags that is free. Waits where none is, since a launcher that makes room takes a moment.
    pub(super) fn take_free(tags: &[String]) -> io::Result<(Self, String)> {
        let until = Instant::now() + DYING;
        loop {
            for tag in tags {
                let path = Path::new(RUN).join(format!("{tag}.lock"));
                if let Some(lock) = lock(&path)?
                    && path.exists()
                {
                    return Ok((Self { locks: vec![(lock, path)] }, tag.clone()));
                }
            }
            if Instant::now() >= until {
                return Err(io::Error::other("two launchers serve this data directory already; wait for the older one to end"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no launcher holds a tag that an earlier platform may have left.
    pub(super) fn wait_for_end(tag: &str) -> io::Result<()> {
        if Path::new(RUN).join(format!("{tag}.lock")).exists() { Self::take(tag).map(drop) } else { Ok(()) }
    }

    /// Claims a pool of addresses; whether it was free.
    pub(super) fn take_pool(&mut self, number: u32) -> bool {
        let path = Path::new(RUN).join(format!("{POOL}{number}.lock"));
        match lock(&path) {
            Ok(Some(lock)) if path.exists() => {
                self.locks.push((lock, path));
                true
            }
            _ => false,
        }
    }

    /// Gives everything up, once all that bore the tag has been removed.
    pub(super) fn give_up(&mut self) {
        for (_lock, path) in self.locks.drain(..) {
            let _gone = fs::remove_file(&path);
        }
    }
}

/// Removes what platforms left that were killed, and whose data directories were not started again.
pub(super) fn sweep_others(own: &str) {
    let Ok(entries) = fs::read_dir(RUN) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let tag = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".lock"));
        let Some(tag) = tag.filter(|tag| *tag != own) else { continue };
        if let Ok(Some(_dead)) = lock(&path) {
            if is_tag(tag) {
                network::remove(tag);
                Cgroups::find(group(tag)).remove_all();
            }
            let _gone = fs::remove_file(&path);
        }
    }
}

fn is_tag(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name of a platform's control groups.
pub(super) fn group(tag: &str) -> String {
    format!("adaptable-{tag}")
}

//! Volumes: directories that outlive the containers that use them, each for one container at a time to change.
//!
//! The launcher holds a lock of the file system (flock(2)) on a volume as long as the container is here: another launcher of the same
//! data directory, during an upgrade, finds it busy. Two database servers in one directory would destroy it, and could not see each
//! other's processes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use crate::channel::Reply;
use crate::rootfs::Places;
use crate::spec::{Mount, VolumeName};

/// A volume that is a container's; given back when it is dropped.
pub(crate) type Held = Flock<File>;

/// Takes all volumes of a container, or none. [`io::ErrorKind::WouldBlock`] says that another one has one of them.
pub(crate) fn hold_all(places: &Places, mounts: &[Mount]) -> io::Result<Vec<Held>> {
    let volumes = mounts.iter().filter_map(|mount| match mount {
        Mount::Volume { name, read_only, .. } => Some((name, *read_only)),
        Mount::Exchange { name, .. } => Some((name, true)),
        Mount::Cache { .. } | Mount::File { .. } => None,
    });
    volumes.map(|(name, shared)| hold(places, name, shared)).collect()
}

fn hold(places: &Places, name: &VolumeName, shared: bool) -> io::Result<Held> {
    let directory = places.volume(name.as_str());
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("lock"))?;
    let how = if shared { FlockArg::LockSharedNonblock } else { FlockArg::LockExclusiveNonblock };
    Flock::lock(file, how).map_err(|(_file, error)| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("volume {name} is used by another container"))
    })
}

/// The directory of a volume's files, made where it is missing.
pub(crate) fn make(places: &Places, name: &VolumeName, owner: u16) -> io::Result<PathBuf> {
    let files = places.volume(name.as_str()).join("fs");
    match DirBuilder::new().mode(0o700).create(&files) {
        Ok(()) => chown(&files, Some(owner.into()), Some(owner.into()))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(files)
}

/// Removes a volume that no container has.
pub(crate) fn remove(places: &Places, name: &VolumeName) -> io::Result<Reply> {
    let directory = places.volume(name.as_str());
    if !directory.exists() {
        return Ok(Reply::Done);
    }
    match hold(places, name, false) {
        Ok(_held) => fs::remove_dir_all(&directory).map(|()| Reply::Done),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Reply::Refused(crate::channel::Refusal::Busy(error.to_string())))
        }
        Err(error) => Err(error),
    }
}

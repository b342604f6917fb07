//! Work that takes its time, each piece in a child of the launcher: unpack, seal, pack and remove layers, upkeep.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use crate::apply::{apply, small_file, within};
use crate::cgroup::{Cgroups, Group};
use crate::channel::{Refusal, Reply};
use crate::network::Network;
use crate::pack;
use crate::rootfs::{Places, quit};
use crate::spec::{Applied, CacheName, LayerId, LayerRoom, VolumeName};
use crate::volume;

/// A piece of work.
pub(super) enum Work {
    Unpack {
        layer: LayerId,
        prefix: String,
        archive: Option<OwnedFd>,
    },
    Apply {
        layer: LayerId,
        first: bool,
        room: LayerRoom,
        archive: Option<OwnedFd>,
    },
    ReadFile {
        layer: LayerId,
        path: String,
    },
    Seal {
        layer: LayerId,
        keep: Vec<String>,
    },
    Pack {
        layer: LayerId,
        to: Option<OwnedFd>,
    },
    Remove {
        layer: LayerId,
    },
    RemoveCache {
        cache: CacheName,
    },
    RemoveVolume {
        volume: VolumeName,
    },
    /// Push out the memory of a container.
    PushOut {
        group: Group,
    },
    /// Look at the machine.
    Check {
        cgroups: Cgroups,
        network: Network,
    },
    /// Look after the rules of others that concern us.
    Maintain(Network),
}

/// Does it and reports. Runs in a process of its own.
pub(super) fn run(places: &Places, work: Work, report: OwnedFd) -> ! {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| perform(places, work)));
    let reply = match outcome.unwrap_or_else(|_panic| Err(io::Error::other("the work on a layer panicked"))) {
        Ok(reply) => reply,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Reply::Refused(Refusal::NoRoom(format!("the disk is full: {error}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Reply::Refused(Refusal::Missing(error.to_string())),
        Err(error) => Reply::Refused(Refusal::Failed(error.to_string())),
    };
    let bytes = serde_json::to_vec(&reply).unwrap_or_default();
    let _launcher_gone = File::from(report).write_all(&bytes);
    quit(0)
}

fn perform(places: &Places, work: Work) -> io::Result<Reply> {
    match work {
        Work::Unpack { layer, prefix, archive } => {
            let archive = archive.ok_or_else(|| io::Error::other("the archive did not come along"))?;
            unpack(places, layer.as_str(), &prefix, File::from(archive))?;
            Ok(Reply::Done)
        }
        Work::Apply { layer, first, room, archive } => {
            let archive = archive.ok_or_else(|| io::Error::other("the archive did not come along"))?;
            apply_layer(places, layer.as_str(), first, room, File::from(archive)).map(Reply::Applied)
        }
        Work::ReadFile { layer, path } => {
            let root = places.layer(layer.as_str()).join("fs");
            within(&root, || small_file(&path)).map(Reply::File).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => io::Error::new(error.kind(), format!("{path} in layer {layer}")),
                kind => io::Error::new(kind, format!("read {path} in layer {layer}: {error}")),
            })
        }
        Work::Seal { layer, keep } => {
            seal(places, layer.as_str(), &keep)?;
            Ok(Reply::Done)
        }
        Work::Pack { layer, to } => {
            let to = to.ok_or_else(|| io::Error::other("the file to write to did not come along"))?;
            let root = places.layer(layer.as_str()).join("fs");
            if !root.is_dir() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("layer {layer}")));
            }
            pack::pack(&root, File::from(to)).map(Reply::Packed)
        }
        Work::Check { cgroups, network } => Ok(Reply::Findings([cgroups.check(), network.check()].concat())),
        Work::PushOut { group } => {
            group.push_out()?;
            Ok(Reply::Done)
        }
        Work::Maintain(network) => {
            network.maintain();
            Ok(Reply::Done)
        }
        Work::RemoveCache { cache } => {
            remove(&places.cache(cache.as_str()))?;
            Ok(Reply::Done)
        }
        Work::RemoveVolume { volume } => volume::remove(places, &volume),
        Work::Remove { layer } => {
            for path in [places.layer(layer.as_str()), places.partial(layer.as_str())] {
                remove(&path)?;
            }
            Ok(Reply::Done)
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Every layer that is whole.
pub(super) fn layers(places: &Places) -> Reply {
    let Ok(entries) = fs::read_dir(places.data.join("layers")) else { return Reply::Layers(Vec::new()) };
    let names = entries.flatten().filter_map(|entry| LayerId::parse(entry.file_name().to_str()?).ok());
    Reply::Layers(names.collect())
}

/// Every volume.
pub(super) fn volumes(places: &Places) -> Reply {
    let Ok(entries) = fs::read_dir(places.data.join("volumes")) else { return Reply::Volumes(Vec::new()) };
    let names = entries.flatten().filter_map(|entry| VolumeName::parse(entry.file_name().to_str()?).ok());
    Reply::Volumes(names.collect())
}

/// Removes what an earlier platform was writing when it ended.
pub(super) fn sweep(places: &Places) -> io::Result<()> {
    let directory = places.data.join("layers");
    for entry in fs::read_dir(&directory)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "partial") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Unpacks a checked archive. The process moves into the layer first (chroot(2)), so that no link in it leads out.
fn unpack(places: &Places, layer: &str, prefix: &str, archive: File) -> io::Result<()> {
    let partial = places.partial(layer);
    remove(&partial)?;
    let root = partial.join("fs");
    DirBuilder::new().recursive(true).mode(0o755).create(&root)?;
    let layers = File::open(places.data.join("layers"))?;
    let inside = plain(prefix)?;
    within(&root, || {
        let target = Path::new("/").join(&inside);
        DirBuilder::new().recursive(true).mode(0o755).create(&target)?;
        let mut archive = tar::Archive::new(io::BufReader::with_capacity(256 * 1024, archive));
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(true);
        archive.set_unpack_xattrs(false);
        archive.set_overwrite(false);
        archive.unpack(&target)
    })?;
    finish(&partial, &places.layer(layer), &layers)
}

/// Applies a layer of a foreign image to what was applied before; what fails leaves nothing.
fn apply_layer(places: &Places, layer: &str, first: bool, room: LayerRoom, archive: File) -> io::Result<Applied> {
    let partial = places.partial(layer);
    let root = partial.join("fs");
    if first {
        remove(&partial)?;
        DirBuilder::new().recursive(true).mode(0o755).create(&root)?;
    }
    if !root.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("layer {layer}, which was begun")));
    }
    let applied = within(&root, || apply(io::BufReader::with_capacity(256 * 1024, archive), room));
    applied.map_err(|error| {
        let _nothing_left = remove(&partial);
        // What the archive wants and the image does not have is no missing layer.
        let kind = if error.kind() == io::ErrorKind::NotFound { io::ErrorKind::InvalidData } else { error.kind() };
        io::Error::new(kind, format!("unpack the image: {error}"))
    })
}

/// A path as names below the root.
fn plain(path: &str) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path}: a path with `..`")));
            }
        }
    }
    Ok(inside)
}

/// Makes a layer that a container wrote whole.
fn seal(places: &Places, layer: &str, keep: &[String]) -> io::Result<()> {
    let partial = places.partial(layer);
    let root = partial.join("fs");
    if !root.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("layer {layer}")));
    }
    remove(&partial.join("work"))?;
    if !keep.is_empty() {
        let kept = keep.iter().map(|path| plain(path)).collect::<io::Result<Vec<_>>>()?;
        prune(&root, Path::new(""), &kept)?;
    }
    let layers = File::open(places.data.join("layers"))?;
    finish(&partial, &places.layer(layer), &layers)
}

/// Removes all that neither lies below a kept path nor leads to one.
fn prune(root: &Path, at: &Path, kept: &[PathBuf]) -> io::Result<()> {
    for entry in fs::read_dir(root.join(at))? {
        let entry = entry?;
        let path = at.join(entry.file_name());
        if kept.contains(&path) {
            continue;
        }
        let leads = kept.iter().any(|keep| keep.starts_with(&path));
        if leads && entry.file_type()?.is_dir() {
            prune(root, &path, kept)?;
        } else if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Puts all on the disk, and then gives the layer its name: it is whole, or it is not there.
fn finish(partial: &Path, whole: &Path, layers: &File) -> io::Result<()> {
    nix::unistd::syncfs(layers)?;
    remove(whole)?;
    fs::rename(partial, whole)?;
    layers.sync_all()
}

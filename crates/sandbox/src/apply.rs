//! The layers of a foreign image, applied one above the other to one directory (image-spec, layer.md): whiteouts, links, limits.
//!
//! The process has moved into the directory (chroot(2)), so that no link leads out of it, whoever made the archive. What stays to be
//! refused is what would be dishonest (absolute paths, `..`) or endless. Set-user-id bits are dropped: the files lie on the machine's
//! disk under plain ids, and inside of containers nobody gains a right by them anyway. Devices, pipes and extended attributes
//! (capabilities of files among them) are left out.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, lchown};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::spec::{Applied, LayerRoom};

/// What stands before a name that is to be gone.
const WHITEOUT: &[u8] = b".wh.";
/// What says that nothing from below shows in a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What one entry may say of itself: long names, and attributes that are ignored. The archive's reader keeps it in memory.
const HEADERS: u64 = 1024 * 1024;
/// What an archive consists of (tar(5)).
const BLOCK: u64 = 512;
/// The largest id of a user or group that containers have.
const ID_MAX: u64 = 65_535;

/// Applies an uncompressed archive to `/`, which is the layer's own directory, and reads it to its end.
pub(crate) fn apply(archive: impl Read, room: LayerRoom) -> io::Result<Applied> {
    let allowance = Rc::new(Cell::new(HEADERS));
    let mut archive = tar::Archive::new(Metered { inner: archive, read: 0, allowance: Rc::clone(&allowance) });
    let mut layer = Layer { room, applied: Applied::default(), own: HashSet::new(), opaque: HashSet::new(), parent: None };
    let mut entries = archive.entries()?;
    loop {
        allowance.set(HEADERS);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        allowance.set(u64::MAX);
        layer.entry(&mut entry)?;
        // What nobody wanted is read all the same: the next allowance is for headers alone.
        io::copy(&mut entry, &mut io::sink())?;
    }
    allowance.set(u64::MAX);
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(layer.applied)
}

/// Lets so many bytes through, and no more. At the end it fills the last block up: some tools (umoci) leave that to their readers,
/// and whether something is missing is told by the archive's digest.
struct Metered<R> {
    inner: R,
    read: u64,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = self.inner.read(buffer)?;
        if read == 0 && !self.read.is_multiple_of(BLOCK) {
            read = buffer.len().min(usize::try_from(BLOCK - self.read % BLOCK).unwrap_or(0));
            buffer[..read].fill(0);
        }
        self.read += read as u64;
        let left = self.allowance.get();
        if left != u64::MAX {
            let left = left.checked_sub(read as u64).ok_or_else(|| refused("an entry's headers are larger than 1 MiB"))?;
            self.allowance.set(left);
        }
        Ok(read)
    }
}

/// A layer that is being applied.
struct Layer {
    room: LayerRoom,
    applied: Applied,
    /// The true paths of what this layer brought, and of the directories above it: its whiteouts are for what lies below it alone.
    own: HashSet<PathBuf>,
    /// Directories where nothing from below shows any more.
    opaque: HashSet<PathBuf>,
    /// The last parent that was looked for, and its true path.
    parent: Option<(PathBuf, PathBuf)>,
}

type Entry<'a, R> = tar::Entry<'a, R>;

impl Layer {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind == tar::EntryType::XGlobalHeader {
            return Ok(());
        }
        self.count()?;
        let path = inside(&entry.path_bytes())?;
        let outcome = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if name.as_bytes().starts_with(WHITEOUT) => self.hide(parent, name),
            (Some(parent), Some(name)) => self.put(entry, kind, parent, name),
            // The root itself.
            _ if kind.is_dir() => finish_directory(entry, Path::new("/")),
            _ => Err(refused("an entry without a name")),
        };
        outcome.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn count(&mut self) -> io::Result<()> {
        self.applied.entries += 1;
        if self.applied.entries > self.room.entries {
            return Err(refused(&format!("the image has more than {} files", self.room.entries)));
        }
        Ok(())
    }

    /// A whiteout, or the mark of an opaque directory.
    fn hide(&mut self, parent: &Path, name: &OsStr) -> io::Result<()> {
        let hidden = &name.as_bytes()[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused("a whiteout of no name"));
        }
        // Nothing is there to be hidden.
        let Some(parent) = existing(parent)? else { return Ok(()) };
        if name.as_bytes() == OPAQUE {
            return self.clear(&parent);
        }
        if hidden.starts_with(WHITEOUT) {
            // Notes of an old storage driver to itself.
            self.applied.skipped += 1;
            return Ok(());
        }
        let path = parent.join(OsStr::from_bytes(hidden));
        if self.own.contains(&path) { self.clear(&path) } else { self.remove(&path) }
    }

    /// Removes what lies in a directory and did not come with this layer. Each directory's turn comes once.
    fn clear(&mut self, directory: &Path) -> io::Result<()> {
        let mut turns = vec![directory.to_owned()];
        while let Some(directory) = turns.pop() {
            let is_directory = fs::symlink_metadata(&directory).is_ok_and(|it| it.is_dir());
            if !is_directory || !self.opaque.insert(directory.clone()) {
                continue;
            }
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                if self.own.contains(&path) { turns.push(path) } else { self.remove(&path)? }
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.parent = None;
        let kind = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        // Neither follows a link.
        if kind.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    /// The true path of a parent, made where it is missing.
    fn parent(&mut self, path: &Path) -> io::Result<PathBuf> {
        if let Some((_, true_path)) = self.parent.as_ref().filter(|(last, _)| last == path) {
            return Ok(true_path.clone());
        }
        let mut at = PathBuf::from("/");
        for name in path.components() {
            let Component::Normal(name) = name else { continue };
            at.push(name);
            match fs::canonicalize(&at) {
                Ok(true_path) => at = true_path,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.count()?;
                    DirBuilder::new().mode(0o755).create(&at)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.keep(&at);
        self.parent = Some((path.to_owned(), at.clone()));
        Ok(at)
    }

    /// Notes that something, and what lies above it, is this layer's.
    fn keep(&mut self, path: &Path) {
        for path in path.ancestors() {
            if !self.own.insert(path.to_owned()) {
                break;
            }
        }
    }

    fn put<R: Read>(&mut self, entry: &mut Entry<'_, R>, kind: tar::EntryType, parent: &Path, name: &OsStr) -> io::Result<()> {
        use tar::EntryType as Kind;
        if matches!(kind, Kind::Char | Kind::Block | Kind::Fifo) {
            self.applied.skipped += 1;
            return Ok(());
        }
        let path = self.parent(parent)?.join(name);
        match kind {
            Kind::Directory => {
                if !fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir()) {
                    self.remove(&path)?;
                    DirBuilder::new().mode(0o755).create(&path)?;
                }
                finish_directory(entry, &path)?;
            }
            Kind::Regular | Kind::Continuous | Kind::GNUSparse => self.file(entry, &path)?,
            Kind::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| refused("a link to nowhere"))?.into_owned();
                let (user, group) = owner(entry)?;
                self.remove(&path)?;
                std::os::unix::fs::symlink(OsStr::from_bytes(&target), &path)?;
                lchown(&path, Some(user), Some(group))?;
            }
            Kind::Link => {
                let target = entry.link_name_bytes().ok_or_else(|| refused("a link to nowhere"))?.into_owned();
                let target = inside(&target)?;
                let (Some(above), Some(last)) = (target.parent(), target.file_name()) else {
                    return Err(refused("a hard link to the root"));
                };
                let target = existing(above)?.ok_or_else(|| refused("a hard link to what is not there"))?.join(last);
                if target != path {
                    // link(2) does not follow a link that is its target's last name.
                    self.remove(&path)?;
                    fs::hard_link(&target, &path)?;
                }
            }
            other => return Err(refused(&format!("an entry of an unknown kind, {other:?}"))),
        }
        self.keep(&path);
        Ok(())
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
        if has_sparse_note(entry)? {
            return Err(refused("a sparse file in pax's format, which is not understood here"));
        }
        let (user, group) = owner(entry)?;
        let mode = entry.header().mode()? & 0o1777;
        let modified = entry.header().mtime()?;
        self.remove(path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let read = entry.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            self.applied.bytes += read as u64;
            if self.applied.bytes > self.room.bytes {
                return Err(refused(&format!("the image is larger than {} bytes", self.room.bytes)));
            }
            file.write_all(&buffer[..read])?;
        }
        std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some(modified) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(modified)) {
            // A time that the file system can't hold is of no importance.
            let _as_it_is = file.set_modified(modified);
        }
        Ok(())
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A path of an archive as names below the root. The root itself may be called `/`, as umoci does.
fn inside(bytes: &[u8]) -> io::Result<PathBuf> {
    let mut path = PathBuf::new();
    if bytes == b"/" {
        return Ok(path);
    }
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                let shown: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
                return Err(refused(&format!("{shown:?}: an absolute path, or one with `..`")));
            }
        }
    }
    Ok(path)
}

/// The true path of a directory, where it is there.
fn existing(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::canonicalize(Path::new("/").join(path)) {
        Ok(path) if path.is_dir() => Ok(Some(path)),
        Ok(_no_directory) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn finish_directory<R: Read>(entry: &Entry<'_, R>, path: &Path) -> io::Result<()> {
    let (user, group) = owner(entry)?;
    chown(path, Some(user), Some(group))?;
    fs::set_permissions(path, Permissions::from_mode(entry.header().mode()? & 0o3777))
}

fn owner<R: Read>(entry: &Entry<'_, R>) -> io::Result<(u32, u32)> {
    let id = |id: u64| match u32::try_from(id) {
        Ok(small) if id <= ID_MAX => Ok(small),
        _ => Err(refused(&format!("its owner {id} is none that a container can have (0 to {ID_MAX})"))),
    };
    Ok((id(entry.header().uid()?)?, id(entry.header().gid()?)?))
}

fn has_sparse_note<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<bool> {
    let Some(notes) = entry.pax_extensions()? else { return Ok(false) };
    for note in notes {
        if note?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves into a directory, does something there, and comes back.
pub(crate) fn within<T>(root: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let outside = File::open("/")?;
    nix::unistd::chroot(root)?;
    std::env::set_current_dir("/")?;
    let outcome = work();
    nix::unistd::fchdir(&outside)?;
    nix::unistd::chroot(".")?;
    outcome
}

/// The largest file that is read out of a layer.
const FILE_MAX: u64 = 256 * 1024;

/// Reads a small file of the root file system.
pub(crate) fn small_file(path: &str) -> io::Result<Vec<u8>> {
    let path = Path::new("/").join(inside(path.trim_start_matches('/').as_bytes())?);
    // Opening a pipe must not wait for somebody who writes to it.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        return Err(refused(&format!("{} is no file of at most {FILE_MAX} bytes", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for bad in ["/etc/passwd", "../x", "a/../../x", "..", "//x", "/.."] {
            assert!(inside(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(inside(b"./a//b/./c").expect("a path"), Path::new("a/b/c"));
        for root in ["./", "/", "."] {
            assert_eq!(inside(root.as_bytes()).expect("the root"), Path::new(""));
        }
    }
}

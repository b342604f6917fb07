//! The source as the planner sees it: names and bounded reads, never a path that leaves the tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

/// The largest file that is read as a manifest or as Python source.
pub const READ_LIMIT: u64 = 8 * 1024 * 1024;
/// The largest number of entries a tree may list.
pub const ENTRY_LIMIT: usize = 200_000;
/// How deep directories are followed.
const DEPTH_LIMIT: usize = 64;

/// Directories that hold nothing of the app's own source.
const FOREIGN: [&str; 8] = [".git", ".hg", ".svn", "node_modules", "__pycache__", "site-packages", ".tox", ".mypy_cache"];

/// One file, or a symlink to one, of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative path with `/` between its parts.
    pub path: String,
    /// Size in bytes (of the link itself for a symlink).
    pub size: u64,
    /// Whether it is a symlink.
    pub symlink: bool,
}

/// Why a tree can't be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A path that is absolute, climbs with `..` or leaves the tree through a symlink.
    #[error("`{0}` leads out of the source tree")]
    Outside(String),
    /// Not a regular file, or not there.
    #[error("`{0}` is not a file of the source")]
    NotAFile(String),
    /// More bytes than the caller accepts.
    #[error("`{path}` is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// What the caller accepts.
        limit: u64,
    },
    /// More entries than [`ENTRY_LIMIT`], or directories deeper than the limit.
    #[error("the source tree is too large: {0}")]
    TooMany(&'static str),
    /// The file system refused.
    #[error("reading `{path}` of the source failed")]
    Io {
        /// The file or directory.
        path: String,
        /// The cause.
        source: io::Error,
    },
}

/// A source tree that can be listed and read.
pub trait SourceTree {
    /// All files, sorted by path; directories of version control, caches and virtual environments are left out.
    fn entries(&self) -> &[Entry];

    /// The bytes of a file, at most `limit`.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, TreeError>;

    /// Whether a file (or symlink) of exactly this path is listed.
    fn has(&self, path: &str) -> bool {
        self.entries().binary_search_by(|e| e.path.as_str().cmp(path)).is_ok()
    }

    /// Whether anything is listed below this directory.
    fn has_dir(&self, dir: &str) -> bool {
        let prefix = format!("{dir}/");
        let entries = self.entries();
        let at = entries.partition_point(|e| e.path.as_str() < prefix.as_str());
        entries.get(at).is_some_and(|e| e.path.starts_with(&prefix))
    }
}

/// A directory on disk, opened once; symlinks are followed only inside of it.
#[derive(Debug)]
pub struct DirTree {
    root: OwnedFd,
    entries: Vec<Entry>,
}

impl DirTree {
    /// Opens and lists a directory. Names that are not UTF-8 are not listed: no manifest and no module has one.
    pub fn open(root: &Path) -> Result<Self, TreeError> {
        let io = |source| TreeError::Io { path: ".".to_owned(), source };
        let handle = File::open(root).map_err(io)?;
        if !handle.metadata().map_err(io)?.is_dir() {
            return Err(TreeError::NotAFile(".".to_owned()));
        }
        let mut entries = Vec::new();
        list(root, "", 0, &mut entries)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: handle.into(), entries })
    }

    /// Opens a directory of which exactly these files and links count: what is left when somebody else has sorted out.
    pub fn of<P: Into<String>>(root: &Path, paths: impl IntoIterator<Item = P>) -> Result<Self, TreeError> {
        let handle = File::open(root).map_err(|source| TreeError::Io { path: ".".to_owned(), source })?;
        let mut entries: Vec<Entry> = paths
            .into_iter()
            .map(Into::into)
            .filter(|path| !is_foreign(path))
            .filter_map(|path| {
                let metadata = root.join(&path).symlink_metadata().ok()?;
                let kind = metadata.file_type();
                (kind.is_file() || kind.is_symlink()).then(|| Entry { size: metadata.len(), symlink: kind.is_symlink(), path })
            })
            .take(ENTRY_LIMIT)
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: handle.into(), entries })
    }

    fn open_file(&self, path: &str) -> Result<File, TreeError> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        match openat2(self.root.as_fd(), path, how) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::EXDEV) => Err(TreeError::Outside(path.to_owned())),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO) => Err(TreeError::NotAFile(path.to_owned())),
            Err(errno) => Err(TreeError::Io { path: path.to_owned(), source: errno.into() }),
        }
    }
}

impl SourceTree for DirTree {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        let file = self.open_file(path)?;
        let io = |source| TreeError::Io { path: path.to_owned(), source };
        if !file.metadata().map_err(io)?.is_file() {
            return Err(TreeError::NotAFile(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > limit {
            return Err(TreeError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(bytes)
    }
}

fn list(dir: &Path, prefix: &str, depth: usize, out: &mut Vec<Entry>) -> Result<(), TreeError> {
    if depth > DEPTH_LIMIT {
        return Err(TreeError::TooMany("directories lie too deep"));
    }
    let io = |source| TreeError::Io { path: prefix.to_owned(), source };
    let mut directories: Vec<(PathBuf, String)> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        // Never follows a symlink: what it names is found again under its own name, or lies outside.
        let kind = entry.file_type().map_err(io)?;
        if kind.is_dir() {
            if !is_foreign_directory(&entry.path(), OsStr::new(name)) {
                directories.push((entry.path(), path));
            }
        } else if kind.is_file() || kind.is_symlink() {
            let size = entry.metadata().map_err(io)?.len();
            out.push(Entry { path, size, symlink: kind.is_symlink() });
            if out.len() > ENTRY_LIMIT {
                return Err(TreeError::TooMany("too many files"));
            }
        }
    }
    for (path, prefix) in directories {
        list(&path, &prefix, depth + 1, out)?;
    }
    Ok(())
}

fn is_foreign_directory(path: &Path, name: &OsStr) -> bool {
    FOREIGN.iter().any(|foreign| name == *foreign) || path.join("pyvenv.cfg").is_file()
}

/// Whether a file lies in a directory that holds nothing of the app's own source, for trees that are not listed here.
pub fn is_foreign(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next_back();
    parts.any(|part| FOREIGN.contains(&part))
}

/// A tree in memory, for tests and for callers that hold the files already.
#[derive(Debug, Default)]
pub struct MemoryTree {
    files: BTreeMap<String, Vec<u8>>,
    entries: Vec<Entry>,
}

impl<P: Into<String>, B: Into<Vec<u8>>> FromIterator<(P, B)> for MemoryTree {
    fn from_iter<T: IntoIterator<Item = (P, B)>>(files: T) -> Self {
        let files: BTreeMap<String, Vec<u8>> = files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect();
        let entries =
            files.iter().map(|(path, bytes)| Entry { path: path.clone(), size: bytes.len() as u64, symlink: false }).collect();
        Self { files, entries }
    }
}

impl SourceTree for MemoryTree {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        let bytes = self.files.get(path).ok_or_else(|| TreeError::NotAFile(path.to_owned()))?;
        if bytes.len() as u64 > limit {
            return Err(TreeError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(bytes.clone())
    }
}

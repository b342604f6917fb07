//! Packs a directory, as the client sends it: what `.gitignore` leaves of it, as a deterministic tar stream.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::Commit;

use crate::limits::{Limits, megabytes};
use crate::link::LinkError;
use crate::path::{PathError, TreePath};
use crate::tarball::write::{EPOCH, Member, Writer};

pub(crate) mod git;
mod walk;

/// A directory that can't be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It isn't there, or isn't one.
    #[error("open the directory {0}")]
    Open(PathBuf, #[source] io::Error),
    /// There is nothing to send.
    #[error("the directory {0} holds no files, or all are ignored")]
    Empty(PathBuf),
    /// More bytes than the limit.
    #[error("the source has {}{}, the limit is {}; most of it lies in {largest}: leave out what the app doesn't need (.gitignore, .adaptableignore)", if *.more { "more than " } else { "" }, megabytes(*.bytes), megabytes(*.limit))]
    TooLarge {
        /// What was counted.
        bytes: u64,
        /// Whether the counting was given up.
        more: bool,
        /// The most bytes taken.
        limit: u64,
        /// The largest directories.
        largest: String,
    },
    /// More files than the limit.
    #[error("the source has {}{files} files, the limit is {limit}; most of them lie in {largest}: leave out what the app doesn't need (.gitignore, .adaptableignore)", if *.more { "more than " } else { "" })]
    TooMany {
        /// What was counted.
        files: usize,
        /// Whether the counting was given up.
        more: bool,
        /// The most files taken.
        limit: usize,
        /// The largest directories.
        largest: String,
    },
    /// A socket, a device or the like.
    #[error(
        "`{0}` is {1}; only files, directories and symbolic links can be sent: remove it, or have it ignored (.adaptableignore)"
    )]
    Special(TreePath, &'static str),
    /// A name that can't be.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A symbolic link out of the directory, or one that can't be.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The directory couldn't be walked.
    #[error("walk the directory")]
    Walk(#[source] ignore::Error),
    /// Files nobody let us read.
    #[error("no permission to read {0}: change it, or have it ignored (.adaptableignore)")]
    Unreadable(String),
    /// A file that failed while it was read.
    #[error("read `{0}`")]
    Read(TreePath, #[source] io::Error),
    /// Somebody was writing.
    #[error("`{0}` changed while it was read; try again")]
    Changed(TreePath),
    /// The stream the tar goes to.
    #[error("send the source")]
    Write(#[source] io::Error),
}

/// Something that is never sent, though nothing ignores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What it is.
    pub path: TreePath,
    /// Why it isn't sent.
    pub reason: &'static str,
}

/// A directory that was walked and checked, ready to be sent.
#[derive(Debug)]
pub struct Packed {
    root: PathBuf,
    entries: Vec<(TreePath, Found)>,
    limits: Limits,
    /// How many files and symbolic links there are.
    pub files: usize,
    /// The sum of the files' sizes.
    pub bytes: u64,
    /// What was left out though nothing ignores it; worth a line to the user.
    pub skipped: Vec<Skipped>,
    /// The commit the directory is at, if git knows one.
    pub commit: Option<Commit>,
}

#[derive(Debug)]
enum Found {
    Directory,
    File,
    Symlink(Vec<u8>),
}

/// Walks a directory and checks what it holds. Nothing is read of the files yet.
///
/// Left out is what `.gitignore` (nested ones, and `.git/info/exclude`) or an `.adaptableignore` of the same form says, which has the last word;
/// and always `.git`, `__pycache__`, `node_modules`, virtual environments and `.DS_Store`. Other hidden files are kept.
pub fn pack(directory: &Path, limits: &Limits) -> Result<Packed, PackError> {
    let root = open(directory)?;
    // Asking git takes as long as walking a small tree, so both go on at once.
    let question = git::Question::ask(&root);
    let mut packed = walked(directory, root, limits)?;
    packed.commit = question.answer();
    Ok(packed)
}

/// The same for who only wants to know what would be sent: git is not asked which commit it is.
pub fn list(directory: &Path, limits: &Limits) -> Result<Packed, PackError> {
    walked(directory, open(directory)?, limits)
}

fn open(directory: &Path) -> Result<PathBuf, PackError> {
    let root = directory.canonicalize().map_err(|error| PackError::Open(directory.to_owned(), error))?;
    std::fs::read_dir(&root).map_err(|error| PackError::Open(directory.to_owned(), error))?;
    Ok(root)
}

fn walked(directory: &Path, root: PathBuf, limits: &Limits) -> Result<Packed, PackError> {
    let packed = walk::walk(root, limits)?;
    if packed.files == 0 { Err(PackError::Empty(directory.to_owned())) } else { Ok(packed) }
}

impl Packed {
    /// Writes the tar. The same files give the same bytes, wherever and whenever.
    pub fn write_to(&self, to: impl Write) -> Result<(), PackError> {
        let mut writer = Writer::new(to);
        let mut left = self.limits.bytes;
        for (path, found) in &self.entries {
            match found {
                Found::Directory => writer.add(path, Member::Directory, &mut io::empty()).map_err(PackError::Write)?,
                Found::Symlink(target) => {
                    writer.add(path, Member::Symlink { target }, &mut io::empty()).map_err(PackError::Write)?
                }
                Found::File => self.write_file(&mut writer, path, &mut left)?,
            };
        }
        writer.finish().and_then(|mut to| to.flush()).map_err(PackError::Write)
    }

    /// Writes the tar through zstd, fast rather than small: it mostly goes to the same machine or the same room.
    pub fn write_zstd(&self, to: impl Write) -> Result<(), PackError> {
        const LEVEL: i32 = 1;
        let mut encoder = zstd::stream::write::Encoder::new(to, LEVEL).map_err(PackError::Write)?;
        self.write_to(&mut encoder)?;
        encoder.finish().and_then(|mut to| to.flush()).map_err(PackError::Write)
    }

    /// What is sent, in order.
    pub fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.entries.iter().map(|(path, _)| path)
    }

    fn write_file(&self, writer: &mut Writer<impl Write>, path: &TreePath, left: &mut u64) -> Result<u64, PackError> {
        let (file, size, executable) = self.open(path)?;
        // It may have grown since it was counted.
        *left = left.checked_sub(size).ok_or_else(|| PackError::Changed(path.clone()))?;
        let mut contents = Contents { file, failed: None, ended: false };
        let written = writer.add(path, Member::File { size, executable, modified: EPOCH }, &mut contents);
        written.map_err(|error| match contents {
            Contents { failed: Some(error), .. } => PackError::Read(path.clone(), error),
            Contents { ended: true, .. } => PackError::Changed(path.clone()),
            _ => PackError::Write(error),
        })
    }

    /// Opens a file that was one when it was walked; if it has become a FIFO since, neither hangs nor follows.
    fn open(&self, path: &TreePath) -> Result<(File, u64, bool), PackError> {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(self.root.join(path.as_path()));
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => PackError::Unreadable(format!("`{path}`")),
            io::ErrorKind::NotFound => PackError::Changed(path.clone()),
            _ => PackError::Read(path.clone(), error),
        })?;
        let metadata = file.metadata().map_err(|error| PackError::Read(path.clone(), error))?;
        if !metadata.is_file() {
            return Err(PackError::Changed(path.clone()));
        }
        Ok((file, metadata.len(), metadata.mode() & 0o100 != 0))
    }
}

/// A file's contents, which remember how their reading went.
struct Contents {
    file: File,
    failed: Option<io::Error>,
    ended: bool,
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(0) if !buffer.is_empty() => {
                self.ended = true;
                Ok(0)
            }
            Ok(read) => Ok(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

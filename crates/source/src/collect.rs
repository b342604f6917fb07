//! Puts a tree together from entries in any order, checks it as a whole and writes its canonical tar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, SpooledTempFile};

use crate::limits::{Limits, megabytes};
use crate::link::{self, LinkError};
use crate::path::{PathError, TreePath};
use crate::tarball::write::{EPOCH, Member, Writer};
use crate::tree::{CheckedTree, Node};

/// Contents below this stay in memory until the canonical tar is written.
const IN_MEMORY: usize = 8 * 1024 * 1024;

/// A tree that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A name that can't be.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A symbolic link out of the tree, or one that can't be.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// More bytes than the limit.
    #[error("the tree is larger than {}; leave out what the app doesn't need (.gitignore, .adaptableignore)", megabytes(*.limit))]
    TooLarge {
        /// The most bytes taken.
        limit: u64,
    },
    /// More files than the limit.
    #[error(
        "the tree has more than {limit} files or directories; leave out what the app doesn't need (.gitignore, .adaptableignore)"
    )]
    TooMany {
        /// The most files taken.
        limit: usize,
    },
    /// Two entries of one name.
    #[error("`{0}` is in the tree twice")]
    Twice(TreePath),
    /// Something lies inside of what is no directory.
    #[error("`{0}` is a directory and something else at once")]
    NotADirectory(TreePath),
    /// A hard link to what hasn't come before.
    #[error("the hard link `{path}` leads to `{target}`, which is no file that came before it")]
    HardLink {
        /// The link.
        path: TreePath,
        /// What it should be the same as.
        target: TreePath,
    },
    /// The contents ended early or couldn't be read.
    #[error("read the contents of `{0}`")]
    Read(TreePath, #[source] io::Error),
    /// Our own disk.
    #[error("write the tree to {0}")]
    Write(PathBuf, #[source] io::Error),
}

/// A checked tree on disk, in its canonical form.
#[derive(Debug)]
pub struct Received {
    /// The SHA-256 of the canonical tar. Two trees have the same if, and only if, they hold the same.
    pub digest: [u8; 32],
    /// How many files and symbolic links it holds.
    pub files: usize,
    /// The sum of the files' sizes.
    pub bytes: u64,
    /// The tree itself.
    pub tree: CheckedTree,
}

impl Received {
    /// The digest in hexadecimal digits.
    pub fn digest_hex(&self) -> String {
        use std::fmt::Write as _;
        self.digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all");
            text
        })
    }
}

/// What came, with a file's place in the spool.
enum Item {
    Directory,
    File { at: u64, size: u64, executable: bool, modified: u64 },
    Symlink { target: Vec<u8> },
}

/// Entries on their way to a tree.
pub(crate) struct Collector {
    limits: Limits,
    items: BTreeMap<TreePath, Item>,
    spool: SpooledTempFile,
    spooled: u64,
    files: usize,
    directories: usize,
    bytes: u64,
    dest: PathBuf,
}

impl Collector {
    /// Begins a tree that will be written to `dest`; contents wait in that directory.
    pub(crate) fn new(limits: Limits, dest: &Path) -> Self {
        let directory = dest.parent().unwrap_or(Path::new("."));
        Self {
            limits,
            items: BTreeMap::new(),
            spool: tempfile::spooled_tempfile_in(IN_MEMORY, directory),
            spooled: 0,
            files: 0,
            directories: 0,
            bytes: 0,
            dest: dest.to_owned(),
        }
    }

    pub(crate) fn directory(&mut self, path: TreePath) -> Result<(), CollectError> {
        self.parents(&path)?;
        match self.items.get(&path) {
            // It may have come about by what lies inside, or be said twice: the same either way.
            Some(Item::Directory) => Ok(()),
            Some(_) => Err(CollectError::NotADirectory(path)),
            None => self.add_directory(path),
        }
    }

    pub(crate) fn file(
        &mut self,
        path: TreePath,
        executable: bool,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<(), CollectError> {
        self.vacant(&path)?;
        self.count(size)?;
        let mut tee = Tee { to: &mut self.spool, hash: Sha256::new(), failed: false };
        let copied = io::copy(&mut contents.take(size), &mut tee);
        let modified = content_time(&tee.hash.finalize());
        match copied {
            Err(error) if tee.failed => return Err(CollectError::Write(self.dest.clone(), error)),
            Err(error) => return Err(CollectError::Read(path, error)),
            Ok(copied) if copied < size => return Err(CollectError::Read(path, io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
        }
        self.items.insert(path, Item::File { at: self.spooled, size, executable, modified });
        self.spooled += size;
        Ok(())
    }

    /// A hard link becomes a file of its own: an app that writes to one name doesn't expect another to change.
    pub(crate) fn hard_link(&mut self, path: TreePath, target: TreePath) -> Result<(), CollectError> {
        self.vacant(&path)?;
        let Some(&Item::File { at, size, executable, modified }) = self.items.get(&target) else {
            return Err(CollectError::HardLink { path, target });
        };
        self.count(size)?;
        self.items.insert(path, Item::File { at, size, executable, modified });
        Ok(())
    }

    pub(crate) fn symlink(&mut self, path: TreePath, target: Vec<u8>) -> Result<(), CollectError> {
        self.vacant(&path)?;
        link::check_target(&path, &target)?;
        self.count(0)?;
        self.items.insert(path, Item::Symlink { target });
        Ok(())
    }

    /// Checks the tree as a whole and writes it, durably and at once.
    pub(crate) fn finish(mut self) -> Result<Received, CollectError> {
        let links = self.items.iter().filter_map(|(path, item)| match item {
            Item::Symlink { target } => Some((path, &target[..])),
            _ => None,
        });
        link::check_all(&links.collect())?;
        let dest = std::mem::take(&mut self.dest);
        self.write(&dest).map_err(|error| CollectError::Write(dest, error))
    }

    fn write(mut self, dest: &Path) -> io::Result<Received> {
        let directory = dest.parent().unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(directory)?;
        let tee = Tee { to: io::BufWriter::with_capacity(256 * 1024, &mut file), hash: Sha256::new(), failed: false };
        let mut writer = Writer::new(tee);
        let mut nodes = BTreeMap::new();
        let mut position = None;
        for (path, item) in self.items {
            let node = match item {
                Item::Directory => {
                    writer.add(&path, Member::Directory, &mut io::empty())?;
                    Node::Directory
                }
                Item::File { at, size, executable, modified } => {
                    // Most archives come in order; a seek would end the spool's read-ahead.
                    if position != Some(at) {
                        self.spool.seek(SeekFrom::Start(at))?;
                    }
                    let offset = writer.add(&path, Member::File { size, executable, modified }, &mut self.spool)?;
                    position = Some(at + size);
                    Node::File { offset, size, executable }
                }
                Item::Symlink { target } => {
                    writer.add(&path, Member::Symlink { target: &target }, &mut io::empty())?;
                    Node::Symlink { target: target.into() }
                }
            };
            nodes.insert(path, node);
        }
        let Tee { to, hash, .. } = writer.finish()?;
        to.into_inner().map_err(io::IntoInnerError::into_error)?;
        let digest = hash.finalize().into();
        file.as_file().sync_all()?;
        let file = file.persist(dest).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()?;
        Ok(Received { digest, files: self.files, bytes: self.bytes, tree: CheckedTree::new(file, nodes) })
    }

    /// Makes sure that nothing has this path yet and that its parents are directories.
    fn vacant(&mut self, path: &TreePath) -> Result<(), CollectError> {
        self.parents(path)?;
        match self.items.get(path) {
            None => Ok(()),
            Some(Item::Directory) => Err(CollectError::NotADirectory(path.clone())),
            Some(_) => Err(CollectError::Twice(path.clone())),
        }
    }

    fn parents(&mut self, path: &TreePath) -> Result<(), CollectError> {
        let mut missing = Vec::new();
        let mut parent = path.parent();
        while let Some(directory) = parent {
            match self.items.get(&directory) {
                Some(Item::Directory) => break,
                Some(_) => return Err(CollectError::NotADirectory(directory)),
                None => {
                    parent = directory.parent();
                    missing.push(directory);
                }
            }
        }
        missing.into_iter().try_for_each(|directory| self.add_directory(directory))
    }

    fn add_directory(&mut self, path: TreePath) -> Result<(), CollectError> {
        self.directories += 1;
        if self.directories > self.limits.files {
            return Err(CollectError::TooMany { limit: self.limits.files });
        }
        self.items.insert(path, Item::Directory);
        Ok(())
    }

    fn count(&mut self, size: u64) -> Result<(), CollectError> {
        self.files += 1;
        if self.files > self.limits.files {
            return Err(CollectError::TooMany { limit: self.limits.files });
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes {
            return Err(CollectError::TooLarge { limit: self.limits.bytes });
        }
        Ok(())
    }
}

/// A file's time, made of its contents.
///
/// The real one would make two deployments of one commit differ. One constant for all would break caches: Flask, Starlette and whitenoise make
/// an `ETag` of time and size, so a changed style sheet of the same size would stay the old one in every browser. Always in 2001–2010.
fn content_time(digest: &[u8]) -> u64 {
    let bytes = digest.first_chunk().expect("SHA-256 has 32 bytes");
    EPOCH + u64::from(u32::from_be_bytes(*bytes) >> 4)
}

/// Hashes what it writes, and remembers whether an error was its own.
struct Tee<W> {
    to: W,
    hash: Sha256,
    failed: bool,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes).inspect_err(|error| self.failed = error.kind() != io::ErrorKind::Interrupted)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

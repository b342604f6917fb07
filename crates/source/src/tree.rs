//! A checked tree, read in place: an index over its canonical tar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::collect::{CollectError, Collector, Received};
use crate::limits::Limits;
use crate::link::{self, Way};
use crate::path::TreePath;
use crate::tarball::TarError;
use crate::tarball::read::{HeaderKind, Reader};

/// The steps one look-up may take through links.
const STEPS: usize = 100_000;

/// What lies at a path.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Directory,
    File { offset: u64, size: u64, executable: bool },
    Symlink { target: Box<[u8]> },
}

/// A tree whose every entry was checked, in a canonical tar that is open.
#[derive(Debug)]
pub struct CheckedTree {
    file: File,
    nodes: BTreeMap<TreePath, Node>,
}

/// One thing in a tree.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Where it is.
    pub path: &'a TreePath,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What something in a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Its size in bytes.
        size: u64,
        /// Whether it may be run.
        executable: bool,
    },
    /// A symbolic link inside the tree.
    Symlink {
        /// Where it leads.
        target: &'a [u8],
    },
}

/// A canonical tar that can't be opened again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be read.
    #[error("open the source archive {0}")]
    Open(PathBuf, #[source] io::Error),
    /// It isn't what was written.
    #[error("the source archive {0} is damaged")]
    Damaged(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A file of a tree that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing is there.
    #[error("`{0}` is not in the source")]
    NotFound(TreePath),
    /// A directory is there.
    #[error("`{0}` is a directory, not a file")]
    NotAFile(TreePath),
    /// More than the caller wants.
    #[error("`{path}` has {size} bytes, more than the {max} that are read")]
    TooLarge {
        /// The file.
        path: TreePath,
        /// Its size.
        size: u64,
        /// The most the caller takes.
        max: u64,
    },
    /// Our own disk.
    #[error("read `{0}` from the source archive")]
    Io(TreePath, #[source] io::Error),
}

/// A base directory that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum SubdirectoryError {
    /// Nothing is there.
    #[error("the base directory `{0}` is not in the source")]
    NotFound(TreePath),
    /// Something else is there.
    #[error("the base directory `{0}` is not a directory")]
    NotADirectory(TreePath),
    /// By itself it is no tree.
    #[error("the base directory `{0}` can't stand by itself")]
    Tree(TreePath, #[source] CollectError),
}

impl CheckedTree {
    pub(crate) fn new(file: File, nodes: BTreeMap<TreePath, Node>) -> Self {
        Self { file, nodes }
    }

    /// Opens a canonical tar that [`crate::receive`] or [`Self::subdirectory`] wrote.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|error| OpenError::Open(path.to_owned(), error))?;
        let nodes = index(&file).map_err(|error| OpenError::Damaged(path.to_owned(), error))?;
        Ok(Self { file, nodes })
    }

    /// Everything in the tree, a directory before what it holds.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.nodes.iter().map(|(path, node)| Entry { path, kind: node.kind() })
    }

    /// What lies at a path itself, links not followed.
    pub fn get(&self, path: &TreePath) -> Option<Kind<'_>> {
        self.nodes.get(path).map(Node::kind)
    }

    /// A file's contents, links followed; at most `max` bytes.
    pub fn read(&self, path: &TreePath, max: u64) -> Result<Vec<u8>, ReadError> {
        let Some(node) = self.follow(path) else { return Err(ReadError::NotFound(path.clone())) };
        let &Node::File { offset, size, .. } = node else { return Err(ReadError::NotAFile(path.clone())) };
        if size > max {
            return Err(ReadError::TooLarge { path: path.clone(), size, max });
        }
        let io = |error| ReadError::Io(path.clone(), error);
        let mut contents = vec![0; usize::try_from(size).map_err(|error| io(io::Error::other(error)))?];
        self.file.read_exact_at(&mut contents, offset).map_err(io)?;
        Ok(contents)
    }

    /// The canonical tar itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes the canonical tar of one directory alone to `dest`: an app in a repository of several.
    pub fn subdirectory(&self, directory: &TreePath, dest: &Path) -> Result<Received, SubdirectoryError> {
        match self.nodes.get(directory) {
            None => return Err(SubdirectoryError::NotFound(directory.clone())),
            Some(Node::Directory) => {}
            Some(_) => return Err(SubdirectoryError::NotADirectory(directory.clone())),
        }
        self.collect(directory, dest).map_err(|error| SubdirectoryError::Tree(directory.clone(), error))
    }

    fn collect(&self, directory: &TreePath, dest: &Path) -> Result<Received, CollectError> {
        // It is part of a tree within limits.
        let mut collector = Collector::new(Limits { bytes: u64::MAX, files: usize::MAX }, dest);
        for (path, node) in self.nodes.range(directory.clone()..) {
            if !path.as_bytes().starts_with(directory.as_bytes()) {
                break;
            }
            let Some(path) = path.below(directory) else { continue };
            match node {
                Node::Directory => collector.directory(path)?,
                &Node::File { offset, size, executable } => {
                    collector.file(path, executable, size, &mut Slice { file: &self.file, at: offset })?;
                }
                Node::Symlink { target } => collector.symlink(path, target.to_vec())?,
            }
        }
        collector.finish()
    }

    fn follow(&self, path: &TreePath) -> Option<&Node> {
        let target = |path: &TreePath| match self.nodes.get(path) {
            Some(Node::Symlink { target }) => Some(&**target),
            _ => None,
        };
        match link::follow(path, &target, &mut { STEPS }) {
            Ok(Way::Inside(path)) => self.nodes.get(&path),
            Ok(Way::Top) => Some(&Node::Directory),
            Ok(Way::Outside | Way::Circle) | Err(_) => None,
        }
    }
}

impl Node {
    fn kind(&self) -> Kind<'_> {
        match self {
            Self::Directory => Kind::Directory,
            &Self::File { size, executable, .. } => Kind::File { size, executable },
            Self::Symlink { target } => Kind::Symlink { target },
        }
    }
}

/// Reads the headers of an archive of ours, and none of its contents.
fn index(file: &File) -> Result<BTreeMap<TreePath, Node>, Box<dyn std::error::Error + Send + Sync>> {
    let mut nodes = BTreeMap::new();
    // What lies beyond the end is found out at the next header.
    let skip =
        |from: &mut BufReader<&File>, bytes| from.seek_relative(i64::try_from(bytes).map_err(io::Error::other)?).map(|()| bytes);
    let mut reader = Reader::skipping(BufReader::with_capacity(16 * 1024, file), skip);
    while let Some(header) = reader.next()? {
        let path = TreePath::parse(&header.path)?;
        let node = match header.kind {
            HeaderKind::Directory => Node::Directory,
            HeaderKind::File { size, executable } => Node::File { offset: reader.position(), size, executable },
            HeaderKind::Symlink { target } => Node::Symlink { target: target.into() },
            HeaderKind::HardLink { .. } => return Err(TarError::Io(io::Error::other("a hard link")).into()),
        };
        nodes.insert(path, node);
    }
    Ok(nodes)
}

/// A file read from an offset, without moving it for others.
struct Slice<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

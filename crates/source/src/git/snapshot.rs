//! A commit's files, read from git's objects and checked as any other tree.
//!
//! Not by `git archive`, which obeys the attributes in the tree (`export-ignore`, `export-subst`), and not by a checkout, which runs filters.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::command::{GitError, git, run, said};
use super::names::CommitId;
use crate::collect::{CollectError, Collector, Received};
use crate::limits::Limits;
use crate::pack::git::one_line;
use crate::path::{TreePath, show};

/// The most bytes of one line of `ls-tree`: a path of the longest kind and some.
const LONGEST_LINE: u64 = 16 * 1024;
/// The most bytes of an ignore file that are looked at.
const LONGEST_IGNORE: u64 = 256 * 1024;
/// How many times the limit of files a commit may list, the rest being ignored.
const LISTED_PER_TAKEN: usize = 10;
/// A pointer of git LFS is smaller, by its specification.
const LONGEST_POINTER: u64 = 1024;
/// How many names a note gives.
const NAMED: usize = 5;

/// A commit that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// git's answer couldn't be read, or made no sense.
    #[error("read the commit's files from git")]
    Read(#[source] io::Error),
    /// A mode that git itself never makes.
    #[error("`{path}` has the mode {mode}, which is neither a file's, a link's nor a submodule's")]
    Mode {
        /// The entry, escaped.
        path: String,
        /// Its mode, escaped.
        mode: String,
    },
    /// The tree isn't one we take.
    #[error(transparent)]
    Tree(#[from] CollectError),
}

/// The files of a pushed commit. They can be read while the push goes on.
#[derive(Clone, Debug)]
pub struct PushedTree {
    repository: PathBuf,
    quarantine: Option<PathBuf>,
    commit: CommitId,
}

/// A tree, and what the pusher should know about it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) received: Received,
    pub(crate) notes: Vec<String>,
}

/// What people read of a commit.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) subject: String,
    pub(crate) author: String,
}

struct Listed {
    path: TreePath,
    kind: Blob,
    id: CommitId,
    size: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Blob {
    File,
    Executable,
    Symlink,
}

impl PushedTree {
    pub(crate) fn new(repository: PathBuf, quarantine: Option<PathBuf>, commit: CommitId) -> Self {
        Self { repository, quarantine, commit }
    }

    /// The first line of the commit's message, and who wrote it.
    pub(crate) fn described(&self) -> Result<Described, GitError> {
        // Not `git log`, which wants the parents, too; those of a shallow push aren't there.
        let mut command = self.git();
        command.args(["cat-file", "commit", self.commit.as_str()]);
        let commit = run(command, "cat-file")?;
        let commit = String::from_utf8_lossy(&commit);
        let (header, message) = commit.split_once("\n\n").unwrap_or((&commit, ""));
        let author = header.lines().find_map(|line| line.strip_prefix("author ")).and_then(|author| author.split(" <").next());
        Ok(Described { subject: one_line(message.trim_start()), author: one_line(author.unwrap_or_default()) })
    }

    /// Checks every entry of the commit and writes the canonical tar to `dest`; gives it with notes for the pusher. Blocks.
    pub(crate) fn take(&self, limits: &Limits, dest: &Path) -> Result<Taken, SnapshotError> {
        let ignored = self.ignored()?;
        let (listed, submodules) = self.list(limits, ignored.as_ref())?;
        let mut collector = Collector::new(*limits, dest);
        let mut notes = Vec::new();
        note(&mut notes, &submodules, "is a submodule, which is not deployed: an empty directory takes its place");
        let pointers = self.contents(&listed, &mut collector)?;
        note(&mut notes, &pointers, "is a pointer of git LFS, whose contents are not in the push; the app will find the pointer");
        for path in submodules {
            collector.directory(path)?;
        }
        Ok(Taken { received: collector.finish()?, notes })
    }

    fn git(&self) -> std::process::Command {
        let mut command = git(Some(&self.repository), None);
        if let Some(quarantine) = &self.quarantine {
            command
                .env("GIT_OBJECT_DIRECTORY", quarantine)
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.repository.join("objects"));
        }
        command
    }

    fn list(&self, limits: &Limits, ignored: Option<&Gitignore>) -> Result<(Vec<Listed>, Vec<TreePath>), SnapshotError> {
        let mut command = self.git();
        command.args(["ls-tree", "-r", "-z", "-l", "--full-tree", self.commit.as_str()]);
        let mut running = Running::start(command, "ls-tree")?;
        let (mut listed, mut submodules, mut bytes, mut seen) = (Vec::new(), Vec::new(), 0_u64, 0_usize);
        let mut line = Vec::new();
        loop {
            line.clear();
            running.stdout.by_ref().take(LONGEST_LINE).read_until(0, &mut line).map_err(SnapshotError::Read)?;
            let Some((0, entry)) = line.split_last() else {
                if line.is_empty() {
                    break;
                }
                return Err(SnapshotError::Read(io::Error::other("git gave a name that is too long")));
            };
            let entry = parse(entry)?;
            seen += 1;
            match entry {
                _ if ignored
                    .is_some_and(|ignored| ignored.matched_path_or_any_parents(entry.path().as_path(), false).is_ignore()) => {}
                Entry::Submodule(path) => submodules.push(path),
                Entry::Blob(entry) => {
                    bytes = bytes.saturating_add(entry.size);
                    listed.push(entry);
                }
            }
            // A few kilobytes of trees within trees can list more files than there are atoms; so not at the end, but on the way.
            if listed.len() + submodules.len() > limits.files || seen / LISTED_PER_TAKEN > limits.files {
                return Err(CollectError::TooMany { limit: limits.files }.into());
            }
            if bytes > limits.bytes {
                return Err(CollectError::TooLarge { limit: limits.bytes }.into());
            }
        }
        running.finish()?;
        Ok((listed, submodules))
    }

    /// The rules of an `.adaptableignore` at the top of the tree.
    fn ignored(&self) -> Result<Option<Gitignore>, SnapshotError> {
        let mut command = self.git();
        command.args(["ls-tree", "-z", "-l", "--full-tree", self.commit.as_str(), "--", ".adaptableignore"]);
        let listed = run(command, "ls-tree")?;
        let Some(entry) = listed.strip_suffix(b"\0") else { return Ok(None) };
        // A directory of this name has no size, and is none of ours.
        let Ok(Entry::Blob(Listed { kind: Blob::File | Blob::Executable, id, size: ..=LONGEST_IGNORE, .. })) = parse(entry)
        else {
            return Ok(None);
        };
        let mut command = self.git();
        command.args(["cat-file", "blob", id.as_str()]);
        let text = run(command, "cat-file")?;
        let mut rules = GitignoreBuilder::new("");
        for line in String::from_utf8_lossy(&text).lines() {
            // A line that is no pattern matches nothing, as with git.
            rules.add_line(None, line).ok();
        }
        Ok(rules.build().ok())
    }

    /// Reads all blobs through one git process; gives the pointers of LFS among them.
    fn contents(&self, listed: &[Listed], collector: &mut Collector) -> Result<Vec<TreePath>, SnapshotError> {
        let mut command = self.git();
        command.args(["cat-file", "--batch", "--buffer"]).stdin(Stdio::piped());
        let mut running = Running::start(command, "cat-file")?;
        let stdin = running.child.stdin.take();
        let mut pointers = Vec::new();
        std::thread::scope(|scope| {
            // It answers while it is asked, and both pipes are finite.
            scope.spawn(move || {
                let Some(stdin) = stdin else { return };
                let mut stdin = io::BufWriter::new(stdin);
                // If git has gone away, the other side finds out.
                listed.iter().try_for_each(|entry| writeln!(stdin, "{}", entry.id)).ok();
            });
            let result = listed.iter().try_for_each(|entry| {
                if blob(&mut running.stdout, entry, collector)? {
                    pointers.push(entry.path.clone());
                }
                Ok::<_, SnapshotError>(())
            });
            if result.is_err() {
                running.child.kill().ok();
            }
            result
        })?;
        running.finish()?;
        Ok(pointers)
    }
}

/// Moves one blob from git to the tree; whether it is a pointer of LFS.
fn blob(from: &mut impl BufRead, entry: &Listed, collector: &mut Collector) -> Result<bool, SnapshotError> {
    let mut header = String::new();
    from.take(256).read_line(&mut header).map_err(SnapshotError::Read)?;
    if header.trim_end() != format!("{} blob {}", entry.id, entry.size) {
        return Err(SnapshotError::Read(io::Error::other(format!("`{}` is missing", entry.path))));
    }
    let mut pointer = false;
    if entry.kind == Blob::Symlink || entry.size <= LONGEST_POINTER {
        // A link's target has a bound of its own; one that is longer is refused, whatever its rest says.
        let most = entry.size.min(64 * 1024);
        let mut contents = Vec::new();
        from.take(most).read_to_end(&mut contents).map_err(SnapshotError::Read)?;
        skip(from, entry.size - most)?;
        if entry.kind == Blob::Symlink {
            collector.symlink(entry.path.clone(), contents)?;
        } else {
            pointer =
                contents.starts_with(b"version https://git-lfs.") && contents.windows(12).any(|part| part == b"\noid sha256:");
            collector.file(entry.path.clone(), entry.kind == Blob::Executable, entry.size, &mut &contents[..])?;
        }
    } else {
        collector.file(entry.path.clone(), entry.kind == Blob::Executable, entry.size, from)?;
    }
    skip(from, 1)?;
    Ok(pointer)
}

fn skip(from: &mut impl Read, bytes: u64) -> Result<(), SnapshotError> {
    let skipped = io::copy(&mut from.take(bytes), &mut io::sink()).map_err(SnapshotError::Read)?;
    if skipped == bytes { Ok(()) } else { Err(SnapshotError::Read(io::ErrorKind::UnexpectedEof.into())) }
}

enum Entry {
    Blob(Listed),
    Submodule(TreePath),
}

impl Entry {
    fn path(&self) -> &TreePath {
        match self {
            Self::Blob(Listed { path, .. }) | Self::Submodule(path) => path,
        }
    }
}

/// Reads an entry of `ls-tree -l`: `mode type id size\tpath`.
fn parse(entry: &[u8]) -> Result<Entry, SnapshotError> {
    let senseless = || SnapshotError::Read(io::Error::other("git gave a line that makes no sense"));
    let tab = entry.iter().position(|&byte| byte == b'\t').ok_or_else(senseless)?;
    let (fields, path) = (&entry[..tab], &entry[tab + 1..]);
    let fields = std::str::from_utf8(fields).map_err(|_not_text| senseless())?;
    let mut fields = fields.split_ascii_whitespace();
    let (Some(mode), Some(_), Some(id), Some(size)) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
        return Err(senseless());
    };
    let kind = match mode {
        // 100664 is what early versions of git wrote.
        "100644" | "100664" => Blob::File,
        "100755" => Blob::Executable,
        "120000" => Blob::Symlink,
        "160000" => return Ok(Entry::Submodule(TreePath::parse(path).map_err(CollectError::from)?)),
        _ => return Err(SnapshotError::Mode { path: show(path), mode: show(mode.as_bytes()) }),
    };
    let id = CommitId::parse(id).map_err(|_no_id| senseless())?;
    let size = size.parse().map_err(|_no_number| senseless())?;
    Ok(Entry::Blob(Listed { path: TreePath::parse(path).map_err(CollectError::from)?, kind, id, size }))
}

fn note(notes: &mut Vec<String>, paths: &[TreePath], what: &str) {
    notes.extend(paths.iter().take(NAMED).map(|path| format!("{path} {what}")));
    if paths.len() > NAMED {
        notes.push(format!("(and {} more of the kind)", paths.len() - NAMED));
    }
}

/// A git process being read; killed if it is given up.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    name: &'static str,
}

impl Running {
    fn start(mut command: std::process::Command, name: &'static str) -> Result<Self, GitError> {
        // What it says is little: it fits the pipe.
        let mut child = command.spawn().map_err(|error| GitError::Start(name, error))?;
        let stdout = child.stdout.take().ok_or_else(|| GitError::Start(name, io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, stdout: BufReader::with_capacity(64 * 1024, stdout), name })
    }

    fn finish(mut self) -> Result<(), GitError> {
        let status = self.child.wait().map_err(|error| GitError::Start(self.name, error))?;
        if status.success() {
            return Ok(());
        }
        let mut stderr = Vec::new();
        if let Some(from) = &mut self.child.stderr {
            from.take(4096).read_to_end(&mut stderr).ok();
        }
        Err(GitError::Failed { command: self.name, said: said(&stderr) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `finish` both say that there is nobody, which is well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

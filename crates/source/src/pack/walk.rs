//! Walks a directory by the rules of `.gitignore`, and checks what is found.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ignore::{DirEntry, WalkBuilder};
use nix::unistd::{AccessFlags, access};

use super::{Found, PackError, Packed, Skipped};
use crate::limits::{Limits, megabytes};
use crate::link;
use crate::path::TreePath;

/// Above the limit, the walk goes on for so long to tell what is large.
const COUNTING: Duration = Duration::from_secs(3);
/// How many names an error gives.
const NAMED: usize = 5;

pub(super) fn walk(root: PathBuf, limits: &Limits) -> Result<Packed, PackError> {
    let skipped = Arc::new(Mutex::new(Vec::new()));
    let mut sum = Sum::default();
    let mut entries = Vec::new();
    let mut unreadable = Vec::new();
    let started = Instant::now();
    let mut more = false;
    for entry in walker(&root, &skipped).build() {
        let entry = match entry {
            Ok(entry) if entry.depth() == 0 => continue,
            Ok(entry) => entry,
            Err(error) => {
                unreadable.push(denied(error, &root)?);
                continue;
            }
        };
        let path = TreePath::parse(relative(&root, entry.path()).as_os_str().as_bytes())?;
        let read = |error| PackError::Read(path.clone(), error);
        let metadata = entry.path().symlink_metadata().map_err(read)?;
        let found = found(&entry, &path, &metadata)?;
        sum.count(&path, &found, metadata.len());
        if sum.over(limits) && started.elapsed() > COUNTING {
            more = true;
            break;
        }
        if let Found::File = found
            && access(entry.path(), AccessFlags::R_OK).is_err()
        {
            unreadable.push(format!("`{path}`"));
        }
        if !sum.over(limits) {
            entries.push((path, found));
        }
    }
    sum.check(limits, more)?;
    if !unreadable.is_empty() {
        return Err(PackError::Unreadable(listed(&unreadable)));
    }
    entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    check_links(&entries)?;
    let mut skipped = std::mem::take(&mut *skipped.lock().expect("nobody panics with it"));
    skipped.sort_unstable_by(|one: &Skipped, other| one.path.cmp(&other.path));
    Ok(Packed { root, entries, limits: *limits, files: sum.files, bytes: sum.bytes, skipped, commit: None })
}

fn walker(root: &Path, skipped: &Arc<Mutex<Vec<Skipped>>>) -> WalkBuilder {
    // Within a repository, the `.gitignore` files above count too. Without one they don't: `*` in a home directory means something else.
    let repository = root.ancestors().any(|directory| directory.join(".git").exists());
    let mut walker = WalkBuilder::new(root);
    walker.standard_filters(false).git_ignore(true).git_exclude(true).parents(repository).require_git(false);
    walker.add_custom_ignore_filename(".adaptableignore").follow_links(false);
    let (skipped, root) = (Arc::clone(skipped), root.to_owned());
    walker.filter_entry(move |entry| {
        let Some(reason) = junk(entry) else { return true };
        if let Ok(path) = TreePath::parse(relative(&root, entry.path()).as_os_str().as_bytes()) {
            skipped.lock().expect("nobody panics with it").push(Skipped { path, reason });
        }
        false
    });
    walker
}

/// Why something is never sent.
fn junk(entry: &DirEntry) -> Option<&'static str> {
    if entry.depth() == 0 {
        return None;
    }
    let directory = entry.file_type().is_some_and(|kind| kind.is_dir());
    match (entry.file_name().as_bytes(), directory) {
        // A file of this name is a submodule's or a second worktree's.
        (b".git", _) => Some("git's own"),
        (b".DS_Store", false) => Some("the Finder's own"),
        (b"__pycache__", true) => Some("compiled again by the build"),
        (b"node_modules", true) => Some("installed again by the build"),
        (_, true) if entry.path().join("pyvenv.cfg").exists() => Some("a virtual environment; the build makes its own"),
        _ => None,
    }
}

fn found(entry: &DirEntry, path: &TreePath, metadata: &Metadata) -> Result<Found, PackError> {
    let kind = metadata.file_type();
    let special = |what| Err(PackError::Special(path.clone(), what));
    if kind.is_dir() {
        Ok(Found::Directory)
    } else if kind.is_file() {
        Ok(Found::File)
    } else if kind.is_symlink() {
        let target = std::fs::read_link(entry.path()).map_err(|error| PackError::Read(path.clone(), error))?;
        let target = target.as_os_str().as_bytes().to_vec();
        link::check_target(path, &target)?;
        Ok(Found::Symlink(target))
    } else if kind.is_fifo() {
        special("a FIFO")
    } else if kind.is_socket() {
        special("a socket")
    } else {
        special("a device")
    }
}

fn check_links(entries: &[(TreePath, Found)]) -> Result<(), PackError> {
    let links = entries.iter().filter_map(|(path, found)| match found {
        Found::Symlink(target) => Some((path, &target[..])),
        _ => None,
    });
    Ok(link::check_all(&links.collect())?)
}

/// The name in an error of permission; another error is the walk's end.
fn denied(error: ignore::Error, root: &Path) -> Result<String, PackError> {
    let permission = error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    match path_of(&error) {
        Some(path) if permission => Ok(format!("`{}`", relative(root, path).display())),
        _ => Err(PackError::Walk(error)),
    }
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        ignore::Error::Partial(errors) => errors.iter().find_map(path_of),
        _ => None,
    }
}

fn relative<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names[..names.len().min(NAMED)].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// What was counted, and where it lies.
#[derive(Default)]
struct Sum {
    files: usize,
    directories: usize,
    bytes: u64,
    /// By the first two names of a path, which is deep enough to tell.
    by_directory: BTreeMap<TreePath, (u64, usize)>,
}

impl Sum {
    fn count(&mut self, path: &TreePath, found: &Found, size: u64) {
        match found {
            Found::Directory => self.directories += 1,
            Found::Symlink(_) => self.files += 1,
            Found::File => {
                self.files += 1;
                self.bytes += size;
                let names: Vec<_> = path.as_bytes().split(|&byte| byte == b'/').collect();
                let directory = &names[..names.len().min(3) - 1];
                // A large file at the top is named itself.
                let key = if directory.is_empty() { path.clone() } else { TreePath::from_names(directory) };
                let (bytes, files) = self.by_directory.entry(key).or_default();
                *bytes += size;
                *files += 1;
            }
        }
    }

    fn over(&self, limits: &Limits) -> bool {
        self.bytes > limits.bytes || self.files > limits.files || self.directories > limits.files
    }

    fn check(&self, limits: &Limits, more: bool) -> Result<(), PackError> {
        if self.bytes > limits.bytes {
            let largest = self.largest(|&(bytes, _)| bytes, |&(bytes, _)| megabytes(bytes));
            return Err(PackError::TooLarge { bytes: self.bytes, more, limit: limits.bytes, largest });
        }
        if self.files > limits.files || self.directories > limits.files {
            let files = self.files.max(self.directories);
            let largest = self.largest(|&(_, files)| files as u64, |&(_, files)| format!("{files} files"));
            return Err(PackError::TooMany { files, more, limit: limits.files, largest });
        }
        Ok(())
    }

    fn largest(&self, weight: impl Fn(&(u64, usize)) -> u64, text: impl Fn(&(u64, usize)) -> String) -> String {
        let mut all: Vec<_> = self.by_directory.iter().collect();
        all.sort_by_key(|(_, sums)| std::cmp::Reverse(weight(sums)));
        let named: Vec<_> = all.iter().take(NAMED).map(|(path, sums)| format!("`{path}` ({})", text(sums))).collect();
        named.join(", ")
    }
}

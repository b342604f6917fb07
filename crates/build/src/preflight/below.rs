//! The part of a source that build and app see.

use super::Check;
use crate::tree::{Entry, SourceTree, TreeError};

/// A directory of a tree as a tree.
pub(super) struct Below<'a> {
    tree: &'a (dyn SourceTree + Sync),
    /// Its path, without a slash at its end; `""` is the whole tree.
    base: String,
    entries: Vec<Entry>,
}

impl Below<'_> {
    pub(super) fn base(&self) -> &str {
        &self.base
    }
}

impl SourceTree for Below<'_> {
    fn entries(&self) -> &[Entry] {
        if self.base.is_empty() { self.tree.entries() } else { &self.entries }
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        if self.base.is_empty() { self.tree.read(path, limit) } else { self.tree.read(&format!("{}/{path}", self.base), limit) }
    }
}

/// Finds the Base Directory.
pub(super) fn find<'a>(tree: &'a (dyn SourceTree + Sync), base: Option<&str>) -> Result<(Below<'a>, Check), Box<Check>> {
    const ID: &str = "base-directory";
    let parts: Vec<&str> = base.unwrap_or_default().trim().split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let base = parts.join("/");
    if base.is_empty() {
        return Ok((Below { tree, base, entries: Vec::new() }, Check::ok(ID, "the whole source")));
    }
    if parts.contains(&"..") {
        return Err(Box::new(Check::failed(
            ID,
            format!("`{base}` leads out of the source"),
            "name a directory of the source, without `..`",
        )));
    }
    let prefix = format!("{base}/");
    let all = tree.entries();
    let at = all.partition_point(|entry| entry.path.as_str() < prefix.as_str());
    let entries: Vec<Entry> = all[at..]
        .iter()
        .map_while(|entry| Some(Entry { path: entry.path.strip_prefix(&prefix)?.to_owned(), ..entry.clone() }))
        .collect();
    if entries.is_empty() {
        let mut dirs: Vec<String> = all.iter().filter_map(|entry| Some(format!("`{}`", entry.path.split_once('/')?.0))).collect();
        dirs.dedup();
        let help = if dirs.is_empty() {
            "the source has no directories: leave the Base Directory out".to_owned()
        } else {
            format!("the source has {}; leave the Base Directory out to deploy all of it", super::listed(&dirs))
        };
        let reason = if tree.has(&base) {
            format!("`{base}` is a file, not a directory")
        } else {
            format!("there is no directory `{base}`")
        };
        return Err(Box::new(Check::failed(ID, reason, help)));
    }
    let files = entries.len();
    let check = Check::ok(ID, format!("`{base}`, {files} file{}", super::plural(files)));
    Ok((Below { tree, base, entries }, check))
}

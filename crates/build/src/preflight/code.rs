//! All Python files of a source, read for what they do with variables, disk and network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::facts::{self, Facts};
use crate::recognise::entry;
use crate::text;
use crate::tree::SourceTree;

/// The largest file that is read, and how much all together.
const FILE_LIMIT: u64 = 1 << 20;
const TOTAL_LIMIT: usize = 32 << 20;
const FILES: usize = 4000;

/// What the files do.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) files: BTreeMap<String, Facts>,
    /// Variables that the code sets, or asks for before it reads them.
    pub(super) sets: BTreeSet<String>,
    /// How many files were left unread.
    pub(super) unread: usize,
}

impl Code {
    /// Reads the files nearest to the root first, until the time is over.
    pub(super) fn read(tree: &(dyn SourceTree + Sync), until: Instant) -> Self {
        let mut code = Self::default();
        let mut left = TOTAL_LIMIT;
        let paths: Vec<String> = entry::python_files(tree).into_iter().filter(|path| !is_beside(path)).collect();
        let mut read = 0;
        for path in paths.iter().take(FILES) {
            if Instant::now() > until {
                break;
            }
            let Ok(bytes) = tree.read(path, FILE_LIMIT) else { continue };
            let Some(rest) = left.checked_sub(bytes.len()) else { break };
            left = rest;
            let facts = facts::read(&text::decode(&bytes));
            code.sets.extend(facts.sets.iter().cloned());
            code.files.insert(path.clone(), facts);
            read += 1;
        }
        code.unread = paths.len() - read;
        code
    }

    /// Whether some file loads `.env`.
    pub(super) fn loads_env_file(&self) -> bool {
        self.files.values().any(|facts| facts.loads_env_file)
    }

    /// What to say where not everything was read.
    pub(super) fn remark(&self) -> String {
        match self.unread {
            0 => String::new(),
            unread => format!(" ({unread} Python files were not looked into)"),
        }
    }
}

/// Files that visitors never come to: tests, examples, migrations, commands.
fn is_beside(path: &str) -> bool {
    entry::is_aside(path) || path.contains("management/commands/") || path.rsplit('/').next() == Some("manage.py")
}

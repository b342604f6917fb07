//! Why no plan can be made of a source tree; the prose for people is in [`crate::explain`].

use crate::plan::{Origin, PyVersion};
use crate::procfile::ProcfileError;
use crate::shell::CommandError;
use crate::tree::TreeError;

/// Why a source tree gives no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is nothing of Python in the tree.
    #[error("recognising the app failed: the source has no Python files and no Python manifest")]
    NothingRecognised {
        /// Manifests of other languages that are there, with the language's name.
        other: Option<(&'static str, String)>,
        /// The number of files that were looked at.
        files: usize,
    },
    /// It is Python, but nothing in it can be started.
    #[error("recognising the app failed: no application object, factory or main script was found")]
    NoStart {
        /// The Python files that were read, at most a few, nearest to the root first.
        looked_at: Vec<String>,
        /// What came nearest and why it can't be started, if anything did.
        nearest: Option<String>,
    },
    /// A Python version that this machine can't offer.
    #[error("choosing Python failed: {asked} ({origin}) is not available; available are {}", list(.available))]
    PythonUnavailable {
        /// As written.
        asked: String,
        /// Where it is written.
        origin: String,
        /// What can be had, oldest first.
        available: Vec<PyVersion>,
    },
    /// A text that is no Python version.
    #[error("choosing Python failed: `{text}` ({origin}) is not a Python version such as 3.11 or 3.11.4")]
    PythonMalformed {
        /// As written, shortened.
        text: String,
        /// Where it is written.
        origin: String,
    },
    /// A manifest or lock file that can't be read as what it claims to be.
    #[error("reading {file} failed{}: {why}", .line.map(|line| format!(" at line {line}")).unwrap_or_default())]
    Manifest {
        /// The file.
        file: String,
        /// The line, from 1, if known.
        line: Option<usize>,
        /// What is wrong with it.
        why: String,
    },
    /// A manifest names a file that is not in the tree.
    #[error("reading {by} failed: `{file}`, which it names, is not in the source")]
    MissingFile {
        /// The file that is missing.
        file: String,
        /// The manifest that names it.
        by: String,
    },
    /// A manifest names a path that is not below the tree's root.
    #[error("reading {by} failed: `{path}` leads out of the source tree")]
    OutsideTree {
        /// As written.
        path: String,
        /// The manifest that names it.
        by: String,
    },
    /// A file that was surely meant to be a manifest.
    #[error("finding the dependencies failed: there is `{found}`, but no `{meant}`")]
    Misspelled {
        /// The name that is there.
        found: String,
        /// The name that was meant.
        meant: &'static str,
    },
    /// A lock file that does not know what its manifest asks for.
    #[error("reading {lock} failed: it is older than {manifest}, which also asks for {}", .missing.join(", "))]
    StaleLock {
        /// The lock file.
        lock: String,
        /// The manifest.
        manifest: String,
        /// Names that the manifest has and the lock has not.
        missing: Vec<String>,
    },
    /// A line of the Aptfile that is no package name.
    #[error("reading Aptfile failed at line {line}: `{text}` {why}")]
    Aptfile {
        /// The line, from 1.
        line: usize,
        /// As written, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A Procfile that can't be read.
    #[error("reading the Procfile failed")]
    Procfile(#[from] ProcfileError),
    /// A command line that no shell can run.
    #[error("reading the {what} command failed")]
    Command {
        /// `start`, `release`, `install` or `build`.
        what: &'static str,
        /// Where it comes from.
        origin: Origin,
        /// What is wrong with it.
        source: CommandError,
    },
    /// The tree can't be read.
    #[error("reading the source failed")]
    Tree(#[from] TreeError),
}

fn list(versions: &[PyVersion]) -> String {
    if versions.is_empty() {
        return "none".to_owned();
    }
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl PlanError {
    pub(crate) fn manifest(file: &str, line: Option<usize>, why: impl Into<String>) -> Self {
        Self::Manifest { file: file.to_owned(), line, why: why.into() }
    }
}

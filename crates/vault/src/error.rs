//! What can go wrong with a place for dumps.

use std::io;

/// Why a dump could not be kept, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// There is no room.
    #[error("there is no room in {0}")]
    Full(String),
    /// Who runs the storage says no: a wrong key, no such bucket.
    #[error("{place} refuses: {why}")]
    Refused {
        /// The storage.
        place: String,
        /// What it says.
        why: String,
    },
    /// The storage does not answer, or answers nonsense.
    #[error("{place} can't be used: {why}")]
    Unreachable {
        /// The storage.
        place: String,
        /// What happened.
        why: String,
    },
    /// A file of this machine.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

impl VaultError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::Damaged(_) => "use another backup",
            Self::Full(_) => "make room there, or move the backups with backup-dir",
            Self::Refused { .. } => "look at backup-s3 and at its key",
            Self::Unreachable { .. } => "look at the endpoint in backup-s3; it is tried again",
            Self::Io { .. } => "look into the platform's own log",
        }
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        let what = what.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(what),
            _ => Self::Io { what, source },
        }
    }
}

//! Where dumps of databases lie: a directory of this machine, S3-compatible storage.
//!
//! Beside each dump lies a document of JSON that says what it is, so that a list can be made anew without the platform's store, and a
//! person can restore on a bare machine with the tools of the database alone. Knows no databases, and not when a dump is made or goes.

mod directory;
mod document;
mod error;
mod hashing;
mod s3;

use std::fmt;
use std::fs::File;

use async_trait::async_trait;
use model::AppName;
use model::backup::{Backup, BackupId};

pub use directory::Directory;
pub use error::VaultError;
pub use s3::{Bucket, BucketError, Keys, S3};

/// What a vault answers.
pub type Result<T> = std::result::Result<T, VaultError>;

/// What a dump came to: its size in bytes, and its SHA-256 as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

impl Measure {
    /// Reads a file from its beginning to its end.
    pub fn of(file: &mut File) -> std::io::Result<Self> {
        hashing::measure(file)
    }

    /// What a backup says of its dump.
    pub fn told(backup: &Backup) -> Self {
        Self { bytes: backup.bytes, sha256: backup.sha256.clone() }
    }
}

/// A place for dumps. A dump is there as a whole, or not at all.
#[async_trait]
pub trait Vault: Send + Sync + fmt::Debug {
    /// The word by which the store remembers where a backup lies: `directory`, `s3`.
    fn word(&self) -> &'static str;

    /// Where that is, for people.
    fn place(&self) -> String;

    /// Whether it can be used: the storage is there, and lets us in.
    async fn check(&self) -> Result<()>;

    /// Keeps a dump and its document. Both are durable when this returns; what `dump` holds must be what `backup` says of it.
    async fn put(&self, backup: &Backup, dump: &File) -> Result<()>;

    /// Writes a backup's document anew.
    async fn describe(&self, backup: &Backup) -> Result<()>;

    /// The dump, open for reading at its beginning. Its size and its SHA-256 have been compared with what `backup` says.
    async fn get(&self, backup: &Backup) -> Result<File>;

    /// Which backups have a document.
    async fn list(&self) -> Result<Vec<(AppName, BackupId)>>;

    /// A backup's document.
    async fn read(&self, app: &AppName, id: &BackupId) -> Result<Backup>;

    /// Removes a dump and its document. Fine where they are gone.
    async fn remove(&self, app: &AppName, id: &BackupId) -> Result<()>;

    /// Removes what a killed platform has left half.
    async fn sweep(&self) -> Result<()>;
}

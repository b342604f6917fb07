//! The places where backups of databases lie, prepared while the process is still root.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use nix::unistd::User;
use vault::{Bucket, Directory, Keys, S3, Vault};

use super::directory;
use crate::config::ServeConfig;

/// The variables that may hold the key to the storage, in the place of a file.
const KEY_ID: &str = "ADAPTABLE_BACKUP_S3_KEY_ID";
const SECRET: &str = "ADAPTABLE_BACKUP_S3_SECRET";

/// Where backups are to lie.
#[derive(Debug)]
pub(super) struct Places {
    directory: PathBuf,
    storage: Option<(Bucket, Keys)>,
    /// Where the storage's vault keeps its notes.
    notes: PathBuf,
}

/// Makes the directory and reads the key, which only root may be able to.
pub(super) fn prepare(config: &ServeConfig, user: &User) -> anyhow::Result<Places> {
    let notes = config.data_dir.join("dumps").join("s3");
    directory::make(&config.backup_dir, 0o700, user)?;
    let storage = match &config.backup_s3 {
        None => None,
        Some(address) => {
            let bucket = Bucket::parse(address).context("read backup-s3")?;
            Some((bucket, keys(&config.backup_s3_key)?))
        }
    };
    Ok(Places { directory: config.backup_dir.clone(), storage, notes })
}

fn keys(file: &Path) -> anyhow::Result<Keys> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    match (set(KEY_ID), set(SECRET)) {
        (Some(id), Some(secret)) => return Ok(Keys::new(id, secret.into())),
        (None, None) => {}
        _ => anyhow::bail!("{KEY_ID} and {SECRET} belong together: set both, or neither"),
    }
    let what = || {
        format!(
            "read the key to backup-s3 in {} (two lines: its id and its secret; or set {KEY_ID} and {SECRET})",
            file.display()
        )
    };
    let others = std::fs::metadata(file).with_context(what)?.permissions().mode() & 0o077;
    anyhow::ensure!(others == 0, "others than its owner may read the key in {path}: chmod 600 {path}", path = file.display());
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(file).with_context(what)?);
    Keys::read(&text).with_context(|| format!("{} must have two lines: the key's id and its secret", file.display()))
}

impl Places {
    /// The places, the nearest first.
    pub(super) fn open(self) -> anyhow::Result<Vec<Arc<dyn Vault>>> {
        let mut vaults: Vec<Arc<dyn Vault>> = vec![Arc::new(Directory::open(&self.directory).context("open backup-dir")?)];
        if let Some((bucket, keys)) = self.storage {
            vaults.push(Arc::new(S3::new(bucket, &keys, &self.notes).context("open backup-s3")?));
        }
        Ok(vaults)
    }
}

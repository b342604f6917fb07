//! The places where backups lie, as one: a dump goes to all of them, and comes from the first that has it whole.

use std::fs::File;
use std::sync::Arc;

use model::AppName;
use model::backup::{Backup, BackupId};
use store::BackupRow;
use vault::{Vault, VaultError};

/// Every place for backups; the first is the nearest.
#[derive(Debug)]
pub(crate) struct Places {
    vaults: Vec<Arc<dyn Vault>>,
}

impl Places {
    pub(crate) fn new(vaults: Vec<Arc<dyn Vault>>) -> Self {
        Self { vaults }
    }

    pub(crate) fn all(&self) -> &[Arc<dyn Vault>] {
        &self.vaults
    }

    /// Those that a backup was not brought to yet.
    pub(crate) fn missing<'a>(&'a self, row: &'a BackupRow) -> impl Iterator<Item = &'a Arc<dyn Vault>> {
        self.vaults.iter().filter(|vault| !lies_in(row, vault))
    }

    /// Keeps a dump: one place must take it, the others are tried again later. Says which did, and what the others said.
    pub(crate) async fn put(&self, backup: &Backup, dump: &File) -> Result<(Vec<String>, Vec<VaultError>), VaultError> {
        let (mut places, mut failures) = (Vec::new(), Vec::new());
        for vault in &self.vaults {
            match vault.put(backup, dump).await {
                Ok(()) => places.push(vault.word().to_owned()),
                Err(error) => failures.push(error),
            }
        }
        if places.is_empty() {
            return Err(failures.into_iter().next().unwrap_or_else(|| VaultError::Missing("place for backups".to_owned())));
        }
        Ok((places, failures))
    }

    /// The dump, from the first place that has it whole; what is wrong with it elsewhere is said in the platform's log.
    pub(crate) async fn get(&self, row: &BackupRow) -> Result<File, VaultError> {
        let mut worst = None;
        for vault in self.vaults.iter().filter(|vault| lies_in(row, vault)) {
            match vault.get(&row.backup).await {
                Ok(file) => return Ok(file),
                Err(error) => {
                    tracing::warn!(backup = %row.backup.id, place = vault.place(), %error, "a backup can't be read");
                    // A place that does not answer may still have it whole: that is no damage.
                    let unclear = |error: &VaultError| !matches!(error, VaultError::Damaged(_) | VaultError::Missing(_));
                    if worst.as_ref().is_none_or(|known| !unclear(known) && unclear(&error)) {
                        worst = Some(error);
                    }
                }
            }
        }
        Err(worst.unwrap_or_else(|| VaultError::Missing(format!("place that has backup {}", row.backup.id))))
    }

    /// Writes anew what is said beside the dump. What fails is only told: the store knows it.
    pub(crate) async fn describe(&self, row: &BackupRow) {
        for vault in self.vaults.iter().filter(|vault| lies_in(row, vault)) {
            if let Err(error) = vault.describe(&row.backup).await {
                tracing::warn!(backup = %row.backup.id, place = vault.place(), %error, "a backup's document is not up to date");
            }
        }
    }

    /// Removes a backup from everywhere.
    pub(crate) async fn remove(&self, app: &AppName, id: &BackupId) -> Result<(), VaultError> {
        for vault in &self.vaults {
            vault.remove(app, id).await?;
        }
        Ok(())
    }
}

fn lies_in(row: &BackupRow, vault: &Arc<dyn Vault>) -> bool {
    row.places.iter().any(|place| place == vault.word())
}

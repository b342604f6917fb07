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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use model::DatabaseType;
    use model::backup::{BackupKind, BackupState};
    use vault::{Bucket, Directory, Keys, Measure, S3};

    use super::*;

    #[tokio::test]
    async fn a_place_that_does_not_answer_costs_no_backup_and_is_no_damage() {
        let root = tempfile::tempdir().expect("a directory");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
        let bucket = Bucket::parse(&format!("s3://bucket/?endpoint=http://{free}")).expect("an address");
        let nobody = S3::new(bucket, &Keys::new("id", String::new().into()), &root.path().join("notes")).expect("a vault");
        let directory = Directory::open(&root.path().join("backups")).expect("a directory");
        let places = Places::new(vec![Arc::new(directory), Arc::new(nobody)]);
        let mut dump = tempfile::tempfile().expect("a file");
        dump.write_all(b"a dump").expect("written");
        let measure = Measure::of(&mut dump).expect("read");
        let backup = Backup {
            id: BackupId::new(0, 1),
            app: AppName::parse("shop").expect("a name"),
            database: DatabaseType::Postgres,
            kind: BackupKind::Daily,
            state: BackupState::Made,
            made_at: 0,
            bytes: measure.bytes,
            sha256: measure.sha256,
            found: None,
            verified_at: None,
            problem: None,
            gone_at: None,
        };
        let (kept, failures) = places.put(&backup, &dump).await.expect("one place takes it");
        assert_eq!((kept.as_slice(), failures.len()), (&["directory".to_owned()][..], 1));
        let mut row = BackupRow { backup, places: kept };
        assert_eq!(places.missing(&row).map(|vault| vault.word()).collect::<Vec<_>>(), ["s3"]);
        places.get(&row).await.expect("it is there");
        let path = root.path().join(format!("backups/shop/{}.dump", row.backup.id));
        std::fs::write(&path, b"a dumb").expect("written");
        assert!(matches!(places.get(&row).await, Err(VaultError::Damaged(_))));
        // The other place may have it whole.
        row.places.push("s3".to_owned());
        assert!(matches!(places.get(&row).await, Err(VaultError::Unreachable { .. })));
    }
}

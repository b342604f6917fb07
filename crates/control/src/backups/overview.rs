//! Where the platform stands with the backups of all apps.

use std::collections::BTreeMap;

use api::{AppBackups, BackupOverview, BackupPlace, GoneBackups};
use model::AppName;
use model::backup::BackupState;

use super::report::document;
use crate::Control;
use crate::error::Result;

impl Control {
    /// The newest backups of all apps, what is wrong with them, and the places where they lie.
    pub async fn backup_overview(&self) -> Result<BackupOverview> {
        let mut places = Vec::new();
        for vault in self.inner.backups.places.all() {
            let problem = vault.check().await.err().map(|error| error.to_string()).unwrap_or_default();
            places.push(BackupPlace { place: vault.place(), problem });
        }
        let mut rows = self.read(|tx| tx.all_backups()).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.backup.made_at));
        let mut entries = self.inner.registry.all();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let mut apps = Vec::new();
        for entry in entries {
            let Some(beside) = entry.specs.database() else { continue };
            let own: Vec<_> = rows.iter().filter(|row| row.backup.app == entry.name && row.backup.gone_at.is_none()).collect();
            apps.push(AppBackups {
                app: entry.name.clone(),
                database: beside.kind.kind(),
                newest: own.iter().find(|row| row.backup.state == BackupState::Verified).map(|row| document(row)),
                last: own.first().map(|row| document(row)),
                count: own.len(),
                bytes: own.iter().map(|row| row.backup.bytes).sum(),
                warnings: self.backup_warnings(&entry).await?,
            });
        }
        let mut gone: BTreeMap<AppName, (usize, u64)> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.backup.gone_at.is_some()) {
            let (count, bytes) = gone.entry(row.backup.app.clone()).or_default();
            *count += 1;
            *bytes += row.backup.bytes;
        }
        let gone = gone.into_iter().map(|(app, (count, bytes))| GoneBackups { app, count, bytes }).collect();
        Ok(BackupOverview { places, apps, gone })
    }
}

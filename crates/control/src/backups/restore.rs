//! A backup in the place of what a database holds, and the last backup of an app that is deleted.

use api::{ErrorBody, ErrorCode};
use model::AppName;
use model::backup::{BackupId, BackupKind, BackupState};
use store::BackupRow;

use super::{SPEAKER, damaged, not_kept, other_kind, report};
use crate::databases::{failed, none};
use crate::error::Result;
use crate::registry::Entry;
use crate::runtime::Command;
use crate::split::ask_all;
use crate::{Control, clock};

impl Control {
    /// Puts a backup in the place of what an app's database holds, of which another backup is made first. Visitors wait with 503
    /// meanwhile: what they write would be lost. `gone` says whether it may be a backup of a deleted app of that name.
    pub async fn restore_backup(&self, name: &AppName, id: &BackupId, gone: bool) -> Result<api::RestoreDocument> {
        let entry = self.entry(name)?;
        let row = self.backup_row(name, id, gone).await?;
        if let (BackupState::Damaged, Some(problem)) = (row.backup.state, &row.backup.problem) {
            return Err(damaged(&row, problem));
        }
        let beside = entry.specs.database().ok_or_else(|| none(name))?;
        if beside.kind.kind() != row.backup.database {
            return Err(other_kind(&row, &beside));
        }
        let control = self.clone();
        let (row, aside) = self
            .to_the_end(async move {
                let _turn = control.inner.backups.turn(&entry.name)?;
                // A release that migrates the database must not run in the middle.
                let _deployments = entry.queue.turn().await;
                let row = match row.backup.state {
                    BackupState::Verified => row,
                    _ => control.verify_row(&entry, row).await?,
                };
                let restored = control.with_nobody_inside(&entry, control.replace(&entry, &row)).await?;
                Ok((row, restored))
            })
            .await?;
        Ok(report::restored(&row, &aside))
    }

    async fn replace(&self, entry: &Entry, row: &BackupRow) -> Result<BackupRow> {
        let beside = entry.specs.database().ok_or_else(|| none(&entry.name))?;
        let _awake = beside.kind.awake(&beside.database).await.map_err(|error| failed(&error))?;
        let aside = self.set_aside(entry).await?;
        let dump = self.inner.backups.places.get(row).await.map_err(|error| not_kept(&error))?;
        beside.kind.restore(&beside.database, dump).await.map_err(|error| failed(&error))?;
        let (id, kept) = (&row.backup.id, &aside.backup.id);
        entry.log.say(SPEAKER, &format!("backup {id} is restored; what was there before is backup {kept}"));
        Ok(aside)
    }

    /// Makes the backup of what a restore is about to replace.
    pub(super) async fn set_aside(&self, entry: &Entry) -> Result<BackupRow> {
        self.make_backup(entry, BackupKind::BeforeRestore).await.map_err(|error| {
            let message = format!("nothing was restored, since what is there could not be set aside: {}", error.message);
            ErrorBody::new(error.code, message).help(error.help)
        })
    }

    /// Does something while no visitor can write to the database.
    pub(super) async fn with_nobody_inside<T>(&self, entry: &Entry, work: impl Future<Output = Result<T>>) -> Result<T> {
        ask_all(entry, |reply| Command::SetPaused(true, reply)).await;
        let done = work.await;
        self.let_in(entry).await?;
        done
    }

    /// Lets visitors in again, unless the app is paused.
    pub(crate) async fn let_in(&self, entry: &Entry) -> Result<()> {
        let name = entry.name.clone();
        let paused = self.read(move |tx| Ok(tx.app(&name)?.is_some_and(|app| app.paused))).await?;
        ask_all(entry, |reply| Command::SetPaused(paused, reply)).await;
        Ok(())
    }

    /// Makes the last backup of an app that is about to be deleted. Where it can't be made, the app stays as it was.
    pub(crate) async fn final_backup(&self, entry: &Entry) -> Result<()> {
        if entry.specs.database().is_none() {
            return Ok(());
        }
        let _turn = self.inner.backups.turn(&entry.name)?;
        // Nothing is written any more that would not be in it.
        ask_all(entry, |reply| Command::SetPaused(true, reply)).await;
        let Err(error) = self.make_backup(entry, BackupKind::Final).await else { return Ok(()) };
        self.let_in(entry).await?;
        let name = &entry.name;
        Err(ErrorBody::new(
            ErrorCode::BackupFailed,
            format!("{name} was not deleted, since the last backup of its database failed: {}", error.message),
        )
        .help(format!("mend that, or lose its data: adaptable delete {name} --yes --without-backup")))
    }

    /// What lies beside the backups of an app says from now on that it is gone.
    pub(crate) async fn tell_backups_of_end(&self, name: &AppName) {
        let app = name.clone();
        match self.read(move |tx| tx.backups(&app)).await {
            Ok(rows) => {
                for row in rows {
                    self.inner.backups.places.describe(&row).await;
                }
            }
            Err(error) => tracing::warn!(app = %name, "a deleted app's backups: {}", error.message),
        }
    }

    /// When an app's newest verified backup was made; of one that has a database and no backup yet, when that was made.
    pub(crate) async fn backed_up(&self, entry: &Entry) -> Result<Option<report::Newest>> {
        let Some(database) = self.database_row(entry).await?.filter(|_| entry.specs.database().is_some()) else {
            return Ok(None);
        };
        let name = entry.name.clone();
        let rows = self.read(move |tx| tx.backups(&name)).await?;
        let newest = rows.iter().find(|row| report::counts(row));
        let last = rows.first().filter(|row| row.backup.gone_at.is_none());
        Ok(Some(report::Newest {
            bytes: newest.map(|row| row.backup.bytes),
            problem: last.and_then(|row| row.backup.problem.clone()),
            age: (clock::now() - newest.map_or(database.created_at, |row| row.backup.made_at)).max(0),
        }))
    }
}

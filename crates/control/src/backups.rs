//! Backups of apps' databases: made, verified by a restore into a scratch database, restored, listed.

mod moment;
mod night;
mod overview;
mod places;
mod report;
mod restore;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use api::{ErrorBody, ErrorCode};
use database::DatabaseError;
use model::AppName;
use model::backup::{Backup, BackupId, BackupKind, BackupState, Contents};
use store::BackupRow;
use tokio::sync::{Notify, Semaphore};
use vault::{Measure, Vault, VaultError};

use self::places::Places;
use self::report::Counts;
use crate::databases::{Beside, failed, none};
use crate::error::{Result, internal};
use crate::registry::Entry;
use crate::{Control, clock};

/// Backups that are made at the same time on one platform: each reads a whole database, and writes it twice.
const AT_ONCE: usize = 2;
/// Lines about backups are of no instance.
const SPEAKER: &str = "";

/// What a platform remembers of its backups, beside the store.
#[derive(Debug)]
pub(crate) struct Backups {
    places: Places,
    /// Where dumps are written before they are brought to their places; files there have no names.
    scratch: PathBuf,
    slots: Semaphore,
    /// Apps whose database is being backed up or restored.
    busy: std::sync::Mutex<HashSet<AppName>>,
    /// When a failed nightly backup is tried again.
    retries: std::sync::Mutex<HashMap<AppName, i64>>,
    /// Wakes the task that makes the nightly ones.
    changed: Notify,
    counts: Counts,
}

impl Backups {
    pub(crate) fn new(vaults: Vec<Arc<dyn Vault>>, scratch: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&scratch)?;
        Ok(Self {
            places: Places::new(vaults),
            scratch,
            slots: Semaphore::new(AT_ONCE),
            busy: std::sync::Mutex::default(),
            retries: std::sync::Mutex::default(),
            changed: Notify::new(),
            counts: Counts::default(),
        })
    }

    /// A file without a name for a dump: one end to read it, one to write it.
    fn scratch(&self) -> Result<(File, File)> {
        let file = tempfile::tempfile_in(&self.scratch).and_then(|file| file.try_clone().map(|own| (file, own)));
        file.map_err(|error| internal("write a dump", &error))
    }

    /// Makes an app's database the caller's, until the turn is dropped.
    fn turn(&self, app: &AppName) -> Result<Turn<'_>> {
        let new = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone());
        if new {
            return Ok(Turn { backups: self, app: app.clone() });
        }
        Err(ErrorBody::new(ErrorCode::Conflict, format!("the database of {app} is being backed up or restored already"))
            .help("wait until that has ended"))
    }
}

/// Nobody else backs up or restores the app's database meanwhile.
struct Turn<'a> {
    backups: &'a Backups,
    app: AppName,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.backups.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.app);
    }
}

/// What a place's failure is for a client.
fn not_kept(error: &VaultError) -> ErrorBody {
    ErrorBody::new(ErrorCode::BackupFailed, error.to_string()).help(error.help())
}

impl Control {
    /// Makes a backup of an app's database now, and verifies it.
    pub async fn backup_database(&self, name: &AppName) -> Result<api::BackupDocument> {
        let entry = self.entry(name)?;
        let control = self.clone();
        let row = self
            .to_the_end(async move {
                let _turn = control.inner.backups.turn(&entry.name)?;
                control.make_backup(&entry, BackupKind::OnDemand).await
            })
            .await?;
        Ok(report::document(&row))
    }

    /// Restores a backup into a scratch database once more.
    ///
    /// `gone` says whether it may be one of an app of that name that was deleted.
    pub async fn verify_backup(&self, name: &AppName, id: &BackupId, gone: bool) -> Result<api::BackupDocument> {
        let entry = self.entry(name)?;
        let row = self.backup_row(name, id, gone).await?;
        let control = self.clone();
        let row = self
            .to_the_end(async move {
                let _turn = control.inner.backups.turn(&entry.name)?;
                control.verify_row(&entry, row).await
            })
            .await?;
        Ok(report::document(&row))
    }

    /// The backups of an app's database, the newest first; with `gone` those of deleted apps of that name, too.
    pub async fn backups(&self, name: &AppName, gone: bool) -> Result<Vec<api::BackupDocument>> {
        let app = name.clone();
        let mut rows = self.read(move |tx| tx.backups(&app)).await?;
        rows.retain(|row| gone || row.backup.gone_at.is_none());
        if rows.is_empty() {
            // An error where there is no such app, and never was.
            self.entry(name)?;
        }
        Ok(rows.iter().map(report::document).collect())
    }

    async fn backup_row(&self, name: &AppName, id: &BackupId, gone: bool) -> Result<BackupRow> {
        let wanted = id.clone();
        let row = self.read(move |tx| tx.backup(&wanted)).await?;
        let row = row.filter(|row| row.backup.app == *name && (gone || row.backup.gone_at.is_none()));
        row.ok_or_else(|| {
            ErrorBody::new(ErrorCode::BackupNotFound, format!("{name} has no backup {id}, or it is no longer kept"))
                .help(format!("`adaptable db {name} backups` lists them"))
        })
    }

    /// Goes on when the client is gone; a hand-over waits for it, and an end of the platform too.
    async fn to_the_end<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let change = self.begin_change()?;
        let running = self.inner.tasks.spawn(async move {
            let _counted = change;
            work.await
        });
        running.await.map_err(|error| internal("finish what it was asked for", &error))?
    }

    /// Makes a backup, verifies it, and says in the app's log what came of it. It counts only where this is no error.
    async fn make_backup(&self, entry: &Entry, kind: BackupKind) -> Result<BackupRow> {
        let backups = &self.inner.backups;
        let began = Instant::now();
        let made = tokio::select! {
            made = self.try_backup(entry, kind) => made,
            () = self.inner.stopping.cancelled() => {
                Err(ErrorBody::new(ErrorCode::Unavailable, "the platform ends").help("ask for the backup when it runs again"))
            }
        };
        backups.counts.ended(began.elapsed(), &made);
        backups.changed.notify_one();
        match &made {
            Ok(row) => {
                let found = row.backup.found.unwrap_or_default();
                entry.log.say(
                    SPEAKER,
                    &format!(
                        "backup {} is made and verified: {} bytes, {} tables, {} rows",
                        row.backup.id, row.backup.bytes, found.tables, found.rows
                    ),
                );
            }
            Err(error) => entry.log.say(SPEAKER, &format!("no backup: {}", error.message)),
        }
        made
    }

    async fn try_backup(&self, entry: &Entry, kind: BackupKind) -> Result<BackupRow> {
        let backups = &self.inner.backups;
        let _slot = backups.slots.acquire().await.map_err(|error| internal("begin a backup", &error))?;
        let beside = entry.specs.database().ok_or_else(|| none(&entry.name))?;
        // One start of its server for the dump and its verification.
        let _awake = beside.kind.awake(&beside.database).await.map_err(|error| failed(&error))?;
        self.room_for(entry, &beside).await?;
        let made_at = clock::now();
        let (scratch, own) = backups.scratch()?;
        beside.kind.backup(&beside.database, own).await.map_err(|error| failed(&error))?;
        let (dump, measure) = measure(scratch).await?;
        let backup = Backup {
            id: BackupId::new(made_at, rand::random()),
            app: entry.name.clone(),
            database: beside.kind.kind(),
            kind,
            state: BackupState::Made,
            made_at,
            bytes: measure.bytes,
            sha256: measure.sha256,
            found: None,
            verified_at: None,
            problem: None,
            gone_at: None,
        };
        let (places, failures) = backups.places.put(&backup, &dump).await.map_err(|error| not_kept(&error))?;
        for failure in failures {
            entry.log.say(SPEAKER, &format!("backup {} is not everywhere yet: {failure}", backup.id));
        }
        drop(dump);
        let row = BackupRow { backup, places };
        let kept = row.clone();
        self.write(move |tx| tx.keep_backup(&kept)).await?;
        self.verify_row(entry, row).await
    }

    /// Refuses where the dump, its copy and the scratch database would fill the disk.
    async fn room_for(&self, entry: &Entry, beside: &Beside) -> Result<()> {
        let usage = beside.kind.usage(&beside.database).await.map_err(|error| failed(&error))?;
        let name = entry.name.clone();
        let rows = self.read(move |tx| tx.backups(&name)).await?;
        // A dump is packed; how well, the one before tells.
        let dump = rows.first().map_or(usage.bytes / 2, |row| row.backup.bytes + row.backup.bytes / 4);
        let needed = usage.bytes + 2 * dump;
        let free = build::disk::free(&self.inner.config.data_dir).map_err(|error| internal("look at its disk", &error))?;
        if free < needed.saturating_add(self.inner.config.disk_reserve) {
            return Err(ErrorBody::new(
                ErrorCode::BackupFailed,
                format!("the disk has {} MB free, and a backup that is verified may need {} MB", free >> 20, needed >> 20),
            )
            .help("free some space; below a reserve of 1 GB nothing is written"));
        }
        Ok(())
    }

    /// Reads a backup back from where it lies and restores it into a scratch database. What is found is recorded; a damaged one is
    /// an error. Where it could not be tried, nothing is recorded.
    async fn verify_row(&self, entry: &Entry, mut row: BackupRow) -> Result<BackupRow> {
        let beside = entry.specs.database().ok_or_else(|| none(&entry.name))?;
        if beside.kind.kind() != row.backup.database {
            return Err(other_kind(&row, &beside));
        }
        let verdict = match self.inner.backups.places.get(&row).await {
            Ok(dump) => match beside.kind.verify(&beside.database, dump).await {
                Ok(found) => Ok(Contents { tables: found.tables, rows: found.rows }),
                Err(DatabaseError::Damaged(why)) => Err(why),
                Err(error) => return Err(failed(&error)),
            },
            Err(VaultError::Damaged(why)) => Err(why),
            Err(error @ VaultError::Missing(_)) => Err(error.to_string()),
            Err(error) => return Err(not_kept(&error)),
        };
        let backup = &mut row.backup;
        backup.verified_at = Some(clock::now());
        (backup.state, backup.found, backup.problem) = match &verdict {
            Ok(found) => (BackupState::Verified, Some(*found), None),
            Err(why) => (BackupState::Damaged, None, Some(why.clone())),
        };
        let kept = row.clone();
        self.write(move |tx| tx.keep_backup(&kept)).await?;
        self.inner.backups.places.describe(&row).await;
        match verdict {
            Ok(_) => Ok(row),
            Err(why) => Err(damaged(&row, &why)),
        }
    }
}

fn damaged(row: &BackupRow, why: &str) -> ErrorBody {
    let (app, id) = (&row.backup.app, &row.backup.id);
    ErrorBody::new(ErrorCode::BackupFailed, format!("backup {id} of {app} is damaged: {why}"))
        .help(format!("`adaptable db {app} backup` makes another; `adaptable db {app} backups` lists those that are good"))
}

fn other_kind(row: &BackupRow, beside: &Beside) -> ErrorBody {
    let (have, want) = (row.backup.database.as_str(), beside.kind.kind().as_str());
    ErrorBody::new(
        ErrorCode::Conflict,
        format!("backup {} is of a {have} database, and {} has a {want} one", row.backup.id, row.backup.app),
    )
    .help("restore it into an app that has a database of its kind")
}

/// What a dump has come to, read from its beginning.
async fn measure(mut dump: File) -> Result<(File, Measure)> {
    let read = tokio::task::spawn_blocking(move || Measure::of(&mut dump).map(|measure| (dump, measure))).await;
    read.map_err(std::io::Error::other).and_then(|read| read).map_err(|error| internal("read a dump", &error))
}

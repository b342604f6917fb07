//! What happens to backups by itself: the nightly ones, the rule that removes, copies that were late, what another platform has left.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use model::AppName;
use model::backup::{self, BackupKind, BackupState, Rule};
use store::BackupRow;

use super::{AT_ONCE, SPEAKER, report};
use crate::error::Result;
use crate::registry::Entry;
use crate::{Control, clock};

/// How often it looks at least: a clock that was set must not cost a night.
const LOOK: Duration = Duration::from_mins(5);
/// How long it waits before it looks again at the earliest.
const PAUSE: Duration = Duration::from_secs(2);
/// How long after a failure a nightly backup is tried again, in milliseconds.
const RETRY: i64 = 60 * 60 * 1000;

impl Control {
    /// Looks after backups until the platform stops. What was due while no platform ran is made soon after its start.
    pub(crate) async fn back_up_forever(self) {
        let stopping = self.inner.stopping.clone();
        let work = async {
            self.tidy_backups().await;
            loop {
                self.look_after_backups().await;
                tokio::time::sleep(PAUSE).await;
                tokio::select! {
                    () = self.inner.backups.changed.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = work => {}
        }
    }

    /// What a killed platform has left goes; what lies in a place without being in the store is taken in.
    async fn tidy_backups(&self) {
        for vault in self.inner.backups.places.all() {
            let place = vault.place();
            if let Err(error) = vault.sweep().await {
                tracing::warn!(place, %error, "sweep a place for backups");
            }
            let listed = match vault.list().await {
                Ok(listed) => listed,
                Err(error) => {
                    tracing::warn!(place, %error, "list a place for backups");
                    continue;
                }
            };
            for (app, id) in listed {
                let wanted = id.clone();
                let Ok(known) = self.read(move |tx| tx.backup(&wanted)).await else { return };
                let row = match known {
                    Some(row) if row.places.iter().any(|place| place == vault.word()) => continue,
                    Some(mut row) => {
                        row.places.push(vault.word().to_owned());
                        row
                    }
                    None => match vault.read(&app, &id).await {
                        Ok(backup) => BackupRow { backup, places: vec![vault.word().to_owned()] },
                        Err(error) => {
                            tracing::warn!(place, %error, "read what lies beside a backup");
                            continue;
                        }
                    },
                };
                tracing::info!(app = %app, backup = %id, place, "a backup was taken in");
                if let Err(error) = self.write(move |tx| tx.keep_backup(&row)).await {
                    tracing::warn!(backup = %id, "take in a backup: {}", error.message);
                }
            }
        }
    }

    async fn look_after_backups(&self) {
        let entries = self.inner.registry.all().into_iter().filter(|entry| entry.specs.database().is_some());
        stream::iter(entries)
            .for_each_concurrent(AT_ONCE, |entry| async move {
                // While the platform is handed over, backups are the successor's to make; it waits for those that have begun.
                let Ok(_change) = self.begin_change() else { return };
                if let Err(error) = self.look_after(&entry).await {
                    tracing::warn!(app = %entry.name, "its nightly backup: {}", error.message);
                }
            })
            .await;
        let Ok(_change) = self.begin_change() else { return };
        if let Err(error) = self.apply_rule().await {
            tracing::warn!("remove backups that need not be kept: {}", error.message);
        }
    }

    async fn look_after(&self, entry: &Arc<Entry>) -> Result<()> {
        let now = clock::now();
        let Some(database) = self.database_row(entry).await? else { return Ok(()) };
        let name = entry.name.clone();
        let rows = self.read(move |tx| tx.backups(&name)).await?;
        let retries = &self.inner.backups.retries;
        let waits = retries.lock().unwrap_or_else(PoisonError::into_inner).get(&entry.name).is_some_and(|at| now < *at);
        if waits {
            return Ok(());
        }
        let result = self.catch_up(entry, &rows, database.created_at, now).await;
        let mut retries = retries.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(()) => retries.remove(&entry.name),
            Err(_) => retries.insert(entry.name.clone(), now + RETRY),
        };
        result
    }

    /// Verifies what a killed platform did not, brings copies to where they lack, and makes the night's backup where it is due.
    async fn catch_up(&self, entry: &Arc<Entry>, rows: &[BackupRow], created_at: i64, now: i64) -> Result<()> {
        let there = || rows.iter().filter(|row| row.backup.gone_at.is_none());
        // Someone is at it: then it is looked at again once that has ended.
        let Ok(_turn) = self.inner.backups.turn(&entry.name) else { return Ok(()) };
        let mut failure = None;
        for row in there().filter(|row| row.backup.state == BackupState::Made) {
            match self.verify_row(entry, row.clone()).await {
                Ok(_) => entry.log.say(SPEAKER, &format!("backup {} is verified", row.backup.id)),
                Err(error) => {
                    entry.log.say(SPEAKER, &error.message);
                    failure = Some(error);
                }
            }
        }
        let since = there().filter(|row| report::counts(row)).map(|row| row.backup.made_at).max().unwrap_or(created_at);
        if backup::is_due(&entry.name, since, now) {
            self.make_backup(entry, BackupKind::Daily).await?;
            self.renew_base(entry).await;
        }
        for row in there().filter(|row| report::counts(row)) {
            self.copy_where_missing(entry, row.clone()).await?;
        }
        failure.map_or(Ok(()), Err)
    }

    async fn copy_where_missing(&self, entry: &Entry, mut row: BackupRow) -> Result<()> {
        let places = &self.inner.backups.places;
        let missing: Vec<_> = places.missing(&row).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let dump = places.get(&row).await.map_err(|error| super::not_kept(&error))?;
        for vault in missing {
            if let Err(error) = vault.put(&row.backup, &dump).await {
                entry.log.say(SPEAKER, &format!("backup {} is not everywhere yet: {error}", row.backup.id));
                return Err(super::not_kept(&error));
            }
            row.places.push(vault.word().to_owned());
            let kept = row.clone();
            self.write(move |tx| tx.keep_backup(&kept)).await?;
        }
        Ok(())
    }

    /// Removes what the rule does not keep.
    async fn apply_rule(&self) -> Result<()> {
        let mut by_app: BTreeMap<AppName, Vec<BackupRow>> = BTreeMap::new();
        for row in self.read(|tx| tx.all_backups()).await? {
            by_app.entry(row.backup.app.clone()).or_default().push(row);
        }
        let now = clock::now();
        for (app, rows) in by_app {
            let held: Vec<_> = rows.iter().map(|row| row.backup.held()).collect();
            for id in Rule::default().expired(now, &held) {
                // What is being restored must not go meanwhile.
                let Ok(_turn) = self.inner.backups.turn(&app) else { break };
                if let Err(error) = self.inner.backups.places.remove(&app, &id).await {
                    tracing::warn!(app = %app, backup = %id, %error, "remove a backup that need not be kept");
                    break;
                }
                let gone = id.clone();
                self.write(move |tx| tx.forget_backup(&gone)).await?;
                tracing::info!(app = %app, backup = %id, "a backup that need not be kept is removed");
            }
        }
        Ok(())
    }
}

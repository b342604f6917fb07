//! What is told of backups: documents, warnings, figures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{BackupDocument, Check, ErrorBody, RestoreDocument, VerifiedDocument};
use figures::{Histogram, Kind, Text};
use model::AppName;
use model::backup::BackupState;
use store::BackupRow;

use crate::error::Result;
use crate::registry::Entry;
use crate::{Control, clock};

/// The age in milliseconds of a newest verified backup that is worth a warning: a night and half a day more.
const OLD: i64 = 36 * 60 * 60 * 1000;

/// A backup's document.
pub(super) fn document(row: &BackupRow) -> BackupDocument {
    let backup = &row.backup;
    BackupDocument {
        backup: backup.id.clone(),
        created_at: clock::timestamp(backup.made_at),
        bytes: backup.bytes,
        state: backup.state,
        kind: backup.kind,
        verified: backup.found.map(|found| VerifiedDocument { tables: found.tables, rows: found.rows }),
        problem: backup.problem.clone(),
        places: row.places.clone(),
        app_deleted_at: backup.gone_at.map(clock::timestamp),
    }
}

/// What a restore has done.
pub(super) fn restored(row: &BackupRow, aside: &BackupRow) -> RestoreDocument {
    RestoreDocument { app: row.backup.app.clone(), restored: row.backup.id.clone(), before: aside.backup.id.clone() }
}

/// The newest verified backup of an app.
#[derive(Debug)]
pub(crate) struct Newest {
    /// Its size; `None` where there is none.
    pub(crate) bytes: Option<u64>,
    /// What is wrong with the last one that was made.
    pub(crate) problem: Option<String>,
    /// How long ago it was made, in milliseconds; where there is none, how long ago the database was.
    pub(crate) age: i64,
}

impl Newest {
    /// What people should know.
    fn warning(&self, app: &AppName) -> Option<String> {
        let hours = self.age / 3_600_000;
        match (&self.problem, self.bytes) {
            (Some(problem), _) => Some(format!("the last backup of {app}'s database is damaged: {problem}")),
            (None, None) if self.age > OLD => {
                Some(format!("there is no verified backup of {app}'s database, which is {hours} hours old"))
            }
            (None, Some(_)) if self.age > OLD => {
                Some(format!("the newest verified backup of {app}'s database is {hours} hours old"))
            }
            (None, _) => None,
        }
    }
}

/// From a tenth of a second to an hour.
const BOUNDS: [Duration; 11] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
];

/// Backups since the platform's start.
#[derive(Debug)]
pub(super) struct Counts {
    verified: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    seconds: Histogram<11>,
}

impl Default for Counts {
    fn default() -> Self {
        let seconds = Histogram::new(&BOUNDS);
        Self { verified: AtomicU64::new(0), failed: AtomicU64::new(0), bytes: AtomicU64::new(0), seconds }
    }
}

impl Counts {
    pub(super) fn ended(&self, took: Duration, made: &std::result::Result<BackupRow, ErrorBody>) {
        match made {
            Ok(row) => {
                self.verified.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(row.backup.bytes, Ordering::Relaxed);
            }
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.seconds.observe(took);
    }
}

impl Control {
    /// What people should know of an app's backups; empty where all is well.
    pub(crate) async fn backup_warnings(&self, entry: &Entry) -> Result<Vec<String>> {
        Ok(self.backed_up(entry).await?.and_then(|newest| newest.warning(&entry.name)).into_iter().collect())
    }

    /// What `doctor` finds of backups and of the places where they lie.
    pub(crate) async fn backup_checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let (mut databases, mut warned) = (0, false);
        for entry in self.inner.registry.all() {
            databases += usize::from(entry.specs.database().is_some());
            let warnings = match self.backup_warnings(&entry).await {
                Ok(warnings) => warnings,
                Err(error) => vec![error.message],
            };
            for warning in warnings {
                warned = true;
                let help =
                    format!("`adaptable logs {name}` says why; `adaptable db {name} backup` makes one now", name = entry.name);
                checks.push(Check::warn("backups", warning, help));
            }
        }
        if databases > 0 && !warned {
            checks.push(Check::ok("backups", format!("of {databases} databases, the newest of each is young and verified")));
        }
        for vault in self.inner.backups.places.all() {
            let name = "place for backups";
            checks.push(match vault.check().await {
                Ok(()) => Check::ok(name, format!("{} can be used", vault.place())),
                Err(error) => Check::warn(name, error.to_string(), error.help()),
            });
        }
        checks
    }

    /// The figures of backups.
    pub(crate) async fn backup_figures(&self, text: &mut Text, entries: &[std::sync::Arc<Entry>]) {
        let mut newest = Vec::new();
        for entry in entries.iter().filter(|entry| entry.specs.database().is_some()) {
            if let Ok(Some(found)) = self.backed_up(entry).await {
                newest.push((entry.name.as_str(), found));
            }
        }
        text.family(
            "adaptable_app_backup_age_seconds",
            Kind::Gauge,
            "Age of the newest verified backup of the app's database; where there is none, of the database.",
        );
        for (app, found) in &newest {
            text.sample(&[("app", app)], found.age / 1000);
        }
        text.family("adaptable_app_backup_bytes", Kind::Gauge, "Size of the newest verified backup of the app's database.");
        for (app, found) in &newest {
            if let Some(bytes) = found.bytes {
                text.sample(&[("app", app)], bytes);
            }
        }
    }

    /// Those of the platform as a whole.
    pub(crate) fn backup_totals(&self, text: &mut Text) {
        let counts = &self.inner.backups.counts;
        text.family(
            "adaptable_backups_total",
            Kind::Counter,
            "Backups that have ended, by how: verified, or failed (damaged ones among them).",
        );
        for (result, counter) in [("verified", &counts.verified), ("failed", &counts.failed)] {
            text.sample(&[("result", result)], counter.load(Ordering::Relaxed));
        }
        text.family("adaptable_backup_bytes_total", Kind::Counter, "Bytes of the dumps that were verified.")
            .sample(&[], counts.bytes.load(Ordering::Relaxed));
        text.family("adaptable_backup_seconds", Kind::Histogram, "Time from a backup's begin to the end of its verification.")
            .histogram(&[], &counts.seconds.snapshot());
    }
}

/// Whether a row counts as a backup of an app that is there.
pub(super) fn counts(row: &BackupRow) -> bool {
    row.backup.state == BackupState::Verified && row.backup.gone_at.is_none()
}

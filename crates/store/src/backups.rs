//! Backups of databases: which there are, how far they are, and where they lie.

use model::backup::{Backup, BackupId, BackupKind, BackupState, Contents};
use model::{AppName, DatabaseType};
use rusqlite::{OptionalExtension, Row, params};

use crate::{StoreError, Tx, word};

/// A backup, and the places where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRow {
    /// The backup.
    pub backup: Backup,
    /// The words of the places.
    pub places: Vec<String>,
}

const COLUMNS: &str =
    "id, app, kind, database, state, made_at, bytes, sha256, tables, rows, verified_at, problem, gone_at, places";

impl Tx<'_> {
    /// Records a backup, or writes anew what is known of it.
    pub fn keep_backup(&self, row: &BackupRow) -> Result<(), StoreError> {
        let BackupRow { backup, places } = row;
        self.db.execute(
            &format!("insert or replace into backup ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            params![
                backup.id.as_str(),
                backup.app.as_str(),
                backup.kind.as_str(),
                backup.database.as_str(),
                backup.state.as_str(),
                backup.made_at,
                number(backup.bytes),
                backup.sha256,
                backup.found.map(|found| number(found.tables)),
                backup.found.map(|found| number(found.rows)),
                backup.verified_at,
                backup.problem,
                backup.gone_at,
                places.join(" "),
            ],
        )?;
        Ok(())
    }

    /// The backup with that id.
    pub fn backup(&self, id: &BackupId) -> Result<Option<BackupRow>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {COLUMNS} from backup where id = ?"))?;
        let raw = statement.query_row([id.as_str()], Raw::read).optional()?;
        raw.map(Raw::open).transpose()
    }

    /// The backups of an app, and of those of the same name that were before it; the newest first.
    pub fn backups(&self, app: &AppName) -> Result<Vec<BackupRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("select {COLUMNS} from backup where app = ? order by made_at desc, id desc"))?;
        let raws = statement.query_map([app.as_str()], Raw::read)?.collect::<Result<Vec<_>, _>>()?;
        raws.into_iter().map(Raw::open).collect()
    }

    /// Every backup, by app, the newest first.
    pub fn all_backups(&self) -> Result<Vec<BackupRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("select {COLUMNS} from backup order by app, made_at desc, id desc"))?;
        let raws = statement.query_map([], Raw::read)?.collect::<Result<Vec<_>, _>>()?;
        raws.into_iter().map(Raw::open).collect()
    }

    /// Notes that an app of that name was deleted: its backups are those of an app that is gone.
    pub fn mark_backups_gone(&self, app: &AppName, now: i64) -> Result<(), StoreError> {
        self.db.execute("update backup set gone_at = ? where app = ? and gone_at is null", params![now, app.as_str()])?;
        Ok(())
    }

    /// Forgets a backup.
    pub fn forget_backup(&self, id: &BackupId) -> Result<(), StoreError> {
        self.db.execute("delete from backup where id = ?", [id.as_str()])?;
        Ok(())
    }
}

/// No dump has more bytes, and no table more rows, than SQLite can count.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

struct Raw {
    words: [String; 5],
    made_at: i64,
    bytes: u64,
    sha256: String,
    found: Option<Contents>,
    verified_at: Option<i64>,
    problem: Option<String>,
    gone_at: Option<i64>,
    places: String,
}

impl Raw {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (tables, rows): (Option<i64>, Option<i64>) = (row.get(8)?, row.get(9)?);
        Ok(Self {
            words: [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?],
            made_at: row.get(5)?,
            bytes: count(row.get(6)?),
            sha256: row.get(7)?,
            found: tables.zip(rows).map(|(tables, rows)| Contents { tables: count(tables), rows: count(rows) }),
            verified_at: row.get(10)?,
            problem: row.get(11)?,
            gone_at: row.get(12)?,
            places: row.get(13)?,
        })
    }

    fn open(self) -> Result<BackupRow, StoreError> {
        let [id, app, kind, database, state] = &self.words;
        let backup = Backup {
            id: word("backup.id", id, |text| BackupId::parse(text).ok())?,
            app: word("backup.app", app, |text| AppName::parse(text).ok())?,
            database: word("backup.database", database, DatabaseType::parse)?,
            kind: word("backup.kind", kind, BackupKind::parse)?,
            state: word("backup.state", state, BackupState::parse)?,
            made_at: self.made_at,
            bytes: self.bytes,
            sha256: self.sha256,
            found: self.found,
            verified_at: self.verified_at,
            problem: self.problem,
            gone_at: self.gone_at,
        };
        Ok(BackupRow { backup, places: self.places.split_whitespace().map(str::to_owned).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sealer, Store};

    #[test]
    fn backups_are_kept_changed_and_outlive_their_app() {
        let directory = tempfile::tempdir().expect("a directory");
        let sealer = Sealer::load(&directory.path().join("secret.key"), true).expect("key");
        let store = Store::open(&directory.path().join("adaptable.db"), sealer).expect("store");
        let app = |text: &str| AppName::parse(text).expect("a name");
        let row = |at: i64, name: &str| BackupRow {
            backup: Backup {
                id: BackupId::new(at, 7),
                app: app(name),
                database: DatabaseType::Postgres,
                kind: BackupKind::Daily,
                state: BackupState::Made,
                made_at: at,
                bytes: 5_000_000_000,
                sha256: "ab".repeat(32),
                found: None,
                verified_at: None,
                problem: None,
                gone_at: None,
            },
            places: vec!["directory".to_owned(), "s3".to_owned()],
        };
        let (old, mut new, other) = (row(1000, "shop"), row(2000, "shop"), row(3000, "blog"));
        store
            .write_now(|tx| {
                for row in [&old, &new, &other] {
                    tx.keep_backup(row)?;
                }
                new.backup.state = BackupState::Verified;
                new.backup.found = Some(Contents { tables: 3, rows: 0 });
                new.backup.verified_at = Some(2500);
                tx.keep_backup(&new)?;
                assert_eq!(tx.backups(&app("shop"))?, [new.clone(), old.clone()]);
                assert_eq!(tx.all_backups()?, [other.clone(), new.clone(), old.clone()]);
                tx.mark_backups_gone(&app("shop"), 4000)?;
                tx.mark_backups_gone(&app("shop"), 5000)?;
                let gone = tx.backup(&new.backup.id)?.expect("there");
                assert_eq!(gone.backup.gone_at, Some(4000));
                assert_eq!(tx.backup(&other.backup.id)?.expect("there").backup.gone_at, None);
                tx.forget_backup(&new.backup.id)?;
                assert_eq!(tx.backup(&new.backup.id)?, None);
                Ok(())
            })
            .expect("written");
    }
}

//! The audit log: who changed what, when, and from where.

use model::{AppName, UserId};
use rusqlite::params;

use crate::{StoreError, Tx};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; later changes have higher ones.
    pub id: i64,
    /// When.
    pub at: i64,
    /// Who, in words.
    pub who: String,
    /// The user, where it was one; they may be gone.
    pub user: Option<UserId>,
    /// What, as a word.
    pub what: String,
    /// The app that it was about; it may be gone.
    pub app: Option<String>,
    /// More of it; never a secret.
    pub detail: String,
    /// From where.
    pub address: String,
}

/// A change that is written down.
#[derive(Debug, Clone)]
pub struct NewAudit {
    /// Who, in words.
    pub who: String,
    /// The user, where it is one.
    pub user: Option<UserId>,
    /// What, as a word.
    pub what: &'static str,
    /// The app that it is about.
    pub app: Option<AppName>,
    /// More of it; never a secret.
    pub detail: String,
    /// From where.
    pub address: String,
}

impl Tx<'_> {
    /// Writes a change down.
    pub fn add_audit(&self, new: &NewAudit, now: i64) -> Result<(), StoreError> {
        self.db.execute(
            "insert into audit (at, who, user, what, app, detail, address) values (?, ?, ?, ?, ?, ?, ?)",
            params![
                now,
                new.who,
                new.user.map(|user| user.0),
                new.what,
                new.app.as_ref().map(AppName::as_str),
                new.detail,
                new.address
            ],
        )?;
        Ok(())
    }

    /// Changes before that number (all where none is given) and not before that time, the newest first; of one app where one is named.
    pub fn audit(&self, app: Option<&AppName>, since: i64, before: Option<i64>, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "select id, at, who, user, what, app, detail, address from audit
             where (?1 is null or app = ?1) and (?2 is null or id < ?2) and at >= ?4 order by id desc limit ?3",
        )?;
        let rows = statement.query_map(params![app.map(AppName::as_str), before, most, since], |row| {
            Ok(AuditRow {
                id: row.get(0)?,
                at: row.get(1)?,
                who: row.get(2)?,
                user: row.get::<_, Option<i64>>(3)?.map(UserId),
                what: row.get(4)?,
                app: row.get(5)?,
                detail: row.get(6)?,
                address: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    }

    /// Forgets changes before that time.
    pub fn forget_old_audit(&self, before: i64) -> Result<usize, StoreError> {
        Ok(self.db.execute("delete from audit where at < ?", [before])?)
    }
}

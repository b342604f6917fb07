//! Revisions: written once, read often, deleted only by retention.

use model::{RevisionNumber, RevisionSpec};
use rusqlite::{OptionalExtension, params};

use crate::{AppId, StoreError, Tx};

/// A revision as it was written.
#[derive(Debug, Clone)]
pub struct Revision {
    /// Its number within the app.
    pub number: RevisionNumber,
    /// When it was made.
    pub created_at: i64,
    /// What it runs.
    pub spec: RevisionSpec,
}

fn place(app: AppId, number: u32) -> String {
    format!("revision.spec:{}:{number}", app.0)
}

impl Tx<'_> {
    /// Writes the app's next revision.
    pub fn create_revision(&self, app: AppId, spec: &RevisionSpec, now: i64) -> Result<RevisionNumber, StoreError> {
        // Deployments remember revisions that retention has deleted: a number is never given twice.
        let number: u32 = self.db.query_row(
            "select 1 + max(coalesce((select max(number) from revision where app = ?1), 0),
                            coalesce((select max(revision) from deployment where app = ?1), 0))",
            [app.0],
            |row| row.get(0),
        )?;
        let sealed = self.sealer.seal_json(&place(app, number), spec)?;
        self.db.execute(
            "insert into revision (app, number, created_at, image, commit_id, spec) values (?, ?, ?, ?, ?, ?)",
            params![app.0, number, now, spec.image, spec.commit.as_ref().map(|commit| &commit.id), sealed],
        )?;
        Ok(RevisionNumber(number))
    }

    /// One revision.
    pub fn revision(&self, app: AppId, number: RevisionNumber) -> Result<Option<Revision>, StoreError> {
        let mut statement = self.db.prepare_cached("select created_at, spec from revision where app = ? and number = ?")?;
        let found = statement
            .query_row(params![app.0, number.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional()?;
        found
            .map(|(created_at, sealed)| {
                let spec = self.sealer.open_json("revision", &place(app, number.0), &sealed)?;
                Ok(Revision { number, created_at, spec })
            })
            .transpose()
    }

    /// Every revision of an app, newest first.
    pub fn revisions(&self, app: AppId) -> Result<Vec<Revision>, StoreError> {
        let mut statement =
            self.db.prepare_cached("select number, created_at, spec from revision where app = ? order by number desc")?;
        let rows = statement
            .query_map([app.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(number, created_at, sealed)| {
                let spec = self.sealer.open_json("revision", &place(app, number), &sealed)?;
                Ok(Revision { number: RevisionNumber(number), created_at, spec })
            })
            .collect()
    }

    /// Deletes all but the newest `keep` revisions; those that visitors get always stay. Returns how many went.
    pub fn prune_revisions(&self, app: AppId, keep: u32) -> Result<usize, StoreError> {
        let deleted = self.db.execute(
            "delete from revision where app = ?1
               and number not in (select number from revision where app = ?1 order by number desc limit ?2)
               and number is not (select live from app where id = ?1)
               and number is not (select split_revision from app where id = ?1)",
            params![app.0, keep],
        )?;
        Ok(deleted)
    }
}

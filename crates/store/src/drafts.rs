//! Drafts: apps that somebody is about to make in the browser. The document is control's; here it has an owner and an age.

use rand::RngCore;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{StoreError, Tx};

/// A draft as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow<D> {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// What it holds.
    pub document: D,
    /// Whether it was deployed.
    pub ended: bool,
    /// When it was begun.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// What is written of a draft, beside its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DraftFacts<'a> {
    /// The digest of the source that it needs.
    pub upload: Option<&'a str>,
    /// Whether it was deployed.
    pub ended: bool,
}

fn place(id: &str) -> String {
    format!("draft.document:{id}")
}

impl Tx<'_> {
    /// Begins a draft. Its id can't be guessed. Of an owner's drafts only the newest `most` stay, this one included.
    pub fn create_draft<D: Serialize>(
        &self,
        owner: i64,
        document: &D,
        facts: DraftFacts<'_>,
        most: u32,
        now: i64,
    ) -> Result<String, StoreError> {
        let mut bytes = [0_u8; 16];
        rand::rng().fill_bytes(&mut bytes);
        let id = format!("{:032x}", u128::from_be_bytes(bytes));
        let sealed = self.sealer.seal_json(&place(&id), document)?;
        self.db.execute(
            "insert into draft (id, owner, document, upload, ended, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?)",
            params![id, owner, sealed, facts.upload, facts.ended, now, now],
        )?;
        self.db.execute(
            "delete from draft where owner = ?1 and id not in
             (select id from draft where owner = ?1 order by updated_at desc, rowid desc limit ?2)",
            params![owner, most],
        )?;
        Ok(id)
    }

    /// A draft of that owner; somebody else's is not there.
    pub fn draft<D: DeserializeOwned>(&self, owner: i64, id: &str) -> Result<Option<DraftRow<D>>, StoreError> {
        let raw = self
            .db
            .query_row(
                "select document, ended, created_at, updated_at from draft where id = ? and owner = ?",
                params![id, owner],
                |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .optional()?;
        raw.map(|(sealed, ended, created_at, updated_at)| {
            let document = self.sealer.open_json("draft", &place(id), &sealed)?;
            Ok(DraftRow { id: id.to_owned(), document, ended, created_at, updated_at })
        })
        .transpose()
    }

    /// Every draft of that owner, the one that was changed last first.
    pub fn drafts<D: DeserializeOwned>(&self, owner: i64) -> Result<Vec<DraftRow<D>>, StoreError> {
        let mut statement =
            self.db.prepare_cached("select id from draft where owner = ? order by updated_at desc, rowid desc")?;
        let ids = statement.query_map([owner], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        let rows = ids.into_iter().map(|id| self.draft(owner, &id));
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Replaces what a draft of that owner holds; says whether it is there.
    pub fn set_draft<D: Serialize>(
        &self,
        owner: i64,
        id: &str,
        document: &D,
        facts: DraftFacts<'_>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let sealed = self.sealer.seal_json(&place(id), document)?;
        let changed = self.db.execute(
            "update draft set document = ?, upload = ?, ended = ?, updated_at = ? where id = ? and owner = ?",
            params![sealed, facts.upload, facts.ended, now, id, owner],
        )?;
        Ok(changed > 0)
    }

    /// Forgets a draft of that owner; says whether it was there.
    pub fn delete_draft(&self, owner: i64, id: &str) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from draft where id = ? and owner = ?", params![id, owner])? > 0)
    }

    /// Forgets drafts that nobody has changed since `before`, and deployed ones since `ended_before`; says how many.
    pub fn sweep_drafts(&self, before: i64, ended_before: i64) -> Result<usize, StoreError> {
        Ok(self
            .db
            .execute("delete from draft where updated_at < ? or ended = 1 and updated_at < ?", params![before, ended_before])?)
    }

    /// The digests of sources that drafts changed since `since` need, those that were deployed left out.
    pub fn draft_uploads(&self, since: i64) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("select distinct upload from draft where upload is not null and ended = 0 and updated_at >= ?")?;
        Ok(statement.query_map([since], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?)
    }
}

//! Databases beside apps: which there are, and how far they have come. What is kept of one is sealed, and another crate's to read.

use model::DatabaseType;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{AppId, StoreError, Tx, word};

/// How far a database has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseState {
    /// It is being made, or being dropped: what is there of it counts for nothing.
    Making,
    /// It is there.
    Ready,
    /// It is there, and what is kept has a password that it may not have got yet.
    Rotating,
}

impl DatabaseState {
    const ALL: [Self; 3] = [Self::Making, Self::Ready, Self::Rotating];

    fn as_str(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Ready => "ready",
            Self::Rotating => "rotating",
        }
    }
}

/// A database as it stands.
#[derive(Debug, Clone)]
pub struct DatabaseRow<T> {
    /// Its kind.
    pub kind: DatabaseType,
    /// How far it has come.
    pub state: DatabaseState,
    /// What is kept of it.
    pub kept: T,
    /// When it was made.
    pub created_at: i64,
}

fn place(app: AppId) -> String {
    format!("database.kept:{}", app.0)
}

impl Tx<'_> {
    /// An app's database.
    pub fn database<T: DeserializeOwned>(&self, app: AppId) -> Result<Option<DatabaseRow<T>>, StoreError> {
        let row = self
            .db
            .query_row("select kind, state, kept, created_at from database where app = ?", [app.0], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, i64>(3)?))
            })
            .optional()?;
        let Some((kind, state, sealed, created_at)) = row else { return Ok(None) };
        Ok(Some(DatabaseRow {
            kind: word("database.kind", &kind, DatabaseType::parse)?,
            state: word("database.state", &state, |text| DatabaseState::ALL.into_iter().find(|state| state.as_str() == text))?,
            kept: self.sealer.open_json("database", &place(app), &sealed)?,
            created_at,
        }))
    }

    /// Records a database that is about to be made. One that the app has already stays, and is an error.
    pub fn create_database(&self, app: AppId, kind: DatabaseType, kept: &impl Serialize, now: i64) -> Result<(), StoreError> {
        let sealed = self.sealer.seal_json(&place(app), kept)?;
        self.db.execute(
            "insert into database (app, kind, state, kept, created_at) values (?, ?, 'making', ?, ?)",
            params![app.0, kind.as_str(), sealed, now],
        )?;
        Ok(())
    }

    /// Forgets a database that did not come to be, or is gone.
    pub fn delete_database(&self, app: AppId) -> Result<(), StoreError> {
        self.db.execute("delete from database where app = ?", [app.0])?;
        Ok(())
    }

    /// Writes how far it has come, and what is kept of it.
    pub fn update_database(&self, app: AppId, state: DatabaseState, kept: &impl Serialize) -> Result<(), StoreError> {
        let sealed = self.sealer.seal_json(&place(app), kept)?;
        self.db.execute("update database set state = ?, kept = ? where app = ?", params![state.as_str(), sealed, app.0])?;
        Ok(())
    }
}

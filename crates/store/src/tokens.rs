//! Tokens: a random text handed out once, kept as its hash.

use model::AppName;
use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use crate::{AppId, StoreError, Tx, secrets, word};

/// What every token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "adpt_";

/// A token as it is listed: never the text itself.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// What it was called.
    pub name: String,
    /// The one app that it opens; `None` for the whole platform.
    pub app: Option<AppName>,
    /// When it was made.
    pub created_at: i64,
    /// When it was last used.
    pub used_at: Option<i64>,
}

/// What a token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenScope {
    /// Everything.
    Platform,
    /// One app.
    App(AppName),
}

impl Tx<'_> {
    /// Makes a token and returns its text, this once.
    pub fn create_token(&self, name: &str, app: Option<AppId>, now: i64) -> Result<(i64, Zeroizing<String>), StoreError> {
        let text = secrets::random(PREFIX);
        self.db.execute(
            "insert into token (name, app, hash, created_at) values (?, ?, ?, ?)",
            params![name, app.map(|app| app.0), secrets::hash(&text), now],
        )?;
        Ok((self.db.last_insert_rowid(), text))
    }

    /// What the token opens, how it is called, and when it was last used; `None` where it is unknown. Looked up by its hash, so no comparison leaks
    /// its text.
    pub fn token_scope(&self, text: &str) -> Result<Option<(TokenScope, String, Option<i64>)>, StoreError> {
        let found = self
            .db
            .query_row(
                "select token.app is null, app.name, used_at, token.name from token left join app on app.id = token.app where hash = ?",
                [secrets::hash(text)],
                |row| {
                    let app = (row.get::<_, bool>(0)?, row.get::<_, Option<String>>(1)?);
                    Ok((app, row.get::<_, Option<i64>>(2)?, row.get::<_, String>(3)?))
                },
            )
            .optional()?;
        let Some(((whole, app), used_at, name)) = found else { return Ok(None) };
        let scope = if whole {
            TokenScope::Platform
        } else {
            TokenScope::App(word("app.name", &app.unwrap_or_default(), |text| AppName::parse(text).ok())?)
        };
        Ok(Some((scope, name, used_at)))
    }

    /// Notes that a token was used.
    pub fn use_token(&self, text: &str, now: i64) -> Result<(), StoreError> {
        self.db.execute("update token set used_at = ? where hash = ?", params![now, secrets::hash(text)])?;
        Ok(())
    }

    /// Every token, oldest first.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let mut statement = self.db.prepare(
            "select token.id, token.name, app.name, token.created_at, token.used_at
             from token left join app on app.id = token.app order by token.id",
        )?;
        let rows = statement
            .query_map([], |row| {
                let app: Option<String> = row.get(2)?;
                Ok((app, Token { id: row.get(0)?, name: row.get(1)?, app: None, created_at: row.get(3)?, used_at: row.get(4)? }))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(app, token)| {
                let app = app.map(|name| word("app.name", &name, |text| AppName::parse(text).ok())).transpose()?;
                Ok(Token { app, ..token })
            })
            .collect()
    }

    /// Revokes a token; says whether there was one.
    pub fn delete_token(&self, id: i64) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from token where id = ?", [id])? > 0)
    }
}

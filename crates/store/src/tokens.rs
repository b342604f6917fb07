//! Tokens: a random text handed out once, kept as its hash. One is the platform's, an app's, or a user's own.

use model::{AppName, UserId, UserName};
use rusqlite::{OptionalExtension, Row, params};
use zeroize::Zeroizing;

use crate::users::user_name;
use crate::{AppId, StoreError, Tx, secrets, word};

/// What every token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "adpt_";

/// A token as it is listed: never the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// What it was called.
    pub name: String,
    /// Whose own it is; `None` for one of the platform's.
    pub user: Option<UserName>,
    /// The one app that it opens; `None` for all.
    pub app: Option<AppName>,
    /// When it was made.
    pub created_at: i64,
    /// When it was last used.
    pub used_at: Option<i64>,
    /// When it ends; `None` where somebody has to end it.
    pub expires_at: Option<i64>,
}

/// What a new token begins with.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Whose own it is.
    pub user: Option<UserId>,
    /// The one app that it opens.
    pub app: Option<AppId>,
    /// When it ends.
    pub expires_at: Option<i64>,
}

/// What a token of the platform's opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenScope {
    /// Everything.
    Platform,
    /// One app.
    App(AppName),
}

/// A token that was shown and is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownToken {
    /// Its number.
    pub id: i64,
    /// What it was called.
    pub name: String,
    /// Whose own it is.
    pub user: Option<UserId>,
    /// What it opens, of what its user may where it is somebody's own.
    pub scope: TokenScope,
    /// When it was last used.
    pub used_at: Option<i64>,
}

const COLUMNS: &str = "token.id, token.name, user.name, app.name, token.created_at, token.used_at, token.expires_at";
const TABLES: &str = "token left join app on app.id = token.app left join user on user.id = token.user";

impl Tx<'_> {
    /// Makes a token and returns its text, this once.
    pub fn create_token(&self, new: &NewToken<'_>, now: i64) -> Result<(i64, Zeroizing<String>), StoreError> {
        let text = secrets::random(PREFIX);
        self.db.execute(
            "insert into token (name, user, app, hash, created_at, expires_at) values (?, ?, ?, ?, ?, ?)",
            params![new.name, new.user.map(|user| user.0), new.app.map(|app| app.0), secrets::hash(&text), now, new.expires_at],
        )?;
        Ok((self.db.last_insert_rowid(), text))
    }

    /// The token of that text; `None` where it is unknown or has ended. Looked up by its hash, so no comparison leaks its text.
    pub fn known_token(&self, text: &str, now: i64) -> Result<Option<KnownToken>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "select token.id, token.name, token.user, app.name, used_at from token left join app on app.id = token.app
             where hash = ? and (expires_at is null or expires_at > ?)",
        )?;
        let found = statement
            .query_row(params![secrets::hash(text), now], |row| {
                let app: Option<String> = row.get(3)?;
                let user: Option<i64> = row.get(2)?;
                Ok((row.get(0)?, row.get(1)?, user.map(UserId), app, row.get(4)?))
            })
            .optional()?;
        let Some((id, name, user, app, used_at)) = found else { return Ok(None) };
        let scope = app.as_deref().map(app_name).transpose()?.map_or(TokenScope::Platform, TokenScope::App);
        Ok(Some(KnownToken { id, name, user, scope, used_at }))
    }

    /// Notes that a token was used.
    pub fn use_token(&self, id: i64, now: i64) -> Result<(), StoreError> {
        self.db.execute("update token set used_at = ? where id = ?", params![now, id])?;
        Ok(())
    }

    /// Every token, oldest first.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.tokens_where("true", [])
    }

    /// A user's own tokens, oldest first.
    pub fn tokens_of(&self, user: UserId) -> Result<Vec<Token>, StoreError> {
        self.tokens_where("token.user = ?", [user.0])
    }

    fn tokens_where(&self, condition: &str, values: impl rusqlite::Params) -> Result<Vec<Token>, StoreError> {
        let sql = format!("select {COLUMNS} from {TABLES} where {condition} order by token.id");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(values, |row| Ok(read(row)))?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().collect()
    }

    /// Revokes a token; gives it as it was, where there was one.
    pub fn delete_token(&self, id: i64) -> Result<Option<Token>, StoreError> {
        let found = self.tokens_where("token.id = ?", [id])?.pop();
        self.db.execute("delete from token where id = ?", [id])?;
        Ok(found)
    }

    /// Forgets tokens that ended before that time.
    pub fn forget_old_tokens(&self, before: i64) -> Result<usize, StoreError> {
        Ok(self.db.execute("delete from token where expires_at < ?", [before])?)
    }
}

fn app_name(text: &str) -> Result<AppName, StoreError> {
    word("app.name", text, |text| AppName::parse(text).ok())
}

/// A row of [`COLUMNS`].
fn read(row: &Row<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        user: row.get::<_, Option<String>>(2)?.as_deref().map(user_name).transpose()?,
        app: row.get::<_, Option<String>>(3)?.as_deref().map(app_name).transpose()?,
        created_at: row.get(4)?,
        used_at: row.get(5)?,
        expires_at: row.get(6)?,
    })
}

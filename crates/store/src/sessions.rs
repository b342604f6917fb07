//! Sessions: browsers that are signed in, each known by the hash of what its cookie holds.

use model::UserId;
use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use crate::{StoreError, Tx, secrets, word};

/// How somebody signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedInBy {
    /// A one-time link.
    Link,
    /// Name and password.
    Password,
    /// An account of GitHub.
    GitHub,
}

impl SignedInBy {
    /// The word in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Password => "password",
            Self::GitHub => "github",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Link, Self::Password, Self::GitHub].into_iter().find(|how| how.as_str() == text)
    }
}

/// A session as it is listed.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub user: UserId,
    /// How it began.
    pub how: SignedInBy,
    /// When it began.
    pub created_at: i64,
    /// When it was last used.
    pub used_at: i64,
    /// From where it began.
    pub address: String,
    /// What the browser says it is.
    pub agent: String,
}

/// What is noted of a browser that signs in.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Whose it is.
    pub user: UserId,
    /// How it begins.
    pub how: SignedInBy,
    /// From where.
    pub address: String,
    /// What the browser says it is.
    pub agent: String,
}

/// What a session's forms and scripts show besides its cookie: whoever knows the cookie's text knows it, and nobody else. Made from it by
/// a hash, so that it need not be kept and tells nothing about it.
pub fn csrf_token(session: &str) -> String {
    let hash = secrets::hash(&format!("adaptable csrf:{session}"));
    let mut text = String::with_capacity(64);
    secrets::hexadecimal(&hash, &mut text);
    text
}

const COLUMNS: &str = "id, user, how, created_at, used_at, address, agent";

impl Tx<'_> {
    /// Makes a session, and returns what its cookie is to hold, this once.
    pub fn create_session(&self, new: &NewSession, now: i64) -> Result<(i64, Zeroizing<String>), StoreError> {
        let text = secrets::random("");
        self.db.execute(
            "insert into session (user, hash, how, created_at, used_at, address, agent) values (?, ?, ?, ?, ?, ?, ?)",
            params![new.user.0, secrets::hash(&text), new.how.as_str(), now, now, new.address, new.agent],
        )?;
        let id = self.db.last_insert_rowid();
        self.db.execute("update user set signed_in_at = ? where id = ?", params![now, new.user.0])?;
        Ok((id, text))
    }

    /// The session whose cookie holds this, whatever its age. Looked up by its hash, so no comparison leaks the text.
    pub fn session(&self, text: &str) -> Result<Option<Session>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {COLUMNS} from session where hash = ?"))?;
        statement.query_row([secrets::hash(text)], |row| Ok(read(row))).optional()?.transpose()
    }

    /// A user's sessions, the one last used first.
    pub fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("select {COLUMNS} from session where user = ? order by used_at desc, id desc"))?;
        let rows = statement.query_map([user.0], |row| Ok(read(row)))?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().collect()
    }

    /// Notes that a session was used.
    pub fn use_session(&self, id: i64, now: i64) -> Result<(), StoreError> {
        self.db.execute("update session set used_at = ? where id = ?", params![now, id])?;
        Ok(())
    }

    /// Ends one of a user's sessions; says whether there was one.
    pub fn end_session(&self, user: UserId, id: i64) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from session where id = ? and user = ?", params![id, user.0])? > 0)
    }

    /// Ends all of a user's sessions, but the one to keep.
    pub fn end_sessions(&self, user: UserId, keep: Option<i64>) -> Result<usize, StoreError> {
        Ok(self.db.execute("delete from session where user = ? and id is not ?", params![user.0, keep])?)
    }

    /// Forgets sessions that began or were last used before these times.
    pub fn forget_old_sessions(&self, began_before: i64, used_before: i64) -> Result<usize, StoreError> {
        Ok(self.db.execute("delete from session where created_at < ? or used_at < ?", params![began_before, used_before])?)
    }
}

fn read(row: &rusqlite::Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.get(0)?,
        user: UserId(row.get(1)?),
        how: word("session.how", &row.get::<_, String>(2)?, SignedInBy::parse)?,
        created_at: row.get(3)?,
        used_at: row.get(4)?,
        address: row.get(5)?,
        agent: row.get(6)?,
    })
}

//! Links that work once: an invitation to become a user, and one that signs a user in.

use model::{AppName, AppRole, PlatformRole, UserId};
use rusqlite::{OptionalExtension, Row, params};
use zeroize::Zeroizing;

use crate::users::{app_role, platform_role};
use crate::{AppId, StoreError, Tx, secrets, word};

/// An invitation as it is listed: never its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its number.
    pub id: i64,
    /// What whoever takes it becomes.
    pub role: PlatformRole,
    /// The app that they become a member of, and as what.
    pub app: Option<(AppName, AppRole)>,
    /// For whom it was made, in words.
    pub note: String,
    /// Who made it.
    pub made_by: String,
    /// When it was made.
    pub created_at: i64,
    /// Until when it can be taken.
    pub expires_at: i64,
}

/// What a new invitation says.
#[derive(Debug, Clone)]
pub struct NewInvite {
    /// What whoever takes it becomes.
    pub role: PlatformRole,
    /// The app that they become a member of, and as what.
    pub app: Option<(AppId, AppRole)>,
    /// For whom it is, in words.
    pub note: String,
    /// Who makes it.
    pub made_by: String,
    /// Until when it can be taken.
    pub expires_at: i64,
}

/// Whom a link signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFor {
    /// Nobody yet: it makes the first operator.
    FirstOperator,
    /// This user.
    User(UserId),
}

const COLUMNS: &str = "invite.id, invite.role, app.name, invite.app_role, invite.note, invite.made_by, invite.created_at, \
                       invite.expires_at";

impl Tx<'_> {
    /// Makes an invitation, and returns its number and the text of its link, this once.
    pub fn create_invite(&self, new: &NewInvite, now: i64) -> Result<(i64, Zeroizing<String>), StoreError> {
        let text = secrets::random("");
        self.db.execute(
            "insert into invite (hash, role, app, app_role, note, made_by, created_at, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                secrets::hash(&text),
                new.role.as_str(),
                new.app.map(|(app, _)| app.0),
                new.app.map(|(_, role)| role.as_str()),
                new.note,
                new.made_by,
                now,
                new.expires_at
            ],
        )?;
        Ok((self.db.last_insert_rowid(), text))
    }

    /// The invitation of that link, unless it is too old.
    pub fn invite(&self, text: &str, now: i64) -> Result<Option<Invite>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from invite left join app on app.id = invite.app where invite.hash = ? and invite.expires_at > ?"
        );
        self.db.query_row(&sql, params![secrets::hash(text), now], |row| Ok(read(row))).optional()?.transpose()
    }

    /// Invitations that can still be taken, the newest first.
    pub fn invites(&self, now: i64) -> Result<Vec<Invite>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from invite left join app on app.id = invite.app where invite.expires_at > ? order by invite.id desc"
        );
        let mut statement = self.db.prepare(&sql)?;
        let rows = statement.query_map([now], |row| Ok(read(row)))?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().collect()
    }

    /// Takes an invitation away; says whether there was one.
    pub fn delete_invite(&self, id: i64) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from invite where id = ?", [id])? > 0)
    }

    /// Makes a link that signs a user in, or the first operator where none is named. It takes the place of those before.
    pub fn create_sign_in_link(&self, user: Option<UserId>, now: i64, expires_at: i64) -> Result<Zeroizing<String>, StoreError> {
        let text = secrets::random("");
        self.db.execute("delete from sign_in_link where user is ? or expires_at <= ?", params![user.map(|user| user.0), now])?;
        self.db.execute(
            "insert into sign_in_link (hash, user, created_at, expires_at) values (?, ?, ?, ?)",
            params![secrets::hash(&text), user.map(|user| user.0), now, expires_at],
        )?;
        Ok(text)
    }

    /// Whom that link is for, unless it is too old.
    pub fn sign_in_link(&self, text: &str, now: i64) -> Result<Option<LinkFor>, StoreError> {
        let row = self.db.query_row(
            "select user from sign_in_link where hash = ? and expires_at > ?",
            params![secrets::hash(text), now],
            |row| row.get::<_, Option<i64>>(0),
        );
        Ok(row.optional()?.map(|user| user.map_or(LinkFor::FirstOperator, |user| LinkFor::User(UserId(user)))))
    }

    /// Uses that link up; says whether it was still there.
    pub fn take_sign_in_link(&self, text: &str) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from sign_in_link where hash = ?", [secrets::hash(text)])? > 0)
    }

    /// Forgets invitations and links that are too old.
    pub fn forget_old_links(&self, now: i64) -> Result<(), StoreError> {
        self.db.execute("delete from invite where expires_at <= ?", [now])?;
        self.db.execute("delete from sign_in_link where expires_at <= ?", [now])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<Invite, StoreError> {
    let app: Option<(String, String)> = row.get::<_, Option<String>>(2)?.zip(row.get(3)?);
    let app =
        app.map(|(name, role)| Ok::<_, StoreError>((word("app.name", &name, |it| AppName::parse(it).ok())?, app_role(&role)?)));
    Ok(Invite {
        id: row.get(0)?,
        role: platform_role(&row.get::<_, String>(1)?)?,
        app: app.transpose()?,
        note: row.get(4)?,
        made_by: row.get(5)?,
        created_at: row.get(6)?,
        expires_at: row.get(7)?,
    })
}

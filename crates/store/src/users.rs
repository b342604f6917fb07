//! Users: how they sign in, and what they may do with which app.

use std::collections::BTreeMap;

use model::{AppName, AppRole, PlatformRole, UserId, UserName};
use rusqlite::{OptionalExtension, Row, params};
use zeroize::Zeroizing;

use crate::{AppId, StoreError, Tx, secrets, word};

/// A user as they are listed: no secret of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their number.
    pub id: UserId,
    /// Their name.
    pub name: UserName,
    /// What they may do with the platform.
    pub role: PlatformRole,
    /// Whether they have a password.
    pub has_password: bool,
    /// Whether they sign in with a second factor.
    pub has_totp: bool,
    /// Their GitHub account, where one is linked.
    pub github: Option<GitHubAccount>,
    /// Whether they are locked out.
    pub disabled: bool,
    /// When they were made.
    pub created_at: i64,
    /// When they last signed in.
    pub signed_in_at: Option<i64>,
}

/// An account at GitHub: known by its number, which never changes hands; login and picture are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubAccount {
    /// GitHub's number.
    pub id: u64,
    /// Its login when it was last seen.
    pub login: String,
    /// The address of its picture.
    pub avatar: String,
}

/// What a new user begins with.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    /// Their name.
    pub name: &'a UserName,
    /// Their role.
    pub role: PlatformRole,
    /// The hash of their password.
    pub password: Option<&'a str>,
    /// Their GitHub account.
    pub github: Option<&'a GitHubAccount>,
}

/// What somebody is compared with who signs in.
#[derive(Debug)]
pub struct Credentials {
    /// The hash of the password.
    pub password: Option<String>,
    /// The secret of the second factor.
    pub totp: Option<Zeroizing<Vec<u8>>>,
    /// The last step whose code was taken.
    pub totp_step: Option<i64>,
}

/// A member of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: UserId,
    /// By what name.
    pub name: UserName,
    /// As what.
    pub role: AppRole,
    /// Whether they are locked out of the platform.
    pub disabled: bool,
}

const COLUMNS: &str = "user.id, user.name, user.role, user.password is not null, user.totp is not null, user.github_id, \
                       user.github_login, user.avatar, user.disabled, user.created_at, user.signed_in_at";

fn totp_place(user: UserId) -> String {
    format!("user.totp:{user}")
}

impl Tx<'_> {
    /// Makes a user.
    pub fn create_user(&self, new: &NewUser<'_>, now: i64) -> Result<User, StoreError> {
        if self.user_named(new.name)?.is_some() {
            return Err(StoreError::UserNameTaken(new.name.to_string()));
        }
        self.db.execute(
            "insert into user (name, role, password, github_id, github_login, avatar, created_at) values (?, ?, ?, ?, ?, ?, ?)",
            params![
                new.name.as_str(),
                new.role.as_str(),
                new.password,
                new.github.map(|account| account.id.cast_signed()),
                new.github.map(|account| account.login.as_str()),
                new.github.map(|account| account.avatar.as_str()),
                now
            ],
        )?;
        Ok(User {
            id: UserId(self.db.last_insert_rowid()),
            name: new.name.clone(),
            role: new.role,
            has_password: new.password.is_some(),
            has_totp: false,
            github: new.github.cloned(),
            disabled: false,
            created_at: now,
            signed_in_at: None,
        })
    }

    /// How many users there are.
    pub fn user_count(&self) -> Result<i64, StoreError> {
        Ok(self.db.query_row("select count(*) from user", [], |row| row.get(0))?)
    }

    /// Every user, by name.
    pub fn users(&self) -> Result<Vec<User>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {COLUMNS} from user order by name"))?;
        let rows = statement.query_map([], |row| Ok(read(row)))?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().collect()
    }

    /// The user of that number.
    pub fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.user_where("user.id = ?", id.0)
    }

    /// The user of that name.
    pub fn user_named(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        self.user_where("user.name = ?", name.as_str())
    }

    /// The user to whom that account of GitHub is linked.
    pub fn user_of_github(&self, id: u64) -> Result<Option<User>, StoreError> {
        self.user_where("user.github_id = ?", id.cast_signed())
    }

    fn user_where(&self, condition: &str, value: impl rusqlite::ToSql) -> Result<Option<User>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {COLUMNS} from user where {condition}"))?;
        statement.query_row([value], |row| Ok(read(row))).optional()?.transpose()
    }

    /// How many operators there are who can get in.
    pub fn operator_count(&self) -> Result<i64, StoreError> {
        Ok(self.db.query_row("select count(*) from user where role = 'operator' and disabled = 0", [], |row| row.get(0))?)
    }

    /// What a user signs in by.
    pub fn credentials(&self, user: UserId) -> Result<Option<Credentials>, StoreError> {
        let row = self
            .db
            .query_row("select password, totp, totp_step from user where id = ?", [user.0], |row| {
                Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?, row.get::<_, Option<i64>>(2)?))
            })
            .optional()?;
        let Some((password, totp, totp_step)) = row else { return Ok(None) };
        let totp = totp.map(|sealed| self.sealer.open("second factor", &totp_place(user), &sealed)).transpose()?;
        Ok(Some(Credentials { password, totp, totp_step }))
    }

    /// Sets the hash of a user's password.
    pub fn set_password(&self, user: UserId, hash: &str) -> Result<(), StoreError> {
        self.db.execute("update user set password = ? where id = ?", params![hash, user.0])?;
        Ok(())
    }

    /// Sets or takes away the secret of the second factor, and the recovery codes that go with it.
    pub fn set_totp(&self, user: UserId, secret: Option<&[u8]>, codes: &[String]) -> Result<(), StoreError> {
        let sealed = secret.map(|secret| self.sealer.seal(&totp_place(user), secret)).transpose()?;
        self.db.execute("update user set totp = ?, totp_step = null where id = ?", params![sealed, user.0])?;
        self.db.execute("delete from recovery_code where user = ?", [user.0])?;
        for code in codes {
            let hash = secrets::hash(&format!("{user}:{code}"));
            self.db.execute("insert into recovery_code (hash, user) values (?, ?)", params![hash, user.0])?;
        }
        Ok(())
    }

    /// Takes a code of that step, unless one of it or of a later one was taken before.
    pub fn take_totp_step(&self, user: UserId, step: i64) -> Result<bool, StoreError> {
        let changed = self.db.execute(
            "update user set totp_step = ?1 where id = ?2 and (totp_step is null or totp_step < ?1)",
            params![step, user.0],
        )?;
        Ok(changed > 0)
    }

    /// Takes a recovery code, this once; says whether it was one.
    pub fn take_recovery_code(&self, user: UserId, code: &str) -> Result<bool, StoreError> {
        let hash = secrets::hash(&format!("{user}:{code}"));
        Ok(self.db.execute("delete from recovery_code where hash = ? and user = ?", params![hash, user.0])? > 0)
    }

    /// How many recovery codes a user has left.
    pub fn recovery_codes_left(&self, user: UserId) -> Result<u32, StoreError> {
        Ok(self.db.query_row("select count(*) from recovery_code where user = ?", [user.0], |row| row.get(0))?)
    }

    /// Links an account of GitHub, or takes the link away.
    pub fn set_github(&self, user: UserId, account: Option<&GitHubAccount>) -> Result<(), StoreError> {
        self.db.execute(
            "update user set github_id = ?, github_login = ?, avatar = ? where id = ?",
            params![
                account.map(|account| account.id.cast_signed()),
                account.map(|account| account.login.as_str()),
                account.map(|account| account.avatar.as_str()),
                user.0
            ],
        )?;
        Ok(())
    }

    /// Changes a user's role.
    pub fn set_user_role(&self, user: UserId, role: PlatformRole) -> Result<(), StoreError> {
        self.db.execute("update user set role = ? where id = ?", params![role.as_str(), user.0])?;
        Ok(())
    }

    /// Locks a user out, or lets them in again.
    pub fn set_user_disabled(&self, user: UserId, disabled: bool) -> Result<(), StoreError> {
        self.db.execute("update user set disabled = ? where id = ?", params![disabled, user.0])?;
        Ok(())
    }

    /// Forgets a user, their sessions, tokens and memberships.
    pub fn delete_user(&self, user: UserId) -> Result<(), StoreError> {
        self.db.execute("delete from user where id = ?", [user.0])?;
        Ok(())
    }

    /// The apps that a user is a member of.
    pub fn memberships(&self, user: UserId) -> Result<BTreeMap<AppName, AppRole>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "select app.name, membership.role from membership join app on app.id = membership.app where membership.user = ?",
        )?;
        let rows = statement
            .query_map([user.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(app, role)| Ok((word("app.name", &app, |text| AppName::parse(text).ok())?, app_role(&role)?)))
            .collect()
    }

    /// An app's members, by name.
    pub fn members(&self, app: AppId) -> Result<Vec<Member>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "select user.id, user.name, membership.role, user.disabled from membership
             join user on user.id = membership.user where membership.app = ? order by user.name",
        )?;
        let rows = statement
            .query_map([app.0], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, bool>(3)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(id, name, role, disabled)| {
                Ok(Member { id: UserId(id), name: user_name(&name)?, role: app_role(&role)?, disabled })
            })
            .collect()
    }

    /// Makes a user a member of an app, or changes what they are in it.
    pub fn set_member(&self, app: AppId, user: UserId, role: AppRole) -> Result<(), StoreError> {
        self.db.execute(
            "insert into membership (app, user, role) values (?, ?, ?)
             on conflict (app, user) do update set role = excluded.role",
            params![app.0, user.0, role.as_str()],
        )?;
        Ok(())
    }

    /// Takes a user out of an app; says whether they were in it.
    pub fn remove_member(&self, app: AppId, user: UserId) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from membership where app = ? and user = ?", params![app.0, user.0])? > 0)
    }
}

pub(crate) fn user_name(text: &str) -> Result<UserName, StoreError> {
    word("user.name", text, |text| UserName::parse(text).ok())
}

pub(crate) fn app_role(text: &str) -> Result<AppRole, StoreError> {
    word("membership.role", text, |text| text.parse().ok())
}

pub(crate) fn platform_role(text: &str) -> Result<PlatformRole, StoreError> {
    word("user.role", text, |text| text.parse().ok())
}

/// A row of [`COLUMNS`].
fn read(row: &Row<'_>) -> Result<User, StoreError> {
    let github: Option<i64> = row.get(5)?;
    let github = github
        .map(|id| {
            Ok::<_, StoreError>(GitHubAccount {
                id: id.cast_unsigned(),
                login: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
                avatar: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
            })
        })
        .transpose()?;
    Ok(User {
        id: UserId(row.get(0)?),
        name: user_name(&row.get::<_, String>(1)?)?,
        role: platform_role(&row.get::<_, String>(2)?)?,
        has_password: row.get(3)?,
        has_totp: row.get(4)?,
        github,
        disabled: row.get(8)?,
        created_at: row.get(9)?,
        signed_in_at: row.get(10)?,
    })
}

//! Use cases on users: who there is, what they may do, and that somebody can always get in.

use api::{AuditEntry, ErrorBody, ErrorCode, UserDocument, UserPatch};
use model::{AppName, AppRole, PlatformRole, UserId, UserName};
use store::{Tx, User};

use crate::access::Who;
use crate::error::{Result, app_not_found};
use crate::links::no_such_user;
use crate::{Control, clock};

/// What the store found, or why what was asked for can't be.
pub(crate) type Found<T> = std::result::Result<Result<T>, store::StoreError>;

impl Control {
    /// Every user.
    pub async fn users(&self) -> Result<Vec<UserDocument>> {
        Ok(self.read(|tx| tx.users()).await?.iter().map(document).collect())
    }

    /// The user of that name.
    pub async fn user(&self, name: &UserName) -> Result<UserDocument> {
        let lookup = name.clone();
        self.read(move |tx| tx.user_named(&lookup)).await?.as_ref().map(document).ok_or_else(|| no_such_user(name))
    }

    /// Whoever asks, as a document; nothing where it is no user.
    pub async fn me(&self, who: &Who) -> Result<Option<UserDocument>> {
        let Some(id) = who.identity().map(|identity| identity.id) else { return Ok(None) };
        Ok(self.read(move |tx| tx.user(id)).await?.as_ref().map(document))
    }

    /// Changes a user's role, or locks them out or in. The last operator stays one.
    pub async fn change_user(&self, name: &UserName, patch: UserPatch) -> Result<UserDocument> {
        let name = name.clone();
        self.write(move |tx| {
            let Some(user) = tx.user_named(&name)? else { return Ok(Err(no_such_user(&name))) };
            let stays = patch.role.unwrap_or(user.role) == PlatformRole::Operator && !patch.disabled.unwrap_or(user.disabled);
            if let Err(error) = spare_last_operator(tx, &user, stays)? {
                return Ok(Err(error));
            }
            if let Some(role) = patch.role {
                tx.set_user_role(user.id, role)?;
            }
            if let Some(disabled) = patch.disabled {
                tx.set_user_disabled(user.id, disabled)?;
                if disabled {
                    tx.end_sessions(user.id, None)?;
                }
            }
            Ok(tx.user(user.id)?.as_ref().map(document).ok_or_else(|| no_such_user(&name)))
        })
        .await?
    }

    /// Forgets a user. Their apps stay, and are the operators'.
    pub async fn delete_user(&self, name: &UserName) -> Result<()> {
        let name = name.clone();
        self.write(move |tx| {
            let Some(user) = tx.user_named(&name)? else { return Ok(Err(no_such_user(&name))) };
            if let Err(error) = spare_last_operator(tx, &user, false)? {
                return Ok(Err(error));
            }
            tx.delete_user(user.id)?;
            Ok(Ok(()))
        })
        .await?
    }

    /// An app's members.
    pub async fn members(&self, app: &AppName) -> Result<Vec<api::MemberDocument>> {
        let id = self.entry(app)?.id;
        let members = self.read(move |tx| tx.members(id)).await?;
        Ok(members
            .into_iter()
            .map(|member| api::MemberDocument { user: member.name, role: member.role, disabled: member.disabled })
            .collect())
    }

    /// Makes a user a member of an app, or changes what they are in it. The last owner stays one.
    pub async fn set_member(&self, app: &AppName, user: &UserName, role: AppRole) -> Result<api::MemberDocument> {
        let (id, app, name) = (self.entry(app)?.id, app.clone(), user.clone());
        self.write(move |tx| {
            let Some(user) = tx.user_named(&name)? else { return Ok(Err(no_such_user(&name))) };
            if role != AppRole::Owner
                && let Err(error) = spare_last_owner(tx, id, &app, user.id)?
            {
                return Ok(Err(error));
            }
            tx.set_member(id, user.id, role)?;
            Ok(Ok(api::MemberDocument { user: user.name, role, disabled: user.disabled }))
        })
        .await?
    }

    /// Takes a user out of an app. The last owner stays.
    pub async fn remove_member(&self, app: &AppName, user: &UserName) -> Result<()> {
        let (id, app, name) = (self.entry(app)?.id, app.clone(), user.clone());
        self.write(move |tx| {
            let no_member = || {
                ErrorBody::new(ErrorCode::UserNotFound, format!("{name} is no member of {app}"))
                    .help(format!("`adaptable members {app} list` shows those who are"))
            };
            let Some(user) = tx.user_named(&name)? else { return Ok(Err(no_member())) };
            if let Err(error) = spare_last_owner(tx, id, &app, user.id)? {
                return Ok(Err(error));
            }
            Ok(if tx.remove_member(id, user.id)? { Ok(()) } else { Err(no_member()) })
        })
        .await?
    }

    /// The audit log, the newest first; of one app where one is named. `before` is the number of an entry.
    pub async fn audit_log(&self, app: Option<&AppName>, before: Option<i64>, most: u32) -> Result<Vec<AuditEntry>> {
        self.audit_since(app.cloned(), 0, before, most).await
    }

    /// An app's part of the audit log, the newest first. What befell an app of the same name before was another's.
    pub async fn app_audit(&self, app: &AppName, before: Option<i64>, most: u32) -> Result<Vec<AuditEntry>> {
        let name = app.clone();
        let since = self.read(move |tx| Ok(tx.app(&name)?.map(|app| app.created_at))).await?;
        let since = since.ok_or_else(|| app_not_found(app))?;
        self.audit_since(Some(app.clone()), since, before, most).await
    }

    async fn audit_since(&self, app: Option<AppName>, since: i64, before: Option<i64>, most: u32) -> Result<Vec<AuditEntry>> {
        let rows = self.read(move |tx| tx.audit(app.as_ref(), since, before, most.clamp(1, 1001))).await?;
        let entries = rows.into_iter().map(|row| AuditEntry {
            id: row.id,
            at: clock::timestamp(row.at),
            who: row.who,
            what: row.what,
            app: row.app,
            detail: row.detail,
            address: row.address,
        });
        Ok(entries.collect())
    }
}

fn spare_last_operator(tx: &Tx<'_>, user: &User, stays: bool) -> Found<()> {
    let is_one = user.role == PlatformRole::Operator && !user.disabled;
    Ok(if is_one && !stays && tx.operator_count()? <= 1 {
        Err(ErrorBody::new(ErrorCode::Conflict, format!("{} is the last operator", user.name))
            .help("make somebody else one first"))
    } else {
        Ok(())
    })
}

fn spare_last_owner(tx: &Tx<'_>, app: store::AppId, name: &AppName, user: UserId) -> Found<()> {
    let members = tx.members(app)?;
    let owners: Vec<_> = members.iter().filter(|member| member.role == AppRole::Owner).collect();
    Ok(match owners.as_slice() {
        [last] if last.id == user => {
            Err(ErrorBody::new(ErrorCode::Conflict, format!("{} is the last owner of {name}", last.name))
                .help("make somebody else an owner first"))
        }
        _ => Ok(()),
    })
}

/// A user for the API.
pub(crate) fn document(user: &User) -> UserDocument {
    UserDocument {
        name: user.name.clone(),
        role: user.role,
        disabled: user.disabled,
        has_password: user.has_password,
        second_factor: user.has_totp,
        github: user.github.as_ref().map(|account| account.login.clone()),
        avatar: user.github.as_ref().map(|account| account.avatar.clone()).filter(|avatar| !avatar.is_empty()),
        created_at: clock::timestamp(user.created_at),
        signed_in_at: user.signed_in_at.map(clock::timestamp),
    }
}

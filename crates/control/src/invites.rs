//! Invitations, and everybody who becomes a user: by an invitation, by a link, by an account of GitHub.

use api::{CreatedInvite, ErrorBody, ErrorCode, InviteDocument, NewInvite};
use model::{AppRole, PlatformRole, UserId, UserName};
use serde::{Deserialize, Serialize};
use store::{GitHubAccount, Invite, LinkFor, NewUser, SignedInBy, Tx, User};
use zeroize::Zeroizing;

use crate::access::{Identity, Who};
use crate::error::Result;
use crate::links::{link_is_gone, no_such_user};
use crate::sessions::{self, Browser, SignedIn};
use crate::users::Found;
use crate::{Control, audit, clock, passwords};

/// How long an invitation can be taken, in milliseconds.
const INVITE_LIFE: i64 = 7 * 24 * 3600 * 1000;
/// The longest note, in characters.
const NOTE_MAX: usize = 100;

/// Who may become a user by signing in with GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignUp {
    /// Who has an invitation.
    #[default]
    Invited,
    /// Whoever has an account there.
    GitHub,
}

/// By what right somebody comes in who has shown an account of GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GitHubWay {
    /// The account is linked to a user already, or anybody may come.
    SignIn,
    /// By an invitation: the text of its link.
    Invite(String),
    /// By the link that makes the first operator: its text.
    Welcome(String),
    /// To link the account to the user who is signed in.
    Link(UserId),
}

impl Control {
    /// Makes an invitation; its link is in this answer and nowhere else.
    pub async fn create_invite(&self, who: &Who, new: NewInvite) -> Result<CreatedInvite> {
        let note = new.note.trim().to_owned();
        if note.chars().count() > NOTE_MAX || note.chars().any(char::is_control) {
            return Err(ErrorBody::new(ErrorCode::BadRequest, format!("a note has at most {NOTE_MAX} visible characters")));
        }
        let app = match (&new.app, new.app_role) {
            (Some(app), role) => Some((self.entry(app)?.id, role.unwrap_or(AppRole::Developer))),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(ErrorBody::new(ErrorCode::BadRequest, "a role in an app needs the app").help("name it in `app`"));
            }
        };
        let now = clock::now();
        let row = store::NewInvite { role: new.role, app, note, made_by: audit::words(who), expires_at: now + INVITE_LIFE };
        let (invite, text) = self
            .write(move |tx| {
                tx.forget_old_links(now)?;
                let (id, text) = tx.create_invite(&row, now)?;
                let invite = tx.invites(now)?.into_iter().find(|invite| invite.id == id);
                Ok((invite, text))
            })
            .await?;
        let invite = invite.as_ref().map(document).ok_or_else(no_such_invite)?;
        Ok(CreatedInvite { invite, url: format!("{}/invite/{}", self.urls().platform(), *text) })
    }

    /// Invitations that can still be taken.
    pub async fn invites(&self) -> Result<Vec<InviteDocument>> {
        let now = clock::now();
        Ok(self.read(move |tx| tx.invites(now)).await?.iter().map(document).collect())
    }

    /// Takes an invitation away.
    pub async fn delete_invite(&self, id: &str) -> Result<()> {
        let id: i64 = id.parse().map_err(|_no_number| no_such_invite())?;
        if self.write(move |tx| tx.delete_invite(id)).await? { Ok(()) } else { Err(no_such_invite()) }
    }

    /// What that invitation's link says.
    pub async fn invite(&self, link: &str) -> Result<InviteDocument> {
        let (text, now) = (Zeroizing::new(link.to_owned()), clock::now());
        self.read(move |tx| tx.invite(&text, now)).await?.as_ref().map(document).ok_or_else(invite_is_gone)
    }

    /// Makes a user by an invitation, and signs them in.
    pub async fn take_invite(
        &self,
        link: &str,
        name: UserName,
        password: Zeroizing<String>,
        browser: &Browser,
    ) -> Result<SignedIn> {
        self.inner.entrance.try_address(&browser.address)?;
        // Before the work of hashing, which strangers must not be able to ask for.
        self.invite(link).await?;
        passwords::check(&password, &name)?;
        let hash = self.inner.passwords.hash(password).await?;
        let (text, browser, now) = (Zeroizing::new(link.to_owned()), browser.clone(), clock::now());
        let (identity, cookie) = self
            .write(move |tx| {
                let Some(invite) = tx.invite(&text, now)? else { return Ok(Err(invite_is_gone())) };
                if tx.user_named(&name)?.is_some() {
                    return Ok(Err(user_name_taken(&name)));
                }
                let new = NewUser { name: &name, role: invite.role, password: Some(&hash), github: None };
                let user = tx.create_user(&new, now)?;
                take(tx, &invite, &user)?;
                sessions::begin(tx, &sessions::new_session(user.id, SignedInBy::Link, &browser), now).map(Ok)
            })
            .await??;
        Ok(SignedIn { identity: identity.into(), cookie })
    }

    /// Signs in whoever has shown an account of GitHub, by its number alone, and makes them a user where they have a right to become one.
    pub async fn enter_with_github(&self, account: GitHubAccount, way: GitHubWay, browser: &Browser) -> Result<SignedIn> {
        let (browser, now, sign_up) = (browser.clone(), clock::now(), self.inner.config.sign_up);
        let (identity, cookie) = self.write(move |tx| enter(tx, &account, &way, sign_up, &browser, now)).await??;
        Ok(SignedIn { identity: identity.into(), cookie })
    }
}

/// Lets whoever has shown an account of GitHub in, where they may come.
fn enter(
    tx: &Tx<'_>,
    account: &GitHubAccount,
    way: &GitHubWay,
    sign_up: SignUp,
    browser: &Browser,
    now: i64,
) -> Found<(Identity, Zeroizing<String>)> {
    let user = match newcomer(tx, account, way, sign_up, now)? {
        Ok(user) => user,
        Err(error) => return Ok(Err(error)),
    };
    // Login and picture may have changed since.
    tx.set_github(user.id, Some(account))?;
    sessions::begin(tx, &sessions::new_session(user.id, SignedInBy::GitHub, browser), now).map(Ok)
}

/// The user that an account of GitHub is, or becomes. Whoever is locked out uses nothing up.
fn newcomer(tx: &Tx<'_>, account: &GitHubAccount, way: &GitHubWay, sign_up: SignUp, now: i64) -> Found<User> {
    let known = tx.user_of_github(account.id)?;
    if let Some(user) = known.as_ref().filter(|user| user.disabled) {
        return Ok(Err(
            ErrorBody::new(ErrorCode::Forbidden, format!("{} is locked out", user.name)).help("an operator can change that")
        ));
    }
    let role = match way {
        GitHubWay::Link(id) => {
            let Some(user) = tx.user(*id)? else { return Ok(Err(link_is_gone())) };
            return Ok(match known {
                Some(other) if other.id != user.id => Err(ErrorBody::new(
                    ErrorCode::Conflict,
                    format!("the GitHub account {} is linked to another user", account.login),
                )
                .help("sign in with GitHub to be that user, or unlink it there")),
                _ => Ok(user),
            });
        }
        GitHubWay::Invite(link) => {
            let Some(invite) = tx.invite(link, now)? else { return Ok(Err(invite_is_gone())) };
            let user = match known {
                Some(user) => user,
                None => create(tx, account, invite.role, now)?,
            };
            take(tx, &invite, &user)?;
            return Ok(Ok(user));
        }
        GitHubWay::Welcome(link) => {
            if tx.sign_in_link(link, now)? != Some(LinkFor::FirstOperator) || tx.user_count()? != 0 {
                return Ok(Err(link_is_gone()));
            }
            tx.take_sign_in_link(link)?;
            PlatformRole::Operator
        }
        GitHubWay::SignIn => {
            match known {
                Some(user) => return Ok(Ok(user)),
                // The first to come is the operator, by the link of the first start and by nothing else.
                None if sign_up == SignUp::GitHub && tx.user_count()? > 0 => PlatformRole::Member,
                None => {
                    return Ok(Err(ErrorBody::new(
                    ErrorCode::Forbidden,
                    format!("nobody here is known by the GitHub account {}", account.login),
                )
                .help("ask an operator for an invitation; if you have a user here, sign in with your password and link the account")));
                }
            }
        }
    };
    create(tx, account, role, now).map(Ok)
}

fn create(tx: &Tx<'_>, account: &GitHubAccount, role: PlatformRole, now: i64) -> std::result::Result<User, store::StoreError> {
    let mut number = 1;
    let name = loop {
        let name = UserName::suggest(&account.login, number);
        if tx.user_named(&name)?.is_none() {
            break name;
        }
        number += 1;
    };
    tx.create_user(&NewUser { name: &name, role, password: None, github: Some(account) }, now)
}

/// Uses an invitation up. It never takes a role away from who has more.
fn take(tx: &Tx<'_>, invite: &Invite, user: &User) -> std::result::Result<(), store::StoreError> {
    tx.delete_invite(invite.id)?;
    if invite.role > user.role {
        tx.set_user_role(user.id, invite.role)?;
    }
    let Some((app, role)) = &invite.app else { return Ok(()) };
    let before = tx.memberships(user.id)?.get(app).copied();
    if let Some(app) = tx.app(app)?
        && before.is_none_or(|before| before < *role)
    {
        tx.set_member(app.id, user.id, *role)?;
    }
    Ok(())
}

pub(crate) fn user_name_taken(name: &UserName) -> ErrorBody {
    ErrorBody::new(ErrorCode::Conflict, format!("there is a user {name} already")).help("choose another name")
}

fn no_such_invite() -> ErrorBody {
    ErrorBody::new(ErrorCode::UserNotFound, "there is no such invitation")
        .help("`adaptable users invites` shows those that there are")
}

fn invite_is_gone() -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, "this invitation does not work (any more): it is good for seven days, and once")
        .help("ask for another one")
}

fn document(invite: &Invite) -> InviteDocument {
    InviteDocument {
        id: invite.id.to_string(),
        role: invite.role,
        app: invite.app.as_ref().map(|(app, _)| app.clone()),
        app_role: invite.app.as_ref().map(|(_, role)| *role),
        note: invite.note.clone(),
        made_by: invite.made_by.clone(),
        created_at: clock::timestamp(invite.created_at),
        expires_at: clock::timestamp(invite.expires_at),
    }
}

impl Control {
    /// Ends every session of a user; says how many there were.
    pub async fn end_sessions_of(&self, name: &UserName) -> Result<usize> {
        let name = name.clone();
        self.write(move |tx| match tx.user_named(&name)? {
            Some(user) => tx.end_sessions(user.id, None).map(Ok),
            None => Ok(Err(no_such_user(&name))),
        })
        .await?
    }
}

#[cfg(test)]
mod tests;

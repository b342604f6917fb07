//! Who asks, and the one place that decides who may do what.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ErrorBody, ErrorCode};
use model::{AppName, AppRole, PlatformRole, UserId, UserName};
use store::{KnownToken, StoreError, TokenScope, Tx};
use zeroize::Zeroizing;

use crate::error::{Result, app_not_found};
use crate::{Control, clock, sessions};

/// How exactly a token's or a session's last use is known, in milliseconds: not every request is worth a write.
pub(crate) const USE_NOTED: i64 = 60_000;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Somebody on this machine who may open the platform's socket.
    Operator,
    /// The bearer of a token.
    Token(TokenScope),
    /// A user who is signed in.
    User(Arc<Identity>),
    /// Somebody who has shown nothing valid.
    Nobody,
}

/// A user as they stand at this request: who they are, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Their number.
    pub id: UserId,
    /// Their name.
    pub name: UserName,
    /// What they may do with the platform.
    pub role: PlatformRole,
    /// The apps that they are a member of, and as what.
    pub apps: BTreeMap<AppName, AppRole>,
    /// The address of their picture; empty where there is none.
    pub avatar: String,
    /// The number of the session that the request came by.
    pub session: Option<i64>,
    /// The token of theirs that the request came by.
    pub token: Option<OwnToken>,
}

/// A user's own token, as whoever shows it is held to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnToken {
    /// Its number.
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// The one app that it opens, where it is for one.
    pub app: Option<AppName>,
}

impl Identity {
    /// What they may do with an app: an operator may do everything with each.
    pub fn app_role(&self, app: &AppName) -> Option<AppRole> {
        match self.role {
            PlatformRole::Operator => Some(AppRole::Owner),
            PlatformRole::Member => self.apps.get(app).copied(),
        }
    }

    /// Whether the platform as a whole is theirs to run.
    pub fn is_operator(&self) -> bool {
        self.role == PlatformRole::Operator
    }
}

impl Who {
    /// The user, where it is one.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match self {
            Self::User(identity) => Some(identity),
            Self::Operator | Self::Token(_) | Self::Nobody => None,
        }
    }
}

/// What is done with an app, as far as permission goes; each includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// See all of it but its secrets.
    Look,
    /// Deploy, change, see secrets.
    Change,
    /// Say who else may, and delete it.
    Own,
}

impl Right {
    fn role(self) -> AppRole {
        match self {
            Self::Look => AppRole::Viewer,
            Self::Change => AppRole::Developer,
            Self::Own => AppRole::Owner,
        }
    }
}

/// What is asked for, as far as permission goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access<'a> {
    /// Something of one app.
    App(&'a AppName, Right),
    /// An app that is to be created.
    NewApp,
    /// Something of the platform as a whole: all apps, users, tokens, checks.
    Platform,
    /// What anybody who is somebody may know: the platform's version and address.
    Hello,
    /// What is a user's own: password, second factor, sessions, tokens. A browser that is signed in opens it, and no token: one that is
    /// lost must not become a way in that outlives it.
    Account,
}

/// The choke point: every request of the API, of git and of the pages passes here before anything is looked up.
pub fn may(who: &Who, access: &Access<'_>) -> Result<()> {
    match who {
        Who::Operator | Who::Token(_) if *access == Access::Account => {
            Err(ErrorBody::new(ErrorCode::Forbidden, "this is a user's own, and no user is signed in here")
                .help("open the platform's address in a browser, and sign in"))
        }
        Who::Operator | Who::Token(TokenScope::Platform) => Ok(()),
        Who::Token(TokenScope::App(own)) => token_may(own, access),
        Who::User(identity) => user_may(identity, access),
        Who::Nobody => Err(ErrorBody::new(ErrorCode::Unauthorized, "a valid token is needed").help(
            "make one on the page of your account (an operator: with `adaptable token create NAME` on the platform's machine), and give \
             it with --token or ADAPTABLE_TOKEN; one that has expired or was revoked opens nothing",
        )),
    }
}

fn token_may(own: &AppName, access: &Access<'_>) -> Result<()> {
    match access {
        Access::Hello => Ok(()),
        Access::App(app, _) if own == *app => Ok(()),
        // Other apps are not told apart from those that are not there.
        Access::App(app, _) => Err(app_not_found(app)),
        Access::NewApp | Access::Platform | Access::Account => {
            Err(ErrorBody::new(ErrorCode::Forbidden, format!("this token is for the app {own} alone"))
                .help("use a token for the whole platform: `adaptable token create NAME`"))
        }
    }
}

fn user_may(identity: &Identity, access: &Access<'_>) -> Result<()> {
    match (access, &identity.token) {
        (Access::Account, Some(_)) => {
            return Err(ErrorBody::new(ErrorCode::Forbidden, "a token does not open what is its user's own")
                .help("sign in in a browser: it is on the page of your account"));
        }
        (Access::NewApp | Access::Platform, Some(OwnToken { app: Some(app), .. })) => {
            return Err(ErrorBody::new(ErrorCode::Forbidden, format!("this token is for the app {app} alone"))
                .help("make one that is for all of your apps, on the page of your account"));
        }
        _ => {}
    }
    match access {
        Access::Account | Access::Hello | Access::NewApp => Ok(()),
        Access::Platform if identity.is_operator() => Ok(()),
        Access::Platform => Err(ErrorBody::new(ErrorCode::Forbidden, "this is for the platform's operators")
            .help("ask an operator to do it, or to make you one")),
        Access::App(app, right) => match identity.app_role(app) {
            // A stranger's app is one that is not there.
            None => Err(app_not_found(app)),
            Some(role) if role >= right.role() => Ok(()),
            Some(role) => Err(ErrorBody::new(
                ErrorCode::Forbidden,
                format!("this takes the role {} in the app {app}; yours is {role}", right.role()),
            )
            .help("an owner of the app can change it, in the app's settings")),
        },
    }
}

impl Control {
    /// Whether somebody may deploy to an app: change it where it is there, or else make it.
    pub fn may_deploy(&self, who: &Who, app: &AppName) -> Result<()> {
        let change = may(who, &Access::App(app, Right::Change));
        match who {
            // Names are addresses and no secret: whoever makes an app is told that a name is taken.
            Who::User(identity) if identity.app_role(app).is_none() && self.has_app(app) => Err(name_taken(app)),
            Who::User(_) if !self.has_app(app) => may(who, &Access::NewApp),
            Who::Operator | Who::Token(_) | Who::User(_) | Who::Nobody => change,
        }
    }

    /// Who bears this token, and how it is called: one that is a user's own is that user, as they stand now.
    pub async fn who(&self, token: Option<String>) -> Result<(Who, String)> {
        let nobody = (Who::Nobody, String::new());
        let Some(token) = token else { return Ok(nobody) };
        let (text, now) = (Zeroizing::new(token), clock::now());
        let found = self
            .read(move |tx| {
                let Some(token) = tx.known_token(&text, now)? else { return Ok(None) };
                let (id, used_at, name) = (token.id, token.used_at, token.name.clone());
                Ok(bearer(tx, token)?.map(|who| (who, id, used_at, name)))
            })
            .await?;
        let Some((who, id, used_at, name)) = found else { return Ok(nobody) };
        if used_at.is_none_or(|used_at| now - used_at > USE_NOTED) {
            // A full disk must not lock out whoever comes to free it.
            let _not_noted = self.write(move |tx| tx.use_token(id, now)).await;
        }
        Ok((who, name))
    }
}

/// Whom a token makes of its bearer: nobody, where its user is locked out.
fn bearer(tx: &Tx<'_>, token: KnownToken) -> std::result::Result<Option<Who>, StoreError> {
    let Some(user) = token.user else { return Ok(Some(Who::Token(token.scope))) };
    let Some(user) = tx.user(user)?.filter(|user| !user.disabled) else { return Ok(None) };
    let mut identity = sessions::identity(tx, &user, None)?;
    let app = match token.scope {
        TokenScope::Platform => None,
        TokenScope::App(app) => {
            // Less than the user may, whoever asks later: an operator's token for one app is no operator's.
            let role = identity.app_role(&app);
            identity.role = PlatformRole::Member;
            identity.apps = role.map(|role| (app.clone(), role)).into_iter().collect();
            Some(app)
        }
    };
    identity.token = Some(OwnToken { id: token.id, name: token.name, app });
    Ok(Some(Who::User(Arc::new(identity))))
}

/// What whoever chooses another's app's name is told.
pub(crate) fn name_taken(app: &AppName) -> ErrorBody {
    ErrorBody::new(ErrorCode::Conflict, format!("the name {app} is taken")).help("choose another name")
}

#[cfg(test)]
mod tests;

//! Sessions: made at every sign-in, found by what a cookie holds, ended by their user, by time, or with their user.

use std::sync::Arc;

use model::UserId;
use store::{NewSession, SignedInBy, StoreError, Tx, User};
use zeroize::Zeroizing;

use crate::access::{Identity, USE_NOTED};
use crate::error::Result;
use crate::{Control, clock};

/// How long a session lives that is not used, in milliseconds.
const IDLE: i64 = 7 * 24 * 3600 * 1000;
/// How long a session lives at most, in milliseconds.
const ABSOLUTE: i64 = 30 * 24 * 3600 * 1000;
/// The most that is kept of what a browser says it is, in characters.
const AGENT_MAX: usize = 300;

/// The browser that somebody signs in with.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    /// Its address; empty where there is none.
    pub address: String,
    /// What it says it is.
    pub agent: String,
}

/// A browser that was signed in just now.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub identity: Arc<Identity>,
    /// What the session's cookie is to hold.
    pub cookie: Zeroizing<String>,
}

impl Control {
    /// Who is signed in by a cookie that holds this: nobody, where the session is unknown or too old, or its user locked out.
    pub async fn signed_in(&self, cookie: &str) -> Result<Option<Arc<Identity>>> {
        let text = Zeroizing::new(cookie.to_owned());
        let now = clock::now();
        let found = self
            .read(move |tx| {
                let Some(session) = tx.session(&text)? else { return Ok(None) };
                if now - session.used_at > IDLE || now - session.created_at > ABSOLUTE {
                    return Ok(None);
                }
                let Some(user) = tx.user(session.user)?.filter(|user| !user.disabled) else { return Ok(None) };
                Ok(Some((identity(tx, &user, Some(session.id))?, session)))
            })
            .await?;
        let Some((identity, session)) = found else { return Ok(None) };
        if now - session.used_at > USE_NOTED {
            // A full disk must not lock out whoever comes to free it.
            let _not_noted = self.write(move |tx| tx.use_session(session.id, now)).await;
        }
        Ok(Some(Arc::new(identity)))
    }

    /// What the forms of a session show besides its cookie.
    pub fn csrf_token(cookie: &str) -> String {
        store::csrf_token(cookie)
    }

    /// Signs a user in, whatever they have shown before: a new session each time.
    pub async fn begin_session(&self, user: UserId, how: SignedInBy, browser: &Browser) -> Result<SignedIn> {
        let new = new_session(user, how, browser);
        let now = clock::now();
        let (identity, cookie) = self.write(move |tx| begin(tx, &new, now)).await?;
        Ok(SignedIn { identity: Arc::new(identity), cookie })
    }

    /// Ends one session of a user; says whether there was one.
    pub async fn end_session(&self, user: UserId, session: i64) -> Result<bool> {
        self.write(move |tx| tx.end_session(user, session)).await
    }
}

pub(crate) fn new_session(user: UserId, how: SignedInBy, browser: &Browser) -> NewSession {
    let agent = browser.agent.chars().filter(|character| !character.is_control()).take(AGENT_MAX).collect();
    NewSession { user, how, address: browser.address.clone(), agent }
}

/// Makes a session within a transaction; forgets those that are too old.
pub(crate) fn begin(tx: &Tx<'_>, new: &NewSession, now: i64) -> std::result::Result<(Identity, Zeroizing<String>), StoreError> {
    tx.forget_old_sessions(now - ABSOLUTE, now - IDLE)?;
    let user = tx.user(new.user)?.ok_or_else(|| StoreError::Content { what: "a user", why: "gone".to_owned() })?;
    let (session, cookie) = tx.create_session(new, now)?;
    Ok((identity(tx, &user, Some(session))?, cookie))
}

/// A user as they stand.
pub(crate) fn identity(tx: &Tx<'_>, user: &User, session: Option<i64>) -> std::result::Result<Identity, StoreError> {
    Ok(Identity {
        id: user.id,
        name: user.name.clone(),
        role: user.role,
        apps: tx.memberships(user.id)?,
        avatar: user.github.as_ref().map(|account| account.avatar.clone()).unwrap_or_default(),
        session,
        token: None,
    })
}

//! Links that sign in once: the first operator's, and one for whoever has lost the way in.

use api::{ErrorBody, ErrorCode, SignInLink};
use model::{PlatformRole, UserId, UserName};
use store::{LinkFor, NewUser, SignedInBy};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::sessions::{self, Browser, SignedIn};
use crate::{Control, clock, passwords};

/// How long such a link can be used, in milliseconds.
const LINK_LIFE: i64 = 3600 * 1000;

/// For whom a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Welcome {
    /// It makes the first operator.
    FirstOperator,
    /// It signs this user in.
    User(UserName),
}

impl Control {
    /// Makes a link that signs in once, within an hour: the named user, or, where there is no user yet, the first operator. The text is an
    /// address of the platform, and is in this answer and nowhere else.
    pub async fn sign_in_link(&self, name: Option<&UserName>) -> Result<SignInLink> {
        let name = name.cloned();
        let now = clock::now();
        let made = self
            .write(move |tx| {
                let user = match &name {
                    Some(name) => match tx.user_named(name)? {
                        Some(user) if user.disabled => {
                            return Ok(Err(ErrorBody::new(ErrorCode::Conflict, format!("{name} is locked out"))
                                .help(format!("let them in first: adaptable users enable {name}"))));
                        }
                        Some(user) => Some(user),
                        None => return Ok(Err(no_such_user(name))),
                    },
                    None if tx.user_count()? == 0 => None,
                    None => match tx.users()?.into_iter().find(|user| user.role == PlatformRole::Operator && !user.disabled) {
                        Some(user) => Some(user),
                        None => return Ok(Err(ErrorBody::new(ErrorCode::NotFound, "there is no operator among the users"))),
                    },
                };
                let text = tx.create_sign_in_link(user.as_ref().map(|user| user.id), now, now + LINK_LIFE)?;
                Ok(Ok((text, user.map(|user| user.name))))
            })
            .await??;
        let (text, user) = made;
        let url = format!("{}/welcome/{}", self.urls().platform(), *text);
        Ok(SignInLink { url, user, expires_at: clock::timestamp(now + LINK_LIFE) })
    }

    /// Whether nobody has come yet.
    pub async fn has_no_users(&self) -> Result<bool> {
        Ok(self.read(|tx| tx.user_count()).await? == 0)
    }

    /// For whom that link is.
    pub async fn welcome(&self, link: &str) -> Result<Welcome> {
        let text = Zeroizing::new(link.to_owned());
        let now = clock::now();
        let found = self
            .read(move |tx| match tx.sign_in_link(&text, now)? {
                None => Ok(None),
                Some(LinkFor::FirstOperator) => Ok((tx.user_count()? == 0).then_some(Welcome::FirstOperator)),
                Some(LinkFor::User(user)) => {
                    Ok(tx.user(user)?.filter(|user| !user.disabled).map(|user| Welcome::User(user.name)))
                }
            })
            .await?;
        found.ok_or_else(link_is_gone)
    }

    /// Makes the first operator by a link, and signs them in.
    pub async fn welcome_first_operator(
        &self,
        link: &str,
        name: UserName,
        password: Zeroizing<String>,
        browser: &Browser,
    ) -> Result<SignedIn> {
        self.inner.entrance.try_address(&browser.address)?;
        if self.welcome(link).await? != Welcome::FirstOperator {
            return Err(link_is_gone());
        }
        passwords::check(&password, &name)?;
        let hash = self.inner.passwords.hash(password).await?;
        let link = Zeroizing::new(link.to_owned());
        let (browser, now) = (browser.clone(), clock::now());
        let made = self
            .write(move |tx| {
                // What was looked at before may have changed meanwhile.
                if tx.sign_in_link(&link, now)? != Some(LinkFor::FirstOperator)
                    || tx.user_count()? != 0
                    || !tx.take_sign_in_link(&link)?
                {
                    return Ok(None);
                }
                let new = NewUser { name: &name, role: PlatformRole::Operator, password: Some(&hash), github: None };
                let user = tx.create_user(&new, now)?;
                sessions::begin(tx, &sessions::new_session(user.id, SignedInBy::Link, &browser), now).map(Some)
            })
            .await?;
        let (identity, cookie) = made.ok_or_else(link_is_gone)?;
        Ok(SignedIn { identity: identity.into(), cookie })
    }

    /// Signs a user in by a link.
    pub async fn welcome_user(&self, link: &str, browser: &Browser) -> Result<SignedIn> {
        let link = Zeroizing::new(link.to_owned());
        let (browser, now) = (browser.clone(), clock::now());
        let made = self
            .write(move |tx| {
                let Some(LinkFor::User(user)) = tx.sign_in_link(&link, now)? else { return Ok(None) };
                let known = tx.user(user)?.is_some_and(|user| !user.disabled);
                if !known || !tx.take_sign_in_link(&link)? {
                    return Ok(None);
                }
                sessions::begin(tx, &sessions::new_session(user, SignedInBy::Link, &browser), now).map(Some)
            })
            .await?;
        let (identity, cookie) = made.ok_or_else(link_is_gone)?;
        Ok(SignedIn { identity: identity.into(), cookie })
    }

    /// Makes a user, with a password where one is given.
    pub async fn create_user(&self, name: UserName, role: PlatformRole, password: Option<Zeroizing<String>>) -> Result<UserId> {
        let hash = match password {
            Some(password) => {
                passwords::check(&password, &name)?;
                Some(self.inner.passwords.hash(password).await?)
            }
            None => None,
        };
        let now = clock::now();
        let user = self
            .write(move |tx| tx.create_user(&NewUser { name: &name, role, password: hash.as_deref(), github: None }, now))
            .await?;
        Ok(user.id)
    }
}

pub(crate) fn no_such_user(name: &UserName) -> ErrorBody {
    ErrorBody::new(ErrorCode::UserNotFound, format!("there is no user {name}"))
        .help("`adaptable users list` shows those that there are")
}

/// The same for a link that was used, that is too old, and that never was.
pub(crate) fn link_is_gone() -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, "this link does not work (any more): it is good for an hour, and once")
        .help("`adaptable sign-in-link` on the platform's machine makes another")
}

//! Accounts of GitHub's as users of the platform: matched by GitHub's number, which is never given again, and by nothing else.

use api::{ErrorBody, ErrorCode};
use github::Person;
use model::UserId;
use store::{GitHubAccount, SignedInBy};

use crate::Control;
use crate::error::Result;
use crate::sessions::{Browser, SignedIn};

impl Control {
    /// Signs in the user to whom an account is connected.
    pub(super) async fn sign_in_with_github(&self, person: &Person, browser: &Browser) -> Result<SignedIn> {
        let account = account(person);
        let found = self
            .write(move |tx| {
                let user = tx.user_of_github(account.id)?.filter(|user| !user.disabled);
                if let Some(user) = &user {
                    // The login and the picture may be others by now.
                    tx.set_github(user.id, Some(&account))?;
                }
                Ok(user.map(|user| user.id))
            })
            .await?;
        match found {
            Some(user) => self.begin_session(user, SignedInBy::GitHub, browser).await,
            None => {
                Err(ErrorBody::new(ErrorCode::Forbidden, format!("nobody here is known by the GitHub account {}", person.login))
                    .help("ask an operator for an invitation, or sign in with your password and connect the account"))
            }
        }
    }

    /// Connects an account to a user, in the place of another one.
    pub(super) async fn connect_github(&self, user: UserId, person: &Person) -> Result<()> {
        let (account, login) = (account(person), person.login.clone());
        let taken = self
            .write(move |tx| {
                let other = tx.user_of_github(account.id)?.is_some_and(|other| other.id != user);
                if !other {
                    tx.set_github(user, Some(&account))?;
                }
                Ok(other)
            })
            .await?;
        if taken {
            return Err(ErrorBody::new(ErrorCode::Conflict, format!("the GitHub account {login} is connected to another user"))
                .help("sign in with GitHub to be that user, or disconnect it there"));
        }
        Ok(())
    }
}

fn account(person: &Person) -> GitHubAccount {
    GitHubAccount { id: person.id, login: person.login.clone(), avatar: person.avatar_url.clone() }
}

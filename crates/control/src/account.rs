//! Use cases on one's own account: password, second factor, sessions, the account of GitHub.

use api::{ErrorBody, ErrorCode, SessionDocument};
use zeroize::Zeroizing;

use crate::access::Identity;
use crate::error::Result;
use crate::{Control, clock, passwords, totp};

/// What one needs to set a second factor up.
#[derive(Debug)]
pub struct NewSecondFactor {
    /// The secret, to be typed in, and to be shown again with the first code.
    pub secret: Zeroizing<String>,
    /// What the picture says.
    pub url: Zeroizing<String>,
}

impl Control {
    /// A user's sessions, the one last used first.
    pub async fn sessions(&self, identity: &Identity) -> Result<Vec<SessionDocument>> {
        let (id, current) = (identity.id, identity.session);
        let rows = self.read(move |tx| tx.sessions(id)).await?;
        Ok(rows
            .into_iter()
            .map(|row| SessionDocument {
                id: row.id.to_string(),
                current: current == Some(row.id),
                how: row.how.as_str().to_owned(),
                created_at: clock::timestamp(row.created_at),
                used_at: clock::timestamp(row.used_at),
                address: row.address,
                agent: row.agent,
            })
            .collect())
    }

    /// Ends one of a user's sessions.
    pub async fn revoke_session(&self, identity: &Identity, session: &str) -> Result<()> {
        let not_found = || ErrorBody::new(ErrorCode::UserNotFound, "there is no such session");
        let session: i64 = session.parse().map_err(|_no_number| not_found())?;
        if self.end_session(identity.id, session).await? { Ok(()) } else { Err(not_found()) }
    }

    /// Ends all of a user's sessions but the one that asks.
    pub async fn end_other_sessions(&self, identity: &Identity) -> Result<usize> {
        let (id, keep) = (identity.id, identity.session);
        self.write(move |tx| tx.end_sessions(id, keep)).await
    }

    /// Changes a user's password, where the one before is right (or there is none), and ends their other sessions.
    pub async fn change_password(&self, identity: &Identity, old: Zeroizing<String>, new: Zeroizing<String>) -> Result<()> {
        self.confirm(identity, old).await?;
        passwords::check(&new, &identity.name)?;
        let hash = self.inner.passwords.hash(new).await?;
        let (id, keep) = (identity.id, identity.session);
        self.write(move |tx| {
            tx.set_password(id, &hash)?;
            tx.end_sessions(id, keep).map(drop)
        })
        .await
    }

    /// A secret for a second factor; nothing is changed until a code of it was shown.
    pub fn new_second_factor(&self, identity: &Identity) -> NewSecondFactor {
        let secret = totp::secret();
        let url = totp::url(&self.inner.config.urls.domain, identity.name.as_str(), &secret);
        NewSecondFactor { secret: totp::base32(&secret), url }
    }

    /// What the picture of a secret says that was made before.
    pub fn second_factor_url(&self, identity: &Identity, secret: &str) -> Result<Zeroizing<String>> {
        let secret = totp::from_base32(secret).ok_or_else(no_secret)?;
        Ok(totp::url(&self.inner.config.urls.domain, identity.name.as_str(), &secret))
    }

    /// Sets the second factor up, where the code is one of the secret's; gives the recovery codes, this once.
    pub async fn set_second_factor(&self, identity: &Identity, secret: &str, code: &str) -> Result<Vec<String>> {
        let secret = totp::from_base32(secret).ok_or_else(no_secret)?;
        let Some(step) = totp::step_of(&secret, code, clock::now()) else {
            return Err(ErrorBody::new(
                ErrorCode::BadRequest,
                "this is not the code that the authenticator shows for this secret",
            )
            .help("see that its clock is right, and try the next code"));
        };
        let codes = totp::recovery_codes();
        let (id, kept) = (identity.id, codes.clone());
        self.write(move |tx| {
            tx.set_totp(id, Some(&secret), &kept)?;
            tx.take_totp_step(id, step).map(drop)
        })
        .await?;
        Ok(codes)
    }

    /// Takes the second factor away, where the password is right.
    pub async fn remove_second_factor(&self, identity: &Identity, password: Zeroizing<String>) -> Result<()> {
        self.confirm(identity, password).await?;
        let id = identity.id;
        self.write(move |tx| tx.set_totp(id, None, &[])).await
    }

    /// How many recovery codes a user has left.
    pub async fn recovery_codes_left(&self, identity: &Identity) -> Result<u32> {
        let id = identity.id;
        self.read(move |tx| tx.recovery_codes_left(id)).await
    }

    /// Unlinks a user's account of GitHub. Whoever has no password would not get in again.
    pub async fn unlink_github(&self, identity: &Identity) -> Result<()> {
        let id = identity.id;
        self.write(move |tx| {
            if tx.credentials(id)?.is_some_and(|credentials| credentials.password.is_none()) {
                return Ok(Err(ErrorBody::new(ErrorCode::Conflict, "without GitHub you could not sign in any more")
                    .help("set a password first")));
            }
            tx.remove_github_token(id.0)?;
            tx.set_github(id, None).map(Ok)
        })
        .await?
    }

    /// Refuses who does not know the password of a user who has one. A session alone, left open somewhere, is not enough.
    async fn confirm(&self, identity: &Identity, password: Zeroizing<String>) -> Result<()> {
        let id = identity.id;
        let kept = self.read(move |tx| tx.credentials(id)).await?.and_then(|credentials| credentials.password);
        let Some(kept) = kept else { return Ok(()) };
        self.inner.entrance.try_account(identity.name.as_str())?;
        if self.inner.passwords.verify(password, Some(kept)).await? {
            self.inner.entrance.give_back(identity.name.as_str());
            return Ok(());
        }
        Err(ErrorBody::new(ErrorCode::Forbidden, "the password is not right").help("nothing was changed; try again"))
    }
}

fn no_secret() -> ErrorBody {
    ErrorBody::new(ErrorCode::BadRequest, "this is not a secret of this platform").help("begin anew")
}

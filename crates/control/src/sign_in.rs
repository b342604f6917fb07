//! Signing in by name and password, and by the second factor where there is one; not too often.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use api::{ErrorBody, ErrorCode};
use model::{UserId, UserName};
use store::SignedInBy;
use zeroize::Zeroizing;

use crate::access::Who;
use crate::error::Result;
use crate::limits::{Limit, Tries, address_key};
use crate::sessions::{Browser, SignedIn};
use crate::{Control, clock, totp};

/// For one address: a family that shares one must get in, a list of passwords must not.
const PER_ADDRESS: Limit = Limit { burst: 20, refill: 15_000 };
/// For one account, from wherever: 120 tries an hour. It is not locked, since then anybody could lock anybody out.
const PER_ACCOUNT: Limit = Limit { burst: 10, refill: 30_000 };
/// How long the second factor is waited for, in milliseconds.
const PATIENCE: i64 = 5 * 60 * 1000;
/// How many may be on their way between the first factor and the second.
const ON_THE_WAY_MAX: usize = 1000;

/// How signing in went on.
#[derive(Debug)]
pub enum Step {
    /// In.
    SignedIn(SignedIn),
    /// The password was right; a code is asked for. The text is shown with it.
    SecondFactor(Zeroizing<String>),
}

/// Those who try.
#[derive(Debug)]
pub(crate) struct Entrance {
    addresses: Tries,
    accounts: Tries,
    /// Who has shown the first factor: for whom, and until when.
    on_the_way: Mutex<HashMap<String, (UserId, i64)>>,
}

impl Default for Entrance {
    fn default() -> Self {
        Self { addresses: Tries::new(PER_ADDRESS), accounts: Tries::new(PER_ACCOUNT), on_the_way: Mutex::default() }
    }
}

impl Entrance {
    /// Takes a try of an address.
    pub(crate) fn try_address(&self, address: &str) -> Result<()> {
        self.addresses.take(&address_key(address), clock::now()).map_err(too_often)
    }

    /// Takes a try of an account.
    pub(crate) fn try_account(&self, account: &str) -> Result<()> {
        self.accounts.take(account, clock::now()).map_err(too_often)
    }

    /// Gives a try of an account back.
    pub(crate) fn give_back(&self, account: &str) {
        self.accounts.give_back(account);
    }

    fn good(&self, address: &str, account: &str) {
        self.addresses.give_back(&address_key(address));
        self.accounts.give_back(account);
    }

    fn set_out(&self, user: UserId) -> Result<Zeroizing<String>> {
        let now = clock::now();
        let mut all = self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, until)| *until > now);
        if all.len() >= ON_THE_WAY_MAX {
            return Err(too_often(10_000));
        }
        let text = store::random_text();
        all.insert(text.to_string(), (user, now + PATIENCE));
        Ok(text)
    }

    fn on_the_way(&self, text: &str) -> Option<UserId> {
        let all = self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(text).filter(|(_, until)| *until > clock::now()).map(|(user, _)| *user)
    }

    fn arrive(&self, text: &str) {
        self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner).remove(text);
    }
}

/// What whoever tries too often is told.
fn too_often(wait: i64) -> ErrorBody {
    let seconds = (wait + 999) / 1000;
    ErrorBody::new(ErrorCode::RateLimited, "too many tries to sign in").help(format!("wait {seconds} s, then try again"))
}

impl Control {
    /// Looks at a name and a password. A name that there is not takes as long as one that there is, and is told alike.
    pub async fn sign_in(&self, name: &str, password: Zeroizing<String>, browser: &Browser) -> Result<Step> {
        let name = UserName::typed(name).ok();
        let account = name.as_ref().map_or("", UserName::as_str).to_owned();
        self.inner.entrance.try_address(&browser.address)?;
        self.inner.entrance.try_account(&account)?;
        let found = self
            .read(move |tx| {
                let user = name.map(|name| tx.user_named(&name)).transpose()?.flatten();
                let credentials = user.as_ref().map(|user| tx.credentials(user.id)).transpose()?.flatten();
                Ok(user.zip(credentials))
            })
            .await?;
        let kept = found.as_ref().and_then(|(_, credentials)| credentials.password.clone());
        let right = self.inner.passwords.verify(password, kept).await?;
        let Some((user, credentials)) = found.filter(|(user, _)| right && !user.disabled) else {
            self.audit(&Who::Nobody, "sign-in.refused", None, &format!("as {account:?}, by password"), &browser.address).await;
            return Err(ErrorBody::new(ErrorCode::Unauthorized, "this name and password don't belong together")
                .help("try again, or ask an operator for a link to sign in by"));
        };
        if credentials.totp.is_some() {
            return Ok(Step::SecondFactor(self.inner.entrance.set_out(user.id)?));
        }
        self.inner.entrance.good(&browser.address, &account);
        self.begin_session(user.id, SignedInBy::Password, browser).await.map(Step::SignedIn)
    }

    /// Looks at the code of somebody whose password was right: of the authenticator, or for emergencies. Each is taken once.
    pub async fn second_factor(&self, on_the_way: &str, code: &str, browser: &Browser) -> Result<SignedIn> {
        let entrance = &self.inner.entrance;
        let again =
            || ErrorBody::new(ErrorCode::Unauthorized, "signing in took too long").help("begin anew with your name and password");
        let user = entrance.on_the_way(on_the_way).ok_or_else(again)?;
        entrance.try_address(&browser.address)?;
        let found = self.read(move |tx| Ok(tx.user(user)?.zip(tx.credentials(user)?))).await?;
        let (found, credentials) = found.filter(|(user, _)| !user.disabled).ok_or_else(again)?;
        let account = found.name.to_string();
        entrance.try_account(&account)?;
        let step = credentials.totp.as_ref().and_then(|secret| totp::step_of(secret, code, clock::now()));
        let recovery = totp::typed_recovery_code(code);
        let taken = match (step, recovery) {
            (Some(step), _) => self.write(move |tx| tx.take_totp_step(user, step)).await?,
            (None, Some(recovery)) => self.write(move |tx| tx.take_recovery_code(user, &recovery)).await?,
            (None, None) => false,
        };
        if !taken {
            self.audit(&Who::Nobody, "sign-in.refused", None, &format!("as {account:?}, by code"), &browser.address).await;
            return Err(ErrorBody::new(ErrorCode::Forbidden, "this code is wrong, too old, or was used already")
                .help("wait for the next code of your authenticator, or use one of your recovery codes"));
        }
        entrance.arrive(on_the_way);
        entrance.good(&browser.address, &account);
        self.begin_session(user, SignedInBy::Password, browser).await
    }
}

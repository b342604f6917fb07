//! Signing in with GitHub, connecting an account to a user, and the way back from installing the App.

use api::{ErrorBody, ErrorCode};
use github::Pkce;
use model::UserId;
use store::GitHubAccount;
use url::Url;

use super::flows::Errand;
use super::from_github;
use crate::access::Who;
use crate::error::Result;
use crate::invites::GitHubWay;
use crate::sessions::{Browser, SignedIn};
use crate::{Control, clock};

/// What a browser is sent to GitHub for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To come in, or to link an account to who is in.
    Enter(GitHubWay),
    /// To install the App on an account, or to give it more repositories: "Connect GitHub Repository".
    Install,
}

/// How a browser came back.
#[derive(Debug)]
pub struct Arrival {
    /// Who came in by it.
    pub signed_in: Option<Box<SignedIn>>,
    /// Where it goes on: a path of the platform.
    pub next: String,
    /// Whether it came back by the same way before, and all was done then.
    pub again: bool,
}

impl Arrival {
    /// Nobody came in: an account is connected, or the App is made or installed.
    pub(super) fn at(next: String) -> Self {
        Self { signed_in: None, next, again: false }
    }
}

impl Control {
    /// Where a browser is to go, and by what it is known when it comes back: `browser` is what a cookie of it holds. It goes on to `next`.
    pub async fn begin_oauth(&self, purpose: Purpose, next: &str, browser: &str) -> Result<Url> {
        let keys = self.github_keys()?;
        let client = &self.inner.hub.client;
        let errand = match purpose {
            Purpose::Install => {
                let state = self.depart(Errand::Install, next, browser, None).await?;
                return Ok(client.install_url(&keys, &state));
            }
            Purpose::Enter(way) => Errand::Enter(way),
        };
        let pkce = Pkce::generate();
        let state = self.depart(errand, next, browser, Some(pkce.clone())).await?;
        Ok(client.authorize_url(&keys, &self.callback_url()?, &state, &pkce))
    }

    /// A browser comes back from GitHub with a code, and with the state that it went with. `who` is who is signed in there now.
    pub async fn finish_oauth(&self, who: &Who, code: &str, state: &str, secret: &str, browser: &Browser) -> Result<Arrival> {
        let (control, who, browser) = (self.clone(), who.clone(), browser.clone());
        let back = (code.to_owned(), state.to_owned(), secret.to_owned());
        let work = async move { control.settle(&who, &back.0, &back.1, &back.2, &browser).await };
        self.once_back(state, secret, work).await
    }

    async fn settle(&self, who: &Who, code: &str, state: &str, secret: &str, browser: &Browser) -> Result<Arrival> {
        let flow = self.arrive(state, secret).await?;
        let way = match flow.errand {
            // Its code was made without a challenge, so it proves nothing: whoever is not signed in signs in by a way of their own, on
            // which GitHub asks nothing more.
            Errand::Install => {
                self.look_anew();
                return Ok(Arrival::at(flow.next));
            }
            Errand::SetUp => {
                return Err(ErrorBody::new(ErrorCode::BadRequest, "this way back from GitHub is for something else"));
            }
            Errand::Enter(GitHubWay::Link(user)) if who.identity().is_none_or(|identity| identity.id != user) => {
                return Err(ErrorBody::new(ErrorCode::Forbidden, "somebody else is signed in than the one who went to GitHub")
                    .help("connect GitHub again"));
            }
            Errand::Enter(way) => way,
        };
        let keys = self.github_keys()?;
        let client = &self.inner.hub.client;
        let token = client.exchange(&keys, code, flow.pkce.as_ref(), &self.callback_url()?).await;
        let token = self.judged(token).await.map_err(from_github)?;
        let person = client.user(&token).await.map_err(from_github)?;
        let now = clock::now();
        self.look_anew();
        let account = GitHubAccount { id: person.id, login: person.login, avatar: person.avatar_url };
        if let GitHubWay::Link(user) = way {
            self.link_github(user, account).await?;
            self.write(move |tx| tx.set_github_token(user.0, &token, now)).await?;
            return Ok(Arrival::at(flow.next));
        }
        let signed_in = self.enter_with_github(account, way, browser).await?;
        let user = signed_in.identity.id;
        self.write(move |tx| tx.set_github_token(user.0, &token, now)).await?;
        Ok(Arrival { signed_in: Some(Box::new(signed_in)), ..Arrival::at(flow.next) })
    }

    /// Links an account to a user who is signed in. Another one that is linked has to be unlinked first: so nobody is led to link one that
    /// is not theirs, which would let its owner in.
    async fn link_github(&self, user: UserId, account: GitHubAccount) -> Result<()> {
        let login = account.login.clone();
        let conflict = |message: String, help: &str| Ok(Err(ErrorBody::new(ErrorCode::Conflict, message).help(help)));
        self.write(move |tx| {
            if tx.user_of_github(account.id)?.is_some_and(|other| other.id != user) {
                let help = "sign in with GitHub to be that user, or unlink it there";
                return conflict(format!("the GitHub account {login} is linked to another user"), help);
            }
            if let Some(before) = tx.user(user)?.and_then(|user| user.github).filter(|before| before.id != account.id) {
                let help = "sign in to GitHub as that one, or unlink it on the page of your account first";
                return conflict(format!("your account at GitHub is {}, and this is {login}", before.login), help);
            }
            tx.set_github(user, Some(&account)).map(Ok)
        })
        .await?
    }
}

//! GitHub's part of the platform: the App, who sees what of it, where apps come from, and what pushes do.
//!
//! Deliveries are worked off and GitHub is told of deployments by tasks of their own ([`Control::begin_github_work`]); everything else is
//! done while somebody waits for it. Tokens of installations are in memory alone, those of users sealed in the store.

mod deliveries;
mod events;
mod fetched;
mod flows;
mod links;
pub(crate) mod missed;
mod oauth;
mod reports;
mod setup;
mod sight;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use api::{ErrorBody, ErrorCode};
use github::{AppKeys, GitHub, GitHubError, InstallationId, InstallationToken, Repository, RepositoryId, Whose};
use tokio::sync::{Notify, Semaphore};

pub use deliveries::Received;
pub use fetched::{Branch, GitHubSource};
pub use flows::ManifestForm;
pub use oauth::{Arrival, Purpose};

use crate::Control;
use crate::error::{Result, from_store};

/// Commits that are fetched at the same time; each may hold much of the network and the disk.
const FETCHES: usize = 2;

/// Repositories, and when they were seen.
type Listed = (Instant, Arc<Vec<Repository>>);

/// What is kept of GitHub beside the store.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) client: GitHub,
    /// The App's keys, as the store has them.
    keys: RwLock<Option<Arc<AppKeys>>>,
    /// Whether the store says that GitHub takes the keys no more.
    broken: Mutex<bool>,
    /// Wakes who works deliveries off.
    deliveries: Notify,
    /// Wakes who tells GitHub of deployments.
    reports: Notify,
    /// Wakes who looks for pushes that were not told of.
    looks: Notify,
    /// Repositories as somebody saw them a moment ago.
    listings: Mutex<HashMap<(sight::Eyes, InstallationId), Listed>>,
    /// Held while a user's token is renewed: what renews it is good for once.
    renewals: Mutex<HashMap<i64, Arc<tokio::sync::Mutex<()>>>>,
    /// Commits that were fetched a while ago, and their uploads.
    fetched: Mutex<HashMap<(RepositoryId, String), fetched::Known>>,
    fetches: Semaphore,
}

impl Hub {
    pub(crate) fn new(client: GitHub, keys: Option<AppKeys>, broken: bool) -> Self {
        Self {
            client,
            keys: RwLock::new(keys.map(Arc::new)),
            broken: Mutex::new(broken),
            deliveries: Notify::new(),
            reports: Notify::new(),
            looks: Notify::new(),
            listings: Mutex::default(),
            renewals: Mutex::default(),
            fetched: Mutex::default(),
            fetches: Semaphore::new(FETCHES),
        }
    }

    /// The App's keys, where it is set up.
    pub(crate) fn keys(&self) -> Option<Arc<AppKeys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_keys(&self, keys: Option<AppKeys>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.map(Arc::new);
        *lock(&self.broken) = false;
        lock(&self.listings).clear();
        lock(&self.fetched).clear();
    }

    /// A deployment's state has changed, of which GitHub may have to be told.
    pub(crate) fn report_soon(&self) {
        self.reports.notify_one();
    }

    /// What an installation sees is another now.
    fn forget(&self, installation: InstallationId) {
        self.client.forget_installation(installation);
        lock(&self.listings).retain(|(_, other), _| *other != installation);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What GitHub said, for the API.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(crate) fn from_github(error: GitHubError) -> ErrorBody {
    let code = match &error {
        GitHubError::RateLimited { .. } => ErrorCode::RateLimited,
        GitHubError::Unauthorized { whose: Whose::User, .. } => return sign_in_first("GitHub takes your sign-in no more"),
        _ => ErrorCode::GithubFailed,
    };
    let message = error.to_string();
    // Its texts end with what to do, after the last semicolon.
    match message.rsplit_once("; ") {
        Some((what, help)) => ErrorBody::new(code, what).help(help),
        None => ErrorBody::new(code, message),
    }
}

/// Nobody knows what the one who asks may see.
pub(crate) fn sign_in_first(why: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::GithubSignIn, why).help("connect GitHub, and try again")
}

impl Control {
    /// GitHub, as web needs it for addresses.
    pub fn github_endpoints(&self) -> &github::Endpoints {
        self.inner.hub.client.endpoints()
    }

    /// Whether a GitHub App is set up.
    pub fn has_github(&self) -> bool {
        self.inner.hub.keys().is_some()
    }

    /// The App's keys, or that there are none yet.
    pub(crate) fn github_keys(&self) -> Result<Arc<AppKeys>> {
        self.inner.hub.keys().ok_or_else(|| {
            ErrorBody::new(ErrorCode::Conflict, "this platform is not connected to GitHub yet")
                .help("an operator sets the GitHub App up at /operator/github")
        })
    }

    /// A token that opens one repository, by the App's own keys.
    pub(crate) async fn repository_token(
        &self,
        installation: InstallationId,
        repository: RepositoryId,
    ) -> std::result::Result<InstallationToken, Hitch> {
        let keys = self.github_keys()?;
        let token = self.inner.hub.client.installation_token(&keys, installation, Some(repository)).await;
        Ok(self.judged(token).await?)
    }

    /// Passes on what was asked for with the App's keys, and keeps whether they are good.
    pub(crate) async fn judged<T>(&self, result: github::Result<T>) -> github::Result<T> {
        let problem = match &result {
            Err(error @ GitHubError::Unauthorized { whose: Whose::App, .. }) => Some(error.to_string()),
            // Nothing is known of the keys by other trouble.
            Err(_) => return result,
            Ok(_) => None,
        };
        {
            let mut broken = lock(&self.inner.hub.broken);
            if *broken == problem.is_some() {
                return result;
            }
            *broken = problem.is_some();
        }
        if let Err(error) = self.inner.store.write(move |tx| tx.set_github_problem(problem.as_deref())).await {
            tracing::warn!(error = %from_store(error).message, "note how the GitHub App does");
        }
        result
    }
}

/// What came in the way, and whether it passes.
#[derive(Debug)]
pub(crate) enum Hitch {
    /// It may go by itself: to be tried again, not before then (milliseconds since 1970) where that is known.
    Passing(ErrorBody, Option<i64>),
    /// Somebody has to do something.
    Lasting(ErrorBody),
}

impl Hitch {
    pub(crate) fn into_error(self) -> ErrorBody {
        match self {
            Self::Passing(error, _) | Self::Lasting(error) => error,
        }
    }
}

impl From<GitHubError> for Hitch {
    fn from(error: GitHubError) -> Self {
        let (passes, at) = (error.is_passing(), error.retry_at().map(|at| at.as_millisecond()));
        let error = from_github(error);
        if passes { Self::Passing(error, at) } else { Self::Lasting(error) }
    }
}

impl From<ErrorBody> for Hitch {
    fn from(error: ErrorBody) -> Self {
        match error.code {
            // The platform stops, is handed over, or has a full disk.
            ErrorCode::Unavailable => Self::Passing(error, None),
            _ => Self::Lasting(error),
        }
    }
}

impl From<Hitch> for ErrorBody {
    fn from(hitch: Hitch) -> Self {
        hitch.into_error()
    }
}

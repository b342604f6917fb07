//! Who sees which repositories: a user what GitHub shows to them, an operator without an account of GitHub's what the App sees.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{ErrorBody, ErrorCode, GitHubBranch, GitHubInstallation, GitHubRepository};
use futures_util::future::try_join_all;
use github::{AccountKind, GitHubError, Installation, InstallationId, Repository, RepositoryId, Selection, UserToken};
use jiff::Timestamp;
use model::UserId;
use store::{InstallationRow, TokenScope};

use super::{from_github, lock, sign_in_first};
use crate::access::Who;
use crate::error::Result;
use crate::{Control, clock};

/// How long a list of repositories is good.
const GOOD: Duration = Duration::from_mins(1);
/// The most lists that are kept.
const LISTS_MAX: usize = 500;

/// Whose eyes a list was seen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Eyes {
    App,
    User(UserId),
}

/// What somebody sees with.
pub(super) enum Sight {
    /// All that the App sees.
    App,
    /// What GitHub shows to this user.
    User(UserId, UserToken),
}

impl Sight {
    fn eyes(&self) -> Eyes {
        match self {
            Self::App => Eyes::App,
            Self::User(id, _) => Eyes::User(*id),
        }
    }
}

/// A repository that somebody may see, and the installation that opens it.
pub(crate) struct Seen {
    pub(crate) installation: InstallationId,
    pub(crate) repository: Repository,
}

impl Control {
    /// The accounts that have the App, as far as the one who asks may see them.
    pub async fn github_installations(&self, who: &Who) -> Result<Vec<GitHubInstallation>> {
        let sight = self.sight(who).await?;
        let list = self.installations_in(&sight).await?;
        Ok(list.into_iter().map(installation).collect())
    }

    /// The repositories that the one who asks may see, those that were pushed to last first: of one installation or of all, and with
    /// `search` in their names or descriptions.
    pub async fn github_repositories(&self, who: &Who, of: Option<u64>, search: Option<&str>) -> Result<Vec<GitHubRepository>> {
        let sight = self.sight(who).await?;
        let search = search.unwrap_or_default().trim().to_lowercase();
        let matches = |it: &Repository| {
            let text = |text: &str| text.to_lowercase().contains(&search);
            search.is_empty() || text(it.name.as_str()) || it.description.as_deref().is_some_and(text)
        };
        let mut found = Vec::new();
        for (installation, list) in self.repositories_in(&sight, of.map(InstallationId), false).await? {
            found.extend(list.iter().filter(|it| matches(it)).map(|it| repository(installation, it)));
        }
        found.sort_by(|a, b| b.pushed_at.cmp(&a.pushed_at).then_with(|| a.full_name.cmp(&b.full_name)));
        Ok(found)
    }

    /// The branches of a repository that the one who asks may see, the default first.
    pub async fn github_branches(&self, who: &Who, of: u64) -> Result<Vec<GitHubBranch>> {
        let seen = self.find_repository(who, RepositoryId(of)).await?;
        let token = self.repository_token(seen.installation, seen.repository.id).await?;
        let branches = self.inner.hub.client.branches(&token, &seen.repository.name).await.map_err(from_github)?;
        let mut list: Vec<_> = branches
            .items
            .into_iter()
            .map(|it| GitHubBranch {
                default: it.name == seen.repository.default_branch,
                commit: it.commit.as_str().to_owned(),
                name: it.name,
            })
            .collect();
        list.sort_by(|a, b| b.default.cmp(&a.default).then_with(|| a.name.cmp(&b.name)));
        Ok(list)
    }

    /// A repository that the one who asks may see. One that they may not is not told from one that is not there.
    pub(crate) async fn find_repository(&self, who: &Who, id: RepositoryId) -> Result<Seen> {
        self.find(who, |it| it.id == id).await
    }

    /// The same by its name.
    pub async fn github_repository_named(&self, who: &Who, name: &str) -> Result<GitHubRepository> {
        let seen = self.find(who, |it| it.name.as_str().eq_ignore_ascii_case(name)).await?;
        Ok(repository(seen.installation, &seen.repository))
    }

    async fn find(&self, who: &Who, is_it: impl Fn(&Repository) -> bool) -> Result<Seen> {
        let sight = self.sight(who).await?;
        // A list from a moment ago may lack what was added since.
        for anew in [false, true] {
            for (installation, list) in self.repositories_in(&sight, None, anew).await? {
                if let Some(repository) = list.iter().find(|it| is_it(it)) {
                    return Ok(Seen { installation, repository: repository.clone() });
                }
            }
        }
        Err(ErrorBody::new(ErrorCode::NotFound, "this repository is not there, or the platform may not see it")
            .help("add it to the GitHub App with \"Add more GitHub repositories\""))
    }

    /// With whose eyes somebody sees.
    async fn sight(&self, who: &Who) -> Result<Sight> {
        self.github_keys()?;
        match who {
            Who::Operator | Who::Token(TokenScope::Platform) => Ok(Sight::App),
            Who::User(identity) => match self.user_token(identity.id).await? {
                Some(token) => Ok(Sight::User(identity.id, token)),
                None if identity.is_operator() => Ok(Sight::App),
                None => Err(sign_in_first("no account of GitHub's is connected to yours")),
            },
            Who::Token(TokenScope::App(_)) => {
                Err(ErrorBody::new(ErrorCode::Forbidden, "a token for one app sees no repositories")
                    .help("use a token for the whole platform, or the dashboard"))
            }
            Who::Nobody => Err(ErrorBody::new(ErrorCode::Unauthorized, "sign in first")),
        }
    }

    async fn installations_in(&self, sight: &Sight) -> Result<Vec<Installation>> {
        let client = &self.inner.hub.client;
        let listing = match sight {
            Sight::User(id, token) => {
                let listing = client.installations(token).await;
                self.user_judged(*id, listing).await?
            }
            Sight::App => {
                let keys = self.github_keys()?;
                let listing = client.app_installations(&keys).await;
                self.judged(listing).await.map_err(from_github)?
            }
        };
        let mut list = listing.items;
        list.sort_by_key(|it| it.account.login.to_lowercase());
        self.note_installations(&list).await;
        Ok(list)
    }

    /// The repositories of each installation that is not suspended.
    async fn repositories_in(
        &self,
        sight: &Sight,
        of: Option<InstallationId>,
        anew: bool,
    ) -> Result<Vec<(InstallationId, Arc<Vec<Repository>>)>> {
        let installations = self.installations_in(sight).await?;
        let mut lists = Vec::new();
        for it in installations {
            if it.suspended_at.is_none() && of.is_none_or(|of| it.id == of) {
                lists.push(async move { Ok::<_, ErrorBody>((it.id, self.repositories_of(sight, it.id, anew).await?)) });
            }
        }
        try_join_all(lists).await
    }

    async fn repositories_of(&self, sight: &Sight, id: InstallationId, anew: bool) -> Result<Arc<Vec<Repository>>> {
        let hub = &self.inner.hub;
        let key = (sight.eyes(), id);
        let kept = lock(&hub.listings).get(&key).filter(|(seen, _)| !anew && seen.elapsed() < GOOD).cloned();
        if let Some((_, list)) = kept {
            return Ok(list);
        }
        let listing = match sight {
            Sight::User(user, token) => {
                let listing = hub.client.repositories(token, id).await;
                self.user_judged(*user, listing).await?
            }
            Sight::App => {
                let keys = self.github_keys()?;
                let token = hub.client.installation_token(&keys, id, None).await;
                let token = self.judged(token).await.map_err(from_github)?;
                hub.client.installation_repositories(&token).await.map_err(from_github)?
            }
        };
        let list = Arc::new(listing.items);
        let mut listings = lock(&hub.listings);
        listings.retain(|_, (seen, _)| seen.elapsed() < GOOD);
        if listings.len() < LISTS_MAX {
            listings.insert(key, (Instant::now(), Arc::clone(&list)));
        }
        Ok(list)
    }

    /// A user's token, renewed where it is about to end; none where they have none, or GitHub takes it no more.
    async fn user_token(&self, user: UserId) -> Result<Option<UserToken>> {
        let kept = |id: i64| self.read(move |tx| tx.github_token::<UserToken>(id));
        let Some(token) = kept(user.0).await? else { return Ok(None) };
        if !token.is_stale(Timestamp::now()) {
            return Ok(Some(token));
        }
        let turn = Arc::clone(lock(&self.inner.hub.renewals).entry(user.0).or_default());
        let _turn = turn.lock().await;
        // Somebody else may have renewed it meanwhile; what renewed it then is worth nothing now.
        let Some(token) = kept(user.0).await? else { return Ok(None) };
        if !token.is_stale(Timestamp::now()) {
            return Ok(Some(token));
        }
        let keys = self.github_keys()?;
        let expired = || GitHubError::Refused { code: "expired".to_owned(), said: "the sign-in has expired".to_owned() };
        let renewed =
            if token.can_refresh(Timestamp::now()) { self.inner.hub.client.refresh(&keys, &token).await } else { Err(expired()) };
        match renewed {
            Ok(renewed) => {
                let (keep, now) = (renewed.clone(), clock::now());
                self.write(move |tx| tx.set_github_token(user.0, &keep, now)).await?;
                Ok(Some(renewed))
            }
            Err(GitHubError::Refused { .. } | GitHubError::Unauthorized { whose: github::Whose::User, .. }) => {
                self.forget_user_token(user).await?;
                Err(sign_in_first("your sign-in with GitHub has expired"))
            }
            Err(error) => Err(from_github(error)),
        }
    }

    /// Passes on what was asked for with a user's token, which is forgotten where GitHub takes it no more.
    async fn user_judged<T>(&self, user: UserId, result: github::Result<T>) -> Result<T> {
        match result {
            Ok(value) => Ok(value),
            Err(GitHubError::Unauthorized { .. }) => {
                self.forget_user_token(user).await?;
                Err(sign_in_first("GitHub takes your sign-in no more"))
            }
            Err(error) => Err(from_github(error)),
        }
    }

    async fn forget_user_token(&self, user: UserId) -> Result<()> {
        lock(&self.inner.hub.listings).retain(|(eyes, _), _| *eyes != Eyes::User(user));
        self.write(move |tx| tx.remove_github_token(user.0)).await.map(drop)
    }

    /// What was listed for somebody is listed anew: they come from GitHub's pages.
    pub(super) fn look_anew(&self) {
        lock(&self.inner.hub.listings).clear();
    }

    /// Whether a user has connected an account of GitHub's.
    pub(super) async fn is_connected(&self, who: &Who) -> Result<bool> {
        match who {
            Who::User(identity) => {
                let id = identity.id.0;
                Ok(self.read(move |tx| tx.github_token::<UserToken>(id)).await?.is_some())
            }
            _ => Ok(false),
        }
    }

    /// Keeps the names of installations, for when GitHub tells of one.
    async fn note_installations(&self, list: &[Installation]) {
        let now = clock::now();
        let noted = async {
            let known = self.read(|tx| tx.installations()).await?;
            let is_known =
                |new: &InstallationRow| known.iter().any(|old| InstallationRow { seen_at: old.seen_at, ..new.clone() } == *old);
            let rows: Vec<_> = list.iter().map(|it| row(it, now)).filter(|new| !is_known(new)).collect();
            if rows.is_empty() {
                return Ok(());
            }
            self.write(move |tx| rows.iter().try_for_each(|row| tx.set_installation(row))).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error.message, "note the installations of the GitHub App");
        }
    }
}

pub(super) fn kind(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::User => "user",
        AccountKind::Organization => "organization",
        AccountKind::Enterprise => "enterprise",
    }
}

fn row(it: &Installation, now: i64) -> InstallationRow {
    InstallationRow {
        id: it.id.0,
        account: it.account.login.clone(),
        kind: kind(it.account.kind).to_owned(),
        page: it.html_url.clone(),
        suspended: it.suspended_at.is_some(),
        seen_at: now,
    }
}

fn installation(it: Installation) -> GitHubInstallation {
    GitHubInstallation {
        id: it.id.0,
        account: it.account.login,
        kind: kind(it.account.kind).to_owned(),
        all_repositories: it.selection == Selection::All,
        suspended: it.suspended_at.is_some(),
        page: it.html_url,
    }
}

fn repository(installation: InstallationId, it: &Repository) -> GitHubRepository {
    GitHubRepository {
        id: it.id.0,
        installation: installation.0,
        full_name: it.name.as_str().to_owned(),
        private: it.is_private,
        archived: it.is_archived,
        default_branch: it.default_branch.clone(),
        pushed_at: it.pushed_at,
        description: it.description.clone().filter(|text| !text.is_empty()),
        page: it.html_url.clone(),
    }
}

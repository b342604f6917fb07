//! A commit of GitHub's as an upload of the platform's: looked up, fetched, checked, kept under its digest.

use std::time::{Duration, Instant};

use api::{ErrorBody, ErrorCode};
use github::{CommitSha, GitHubError, InstallationId, RepositoryId, RepositoryName};
use source::git::{CommitId, FetchError, Fetched, Origin, SnapshotError};
use source::{CollectError, Limits};

use super::{Hitch, lock};
use crate::Control;
use crate::access::Who;
use crate::error::{Result, internal};

/// How long a commit that was fetched is not fetched again: its upload is kept for an hour.
const GOOD: Duration = Duration::from_mins(30);

/// A branch of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// GitHub's number of the repository.
    pub repository: u64,
    /// The installation that opens it.
    pub installation: u64,
    /// The branch's name.
    pub name: String,
}

/// The source of a commit on GitHub.
#[derive(Debug, Clone)]
pub struct GitHubSource {
    /// The digest of its tree, by which a deployment names it.
    pub upload: String,
    /// Which commit.
    pub commit: model::Commit,
    /// What is worth knowing of the tree: submodules and pointers of LFS, which are not deployed.
    pub notes: Vec<String>,
    /// The repository's name now.
    pub full_name: String,
}

/// A commit that was fetched.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    since: Instant,
    upload: String,
    subject: String,
    author: String,
    notes: Vec<String>,
}

impl Control {
    /// The newest commit of a branch, fetched, for somebody who may see the repository. Checks and a first deployment both begin with it.
    pub async fn github_source(&self, who: &Who, repository: u64, branch: &str) -> Result<GitHubSource> {
        let _change = self.begin_change()?;
        let seen = self.find_repository(who, RepositoryId(repository)).await?;
        let at = Branch { repository, installation: seen.installation.0, name: branch.to_owned() };
        Ok(self.fetch_head(&at).await?)
    }

    /// The newest commit of a branch, fetched with the App's own keys.
    pub(crate) async fn fetch_head(&self, at: &Branch) -> std::result::Result<GitHubSource, Hitch> {
        let (id, installation) = (RepositoryId(at.repository), InstallationId(at.installation));
        let token = self.repository_token(installation, id).await?;
        let client = &self.inner.hub.client;
        // By its number: the name may be another one by now.
        let found = client.repository_by_id(&token, id).await?;
        let head = client.head(&token, &found.name, &at.name).await.map_err(|error| match error {
            GitHubError::NotFound { .. } => Hitch::Lasting(no_branch(&at.name, found.name.as_str())),
            error => error.into(),
        })?;
        self.fetch(installation, id, &found.name, &head.id, &at.name).await
    }

    /// A commit, fetched with the App's own keys.
    pub(crate) async fn fetch_commit(&self, at: &Branch, commit: &CommitSha) -> std::result::Result<GitHubSource, Hitch> {
        let (id, installation) = (RepositoryId(at.repository), InstallationId(at.installation));
        let token = self.repository_token(installation, id).await?;
        let found = self.inner.hub.client.repository_by_id(&token, id).await?;
        self.fetch(installation, id, &found.name, commit, &at.name).await
    }

    async fn fetch(
        &self,
        installation: InstallationId,
        repository: RepositoryId,
        name: &RepositoryName,
        commit: &CommitSha,
        branch: &str,
    ) -> std::result::Result<GitHubSource, Hitch> {
        let hub = &self.inner.hub;
        let key = (repository, commit.as_str().to_owned());
        let _turn = hub.fetches.acquire().await.map_err(|error| internal("fetch a commit", &error))?;
        let known = lock(&hub.fetched).get(&key).filter(|known| known.since.elapsed() < GOOD).cloned();
        let known = match known {
            // Touched, so that it is not swept while it waits.
            Some(known) if self.inner.uploads.known(&known.upload).is_ok() => known,
            _ => {
                let known = self.fetch_anew(installation, repository, name, commit).await?;
                let mut fetched = lock(&hub.fetched);
                fetched.retain(|_, known| known.since.elapsed() < GOOD);
                fetched.insert(key, known.clone());
                known
            }
        };
        Ok(GitHubSource {
            upload: known.upload,
            commit: model::Commit {
                id: commit.as_str().to_owned(),
                subject: known.subject,
                author: known.author,
                branch: branch.to_owned(),
                dirty: false,
            },
            notes: known.notes,
            full_name: name.as_str().to_owned(),
        })
    }

    async fn fetch_anew(
        &self,
        installation: InstallationId,
        repository: RepositoryId,
        name: &RepositoryName,
        commit: &CommitSha,
    ) -> std::result::Result<Known, Hitch> {
        let token = self.repository_token(installation, repository).await?;
        let odd = |error: &dyn std::fmt::Display| internal("name a commit on GitHub", error);
        let origin = Origin::new(self.github_endpoints().clone_url(name).as_str(), Some(token.secret().reveal()));
        let origin = origin.map_err(|error| odd(&error))?;
        let id = CommitId::parse(commit.as_str()).map_err(|error| odd(&error))?;
        let scratch = self.fetch_directory();
        let fetched = source::git::fetch(&origin, &id, &scratch).await.map_err(|error| not_fetched(&error, name))?;
        Ok(self.keep_fetched(&fetched).await?)
    }

    async fn keep_fetched(&self, fetched: &Fetched) -> Result<Known> {
        let uploads = &self.inner.uploads;
        let scratch = uploads.scratch(&format!("fetch-{}", self.inner.serial()));
        let received = fetched.receive(Limits::default(), &scratch).await.map_err(|error| {
            let _nothing = std::fs::remove_file(&scratch);
            refused(&error)
        });
        let (received, notes) = received?;
        let upload = uploads.adopt(&scratch, &received.digest_hex())?;
        let (subject, author) = (fetched.subject.clone(), fetched.author.clone());
        Ok(Known { since: Instant::now(), upload, subject, author, notes })
    }

    /// Where repositories lie while a commit is fetched.
    pub(crate) fn fetch_directory(&self) -> std::path::PathBuf {
        self.inner.config.data_dir.join("fetch")
    }
}

pub(super) fn no_branch(branch: &str, name: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, format!("{name} has no branch {branch} (any more)"))
        .help("push the branch again, or choose another one in the app's settings")
}

fn not_fetched(error: &FetchError, name: &RepositoryName) -> Hitch {
    if let FetchError::Git(error) = error {
        return internal("fetch a commit", error).into();
    }
    let passes = error.may_pass();
    let help = match error {
        FetchError::NoAccess => "look whether the GitHub App may still see the repository",
        FetchError::NoSuchCommit(_) => "push again; it may be that another push took its place",
        FetchError::Moved => "choose the repository again in the app's settings",
        FetchError::TooLarge => "keep large files out of the repository",
        FetchError::Unreachable(_) | FetchError::TooSlow => "try again later",
        FetchError::Refused(_) | FetchError::Git(_) => "look at the commit with `git fsck`",
    };
    let error = ErrorBody::new(ErrorCode::GithubFailed, format!("{name}: {error}")).help(help);
    if passes { Hitch::Passing(error, None) } else { Hitch::Lasting(error) }
}

fn refused(error: &SnapshotError) -> ErrorBody {
    let code = match error {
        SnapshotError::Tree(CollectError::TooLarge { .. } | CollectError::TooMany { .. }) => ErrorCode::SourceTooLarge,
        _ => ErrorCode::SourceRefused,
    };
    ErrorBody::new(code, crate::push::chain(error)).help("nothing was deployed; remove it from the repository, and push again")
}

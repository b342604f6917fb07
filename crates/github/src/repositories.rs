//! What a person sees through the App: who they are, installations, repositories, branches, commits.

use jiff::Timestamp;
use serde::Deserialize;

use crate::call::{Call, GitHub, Listing};
use crate::error::Result;
use crate::event::{Account, AccountKind};
use crate::ids::{CommitSha, InstallationId, RepositoryId, RepositoryName};
use crate::oauth::UserToken;
use crate::tokens::InstallationToken;

/// Who has signed in. The number is who it is; the login may change, and be somebody else's tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Person {
    /// Their number.
    pub id: u64,
    /// Their name in URLs.
    pub login: String,
    /// Their name, where they have given one.
    pub name: Option<String>,
    /// Their picture.
    pub avatar_url: String,
    /// Their page.
    pub html_url: String,
}

/// Which repositories of an account the App may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All, those of tomorrow, too.
    All,
    /// Those that were chosen.
    Selected,
}

/// The App on an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its number.
    pub id: InstallationId,
    /// The account.
    pub account: Account,
    /// Which repositories.
    pub selection: Selection,
    /// GitHub's page where repositories are added ("Add more GitHub repositories").
    pub html_url: String,
    /// Since when it is suspended, where it is.
    pub suspended_at: Option<Timestamp>,
}

/// An installation as the API describes it.
#[derive(Deserialize)]
pub(crate) struct InstallationDocument {
    id: InstallationId,
    account: Option<AccountDocument>,
    #[serde(default)]
    repository_selection: String,
    #[serde(default)]
    html_url: String,
    suspended_at: Option<Timestamp>,
}

/// An account, or an Enterprise, which has a slug instead of a login.
#[derive(Deserialize)]
pub(crate) struct AccountDocument {
    id: u64,
    login: Option<String>,
    slug: Option<String>,
    r#type: Option<String>,
}

impl From<AccountDocument> for Account {
    fn from(document: AccountDocument) -> Self {
        let kind = match document.r#type.as_deref() {
            Some("User" | "Bot") => AccountKind::User,
            Some("Organization") => AccountKind::Organization,
            _ => AccountKind::Enterprise,
        };
        Self { id: document.id, login: document.login.or(document.slug).unwrap_or_default(), kind }
    }
}

impl From<InstallationDocument> for Installation {
    fn from(document: InstallationDocument) -> Self {
        let nobody = Account { id: 0, login: String::new(), kind: AccountKind::User };
        Self {
            id: document.id,
            account: document.account.map_or(nobody, Account::from),
            selection: if document.repository_selection == "all" { Selection::All } else { Selection::Selected },
            html_url: document.html_url,
            suspended_at: document.suspended_at,
        }
    }
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// Its number.
    pub id: RepositoryId,
    /// Owner and name.
    #[serde(rename = "full_name")]
    pub name: RepositoryName,
    /// Whether only some may see it.
    #[serde(rename = "private")]
    pub is_private: bool,
    /// The branch that is shown first; in an empty repository there is none of this name.
    pub default_branch: String,
    /// When it was last pushed to.
    pub pushed_at: Option<Timestamp>,
    /// What it is, in its owner's words.
    pub description: Option<String>,
    /// Its page.
    pub html_url: String,
    /// Whether it takes no pushes any more.
    #[serde(rename = "archived", default)]
    pub is_archived: bool,
}

/// A branch and its newest commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Its name, without `refs/heads/`.
    pub name: String,
    /// Its newest commit.
    pub commit: CommitSha,
    /// Whether rules protect it.
    pub is_protected: bool,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: CommitSha,
    /// Its message, all lines.
    pub message: String,
    /// Who wrote it.
    pub author: String,
    /// When it was written.
    pub at: Option<Timestamp>,
    /// Its page.
    pub html_url: String,
}

#[derive(Deserialize)]
struct Installations {
    installations: Vec<InstallationDocument>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
struct BranchDocument {
    name: String,
    commit: Tip,
    #[serde(default)]
    protected: bool,
}

#[derive(Deserialize)]
struct Tip {
    sha: CommitSha,
}

/// A branch with the whole of its newest commit.
#[derive(Deserialize)]
struct HeadDocument {
    commit: TipWithCommit,
}

#[derive(Deserialize)]
struct TipWithCommit {
    sha: CommitSha,
    html_url: String,
    commit: Written,
}

#[derive(Deserialize)]
struct Written {
    message: String,
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Author {
    #[serde(default)]
    name: String,
    date: Option<Timestamp>,
}

#[derive(Deserialize)]
struct GitCommit {
    sha: CommitSha,
    html_url: String,
    #[serde(flatten)]
    written: Written,
}

fn commit(id: CommitSha, html_url: String, written: Written) -> Commit {
    let (author, at) = written.author.map_or_else(Default::default, |author| (author.name, author.date));
    Commit { id, message: written.message, author, at, html_url }
}

impl GitHub {
    /// Who a token belongs to.
    pub async fn user(&self, token: &UserToken) -> Result<Person> {
        let url = self.endpoints().resource(&["user"]);
        self.ask(Call::get(token.credentials(), url, "look who signed in")).await
    }

    /// The installations of the App that a user may see.
    pub async fn installations(&self, token: &UserToken) -> Result<Listing<Installation>> {
        let url = self.endpoints().resource(&["user", "installations"]);
        let call = Call::get(token.credentials(), url, "list your accounts");
        self.all(call, |page: Installations| page.installations.into_iter().map(Installation::from).collect()).await
    }

    /// The repositories of an installation that the user may see, too.
    pub async fn repositories(&self, token: &UserToken, installation: InstallationId) -> Result<Listing<Repository>> {
        let url = self.endpoints().resource(&["user", "installations", &installation.to_string(), "repositories"]);
        let call = Call::get(token.credentials(), url, "list your repositories");
        self.all(call, |page: Repositories| page.repositories).await
    }

    /// All repositories of an installation.
    pub async fn installation_repositories(&self, token: &InstallationToken) -> Result<Listing<Repository>> {
        let url = self.endpoints().resource(&["installation", "repositories"]);
        let call = Call::get(token.credentials(), url, "list the account's repositories");
        self.all(call, |page: Repositories| page.repositories).await
    }

    /// A repository by its number, whatever it is called now. (`/repositories/ID` is where GitHub itself redirects the old name to.)
    pub async fn repository_by_id(&self, token: &InstallationToken, id: RepositoryId) -> Result<Repository> {
        let url = self.endpoints().resource(&["repositories", &id.to_string()]);
        self.ask(Call::get(token.credentials(), url, "look at the repository")).await
    }

    /// A repository by its name, or by one that it had.
    pub async fn repository(&self, token: &InstallationToken, name: &RepositoryName) -> Result<Repository> {
        let url = self.endpoints().resource(&["repos", name.owner(), name.name()]);
        self.ask(Call::get(token.credentials(), url, format!("look at {name}"))).await
    }

    /// A repository's branches. An empty repository has none.
    pub async fn branches(&self, token: &InstallationToken, name: &RepositoryName) -> Result<Listing<Branch>> {
        let url = self.endpoints().resource(&["repos", name.owner(), name.name(), "branches"]);
        let call = Call::get(token.credentials(), url, format!("list the branches of {name}"));
        let branch = |it: BranchDocument| Branch { name: it.name, commit: it.commit.sha, is_protected: it.protected };
        self.all(call, move |page: Vec<BranchDocument>| page.into_iter().map(branch).collect()).await
    }

    /// A branch's newest commit.
    pub async fn head(&self, token: &InstallationToken, name: &RepositoryName, branch: &str) -> Result<Commit> {
        let url = self.endpoints().resource(&["repos", name.owner(), name.name(), "branches", branch]);
        let doing = format!("look at the branch {branch} of {name}");
        let head: HeadDocument = self.ask(Call::get(token.credentials(), url, doing)).await?;
        Ok(commit(head.commit.sha, head.commit.html_url, head.commit.commit))
    }

    /// A commit. Of git's own database: the other description of a commit brings its whole change along.
    pub async fn commit(&self, token: &InstallationToken, name: &RepositoryName, id: &CommitSha) -> Result<Commit> {
        let url = self.endpoints().resource(&["repos", name.owner(), name.name(), "git", "commits", id.as_str()]);
        let doing = format!("look at the commit {} of {name}", id.short());
        let found: GitCommit = self.ask(Call::get(token.credentials(), url, doing)).await?;
        Ok(commit(found.sha, found.html_url, found.written))
    }
}

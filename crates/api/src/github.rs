//! GitHub on the wire: the App of the platform, what can be chosen through it, and where an app's source comes from.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answer to `GET /github`: how far the set-up has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitHubState {
    /// Where GitHub is: `https://github.com` unless the settings say otherwise.
    pub web: String,
    /// The App, where one is set up.
    pub app: Option<GitHubApp>,
    /// Whether the one who asks has connected an account of GitHub's.
    #[serde(default)]
    pub connected: bool,
}

/// The platform's GitHub App.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitHubApp {
    /// GitHub's number of it.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its name in addresses.
    pub slug: String,
    /// Its page on GitHub.
    pub page: String,
    /// When it was set up here.
    pub created_at: Timestamp,
    /// Where GitHub has to send deliveries.
    pub webhook: String,
    /// Why GitHub takes its keys no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Body of `PUT /github`: an App that is there already. It is asked for at GitHub before it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGitHubApp {
    /// GitHub's number of it ("App ID").
    pub id: u64,
    /// "Client ID".
    pub client_id: String,
    /// A client secret.
    pub client_secret: String,
    /// The private key, as GitHub's .pem file holds it.
    pub private_key: String,
    /// The secret of the webhook.
    pub webhook_secret: String,
}

impl std::fmt::Debug for NewGitHubApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewGitHubApp").field("id", &self.id).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// One entry of `GET /github/installations`: the App on an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitHubInstallation {
    /// GitHub's number of it.
    pub id: u64,
    /// The account.
    pub account: String,
    /// `user` or `organization`.
    pub kind: String,
    /// Whether it sees all of the account's repositories, or chosen ones.
    pub all_repositories: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// GitHub's page where repositories are added.
    pub page: String,
}

/// One entry of `GET /github/repositories`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitHubRepository {
    /// GitHub's number of it, which stays when it is renamed.
    pub id: u64,
    /// The installation that opens it.
    pub installation: u64,
    /// Owner and name.
    pub full_name: String,
    /// Whether only some may see it.
    pub private: bool,
    /// Whether it takes no pushes any more.
    pub archived: bool,
    /// The branch that is shown first.
    pub default_branch: String,
    /// When it was last pushed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
    /// What it is, in its owner's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its page.
    pub page: String,
}

/// One entry of `GET /github/branches`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitHubBranch {
    /// Its name.
    pub name: String,
    /// Its newest commit.
    pub commit: String,
    /// Whether GitHub shows it first.
    pub default: bool,
}

/// Query of `GET /github/repositories`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RepositoryQuery {
    /// Of this installation alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation: Option<u64>,
    /// Whose full name or description holds this, in whatever case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// Query of `GET /github/branches`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BranchQuery {
    /// The repository: `owner/name`.
    pub repository: String,
}

/// Answer to `GET /apps/{app}/source`: the branch that is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppSource {
    /// GitHub's number of the repository.
    pub repository_id: u64,
    /// Its name, as last seen.
    pub repository: String,
    /// The installation that opens it.
    pub installation: u64,
    /// The branch.
    pub branch: String,
    /// Whether a push deploys.
    pub auto_deploy: bool,
    /// The repository's page.
    pub page: String,
    /// When it was chosen.
    pub linked_at: Timestamp,
    /// What stands in the way of the next push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<SourceTrouble>,
}

/// What stands in the way of the next push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceTrouble {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Since when.
    pub at: Timestamp,
}

/// Body of `PUT /apps/{app}/source`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAppSource {
    /// The repository: `owner/name`.
    pub repository: String,
    /// The branch; the repository's default where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether a push deploys.
    #[serde(default = "yes")]
    pub auto_deploy: bool,
}

fn yes() -> bool {
    true
}

/// One entry of `GET /github/deliveries`: what GitHub told the platform, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitHubDelivery {
    /// GitHub's id of it.
    pub id: String,
    /// The event.
    pub event: String,
    /// When it came.
    pub received_at: Timestamp,
    /// `waiting`, `done` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next, where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// What came of it.
    pub result: String,
}

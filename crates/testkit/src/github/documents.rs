//! What the stand-in's API says of accounts, repositories, installations …, with every field that GitHub's own description requires.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::repositories::Commit;
use super::state::{Account, App, Installation, Repository, State, written};

/// A time for what has none here.
const EPOCH: &str = "2020-01-01T00:00:00Z";

/// A repository's addresses that are a word after its own.
const URLS: &[&str] = &[
    "contributors",
    "deployments",
    "downloads",
    "events",
    "forks",
    "hooks",
    "languages",
    "merges",
    "stargazers",
    "subscribers",
    "subscription",
    "tags",
    "teams",
];
/// A repository's addresses with something to be filled in.
const TEMPLATES: &[(&str, &str)] = &[
    ("archive", "{archive_format}{/ref}"),
    ("assignees", "assignees{/user}"),
    ("blobs", "git/blobs{/sha}"),
    ("branches", "branches{/branch}"),
    ("collaborators", "collaborators{/collaborator}"),
    ("comments", "comments{/number}"),
    ("commits", "commits{/sha}"),
    ("compare", "compare/{base}...{head}"),
    ("contents", "contents/{+path}"),
    ("git_commits", "git/commits{/sha}"),
    ("git_refs", "git/refs{/sha}"),
    ("git_tags", "git/tags{/sha}"),
    ("issue_comment", "issues/comments{/number}"),
    ("issue_events", "issues/events{/number}"),
    ("issues", "issues{/number}"),
    ("keys", "keys{/key_id}"),
    ("labels", "labels{/name}"),
    ("milestones", "milestones{/number}"),
    ("notifications", "notifications{?since,all,participating}"),
    ("pulls", "pulls{/number}"),
    ("releases", "releases{/id}"),
    ("statuses", "statuses/{sha}"),
    ("trees", "git/trees{/sha}"),
];
/// What is counted of a repository, and nothing here has any of.
const COUNTS: &[&str] = &[
    "forks",
    "forks_count",
    "open_issues",
    "open_issues_count",
    "size",
    "stargazers_count",
    "watchers",
    "watchers_count",
    "network_count",
    "subscribers_count",
];

fn node(kind: &str, id: u64) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{kind}{id}"))
}

impl State {
    /// `simple-user`.
    pub(super) fn user_document(&self, account: &Account) -> Value {
        let url = format!("{}/users/{}", self.api, account.login);
        let mut document = json!({
            "login": account.login,
            "id": account.id,
            "node_id": node("U", account.id),
            "avatar_url": format!("{}/avatars/{}", self.web, account.id),
            "gravatar_id": "",
            "url": url,
            "html_url": format!("{}/{}", self.web, account.login),
            "following_url": format!("{url}/following{{/other_user}}"),
            "gists_url": format!("{url}/gists{{/gist_id}}"),
            "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
            "events_url": format!("{url}/events{{/privacy}}"),
            "type": if account.is_organization { "Organization" } else { "User" },
            "user_view_type": "public",
            "site_admin": false,
        });
        for part in ["followers", "subscriptions", "orgs", "repos", "received_events"] {
            let key = if part == "orgs" { "organizations_url".to_owned() } else { format!("{part}_url") };
            document[key] = json!(format!("{url}/{part}"));
        }
        document
    }

    /// `organization-simple-webhooks`.
    pub(super) fn organization_document(&self, account: &Account) -> Value {
        let url = format!("{}/orgs/{}", self.api, account.login);
        let mut document = json!({
            "login": account.login,
            "id": account.id,
            "node_id": node("O", account.id),
            "url": url,
            "avatar_url": format!("{}/avatars/{}", self.web, account.id),
            "members_url": format!("{url}/members{{/member}}"),
            "public_members_url": format!("{url}/public_members{{/member}}"),
            "description": null,
        });
        for part in ["repos", "events", "hooks", "issues"] {
            document[format!("{part}_url")] = json!(format!("{url}/{part}"));
        }
        document
    }

    /// `public-user`: who a user's token belongs to. The App asks for no right to the private one.
    pub(super) fn person_document(&self, account: &Account) -> Value {
        let mut document = self.user_document(account);
        for (key, value) in [
            ("name", json!(account.name)),
            ("company", Value::Null),
            ("blog", json!("")),
            ("location", Value::Null),
            ("email", Value::Null),
            ("hireable", Value::Null),
            ("bio", Value::Null),
            ("public_repos", json!(self.repositories.values().filter(|it| it.owner == account.id && !it.is_private).count())),
            ("public_gists", json!(0)),
            ("followers", json!(0)),
            ("following", json!(0)),
            ("created_at", json!(EPOCH)),
            ("updated_at", json!(EPOCH)),
        ] {
            document[key] = value;
        }
        document
    }

    /// `repository`, and what `full-repository` has beyond it.
    pub(super) fn repository_document(&self, repository: &Repository) -> Value {
        let owner = &self.accounts[&repository.owner];
        let full_name = self.full_name(repository);
        let (url, page) = (format!("{}/repos/{full_name}", self.api), format!("{}/{full_name}", self.web));
        let mut document = Map::new();
        for part in URLS {
            document.insert(format!("{part}_url"), json!(format!("{url}/{part}")));
        }
        for (part, path) in TEMPLATES {
            document.insert(format!("{part}_url"), json!(format!("{url}/{path}")));
        }
        for count in COUNTS {
            document.insert((*count).to_owned(), json!(0));
        }
        for (flag, value) in [
            ("fork", false),
            ("has_downloads", true),
            ("has_issues", true),
            ("has_projects", true),
            ("has_wiki", true),
            ("has_pages", false),
            ("has_discussions", false),
            ("archived", repository.is_archived),
            ("disabled", false),
            ("allow_forking", true),
            ("is_template", false),
            ("web_commit_signoff_required", false),
            ("private", repository.is_private),
        ] {
            document.insert(flag.to_owned(), json!(value));
        }
        for (key, value) in [
            ("id", json!(repository.id)),
            ("node_id", json!(node("R", repository.id))),
            ("name", json!(repository.name)),
            ("full_name", json!(full_name)),
            ("owner", self.user_document(owner)),
            ("html_url", json!(page)),
            ("url", json!(url)),
            ("clone_url", json!(format!("{page}.git"))),
            ("git_url", json!(format!("git:{}.git", page.trim_start_matches("http:")))),
            ("ssh_url", json!(format!("git@github.example:{full_name}.git"))),
            ("svn_url", json!(page)),
            ("mirror_url", Value::Null),
            ("description", json!(repository.description)),
            ("homepage", Value::Null),
            ("language", Value::Null),
            ("license", Value::Null),
            ("topics", json!([])),
            ("visibility", json!(if repository.is_private { "private" } else { "public" })),
            ("default_branch", json!(repository.default_branch)),
            ("pushed_at", json!(written(repository.pushed_at))),
            ("created_at", json!(EPOCH)),
            ("updated_at", json!(written(repository.pushed_at))),
        ] {
            document.insert(key.to_owned(), value);
        }
        Value::Object(document)
    }

    /// A repository in short, as events of installations tell of it.
    pub(super) fn short_repository(&self, repository: &Repository) -> Value {
        json!({
            "id": repository.id,
            "node_id": node("R", repository.id),
            "name": repository.name,
            "full_name": self.full_name(repository),
            "private": repository.is_private,
        })
    }

    /// `integration`.
    pub(super) fn app_document(&self, app: &App) -> Value {
        json!({
            "id": app.id,
            "slug": app.slug,
            "node_id": node("A", app.id),
            "client_id": app.client_id,
            "owner": self.user_document(&self.accounts[&app.owner]),
            "name": app.name,
            "description": "",
            "external_url": app.url,
            "html_url": format!("{}/apps/{}", self.web, app.slug),
            "created_at": EPOCH,
            "updated_at": EPOCH,
            "permissions": app.permissions,
            "events": app.events,
            "installations_count": self.installations.values().filter(|it| it.app == app.id).count(),
        })
    }

    /// Where an installation's repositories are chosen.
    pub(super) fn settings_page(&self, installation: &Installation) -> String {
        let account = &self.accounts[&installation.account];
        if account.is_organization {
            format!("{}/organizations/{}/settings/installations/{}", self.web, account.login, installation.id)
        } else {
            format!("{}/settings/installations/{}", self.web, installation.id)
        }
    }

    /// `installation`.
    pub(super) fn installation_document(&self, installation: &Installation) -> Value {
        let (account, app) = (&self.accounts[&installation.account], &self.apps[&installation.app]);
        let suspended_by = installation.suspended_at.map(|_| self.user_document(&self.accounts[&app.owner]));
        json!({
            "id": installation.id,
            "client_id": app.client_id,
            "account": self.user_document(account),
            "repository_selection": if installation.chosen.is_none() { "all" } else { "selected" },
            "access_tokens_url": format!("{}/app/installations/{}/access_tokens", self.api, installation.id),
            "repositories_url": format!("{}/installation/repositories", self.api),
            "html_url": self.settings_page(installation),
            "app_id": app.id,
            "app_slug": app.slug,
            "target_id": account.id,
            "target_type": if account.is_organization { "Organization" } else { "User" },
            "permissions": app.permissions,
            "events": app.events,
            "created_at": written(installation.created_at),
            "updated_at": written(installation.created_at),
            "single_file_name": null,
            "has_multiple_single_files": false,
            "single_file_paths": [],
            "suspended_by": suspended_by,
            "suspended_at": installation.suspended_at.map(written),
        })
    }

    /// `git-commit`.
    pub(super) fn git_commit_document(&self, full_name: &str, commit: &Commit) -> Value {
        let url = format!("{}/repos/{full_name}", self.api);
        let page = format!("{}/{full_name}/commit", self.web);
        let parents = commit
            .parents
            .iter()
            .map(|sha| json!({ "sha": sha, "url": format!("{url}/git/commits/{sha}"), "html_url": format!("{page}/{sha}") }));
        let person = json!({ "name": commit.author, "email": commit.email, "date": written(commit.at) });
        json!({
            "sha": commit.sha,
            "node_id": format!("C_{}", commit.sha),
            "url": format!("{url}/git/commits/{}", commit.sha),
            "html_url": format!("{page}/{}", commit.sha),
            "author": person,
            "committer": person,
            "tree": { "sha": commit.tree, "url": format!("{url}/git/trees/{}", commit.tree) },
            "message": commit.message.trim_end(),
            "parents": parents.collect::<Vec<_>>(),
            "verification": { "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null },
        })
    }

    /// `commit`: with accounts and addresses, and what git knows within.
    pub(super) fn commit_document(&self, full_name: &str, commit: &Commit) -> Value {
        let git = self.git_commit_document(full_name, commit);
        let url = format!("{}/repos/{full_name}/commits/{}", self.api, commit.sha);
        json!({
            "sha": commit.sha,
            "node_id": git["node_id"],
            "url": url,
            "html_url": git["html_url"],
            "comments_url": format!("{url}/comments"),
            "commit": {
                "url": git["url"],
                "author": git["author"],
                "committer": git["committer"],
                "message": git["message"],
                "comment_count": 0,
                "tree": git["tree"],
                "verification": git["verification"],
            },
            "author": null,
            "committer": null,
            "parents": git["parents"],
        })
    }

    /// A commit as a push tells of it.
    pub(super) fn pushed_commit_document(&self, full_name: &str, commit: &Commit) -> Value {
        let person = json!({ "name": commit.author, "email": commit.email, "username": commit.author });
        json!({
            "id": commit.sha,
            "tree_id": commit.tree,
            "distinct": true,
            "message": commit.message.trim_end(),
            "timestamp": written(commit.at),
            "url": format!("{}/{full_name}/commit/{}", self.web, commit.sha),
            "author": person,
            "committer": person,
            "added": [],
            "removed": [],
            "modified": commit.files,
        })
    }

    /// The user that an App is to others: who made its statuses.
    pub(super) fn bot_document(&self, app: &App) -> Value {
        let bot = Account {
            id: app.id + 1_000_000,
            login: format!("{}[bot]", app.slug),
            name: None,
            is_organization: false,
            members: std::collections::BTreeSet::new(),
        };
        let mut document = self.user_document(&bot);
        // In addresses, brackets are written as what they are not.
        for value in document.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(url) = value.as_str().filter(|text| text.starts_with("http")) {
                *value = json!(url.replace("[bot]", "%5Bbot%5D"));
            }
        }
        document["type"] = json!("Bot");
        document
    }
}

/// `status`, `deployment` and `deployment-status` have these in common.
pub(super) fn made(id: u64, kind: &str, url: &str) -> Value {
    let now = written(Timestamp::now());
    json!({ "id": id, "node_id": node(kind, id), "url": url, "created_at": now, "updated_at": now })
}

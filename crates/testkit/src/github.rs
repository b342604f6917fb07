//! A stand-in of GitHub for tests: real HTTP on loopback, pages that a browser clicks, an API, git, and webhooks with right signatures.
//!
//! What its API says is validated against GitHub's own description (`crates/github/tests/stand_in.rs`). Its web address serves pages, git, and
//! the API below `/api/v3` as an Enterprise Server does; its API address serves the API alone, as api.github.com does.

mod api;
mod apps;
mod clicks;
mod documents;
mod git;
mod hooks;
mod marks;
mod oauth;
mod pages;
mod repositories;
mod server;
mod state;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub use apps::App;
pub use clicks::Visitor;
use server::{Server, Shared, locked};
use state::{Account, Repository, State};

/// No commit: before a branch was, or after it has gone.
const NONE: &str = "0000000000000000000000000000000000000000";

/// A running stand-in; it ends when this is dropped. Its methods panic where what they name is not there.
#[derive(Debug)]
pub struct GitHub {
    shared: Shared,
    server: Server,
    _disk: tempfile::TempDir,
}

/// What goes wrong for whoever asks by machine: the API, tokens, git. Pages go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// 503 with a page, as GitHub has one.
    Down,
    /// The connection is closed without an answer.
    Closed,
    /// 200 with what is no answer of GitHub's.
    Garbage,
    /// Every answer takes so long.
    Silent(Duration),
    /// The hour's requests are used up.
    RateLimited {
        /// Until the next hour begins, in seconds.
        seconds: i64,
    },
    /// Too many requests in a short time.
    SecondaryLimit {
        /// `Retry-After`, in seconds.
        seconds: i64,
    },
}

/// A delivery that was sent, or that could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To which App.
    pub app: u64,
    /// `X-GitHub-Delivery`: the same when it is sent again.
    pub id: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// The body.
    pub body: String,
    /// The status that came back; none where nobody answered.
    pub status: Option<u16>,
    /// The answer's body, or why there is none.
    pub answer: String,
}

/// A commit status that the stand-in was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// Whose mark it is.
    pub context: String,
    /// The line.
    pub description: Option<String>,
    /// The link.
    pub target_url: Option<String>,
}

/// A deployment that the stand-in was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its number.
    pub id: u64,
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// The environment.
    pub environment: String,
    /// The line.
    pub description: Option<String>,
    /// How it did, the newest last.
    pub words: Vec<DeploymentWord>,
}

impl Deployment {
    /// How it does now; `pending` as long as nothing was said.
    pub fn state(&self) -> &str {
        self.words.last().map_or("pending", |word| &word.state)
    }
}

/// A word about a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentWord {
    /// `queued`, `in_progress`, `success`, `failure`, `error` or `inactive`.
    pub state: String,
    /// The line.
    pub description: Option<String>,
    /// Where the log is.
    pub log_url: Option<String>,
    /// Where the app is.
    pub environment_url: Option<String>,
}

/// A call of the API and its answer, to be held against GitHub's own description.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method, in lower case.
    pub method: String,
    /// The path as GitHub's description writes it; empty where it has none for the answer (no access, a redirect).
    pub path: String,
    /// The status.
    pub status: u16,
    /// The request's document.
    pub request: Option<Value>,
    /// The answer's document.
    pub response: Option<Value>,
}

/// A push that a test made.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The commit.
    pub sha: String,
    /// What Apps were told, and what they answered.
    pub deliveries: Vec<Delivery>,
}

impl GitHub {
    /// Starts one on free ports.
    pub fn start() -> Self {
        let disk = tempfile::tempdir().expect("a directory");
        let shared = Arc::new(Mutex::new(State { disk: disk.path().to_owned(), ..State::default() }));
        let server = Server::start(&shared);
        let mut state = locked(&shared);
        state.web = format!("http://{}", server.web);
        state.api = format!("http://{}", server.api);
        drop(state);
        Self { shared, server, _disk: disk }
    }

    /// The web address.
    pub fn web(&self) -> String {
        format!("http://{}", self.server.web)
    }

    /// The API's address.
    pub fn api(&self) -> String {
        format!("http://{}", self.server.api)
    }

    /// The API's address as an Enterprise Server has it.
    pub fn enterprise_api(&self) -> String {
        format!("{}/api/v3", self.web())
    }

    /// Trusts an authority (PEM) where deliveries go to HTTPS.
    pub fn trust(&self, pem: &[u8]) {
        locked(&self.shared).authorities.extend_from_slice(pem);
    }

    /// Makes a user; their number.
    pub fn user(&self, login: &str) -> u64 {
        self.account(login, None)
    }

    /// Makes an organisation of these users; its number.
    pub fn organization(&self, login: &str, members: &[&str]) -> u64 {
        self.account(login, Some(members))
    }

    fn account(&self, login: &str, members: Option<&[&str]>) -> u64 {
        let mut state = locked(&self.shared);
        assert!(state.account(login).is_none(), "there is a {login} already");
        let number = |login: &&str| state.account(login).unwrap_or_else(|| panic!("there is no {login}")).id;
        let ids: BTreeSet<u64> = members.unwrap_or_default().iter().map(number).collect();
        let id = state.id();
        let account = Account { id, login: login.to_owned(), name: None, is_organization: members.is_some(), members: ids };
        state.accounts.insert(id, account);
        id
    }

    /// Makes a repository without a commit: `owner/name`; its number.
    pub fn repository(&self, full_name: &str, is_private: bool) -> u64 {
        let (owner, name) = full_name.split_once('/').expect("owner/name");
        let mut state = locked(&self.shared);
        assert!(state.repository(full_name).is_none(), "there is a {full_name} already");
        let owner = state.account(owner).unwrap_or_else(|| panic!("there is no {owner}")).id;
        let id = state.id();
        let repository = Repository {
            id,
            owner,
            name: name.to_owned(),
            is_private,
            is_archived: false,
            default_branch: "main".to_owned(),
            description: None,
            pushed_at: Timestamp::now(),
            old_names: Vec::new(),
            dir: None,
        };
        state.repositories.insert(id, repository);
        id
    }

    /// Makes as many private repositories, `owner/prefix1` and so on.
    pub fn repositories(&self, owner: &str, prefix: &str, count: usize) {
        for number in 1..=count {
            self.repository(&format!("{owner}/{prefix}{number}"), true);
        }
    }

    /// Says what a repository is.
    pub fn describe(&self, full_name: &str, description: &str) {
        self.change(full_name, |repository| repository.description = Some(description.to_owned()));
    }

    fn found(&self, full_name: &str) -> Repository {
        locked(&self.shared).repository(full_name).unwrap_or_else(|| panic!("there is no {full_name}")).clone()
    }

    /// Changes a repository; how it is then.
    fn change(&self, full_name: &str, change: impl FnOnce(&mut Repository)) -> Repository {
        let id = self.found(full_name).id;
        let mut state = locked(&self.shared);
        let repository = state.repositories.get_mut(&id).expect("it was there");
        change(repository);
        repository.clone()
    }

    /// Commits files (path, text) on top of a branch, which is made where it is not there; tells nobody. The commit.
    pub fn commit(&self, full_name: &str, branch: &str, files: &[(&str, &str)], message: &str) -> String {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec(), false));
        self.add(full_name, branch, &files.collect::<Vec<_>>(), false, message).sha
    }

    /// Commits a directory of the disk as the whole tree of a branch; tells nobody. The commit.
    pub fn commit_directory(&self, full_name: &str, branch: &str, directory: &Path, message: &str) -> String {
        let mut files = Vec::new();
        collect(directory, "", &mut files);
        self.add(full_name, branch, &files, true, message).sha
    }

    fn add(
        &self,
        full_name: &str,
        branch: &str,
        files: &[repositories::Change],
        all: bool,
        message: &str,
    ) -> repositories::Commit {
        let repository = self.found(full_name);
        let (disk, author) = {
            let state = locked(&self.shared);
            let owner = &state.accounts[&repository.owner];
            let author = state.accounts.values().find(|it| owner.members.contains(&it.id)).unwrap_or(owner);
            (state.disk.join(format!("{}.git", repository.id)), author.login.clone())
        };
        let dir = repository.dir.unwrap_or_else(|| repositories::make(disk, &repository.default_branch));
        let commit = repositories::add(&dir, branch, files, all, message, &author);
        self.change(full_name, |repository| {
            repository.dir = Some(dir);
            repository.pushed_at = Timestamp::now();
        });
        commit
    }

    /// Commits, and tells the Apps of the push; waits for their answers.
    pub fn push(&self, full_name: &str, branch: &str, files: &[(&str, &str)], message: &str) -> Pushed {
        let before = self.head(full_name, branch).unwrap_or_else(|| NONE.to_owned());
        let sha = self.commit(full_name, branch, files, message);
        self.tell_push(full_name, branch, &before, Some(sha), false)
    }

    /// Commits a directory as the whole tree, and tells the Apps of the push; waits for their answers.
    pub fn push_directory(&self, full_name: &str, branch: &str, directory: &Path, message: &str) -> Pushed {
        let before = self.head(full_name, branch).unwrap_or_else(|| NONE.to_owned());
        let sha = self.commit_directory(full_name, branch, directory, message);
        self.tell_push(full_name, branch, &before, Some(sha), false)
    }

    /// Points a branch at a commit that is there already, as a forced push does, and tells the Apps.
    pub fn force(&self, full_name: &str, branch: &str, sha: &str) -> Pushed {
        let before = self.head(full_name, branch).unwrap_or_else(|| NONE.to_owned());
        let dir = self.found(full_name).dir.expect("a repository with a commit");
        repositories::point(&dir, &[branch.to_owned()], sha);
        self.tell_push(full_name, branch, &before, Some(sha.to_owned()), true)
    }

    /// Removes a branch, and tells the Apps.
    pub fn delete_branch(&self, full_name: &str, branch: &str) -> Vec<Delivery> {
        let dir = self.found(full_name).dir.expect("a repository with a commit");
        let before = repositories::remove(&dir, branch);
        self.tell_push(full_name, branch, &before, None, false).deliveries
    }

    /// Makes as many branches at a commit, `prefix1` and so on; tells nobody.
    pub fn branches(&self, full_name: &str, prefix: &str, count: usize, sha: &str) {
        let dir = self.found(full_name).dir.expect("a repository with a commit");
        let names: Vec<_> = (1..=count).map(|number| format!("{prefix}{number}")).collect();
        repositories::point(&dir, &names, sha);
    }

    /// A branch's newest commit.
    pub fn head(&self, full_name: &str, branch: &str) -> Option<String> {
        let dir = self.found(full_name).dir?;
        repositories::commit(&dir, &format!("refs/heads/{branch}")).map(|it| it.sha)
    }

    fn tell_push(&self, full_name: &str, branch: &str, before: &str, after: Option<String>, forced: bool) -> Pushed {
        let repository = self.found(full_name);
        let head = after.as_ref().zip(repository.dir.as_ref()).and_then(|(sha, dir)| repositories::commit(dir, sha));
        let outgoing = locked(&self.shared).told_of_push(&repository, branch, before, head.as_ref(), forced);
        Pushed { sha: after.unwrap_or_default(), deliveries: hooks::send(&self.shared, outgoing) }
    }

    /// Gives a repository another name, and tells the Apps. The old one leads to it.
    pub fn rename(&self, full_name: &str, name: &str) -> Vec<Delivery> {
        let before = self.found(full_name).name;
        let repository = self.change(full_name, |repository| {
            repository.old_names.push(full_name.to_owned());
            name.clone_into(&mut repository.name);
        });
        let changes = json!({ "repository": { "name": { "from": before } } });
        let outgoing = locked(&self.shared).told_of_repository(&repository, "renamed", Some(changes));
        hooks::send(&self.shared, outgoing)
    }

    /// Gives a repository to another account, and tells the Apps that see it there.
    pub fn transfer(&self, full_name: &str, owner: &str) -> Vec<Delivery> {
        let (to, from) = {
            let state = locked(&self.shared);
            let account = |login: &str| state.account(login).unwrap_or_else(|| panic!("there is no {login}")).clone();
            let from = account(full_name.split('/').next().unwrap_or_default());
            let from = if from.is_organization {
                json!({ "organization": state.organization_document(&from) })
            } else {
                json!({ "user": state.user_document(&from) })
            };
            (account(owner).id, from)
        };
        let repository = self.change(full_name, |repository| {
            repository.old_names.push(full_name.to_owned());
            repository.owner = to;
        });
        let changes = json!({ "owner": { "from": from } });
        let outgoing = locked(&self.shared).told_of_repository(&repository, "transferred", Some(changes));
        hooks::send(&self.shared, outgoing)
    }

    /// Archives a repository, or takes it out of the archive, and tells the Apps.
    pub fn archive(&self, full_name: &str, is_archived: bool) -> Vec<Delivery> {
        let repository = self.change(full_name, |repository| repository.is_archived = is_archived);
        let action = if is_archived { "archived" } else { "unarchived" };
        let outgoing = locked(&self.shared).told_of_repository(&repository, action, None);
        hooks::send(&self.shared, outgoing)
    }

    /// Deletes a repository, and tells the Apps.
    pub fn delete(&self, full_name: &str) -> Vec<Delivery> {
        let repository = self.found(full_name);
        let outgoing = locked(&self.shared).told_of_repository(&repository, "deleted", None);
        locked(&self.shared).repositories.remove(&repository.id);
        hooks::send(&self.shared, outgoing)
    }

    /// All deliveries so far, in the order in which they ended.
    pub fn deliveries(&self) -> Vec<Delivery> {
        locked(&self.shared).deliveries.clone()
    }

    /// Sends a delivery once more: the same id, the same body.
    pub fn redeliver(&self, id: &str) -> Delivery {
        let outgoing = {
            let state = locked(&self.shared);
            let delivery = state.deliveries.iter().find(|it| it.id == id).expect("a delivery that was sent").clone();
            state.again(&state.apps[&delivery.app], Delivery { status: None, answer: String::new(), ..delivery })
        };
        hooks::send(&self.shared, vec![outgoing]).pop().expect("one delivery")
    }

    /// What `X-Hub-Signature-256` of a body is, with that secret.
    pub fn signature(secret: &str, body: &[u8]) -> String {
        hooks::signature(secret, body)
    }

    /// The commit statuses that were set, the newest last.
    pub fn statuses(&self) -> Vec<Status> {
        locked(&self.shared).statuses.clone()
    }

    /// The deployments that were made, the newest last.
    pub fn deployments(&self) -> Vec<Deployment> {
        locked(&self.shared).deployments.clone()
    }

    /// All calls of the API so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        locked(&self.shared).exchanges.clone()
    }

    /// Makes trouble, or ends it.
    pub fn trouble(&self, trouble: Trouble) {
        locked(&self.shared).trouble = trouble;
    }

    /// Takes back what a user has let Apps do, and tells the Apps.
    pub fn revoke(&self, login: &str) -> Vec<Delivery> {
        let outgoing: Vec<_> = {
            let mut state = locked(&self.shared);
            let user = state.account(login).unwrap_or_else(|| panic!("there is no {login}")).clone();
            let apps: Vec<u64> = state.authorized.iter().filter(|(id, _)| *id == user.id).map(|(_, app)| *app).collect();
            state.revoke(user.id);
            let document = json!({ "action": "revoked", "sender": state.user_document(&user) });
            apps.iter().filter_map(|app| state.outgoing(&state.apps[app], "github_app_authorization", &document)).collect()
        };
        hooks::send(&self.shared, outgoing)
    }

    /// Ends all tokens, as time would; what renews users' tokens is good still.
    pub fn expire_tokens(&self) {
        let mut state = locked(&self.shared);
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        state.user_tokens.values_mut().for_each(|token| token.expires_at = past);
        state.installation_tokens.values_mut().for_each(|token| token.expires_at = past);
    }
}

/// All files below a directory; what git would not take (its own directory) is left out.
fn collect(directory: &Path, prefix: &str, files: &mut Vec<repositories::Change>) {
    use std::os::unix::fs::PermissionsExt;
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().into_string().expect("a name of UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() && name != ".git" {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file() {
            let is_program = entry.metadata().expect("metadata").permissions().mode() & 0o111 != 0;
            files.push((path, std::fs::read(entry.path()).expect("a file"), is_program));
        }
    }
}

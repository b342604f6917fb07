//! What the stand-in of GitHub knows: accounts, repositories, Apps, who let whom in, and what it was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use aws_lc_rs::rand::fill;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Delivery, Deployment, Exchange, Status, Trouble};

/// How long an installation's token lasts, in seconds (GitHub Docs, "Generating an installation access token").
pub(super) const INSTALLATION_TOKEN: i64 = 3600;
/// How long a user's token lasts, and what renews it, in seconds (GitHub Docs, "Refreshing user access tokens").
pub(super) const USER_TOKEN: i64 = 28_800;
pub(super) const REFRESH_TOKEN: i64 = 15_897_600;

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) login: String,
    pub(super) name: Option<String>,
    pub(super) is_organization: bool,
    /// Of an organisation: who may install Apps on it.
    pub(super) members: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) owner: u64,
    pub(super) name: String,
    pub(super) is_private: bool,
    pub(super) is_archived: bool,
    pub(super) default_branch: String,
    pub(super) description: Option<String>,
    pub(super) pushed_at: Timestamp,
    /// Full names that lead here still.
    pub(super) old_names: Vec<String>,
    /// The bare repository, once something was committed.
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) id: u64,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) owner: u64,
    pub(super) url: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) private_key: String,
    /// DER, as a JSON Web Token is checked with it.
    pub(super) public_key: Vec<u8>,
    pub(super) webhook_secret: String,
    pub(super) hook_url: String,
    pub(super) hook_is_active: bool,
    pub(super) callbacks: Vec<String>,
    pub(super) is_public: bool,
    pub(super) asks_on_install: bool,
    pub(super) events: Vec<String>,
    pub(super) permissions: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Installation {
    pub(super) id: u64,
    pub(super) app: u64,
    pub(super) account: u64,
    /// None: all of them.
    pub(super) chosen: Option<BTreeSet<u64>>,
    pub(super) suspended_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) user: u64,
    pub(super) app: u64,
    pub(super) challenge: Option<String>,
    pub(super) redirect: String,
    pub(super) expires_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct UserToken {
    pub(super) user: u64,
    pub(super) app: u64,
    pub(super) refresh: String,
    pub(super) expires_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct InstallationToken {
    pub(super) installation: u64,
    pub(super) repositories: Option<BTreeSet<u64>>,
    pub(super) expires_at: Timestamp,
}

/// A manifest that waits for its "Create GitHub App".
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) manifest: Value,
    pub(super) state: String,
    pub(super) organization: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) web: String,
    pub(super) api: String,
    pub(super) disk: PathBuf,
    pub(super) last_id: u64,
    pub(super) accounts: BTreeMap<u64, Account>,
    pub(super) repositories: BTreeMap<u64, Repository>,
    pub(super) apps: BTreeMap<u64, App>,
    pub(super) installations: BTreeMap<u64, Installation>,
    /// Who is signed in, by the cookie.
    pub(super) sessions: HashMap<String, u64>,
    pub(super) pending: HashMap<String, Pending>,
    /// Codes of manifests, each good once.
    pub(super) conversions: HashMap<String, u64>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) user_tokens: HashMap<String, UserToken>,
    pub(super) refresh_tokens: HashMap<String, UserToken>,
    pub(super) installation_tokens: HashMap<String, InstallationToken>,
    /// Who has authorized which App.
    pub(super) authorized: BTreeSet<(u64, u64)>,
    pub(super) statuses: Vec<Status>,
    pub(super) deployments: Vec<Deployment>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) trouble: Trouble,
    pub(super) authorities: Vec<u8>,
}

impl State {
    /// Another number. They differ in size, as GitHub's do.
    pub(super) fn id(&mut self) -> u64 {
        self.last_id += 1;
        1000 + self.last_id * 7
    }

    pub(super) fn account(&self, login: &str) -> Option<&Account> {
        // Logins don't differ by case alone.
        self.accounts.values().find(|account| account.login.eq_ignore_ascii_case(login))
    }

    pub(super) fn full_name(&self, repository: &Repository) -> String {
        format!("{}/{}", self.accounts[&repository.owner].login, repository.name)
    }

    /// A repository by the name that it has now.
    pub(super) fn repository(&self, full_name: &str) -> Option<&Repository> {
        self.repositories.values().find(|it| self.full_name(it).eq_ignore_ascii_case(full_name))
    }

    /// A repository by a name that it had.
    pub(super) fn renamed(&self, full_name: &str) -> Option<&Repository> {
        self.repositories.values().find(|it| it.old_names.iter().any(|old| old.eq_ignore_ascii_case(full_name)))
    }

    /// The accounts that a user may install Apps on: the own one first.
    pub(super) fn accounts_of(&self, user: u64) -> Vec<&Account> {
        let own = self.accounts.get(&user).into_iter();
        own.chain(self.accounts.values().filter(|account| account.members.contains(&user))).collect()
    }

    /// Whether a user may see a repository.
    pub(super) fn may_see(&self, user: u64, repository: &Repository) -> bool {
        !repository.is_private || repository.owner == user || self.accounts[&repository.owner].members.contains(&user)
    }

    /// What an installation opens.
    pub(super) fn repositories_of(&self, installation: &Installation) -> Vec<&Repository> {
        let all = self.repositories.values().filter(|it| it.owner == installation.account);
        all.filter(|it| installation.chosen.as_ref().is_none_or(|chosen| chosen.contains(&it.id))).collect()
    }

    /// The installations that see a repository.
    pub(super) fn installations_of(&self, repository: &Repository) -> Vec<&Installation> {
        let all = self.installations.values().filter(|it| it.account == repository.owner);
        all.filter(|it| it.chosen.as_ref().is_none_or(|chosen| chosen.contains(&repository.id))).collect()
    }

    /// A code for a user, good for ten minutes and once.
    pub(super) fn code(&mut self, user: u64, app: u64, redirect: &str, challenge: Option<String>) -> String {
        let code = random(20);
        let expires_at = Timestamp::now() + SignedDuration::from_mins(10);
        self.codes.insert(code.clone(), Code { user, app, challenge, redirect: redirect.to_owned(), expires_at });
        self.authorized.insert((user, app));
        code
    }

    /// A user's token, and what renews it.
    pub(super) fn user_token(&mut self, user: u64, app: u64) -> (String, String) {
        let now = Timestamp::now();
        let (token, refresh) = (format!("ghu_{}", random(18)), format!("ghr_{}", random(38)));
        let of =
            |seconds| UserToken { user, app, refresh: refresh.clone(), expires_at: now + SignedDuration::from_secs(seconds) };
        self.user_tokens.insert(token.clone(), of(USER_TOKEN));
        self.refresh_tokens.insert(refresh.clone(), of(REFRESH_TOKEN));
        (token, refresh)
    }

    /// Takes back what a user has let an App do.
    pub(super) fn revoke(&mut self, user: u64) {
        self.authorized.retain(|(other, _)| *other != user);
        self.user_tokens.retain(|_, token| token.user != user);
        self.refresh_tokens.retain(|_, token| token.user != user);
    }
}

/// So many random bytes, as hexadecimal digits.
pub(super) fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    fill(&mut buffer).expect("the operating system gives random bytes");
    hex(&buffer)
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes all");
        out
    })
}

/// A time as GitHub writes it: without fractions of seconds.
pub(super) fn written(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

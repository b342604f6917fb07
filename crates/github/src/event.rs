//! What a delivery tells: the events that matter here, read from their bodies once the signature was found right.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::one_line;
use crate::ids::{CommitSha, InstallationId, RepositoryId, RepositoryName};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A branch or a tag was pushed, made or deleted.
    Push(Box<Push>),
    /// The App was installed, removed, suspended …
    Installation(InstallationEvent),
    /// An installation has more or fewer repositories.
    InstallationRepositories(RepositoriesEvent),
    /// A repository was renamed, deleted, moved …
    Repository(RepositoryEvent),
    /// An account that has the App has another login now.
    AccountRenamed {
        /// The account as it is now.
        account: Account,
        /// Its login before.
        from: Option<String>,
        /// Its installation.
        installation: Option<InstallationId>,
    },
    /// A user took back what they had authorized; their tokens are worth nothing.
    AuthorizationRevoked {
        /// Who.
        user: u64,
    },
    /// GitHub tries whether it is heard.
    Ping(Ping),
    /// One that does not matter here, by its name.
    Other(String),
}

/// Why a delivery can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the delivery of {event} can't be read: {why}")]
pub struct EventError {
    event: String,
    why: String,
}

/// What kind of account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// A person.
    User,
    /// An organisation.
    Organization,
    /// An Enterprise.
    Enterprise,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "crate::repositories::AccountDocument")]
pub struct Account {
    /// Its number, which stays.
    pub id: u64,
    /// Its name in URLs, which may change.
    pub login: String,
    /// What it is.
    pub kind: AccountKind,
}

/// A repository as events tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RepositoryRef {
    /// Its number.
    pub id: RepositoryId,
    /// Owner and name, after what happened.
    #[serde(rename = "full_name")]
    pub name: RepositoryName,
    /// Whether only some may see it.
    #[serde(rename = "private", default)]
    pub is_private: bool,
    /// The branch that is shown first, where the event says it.
    pub default_branch: Option<String>,
}

/// A push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// To which repository.
    pub repository: RepositoryRef,
    /// To which ref: `refs/heads/main`.
    pub git_ref: String,
    /// The commit before; [`CommitSha::is_none`] where the branch is new.
    pub before: CommitSha,
    /// The commit after; [`CommitSha::is_none`] where the branch was deleted.
    pub after: CommitSha,
    /// Whether the branch is new.
    pub is_created: bool,
    /// Whether the branch was deleted.
    pub is_deleted: bool,
    /// Whether commits were taken away.
    pub is_forced: bool,
    /// The newest commit; none where the branch was deleted.
    pub head: Option<HeadCommit>,
    /// Through which installation we are told.
    pub installation: Option<InstallationId>,
    /// Who pushed: their login.
    pub sender: Option<String>,
}

impl Push {
    /// The branch's name; none for a tag.
    pub fn branch(&self) -> Option<&str> {
        self.git_ref.strip_prefix("refs/heads/")
    }
}

/// The newest commit of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadCommit {
    /// Its id.
    pub id: CommitSha,
    /// Its message, all lines.
    pub message: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// What happened to an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallationAction {
    /// The App was installed.
    Created,
    /// It was removed.
    Deleted,
    /// It is suspended.
    Suspended,
    /// It is not suspended any more.
    Unsuspended,
    /// Something else, by its name.
    Other(String),
}

/// An installation was made, removed …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationEvent {
    /// What happened.
    pub action: InstallationAction,
    /// Its number.
    pub installation: InstallationId,
    /// Whose it is.
    pub account: Account,
    /// The repositories that the event names.
    pub repositories: Vec<RepositoryRef>,
    /// Who did it: their number.
    pub sender: Option<u64>,
}

/// An installation has more or fewer repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoriesEvent {
    /// Its number.
    pub installation: InstallationId,
    /// Whose it is.
    pub account: Account,
    /// What came.
    pub added: Vec<RepositoryRef>,
    /// What went.
    pub removed: Vec<RepositoryRef>,
}

/// What happened to a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryAction {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// It has another name.
    Renamed {
        /// The name before, without the owner.
        from: String,
    },
    /// It has another owner.
    Transferred {
        /// The owner before.
        from: Option<String>,
    },
    /// It takes no pushes any more.
    Archived,
    /// It takes pushes again.
    Unarchived,
    /// Everybody may see it.
    Publicized,
    /// Only some may see it.
    Privatized,
    /// Its description, its default branch or the like is another.
    Edited,
    /// Something else, by its name.
    Other(String),
}

/// Something happened to a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryEvent {
    /// What happened.
    pub action: RepositoryAction,
    /// The repository, after it.
    pub repository: RepositoryRef,
    /// Through which installation we are told.
    pub installation: Option<InstallationId>,
}

/// GitHub tries whether it is heard.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ping {
    /// A saying.
    #[serde(default)]
    pub zen: String,
    /// The webhook's number.
    pub hook_id: Option<u64>,
}

/// Reads a delivery: `event` is the value of `X-GitHub-Event`. Only for a body whose signature was found right.
pub fn parse(event: &str, body: &[u8]) -> Result<Event, EventError> {
    match event {
        "push" => Ok(Event::Push(Box::new(document::<wire::Push>(event, body)?.into()))),
        "installation" => Ok(Event::Installation(document::<wire::Installation>(event, body)?.into())),
        "installation_repositories" => {
            Ok(Event::InstallationRepositories(document::<wire::InstallationRepositories>(event, body)?.into()))
        }
        "repository" => Ok(Event::Repository(document::<wire::Repository>(event, body)?.into())),
        "installation_target" => {
            let told = document::<wire::Target>(event, body)?;
            let from = told.changes.and_then(|changes| changes.login).map(|login| login.from);
            Ok(Event::AccountRenamed { account: told.account, from, installation: told.installation.map(|it| it.id) })
        }
        "github_app_authorization" => {
            Ok(Event::AuthorizationRevoked { user: document::<wire::Authorization>(event, body)?.sender.id })
        }
        "ping" => Ok(Event::Ping(document(event, body)?)),
        // It is JSON at least, as everything that GitHub sends here.
        other => document::<serde::de::IgnoredAny>(other, body).map(|_| Event::Other(one_line(other))),
    }
}

fn document<T: DeserializeOwned>(event: &str, body: &[u8]) -> Result<T, EventError> {
    serde_json::from_slice(body).map_err(|error| EventError { event: one_line(event), why: one_line(&error.to_string()) })
}

/// Bodies as GitHub writes them.
mod wire {
    use super::{
        Account, CommitSha, Deserialize, HeadCommit, InstallationAction, InstallationEvent, InstallationId, RepositoriesEvent,
        RepositoryAction, RepositoryEvent, RepositoryRef, Timestamp,
    };

    #[derive(Deserialize)]
    pub(super) struct Id {
        pub(super) id: InstallationId,
    }

    #[derive(Deserialize)]
    pub(super) struct Sender {
        pub(super) id: u64,
        #[serde(default)]
        login: String,
    }

    #[derive(Deserialize)]
    pub(super) struct Push {
        r#ref: String,
        before: CommitSha,
        after: CommitSha,
        #[serde(default)]
        created: bool,
        #[serde(default)]
        deleted: bool,
        #[serde(default)]
        forced: bool,
        head_commit: Option<Head>,
        repository: RepositoryRef,
        installation: Option<Id>,
        sender: Option<Sender>,
    }

    #[derive(Deserialize)]
    struct Head {
        id: CommitSha,
        #[serde(default)]
        message: String,
        timestamp: Option<Timestamp>,
        author: Option<Author>,
    }

    #[derive(Deserialize)]
    struct Author {
        #[serde(default)]
        name: String,
    }

    impl From<Push> for super::Push {
        fn from(told: Push) -> Self {
            let head = |it: Head| HeadCommit {
                id: it.id,
                message: it.message,
                author: it.author.map(|author| author.name).unwrap_or_default(),
                at: it.timestamp,
            };
            Self {
                repository: told.repository,
                git_ref: told.r#ref,
                is_created: told.created || told.before.is_none(),
                is_deleted: told.deleted || told.after.is_none(),
                is_forced: told.forced,
                before: told.before,
                after: told.after,
                head: told.head_commit.map(head),
                installation: told.installation.map(|it| it.id),
                sender: told.sender.map(|it| it.login),
            }
        }
    }

    #[derive(Deserialize)]
    struct Installed {
        id: InstallationId,
        account: Account,
    }

    #[derive(Deserialize)]
    pub(super) struct Installation {
        action: String,
        #[serde(rename = "installation")]
        it: Installed,
        #[serde(default)]
        repositories: Option<Vec<RepositoryRef>>,
        sender: Option<Sender>,
    }

    impl From<Installation> for InstallationEvent {
        fn from(told: Installation) -> Self {
            let action = match told.action.as_str() {
                "created" => InstallationAction::Created,
                "deleted" => InstallationAction::Deleted,
                "suspend" => InstallationAction::Suspended,
                "unsuspend" => InstallationAction::Unsuspended,
                _ => InstallationAction::Other(told.action),
            };
            Self {
                action,
                installation: told.it.id,
                account: told.it.account,
                repositories: told.repositories.unwrap_or_default(),
                sender: told.sender.map(|it| it.id),
            }
        }
    }

    #[derive(Deserialize)]
    pub(super) struct InstallationRepositories {
        installation: Installed,
        #[serde(default)]
        repositories_added: Vec<RepositoryRef>,
        #[serde(default)]
        repositories_removed: Vec<RepositoryRef>,
    }

    impl From<InstallationRepositories> for RepositoriesEvent {
        fn from(told: InstallationRepositories) -> Self {
            Self {
                installation: told.installation.id,
                account: told.installation.account,
                added: told.repositories_added,
                removed: told.repositories_removed,
            }
        }
    }

    #[derive(Deserialize)]
    pub(super) struct Repository {
        action: String,
        #[serde(rename = "repository")]
        it: RepositoryRef,
        installation: Option<Id>,
        #[serde(default)]
        changes: Changes,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Changes {
        repository: Option<NameChange>,
        owner: Option<OwnerChange>,
    }

    #[derive(Deserialize)]
    struct NameChange {
        name: Option<From_>,
    }

    #[derive(Deserialize)]
    pub(super) struct From_ {
        pub(super) from: String,
    }

    #[derive(Deserialize)]
    struct OwnerChange {
        from: Owners,
    }

    #[derive(Deserialize)]
    struct Owners {
        user: Option<Login>,
        organization: Option<Login>,
    }

    #[derive(Deserialize)]
    struct Login {
        login: String,
    }

    impl From<Repository> for RepositoryEvent {
        fn from(told: Repository) -> Self {
            let action = match told.action.as_str() {
                "created" => RepositoryAction::Created,
                "deleted" => RepositoryAction::Deleted,
                "archived" => RepositoryAction::Archived,
                "unarchived" => RepositoryAction::Unarchived,
                "publicized" => RepositoryAction::Publicized,
                "privatized" => RepositoryAction::Privatized,
                "edited" => RepositoryAction::Edited,
                "renamed" => RepositoryAction::Renamed {
                    from: told.changes.repository.and_then(|it| it.name).map(|it| it.from).unwrap_or_default(),
                },
                "transferred" => RepositoryAction::Transferred {
                    from: told.changes.owner.and_then(|it| it.from.user.or(it.from.organization)).map(|it| it.login),
                },
                _ => RepositoryAction::Other(told.action),
            };
            Self { action, repository: told.it, installation: told.installation.map(|it| it.id) }
        }
    }

    #[derive(Deserialize)]
    pub(super) struct Target {
        pub(super) account: Account,
        pub(super) changes: Option<TargetChanges>,
        pub(super) installation: Option<Id>,
    }

    #[derive(Deserialize)]
    pub(super) struct TargetChanges {
        pub(super) login: Option<From_>,
    }

    #[derive(Deserialize)]
    pub(super) struct Authorization {
        pub(super) sender: Sender,
    }
}

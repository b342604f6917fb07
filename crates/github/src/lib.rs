//! GitHub as the platform uses it: the App's set-up, signing in, repositories, tokens, statuses and webhooks.
//!
//! Knows no apps, keeps nothing on disk, and decides nothing: who may do what with what it finds is `control`'s.
//!
//! **Why a client of our own.** `octocrab` (looked at: 0.54) would bring 14 more crates and a second way of doing TLS, to use 15 of its
//! some hundred calls. It reads answers into memory without a limit, its models refuse an answer that lacks a field which nobody here
//! needs (as GitHub Enterprise's older versions do), and its errors don't tell a secondary rate limit from a missing right, which is
//! what a person has to be told. What is here is hyper and rustls, as everywhere in this house, and one function that makes a call.

mod app;
mod call;
mod endpoints;
mod error;
mod event;
mod ids;
mod keys;
mod oauth;
mod repositories;
mod secret;
mod statuses;
mod tokens;
mod transport;
mod webhook;

pub use app::{AppInfo, Manifest};
pub use call::{GitHub, Listing};
pub use endpoints::{EndpointError, Endpoints};
pub use error::{GitHubError, Result, Whose};
pub use event::{
    Account, AccountKind, Event, EventError, HeadCommit, InstallationAction, InstallationEvent, Ping, Push, RepositoriesEvent,
    RepositoryAction, RepositoryEvent, RepositoryRef, parse,
};
pub use ids::{BadName, CommitSha, InstallationId, RepositoryId, RepositoryName};
pub use keys::AppKeys;
pub use oauth::{Pkce, UserToken};
pub use repositories::{Branch, Commit, Installation, Person, Repository, Selection};
pub use secret::Secret;
pub use statuses::{CommitState, CommitStatus, DeploymentId, DeploymentState, DeploymentStatus, NewDeployment};
pub use tokens::InstallationToken;
pub use webhook::{SignatureError, sign, verify};

//! Errors of the use cases, in the words of the API: a code, one line, and what to do.

use api::{ErrorBody, ErrorCode};
use model::{AppName, DeploymentNumber, RevisionNumber, Violation};
use store::StoreError;
use tracing::error;

/// What every use case answers with.
pub type Result<T> = std::result::Result<T, ErrorBody>;

/// A fault of the platform itself: logged with its cause here, told to the client without it.
pub(crate) fn internal(what: &str, cause: &dyn std::fmt::Display) -> ErrorBody {
    error!(what, %cause, "a fault of the platform");
    if cause.to_string().contains("No space left on device") {
        return disk_full();
    }
    ErrorBody::new(ErrorCode::Internal, format!("the platform could not {what}"))
        .help("look into the platform's own log for the cause")
}

/// A store's error, told apart where the caller can do something about it.
pub(crate) fn from_store(error: StoreError) -> ErrorBody {
    match error {
        StoreError::NameTaken(_) => ErrorBody::new(ErrorCode::Conflict, error.to_string()).help("choose another name with --app"),
        StoreError::UserNameTaken(_) => ErrorBody::new(ErrorCode::Conflict, error.to_string()).help("choose another name"),
        StoreError::Full => ErrorBody::new(ErrorCode::Conflict, error.to_string()).help("delete an app that is not needed"),
        StoreError::Transition { .. } => ErrorBody::new(ErrorCode::Conflict, error.to_string()),
        error if is_disk_full(&error) => disk_full(),
        error => internal("use its database", &error),
    }
}

fn disk_full() -> ErrorBody {
    ErrorBody::new(ErrorCode::Unavailable, "the platform's disk is full").help("free some space; what runs goes on")
}

fn is_disk_full(error: &StoreError) -> bool {
    error.to_string().contains("disk is full")
}

pub(crate) fn app_not_found(name: &AppName) -> ErrorBody {
    ErrorBody::new(ErrorCode::AppNotFound, format!("there is no app {name}")).help("`adaptable apps` lists those that there are")
}

pub(crate) fn deployment_not_found(name: &AppName, number: DeploymentNumber) -> ErrorBody {
    ErrorBody::new(ErrorCode::DeploymentNotFound, format!("{name} has no deployment {number}"))
        .help(format!("`adaptable deployments {name}` lists them"))
}

pub(crate) fn revision_not_found(name: &AppName, number: RevisionNumber) -> ErrorBody {
    ErrorBody::new(ErrorCode::RevisionNotFound, format!("{name} has no revision {number}, or it is no longer kept"))
        .help(format!("`adaptable revisions {name}` lists those that can be served"))
}

pub(crate) fn invalid_settings(violations: &[Violation]) -> ErrorBody {
    let lines: Vec<_> = violations.iter().map(|violation| format!("{}: {}", violation.key, violation.message)).collect();
    ErrorBody::new(ErrorCode::InvalidSettings, format!("the settings can't be used: {}", lines.join("; ")))
        .help("correct them and try again; nothing was changed")
}

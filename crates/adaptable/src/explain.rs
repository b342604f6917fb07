//! Failures of the command line: what is shown of them, and the exit code that follows.

use std::fmt::Display;
use std::path::Path;

use api::{ClientError, ErrorBody, ErrorCode};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error to show.
    Error(ErrorBody),
    /// A finding that was shown already, as the table of `doctor`; only the exit code is left to say.
    Shown,
    /// Whoever read our output went away, which is no error.
    Closed,
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Error(error) => error.code.exit_code(),
            Self::Shown => 1,
            Self::Closed => 0,
        }
    }

    /// A mistake in what was typed.
    pub(crate) fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Error(ErrorBody::new(ErrorCode::BadRequest, message).help(help))
    }

    /// Something of this machine that failed.
    pub(crate) fn local(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Error(ErrorBody::new(ErrorCode::Client, message).help(help))
    }

    /// A file that can't be read, written or made.
    pub(crate) fn file(doing: &str, path: &Path, error: impl Display) -> Self {
        Self::local(format!("can't {doing} {}: {error}", path.display()), "")
    }

    /// A command that only root may run.
    pub(crate) fn needs_root(command: &str) -> Self {
        Self::Error(
            ErrorBody::new(ErrorCode::Forbidden, format!("'adaptable {command}' needs root, to make containers"))
                .help(format!("run it with sudo: sudo adaptable {command}")),
        )
    }

    /// A command that this system can't run.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn not_here(command: &str) -> Self {
        Self::local(
            format!("'adaptable {command}' runs on Linux only"),
            "on this system, reach a platform elsewhere: adaptable login https://HOST:PORT",
        )
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Error(error.body())
    }
}

impl From<ErrorBody> for Failure {
    fn from(error: ErrorBody) -> Self {
        Self::Error(error)
    }
}

/// The cause of an error at the end of its line: `read config: permission denied`.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = source.source();
    }
    text
}

/// A directory that can't be sent.
pub(crate) fn source_refused(error: &source::PackError) -> Failure {
    use source::PackError::{Changed, Empty, Link, Open, Path, Read, Special, TooLarge, TooMany, Unreadable, Walk, Write};
    let (code, help) = match error {
        Open(..) => (ErrorCode::BadRequest, "name the directory with the app's source: adaptable deploy PATH"),
        Empty(_) => (ErrorCode::SourceRefused, "is it the right directory, and does .gitignore leave something of it?"),
        TooLarge { .. } | TooMany { .. } => (ErrorCode::SourceTooLarge, ""),
        Special(..) | Path(_) | Link(_) => (ErrorCode::SourceRefused, ""),
        Walk(_) | Unreadable(_) | Read(..) | Changed(_) | Write(_) => (ErrorCode::Client, ""),
    };
    Failure::Error(ErrorBody::new(code, chain(error)).help(help))
}

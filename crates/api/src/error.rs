//! Errors: a stable code, a message and what to do; as a problem (RFC 9457) in answers, and as the command line's document.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The content type of a problem.
pub const PROBLEM: &str = "application/problem+json";

/// Where problems are explained, below the platform's address; their code follows.
pub const PROBLEMS: &str = "/help/errors/";

/// What went wrong, as a word that scripts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// A request, a flag or an argument that can't be understood.
    BadRequest,
    /// A settings document with violations; the message names each.
    InvalidSettings,
    /// No valid token was given.
    Unauthorized,
    /// The token is valid, but not for this.
    Forbidden,
    /// There is no such app.
    AppNotFound,
    /// The app has no such deployment.
    DeploymentNotFound,
    /// The app has no such revision, or its image is gone.
    RevisionNotFound,
    /// The app has no such backup.
    BackupNotFound,
    /// There is no such token.
    TokenNotFound,
    /// GitHub has to be connected first: nobody knows what of it the one who asks may see.
    GithubSignIn,
    /// GitHub said no, or can't be reached.
    GithubFailed,
    /// There is no such user, session or invitation.
    UserNotFound,
    /// The upload named in a deployment is not (or no longer) there.
    UploadNotFound,
    /// There is nothing at this address.
    NotFound,
    /// This method is not for this address.
    MethodNotAllowed,
    /// What was asked contradicts what is there.
    Conflict,
    /// The request was meant for another version of what it changes (`If-Match`).
    PreconditionFailed,
    /// The source is above the limits of size or number of files.
    SourceTooLarge,
    /// The source holds what is refused: a link out of the tree, a device, a path with `..`.
    SourceRefused,
    /// Nothing in the source was recognised, or it can't be planned.
    PlanFailed,
    /// Building the image failed.
    BuildFailed,
    /// The release command failed.
    ReleaseFailed,
    /// The app's database could not be made or reached.
    DatabaseFailed,
    /// A backup could not be made, is damaged, or can't be reached.
    BackupFailed,
    /// The new revision did not come to accept connections.
    StartFailed,
    /// The deployment was cancelled.
    Cancelled,
    /// A newer deployment took its place.
    Superseded,
    /// The platform ended in the middle of it.
    Interrupted,
    /// The `Idempotency-Key` was used before, for another request.
    IdempotencyKeyReused,
    /// Too many requests.
    RateLimited,
    /// The platform is starting, or about to stop.
    Unavailable,
    /// No platform answers (said by the client alone).
    NoPlatform,
    /// Something of the client's machine failed: a file, a program, the network (said by the client alone).
    Client,
    /// A mistake of the platform.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidSettings => "invalid_settings",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::AppNotFound => "app_not_found",
            Self::DeploymentNotFound => "deployment_not_found",
            Self::RevisionNotFound => "revision_not_found",
            Self::BackupNotFound => "backup_not_found",
            Self::TokenNotFound => "token_not_found",
            Self::GithubSignIn => "github_sign_in",
            Self::GithubFailed => "github_failed",
            Self::UserNotFound => "user_not_found",
            Self::UploadNotFound => "upload_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::SourceTooLarge => "source_too_large",
            Self::SourceRefused => "source_refused",
            Self::PlanFailed => "plan_failed",
            Self::BuildFailed => "build_failed",
            Self::ReleaseFailed => "release_failed",
            Self::DatabaseFailed => "database_failed",
            Self::BackupFailed => "backup_failed",
            Self::StartFailed => "start_failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Interrupted => "interrupted",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::NoPlatform => "no_platform",
            Self::Client => "client",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }

    /// What is wrong in general, whatever the case: the title of a problem (RFC 9457, 3.1.3).
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request can't be understood",
            Self::InvalidSettings => "The settings can't be used",
            Self::Unauthorized => "Nobody is signed in",
            Self::Forbidden => "This is not allowed",
            Self::AppNotFound => "There is no such app",
            Self::DeploymentNotFound => "There is no such deployment",
            Self::RevisionNotFound => "There is no such revision",
            Self::BackupNotFound => "There is no such backup",
            Self::TokenNotFound => "There is no such token",
            Self::UploadNotFound => "The upload is not there",
            Self::UserNotFound => "There is no such user",
            Self::GithubSignIn => "GitHub has to be connected first",
            Self::GithubFailed => "GitHub said no, or can't be reached",
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "The method is not for this address",
            Self::Conflict => "It contradicts what is there",
            Self::PreconditionFailed => "It was changed meanwhile",
            Self::SourceTooLarge => "It is too large",
            Self::SourceRefused => "The source is refused",
            Self::PlanFailed => "Nothing in the source was recognised",
            Self::BuildFailed => "The build failed",
            Self::ReleaseFailed => "The release command failed",
            Self::DatabaseFailed => "The database could not be made or reached",
            Self::BackupFailed => "The backup failed",
            Self::StartFailed => "The app did not come up",
            Self::Cancelled => "The deployment was cancelled",
            Self::Superseded => "A newer deployment took its place",
            Self::Interrupted => "The platform ended in the middle",
            Self::IdempotencyKeyReused => "The key was used for another request",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "The platform can't do this now",
            Self::NoPlatform => "No platform answers",
            Self::Client => "Something failed on this machine",
            Self::Internal => "A mistake of the platform",
            Self::Unknown => "An error without a known code",
        }
    }

    /// The code of that word, for what is kept as text.
    pub fn parse(text: &str) -> Self {
        use serde::de::IntoDeserializer as _;
        let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
        Self::deserialize(word).unwrap_or(Self::Unknown)
    }

    /// The HTTP status it goes out with. Codes of failed deployments are found inside of documents, not as answers.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::GithubSignIn => 403,
            Self::GithubFailed => 502,
            Self::AppNotFound
            | Self::DeploymentNotFound
            | Self::RevisionNotFound
            | Self::BackupNotFound
            | Self::TokenNotFound
            | Self::UserNotFound
            | Self::UploadNotFound
            | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::Cancelled | Self::Superseded => 409,
            Self::PreconditionFailed => 412,
            Self::SourceTooLarge => 413,
            Self::InvalidSettings
            | Self::SourceRefused
            | Self::PlanFailed
            | Self::BuildFailed
            | Self::ReleaseFailed
            | Self::DatabaseFailed
            | Self::BackupFailed
            | Self::IdempotencyKeyReused
            | Self::StartFailed => 422,
            Self::RateLimited => 429,
            Self::Unavailable | Self::NoPlatform => 503,
            Self::Interrupted | Self::Client | Self::Internal | Self::Unknown => 500,
        }
    }

    /// The exit code of the command line: 1 it failed, 2 bad usage, 3 no platform answers, 4 not allowed.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::BadRequest | Self::InvalidSettings => 2,
            Self::NoPlatform | Self::Unavailable => 3,
            Self::Unauthorized | Self::Forbidden | Self::GithubSignIn => 4,
            _ => 1,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One error, for people and for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ErrorBody {
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong, in one line, without secrets.
    pub message: String,
    /// What to do; empty where there is nothing to say.
    #[serde(default)]
    pub help: String,
}

impl ErrorBody {
    /// An error without advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: String::new() }
    }

    /// The same error with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

/// The body of every answer that is not a success: a problem (RFC 9457), `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemDocument {
    /// Where the problem is explained: `/help/errors/CODE` on the platform.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong in general.
    pub title: String,
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// What is wrong in this case, in one line, without secrets.
    pub detail: String,
    /// The stable code, for scripts.
    pub code: ErrorCode,
    /// What to do; empty where there is nothing to say.
    #[serde(default)]
    pub help: String,
}

impl ProblemDocument {
    /// The problem that an error is.
    pub fn of(error: ErrorBody) -> Self {
        let ErrorBody { code, message, help } = error;
        let kind = format!("{PROBLEMS}{}", code.as_str());
        Self { kind, title: code.title().to_owned(), status: code.status(), detail: message, code, help }
    }
}

impl From<ProblemDocument> for ErrorBody {
    fn from(problem: ProblemDocument) -> Self {
        Self { code: problem.code, message: problem.detail, help: problem.help }
    }
}

/// Reads the error of an answer: a problem, or the document of platforms before there were problems.
pub fn read_error(body: &[u8]) -> Option<ErrorBody> {
    if let Ok(problem) = serde_json::from_slice::<ProblemDocument>(body) {
        return Some(problem.into());
    }
    serde_json::from_slice::<ErrorDocument>(body).ok().map(|document| document.error)
}

/// An error as the command line prints it with `--json`; also the body of errors of platforms before there were problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// The error.
    pub error: ErrorBody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_and_are_read_back() {
        for code in [ErrorCode::BadRequest, ErrorCode::AppNotFound, ErrorCode::NoPlatform, ErrorCode::StartFailed] {
            assert_eq!(serde_json::to_value(code).expect("plain data"), code.as_str());
            assert_eq!(ErrorCode::parse(code.as_str()), code);
        }
        assert_eq!(ErrorCode::parse("of_tomorrow"), ErrorCode::Unknown);
        let tomorrow: ErrorDocument =
            serde_json::from_str(r#"{"error":{"code":"of_tomorrow","message":"m","more":1}}"#).expect("a newer platform's error");
        assert_eq!(tomorrow.error.code, ErrorCode::Unknown);
    }

    #[test]
    fn both_forms_of_an_error_are_read() {
        let error = ErrorBody::new(ErrorCode::AppNotFound, "there is no app shop").help("look");
        let problem = serde_json::to_value(ProblemDocument::of(error.clone())).expect("plain data");
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "/help/errors/app_not_found", "title": "There is no such app", "status": 404,
                "detail": "there is no app shop", "code": "app_not_found", "help": "look"
            })
        );
        assert_eq!(read_error(problem.to_string().as_bytes()), Some(error.clone()));
        let before = serde_json::to_vec(&ErrorDocument { error: error.clone() }).expect("plain data");
        assert_eq!(read_error(&before), Some(error));
        let tomorrow = br#"{"type":"about:blank","title":"t","status":418,"detail":"d","code":"of_tomorrow"}"#;
        assert_eq!(read_error(tomorrow), Some(ErrorBody::new(ErrorCode::Unknown, "d")));
        assert_eq!(read_error(b"<html>"), None);
        assert_eq!(read_error(br#"{"status":404}"#), None);
    }

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        assert_eq!(ErrorCode::AppNotFound.exit_code(), 1);
        assert_eq!(ErrorCode::InvalidSettings.exit_code(), 2);
        assert_eq!(ErrorCode::NoPlatform.exit_code(), 3);
        assert_eq!(ErrorCode::Unauthorized.exit_code(), 4);
    }
}

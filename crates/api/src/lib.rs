//! Wire types of the platform's HTTP API and the typed client that the command line uses.
//!
//! Everything lies under [`PREFIX`] and is JSON. Times are RFC 3339 in UTC, durations seconds, sizes bytes. An answer that is not a
//! success has a [`ProblemDocument`] as its body. Lists that grow while they are read (`events`, `logs`) are NDJSON: one object a line,
//! and an empty line now and then that only shows that the connection lives.

pub mod access;
pub mod apps;
pub mod backups;
pub mod checks;
pub mod client;
pub mod databases;
pub mod deployments;
pub mod error;
pub mod github;
pub mod history;
pub mod logs;
pub mod machine;
pub mod platform;
pub mod schema;
pub mod tokens;
pub mod users;

pub use access::AccessLine;
pub use apps::{
    AppState, AppStatus, AppSummary, EnvKind, EnvPatch, EnvVariables, InstanceState, InstanceStatus, LastHour, RevisionSummary,
    RollbackRequest, ScalePatch, SettingsChanged, Split,
};
pub use backups::{
    AppBackups, BackupDocument, BackupOverview, BackupPlace, GoneBackups, MomentDocument, RestoreDocument, VerifiedDocument,
};
pub use checks::{Preflight, PreflightCheck, PreflightState};
pub use client::{Client, ClientError};
pub use databases::{DatabaseInfo, OutsideAccess};
pub use deployments::{
    Accepted, Commit, DeployOptions, DeployRequest, Deployment, DeploymentStep, Diagnosis, Event, EventKind, Upload,
};
pub use error::{ErrorBody, ErrorCode, ErrorDocument, PROBLEM, PROBLEMS, ProblemDocument};
pub use github::{
    AppSource, BranchQuery, GitHubApp, GitHubBranch, GitHubDelivery, GitHubInstallation, GitHubRepository, GitHubState,
    NewAppSource, NewGitHubApp, RepositoryQuery, SourceTrouble,
};
pub use history::{AppHistory, HistoryRange, HistoryStep, Latency, RequestCounts};
pub use logs::{LogLine, LogQuery, Stream};
pub use machine::{AppUse, DiskPart, DiskUse, MachineReport, MemoryUse, OpenDeployment};
pub use platform::{Check, CheckState, DoctorReport, Platform};
pub use schema::settings_schema;
pub use tokens::{CreatedToken, NewToken, TokenSummary};
pub use users::{
    AuditEntry, CreatedInvite, InviteDocument, MemberDocument, MemberRole, NewInvite, NewSignInLink, SessionDocument, SignInLink,
    UserDocument, UserPatch,
};

/// Where the API lies below the platform's address.
pub const PREFIX: &str = "/api/v1";

/// The content type of a tar archive.
pub const TAR: &str = "application/x-tar";
/// The content type of a tar archive compressed by Zstandard.
pub const ZSTD: &str = "application/zstd";
/// The content type of a tar archive compressed by gzip.
pub const GZIP: &str = "application/gzip";
/// The content type of a zip archive.
pub const ZIP: &str = "application/zip";
/// The content type of a stream of objects, one a line.
pub const NDJSON: &str = "application/x-ndjson";
/// The content type of YAML.
pub const YAML: &str = "application/yaml";
/// The content type of JSON.
pub const JSON: &str = "application/json";

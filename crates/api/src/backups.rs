//! Backups of databases on the wire.

use jiff::Timestamp;
use model::backup::{BackupId, BackupKind, BackupState};
use model::{AppName, DatabaseType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry of `GET /apps/{app}/database/backups`, the newest first; also the answer to whatever makes or verifies one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupDocument {
    /// Its id.
    pub backup: BackupId,
    /// When it was begun.
    pub created_at: Timestamp,
    /// The dump's size in bytes.
    pub bytes: u64,
    /// How far it is; only a verified one counts.
    pub state: BackupState,
    /// Why it was made.
    pub kind: BackupKind,
    /// What was found in it when it was restored into a scratch database.
    pub verified: Option<VerifiedDocument>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Where it lies: `directory`, `s3`.
    #[serde(default)]
    pub places: Vec<String>,
    /// When the app whose database it is was deleted; an app of the same name that is there now is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_deleted_at: Option<Timestamp>,
}

/// What a backup was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedDocument {
    /// Tables or collections.
    pub tables: u64,
    /// Rows or documents in them.
    pub rows: u64,
}

/// Answer to `POST /apps/{app}/database/restore?at=TIME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MomentDocument {
    /// The app.
    pub app: AppName,
    /// The moment whose contents its database holds now.
    pub at: Timestamp,
    /// The backup of what it held before.
    pub before: BackupId,
}

/// Answer to `POST /apps/{app}/database/backups/{id}/restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreDocument {
    /// The app.
    pub app: AppName,
    /// The backup that its database holds now.
    pub restored: BackupId,
    /// The backup of what it held before.
    pub before: BackupId,
}

/// Answer to `GET /backups`: where the platform stands with the backups of all apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupOverview {
    /// The places where backups lie; the nearest first.
    pub places: Vec<BackupPlace>,
    /// Apps that have a database, by name.
    pub apps: Vec<AppBackups>,
    /// Apps that were deleted, and whose backups are still kept.
    pub gone: Vec<GoneBackups>,
}

/// A place where backups lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPlace {
    /// Where it is.
    pub place: String,
    /// Why it can't be used; empty where it can.
    pub problem: String,
}

/// Where one app stands with its backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppBackups {
    /// The app.
    pub app: AppName,
    /// The kind of its database.
    pub database: DatabaseType,
    /// The newest that counts.
    pub newest: Option<BackupDocument>,
    /// The one that was made last.
    pub last: Option<BackupDocument>,
    /// How many there are.
    pub count: usize,
    /// What they take together.
    pub bytes: u64,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// Backups of an app that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoneBackups {
    /// The app that was.
    pub app: AppName,
    /// How many there are.
    pub count: usize,
    /// What they take together.
    pub bytes: u64,
}

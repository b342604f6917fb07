//! Backups of databases on the wire.

use jiff::Timestamp;
use model::AppName;
use model::backup::{BackupId, BackupKind, BackupState};
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

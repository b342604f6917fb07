//! Databases on the wire: how one is reached, what it holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{AppName, DatabaseType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answer to `GET /apps/{app}/database`; with `?reveal=true` the secrets are in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseInfo {
    /// Its app.
    pub app: AppName,
    /// Its kind.
    pub kind: DatabaseType,
    /// The host name under which the app's instances reach it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Its name.
    pub database: String,
    /// Its user.
    pub user: String,
    /// The variables that the app's instances find; null are those that hold a secret, unless it was asked for.
    pub variables: BTreeMap<String, Option<String>>,
    /// Where it is reached from outside, and who may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideAccess>,
    /// Bytes that it holds.
    pub bytes: u64,
    /// Bytes above which writes are refused.
    pub limit_bytes: u64,
    /// Connections of its user that are open.
    pub connections: u32,
    /// How many there may be.
    pub max_connections: u32,
    /// The first moment that it can be restored to; none where `database.pointInTime` is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoverable_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How a database is reached from outside of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutsideAccess {
    /// The host name, which its certificate bears.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The addresses and networks that may.
    pub allow: Vec<String>,
}

impl std::fmt::Debug for DatabaseInfo {
    /// Without the variables, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseInfo").field("app", &self.app).field("kind", &self.kind).finish_non_exhaustive()
    }
}

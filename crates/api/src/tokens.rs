//! Access tokens on the wire.

use jiff::Timestamp;
use model::{AppName, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of `POST /tokens` and `POST /me/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// A name for people.
    pub name: String,
    /// The only app it is for; all where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// After how many days it ends, 1 to 3650; never, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub days: Option<u32>,
}

/// One entry of `GET /tokens` or `GET /me/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenSummary {
    /// Its id, by which it is revoked.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The user whose own it is; none where it is the platform's.
    #[serde(default)]
    pub user: Option<UserName>,
    /// The only app it is for.
    pub app: Option<AppName>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// Answer to `POST /tokens` and `POST /me/tokens`: the only time that the token itself is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedToken {
    /// What lists show of it.
    #[serde(flatten)]
    pub summary: TokenSummary,
    /// The token.
    pub token: String,
}

impl std::fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken").field("summary", &self.summary).finish_non_exhaustive()
    }
}

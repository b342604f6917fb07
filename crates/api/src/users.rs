//! Users, invitations, sessions, members and the audit log on the wire.

use jiff::Timestamp;
use model::{AppName, AppRole, PlatformRole, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry of `GET /users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserDocument {
    /// The name.
    pub name: UserName,
    /// What they may do with the platform.
    pub role: PlatformRole,
    /// Whether they are locked out.
    pub disabled: bool,
    /// Whether they have a password.
    pub has_password: bool,
    /// Whether a second factor is asked for.
    pub second_factor: bool,
    /// The login of their GitHub account, when it was last seen.
    pub github: Option<String>,
    /// The address of their picture.
    pub avatar: Option<String>,
    /// When they were made.
    pub created_at: Timestamp,
    /// When they last signed in.
    pub signed_in_at: Option<Timestamp>,
}

/// Body of `PATCH /users/{user}`: what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    /// Another role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<PlatformRole>,
    /// Whether they are locked out; that ends their sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// Body of `POST /invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    /// What whoever takes it becomes.
    #[serde(default = "member")]
    pub role: PlatformRole,
    /// The app that they become a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// As what; a developer where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_role: Option<AppRole>,
    /// For whom it is, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

fn member() -> PlatformRole {
    PlatformRole::Member
}

/// One entry of `GET /invites`: never its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InviteDocument {
    /// Its id, by which it is taken away.
    pub id: String,
    /// What whoever takes it becomes.
    pub role: PlatformRole,
    /// The app that they become a member of.
    pub app: Option<AppName>,
    /// As what.
    pub app_role: Option<AppRole>,
    /// For whom it was made, in words.
    pub note: String,
    /// Who made it.
    pub made_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it can be taken.
    pub expires_at: Timestamp,
}

/// Answer to `POST /invites`: the only time that the link is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedInvite {
    /// What lists show of it.
    #[serde(flatten)]
    pub invite: InviteDocument,
    /// The link.
    pub url: String,
}

impl std::fmt::Debug for CreatedInvite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedInvite").field("invite", &self.invite).finish_non_exhaustive()
    }
}

/// Body of `POST /sign-in-links`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSignInLink {
    /// Whom it signs in; an operator where nobody is named, or whoever is to be the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
}

/// Answer to `POST /sign-in-links`: a link that works once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignInLink {
    /// The link.
    pub url: String,
    /// Whom it signs in; nobody where it makes the first operator.
    pub user: Option<UserName>,
    /// Until when it works.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for SignInLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// One entry of `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionDocument {
    /// Its id, by which it is ended.
    pub id: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// How it began: `link`, `password` or `github`.
    pub how: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub used_at: Timestamp,
    /// From where it began.
    pub address: String,
    /// What the browser says it is.
    pub agent: String,
}

/// One entry of `GET /apps/{app}/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberDocument {
    /// Who.
    pub user: UserName,
    /// As what.
    pub role: AppRole,
    /// Whether they are locked out of the platform.
    pub disabled: bool,
}

/// Body of `PUT /apps/{app}/members/{user}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberRole {
    /// As what.
    pub role: AppRole,
}

/// One entry of `GET /audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number; later ones are higher.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who, in words.
    pub who: String,
    /// What, as a word.
    pub what: String,
    /// The app that it was about; it may be gone.
    pub app: Option<String>,
    /// More of it.
    pub detail: String,
    /// From where.
    pub address: String,
}

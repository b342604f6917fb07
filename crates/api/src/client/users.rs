//! Calls on users, invitations, members and the audit log.

use http::Method;
use model::{AppName, AppRole, UserName};

use super::calls::NOTHING;
use super::{Client, ClientError};
use crate::users::{
    AuditEntry, CreatedInvite, InviteDocument, MemberDocument, MemberRole, NewInvite, NewSignInLink, SignInLink, UserDocument,
    UserPatch,
};

impl Client {
    /// The users.
    pub async fn users(&self) -> Result<Vec<UserDocument>, ClientError> {
        self.pages("/users").await
    }

    /// Changes a user's role, or locks them out or in.
    pub async fn change_user(&self, name: &UserName, patch: &UserPatch) -> Result<UserDocument, ClientError> {
        self.call(Method::PATCH, &format!("/users/{name}"), Some(patch)).await
    }

    /// Deletes a user.
    pub async fn delete_user(&self, name: &UserName) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/users/{name}"), NOTHING).await.map(drop)
    }

    /// Signs a user out everywhere.
    pub async fn end_sessions(&self, name: &UserName) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/users/{name}/sessions"), NOTHING).await.map(drop)
    }

    /// Makes an invitation.
    pub async fn create_invite(&self, invite: &NewInvite) -> Result<CreatedInvite, ClientError> {
        self.create("/invites", invite).await
    }

    /// The invitations that can still be taken.
    pub async fn invites(&self) -> Result<Vec<InviteDocument>, ClientError> {
        self.call(Method::GET, "/invites", NOTHING).await
    }

    /// Takes an invitation back.
    pub async fn delete_invite(&self, id: &str) -> Result<(), ClientError> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ClientError::Request {
                what: format!("{id:?} as the id of an invitation (see 'adaptable users invites')"),
            });
        }
        self.send(Method::DELETE, &format!("/invites/{id}"), NOTHING).await.map(drop)
    }

    /// Makes a link that signs in once.
    pub async fn create_sign_in_link(&self, link: &NewSignInLink) -> Result<SignInLink, ClientError> {
        self.call(Method::POST, "/sign-in-links", Some(link)).await
    }

    /// An app's members.
    pub async fn members(&self, app: &AppName) -> Result<Vec<MemberDocument>, ClientError> {
        self.call(Method::GET, &format!("/apps/{app}/members"), NOTHING).await
    }

    /// Makes a user a member of an app, or changes what they are in it.
    pub async fn set_member(&self, app: &AppName, user: &UserName, role: AppRole) -> Result<MemberDocument, ClientError> {
        self.call(Method::PUT, &format!("/apps/{app}/members/{user}"), Some(&MemberRole { role })).await
    }

    /// Takes a user out of an app.
    pub async fn remove_member(&self, app: &AppName, user: &UserName) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/apps/{app}/members/{user}"), NOTHING).await.map(drop)
    }

    /// The audit log, the newest first.
    pub async fn audit(&self, app: Option<&AppName>, most: u32) -> Result<Vec<AuditEntry>, ClientError> {
        let app = app.map(|app| format!("&app={app}")).unwrap_or_default();
        self.call(Method::GET, &format!("/audit?limit={most}{app}"), NOTHING).await
    }
}

//! Routes of users, invitations, sessions, members and the audit log.

use std::sync::Arc;

use api::{
    AuditEntry, CreatedInvite, ErrorBody, ErrorCode, InviteDocument, MemberDocument, MemberRole, NewInvite, NewSignInLink,
    SessionDocument, SignInLink, UserDocument, UserPatch,
};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use control::{Control, Identity};
use http::{StatusCode, header};
use model::{AppName, UserName};
use serde::Deserialize;

use crate::access::{Asker, ForAnyone, ForApp, ForPlatform, ToOwn};
use crate::answer::{Answer, Parsed, Problem};
use crate::routes::Detail;

/// An answer with more for the audit log.
fn noted(detail: String, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.extensions_mut().insert(Detail(detail));
    response
}

fn user(text: &str) -> Answer<UserName> {
    UserName::parse(text).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The user who asks; whoever comes by a token or the socket is none.
fn myself(asker: &Asker) -> Answer<&Arc<Identity>> {
    asker.identity().ok_or_else(|| {
        Problem(ErrorBody::new(ErrorCode::Forbidden, "this is for users, and you came by a token or the platform's socket"))
    })
}

pub(crate) async fn me(asker: Asker, State(control): State<Control>) -> Answer<Json<UserDocument>> {
    myself(&asker)?;
    Ok(Json(control.me(&asker.who).await?.ok_or_else(|| Problem(ErrorBody::new(ErrorCode::UserNotFound, "this user is gone")))?))
}

pub(crate) async fn list(_: ForPlatform, State(control): State<Control>) -> Answer<Json<Vec<UserDocument>>> {
    Ok(Json(control.users().await?))
}

pub(crate) async fn show(_: ForPlatform, State(control): State<Control>, Path(name): Path<String>) -> Answer<Json<UserDocument>> {
    Ok(Json(control.user(&user(&name)?).await?))
}

pub(crate) async fn change(
    _: ForPlatform,
    State(control): State<Control>,
    Path(name): Path<String>,
    Parsed(patch): Parsed<UserPatch>,
) -> Answer<Response> {
    let role = patch.role.map(|role| format!(", role {role}")).unwrap_or_default();
    let locked = patch.disabled.map(|out| if out { ", locked out" } else { ", let in" }).unwrap_or_default();
    let changed = control.change_user(&user(&name)?, patch).await?;
    Ok(noted(format!("{name}{role}{locked}"), Json(changed)))
}

pub(crate) async fn delete(_: ForPlatform, State(control): State<Control>, Path(name): Path<String>) -> Answer<Response> {
    control.delete_user(&user(&name)?).await?;
    Ok(noted(name, StatusCode::NO_CONTENT))
}

pub(crate) async fn end_sessions(_: ForPlatform, State(control): State<Control>, Path(name): Path<String>) -> Answer<Response> {
    control.end_sessions_of(&user(&name)?).await?;
    Ok(noted(name, StatusCode::NO_CONTENT))
}

pub(crate) async fn invites(_: ForPlatform, State(control): State<Control>) -> Answer<Json<Vec<InviteDocument>>> {
    Ok(Json(control.invites().await?))
}

pub(crate) async fn create_invite(
    _: ForPlatform,
    asker: Asker,
    State(control): State<Control>,
    Parsed(new): Parsed<NewInvite>,
) -> Answer<Response> {
    let created: CreatedInvite = control.create_invite(&asker.who, new).await?;
    let detail = format!("invitation {} as {}: {}", created.invite.id, created.invite.role, created.invite.note);
    Ok(noted(detail, (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(created))))
}

pub(crate) async fn delete_invite(_: ForPlatform, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    control.delete_invite(&id).await?;
    Ok(noted(format!("invitation {id}"), StatusCode::NO_CONTENT))
}

pub(crate) async fn create_sign_in_link(
    _: ForPlatform,
    State(control): State<Control>,
    Parsed(new): Parsed<NewSignInLink>,
) -> Answer<Response> {
    let link: SignInLink = control.sign_in_link(new.user.as_ref()).await?;
    let detail = link.user.as_ref().map_or_else(|| "the first operator".to_owned(), UserName::to_string);
    Ok(noted(format!("for {detail}"), (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(link))))
}

pub(crate) async fn sessions(_: ForAnyone, asker: Asker, State(control): State<Control>) -> Answer<Json<Vec<SessionDocument>>> {
    Ok(Json(control.sessions(myself(&asker)?).await?))
}

pub(crate) async fn end_session(
    _: ForAnyone,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    control.revoke_session(myself(&asker)?, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn end_other_sessions(_: ForAnyone, asker: Asker, State(control): State<Control>) -> Answer<StatusCode> {
    control.end_other_sessions(myself(&asker)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn members(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<Vec<MemberDocument>>> {
    Ok(Json(control.members(&app).await?))
}

pub(crate) async fn set_member(
    ToOwn(app): ToOwn,
    State(control): State<Control>,
    Path((_, name)): Path<(String, String)>,
    Parsed(MemberRole { role }): Parsed<MemberRole>,
) -> Answer<Response> {
    let member = control.set_member(&app, &user(&name)?, role).await?;
    Ok(noted(format!("{name} as {role}"), Json(member)))
}

pub(crate) async fn remove_member(
    ToOwn(app): ToOwn,
    State(control): State<Control>,
    Path((_, name)): Path<(String, String)>,
) -> Answer<Response> {
    control.remove_member(&app, &user(&name)?).await?;
    Ok(noted(name, StatusCode::NO_CONTENT))
}

/// Which part of the audit log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    app: Option<AppName>,
    before: Option<i64>,
    limit: Option<u32>,
}

/// How many entries come at once where nothing is said.
const ENTRIES: u32 = 100;

pub(crate) async fn audit(
    _: ForPlatform,
    State(control): State<Control>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Answer<Json<Vec<AuditEntry>>> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(Json(control.audit_log(query.app.as_ref(), query.before, query.limit.unwrap_or(ENTRIES)).await?))
}

pub(crate) async fn app_audit(
    ToOwn(app): ToOwn,
    State(control): State<Control>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Answer<Json<Vec<AuditEntry>>> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(Json(control.app_audit(&app, query.before, query.limit.unwrap_or(ENTRIES)).await?))
}

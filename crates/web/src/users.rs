//! Routes of users, invitations, sessions, members and the audit log.

use api::{
    AuditEntry, CreatedInvite, ErrorBody, ErrorCode, InviteDocument, MemberDocument, MemberRole, NewInvite, NewSignInLink,
    SessionDocument, SignInLink, UserDocument, UserPatch,
};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use control::Control;
use http::{StatusCode, header};
use model::{AppName, UserName};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::access::{Asker, ForAccount, ForApp, ForPlatform, ToOwn};
use crate::answer::{Answer, Parsed, Problem};
use crate::openapi::{Api, Operation, Tag};
use crate::paging::{Order, Page};
use crate::routes::Detail;

/// The operations of users, invitations, sessions, members and the audit log.
pub(crate) fn operations(api: Api) -> Api {
    log(members_of_apps(ways_in(users_of_all(api))))
}

fn users_of_all(api: Api) -> Api {
    const WHOLE: &str = "For whom the whole platform is open to.";
    api.get(
        "/me",
        Operation::new(Tag::Access, "getMe", "The user who asks")
            .about("For users, by a session or by a token of their own.")
            .answers::<UserDocument>(StatusCode::OK, "The user.")
            .fails(&[ErrorCode::UserNotFound]),
    )
    .get(
        "/users",
        Operation::new(Tag::Access, "listUsers", "The users")
            .about("By name. For whom the whole platform is open to.")
            .listed()
            .answers::<Vec<UserDocument>>(StatusCode::OK, "The users."),
    )
    .get(
        "/users/{user}",
        Operation::new(Tag::Access, "getUser", "One user")
            .about(WHOLE)
            .answers::<UserDocument>(StatusCode::OK, "The user.")
            .fails(&[ErrorCode::UserNotFound]),
    )
    .patch(
        "/users/{user}",
        Operation::new(Tag::Access, "changeUser", "Change a user's role, lock them out or let them in")
            .about("The last operator stays one. Whoever is locked out is signed out everywhere.")
            .body::<UserPatch>(json!({ "role": "operator" }))
            .answers::<UserDocument>(StatusCode::OK, "The user as they are now.")
            .fails(&[ErrorCode::UserNotFound, ErrorCode::Conflict]),
    )
    .delete(
        "/users/{user}",
        Operation::new(Tag::Access, "deleteUser", "Delete a user")
            .about("Their apps stay. The last operator can't be deleted.")
            .nothing("The user is deleted.")
            .fails(&[ErrorCode::UserNotFound, ErrorCode::Conflict]),
    )
    .delete(
        "/users/{user}/sessions",
        Operation::new(Tag::Access, "signOutUser", "Sign a user out everywhere")
            .about(WHOLE)
            .nothing("No session of theirs is left.")
            .fails(&[ErrorCode::UserNotFound]),
    )
}

fn ways_in(api: Api) -> Api {
    api.get(
        "/invites",
        Operation::new(Tag::Access, "listInvites", "The invitations that can still be taken")
            .about("The newest first, without their links. For whom the whole platform is open to.")
            .answers::<Vec<InviteDocument>>(StatusCode::OK, "The invitations."),
    )
    .post(
        "/invites",
        Operation::new(Tag::Access, "createInvite", "Invite somebody")
            .about("The link is in this answer and nowhere else. It is good for seven days, and once.")
            .body::<NewInvite>(json!({ "note": "Ada", "app": "shop", "app_role": "viewer" }))
            .once()
            .answers::<CreatedInvite>(StatusCode::CREATED, "The invitation, with its link.")
            .fails(&[ErrorCode::AppNotFound]),
    )
    .delete(
        "/invites/{id}",
        Operation::new(Tag::Access, "deleteInvite", "Take an invitation back")
            .nothing("Its link does not work any more.")
            .fails(&[ErrorCode::UserNotFound]),
    )
    .post(
        "/sign-in-links",
        Operation::new(Tag::Access, "createSignInLink", "Make a link that signs in once")
            .about(
                "It is good for an hour, and takes the place of the one before. Where nobody is named it signs an operator in, or makes \
                 the first one.",
            )
            .body::<NewSignInLink>(json!({ "user": "ada" }))
            .once()
            .answers::<SignInLink>(StatusCode::CREATED, "The link.")
            .fails(&[ErrorCode::UserNotFound, ErrorCode::NotFound, ErrorCode::Conflict]),
    )
    .get(
        "/sessions",
        Operation::new(Tag::Access, "listSessions", "The browsers that the user who asks is signed in with")
            .about("For a browser that is signed in; no token opens what is its user's own.")
            .answers::<Vec<SessionDocument>>(StatusCode::OK, "The sessions, the one last used first."),
    )
    .delete(
        "/sessions",
        Operation::new(Tag::Access, "endOtherSessions", "Sign the user who asks out everywhere else")
            .nothing("The other sessions have ended."),
    )
    .delete(
        "/sessions/{id}",
        Operation::new(Tag::Access, "endSession", "End a session of the user who asks")
            .nothing("The session has ended.")
            .fails(&[ErrorCode::UserNotFound]),
    )
}

fn members_of_apps(api: Api) -> Api {
    api.get(
        "/apps/{app}/members",
        Operation::new(Tag::Access, "listMembers", "Who may do what with an app")
            .answers::<Vec<MemberDocument>>(StatusCode::OK, "The members, by name.")
            .fails(&[ErrorCode::AppNotFound]),
    )
    .put(
        "/apps/{app}/members/{user}",
        Operation::new(Tag::Access, "setMember", "Make a user a member of an app, or change what they are in it")
            .about("For its owners. The last owner stays one.")
            .body::<MemberRole>(json!({ "role": "developer" }))
            .answers::<MemberDocument>(StatusCode::OK, "The member.")
            .fails(&[ErrorCode::AppNotFound, ErrorCode::UserNotFound, ErrorCode::Conflict]),
    )
    .delete(
        "/apps/{app}/members/{user}",
        Operation::new(Tag::Access, "removeMember", "Take a user out of an app")
            .about("For its owners. The last owner stays.")
            .nothing("The user is no member any more.")
            .fails(&[ErrorCode::AppNotFound, ErrorCode::UserNotFound, ErrorCode::Conflict]),
    )
}

fn log(api: Api) -> Api {
    api.get(
        "/audit",
        Operation::new(Tag::Access, "listAudit", "Who changed what")
            .about("The newest first. For whom the whole platform is open to.")
            .query::<AuditQuery>()
            .listed()
            .answers::<Vec<AuditEntry>>(StatusCode::OK, "The changes."),
    )
    .get(
        "/apps/{app}/audit",
        Operation::new(Tag::Access, "listAppAudit", "Who changed what of an app")
            .about("The newest first. For its owners.")
            .listed()
            .answers::<Vec<AuditEntry>>(StatusCode::OK, "The changes.")
            .fails(&[ErrorCode::AppNotFound]),
    )
}

fn user(text: &str) -> Answer<UserName> {
    UserName::parse(text).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The user who asks; whoever comes by a token of the platform's or by its socket is none.
pub(crate) async fn me(asker: Asker, State(control): State<Control>) -> Answer<Json<UserDocument>> {
    if asker.identity().is_none() {
        let message = "this is for users, and you came by a token of the platform's or by its socket";
        return Err(Problem(ErrorBody::new(ErrorCode::Forbidden, message)));
    }
    Ok(Json(control.me(&asker.who).await?.ok_or_else(|| Problem(ErrorBody::new(ErrorCode::UserNotFound, "this user is gone")))?))
}

pub(crate) async fn list(_: ForPlatform, State(control): State<Control>, page: Page) -> Answer<Response> {
    let mut users = control.users().await?;
    users.sort_by(|one, other| one.name.cmp(&other.name));
    page.cut(users, Order::Up, |entry| entry.name.clone())
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
    Ok(Detail(format!("{name}{role}{locked}")).by(Json(changed)))
}

pub(crate) async fn delete(_: ForPlatform, State(control): State<Control>, Path(name): Path<String>) -> Answer<Response> {
    control.delete_user(&user(&name)?).await?;
    Ok(Detail(name).by(StatusCode::NO_CONTENT))
}

pub(crate) async fn end_sessions(_: ForPlatform, State(control): State<Control>, Path(name): Path<String>) -> Answer<Response> {
    control.end_sessions_of(&user(&name)?).await?;
    Ok(Detail(name).by(StatusCode::NO_CONTENT))
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
    Ok(Detail(detail).by((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(created))))
}

pub(crate) async fn delete_invite(_: ForPlatform, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    control.delete_invite(&id).await?;
    Ok(Detail(format!("invitation {id}")).by(StatusCode::NO_CONTENT))
}

pub(crate) async fn create_sign_in_link(
    _: ForPlatform,
    State(control): State<Control>,
    Parsed(new): Parsed<NewSignInLink>,
) -> Answer<Response> {
    let link: SignInLink = control.sign_in_link(new.user.as_ref()).await?;
    let detail = link.user.as_ref().map_or_else(|| "the first operator".to_owned(), UserName::to_string);
    Ok(Detail(format!("for {detail}")).by((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(link))))
}

pub(crate) async fn sessions(ForAccount(me): ForAccount, State(control): State<Control>) -> Answer<Json<Vec<SessionDocument>>> {
    Ok(Json(control.sessions(&me).await?))
}

pub(crate) async fn end_session(
    ForAccount(me): ForAccount,
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    control.revoke_session(&me, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn end_other_sessions(ForAccount(me): ForAccount, State(control): State<Control>) -> Answer<StatusCode> {
    control.end_other_sessions(&me).await?;
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
    Ok(Detail(format!("{name} as {role}")).by(Json(member)))
}

pub(crate) async fn remove_member(
    ToOwn(app): ToOwn,
    State(control): State<Control>,
    Path((_, name)): Path<(String, String)>,
) -> Answer<Response> {
    control.remove_member(&app, &user(&name)?).await?;
    Ok(Detail(name).by(StatusCode::NO_CONTENT))
}

/// Which part of the audit log.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AuditQuery {
    /// Only what was about this app.
    app: Option<AppName>,
}

/// How many entries come at once where nothing is said.
const ENTRIES: u32 = 100;

pub(crate) async fn audit(
    _: ForPlatform,
    State(control): State<Control>,
    query: Result<Query<AuditQuery>, QueryRejection>,
    page: Page,
) -> Answer<Response> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let found = control.audit_log(query.app.as_ref(), page.after()?, page.wanted(ENTRIES)).await?;
    Ok(page.answer(found, ENTRIES, |entry: &AuditEntry| entry.id))
}

pub(crate) async fn app_audit(ToOwn(app): ToOwn, State(control): State<Control>, page: Page) -> Answer<Response> {
    let found = control.app_audit(&app, page.after()?, page.wanted(ENTRIES)).await?;
    Ok(page.answer(found, ENTRIES, |entry: &AuditEntry| entry.id))
}

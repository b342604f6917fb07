//! Users and invitations: who may come to the platform, and as what.

use api::{NewInvite, UserPatch};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::Control;
use http::StatusCode;
use model::{AppName, AppRole, PlatformRole, UserName};
use serde::Deserialize;

use super::Tab;
use crate::access::ForPlatform;
use crate::answer::{Answer, Problem};
use crate::pages::flash::Said;
use crate::pages::layout::{Nav, Shell, page_with};
use crate::pages::text::When;
use crate::pages::visitor::{Posted, Visitor};

#[derive(Debug)]
struct Row {
    name: String,
    operator: bool,
    disabled: bool,
    ways: String,
    signed_in: Option<When>,
    me: bool,
}

#[derive(Debug)]
struct Invited {
    id: String,
    what: String,
    note: String,
    by: String,
    until: String,
}

#[derive(Debug, Template)]
#[template(path = "operator_users.html")]
struct UsersPage {
    shell: Shell,
    tab: Tab,
    rows: Vec<Row>,
    invites: Vec<Invited>,
    apps: Vec<String>,
    note: String,
    wrong: String,
    /// The link of an invitation that was made just now: it is in this answer and nowhere else.
    made: Option<String>,
}

/// What the form of invitations sends.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct New {
    #[serde(default)]
    note: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    app: String,
}

async fn show(
    control: &Control,
    visitor: &Visitor,
    shell: Shell,
    note: String,
    wrong: String,
    made: Option<String>,
) -> Answer<Response> {
    let me = visitor.identity.as_ref().map(|identity| identity.name.clone());
    let rows = control.users().await?.into_iter().map(|user| Row {
        me: me.as_ref() == Some(&user.name),
        name: user.name.to_string(),
        operator: user.role == PlatformRole::Operator,
        disabled: user.disabled,
        ways: ways(&user),
        signed_in: user.signed_in_at.map(When::new),
    });
    let invites = control.invites().await?.into_iter().map(|invite| Invited {
        id: invite.id,
        what: match (&invite.app, invite.app_role, invite.role) {
            (_, _, PlatformRole::Operator) => "operator".to_owned(),
            (Some(app), role, _) => format!("{} of {app}", role.map_or("member", AppRole::as_str)),
            (None, ..) => "member".to_owned(),
        },
        note: invite.note,
        by: invite.made_by,
        until: invite.expires_at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    });
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = UsersPage {
        tab: Tab::Users,
        rows: rows.collect(),
        invites: invites.collect(),
        apps: control.apps(&control::Who::Operator).await?.into_iter().map(|app| app.app.to_string()).collect(),
        note,
        wrong,
        made,
        shell: shell.titled("Users").at(Nav::Operator),
    };
    Ok(page_with(status, &page))
}

/// How somebody signs in, in words.
fn ways(user: &api::UserDocument) -> String {
    let mut ways = Vec::new();
    if user.has_password {
        ways.push(if user.second_factor { "password and code".to_owned() } else { "password".to_owned() });
    }
    ways.extend(user.github.as_ref().map(|login| format!("GitHub as {login}")));
    if ways.is_empty() { "by link only".to_owned() } else { ways.join(", ") }
}

/// The page.
pub(crate) async fn users(_: ForPlatform, visitor: Visitor, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    show(&control, &visitor, shell, String::new(), String::new(), None).await
}

/// Makes an invitation and shows its link, this once.
pub(crate) async fn invite(
    _: ForPlatform,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(new): Posted<New>,
) -> Answer<Response> {
    let app = match new.app.as_str() {
        "" => None,
        name => Some(AppName::parse(name).map_err(|error| Problem::bad_request(error.to_string()))?),
    };
    let (role, app_role) = match (new.role.as_str(), &app) {
        ("operator", _) => (PlatformRole::Operator, None),
        (role, Some(_)) => (PlatformRole::Member, Some(role.parse().unwrap_or(AppRole::Developer))),
        (_, None) => (PlatformRole::Member, None),
    };
    let app = app.filter(|_| app_role.is_some());
    let invite = NewInvite { role, app, app_role, note: new.note.clone() };
    match control.create_invite(&visitor.who, invite).await {
        Ok(made) => show(&control, &visitor, shell, String::new(), String::new(), Some(made.url)).await,
        Err(error) => show(&control, &visitor, shell, new.note, error.message, None).await,
    }
}

/// Takes an invitation away.
pub(crate) async fn end_invite(_: ForPlatform, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    control.delete_invite(&id).await?;
    Ok(Redirect::to(&Said::InviteEnded.at("/operator/users")).into_response())
}

/// What is done with a user.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deed {
    /// Makes an operator.
    Promote,
    /// Makes a member.
    Demote,
    /// Locks out.
    Lock,
    /// Lets in again.
    Unlock,
    /// Forgets.
    Delete,
}

/// What the buttons beside a user send.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    #[serde(rename = "do")]
    deed: Deed,
}

/// Changes a user.
pub(crate) async fn change(
    _: ForPlatform,
    State(control): State<Control>,
    Path(user): Path<String>,
    Posted(change): Posted<Change>,
) -> Answer<Response> {
    let name = UserName::parse(&user).map_err(|error| Problem::bad_request(error.to_string()))?;
    let patch = match change.deed {
        Deed::Promote => UserPatch { role: Some(PlatformRole::Operator), disabled: None },
        Deed::Demote => UserPatch { role: Some(PlatformRole::Member), disabled: None },
        Deed::Lock => UserPatch { role: None, disabled: Some(true) },
        Deed::Unlock => UserPatch { role: None, disabled: Some(false) },
        Deed::Delete => {
            control.delete_user(&name).await?;
            return Ok(Redirect::to(&Said::UserDeleted.at("/operator/users")).into_response());
        }
    };
    control.change_user(&name, patch).await?;
    Ok(Redirect::to(&Said::Saved.at("/operator/users")).into_response())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::gallery::shell;

    pub(in super::super) fn page(text: &str) -> impl Template + use<> {
        let row = |name: &str, operator, disabled, ways: &str, me| Row {
            name: name.to_owned(),
            operator,
            disabled,
            ways: ways.to_owned(),
            signed_in: (!disabled).then(|| When::new(jiff::Timestamp::now())),
            me,
        };
        UsersPage {
            shell: shell(text),
            tab: Tab::Users,
            rows: vec![
                row("ada", true, false, "password and code", true),
                row("grace", false, false, &format!("GitHub as {text}"), false),
                row("mallory", false, true, "password", false),
            ],
            invites: vec![Invited {
                id: "3".to_owned(),
                what: "developer of shop".to_owned(),
                note: text.to_owned(),
                by: text.to_owned(),
                until: "2026-11-28 12:00 UTC".to_owned(),
            }],
            apps: vec!["guestbook".to_owned(), "shop".to_owned()],
            note: text.to_owned(),
            wrong: text.to_owned(),
            made: Some(format!("https://example.org/invite/0123456789abcdef{text}")),
        }
    }
}

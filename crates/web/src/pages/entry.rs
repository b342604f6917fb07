//! Pages by which people come in and go: sign in, the second factor, sign out, the one-time link, the invitation.

use api::ErrorBody;
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, LocalPath, SignInStep, SignedIn, Welcome, Who};
use http::header;
use model::UserName;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::layout::{Shell, page, page_with};
use super::visitor::{Posted, Visitor};
use crate::answer::{Answer, Problem, status};
use crate::cookie;

/// Where whoever has come in goes on.
const INSIDE: &str = "/apps";

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    shell: Shell,
    next: &'a str,
    name: &'a str,
    error: Option<&'a ErrorBody>,
    github: bool,
}

pub(crate) async fn sign_in(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    query: Result<Query<Next>, QueryRejection>,
) -> Response {
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    let next = LocalPath::parse(&next);
    if visitor.identity.is_some() {
        return Redirect::to(next.as_ref().map_or(INSIDE, LocalPath::as_str)).into_response();
    }
    let next = next.as_ref().map_or("", LocalPath::as_str);
    page(&SignInPage { shell: shell.titled("Sign in"), next, name: "", error: None, github: control.has_github() })
}

#[derive(Deserialize)]
pub(crate) struct SignInForm {
    name: String,
    password: Zeroizing<String>,
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "second_factor.html")]
struct CodePage<'a> {
    shell: Shell,
    way: &'a str,
    next: &'a str,
    error: Option<&'a ErrorBody>,
}

pub(crate) async fn post_sign_in(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(form): Posted<SignInForm>,
) -> Answer<Response> {
    let next = LocalPath::parse(&form.next);
    let text = next.as_ref().map_or("", LocalPath::as_str);
    match control.sign_in(&form.name, form.password, &visitor.browser).await {
        Ok(SignInStep::SignedIn(signed_in)) => come_in(&visitor, &control, &signed_in, "by password", next.as_ref()).await,
        Ok(SignInStep::SecondFactor(way)) => {
            Ok(page(&CodePage { shell: shell.titled("Second factor"), way: &way, next: text, error: None }))
        }
        Err(error) => {
            let page = SignInPage {
                shell: shell.titled("Sign in"),
                next: text,
                name: &form.name,
                error: Some(&error),
                github: control.has_github(),
            };
            Ok(page_with(status(&error), &page))
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct CodeForm {
    way: Zeroizing<String>,
    code: Zeroizing<String>,
    #[serde(default)]
    next: String,
}

pub(crate) async fn post_code(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(form): Posted<CodeForm>,
) -> Answer<Response> {
    let next = LocalPath::parse(&form.next);
    match control.second_factor(&form.way, &form.code, &visitor.browser).await {
        Ok(signed_in) => come_in(&visitor, &control, &signed_in, "by password and code", next.as_ref()).await,
        Err(error) => {
            let next = next.as_ref().map_or("", LocalPath::as_str);
            let page = CodePage { shell: shell.titled("Second factor"), way: &form.way, next, error: Some(&error) };
            Ok(page_with(status(&error), &page))
        }
    }
}

/// Gives the browser its new session; the one that it came with, if any, ends. So a session that somebody else has slipped in is never
/// the one that is signed in.
pub(crate) async fn come_in(
    visitor: &Visitor,
    control: &Control,
    signed_in: &SignedIn,
    how: &str,
    next: Option<&LocalPath>,
) -> Answer<Response> {
    if let Some(before) = &visitor.identity
        && let Some(session) = before.session
    {
        control.end_session(before.id, session).await?;
    }
    let who = Who::User(signed_in.identity.clone());
    control.audit(&who, "session.begin", None, how, &visitor.browser.address).await;
    let to = Redirect::to(next.map_or(INSIDE, LocalPath::as_str));
    Ok(([(header::SET_COOKIE, cookie::set(&signed_in.cookie))], to).into_response())
}

pub(crate) async fn sign_out(visitor: Visitor, State(control): State<Control>) -> Answer<Response> {
    if let Some(identity) = &visitor.identity
        && let Some(session) = identity.session
    {
        control.end_session(identity.id, session).await?;
    }
    Ok(([(header::SET_COOKIE, cookie::clear())], Redirect::to("/sign-in")).into_response())
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage<'a> {
    shell: Shell,
    /// Whom it signs in; it makes the first operator where this is none.
    user: Option<&'a str>,
    name: &'a str,
    error: Option<&'a ErrorBody>,
    github: bool,
}

/// Shows what the link is for; using it takes a click, since whatever previews links must not use them up.
pub(crate) async fn welcome(shell: Shell, State(control): State<Control>, Path(link): Path<String>) -> Answer<Response> {
    let welcome = control.welcome(&link).await?;
    let user = match &welcome {
        Welcome::FirstOperator => None,
        Welcome::User(name) => Some(name.as_str()),
    };
    Ok(page(&WelcomePage { shell: shell.titled("Welcome"), user, name: "", error: None, github: control.has_github() }))
}

#[derive(Deserialize)]
pub(crate) struct NewcomerForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: Zeroizing<String>,
}

impl NewcomerForm {
    fn name(&self) -> Result<UserName, ErrorBody> {
        UserName::typed(&self.name).map_err(|error| Problem::bad_request(error.to_string()).0)
    }
}

pub(crate) async fn post_welcome(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Path(link): Path<String>,
    Posted(form): Posted<NewcomerForm>,
) -> Answer<Response> {
    if let Welcome::User(_) = control.welcome(&link).await? {
        let signed_in = control.welcome_user(&link, &visitor.browser).await?;
        return come_in(&visitor, &control, &signed_in, "by a one-time link", None).await;
    }
    let made = match form.name() {
        Ok(name) => control.welcome_first_operator(&link, name, form.password.clone(), &visitor.browser).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(signed_in) => come_in(&visitor, &control, &signed_in, "as the first operator", None).await,
        Err(error) => {
            let shell = shell.titled("Welcome");
            let page = WelcomePage { shell, user: None, name: &form.name, error: Some(&error), github: control.has_github() };
            Ok(page_with(status(&error), &page))
        }
    }
}

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitePage<'a> {
    shell: Shell,
    invite: &'a api::InviteDocument,
    name: &'a str,
    error: Option<&'a ErrorBody>,
    github: bool,
}

pub(crate) async fn invite(shell: Shell, State(control): State<Control>, Path(link): Path<String>) -> Answer<Response> {
    let invite = control.invite(&link).await?;
    Ok(page(&InvitePage {
        shell: shell.titled("Invitation"),
        invite: &invite,
        name: "",
        error: None,
        github: control.has_github(),
    }))
}

pub(crate) async fn post_invite(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Path(link): Path<String>,
    Posted(form): Posted<NewcomerForm>,
) -> Answer<Response> {
    let invite = control.invite(&link).await?;
    let made = match form.name() {
        Ok(name) => control.take_invite(&link, name, form.password.clone(), &visitor.browser).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(signed_in) => come_in(&visitor, &control, &signed_in, &format!("by invitation {}", invite.id), None).await,
        Err(error) => {
            let shell = shell.titled("Invitation");
            let page = InvitePage { shell, invite: &invite, name: &form.name, error: Some(&error), github: control.has_github() };
            Ok(page_with(status(&error), &page))
        }
    }
}

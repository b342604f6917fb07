//! Pages by which people come in and go: sign in, sign out, the one-time link.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, SignedIn, Welcome};
use http::header;
use model::UserName;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::layout::{Shell, page, page_with};
use super::local_path::LocalPath;
use super::visitor::{Posted, Visitor};
use crate::answer::{Answer, Problem};
use crate::cookie;

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
    error: &'a str,
    help: &'a str,
}

pub(crate) async fn sign_in(visitor: Visitor, shell: Shell, query: Result<Query<Next>, QueryRejection>) -> Response {
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    let next = LocalPath::parse(&next);
    if visitor.identity.is_some() {
        return Redirect::to(next.as_ref().map_or("/apps", LocalPath::as_str)).into_response();
    }
    page(&SignInPage {
        shell: shell.titled("Sign in"),
        next: next.as_ref().map_or("", LocalPath::as_str),
        name: "",
        error: "",
        help: "",
    })
}

#[derive(Deserialize)]
pub(crate) struct SignInForm {
    name: String,
    password: Zeroizing<String>,
    #[serde(default)]
    next: String,
}

pub(crate) async fn post_sign_in(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(form): Posted<SignInForm>,
) -> Answer<Response> {
    let next = LocalPath::parse(&form.next);
    match control.sign_in(&form.name, form.password, &visitor.browser).await {
        Ok(signed_in) => come_in(&visitor, &control, &signed_in, next.as_ref()).await,
        Err(error) => {
            let status = crate::answer::status(&error);
            let next = next.as_ref().map_or("", LocalPath::as_str);
            let page =
                SignInPage { shell: shell.titled("Sign in"), next, name: &form.name, error: &error.message, help: &error.help };
            Ok(page_with(status, &page))
        }
    }
}

/// Gives the browser its new session; the one that it came with, if any, ends.
async fn come_in(visitor: &Visitor, control: &Control, signed_in: &SignedIn, next: Option<&LocalPath>) -> Answer<Response> {
    if let Some(before) = &visitor.identity
        && let Some(session) = before.session
    {
        control.end_session(before.id, session).await?;
    }
    let to = Redirect::to(next.map_or("/apps", LocalPath::as_str));
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
    error: &'a str,
    help: &'a str,
}

/// Shows what the link is for; using it takes a click, since whatever previews links must not use them up.
pub(crate) async fn welcome(shell: Shell, State(control): State<Control>, Path(link): Path<String>) -> Answer<Response> {
    let welcome = control.welcome(&link).await?;
    let user = match &welcome {
        Welcome::FirstOperator => None,
        Welcome::User(name) => Some(name.as_str()),
    };
    Ok(page(&WelcomePage { shell: shell.titled("Welcome"), user, name: "", error: "", help: "" }))
}

#[derive(Deserialize)]
pub(crate) struct WelcomeForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: Zeroizing<String>,
}

pub(crate) async fn post_welcome(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Path(link): Path<String>,
    Posted(form): Posted<WelcomeForm>,
) -> Answer<Response> {
    match control.welcome(&link).await? {
        Welcome::User(_) => {
            let signed_in = control.welcome_user(&link, &visitor.browser).await?;
            come_in(&visitor, &control, &signed_in, None).await
        }
        Welcome::FirstOperator => {
            let again = |problem: Problem| {
                let page = WelcomePage {
                    shell: shell.titled("Welcome"),
                    user: None,
                    name: &form.name,
                    error: &problem.0.message,
                    help: &problem.0.help,
                };
                Ok(page_with(crate::answer::status(&problem.0), &page))
            };
            let name = match UserName::typed(&form.name) {
                Ok(name) => name,
                Err(error) => return again(Problem::bad_request(error.to_string())),
            };
            match control.welcome_first_operator(&link, name, form.password.clone(), &visitor.browser).await {
                Ok(signed_in) => come_in(&visitor, &control, &signed_in, None).await,
                Err(error) => again(Problem(error)),
            }
        }
    }
}

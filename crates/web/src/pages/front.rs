//! The front page, and the switch between light and dark.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, LocalPath};
use http::header;
use serde::Deserialize;

use crate::pages::layout::{Shell, Theme, page};
use crate::pages::visitor::Posted;

/// What somebody sees who is not signed in.
#[derive(Debug, Template)]
#[template(path = "front.html")]
pub(crate) struct Front {
    pub(crate) shell: Shell,
    /// Whether one can sign in with GitHub.
    pub(crate) github: bool,
}

/// The way in; who is in goes on to the Dashboard.
pub(crate) async fn front(shell: Shell, State(control): State<Control>) -> Response {
    if shell.person.is_some() {
        return Redirect::to("/apps").into_response();
    }
    page(&Front { shell, github: control.has_github() })
}

/// What the switch sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    theme: String,
    #[serde(default)]
    next: String,
}

/// Keeps the theme in a cookie and goes back.
pub(crate) async fn theme(Posted(choice): Posted<Choice>) -> Response {
    let theme = Theme::parse(&choice.theme).unwrap_or_default();
    let next = LocalPath::parse(&choice.next);
    let next = next.as_ref().map_or("/", LocalPath::as_str);
    let cookie = format!("theme={}; Path=/; Max-Age=31536000; SameSite=Lax; Secure", theme.word());
    ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response()
}

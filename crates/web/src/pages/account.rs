//! The page of one's own account: password, second factor, tokens, sessions, the account of GitHub.

pub(super) mod tokens;

use std::sync::Arc;

use api::{ErrorBody, ErrorCode, SessionDocument, UserDocument};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, Identity};
use http::StatusCode;
use qrcode::{Color, QrCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::flash::Said;
use super::layout::{Shell, page, page_with};
use super::text::When;
use super::visitor::{Posted, Visitor};
use crate::answer::{Answer, Problem, status};

const PAGE: &str = "/account";

/// A session as it is shown.
struct Row {
    session: SessionDocument,
    browser: String,
    how: &'static str,
    began: When,
    used: When,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    github: bool,
    shell: Shell,
    user: &'a UserDocument,
    tokens: Vec<tokens::Row>,
    apps: Vec<String>,
    lives: &'static [(&'static str, &'static str)],
    sessions: Vec<Row>,
    codes_left: u32,
    extra: Extra,
}

/// What the page says beside what is stored: what went wrong, what was typed, what was made just now.
#[derive(Debug, Default)]
struct Extra {
    error: Option<ErrorBody>,
    typed: tokens::New,
    /// A token: its name and its text, in this answer and nowhere else.
    made: Option<(String, String)>,
}

/// What people call a browser and what it runs on, from what it says of itself; that itself, where nothing in it is known.
fn browser(agent: &str) -> String {
    let known = |words: &[(&str, &'static str)]| words.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    // Most say that they are others as well: the one that says the least comes last.
    let name =
        known(&[("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")]);
    let system = known(&[
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("iPad", "iPadOS"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (name, system) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) => name.to_owned(),
        _ => agent.chars().take(60).collect(),
    }
}

fn myself(visitor: &Visitor) -> Answer<&Arc<Identity>> {
    visitor.identity.as_ref().ok_or_else(|| {
        Problem(
            ErrorBody::new(ErrorCode::Forbidden, "this page is a user's, and nobody is signed in here")
                .help("open the platform's address in a browser, and sign in"),
        )
    })
}

async fn show(visitor: &Visitor, shell: Shell, control: &Control, extra: Extra) -> Answer<Response> {
    let identity = myself(visitor)?;
    let gone = || Problem(ErrorBody::new(ErrorCode::UserNotFound, "this user is gone"));
    let user = control.me(&visitor.who).await?.ok_or_else(gone)?;
    let sessions = control.sessions(identity).await?.into_iter().map(|session| Row {
        how: match session.how.as_str() {
            "github" => "with GitHub",
            "link" => "by a link",
            _ => "with a password",
        },
        began: When::new(session.created_at),
        used: When::new(session.used_at),
        browser: browser(&session.agent),
        session,
    });
    let codes_left = if user.second_factor { control.recovery_codes_left(identity).await? } else { 0 };
    let status = extra.error.as_ref().map_or(StatusCode::OK, status);
    let template = AccountPage {
        github: control.has_github(),
        shell: shell.titled("Account"),
        user: &user,
        tokens: control.own_tokens(identity).await?.into_iter().map(tokens::Row::of).collect(),
        apps: control.apps(&visitor.who).await?.into_iter().map(|app| app.app.to_string()).collect(),
        lives: tokens::LIVES,
        sessions: sessions.collect(),
        codes_left,
        extra,
    };
    Ok(page_with(status, &template))
}

/// Back to the page after something was done, or the page with what went wrong.
async fn after<T>(
    done: Result<T, ErrorBody>,
    said: Said,
    visitor: &Visitor,
    shell: Shell,
    control: &Control,
) -> Answer<Response> {
    match done {
        Ok(_) => Ok(Redirect::to(&said.at(PAGE)).into_response()),
        Err(error) => show(visitor, shell, control, Extra { error: Some(error), ..Extra::default() }).await,
    }
}

pub(crate) async fn account(visitor: Visitor, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    show(&visitor, shell, &control, Extra::default()).await
}

#[derive(Deserialize)]
pub(crate) struct PasswordForm {
    #[serde(default)]
    old: Zeroizing<String>,
    new: Zeroizing<String>,
}

pub(crate) async fn password(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(form): Posted<PasswordForm>,
) -> Answer<Response> {
    let done = control.change_password(myself(&visitor)?, form.old, form.new).await;
    after(done, Said::PasswordChanged, &visitor, shell, &control).await
}

#[derive(Template)]
#[template(path = "new_second_factor.html")]
struct SetUpPage<'a> {
    shell: Shell,
    secret: &'a str,
    /// The squares of the picture, as the path of an SVG, and how many fit in a row.
    squares: String,
    side: usize,
    error: Option<&'a ErrorBody>,
}

fn set_up(shell: Shell, secret: &str, url: &str, error: Option<&ErrorBody>) -> Answer<Response> {
    let (squares, side) =
        picture(url).ok_or_else(|| Problem(ErrorBody::new(ErrorCode::Internal, "the picture could not be made")))?;
    let template = SetUpPage { shell: shell.titled("Second factor"), secret, squares, side, error };
    Ok(error.map_or_else(|| page(&template), |error| page_with(status(error), &template)))
}

/// A QR code with its quiet zone of four squares (ISO/IEC 18004, 6.3.8).
fn picture(text: &str) -> Option<(String, usize)> {
    use std::fmt::Write as _;
    let code = QrCode::new(text.as_bytes()).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            write!(path, "M{} {}h1v1h-1z", index % width + 4, index / width + 4).ok()?;
        }
    }
    Some((path, width + 8))
}

/// A secret that is new at each look; it counts once a code of it was shown.
pub(crate) async fn new_second_factor(visitor: Visitor, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    let new = control.new_second_factor(myself(&visitor)?);
    set_up(shell, &new.secret, &new.url, None)
}

#[derive(Deserialize)]
pub(crate) struct SecondFactorForm {
    secret: Zeroizing<String>,
    code: Zeroizing<String>,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct RecoveryPage {
    shell: Shell,
    codes: Vec<String>,
}

pub(crate) async fn set_second_factor(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(form): Posted<SecondFactorForm>,
) -> Answer<Response> {
    let identity = myself(&visitor)?;
    match control.set_second_factor(identity, &form.secret, &form.code).await {
        Ok(codes) => Ok(page(&RecoveryPage { shell: shell.titled("Recovery codes"), codes })),
        Err(error) => {
            let url = control.second_factor_url(identity, &form.secret)?;
            set_up(shell, &form.secret, &url, Some(&error))
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Confirmation {
    #[serde(default)]
    password: Zeroizing<String>,
}

pub(crate) async fn remove_second_factor(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(form): Posted<Confirmation>,
) -> Answer<Response> {
    let done = control.remove_second_factor(myself(&visitor)?, form.password).await;
    after(done, Said::SecondFactorOff, &visitor, shell, &control).await
}

pub(crate) async fn end_session(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Path(session): Path<String>,
) -> Answer<Response> {
    let done = control.revoke_session(myself(&visitor)?, &session).await;
    after(done, Said::SessionEnded, &visitor, shell, &control).await
}

pub(crate) async fn end_other_sessions(visitor: Visitor, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    let done = control.end_other_sessions(myself(&visitor)?).await;
    after(done, Said::SessionEnded, &visitor, shell, &control).await
}

pub(crate) async fn unlink_github(visitor: Visitor, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    let done = control.unlink_github(myself(&visitor)?).await;
    after(done, Said::Saved, &visitor, shell, &control).await
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::pages::gallery::shell;

    #[test]
    fn browsers_have_the_names_that_people_give_them() {
        let linux = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
        assert_eq!(browser(linux), "Chrome on Linux");
        assert_eq!(browser(&format!("{linux} Edg/140.0")), "Edge on Linux");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Safari/604.1";
        assert_eq!(browser(phone), "Safari on iOS");
        assert_eq!(browser("curl/8.5"), "curl/8.5");
        assert_eq!(browser(&"x".repeat(900)).len(), 60);
    }

    /// The pages with data.
    pub(in super::super) fn pages(text: &str) -> Vec<(&'static str, askama::Result<String>)> {
        let user = UserDocument {
            name: model::UserName::parse("ada").expect("a name"),
            role: model::PlatformRole::Member,
            disabled: false,
            has_password: true,
            second_factor: true,
            github: Some(text.to_owned()),
            avatar: Some(text.to_owned()),
            created_at: Timestamp::UNIX_EPOCH,
            signed_in_at: None,
        };
        let session = |current| Row {
            browser: text.to_owned(),
            how: "with a password",
            began: When::new(Timestamp::UNIX_EPOCH),
            used: When::new(Timestamp::now()),
            session: SessionDocument {
                id: "7".to_owned(),
                current,
                how: "password".to_owned(),
                created_at: Timestamp::UNIX_EPOCH,
                used_at: Timestamp::now(),
                address: text.to_owned(),
                agent: text.to_owned(),
            },
        };
        let token = |ended: bool| tokens::Row {
            id: "3".to_owned(),
            name: text.to_owned(),
            user: "ada".to_owned(),
            app: if ended { "shop".to_owned() } else { String::new() },
            created: When::new(Timestamp::UNIX_EPOCH),
            used: ended.then(|| When::new(Timestamp::now())),
            until: ended.then(|| When::new(Timestamp::now())),
            ended,
        };
        let error = ErrorBody::new(ErrorCode::BadRequest, text).help(text);
        let account = AccountPage {
            github: true,
            shell: shell(text),
            user: &user,
            tokens: vec![token(false), token(true)],
            apps: vec!["guestbook".to_owned(), "shop".to_owned()],
            lives: tokens::LIVES,
            sessions: vec![session(true), session(false)],
            codes_left: 7,
            extra: Extra {
                error: Some(error.clone()),
                typed: tokens::New { name: text.to_owned(), app: "shop".to_owned(), days: "30".to_owned() },
                made: Some((text.to_owned(), "adpt_0123456789abcdef0123456789abcdef".to_owned())),
            },
        };
        let (squares, side) = picture("otpauth://totp/x").expect("a picture");
        let second = SetUpPage { shell: shell(text), secret: text, squares, side, error: Some(&error) };
        vec![
            ("account", account.render()),
            ("account-second-factor", second.render()),
            ("account-recovery", RecoveryPage { shell: shell(text), codes: vec![text.to_owned()] }.render()),
        ]
    }
}

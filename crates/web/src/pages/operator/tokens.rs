//! Tokens: made, shown once, revoked.

use api::NewToken;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{Redirect, Response};
use control::Control;
use http::StatusCode;
use model::AppName;
use serde::Deserialize;

use super::Tab;
use crate::access::ForPlatform;
use crate::answer::Answer;
use crate::pages::account::tokens::Row;
use crate::pages::flash::Said;
use crate::pages::layout::{Nav, Shell, page_with};
use crate::pages::visitor::Posted;
use crate::routes::Detail;

#[derive(Debug, Template)]
#[template(path = "operator_tokens.html")]
struct TokensPage {
    shell: Shell,
    tab: Tab,
    rows: Vec<Row>,
    apps: Vec<String>,
    typed: String,
    app: String,
    wrong: String,
    /// A token that was made just now: it is in this answer and nowhere else.
    made: Option<(String, String)>,
}

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct New {
    #[serde(default)]
    name: String,
    #[serde(default)]
    app: String,
}

async fn show(control: &Control, shell: Shell, new: New, wrong: String, made: Option<(String, String)>) -> Answer<Response> {
    let rows = control.tokens().await?.into_iter().map(Row::of);
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = TokensPage {
        shell: shell.titled("Tokens").at(Nav::Operator),
        tab: Tab::Tokens,
        rows: rows.collect(),
        apps: control.apps(&control::Who::Operator).await?.into_iter().map(|app| app.app.to_string()).collect(),
        typed: new.name,
        app: new.app,
        wrong,
        made,
    };
    Ok(page_with(status, &page))
}

/// Every token, without its text.
pub(crate) async fn tokens(_: ForPlatform, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    show(&control, shell, New::default(), String::new(), None).await
}

/// Makes one and shows it, this once: a token in an address would be in histories and logs.
pub(crate) async fn create(
    _: ForPlatform,
    shell: Shell,
    State(control): State<Control>,
    Posted(new): Posted<New>,
) -> Answer<Response> {
    let app = match new.app.as_str() {
        "" => Ok(None),
        name => AppName::parse(name).map(Some).map_err(|error| error.to_string()),
    };
    let made = match app {
        Ok(app) => {
            control.create_token(NewToken { name: new.name.clone(), app, days: None }).await.map_err(|error| error.message)
        }
        Err(wrong) => Err(wrong),
    };
    match made {
        Ok(made) => {
            let detail = Detail::token(&made.summary);
            let made = Some((made.summary.name, made.token));
            Ok(detail.by(show(&control, shell, New::default(), String::new(), made).await?))
        }
        Err(wrong) => show(&control, shell, new, wrong, None).await,
    }
}

/// Revokes one, also a user's own.
pub(crate) async fn revoke(_: ForPlatform, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    let token = control.delete_token(&id).await?;
    Ok(Detail::token_of(&token).by(Redirect::to(&Said::Revoked.at("/operator/tokens"))))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::gallery::shell;
    use crate::pages::text::When;

    pub(in super::super) fn page(text: &str) -> impl Template + use<> {
        let row = |id: &str, name: &str, app: &str, used: bool| Row {
            id: id.to_owned(),
            name: name.to_owned(),
            user: if used { text.to_owned() } else { String::new() },
            app: app.to_owned(),
            created: When::new(jiff::Timestamp::UNIX_EPOCH),
            used: used.then(|| When::new(jiff::Timestamp::now())),
            until: used.then(|| When::new(jiff::Timestamp::now())),
            ended: used,
        };
        TokensPage {
            shell: shell(text),
            tab: Tab::Tokens,
            rows: vec![
                row("1", text, "", true),
                row("2", "prometheus", "", true),
                row("3", "deploys of the shop", "shop", false),
            ],
            apps: vec!["guestbook".to_owned(), "shop".to_owned()],
            typed: text.to_owned(),
            app: "shop".to_owned(),
            wrong: text.to_owned(),
            made: Some((text.to_owned(), "adpt_0123456789abcdef0123456789abcdef".to_owned())),
        }
    }
}

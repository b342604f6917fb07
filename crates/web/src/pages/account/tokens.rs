//! One's own tokens: made, shown once, revoked.

use api::{ErrorBody, NewToken, TokenSummary};
use axum::extract::{Path, State};
use axum::response::{Redirect, Response};
use control::Control;
use model::AppName;
use serde::Deserialize;

use super::{Extra, PAGE, myself, show};
use crate::answer::Answer;
use crate::pages::flash::Said;
use crate::pages::layout::Shell;
use crate::pages::text::When;
use crate::pages::visitor::{Posted, Visitor};
use crate::routes::Detail;

/// How long a token may be told to live: days, and in words.
pub(super) const LIVES: &[(&str, &str)] =
    &[("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")];

/// A token as it is shown, to its user and to operators.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whose own it is; empty where it is the platform's.
    pub(crate) user: String,
    /// Empty for all apps.
    pub(crate) app: String,
    pub(crate) created: When,
    pub(crate) used: Option<When>,
    /// Until when it opens anything.
    pub(crate) until: Option<When>,
    pub(crate) ended: bool,
}

impl Row {
    pub(crate) fn of(token: TokenSummary) -> Self {
        Self {
            id: token.id,
            name: token.name,
            user: token.user.map(|user| user.to_string()).unwrap_or_default(),
            app: token.app.map(|app| app.to_string()).unwrap_or_default(),
            created: When::new(token.created_at),
            used: token.last_used_at.map(When::new),
            until: token.expires_at.map(When::new),
            ended: token.expires_at.is_some_and(|at| at <= jiff::Timestamp::now()),
        }
    }
}

/// What the form sends.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct New {
    pub(super) name: String,
    pub(super) app: String,
    pub(super) days: String,
}

impl Default for New {
    fn default() -> Self {
        Self { name: String::new(), app: String::new(), days: "90".to_owned() }
    }
}

impl New {
    fn parse(&self) -> Result<NewToken, ErrorBody> {
        let wrong = |message: String| ErrorBody::new(api::ErrorCode::BadRequest, message);
        let app = match self.app.as_str() {
            "" => None,
            name => Some(AppName::parse(name).map_err(|error| wrong(error.to_string()))?),
        };
        let days = match self.days.as_str() {
            "" => None,
            days => Some(days.parse().map_err(|_no_number| wrong("how long it is to live is a number of days".to_owned()))?),
        };
        Ok(NewToken { name: self.name.clone(), app, days })
    }
}

/// Makes one and shows it, this once: a token in an address would be in histories and logs.
pub(crate) async fn create(
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    Posted(new): Posted<New>,
) -> Answer<Response> {
    let made = match new.parse() {
        Ok(wanted) => control.create_own_token(myself(&visitor)?, wanted).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(made) => {
            let detail = Detail::token(&made.summary);
            let extra = Extra { made: Some((made.summary.name, made.token)), ..Extra::default() };
            Ok(detail.by(show(&visitor, shell, &control, extra).await?))
        }
        Err(error) => show(&visitor, shell, &control, Extra { error: Some(error), typed: new, made: None }).await,
    }
}

/// Revokes one.
pub(crate) async fn revoke(visitor: Visitor, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    let token = control.delete_own_token(myself(&visitor)?, &id).await?;
    Ok(Detail::token(&token).by(Redirect::to(&Said::Revoked.at(PAGE))))
}

//! What is done to an app's database from its page: another password, backups, and the ways back to what it held.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Access, Control, may};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::AppName;
use model::backup::BackupId;
use serde::Deserialize;

use crate::access::{Asker, ForApp};
use crate::answer::{Answer, Problem};
use crate::pages::flash::Said;
use crate::pages::visitor::Posted;

fn back(app: &AppName, said: Said) -> Response {
    Redirect::to(&said.at(&format!("/apps/{app}/resources"))).into_response()
}

fn id(backup: &str) -> Answer<BackupId> {
    BackupId::parse(backup).map_err(|error| Problem::bad_request(error.to_string()))
}

/// Gives the database another password.
pub(crate) async fn rotate(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    control.rotate_database(&app).await?;
    Ok(back(&app, Said::Rotated))
}

/// Makes a backup now.
pub(crate) async fn back_up(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    control.backup_database(&app).await?;
    Ok(back(&app, Said::BackedUp))
}

/// Restores a backup into a scratch database, to see that it is whole.
pub(crate) async fn verify(
    ForApp(app): ForApp,
    asker: Asker,
    State(control): State<Control>,
    Path((_, backup)): Path<(String, String)>,
) -> Answer<Response> {
    let whole = may(&asker.who, &Access::Platform).is_ok();
    control.verify_backup(&app, &id(&backup)?, whole).await?;
    Ok(back(&app, Said::Verified))
}

/// The app's name, typed by who means it.
#[derive(Debug, Deserialize)]
pub(crate) struct Sure {
    confirm: String,
}

fn sure(app: &AppName, typed: &str) -> Answer<()> {
    if typed.trim() == app.as_str() {
        return Ok(());
    }
    let mut problem = Problem::bad_request(format!("to replace what its database holds, the app's name must be typed: {app}"));
    "go back and type it; nothing was changed".clone_into(&mut problem.0.help);
    Err(problem)
}

/// Puts a backup in the place of what the database holds.
pub(crate) async fn restore(
    ForApp(app): ForApp,
    asker: Asker,
    State(control): State<Control>,
    Path((_, backup)): Path<(String, String)>,
    Posted(form): Posted<Sure>,
) -> Answer<Response> {
    sure(&app, &form.confirm)?;
    let whole = may(&asker.who, &Access::Platform).is_ok();
    control.restore_backup(&app, &id(&backup)?, whole).await?;
    Ok(back(&app, Said::Restored))
}

/// A moment to go back to.
#[derive(Debug, Deserialize)]
pub(crate) struct Moment {
    confirm: String,
    at: String,
}

/// Puts what the database held at a moment in the place of what it holds.
pub(crate) async fn restore_moment(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Posted(form): Posted<Moment>,
) -> Answer<Response> {
    sure(&app, &form.confirm)?;
    control.restore_moment(&app, moment(&form.at)?).await?;
    Ok(back(&app, Said::Restored))
}

/// A time as a browser's field writes it (HTML Living Standard, "valid normalized local date and time string"), in UTC; or RFC 3339.
fn moment(text: &str) -> Answer<Timestamp> {
    let text = text.trim();
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let local = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(TimeZone::UTC).ok());
    local.map(|at| at.timestamp()).ok_or_else(|| Problem::bad_request(format!("{text:?} is no time: use 2026-01-31T14:05 (UTC)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_browsers_write_them() {
        for (text, at) in [
            ("2026-01-31T14:05", "2026-01-31T14:05:00Z"),
            ("2026-01-31T14:05:09", "2026-01-31T14:05:09Z"),
            (" 2026-01-31T14:05:09+01:00 ", "2026-01-31T13:05:09Z"),
        ] {
            assert_eq!(moment(text).ok(), Some(at.parse().expect("a time")), "{text}");
        }
        assert!(moment("yesterday").is_err() && moment("").is_err());
    }

    #[test]
    fn nothing_is_replaced_unless_the_name_is_typed() {
        let app = AppName::parse("shop").expect("a name");
        assert!(sure(&app, " shop ").is_ok());
        assert!(sure(&app, "").is_err() && sure(&app, "Shop").is_err() && sure(&app, "shop2").is_err());
    }
}

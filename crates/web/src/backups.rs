//! Routes of databases' backups: made, verified, restored, listed.
//!
//! Who may do something with an app may not see the backups of one of the same name that was deleted before: that was another app,
//! perhaps of somebody else. Only whom the whole platform is open to sees those.

use api::{BackupDocument, MomentDocument, RestoreDocument};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use control::Control;
use jiff::Timestamp;
use model::backup::BackupId;
use serde::Deserialize;

use crate::access::{ForApp, ForPlatform};
use crate::answer::{Answer, Problem};

/// Whether the platform is open to the one who asks.
type Whole = Result<ForPlatform, Problem>;

pub(crate) async fn list(ForApp(app): ForApp, whole: Whole, State(control): State<Control>) -> Answer<Json<Vec<BackupDocument>>> {
    Ok(Json(control.backups(&app, whole.is_ok()).await?))
}

pub(crate) async fn create(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<BackupDocument>> {
    Ok(Json(control.backup_database(&app).await?))
}

pub(crate) async fn verify(
    ForApp(app): ForApp,
    whole: Whole,
    State(control): State<Control>,
    Path((_, backup)): Path<(String, String)>,
) -> Answer<Json<BackupDocument>> {
    Ok(Json(control.verify_backup(&app, &parse(&backup)?, whole.is_ok()).await?))
}

pub(crate) async fn restore(
    ForApp(app): ForApp,
    whole: Whole,
    State(control): State<Control>,
    Path((_, backup)): Path<(String, String)>,
) -> Answer<Json<RestoreDocument>> {
    Ok(Json(control.restore_backup(&app, &parse(&backup)?, whole.is_ok()).await?))
}

/// The moment to which a database is restored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moment {
    at: Timestamp,
}

pub(crate) async fn restore_moment(
    ForApp(app): ForApp,
    State(control): State<Control>,
    query: Result<Query<Moment>, QueryRejection>,
) -> Answer<Json<MomentDocument>> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(Json(control.restore_moment(&app, query.at).await?))
}

fn parse(backup: &str) -> Answer<BackupId> {
    BackupId::parse(backup).map_err(|error| Problem::bad_request(error.to_string()))
}

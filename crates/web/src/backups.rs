//! Routes of databases' backups: made, verified, restored, listed.
//!
//! Who may do something with an app may not see the backups of one of the same name that was deleted before: that was another app,
//! perhaps of somebody else. Only whom the whole platform is open to sees those.

use api::{BackupDocument, BackupOverview, ErrorCode, MomentDocument, RestoreDocument};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use control::Control;
use http::StatusCode;
use jiff::Timestamp;
use model::backup::BackupId;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::{ForApp, ForPlatform};
use crate::answer::{Answer, Problem};
use crate::openapi::{Api, Operation, Tag};
use crate::paging::{Order, Page};

/// How whatever concerns backups may fail.
const FAILS: &[ErrorCode] = &[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::BackupFailed, ErrorCode::DatabaseFailed];

/// The operations of backups.
pub(crate) fn operations(api: Api) -> Api {
    api.get(
        "/backups",
        Operation::new(Tag::Databases, "listAllBackups", "Where all apps stand with their backups")
            .about("For whom the whole platform is open to.")
            .answers::<BackupOverview>(StatusCode::OK, "The newest of each, what is wrong, and the places where they lie."),
    )
    .get(
        "/apps/{app}/database/backups",
        Operation::new(Tag::Databases, "listBackups", "The backups of an app's database")
            .about("The newest first. Those of deleted apps of the same name are shown to whom the whole platform is open to.")
            .listed()
            .answers::<Vec<BackupDocument>>(StatusCode::OK, "The backups."),
    )
    .post(
        "/apps/{app}/database/backups",
        Operation::new(Tag::Databases, "createBackup", "Make a backup, and verify it")
            .about("Answers when both are done. A backup counts once it was restored into a scratch database.")
            .once()
            .answers::<BackupDocument>(StatusCode::OK, "The backup.")
            .fails(FAILS),
    )
    .post(
        "/apps/{app}/database/backups/{backup}/verify",
        Operation::new(Tag::Databases, "verifyBackup", "Verify a backup once more")
            .answers::<BackupDocument>(StatusCode::OK, "The backup.")
            .fails(FAILS)
            .fails(&[ErrorCode::BackupNotFound]),
    )
    .post(
        "/apps/{app}/database/backups/{backup}/restore",
        Operation::new(Tag::Databases, "restoreBackup", "Put a backup in the place of what the database holds")
            .about("A backup of what it held is made before.")
            .answers::<RestoreDocument>(StatusCode::OK, "What was done.")
            .fails(FAILS)
            .fails(&[ErrorCode::BackupNotFound]),
    )
    .post(
        "/apps/{app}/database/restore",
        Operation::new(Tag::Databases, "restoreMoment", "Put what the database held at a moment in the place of what it holds")
            .about("PostgreSQL with `database.pointInTime`. A backup of what it held is made before.")
            .query::<Moment>()
            .answers::<MomentDocument>(StatusCode::OK, "What was done.")
            .fails(FAILS)
            .fails(&[ErrorCode::BackupNotFound]),
    )
}

/// Whether the platform is open to the one who asks.
type Whole = Result<ForPlatform, Problem>;

pub(crate) async fn list(ForApp(app): ForApp, whole: Whole, State(control): State<Control>, page: Page) -> Answer<Response> {
    page.cut(control.backups(&app, whole.is_ok()).await?, Order::Down, |entry| entry.backup.clone())
}

/// Where all apps stand.
pub(crate) async fn overview(_: ForPlatform, State(control): State<Control>) -> Answer<Json<BackupOverview>> {
    Ok(Json(control.backup_overview().await?))
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moment {
    /// The moment, up to now.
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

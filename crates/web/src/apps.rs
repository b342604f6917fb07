//! Routes of apps: lists, status, logs, variables, settings, scale, pause.

use api::{
    AppStatus, AppSummary, EnvKind, EnvPatch, EnvVariables, ErrorCode, LogLine, LogQuery, RevisionSummary, ScalePatch,
    SettingsChanged, Split,
};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use control::Control;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::Settings;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::access::{Asker, ForAnyone, ForApp, ToChange, ToOwn};
use crate::answer::{Answer, Parsed, Problem, ndjson};
use crate::conditional;
use crate::openapi::{Api, Operation, Tag};
use crate::paging::{Order, Page};
use crate::routes::Shown;

/// The operations of apps.
pub(crate) fn operations(api: Api) -> Api {
    settings_routes(read_routes(running_routes(api)))
}

fn running_routes(api: Api) -> Api {
    let summary = || {
        json!({
            "app": "my-shop", "url": "https://my-shop.localhost:8443", "state": "live", "revision": 4, "template": "flask",
            "database": "postgres",
        })
    };
    api.get(
        "/apps",
        Operation::new(Tag::Apps, "listApps", "The apps")
            .about("By name.")
            .listed()
            .answers::<Vec<AppSummary>>(StatusCode::OK, "The apps.")
            .example::<Vec<AppSummary>>(json!([summary()])),
    )
    .get(
        "/apps/{app}",
        Operation::new(Tag::Apps, "getApp", "One app, with what runs of it")
            .about("Its state is what the edge serves, not what was last asked for.")
            .answers::<AppStatus>(StatusCode::OK, "The app."),
    )
    .delete(
        "/apps/{app}",
        Operation::new(Tag::Apps, "deleteApp", "Delete an app with all that belongs to it")
            .about("A last backup of its database is made before, and kept; where that fails, nothing is deleted.")
            .query::<Deletion>()
            .nothing("It is gone.")
            .fails(&[ErrorCode::BackupFailed, ErrorCode::DatabaseFailed, ErrorCode::Conflict]),
    )
    .put(
        "/apps/{app}/split",
        Operation::new(Tag::Apps, "splitApp", "Send a part of the visitors to another revision")
            .about("Whatever becomes live ends it.")
            .body::<Split>(json!({ "revision": 7, "percent": 10 }))
            .answers::<AppStatus>(StatusCode::OK, "The app.")
            .fails(&[ErrorCode::RevisionNotFound, ErrorCode::Conflict, ErrorCode::StartFailed, ErrorCode::DatabaseFailed]),
    )
    .delete(
        "/apps/{app}/split",
        Operation::new(Tag::Apps, "endSplit", "Send all visitors to the live revision again")
            .answers::<AppStatus>(StatusCode::OK, "The app.")
            .fails(&[ErrorCode::Conflict]),
    )
    .post(
        "/apps/{app}/pause",
        Operation::new(Tag::Apps, "pauseApp", "Stop an app, and answer 503 from now on")
            .answers::<AppSummary>(StatusCode::OK, "The app."),
    )
    .post(
        "/apps/{app}/resume",
        Operation::new(Tag::Apps, "resumeApp", "End a pause")
            .about("The next request starts an instance.")
            .answers::<AppSummary>(StatusCode::OK, "The app."),
    )
    .post(
        "/apps/{app}/sleep",
        Operation::new(Tag::Apps, "sleepApp", "Stop an app's instances now, as the idle time would")
            .about("The next request starts one.")
            .answers::<AppSummary>(StatusCode::OK, "The app."),
    )
}

fn read_routes(api: Api) -> Api {
    api.get(
        "/apps/{app}/revisions",
        Operation::new(Tag::Deployments, "listRevisions", "An app's revisions")
            .about("The newest first; those that are no longer kept are not among them.")
            .listed()
            .answers::<Vec<RevisionSummary>>(StatusCode::OK, "The revisions."),
    )
    .get(
        "/apps/{app}/logs",
        Operation::new(Tag::Logs, "readLogs", "What an app writes")
            .about(
                "With `follow=true` the answer goes on with the lines to come; an empty line now and then shows that it lives.",
            )
            .query::<LogQuery>()
            .streams::<LogLine>("Lines, the oldest first.")
            .fails(&[ErrorCode::DeploymentNotFound]),
    )
}

fn settings_routes(api: Api) -> Api {
    api.get(
        "/apps/{app}/env",
        Operation::new(Tag::Settings, "getVariables", "An app's variables")
            .query::<Kind>()
            .answers::<EnvVariables>(StatusCode::OK, "The variables with their values.")
            .example::<EnvVariables>(json!({ "kind": "run", "variables": { "GREETING": "hello" } })),
    )
    .patch(
        "/apps/{app}/env",
        Operation::new(Tag::Settings, "changeVariables", "Set and remove variables")
            .about("Those of the run time take effect at once, by a revision that needs no build; those of the build with the next deployment.")
            .body::<EnvPatch>(json!({ "kind": "run", "set": { "GREETING": "hello" }, "unset": ["DEBUG"] }))
            .answers::<SettingsChanged>(StatusCode::OK, "What came of it.")
            .fails(&[ErrorCode::InvalidSettings]),
    )
    .get(
        "/apps/{app}/settings",
        Operation::new(Tag::Settings, "getSettings", "An app's settings")
            .about("In YAML where `Accept` asks for `application/yaml`. Its `ETag` stands for this version of them.")
            .tagged()
            .answers::<Settings>(StatusCode::OK, "The settings.")
            .gives(api::YAML, ""),
    )
    .put(
        "/apps/{app}/settings",
        Operation::new(Tag::Settings, "putSettings", "Replace an app's settings")
            .about(
                "The document is read as YAML, of which JSON is a part. Every violation is named, and then nothing is changed. With `If-Match` \
                 it takes the place of the version that you have read, and of no other, so that two who change it at once do not undo each \
                 other's work.",
            )
            .if_match()
            .body::<Settings>(json!({ "databaseType": "none", "startCommand": "gunicorn --bind=0.0.0.0:$PORT myapp:app" }))
            .or_as(api::YAML)
            .answers::<SettingsChanged>(StatusCode::OK, "What came of it.")
            .fails(&[ErrorCode::InvalidSettings, ErrorCode::Conflict, ErrorCode::DatabaseFailed]),
    )
    .patch(
        "/apps/{app}/scale",
        Operation::new(Tag::Settings, "scaleApp", "Change an app's resources and limits")
            .about("What is not named stays. It takes effect at once, by a revision that needs no build.")
            .body::<ScalePatch>(json!({ "max": 4, "concurrency": 20 }))
            .answers::<SettingsChanged>(StatusCode::OK, "What came of it.")
            .fails(&[ErrorCode::InvalidSettings]),
    )
}

pub(crate) async fn list(_: ForAnyone, asker: Asker, State(control): State<Control>, page: Page) -> Answer<Response> {
    page.cut(control.apps(&asker.who).await?, Order::Up, |entry| entry.app.clone())
}

pub(crate) async fn status(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<AppStatus>> {
    Ok(Json(control.app(&app).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Deletion {
    #[serde(default)]
    /// Whether a last backup of the database is not wanted.
    without_backup: bool,
}

pub(crate) async fn delete(
    ToOwn(app): ToOwn,
    State(control): State<Control>,
    query: Result<Query<Deletion>, QueryRejection>,
) -> Answer<StatusCode> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    control.delete(&app, query.without_backup).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn revisions(ForApp(app): ForApp, State(control): State<Control>, page: Page) -> Answer<Response> {
    page.cut(control.revisions(&app).await?, Order::Down, |entry| entry.revision)
}

pub(crate) async fn split(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Parsed(split): Parsed<Split>,
) -> Answer<Json<AppStatus>> {
    Ok(Json(control.split(&app, Some(split)).await?))
}

pub(crate) async fn end_split(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<AppStatus>> {
    Ok(Json(control.split(&app, None).await?))
}

pub(crate) async fn pause(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<AppSummary>> {
    Ok(Json(control.pause(&app).await?))
}

pub(crate) async fn resume(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<AppSummary>> {
    Ok(Json(control.resume(&app).await?))
}

pub(crate) async fn sleep(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<AppSummary>> {
    Ok(Json(control.sleep(&app).await?))
}

pub(crate) async fn logs(
    ForApp(app): ForApp,
    State(control): State<Control>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Answer<Response> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(ndjson(control.logs(&app, &query).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Kind {
    /// Which variables.
    #[serde(default)]
    kind: EnvKind,
}

pub(crate) async fn variables(
    ToChange(app): ToChange,
    State(control): State<Control>,
    query: Result<Query<Kind>, QueryRejection>,
) -> Answer<Response> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let found: EnvVariables = control.variables(&app, query.kind).await?;
    let none = found.variables.is_empty();
    Ok(if none { Json(found).into_response() } else { Shown::VARIABLES.by(Json(found)) })
}

pub(crate) async fn set_variables(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Parsed(patch): Parsed<EnvPatch>,
) -> Answer<Json<SettingsChanged>> {
    Ok(Json(control.set_variables(&app, patch).await?))
}

pub(crate) async fn scale(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Parsed(patch): Parsed<ScalePatch>,
) -> Answer<Json<SettingsChanged>> {
    Ok(Json(control.scale(&app, patch).await?))
}

/// YAML where the client asks for it, JSON otherwise; with the tag of its version.
pub(crate) async fn settings(ToChange(app): ToChange, State(control): State<Control>, headers: HeaderMap) -> Answer<Response> {
    let settings = control.settings(&app).await?;
    let shows = has_variables(&settings);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let yaml = accept.contains(api::YAML);
    let mut response = if yaml {
        let text = serde_saphyr::to_string(&settings).map_err(|error| Problem::bad_request(error.to_string()))?;
        ([(header::CONTENT_TYPE, api::YAML)], text).into_response()
    } else {
        Json(&settings).into_response()
    };
    response.headers_mut().insert(header::ETAG, conditional::etag(&control::settings_version(&settings), yaml));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(if shows { Shown::VARIABLES.by(response) } else { response })
}

/// Whether there are values in a document that a page would hide.
pub(crate) fn has_variables(settings: &Settings) -> bool {
    !settings.environment.is_empty() || !settings.build_environment.is_empty()
}

/// Takes YAML and JSON; the latter is a part of the former. With `If-Match`, only in the place of what was read.
pub(crate) async fn put_settings(
    ForApp(app): ForApp,
    State(control): State<Control>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Json<SettingsChanged>> {
    let text = std::str::from_utf8(&body).map_err(|_binary| Problem::bad_request("the settings are not text in UTF-8"))?;
    let settings: Settings =
        serde_saphyr::from_str(text).map_err(|error| Problem::bad_request(format!("the settings can't be read: {error}")))?;
    Ok(Json(control.put_settings(&app, settings, conditional::if_match(&headers)?.as_deref()).await?))
}

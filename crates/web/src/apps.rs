//! Routes of apps: lists, status, logs, variables, settings, scale, pause.

use api::{
    AppStatus, AppSummary, EnvKind, EnvPatch, EnvVariables, LogQuery, RevisionSummary, ScalePatch, SettingsChanged, Split,
};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use control::Control;
use http::{HeaderMap, StatusCode, header};
use model::Settings;
use serde::Deserialize;

use crate::access::{Asker, ForAnyone, ForApp, ToChange, ToOwn};
use crate::answer::{Answer, Parsed, Problem, ndjson};

pub(crate) async fn list(_: ForAnyone, asker: Asker, State(control): State<Control>) -> Answer<Json<Vec<AppSummary>>> {
    Ok(Json(control.apps(&asker.who).await?))
}

pub(crate) async fn status(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<AppStatus>> {
    Ok(Json(control.app(&app).await?))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Deletion {
    #[serde(default)]
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

pub(crate) async fn revisions(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<Vec<RevisionSummary>>> {
    Ok(Json(control.revisions(&app).await?))
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

#[derive(Debug, Deserialize)]
pub(crate) struct Kind {
    #[serde(default)]
    kind: EnvKind,
}

pub(crate) async fn variables(
    ToChange(app): ToChange,
    State(control): State<Control>,
    query: Result<Query<Kind>, QueryRejection>,
) -> Answer<Json<EnvVariables>> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(Json(control.variables(&app, query.kind).await?))
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

/// YAML where the client asks for it, JSON otherwise.
pub(crate) async fn settings(ToChange(app): ToChange, State(control): State<Control>, headers: HeaderMap) -> Answer<Response> {
    let settings = control.settings(&app).await?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains(api::YAML) {
        let text = serde_saphyr::to_string(&settings).map_err(|error| Problem::bad_request(error.to_string()))?;
        return Ok(([(header::CONTENT_TYPE, api::YAML)], text).into_response());
    }
    Ok(Json(settings).into_response())
}

/// Takes YAML and JSON; the latter is a part of the former.
pub(crate) async fn put_settings(
    ForApp(app): ForApp,
    State(control): State<Control>,
    body: Bytes,
) -> Answer<Json<SettingsChanged>> {
    let text = std::str::from_utf8(&body).map_err(|_binary| Problem::bad_request("the settings are not text in UTF-8"))?;
    let settings: Settings =
        serde_saphyr::from_str(text).map_err(|error| Problem::bad_request(format!("the settings can't be read: {error}")))?;
    Ok(Json(control.put_settings(&app, settings).await?))
}

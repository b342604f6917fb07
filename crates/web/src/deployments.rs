//! Routes of deployments: uploads, creation, progress, cancellation, rollback.

use api::{Accepted, DeployRequest, Deployment, RollbackRequest, Upload};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use control::Control;
use futures_util::TryStreamExt;
use http::StatusCode;
use model::DeploymentNumber;
use serde::Deserialize;
use tokio_util::io::StreamReader;

use crate::access::{Asker, ForAnyone, ForApp, ToDeploy};
use crate::answer::{Answer, Parsed, Problem, ndjson};

/// Receives a source tree. It belongs to nobody until a deployment names its digest.
pub(crate) async fn upload(_: ForAnyone, State(control): State<Control>, body: Body) -> Answer<Json<Upload>> {
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    Ok(Json(control.upload(StreamReader::new(Box::pin(stream))).await?))
}

pub(crate) async fn create(
    ToDeploy(app): ToDeploy,
    asker: Asker,
    State(control): State<Control>,
    Parsed(request): Parsed<DeployRequest>,
) -> Answer<(StatusCode, Json<Accepted>)> {
    Ok((StatusCode::ACCEPTED, Json(control.deploy(&asker.who, &app, request).await?)))
}

pub(crate) async fn rollback(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Parsed(request): Parsed<RollbackRequest>,
) -> Answer<(StatusCode, Json<Accepted>)> {
    Ok((StatusCode::ACCEPTED, Json(control.rollback(&app, request.to).await?)))
}

pub(crate) async fn list(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Json<Vec<Deployment>>> {
    Ok(Json(control.deployments(&app).await?))
}

pub(crate) async fn show(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
) -> Answer<Json<Deployment>> {
    Ok(Json(control.deployment(&app, parse(&number)?).await?))
}

#[derive(Debug, Deserialize)]
pub(crate) struct From {
    #[serde(default)]
    from: u64,
}

pub(crate) async fn events(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
    query: Result<Query<From>, QueryRejection>,
) -> Answer<Response> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(ndjson(control.events(&app, parse(&number)?, query.from).await?))
}

pub(crate) async fn cancel(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
) -> Answer<Json<Deployment>> {
    Ok(Json(control.cancel(&app, parse(&number)?).await?))
}

fn parse(number: &str) -> Answer<DeploymentNumber> {
    number.parse().map_err(|error: model::NameError| Problem::bad_request(error.to_string()))
}

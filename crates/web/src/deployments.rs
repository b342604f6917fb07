//! Routes of deployments: uploads, creation, progress, cancellation, rollback.

use api::{Accepted, DeployRequest, Deployment, ErrorCode, Event, RollbackRequest, Upload};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use control::Control;
use futures_util::TryStreamExt;
use http::StatusCode;
use model::DeploymentNumber;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio_util::io::StreamReader;

use crate::access::{Asker, ForAnyone, ForApp, ToDeploy};
use crate::answer::{Answer, Parsed, Problem, ndjson};
use crate::openapi::{Api, Operation, Tag};
use crate::paging::Page;

/// Deployments on a page, where the request does not say how many.
const SHOWN: u32 = 100;

/// The operations of deployments.
pub(crate) fn operations(api: Api) -> Api {
    api.post(
        "/uploads",
        Operation::new(Tag::Deployments, "uploadSource", "Send a source tree")
            .about(
                "A tar archive, plain or compressed by Zstandard or gzip, or a zip; of 512 MB in 100,000 files at most. It belongs to nobody \
                 until a deployment names it, and goes after a while. The same tree is the same upload.",
            )
            .bytes(&[api::TAR, api::ZSTD, api::GZIP, api::ZIP])
            .answers::<Upload>(StatusCode::OK, "What was received.")
            .example::<Upload>(json!({
                "upload": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "files": 12, "bytes": 48_213,
            }))
            .fails(&[ErrorCode::SourceRefused, ErrorCode::SourceTooLarge]),
    )
    .post(
        "/apps/{app}/deployments",
        Operation::new(Tag::Deployments, "createDeployment", "Deploy an upload")
            .about("Creates the app at its first. One of the same app that still waits is superseded. Its events tell its progress.")
            .body::<DeployRequest>(json!({
                "upload": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "options": { "database": "postgres", "env": { "GREETING": "hello" } },
            }))
            .once()
            .answers::<Accepted>(StatusCode::ACCEPTED, "It is recorded, and runs when its turn comes.")
            .example::<Accepted>(json!({ "app": "my-shop", "deployment": 3 }))
            .fails(&[ErrorCode::UploadNotFound, ErrorCode::InvalidSettings, ErrorCode::Conflict, ErrorCode::DatabaseFailed]),
    )
    .get(
        "/apps/{app}/deployments",
        Operation::new(Tag::Deployments, "listDeployments", "An app's deployments")
            .about("The newest first.")
            .listed()
            .answers::<Vec<Deployment>>(StatusCode::OK, "The deployments."),
    )
    .get(
        "/apps/{app}/deployments/{number}",
        Operation::new(Tag::Deployments, "getDeployment", "One deployment")
            .answers::<Deployment>(StatusCode::OK, "The deployment.")
            .fails(&[ErrorCode::DeploymentNotFound]),
    )
    .get(
        "/apps/{app}/deployments/{number}/events",
        Operation::new(Tag::Deployments, "followDeployment", "The events of a deployment, to its end")
            .about("Numbered without gaps, so that one who was cut off goes on with `from`. The last one is its end.")
            .query::<From>()
            .streams::<Event>("Events, the oldest first.")
            .fails(&[ErrorCode::DeploymentNotFound]),
    )
    .post(
        "/apps/{app}/deployments/{number}/cancel",
        Operation::new(Tag::Deployments, "cancelDeployment", "Stop a deployment that has not ended")
            .about("Whatever it runs is killed, and what is served is served on.")
            .answers::<Deployment>(StatusCode::OK, "The deployment, ended.")
            .fails(&[ErrorCode::DeploymentNotFound, ErrorCode::Conflict]),
    )
    .post(
        "/apps/{app}/rollback",
        Operation::new(Tag::Deployments, "rollBack", "Serve an earlier revision again")
            .about("The one served before, where none is named.")
            .body::<RollbackRequest>(json!({ "to": 3 }))
            .once()
            .answers::<Accepted>(StatusCode::ACCEPTED, "It is recorded, and runs when its turn comes.")
            .fails(&[ErrorCode::RevisionNotFound, ErrorCode::Conflict]),
    )
}

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

pub(crate) async fn list(ForApp(app): ForApp, State(control): State<Control>, page: Page) -> Answer<Response> {
    let found = control.deployments(&app, page.after()?, page.wanted(SHOWN)).await?;
    Ok(page.answer(found, SHOWN, |entry: &Deployment| entry.deployment))
}

pub(crate) async fn show(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
) -> Answer<Json<Deployment>> {
    Ok(Json(control.deployment(&app, parse(&number)?).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct From {
    /// The number of the first event that is wanted.
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

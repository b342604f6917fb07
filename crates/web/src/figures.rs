//! Routes of figures, for Prometheus: all of the platform's, or one app's.

use api::{AppHistory, HistoryRange};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use control::Control;
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::{ForApp, ForPlatform};
use crate::answer::{Answer, Problem};
use crate::openapi::{Api, Operation, Tag};

/// The operation of an app's figures.
pub(crate) fn operations(api: Api) -> Api {
    api.get(
        "/apps/{app}/metrics",
        Operation::new(Tag::Logs, "getFigures", "An app's figures, for Prometheus")
            .about("Those of the whole platform are at `/metrics`.")
            .gives(control::FIGURES_TYPE, "The series in Prometheus's text format."),
    )
    .get(
        "/apps/{app}/history",
        Operation::new(Tag::Logs, "getHistory", "An app's last hour or last day, in steps")
            .query::<Back>()
            .answers::<AppHistory>(StatusCode::OK, "The figures, the oldest first."),
    )
}

/// At the root, where Prometheus looks unless it is told otherwise. Figures of all apps are the platform's: the token of one app is
/// refused here, and has its own app's below.
pub(crate) async fn all(_: ForPlatform, State(control): State<Control>) -> Response {
    page(control.figures().await)
}

pub(crate) async fn app(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    Ok(page(control.app_figures(&app).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Back {
    /// How far back.
    #[serde(default)]
    range: HistoryRange,
}

/// The last hour or the last day, for people's plots.
pub(crate) async fn history(
    ForApp(app): ForApp,
    State(control): State<Control>,
    query: Result<Query<Back>, QueryRejection>,
) -> Answer<Json<AppHistory>> {
    let Query(back) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(Json(control.history(&app, back.range)?))
}

fn page(text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, control::FIGURES_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, text).into_response()
}

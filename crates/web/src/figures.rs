//! Routes of figures, for Prometheus: all of the platform's, or one app's.

use api::{AppHistory, HistoryRange};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use control::Control;
use http::header;
use serde::Deserialize;

use crate::access::{ForApp, ForPlatform};
use crate::answer::{Answer, Problem};

/// At the root, where Prometheus looks unless it is told otherwise. Figures of all apps are the platform's: the token of one app is
/// refused here, and has its own app's below.
pub(crate) async fn all(_: ForPlatform, State(control): State<Control>) -> Response {
    page(control.figures().await)
}

pub(crate) async fn app(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    Ok(page(control.app_figures(&app).await?))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Back {
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

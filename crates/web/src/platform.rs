//! Routes of the platform itself: who answers, its authority's certificate, tokens, checks.

use api::{CreatedToken, DoctorReport, NewToken, Platform, TokenSummary};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use control::Control;
use http::{StatusCode, header};

use crate::access::{ForAnyone, ForPlatform};
use crate::answer::{Answer, Parsed};

pub(crate) async fn platform(_: ForAnyone, State(control): State<Control>) -> Json<Platform> {
    Json(control.platform())
}

/// The authority's certificate is no secret: whoever connects needs it before anything can be trusted.
pub(crate) async fn ca(State(control): State<Control>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], control.authority_pem().to_owned()).into_response()
}

/// What a settings document may hold.
pub(crate) async fn settings_schema(_: ForAnyone) -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], api::settings_schema().to_string()).into_response()
}

pub(crate) async fn doctor(_: ForPlatform, State(control): State<Control>) -> Json<DoctorReport> {
    Json(control.doctor().await)
}

pub(crate) async fn tokens(_: ForPlatform, State(control): State<Control>) -> Answer<Json<Vec<TokenSummary>>> {
    Ok(Json(control.tokens().await?))
}

pub(crate) async fn create_token(
    _: ForPlatform,
    State(control): State<Control>,
    Parsed(new): Parsed<NewToken>,
) -> Answer<(StatusCode, Json<CreatedToken>)> {
    Ok((StatusCode::CREATED, Json(control.create_token(new).await?)))
}

pub(crate) async fn delete_token(_: ForPlatform, State(control): State<Control>, Path(id): Path<String>) -> Answer<StatusCode> {
    control.delete_token(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

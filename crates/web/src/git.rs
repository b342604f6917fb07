//! Git over HTTPS: `/git/APP.git/…`, for whoever has a token.

use std::sync::Arc;

use api::{ErrorBody, ErrorCode};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use control::{Access, Control, may};
use model::AppName;
use source::git::Service;

use crate::access::who;
use crate::answer::{Answer, Problem};

/// Serves a fetch or a push. A push to an app that is not there yet creates it.
pub(crate) async fn serve(State(control): State<Control>, Path(path): Path<String>, request: Request) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let who = who(&parts, &control).await?;
    // Whoever has no token learns nothing, and git asks for one.
    may(&who, &Access::Hello)?;
    let nothing =
        || Problem(ErrorBody::new(ErrorCode::NotFound, "there is no such repository").help("its address ends in /git/APP.git"));
    let (name, rest) = path.split_once(".git/").ok_or_else(nothing)?;
    let app = AppName::parse(name).map_err(|error| Problem::bad_request(error.to_string()))?;
    let service = Service::of(rest, parts.uri.query()).ok_or_else(nothing)?;
    let access = match service {
        Service::Push if !control.has_app(&app) => Access::NewApp,
        Service::Push | Service::Fetch => Access::App(&app),
    };
    may(&who, &access)?;
    if matches!(service, Service::Fetch) && !control.has_app(&app) {
        return Err(nothing());
    }
    let request = http::Request::from_parts(parts, body);
    let response = control.git().serve(&app, rest, request, Arc::new(control.clone())).await;
    Ok(response.map(Body::new).into_response())
}

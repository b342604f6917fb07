//! Git over HTTPS: `/git/APP.git/…`, for whoever has a token.

use api::{ErrorBody, ErrorCode};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use control::{Access, Control, Right, may};
use http::{HeaderValue, header};
use model::AppName;
use source::git::Service;

use crate::access::Asker;
use crate::answer::{Answer, Problem};

/// Serves a fetch or a push. A push to an app that is not there yet creates it.
pub(crate) async fn serve(State(control): State<Control>, Path(path): Path<String>, request: Request) -> Response {
    answer(&control, &path, request).await.unwrap_or_else(|problem| {
        // git shows the person an error's body where it is plain text, as `remote:` lines, and nothing of it otherwise.
        let ErrorBody { message, help, .. } = &problem.0;
        let text = [message.as_str(), help.as_str()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        let mut response = problem.into_response();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        *response.body_mut() = Body::from(text + "\n");
        response
    })
}

async fn answer(control: &Control, path: &str, request: Request) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let asker = Asker::of(&parts);
    let (starter, who, address) = (asker.starter(), asker.who, asker.address);
    // Whoever has no token learns nothing, and git asks for one.
    may(&who, &Access::Hello)?;
    let nothing =
        || Problem(ErrorBody::new(ErrorCode::NotFound, "there is no such repository").help("its address ends in /git/APP.git"));
    let (name, rest) = path.split_once(".git/").ok_or_else(nothing)?;
    let app = AppName::parse(name).map_err(|error| Problem::bad_request(error.to_string()))?;
    let service = Service::of(rest, parts.uri.query()).ok_or_else(nothing)?;
    match service {
        Service::Push => control.may_deploy(&who, &app)?,
        Service::Fetch => may(&who, &Access::App(&app, Right::Look))?,
    }
    if matches!(service, Service::Fetch) && !control.has_app(&app) {
        return Err(nothing());
    }
    let request = http::Request::from_parts(parts, body);
    let response = control.git().serve(&app, rest, request, control.pushes(who, starter, address)).await;
    Ok(response.map(Body::new).into_response())
}

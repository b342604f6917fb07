//! Errors and streams as responses, in the one form that the API has.

use api::{ErrorBody, ErrorCode, ProblemDocument};
use axum::Json;
use axum::body::Body;
use axum::extract::FromRequest;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use control::Lines;
use futures_util::{StreamExt, stream};
use http::{StatusCode, header};

/// An error on its way out: the problem (RFC 9457) that an answer bears.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) ErrorBody);

/// What handlers answer with.
pub(crate) type Answer<T> = Result<T, Problem>;

impl From<ErrorBody> for Problem {
    fn from(error: ErrorBody) -> Self {
        Self(error)
    }
}

impl Problem {
    pub(crate) fn internal() -> Self {
        Self(
            ErrorBody::new(ErrorCode::Internal, "the platform failed to answer")
                .help("look into the platform's own log for the cause"),
        )
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self(ErrorBody::new(ErrorCode::BadRequest, message))
    }
}

/// The status that an error goes out with.
pub(crate) fn status(error: &ErrorBody) -> StatusCode {
    StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = status(&self.0);
        let mut response = (status, Json(ProblemDocument::of(self.0.clone()))).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(api::PROBLEM));
        // For the layer that makes pages of errors (`pages::errors`).
        response.extensions_mut().insert(self.0);
        if status == StatusCode::UNAUTHORIZED {
            // git asks its credential helper, or the person, only when it is challenged.
            let challenge = http::HeaderValue::from_static("Basic realm=\"adaptable\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A body of JSON, whose mistakes become the API's own errors.
#[derive(Debug)]
pub(crate) struct Parsed<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Parsed<T>
where
    S: Send + Sync,
    Json<T>: FromRequest<S, Rejection = JsonRejection>,
{
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            // The text of a rejection may quote a value; only data errors name keys, which is what people need.
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// Lines of JSON as they come; an empty line now and then shows that the connection lives, and finds out that it does not.
pub(crate) fn ndjson(lines: Lines) -> Response {
    let beat = std::time::Duration::from_secs(15);
    let body = stream::unfold((lines, false), move |(mut lines, ended)| async move {
        if ended {
            return None;
        }
        match tokio::time::timeout(beat, lines.next()).await {
            Err(_quiet) => Some((Ok(Bytes::from_static(b"\n")), (lines, false))),
            Ok(Some(Ok(mut line))) => {
                line.push(b'\n');
                Some((Ok(Bytes::from(line)), (lines, false)))
            }
            Ok(Some(Err(error))) => Some((Err(error), (lines, true))),
            Ok(None) => None,
        }
    });
    ([(header::CONTENT_TYPE, api::NDJSON), (header::CACHE_CONTROL, "no-store")], Body::from_stream(body)).into_response()
}

pub(crate) async fn not_found() -> Problem {
    Problem(ErrorBody::new(ErrorCode::NotFound, "there is nothing at this address"))
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem(ErrorBody::new(ErrorCode::MethodNotAllowed, "this address does not take this method"))
}

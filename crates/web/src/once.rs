//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that makes something, sent again, makes nothing again.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::{Control, Turn, Who, asked_by};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::BODY_MAX;
use crate::access::Asker;
use crate::answer::{Answer, Problem};

/// Set on answers that were given before.
pub(crate) const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");
const KEY: &str = "idempotency-key";
const KEY_MAX: usize = 200;

/// The layer of operations that take a key. It stands behind the check of rights: who may no longer, gets no old answer either.
pub(crate) async fn keep(State(control): State<Control>, request: Request, next: Next) -> Response {
    match key(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => once(control, &key, request, next).await.unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

/// The key of a request: visible characters, quoted as the draft has it or not.
fn key(headers: &HeaderMap) -> Answer<Option<String>> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if values.next().is_some() || !(1..=KEY_MAX).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::bad_request("an Idempotency-Key is one text of 1 to 200 visible ASCII characters, without spaces"));
    }
    Ok(Some(text.to_owned()))
}

async fn once(control: Control, key: &str, request: Request, next: Next) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let asker = Asker::of(&parts);
    let starter = asker.starter();
    let who = match &asker.who {
        Who::Operator => b"operator".to_vec(),
        Who::User(identity) => match &identity.token {
            None => format!("user {}", identity.id.0).into_bytes(),
            // A token may be for less than its user may, and gets no answer that was another's.
            Some(token) => format!("user {} token {}", identity.id.0, token.id).into_bytes(),
        },
        // Two tokens that open the same are two clients all the same. Only its digest is kept.
        Who::Token(_) => parts.headers.get(header::AUTHORIZATION).map(|value| value.as_bytes().to_vec()).unwrap_or_default(),
        Who::Nobody => return Ok(next.run(Request::from_parts(parts, body)).await),
    };
    let bytes =
        to_bytes(body, BODY_MAX).await.map_err(|error| Problem::bad_request(format!("the body can't be read: {error}")))?;
    let scope = [who.as_slice(), parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), key.as_bytes()];
    let asked = [parts.uri.query().unwrap_or_default().as_bytes(), bytes.as_ref()];
    let first = match control.once(&scope, &asked).await? {
        Turn::First(first) => first,
        Turn::Again { status, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let headers =
                [(header::CONTENT_TYPE, HeaderValue::from_static(api::JSON)), (REPLAY, HeaderValue::from_static("true"))];
            return Ok((status, headers, body.to_vec()).into_response());
        }
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    // On its own, so that it is done and its answer is kept even where the client is gone.
    let work = tokio::spawn(async move {
        let response = asked_by(starter, first.run(next.run(request))).await;
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, BODY_MAX).await else {
            first.failed().await;
            return Problem::internal().into_response();
        };
        if parts.status.is_success() {
            first.answered(parts.status.as_u16(), bytes.to_vec()).await;
        } else {
            first.failed().await;
        }
        Response::from_parts(parts, Body::from(bytes))
    });
    work.await.map_err(|_panicked| Problem::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_visible() {
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(KEY), HeaderValue::from_static(value))]);
            key(&headers).map_err(|problem| problem.0.code)
        };
        assert_eq!(of("abc"), Ok(Some("abc".to_owned())));
        assert_eq!(of("\"8e03978e-40d5\""), Ok(Some("8e03978e-40d5".to_owned())));
        assert_eq!(key(&HeaderMap::new()).map_err(|problem| problem.0.code), Ok(None));
        for bad in ["", "\"\"", "a b", "a\tb"] {
            assert_eq!(of(bad), Err(api::ErrorCode::BadRequest), "{bad:?}");
        }
        let mut two = HeaderMap::new();
        two.append(KEY, HeaderValue::from_static("a"));
        two.append(KEY, HeaderValue::from_static("b"));
        assert!(key(&two).is_err());
    }
}

//! Requests that another site made a browser send: known by their origin, and by the token that they lack.
//!
//! This stands before every handler. A request that changes something by the authority of a cookie comes from a page of ours (its
//! `Origin`, or `Sec-Fetch-Site` where there is none) and shows the session's token, in the header `X-Csrf-Token` or the form's field
//! `csrf`. Whoever shows a token in `Authorization`, or comes by the socket, is no browser that was led astray.

use api::{ErrorBody, ErrorCode};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;
use subtle::ConstantTimeEq;

use crate::access::{Asker, FromSocket};
use crate::answer::{Answer, Problem};
use crate::{BODY_MAX, pages};

/// The header that scripts show the token in.
const HEADER: &str = "x-csrf-token";
/// How much of a form with files is read for its first field, in bytes.
const FIRST_MAX: usize = 4096;
/// The field that forms show it in.
pub(crate) const FIELD: &str = "csrf";

/// Refuses what another site made a browser send.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match genuine(&parts, body).await {
        Ok(body) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

/// Lets a request's body pass, unless another site made the browser send it.
async fn genuine(parts: &Parts, body: Body) -> Answer<Body> {
    let asker = Asker::of(parts);
    let is_browser = parts.extensions.get::<FromSocket>().is_none() && !parts.headers.contains_key(header::AUTHORIZATION);
    if parts.method.is_safe() || !is_browser {
        return Ok(body);
    }
    let from = origin(parts);
    match &asker.csrf {
        // Also who is not signed in yet must not be made to sign in as somebody else.
        None if pages::is_page(parts.uri.path()) && from != Origin::Ours => Err(refused()),
        None => Ok(body),
        Some(_) if from != Origin::Ours => Err(refused()),
        Some(token) => {
            let (shown, body) = shown(parts, body).await?;
            let same = shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(token.as_bytes())));
            if same { Ok(body) } else { Err(refused()) }
        }
    }
}

fn refused() -> Problem {
    Problem(
        ErrorBody::new(ErrorCode::Forbidden, "this did not come from a page of this platform, or the page is too old")
            .help("go back, load the page anew, and try again"),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Ours,
    Another,
    Unknown,
}

/// Where a request was made. Browsers send `Origin` with every request that changes something (Fetch, 3.2), and no page can forge it or
/// `Sec-Fetch-Site`. What is ours is the host that the request is for, over TLS.
fn origin(parts: &Parts) -> Origin {
    if let Some(origin) = parts.headers.get(header::ORIGIN) {
        let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).or_else(|| {
            let host = parts.headers.get(header::HOST)?.to_str().ok()?;
            Some(host.to_owned())
        });
        let ours = host.is_some_and(|host| {
            let host = host.strip_suffix(":443").unwrap_or(&host);
            origin.to_str().is_ok_and(|origin| origin.strip_prefix("https://").is_some_and(|it| it.eq_ignore_ascii_case(host)))
        });
        return if ours { Origin::Ours } else { Origin::Another };
    }
    match parts.headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes) {
        Some(b"same-origin") => Origin::Ours,
        Some(_) => Origin::Another,
        None => Origin::Unknown,
    }
}

/// The token that a request shows, and its body as it was.
async fn shown(parts: &Parts, body: Body) -> Answer<(Option<String>, Body)> {
    if let Some(shown) = parts.headers.get(HEADER) {
        return Ok((shown.to_str().ok().map(str::to_owned), body));
    }
    if let Some(boundary) = boundary(parts) {
        return first_field(&boundary, body).await;
    }
    if !is_form(parts) {
        return Ok((None, body));
    }
    let bytes = whole(body).await?;
    let shown = serde_html_form::from_bytes::<Vec<(String, String)>>(&bytes)
        .ok()
        .and_then(|fields| fields.into_iter().find(|(key, _)| key == FIELD).map(|(_, value)| value));
    Ok((shown, Body::from(bytes)))
}

/// The boundary of a form that holds files (RFC 7578, 4.1).
fn boundary(parts: &Parts) -> Option<String> {
    let kind = parts.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, rest) = kind.split_once(';')?;
    let value = rest.split(';').find_map(|pair| pair.trim().strip_prefix("boundary="))?.trim_matches('"');
    let fits = (1..=70).contains(&value.len());
    (kind.trim().eq_ignore_ascii_case("multipart/form-data") && fits).then(|| value.to_owned())
}

/// The token of a form that holds files, which may be long: it is the first field, and what was read for it stays in the body.
async fn first_field(boundary: &str, body: Body) -> Answer<(Option<String>, Body)> {
    let mut stream = body.into_data_stream();
    let mut read = bytes::BytesMut::new();
    let broken = |_| Problem::bad_request("the form broke off");
    while read.len() < FIRST_MAX && first_value(boundary, &read).is_none() {
        match stream.next().await {
            Some(chunk) => read.extend_from_slice(&chunk.map_err(broken)?),
            None => break,
        }
    }
    let shown = first_value(boundary, &read);
    let read = read.freeze();
    Ok((shown, Body::from_stream(futures_util::stream::once(async move { Ok(read) }).chain(stream))))
}

/// The value of a form's first field, where that is the token's and has come as a whole.
fn first_value(boundary: &str, read: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&read[..read.len().min(FIRST_MAX)]);
    let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{FIELD}\"\r\n\r\n");
    let (value, _) = text.strip_prefix(head.as_str())?.split_once("\r\n--")?;
    Some(value.to_owned())
}

pub(crate) fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A body of at most [`BODY_MAX`] bytes.
pub(crate) async fn whole(body: Body) -> Answer<Bytes> {
    let limited = http_body_util::Limited::new(body, BODY_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(_too_long) => Err(Problem::bad_request("the form is too large")),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post("/sign-out").header("host", "cloud.example:8443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[tokio::test]
    async fn the_token_of_a_form_with_files_is_its_first_field_and_the_body_stays_whole() {
        let text = "--xx\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nabc\r\n--xx\r\nContent-Disposition: form-data; \
                    name=\"archive\"; filename=\"a\"\r\n\r\nzzz\r\n--xx--\r\n";
        for size in [1, 7, 4000] {
            let chunks: Vec<_> =
                text.as_bytes().chunks(size).map(|it| Ok::<_, std::io::Error>(Bytes::copy_from_slice(it))).collect();
            let body = Body::from_stream(futures_util::stream::iter(chunks));
            let (shown, body) = first_field("xx", body).await.expect("a form");
            assert_eq!(shown.as_deref(), Some("abc"));
            assert_eq!(body.collect().await.expect("whole").to_bytes(), text.as_bytes());
        }
        for other in
            [text.replace("\"csrf\"", "\"other\""), text.replace("--xx\r\nC", "--yy\r\nC"), "--xx".to_owned(), String::new()]
        {
            let (shown, body) = first_field("xx", Body::from(other.clone())).await.expect("a form");
            assert_eq!((shown, body.collect().await.expect("whole").to_bytes()), (None, Bytes::from(other)));
        }
    }

    #[test]
    fn an_origin_is_ours_only_where_it_is_the_same_host_over_tls() {
        for (value, expected) in [
            ("https://cloud.example:8443", Origin::Ours),
            ("https://CLOUD.example:8443", Origin::Ours),
            ("http://cloud.example:8443", Origin::Another),
            ("https://cloud.example", Origin::Another),
            ("https://evil.cloud.example:8443", Origin::Another),
            ("https://cloud.example:8443.evil.example", Origin::Another),
            ("null", Origin::Another),
        ] {
            // What `Sec-Fetch-Site` says does not make up for another origin.
            assert_eq!(origin(&parts(&[("origin", value), ("sec-fetch-site", "same-origin")])), expected, "{value}");
        }
        assert_eq!(origin(&parts(&[("sec-fetch-site", "same-origin")])), Origin::Ours);
        assert_eq!(origin(&parts(&[("sec-fetch-site", "same-site")])), Origin::Another);
        assert_eq!(origin(&parts(&[])), Origin::Unknown);
    }
}

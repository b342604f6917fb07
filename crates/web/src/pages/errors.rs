//! What went wrong, as a page for people; clients of the API keep their documents.

use api::{ErrorBody, ErrorCode};
use askama::Template;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use control::Control;
use http::{HeaderMap, StatusCode, header};

use crate::pages::layout::{Shell, page_with};

/// The page of an error.
#[derive(Debug, Template)]
#[template(path = "problem.html")]
pub(crate) struct ProblemPage {
    shell: Shell,
    status: u16,
    title: &'static str,
    message: String,
    help: String,
    again: bool,
}

impl ProblemPage {
    /// The page of this error.
    pub(crate) fn new(shell: Shell, status: StatusCode, error: ErrorBody) -> Self {
        let title = match status.as_u16() {
            400 | 422 => "That can't be read",
            401 => "Sign in first",
            403 => "That is not yours to do",
            404 => "There is nothing here",
            405 => "This address does not take that",
            409 => "That contradicts what is there",
            413 => "That is too large",
            429 => "Too many tries",
            503 => "The platform is busy with itself",
            _ => "The platform made a mistake",
        };
        let again = matches!(error.code, ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::RateLimited);
        Self { shell: shell.titled(title), status: status.as_u16(), title, message: error.message, help: error.help, again }
    }
}

/// Whether the one who asks is a browser that shows pages.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

/// Turns errors into pages where a browser asks.
pub(crate) async fn layer(State(control): State<Control>, request: Request, next: Next) -> Response {
    if !wants_page(request.headers()) || request.uri().path().starts_with(api::PREFIX) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let before = parts.clone();
    let mut response = next.run(Request::from_parts(std::mem::replace(&mut parts, before), body)).await;
    let Some(error) = response.extensions_mut().remove::<ErrorBody>() else { return response };
    let status = response.status();
    // Whoever is signed in keeps their navigation.
    let shell = Shell::from_request_parts(&mut parts, &control).await.unwrap_or_else(|_unknown| Shell::bare(""));
    let mut page = page_with(status, &ProblemPage::new(shell, status, error));
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH && name != header::WWW_AUTHENTICATE {
            page.headers_mut().append(name, value.clone());
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_ask_for_pages_and_clients_do_not() {
        let headers = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            headers
        };
        assert!(wants_page(&headers("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")));
        assert!(!wants_page(&headers("*/*")) && !wants_page(&headers("application/json")) && !wants_page(&HeaderMap::new()));
    }
}

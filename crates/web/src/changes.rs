//! Requests that change something, told from those that only look: there is a moment in which the former are refused.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::Control;
use http::Method;

use crate::answer::Problem;

/// Lets a request pass, unless it changes something while the platform is being handed over to its successor.
pub(crate) async fn gate(State(control): State<Control>, request: Request, next: Next) -> Response {
    if !changes(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    match control.begin_change() {
        Ok(change) => {
            let response = next.run(request).await;
            drop(change);
            response
        }
        Err(error) => Problem(error).into_response(),
    }
}

/// Whether a request may change what the successor reads. Cancelling a deployment may not: it only brings the end closer that the
/// hand-over waits for. Nor may a delivery of GitHub's, which is only written down here, once, and is not sent again where it is refused:
/// whoever is the platform then works it off.
fn changes(method: &Method, path: &str) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !path.ends_with("/cancel") && path != "/hooks/github"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_is_no_change() {
        assert!(!changes(&Method::GET, "/api/v1/apps"));
        assert!(!changes(&Method::POST, "/api/v1/apps/shop/deployments/3/cancel"));
        assert!(!changes(&Method::POST, "/hooks/github"));
        assert!(changes(&Method::POST, "/api/v1/apps/shop/deployments"));
        assert!(changes(&Method::DELETE, "/api/v1/apps/shop"));
    }
}

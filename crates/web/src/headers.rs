//! Headers of every answer: what a browser must not do with it.

use axum::response::Response;
use control::Control;
use http::{HeaderName, HeaderValue, header};

/// What pages may load: our own files, and pictures of accounts. No inline script, no inline style, no frame around them.
fn policy(form_targets: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; font-src 'self'; \
         form-action 'self'{form_targets}; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// Adds what is missing.
pub(crate) fn add(control: &Control, is_page: bool, mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if is_page {
        set(header::REFERRER_POLICY, "same-origin");
        set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        set(header::CACHE_CONTROL, "no-store");
        // A form that leads to GitHub is answered by a redirect, which browsers hold against `form-action` too.
        let policy = policy(&format!(" {}", control.github_endpoints().web_origin()));
        if let Ok(value) = HeaderValue::from_str(&policy) {
            headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(value);
        }
    } else {
        // What the API answers is never shown as a page.
        set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    }
    response
}

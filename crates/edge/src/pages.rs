//! What a visitor sees when the app can't answer: a page, a problem in JSON or a line of text, as asked for by Accept.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::app::Denied;
use crate::{Failure, FailureKind};

/// An answer of the edge's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    status: StatusCode,
    /// The failure's name for programs.
    code: &'static str,
    /// What happened, in one line.
    title: Cow<'static, str>,
    /// What can be done.
    help: Cow<'static, str>,
    /// Seconds after which it is worth trying again.
    retry_after: Option<u64>,
}

impl Page {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, title: title.into(), help: help.into(), retry_after: None }
    }

    fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn bad_request(help: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "This request is not valid", help)
    }

    pub(crate) fn large_header() -> Self {
        let help = "It has more header fields, or longer ones, than are taken here.";
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large", "This request's header is too large", help)
    }

    pub(crate) fn bad_host() -> Self {
        Self::bad_request("It must name the host it is for, once, in the Host header.")
    }

    pub(crate) fn unknown_host(host: &str) -> Self {
        let title = format!("There is no app at {host}");
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_host",
            title,
            "Check the address. A new app gets its address with its first deployment.",
        )
    }

    pub(crate) fn misdirected(host: &str) -> Self {
        let title = format!("This connection is not for {host}");
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", title, "Open a new connection for this host.")
    }

    pub(crate) fn stalled() -> Self {
        let help = "The rest of the request did not arrive in time.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_stalled", "The request took too long to arrive", help)
    }

    pub(crate) fn busy(app: &str) -> Self {
        let title = format!("{app} takes no more connections");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "app_busy",
            title,
            "The app is running, but overloaded. Try again in a moment.",
        )
        .retry(5)
    }

    pub(crate) fn refused(app: &str) -> Self {
        let title = format!("{app} refuses connections");
        let help = "Its instances ended or stopped listening. Its owner finds the reason in its log.";
        Self::new(StatusCode::BAD_GATEWAY, "app_refused", title, help)
    }

    pub(crate) fn died(app: &str) -> Self {
        let title = format!("{app} closed the connection without an answer");
        let help = "It probably crashed while it worked on this request. Its owner finds the reason in its log.";
        Self::new(StatusCode::BAD_GATEWAY, "app_closed", title, help)
    }

    pub(crate) fn gibberish(app: &str) -> Self {
        let title = format!("{app} gave an answer that is not HTTP");
        Self::new(StatusCode::BAD_GATEWAY, "app_invalid", title, "Its owner should check what listens on its port, and its log.")
    }

    pub(crate) fn timed_out(app: &str, limit: Duration) -> Self {
        let title = format!("{app} did not answer in time");
        let help =
            format!("It was given {} seconds. Longer work belongs in the background, with an answer at once.", limit.as_secs());
        Self::new(StatusCode::GATEWAY_TIMEOUT, "app_timeout", title, help)
    }

    /// The page for a request that got no instance.
    pub(crate) fn denied(app: &str, denied: Denied) -> Self {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match denied {
            Denied::NoRevision => Self::new(
                unavailable,
                "not_deployed",
                format!("{app} is not deployed yet"),
                "It will answer after its first deployment.",
            ),
            Denied::Paused => Self::new(unavailable, "paused", format!("{app} is paused"), "Its owner can resume it."),
            Denied::Failed(failure) => Self::failed(failure),
            Denied::QueueFull | Denied::QueueTimeout => {
                let title = format!("{app} is busy");
                Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "busy",
                    title,
                    "More requests came than it can take. Try again in a moment.",
                )
                .retry(5)
            }
            Denied::StartTimeout => {
                let title = format!("{app} did not start in time");
                let help = "It was started for this request, but has not listened on its port yet. Its owner finds the reason in its log.";
                Self::new(StatusCode::GATEWAY_TIMEOUT, "start_timeout", title, help)
            }
        }
    }

    fn failed(failure: Failure) -> Self {
        let Failure { kind, title, detail, retry_after } = failure;
        let page = match kind {
            FailureKind::Start => Self::new(StatusCode::BAD_GATEWAY, "start_failed", title, detail),
            FailureKind::StartTimeout => Self::new(StatusCode::GATEWAY_TIMEOUT, "start_timeout", title, detail),
            FailureKind::Capacity => Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_capacity", title, detail).retry(10),
            FailureKind::Gone => Self::new(StatusCode::NOT_FOUND, "gone", title, detail),
        };
        match retry_after {
            Some(seconds) => page.retry(seconds),
            None => page,
        }
    }

    /// The response, in the form that the visitor prefers.
    pub(crate) fn respond(&self, accept: Option<&HeaderValue>) -> Response<Bytes> {
        let (kind, body) = match Form::preferred(accept) {
            Form::Html => ("text/html; charset=utf-8", self.html()),
            Form::Json => ("application/problem+json", self.json()),
            Form::Text => ("text/plain; charset=utf-8", format!("{}\n{}\n", self.title, self.help)),
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        self.fill(response.headers_mut(), kind);
        response
    }

    fn fill(&self, headers: &mut HeaderMap, kind: &'static str) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    /// A problem (RFC 9457) of no type of its own, whose title is then that of its status. `error` is what it was before.
    fn json(&self) -> String {
        let error = serde_json::json!({ "code": self.code, "message": self.title, "help": self.help });
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.title,
            "code": self.code,
            "help": self.help,
            "error": error,
        });
        problem.to_string()
    }

    fn html(&self) -> String {
        let replacements =
            [("{status}", Cow::from(self.status.as_str())), ("{title}", escape(&self.title)), ("{help}", escape(&self.help))];
        let mut html = String::with_capacity(TEMPLATE.len() + 256);
        let mut rest = TEMPLATE;
        // One pass: what is put in is never looked at again.
        while let Some(start) = rest.find('{') {
            let (before, after) = rest.split_at(start);
            html.push_str(before);
            let found = replacements.iter().find(|(name, _)| after.starts_with(name));
            let (name, value) = found.map_or(("{", "{"), |(name, value)| (*name, value.as_ref()));
            html.push_str(value);
            rest = &after[name.len()..];
        }
        html.push_str(rest);
        html
    }
}

const TEMPLATE: &str = include_str!("pages/error.html");

fn escape(text: &str) -> Cow<'static, str> {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// The forms a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// The form with the greatest weight; what is named exactly before what only matches `*`, and text where nothing is said.
    fn preferred(accept: Option<&HeaderValue>) -> Self {
        let mut best = (0, Self::Text);
        for range in accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => Self::Html,
                "text/plain" => Self::Text,
                "application/json" => Self::Json,
                kind if kind.ends_with("+json") => Self::Json,
                _ => continue,
            };
            let weight = parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(1000, thousandths);
            if weight > best.0 {
                best = (weight, form);
            }
        }
        best.1
    }
}

/// A weight of 0 to 1 with up to three digits.
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.trim().split_once('.').unwrap_or((weight.trim(), ""));
    let fraction = format!("{fraction:0<3.3}").parse().unwrap_or(0);
    whole.parse::<u32>().map_or(0, |whole| (whole.min(1) * 1000 + fraction).min(1000))
}

#[cfg(test)]
mod tests;

//! One call of GitHub's API, made and judged: redirects, pages, and which trouble it is.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::endpoints::Endpoints;
use crate::error::{GitHubError, Result, Whose, one_line};
use crate::secret::Secret;
use crate::tokens::Tokens;
use crate::transport::{Transport, host_of};

/// The version of the API that is spoken (GitHub Docs, "API Versions").
const VERSION: &str = "2022-11-28";
/// How many redirects are followed: a repository that was renamed, then moved.
const REDIRECTS_MAX: usize = 5;
/// How many a page has: the most that GitHub gives.
const PAGE: &str = "100";
/// How many pages are read of one list; the rest is left, and the list says so.
const PAGES_MAX: usize = 100;
/// How long to wait where GitHub refuses for too many requests and does not say until when (GitHub Docs, "Rate limits for the REST API").
const WAIT: SignedDuration = SignedDuration::from_secs(60);
/// The longest wait that is believed.
const WAIT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A GitHub. Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    endpoints: Endpoints,
    transport: Transport,
    tokens: Tokens,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GitHub").field(&self.0.endpoints.to_string()).finish()
    }
}

/// What a list holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was read.
    pub items: Vec<T>,
    /// Whether that is all. A list of more than 10,000 is read in part.
    pub is_whole: bool,
}

/// What a call brings along.
#[derive(Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) whose: Whose,
    pub(crate) token: Option<&'a Secret>,
}

impl Credentials<'_> {
    pub(crate) const NOBODY: Self = Self { whose: Whose::Nobody, token: None };
}

/// A call.
pub(crate) struct Call<'a> {
    /// What it is for, as a phrase that begins with a verb.
    pub(crate) doing: String,
    pub(crate) credentials: Credentials<'a>,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<serde_json::Value>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(credentials: Credentials<'a>, url: Url, doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), credentials, method: Method::GET, url, body: None }
    }

    pub(crate) fn post(credentials: Credentials<'a>, url: Url, doing: impl Into<String>, body: serde_json::Value) -> Self {
        Self { doing: doing.into(), credentials, method: Method::POST, url, body: Some(body) }
    }
}

/// What a refusal says.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl GitHub {
    /// A GitHub at these addresses. `authorities` (PEM; may be empty) are trusted beside the machine's own.
    pub fn new(endpoints: Endpoints, authorities: &[u8]) -> Result<Self> {
        let transport = Transport::new(authorities)?;
        Ok(Self(Arc::new(Inner { endpoints, transport, tokens: Tokens::default() })))
    }

    /// Where it is.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// Makes a call and reads its answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T> {
        let (_, body) = self.answer(&call).await?;
        read(&call.url, &body)
    }

    /// Makes a call whose answer does not matter.
    pub(crate) async fn tell(&self, call: Call<'_>) -> Result<()> {
        self.answer(&call).await.map(drop)
    }

    /// Reads all pages of a list (RFC 8288; GitHub Docs, "Using pagination in the REST API"). `items` takes a page apart.
    pub(crate) async fn all<P: DeserializeOwned, T>(
        &self,
        mut call: Call<'_>,
        items: impl Fn(P) -> Vec<T>,
    ) -> Result<Listing<T>> {
        call.url.query_pairs_mut().append_pair("per_page", PAGE);
        let mut listing = Listing { items: Vec::new(), is_whole: true };
        for page in 1.. {
            let (headers, body) = self.answer(&call).await?;
            listing.items.extend(items(read(&call.url, &body)?));
            let Some(next) = next_page(&headers) else { break };
            if page == PAGES_MAX {
                listing.is_whole = false;
                break;
            }
            call.url = self.elsewhere(&call.url, &next)?;
        }
        Ok(listing)
    }

    /// Makes a call; its head and body where it succeeded.
    async fn answer(&self, call: &Call<'_>) -> Result<(HeaderMap, Bytes)> {
        let mut url = call.url.clone();
        let mut method = call.method.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.0.transport.send(&url, request(call, &method, &url)?).await?;
            let (parts, body) = answer.into_parts();
            match parts.status {
                status if status.is_success() => return Ok((parts.headers, body)),
                // GitHub Docs, "Best practices for using the REST API": follow redirects; 301 and 302 with the same verb, too.
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let to = parts.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
                    url = self.elsewhere(&url, to)?;
                }
                StatusCode::SEE_OTHER => {
                    let to = parts.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
                    url = self.elsewhere(&url, to)?;
                    method = Method::GET;
                }
                status => return Err(self.refusal(call, status, &parts.headers, &body)),
            }
        }
        Err(GitHubError::Protocol { host: host_of(&url), why: "it redirects without end".to_owned() })
    }

    /// Where GitHub sends us. Credentials go to the API alone, so nothing is followed that leads away from it.
    fn elsewhere(&self, from: &Url, to: &str) -> Result<Url> {
        let protocol = |why: &str| GitHubError::Protocol { host: host_of(from), why: why.to_owned() };
        let url = from.join(to).map_err(|_nonsense| protocol("it sends us to an address that is none"))?;
        if url.origin() != self.0.endpoints.api().origin() || !url.username().is_empty() || url.password().is_some() {
            return Err(protocol("it sends us to another host"));
        }
        Ok(url)
    }

    /// What an answer that is none means.
    fn refusal(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> GitHubError {
        let doing = call.doing.clone();
        let said = said(status, body);
        match status.as_u16() {
            401 => {
                if let Some(token) = call.credentials.token {
                    self.0.tokens.forget(token);
                }
                GitHubError::Unauthorized { doing, whose: call.credentials.whose }
            }
            403 | 429 => {
                if let Some(until) = limited(status, headers, &said, Timestamp::now()) {
                    GitHubError::RateLimited { doing, until }
                } else if said.to_ascii_lowercase().contains("suspended") {
                    GitHubError::Suspended { doing }
                } else {
                    GitHubError::Forbidden { doing, said }
                }
            }
            404 | 410 => GitHubError::NotFound { doing },
            451 => GitHubError::Forbidden { doing, said },
            400..=499 => GitHubError::Invalid { doing, said },
            500..=599 => GitHubError::Unavailable { host: host_of(&call.url), why: format!("it answers {status}") },
            _ => GitHubError::Protocol { host: host_of(&call.url), why: format!("it answers {status}") },
        }
    }
}

/// A call as a request of HTTP.
fn request(call: &Call<'_>, method: &Method, url: &Url) -> Result<Request<Full<Bytes>>> {
    let unusable = |why: &str| GitHubError::Protocol { host: host_of(url), why: why.to_owned() };
    let body = match &call.body {
        Some(body) if *method != Method::GET => Bytes::from(body.to_string()),
        _ => Bytes::new(),
    };
    let mut request = Request::builder()
        .method(method.clone())
        .uri(url.as_str())
        .header(header::USER_AGENT, user_agent())
        .header(header::ACCEPT, "application/vnd.github+json")
        .header("x-github-api-version", VERSION);
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(token) = call.credentials.token {
        let value = zeroize::Zeroizing::new(format!("Bearer {}", token.reveal()));
        let mut value = HeaderValue::from_str(&value).map_err(|_odd| unusable("it gave a token that can't be sent"))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Full::new(body)).map_err(|_odd| unusable("its address can't be asked for"))
}

/// Who we are; GitHub wants it to be said.
pub(crate) fn user_agent() -> HeaderValue {
    HeaderValue::from_static(concat!("adaptable/", env!("CARGO_PKG_VERSION")))
}

/// Reads an answer.
pub(crate) fn read<T: DeserializeOwned>(url: &Url, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| GitHubError::Protocol {
        host: host_of(url),
        // The error names a place and a kind, and may quote a value; nothing longer than a line of it.
        why: format!("its answer can't be read ({})", one_line(&error.to_string())),
    })
}

/// GitHub's words for a refusal, with the first of what it found wrong.
fn said(status: StatusCode, body: &[u8]) -> String {
    let Ok(said) = serde_json::from_slice::<Said>(body) else { return status.to_string() };
    let detail = said.errors.first().map(|error| {
        let text = |key: &str| error.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        let field = || Some(format!("{} is {}", text("field")?, text("code")?.replace('_', " ")));
        error.as_str().map(str::to_owned).or_else(|| text("message")).or_else(field).unwrap_or_default()
    });
    match (said.message.as_str(), detail.as_deref()) {
        ("", None | Some("")) => status.to_string(),
        (message, None | Some("")) => one_line(message),
        (message, Some(detail)) => one_line(&format!("{message}: {detail}")),
    }
}

/// Until when there may be no more requests, where that is what an answer says (GitHub Docs, "Rate limits for the REST API": the
/// secondary limit's `retry-after`, the primary one's `x-ratelimit-remaining: 0` and `x-ratelimit-reset`, else a minute).
fn limited(status: StatusCode, headers: &HeaderMap, said: &str, now: Timestamp) -> Option<Timestamp> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let until = if let Some(seconds) = number("retry-after") {
        now.checked_add(SignedDuration::from_secs(seconds.max(1))).ok()
    } else if number("x-ratelimit-remaining") == Some(0) {
        number("x-ratelimit-reset").and_then(|at| Timestamp::from_second(at).ok())
    } else if status == StatusCode::TOO_MANY_REQUESTS || said.to_ascii_lowercase().contains("rate limit") {
        None
    } else {
        return None;
    };
    // A clock that goes wrong, here or there, must not put off work for ever, or have it repeated at once.
    let (soonest, latest) = (now + SignedDuration::from_secs(1), now + WAIT_MAX);
    Some(until.unwrap_or(now + WAIT).clamp(soonest, latest))
}

/// The address of the next page.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(header::LINK)?.to_str().ok()?;
    link.split(',').find_map(|one| {
        let (target, parameters) = one.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|it| matches!(it.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| ((*name).parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn the_next_page_is_found() {
        let link = "<https://api.github.com/a?page=1>; rel=\"prev\", <https://api.github.com/a?page=3&x=a;b>; rel=\"next\"";
        assert_eq!(next_page(&headers(&[("link", link)])).as_deref(), Some("https://api.github.com/a?page=3&x=a;b"));
        assert_eq!(next_page(&headers(&[("link", "<https://a>; rel=\"last\"")])), None);
        assert_eq!(next_page(&headers(&[("link", "nonsense, <a; rel=next")])), None);
        assert_eq!(next_page(&HeaderMap::new()), None);
    }

    #[test]
    fn limits_are_told_from_missing_rights() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let forbidden = StatusCode::FORBIDDEN;
        let until = |of: &[(&'static str, &str)], said: &str| {
            limited(forbidden, &headers(of), said, now)
                .map(|at| at - now)
                .map(|span| span.total(jiff::Unit::Second).expect("seconds"))
        };
        assert_eq!(until(&[], "Resource not accessible by integration"), None);
        assert_eq!(until(&[("x-ratelimit-remaining", "17"), ("x-ratelimit-reset", "1800000100")], "no"), None);
        assert_eq!(until(&[("retry-after", "30")], ""), Some(30.0));
        assert_eq!(until(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000100")], ""), Some(100.0));
        assert_eq!(until(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000000")], ""), Some(1.0));
        assert_eq!(until(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "9999999999")], ""), Some(86_400.0));
        assert_eq!(until(&[("retry-after", "-5")], ""), Some(1.0));
        assert_eq!(until(&[], "You have exceeded a secondary rate limit."), Some(60.0));
        assert!(limited(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), "", now).is_some());
    }

    #[test]
    fn words_are_one_line() {
        let body = br#"{"message":"Validation\nFailed","errors":[{"resource":"Status","field":"sha","code":"missing_field"}]}"#;
        assert_eq!(said(StatusCode::UNPROCESSABLE_ENTITY, body), "Validation Failed: sha is missing field");
        assert_eq!(said(StatusCode::UNPROCESSABLE_ENTITY, br#"{"message":"No","errors":["a is b"]}"#), "No: a is b");
        assert_eq!(said(StatusCode::FORBIDDEN, b"<html>"), "403 Forbidden");
    }
}

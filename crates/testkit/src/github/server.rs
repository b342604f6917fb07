//! The stand-in's HTTP: two listeners on loopback, one for pages and git, one for the API alone; every request is answered by a plain function.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::state::State;
use super::{Trouble, api, git, oauth, pages};

/// What is shared by all who answer.
pub(super) type Shared = Arc<Mutex<State>>;

/// The state, for a moment: never while something is sent or a program runs.
pub(super) fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request as a whole.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// The path's segments, decoded.
    pub(super) path: Vec<String>,
    /// The path as it came.
    pub(super) raw_path: String,
    pub(super) raw_query: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The fields of a form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Told {
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    pub(super) fn html(status: u16, body: String) -> Self {
        let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
        Self { status, headers, body: body.into_bytes() }
    }

    pub(super) fn to(location: &str) -> Self {
        Self { status: 302, headers: vec![("location".to_owned(), location.to_owned())], body: Vec::new() }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A runtime with both listeners; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    runtime: Option<tokio::runtime::Runtime>,
    pub(super) web: SocketAddr,
    pub(super) api: SocketAddr,
}

impl Server {
    pub(super) fn start(shared: &Shared) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        // Not with the runtime: a test that is asynchronous itself may not wait for another one.
        let bind = || {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            listener.set_nonblocking(true).expect("a socket");
            listener
        };
        let (web, api) = (bind(), bind());
        let addresses = [&web, &api].map(|listener| listener.local_addr().expect("an address"));
        for (listener, is_api) in [(web, false), (api, true)] {
            runtime.spawn(accept(listener, shared.clone(), is_api));
        }
        Self { runtime: Some(runtime), web: addresses[0], api: addresses[1] }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that is asynchronous itself must not wait here.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Shared, is_api: bool) {
    let listener = TcpListener::from_std(listener).expect("a socket that does not block");
    while let Ok((tcp, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, shared.clone(), is_api));
            // A visitor who goes is no error of ours.
            http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await.ok();
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Shared, is_api: bool) -> std::io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let raw_path = parts.uri.path().to_owned();
    let path = raw_path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let raw_query = parts.uri.query().unwrap_or_default().to_owned();
    let query = form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect();
    let asked = Asked { method: parts.method.to_string(), path, raw_path, raw_query, query, headers: parts.headers, body };
    let told = tokio::task::spawn_blocking(move || dispatch(&shared, &asked, is_api)).await.map_err(std::io::Error::other)?;
    // An error here closes the connection without a word, as a server does that has gone.
    let told = told.ok_or_else(|| std::io::Error::other("down"))?;
    let mut response = Response::builder().status(told.status);
    for (name, value) in told.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(told.body))).map_err(std::io::Error::other)
}

fn decoded(part: &str) -> String {
    // What a form would write as a space is a plus sign in a path.
    let form = format!("x={}", part.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn dispatch(shared: &Shared, asked: &Asked, is_api: bool) -> Option<Told> {
    let trouble = locked(shared).trouble.clone();
    let is_enterprise = !is_api && asked.path.len() >= 2 && asked.path[0] == "api" && asked.path[1] == "v3";
    let is_machine = is_api
        || is_enterprise
        || asked.path.first().is_some_and(|part| part == "login") && asked.path.last().is_some_and(|part| part == "access_token")
        || asked.path.get(1).is_some_and(|part| part.strip_suffix(".git").is_some());
    if is_machine && let Some(told) = troubled(&trouble, is_api || is_enterprise) {
        return told;
    }
    if is_api {
        return Some(api::answer(shared, asked, &asked.path));
    }
    if is_enterprise {
        return Some(enterprise(shared, api::answer(shared, asked, &asked.path[2..])));
    }
    let told = git::answer(shared, asked).or_else(|| oauth::answer(shared, asked));
    Some(told.unwrap_or_else(|| pages::answer(shared, asked)))
}

/// An answer of the API as it is below the web address: so are the addresses in it.
fn enterprise(shared: &Shared, mut told: Told) -> Told {
    let (api, here) = {
        let state = locked(shared);
        (state.api.clone(), format!("{}/api/v3", state.web))
    };
    told.body = String::from_utf8_lossy(&told.body).replace(&api, &here).into_bytes();
    for (_, value) in &mut told.headers {
        *value = value.replace(&api, &here);
    }
    told
}

/// What is answered while there is trouble: `Some(None)` is a connection that is closed.
#[expect(clippy::option_option, reason = "no trouble, a closed connection and an answer are three things")]
fn troubled(trouble: &Trouble, is_api: bool) -> Option<Option<Told>> {
    let limit = |remaining: u32, reset: i64| {
        let at = (Timestamp::now() + SignedDuration::from_secs(reset)).as_second();
        [
            ("x-ratelimit-limit", "5000".to_owned()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-used", (5000 - remaining).to_string()),
            ("x-ratelimit-reset", at.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ]
    };
    let refusal = |message: &str| serde_json::json!({ "message": message, "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api" });
    match trouble {
        Trouble::Down => Some(Some(Told::html(
            503,
            "<html><title>Unicorn! &middot; GitHub</title><p>No server is currently available.</p></html>".to_owned(),
        ))),
        Trouble::Closed => Some(None),
        Trouble::Garbage => Some(Some(Told::html(200, "<html>A captive portal, or something like it.</html>".to_owned()))),
        Trouble::Silent(duration) => {
            std::thread::sleep(*duration);
            None
        }
        Trouble::RateLimited { seconds } if is_api => {
            let told = Told::json(403, &refusal("API rate limit exceeded for installation."));
            Some(Some(limit(0, *seconds).into_iter().fold(told, |told, (name, value)| told.with(name, value))))
        }
        Trouble::SecondaryLimit { seconds } if is_api => {
            let told = Told::json(
                429,
                &refusal("You have exceeded a secondary rate limit. Please wait a few minutes before you try again."),
            );
            let told = told.with("retry-after", seconds.to_string());
            Some(Some(limit(4000, 3600).into_iter().fold(told, |told, (name, value)| told.with(name, value))))
        }
        Trouble::None | Trouble::RateLimited { .. } | Trouble::SecondaryLimit { .. } => None,
    }
}

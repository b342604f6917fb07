//! A server as GitHub's: `git http-backend` behind hyper, which demands a token; and one that misbehaves as it is told.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// What the server does in place of serving git.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// It serves git to whoever has the token.
    Git,
    /// It answers this status to everything, with this `Location`.
    Status(u16, Option<String>),
    /// It takes requests and never answers.
    Silent,
}

/// The server, and what it was asked.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) mood: Arc<Mutex<Mood>>,
    /// The `Authorization` of each request.
    pub(crate) asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl Backend {
    /// Serves the bare repositories below `root` to whoever shows `authorization`.
    pub(crate) async fn start(root: &Path, authorization: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend = Self { address, mood: Arc::new(Mutex::new(Mood::Git)), asked: Arc::default() };
        let (served, root, authorization) = (backend.clone(), root.to_owned(), authorization.to_owned());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (served, root, authorization) = (served.clone(), root.clone(), authorization.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(served.clone(), root.clone(), authorization.clone(), request));
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        backend
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

async fn answer(
    backend: Backend,
    root: PathBuf,
    wanted: String,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let given = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    backend.asked.lock().unwrap().push(given.clone());
    let mood = backend.mood.lock().unwrap().clone();
    let status = |status: u16| http::Response::builder().status(status);
    match mood {
        Mood::Git => {}
        Mood::Status(code, to) => {
            let response = to.into_iter().fold(status(code), |response, to| response.header("location", to));
            return Ok(response.body(Full::default()).unwrap());
        }
        Mood::Silent => std::future::pending().await,
    }
    if given.as_deref() != Some(&wanted) {
        return Ok(status(401).header("www-authenticate", "Basic realm=\"GitHub\"").body(Full::default()).unwrap());
    }
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut command = tokio::process::Command::new("git");
    command.arg("http-backend").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs([
        ("GIT_PROJECT_ROOT", root.display().to_string()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("PATH_INFO", parts.uri.path().to_owned()),
        ("QUERY_STRING", parts.uri.query().unwrap_or_default().to_owned()),
        ("REQUEST_METHOD", parts.method.to_string()),
        ("CONTENT_TYPE", header("content-type")),
        ("HTTP_CONTENT_ENCODING", header("content-encoding")),
        ("GIT_PROTOCOL", header("git-protocol")),
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let body = body.collect().await.unwrap().to_bytes();
    child.stdin.take().unwrap().write_all(&body).await.ok();
    let output = child.wait_with_output().await.unwrap().stdout;
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = http::Response::builder();
    for line in std::str::from_utf8(&output[..split]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap()),
            _ => response.header(name, value),
        };
    }
    Ok(response.body(Full::new(Bytes::copy_from_slice(&output[split + 4..]))).unwrap())
}

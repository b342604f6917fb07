//! A server on a Unix socket that answers by a script, and the binary that is run against it.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixListener;

/// One request that the server saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path, as in `GET /api/v1/apps`.
    pub line: String,
    /// The content type.
    pub kind: String,
    /// The body.
    pub body: Vec<u8>,
}

/// One answer of the script.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    expect: String,
    status: u16,
    body: String,
    then: Then,
}

/// What follows the body.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    /// Nothing: the answer is whole.
    End,
    /// The connection breaks.
    Cut,
    /// More, once the test says what.
    More,
}

/// Where the rest of an open answer goes.
type More = Arc<Mutex<Option<Sender>>>;
type Sender = tokio::sync::mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

/// The platform's stand-in.
pub(crate) struct Server {
    pub data: TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
    more: More,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    /// A server without a script yet.
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().expect("a data directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let server = Self { data, seen: Arc::default(), script: Arc::default(), more: More::default(), runtime: Some(runtime) };
        server.listen();
        server
    }

    fn listen(&self) {
        let runtime = self.runtime.as_ref().expect("it runs");
        let _inside = runtime.enter();
        let listener = UnixListener::bind(self.data.path().join("adaptable.sock")).expect("the socket");
        let (seen, script, more) = (Arc::clone(&self.seen), Arc::clone(&self.script), Arc::clone(&self.more));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script, more) = (Arc::clone(&seen), Arc::clone(&script), Arc::clone(&more));
                let service = service_fn(move |request| answer(request, Arc::clone(&seen), Arc::clone(&script), Arc::clone(&more)));
                // A cut connection is part of the script.
                tokio::spawn(async move { hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok() });
            }
        });
    }

    /// The next request has to begin so, and gets this.
    pub(crate) fn expect(&self, line: &str, status: u16, body: impl Into<String>) -> &Self {
        self.push(line, status, body.into(), Then::End)
    }

    /// As `expect`, and then the connection breaks.
    pub(crate) fn expect_cut(&self, line: &str, body: impl Into<String>) -> &Self {
        self.push(line, 200, body.into(), Then::Cut)
    }

    /// As `expect`, and the answer stays open until `finish`.
    pub(crate) fn expect_open(&self, line: &str, body: impl Into<String>) -> &Self {
        self.push(line, 200, body.into(), Then::More)
    }

    /// The rest of the open answer, and its end.
    pub(crate) fn finish(&self, rest: &str) {
        let sender = self.more.lock().expect("no panic").take().expect("an answer is open");
        sender.blocking_send(Ok(Frame::data(Bytes::from(rest.to_owned())))).expect("somebody reads");
    }

    fn push(&self, line: &str, status: u16, body: String, then: Then) -> &Self {
        self.script.lock().expect("no panic").push_back(Answer { expect: line.to_owned(), status, body, then });
        self
    }

    /// What came in.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Runs the binary against this server, and checks that the whole script was used.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let ran = run(self.data.path(), arguments);
        let left = self.script.lock().expect("no panic").len();
        assert_eq!(left, 0, "answers that nobody asked for; {ran:?}; seen: {:?}", self.seen());
        ran
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
    more: More,
) -> Result<Response<BoxBody<Bytes, std::io::Error>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri);
    let kind = parts.headers.get("content-type").map(|kind| kind.to_str().expect("text").to_owned()).unwrap_or_default();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    seen.lock().expect("no panic").push(Seen { line: line.clone(), kind, body });
    let next = script.lock().expect("no panic").pop_front();
    let Some(next) = next else { return Ok(document(500, format!("{{\"not in the script\":{line:?}}}"))) };
    if line != next.expect {
        return Ok(document(500, format!("{{\"expected\":{:?},\"got\":{line:?}}}", next.expect)));
    }
    if next.then != Then::End {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        sender.send(Ok(Frame::data(Bytes::from(next.body)))).await.ok();
        if next.then == Then::Cut {
            // What was sent before must have left by then.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                sender.send(Err(std::io::Error::other("cut"))).await.ok();
            });
        } else {
            *more.lock().expect("no panic") = Some(sender);
        }
        let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        return Ok(Response::new(BodyExt::boxed(StreamBody::new(stream))));
    }
    Ok(document(next.status, next.body))
}

fn document(status: u16, body: String) -> Response<BoxBody<Bytes, std::io::Error>> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
    Response::builder().status(status).header("content-type", "application/json").body(body).expect("a sound answer")
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Standard output as its one document.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not one document ({error}): {self:?}"))
    }

    /// The last line of standard error as the error's document.
    pub(crate) fn error(&self) -> Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("not an error ({error}): {self:?}"))["error"].clone()
    }
}

/// The binary, without a terminal and with nothing of the developer's own settings.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adaptable"));
    for name in ["ADAPTABLE_URL", "ADAPTABLE_TOKEN", "ADAPTABLE_CA", "ADAPTABLE_DATA_DIR", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command.env("HOME", data).stdin(Stdio::null());
    command
}

/// Runs the binary to its end with that data directory.
pub(crate) fn run(data: &Path, arguments: &[&str]) -> Ran {
    let data_dir = data.to_str().expect("a plain path");
    let mut command = command(data);
    if !arguments.contains(&"--url") {
        command.args(["--data-dir", data_dir]);
    }
    ended(&command.args(arguments).output().expect("run the binary"))
}

pub(crate) fn ended(output: &Output) -> Ran {
    Ran {
        code: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout.clone()).expect("text"),
        stderr: String::from_utf8(output.stderr.clone()).expect("text"),
    }
}

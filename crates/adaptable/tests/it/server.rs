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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

/// One request that the server saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path, as in `GET /api/v1/apps`.
    pub line: String,
    /// The content type.
    pub kind: String,
    /// The header with the token.
    pub(crate) token: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A server behind TLS, with a certificate authority of its own.
pub(crate) struct Tls {
    /// Its address.
    pub(crate) url: String,
    /// Its authority, in PEM.
    pub(crate) authority: String,
    /// The authority's fingerprint.
    pub(crate) fingerprint: String,
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

/// What was seen, what is to be answered, and where the rest of an open answer goes.
#[derive(Clone, Default)]
struct State {
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
    more: Arc<Mutex<Option<Sender>>>,
}

type Sender = tokio::sync::mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

/// The platform's stand-in.
pub(crate) struct Server {
    pub data: TempDir,
    state: State,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    /// A server without a script yet.
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().expect("a data directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let server = Self { data, state: State::default(), runtime: Some(runtime) };
        let state = server.state.clone();
        let inside = server.runtime.as_ref().expect("it runs").enter();
        let listener = UnixListener::bind(server.data.path().join("adaptable.sock")).expect("the socket");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, state.clone()));
            }
        });
        drop(inside);
        server
    }

    /// A server that is reached by HTTPS, too.
    pub(crate) fn start_tls() -> (Self, Tls) {
        let server = Self::start();
        std::fs::remove_file(server.data.path().join("adaptable.sock")).expect("only TLS is left");
        let (acceptor, authority, fingerprint) = certificates();
        let state = server.state.clone();
        let runtime = server.runtime.as_ref().expect("it runs");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("its address").port());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), state.clone());
                tokio::spawn(async move {
                    // Who does not trust us goes away.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, state).await;
                    }
                });
            }
        });
        (server, Tls { url, authority, fingerprint })
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
        let sender = self.state.more.lock().expect("no panic").take().expect("an answer is open");
        sender.blocking_send(Ok(Frame::data(Bytes::from(rest.to_owned())))).expect("somebody reads");
    }

    fn push(&self, line: &str, status: u16, body: String, then: Then) -> &Self {
        self.state.script.lock().expect("no panic").push_back(Answer { expect: line.to_owned(), status, body, then });
        self
    }

    /// What came in.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no panic").clone()
    }

    /// Runs the binary against this server, and checks that the whole script was used.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    /// The same, with more variables.
    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let ran = run_with(self.data.path(), arguments, variables);
        let left = self.state.script.lock().expect("no panic").len();
        assert_eq!(left, 0, "answers that nobody asked for; {ran:?}; seen: {:?}", self.seen());
        ran
    }

    /// Checks that the whole script was used.
    pub(crate) fn is_done(&self) {
        let left = self.state.script.lock().expect("no panic").len();
        assert_eq!(left, 0, "answers that nobody asked for; seen: {:?}", self.seen());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: State) {
    let service = service_fn(move |request| answer(request, state.clone()));
    // A cut connection is part of the script.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

/// An acceptor for `localhost`, its authority in PEM, and that one's fingerprint.
fn certificates() -> (TlsAcceptor, String, String) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("an authority");
    let issuer = rcgen::Issuer::new(params, key);
    let leaf_key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").signed_by(&leaf_key, &issuer);
    let private = rustls_pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.expect("a certificate").der().clone()], private)
        .expect("they belong together");
    (TlsAcceptor::from(Arc::new(config)), authority.pem(), api::client::fingerprint(authority.der()))
}

async fn answer(request: Request<Incoming>, state: State) -> Result<Response<BoxBody<Bytes, std::io::Error>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri);
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default();
    let (kind, token) = (header("content-type"), header("authorization"));
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    state.seen.lock().expect("no panic").push(Seen { line: line.clone(), kind, token, body });
    let next = state.script.lock().expect("no panic").pop_front();
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
            *state.more.lock().expect("no panic") = Some(sender);
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
    run_with(data, arguments, &[])
}

fn run_with(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let data_dir = data.to_str().expect("a plain path");
    let mut command = command(data);
    if !arguments.contains(&"--url") {
        command.args(["--data-dir", data_dir]);
    }
    ended(&command.args(arguments).envs(variables.iter().copied()).output().expect("run the binary"))
}

pub(crate) fn ended(output: &Output) -> Ran {
    Ran {
        code: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout.clone()).expect("text"),
        stderr: String::from_utf8(output.stderr.clone()).expect("text"),
    }
}

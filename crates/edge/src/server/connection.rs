//! One connection from a visitor: TLS, the choice of HTTP version, limits, graceful end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::drain::{Graceful, Idle};
use super::gathered::Gathered;
use super::inspect::{Flood, Framing, Inspector, Signs};
use super::io::{VisitorStream, Wire};
use super::response::VisitorBody;
use super::worker::Worker;
use super::{headers, http1 as usual, redirect, request};
use crate::{EdgeBody, HostName, Limits, Plain};

/// How an HTTP/2 connection begins that was not agreed upon in a TLS handshake (RFC 9113, section 3.3).
const PREFACE: &[u8] = b"PRI";

/// What all requests of a connection share.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: SocketAddr,
    pub(super) is_h2: bool,
    /// How the visitor reached us, as the apps read it: `https`, or `http` where plain HTTP is served.
    pub(super) scheme: &'static str,
    /// The visitor's address as the apps read it.
    pub(super) forwarded_for: HeaderValue,
    /// The name in the TLS handshake, if there was one.
    pub(super) sni: Option<HostName>,
    /// The host of the request before as it was written, and the name in it: the next one's is most likely the same.
    pub(super) host: RefCell<Option<(HeaderValue, Box<str>)>>,
    /// What its requests tell its stream.
    pub(super) signs: Arc<Signs>,
}

impl Connection {
    /// A request's body, with what all bodies of visitors are held to.
    pub(super) fn body(&self, body: Incoming) -> EdgeBody {
        EdgeBody::from_visitor(body, self.worker.shared.limits.request_body_idle, Arc::clone(&self.signs))
    }

    /// An answer, marked as the last one where this process is about to end. HTTP/2 says so by itself; a WebSocket goes on.
    fn leaving<B>(&self, mut response: Response<B>) -> Response<B> {
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::last_where(!self.is_h2 && !upgraded && self.worker.drain.is_leaving(), response.headers_mut());
        response
    }
}

/// Serves one HTTPS connection until it ends.
pub(super) async fn serve_https(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    // Only delays, where it fails.
    drop(stream.set_nodelay(true));
    let limits = worker.shared.limits.clone();
    let drain = Rc::clone(&worker.drain);
    let handshake = tokio::time::timeout(limits.handshake, worker.shared.tls.accept(Wire(stream)));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = drain.ending() => return,
    };
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!(%peer, "a TLS handshake took too long"),
    };
    let session = stream.get_ref().1;
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    let sni = session.server_name().and_then(|name| HostName::parse(name).ok());
    serve(worker, stream, Start { peer, is_h2, scheme: "https", sni }).await;
}

/// Serves one plain connection: every request is sent to HTTPS, unless the operator has TLS end elsewhere.
pub(super) async fn serve_http(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    if worker.shared.plain == Plain::Redirect {
        return serve_redirects(worker, stream).await;
    }
    // Only delays, where it fails.
    drop(stream.set_nodelay(true));
    let mut first = [0; PREFACE.len()];
    let drain = Rc::clone(&worker.drain);
    let peeked = tokio::select! {
        peeked = tokio::time::timeout(worker.shared.limits.header_read, stream.peek(&mut first)) => peeked,
        () = drain.ending() => return,
    };
    let is_h2 = match peeked {
        Ok(Ok(_)) => first == PREFACE,
        Ok(Err(_)) | Err(_) => return,
    };
    serve(worker, Wire(stream), Start { peer, is_h2, scheme: "http", sni: None }).await;
}

/// What is known of a connection when its first request comes.
struct Start {
    peer: SocketAddr,
    is_h2: bool,
    scheme: &'static str,
    sni: Option<HostName>,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(worker: Rc<Worker>, stream: S, start: Start) {
    let Start { peer, is_h2, scheme, sni } = start;
    let ip = peer.ip().to_canonical().to_string();
    let forwarded_for = HeaderValue::from_str(&ip).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    let signs = Arc::default();
    let connection = Rc::new(Connection { worker, peer, is_h2, scheme, forwarded_for, sni, host: RefCell::default(), signs });
    let ended = if is_h2 {
        serve_http2(connection, stream).await
    } else {
        match usual::serve(&connection, stream).await {
            // In a box, so that the usual connection does not take the memory that only this one needs.
            Some(stream) => Box::pin(serve_http1(connection, stream)).await,
            None => None,
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%peer, %error, "a visitor's connection broke");
    }
}

type Ended = Option<Result<(), hyper::Error>>;

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(connection: Rc<Connection>, stream: S) -> Ended {
    let drain = Rc::clone(&connection.worker.drain);
    let limits = connection.worker.shared.limits.clone();
    let gathered = Gathered::new(stream, Rc::downgrade(&connection));
    let io = visitor(&connection, gathered.clone(), Inspector::Http2(Flood::new(Instant::now())));
    // Every request holds its connection until its answer has ended.
    let held = Rc::downgrade(&connection);
    let idle = Idle { limit: limits.header_read, is_busy: move || held.strong_count() > 1 };
    // In a box: each request becomes a task, and its future is moved many times on the way there.
    let service = service_fn(move |incoming| Box::pin(answer(Rc::clone(&connection), incoming)));
    let mut serving = pin!(drain.run(http2_builder(&limits).serve_connection(io, service), Some(idle)));
    poll_fn(|cx| {
        let polled = serving.as_mut().poll(cx);
        gathered.write_out(cx);
        polled
    })
    .await
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(connection: Rc<Connection>, stream: S) -> Ended {
    let drain = Rc::clone(&connection.worker.drain);
    let limits = connection.worker.shared.limits.clone();
    let io = visitor(&connection, stream, Inspector::Http1(Framing::default()));
    let service = service_fn(move |incoming| answer(Rc::clone(&connection), incoming));
    // The time for the next header block runs while it is idle.
    drain.run(http1_builder(&limits).serve_connection(io, service).with_upgrades(), None::<Idle<fn() -> bool>>).await
}

/// A connection's stream as hyper reads and writes it.
fn visitor<S>(connection: &Connection, stream: S, inspector: Inspector) -> TokioIo<VisitorStream<S>> {
    let stall = connection.worker.shared.limits.write_stall;
    TokioIo::new(VisitorStream::new(stream, stall, Arc::clone(&connection.signs), inspector))
}

async fn answer(connection: Rc<Connection>, incoming: Request<Incoming>) -> Result<Response<VisitorBody>, Infallible> {
    Ok(connection.leaving(request::answer(Rc::clone(&connection), incoming).await?))
}

async fn serve_redirects(worker: Rc<Worker>, stream: TcpStream) {
    let limits = worker.shared.limits.clone();
    let drain = Rc::clone(&worker.drain);
    let service = service_fn(move |incoming: Request<Incoming>| {
        let mut response = redirect::to_https(&worker.shared, &incoming);
        headers::last_where(worker.drain.is_leaving(), response.headers_mut());
        async move { Ok::<_, Infallible>(response) }
    });
    let io = TokioIo::new(VisitorStream::new(stream, limits.write_stall, Arc::default(), Inspector::Http1(Framing::default())));
    if let Some(Err(error)) = drain.run(http1_builder(&limits).serve_connection(io, service), None::<Idle<fn() -> bool>>).await {
        tracing::debug!(%error, "a plain connection broke");
    }
}

pub(crate) fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.header_bytes as usize)
        // Room for the largest header block, and for a good piece of body.
        .max_buf_size((limits.header_bytes as usize + 1024).max(64 * 1024));
    builder
}

pub(crate) fn http2_builder(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes)
        .max_concurrent_streams(limits.h2_streams)
        // What a visitor may send before we have read it: enough for a fast upload, small enough for many of them.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(128 * 1024)
        // Rapid reset: streams that a visitor opened and gave up at once.
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(128)
        .keep_alive_interval(limits.header_read)
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs the tasks of an HTTP/2 connection on its own thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

type Io<T> = TokioIo<VisitorStream<T>>;

impl<T, S, B> Graceful for http1::UpgradeableConnection<Io<T>, S>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
    Self: Future,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    fn announces_its_end(&self) -> bool {
        false
    }
}

impl<T, S, B> Graceful for http1::Connection<Io<T>, S>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
    Self: Future,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    fn announces_its_end(&self) -> bool {
        false
    }
}

impl<T, S, F, B> Graceful for http2::Connection<Io<T>, S, LocalExecutor>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Future = F>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: Future<Output = Result<Response<B>, S::Error>> + 'static,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
    Self: Future,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    fn announces_its_end(&self) -> bool {
        true
    }
}

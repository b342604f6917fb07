//! A running edge with its authority, a control that answers wakes as a test wants, and clients that trust it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use edge::{
    Activate, AppHandle, AppSettings, AppStatus, Authority, Drained, Edge, EdgeBody, EdgeConfig, PlatformBody, PlatformFuture,
    PlatformService, Routes, Target, Upstream, Visitor,
};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;
type OnWake = Box<dyn Fn(&Arc<AppHandle>) + Send + Sync>;

/// Control as the edge sees it: counts, and does what the test says on a wake.
#[derive(Default)]
pub(crate) struct Control {
    pub(crate) wakes: AtomicUsize,
    pub(crate) refusals: Mutex<Vec<String>>,
    on_wake: Mutex<Option<OnWake>>,
}

impl Control {
    pub(crate) fn on_wake(&self, action: impl Fn(&Arc<AppHandle>) + Send + Sync + 'static) {
        *self.on_wake.lock().unwrap() = Some(Box::new(action));
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

impl Activate for Control {
    fn wake(&self, app: &Arc<AppHandle>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        if let Some(action) = &*self.on_wake.lock().unwrap() {
            action(app);
        }
    }

    fn resumed(&self, _app: &Arc<AppHandle>) {}

    fn refused(&self, _app: &Arc<AppHandle>, drained: Drained) {
        self.refusals.lock().unwrap().push(drained.upstream().id().to_owned());
    }
}

/// The platform's pages in tests: says who called, and sends back what it got, as it comes.
struct Echo;

impl PlatformService for Echo {
    fn call(&self, request: Request<EdgeBody>) -> PlatformFuture {
        let visitor = request.extensions().get::<Visitor>().map(|visitor| visitor.addr.ip().to_string());
        Box::pin(async move {
            let mut response = Response::new(PlatformBody::new(request.into_body()));
            response.headers_mut().insert("x-visitor", visitor.unwrap().parse().unwrap());
            response
        })
    }
}

/// A running edge.
pub(crate) struct World {
    pub(crate) edge: Edge,
    pub(crate) control: Arc<Control>,
    pub(crate) ca_pem: String,
    tls: Arc<rustls::ClientConfig>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut EdgeConfig)) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = EdgeConfig::new(any, any, vec!["localhost".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
        config.threads = 2;
        change(&mut config);
        let made = Authority::generate(&["localhost".parse().unwrap()]).unwrap();
        // Over the disk, as in life.
        let authority = Authority::from_pem(made.certificate_pem(), made.key_pem()).unwrap();
        let ca_pem = authority.certificate_pem().to_owned();
        let control = Arc::new(Control::default());
        let edge = Edge::bind(config).unwrap().run(authority, Arc::clone(&control) as _, Arc::new(Echo)).unwrap();
        edge.handle().set_routes(platform_routes());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        Self { edge, control, ca_pem, tls }
    }

    /// Adds an app at `NAME.localhost`.
    pub(crate) fn app(&self, name: &str) -> Arc<AppHandle> {
        self.app_with(name, AppSettings::default())
    }

    pub(crate) fn app_with(&self, name: &str, settings: AppSettings) -> Arc<AppHandle> {
        let app = AppHandle::new(name, settings, AppStatus::Active);
        let routes = Routes::clone(&self.edge.handle().routes());
        let host = format!("{name}.localhost").parse().unwrap();
        self.edge.handle().set_routes(routes.with(host, Target::App(Arc::clone(&app))));
        app
    }

    /// An app with one instance that answers with this function.
    pub(crate) async fn serving<F, Fut>(&self, name: &str, answer: F) -> Arc<AppHandle>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Response<Body>> + Send,
    {
        let app = self.app(name);
        app.add_upstream(Upstream::new(format!("{name}-1"), upstream(answer).await));
        app
    }

    pub(crate) async fn connect(&self, sni: &str, alpn: &[&str]) -> TlsStream<TcpStream> {
        self.try_connect(sni, alpn).await.unwrap()
    }

    pub(crate) async fn try_connect(&self, sni: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = rustls::ClientConfig::clone(&self.tls);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.edge.https_addr()).await?;
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A client that speaks HTTP/1.1.
    pub(crate) async fn h1(&self, sni: &str) -> hyper::client::conn::http1::SendRequest<Body> {
        let io = TokioIo::new(self.connect(sni, &["http/1.1"]).await);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender
    }

    /// A client that speaks HTTP/2.
    pub(crate) async fn h2(&self, sni: &str) -> hyper::client::conn::http2::SendRequest<Body> {
        let io = TokioIo::new(self.connect(sni, &["h2"]).await);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// One request over a connection of its own.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        let host = request.headers()["host"].to_str().unwrap().split(':').next().unwrap().to_owned();
        self.h1(&host).await.send_request(request).await.unwrap()
    }

    /// The answer to a GET: status and text.
    pub(crate) async fn get(&self, host: &str, path: &str) -> (u16, String) {
        text(self.send(get(host, path)).await).await
    }

    /// What comes back for these bytes, until the edge closes.
    pub(crate) async fn raw(&self, sni: &str, bytes: &[u8]) -> String {
        let mut stream = self.connect(sni, &["http/1.1"]).await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A close without TLS's goodbye is an end like any other here.
        let _ = within(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

pub(crate) fn platform_routes() -> Routes {
    Routes::new().with("localhost".parse().unwrap(), Target::Platform)
}

/// A limit for what must not hang.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("took too long")
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true that {what}");
}

pub(crate) fn get(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header("host", host).body(empty()).unwrap()
}

/// A GET for HTTP/2.
pub(crate) fn get2(host: &str, path: &str) -> Request<Body> {
    Request::get(format!("https://{host}{path}")).version(http::Version::HTTP_2).body(empty()).unwrap()
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

pub(crate) async fn text(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// An instance that answers with this function; its address.
pub(crate) async fn upstream<F, Fut>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<Body>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answering = answer(request);
                async move { Ok::<_, std::convert::Infallible>(answering.await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    addr
}

/// An instance that says hello.
pub(crate) async fn hello() -> SocketAddr {
    upstream(|_| async { Response::new(full("hello")) }).await
}

/// An instance that gives each connection to this function, and the connections it got.
pub(crate) async fn raw_upstream<F, Fut>(serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream, usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, counted.fetch_add(1, Ordering::SeqCst)));
        }
    });
    (addr, count)
}

/// Reads a request's head.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// What curl prints, and the status behind it. `PORT` becomes the edge's.
pub(crate) async fn curl(world: &World, options: &[&str], url: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &world.ca_pem).unwrap();
    let port = world.edge.https_addr().port().to_string();
    let out = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "15", "--noproxy", "*", "--write-out", "%{http_code}", "--cacert"])
        .arg(&ca)
        .args(["--resolve", &format!("*:{port}:127.0.0.1")])
        .args(options)
        .arg(url.replace("PORT", &port))
        .output()
        .await
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

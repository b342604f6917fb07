//! gRPC from end to end: a real server in a container, and a client that speaks HTTP/2 through the edge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use testkit::Platform;
use tokio::sync::mpsc;

use crate::platform;

type Body = BoxBody<Bytes, std::convert::Infallible>;

const SETTINGS: &str = "serving:\n  protocol: h2c\n";

#[test]
fn grpc_passes_with_its_streams_and_trailers() {
    let platform = platform();
    let source = platform.source("calls", &[("main.py", include_str!("grpc.py")), ("requirements.txt", "grpcio\n")]);
    let settings = platform.scratch().join("settings.yaml");
    std::fs::write(&settings, SETTINGS).expect("a directory of one's own");
    let settings = settings.to_str().expect("a plain path");
    platform.deploy(&source, &["--start-command", "python main.py", "--settings", settings]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = connect(&platform).await;
        unary(&mut client).await;
        // Long enough for the instance to be frozen; the next call thaws it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        unary(&mut client).await;
        streaming(&mut client).await;
        chatting(&mut client).await;
        failing(&mut client).await;
    });
}

async fn connect(platform: &Platform) -> SendRequest<Body> {
    let pem = std::fs::read(platform.data().join("ca.pem")).expect("the authority");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(platform.https()).await.expect("a connection");
    let name = ServerName::try_from("calls.localhost").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

/// A message as it stands in a body: not compressed, its length, itself.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    [&[0][..], &length, text.as_bytes()].concat().into()
}

async fn call(client: &mut SendRequest<Body>, name: &str, body: Body) -> Response<Incoming> {
    let request = Request::post(format!("https://calls.localhost/echo.Echo/{name}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    let response = client.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    response
}

async fn unary(client: &mut SendRequest<Body>) {
    let response = call(client, "Say", Full::new(message("gRPC")).boxed()).await;
    let collected = response.into_body().collect().await.expect("a whole answer");
    let trailers = collected.trailers().cloned().expect("trailers");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-served"]),
        (&"0".parse().expect("a value"), &"yes".parse().expect("a value"))
    );
    assert_eq!(collected.to_bytes(), message("hello gRPC"));
}

async fn streaming(client: &mut SendRequest<Body>) {
    let began = Instant::now();
    let response = call(client, "Count", Full::new(message("3")).boxed()).await;
    let mut body = response.into_body();
    for number in ["0", "1", "2"] {
        let frame = body.frame().await.expect("a message").expect("whole");
        assert_eq!(frame.into_data().expect("data"), message(number));
        if number == "0" {
            assert!(began.elapsed() < Duration::from_millis(700), "the first message waited for the others");
        }
    }
    let trailers = body.frame().await.expect("an end").expect("whole").into_trailers().expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert!(began.elapsed() >= Duration::from_millis(600), "the server takes its time");
}

async fn chatting(client: &mut SendRequest<Body>) {
    let (feed, mut receiver) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|text| text.map(|text| Ok(Frame::data(message(text)))))
    });
    feed.send("one").expect("open");
    let mut body = call(client, "Chat", StreamBody::new(stream).boxed()).await.into_body();
    for (sent, answer) in [("one", "re: one"), ("two", "re: two"), ("three", "re: three")] {
        if sent != "one" {
            feed.send(sent).expect("open");
        }
        let frame = body.frame().await.expect("a message").expect("whole");
        assert_eq!(frame.into_data().expect("data"), message(answer));
    }
    drop(feed);
    let trailers = body.frame().await.expect("an end").expect("whole").into_trailers().expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
}

/// Where a call fails the server sends nothing but trailers, in the head.
async fn failing(client: &mut SendRequest<Body>) {
    for (name, status) in [("Fail", "5"), ("Nothing", "12")] {
        let response = call(client, name, Full::new(message("x")).boxed()).await;
        assert_eq!(response.headers()["grpc-status"], status, "{name}");
        assert!(response.body().is_end_stream(), "{name}");
    }
}

//! Plain HTTP where it is served: the same apps, and the truth about how the visitor came.

use edge::Plain;
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

/// An edge that serves plain HTTP, and an app that tells how its visitor came.
async fn world() -> World {
    let world = World::with(|config| config.plain = Plain::Serve);
    world
        .serving("told", |request| async move {
            let header = |name: &str| request.headers().get(name).map_or("none", |value| value.to_str().unwrap()).to_owned();
            Response::new(full(format!("{} {}", header("x-forwarded-proto"), header("x-forwarded-for"))))
        })
        .await;
    world
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.edge.http_addr()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_served_and_told_that_it_was_http() {
    let world = world().await;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connect(&world).await)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get("/").header("host", "told.localhost").header("x-forwarded-proto", "https");
        let response = client.send_request(request.body(empty()).unwrap()).await.unwrap();
        assert_eq!(text(response).await, (200, "http 127.0.0.1".into()));
        client.ready().await.unwrap();
    }
    let (status, _) = text(client.send_request(get("nobody.localhost", "/")).await.unwrap()).await;
    assert_eq!(status, 404);
    // Over TLS it is https as ever.
    assert_eq!(world.get("told.localhost", "/").await, (200, "https 127.0.0.1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_served_to_who_begins_with_it() {
    let world = world().await;
    let io = TokioIo::new(connect(&world).await);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://told.localhost/").version(http::Version::HTTP_2).body(empty()).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(text(response).await, (200, "http 127.0.0.1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_begins_like_http2_is_no_request() {
    let world = world().await;
    for (bytes, status) in
        [("PROPFIND / HTTP/1.1\r\nhost: told.localhost\r\nconnection: close\r\n\r\n", " 200 "), ("PRI * HTTP/1.1\r\n\r\n", "")]
    {
        let mut stream = connect(&world).await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.starts_with("HTTP/1.1"), !status.is_empty(), "{answer}");
        assert!(answer.contains(status), "{answer}");
    }
}

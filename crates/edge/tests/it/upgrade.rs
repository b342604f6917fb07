//! Upgraded connections, and other protocols that are not let through.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use edge::{AppHandle, Upstream};
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

fn websocket(host: &str) -> Request<Body> {
    Request::get("/socket")
        .header("host", host)
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13")
        .body(empty())
        .unwrap()
}

/// An app whose sockets send back what they get, until "bye".
async fn echoing(world: &World) -> Arc<AppHandle> {
    let app = world.app("echo");
    let (addr, _) = raw_upstream(|mut stream, _| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
        let accept =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhi";
        stream.write_all(accept.as_bytes()).await.unwrap();
        let mut buffer = [0; 4096];
        while let Ok(size @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..size]).await.unwrap();
            if buffer[..size].ends_with(b"bye") {
                break;
            }
        }
    })
    .await;
    app.add_upstream(Upstream::new("echo-1", addr));
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_both_ways_and_is_a_request_in_flight() {
    let world = World::new();
    let app = echoing(&world).await;
    let response = world.send(websocket("echo.localhost")).await;
    assert_eq!(response.status(), 101);
    assert_eq!(
        (&response.headers()["upgrade"], &response.headers()["sec-websocket-accept"]),
        (&"websocket".parse().unwrap(), &"x".parse().unwrap())
    );
    let mut socket = TokioIo::new(within(hyper::upgrade::on(response)).await.unwrap());
    let mut greeting = [0; 2];
    within(socket.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"hi", "what came right behind the switch");
    for size in [1, 1000, 100_000] {
        let sent = vec![b'a'; size];
        let mut got = vec![0; size];
        let (mut reader, mut writer) = tokio::io::split(&mut socket);
        let (read, write) = within(async {
            tokio::join!(reader.read_exact(&mut got), async {
                writer.write_all(&sent).await?;
                writer.flush().await
            })
        })
        .await;
        read.unwrap();
        write.unwrap();
        assert!(got == sent);
    }
    assert_eq!((app.in_flight(), app.upstreams()[0].in_flight()), (1, 1));
    socket.write_all(b"bye").await.unwrap();
    socket.flush().await.unwrap();
    let mut rest = Vec::new();
    let _ = within(socket.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"bye");
    drop(socket);
    eventually("it is over", || app.in_flight() == 0 && app.upstreams()[0].in_flight() == 0).await;
    assert_eq!(app.counters().requests(edge::StatusClass::Informational), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_ends_with_its_visitor_and_with_its_instance() {
    let world = World::new();
    let app = echoing(&world).await;
    let response = world.send(websocket("echo.localhost")).await;
    let socket = within(hyper::upgrade::on(response)).await.unwrap();
    drop(socket);
    eventually("it is over", || app.in_flight() == 0).await;

    // The visitor stays, the instance goes: the place is free after a moment all the same.
    let response = world.send(websocket("echo.localhost")).await;
    let mut socket = TokioIo::new(within(hyper::upgrade::on(response)).await.unwrap());
    socket.write_all(b"bye").await.unwrap();
    socket.flush().await.unwrap();
    let drained = app.remove_upstream("echo-1").unwrap();
    within(drained).await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_websocket_is_closed() {
    let world = World::with(|config| config.limits.upgrade_idle = Duration::from_millis(200));
    let app = echoing(&world).await;
    let response = world.send(websocket("echo.localhost")).await;
    let _socket = within(hyper::upgrade::on(response)).await.unwrap();
    eventually("it was closed", || app.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_decline() {
    let world = World::new();
    world.serving("plain", |_| async { Response::builder().status(426).body(full("no sockets here")).unwrap() }).await;
    assert_eq!(text(world.send(websocket("plain.localhost")).await).await, (426, "no sockets here".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_not_let_through() {
    let world = World::new();
    world
        .serving("h2c", |request| async move {
            let smuggled = ["upgrade", "connection", "http2-settings"].iter().any(|name| request.headers().contains_key(*name));
            Response::new(full(smuggled.to_string()))
        })
        .await;
    let request = Request::get("/")
        .header("host", "h2c.localhost")
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA")
        .body(empty())
        .unwrap();
    assert_eq!(text(world.send(request).await).await, (200, "false".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_nobody_asked_for_is_a_502() {
    let world = World::new();
    let app = world.app("pushy");
    let (addr, count) = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    app.add_upstream(Upstream::new("pushy-1", addr));
    assert_eq!(world.get("pushy.localhost", "/").await.0, 502);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    eventually("nothing is in flight", || app.upstreams()[0].in_flight() == 0).await;
}

//! What a visitor may ask for at most: sizes, times, connections.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::frames::*;
use crate::support::*;

async fn counting(world: &World) -> Arc<AtomicUsize> {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    world
        .serving("small", move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                let whole = request.into_body().collect().await.is_ok();
                Response::new(full(if whole { "ok" } else { "broken" }))
            }
        })
        .await;
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn large_headers_are_a_431_over_http2_too() {
    let world = World::new();
    let seen = counting(&world).await;
    let mut raw = Raw::open(&world, "small.localhost").await;
    // In several frames, since one holds 16 KB.
    let large = "y".repeat(11 * 1024);
    let block = raw.block(&[]);
    raw.send(&frame(HEADERS, END_STREAM, 1, &block)).await;
    for (name, flags) in [("x-a", 0), ("x-b", 0), ("x-c", END_HEADERS)] {
        raw.send(&frame(CONTINUATION, flags, 1, &fields(&[(name, &large)]))).await;
    }
    assert_eq!(raw.status(1).await, Some(431));
    // Many small ones.
    let many: Vec<_> = (0..96).map(|_| ("x-many", "y")).collect();
    let block = raw.block(&many);
    raw.send(&frame(HEADERS, WHOLE, 3, &block)).await;
    assert_eq!(raw.status(3).await, Some(200), "a hundred are allowed, with the four that the edge adds");
    let many: Vec<_> = (0..97).map(|_| ("x-many", "y")).collect();
    let block = raw.block(&many);
    raw.send(&frame(HEADERS, WHOLE, 5, &block)).await;
    assert_eq!(raw.status(5).await, Some(431));
    // Over HTTP/1.1 the host is a field, and so is what closes the connection.
    for (count, status) in [(95, "HTTP/1.1 200"), (96, "HTTP/1.1 431"), (500, "HTTP/1.1 431")] {
        let many = "x-many: y\r\n".repeat(count);
        let request = format!("GET / HTTP/1.1\r\nHost: small.localhost\r\n{many}Connection: close\r\n\r\n");
        let answer = world.raw("small.localhost", request.as_bytes()).await;
        assert!(answer.starts_with(status), "{count}: {answer}");
    }
    // Cookies come one by one, and are one field.
    let crumbs: Vec<_> = (0..200).map(|_| ("cookie", "a=b")).collect();
    let block = raw.block(&crumbs);
    raw.send(&frame(HEADERS, WHOLE, 7, &block)).await;
    assert_eq!(raw.status(7).await, Some(200));
    assert!(raw.is_alive(9).await, "the connection is good for what is smaller");
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_target_is_refused() {
    let world = World::new();
    let seen = counting(&world).await;
    let path = format!("/{}", "x".repeat(40 * 1024));
    let answer = world.raw("small.localhost", format!("GET {path} HTTP/1.1\r\nHost: small.localhost\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414"), "{answer}");
    let fits = &path[..30 * 1024];
    let request = format!("GET {fits} HTTP/1.1\r\nHost: small.localhost\r\nConnection: close\r\n\r\n");
    assert!(world.raw("small.localhost", request.as_bytes()).await.starts_with("HTTP/1.1 200"));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// A head that comes in drops, over either version: the connection ends, and no app is asked.
#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_are_cut_off() {
    let world = World::with(|config| config.limits.header_read = Duration::from_millis(300));
    let seen = counting(&world).await;
    let began = Instant::now();
    let mut stream = world.connect("small.localhost", &["http/1.1"]).await;
    let mut ended = false;
    for byte in b"GET / HTTP/1.1\r\nHost: small.localhost\r\nX-Slow: yes, very slow indeed".iter().cycle() {
        let sent = async {
            stream.write_all(&[*byte]).await?;
            stream.flush().await
        };
        if sent.await.is_err() || began.elapsed() > Duration::from_secs(10) {
            ended = began.elapsed() < Duration::from_secs(5);
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ended, "a head that never ends was waited for");

    let mut raw = Raw::open(&world, "small.localhost").await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &request("GET", "small.localhost", "/", &[]))).await;
    assert!(raw.closed(Duration::from_secs(5)).await, "a block that never ends was waited for");
    let mut raw = Raw::silent(&world, "small.localhost").await;
    raw.send(&PREFACE[..10]).await;
    assert!(raw.closed(Duration::from_secs(5)).await, "a preface that never ends was waited for");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_is_cut_off() {
    let world = World::with(|config| {
        config.limits.handshake = Duration::from_millis(200);
        config.limits.header_read = Duration::from_millis(200);
    });
    for addr in [world.edge.https_addr(), world.edge.http_addr()] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"\x16\x03").await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("not cut off");
    }
}

/// A body that stands still, over HTTP/2: an answer where one is possible, and the app is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_a_408_over_http2_too() {
    let world = World::with(|config| config.limits.request_body_idle = Duration::from_millis(200));
    let seen = counting(&world).await;
    let mut raw = Raw::open(&world, "small.localhost").await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &request("POST", "small.localhost", "/", &[("content-length", "10")]))).await;
    raw.send(&frame(DATA, 0, 1, b"half")).await;
    assert_eq!(raw.status(1).await, Some(408));
    assert!(raw.is_alive(3).await);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    eventually("nothing is in flight", || {
        let routes = world.edge.handle().routes();
        let Some(edge::Target::App(app)) = routes.find("small.localhost") else { return false };
        app.in_flight() == 0 && app.upstreams()[0].in_flight() == 0
    })
    .await;
}

/// An address of this machine that is not loopback, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_client_are_limited_and_those_of_this_machine_are_not() {
    let world = World::with(|config| {
        config.limits.connections_per_client = 3;
        config.https = "0.0.0.0:0".parse().unwrap();
        config.http = "0.0.0.0:0".parse().unwrap();
    });
    counting(&world).await;
    let (https, http) = (world.edge.https_addr().port(), world.edge.http_addr().port());
    let local: Vec<_> = futures_util::future::join_all((0..10).map(|_| TcpStream::connect(("127.0.0.1", https)))).await;
    assert_eq!(world.get("small.localhost", "/").await.0, 200, "loopback is not counted");
    drop(local);
    // Without a network there is only loopback; what is counted as one client is tested beside the counter.
    let Some(ip) = own_address() else { return };
    let closed = |mut stream: TcpStream| async move {
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut [0])).await;
        (read.is_ok(), stream)
    };
    let mut kept = Vec::new();
    for (number, port) in [https, http, https].into_iter().enumerate() {
        let (ended, stream) = closed(TcpStream::connect((ip, port)).await.unwrap()).await;
        assert!(!ended, "connection {number} is within the limit");
        kept.push(stream);
    }
    for port in [https, http] {
        let (ended, _) = closed(TcpStream::connect((ip, port)).await.unwrap()).await;
        assert!(ended, "a fourth connection was taken");
    }
    kept.pop();
    for _ in 0..100 {
        let (ended, stream) = closed(TcpStream::connect((ip, https)).await.unwrap()).await;
        if !ended {
            drop(stream);
            return;
        }
    }
    panic!("a freed connection was not taken");
}

//! Bodies: streamed both ways, with back-pressure, without waiting for the whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edge::Upstream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

const CHUNK: usize = 64 * 1024;
/// Far more than all buffers between visitor and app can hold.
const LARGE: u64 = 64 * 1024 * 1024;

/// A body of `size` bytes that counts what was taken of it.
fn counted(size: u64, taken: &Arc<AtomicU64>) -> Body {
    let taken = Arc::clone(taken);
    let chunk = Bytes::from(vec![7_u8; CHUNK]);
    let stream = futures_util::stream::unfold(0_u64, move |sent| {
        let (taken, chunk) = (Arc::clone(&taken), chunk.clone());
        async move {
            taken.store(sent, Ordering::SeqCst);
            (sent < size).then(|| (Ok(Frame::data(chunk)), sent + CHUNK as u64))
        }
    });
    StreamBody::new(Box::pin(stream)).boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_both_ways() {
    let world = World::new();
    world
        .serving("store", |request| async move {
            let mut body = request.into_body();
            let mut size = 0;
            while let Some(frame) = body.frame().await {
                size += frame.unwrap().data_ref().map_or(0, Bytes::len);
            }
            Response::new(full(size.to_string()))
        })
        .await;
    world.serving("source", |_| async { Response::new(counted(LARGE, &Arc::default())) }).await;

    let upload = Request::post("/").header("host", "store.localhost").body(counted(LARGE, &Arc::default())).unwrap();
    assert_eq!(text(world.send(upload).await).await, (200, LARGE.to_string()));
    let upload = Request::post("https://store.localhost/").body(counted(LARGE, &Arc::default())).unwrap();
    let mut client = world.h2("store.localhost").await;
    assert_eq!(text(within(client.send_request(upload)).await.unwrap()).await, (200, LARGE.to_string()));

    let downloaded = world.send(get("source.localhost", "/")).await.into_body().collect();
    assert_eq!(within(downloaded).await.unwrap().to_bytes().len() as u64, LARGE);
    let mut client = world.h2("source.localhost").await;
    let response = client.send_request(get2("source.localhost", "/")).await.unwrap();
    assert_eq!(within(response.into_body().collect()).await.unwrap().to_bytes().len() as u64, LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_back_the_writer() {
    let world = World::new();
    // An app that reads nothing of an upload, until the visitor leaves.
    world
        .serving("lazy", |request| async move {
            let _body = request.into_body();
            std::future::pending().await
        })
        .await;
    let taken = Arc::new(AtomicU64::new(0));
    let request = Request::post("/").header("host", "lazy.localhost").body(counted(LARGE, &taken)).unwrap();
    let mut client = world.h1("lazy.localhost").await;
    assert!(tokio::time::timeout(Duration::from_secs(1), client.send_request(request)).await.is_err());
    assert!(taken.load(Ordering::SeqCst) < LARGE / 2, "the edge took an upload that nobody read");

    // A visitor that reads nothing of a download.
    let taken = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&taken);
    world
        .serving("eager", move |_| {
            let body = counted(LARGE, &counting);
            async { Response::new(body) }
        })
        .await;
    for version in ["http/1.1", "h2"] {
        taken.store(0, Ordering::SeqCst);
        let response = if version == "h2" {
            let mut client = world.h2("eager.localhost").await;
            client.send_request(get2("eager.localhost", "/")).await.unwrap()
        } else {
            world.send(get("eager.localhost", "/")).await
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(taken.load(Ordering::SeqCst) < LARGE / 2, "the edge took a download that nobody read, over {version}");
        drop(response);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_when_they_are_sent() {
    let world = World::new();
    let app = world.app("events");
    let (addr, _) = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n").await.unwrap();
        // The next one comes only when the visitor has gone, which is never before it saw the first.
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    app.add_upstream(Upstream::new("events-1", addr));
    let mut response = world.send(get("events.localhost", "/")).await;
    let frame = within(response.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: one\n\n");
    assert_eq!(app.upstreams()[0].in_flight(), 1, "an open stream is a request in flight");
    assert!(app.idle_for().is_none());
    drop(response);
    eventually("the stream has ended", || app.upstreams()[0].in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_length_and_no_body() {
    let world = World::new();
    world.serving("page", |_| async { Response::new(full("twelve bytes")) }).await;
    let request = Request::head("/").header("host", "page.localhost").body(empty()).unwrap();
    let mut client = world.h1("page.localhost").await;
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "12");
    assert_eq!(text(response).await, (200, String::new()));
    client.ready().await.unwrap();
    assert_eq!(text(client.send_request(get("page.localhost", "/")).await.unwrap()).await.1, "twelve bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_without_body_keeps_the_connection_in_step() {
    let world = World::new();
    world
        .serving("codes", |request| async move {
            let status: u16 = request.uri().path()[1..].parse().unwrap();
            Response::builder().status(status).body(if status == 200 { full("ok") } else { empty() }).unwrap()
        })
        .await;
    let mut client = world.h1("codes.localhost").await;
    for status in [204, 200, 304, 200, 404, 200, 500, 200] {
        client.ready().await.unwrap();
        let response = client.send_request(get("codes.localhost", &format!("/{status}"))).await.unwrap();
        assert_eq!(text(response).await, (status, if status == 200 { "ok".into() } else { String::new() }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_that_asks_to_continue_is_told_to() {
    let world = World::new();
    world
        .serving("polite", |request| async move {
            assert!(!request.headers().contains_key("expect"));
            Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
        })
        .await;
    let mut stream = world.connect("polite.localhost", &["http/1.1"]).await;
    let head =
        b"POST / HTTP/1.1\r\nHost: polite.localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = vec![0; 25];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ping").await.unwrap();
    let mut answer = String::new();
    let _ = within(stream.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ping"), "{answer}");
}

/// A server that answers an upload without reading it and closes: the answer must survive, on both sides of the edge.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_to_an_upload_arrives() {
    let world = World::new();
    let app = world.app("early");
    let (addr, _) = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large";
        stream.write_all(answer).await.unwrap();
        // Closed with unread bytes in it: the kernel sends a reset.
    })
    .await;
    app.add_upstream(Upstream::new("early-1", addr));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 20 * 1024 * 1024]).unwrap();
    let data = format!("@{}", file.path().display());
    for (url, host, answer) in [
        ("https://early.localhost:PORT/", "early.localhost", "too large413"),
        ("https://localhost:PORT/", "other.localhost", "421"),
    ] {
        for _ in 0..5 {
            let options = ["--http1.1", "--data-binary", &data, "-H", "Expect:", "-H", &format!("Host: {host}")];
            let out = curl(&world, &options, url).await;
            assert!(out.ends_with(answer), "{url}: {out}");
        }
    }
    for _ in 0..5 {
        let request = Request::post("https://early.localhost/").body(counted(LARGE, &Arc::default())).unwrap();
        let response = within(world.h2("early.localhost").await.send_request(request)).await.unwrap();
        assert_eq!(text(response).await, (413, "too large".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass() {
    let world = World::new();
    world
        .serving("trailing", |request| async move {
            let trailers = request.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default();
            let frames = [Ok(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(trailers))];
            let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
            Response::builder().header("trailer", "x-sum").body(body).unwrap()
        })
        .await;
    let trailers = http::HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    let frames = [Ok(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    let request = Request::builder().method(Method::POST).uri("https://trailing.localhost/");
    let request = request.header("trailer", "x-sum").header("te", "trailers");
    let mut client = world.h2("trailing.localhost").await;
    let response = client.send_request(request.body(body).unwrap()).await.unwrap();
    let collected = within(response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().map(|trailers| trailers["x-sum"].to_str().unwrap().to_owned()).as_deref(), Some("42"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_body_stands_still_is_given_up() {
    let world = World::with(|config| config.limits.request_body_idle = Duration::from_millis(200));
    world
        .serving("waits", |request| async move {
            Response::new(full(request.into_body().collect().await.map_or("broken", |_| "whole")))
        })
        .await;
    let answer =
        world.raw("waits.localhost", b"POST / HTTP/1.1\r\nHost: waits.localhost\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

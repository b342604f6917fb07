//! What HTTP/1.1 promises both ends: trailers, continuing, ranges, and headers that concern one connection only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use edge::Upstream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

/// An app that answers each request on a connection of its own with these bytes, whatever it is asked.
async fn saying(world: &World, name: &str, answer: impl Into<Vec<u8>>) -> Arc<edge::AppHandle> {
    let app = world.app(name);
    let answer = Arc::new(answer.into());
    let (addr, _) = raw_upstream(move |mut stream, _| {
        let answer = Arc::clone(&answer);
        async move {
            read_head(&mut stream).await;
            stream.write_all(&answer).await.unwrap();
            // Open until the edge has had enough of it.
            let _ = stream.read(&mut [0]).await;
        }
    })
    .await;
    app.add_upstream(Upstream::new(format!("{name}-1"), addr));
    app
}

async fn ask(world: &World, host: &str, head: &str) -> String {
    world.raw(host, format!("{head} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await
}

/// A visitor's trailers reach an app that is told of them by `Trailer`; what has no place among them does not (RFC 9110, 6.5.1).
#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_request_pass_without_what_belongs_into_a_head() {
    let world = World::new();
    let seen: Arc<Mutex<Option<HeaderMap>>> = Arc::default();
    let noting = Arc::clone(&seen);
    world
        .serving("sums", move |request| {
            let noting = Arc::clone(&noting);
            async move {
                let collected = request.into_body().collect().await.unwrap();
                *noting.lock().unwrap() = collected.trailers().cloned();
                Response::new(full(collected.to_bytes()))
            }
        })
        .await;
    let head = "POST / HTTP/1.1\r\nHost: sums.localhost\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, authorization, x-forwarded-for\r\nConnection: close\r\n\r\n";
    let body = "4\r\nbody\r\n0\r\nX-Sum: 42\r\nAuthorization: Basic eA==\r\nX-Forwarded-For: 6.6.6.6\r\nHost: other\r\nContent-Length: 9\r\n\r\n";
    let answer = world.raw("sums.localhost", format!("{head}{body}").as_bytes()).await;
    assert!(answer.ends_with("body"), "{answer}");
    let trailers = seen.lock().unwrap().take().unwrap();
    assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
}

/// An app's trailers reach a visitor that wants them, over either version, and are left out for one that does not.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_response_pass_to_whom_they_are_welcome() {
    let world = World::new();
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\nSet-Cookie: a=b\r\n\r\n";
    saying(&world, "sums", answer).await;
    let asking = "GET / HTTP/1.1\r\nHost: sums.localhost\r\nConnection: close, te\r\nTE: trailers\r\n\r\n";
    let wanted = world.raw("sums.localhost", asking.as_bytes()).await;
    assert!(wanted.ends_with("\r\n0\r\nx-sum: 42\r\n\r\n"), "{wanted}");
    let plain = ask(&world, "sums.localhost", "GET /").await;
    assert!(plain.ends_with("4\r\nbody\r\n0\r\n\r\n"), "{plain}");
    let response = world.h2("sums.localhost").await.send_request(get2("sums.localhost", "/")).await.unwrap();
    let collected = within(response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap().len(), 1);
    assert_eq!(collected.trailers().unwrap()["x-sum"], "42");
}

/// Nobody is told to continue before there is an instance that takes the request, and never twice.
#[tokio::test(flavor = "multi_thread")]
async fn continuing_waits_for_the_app() {
    let world = World::new();
    let app = world.app("late");
    let mut stream = world.connect("late.localhost", &["http/1.1"]).await;
    let head =
        b"POST / HTTP/1.1\r\nHost: late.localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await;
    assert!(early.is_err(), "told to continue while the app sleeps: {early:?}");
    // An app that says so itself as well.
    let (addr, _) = raw_upstream(|mut stream, _| async move {
        assert!(!read_head(&mut stream).await.to_ascii_lowercase().contains("expect:"));
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let mut body = [0; 4];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await.unwrap();
        stream.write_all(&body).await.unwrap();
    })
    .await;
    app.add_upstream(Upstream::new("late-1", addr));
    let mut interim = [0; 25];
    within(stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ping").await.unwrap();
    let mut rest = String::new();
    let _ = within(stream.read_to_string(&mut rest)).await;
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("ping") && !rest.contains("100"), "{rest}");
}

/// A request that is refused is not to be continued.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_without_continuing() {
    let world = World::new();
    let app = world.app("shut");
    app.set_status(edge::AppStatus::Paused);
    let head = "POST / HTTP/1.1\r\nHost: shut.localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let answer = world.raw("shut.localhost", head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_file_passes() {
    let world = World::new();
    world
        .serving("files", |request| async move {
            assert_eq!(
                (&request.headers()["range"], &request.headers()["if-range"]),
                (&"bytes=2-5".parse().unwrap(), &"\"v1\"".parse().unwrap())
            );
            let response =
                Response::builder().status(206).header("content-range", "bytes 2-5/10").header("accept-ranges", "bytes");
            response.header("etag", "\"v1\"").body(full("2345")).unwrap()
        })
        .await;
    let request = Request::get("/").header("host", "files.localhost").header("range", "bytes=2-5").header("if-range", "\"v1\"");
    let response = world.send(request.body(empty()).unwrap()).await;
    assert_eq!(response.headers()["content-range"], "bytes 2-5/10");
    assert_eq!(
        (&response.headers()["etag"], &response.headers()["content-length"]),
        (&"\"v1\"".parse().unwrap(), &"4".parse().unwrap())
    );
    assert_eq!(text(response).await, (206, "2345".into()));
    let request = Request::get("https://files.localhost/").header("range", "bytes=2-5").header("if-range", "\"v1\"");
    let response = world.h2("files.localhost").await.send_request(request.body(empty()).unwrap()).await.unwrap();
    assert_eq!(text(response).await, (206, "2345".into()));
}

/// What an app says about its connection to the edge is not said to the visitor (RFC 9110, 7.6.1).
#[tokio::test(flavor = "multi_thread")]
async fn an_apps_connection_headers_stay_behind() {
    let world = World::new();
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok";
    saying(&world, "chatty", answer).await;
    let response = world.send(get("chatty.localhost", "/")).await;
    let names: Vec<_> = response.headers().keys().map(|name| name.as_str().to_owned()).collect();
    assert!(names.contains(&"x-kept".to_owned()));
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "proxy-authenticate", "upgrade"] {
        assert!(!names.contains(&name.to_owned()), "{name} in {names:?}");
    }
    let mut client = world.h2("chatty.localhost").await;
    assert_eq!(text(client.send_request(get2("chatty.localhost", "/")).await.unwrap()).await, (200, "ok".into()));
}

/// No body where there can be none, and the length where it is only told (RFC 9112, 6.3).
#[tokio::test(flavor = "multi_thread")]
async fn responses_without_a_body_have_none() {
    let world = World::new();
    saying(&world, "head", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").await;
    let answer = ask(&world, "head.localhost", "HEAD /").await;
    assert!(answer.contains("content-length: 12\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    saying(&world, "chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let answer = ask(&world, "chunked.localhost", "HEAD /").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
    saying(&world, "none", "HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n").await;
    let answer = ask(&world, "none.localhost", "GET /").await;
    assert!(answer.contains("x-kept: yes") && !answer.contains("transfer-encoding") && answer.ends_with("\r\n\r\n"), "{answer}");
    saying(&world, "same", "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 12\r\n\r\n").await;
    let answer = ask(&world, "same.localhost", "GET /").await;
    assert!(answer.contains("etag: \"v1\"") && answer.ends_with("\r\n\r\n"), "{answer}");
}

/// Interim responses other than 100 are for nobody: the edge takes them, and the answer passes.
#[tokio::test(flavor = "multi_thread")]
async fn hints_before_an_answer_do_no_harm() {
    let world = World::new();
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    saying(&world, "hints", answer).await;
    assert_eq!(world.get("hints.localhost", "/").await, (200, "ok".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_pass_both_ways_as_they_come() {
    let world = World::new();
    world.serving("echo", |request| async move { Response::new(request.into_body().map_frame(|frame| frame).boxed()) }).await;
    let (feed, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let stream =
        futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))));
    let request = Request::post("/").header("host", "echo.localhost").body(StreamBody::new(stream).boxed()).unwrap();
    let mut client = world.h1("echo.localhost").await;
    feed.send(Bytes::from_static(b"one")).unwrap();
    let mut response = within(client.send_request(request)).await.unwrap();
    assert!(!response.headers().contains_key("content-length"));
    for piece in ["one", "two", "three"] {
        if piece != "one" {
            feed.send(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        assert_eq!(within(response.body_mut().frame()).await.unwrap().unwrap().into_data().unwrap(), piece);
    }
    drop(feed);
    assert!(within(response.body_mut().frame()).await.is_none());
}

/// Cookies that a browser sends one by one over HTTP/2 are one field for an app of HTTP/1.1 (RFC 9113, 8.2.3).
#[tokio::test(flavor = "multi_thread")]
async fn cookies_reach_the_app_as_one() {
    let world = World::new();
    world
        .serving("jar", |request| async move {
            let cookies: Vec<_> =
                request.headers().get_all("cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect();
            Response::new(full(cookies.join("|")))
        })
        .await;
    let request = Request::get("https://jar.localhost/").header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3");
    let mut client = world.h2("jar.localhost").await;
    let response = client.send_request(request.body(empty()).unwrap()).await.unwrap();
    assert_eq!(text(response).await.1, "a=1; b=2; c=3");
}

/// Usual requests and others share a connection, also where they come at once, and are answered in order.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_all_kinds_are_answered_on_one_connection() {
    let world = World::new();
    world
        .serving("mixed", |request| async move {
            let what = format!("{} {};", request.method(), request.uri());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Response::new(full([what.as_bytes(), &body].concat()))
        })
        .await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: mixed.localhost\r\n\r\n");
    let post = "POST /p HTTP/1.1\r\nHost: mixed.localhost\r\nContent-Length: 4\r\n\r\nbody";
    let last = "GET /last HTTP/1.1\r\nHost: mixed.localhost\r\nConnection: close\r\n\r\n";
    for last in [last, "DELETE /last HTTP/1.1\r\nHost: mixed.localhost\r\nConnection: close\r\n\r\n"] {
        let asked =
            [&get("/a"), &get("/b?c"), post, &get("/d"), "HEAD /e HTTP/1.1\r\nHost: mixed.localhost\r\n\r\n", last].concat();
        let answer = world.raw("mixed.localhost", asked.as_bytes()).await;
        let bodies: Vec<&str> = answer.split("\r\n\r\n").skip(1).map(|rest| rest.split("HTTP/1.1").next().unwrap()).collect();
        let method = last.split(' ').next().unwrap();
        assert_eq!(bodies, ["GET /a;", "GET /b?c;", "POST /p;body", "GET /d;", "", &format!("{method} /last;")], "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    // Alone and one after the other, with a usual one in pieces.
    let mut stream = world.connect("mixed.localhost", &["http/1.1"]).await;
    let whole = get("/pieces");
    for piece in [&whole.as_bytes()[..10], &whole.as_bytes()[10..30], &whole.as_bytes()[30..]] {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answer = vec![0; 4096];
    let size = within(stream.read(&mut answer)).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..size]).ends_with("GET /pieces;"));
}

/// An answer of a known length, larger than all buffers, comes whole and unchanged; where its app dies within it, what had come does.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_of_known_length_come_as_they_are() {
    const SIZE: usize = 8 * 1024 * 1024 + 77;
    let world = World::new();
    let body: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    saying(&world, "large", [head(SIZE), body.clone()].concat()).await;
    let whole = within(world.send(get("large.localhost", "/")).await.into_body().collect()).await.unwrap().to_bytes();
    assert!(whole == body, "{} bytes of {SIZE}", whole.len());
    let app = world.app("half");
    let half = [head(SIZE), body[..SIZE / 2].to_vec()].concat();
    let (addr, _) = raw_upstream(move |mut stream, _| {
        let half = half.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(&half).await.unwrap();
        }
    })
    .await;
    app.add_upstream(Upstream::new("half-1", addr));
    let mut stream = world.connect("half.localhost", &["http/1.1"]).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: half.localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let end = within(stream.read_to_end(&mut answer)).await;
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(answer[at..] == body[..SIZE / 2], "{} bytes of {}", answer.len() - at, SIZE / 2);
    assert!(end.is_err(), "a half answer ended as a whole one does");
}

/// A stream of events reaches its visitor piece by piece, head first, and a visitor that leaves ends it.
#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_happen() {
    let world = World::new();
    let app = world.app("events");
    let (feed, pieces) = tokio::sync::mpsc::unbounded_channel::<&'static [u8]>();
    let (pieces, gone) = (Arc::new(tokio::sync::Mutex::new(pieces)), Arc::new(tokio::sync::Notify::new()));
    let left = Arc::clone(&gone);
    let (addr, _) = raw_upstream(move |mut stream, _| {
        let (pieces, left) = (Arc::clone(&pieces), Arc::clone(&left));
        async move {
            read_head(&mut stream).await;
            let mut pieces = pieces.lock().await;
            while let Some(piece) = pieces.recv().await {
                stream.write_all(piece).await.unwrap();
            }
            let _ = stream.read(&mut [0]).await;
            left.notify_one();
        }
    })
    .await;
    app.add_upstream(Upstream::new("events-1", addr));
    let mut stream = world.connect("events.localhost", &["http/1.1"]).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: events.localhost\r\n\r\n").await.unwrap();
    let steps: [(&[u8], &str); 3] = [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\n\r\n"),
        (b"8\r\ndata: 1\n\r\n", "8\r\ndata: 1\n\r\n"),
        (b"8\r\ndata: 2\n\r\n", "8\r\ndata: 2\n\r\n"),
    ];
    for (piece, seen) in steps {
        feed.send(piece).unwrap();
        let mut answer = vec![0; 4096];
        let size = within(stream.read(&mut answer)).await.unwrap();
        assert!(String::from_utf8_lossy(&answer[..size]).ends_with(seen));
    }
    assert_eq!(app.in_flight(), 1);
    drop(stream);
    drop(feed);
    within(gone.notified()).await;
    within(async {
        while app.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

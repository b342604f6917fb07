//! Apps that speak HTTP/2 without TLS: gRPC from end to end, streams that are given up, and connections that are shared.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edge::{AppHandle, AppSettings, Protocol, Upstream};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::*;

type Exchange = (Request<RecvStream>, SendResponse<Bytes>);

/// Adds an instance that gives each request to this function; counts its connections.
async fn h2c<F, Fut>(app: &Arc<AppHandle>, streams: u32, serve: F) -> Arc<AtomicUsize>
where
    F: Fn(Exchange) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (addr, count) = raw_upstream(move |stream, _| {
        let serve = serve.clone();
        async move {
            let mut builder = h2::server::Builder::new();
            let mut connection: Connection<TcpStream, Bytes> =
                builder.max_concurrent_streams(streams).handshake(stream).await.unwrap();
            while let Some(Ok(exchange)) = connection.accept().await {
                tokio::spawn(serve(exchange));
            }
        }
    })
    .await;
    app.add_upstream(Upstream::new(format!("{}-1", app.name()), addr).speaking(Protocol::H2c));
    count
}

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn head(lines: &[(&'static str, &'static str)]) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = map(lines);
    response
}

/// Everything that comes of a body, and its trailers.
async fn read(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    (bytes, body.trailers().await.unwrap_or_default())
}

/// A body that a test feeds.
fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|frame| frame.map(Ok)));
    (sender, StreamBody::new(stream).boxed())
}

fn grpc(host: &str, body: Body) -> Request<Body> {
    Request::post(format!("https://{host}/echo.Echo/Call"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_grpc_passes_with_its_trailers_both_ways() {
    let world = World::new();
    let app = world.app("grpc");
    h2c(&app, 100, |(mut request, mut respond)| async move {
        let uri = request.uri().clone();
        assert_eq!((uri.scheme_str(), uri.authority().unwrap().as_str()), (Some("http"), "grpc.localhost:8443"));
        assert_eq!(uri.path(), "/echo.Echo/Call");
        let headers = request.headers();
        assert_eq!(
            (&headers["te"], &headers["content-type"]),
            (&"trailers".parse().unwrap(), &"application/grpc".parse().unwrap())
        );
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert!(!headers.contains_key("host") && !headers.contains_key("connection"), "{headers:?}");
        let (bytes, trailers) = read(request.body_mut()).await;
        assert_eq!(trailers, Some(map(&[("x-sum", "42")])));
        let mut body = respond.send_response(head(&[("content-type", "application/grpc")]), false).unwrap();
        body.send_data(bytes.into(), false).unwrap();
        body.send_trailers(map(&[("grpc-status", "0"), ("grpc-message", "fine")])).unwrap();
    })
    .await;
    let frames = [Ok(Frame::data(Bytes::from_static(b"message"))), Ok(Frame::trailers(map(&[("x-sum", "42")])))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    let mut client = world.h2("grpc.localhost").await;
    let response = within(client.send_request(grpc("grpc.localhost:8443", body))).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &"application/grpc".parse().unwrap()));
    let collected = within(response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers(), Some(&map(&[("grpc-status", "0"), ("grpc-message", "fine")])));
    assert_eq!(collected.to_bytes(), "message");
    eventually("nothing is in flight", || app.in_flight() == 0 && app.upstreams()[0].in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_nothing_but_trailers_passes() {
    let world = World::new();
    h2c(&world.app("only"), 100, |(_, mut respond)| async move {
        let response = head(&[("content-type", "application/grpc"), ("grpc-status", "12"), ("grpc-message", "no such call")]);
        respond.send_response(response, true).unwrap();
    })
    .await;
    let mut client = world.h2("only.localhost").await;
    let response = within(client.send_request(grpc("only.localhost", full("message")))).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"12".parse().unwrap()));
    assert!(http_body::Body::is_end_stream(response.body()), "the head ends the stream");
    assert!(!response.headers().contains_key("content-length"), "{:?}", response.headers());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_both_ways_as_they_come() {
    // Silence is no reason to end a stream: a visitor may wait for the app, and the app for its visitor.
    let world = World::with(|config| {
        config.limits.request_body_idle = Duration::from_millis(100);
        config.limits.response_body_idle = Duration::from_millis(100);
    });
    h2c(&world.app("chat"), 100, |(mut request, mut respond)| async move {
        let mut body = respond.send_response(head(&[("content-type", "application/grpc")]), false).unwrap();
        while let Some(Ok(data)) = request.body_mut().data().await {
            let _ = request.body_mut().flow_control().release_capacity(data.len());
            // The last piece is empty, and ends the stream.
            if !data.is_empty() {
                body.send_data([b"re: ", &data[..]].concat().into(), false).unwrap();
            }
        }
        body.send_trailers(map(&[("grpc-status", "0")])).unwrap();
    })
    .await;
    let (feed, body) = fed();
    let mut client = world.h2("chat.localhost").await;
    let mut response = within(client.send_request(grpc("chat.localhost", body))).await.unwrap();
    for (message, answer) in [("one", "re: one"), ("two", "re: two"), ("three", "re: three")] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        feed.send(Frame::data(Bytes::from_static(message.as_bytes()))).unwrap();
        let frame = within(response.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), answer);
    }
    drop(feed);
    let frame = within(response.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap(), map(&[("grpc-status", "0")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_gives_up_resets_the_stream() {
    let world = World::new();
    let app = world.app("cancel");
    let (tell, mut told) = mpsc::unbounded_channel();
    h2c(&app, 100, move |(mut request, mut respond)| {
        let tell = tell.clone();
        async move {
            if request.uri().path() == "/answered" {
                let mut body = respond.send_response(head(&[]), false).unwrap();
                body.send_data(Bytes::from_static(b"begun"), false).unwrap();
                tell.send(std::future::poll_fn(|cx| body.poll_reset(cx)).await.unwrap()).unwrap();
            } else {
                let _ = read(request.body_mut()).await;
                tell.send(std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap()).unwrap();
            }
        }
    })
    .await;
    let mut client = world.h2("cancel.localhost").await;
    // Before the answer, the request whole; before the answer, with more to send; within the answer.
    let request = client.send_request(get2("cancel.localhost", "/"));
    assert!(tokio::time::timeout(Duration::from_millis(200), request).await.is_err());
    assert_eq!(within(told.recv()).await, Some(Reason::CANCEL));
    let (feed, body) = fed();
    feed.send(Frame::data(Bytes::from_static(b"x"))).unwrap();
    let request = client.send_request(grpc("cancel.localhost", body));
    assert!(tokio::time::timeout(Duration::from_millis(200), request).await.is_err());
    assert_eq!(within(told.recv()).await, Some(Reason::CANCEL));
    let mut response = within(client.send_request(get2("cancel.localhost", "/answered"))).await.unwrap();
    within(response.body_mut().frame()).await.unwrap().unwrap();
    drop(response);
    assert_eq!(within(told.recv()).await, Some(Reason::CANCEL));
    // A visitor of HTTP/1.1 can only close.
    let mut h1 = world.h1("cancel.localhost").await;
    let request = h1.send_request(get("cancel.localhost", "/"));
    assert!(tokio::time::timeout(Duration::from_millis(200), request).await.is_err());
    drop(h1);
    assert_eq!(within(told.recv()).await, Some(Reason::CANCEL));
    eventually("nothing is in flight", || app.in_flight() == 0 && app.upstreams()[0].in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_gives_up_resets_the_stream() {
    let world = World::new();
    h2c(&world.app("reset"), 100, |(request, mut respond)| async move {
        if request.uri().path() == "/begun" {
            let mut body = respond.send_response(head(&[]), false).unwrap();
            body.send_data(Bytes::from_static(b"begun"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            body.send_reset(Reason::ENHANCE_YOUR_CALM);
        } else {
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
    })
    .await;
    let mut client = world.h2("reset.localhost").await;
    let mut response = within(client.send_request(get2("reset.localhost", "/begun"))).await.unwrap();
    within(response.body_mut().frame()).await.unwrap().unwrap();
    let error = within(response.body_mut().frame()).await.unwrap().unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().downcast_ref::<h2::Error>().unwrap().reason();
    assert_eq!(reason, Some(Reason::ENHANCE_YOUR_CALM));
    // Without a response there is one of ours, and the connection goes on.
    assert_eq!(within(client.send_request(get2("reset.localhost", "/"))).await.unwrap().status(), 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_a_connection_until_it_is_full() {
    let world = World::with(|config| config.threads = 1);
    let app = world.app("shared");
    let connections = h2c(&app, 3, |(_, mut respond)| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        respond.send_response(head(&[]), true).unwrap();
    })
    .await;
    let client = world.h2("shared.localhost").await;
    let ask = |count: usize| {
        let requests: Vec<_> = (0..count)
            .map(|_| {
                let mut client = client.clone();
                tokio::spawn(async move { client.send_request(get2("shared.localhost", "/")).await.unwrap().status() })
            })
            .collect();
        async {
            for request in requests {
                assert_eq!(within(request).await.unwrap(), 200);
            }
        }
    };
    ask(3).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    ask(6).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2, "the second one for those above its limit");
    ask(7).await;
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_connections_are_closed() {
    let world = World::with(|config| config.limits.upstream_idle = Duration::from_millis(100));
    let app = world.app("idle");
    let open = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&open);
    let (addr, _) = raw_upstream(move |stream, _| {
        let open = Arc::clone(&counting);
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let _: h2::SendStream<Bytes> = respond.send_response(head(&[]), true).unwrap();
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    app.add_upstream(Upstream::new("idle-1", addr).speaking(Protocol::H2c));
    assert_eq!(world.get("idle.localhost", "/").await.0, 200);
    eventually("it was closed", || open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(world.get("idle.localhost", "/").await.0, 200, "another one is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_leaving_connection_did_not_take_is_sent_again() {
    let world = World::with(|config| config.threads = 1);
    let app = world.app("leaving");
    let (addr, connections) = raw_upstream(|stream, number| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut taken = 0;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            taken += 1;
            if number == 0 && taken == 2 {
                respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                let _: h2::SendStream<Bytes> = respond.send_response(head(&[]), true).unwrap();
            }
        }
    })
    .await;
    app.add_upstream(Upstream::new("leaving-1", addr).speaking(Protocol::H2c));
    let post = || Request::post("/").header("host", "leaving.localhost").header("content-length", "0").body(empty()).unwrap();
    assert_eq!(world.send(post()).await.status(), 200);
    assert_eq!(world.send(post()).await.status(), 200, "it was refused, so it may be sent again, though it is a POST");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_of_http1_reach_it_too() {
    let world = World::new();
    h2c(&world.app("mixed"), 100, |(mut request, mut respond)| async move {
        assert!(!request.headers().contains_key("upgrade") && !request.headers().contains_key("connection"));
        let (bytes, _) = read(request.body_mut()).await;
        let mut body = respond.send_response(head(&[("x-kept", "yes")]), false).unwrap();
        body.send_data([request.method().as_str().as_bytes(), b" ", &bytes].concat().into(), true).unwrap();
    })
    .await;
    assert_eq!(world.get("mixed.localhost", "/").await, (200, "GET ".into()));
    let large = "x".repeat(1024 * 1024);
    let request = Request::post("/").header("host", "mixed.localhost").body(full(large.clone())).unwrap();
    let response = world.send(request).await;
    assert_eq!(response.headers()["x-kept"], "yes");
    assert_eq!(text(response).await, (200, format!("POST {large}")));
    let socket =
        Request::get("/").header("host", "mixed.localhost").header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(world.send(socket.body(empty()).unwrap()).await.status(), 200, "a WebSocket is not opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_a_504_and_resets_the_stream() {
    let world = World::new();
    let app = world.app_with("late", AppSettings { request_timeout: Duration::from_millis(200), ..AppSettings::default() });
    let (tell, mut told) = mpsc::unbounded_channel();
    h2c(&app, 100, move |(_, mut respond)| {
        let tell = tell.clone();
        async move { tell.send(std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap()).unwrap() }
    })
    .await;
    let (_feed, body) = fed();
    let response = within(world.h2("late.localhost").await.send_request(grpc("late.localhost", body))).await.unwrap();
    assert_eq!(response.status(), 504);
    assert_eq!(within(told.recv()).await, Some(Reason::CANCEL));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_speak_http2_is_a_502() {
    let world = World::new();
    let app = world.app("one");
    app.add_upstream(Upstream::new("one-1", hello().await).speaking(Protocol::H2c));
    let (status, page) = world.get("one.localhost", "/").await;
    assert_eq!(status, 502, "{page}");
    assert!(page.contains("not HTTP"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_both_kinds_serve_one_app() {
    let world = World::new();
    let app = world.app("both");
    h2c(&app, 100, |(_, mut respond)| async move {
        respond.send_response(head(&[]), true).unwrap();
    })
    .await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (number, protocol) in [Protocol::Http1, Protocol::H2c, Protocol::Http1].into_iter().enumerate() {
        app.add_upstream(Upstream::new(format!("dead-{number}"), dead).speaking(protocol));
        for _ in 0..3 {
            assert_eq!(world.send(get("both.localhost", "/")).await.status(), 200);
        }
    }
}

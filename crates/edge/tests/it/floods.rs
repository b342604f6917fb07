//! Floods of HTTP/2 (RFC 9113, 10.5): each ends with GOAWAY, and none costs an app or the process more than a little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;

use crate::frames::*;
use crate::support::*;

/// A world with an app that counts its requests; those for `/slow` are never answered.
async fn counting() -> (World, Arc<AtomicUsize>) {
    let world = World::with(|config| config.limits.header_read = Duration::from_secs(5));
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    world
        .serving("calm", move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                if request.uri().path() == "/slow" {
                    std::future::pending::<()>().await;
                }
                Response::new(full("ok"))
            }
        })
        .await;
    (world, seen)
}

/// Sends a piece again and again until the edge has had enough; why it ended.
async fn flood(world: &World, mut piece: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    let mut raw = Raw::open(world, "calm.localhost").await;
    for round in 0..200 {
        let many: Vec<u8> = (0..100).flat_map(|number| piece(round * 100 + number)).collect();
        raw.send(&many).await;
    }
    raw.goaway().await
}

/// The same with a piece that belongs behind a head, which goes first.
async fn flood_behind(world: &World, mut head: Vec<u8>, piece: &[u8]) -> Option<u32> {
    flood(world, |_| [&std::mem::take(&mut head), piece].concat()).await
}

fn calmed(code: Option<u32>) -> bool {
    matches!(code, Some(PROTOCOL_ERROR | ENHANCE_YOUR_CALM))
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_bring_nothing_end_the_connection() {
    let (world, seen) = counting().await;
    let cases: [(&str, Vec<u8>); 10] = [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", settings(&[(4, 65_535)])),
        ("empty SETTINGS", settings(&[])),
        ("WINDOW_UPDATE", window_update(0, 1)),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16])),
        ("frames of no known kind", frame(99, 0, 0, b"x")),
        ("large frames of no known kind", frame(99, 0, 0, &[0; 16_000])),
        ("RST_STREAM", frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())),
        ("GOAWAY", frame(GOAWAY, 0, 0, &[0; 8])),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
    ];
    for (what, piece) in cases {
        let code = flood(&world, |_| piece.clone()).await;
        // GOAWAYs of a client are what they say: the edge leaves, too.
        let left = what == "GOAWAY" && code == Some(NO_ERROR);
        assert!(calmed(code) || left, "{what}: {code:?}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    assert_eq!(world.get("calm.localhost", "/").await.0, 200, "others are served");
}

/// CVE-2023-44487: requests begun and cancelled at once, before the edge has looked at them, or just after.
#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let (world, seen) = counting().await;
    let cancelled = |number: u32| {
        let stream = number * 2 + 1;
        let head = frame(HEADERS, WHOLE, stream, &request("GET", "calm.localhost", "/slow", &[]));
        [head, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    assert!(calmed(flood(&world, cancelled).await));
    eventually("nothing is left of it", || app_is_idle(&world)).await;
    let at_once = seen.swap(0, Ordering::SeqCst);
    assert!(at_once < 1000, "{at_once} requests reached the app");

    let mut raw = Raw::open(&world, "calm.localhost").await;
    let mut ended = None;
    for number in 0..5000 {
        raw.send(&frame(HEADERS, WHOLE, number * 2 + 1, &request("GET", "calm.localhost", "/slow", &[]))).await;
        // The request is on its way when its end comes.
        if raw.settle().await.contains(&Event::Closed) {
            ended = Some(number);
            break;
        }
        raw.send(&frame(RST_STREAM, 0, number * 2 + 1, &8_u32.to_be_bytes())).await;
    }
    assert!(ended.is_some(), "5000 requests were begun and cancelled");
    eventually("nothing is left of it", || app_is_idle(&world)).await;
}

fn app_is_idle(world: &World) -> bool {
    let routes = world.edge.handle().routes();
    let Some(edge::Target::App(app)) = routes.find("calm.localhost") else { return false };
    app.in_flight() == 0 && app.upstreams()[0].in_flight() == 0
}

/// A visitor that has many requests in flight and cancels them now and then is no attacker.
#[tokio::test(flavor = "multi_thread")]
async fn some_resets_do_not() {
    let (world, _) = counting().await;
    let mut raw = Raw::open(&world, "calm.localhost").await;
    for number in 0..100 {
        raw.send(&frame(HEADERS, WHOLE, number * 2 + 1, &request("GET", "calm.localhost", "/slow", &[]))).await;
        raw.settle().await;
        raw.send(&frame(RST_STREAM, 0, number * 2 + 1, &8_u32.to_be_bytes())).await;
    }
    assert!(raw.is_alive(201).await);
}

/// A block of fields that never ends (CVE-2024-27316), in pieces with something in them and without.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_without_end_ends_the_connection() {
    let (world, seen) = counting().await;
    for piece in [Vec::new(), field(b"x-more", b"y"), field(b"x-large", &[b'y'; 8000])] {
        let head = frame(HEADERS, END_STREAM, 1, &request("GET", "calm.localhost", "/", &[]));
        let code = flood_behind(&world, head, &frame(CONTINUATION, 0, 1, &piece)).await;
        assert!(calmed(code), "{} bytes a piece: {code:?}", piece.len());
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_pieces_of_a_body_end_the_connection() {
    let (world, _) = counting().await;
    let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "calm.localhost", "/slow", &[]));
    let code = flood_behind(&world, head, &frame(DATA, 0, 1, b"")).await;
    assert!(calmed(code), "{code:?}");
}

/// A body in pieces of one byte that nobody reads, since its app has no instance yet: each would be kept with far more than a byte.
#[tokio::test(flavor = "multi_thread")]
async fn small_pieces_of_a_body_end_the_connection() {
    let (world, _) = counting().await;
    world.app("asleep");
    let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "asleep.localhost", "/", &[]));
    let code = flood_behind(&world, head, &frame(DATA, 0, 1, b"x")).await;
    assert!(calmed(code), "{code:?}");
    assert!(Raw::open(&world, "calm.localhost").await.is_alive(1).await, "others are served");
}

/// Where the app takes such a body as fast as it comes, nothing is kept, and nobody is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn small_pieces_that_are_read_all_arrive() {
    let world = World::new();
    world
        .serving("eager", |request| async move {
            let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
            Response::new(full(body.len().to_string()))
        })
        .await;
    let mut raw = Raw::open(&world, "eager.localhost").await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &request("POST", "eager.localhost", "/", &[]))).await;
    for _ in 0..400 {
        raw.send(&frame(DATA, 0, 1, b"x").repeat(50)).await;
        // What was sent is read before more comes, as an app reads that has the time.
        raw.settle().await;
    }
    raw.send(&frame(DATA, END_STREAM, 1, b"")).await;
    assert_eq!(raw.status(1).await, Some(200));
    assert_eq!(raw.next().await, Event::Data(1, "20000".len(), true));
}

/// A field of 4 KB in the table, named again and again in one byte each: 60 MB of header in 16 KB of frame.
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_hpack_is_not_unpacked() {
    let (world, seen) = counting().await;
    let mut raw = Raw::open(&world, "calm.localhost").await;
    let large = vec![b'x'; 3900];
    // A literal with indexing (RFC 7541, 6.2.1) becomes entry 62, the first of the dynamic table.
    let stored = [&[0x40][..], &integer(5), b"x-big", &integer(large.len()), &large].concat();
    let block = [raw.block(&[]), stored].concat();
    raw.send(&frame(HEADERS, WHOLE, 1, &block)).await;
    assert_eq!(raw.status(1).await, Some(200));
    let before = memory();
    for number in 1..20 {
        let block = [raw.block(&[]), vec![0xbe; 16_000]].concat();
        raw.send(&frame(HEADERS, WHOLE, number * 2 + 1, &block)).await;
    }
    let events = raw.settle().await;
    assert!(!events.iter().any(|event| matches!(event, Event::Head(_, 200, _))), "{events:?}");
    assert!(memory() < before + 100 * 1024 * 1024, "it took {} MB", (memory() - before) >> 20);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert!(Raw::open(&world, "calm.localhost").await.is_alive(1).await, "others are served");
}

/// What this process holds, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Fields without a name, and thousands without a value.
#[tokio::test(flavor = "multi_thread")]
async fn empty_fields_are_refused() {
    let (world, seen) = counting().await;
    let mut raw = Raw::open(&world, "calm.localhost").await;
    let block = [raw.block(&[]), field(b"", b"")].concat();
    raw.send(&frame(HEADERS, WHOLE, 1, &block)).await;
    assert!(calmed(raw.goaway().await));
    let mut raw = Raw::open(&world, "calm.localhost").await;
    let many: Vec<u8> = (0..1500).flat_map(|_| field(b"x", b"")).collect();
    let block = [raw.block(&[]), many].concat();
    raw.send(&frame(HEADERS, WHOLE, 3, &block)).await;
    assert_eq!(raw.status(3).await, Some(431));
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

/// An honest client with much to tell is not taken for a flood: many small messages, each acknowledged twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_stream_of_small_messages_is_not_a_flood() {
    let world = World::new();
    world
        .serving("calm", |_| async {
            let frames = (0..5000).map(|_| {
                Ok(http_body::Frame::data(bytes::Bytes::from_static(
                    b"a message of a hundred bytes or so, as calls send them, about the weather or the price of something",
                )))
            });
            Response::new(http_body_util::BodyExt::boxed(http_body_util::StreamBody::new(futures_util::stream::iter(frames))))
        })
        .await;
    let mut raw = Raw::open(&world, "calm.localhost").await;
    raw.get(1, "/").await;
    let mut size = 0;
    loop {
        match raw.next().await {
            Event::Data(_, length, end) => {
                size += length;
                if end {
                    break;
                }
                let increment = u32::try_from(length).unwrap();
                raw.send(&[window_update(0, increment), window_update(1, increment)].concat()).await;
            }
            Event::Goaway(..) | Event::Closed | Event::Reset(..) => panic!("cut off after {size} bytes"),
            _ => {}
        }
    }
    assert!(size >= 450_000, "{size}");
}

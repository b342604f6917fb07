//! What is counted of requests, and what the access log is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use edge::{AccessLog, AppSettings, StatusClass, Upstream};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;

use crate::support::{World, eventually, full, get2, hello, text, upstream};

#[tokio::test(flavor = "multi_thread")]
async fn requests_bytes_and_times_are_counted_when_they_end() {
    let world = World::new();
    let app = world
        .serving("shop", |request| async move {
            let status = match request.uri().path() {
                "/missing" => StatusCode::NOT_FOUND,
                "/broken" => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::OK,
            };
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(full(if body.is_empty() { "hello".into() } else { body }));
            *response.status_mut() = status;
            response
        })
        .await;
    for path in ["/", "/missing", "/broken"] {
        world.get("shop.localhost", path).await;
    }
    let post = Request::post("/").header("host", "shop.localhost").body(full(vec![b'x'; 3_000_000])).unwrap();
    assert_eq!(text(world.send(post).await).await.1.len(), 3_000_000);
    let counters = app.counters();
    eventually("all of them have ended", || counters.latency().count() == 4).await;
    let classes = StatusClass::ALL.map(|class| counters.requests(class));
    assert_eq!(classes, [0, 2, 0, 1, 1]);
    assert_eq!((counters.received(), counters.sent()), (3_000_000, 3_000_015));
    assert_eq!((counters.waited(), counters.cold_starts().count(), counters.abandoned()), (0, 0, 0));
    let hour = counters.last_hour();
    assert_eq!((hour.requests.iter().sum::<u32>(), hour.errors.iter().sum::<u32>()), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_start_is_a_cold_start_and_a_wait_for_room_is_none() {
    let world = World::new();
    let settings = AppSettings {
        max_concurrent_requests_per_instance: 1,
        queue_limit: 1,
        queue_timeout: Duration::from_millis(300),
        ..AppSettings::default()
    };
    let app = world.app_with("shop", settings);
    let slow = upstream(|_| async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        Response::new(full("slow"))
    })
    .await;
    let runtime = tokio::runtime::Handle::current();
    world.control.on_wake(move |app| {
        let app = Arc::clone(app);
        if app.upstreams().is_empty() {
            runtime.spawn(async move {
                tokio::time::sleep(Duration::from_millis(60)).await;
                app.add_upstream(Upstream::new("shop-1", slow));
            });
        }
    });
    let world = Arc::new(world);
    let first = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get("shop.localhost", "/").await }
    });
    let counters = app.counters();
    eventually("the first has its place", || counters.cold_starts().count() == 1).await;
    let cold = counters.cold_starts().snapshot();
    assert_eq!((cold.buckets[0].1, cold.buckets[1].1), (0, 0), "longer than 25 ms: {cold:?}");
    assert!(cold.sum > 0.05 && cold.sum < 5.0, "{cold:?}");
    let second = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get("shop.localhost", "/").await }
    });
    eventually("the second waits", || app.waiting() == 1).await;
    assert_eq!(world.get("shop.localhost", "/").await.0, 429, "one waits already");
    assert_eq!(second.await.unwrap().0, 429, "no room came");
    assert_eq!(first.await.unwrap(), (200, "slow".to_owned()));
    assert_eq!((counters.queue_full(), counters.queue_timeouts(), counters.waited()), (1, 1, 2));
    assert_eq!(counters.cold_starts().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_is_told_of_every_request_and_waits_for_nobody() {
    let (log, records) = AccessLog::new(3);
    let lost = log.lost();
    let world = World::with(move |config| config.access_log = Some(log));
    let app = world.app("shop");
    app.add_upstream(Upstream::new("shop-1", hello().await));
    let post = Request::post("/a%20b?token=secret").header("host", "shop.localhost").header("user-agent", "probe/1");
    text(world.send(post.body(full("12345")).unwrap()).await).await;
    text(world.h2("shop.localhost").await.send_request(get2("shop.localhost", "/two")).await.unwrap()).await;
    assert_eq!(world.get("localhost", "/platform").await.0, 200);
    assert_eq!(lost.load(Ordering::Relaxed), 0);
    // There is room for three, and nobody takes from it: the fourth is answered all the same.
    assert_eq!(world.get("shop.localhost", "/").await.0, 200);
    eventually("the fourth is lost", || lost.load(Ordering::Relaxed) == 1).await;

    drop(world);
    let told: Vec<_> = records.iter().collect();
    assert_eq!(told.len(), 3, "the log ends with the edge");
    let find = |path: &str| told.iter().find(|record| record.path.as_ref().unwrap().path() == path).unwrap();
    let first = find("/a%20b");
    assert_eq!(first.app.as_ref().map(|app| app.name()), Some("shop"));
    assert_eq!(first.upstream.as_ref().map(|upstream| upstream.id()), Some("shop-1"));
    assert_eq!((first.method.as_str(), first.version, first.status), ("POST", http::Version::HTTP_11, Some(StatusCode::OK)));
    assert_eq!(first.host.as_ref().unwrap(), "shop.localhost");
    assert_eq!(first.agent.as_ref().unwrap(), "probe/1");
    assert_eq!((first.received, first.sent), (5, 5));
    assert!(first.peer.ip().is_loopback() && first.took > Duration::ZERO && first.waited == Duration::ZERO, "{first:?}");
    assert!(first.at.elapsed().unwrap() < Duration::from_mins(1), "{first:?}");
    let second = find("/two");
    assert_eq!((second.version, second.host.as_ref().unwrap().as_bytes()), (http::Version::HTTP_2, &b"shop.localhost"[..]));
    let platform = find("/platform");
    assert!(platform.app.is_none() && platform.upstream.is_none() && platform.status == Some(StatusCode::OK), "{platform:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_answer_is_counted_apart() {
    let world = World::new();
    let app = world.app("shop");
    let stuck = upstream(|_| std::future::pending::<Response<crate::support::Body>>()).await;
    app.add_upstream(Upstream::new("shop-1", stuck));
    let visit = tokio::time::timeout(Duration::from_millis(200), world.get("shop.localhost", "/"));
    assert!(visit.await.is_err());
    eventually("it is counted", || app.counters().abandoned() == 1).await;
    assert_eq!((app.counters().latency().count(), app.in_flight()), (0, 0));
}

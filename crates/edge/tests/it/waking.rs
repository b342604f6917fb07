//! Requests for apps without an instance: they wait, and each is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edge::{AppSettings, AppStatus, Failure, FailureKind, Upstream};
use http::Response;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_wakes_the_app_and_is_answered() {
    let world = World::new();
    let app = world.app("sleepy");
    let addr = hello().await;
    let runtime = tokio::runtime::Handle::current();
    world.control.on_wake(move |app| {
        let app = Arc::clone(app);
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            app.add_upstream(Upstream::new("sleepy-1", addr));
        });
    });
    assert!(app.idle_for().is_some());
    assert_eq!(world.get("sleepy.localhost", "/").await, (200, "hello".into()));
    assert_eq!(world.control.wakes(), 1);
    assert_eq!(world.get("sleepy.localhost", "/").await, (200, "hello".into()));
    assert_eq!((world.control.wakes(), app.counters().waited()), (1, 1));
    eventually("the app is idle again", || app.idle_for().is_some_and(|idle| idle < Duration::from_secs(5))).await;
    assert_eq!(app.counters().requests(edge::StatusClass::Success), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_waits_is_answered_to_the_last() {
    let world = Arc::new(World::new());
    let app = world.app_with("crowd", AppSettings { max_concurrent_requests_per_instance: 7, ..AppSettings::default() });
    let busy = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let most = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counting, highest) = (Arc::clone(&busy), Arc::clone(&most));
    let addr = upstream(move |_| {
        let (busy, most) = (Arc::clone(&counting), Arc::clone(&highest));
        async move {
            let now = busy.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            most.fetch_max(now, std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            busy.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            Response::new(full("hello"))
        }
    })
    .await;
    let requests: Vec<_> = (0..200)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.get("crowd.localhost", "/").await })
        })
        .collect();
    eventually("many wait", || app.waiting() > 150).await;
    app.add_upstream(Upstream::new("crowd-1", addr));
    for request in requests {
        assert_eq!(within(request).await.unwrap(), (200, "hello".into()));
    }
    assert_eq!(app.waiting(), 0);
    assert!(most.load(std::sync::atomic::Ordering::SeqCst) <= 7, "more at once than the limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_is_told_to_all_that_wait() {
    let world = World::new();
    world.app("broken");
    world.control.on_wake(|app| {
        let detail = "It listens on 127.0.0.1:5000 instead of 0.0.0.0:8080.";
        app.fail_waiting(Failure::new(FailureKind::Start, "broken did not start", detail));
    });
    for _ in 0..2 {
        let (status, page) = world.get("broken.localhost", "/").await;
        assert_eq!(status, 502);
        assert_eq!(page, "broken did not start\nIt listens on 127.0.0.1:5000 instead of 0.0.0.0:8080.\n");
    }
    assert_eq!(world.control.wakes(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_too_long_is_a_504() {
    let world = World::new();
    let app = world.app_with("slow", AppSettings { start_timeout: Duration::from_millis(200), ..AppSettings::default() });
    let began = Instant::now();
    let (status, page) = world.get("slow.localhost", "/").await;
    assert_eq!(status, 504, "{page}");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(app.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_waiting_room_is_a_429() {
    let world = Arc::new(World::new());
    let app = world.app_with("full", AppSettings { queue_limit: 3, ..AppSettings::default() });
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.get("full.localhost", "/").await })
        })
        .collect();
    eventually("three wait", || app.waiting() == 3).await;
    let refused = world.send(get("full.localhost", "/")).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "5"));
    app.add_upstream(Upstream::new("full-1", hello().await));
    for request in waiting {
        assert_eq!(within(request).await.unwrap().0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_instance_is_a_429_after_a_while() {
    let world = Arc::new(World::new());
    let settings = AppSettings {
        max_concurrent_requests_per_instance: 1,
        queue_timeout: Duration::from_millis(200),
        ..AppSettings::default()
    };
    let app = world.app_with("busy", settings);
    app.add_upstream(Upstream::new("busy-1", upstream(|_| std::future::pending()).await));
    let stuck = Arc::clone(&world);
    let stuck = tokio::spawn(async move { stuck.get("busy.localhost", "/").await });
    eventually("one is in flight", || app.upstreams()[0].in_flight() == 1).await;
    assert_eq!(world.get("busy.localhost", "/").await.0, 429);
    stuck.abort();
    eventually("the visitor who left freed the place", || app.upstreams()[0].in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_app_says_so_and_is_not_woken() {
    let world = Arc::new(World::new());
    let app = world.app("napping");
    let waiting = Arc::clone(&world);
    let waiting = tokio::spawn(async move { waiting.get("napping.localhost", "/").await });
    eventually("one waits", || app.waiting() == 1).await;
    app.set_status(AppStatus::Paused);
    assert_eq!(within(waiting).await.unwrap().0, 503);
    let wakes = world.control.wakes();
    assert_eq!(world.get("napping.localhost", "/").await, (503, "napping is paused\nIts owner can resume it.\n".into()));
    app.set_status(AppStatus::NoRevision);
    assert!(world.get("napping.localhost", "/").await.1.contains("not deployed yet"));
    app.set_status(AppStatus::Failed(Failure::new(FailureKind::Start, "It crashes", "Again and again.")));
    assert_eq!(world.get("napping.localhost", "/").await, (502, "It crashes\nAgain and again.\n".into()));
    assert_eq!(world.control.wakes(), wakes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_leaves_gives_up_the_place_in_the_queue() {
    let world = Arc::new(World::new());
    let app = world.app("patience");
    let leaving = Arc::clone(&world);
    let leaving = tokio::spawn(async move { leaving.get("patience.localhost", "/").await });
    eventually("one waits", || app.waiting() == 1).await;
    leaving.abort();
    eventually("nobody waits", || app.waiting() == 0 && app.in_flight() == 0).await;
}

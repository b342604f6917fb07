//! Instances that refuse, die, say nonsense, or leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use edge::{AppSettings, Upstream};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::*;

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_refuses_is_taken_out_and_the_request_goes_to_another() {
    let world = World::new();
    let app = world.app("two");
    app.add_upstream(Upstream::new("gone", nobody().await));
    app.add_upstream(Upstream::new("here", hello().await));
    for _ in 0..4 {
        assert_eq!(world.get("two.localhost", "/").await, (200, "hello".into()));
    }
    assert_eq!(*world.control.refusals.lock().unwrap(), ["gone"]);
    assert_eq!(app.upstreams().len(), 1);
    assert_eq!(world.control.wakes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_instance_refuses_and_another_is_woken() {
    let world = World::new();
    let app = world.app("again");
    app.add_upstream(Upstream::new("gone", nobody().await));
    let addr = hello().await;
    world.control.on_wake(move |app| app.add_upstream(Upstream::new("new", addr)));
    // With a body: nothing of it was sent to the first.
    let request = Request::post("/").header("host", "again.localhost").body(full("x".repeat(100_000))).unwrap();
    assert_eq!(text(world.send(request).await).await, (200, "hello".into()));
    assert_eq!((world.control.wakes(), world.control.refusals.lock().unwrap().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_all_refuse_end_in_a_page() {
    let world = World::new();
    let app = world.app("never");
    let addr = nobody().await;
    app.add_upstream(Upstream::new("gone", addr));
    let count = AtomicUsize::new(0);
    world.control.on_wake(move |app| {
        app.add_upstream(Upstream::new(format!("gone-{}", count.fetch_add(1, Ordering::SeqCst)), addr));
    });
    assert_eq!(world.get("never.localhost", "/").await.0, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_before_its_answer_is_a_502() {
    let world = World::new();
    let app = world.app("dies");
    let (addr, count) = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
    })
    .await;
    app.add_upstream(Upstream::new("dies-1", addr));
    let (status, page) = world.get("dies.localhost", "/").await;
    assert_eq!(status, 502);
    assert!(page.contains("closed the connection without an answer"), "{page}");
    assert_eq!(count.load(Ordering::SeqCst), 1, "what may have been worked on is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_in_its_answer_cuts_it_off() {
    let world = World::new();
    let app = world.app("cut");
    let (addr, _) = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    })
    .await;
    app.add_upstream(Upstream::new("cut-1", addr));
    let response = world.send(get("cut.localhost", "/")).await;
    assert_eq!(response.status(), 200);
    assert!(within(response.into_body().collect()).await.is_err(), "a half answer looked whole");
    let mut client = world.h2("cut.localhost").await;
    let response = client.send_request(get2("cut.localhost", "/")).await.unwrap();
    assert!(within(response.into_body().collect()).await.is_err(), "a half answer looked whole");
    eventually("the place is free", || app.upstreams()[0].in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_a_502() {
    let world = World::new();
    let app = world.app("odd");
    let (addr, _) = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    app.add_upstream(Upstream::new("odd-1", addr));
    let (status, page) = world.get("odd.localhost", "/").await;
    assert_eq!(status, 502);
    assert!(page.contains("not HTTP"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_a_504() {
    let world = World::new();
    let app = world.app_with("mute", AppSettings { request_timeout: Duration::from_millis(200), ..AppSettings::default() });
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancelled);
    let (addr, _) = raw_upstream(move |mut stream, _| {
        let seen = Arc::clone(&seen);
        async move {
            read_head(&mut stream).await;
            let _ = stream.read(&mut [0]).await;
            seen.store(true, Ordering::SeqCst);
        }
    })
    .await;
    app.add_upstream(Upstream::new("mute-1", addr));
    let (status, page) = world.get("mute.localhost", "/").await;
    assert_eq!(status, 504, "{page}");
    eventually("the instance saw that it is over", || cancelled.load(Ordering::SeqCst)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_reused_and_a_closed_one_costs_no_request() {
    let world = World::with(|config| config.threads = 1);
    let app = world.app("keep");
    // Every connection answers twice and is then closed, without a word about it.
    let (addr, count) = raw_upstream(|mut stream, _| async move {
        for _ in 0..2 {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    app.add_upstream(Upstream::new("keep-1", addr));
    let mut client = world.h1("keep.localhost").await;
    for _ in 0..40 {
        client.ready().await.unwrap();
        let response = client.send_request(get("keep.localhost", "/")).await.unwrap();
        assert_eq!(text(response).await, (200, "ok".into()));
    }
    assert_eq!(count.load(Ordering::SeqCst), 20);
}

/// However many connections an instance has that it has not answered on: further ones are a little later, and come.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_answers_late_gets_all_its_requests() {
    const REQUESTS: usize = 150;
    let world = World::new();
    let app = world.app_with("late", AppSettings { max_concurrent_requests_per_instance: 1000, ..AppSettings::default() });
    let all = Arc::new(tokio::sync::Barrier::new(REQUESTS));
    let (addr, _) = raw_upstream(move |mut stream, _| {
        let all = Arc::clone(&all);
        async move {
            read_head(&mut stream).await;
            all.wait().await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    app.add_upstream(Upstream::new("late-1", addr));
    let (mut one, mut other) = (world.h2("late.localhost").await, world.h2("late.localhost").await);
    let asked: Vec<_> = (0..REQUESTS)
        .map(|number| {
            let client = if number % 2 == 0 { &mut one } else { &mut other };
            client.send_request(get2("late.localhost", "/"))
        })
        .collect();
    for answer in within(futures_util::future::join_all(asked)).await {
        assert_eq!(text(answer.unwrap()).await, (200, "ok".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_leaves_cancels_the_request() {
    let world = Arc::new(World::new());
    let app = world.app("leaver");
    let cancelled = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&cancelled);
    let (addr, _) = raw_upstream(move |mut stream, _| {
        let seen = Arc::clone(&seen);
        async move {
            read_head(&mut stream).await;
            let _ = stream.read(&mut [0]).await;
            seen.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    app.add_upstream(Upstream::new("leaver-1", addr));
    let visitor = Arc::clone(&world);
    let h1 = tokio::spawn(async move { visitor.get("leaver.localhost", "/").await });
    eventually("it is in flight", || app.upstreams()[0].in_flight() == 1).await;
    h1.abort();
    eventually("the instance saw it", || cancelled.load(Ordering::SeqCst) == 1).await;

    let mut client = world.h2("leaver.localhost").await;
    let request = client.send_request(get2("leaver.localhost", "/"));
    assert!(tokio::time::timeout(Duration::from_millis(300), request).await.is_err());
    eventually("the instance saw it", || cancelled.load(Ordering::SeqCst) == 2).await;
    eventually("nothing is in flight", || app.in_flight() == 0 && app.upstreams()[0].in_flight() == 0).await;
}

/// Werkzeug and `http.server` speak HTTP/1.0, and end a body by closing.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_does_not_age_the_visitor() {
    let world = World::new();
    let app = world.app("old");
    let (addr, _) = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold but good").await.unwrap();
    })
    .await;
    app.add_upstream(Upstream::new("old-1", addr));
    let mut client = world.h1("old.localhost").await;
    for _ in 0..3 {
        client.ready().await.unwrap();
        let response = client.send_request(get("old.localhost", "/")).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_11);
        assert_eq!(text(response).await, (200, "old but good".into()));
    }
    let mut client = world.h2("old.localhost").await;
    assert_eq!(text(client.send_request(get2("old.localhost", "/")).await.unwrap()).await, (200, "old but good".into()));
}

/// Instances come and go under load; none gets a request after its removal has resolved, and no request fails.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_goes_to_an_instance_that_has_drained() {
    let world = Arc::new(World::new());
    let app = world.app("race");
    let mut stopped = Vec::new();
    let start = |id: usize| {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        async move {
            let addr = upstream(move |_| {
                let flag = Arc::clone(&flag);
                async move {
                    let before = flag.load(Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    let late = before || flag.load(Ordering::SeqCst);
                    Response::builder().status(if late { 500 } else { 200 }).body(full("x")).unwrap()
                }
            })
            .await;
            (Upstream::new(format!("race-{id}"), addr), stop)
        }
    };
    let (first, stop) = start(0).await;
    app.add_upstream(first);
    stopped.push(stop);
    let done = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let visitors: Vec<_> = (0..8)
        .map(|_| {
            let (world, done, served) = (Arc::clone(&world), Arc::clone(&done), Arc::clone(&served));
            tokio::spawn(async move {
                let mut client = world.h1("race.localhost").await;
                while !done.load(Ordering::SeqCst) {
                    client.ready().await.unwrap();
                    let response = client.send_request(get("race.localhost", "/")).await.unwrap();
                    assert_eq!(text(response).await.0, 200);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for id in 1..60 {
        let enough = served.load(Ordering::SeqCst) + 10;
        eventually("the visitors are busy", || served.load(Ordering::SeqCst) >= enough).await;
        let (next, stop) = start(id).await;
        let old = stopped.last().unwrap();
        if id % 2 == 0 {
            for drained in app.replace_upstreams(vec![next]) {
                within(drained).await;
            }
        } else {
            app.add_upstream(next);
            within(app.remove_upstream(&format!("race-{}", id - 1)).unwrap()).await;
        }
        old.store(true, Ordering::SeqCst);
        stopped.push(stop);
    }
    done.store(true, Ordering::SeqCst);
    for visitor in visitors {
        within(visitor).await.unwrap();
    }
    assert!(app.remove_upstream("race-0").is_none());
}

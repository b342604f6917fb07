//! Ending in order, and the limits of the whole process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edge::Upstream;
use http::Response;
use tokio::net::TcpStream;

use crate::support::*;

async fn slow(world: &World, name: &str, time: Duration) -> Arc<edge::AppHandle> {
    world
        .serving(name, move |_| async move {
            tokio::time::sleep(time).await;
            Response::new(full("done"))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_what_is_in_flight_end() {
    let world = World::new();
    let app = slow(&world, "slow", Duration::from_millis(500)).await;
    let (mut h1, mut h2, mut idle) =
        (world.h1("slow.localhost").await, world.h2("slow.localhost").await, world.h2("slow.localhost").await);
    let one = tokio::spawn(async move { text(h1.send_request(get("slow.localhost", "/")).await.unwrap()).await });
    let two = tokio::spawn(async move { text(h2.send_request(get2("slow.localhost", "/")).await.unwrap()).await });
    eventually("both are in flight", || app.in_flight() == 2).await;
    let (https, began) = (world.edge.https_addr(), Instant::now());
    let ending = tokio::spawn(world.edge.shutdown(Duration::from_secs(10)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(TcpStream::connect(https).await.is_err(), "a new connection was taken");
    assert!(idle.send_request(get2("slow.localhost", "/")).await.is_err(), "a new request was taken");
    assert_eq!(within(one).await.unwrap(), (200, "done".into()));
    assert_eq!(within(two).await.unwrap(), (200, "done".into()));
    within(ending).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}

/// Another process accepts: nobody who is connected here finds a connection closed on which a request may be on its way.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_when_a_successor_takes_over_is_answered_once_more() {
    let world = World::new();
    let app = slow(&world, "slow", Duration::from_millis(300)).await;
    let (mut busy, mut idle) = (world.h1("slow.localhost").await, world.h1("slow.localhost").await);
    let (mut busy2, idle2) = (world.h2("slow.localhost").await, world.h2("slow.localhost").await);
    assert_eq!(text(idle.send_request(get("slow.localhost", "/")).await.unwrap()).await.0, 200);
    let silent = world.connect("slow.localhost", &[]).await;
    let one = tokio::spawn(async move { busy.send_request(get("slow.localhost", "/")).await.unwrap() });
    let two = tokio::spawn(async move { busy2.send_request(get2("slow.localhost", "/")).await.unwrap() });
    eventually("both are in flight", || app.in_flight() == 2).await;
    let sockets = world.edge.sockets().unwrap();
    let (https, ends) = (world.edge.https_addr(), Arc::new(tokio::sync::Notify::new()));
    let end = Arc::clone(&ends);
    let mut edge = world.edge;
    let leaving = tokio::spawn(async move {
        tokio::select! {
            () = edge.leave(Duration::from_mins(1)) => {}
            () = end.notified() => {}
        }
        edge
    });
    eventually("HTTP/2 is told at once", || idle2.is_closed()).await;
    // The kernel holds whoever comes now for the successor.
    let waiting = TcpStream::connect(https).await.unwrap();
    let answer = within(one).await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(text(answer).await.1, "done");
    assert_eq!(text(within(two).await.unwrap()).await.1, "done");
    let answer = idle.send_request(get("slow.localhost", "/")).await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(text(answer).await.1, "done");
    eventually("its connection has ended", || idle.is_closed()).await;
    assert!(!leaving.is_finished(), "a silent connection was not waited for");
    ends.notify_one();
    let edge = leaving.await.unwrap();
    let began = Instant::now();
    within(edge.shutdown(Duration::from_secs(10))).await;
    assert!(began.elapsed() < Duration::from_secs(5), "a silent connection held up the end");
    drop(silent);
    // The successor finds the visitor that came in between.
    assert!(sockets.https.iter().any(|socket| socket.accept().is_ok()));
    drop(waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_cuts_off_what_does_not_end() {
    let world = World::new();
    let app = slow(&world, "endless", Duration::from_hours(1)).await;
    let mut h1 = world.h1("endless.localhost").await;
    let request = tokio::spawn(async move { h1.send_request(get("endless.localhost", "/")).await });
    eventually("it is in flight", || app.in_flight() == 1).await;
    let began = Instant::now();
    within(world.edge.shutdown(Duration::from_millis(300))).await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(within(request).await.unwrap().is_err());
    assert_eq!((app.in_flight(), app.upstreams()[0].in_flight()), (0, 0));
}

/// Idle connections are closed, busy ones are not, however long the answer takes.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed() {
    let world = World::with(|config| config.limits.header_read = Duration::from_millis(200));
    slow(&world, "slow", Duration::from_secs(2)).await;
    let (mut h1, mut h2) = (world.h1("slow.localhost").await, world.h2("slow.localhost").await);
    let (one, two) = tokio::join!(h1.send_request(get("slow.localhost", "/")), h2.send_request(get2("slow.localhost", "/")));
    assert_eq!(text(one.unwrap()).await.0, 200);
    assert_eq!(text(two.unwrap()).await.0, 200);
    eventually("both are closed", || h1.is_closed() && h2.is_closed()).await;
}

/// A visitor that takes nothing must not hold an instance.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_stops_reading_is_cut_off() {
    let world = World::with(|config| config.limits.write_stall = Duration::from_millis(300));
    let app = world.serving("big", |_| async { Response::new(full(vec![0; 64 * 1024 * 1024])) }).await;
    for alpn in ["http/1.1", "h2"] {
        let stopped = async {
            let response = if alpn == "h2" {
                world.h2("big.localhost").await.send_request(get2("big.localhost", "/")).await
            } else {
                world.h1("big.localhost").await.send_request(get("big.localhost", "/")).await
            };
            response.unwrap()
        };
        let response = within(stopped).await;
        assert_eq!(app.upstreams()[0].in_flight(), 1);
        eventually("the place is free", || app.upstreams()[0].in_flight() == 0).await;
        drop(response);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_edge_frees_its_ports() {
    let world = World::new();
    let addr = world.edge.https_addr();
    drop(world.edge);
    for _ in 0..500 {
        if TcpStream::connect(addr).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the port is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_limit_are_closed() {
    let world = World::with(|config| config.limits.max_connections = 2);
    let app = world.app("few");
    app.add_upstream(Upstream::new("few-1", hello().await));
    let (mut one, two) = (world.h1("few.localhost").await, world.h1("few.localhost").await);
    assert!(within(world.try_connect("few.localhost", &[])).await.is_err());
    assert_eq!(text(one.send_request(get("few.localhost", "/")).await.unwrap()).await.0, 200);
    drop(two);
    for _ in 0..500 {
        if world.try_connect("few.localhost", &[]).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a freed connection was not taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_change_under_an_open_connection() {
    let world = World::new();
    world.serving("old", |_| async { Response::new(full("old")) }).await;
    let mut client = world.h1("old.localhost").await;
    assert_eq!(text(client.send_request(get("old.localhost", "/")).await.unwrap()).await.1, "old");
    world.edge.handle().set_routes(platform_routes());
    client.ready().await.unwrap();
    assert_eq!(client.send_request(get("old.localhost", "/")).await.unwrap().status(), 404);
}

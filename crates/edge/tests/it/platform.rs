//! The platform's own service behind the edge.

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;

use crate::support::*;

type Sent = Result<Frame<Bytes>, hyper::Error>;

/// A body that a test feeds.
fn fed() -> (mpsc::Sender<Sent>, Body) {
    let (sender, mut receiver) = mpsc::channel::<Sent>(1);
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, StreamBody::new(stream).boxed())
}

async fn feed_in(feed: &mpsc::Sender<Sent>, text: &'static str) {
    feed.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_streams_both_ways() {
    let world = World::new();
    let (feed, body) = fed();
    let request = Request::post("/").header("host", "localhost").body(body).unwrap();
    let mut client = world.h1("localhost").await;
    let sending = tokio::spawn(async move { client.send_request(request).await.unwrap() });
    feed_in(&feed, "one").await;
    let response = within(sending).await.unwrap();
    assert_eq!(response.headers()["x-visitor"], "127.0.0.1");
    let mut body = response.into_body();
    // Each piece comes back before the next is sent.
    for text in ["one", "two", "three"] {
        if text != "one" {
            feed_in(&feed, text).await;
        }
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(feed);
    assert!(within(body.frame()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_is_reached_over_http2() {
    let world = World::new();
    let mut client = world.h2("localhost").await;
    let request = Request::post("https://localhost/").body(full("ping")).unwrap();
    assert_eq!(text(client.send_request(request).await.unwrap()).await, (200, "ping".into()));
}

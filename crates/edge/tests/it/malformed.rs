//! Apps whose responses are malformed: a page with 502, and nothing of it in what the next visitor gets.

use std::sync::Arc;

use edge::Upstream;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

/// An app that answers `/bad` with these bytes, and everything else well; on connections that it keeps open.
async fn bad(world: &World, name: &str, bytes: &'static [u8]) -> Arc<edge::AppHandle> {
    let app = world.app(name);
    let (addr, _) = raw_upstream(move |mut stream, _| async move {
        loop {
            let head = read_head(&mut stream).await;
            if head.is_empty() {
                return;
            }
            let bad = head.starts_with("GET /bad");
            let answer = if bad { bytes } else { b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" };
            if stream.write_all(answer).await.is_err() {
                return;
            }
            if bad {
                // A body that goes until the end of its connection.
                let _ = tokio::time::timeout(std::time::Duration::from_millis(300), stream.read(&mut [0])).await;
                return;
            }
        }
    })
    .await;
    app.add_upstream(Upstream::new(format!("{name}-1"), addr));
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_head_is_a_502() {
    let world = World::with(|config| config.threads = 1);
    let cases: [(&str, &[u8]); 11] = [
        ("two-lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
        ("list", b"HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\nabcde"),
        ("negative", b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nabcd"),
        ("space", b"HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nabcd"),
        ("zero", b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 4\r\n\r\nabcd"),
        ("return", b"HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\n\r\n"),
        ("name", b"HTTP/1.1 200 OK\r\n: nameless\r\n\r\n"),
        ("status", b"HTTP/1.1 20 OK\r\n\r\n"),
        ("letters", b"HTTP/1.1 abc OK\r\n\r\n"),
        ("version", b"HTTP/3.0 200 OK\r\n\r\n"),
        ("nonsense", b"\x16\x03\x01\x02\r\n\r\n"),
    ];
    for (name, bytes) in cases {
        bad(&world, name, bytes).await;
        let host = format!("{name}.localhost");
        assert_eq!(world.get(&host, "/").await, (200, "good".into()), "{name}");
        assert_eq!(world.get(&host, "/bad").await.0, 502, "{name}");
        for _ in 0..3 {
            assert_eq!(world.get(&host, "/").await, (200, "good".into()), "{name}: the next visitor");
        }
    }
}

/// Where the head has passed already, the rest is cut off, so that half a body never looks whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_is_cut_off() {
    let world = World::with(|config| config.threads = 1);
    let cases: [(&str, &[u8]); 7] = [
        ("size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
        ("overflow", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc"),
        ("long", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
        ("half", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
        ("short", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
        ("endless", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        ("trailer", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nno trailer\r\n\r\n"),
    ];
    for (name, bytes) in cases {
        let app = bad(&world, name, bytes).await;
        let host = format!("{name}.localhost");
        for alpn in ["http/1.1", "h2"] {
            let response = if alpn == "h2" {
                world.h2(&host).await.send_request(get2(&host, "/bad")).await
            } else {
                world.h1(&host).await.send_request(get(&host, "/bad")).await
            };
            // Where the body breaks off before the head has left, there is no answer at all.
            let Ok(response) = response else { continue };
            assert_eq!(response.status(), 200, "{name}");
            assert!(within(response.into_body().collect()).await.is_err(), "{name} over {alpn}: a half answer looked whole");
        }
        for _ in 0..3 {
            assert_eq!(world.get(&host, "/").await, (200, "good".into()), "{name}: the next visitor");
        }
        eventually("the place is free", || app.upstreams()[0].in_flight() == 0).await;
    }
}

/// Both kinds of length, or a second answer behind the first: what is behind is nobody's answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_sends_too_much_reaches_nobody() {
    let world = World::with(|config| config.threads = 1);
    let poison = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcdHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let both = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let empty = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let coded = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    let cases: [(&str, &'static [u8], u16); 4] =
        [("twice", poison, 200), ("both", both, 502), ("empty", empty, 204), ("coded", coded, 502)];
    for (name, bytes, expected) in cases {
        bad(&world, name, bytes).await;
        let host = format!("{name}.localhost");
        let (status, text) = world.get(&host, "/bad").await;
        assert_eq!(status, expected, "{name}");
        assert!(!text.contains("poison"), "{name}");
        for _ in 0..5 {
            assert_eq!(world.get(&host, "/").await, (200, "good".into()), "{name}: the next visitor");
        }
    }
}

//! Answers as instances give them to requests without a body: where they end, and whether the connection serves another.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use edge::Upstream;
use http::Request;
use tokio::io::AsyncWriteExt;

use crate::support::*;

/// An edge of one thread, and so of one pool, with an app that answers every request with these bytes; it counts connections.
async fn saying(answer: &'static str) -> (World, Arc<std::sync::atomic::AtomicUsize>) {
    let world = World::with(|config| config.threads = 1);
    let app = world.app("told");
    let (addr, count) = raw_upstream(move |mut stream, _| async move {
        while !read_head(&mut stream).await.is_empty() {
            if stream.write_all(answer.as_bytes()).await.is_err() || !answer.contains(": ") {
                // Without a field that says so the body ends with the connection.
                return;
            }
        }
    })
    .await;
    app.add_upstream(Upstream::new("told-1", addr));
    (world, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_end_where_they_say_and_connections_serve_again() {
    // The answer, the method, the status and the body that the visitor gets, and the connections that two requests take.
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "GET", 200, "hello", 1),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", "GET", 200, "hello", 1),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", "GET", 200, "hello", 1),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", "GET", 200, "hello", 1),
        (
            "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "GET",
            200,
            "hello",
            1,
        ),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello", "GET", 200, "hello", 1),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "HEAD", 200, "", 1),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", "GET", 304, "", 1),
        ("HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n", "DELETE", 204, "", 1),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "POST", 200, "hello", 1),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "GET", 200, "hello", 2),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello", "GET", 200, "hello", 2),
        // What nobody asked for must not become the next request's answer.
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            "GET",
            200,
            "hello",
            2,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "GET", 200, "hello", 2),
    ];
    for (answer, method, status, body, connections) in cases {
        let (world, count) = saying(answer).await;
        let mut visitor = world.h1("told.localhost").await;
        for _ in 0..2 {
            let request = Request::builder().method(method).uri("/").header("host", "told.localhost").body(empty()).unwrap();
            let got = text(within(visitor.send_request(request)).await.unwrap()).await;
            assert_eq!(got, (status, body.into()), "{answer}");
            visitor.ready().await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), connections, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_the_connection_does_not_reach_the_visitor() {
    let (world, _) = saying(
        "HTTP/1.1 299 Nearly\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\nx-mine: a\r\n\
         x-mine: b\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let answer = world.raw("told.localhost", b"GET / HTTP/1.1\r\nhost: told.localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 299 Nearly\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(answer.contains("x-mine: a\r\nx-mine: b\r\n"), "{answer}");
    for gone in ["x-hop", "timeout=5", "h2c", "keep-alive"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_a_502() {
    for answer in [
        "HTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n",
    ] {
        let (world, _) = saying(answer).await;
        assert_eq!(within(world.get("told.localhost", "/")).await.0, 502, "{answer}");
    }
}

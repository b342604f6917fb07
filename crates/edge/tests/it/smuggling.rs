//! Requests that two servers could read differently, and other bytes that no honest client sends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;

use crate::support::*;

/// A world with an app that notes the path and the body of every request it sees.
async fn noting() -> (World, Arc<Mutex<Vec<(String, String)>>>) {
    let world = World::with(|config| config.limits.header_read = Duration::from_millis(500));
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let noting = Arc::clone(&seen);
    world
        .serving("target", move |request| {
            let noting = Arc::clone(&noting);
            async move {
                let path = request.uri().to_string();
                let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                noting.lock().unwrap().push((path, String::from_utf8_lossy(&body).into_owned()));
                Response::new(full("seen"))
            }
        })
        .await;
    (world, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_are_refused() {
    let (world, seen) = noting().await;
    let host = "Host: target.localhost\r\n";
    let cases = [
        ("two lengths", format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
        ("a list of lengths", format!("POST / HTTP/1.1\r\n{host}Content-Length: 3, 4\r\n\r\nabcd")),
        ("a negative length", format!("POST / HTTP/1.1\r\n{host}Content-Length: -3\r\n\r\nabcd")),
        ("a signed length", format!("POST / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\nabcd")),
        ("a length in hexadecimal", format!("POST / HTTP/1.1\r\n{host}Content-Length: 0x3\r\n\r\nabcd")),
        ("a length too large", format!("POST / HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\nabcd")),
        ("chunked is not last", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n")),
        ("an unknown coding", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
        ("an indented coding", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")),
        ("a coding in HTTP/1.0", format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("a space before the colon", format!("POST / HTTP/1.1\r\n{host}Content-Length : 4\r\n\r\nabcd")),
        ("a folded header", format!("GET / HTTP/1.1\r\n{host}X-A: b\r\n c\r\n\r\n")),
        ("a header without a name", format!("GET / HTTP/1.1\r\n{host}: b\r\n\r\n")),
        ("a zero byte", format!("GET / HTTP/1.1\r\n{host}X-A: b\0c\r\n\r\n")),
        ("a bare carriage return", format!("GET / HTTP/1.1\r\n{host}X-A: b\rX-B: c\r\n\r\n")),
        ("two hosts", format!("GET / HTTP/1.1\r\n{host}Host: other.localhost\r\n\r\n")),
        ("twice the same host", format!("GET / HTTP/1.1\r\n{host}{host}\r\n")),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned()),
        ("a host with a path", "GET / HTTP/1.1\r\nHost: target.localhost/x\r\n\r\n".to_owned()),
        ("another host in the target", format!("GET http://other.localhost/ HTTP/1.1\r\n{host}\r\n")),
        ("a user in the target", format!("GET http://a@target.localhost/ HTTP/1.1\r\n{host}\r\n")),
        ("CONNECT", format!("CONNECT target.localhost:22 HTTP/1.1\r\n{host}\r\n")),
        ("a space in the target", format!("GET /a b HTTP/1.1\r\n{host}\r\n")),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned()),
        ("a method in small letters", format!("get / HTTP/1.1\r\n{host}\r\n")),
        ("both lengths", format!("POST / HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        (
            "both, the other way",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        ),
        ("twice the same length", format!("POST / HTTP/1.1\r\n{host}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd")),
        (
            "twice chunked",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("chunked and something", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        ("identity", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: identity\r\n\r\n")),
        ("a quoted coding", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n")),
        ("a coding on a folded line", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")),
        ("a tab before the colon", format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n")),
        ("an empty length", format!("POST / HTTP/1.1\r\n{host}Content-Length:\r\n\r\nabcd")),
        ("a length with a space", format!("POST / HTTP/1.1\r\n{host}Content-Length: 1 2\r\n\r\nabcd")),
        ("lines that end in a line feed", format!("GET / HTTP/1.1\n{host}\n")),
        ("a field that ends in a line feed", format!("GET / HTTP/1.1\r\n{host}X-A: b\n\r\n")),
        ("a head that ends in a line feed", format!("GET / HTTP/1.1\r\n{host}\n")),
        ("a first line that starts with a space", format!(" GET / HTTP/1.1\r\n{host}\r\n")),
        ("two spaces in the first line", format!("GET  / HTTP/1.1\r\n{host}\r\n")),
        ("a space behind the version", format!("GET / HTTP/1.1 \r\n{host}\r\n")),
        ("a tab in the first line", format!("GET\t/ HTTP/1.1\r\n{host}\r\n")),
        ("a version of its own", format!("GET / HTTP/1.2\r\n{host}\r\n")),
        ("a field before the host that is indented", format!("GET / HTTP/1.1\r\n X-A: b\r\n{host}\r\n")),
        ("a line without a colon", format!("GET / HTTP/1.1\r\n{host}nonsense\r\n\r\n")),
        ("an option of a proxy's", format!("GET * HTTP/1.1\r\n{host}\r\n")),
        ("a target without a slash", format!("GET path HTTP/1.1\r\n{host}\r\n")),
        ("no HTTP", "\x16\x03\x01\x02\r\n\r\n".to_owned()),
    ];
    for (what, bytes) in &cases {
        let answer = world.raw("target.localhost", bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"), "{what}: {answer:?}");
    }
    assert!(seen.lock().unwrap().is_empty(), "the app saw {:?}", seen.lock().unwrap());
}

/// Both lengths: the message ends where the chunks end, what follows is never read as a request, and the app sees only chunks.
#[tokio::test(flavor = "multi_thread")]
async fn what_hides_behind_two_kinds_of_length_is_not_served() {
    let (world, seen) = noting().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: target.localhost\r\n\r\n";
    for lengths in ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        seen.lock().unwrap().clear();
        let bytes = format!("POST /open HTTP/1.1\r\nHost: target.localhost\r\n{lengths}\r\n0\r\n\r\n{hidden}");
        let answer = world.raw("target.localhost", bytes.as_bytes()).await;
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{answer}");
        assert!(!seen.lock().unwrap().iter().any(|(path, _)| path == "/hidden"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_end_the_connection() {
    let (world, seen) = noting().await;
    for chunks in
        ["x\r\nabc\r\n0\r\n\r\n", "-1\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc", "3 \n\rabc"]
    {
        let head = "POST /chunks HTTP/1.1\r\nHost: target.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = world.raw("target.localhost", format!("{head}{chunks}GET /hidden HTTP/1.1\r\n\r\n").as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{chunks:?}: {answer}");
    }
    assert!(!seen.lock().unwrap().iter().any(|(path, _)| path == "/hidden"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_is_not_a_request() {
    let world = World::new();
    world.serving("deaf", |_| async { Response::new(full("ok")) }).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: deaf.localhost\r\n\r\n";
    // Refused by the edge (another host) with the body still unread.
    let bytes = format!("POST / HTTP/1.1\r\nHost: other.localhost\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
    let last = "GET /last HTTP/1.1\r\nHost: deaf.localhost\r\nConnection: close\r\n\r\n";
    let answer = world.raw("deaf.localhost", format!("{bytes}{last}").as_bytes()).await;
    let answers = answer.matches("HTTP/1.1 ").count();
    assert!(answer.starts_with("HTTP/1.1 421") && answers <= 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let (world, seen) = noting().await;
    let one = |path: &str, end: &str| format!("GET {path} HTTP/1.1\r\nHost: target.localhost\r\n{end}\r\n");
    let bytes = format!("{}{}{}", one("/1", ""), one("/2", ""), one("/3", "Connection: close\r\n"));
    let answer = world.raw("target.localhost", bytes.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
    let paths: Vec<_> = seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(paths, ["/1", "/2", "/3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_headers_are_a_431() {
    let (world, seen) = noting().await;
    let large = "x".repeat(33 * 1024);
    let answer = world
        .raw("target.localhost", format!("GET / HTTP/1.1\r\nHost: target.localhost\r\nX-A: {large}\r\n\r\n").as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "X-A: b\r\n".repeat(500);
    let answer =
        world.raw("target.localhost", format!("GET / HTTP/1.1\r\nHost: target.localhost\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut client = world.h2("target.localhost").await;
    let request = http::Request::get("https://target.localhost/").header("x-a", large).body(empty()).unwrap();
    let status = client.send_request(request).await.map(|response| response.status().as_u16());
    assert!(status.is_err() || status.as_ref().is_ok_and(|status| *status == 431), "{status:?}");
    assert!(seen.lock().unwrap().is_empty());
    let fits = "x".repeat(30 * 1024);
    let answer = world
        .raw(
            "target.localhost",
            format!("GET /fits HTTP/1.1\r\nHost: target.localhost\r\nConnection: close\r\nX-A: {fits}\r\n\r\n").as_bytes(),
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_are_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (world, _) = noting().await;
    let mut stream = world.connect("target.localhost", &["http/1.1"]).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: target").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("not cut off");
}

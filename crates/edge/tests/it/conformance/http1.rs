//! RFC 9112: messages of HTTP/1.1, their framing, and their connections.

use super::*;

/// A case: where it stands, what is sent, the statuses that come back, and whether the connection is good for one more.
type Case1 = (&'static str, &'static str, String, &'static [u16], bool);

const H: &str = "Host: h2.localhost\r\n";

fn statuses(answer: &str) -> Vec<u16> {
    let codes = answer.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse().ok());
    codes.filter(|code| *code != 100).collect()
}

async fn check1(cases: Vec<Case1>) {
    let world = world().await;
    let mut wrong = Vec::new();
    for (section, what, bytes, expected, goes_on) in cases {
        // One more request tells whether the connection goes on, and ends it.
        let last = format!("GET /last HTTP/1.1\r\n{H}Connection: close\r\n\r\n");
        let answer = world.raw(HOST, format!("{bytes}{last}").as_bytes()).await;
        let got = statuses(&answer);
        let mut all = expected.to_vec();
        all.extend(goes_on.then_some(200));
        if got != all {
            wrong.push(format!("{section} {what}: {got:?} in place of {all:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_read_as_2_to_5_say() {
    check1(vec![
        ("2.2", "empty lines before a request", format!("\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n"), &[200], true),
        ("2.2", "a bare line feed", format!("GET / HTTP/1.1\n{H}\r\n"), &[400], false),
        ("2.2", "a bare carriage return", format!("GET / HTTP/1.1\r\n{H}X: a\rb\r\n\r\n"), &[400], false),
        ("2.2", "white space before the first field", format!("GET / HTTP/1.1\r\n {H}\r\n"), &[400], false),
        // 505 would say it better; hyper answers what it can't read with 400.
        ("2.3", "a version that is none of ours", format!("GET / HTTP/2.0\r\n{H}\r\n"), &[400], false),
        ("2.3", "a version in small letters", format!("GET / http/1.1\r\n{H}\r\n"), &[400], false),
        ("3", "a line of two words", format!("GET /\r\n{H}\r\n"), &[400], false),
        ("3.1", "a method of one's own", format!("BREW / HTTP/1.1\r\n{H}\r\n"), &[200], true),
        ("3.1", "a method that is no token", format!("GE(T / HTTP/1.1\r\n{H}\r\n"), &[400], false),
        ("3.2.1", "a target in the form of an origin", format!("GET /a/b?c=d&e HTTP/1.1\r\n{H}\r\n"), &[200], true),
        ("3.2.2", "a target in the absolute form", format!("GET http://h2.localhost/a HTTP/1.1\r\n{H}\r\n"), &[200], true),
        (
            "3.2.2",
            "an absolute target and another host",
            format!("GET http://other.localhost/a HTTP/1.1\r\n{H}\r\n"),
            &[400],
            true,
        ),
        ("3.2.3", "a target in the form of an authority", format!("CONNECT h2.localhost:443 HTTP/1.1\r\n{H}\r\n"), &[400], true),
        ("3.2.4", "a star", format!("OPTIONS * HTTP/1.1\r\n{H}\r\n"), &[200], true),
        ("3.2.4", "a star for GET", format!("GET * HTTP/1.1\r\n{H}\r\n"), &[400], true),
        ("3.2", "no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), &[400], true),
        ("3.2", "two hosts", format!("GET / HTTP/1.1\r\n{H}{H}\r\n"), &[400], true),
        ("3.2", "a host that is none", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), &[400], true),
        ("5", "a field without white space", "GET / HTTP/1.1\r\nHost:h2.localhost\r\n\r\n".to_owned(), &[200], true),
        ("5", "white space around a value", "GET / HTTP/1.1\r\nHost: \t h2.localhost \t\r\n\r\n".to_owned(), &[200], true),
        ("5", "names in any letters", "GET / HTTP/1.1\r\nhOsT: h2.localhost\r\n\r\n".to_owned(), &[200], true),
        ("5", "an empty value", format!("GET / HTTP/1.1\r\n{H}X-Empty:\r\n\r\n"), &[200], true),
        ("5.1", "white space before the colon", format!("GET / HTTP/1.1\r\n{H}X : y\r\n\r\n"), &[400], false),
        ("5.2", "a folded line", format!("GET / HTTP/1.1\r\n{H}X: y\r\n z\r\n\r\n"), &[400], false),
        ("5", "bytes beyond ASCII in a value", format!("GET / HTTP/1.1\r\n{H}X: \u{e4}\r\n\r\n"), &[200], true),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_framed_as_6_and_7_say() {
    let chunked = format!("POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n");
    check1(vec![
        (
            "6.1",
            "a coding in capitals",
            format!("POST / HTTP/1.1\r\n{H}TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n"),
            &[200],
            true,
        ),
        // 501 is asked for where a coding is not known; hyper and we answer 400, as to any length that is not clear.
        ("6.1", "an unknown coding", format!("POST / HTTP/1.1\r\n{H}Transfer-Encoding: gzip\r\n\r\n"), &[400], false),
        (
            "6.1",
            "a coding in HTTP/1.0",
            format!("POST / HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            &[400],
            false,
        ),
        (
            "6.3",
            "a coding and a length",
            format!("POST / HTTP/1.1\r\n{H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            &[400],
            false,
        ),
        ("6.3", "two lengths", format!("POST / HTTP/1.1\r\n{H}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), &[400], false),
        ("6.3", "a length that is none", format!("POST / HTTP/1.1\r\n{H}Content-Length: 1a\r\n\r\nab"), &[400], false),
        ("6.3", "a length", format!("POST / HTTP/1.1\r\n{H}Content-Length: 3\r\n\r\nabc"), &[200], true),
        ("6.3", "no length, no body", format!("POST / HTTP/1.1\r\n{H}\r\n"), &[200], true),
        ("6.3", "a GET with a body", format!("GET / HTTP/1.1\r\n{H}Content-Length: 3\r\n\r\nabc"), &[200], true),
        ("7.1", "chunks", format!("{chunked}3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"), &[200], true),
        (
            "7.1",
            "sizes in any letters, with zeros",
            format!("{chunked}000a\r\n0123456789\r\nB\r\n0123456789a\r\n00\r\n\r\n"),
            &[200],
            true,
        ),
        ("7.1", "a size that is none", format!("{chunked}g\r\nabc\r\n0\r\n\r\n"), &[400], false),
        ("7.1", "a size that is signed", format!("{chunked}+3\r\nabc\r\n0\r\n\r\n"), &[400], false),
        ("7.1", "a size that is too large", format!("{chunked}10000000000000000\r\nabc\r\n0\r\n\r\n"), &[400], false),
        ("7.1", "an empty size", format!("{chunked}\r\nabc\r\n0\r\n\r\n"), &[400], false),
        ("7.1", "a chunk longer than its size", format!("{chunked}3\r\nabcd\r\n0\r\n\r\n"), &[400], false),
        ("7.1.1", "extensions", format!("{chunked}3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n"), &[200], true),
        ("7.1.1", "an extension with a line feed", format!("{chunked}3;a\nb\r\nabc\r\n0\r\n\r\n"), &[400], false),
        ("7.1.1", "an extension without an end", format!("{chunked}3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(20_000)), &[400], false),
        ("7.1.2", "trailers", format!("{chunked}3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"), &[200], true),
        ("7.1.2", "a trailer that is none", format!("{chunked}3\r\nabc\r\n0\r\nno trailer\r\n\r\n"), &[400], false),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_as_9_says() {
    check1(vec![
        ("9.3", "HTTP/1.1 goes on", format!("GET / HTTP/1.1\r\n{H}\r\n"), &[200], true),
        ("9.3", "unless told otherwise", format!("GET / HTTP/1.1\r\n{H}Connection: close\r\n\r\n"), &[200], false),
        ("9.3", "among other words", format!("GET / HTTP/1.1\r\n{H}Connection: x, Close\r\n\r\n"), &[200], false),
        ("9.3.2", "requests one behind the other", format!("GET / HTTP/1.1\r\n{H}\r\n").repeat(10), &[200; 10], true),
    ])
    .await;
    let world = world().await;
    // HTTP/1.0 ends with its answer, unless it asks for more.
    let answer = world.raw(HOST, format!("GET / HTTP/1.0\r\n{H}\r\nGET / HTTP/1.0\r\n{H}\r\n").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.0 200").count(), 1, "{answer}");
    let kept = format!("GET / HTTP/1.0\r\n{H}Connection: keep-alive\r\n\r\n");
    let answer = world.raw(HOST, format!("{kept}GET / HTTP/1.0\r\n{H}\r\n").as_bytes()).await;
    assert_eq!(answer.matches(" 200 OK").count(), 2, "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: keep-alive"), "{answer}");
}

//! RFC 9113, 8: requests as frames, and what makes one malformed.

use super::*;

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", HOST);
const PATH: (&str, &str) = (":path", "/");

const MALFORMED: Expect = Resets(1, &[PROTOCOL_ERROR]);

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_framed_as_8_1_says() {
    let trailers = |flags: u8, list: &[(&str, &str)]| frame(HEADERS, flags, 1, &fields(list));
    let data = |flags: u8, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let cases: Vec<Case> = vec![
        ("8.1", "trailers", [post(1, &[]), data(0, b"x"), trailers(WHOLE, &[("x-sum", "1")])].concat(), Answers(1, 200)),
        (
            "8.1",
            "trailers that don't end the stream",
            [post(1, &[]), data(0, b"x"), trailers(END_HEADERS, &[("x-sum", "1")])].concat(),
            MALFORMED,
        ),
        // Malformed by the RFC. h2 leaves it out, so that no app sees it.
        (
            "8.1",
            "a pseudo-header among trailers",
            [post(1, &[]), data(0, b"x"), trailers(WHOLE, &[(":path", "/")])].concat(),
            Answers(1, 200),
        ),
        (
            "8.1.1",
            "a body longer than its length",
            [post(1, &[("content-length", "2")]), data(END_STREAM, b"abc")].concat(),
            MALFORMED,
        ),
        (
            "8.1.1",
            "a body shorter than its length",
            [post(1, &[("content-length", "5")]), data(END_STREAM, b"abc")].concat(),
            MALFORMED,
        ),
        (
            "8.1.1",
            "a body in pieces that is longer",
            [post(1, &[("content-length", "2")]), data(0, b"ab"), data(END_STREAM, b"c")].concat(),
            MALFORMED,
        ),
        (
            "8.1.1",
            "a length without a body",
            frame(HEADERS, WHOLE, 1, &request("POST", HOST, "/", &[("content-length", "5")])),
            MALFORMED,
        ),
        (
            "8.1.1",
            "a body of its length",
            [post(1, &[("content-length", "3")]), data(END_STREAM, b"abc")].concat(),
            Answers(1, 200),
        ),
        (
            "8.1.1",
            "two lengths",
            [post(1, &[("content-length", "3"), ("content-length", "4")]), data(END_STREAM, b"abc")].concat(),
            MALFORMED,
        ),
        ("8.1.1", "a length that is none", [post(1, &[("content-length", "x")]), data(END_STREAM, b"abc")].concat(), MALFORMED),
    ];
    check(&world().await, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_held_to_8_2() {
    let cases: Vec<Case> = vec![
        // A malformed message is a stream error (8.1.1). h2 meets these while it unpacks the block, where it can't go on.
        ("8.2.1", "a name in capitals", plus(b"X-Capital", b"y"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "a name with a space", plus(b"x a", b"y"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "a name with a colon", plus(b"x:a", b"y"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "a name with a line's end", plus(b"x\r\na", b"y"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "a name beyond ASCII", plus(b"x\xc3\xa4", b"y"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "no name", plus(b"", b"y"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "a value with a zero", plus(b"x-a", b"a\0b"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "a value with a line's end", plus(b"x-a", b"a\r\nx-b: c"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.1", "a value with a line feed", plus(b"x-a", b"a\nb"), Dies(&[PROTOCOL_ERROR])),
        ("8.2.2", "Connection", plus(b"connection", b"close"), MALFORMED),
        ("8.2.2", "Keep-Alive", plus(b"keep-alive", b"5"), MALFORMED),
        ("8.2.2", "Proxy-Connection", plus(b"proxy-connection", b"close"), MALFORMED),
        ("8.2.2", "Transfer-Encoding", plus(b"transfer-encoding", b"chunked"), MALFORMED),
        ("8.2.2", "Upgrade", plus(b"upgrade", b"h2c"), MALFORMED),
        ("8.2.2", "TE with another word than trailers", plus(b"te", b"gzip"), MALFORMED),
        ("8.2.2", "TE with trailers", plus(b"te", b"trailers"), Answers(1, 200)),
        (
            "8.2.3",
            "cookies in pieces",
            frame(HEADERS, WHOLE, 1, &request("GET", HOST, "/", &[("cookie", "a=1"), ("cookie", "b=2")])),
            Answers(1, 200),
        ),
    ];
    check(&world().await, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pseudo_headers_are_held_to_8_3() {
    let cases: Vec<Case> = vec![
        ("8.3", "one that is not known", with(&[METHOD, SCHEME, AUTHORITY, PATH, (":other", "x")]), Dies(&[PROTOCOL_ERROR])),
        ("8.3", "one of a response", with(&[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]), MALFORMED),
        ("8.3", "one behind a field", with(&[METHOD, SCHEME, AUTHORITY, ("x-a", "y"), PATH]), MALFORMED),
        ("8.3", "a method twice", with(&[METHOD, METHOD, SCHEME, AUTHORITY, PATH]), MALFORMED),
        ("8.3", "a path twice", with(&[METHOD, SCHEME, AUTHORITY, PATH, PATH]), MALFORMED),
        ("8.3", "an authority twice", with(&[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH]), MALFORMED),
        ("8.3.1", "no method", with(&[SCHEME, AUTHORITY, PATH]), MALFORMED),
        ("8.3.1", "no scheme", with(&[METHOD, AUTHORITY, PATH]), MALFORMED),
        ("8.3.1", "no path", with(&[METHOD, SCHEME, AUTHORITY]), MALFORMED),
        ("8.3.1", "an empty path", with(&[METHOD, SCHEME, AUTHORITY, (":path", "")]), MALFORMED),
        ("8.3.1", "a path that is none", with(&[METHOD, SCHEME, AUTHORITY, (":path", "x y")]), MALFORMED),
        ("8.3.1", "a method that is none", with(&[(":method", "G T"), SCHEME, AUTHORITY, PATH]), Dies(&[PROTOCOL_ERROR])),
        ("8.3.1", "a method in small letters", with(&[(":method", "get"), SCHEME, AUTHORITY, PATH]), Answers(1, 400)),
        ("8.3.1", "a star for a path", with(&[METHOD, SCHEME, AUTHORITY, (":path", "*")]), Answers(1, 400)),
        ("8.3.1", "a path with a fragment", with(&[METHOD, SCHEME, AUTHORITY, (":path", "/a#b")]), Answers(1, 200)),
        ("8.3.1", "no authority and no host", with(&[METHOD, SCHEME, PATH]), Answers(1, 400)),
        ("8.3.1", "a host in place of an authority", with(&[METHOD, SCHEME, PATH, ("host", HOST)]), Answers(1, 200)),
        ("8.3.1", "a host that says the same", with(&[METHOD, SCHEME, AUTHORITY, PATH, ("host", HOST)]), Answers(1, 200)),
        (
            "8.3.1",
            "a host that says another",
            with(&[METHOD, SCHEME, AUTHORITY, PATH, ("host", "other.localhost")]),
            Answers(1, 400),
        ),
        ("8.3.1", "two hosts", with(&[METHOD, SCHEME, AUTHORITY, PATH, ("host", HOST), ("host", HOST)]), Answers(1, 400)),
        ("8.3.1", "a user in the authority", with(&[METHOD, SCHEME, (":authority", "user@h2.localhost"), PATH]), Answers(1, 400)),
        ("8.3.1", "an authority that is none", with(&[METHOD, SCHEME, (":authority", "h2.localhost/x"), PATH]), MALFORMED),
        ("8.3.1", "a scheme that is none", with(&[METHOD, (":scheme", "h t"), AUTHORITY, PATH]), MALFORMED),
        ("8.5", "CONNECT", with(&[(":method", "CONNECT"), (":authority", "h2.localhost:22")]), Answers(1, 400)),
        ("8.5", "CONNECT with a path", with(&[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH]), MALFORMED),
    ];
    check(&world().await, cases).await;
}

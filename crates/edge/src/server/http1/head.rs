//! Heads of requests that are usual in every way. What is not is not looked at twice here: hyper, and who reads along with it, say
//! whether it is a request at all.

use std::mem::MaybeUninit;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Version, header};
use httparse::{Header, ParserConfig, Request, Status};

use crate::AccessRecord;
use crate::server::client::{self, Added};
use crate::server::connection::Connection;
use crate::server::headers::{is_for_app, tokens_in};
use crate::server::{access, encode};

/// Fields that a usual request may have.
const FIELDS: usize = 64;
/// Bytes of a head that has not come to its end.
const LONGEST: usize = 8 * 1024;

/// Room for the fields of one request.
pub(crate) type Room<'b> = [MaybeUninit<Header<'b>>; FIELDS];

/// Room for the fields of one request.
pub(crate) fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; FIELDS]
}

/// What the bytes are that have come.
pub(crate) enum Read<'h, 'b> {
    Usual(Head<'h, 'b>),
    /// The beginning of a head, which may become a usual one.
    Partial,
    Unusual,
}

/// The head of a request without a body.
pub(crate) struct Head<'h, 'b> {
    pub(super) method: Method,
    /// Path and query.
    target: &'b str,
    pub(super) host: &'b [u8],
    fields: &'h [Header<'b>],
    /// Its bytes.
    pub(crate) length: usize,
    /// Whether it is its connection's last.
    pub(super) is_last: bool,
}

/// Reads the head at the beginning of these bytes.
pub(crate) fn read<'h, 'b>(bytes: &'b [u8], room: &'h mut Room<'b>) -> Read<'h, 'b> {
    match bytes.first() {
        None => return Read::Partial,
        Some(b'A'..=b'Z') => {}
        Some(_) => return Read::Unusual,
    }
    let mut parsed = Request::new(&mut []);
    match ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, room) {
        Ok(Status::Complete(length)) => match usual(parsed, &bytes[..length]) {
            Some(head) => Read::Usual(head),
            None => Read::Unusual,
        },
        Ok(Status::Partial) if bytes.len() < LONGEST && ends_lines(bytes) => Read::Partial,
        Ok(Status::Partial) | Err(_) => Read::Unusual,
    }
}

/// Whether every line that has an end ends as it should.
fn ends_lines(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r"))
}

fn usual<'h, 'b>(parsed: Request<'h, 'b>, bytes: &[u8]) -> Option<Head<'h, 'b>> {
    let Request { method, path, version, headers } = parsed;
    let fields: &[Header<'b>] = headers;
    // The parser takes a bare line feed for the end of a line, and a carriage return nowhere else (RFC 9112, 2.2). With the first
    // line and the empty one there are so many lines.
    if version != Some(1) || memchr::memchr_iter(b'\r', bytes).count() != fields.len() + 2 {
        return None;
    }
    let method = match method? {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "OPTIONS" => Method::OPTIONS,
        "DELETE" => Method::DELETE,
        _ => return None,
    };
    let target = path.filter(|target| target.starts_with('/') && target.bytes().all(is_plain))?;
    let (mut host, mut is_last, mut cookies) = (None, false, false);
    for Header { name, value } in fields {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is("te") => return None,
            4 if is("host") && host.replace(*value).is_some() => return None,
            6 if is("expect") => return None,
            // Several cookies become one field.
            6 if is("cookie") && std::mem::replace(&mut cookies, true) => return None,
            7 if is("upgrade") => return None,
            10 if is("connection") => {
                for token in tokens_in(value) {
                    if token.eq_ignore_ascii_case(b"close") {
                        is_last = true;
                    } else if !token.eq_ignore_ascii_case(b"keep-alive") {
                        return None;
                    }
                }
            }
            14 if is("content-length") => return None,
            17 if is("transfer-encoding") => return None,
            _ => {}
        }
    }
    Some(Head { method, target, host: host?, fields, length: bytes.len(), is_last })
}

/// Whether a byte of a path or a query means the same to everybody (RFC 3986, 3.3 and 3.4), and what is often sent beside.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'z' | b'|' | b'~')
}

impl Head<'_, '_> {
    /// How many fields the app will get.
    pub(super) fn fields_for_app(&self) -> usize {
        self.fields.len() + 3
    }

    /// Writes it as the app is to see it; the same as [`client::request_head`] does.
    pub(in crate::server) fn write(&self, added: &Added<'_>, out: &mut Vec<u8>) {
        client::begin(&self.method, self.target, added, out);
        for Header { name, value } in self.fields {
            let field = out.len();
            encode::name(name.as_bytes(), out);
            if str::from_utf8(&out[field..]).is_ok_and(is_for_app) {
                encode::value(value, out);
            } else {
                out.truncate(field);
            }
        }
        client::end(added, false, out);
    }

    /// What the access log wants to know of it.
    pub(super) fn noted(&self, connection: &Connection, host: &HeaderValue) -> AccessRecord {
        AccessRecord {
            host: Some(host.clone()),
            path: PathAndQuery::try_from(self.target).ok(),
            agent: self.field(&header::USER_AGENT).and_then(|value| HeaderValue::from_bytes(value).ok()),
            ..access::begun(connection, self.method.clone(), Version::HTTP_11)
        }
    }

    fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_str())).map(|field| field.value)
    }
}

/// A field of the request at the beginning of these bytes.
pub(super) fn field(bytes: &[u8], name: &HeaderName) -> Option<HeaderValue> {
    let mut room = room();
    let Read::Usual(head) = read(bytes, &mut room) else { return None };
    HeaderValue::from_bytes(head.field(name)?).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;
    use crate::server::headers;
    use crate::server::inspect::{Framing, Verdict};

    fn is_usual(bytes: &[u8]) -> bool {
        matches!(read(bytes, &mut room()), Read::Usual(_))
    }

    const HEAD: &str = "GET /a?b=c HTTP/1.1\r\nHost: a\r\n";

    #[test]
    fn what_is_unusual_is_left_to_others() {
        assert!(is_usual(format!("{HEAD}Cookie: a=b\r\nConnection: Keep-Alive\r\n\r\nGET").as_bytes()));
        for field in [
            "Content-Length: 0",
            "content-length: 5",
            "Transfer-Encoding: chunked",
            "Upgrade: websocket",
            "Expect: 100-continue",
            "TE: trailers",
            "Connection: upgrade",
            "Connection: close, X-Hop",
            "Host: b",
            "X: y\nZ: 1",
            "X: y\rZ: 1",
            "Cookie: a=1\r\nCookie: b=2",
            " folded: yes",
            "X : y",
            "no colon",
        ] {
            assert!(!is_usual(format!("{HEAD}{field}\r\n\r\n").as_bytes()), "{field}");
        }
        for head in [
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(!is_usual(head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn half_a_head_is_waited_for_unless_it_is_wrong_already() {
        let whole = format!("{HEAD}\r\n");
        for end in 0..whole.len() {
            assert!(matches!(read(&whole.as_bytes()[..end], &mut room()), Read::Partial), "{end}");
        }
        assert!(matches!(read(b"GET / HTTP/1.1\nHost: a", &mut room()), Read::Unusual));
        let long = format!("{HEAD}X: {}", "y".repeat(LONGEST));
        assert!(matches!(read(long.as_bytes(), &mut room()), Read::Unusual));
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            "[A-Za-z][A-Za-z0-9_-]{0,12}",
            prop::sample::select(vec![
                "X-Forwarded-For",
                "x_forwarded_proto",
                "Forwarded",
                "Proxy",
                "Keep-Alive",
                "Proxy-Connection",
                "Accept",
                "Cookie",
                "Content_Length",
                "X-Real-IP",
                "Proxy-Authorization",
            ])
            .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn the_app_sees_what_it_would_see_otherwise(fields in prop::collection::vec((names(), "[!-~]{1,3}[ -~\t]{0,10}[!-~]"), 0..12)) {
            let mut bytes = HEAD.to_owned();
            let mut headers = HeaderMap::new();
            headers.append("host", HeaderValue::from_static("a"));
            for (name, value) in &fields {
                bytes += &[name, ": ", value, "\r\n"].concat();
                headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            bytes += "\r\n";
            let (host, peer) = (HeaderValue::from_static("a"), HeaderValue::from_static("192.0.2.7"));
            let added = Added { host: &host, peer: &peer, scheme: "https" };
            let mut room = room();
            if let Read::Usual(head) = read(bytes.as_bytes(), &mut room) {
                let mut out = Vec::new();
                head.write(&added, &mut out);
                let lines = |bytes: &[u8]| {
                    let mut lines: Vec<String> = String::from_utf8_lossy(bytes).split("\r\n").map(str::to_owned).collect();
                    lines[1..].sort();
                    lines
                };
                prop_assert_eq!(lines(&out), lines(&client::request_head(&Method::GET, "/a?b=c", &headers, &added)));
                prop_assert_eq!(head.fields_for_app(), headers::count_for_app(&headers, false));
            }
        }

        #[test]
        fn what_is_usual_is_one_request_to_the_strict(bytes in "(GET|HEAD) / HTTP/1\\.1\\r?\\nHost: a\\r\\n(Content-Length: [0-9]|Transfer-Encoding: chunked|X: y|Y:| |\\r\\n|\\r\\n|\\r|\\n){0,6}\\r\\n\\r\\n") {
            let mut room = room();
            if let Read::Usual(head) = read(bytes.as_bytes(), &mut room) {
                let mut framing = Framing::default();
                prop_assert_eq!(framing.received(&bytes.as_bytes()[..head.length]), Verdict::Pass);
                prop_assert_eq!(framing.heads, 1);
                // The next byte begins another request, as an empty line before it may.
                prop_assert_eq!(framing.received(b"\r\n"), Verdict::Pass);
            }
        }
    }
}

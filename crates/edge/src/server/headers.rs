//! What a proxy must take out of messages, and what it adds.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Uri, Version};

use crate::Protocol;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers that concern one connection only, beside those that `Connection` lists.
static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What is no trailer, beside those that concern one connection.
static NO_TRAILERS: [HeaderName; 24] = [
    header::AGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::EXPIRES,
    header::HOST,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::PRAGMA,
    header::RANGE,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::SERVER,
    header::TRAILER,
    header::VARY,
    header::WARNING,
    header::WWW_AUTHENTICATE,
    header::STRICT_TRANSPORT_SECURITY,
];

/// Whether a request asks for a WebSocket. No other protocol is let through: `Upgrade: h2c` past a proxy is a way to smuggle.
pub(crate) fn wants_websocket(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_11
        && *method == Method::GET
        && headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// How many fields a visitor's headers will at most be when [`for_app`] has dealt with them.
pub(crate) fn count_for_app(headers: &HeaderMap, is_h2: bool) -> usize {
    let crumbs = headers.get_all(header::COOKIE).into_iter().count().saturating_sub(1);
    // Three are added in any case, and over HTTP/2 the host is no field yet.
    headers.len() - crumbs + 3 + usize::from(is_h2)
}

/// Whether a visitor's field goes on to the app as it is, unless `Connection` lists it.
pub(super) fn is_for_app(name: &str) -> bool {
    !is_hop_by_hop(name) && name != "host" && name != "expect" && !is_reserved(name)
}

/// Whether a field concerns one connection only, whatever `Connection` lists. Names are in lower case.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    // The same as to look into the list, at the price of one comparison.
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The names that `Connection` lists.
pub(super) fn listed(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    tokens(headers, &header::CONNECTION)
}

/// Whether a visitor understands trailers.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"))
}

/// Turns a visitor's headers into those for the app: nothing that concerns the connection, nothing that claims to come from us.
pub(crate) fn for_app(headers: &mut HeaderMap, host: &HeaderValue, peer: &HeaderValue, scheme: &'static str, websocket: bool) {
    let trailers = takes_trailers(headers);
    remove_hop_by_hop(headers);
    // Answered by us, when the app begins to read the body.
    headers.remove(header::EXPECT);
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    join_cookies(headers);
    headers.insert(header::HOST, host.clone());
    headers.insert(X_FORWARDED_FOR, peer.clone());
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if websocket {
        insert_upgrade(headers);
    } else if trailers {
        // We pass trailers on, so the visitor's word that it understands them holds for us.
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes out of trailers what only counts in a head (RFC 9110, 6.5.1): framing, routing, credentials, what a response may be
/// used for, and what claims to come from us. A reader that merges them into the head is misled otherwise.
pub(crate) fn for_trailers(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    let wrong: Vec<HeaderName> =
        headers.keys().filter(|name| NO_TRAILERS.contains(name) || is_reserved(name.as_str())).cloned().collect();
    for name in wrong {
        headers.remove(name);
    }
}

/// Puts a request into the form of the protocol that its instance speaks; comes from [`for_app`] in that of HTTP/1.1.
pub(crate) fn dress<B>(request: &mut Request<B>, host: &HeaderValue, protocol: Protocol) {
    let (now, next) = (request.version(), if protocol == Protocol::H2c { Version::HTTP_2 } else { Version::HTTP_11 });
    if now == next {
        return;
    }
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let trailers = request.headers().contains_key(header::TE);
    *request.version_mut() = next;
    if next == Version::HTTP_11 {
        *request.uri_mut() = Uri::from(path);
        request.headers_mut().insert(header::HOST, host.clone());
        if trailers {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        return;
    }
    // The host is the authority (RFC 9113, 8.3.1); what concerns a connection has no place in HTTP/2 (8.2.2), and neither have
    // WebSockets as HTTP/1.1 opens them.
    let authority = Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes()));
    let uri = authority.ok().and_then(|authority| {
        Uri::builder().scheme(http::uri::Scheme::HTTP).authority(authority).path_and_query(path).build().ok()
    });
    // The host has been looked at as such before, so this is always so.
    if let Some(uri) = uri {
        *request.uri_mut() = uri;
        request.headers_mut().remove(header::HOST);
    }
    request.headers_mut().remove(header::CONNECTION);
    request.headers_mut().remove(header::UPGRADE);
}

/// Whether an app's response says in two ways where it ends, or in one that we do not know (RFC 9112, 6.3).
pub(crate) fn is_ambiguous(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    let Some(coding) = codings.next() else { return false };
    let known = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    !known || headers.contains_key(header::CONTENT_LENGTH)
}

/// Takes out of an app's response what concerns our connection to it.
pub(crate) fn for_visitor(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
}

/// The headers that switch a connection to WebSocket.
pub(super) fn insert_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// One field of all cookies: browsers send each in a field of its own over HTTP/2, and only HTTP/2 allows that (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).into_iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookies) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, cookies);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let listed: Vec<HeaderName> =
            tokens(headers, &header::CONNECTION).filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok()).collect();
        for name in listed {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Headers that only we may set. WSGI and CGI read `X_Forwarded_For` as `X-Forwarded-For`, so an underscore is no way around.
fn is_reserved(name: &str) -> bool {
    if name.contains('_') {
        let plain = name.replace('_', "-");
        let framing = ["content-length", "content-type", "host", "transfer-encoding", "connection", "upgrade"];
        return is_reserved(&plain) || framing.contains(&plain.as_str());
    }
    // `Proxy` becomes HTTP_PROXY in a CGI environment, which HTTP clients in the app would obey.
    name.starts_with("x-forwarded") || matches!(name, "forwarded" | "x-real-ip" | "proxy")
}

/// The elements of a header that is a list of tokens.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().flat_map(tokens_of)
}

/// The elements of one line of such a header.
fn tokens_of(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let line = value.to_str().unwrap_or_default();
    line.split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// The elements of one line of such a header that is still bytes.
pub(super) fn tokens_in(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A number in decimal digits and nothing else.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// Says that an answer is the last one on its connection (RFC 9112 section 9.6), where that is so.
pub(super) fn last_where(is_last: bool, headers: &mut HeaderMap) {
    if is_last {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())).collect()
    }

    fn forwarded(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = map(lines);
        for_app(
            &mut headers,
            &HeaderValue::from_static("a.localhost:8443"),
            &HeaderValue::from_static("192.0.2.7"),
            "https",
            false,
        );
        headers
    }

    #[test]
    fn spoofed_headers_are_replaced() {
        let headers = forwarded(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x_forwarded_for", "2.2.2.2"),
            ("x-forwarded_for", "2.2.2.2"),
            ("x-forwarded-port", "1"),
            ("x-forwarded", "1"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("content_length", "5"),
            ("proxy", "evil:80"),
            ("host", "other"),
            ("x_mine", "kept"),
        ]);
        let expected = map(&[
            ("x_mine", "kept"),
            ("host", "a.localhost:8443"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "a.localhost:8443"),
            ("x-forwarded-proto", "https"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn what_concerns_the_connection_stays_here() {
        let headers = forwarded(&[
            ("connection", "keep-alive, X-Secret-Hop"),
            ("connection", "x-forwarded-for"),
            ("x-secret-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic eA=="),
            ("authorization", "kept"),
        ]);
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["authorization", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
    }

    #[test]
    fn trailers_stay_welcome() {
        let headers = forwarded(&[("te", "gzip, Trailers")]);
        assert_eq!((&headers["te"], &headers["connection"]), (&"trailers".parse().unwrap(), &"te".parse().unwrap()));
    }

    #[test]
    fn cookies_that_came_apart_are_one_again() {
        let headers = forwarded(&[("cookie", "a=1"), ("x-other", "y"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3; d=4"]);
    }

    #[test]
    fn trailers_say_nothing_that_belongs_into_a_head() {
        let mut headers = map(&[
            ("grpc-status", "0"),
            ("x-sum", "42"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("authorization", "Basic eA=="),
            ("set-cookie", "a=1"),
            ("host", "other"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ]);
        for_trailers(&mut headers);
        assert_eq!(headers, map(&[("grpc-status", "0"), ("x-sum", "42")]));
    }

    #[test]
    fn the_list_and_the_comparison_are_the_same() {
        assert!(HOP_BY_HOP.iter().all(|name| is_hop_by_hop(name.as_str())));
        let others = [header::HOST, header::TRAILER, header::CONTENT_LENGTH, header::EXPECT, X_FORWARDED_FOR, header::DATE];
        assert!(!others.iter().any(|name| is_hop_by_hop(name.as_str())));
    }

    #[test]
    fn only_websockets_upgrade() {
        let upgrade = |protocol| map(&[("connection", "keep-alive, Upgrade"), ("upgrade", protocol)]);
        assert!(wants_websocket(&Method::GET, Version::HTTP_11, &upgrade("WebSocket")));
        assert!(!wants_websocket(&Method::GET, Version::HTTP_11, &upgrade("h2c")));
        assert!(!wants_websocket(&Method::POST, Version::HTTP_11, &upgrade("websocket")));
        assert!(!wants_websocket(&Method::GET, Version::HTTP_2, &upgrade("websocket")));
        assert!(!wants_websocket(&Method::GET, Version::HTTP_11, &map(&[("upgrade", "websocket")])));
    }
}

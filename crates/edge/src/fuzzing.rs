//! The edge's parsers in memory, for bytes that a fuzzer makes up: connections of visitors, and answers of apps.
//!
//! Each function panics where something is so that must not be. The streams, limits and parsers are those that serve.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::LocalSet;

use crate::server::client::rewritten;
use crate::server::connection::{http1_builder, http2_builder};
use crate::server::headers;
use crate::server::http1::head::{self, Read};
use crate::server::inspect::{Flood, Framing, Inspector, Signs, Verdict};
use crate::server::io::VisitorStream;
use crate::{EdgeBody, Limits, Protocol, host};

/// More than any of these exchanges writes, so that nobody waits for a reader.
const ROOM: usize = 4 * 1024 * 1024;

/// Bytes on a connection of HTTP/1.1. hyper must never see a request where the framing saw none.
pub fn http1(bytes: &[u8]) {
    let mut framing = Framing::default();
    // Piece by piece is no other than at once.
    let mut pieces = Framing::default();
    let at_once = framing.received(bytes);
    let mut passed = 0;
    let in_pieces = bytes.chunks(3).find_map(|piece| match pieces.received(piece) {
        Verdict::Pass => {
            passed += piece.len();
            None
        }
        Verdict::Cut(valid, instead) => Some(Verdict::Cut(passed + valid, instead)),
    });
    assert_eq!(at_once, in_pieces.unwrap_or(Verdict::Pass));
    // What is answered without hyper is one request to the strict reader, too.
    if let Read::Usual(head) = head::read(bytes, &mut head::room()) {
        let mut alone = Framing::default();
        assert_eq!((alone.received(&bytes[..head.length]), alone.heads), (Verdict::Pass, 1));
    }
    let seen = run(async {
        let limits = Limits::default();
        let stream = visitor(bytes, Inspector::Http1(Framing::default())).await;
        let seen = Rc::new(Cell::new(0));
        let signs = Arc::new(Signs::default());
        let counting = Rc::clone(&seen);
        let service = service_fn(move |request| answer(request, Rc::clone(&counting), Arc::clone(&signs)));
        let _broken = http1_builder(&limits).serve_connection(TokioIo::new(stream), service).await;
        seen.get()
    });
    assert!(seen <= framing.heads, "{seen} requests in {} heads", framing.heads);
}

/// Bytes on a connection of HTTP/2: as they are behind a preface, or as frames whose lengths are right.
pub fn http2(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    match kind % 3 {
        0 => sent.extend_from_slice(bytes),
        1 => sent = bytes.to_vec(),
        _ => frames(bytes, &mut sent),
    }
    run(async {
        let limits = Limits::default();
        let stream = visitor(&sent, Inspector::Http2(Flood::new(Instant::now()))).await;
        let seen = Rc::new(Cell::new(0));
        let signs = Arc::new(Signs::default());
        let service = service_fn(move |request| answer(request, Rc::clone(&seen), Arc::clone(&signs)));
        let _broken = http2_builder(&limits).serve_connection(TokioIo::new(stream), service).await;
    });
}

/// Makes frames of bytes: kind, flags, stream, length, payload.
fn frames(mut bytes: &[u8], sent: &mut Vec<u8>) {
    while let [kind, flags, stream, length, rest @ ..] = bytes {
        let payload = &rest[..rest.len().min(usize::from(*length))];
        let size = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        sent.extend_from_slice(&[0, 0, size, kind % 12, *flags, 0, 0, 0, stream % 16]);
        sent.extend_from_slice(payload);
        bytes = &rest[payload.len()..];
    }
}

/// Bytes that an app sends as its answer.
pub fn response(bytes: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        if let Some(head) = rewritten(bytes, &method) {
            let mut fields = [httparse::EMPTY_HEADER; 200];
            let mut parsed = httparse::Response::new(&mut fields);
            assert_eq!(parsed.parse(&head), Ok(httparse::Status::Complete(head.len())), "it is no head");
            let count = |name: &str| parsed.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
            let (length, coding) = (count("content-length"), count("transfer-encoding"));
            assert!(length + coding <= 1, "it says twice where it ends");
            assert_eq!(count("connection") + count("keep-alive") + count("upgrade"), 0, "it concerns one connection");
        }
    }
    run(async {
        let (near, mut far) = tokio::io::duplex(ROOM);
        let answer = bytes.to_vec();
        tokio::task::spawn_local(async move {
            // What comes before there is a request is no answer.
            drop(far.read_u8().await);
            far.write_all(&answer).await.unwrap_or_default();
            far.shutdown().await.unwrap_or_default();
            let mut void = Vec::new();
            drop(far.read_to_end(&mut void).await);
        });
        let Ok((mut sender, connection)) = http1::handshake::<_, EdgeBody>(TokioIo::new(near)).await else { return };
        tokio::task::spawn_local(async move { drop(connection.with_upgrades().await) });
        for method in [Method::GET, Method::HEAD] {
            let mut request = Request::new(EdgeBody::empty());
            *request.method_mut() = method;
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("a.localhost"));
            let Ok(mut response) = sender.try_send_request(request).await else { return };
            if headers::is_ambiguous(response.headers()) {
                return;
            }
            headers::for_visitor(response.headers_mut());
            assert!(!response.headers().contains_key(header::CONNECTION), "it concerns one connection");
            let Ok(_whole) = response.into_body().collect().await else { return };
            if sender.ready().await.is_err() {
                return;
            }
        }
    });
}

/// A text where a host is expected.
pub fn host(text: &str) {
    if let Ok(name) = crate::HostName::parse(text) {
        assert_eq!(crate::HostName::parse(name.as_str()).as_ref(), Ok(&name));
    }
}

/// A visitor's end that has sent these bytes and says no more.
async fn visitor(bytes: &[u8], inspector: Inspector) -> VisitorStream<DuplexStream> {
    let (near, mut far) = tokio::io::duplex(ROOM);
    far.write_all(bytes).await.unwrap_or_default();
    far.shutdown().await.unwrap_or_default();
    // Dropping the end would break what is written to it.
    tokio::task::spawn_local(async move {
        let mut void = Vec::new();
        drop(far.read_to_end(&mut void).await);
    });
    VisitorStream::new(near, Duration::from_secs(5), Arc::default(), inspector)
}

/// What is done with every request on its way to an app.
async fn answer(
    request: Request<Incoming>,
    seen: Rc<Cell<usize>>,
    signs: Arc<Signs>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    seen.set(seen.get() + 1);
    let is_h2 = request.version() == Version::HTTP_2;
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let written = authority.or_else(|| Some(request.headers().get(header::HOST)?.to_str().ok()?.to_owned()));
    let name = written.as_deref().filter(|text| host::split(text).is_some());
    let Some(name) = name.and_then(|name| HeaderValue::from_str(name).ok()) else {
        drop(EdgeBody::from_visitor(request.into_body(), Duration::from_secs(1), signs));
        return Ok(Response::new(Full::default()));
    };
    let websocket = headers::wants_websocket(request.method(), request.version(), request.headers());
    let count = headers::count_for_app(request.headers(), is_h2);
    let mut request = request.map(|body| EdgeBody::from_visitor(body, Duration::from_secs(1), signs));
    headers::for_app(request.headers_mut(), &name, &HeaderValue::from_static("192.0.2.7"), "https", websocket);
    assert!(websocket || request.headers().len() <= count + 1, "more fields than were counted");
    *request.version_mut() = Version::HTTP_11;
    headers::dress(&mut request, &name, Protocol::H2c);
    assert!(!request.headers().contains_key(header::CONNECTION) && !request.headers().contains_key(header::HOST));
    headers::dress(&mut request, &name, Protocol::Http1);
    assert_eq!(request.headers().get_all(header::HOST).into_iter().count(), 1);
    for name in [header::TRANSFER_ENCODING, header::EXPECT] {
        assert!(!request.headers().contains_key(&name), "{name} reached the app");
    }
    if let Ok(body) = request.into_body().collect().await {
        let trailers = body.trailers().cloned().unwrap_or_default();
        assert!(!trailers.contains_key(header::CONTENT_LENGTH) && !trailers.contains_key("x-forwarded-for"));
    }
    Ok(Response::new(Full::from("ok")))
}

/// Runs to the end, or for a while: what waits for something else than bytes is no finding.
fn run<F: Future>(future: F) -> F::Output
where
    F::Output: Default,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return F::Output::default() };
    let local = LocalSet::new();
    local.block_on(&runtime, async { tokio::time::timeout(Duration::from_secs(1), future).await.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_harness_serves() {
        http1(b"POST / HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        http2(b"\x02\x01\x05\x01\x03\x82\x87\x84");
        response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n");
        host("a.localhost:80");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is sent, hyper sees no request where the framing saw none.
        #[test]
        fn two_readers_agree(bytes in "(GET / HTTP/1\\.1\\r\\n|POST / HTTP/1\\.1\\r\\n|Host: a\\r\\n|Content-Length: [0-9]{1,2}\\r\\n|Transfer-Encoding: chunked\\r\\n|Connection: close\\r\\n|\\r\\n|[0-9a-f]\\r\\n|0\\r\\n\\r\\n|;x|\\r|\\n| |:|[a-z]{1,8}){0,40}") {
            http1(bytes.as_bytes());
        }
    }
}

//! Heads: requests' as they are written to an app, responses' as they are read from one.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::body::{ClientBody, Framing};
use super::{Client, ClientError};
use crate::server::encode;
use crate::server::headers::{self, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};

/// Fields that a response may have.
const MAX_FIELDS: usize = 128;

/// Whether a request that has no body says nothing else about itself.
pub(in crate::server) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_LENGTH).into_iter().all(|value| value == "0")
}

/// What the edge adds to a request.
pub(in crate::server) struct Added<'a> {
    /// The host as the visitor wrote it.
    pub(in crate::server) host: &'a HeaderValue,
    /// The visitor's address.
    pub(in crate::server) peer: &'a HeaderValue,
    /// How the visitor came.
    pub(in crate::server) scheme: &'static str,
}

/// A request's head as the app is to see it; the same as [`headers::for_app`] makes of it.
pub(in crate::server) fn request_head(method: &Method, path: &str, headers: &HeaderMap, added: &Added<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    begin(method, path, added, &mut out);
    let listed: Vec<&str> = headers::listed(headers).collect();
    let mut cookies = false;
    for (name, value) in headers {
        if !headers::is_for_app(name.as_str()) || listed.iter().any(|listed| name.as_str().eq_ignore_ascii_case(listed)) {
            continue;
        }
        if *name == header::COOKIE {
            // One field of all: only HTTP/2 allows several (RFC 9113, 8.2.3).
            if !std::mem::replace(&mut cookies, true) {
                let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
                encode::field(name, &crumbs.join(&b"; "[..]), &mut out);
            }
            continue;
        }
        encode::field(name, value.as_bytes(), &mut out);
    }
    end(added, headers::takes_trailers(headers), &mut out);
    out
}

/// The first line of a request, and its host.
pub(in crate::server) fn begin(method: &Method, path: &str, added: &Added<'_>, out: &mut Vec<u8>) {
    for part in [method.as_str().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\nhost"] {
        out.extend_from_slice(part);
    }
    encode::value(added.host.as_bytes(), out);
}

/// What the edge adds behind the visitor's fields.
pub(in crate::server) fn end(added: &Added<'_>, takes_trailers: bool, out: &mut Vec<u8>) {
    let ours = [
        (X_FORWARDED_FOR, added.peer.as_bytes()),
        (X_FORWARDED_HOST, added.host.as_bytes()),
        (X_FORWARDED_PROTO, added.scheme.as_bytes()),
    ];
    for (name, value) in ours {
        encode::field(&name, value, out);
    }
    out.extend_from_slice(if takes_trailers { b"connection: te\r\nte: trailers\r\n\r\n" } else { b"\r\n" });
}

/// A response's head, read.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    is_http_10: bool,
    /// Where the reason phrase lies, if it is not the usual one.
    reason: Option<(usize, usize)>,
    /// Where names and values lie.
    fields: Fields,
}

type Place = (u32, u32);
/// Most responses have few.
#[derive(Debug)]
struct Fields(Vec<(Place, Place)>);

/// Reads a head, if all of it is there, and says how long it is.
pub(super) fn response(buffer: &BytesMut) -> Result<Option<(Head, usize)>, ClientError> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, buffer, &mut fields);
    let httparse::Status::Complete(length) = status.map_err(|_error| ClientError::Gibberish)? else { return Ok(None) };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(ClientError::Gibberish)?;
    let base = buffer.as_ptr() as usize;
    let place = |bytes: &[u8]| {
        let at = u32::try_from((bytes.as_ptr() as usize).saturating_sub(base)).unwrap_or(u32::MAX);
        (at, at.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX)))
    };
    let reason = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason() && !reason.is_empty());
    let reason = reason.map(|reason| place(reason.as_bytes())).map(|(from, to)| (from as usize, to as usize));
    let fields = parsed.headers.iter().map(|field| (place(field.name.as_bytes()), place(field.value))).collect();
    Ok(Some((Head { status, is_http_10: parsed.version == Some(0), reason, fields: Fields(fields) }, length)))
}

/// What a visitor is sent of a response's head in these bytes, if they are one.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn rewritten(bytes: &[u8], method: &Method) -> Option<Vec<u8>> {
    let buffer = BytesMut::from(bytes);
    let (head, length) = response(&buffer).ok()??;
    let mut out = Vec::new();
    head.write(&buffer[..length], method, false, &mut out).ok()??;
    Some(out)
}

impl Head {
    /// Writes it for a visitor of HTTP/1.1; says where its body ends, and whether the app's connection serves another request
    /// then. `None`, and nothing written, where it lists fields of its connection. The same as [`Self::into_response`] makes of it,
    /// and hyper of that.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        method: &Method,
        is_last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Framing, bool)>, ClientError> {
        let slice = |(from, to): Place| &bytes[from as usize..to as usize];
        let begin = out.len();
        let reason = self.reason.map(|(from, to)| &bytes[from..to]);
        encode::status(self.status, reason, out);
        let mut meant = Meant { keep_alive: !self.is_http_10, ..Meant::default() };
        let (mut listed, mut dated) = (false, false);
        for (name, value) in &self.fields.0 {
            let value = slice(*value);
            let field = out.len();
            encode::name(slice(*name), out);
            let keep = match &out[field..] {
                b"connection" => {
                    meant.connection(value, |_other| listed = true);
                    false
                }
                b"transfer-encoding" => {
                    meant.coding(value)?;
                    false
                }
                b"content-length" => meant.length(value)? && self.status != StatusCode::NO_CONTENT,
                name => {
                    dated |= name == b"date";
                    !str::from_utf8(name).is_ok_and(headers::is_hop_by_hop)
                }
            };
            if keep { encode::value(value, out) } else { out.truncate(field) }
        }
        if listed {
            out.truncate(begin);
            return Ok(None);
        }
        let (framing, keep_alive) = meant.framing(self.is_http_10, encode::is_bodiless(self.status, method))?;
        encode::end(framing.is_chunked(), is_last, dated, out);
        Ok(Some((framing, keep_alive)))
    }

    /// The response, without what concerns the connection; `bytes` are those of the head.
    pub(super) fn into_response(
        self,
        bytes: &Bytes,
        method: &Method,
        client: Client,
    ) -> Result<Response<ClientBody>, ClientError> {
        let Self { status, is_http_10, reason, fields: Fields(fields) } = self;
        let mut headers = HeaderMap::with_capacity(fields.len());
        let mut meant = Meant { keep_alive: !is_http_10, ..Meant::default() };
        let mut listed: Vec<HeaderName> = Vec::new();
        for (name, value) in fields {
            let slice = |(from, to): Place| bytes.slice(from as usize..to as usize);
            let name = HeaderName::from_bytes(&slice(name)).map_err(|_invalid| ClientError::Gibberish)?;
            let value = HeaderValue::from_maybe_shared(slice(value)).map_err(|_invalid| ClientError::Gibberish)?;
            if name == header::CONNECTION {
                meant.connection(value.as_bytes(), |other| listed.extend(HeaderName::from_bytes(other)));
            } else if name == header::TRANSFER_ENCODING {
                meant.coding(value.as_bytes())?;
            } else if name == header::CONTENT_LENGTH {
                if meant.length(value.as_bytes())? {
                    headers.append(name, value);
                }
            } else if !headers::is_hop_by_hop(name.as_str()) {
                headers.append(name, value);
            }
        }
        for name in listed {
            headers.remove(name);
        }
        let (framing, keep_alive) = meant.framing(is_http_10, encode::is_bodiless(status, method))?;
        let mut response = Response::new(ClientBody::new(client, framing, keep_alive));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if let Some((from, to)) = reason
            && let Ok(reason) = ReasonPhrase::try_from(bytes.slice(from..to))
        {
            response.extensions_mut().insert(reason);
        }
        Ok(response)
    }
}

/// What a head says about its body and its connection.
#[derive(Default)]
struct Meant {
    keep_alive: bool,
    chunked: bool,
    length: Option<u64>,
}

impl Meant {
    /// `other` is told of what is listed beside `close` and `keep-alive`.
    fn connection(&mut self, value: &[u8], mut other: impl FnMut(&[u8])) {
        for token in headers::tokens_in(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.keep_alive = false;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                other(token);
            }
        }
    }

    /// Whatever is more than `chunked`, once, has an end that we would have to guess (RFC 9112, 6.3).
    fn coding(&mut self, value: &[u8]) -> Result<(), ClientError> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(ClientError::Gibberish);
        }
        self.chunked = true;
        Ok(())
    }

    /// Whether it had not been said before.
    fn length(&mut self, value: &[u8]) -> Result<bool, ClientError> {
        let length = headers::decimal(value).ok_or(ClientError::Gibberish)?;
        match self.length.replace(length) {
            Some(before) if before != length => Err(ClientError::Gibberish),
            before => Ok(before.is_none()),
        }
    }

    /// Where the body ends, and whether the connection serves another request then.
    fn framing(&self, is_http_10: bool, is_bodiless: bool) -> Result<(Framing, bool), ClientError> {
        let framing = match (self.chunked, self.length) {
            // Two ends, or a coding that its version does not have.
            (true, Some(_)) => return Err(ClientError::Gibberish),
            (true, None) if is_http_10 => return Err(ClientError::Gibberish),
            _ if is_bodiless => Framing::Length(0),
            (true, None) => Framing::chunked(),
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Close,
        };
        let keep_alive = self.keep_alive && !matches!(framing, Framing::Close);
        Ok((framing, keep_alive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a visitor is sent of a head, whether the body is in chunks, and whether the app's connection stays.
    fn written(head: &str, method: &Method) -> Result<Option<(String, bool, bool)>, ClientError> {
        let buffer = BytesMut::from(head);
        let (head, length) = response(&buffer)?.expect("the head is there");
        let mut out = Vec::new();
        let written = head.write(&buffer[..length], method, false, &mut out)?;
        let text = String::from_utf8(out).unwrap();
        Ok(written.map(|(framing, keep_alive)| (text, !matches!(framing, Framing::Length(_)), keep_alive)))
    }

    #[test]
    fn a_visitor_gets_what_does_not_concern_our_connection() {
        let head = "HTTP/1.1 200 OK\r\nServer: a\r\nDate: then\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\nSet-Cookie: b\r\nSET-COOKIE:  c \r\nContent-Length: 3\r\n\r\n";
        let whole = "HTTP/1.1 200 OK\r\nserver: a\r\ndate: then\r\nset-cookie: b\r\nset-cookie: c\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(written(head, &Method::GET).unwrap(), Some((whole.to_owned(), false, true)));
        let odd = "HTTP/1.1 299 As It Were\r\nDate: d\r\nContent-Length: 0\r\n\r\n";
        assert!(written(odd, &Method::GET).unwrap().unwrap().0.starts_with("HTTP/1.1 299 As It Were\r\n"));
        let undated = written("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", &Method::GET).unwrap().unwrap().0;
        let date = undated.strip_prefix("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\ndate: ").unwrap();
        assert!(httpdate::parse_http_date(date.trim_end()).unwrap().elapsed().unwrap().as_secs() < 5, "{date}");
    }

    #[test]
    fn where_a_body_ends_is_said_once() {
        let get = |head: &str| written(&format!("{head}\r\nDate: d\r\n\r\n"), &Method::GET);
        let chunked = "HTTP/1.1 200 OK\r\ndate: d\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        let same = get("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked").unwrap().unwrap();
        assert_eq!(same, (chunked.clone(), true, true));
        assert_eq!(get("HTTP/1.1 200 OK\r\nConnection: close").unwrap().unwrap(), (chunked.clone(), true, false));
        assert_eq!(get("HTTP/1.0 200 OK").unwrap().unwrap(), (chunked, true, false));
        let twice = get("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3").unwrap().unwrap();
        assert_eq!(twice.0, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ndate: d\r\n\r\n");
        let none = get("HTTP/1.1 204 No Content\r\nContent-Length: 0").unwrap().unwrap();
        assert_eq!(none, ("HTTP/1.1 204 No Content\r\ndate: d\r\n\r\n".to_owned(), false, true));
        for wrong in [
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Content-Length: +3",
        ] {
            assert!(matches!(get(&format!("HTTP/1.1 200 OK\r\n{wrong}")), Err(ClientError::Gibberish)), "{wrong}");
        }
    }

    #[test]
    fn what_lists_its_own_fields_is_left_to_the_careful() {
        let head = "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: X-Hop\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(written(head, &Method::GET).unwrap(), None);
    }

    #[test]
    fn a_head_that_was_asked_for_alone_keeps_its_length() {
        let (text, is_chunked, keep_alive) =
            written("HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 3\r\n\r\n", &Method::HEAD).unwrap().unwrap();
        assert_eq!((text.contains("content-length: 3"), is_chunked, keep_alive), (true, false, true));
        let (text, is_chunked, _) =
            written("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &Method::HEAD).unwrap().unwrap();
        assert!(!text.contains("transfer-encoding") && !is_chunked);
    }
}

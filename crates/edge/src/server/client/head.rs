//! Heads: requests' as they are written to an app, responses' as they are read from one.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::body::{ClientBody, Framing};
use super::{Client, ClientError};
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
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[method.as_str().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\nhost: ", added.host.as_bytes(), b"\r\n"]);
    let listed: Vec<&str> = headers::listed(headers).collect();
    let mut cookies = false;
    for (name, value) in headers {
        if !headers::is_for_app(name) || listed.iter().any(|listed| name.as_str().eq_ignore_ascii_case(listed)) {
            continue;
        }
        if *name == header::COOKIE {
            // One field of all: only HTTP/2 allows several (RFC 9113, 8.2.3).
            if !std::mem::replace(&mut cookies, true) {
                let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
                put(&[b"cookie: ", &crumbs.join(&b"; "[..]), b"\r\n"]);
            }
            continue;
        }
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    for (name, value) in [(X_FORWARDED_FOR, added.peer), (X_FORWARDED_HOST, added.host)] {
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    put(&[X_FORWARDED_PROTO.as_str().as_bytes(), b": ", added.scheme.as_bytes(), b"\r\n"]);
    if headers::takes_trailers(headers) {
        put(&[b"connection: te\r\nte: trailers\r\n"]);
    }
    put(&[b"\r\n"]);
    out
}

/// A response's head, read.
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

impl Head {
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
                meant.connection(&value, &mut listed);
            } else if name == header::TRANSFER_ENCODING {
                meant.coding(&value)?;
            } else if name == header::CONTENT_LENGTH {
                meant.length(&value)?;
                headers.append(name, value);
            } else if !headers::is_hop_by_hop(&name) {
                headers.append(name, value);
            }
        }
        for name in listed {
            headers.remove(name);
        }
        let bodiless = *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let framing = meant.framing(is_http_10)?;
        let framing = if bodiless { Framing::Length(0) } else { framing };
        let keep_alive = meant.keep_alive && !matches!(framing, Framing::Close);
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
    fn connection(&mut self, value: &HeaderValue, listed: &mut Vec<HeaderName>) {
        for token in headers::tokens_of(value) {
            if token.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
            } else if token.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            } else {
                listed.extend(HeaderName::from_bytes(token.as_bytes()));
            }
        }
    }

    /// Whatever is more than `chunked`, once, has an end that we would have to guess (RFC 9112, 6.3).
    fn coding(&mut self, value: &HeaderValue) -> Result<(), ClientError> {
        if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(ClientError::Gibberish);
        }
        self.chunked = true;
        Ok(())
    }

    fn length(&mut self, value: &HeaderValue) -> Result<(), ClientError> {
        let digits = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let length = digits.and_then(|digits| digits.parse().ok()).ok_or(ClientError::Gibberish)?;
        if self.length.replace(length).is_some_and(|before| before != length) {
            return Err(ClientError::Gibberish);
        }
        Ok(())
    }

    fn framing(&self, is_http_10: bool) -> Result<Framing, ClientError> {
        match (self.chunked, self.length) {
            // Two ends, or a coding that its version does not have.
            (true, Some(_)) => Err(ClientError::Gibberish),
            (true, None) if is_http_10 => Err(ClientError::Gibberish),
            (true, None) => Ok(Framing::chunked()),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::Close),
        }
    }
}

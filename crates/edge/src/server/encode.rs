//! Responses to visitors of HTTP/1.1 as bytes.

use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderName, Method, Response, StatusCode, header};
use http_body::Body;

/// What ends a body in chunks (RFC 9112, 7.1). Trailers are for those who say that they take them, and hyper's.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
type Date = [u8; 29];

thread_local! {
    /// The second that was written last, after the epoch.
    static NOW: Cell<(u64, Date)> = const { Cell::new((0, [0; 29])) };
}

/// A status line, with the usual reason where none is given.
pub(super) fn status(status: StatusCode, reason: Option<&[u8]>, out: &mut Vec<u8>) {
    let reason = reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().as_bytes());
    for part in [b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// A field's name, in lower case.
pub(super) fn name(name: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
}

/// A field's value, behind its name.
pub(super) fn value(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A field.
pub(super) fn field(name: &HeaderName, text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    value(text, out);
}

/// Whether a response has no body, whatever its head says (RFC 9112, 6.3).
pub(super) fn is_bodiless(status: StatusCode, method: &Method) -> bool {
    *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// What ends a head. A response without a date gets one (RFC 9110, 6.6.1).
pub(super) fn end(is_chunked: bool, is_last: bool, is_dated: bool, out: &mut Vec<u8>) {
    if is_chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if is_last {
        out.extend_from_slice(b"connection: close\r\n");
    }
    if !is_dated {
        out.extend_from_slice(b"date");
        value(&now(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A whole head, of a response that says nothing about its connection. Whether its body is to come in chunks.
pub(super) fn head<B: Body>(response: &Response<B>, method: &Method, is_last: bool, out: &mut Vec<u8>) -> bool {
    status(response.status(), response.extensions().get::<hyper::ext::ReasonPhrase>().map(AsRef::as_ref), out);
    let is_empty = response.status() == StatusCode::NO_CONTENT;
    let headers = response.headers();
    for (name, text) in headers {
        if !(is_empty && *name == header::CONTENT_LENGTH) {
            field(name, text.as_bytes(), out);
        }
    }
    let length = response.body().size_hint().exact();
    let is_bodiless = is_bodiless(response.status(), method);
    if let Some(length) = length
        && !is_bodiless
        && !headers.contains_key(header::CONTENT_LENGTH)
    {
        field(&header::CONTENT_LENGTH, length.to_string().as_bytes(), out);
    }
    let is_chunked = length.is_none() && !is_bodiless;
    end(is_chunked, is_last, headers.contains_key(header::DATE), out);
    is_chunked
}

/// A piece of a body in chunks.
pub(super) fn chunk(data: &[u8], out: &mut Vec<u8>) {
    // A chunk of no size would be the last one.
    if !data.is_empty() {
        // Into memory, which does not fail.
        let _written = write!(out, "{:x}\r\n", data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// The present second as a date; written once a second.
fn now() -> Date {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (known, date) = NOW.get();
    if known == seconds {
        return date;
    }
    let mut date = [b' '; 29];
    // It is always that long.
    let _written = write!(&mut date[..], "{}", httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)));
    NOW.set((seconds, date));
    date
}

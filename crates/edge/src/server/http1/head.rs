//! Heads of requests that are usual in every way. What is not is not looked at twice here: hyper, and who reads along with it, say
//! whether it is a request at all.

use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Version, header};
use httparse::{Header, ParserConfig, Request, Status};

use crate::AccessRecord;
use crate::server::client::{self, Added};
use crate::server::connection::Connection;
use crate::server::{encode, headers};

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
    let fields: &[Header<'b>] = parsed.headers;
    // The parser takes a bare line feed for the end of a line, and a carriage return nowhere else (RFC 9112, 2.2). With the first
    // line and the empty one there are so many lines.
    if parsed.version != Some(1) || bytes.iter().filter(|byte| **byte == b'\r').count() != fields.len() + 2 {
        return None;
    }
    let method = match parsed.method? {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "OPTIONS" => Method::OPTIONS,
        "DELETE" => Method::DELETE,
        _ => return None,
    };
    let target = parsed.path.filter(|target| target.starts_with('/') && target.bytes().all(is_plain))?;
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
                for token in headers::tokens_in(value) {
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
            if str::from_utf8(&out[field..]).is_ok_and(headers::is_for_app) {
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
            at: SystemTime::UNIX_EPOCH,
            app: None,
            host: Some(host.clone()),
            method: self.method.clone(),
            path: PathAndQuery::try_from(self.target).ok(),
            version: Version::HTTP_11,
            peer: connection.peer,
            agent: self.field(&header::USER_AGENT).and_then(|value| HeaderValue::from_bytes(value).ok()),
            status: None,
            upstream: None,
            received: 0,
            sent: 0,
            took: Duration::ZERO,
            waited: Duration::ZERO,
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

//! HTTP/1.1 from visitors as it usually is: requests without a body, one after the other, for apps that speak HTTP/1.1. Their heads
//! are read, passed on and answered as bytes, within the connection's own task. hyper does all others: from the first request that is
//! unusual in any way it has the connection, and that request.

mod answer;
pub(crate) mod head;
mod visitor;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Method};
use tokio::io::{AsyncRead, AsyncWrite};

use self::answer::Answer;
use self::head::{Head, Read};
use self::visitor::{Came, Visitor};
use super::access::Record;
use super::client::{Added, Received};
use super::connection::Connection;
use super::forward::Forward;
use super::prefixed::Prefixed;
use super::request;
use crate::app::{AppHandle, Lease};
use crate::pages::Page;
use crate::{Protocol, Target};

/// Memory for heads that a connection keeps.
const KEPT: usize = 4 * 1024;

/// A request that is answered here.
struct Asked {
    method: Method,
    app: Arc<AppHandle>,
    /// The host as the visitor wrote it.
    host: HeaderValue,
    record: Record,
    /// Bytes of its head.
    length: usize,
    /// Whether the visitor asks no more.
    is_last: bool,
}

/// What comes next on a connection.
enum Next {
    Request(Asked),
    /// Something for hyper.
    Unusual,
    /// More bytes are to come first.
    More,
}

/// Serves a connection. What it has come to, where somebody else is to go on.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(connection: &Rc<Connection>, stream: S) -> Option<Prefixed<S>> {
    let mut visitor = Visitor::new(stream, connection);
    // A request's head as its app gets it, and then what the visitor gets.
    let mut out = Vec::with_capacity(1024);
    loop {
        let asked = match next(connection, &visitor, &mut out) {
            Next::Request(asked) => asked,
            Next::Unusual => return Some(visitor.into_stream()),
            Next::More => match visitor.more().await {
                Came::More => continue,
                Came::Nothing => {
                    visitor.close().await;
                    return None;
                }
            },
        };
        let Asked { method, app, host, record, length, is_last } = asked;
        let mut forward = Forward { connection, app: &app, host: &host, record };
        let outcome = visitor.unless_gone(ask(&mut forward, &method, &out)).await?;
        let record = forward.record;
        let Some(outcome) = outcome else {
            record.forget();
            return Some(visitor.into_stream());
        };
        let is_last = is_last || connection.worker.drain.is_leaving();
        out.clear();
        let answer = Answer { connection, visitor: &mut visitor, method: &method, is_last, out: &mut out };
        let went = match outcome {
            Ok((received, lease)) => answer.response(received, lease, record, app.name()).await,
            Err(page) => Box::pin(answer.page(&page, record)).await,
        };
        if went.is_err() {
            return None;
        }
        if is_last {
            visitor.close().await;
            return None;
        }
        visitor.answered(length);
        out.clear();
        out.shrink_to(KEPT);
    }
}

/// The next request, as far as it has come; `out` gets its head as the app is to see it.
fn next<S>(connection: &Rc<Connection>, visitor: &Visitor<S>, out: &mut Vec<u8>) -> Next {
    let mut fields = head::room();
    let head = match head::read(visitor.buffered(), &mut fields) {
        Read::Usual(head) => head,
        Read::Partial => return Next::More,
        Read::Unusual => return Next::Unusual,
    };
    if head.fields_for_app() > connection.worker.shared.limits.header_fields
        || head.length > connection.worker.shared.limits.header_bytes as usize
    {
        return Next::Unusual;
    }
    let Some((app, host)) = routed(connection, &head) else { return Next::Unusual };
    let mut record = Record::new(connection, false, Instant::now(), || head.noted(connection, &host));
    let app = request::begin(connection, &app, &mut record);
    out.clear();
    head.write(&Added { host: &host, peer: &connection.forwarded_for, scheme: connection.scheme }, out);
    Next::Request(Asked { app, host, record, length: head.length, is_last: head.is_last, method: head.method })
}

/// The app that a request is for. The platform's own requests, those of apps that speak otherwise, and those that are refused, are
/// for hyper.
fn routed(connection: &Connection, head: &Head<'_, '_>) -> Option<(Arc<AppHandle>, HeaderValue)> {
    let known = match &*connection.host.borrow() {
        Some((text, _)) if text.as_bytes() == head.host => Some(text.clone()),
        _ => None,
    };
    let host = known.or_else(|| HeaderValue::from_bytes(head.host).ok())?;
    match request::target(connection, &host) {
        Ok(Target::App(app)) if app.speaks_http1() => Some((app, host)),
        Ok(Target::App(_) | Target::Platform) | Err(_) => None,
    }
}

/// Takes a request to an instance, waiting for one if need be. `None` where the instance speaks another protocol.
async fn ask(forward: &mut Forward<'_>, method: &Method, head: &[u8]) -> Option<Result<(Received, Lease), Page>> {
    match forward.place().await {
        Ok(lease) if lease.upstream().protocol() != Protocol::Http1 => None,
        Ok(lease) => Some(forward.ask_head(method, head, lease).await),
        Err(page) => Some(Err(page)),
    }
}

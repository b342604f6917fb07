//! One request's way to an app: a place on an instance, a connection, the request, the response.

use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

mod bodiless;

pub(super) use bodiless::is_bodiless;

use super::access::Record;
use super::connection::Connection;
use super::headers;
use super::pool::ConnectError;
use super::response::{self, VisitorBody};
use super::sender::Sender;
use super::tunnel::Tunnel;
use crate::app::{AppHandle, Lease};
use crate::pages::Page;
use crate::{BodyError, EdgeBody};

/// Instances that may refuse a request before its visitor is told.
const REFUSALS: usize = 3;

/// A request on its way to its app.
pub(super) struct Forward<'a> {
    pub(super) connection: &'a Rc<Connection>,
    pub(super) app: &'a Arc<AppHandle>,
    /// The host as the visitor wrote it.
    pub(super) host: &'a HeaderValue,
    pub(super) record: Record,
}

/// Why there is no response from the app: the page to show instead, and the record to write when it has been shown.
pub(super) type Unanswered = Box<(Page, Record)>;

impl Forward<'_> {
    /// Takes the request to an instance, and brings the response.
    pub(super) async fn run(mut self, mut request: Request<Incoming>, lease: Lease) -> Result<Response<VisitorBody>, Unanswered> {
        let websocket = headers::wants_websocket(request.method(), request.version(), request.headers());
        let visitor = websocket.then(|| hyper::upgrade::on(&mut request));
        let request = self.outgoing(request, websocket);
        match self.exchange(request, websocket, lease).await {
            Ok((response, sender, lease)) => self.finish(response, sender, lease, visitor),
            Err(page) => Err(Box::new((page, self.record))),
        }
    }

    /// The request as the app is to see it.
    fn outgoing(&self, request: Request<Incoming>, websocket: bool) -> Request<EdgeBody> {
        let (mut parts, body) = request.into_parts();
        let Connection { scheme, forwarded_for, .. } = &**self.connection;
        headers::for_app(&mut parts.headers, self.host, forwarded_for, scheme, websocket);
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        parts.uri = Uri::from(path);
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        Request::from_parts(parts, self.connection.body(body).metered(self.record.meter()))
    }

    async fn exchange(&mut self, mut request: Request<EdgeBody>, websocket: bool, lease: Lease) -> Result<Answer, Page> {
        let mut place = Some(lease);
        let mut fresh = websocket;
        let mut repeated = false;
        let mut refusals = 0;
        loop {
            let lease = match place.take() {
                Some(lease) => lease,
                None => self.place().await?,
            };
            let (sender, reused) = match self.reach(&lease, fresh).await {
                Ok(reached) => reached,
                Err(error) => {
                    self.unreached(&lease, error, &mut refusals)?;
                    continue;
                }
            };
            self.record.went_to(lease.upstream());
            match self.send(request, sender, lease, reused).await? {
                Sent::Answered(answer) => return Ok(answer),
                Sent::Not(_) if repeated => return Err(Page::died(self.app.name())),
                Sent::Not(same) => request = same,
            }
            // Once more, on a connection that nobody has had the time to close.
            (fresh, repeated) = (true, true);
        }
    }

    /// A place on an instance.
    pub(super) async fn place(&mut self) -> Result<Lease, Page> {
        if let Some(lease) = self.app.try_acquire() {
            return Ok(lease);
        }
        let began = Instant::now();
        // In a box, as all that is rare: what a request's future could need is moved with it.
        let acquired = Box::pin(self.app.acquire(&*self.connection.worker.shared.activate)).await;
        self.record.waited(began.elapsed());
        acquired.map_err(|denied| Page::denied(self.app.name(), denied))
    }

    /// A way to send the request to the instance, and whether it was used before.
    async fn reach(&self, lease: &Lease, fresh: bool) -> Result<(Sender, bool), ConnectError> {
        self.connection.worker.pool.reach(lease.upstream(), self.record.began(), fresh).await
    }

    /// An instance was not reached: another one may be tried, unless this one is merely busy, or enough have refused.
    fn unreached(&self, lease: &Lease, error: ConnectError, refusals: &mut usize) -> Result<(), Page> {
        match error {
            ConnectError::TimedOut => Err(Page::busy(self.app.name())),
            ConnectError::Gibberish => Err(Page::gibberish(self.app.name())),
            ConnectError::Refused(error) => {
                self.refused(lease, &error);
                *refusals += 1;
                if *refusals == REFUSALS { Err(Page::refused(self.app.name())) } else { Ok(()) }
            }
        }
    }

    /// The instance is gone: out with it, and control is told.
    fn refused(&self, lease: &Lease, error: &std::io::Error) {
        tracing::warn!(app = self.app.name(), upstream = lease.upstream().id(), %error, "an instance refused a connection");
        if let Some(drained) = self.app.take_out(lease.upstream()) {
            self.connection.worker.shared.activate.refused(self.app, drained);
        }
    }

    async fn send(&self, mut request: Request<EdgeBody>, mut sender: Sender, lease: Lease, reused: bool) -> Result<Sent, Page> {
        headers::dress(&mut request, self.host, lease.upstream().protocol());
        if sender.is_multiplexed() {
            // A visitor of gRPC may wait with its next message for the app's. Until the response begins the request's time
            // limit holds.
            request.body_mut().be_patient(self.connection.worker.shared.limits.upgrade_idle);
        }
        // An idle connection may turn out closed just as the request leaves. What can be repeated safely is kept until then.
        let copy = (reused && request.body().is_end_stream()).then(|| copy_of(&request));
        let patience = self.app.settings_now().request_timeout;
        let Ok(sent) = tokio::time::timeout(patience, sender.send(request)).await else {
            return Err(Page::timed_out(self.app.name(), patience));
        };
        let mut failed = match sent {
            Ok(response) => {
                lease.upstream().started();
                return Ok(Sent::Answered((response, sender, lease)));
            }
            Err(failed) => failed,
        };
        let unsent = failed.take_message();
        let error = failed.into_error();
        let again = copy.filter(|copy| is_unprocessed(&error) || (is_repeatable(copy.method()) && is_closed(&error)));
        unsent.or(again).map(Sent::Not).ok_or_else(|| self.broken(&error))
    }

    /// Why the exchange broke: by the visitor's body, or by the app.
    fn broken(&self, error: &hyper::Error) -> Page {
        match error.source().and_then(|source| source.downcast_ref::<BodyError>()) {
            Some(BodyError::Stalled(_)) => Page::stalled(),
            Some(_) => Page::bad_request("The request's body broke off."),
            // On HTTP/2 it is we who reset the stream of a request whose body broke off.
            None if reset(error).is_some_and(|reset| !reset.is_remote()) => Page::bad_request("The request's body broke off."),
            None => {
                tracing::debug!(app = self.app.name(), %error, "an instance did not answer");
                if error.is_parse() { Page::gibberish(self.app.name()) } else { Page::died(self.app.name()) }
            }
        }
    }

    /// The visitor's response.
    fn finish(
        mut self,
        mut response: Response<Incoming>,
        sender: Sender,
        lease: Lease,
        visitor: Option<OnUpgrade>,
    ) -> Result<Response<VisitorBody>, Unanswered> {
        if headers::is_ambiguous(response.headers()) {
            return Err(Box::new((Page::gibberish(self.app.name()), self.record)));
        }
        let worker = Rc::clone(&self.connection.worker);
        headers::for_visitor(response.headers_mut());
        // The app's version is between it and us: a server of HTTP/1.0 must not make the visitor's connection one.
        *response.version_mut() = Version::HTTP_11;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let exchange = response::Exchange { worker, sender: Some(sender), lease };
            return Ok(response::app(self.connection, response, exchange, self.record));
        }
        let Some(visitor) = visitor else {
            // Nobody asked for it; what follows on that connection is not HTTP.
            return Err(Box::new((Page::gibberish(self.app.name()), self.record)));
        };
        let upstream = hyper::upgrade::on(&mut response);
        let (mut head, _) = response.into_parts();
        headers::insert_upgrade(&mut head.headers);
        head.extensions.clear();
        self.record.answered(head.status);
        self.connection.signs.set_switched();
        Tunnel { worker, lease, record: self.record, visitor, upstream, sender }.open();
        Ok(response::bodiless(self.connection, Response::from_parts(head, ())))
    }
}

type Answer = (Response<Incoming>, Sender, Lease);

/// What became of a request.
enum Sent {
    Answered(Answer),
    /// The connection was closed before it, or no harm is done by sending it again.
    Not(Request<EdgeBody>),
}

/// Whether a request without a body may be sent twice: it changes nothing more the second time.
fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

fn copy_of(request: &Request<EdgeBody>) -> Request<EdgeBody> {
    let mut copy = Request::new(EdgeBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.version_mut() = request.version();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Whether a connection ended before anything came back on it.
fn is_closed(error: &hyper::Error) -> bool {
    let reset = |source: &(dyn Error + 'static)| {
        let kind = source.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(kind, Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe))
    };
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || error.source().is_some_and(reset)
}

/// The reset of a stream of HTTP/2, where that is what ended the exchange.
fn reset(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref::<h2::Error>().filter(|error| error.is_reset())
}

/// Whether an instance says by HTTP/2's means that it has not begun with a request: the stream was refused (RFC 9113, 8.7), or
/// lies behind the last one that a connection which ends has taken (6.8).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_some_and(|error| error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM)))
}

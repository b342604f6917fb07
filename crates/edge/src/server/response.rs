//! Response bodies on their way out: an app's stream, the platform's, or a page.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::spawn_local;

use super::access::Record;
use super::client::ClientBody;
use super::connection::Connection;
use super::sender::Sender;
use super::worker::Worker;
use crate::app::Lease;
use crate::body::Patience;
use crate::{BodyError, PlatformBody};

/// How long a connection may take to become free after its response has ended, before it is closed.
const SETTLING: Duration = Duration::from_secs(5);

/// The body of an answer. The record is written when it has ended or was dropped.
pub(super) struct VisitorBody {
    source: Source,
    /// Gone where something else outlives the response: a WebSocket.
    record: Option<Record>,
    /// Tells the connection that it is not idle.
    _connection: Rc<Connection>,
}

enum Source {
    Page(Option<Bytes>),
    Platform(PlatformBody),
    App(AppBody),
}

/// A page of the edge's own.
pub(super) fn page(connection: &Rc<Connection>, page: Response<Bytes>, mut record: Record) -> Response<VisitorBody> {
    record.answered(page.status());
    page.map(|body| VisitorBody {
        source: Source::Page((!body.is_empty()).then_some(body)),
        record: Some(record),
        _connection: Rc::clone(connection),
    })
}

/// An answer without a body, whose record is somebody else's.
pub(super) fn bodiless(connection: &Rc<Connection>, head: Response<()>) -> Response<VisitorBody> {
    head.map(|()| VisitorBody { source: Source::Page(None), record: None, _connection: Rc::clone(connection) })
}

/// The platform's answer.
pub(super) fn platform(
    connection: &Rc<Connection>,
    response: Response<PlatformBody>,
    mut record: Record,
) -> Response<VisitorBody> {
    record.answered(response.status());
    response.map(|body| VisitorBody { source: Source::Platform(body), record: Some(record), _connection: Rc::clone(connection) })
}

/// An app's answer.
pub(super) fn app(
    connection: &Rc<Connection>,
    response: Response<impl Into<AppStream>>,
    exchange: Exchange,
    mut record: Record,
) -> Response<VisitorBody> {
    record.answered(response.status());
    response.map(|body| {
        let body = AppBody::new(body.into(), exchange, !connection.is_h2);
        VisitorBody { source: Source::App(body), record: Some(record), _connection: Rc::clone(connection) }
    })
}

impl Body for VisitorBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = match &mut this.source {
            Source::Page(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Platform(body) => Pin::new(body).poll_frame(cx),
            Source::App(body) => body.poll(cx),
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let (Some(data), Some(record)) = (frame.data_ref(), &mut this.record)
        {
            record.sent(data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Page(bytes) => bytes.is_none(),
            Source::Platform(body) => body.is_end_stream(),
            Source::App(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Platform(body) => body.size_hint(),
            Source::App(body) => body.size_hint(),
        }
    }
}

/// A request's connection and place at an instance, held until the response has ended.
pub(super) struct Exchange {
    pub(super) worker: Rc<Worker>,
    /// hyper's end of it, where it is hyper's.
    pub(super) sender: Option<Sender>,
    pub(super) lease: Lease,
}

impl Exchange {
    /// The response has ended: the connection serves the next request.
    fn end(self, body: &mut AppStream) {
        let Self { worker, sender, lease } = self;
        if let AppStream::Own(body) = body
            && let Some(client) = body.take_client()
        {
            worker.pool.put_client(lease.upstream(), client);
        }
        // A stream of HTTP/2 leaves nothing behind.
        let Some(Sender::Http1(mut sender)) = sender else { return };
        if sender.is_ready() || sender.is_closed() {
            worker.pool.put(lease.upstream(), sender);
            return;
        }
        let upstream = Arc::clone(lease.upstream());
        // The answer came before the request's body had ended, or the connection has not noticed the end yet.
        spawn_local(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SETTLING, sender.ready()).await {
                worker.pool.put(&upstream, sender);
            }
        });
    }
}

/// An app's response on its way.
struct AppBody {
    stream: Rc<RefCell<Stream>>,
    /// Whether somebody looks after a visitor who takes nothing. On HTTP/1.1 the connection does that by itself; on HTTP/2 a
    /// visitor can stop one stream by its window, and the connection sees nothing wrong.
    watched: bool,
}

/// An app's response body.
pub(super) enum AppStream {
    /// As hyper reads it.
    Hyper(Incoming),
    /// As our own client does.
    Own(ClientBody),
}

impl From<Incoming> for AppStream {
    fn from(body: Incoming) -> Self {
        Self::Hyper(body)
    }
}

impl From<ClientBody> for AppStream {
    fn from(body: ClientBody) -> Self {
        Self::Own(body)
    }
}

impl Body for AppStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Hyper(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Broken),
            Self::Own(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Hyper(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Hyper(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}

/// What is held for a response. Given up by its visitor, or by who watches it.
struct Stream {
    body: Option<AppStream>,
    patience: Patience,
    /// Dropping it before the end, together with the body, closes the connection and thereby cancels the request.
    exchange: Option<Exchange>,
    /// Pieces that were taken.
    taken: u64,
    /// Whether it is the app that the visitor waits for.
    awaits_app: bool,
}

impl AppBody {
    fn new(body: AppStream, exchange: Exchange, watched: bool) -> Self {
        let limits = &exchange.worker.shared.limits;
        // A stream that lives long, as those of gRPC do, is held to the same silence as a WebSocket.
        let limit = if exchange.sender.as_ref().is_some_and(Sender::is_multiplexed) {
            limits.upgrade_idle
        } else {
            limits.response_body_idle
        };
        let patience = Patience::new(limit);
        let mut stream = Stream { body: Some(body), patience, exchange: Some(exchange), taken: 0, awaits_app: true };
        stream.settle();
        Self { stream: Rc::new(RefCell::new(stream)), watched }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut stream = self.stream.borrow_mut();
        let polled = stream.poll(cx);
        if !self.watched
            && polled.is_ready()
            && let Some(exchange) = &stream.exchange
        {
            // The rest of the response is still to come, so it is a large or a slow one.
            self.watched = true;
            spawn_local(watch(Rc::downgrade(&self.stream), exchange.worker.shared.limits.write_stall));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.stream.borrow().body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.borrow().body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err(BodyError::Stalled(Duration::ZERO))));
        };
        let polled = self.patience.poll_frame(body, cx);
        self.awaits_app = polled.is_pending();
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Ok(_))) => {
                self.taken += 1;
                self.settle();
            }
            Poll::Ready(Some(Err(_))) => self.exchange = None,
        }
        polled
    }

    /// Frees the place as soon as nothing more can come.
    fn settle(&mut self) {
        if self.body.as_ref().is_some_and(Body::is_end_stream) {
            self.end();
        }
    }

    fn end(&mut self) {
        if let (Some(exchange), Some(body)) = (self.exchange.take(), &mut self.body) {
            exchange.end(body);
        }
    }
}

/// Gives up a response of which the visitor takes nothing for too long, though the app has more.
async fn watch(stream: Weak<RefCell<Stream>>, limit: Duration) {
    let taken = |stream: &Weak<RefCell<Stream>>| stream.upgrade().map(|stream| stream.borrow().taken);
    while let Some(before) = taken(&stream) {
        tokio::time::sleep(limit).await;
        let Some(stream) = stream.upgrade() else { return };
        let mut stream = stream.borrow_mut();
        if stream.exchange.is_none() {
            return;
        }
        if stream.taken == before && !stream.awaits_app {
            tracing::debug!("a visitor who took nothing of a response was cut off");
            (stream.body, stream.exchange) = (None, None);
            return;
        }
    }
}

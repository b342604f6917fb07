//! Request bodies on their way in, and the patience with bodies that stand still.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::server::headers::for_trailers;
use crate::server::inspect::Signs;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Nothing came for too long.
    #[error("the body stood still for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The connection broke, or what came on it was no body.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// Whoever makes the body could not go on, or the connection to it broke.
    #[error("the body could not be made: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A visitor's request body as it streams in.
#[derive(Debug)]
pub struct EdgeBody {
    source: Source,
    patience: Patience,
    /// Told when the body is given up before its end.
    signs: Option<Arc<Signs>>,
    /// Counts the bytes that come.
    meter: Option<Arc<AtomicU64>>,
}

#[derive(Debug)]
enum Source {
    Visitor(Incoming),
    Ready(Option<Bytes>),
}

impl EdgeBody {
    /// A body that is in memory already.
    pub fn from_bytes(bytes: Bytes) -> Self {
        let source = Source::Ready((!bytes.is_empty()).then_some(bytes));
        Self { source, patience: Patience::new(Duration::MAX), signs: None, meter: None }
    }

    /// No body.
    pub fn empty() -> Self {
        Self::from_bytes(Bytes::new())
    }

    pub(crate) fn from_visitor(body: Incoming, idle: Duration, signs: Arc<Signs>) -> Self {
        Self { source: Source::Visitor(body), patience: Patience::new(idle), signs: Some(signs), meter: None }
    }

    /// It may stand still for this long from now on.
    pub(crate) fn be_patient(&mut self, idle: Duration) {
        self.patience = Patience::new(idle);
    }

    /// Counts its bytes here as they come.
    pub(crate) fn metered(mut self, meter: Option<Arc<AtomicU64>>) -> Self {
        self.meter = meter;
        self
    }
}

impl Drop for EdgeBody {
    fn drop(&mut self) {
        if let (Source::Visitor(body), Some(signs)) = (&self.source, &self.signs)
            && !body.is_end_stream()
        {
            signs.set_unread();
        }
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match &mut this.source {
            Source::Ready(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Visitor(body) => {
                let polled = this.patience.poll_frame(body, cx);
                if let (Poll::Ready(Some(Ok(frame))), Some(meter)) = (&polled, &this.meter) {
                    meter.fetch_add(frame.data_ref().map_or(0, |data| data.len() as u64), Ordering::Relaxed);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ready(bytes) => bytes.is_none(),
            Source::Visitor(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ready(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Visitor(body) => body.size_hint(),
        }
    }
}

/// How long something may make no progress. Keeps a timer only while there is something to wait for, and never resets it: where
/// something moved while it ran, it runs once more. So the true limit lies between once and twice the one set, and a byte that
/// comes costs nothing.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: None, moved: false }
    }

    /// Something came.
    pub(crate) fn moved(&mut self) {
        self.moved = true;
    }

    /// Nothing came: ready once that has lasted too long.
    pub(crate) fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let limit = self.limit;
            let timer = self.timer.get_or_insert_with(|| {
                self.moved = false;
                Box::pin(tokio::time::sleep(limit))
            });
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            if !self.moved {
                return Poll::Ready(());
            }
        }
    }

    /// The next frame of a body, or the error that it stands still.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut (impl Body<Data = Bytes, Error: Into<BodyError>> + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.moved();
                Poll::Ready(frame.map(|frame| {
                    let mut frame = frame.map_err(Into::into)?;
                    if let Some(trailers) = frame.trailers_mut() {
                        for_trailers(trailers);
                    }
                    Ok(frame)
                }))
            }
            Poll::Pending => {
                ready!(self.poll_exhausted(cx));
                Poll::Ready(Some(Err(BodyError::Stalled(self.limit))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_ends_when_nothing_moves_and_not_before() {
        let limit = Duration::from_secs(10);
        let start = tokio::time::Instant::now();
        let mut patience = Patience::new(limit);
        poll_fn(|cx| patience.poll_exhausted(cx)).await;
        assert_eq!(start.elapsed(), limit);

        let mut patience = Patience::new(limit);
        let pending = poll_fn(|cx| Poll::Ready(patience.poll_exhausted(cx).is_pending())).await;
        assert!(pending);
        patience.moved();
        let start = tokio::time::Instant::now();
        poll_fn(|cx| patience.poll_exhausted(cx)).await;
        assert_eq!(start.elapsed(), limit * 2);
    }

    #[tokio::test]
    async fn a_body_in_memory_comes_at_once() {
        use http_body_util::BodyExt;
        let body = EdgeBody::from_bytes(Bytes::from_static(b"hello"));
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
        assert!(EdgeBody::empty().is_end_stream());
    }
}

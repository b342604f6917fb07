//! A visitor's end of the connection: what has come, what goes, and whether anybody is still there.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::body::Patience;
use crate::server::connection::Connection;
use crate::server::drain::Entry;
use crate::server::prefixed::Prefixed;

/// What is made room for before reading.
const READ: usize = 4 * 1024;
/// What a visitor may send ahead while it waits for an answer.
const AHEAD: usize = 32 * 1024;

/// Whether more has come.
pub(super) enum Came {
    More,
    /// And nothing will.
    Nothing,
}

pub(super) struct Visitor<S> {
    stream: S,
    /// What has come and was not answered yet.
    buffer: BytesMut,
    /// With requests.
    patience: Patience,
    /// With a visitor who does not take what is written.
    stall: Patience,
    entry: Entry,
    is_registered: bool,
}

impl<S> Visitor<S> {
    pub(super) fn new(stream: S, connection: &Rc<Connection>) -> Self {
        let limits = &connection.worker.shared.limits;
        Self {
            stream,
            buffer: BytesMut::new(),
            patience: Patience::new(limits.header_read),
            stall: Patience::new(limits.write_stall),
            entry: connection.worker.drain.enter(),
            is_registered: false,
        }
    }

    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// A request has been answered whose head was so long.
    pub(super) fn answered(&mut self, length: usize) {
        self.buffer.advance(length);
        self.patience.moved();
    }

    /// All that has come, for who goes on.
    pub(super) fn into_stream(self) -> Prefixed<S> {
        Prefixed::new(self.buffer.freeze(), self.stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Visitor<S> {
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(READ);
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.buffer)
    }

    /// Waits for more of a request, as long as a visitor may take to send one.
    pub(super) async fn more(&mut self) -> Came {
        poll_fn(|cx| {
            if !self.is_registered {
                // The task's waker stays the same, since nothing lies between the task and this future that has its own.
                self.entry.wakes(cx.waker());
                self.is_registered = true;
            }
            if self.buffer.is_empty() && self.entry.is_ending() {
                return Poll::Ready(Came::Nothing);
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(1..)) => Poll::Ready(Came::More),
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Came::Nothing),
                Poll::Pending => {
                    ready!(self.patience.poll_exhausted(cx));
                    Poll::Ready(Came::Nothing)
                }
            }
        })
        .await
    }

    /// Does something for the visitor, unless it goes away meanwhile.
    pub(super) async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            while self.buffer.len() < AHEAD {
                match ready!(self.poll_more(cx)) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(None),
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Writes all of this; fails where nothing of it is taken for too long.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| {
            loop {
                let stream = Pin::new(&mut self.stream);
                let polled = if bytes.is_empty() { stream.poll_flush(cx).map_ok(|()| 0) } else { stream.poll_write(cx, bytes) };
                let Poll::Ready(result) = polled else {
                    ready!(self.stall.poll_exhausted(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                };
                self.stall.moved();
                match (result?, bytes.is_empty()) {
                    (_, true) => return Poll::Ready(Ok(())),
                    (0, false) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    (size, false) => bytes = &bytes[size..],
                }
            }
        })
        .await
    }

    /// Says that nothing more comes.
    pub(super) async fn close(&mut self) {
        poll_fn(|cx| {
            if Pin::new(&mut self.stream).poll_shutdown(cx).is_pending() {
                ready!(self.stall.poll_exhausted(cx));
            }
            Poll::Ready(())
        })
        .await;
    }
}

//! Writes of many streams as one.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;

/// What is gathered at most: as much as a record of TLS holds (RFC 8446, 5.1).
const MOST: usize = 16 * 1024;

/// A visitor's stream of HTTP/2; clones share it. h2 flushes each frame with data by itself. While several requests are in flight, what
/// it flushes goes out when its connection has been polled, with all that the other requests had to say.
pub(super) struct Gathered<S>(Rc<RefCell<Inner<S>>>);

struct Inner<S> {
    stream: S,
    connection: Weak<Connection>,
    buffer: Vec<u8>,
}

impl<S> Clone for Gathered<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> Gathered<S> {
    /// `connection` is held by its service, and by each of its requests.
    pub(super) fn new(stream: S, connection: Weak<Connection>) -> Self {
        Self(Rc::new(RefCell::new(Inner { stream, connection, buffer: Vec::new() })))
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Writes what was gathered while the connection was polled; as far as the visitor takes it, the task is woken when it takes more.
    pub(super) fn write_out(&self, cx: &mut Context<'_>) {
        let mut inner = self.0.borrow_mut();
        // Who writes next meets a broken stream again.
        if !inner.buffer.is_empty()
            && let Poll::Ready(Err(_)) = inner.poll_out(cx)
        {
            cx.waker().wake_by_ref();
        }
    }
}

impl<S> Inner<S> {
    fn is_crowded(&self) -> bool {
        self.connection.strong_count() > 2
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = 0;
        while written < self.buffer.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.buffer[written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(size)) => written += size,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.buffer.drain(..written);
                    return Poll::Pending;
                }
            }
        }
        if self.is_crowded() {
            self.buffer.clear();
        } else {
            // A connection that has little to say keeps no memory for more.
            self.buffer = Vec::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.borrow_mut();
        let size: usize = bufs.iter().map(|buf| buf.len()).sum();
        if inner.buffer.len() + size > MOST {
            ready!(inner.poll_out(cx))?;
        }
        if size > MOST || (inner.buffer.is_empty() && !inner.is_crowded()) {
            return Pin::new(&mut inner.stream).poll_write_vectored(cx, bufs);
        }
        for buf in bufs {
            inner.buffer.extend_from_slice(buf);
        }
        Poll::Ready(Ok(size))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        if inner.buffer.is_empty() { Pin::new(&mut inner.stream).poll_flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_out(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

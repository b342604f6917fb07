//! The two ends of a request as streams: a visitor's, and an instance's.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::inspect::{Inspector, Signs, Verdict};
use crate::body::Patience;

/// How long what a visitor still sends is thrown away after the last answer.
const LINGERING: Duration = Duration::from_secs(2);

/// A visitor's stream. Fails a write that makes no progress for too long: without that, a visitor who stops reading would hold an
/// instance forever. And does not close on a visitor who is still sending: the kernel would answer with a reset, which takes
/// the answer away that the visitor has not read yet. An inspector, where there is one, sees what comes before HTTP does.
#[derive(Debug)]
pub(crate) struct VisitorStream<S> {
    inner: S,
    patience: Patience,
    signs: Arc<Signs>,
    inspector: Option<Inspector>,
    /// What is read in place of what the visitor sends, once the inspector has said so.
    instead: Option<&'static [u8]>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S> VisitorStream<S> {
    pub(crate) fn new(inner: S, stall: Duration, signs: Arc<Signs>, inspector: Inspector) -> Self {
        Self { inner, patience: Patience::new(stall), signs, inspector: Some(inspector), instead: None, lingering: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.patience.moved();
            return result;
        }
        ready!(self.patience.poll_exhausted(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn written(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(size)), Some(inspector)) = (&result, &mut self.inspector) {
            inspector.sent(*size);
        }
        result
    }

    /// Shows what has come to the inspector.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        if self.signs.is_switched() {
            self.inspector = None;
        }
        let Some(inspector) = &mut self.inspector else { return };
        if let Verdict::Cut(valid, instead) = inspector.received(&buf.filled()[before..]) {
            // The visitor is still sending, and is to read why it was cut off.
            self.signs.set_unread();
            buf.set_filled(before + valid);
            self.instead = Some(instead);
            self.read_instead(buf);
        }
    }

    fn read_instead(&mut self, buf: &mut ReadBuf<'_>) {
        if let Some(instead) = &mut self.instead {
            let (now, later) = instead.split_at(instead.len().min(buf.remaining()));
            buf.put_slice(now);
            *instead = later;
        }
    }
}

impl<S: AsyncRead + Unpin> VisitorStream<S> {
    /// Reads what comes into the void, until the visitor has closed or time is up.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lingering = self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGERING)));
        if lingering.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut void = [0; 8 * 1024];
        // A few pieces at a time, so that a fast sender does not keep the thread.
        for _ in 0..16 {
            let mut buf = ReadBuf::new(&mut void);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for VisitorStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.instead.is_some() {
            self.read_instead(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.inspect(buf, before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for VisitorStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        let result = self.written(result);
        self.watch(cx, result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        let result = self.written(result);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let result = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.watch(cx, result))?;
        }
        if self.signs.is_unread() { self.poll_linger(cx) } else { Poll::Ready(Ok(())) }
    }
}

/// A visitor's socket. A response's head and its body are usually two pieces, and small: copied into one they cost less than the
/// system call that takes several.
#[derive(Debug)]
pub(super) struct Wire(pub(super) TcpStream);

/// What is copied at most.
const SMALL: usize = 4 * 1024;

thread_local! {
    static PIECES: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SMALL));
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.0);
        if let [only] = bufs {
            return stream.poll_write(cx, only);
        }
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() > SMALL {
            return stream.poll_write_vectored(cx, bufs);
        }
        PIECES.with_borrow_mut(|pieces| {
            pieces.clear();
            for buf in bufs {
                pieces.extend_from_slice(buf);
            }
            stream.poll_write(cx, pieces)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A stream to an instance. An app may answer an upload without having read it, and close: then writing fails although the
/// answer is there to be read. So a failed write is passed over, and the reading tells whether there was an answer.
#[derive(Debug)]
pub(super) struct UpstreamStream<S> {
    inner: S,
    deaf: bool,
    /// Told when the first byte has come, or will never come.
    first: Option<Arc<Notify>>,
}

impl<S> UpstreamStream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, deaf: false, first: None }
    }

    /// A stream with what is told once the instance has sent something, or its connection has ended.
    pub(super) fn heard(inner: S) -> (Self, Arc<Notify>) {
        let first = Arc::new(Notify::new());
        (Self { inner, deaf: false, first: Some(Arc::clone(&first)) }, first)
    }

    fn pass_over(&mut self, result: io::Result<usize>, size: usize) -> io::Result<usize> {
        match result {
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.deaf = true;
                Ok(size)
            }
            other => other,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for UpstreamStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        if let Some(first) = self.first.take() {
            first.notify_one();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for UpstreamStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
        Poll::Ready(self.pass_over(result, buf.len()))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let size = bufs.iter().map(|buf| buf.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(size));
        }
        let result = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs));
        Poll::Ready(self.pass_over(result, size))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf { Poll::Ready(Ok(())) } else { Pin::new(&mut self.inner).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

//! A response's body as it comes from an instance.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::chunks::{Chunks, Step};
use super::{Client, READ};
use crate::BodyError;

/// The most that is read at once.
const MOST: usize = 64 * 1024;

/// Where a body ends.
#[derive(Debug)]
pub(super) enum Framing {
    /// After so many more bytes.
    Length(u64),
    /// Where its chunks say.
    Chunked(Box<Chunks>),
    /// With the connection.
    Close,
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Box::default())
    }

    /// Whether a visitor of HTTP/1.1 gets it in chunks.
    pub(super) fn is_chunked(&self) -> bool {
        !matches!(self, Self::Length(_))
    }
}

/// A response's body, with the connection that it comes on. Dropping it before its end closes the connection.
#[derive(Debug)]
pub(in crate::server) struct ClientBody {
    client: Option<Client>,
    framing: Framing,
    keep_alive: bool,
    /// What the next read makes room for.
    room: usize,
}

impl ClientBody {
    pub(super) fn new(client: Client, framing: Framing, keep_alive: bool) -> Self {
        Self { client: Some(client), framing, keep_alive, room: READ }
    }

    /// The connection, once the body has ended and where it serves another request.
    pub(in crate::server) fn take_client(&mut self) -> Option<Client> {
        let client = self.client.take_if(|_| self.keep_alive)?;
        (client.buffer.is_empty() && self.is_over()).then_some(client)
    }

    /// Moves the whole body to where the head is, where all of it has come already; its bytes.
    pub(in crate::server) fn take_whole(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        let (Framing::Length(length), Some(client)) = (&mut self.framing, &mut self.client) else { return None };
        let buffered = client.buffer.len() as u64;
        if buffered != *length {
            return None;
        }
        out.extend_from_slice(&client.buffer);
        client.buffer.clear();
        *length = 0;
        Some(buffered)
    }

    /// Whether no byte of the body is missing. What has been read of it may still be in the buffer.
    fn is_over(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunks) => chunks.is_over(),
            Framing::Close => self.client.is_none(),
        }
    }

    /// Reads more; `false` is the end of the connection.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        let Some(client) = &mut self.client else { return Poll::Ready(Ok(false)) };
        let size = ready!(client.poll_read(cx, self.room)).map_err(broken)?;
        if size >= self.room {
            self.room = (self.room * 2).min(MOST);
        }
        Poll::Ready(Ok(size > 0))
    }

    fn poll_length(&mut self, left: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if left == 0 {
            return Poll::Ready(None);
        }
        loop {
            let Some(client) = &mut self.client else { return Poll::Ready(None) };
            let here = client.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if here > 0 {
                self.framing = Framing::Length(left - here as u64);
                return Poll::Ready(Some(Ok(Frame::data(client.buffer.split_to(here).freeze()))));
            }
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Some(Err(broken(io::ErrorKind::UnexpectedEof.into()))));
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(client) = &mut self.client else { return Poll::Ready(None) };
            if !client.buffer.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(client.buffer.split().freeze()))));
            }
            if !ready!(self.poll_more(cx))? {
                self.client = None;
            }
        }
    }

    fn poll_chunked(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let (Framing::Chunked(chunks), Some(client)) = (&mut self.framing, &mut self.client) else {
                return Poll::Ready(None);
            };
            match chunks.step(&mut client.buffer).map_err(broken)? {
                Step::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Step::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Step::Over => return Poll::Ready(None),
                Step::More => {}
            }
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Some(Err(broken(io::ErrorKind::UnexpectedEof.into()))));
            }
        }
    }
}

fn broken(error: io::Error) -> BodyError {
    BodyError::Failed(Box::new(error))
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.framing {
            Framing::Length(left) => self.poll_length(left, cx),
            Framing::Chunked(_) => self.poll_chunked(cx),
            Framing::Close => self.poll_close(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::Close => SizeHint::default(),
        }
    }
}

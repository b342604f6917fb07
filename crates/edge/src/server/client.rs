//! HTTP/1.1 to instances for requests without a body, which are most: written and read within the request's own task. hyper does
//! it for all others, with a second task for each connection and channels between the two.

mod body;
mod chunks;
mod head;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use http::{Method, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::upstream::Arrival;

pub(super) use body::ClientBody;
use head::Head;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use head::rewritten;
pub(super) use head::{Added, begin, end, is_plain, request_head};

/// The most that a response's head may take; an app's may be larger than a visitor's: cookies by the dozen.
const MAX_HEAD: usize = 128 * 1024;
/// What is made room for before reading.
const READ: usize = 8 * 1024;
/// Interim responses (1xx) that may come before the final one.
const MAX_INTERIM: usize = 16;

/// A connection to an instance on which nothing is in flight, or one response.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    buffer: BytesMut,
    /// Until the instance has answered for the first time.
    arrival: Option<Arrival>,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The connection ended before anything came back. `unsent` says that nothing of the request can have arrived.
    Closed { unsent: bool },
    /// It ended within a head.
    Broken,
    /// What came was not HTTP/1.1.
    Gibberish,
}

/// A response's head as it came, and the connection on which its body comes.
#[derive(Debug)]
pub(super) struct Received {
    client: Client,
    head: Head,
    /// Of the head, at the beginning of what has been read.
    length: usize,
}

impl Received {
    /// The response, without what concerns the connection.
    pub(super) fn into_response(self, method: &Method) -> Result<Response<ClientBody>, ClientError> {
        let Self { mut client, head, length } = self;
        let bytes = client.buffer.split_to(length).freeze();
        head.into_response(&bytes, method, client)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Writes the response's head for a visitor of HTTP/1.1, without what concerns our connection. A response that says more
    /// about its connection than whether it stays comes back as it is: [`Self::into_response`] reads it with more care.
    pub(super) fn write(mut self, method: &Method, is_last: bool, out: &mut Vec<u8>) -> Result<Written, ClientError> {
        match self.head.write(&self.client.buffer[..self.length], method, is_last, out)? {
            Some((framing, keep_alive)) => {
                self.client.buffer.advance(self.length);
                let is_chunked = framing.is_chunked();
                Ok(Written::Head(ClientBody::new(self.client, framing, keep_alive), is_chunked))
            }
            None => Ok(Written::Not(self)),
        }
    }
}

/// What became of writing a response's head.
pub(super) enum Written {
    /// It is there, and this body follows, in chunks or as it is.
    Head(ClientBody, bool),
    /// Nothing was written.
    Not(Received),
}

impl Client {
    pub(super) fn new(stream: TcpStream, arrival: Option<Arrival>) -> Self {
        Self { stream, buffer: BytesMut::new(), arrival }
    }

    /// Whether the connection is open and nothing has come that nobody asked for, as far as is known without asking the kernel.
    pub(super) fn is_usable(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if !self.buffer.is_empty() {
            return false;
        }
        match self.stream.poll_read_ready(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(Err(_)) => false,
            // Said of a connection whose last read filled its buffer, too: then there may be nothing more.
            Poll::Ready(Ok(())) => {
                let read = self.stream.try_read(&mut [0]);
                read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
        }
    }

    /// Sends a request's head and waits for its response's. `reused` says that the connection has served before: then its
    /// failing at once means that it was closed meanwhile.
    pub(super) async fn send(mut self, head: &[u8], reused: bool) -> Result<Received, ClientError> {
        if let Err(error) = self.stream.write_all(head).await {
            // An app may answer without having read, and close: the answer may be there all the same.
            if reused || !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
                return Err(ClientError::Closed { unsent: true });
            }
        }
        let mut interim = 0;
        let mut scanned = 0;
        loop {
            if scanned < self.buffer.len() {
                scanned = self.buffer.len();
                if let Some((head, length)) = head::response(&self.buffer)? {
                    if head.status == StatusCode::SWITCHING_PROTOCOLS {
                        // Nobody asked for it.
                        return Err(ClientError::Gibberish);
                    }
                    if !head.status.is_informational() {
                        return Ok(Received { client: self, head, length });
                    }
                    self.buffer.advance(length);
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return Err(ClientError::Gibberish);
                    }
                    scanned = 0;
                    continue;
                }
                if self.buffer.len() >= MAX_HEAD {
                    return Err(ClientError::Gibberish);
                }
            }
            match std::future::poll_fn(|cx| self.poll_read(cx, READ)).await {
                Ok(0) if self.buffer.is_empty() && interim == 0 => return Err(ClientError::Closed { unsent: false }),
                Ok(0) => return Err(ClientError::Broken),
                Ok(_) => self.arrival = None,
                Err(error) => {
                    tracing::debug!(%error, "a connection to an instance broke");
                    let early = self.buffer.is_empty() && interim == 0;
                    return Err(if early { ClientError::Closed { unsent: false } } else { ClientError::Broken });
                }
            }
        }
    }

    /// Reads more into the buffer; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.buffer.reserve(room);
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.buffer)
    }
}

//! Answers on their way out: an app's in one piece where it is there, or as it comes; or a page.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http::{Method, Response, header};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use super::head;
use super::visitor::Visitor;
use crate::app::Lease;
use crate::pages::Page;
use crate::server::access::Record;
use crate::server::client::{ClientBody, Received, Written};
use crate::server::connection::Connection;
use crate::server::encode;
use crate::server::response::{self, VisitorBody};

/// What is gathered before it is written.
const GATHERED: usize = 16 * 1024;

/// An answer to a visitor's request.
pub(super) struct Answer<'a, S> {
    pub(super) connection: &'a Rc<Connection>,
    pub(super) visitor: &'a mut Visitor<S>,
    pub(super) method: &'a Method,
    /// Whether the connection ends with it.
    pub(super) is_last: bool,
    /// Empty.
    pub(super) out: &'a mut Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Answer<'_, S> {
    /// An app's answer. An error ends the connection.
    pub(super) async fn response(self, received: Received, lease: Lease, mut record: Record, app: &str) -> io::Result<()> {
        let status = received.status();
        let written = match received.write(self.method, self.is_last, self.out) {
            Ok(Written::Head(mut body, is_chunked)) => {
                if let Some(size) = body.take_whole(self.out) {
                    record.answered(status);
                    record.sent(size);
                    if let Some(client) = body.take_client() {
                        self.connection.worker.pool.put_client(lease.upstream(), client);
                    }
                    // Before the visitor has it: the app's part is done.
                    drop((body, lease));
                    return self.visitor.write(self.out).await;
                }
                Ok((Response::new(body), is_chunked))
            }
            Ok(Written::Not(received)) => received.into_response(self.method).map(|response| {
                let is_chunked = encode::head(&response, self.method, self.is_last, self.out);
                (response, is_chunked)
            }),
            Err(error) => Err(error),
        };
        let Ok((mut response, is_chunked)) = written else {
            drop(lease);
            self.out.clear();
            return self.page(&Page::gibberish(app), record).await;
        };
        *response.status_mut() = status;
        self.body(response, is_chunked, lease, record).await
    }

    /// A page of the edge's own.
    pub(super) async fn page(self, page: &Page, record: Record) -> io::Result<()> {
        let accept = head::field(self.visitor.buffered(), &header::ACCEPT);
        let response = response::page(self.connection, page.respond(accept.as_ref()), record);
        let is_chunked = encode::head(&response, self.method, self.is_last, self.out);
        let mut body = response.into_body();
        if *self.method == Method::HEAD { self.visitor.write(self.out).await } else { self.pass(&mut body, is_chunked).await }
    }

    async fn body(self, response: Response<ClientBody>, is_chunked: bool, lease: Lease, record: Record) -> io::Result<()> {
        let exchange = response::Exchange { worker: Rc::clone(&self.connection.worker), sender: None, lease };
        let mut body = response::app(self.connection, response, exchange, record).into_body();
        // In a box, so that the usual answer does not take the memory that only this one needs.
        Box::pin(self.pass(&mut body, is_chunked)).await
    }

    /// Writes a body behind its head, as it comes.
    async fn pass(self, body: &mut VisitorBody, is_chunked: bool) -> io::Result<()> {
        let Self { visitor, out, .. } = self;
        loop {
            let there = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
                Poll::Pending => Poll::Ready(None),
            });
            let frame = if let Some(frame) = there.await {
                frame
            } else {
                // What there is goes out before more is waited for.
                visitor.write(out).await?;
                out.clear();
                let frame = visitor.unless_gone(poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))).await;
                frame.ok_or(io::ErrorKind::ConnectionReset)?
            };
            let Some(frame) = frame else { break };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    // What has come of it goes out, and its end does not.
                    visitor.write(out).await?;
                    return Err(io::Error::other(error));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            if !is_chunked && data.len() >= GATHERED {
                // A large piece goes out as it lies.
                visitor.write(out).await?;
                out.clear();
                visitor.write(&data).await?;
                continue;
            }
            if is_chunked {
                encode::chunk(&data, out);
            } else {
                out.extend_from_slice(&data);
            }
            if out.len() >= GATHERED {
                visitor.write(out).await?;
                out.clear();
            }
        }
        if is_chunked {
            out.extend_from_slice(encode::LAST_CHUNK);
        }
        visitor.write(out).await
    }
}

//! hyper's way to send one request to an instance: a connection of HTTP/1.1, or a place on one of HTTP/2.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};

use super::multiplex::Place;
use crate::EdgeBody;

/// Sends one request. Dropping it, and the response, cancels the request: on HTTP/1.1 by closing the connection, on HTTP/2 by
/// resetting the stream.
pub(super) enum Sender {
    /// The whole connection.
    Http1(http1::SendRequest<EdgeBody>),
    /// A stream of a connection that others use, too.
    Http2(Place),
}

impl Sender {
    /// Sends a request. Where nothing of it has been sent, it comes back with the error.
    pub(super) async fn send(
        &mut self,
        request: Request<EdgeBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<EdgeBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(place) => place.sender().try_send_request(request).await,
        }
    }

    /// Whether requests and responses are streams of one connection.
    pub(super) fn is_multiplexed(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

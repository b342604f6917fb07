//! The seam to the platform's own pages and API: a service the edge hands requests to.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

use crate::{BodyError, EdgeBody};

/// The body of the platform's responses; may stream.
pub type PlatformBody = UnsyncBoxBody<Bytes, BodyError>;

/// The platform's answer, on its way.
pub type PlatformFuture = Pin<Box<dyn Future<Output = Response<PlatformBody>> + Send>>;

/// Answers the requests for the platform's own hosts.
///
/// The future is polled on a thread of the edge, which serves other visitors too: it must not block. It is dropped when the
/// visitor goes. Bodies stream both ways. The request carries a [`Visitor`] among its extensions.
pub trait PlatformService: Send + Sync {
    /// Answers one request.
    fn call(&self, request: Request<EdgeBody>) -> PlatformFuture;
}

/// Who sent a request; among the extensions of every request for the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// The address of the visitor's end of the connection.
    pub addr: SocketAddr,
}

//! The way of a request without a body: its head is written once, and can be sent again as it is.

use http::uri::PathAndQuery;
use http::{Method, Request, Response};
use hyper::body::{Body, Incoming};

use super::{Forward, is_repeatable};
use crate::app::Lease;
use crate::pages::Page;
use crate::server::client::{self, Added, ClientBody, ClientError, Received};
use crate::server::headers;

/// Whether a request has no body, and says nothing that only one with a body would say.
pub(in crate::server) fn is_bodiless(request: &Request<Incoming>) -> bool {
    request.body().is_end_stream()
        && client::is_plain(request.headers())
        && !headers::wants_websocket(request.method(), request.version(), request.headers())
}

impl Forward<'_> {
    /// Takes the request to an instance of HTTP/1.1, and brings the response; with the place where it came from.
    pub(in crate::server) async fn bodiless(
        &mut self,
        request: &Request<Incoming>,
        lease: Lease,
    ) -> Result<(Response<ClientBody>, Lease), Page> {
        let added = Added { host: self.host, peer: &self.connection.forwarded_for, scheme: self.connection.scheme };
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let head = client::request_head(request.method(), path, request.headers(), &added);
        let (received, lease) = self.ask_head(request.method(), &head, lease).await?;
        let response = received.into_response(request.method()).map_err(|_error| Page::gibberish(self.app.name()))?;
        Ok((response, lease))
    }

    /// Takes a request's head to an instance, and brings the head of the response; with the place where it came from.
    pub(in crate::server) async fn ask_head(
        &mut self,
        method: &Method,
        head: &[u8],
        mut lease: Lease,
    ) -> Result<(Received, Lease), Page> {
        let (mut fresh, mut refusals) = (false, 0);
        loop {
            let reached = self.connection.worker.pool.client(lease.upstream(), self.record.began(), fresh).await;
            match reached {
                Ok((client, reused)) => {
                    self.record.went_to(lease.upstream());
                    let patience = self.app.settings_now().request_timeout;
                    let Ok(sent) = tokio::time::timeout(patience, client.send(head, reused)).await else {
                        return Err(Page::timed_out(self.app.name(), patience));
                    };
                    match sent {
                        Ok(received) => {
                            lease.upstream().started();
                            return Ok((received, lease));
                        }
                        Err(ClientError::Gibberish) => return Err(Page::gibberish(self.app.name())),
                        Err(ClientError::Closed { unsent }) if reused && (unsent || is_repeatable(method)) => {
                            // Once more, on a connection that nobody has had the time to close.
                            fresh = true;
                        }
                        Err(error) => {
                            tracing::debug!(app = self.app.name(), ?error, "an instance did not answer");
                            return Err(Page::died(self.app.name()));
                        }
                    }
                }
                Err(error) => self.unreached(&lease, error, &mut refusals)?,
            }
            drop(lease);
            lease = self.place().await?;
        }
    }
}

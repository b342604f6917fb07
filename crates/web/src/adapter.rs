//! The router as the edge's service for the platform's own hosts.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use edge::{BodyError, EdgeBody, PlatformFuture, PlatformService};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tower::ServiceExt;

struct Adapter {
    router: Router,
    runtime: Handle,
}

/// Runs the router on the platform's own runtime: its handlers may wait for the disk, which the edge's threads must not.
pub fn service(router: Router, runtime: Handle) -> Arc<dyn PlatformService> {
    Arc::new(Adapter { router, runtime })
}

impl PlatformService for Adapter {
    fn call(&self, request: Request<EdgeBody>) -> PlatformFuture {
        let router = self.router.clone();
        let task = self.runtime.spawn(async move {
            let request = request.map(Body::new);
            router.oneshot(request).await.unwrap_or_else(|never| match never {})
        });
        let guard = AbortOnDrop(task);
        Box::pin(async move {
            let mut guard = guard;
            match (&mut guard.0).await {
                Ok(response) => response.map(|body| body.map_err(|error| BodyError::Failed(error.into_inner())).boxed_unsync()),
                Err(_panicked) => {
                    let mut response = Response::new(Body::from("the platform failed to answer\n"));
                    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                    response.map(|body| body.map_err(|error| BodyError::Failed(error.into_inner())).boxed_unsync())
                }
            }
        })
    }
}

/// A visitor who goes takes the handler along.
struct AbortOnDrop(tokio::task::JoinHandle<Response<Body>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! One line of the access log per request, and the counters of its app.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use crate::app::{AppHandle, InFlight};
use crate::{StatusClass, Upstream};

/// What is known of a request; written to the log when its answer has ended, or its visitor has gone.
pub(super) struct Record {
    app: Option<(Arc<AppHandle>, InFlight)>,
    method: Method,
    path: Option<PathAndQuery>,
    status: Option<StatusCode>,
    upstream: Option<Arc<Upstream>>,
    began: Instant,
    waited: Duration,
    bytes: u64,
}

impl Record {
    pub(super) fn new(method: &Method, path: Option<&PathAndQuery>, began: Instant) -> Self {
        Self {
            app: None,
            method: method.clone(),
            path: path.cloned(),
            status: None,
            upstream: None,
            began,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// The request is this app's: it counts there from now on.
    pub(super) fn belongs_to(&mut self, app: &Arc<AppHandle>) {
        self.app = Some((Arc::clone(app), app.arrive(self.began)));
    }

    pub(super) fn went_to(&mut self, upstream: &Arc<Upstream>) {
        self.upstream = Some(Arc::clone(upstream));
    }

    pub(super) fn waited(&mut self, waited: Duration) {
        self.waited += waited;
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let (Some((app, _)), Some(status)) = (&self.app, self.status) {
            app.counters().count_request(StatusClass::of(status));
        }
        tracing::info!(
            target: "access",
            app = self.app.as_ref().map(|(app, _)| app.name()),
            method = self.method.as_str(),
            path = self.path.as_ref().map(PathAndQuery::path),
            // 499, as nginx writes it: the visitor went before there was an answer.
            status = self.status.map_or(499, |status| status.as_u16()),
            bytes = self.bytes,
            duration_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            upstream = self.upstream.as_ref().map(|upstream| upstream.id()),
            wake_ms = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX),
        );
    }
}

//! What is known of one request: counted for its app when it has ended, and told to the access log where there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, Request, StatusCode, Version, header};
use hyper::body::Incoming;

use super::connection::Connection;
use crate::app::counters::Ended;
use crate::app::{AppHandle, InFlight};
use crate::{AccessLog, AccessRecord, Upstream};

/// Bytes after which a response that goes on is counted, so that long ones are seen before their end.
const PIECE: u64 = 1024 * 1024;

/// What is known of a request, until its answer has ended or its visitor has gone.
pub(super) struct Record {
    app: Option<(Arc<AppHandle>, InFlight)>,
    status: Option<StatusCode>,
    began: Instant,
    /// Bytes that went to the visitor, and how many of them the app's figures have.
    sent: u64,
    counted: u64,
    /// Bytes that came from the visitor; its body adds to it as it is read. `None` where there is no body.
    received: Option<Arc<AtomicU64>>,
    /// What only the log wants to know.
    log: Option<(AccessLog, Box<AccessRecord>)>,
}

impl Record {
    /// Of a request that has come; `noted` is asked where there is a log.
    pub(super) fn new(connection: &Connection, has_body: bool, began: Instant, noted: impl FnOnce() -> AccessRecord) -> Self {
        let log = connection.worker.shared.access_log.as_ref();
        Self {
            app: None,
            status: None,
            began,
            sent: 0,
            counted: 0,
            received: has_body.then(Arc::default),
            log: log.map(|log| (log.clone(), Box::new(noted()))),
        }
    }

    /// The request is this app's: it counts there from now on.
    pub(super) fn belongs_to(&mut self, app: &Arc<AppHandle>) {
        self.app = Some((Arc::clone(app), app.arrive(self.began)));
    }

    /// Somebody else begins with the request anew.
    pub(super) fn forget(mut self) {
        (self.app, self.log) = (None, None);
    }

    pub(super) fn went_to(&mut self, upstream: &Arc<Upstream>) {
        if let Some((_, record)) = &mut self.log {
            record.upstream = Some(Arc::clone(upstream));
        }
    }

    pub(super) fn waited(&mut self, waited: Duration) {
        if let Some((_, record)) = &mut self.log {
            record.waited += waited;
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        if self.sent - self.counted >= PIECE
            && let Some((app, _)) = &self.app
        {
            app.counters().moved(0, self.sent - self.counted);
            self.counted = self.sent;
        }
    }

    /// Where the request's body counts its bytes.
    pub(super) fn meter(&self) -> Option<Arc<AtomicU64>> {
        self.received.clone()
    }

    /// Bytes that came from the visitor otherwise than as the request's body.
    pub(super) fn received(&mut self, bytes: u64) {
        self.received.get_or_insert_default().fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = Instant::now();
        let received = self.received.as_ref().map_or(0, |received| received.load(Ordering::Relaxed));
        if let Some((app, _)) = &self.app {
            app.counters().ended(Ended { began: self.began, now, status: self.status });
            app.counters().moved(received, self.sent - self.counted);
        }
        if let Some((log, mut record)) = self.log.take() {
            record.at = SystemTime::now();
            record.app = self.app.as_ref().map(|(app, _)| Arc::clone(app));
            record.status = self.status;
            (record.received, record.sent) = (received, self.sent);
            record.took = now.saturating_duration_since(self.began);
            log.tell(record);
        }
    }
}

/// What is there of a request at its beginning.
pub(super) fn noted(connection: &Connection, request: &Request<Incoming>) -> AccessRecord {
    let header = |name| request.headers().get(name).cloned();
    let authority = || request.uri().authority().and_then(|authority| authority.as_str().parse().ok());
    AccessRecord {
        host: header(header::HOST).or_else(authority),
        path: request.uri().path_and_query().cloned(),
        agent: header(header::USER_AGENT),
        ..begun(connection, request.method().clone(), request.version())
    }
}

/// A request of which nothing else is known yet.
pub(super) fn begun(connection: &Connection, method: Method, version: Version) -> AccessRecord {
    AccessRecord {
        at: SystemTime::UNIX_EPOCH,
        app: None,
        host: None,
        method,
        path: None,
        version,
        peer: connection.peer,
        agent: None,
        status: None,
        upstream: None,
        received: 0,
        sent: 0,
        took: Duration::ZERO,
        waited: Duration::ZERO,
    }
}

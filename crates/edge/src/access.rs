//! The access log as the edge sees it: a bounded queue to somebody who writes.
//!
//! The threads that serve never wait for the disk: what does not fit into the queue is dropped and counted. Where nobody asked for
//! the log, nothing of a request is kept for it.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Version};

use crate::{AppHandle, Upstream};

/// One request that has ended.
#[derive(Debug)]
pub struct AccessRecord {
    /// When it ended.
    pub at: SystemTime,
    /// Whose it was; `None` for the platform itself, and for hosts that are nobody's.
    pub app: Option<Arc<AppHandle>>,
    /// The host as the visitor wrote it.
    pub host: Option<HeaderValue>,
    /// Its method.
    pub method: Method,
    /// Its path and query. Queries hold secrets: who writes them down must have been asked to.
    pub path: Option<PathAndQuery>,
    /// The version of HTTP.
    pub version: Version,
    /// The visitor's end of the connection.
    pub peer: SocketAddr,
    /// What the visitor says it is.
    pub agent: Option<HeaderValue>,
    /// What it was answered with; `None` where its visitor had gone before.
    pub status: Option<StatusCode>,
    /// The instance that answered.
    pub upstream: Option<Arc<Upstream>>,
    /// Bytes of bodies that came from the visitor.
    pub received: u64,
    /// Bytes of bodies that went to the visitor.
    pub sent: u64,
    /// From its head to its end.
    pub took: Duration,
    /// How much of that it waited for a place on an instance.
    pub waited: Duration,
}

impl AccessRecord {
    /// The host as text; bytes that are no text are replaced.
    pub fn host(&self) -> Option<Cow<'_, str>> {
        self.host.as_ref().map(|host| String::from_utf8_lossy(host.as_bytes()))
    }

    /// What the visitor says it is, as text; bytes that are no text are replaced.
    pub fn agent(&self) -> Option<Cow<'_, str>> {
        self.agent.as_ref().map(|agent| String::from_utf8_lossy(agent.as_bytes()))
    }

    /// The path, with the query where that is asked for.
    pub fn path(&self, query: bool) -> Option<&str> {
        let path = self.path.as_ref()?;
        Some(if query { path.as_str() } else { path.path() })
    }

    /// The protocol as people write it: `HTTP/1.1`, `HTTP/2`.
    pub fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        }
    }
}

/// The edge's end of the access log; clones share it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    queue: SyncSender<Box<AccessRecord>>,
    lost: Arc<AtomicU64>,
}

impl AccessLog {
    /// A log with room for so many requests that nobody has written yet, and the end that yields them. It ends when every edge
    /// that has the log has ended.
    pub fn new(places: usize) -> (Self, Receiver<Box<AccessRecord>>) {
        let (queue, records) = sync_channel(places);
        (Self { queue, lost: Arc::default() }, records)
    }

    /// Requests that were not written. Who writes adds what the disk did not take.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    pub(crate) fn tell(&self, record: Box<AccessRecord>) {
        if self.queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

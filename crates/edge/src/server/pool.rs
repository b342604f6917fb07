//! One thread's connections to instances: no locks, reused while fresh.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::io::UpstreamStream;
use super::multiplex::Multiplexed;
use super::sender::Sender;
use crate::{EdgeBody, Limits, Protocol, Upstream};

/// Why an instance was not reached. Nothing of a request has been sent.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Nobody listens there (any more).
    Refused(io::Error),
    /// It takes no connection: its queue of them is full.
    TimedOut,
    /// It does not speak what it was said to speak.
    Gibberish,
}

struct Idle {
    sender: SendRequest<EdgeBody>,
    since: Instant,
}

/// Connections that wait for their next request. The upstream is kept beside them: its address in memory is the key, and so
/// stays its own.
#[derive(Default)]
struct Shelf {
    upstream: Option<Arc<Upstream>>,
    idle: Vec<Idle>,
}

pub(super) struct Pool {
    limits: Limits,
    shelves: RefCell<HashMap<*const Upstream, Shelf>>,
    multiplexed: Multiplexed,
    used: Notify,
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, shelves: RefCell::default(), multiplexed: Multiplexed::default(), used: Notify::new() }
    }

    /// A way to send a request to the instance, and whether it was used before. `fresh` asks for a new connection.
    pub(super) async fn reach(
        &self,
        upstream: &Arc<Upstream>,
        now: Instant,
        fresh: bool,
    ) -> Result<(Sender, bool), ConnectError> {
        if upstream.protocol() == Protocol::H2c {
            if self.is_empty() {
                self.used.notify_one();
            }
            let (place, reused) = self.multiplexed.reach(upstream, &self.limits, fresh).await?;
            return Ok((Sender::Http2(place), reused));
        }
        if !fresh && let Some(sender) = self.take(upstream, now) {
            return Ok((Sender::Http1(sender), true));
        }
        self.connect(upstream).await.map(|sender| (Sender::Http1(sender), false))
    }

    /// A connection that was used before and is still open, the latest first.
    fn take(&self, upstream: &Arc<Upstream>, now: Instant) -> Option<SendRequest<EdgeBody>> {
        let mut shelves = self.shelves.borrow_mut();
        let idle = &mut shelves.get_mut(&Arc::as_ptr(upstream))?.idle;
        while let Some(Idle { sender, since }) = idle.pop() {
            if now.saturating_duration_since(since) > self.limits.upstream_idle {
                // Those below are older still.
                idle.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, upstream: &Arc<Upstream>, sender: SendRequest<EdgeBody>) {
        if sender.is_closed() || upstream.is_draining() {
            return;
        }
        if self.is_empty() {
            self.used.notify_one();
        }
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.entry(Arc::as_ptr(upstream)).or_default();
        shelf.upstream.get_or_insert_with(|| Arc::clone(upstream));
        shelf.idle.push(Idle { sender, since: Instant::now() });
    }

    /// A new connection.
    async fn connect(&self, upstream: &Upstream) -> Result<SendRequest<EdgeBody>, ConnectError> {
        let stream = dial(upstream, &self.limits).await?;
        let opened = http1::Builder::new()
            .max_header_size(MAX_RESPONSE_HEAD as usize)
            .handshake(TokioIo::new(UpstreamStream::new(stream)))
            .await;
        // Nothing is exchanged yet, so there is nothing that could fail but the connection's end.
        let (sender, connection) = opened.map_err(|error| ConnectError::Refused(io::Error::other(error)))?;
        spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an instance broke");
            }
        });
        Ok(sender)
    }

    /// Resolves when the first connection has been put into an empty pool.
    pub(super) async fn used(&self) {
        if self.is_empty() {
            self.used.notified().await;
        }
    }

    fn is_empty(&self) -> bool {
        self.shelves.borrow().is_empty() && self.multiplexed.is_empty()
    }

    /// Closes what has been idle too long or leads to an instance that drains.
    pub(super) fn sweep(&self, now: Instant) {
        self.multiplexed.sweep(now, self.limits.upstream_idle);
        self.shelves.borrow_mut().retain(|_, shelf| {
            let drains = shelf.upstream.as_ref().is_none_or(|upstream| upstream.is_draining());
            shelf.idle.retain(|idle| {
                !drains && !idle.sender.is_closed() && now.saturating_duration_since(idle.since) <= self.limits.upstream_idle
            });
            !shelf.idle.is_empty()
        });
    }
}

/// An app's response may have a larger head than a visitor's request: cookies by the dozen.
pub(super) const MAX_RESPONSE_HEAD: u32 = 128 * 1024;

/// A stream to the instance.
pub(super) async fn dial(upstream: &Upstream, limits: &Limits) -> Result<TcpStream, ConnectError> {
    let stream = match tokio::time::timeout(limits.connect, TcpStream::connect(upstream.addr())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => return Err(ConnectError::TimedOut),
        Ok(Err(error)) => return Err(ConnectError::Refused(error)),
        Err(_) => return Err(ConnectError::TimedOut),
    };
    // Only delays, where it fails.
    drop(stream.set_nodelay(true));
    Ok(stream)
}

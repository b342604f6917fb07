//! One thread's connections to instances: no locks, reused while fresh.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::client::Client;
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

struct Idle<C> {
    connection: C,
    since: Instant,
}

/// A connection that waits.
trait Connection {
    fn is_usable(&self) -> bool;
}

impl Connection for SendRequest<EdgeBody> {
    fn is_usable(&self) -> bool {
        self.is_ready()
    }
}

impl Connection for Client {
    fn is_usable(&self) -> bool {
        self.is_usable()
    }
}

/// Connections that wait for their next request. The upstream is kept beside them: its address in memory is the key, and so
/// stays its own.
#[derive(Default)]
struct Shelf {
    upstream: Option<Arc<Upstream>>,
    /// hyper's.
    senders: Vec<Idle<SendRequest<EdgeBody>>>,
    /// Ours.
    clients: Vec<Idle<Client>>,
}

impl Shelf {
    fn is_empty(&self) -> bool {
        self.senders.is_empty() && self.clients.is_empty()
    }
}

/// The latest that is still open.
fn latest<C: Connection>(idle: &mut Vec<Idle<C>>, now: Instant, limit: Duration) -> Option<C> {
    while let Some(Idle { connection, since }) = idle.pop() {
        if now.saturating_duration_since(since) > limit {
            // Those below are older still.
            idle.clear();
            return None;
        }
        if connection.is_usable() {
            return Some(connection);
        }
    }
    None
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
            self.wake_sweeper();
            let (place, reused) = self.multiplexed.reach(upstream, &self.limits, fresh).await?;
            return Ok((Sender::Http2(place), reused));
        }
        if !fresh && let Some(sender) = self.take(upstream, now) {
            return Ok((Sender::Http1(sender), true));
        }
        self.connect(upstream).await.map(|sender| (Sender::Http1(sender), false))
    }

    /// A connection of our own client's, and whether it was used before.
    pub(super) async fn client(&self, upstream: &Upstream, now: Instant, fresh: bool) -> Result<(Client, bool), ConnectError> {
        if !fresh && let Some(client) = self.take_client(upstream, now) {
            return Ok((client, true));
        }
        // In a box, as all that is rare.
        Box::pin(self.connect_client(upstream, now, fresh)).await
    }

    async fn connect_client(&self, upstream: &Upstream, now: Instant, fresh: bool) -> Result<(Client, bool), ConnectError> {
        let mut arrival = upstream.arrive();
        if arrival.is_none() {
            arrival = upstream.arrive_in_turn().await;
            // Those before it may have done with theirs, which serve it as well.
            if !fresh && let Some(client) = self.take_client(upstream, now) {
                return Ok((client, true));
            }
        }
        Ok((Client::new(dial(upstream, &self.limits).await?, arrival), false))
    }

    fn take_client(&self, upstream: &Upstream, now: Instant) -> Option<Client> {
        let mut shelves = self.shelves.borrow_mut();
        latest(&mut shelves.get_mut(&std::ptr::from_ref(upstream))?.clients, now, self.limits.upstream_idle)
    }

    /// A connection that was used before and is still open.
    fn take(&self, upstream: &Arc<Upstream>, now: Instant) -> Option<SendRequest<EdgeBody>> {
        let mut shelves = self.shelves.borrow_mut();
        latest(&mut shelves.get_mut(&Arc::as_ptr(upstream))?.senders, now, self.limits.upstream_idle)
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, upstream: &Arc<Upstream>, sender: SendRequest<EdgeBody>) {
        if !sender.is_closed() {
            self.shelve(upstream, |shelf, since| shelf.senders.push(Idle { connection: sender, since }));
        }
    }

    /// Keeps a connection of our own client's.
    pub(super) fn put_client(&self, upstream: &Arc<Upstream>, client: Client) {
        self.shelve(upstream, |shelf, since| shelf.clients.push(Idle { connection: client, since }));
    }

    fn shelve(&self, upstream: &Arc<Upstream>, put: impl FnOnce(&mut Shelf, Instant)) {
        if upstream.is_draining() {
            return;
        }
        self.wake_sweeper();
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.entry(Arc::as_ptr(upstream)).or_default();
        shelf.upstream.get_or_insert_with(|| Arc::clone(upstream));
        put(shelf, Instant::now());
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

    /// Tells who sweeps that there will be something to sweep.
    fn wake_sweeper(&self) {
        if self.is_empty() {
            self.used.notify_one();
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
            let fresh = |since| !drains && now.saturating_duration_since(since) <= self.limits.upstream_idle;
            shelf.senders.retain(|idle| fresh(idle.since) && !idle.connection.is_closed());
            shelf.clients.retain(|idle| fresh(idle.since) && idle.connection.is_usable());
            !shelf.is_empty()
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

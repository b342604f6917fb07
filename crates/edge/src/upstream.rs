//! One instance as the edge sees it: an address, and the count of requests it has in flight.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;

/// Set in the count of an upstream that takes no more requests. Flag and count share one word, so that a request is either
/// counted before the flag is set, and waited for, or refused.
const DRAINING: u64 = 1 << 63;

/// Told when an instance gets its first request and when its last one ends: the seam for freezing and thawing.
///
/// Both run on the thread that serves the request, before it is forwarded and after it has ended, and must not block. With
/// requests coming and going on several threads calls may overtake each other: read [`Upstream::in_flight`] for the truth.
pub trait Activity: Send + Sync {
    /// A request is about to be forwarded, and none was in flight.
    fn busy(&self, upstream: &Upstream);
    /// The last request in flight has ended.
    fn idle(&self, upstream: &Upstream);
}

/// A ready instance of an app.
pub struct Upstream {
    id: Box<str>,
    addr: SocketAddr,
    count: AtomicU64,
    empty: Notify,
    activity: Option<Box<dyn Activity>>,
}

impl Upstream {
    /// An instance that accepts connections at `addr`. The id is control's own, and shown in the access log.
    pub fn new(id: impl Into<Box<str>>, addr: SocketAddr) -> Arc<Self> {
        Arc::new(Self::build(id.into(), addr, None))
    }

    /// Like [`Upstream::new`], with somebody who is told when it becomes busy and idle.
    pub fn with_activity(id: impl Into<Box<str>>, addr: SocketAddr, activity: Box<dyn Activity>) -> Arc<Self> {
        Arc::new(Self::build(id.into(), addr, Some(activity)))
    }

    fn build(id: Box<str>, addr: SocketAddr, activity: Option<Box<dyn Activity>>) -> Self {
        Self { id, addr, count: AtomicU64::new(0), empty: Notify::new(), activity }
    }

    /// The id that control gave.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests it has in flight. An open WebSocket or stream is one.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.count.load(Ordering::SeqCst) & !DRAINING).unwrap_or(usize::MAX)
    }

    /// Whether it takes no more requests.
    pub fn is_draining(&self) -> bool {
        self.count.load(Ordering::SeqCst) & DRAINING != 0
    }

    /// Counts one more request, unless the upstream drains or has `limit` of them.
    pub(crate) fn try_enter(&self, limit: usize) -> bool {
        let limit = limit as u64;
        let entered = self.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| (count < limit).then_some(count + 1));
        if entered == Ok(0)
            && let Some(activity) = &self.activity
        {
            activity.busy(self);
        }
        entered.is_ok()
    }

    /// Counts one request less.
    pub(crate) fn leave(&self) {
        let before = self.count.fetch_sub(1, Ordering::SeqCst);
        if before & !DRAINING == 1 {
            if let Some(activity) = &self.activity {
                activity.idle(self);
            }
            if before & DRAINING != 0 {
                self.empty.notify_waiters();
            }
        }
    }

    /// Takes no more requests from now on.
    pub(crate) fn drain(self: Arc<Self>) -> Drained {
        self.count.fetch_or(DRAINING, Ordering::SeqCst);
        Drained::new(self)
    }

    async fn emptied(self: Arc<Self>) {
        loop {
            let empty = self.empty.notified();
            let mut empty = std::pin::pin!(empty);
            empty.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("id", &self.id)
            .field("addr", &self.addr)
            .field("in_flight", &self.in_flight())
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

/// Resolves when a removed upstream has no request in flight any more. Dropping it does not stop the draining.
#[must_use = "the instance may be stopped only after this has resolved"]
pub struct Drained {
    upstream: Arc<Upstream>,
    emptied: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Drained {
    fn new(upstream: Arc<Upstream>) -> Self {
        Self { emptied: Box::pin(Arc::clone(&upstream).emptied()), upstream }
    }

    /// The upstream that drains.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.emptied.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Drained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Drained").field(&self.upstream).finish()
    }
}

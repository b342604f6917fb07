//! One instance as the edge sees it: an address, and the count of requests it has in flight.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::freeze::{Freeze, FreezeTimer, Freezing};

/// How long a freeze that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Set in the count of an upstream that takes no more requests. Flag and count share one word, so that a request is either
/// counted before the flag is set, and waited for, or refused.
const DRAINING: u64 = 1 << 63;

/// Set in the count of an upstream whose instance is frozen. In the same word, too: whoever counts the first request finds the
/// flag, clears it, and is the one who thaws.
const FROZEN: u64 = 1 << 62;
/// The bits that count.
const COUNT: u64 = !(DRAINING | FROZEN);

/// Connections that an instance may have before it that it has not accepted yet, as far as we know. The queue of the usual servers
/// holds 100 (asyncio, Tomcat) or more; what comes above is not refused but dropped by the kernel, and tries again after a second.
const ARRIVALS: usize = 96;
/// How long a connection waits for those before it. An instance that answers none in that time is slow, not unable to accept.
const ARRIVING: Duration = Duration::from_millis(50);

/// A new connection's place in an instance's queue; given up when the instance has begun to answer on it.
pub(crate) type Arrival = OwnedSemaphorePermit;

/// Whether a request was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// The instance drains, or has no room.
    No,
    /// It runs.
    Running,
    /// It was frozen, and has been thawed, which took this long.
    Thawed(Duration),
}

/// What an instance speaks on its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS and with prior knowledge (RFC 9113, 3.3), as gRPC servers do.
    H2c,
}

/// A ready instance of an app.
pub struct Upstream {
    id: Box<str>,
    addr: SocketAddr,
    protocol: OnceLock<Protocol>,
    count: AtomicU64,
    empty: Notify,
    arrivals: Arc<Semaphore>,
    freezing: Option<Freezing>,
}

impl Upstream {
    /// An instance that accepts connections at `addr`. The id is control's own, and shown in the access log.
    pub fn new(id: impl Into<Box<str>>, addr: SocketAddr) -> Arc<Self> {
        Arc::new(Self::build(id.into(), addr, None))
    }

    /// Like [`Upstream::new`], for an instance that is frozen once it has been without a request for `after`; but not before
    /// it has begun to work, as its first response or [`Upstream::started`] tells.
    pub fn freezable(
        id: impl Into<Box<str>>,
        addr: SocketAddr,
        control: Box<dyn Freeze>,
        after: Duration,
        timer: &FreezeTimer,
    ) -> Arc<Self> {
        Arc::new(Self::build(id.into(), addr, Some(Freezing::new(control, after, timer.clone()))))
    }

    fn build(id: Box<str>, addr: SocketAddr, freezing: Option<Freezing>) -> Self {
        let arrivals = Arc::new(Semaphore::new(ARRIVALS));
        Self { id, addr, protocol: OnceLock::new(), count: AtomicU64::new(0), empty: Notify::new(), arrivals, freezing }
    }

    /// The same instance, spoken to in this protocol. To be said once, before it takes requests.
    #[must_use]
    pub fn speaking(self: Arc<Self>, protocol: Protocol) -> Arc<Self> {
        self.protocol.get_or_init(|| protocol);
        self
    }

    /// What it speaks; HTTP/1.1 where nothing was said.
    pub fn protocol(&self) -> Protocol {
        self.protocol.get().copied().unwrap_or_default()
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
        usize::try_from(self.count.load(Ordering::SeqCst) & COUNT).unwrap_or(usize::MAX)
    }

    /// Whether it takes no more requests.
    pub fn is_draining(&self) -> bool {
        self.count.load(Ordering::SeqCst) & DRAINING != 0
    }

    /// Whether its processor has been taken away.
    pub fn is_frozen(&self) -> bool {
        self.count.load(Ordering::SeqCst) & FROZEN != 0
    }

    /// A place for a new connection, if there is one at once.
    pub(crate) fn arrive(&self) -> Option<Arrival> {
        Arc::clone(&self.arrivals).try_acquire_owned().ok()
    }

    /// A place for a new connection, after waiting for those before it, but not for long.
    pub(crate) async fn arrive_in_turn(&self) -> Option<Arrival> {
        tokio::time::timeout(ARRIVING, Arc::clone(&self.arrivals).acquire_owned()).await.ok()?.ok()
    }

    /// Its instance has begun to work: from now on it may be frozen.
    pub fn started(self: &Arc<Self>) {
        if let Some(freezing) = &self.freezing
            && freezing.set_started()
            && self.in_flight() == 0
        {
            freezing.idle(self);
        }
    }

    /// Counts one more request, unless the upstream drains or has `limit` of them. A frozen instance runs when this returns.
    pub(crate) fn try_enter(&self, limit: usize) -> Entered {
        let limit = limit as u64;
        let enter = |count: u64| (count & DRAINING == 0 && count & COUNT < limit).then_some((count & !FROZEN) + 1);
        match self.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter) {
            Err(_) => Entered::No,
            Ok(before) if before & FROZEN == 0 => Entered::Running,
            Ok(_) => self.thaw(),
        }
    }

    /// Thaws a frozen instance for a request that is about to come; it is frozen again after the usual delay if none does. How
    /// long that took, where it was frozen.
    pub(crate) fn stir(self: &Arc<Self>) -> Option<Duration> {
        let freezing = self.freezing.as_ref()?;
        let began = Instant::now();
        // Under the lock, since no request holds the instance: a freeze in between would be undone, and the flag would stay.
        match freezing.thaw_if(|| self.count.compare_exchange(FROZEN, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()) {
            Ok(true) => {
                let took = began.elapsed();
                freezing.idle(self);
                return Some(took);
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(upstream = self.id(), %error, "thaw an instance"),
        }
        None
    }

    #[cold]
    fn thaw(&self) -> Entered {
        let Some(freezing) = &self.freezing else { return Entered::Running };
        let began = Instant::now();
        // Where it fails the instance has ended; then the connection is refused, and the request goes elsewhere.
        if let Err(error) = freezing.thaw() {
            tracing::warn!(upstream = self.id(), %error, "thaw an instance");
        }
        Entered::Thawed(began.elapsed())
    }

    /// Counts one request less.
    pub(crate) fn leave(self: &Arc<Self>) {
        let before = self.count.fetch_sub(1, Ordering::SeqCst);
        if before & COUNT == 1 {
            if before & DRAINING != 0 {
                self.empty.notify_waiters();
            } else if let Some(freezing) = &self.freezing {
                freezing.idle(self);
            }
        }
    }

    /// Freezes it where it has been idle for long enough; otherwise says when to look again, if at all.
    pub(crate) fn freeze_when_idle(&self) -> Option<Instant> {
        let freezing = self.freezing.as_ref()?;
        let idle = || self.count.load(Ordering::SeqCst) == 0;
        if !idle() {
            freezing.disarm();
            // The last request may have ended between the look and the disarming, and found the timer armed.
            if !(idle() && freezing.rearm()) {
                return None;
            }
        }
        let due = freezing.due();
        if due > Instant::now() {
            return Some(due);
        }
        let frozen = freezing.freeze_if(|| self.count.compare_exchange(0, FROZEN, Ordering::SeqCst, Ordering::SeqCst).is_ok());
        freezing.disarm();
        let mut again = freezing.due();
        if let Err(error) = frozen {
            // It goes on running, which is what the count must say.
            self.count.fetch_and(!FROZEN, Ordering::SeqCst);
            tracing::warn!(upstream = self.id(), %error, "freeze an instance");
            again = Instant::now() + RETRY;
        }
        // Somebody may have come and gone between the freezing and the disarming.
        (idle() && freezing.rearm()).then_some(again)
    }

    /// Takes no more requests from now on.
    pub(crate) fn drain(self: Arc<Self>) -> Drained {
        self.count.fetch_or(DRAINING, Ordering::SeqCst);
        // From here on nothing is frozen any more; what is being written comes before the signal that ends the instance.
        if let Some(freezing) = &self.freezing {
            freezing.settle();
        }
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
            .field("frozen", &self.is_frozen())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn new_connections_come_in_turn_but_do_not_wait_for_long() {
        let upstream = Upstream::new("a-1", SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut before: Vec<Arrival> = std::iter::from_fn(|| upstream.arrive()).collect();
        assert_eq!(before.len(), ARRIVALS);
        let began = tokio::time::Instant::now();
        assert!(upstream.arrive_in_turn().await.is_none());
        assert_eq!(began.elapsed(), ARRIVING);
        let waiting = tokio::spawn({
            let upstream = Arc::clone(&upstream);
            async move { upstream.arrive_in_turn().await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(before.pop());
        assert!(waiting.await.unwrap());
        assert_eq!(began.elapsed(), ARRIVING);
    }
}

//! Taking the processor from instances that have nothing to do, and giving it back before they get a request.
//!
//! Whether an instance is frozen is one bit beside its count of requests in flight ([`crate::upstream`]), so a request either
//! finds it running or is the one that thaws it. The writes themselves happen under a lock for each instance: a thaw that
//! begins while the freeze is being written comes after it. Freezing waits for a moment without requests; a thread of its
//! own ([`FreezeTimer`]) does that, so that serving threads only ever thaw.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::Upstream;

/// Stops and continues all processes of an instance. Both calls are short; neither may wait for the instance.
pub trait Freeze: Send + Sync {
    /// Takes the processor away.
    fn freeze(&self) -> io::Result<()>;
    /// Gives it back; fine where it was never taken.
    fn thaw(&self) -> io::Result<()>;
}

/// Freezes instances once they have been without a request for long enough. Clones share one thread, which ends with the last.
#[derive(Debug, Clone)]
pub struct FreezeTimer {
    armed: mpsc::Sender<Armed>,
}

/// An instance to look at, and when.
struct Armed {
    at: Instant,
    upstream: Weak<Upstream>,
}

impl FreezeTimer {
    /// Starts the thread. It sleeps while no instance is about to be frozen.
    pub fn start() -> io::Result<Self> {
        let (armed, coming) = mpsc::channel();
        std::thread::Builder::new().name("freezer".to_owned()).spawn(move || run(&coming))?;
        Ok(Self { armed })
    }

    fn arm(&self, at: Instant, upstream: Weak<Upstream>) {
        // The thread ends only when nobody can send any more.
        let _ended = self.armed.send(Armed { at, upstream });
    }
}

fn run(coming: &mpsc::Receiver<Armed>) {
    let mut due: BinaryHeap<Reverse<Entry>> = BinaryHeap::new();
    let mut serial = 0;
    loop {
        let received = match due.peek() {
            None => coming.recv().map_err(|_ended| RecvTimeoutError::Disconnected),
            Some(Reverse(next)) => coming.recv_timeout(next.at.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(Armed { at, upstream }) => {
                serial += 1;
                due.push(Reverse(Entry { at, serial, upstream }));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while due.peek().is_some_and(|Reverse(next)| next.at <= Instant::now()) {
            let Some(Reverse(entry)) = due.pop() else { break };
            let Some(upstream) = entry.upstream.upgrade() else { continue };
            if let Some(at) = upstream.freeze_when_idle() {
                serial += 1;
                due.push(Reverse(Entry { at, serial, upstream: entry.upstream }));
            }
        }
    }
}

/// Ordered by time; the serial number keeps entries of the same time apart.
struct Entry {
    at: Instant,
    serial: u64,
    upstream: Weak<Upstream>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// What an upstream that may be frozen has in addition.
pub(crate) struct Freezing {
    control: Box<dyn Freeze>,
    after: Duration,
    timer: FreezeTimer,
    /// Held while `control` is written to, so that the writes come in the order of the decisions.
    write: Mutex<()>,
    /// The base of `idle_since`.
    base: Instant,
    /// When the last request ended, in nanoseconds after `base`.
    idle_since: AtomicU64,
    /// Whether the timer will look at it.
    armed: AtomicBool,
    /// Whether it has begun to work: what still starts is never frozen.
    started: AtomicBool,
}

impl Freezing {
    pub(crate) fn new(control: Box<dyn Freeze>, after: Duration, timer: FreezeTimer) -> Self {
        Self {
            control,
            after,
            timer,
            write: Mutex::default(),
            base: Instant::now(),
            idle_since: AtomicU64::new(0),
            armed: AtomicBool::new(false),
            started: AtomicBool::new(false),
        }
    }

    /// It has begun to work. Whether that is news.
    pub(crate) fn set_started(&self) -> bool {
        !self.started.load(Ordering::Relaxed) && !self.started.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }

    /// The last request has ended: the delay begins anew. Costs the serving thread a message only where none is under way.
    pub(crate) fn idle(&self, upstream: &Arc<Upstream>) {
        let since = u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.idle_since.store(since, Ordering::SeqCst);
        if self.has_started() && !self.armed.load(Ordering::SeqCst) && !self.armed.swap(true, Ordering::SeqCst) {
            self.timer.arm(self.due(), Arc::downgrade(upstream));
        }
    }

    /// The moment at which it has been idle for long enough.
    pub(crate) fn due(&self) -> Instant {
        self.base + Duration::from_nanos(self.idle_since.load(Ordering::SeqCst)) + self.after
    }

    /// The timer will not come back by itself.
    pub(crate) fn disarm(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }

    /// The timer comes back after all; `false` where somebody else has called it meanwhile.
    pub(crate) fn rearm(&self) -> bool {
        !self.armed.swap(true, Ordering::SeqCst)
    }

    /// Decides under the lock, and writes where `decide` says so.
    pub(crate) fn freeze_if(&self, decide: impl FnOnce() -> bool) -> io::Result<bool> {
        let _order = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        if !decide() {
            return Ok(false);
        }
        self.control.freeze().map(|()| true)
    }

    /// Decides under the lock, and thaws where `decide` says so.
    pub(crate) fn thaw_if(&self, decide: impl FnOnce() -> bool) -> io::Result<bool> {
        let _order = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        if !decide() {
            return Ok(false);
        }
        self.control.thaw().map(|()| true)
    }

    /// Writes, after whatever is being written.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        self.thaw_if(|| true).map(drop)
    }

    /// Returns once no write is under way.
    pub(crate) fn settle(&self) {
        drop(self.write.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests;

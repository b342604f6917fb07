//! Ending the connections of one thread in order.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use tokio::sync::Notify;

use crate::body::Patience;

/// A connection that can be told to end after what it is doing.
pub(super) trait Graceful: Future {
    /// No further request is taken; those in flight go on.
    fn end_gracefully(self: Pin<&mut Self>);

    /// Whether [`Self::end_gracefully`] tells the visitor in words, so that no request of his crosses the end on its way. HTTP/1.1
    /// has no such word but in an answer.
    fn announces_its_end(&self) -> bool;
}

/// How far the end of a thread's connections is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    /// Each ends with its next answer.
    Leaving,
    /// Each ends as soon as it is idle.
    Ending,
}

/// How long a connection may be idle, where its protocol does not say so itself.
pub(super) struct Idle<F> {
    pub(super) limit: Duration,
    pub(super) is_busy: F,
}

/// The connections of one thread. A flag that each looks at when it is polled anyway, instead of one more future to poll.
#[derive(Debug, Default)]
pub(super) struct Drain {
    phase: Cell<Phase>,
    next: Cell<u64>,
    wakers: RefCell<HashMap<u64, Waker>>,
    empty: Notify,
    ending: Notify,
}

impl Drain {
    /// Polls a connection to its end, telling it to end when the draining begins, or when it has been idle for as long as
    /// `idle` says; `None` where it did not end then.
    pub(super) async fn run<C: Graceful>(
        self: Rc<Self>,
        connection: C,
        idle: Option<Idle<impl Fn() -> bool>>,
    ) -> Option<C::Output> {
        let mut connection = pin!(connection);
        let mut idle = idle.map(|idle| (Patience::new(idle.limit), idle.is_busy));
        let entry = self.enter();
        let mut told = false;
        let mut registered = false;
        poll_fn(|cx| {
            if !registered {
                // The task's waker stays the same, since nothing lies between the task and this future that has its own.
                entry.wakes(cx.waker());
                registered = true;
            }
            let end = match self.phase.get() {
                Phase::Serving => false,
                Phase::Leaving => connection.announces_its_end(),
                Phase::Ending => true,
            };
            if end && !told {
                told = true;
                connection.as_mut().end_gracefully();
            }
            loop {
                if let Poll::Ready(output) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Some(output));
                }
                let Some((patience, is_busy)) = &mut idle else {
                    return Poll::Pending;
                };
                if is_busy() {
                    patience.moved();
                }
                ready!(patience.poll_exhausted(cx));
                if std::mem::replace(&mut told, true) {
                    return Poll::Ready(None);
                }
                connection.as_mut().end_gracefully();
            }
        })
        .await
    }

    /// Counts something that must end before the thread does: an upgraded connection.
    pub(super) fn enter(self: &Rc<Self>) -> Entry {
        let id = self.next.get();
        self.next.set(id + 1);
        self.wakers.borrow_mut().insert(id, Waker::noop().clone());
        Entry { drain: Rc::clone(self), id }
    }

    /// Whether an answer on HTTP/1.1 is its connection's last.
    pub(super) fn is_leaving(&self) -> bool {
        self.phase.get() != Phase::Serving
    }

    /// Waits until idle connections are to end.
    pub(super) async fn ending(&self) {
        while self.phase.get() != Phase::Ending {
            self.ending.notified().await;
        }
    }

    /// Lets each connection end with its next answer, and waits until all have ended.
    pub(super) async fn leave(&self) {
        self.enter_phase(Phase::Leaving).await;
    }

    /// Tells all connections to end, and waits until they have.
    pub(super) async fn drain(&self) {
        self.enter_phase(Phase::Ending).await;
    }

    async fn enter_phase(&self, phase: Phase) {
        self.phase.set(phase);
        if phase == Phase::Ending {
            self.ending.notify_waiters();
        }
        let wakers: Vec<Waker> = self.wakers.borrow().values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
        loop {
            let empty = self.empty.notified();
            if self.wakers.borrow().is_empty() {
                return;
            }
            empty.await;
        }
    }
}

/// A connection's place among those of its thread.
pub(super) struct Entry {
    drain: Rc<Drain>,
    id: u64,
}

impl Entry {
    /// Has this task told when idle connections are to end.
    pub(super) fn wakes(&self, waker: &Waker) {
        self.drain.wakers.borrow_mut().insert(self.id, waker.clone());
    }

    /// Whether idle connections are to end.
    pub(super) fn is_ending(&self) -> bool {
        self.drain.phase.get() == Phase::Ending
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut wakers = self.drain.wakers.borrow_mut();
        wakers.remove(&self.id);
        if wakers.is_empty() {
            self.drain.empty.notify_one();
        }
    }
}

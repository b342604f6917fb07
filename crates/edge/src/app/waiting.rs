//! The waiting room: requests for which no instance has room, first come, first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Lease;
use super::settings::{AppStatus, Failure, FailureKind};

/// Why a request got no instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Nothing has been deployed yet.
    NoRevision,
    /// The owner paused the app.
    Paused,
    /// An instance could not be started.
    Failed(Failure),
    /// Too many wait already.
    QueueFull,
    /// It waited in vain for room on an instance.
    QueueTimeout,
    /// It waited in vain for an instance to start.
    StartTimeout,
}

impl Denied {
    /// What a status denies, if anything.
    pub(super) fn from_status(status: &AppStatus) -> Option<Self> {
        match status {
            AppStatus::Active => None,
            AppStatus::NoRevision => Some(Self::NoRevision),
            AppStatus::Paused => Some(Self::Paused),
            AppStatus::Failed(failure) => Some(Self::Failed(failure.clone())),
        }
    }
}

type Settled = Result<Lease, Denied>;

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiters: VecDeque<(u64, oneshot::Sender<Settled>)>,
}

/// Requests that wait. The length is readable without the lock, so that nobody takes the lock while nobody waits.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom {
    queue: Mutex<Queue>,
    len: AtomicUsize,
}

impl WaitingRoom {
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a place at the end, where fewer than `limit` wait.
    pub(super) fn enter(&self, limit: usize) -> Option<Ticket<'_>> {
        let mut queue = self.lock();
        if queue.waiters.len() >= limit {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let id = queue.next;
        queue.next += 1;
        queue.waiters.push_back((id, sender));
        self.len.store(queue.waiters.len(), Ordering::SeqCst);
        Some(Ticket { room: self, id, receiver })
    }

    /// Gives places to those that wait, the oldest first, until nobody waits or `pick` has none.
    ///
    /// Whoever frees a place looks at the length afterwards, and whoever enters picks afterwards: one of the two sees the other.
    pub(super) fn admit(&self, mut pick: impl FnMut() -> Option<Lease>) {
        // A place that its receiver did not live to take; handed to the next. Dropped outside of the lock, since dropping
        // a place admits again.
        let mut left: Option<Lease> = None;
        loop {
            let sender = {
                let mut queue = self.lock();
                if queue.waiters.is_empty() {
                    break;
                }
                if left.is_none() {
                    left = pick();
                }
                if left.is_none() {
                    break;
                }
                let sender = queue.waiters.pop_front();
                self.len.store(queue.waiters.len(), Ordering::SeqCst);
                sender
            };
            if let (Some((_, sender)), Some(lease)) = (sender, left.take()) {
                left = sender.send(Ok(lease)).err().and_then(Result::ok);
            }
        }
    }

    /// Sends everybody away.
    pub(super) fn deny_all(&self, denied: &Denied) {
        let waiters = {
            let mut queue = self.lock();
            self.len.store(0, Ordering::SeqCst);
            std::mem::take(&mut queue.waiters)
        };
        for (_, sender) in waiters {
            // The receiver may have gone meanwhile; then nobody is left to tell.
            drop(sender.send(Err(denied.clone())));
        }
    }

    fn leave(&self, id: u64) {
        let mut queue = self.lock();
        // The ids ascend in the queue.
        if let Ok(index) = queue.waiters.binary_search_by_key(&id, |(id, _)| *id) {
            queue.waiters.remove(index);
            self.len.store(queue.waiters.len(), Ordering::SeqCst);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is consistent between any two statements, so a panic elsewhere under the lock left it so.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the waiting room, given up when it is dropped.
pub(super) struct Ticket<'a> {
    room: &'a WaitingRoom,
    id: u64,
    receiver: oneshot::Receiver<Settled>,
}

impl Ticket<'_> {
    /// Whether it has its answer already.
    pub(super) fn is_settled(&self) -> bool {
        !self.receiver.is_empty()
    }

    /// Waits for the answer.
    pub(super) async fn settled(mut self) -> Settled {
        let gone = Failure::new(FailureKind::Gone, "The app is gone", "It was removed while this request waited.");
        (&mut self.receiver).await.unwrap_or(Err(Denied::Failed(gone)))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.room.leave(self.id);
    }
}

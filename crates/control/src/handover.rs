//! The platform's part in an upgrade: what is in use goes on in a successor, and nothing is changed while that takes over.

use std::sync::Arc;
use std::time::Duration;

use api::{ErrorBody, ErrorCode, InstanceState};
use database::DatabaseError;
use futures_util::{StreamExt, stream};
use model::AppName;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::Control;
use crate::error::Result;
use crate::runtime::Command;

/// Apps that are started at the same time for a hand-over: there are visitors to be served meanwhile.
const AT_ONCE: usize = 4;

/// How long ago the last request of an app may be that is in use.
const RECENT: Duration = Duration::from_mins(5);

/// How long an app's task may take to tell.
const BUSY: Duration = Duration::from_secs(5);

/// An app that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// The app.
    pub app: AppName,
    /// Whether this is about the revision that a part of the visitors gets.
    #[serde(default)]
    pub side: bool,
    /// Its instances that are ready for requests.
    pub instances: u32,
    /// For how long it had no request, in seconds; those that have waited least are started first.
    pub quiet_seconds: u64,
}

/// A change that is being made. The platform is not handed over before it is dropped.
#[derive(Debug)]
pub struct Change {
    _counted: TaskTrackerToken,
}

impl Control {
    /// Begins a change. Refused while the platform is handed over.
    pub fn begin_change(&self) -> Result<Change> {
        // Counted first: who stops changes then sees this one, or this one sees that.
        let counted = self.inner.changes.token();
        if self.inner.quiet.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(ErrorBody::new(ErrorCode::Unavailable, "the platform is being upgraded").help("try again in a moment"));
        }
        Ok(Change { _counted: counted })
    }

    /// Refuses changes from now on, and waits for those that have begun, deployments among them. May be given up.
    pub async fn quiesce(&self) {
        self.inner.quiet.store(true, std::sync::atomic::Ordering::SeqCst);
        self.inner.changes.close();
        loop {
            self.inner.changes.wait().await;
            self.inner.quieted.store(true, std::sync::atomic::Ordering::SeqCst);
            // Who came in between has seen that nothing is refused; who comes from here on sees that it is.
            if self.inner.changes.is_empty() {
                return;
            }
            self.inner.quieted.store(false, std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// Lets images of servers be fetched and unpacked only as a part of a change, or as one: a successor collects garbage, and knows
    /// nothing of what is not whole yet. A deployment that has begun may go on to fetch one while the platform waits for its end.
    pub(crate) fn gate_images(&self) {
        let inner = Arc::downgrade(&self.inner);
        self.inner.images.set_gate(Box::new(move || {
            let refused = || DatabaseError::Server("the platform is being upgraded; try again in a moment".to_owned());
            let inner = inner.upgrade().ok_or_else(refused)?;
            // Counted first, as above.
            let counted = inner.changes.token();
            if inner.quieted.load(std::sync::atomic::Ordering::SeqCst) {
                return Err(refused());
            }
            Ok(Box::new(Change { _counted: counted }))
        }));
    }

    /// Takes changes again.
    pub fn resume_changes(&self) {
        self.inner.quiet.store(false, std::sync::atomic::Ordering::SeqCst);
        self.inner.quieted.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    /// The apps whose deployments have not ended.
    pub fn deploying(&self) -> Vec<AppName> {
        let busy = self.inner.registry.all().into_iter().filter(|entry| entry.queue.is_busy());
        busy.map(|entry| entry.name.clone()).collect()
    }

    /// What is in use now, the most recent first: apps that had a request not long ago, and have instances that are ready (frozen
    /// ones are). The others wake at their next request, as they would have a little later anyway.
    pub async fn in_use(&self) -> Vec<InUse> {
        let entries = self.inner.registry.all();
        let parts = entries.iter().flat_map(|entry| {
            let parts = entry.parts().zip([false, true]);
            parts.map(|((handle, mailbox), side)| (entry.name.clone(), handle, mailbox, side))
        });
        let asked = parts.map(|(app, handle, mailbox, side)| async move {
            let (reply, answer) = oneshot::channel();
            mailbox.send(Command::Status(reply)).ok()?;
            // A task that is busy ending instances has none to pass on.
            let list = tokio::time::timeout(BUSY, answer).await.ok()?.ok()?;
            let ready = list.iter().filter(|it| matches!(it.state, InstanceState::Ready | InstanceState::Frozen)).count();
            let instances = u32::try_from(ready).ok().filter(|ready| *ready > 0)?;
            let quiet = handle.idle_for().unwrap_or_default();
            (quiet <= RECENT).then_some(InUse { app, side, instances, quiet_seconds: quiet.as_secs() })
        });
        let mut list: Vec<_> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        list.sort_by_key(|it| it.quiet_seconds);
        list
    }

    /// Starts what another platform had in use, and waits until it has answered a first request (accepting a connection proves nothing),
    /// but not for longer than `patience`. An app that does not start is left to its next visitor, who gets to see why.
    pub async fn prepare_instances(&self, list: Vec<InUse>, patience: Duration) {
        let starts = stream::iter(list).for_each_concurrent(AT_ONCE, |wanted| async move {
            let Some(entry) = self.inner.registry.get(wanted.app.as_str()) else { return };
            let Some((_, mailbox)) = entry.parts().nth(usize::from(wanted.side)) else { return };
            let (done, mut works) = mpsc::channel(1);
            if mailbox.send(Command::Prepare { instances: wanted.instances, done }).is_ok() {
                // Nothing is sent; it ends when nobody is left who could.
                let _works_or_failed = works.recv().await;
            }
        });
        if tokio::time::timeout(patience, starts).await.is_err() {
            tracing::warn!("some apps were not ready in time; their next visitors wait for them");
        }
    }
}

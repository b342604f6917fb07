//! The apps of a running platform: each with its task, its entry at the edge, and its log.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use edge::{Activate, AppHandle, Drained};
use model::{AppName, RevisionNumber};
use store::AppId;
use tokio::sync::Mutex;

use crate::deploy::Queue;
use crate::output::AppLog;
use crate::runtime::{Command, Mailbox};
use crate::spec::Specs;

/// An app of a running platform.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number in the store.
    pub(crate) id: AppId,
    /// Its name.
    pub(crate) name: AppName,
    /// How its containers are described.
    pub(crate) specs: Arc<Specs>,
    /// Its entry at the edge.
    pub(crate) handle: Arc<AppHandle>,
    /// Its log.
    pub(crate) log: AppLog,
    /// Where its logs lie.
    pub(crate) directory: PathBuf,
    /// Its task's mailbox.
    pub(crate) mailbox: Mailbox,
    /// Its deployments, one at a time.
    pub(crate) queue: Queue,
    /// Held while the settings document is read, changed and written, so that two changes don't lose one.
    pub(crate) settings: Mutex<()>,
    /// The revision that a part of the visitors gets.
    pub(crate) side: std::sync::Mutex<Option<Arc<Side>>>,
}

/// Another revision of an app, that a part of its visitors gets.
#[derive(Debug)]
pub(crate) struct Side {
    /// The revision.
    pub(crate) revision: RevisionNumber,
    /// Its entry at the edge.
    pub(crate) handle: Arc<AppHandle>,
    /// Its task's mailbox.
    pub(crate) mailbox: Mailbox,
}

impl Entry {
    /// The revision that a part of the visitors gets.
    pub(crate) fn side(&self) -> Option<Arc<Side>> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in its place; the one before is the caller's to end.
    pub(crate) fn set_side(&self, side: Option<Arc<Side>>) -> Option<Arc<Side>> {
        std::mem::replace(&mut *self.side.lock().unwrap_or_else(PoisonError::into_inner), side)
    }

    /// All of the app that the edge knows, each with its task's mailbox.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Arc<AppHandle>, Mailbox)> {
        let side = self.side().map(|side| (Arc::clone(&side.handle), side.mailbox.clone()));
        std::iter::once((Arc::clone(&self.handle), self.mailbox.clone())).chain(side)
    }
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: RwLock<HashMap<String, Arc<Entry>>>,
}

impl Registry {
    pub(crate) fn insert(&self, entry: Arc<Entry>) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(entry.name.to_string(), entry);
    }

    pub(crate) fn remove(&self, name: &AppName) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Registry {
    fn send(&self, app: &Arc<AppHandle>, command: Command) {
        let Some(entry) = self.get(app.name()) else { return };
        let found = entry.parts().find(|(handle, _)| Arc::ptr_eq(handle, app));
        if let Some((_, mailbox)) = found {
            // A mailbox is closed only while its app is being deleted; then the handle's status answers the visitors.
            let _closed = mailbox.send(command);
        }
    }
}

impl Activate for Registry {
    fn wake(&self, app: &Arc<AppHandle>) {
        self.send(app, Command::Wake);
    }

    fn resumed(&self, app: &Arc<AppHandle>) {
        self.send(app, Command::Resumed);
    }

    fn refused(&self, app: &Arc<AppHandle>, drained: Drained) {
        self.send(app, Command::Refused(drained));
    }
}

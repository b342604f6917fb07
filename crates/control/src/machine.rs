//! What all apps share of the machine: turns to start, memory, and the thread that freezes.
//!
//! A start is admitted when it is its turn and its memory is there. Where memory lacks, instances that are frozen make room, the
//! one that has been without a request for longest first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge::{AppHandle, FreezeTimer};
use engine::Engine;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;

use crate::registry::Registry;
use crate::runtime::Command;

/// Starts at the same time, for each core: more would only make all of them late.
const STARTS_PER_CORE: usize = 2;
/// After how long a start leaves its turn to the next: one that takes minutes waits for something, not for a core.
const TURN: Duration = Duration::from_secs(3);
/// How often memory is looked at, while instances run.
const LOOK: Duration = Duration::from_secs(2);

/// What an instance is taken to need as long as none has shown it, in bytes.
pub(crate) const UNKNOWN_NEED: u64 = 128 * 1024 * 1024;

/// What a platform is told of the machine that its apps share.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// After how long without a request an instance is frozen, where its settings don't say; `None` for never.
    pub freeze_after: Option<Duration>,
    /// Memory that no instance is started into, in bytes.
    pub memory_reserve: u64,
}

/// The machine, as apps share it.
#[derive(Debug)]
pub(crate) struct Machine {
    sharing: Sharing,
    freezer: FreezeTimer,
    registry: Arc<Registry>,
    turns: Arc<Semaphore>,
    /// Held by the one start that makes room.
    making_room: tokio::sync::Mutex<()>,
    /// Memory promised to instances that are starting, in bytes.
    promised: Arc<Mutex<u64>>,
    /// There are instances.
    awake: Notify,
}

/// A start's turn and its memory, until it has ended.
#[derive(Debug)]
pub(crate) struct Place {
    promised: Arc<Mutex<u64>>,
    need: u64,
    /// Holds the turn, and gives it back when the start takes long.
    turn: AbortHandle,
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.promised.lock().unwrap_or_else(PoisonError::into_inner) -= self.need;
        self.turn.abort();
    }
}

impl Machine {
    pub(crate) fn new(sharing: Sharing, registry: Arc<Registry>) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            sharing,
            freezer: FreezeTimer::start()?,
            registry,
            turns: Arc::new(Semaphore::new(cores * STARTS_PER_CORE)),
            making_room: tokio::sync::Mutex::default(),
            promised: Arc::default(),
            awake: Notify::new(),
        })
    }

    pub(crate) fn freezer(&self) -> &FreezeTimer {
        &self.freezer
    }

    pub(crate) fn freeze_after(&self) -> Option<Duration> {
        self.sharing.freeze_after
    }

    /// There are instances: memory is to be looked after.
    pub(crate) fn awake(&self) {
        self.awake.notify_one();
    }

    /// Waits for a start's turn and makes room for `need` bytes; an error says why there is none.
    pub(crate) async fn admit(&self, engine: &Arc<dyn Engine>, need: u64) -> Result<Place, String> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|closed| closed.to_string())?;
        let mut place = Place { promised: Arc::clone(&self.promised), need: 0, turn: give_back_later(turn) };
        let _alone = self.making_room.lock().await;
        loop {
            let free = engine.room().await;
            let left = match self.promise(free, need) {
                Ok(()) => {
                    place.need = need;
                    return Ok(place);
                }
                Err(left) => left,
            };
            if !self.evict().await {
                let mb = |bytes: u64| bytes / (1024 * 1024);
                return Err(format!(
                    "{} MB of memory are free, of which {} MB are kept back; it needs about {} MB",
                    mb(left),
                    mb(self.sharing.memory_reserve),
                    mb(need)
                ));
            }
        }
    }

    /// Promises memory where there is enough; otherwise says how much is left of what is free.
    fn promise(&self, free: Option<u64>, need: u64) -> Result<(), u64> {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let left = free.map_or(u64::MAX, |free| free.saturating_sub(*promised));
        if left < self.sharing.memory_reserve.saturating_add(need) {
            return Err(left);
        }
        *promised += need;
        Ok(())
    }

    /// Stops the instance that has been frozen for longest; whether there was one.
    async fn evict(&self) -> bool {
        let parts = self.registry.all().into_iter().flat_map(|entry| entry.parts().collect::<Vec<_>>());
        let mut sleeping: Vec<_> = parts.filter(|(handle, _)| is_frozen(handle)).collect();
        sleeping.sort_by_key(|(handle, _)| std::cmp::Reverse(handle.idle_for()));
        for (_, mailbox) in sleeping {
            let (reply, answer) = oneshot::channel();
            if mailbox.send(Command::Evict(reply)).is_ok() && answer.await == Ok(true) {
                return true;
            }
        }
        false
    }

    /// Looks after the machine's memory as long as there are instances.
    pub(crate) async fn watch(self: Arc<Self>, engine: Arc<dyn Engine>) {
        loop {
            self.awake.notified().await;
            // Told a moment before the edge has the instance.
            tokio::time::sleep(LOOK).await;
            while self.registry.all().iter().any(|entry| entry.parts().any(|(handle, _)| !handle.upstreams().is_empty())) {
                tokio::time::sleep(LOOK).await;
                let lacks = |free: u64| free < self.sharing.memory_reserve;
                while engine.room().await.is_some_and(lacks) {
                    let _alone = self.making_room.lock().await;
                    if !self.evict().await {
                        break;
                    }
                }
            }
        }
    }
}

fn is_frozen(handle: &AppHandle) -> bool {
    handle.upstreams().iter().any(|upstream| upstream.is_frozen())
}

/// Keeps a turn for as long as a usual start takes; the handle gives it back before.
fn give_back_later(turn: OwnedSemaphorePermit) -> AbortHandle {
    let keeping = tokio::spawn(async move {
        tokio::time::sleep(TURN).await;
        drop(turn);
    });
    keeping.abort_handle()
}

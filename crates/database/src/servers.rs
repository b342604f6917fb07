//! Servers in containers: started when somebody needs them, kept running as long as that lasts, then stopped in order.
//!
//! A kind of database describes a [`Server`]; [`Servers::awake`] gives a [`Lease`] on it. Concurrent leases share one start. Some
//! seconds after the last lease has been dropped the server is stopped. One that crashes is started again, at the same address,
//! and its leases stay valid.

mod supervise;
mod tail;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::{ContainerId, ContainerSpec, Engine, HostEntry, Link};
use tokio::sync::watch;

use crate::{DatabaseError, Result};

/// What a server is, and how it is known to be well.
#[async_trait]
pub trait Server: Send + Sync + fmt::Debug + 'static {
    /// The name of its container, by which it is told from others: `db-…`.
    fn id(&self) -> &ContainerId;

    /// Its container as it is to be now; asked before each start, so that changed settings count. It must keep its address
    /// ([`ContainerSpec::keeps_address`]), where somebody else than the platform connects to it.
    async fn container(&self) -> Result<ContainerSpec>;

    /// The port on which it listens.
    fn port(&self) -> u16;

    /// Whether it accepts connections and answers. Asked again every few milliseconds while it starts.
    async fn ready(&self, address: SocketAddr) -> bool;

    /// The signal that stops it in order.
    fn stop_signal(&self) -> i32 {
        SIGTERM
    }

    /// How long it may take to stop, before it is killed.
    fn grace(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// How long it may take to be ready: a recovery after a crash reads all that was written since the last checkpoint.
    fn patience(&self) -> Duration {
        Duration::from_mins(2)
    }
}

/// Ends a program in order, says every program that knows nothing else (signal(7)).
const SIGTERM: i32 = 15;

/// How long servers are waited for and kept.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a server that nobody needs goes on, for whoever comes back at once.
    pub linger: Duration,
    /// How long a volume may be busy: a platform that is being replaced has it until its last app has ended.
    pub busy: Duration,
    /// The pause before a server that has crashed, or did not start, is started again; doubled each time, up to `longest_pause`.
    pub pause: Duration,
    /// The longest such pause. One that ran as long as this begins anew with the shortest.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(5),
            busy: Duration::from_mins(1),
            pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// Every server that runs, or is about to.
#[derive(Clone)]
pub struct Servers {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<dyn Engine>,
    timing: Timing,
    state: Mutex<State>,
    /// How many servers are looked after.
    count: watch::Sender<usize>,
    /// Whether servers are started; before, those that run already are all that there is.
    open: watch::Sender<bool>,
    /// Whether servers that nobody needs are stopped.
    stops: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    entries: HashMap<ContainerId, Arc<Entry>>,
    closed: bool,
}

/// One server that is looked after by a task of its own.
struct Entry {
    id: ContainerId,
    server: Mutex<Arc<dyn Server>>,
    phase: watch::Sender<Phase>,
    /// Leases, and those who wait for one.
    holders: watch::Sender<usize>,
    order: watch::Sender<Order>,
}

/// How a server is.
#[derive(Debug, Clone, Default)]
struct Phase {
    /// Where it answers; `None` while it does not.
    address: Option<SocketAddr>,
    /// Starts that failed so far.
    failures: u64,
    /// Why the last of them did.
    error: Option<DatabaseError>,
}

/// What is wanted of a server beside running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// Nothing.
    Run,
    /// That it is stopped as soon as nobody has a lease, without lingering.
    Renew,
    /// That it is stopped now, and not started again.
    End,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("running", &self.running()).finish_non_exhaustive()
    }
}

impl Servers {
    /// No server yet. Must be used within a runtime.
    pub fn new(engine: Arc<dyn Engine>, timing: Timing) -> Self {
        let channels = (watch::channel(0).0, watch::channel(true).0, watch::channel(true).0);
        let (count, open, stops) = channels;
        Self { inner: Arc::new(Inner { engine, timing, state: Mutex::new(State::default()), count, open, stops }) }
    }

    /// Whether servers are started. Where they are not, because another platform still talks to the engine, those that run are
    /// found, and who needs another one waits.
    pub fn set_open(&self, open: bool) {
        self.inner.open.send_replace(open);
    }

    /// Whether servers that nobody needs are stopped. While a platform is handed over, they stay as they are.
    pub fn set_stops(&self, stops: bool) {
        self.inner.stops.send_replace(stops);
    }

    /// The engine that runs them.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.inner.engine
    }

    /// Starts a server unless it runs, waits until it answers, and keeps it running as long as the lease lives. What is given here
    /// describes the next start of a server that is known already.
    pub async fn awake(&self, server: Arc<dyn Server>) -> Result<Lease> {
        let hold = self.hold(server)?;
        let mut phase = hold.entry.phase.subscribe();
        let before = phase.borrow().failures;
        loop {
            {
                let phase = phase.borrow_and_update();
                if let Some(address) = phase.address {
                    return Ok(Lease { address, hold: hold.clone_inner() });
                }
                if phase.failures > before {
                    return Err(phase.error.clone().unwrap_or_else(|| DatabaseError::Server("it does not start".to_owned())));
                }
            }
            if phase.changed().await.is_err() {
                return Err(ended());
            }
        }
    }

    /// Stops a server in order, now, whoever has a lease on it, and returns once nothing of it is left. Fine where it does not run.
    pub async fn stop(&self, id: &ContainerId) {
        let Some(entry) = self.inner.lock().entries.get(id).cloned() else { return };
        entry.order.send_replace(Order::End);
        let mut count = self.inner.count.subscribe();
        while self.inner.lock().entries.get(id).is_some_and(|now| Arc::ptr_eq(now, &entry)) {
            if count.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets a server be started anew, with changed settings, as soon as nobody has a lease on it.
    pub fn renew(&self, id: &ContainerId) {
        if let Some(entry) = self.inner.lock().entries.get(id) {
            entry.order.send_if_modified(|order| {
                let changes = *order < Order::Renew;
                *order = (*order).max(Order::Renew);
                changes
            });
        }
    }

    /// The servers that run, or are being started or stopped.
    pub fn running(&self) -> Vec<ContainerId> {
        let mut ids: Vec<_> = self.inner.lock().entries.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Stops all servers in order, and starts none again.
    pub async fn shutdown(&self) {
        {
            let mut state = self.inner.lock();
            state.closed = true;
            for entry in state.entries.values() {
                entry.order.send_replace(Order::End);
            }
        }
        let mut count = self.inner.count.subscribe();
        // What it gives locks the number, and must not live on.
        drop(count.wait_for(|count| *count == 0).await);
    }

    fn hold(&self, server: Arc<dyn Server>) -> Result<Hold> {
        let mut state = self.inner.lock();
        if state.closed {
            return Err(DatabaseError::Server("the platform is stopping".to_owned()));
        }
        let entry = if let Some(entry) = state.entries.get(server.id()) {
            *entry.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
            Arc::clone(entry)
        } else {
            let entry = Arc::new(Entry {
                id: server.id().clone(),
                server: Mutex::new(server),
                phase: watch::channel(Phase::default()).0,
                holders: watch::channel(0).0,
                order: watch::channel(Order::Run).0,
            });
            state.entries.insert(entry.id.clone(), Arc::clone(&entry));
            self.inner.count.send_modify(|count| *count += 1);
            tokio::spawn(supervise::supervise(Arc::clone(&self.inner), Arc::clone(&entry)));
            entry
        };
        entry.holders.send_modify(|holders| *holders += 1);
        drop(state);
        Ok(Hold { entry })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn server(&self) -> Arc<dyn Server> {
        Arc::clone(&self.server.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn ended() -> DatabaseError {
    DatabaseError::Server("it has been stopped".to_owned())
}

/// Counts somebody who needs a server.
struct Hold {
    entry: Arc<Entry>,
}

impl Hold {
    /// One more of the same.
    fn clone_inner(&self) -> Self {
        self.entry.holders.send_modify(|holders| *holders += 1);
        Self { entry: Arc::clone(&self.entry) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.entry.holders.send_modify(|holders| *holders -= 1);
    }
}

/// Keeps a server running.
pub struct Lease {
    address: SocketAddr,
    hold: Hold,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("server", &self.hold.entry.id).field("address", &self.address).finish()
    }
}

impl Lease {
    /// Where the server answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a container needs to reach the server under the name that its certificate bears.
    pub(crate) fn links(&self, host: &str) -> Vec<Link> {
        match self.address {
            SocketAddr::V4(to) => vec![Link { host: HostEntry::parse(host).ok(), address: *to.ip(), port: to.port() }],
            SocketAddr::V6(_) => Vec::new(),
        }
    }

    /// Waits until the server answers again, after a crash; an error where its next start fails, or it has been stopped for good.
    pub async fn answers(&self) -> Result<()> {
        let mut phase = self.hold.entry.phase.subscribe();
        let before = phase.borrow().failures;
        let mut order = self.hold.entry.order.subscribe();
        tokio::select! {
            _ended = order.wait_for(|order| *order == Order::End) => Err(ended()),
            settled = phase.wait_for(|phase| phase.address.is_some() || phase.failures > before) => match settled {
                Ok(phase) if phase.address.is_some() => Ok(()),
                Ok(phase) => Err(phase.error.clone().unwrap_or_else(ended)),
                Err(_ended) => Err(ended()),
            },
        }
    }
}

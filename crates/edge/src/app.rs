//! An app as the edge sees it: its instances, its limits, its waiting room and its figures.

pub(crate) mod counters;
pub(crate) mod hour;
pub(crate) mod minutes;
pub(crate) mod settings;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::upstream::{Drained, Entered, Protocol, Upstream};
use counters::AppCounters;
use settings::{AppSettings, AppStatus, Failure};
pub(crate) use waiting::Denied;
use waiting::WaitingRoom;

/// How the edge asks control for instances. The calls come from the threads that serve: they must not block.
pub trait Activate: Send + Sync {
    /// A request waits because no instance of `app` has room. Comes once for each request that waits: asking for one more
    /// instance only where none is starting, and none may be added, is control's decision.
    fn wake(&self, app: &Arc<AppHandle>);

    /// A request has come to an app whose control had asked to be told ([`AppHandle::watch`]).
    fn resumed(&self, app: &Arc<AppHandle>);

    /// An instance refused a connection. The edge has taken it out already; it comes back only by
    /// [`AppHandle::add_upstream`] with a new [`Upstream`]. `drained` resolves when what it has in flight has ended.
    fn refused(&self, app: &Arc<AppHandle>, drained: Drained);
}

/// An app's instances, limits, waiting room and figures. Shared by control, which feeds it, and the threads that serve.
#[derive(Debug)]
pub struct AppHandle {
    name: Box<str>,
    settings: ArcSwap<AppSettings>,
    status: ArcSwap<AppStatus>,
    upstreams: ArcSwap<Vec<Arc<Upstream>>>,
    waiting: WaitingRoom,
    counters: Arc<AppCounters>,
    split: ArcSwapOption<Split>,
    in_flight: AtomicUsize,
    /// The base of `last_request`.
    created: Instant,
    /// When the last request ended, in milliseconds after `created`.
    last_request: AtomicU64,
    /// The time that all requests took that have ended, in microseconds.
    busy: AtomicU64,
    /// Whether control is to be told of the next request.
    watched: AtomicBool,
}

/// The part of the requests that another revision gets.
#[derive(Debug)]
struct Split {
    percent: u8,
    other: Arc<AppHandle>,
    turn: AtomicU64,
}

impl Split {
    /// Spreads the turns evenly: after each hundred, exactly so many were the other's.
    fn is_others_turn(&self) -> bool {
        let (turn, percent) = (self.turn.fetch_add(1, Ordering::Relaxed) % 100, u64::from(self.percent));
        (turn + 1) * percent / 100 != turn * percent / 100
    }
}

impl AppHandle {
    /// An app without instances.
    pub fn new(name: impl Into<Box<str>>, settings: AppSettings, status: AppStatus) -> Arc<Self> {
        Arc::new(Self::build(name.into(), settings, status, Arc::default()))
    }

    /// Another revision of the same app: with instances and a waiting room of its own, counted with the first.
    pub fn beside(&self, settings: AppSettings, status: AppStatus) -> Arc<Self> {
        Arc::new(Self::build(self.name.clone(), settings, status, Arc::clone(&self.counters)))
    }

    fn build(name: Box<str>, settings: AppSettings, status: AppStatus, counters: Arc<AppCounters>) -> Self {
        Self {
            name,
            settings: ArcSwap::from_pointee(settings),
            status: ArcSwap::from_pointee(status),
            upstreams: ArcSwap::from_pointee(Vec::new()),
            waiting: WaitingRoom::default(),
            counters,
            split: ArcSwapOption::empty(),
            in_flight: AtomicUsize::new(0),
            created: Instant::now(),
            last_request: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            watched: AtomicBool::new(false),
        }
    }

    /// The app's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its limits.
    pub fn settings(&self) -> Arc<AppSettings> {
        self.settings.load_full()
    }

    pub(crate) fn settings_now(&self) -> arc_swap::Guard<Arc<AppSettings>> {
        self.settings.load()
    }

    /// Changes its limits, for requests from now on.
    pub fn set_settings(self: &Arc<Self>, settings: AppSettings) {
        self.settings.store(Arc::new(settings));
        self.admit_waiting();
    }

    /// Whether it serves.
    pub fn status(&self) -> Arc<AppStatus> {
        self.status.load_full()
    }

    /// Changes whether it serves. Requests that wait are answered at once where it does not.
    pub fn set_status(&self, status: AppStatus) {
        let denied = Denied::from_status(&status);
        self.status.store(Arc::new(status));
        if let Some(denied) = denied {
            self.waiting.deny_all(&denied);
        }
    }

    /// Sends so many of a hundred requests to another revision of the app; all to this one where there is none.
    pub fn set_split(&self, split: Option<(u8, Arc<Self>)>) {
        self.split.store(split.map(|(percent, other)| Arc::new(Split { percent, other, turn: AtomicU64::new(0) })));
    }

    /// The revision whose turn it is.
    pub(crate) fn choose(self: &Arc<Self>) -> Arc<Self> {
        match &*self.split.load() {
            Some(split) if split.is_others_turn() => Arc::clone(&split.other),
            _ => Arc::clone(self),
        }
    }

    /// Whether its instances speak HTTP/1.1, as far as is known before there are any.
    pub(crate) fn speaks_http1(&self) -> bool {
        self.upstreams.load().first().is_none_or(|upstream| upstream.protocol() == Protocol::Http1)
    }

    /// The instances that take requests.
    pub fn upstreams(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.upstreams.load_full()
    }

    /// Adds an instance that accepts connections. Requests that wait go to it at once.
    #[expect(clippy::needless_pass_by_value, reason = "the list owns its share; the caller has no further use for it")]
    pub fn add_upstream(self: &Arc<Self>, upstream: Arc<Upstream>) {
        self.upstreams.rcu(|list| {
            let mut list = Vec::clone(list);
            list.push(Arc::clone(&upstream));
            list
        });
        self.admit_waiting();
    }

    /// Takes an instance out: no request goes to it from now on. What it has in flight goes on; the result resolves when that
    /// has ended. `None` where no instance has this id (any more).
    pub fn remove_upstream(&self, id: &str) -> Option<Drained> {
        let before = self.upstreams.rcu(|list| list.iter().filter(|u| u.id() != id).cloned().collect::<Vec<_>>());
        before.iter().find(|u| u.id() == id).map(|u| Arc::clone(u).drain())
    }

    /// Takes out exactly this instance. `None` where somebody else has done so before.
    pub(crate) fn take_out(&self, upstream: &Arc<Upstream>) -> Option<Drained> {
        let before = self.upstreams.rcu(|list| list.iter().filter(|u| !Arc::ptr_eq(u, upstream)).cloned().collect::<Vec<_>>());
        before.iter().any(|u| Arc::ptr_eq(u, upstream)).then(|| Arc::clone(upstream).drain())
    }

    /// Puts these instances in the place of all others in one step, and drains the others.
    pub fn replace_upstreams(self: &Arc<Self>, upstreams: Vec<Arc<Upstream>>) -> Vec<Drained> {
        let after = Arc::new(upstreams);
        let before = self.upstreams.swap(Arc::clone(&after));
        let gone = before.iter().filter(|old| !after.iter().any(|new| Arc::ptr_eq(old, new)));
        let drained = gone.map(|old| Arc::clone(old).drain()).collect();
        self.admit_waiting();
        drained
    }

    /// Answers every request that waits for an instance with this failure. Later requests ask anew.
    pub fn fail_waiting(&self, failure: Failure) {
        self.waiting.deny_all(&Denied::Failed(failure));
    }

    /// Requests that wait for an instance.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests that are being answered, those that wait included.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// How long the app has had no request: since its last one ended, or since the handle was made. `None` while one is
    /// being answered.
    pub fn idle_for(&self) -> Option<Duration> {
        if self.in_flight() > 0 {
            return None;
        }
        let last = Duration::from_millis(self.last_request.load(Ordering::SeqCst));
        Some(self.created.elapsed().saturating_sub(last))
    }

    /// Its figures.
    pub fn counters(&self) -> &AppCounters {
        &self.counters
    }

    /// The time that requests have taken which have ended since the handle was made, added up. Its growth over a while, divided
    /// by that while, is how many were in flight on average.
    pub fn busy(&self) -> Duration {
        Duration::from_micros(self.busy.load(Ordering::Relaxed))
    }

    /// Asks to be told of the next request, by [`Activate::resumed`]. Who asks must look at [`AppHandle::idle_for`] afterwards:
    /// one may have come just before.
    pub fn watch(&self) {
        self.watched.store(true, Ordering::SeqCst);
    }

    /// Whether control asked to be told of a request, and has not been told yet.
    pub(crate) fn take_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed) && self.watched.swap(false, Ordering::SeqCst)
    }

    /// Picks the instance with the fewest requests in flight that has room, and counts the request there. Among equals one that
    /// runs comes before one that is frozen, so that what a single instance can do leaves the others asleep.
    fn pick(&self) -> Option<Arc<Upstream>> {
        let limit = self.settings.load().max_concurrent_requests_per_instance;
        let upstreams = self.upstreams.load();
        loop {
            let has_room = |upstream: &&Arc<Upstream>| upstream.in_flight() < limit && !upstream.is_draining();
            let best = match upstreams.as_slice() {
                [only] => only,
                many => many.iter().filter(has_room).min_by_key(|upstream| (upstream.in_flight(), upstream.is_frozen()))?,
            };
            match best.try_enter(limit) {
                // The counts move meanwhile: somebody else has taken the last place there.
                Entered::No if upstreams.len() > 1 => {}
                Entered::No => return None,
                Entered::Running => return Some(Arc::clone(best)),
                Entered::Thawed(took) => {
                    self.counters.thawed(took);
                    return Some(Arc::clone(best));
                }
            }
        }
    }

    /// Somebody is about to ask: where every instance is frozen, one is thawed, so that it runs by the time the request is there.
    pub(crate) fn stir(&self) {
        let upstreams = self.upstreams.load();
        if upstreams.iter().all(|upstream| upstream.is_frozen())
            && let Some(took) = upstreams.first().and_then(|first| first.stir())
        {
            self.counters.thawed(took);
        }
    }

    /// Gives free room to requests that wait, the oldest first.
    fn admit_waiting(self: &Arc<Self>) {
        self.waiting.admit(|| self.pick().map(|upstream| Lease { app: Arc::clone(self), upstream }));
    }

    /// A place on an instance, if one has room. Nobody overtakes those that wait already.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Lease> {
        let serves = matches!(**self.status.load(), AppStatus::Active) && self.waiting.is_empty();
        let upstream = serves.then(|| self.pick()).flatten()?;
        Some(Lease { app: Arc::clone(self), upstream })
    }

    /// A place on an instance, after waiting for one.
    pub(crate) async fn acquire(self: &Arc<Self>, activate: &dyn Activate) -> Result<Lease, Denied> {
        if let Some(denied) = Denied::from_status(&self.status.load()) {
            return Err(denied);
        }
        let settings = self.settings();
        let began = Instant::now();
        let Some(ticket) = self.waiting.enter(settings.queue_limit) else {
            self.counters.denied(&Denied::QueueFull);
            return Err(Denied::QueueFull);
        };
        self.counters.count_wait();
        // Between the look above and the entry the status may have changed, and room may have come.
        if let Some(denied) = Denied::from_status(&self.status.load()) {
            return Err(denied);
        }
        self.admit_waiting();
        if !ticket.is_settled() {
            activate.wake(self);
        }
        let full = !self.upstreams.load().is_empty();
        let patience = if full { settings.queue_timeout } else { settings.start_timeout };
        let settled = match tokio::time::timeout(patience, ticket.settled()).await {
            Ok(settled) => settled,
            Err(_) if self.upstreams.load().is_empty() => Err(Denied::StartTimeout),
            Err(_) => Err(Denied::QueueTimeout),
        };
        match &settled {
            // What this visitor waited, where the wait was for a start and not for room.
            Ok(_) if !full => self.counters.cold_started(began.elapsed()),
            Ok(_) => {}
            Err(denied) => self.counters.denied(denied),
        }
        settled
    }

    /// Counts a request of this app from its arrival until its answer has ended.
    pub(crate) fn arrive(self: &Arc<Self>, began: Instant) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight { app: Arc::clone(self), began }
    }
}

/// One request of an app, from its arrival until its answer has ended.
pub(crate) struct InFlight {
    app: Arc<AppHandle>,
    began: Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        let at = u64::try_from(now.saturating_duration_since(self.app.created).as_millis()).unwrap_or(u64::MAX);
        self.app.busy.fetch_add(took, Ordering::Relaxed);
        self.app.last_request.store(at, Ordering::SeqCst);
        self.app.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One request's place on an instance; the place is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    app: Arc<AppHandle>,
    upstream: Arc<Upstream>,
}

impl Lease {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.leave();
        if !self.app.waiting.is_empty() {
            self.app.admit_waiting();
        }
    }
}

#[cfg(test)]
mod tests;

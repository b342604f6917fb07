//! When an app's instances come and go: the load is looked at, the scaler asked, and its answer carried out.
//!
//! While there is load this happens every second, and at once when a visitor waits. A quiet app is looked at no more until its
//! next request, of which the edge tells, or until it has been idle for so long that its last instance goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::scaling::{Bounds, Decision, Load};

use super::{Live, Runtime};
use crate::machine::UNKNOWN_NEED;

/// How often the load is looked at, while there is any.
const TICK: Duration = Duration::from_secs(1);
/// How long an app must have been without a request to be left alone.
const QUIET: Duration = Duration::from_secs(2);
/// After how long without a request the memory of what is frozen is pushed out, where the machine can do that.
const PUSH_OUT: Duration = Duration::from_secs(30);

impl Runtime {
    /// When to look at the load again, if nothing happens before.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let retry = self.backoff.until();
        if self.running.is_empty() && self.starting.is_empty() {
            return retry;
        }
        let next = if self.dormant { self.next_change() } else { Some(self.looked.0 + TICK) };
        next.into_iter().chain(retry).min()
    }

    /// When something is to be done about a quiet app.
    fn next_change(&self) -> Option<Instant> {
        let live = self.live.as_ref()?;
        let quiet_for = self.quiet_for();
        let wait = |after: Duration| Instant::now() + after.saturating_sub(quiet_for);
        let push_out = (!self.pushed_out).then(|| wait(PUSH_OUT));
        let surplus = self.ready().count() > live.spec.resources.min_instances as usize;
        let idle = surplus.then(|| wait(self.specs.idle_timeout(&live.spec)));
        push_out.into_iter().chain(idle).min()
    }

    /// How long there has been no request, and every instance time for one.
    fn quiet_for(&self) -> Duration {
        self.handle.idle_for().unwrap_or_default().min(self.ready_since.elapsed())
    }

    /// Looks at the load, and does what it asks for.
    pub(super) async fn look(&mut self) {
        let now = Instant::now();
        self.backoff.expired(now);
        if !self.dormant {
            self.observe(now);
            self.sample(now);
        }
        if self.dormant && !self.pushed_out && self.quiet_for() >= PUSH_OUT {
            self.pushed_out = true;
            self.push_out();
        }
        self.scale();
        self.settle().await;
    }

    /// Tells the scaler of the last second.
    fn observe(&mut self, now: Instant) {
        let (then, before) = self.looked;
        let busy = self.handle.busy();
        self.looked = (now, busy);
        let elapsed = now.saturating_duration_since(then).as_micros().max(1);
        let average = busy.saturating_sub(before).as_micros() * 1000 / elapsed;
        // Requests that take long are in flight now; short ones are counted when they end.
        let average = average.max(self.handle.in_flight() as u128 * 1000);
        self.scaler.observe(self.epoch.elapsed(), u32::try_from(average).unwrap_or(u32::MAX));
    }

    /// Once a minute, has the instances asked what they use, beside the task.
    fn sample(&mut self, now: Instant) {
        let minute = edge::minute_of(now);
        if minute != std::mem::replace(&mut self.sampled, minute) {
            let (meter, engine) = (Arc::clone(&self.specs.meter), Arc::clone(&self.engine));
            tokio::spawn(async move { meter.sample(&engine).await });
        }
    }

    /// A request has come to the quiet app.
    pub(super) fn resumed(&mut self) {
        self.dormant = false;
        self.pushed_out = false;
        self.looked = (Instant::now(), self.handle.busy());
    }

    /// Has as many instances as the load needs.
    pub(super) fn scale(&mut self) {
        let Some(live) = self.live.clone() else { return };
        if self.paused {
            return;
        }
        let load = self.load(&live);
        match self.scaler.decide(self.epoch.elapsed(), load, bounds(&live)) {
            Decision::Keep => {}
            Decision::Start(count) => match self.backoff.refusal(Instant::now()) {
                // Who waits is told at once, unless there are others who can help.
                Some(failure) if load.ready == 0 && load.starting == 0 => self.handle.fail_waiting(failure),
                Some(_) => {}
                None => (0..count).for_each(|_| self.start(&live)),
            },
            Decision::Stop(count) => self.stop_surplus(count as usize, load.idle),
        }
    }

    fn load(&self, live: &Live) -> Load {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let idle = self.handle.idle_for().is_some() && self.quiet_for() >= self.specs.idle_timeout(&live.spec);
        Load {
            in_flight: count(self.ready().map(|running| running.upstream.in_flight()).sum()),
            waiting: count(self.handle.waiting()),
            ready: count(self.ready().count()),
            starting: count(self.starting.iter().filter(|starting| starting.revision == live.number).count()),
            idle,
        }
    }

    /// Lets those go that have the least to do, what sleeps before what runs.
    fn stop_surplus(&mut self, count: usize, idle: bool) {
        let mut order: Vec<_> = self
            .ready()
            .map(|running| (running.upstream.in_flight(), !running.upstream.is_frozen(), running.instance.id.clone()))
            .collect();
        order.sort();
        let why = if idle { "stopped: no request for a while" } else { "stopped: the others suffice for the load" };
        for (_, _, id) in order.into_iter().take(count) {
            self.log.say(&id, why);
            self.drain(&id);
        }
    }

    /// How many instances a revision needs that takes over the app's load.
    pub(super) fn needed(&self, live: &Live) -> u32 {
        let load = self.load(live);
        let mut scaler = self.scaler.clone();
        // At least as many as serve now, where they have something to do: they are what the load has shown to be enough.
        let busy = if self.handle.idle_for().is_none_or(|quiet| quiet < QUIET) { load.ready } else { 0 };
        let bounds = bounds(live);
        scaler.target(self.epoch.elapsed(), load, bounds).max(busy).min(bounds.max).max(1)
    }

    /// Leaves a quiet app alone until its next request.
    async fn settle(&mut self) {
        let floor = self.live.as_ref().map_or(0, |live| live.spec.resources.min_instances).max(1) as usize;
        let at_rest = self.starting.is_empty() && self.running.iter().all(|running| !running.draining);
        if self.dormant || !at_rest || self.running.len() > floor || !self.scaler.is_quiet(self.epoch.elapsed()) {
            return;
        }
        let is_quiet = || self.handle.idle_for().is_some_and(|quiet| quiet >= QUIET);
        if is_quiet() {
            self.handle.watch();
            // Who came just before was not told of; then the next look is as usual.
            self.dormant = is_quiet();
            let _learned = self.status().await;
        }
    }

    /// What the memory of one instance comes to, by what has been seen, in bytes.
    pub(super) fn need(&self, limit: u64) -> u64 {
        self.memory_seen.unwrap_or(UNKNOWN_NEED).min(limit)
    }

    pub(super) fn learn(&mut self, memory: Option<u64>) {
        self.memory_seen = self.memory_seen.max(memory.filter(|bytes| *bytes > 0));
    }

    /// Pushes out the memory of instances that sleep; it comes back page by page when they are asked again.
    fn push_out(&self) {
        for running in self.ready().filter(|running| running.upstream.is_frozen()) {
            let (engine, id) = (self.engine.clone(), running.instance.container.id.clone());
            let meter = Arc::clone(&self.specs.meter);
            tokio::spawn(async move {
                if let Err(error) = engine.push_out(&id).await {
                    tracing::debug!(container = %id, %error, "push out the memory of an instance");
                } else if let Ok(usage) = engine.usage(&id).await {
                    meter.note(&id, usage);
                }
            });
        }
    }
}

fn bounds(live: &Live) -> Bounds {
    let resources = &live.spec.resources;
    Bounds {
        min: resources.min_instances,
        max: resources.max_instances,
        concurrency: resources.max_concurrent_requests_per_instance,
    }
}

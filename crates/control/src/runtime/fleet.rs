//! The instances of an app: how they start, get visitors, drain and end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{InstanceState, InstanceStatus};
use edge::{Drained, Failure, FailureKind, Freeze, Protocol, Upstream};
use engine::{Container, Engine};
use futures_util::future::join_all;
use model::RevisionNumber;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use super::{Command, Live, Runtime, Started, words};
use crate::instance::{Instance, StartFailure, describe};
use crate::spec;
use crate::spec::WEIGHT;

/// How many starts tell how long one usually takes.
const STARTS: usize = 5;
/// How long an instance that refused a connection may take to end by itself.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// After how long an instance that was woken counts as started although it has not answered yet.
const SLOW_FIRST_ANSWER: Duration = Duration::from_secs(20);

/// An instance that runs.
pub(super) struct Running {
    pub(super) instance: Instance,
    pub(super) upstream: Arc<Upstream>,
    pub(super) draining: bool,
    /// It gets no requests, because it refused one.
    pub(super) refused: bool,
    /// How long its requests may take to end once it leaves.
    pub(super) drain: Duration,
}

/// An instance on its way.
pub(super) struct Starting {
    pub(super) id: String,
    pub(super) revision: RevisionNumber,
    pub(super) began: Instant,
}

/// An instance's processor, as the edge switches it.
struct Processor(Arc<Container>);

impl Freeze for Processor {
    fn freeze(&self) -> std::io::Result<()> {
        self.0.freezer.as_ref().map_or(Ok(()), engine::Freezer::freeze)
    }

    fn thaw(&self) -> std::io::Result<()> {
        self.0.freezer.as_ref().map_or(Ok(()), engine::Freezer::thaw)
    }
}

impl Runtime {
    /// Those that take requests.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(|running| !running.draining)
    }

    /// Orders one more instance; its end is told by [`Command::Started`].
    pub(super) fn start(&mut self, live: &Live) {
        let (mut spec, port) = self.specs.instance(live);
        let specs = Arc::clone(&self.specs);
        let began = Instant::now();
        self.starting.push(Starting { id: spec.id.to_string(), revision: live.number, began });
        let (engine, log, app, machine) =
            (Arc::clone(&self.engine), self.log.clone(), self.app.clone(), Arc::clone(&self.machine));
        let need = self.need(spec.limits.memory_bytes);
        let (image, probe, number) = (self.specs.in_use(&live.spec.image), self.specs.probe(&live.spec), live.number);
        let (mailbox, meter) = (self.mailbox.clone(), Arc::clone(&self.specs.meter));
        tokio::spawn(async move {
            let id = spec.id.to_string();
            let start = async {
                let _place = machine.admit(&engine, need).await.map_err(|why| (StartFailure::NoRoom(why), None))?;
                let database = specs.awake(&mut spec).await.map_err(|failure| (failure, None))?;
                let created = Instance::create(&engine, &app, number, port, spec, &log, &meter, image, database).await;
                let instance = created.map_err(|failure| (failure, None))?;
                match instance.ready(&engine, &probe).await {
                    Ok(()) => Ok(instance),
                    Err(failure) => Err((failure, Some(instance))),
                }
            };
            let result = start.await;
            let started = Box::new(Started { id, took: began.elapsed(), result });
            if let Err(mpsc::error::SendError(Command::Started(started))) = mailbox.send(Command::Started(started)) {
                // The app's task has ended meanwhile: nobody else would stop this instance.
                if let Ok(instance) | Err((_, Some(instance))) = started.result {
                    instance.stop(&engine).await;
                }
            }
        });
    }

    /// A start has ended, well or not.
    pub(super) fn started(&mut self, started: Started) {
        let Started { id, took, result } = started;
        let index = self.starting.iter().position(|starting| starting.id == id);
        let Some(Starting { began, .. }) = index.map(|index| self.starting.swap_remove(index)) else { return };
        match result {
            Ok(instance) => {
                let current = self.live.as_ref().is_some_and(|live| live.number == instance.revision);
                if !current || self.paused {
                    // A deployment or a pause came in between.
                    self.stop_in_background(instance);
                } else {
                    self.note_start(took);
                    self.backoff.succeeded();
                    self.publish_status();
                    let upstreams = self.adopt(vec![instance], false);
                    for upstream in upstreams {
                        self.handle.add_upstream(upstream);
                    }
                }
                self.scale();
            }
            Err((failure, instance)) => {
                self.log.say(instance.as_ref().map_or("", |instance| &instance.id), &format!("{failure}"));
                if let Some(instance) = instance {
                    self.stop_in_background(instance);
                }
                let shown = words::for_visitors(&failure);
                // Lack of room is not the app's fault, and may be over with the next breath.
                if !matches!(failure, StartFailure::NoRoom(_)) {
                    self.backoff.failed(began, Instant::now(), shown.clone());
                }
                // Where others serve, those who wait get a place there.
                if self.ready().next().is_none() && self.starting.is_empty() {
                    self.handle.fail_waiting(self.backoff.refusal(Instant::now()).unwrap_or(shown));
                }
            }
        }
    }

    /// Takes instances over that are ready, watches for their ends, and makes what the edge knows of each. `answered`: they have
    /// answered a request already.
    pub(super) fn adopt(&mut self, instances: Vec<Instance>, answered: bool) -> Vec<Arc<Upstream>> {
        self.ready_since = Instant::now();
        let mut upstreams = Vec::new();
        for instance in instances {
            let upstream = self.upstream(&instance);
            if answered {
                upstream.started();
                self.weigh(&instance);
            } else {
                self.watch_start(&instance, &upstream);
            }
            let (container, mailbox, id) = (Arc::clone(&instance.container), self.mailbox.clone(), instance.id.clone());
            tokio::spawn(async move {
                let exit = container.exited().await;
                let _ended = mailbox.send(Command::Exited(id, exit));
            });
            let drain = self.live.as_ref().map_or(Duration::ZERO, |live| live.spec.serving.drain_timeout());
            instance.routed();
            self.running.push(Running { instance, upstream: Arc::clone(&upstream), draining: false, refused: false, drain });
            upstreams.push(upstream);
        }
        self.machine.awake();
        upstreams
    }

    /// Accepting a connection is not having begun to work: servers listen before they have read the app. Its first response to a
    /// visitor tells, and where nobody waits for one, it is asked for one.
    fn watch_start(&self, instance: &Instance, upstream: &Arc<Upstream>) {
        let (container, upstream) = (Arc::clone(&instance.container), Arc::downgrade(upstream));
        let nobody_asks = self.handle.waiting() == 0;
        let (address, probe) = (instance.address, self.live.as_ref().map(|live| self.specs.probe(&live.spec)));
        let prepared = self.prepared.as_ref().map(|(_, done)| done.clone());
        tokio::spawn(async move {
            let _until_it_works = prepared;
            let answer = async {
                match probe.filter(|_| nobody_asks) {
                    Some(probe) => probe.any_answer(address).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ended = container.exited() => return,
                () = answer => {}
                () = time::sleep(SLOW_FIRST_ANSWER) => {}
            }
            if let Some(upstream) = upstream.upgrade() {
                upstream.started();
            }
        });
    }

    /// What began as a candidate serves from now on, with the share of those that do.
    fn weigh(&self, instance: &Instance) {
        let (engine, id) = (Arc::clone(&self.engine), instance.container.id.clone());
        tokio::spawn(async move {
            if let Err(error) = engine.weigh(&id, WEIGHT).await {
                tracing::warn!(container = %id, %error, "give an instance its share of the processor");
            }
        });
    }

    fn upstream(&self, instance: &Instance) -> Arc<Upstream> {
        let protocol = self.live.as_ref().map_or(Protocol::Http1, |live| spec::protocol(&live.spec));
        let after = self.live.as_ref().and_then(|live| live.spec.serving.freeze_after(self.machine.freeze_after()));
        let upstream = match (after, &instance.container.freezer) {
            (Some(after), Some(_)) => {
                let processor = Box::new(Processor(Arc::clone(&instance.container)));
                Upstream::freezable(instance.id.as_str(), instance.address, processor, after, self.machine.freezer())
            }
            _ => Upstream::new(instance.id.as_str(), instance.address),
        };
        upstream.speaking(protocol)
    }

    /// Takes an instance from the edge; it is stopped once it has finished its requests.
    pub(super) fn drain(&mut self, id: &str) {
        let drained = self.handle.remove_upstream(id);
        self.drained(id, drained);
    }

    /// Stops an instance that the edge has taken out, once it has finished its requests.
    pub(super) fn drained(&mut self, id: &str, drained: Option<Drained>) {
        let Some(running) = self.running.iter_mut().find(|running| running.instance.id == id) else { return };
        running.draining = true;
        let limit = running.drain;
        let (mailbox, id) = (self.mailbox.clone(), id.to_owned());
        tokio::spawn(async move {
            if let Some(drained) = drained {
                let _late = time::timeout(limit, drained).await;
            }
            let _ended = mailbox.send(Command::DrainedOrLate(id));
        });
    }

    pub(super) fn stop_one(&mut self, id: &str) {
        if let Some(index) = self.running.iter().position(|running| running.instance.id == id) {
            let running = self.running.swap_remove(index);
            self.stop_in_background(running.instance);
        }
    }

    pub(super) fn stop_in_background(&self, instance: Instance) {
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move { instance.stop(&engine).await });
    }

    /// Ends one instance that is frozen, if the floor allows it, and says so once its memory is free.
    pub(super) fn evict(&mut self, reply: oneshot::Sender<bool>) {
        let floor = self.live.as_ref().map_or(0, |live| live.spec.resources.min_instances) as usize;
        let frozen = self.running.iter().position(|running| !running.draining && running.upstream.is_frozen());
        let Some(index) = frozen.filter(|_| self.ready().count() > floor) else {
            let _gone = reply.send(false);
            return;
        };
        let Running { instance, drain, .. } = self.running.swap_remove(index);
        self.log.say(&instance.id, "stopped: the machine lacks memory, and this instance had no request");
        let drained = self.handle.remove_upstream(&instance.id);
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move {
            stop_drained(instance, drained, drain, &engine).await;
            let _gone = reply.send(true);
        });
    }

    pub(super) async fn exited(&mut self, id: &str, exit: engine::Exit) {
        let Some(index) = self.running.iter().position(|running| running.instance.id == id) else { return };
        drop(self.handle.remove_upstream(id));
        let mut running = self.running.swap_remove(index);
        running.instance.drained().await;
        // Those that the platform stops are in no list any more: this one ended by itself.
        let how = describe(exit);
        self.log.say(id, &format!("the instance ended: {how}"));
        if running.draining && !running.refused {
            return;
        }
        let failure = Failure::new(FailureKind::Start, "The app stopped unexpectedly", format!("Its process ended ({how})."));
        self.backoff.crashed(Instant::now(), self.ready_since, failure);
        self.scale();
    }

    /// An app that closed its listener but runs on is of no use: it is replaced.
    pub(super) fn refused(&mut self, drained: Drained) {
        let id = drained.upstream().id().to_owned();
        let Some(running) = self.running.iter_mut().find(|running| running.instance.id == id) else { return };
        (running.draining, running.refused) = (true, true);
        let limit = running.drain;
        let (container, mailbox) = (Arc::clone(&running.instance.container), self.mailbox.clone());
        self.log.say(&id, "the instance refused a connection and is replaced");
        tokio::spawn(async move {
            let _late = time::timeout(limit, drained).await;
            // Most that refuse are about to end by themselves: then their own end is told, not ours.
            if time::timeout(LAST_MOMENT, container.exited()).await.is_err() {
                let _ended = mailbox.send(Command::DrainedOrLate(id));
            }
        });
        self.scale();
    }

    pub(super) async fn stop_all(&mut self) {
        let engine = &self.engine;
        let stops = self.running.drain(..).map(|running| {
            let drained = self.handle.remove_upstream(&running.instance.id);
            stop_drained(running.instance, drained, running.drain, engine)
        });
        join_all(stops.collect::<Vec<_>>()).await;
    }

    pub(super) async fn status(&mut self) -> Vec<InstanceStatus> {
        let list = join_all(self.running.iter().map(async |running| {
            let usage = self.engine.usage(&running.instance.container.id).await.unwrap_or_default();
            self.specs.meter.note(&running.instance.container.id, usage);
            let state = match (running.draining, running.upstream.is_frozen()) {
                (true, _) => InstanceState::Draining,
                (false, true) => InstanceState::Frozen,
                (false, false) => InstanceState::Ready,
            };
            InstanceStatus {
                id: running.instance.id.clone(),
                revision: running.instance.revision,
                state,
                memory_bytes: usage.memory_bytes,
                cpu_seconds: usage.cpu_seconds,
            }
        }));
        let mut list = list.await;
        list.extend(self.starting.iter().map(|starting| InstanceStatus {
            id: starting.id.clone(),
            revision: starting.revision,
            state: InstanceState::Starting,
            memory_bytes: 0,
            cpu_seconds: 0.0,
        }));
        self.learn(list.iter().map(|instance| instance.memory_bytes).max());
        list
    }

    fn note_start(&mut self, took: Duration) {
        if self.starts.len() == STARTS {
            self.starts.pop_front();
        }
        self.starts.push_back(took);
        self.publish_limits();
    }

    /// How long a start takes, by the last ones.
    pub(super) fn usual_start(&self) -> Option<Duration> {
        let count = u32::try_from(self.starts.len()).unwrap_or(1);
        (count > 0).then(|| self.starts.iter().sum::<Duration>() / count)
    }
}

/// Requests in flight get the time that draining gives; then the instance ends.
async fn stop_drained(instance: Instance, drained: Option<Drained>, limit: Duration, engine: &Arc<dyn Engine>) {
    if let Some(drained) = drained {
        let _late = time::timeout(limit, drained).await;
    }
    instance.stop(engine).await;
}

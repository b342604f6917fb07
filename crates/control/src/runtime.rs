//! What runs of one app: a task that owns its instances, wakes it, stops it when it is idle, and switches revisions.
//!
//! Everything that changes an app's instances goes through this one task's mailbox, so no two of them can disagree.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{InstanceState, InstanceStatus};
use edge::{AppHandle, AppStatus, Drained, Failure, FailureKind, Upstream};
use engine::Engine;
use model::{AppName, RevisionNumber, RevisionSpec, environment, idle};
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use crate::backoff::Backoff;
use crate::instance::{Instance, StartFailure, describe};
use crate::output::AppLog;
use crate::spec::Specs;

/// How long a replaced instance may finish its requests.
const DRAIN: Duration = Duration::from_secs(30);
/// How often the idle time is looked at, while there are instances.
const TICK: Duration = Duration::from_secs(1);

/// A revision that is served.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Its number.
    pub(crate) number: RevisionNumber,
    /// What it runs.
    pub(crate) spec: Arc<RevisionSpec>,
}

/// What is asked of an app's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// A visitor waits, and there is no instance.
    Wake,
    /// An instance refused a connection; the edge has taken it out.
    Refused(Drained),
    /// A candidate that is ready takes the traffic.
    Promote {
        /// Its revision.
        live: Live,
        /// The instance.
        instance: Box<Instance>,
        /// Answered once the edge sends visitors to it.
        reply: oneshot::Sender<()>,
    },
    /// A start that a visitor waited for has ended.
    Started(Box<Result<Instance, (StartFailure, Option<Instance>)>>),
    /// An instance's process has ended.
    Exited(String, engine::Exit),
    /// A replaced instance has finished its requests, or its time for that is over.
    DrainedOrLate(String),
    /// Pause or resume.
    SetPaused(bool, oneshot::Sender<()>),
    /// Stop all instances now; the next request starts one.
    Sleep(oneshot::Sender<()>),
    /// What runs?
    Status(oneshot::Sender<Vec<InstanceStatus>>),
    /// The floor of instances or the idle time have changed, or the app begins.
    Check,
    /// Stop all instances and end the task.
    End(oneshot::Sender<()>),
}

/// The mailbox of an app's task.
pub(crate) type Mailbox = mpsc::UnboundedSender<Command>;

struct Running {
    instance: Instance,
    state: InstanceState,
    /// It gets no requests, because it refused one.
    refused: bool,
}

/// The task's state.
pub(crate) struct Runtime {
    app: AppName,
    specs: Arc<Specs>,
    engine: Arc<dyn Engine>,
    handle: Arc<AppHandle>,
    log: AppLog,
    live: Option<Live>,
    paused: bool,
    running: Vec<Running>,
    starting: bool,
    backoff: Backoff,
    ready_since: Instant,
    mailbox: Mailbox,
}

/// What an app's task begins with.
pub(crate) struct RuntimeParts {
    /// Its name.
    pub(crate) app: AppName,
    /// How its containers are described.
    pub(crate) specs: Arc<Specs>,
    /// Where they run.
    pub(crate) engine: Arc<dyn Engine>,
    /// Its entry at the edge.
    pub(crate) handle: Arc<AppHandle>,
    /// Its log.
    pub(crate) log: AppLog,
    /// The revision that is served.
    pub(crate) live: Option<Live>,
    /// Whether it is paused.
    pub(crate) paused: bool,
}

impl Runtime {
    /// Starts the task.
    pub(crate) fn spawn(
        parts: RuntimeParts,
        mailbox: (Mailbox, mpsc::UnboundedReceiver<Command>),
    ) -> tokio::task::JoinHandle<()> {
        let RuntimeParts { app, specs, engine, handle, log, live, paused } = parts;
        let (sender, mut receiver) = mailbox;
        let mut runtime = Self {
            app,
            specs,
            engine,
            handle,
            log,
            live,
            paused,
            running: Vec::new(),
            starting: false,
            backoff: Backoff::default(),
            ready_since: Instant::now(),
            mailbox: sender,
        };
        tokio::spawn(async move {
            runtime.publish_status();
            let mut last = time::Instant::now();
            loop {
                // Without instances there is nothing to look at: a sleeping app costs no wake-up.
                let tick = async {
                    if runtime.running.is_empty() && !runtime.backoff.waiting() {
                        std::future::pending::<()>().await;
                    }
                    // From the last look on: commands that keep coming must not put the next one off.
                    time::sleep_until(last + TICK).await;
                };
                let command = tokio::select! {
                    command = receiver.recv() => command,
                    () = tick => {
                        runtime.tick().await;
                        last = time::Instant::now();
                        continue;
                    }
                };
                match command {
                    Some(Command::End(reply)) => {
                        runtime.stop_all().await;
                        let _gone = reply.send(());
                        return;
                    }
                    Some(command) => runtime.handle(command).await,
                    None => return,
                }
            }
        })
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Wake => self.wake(),
            Command::Refused(drained) => self.refused(drained),
            Command::Promote { live, instance, reply } => {
                self.promote(live, *instance);
                let _gone = reply.send(());
            }
            Command::Started(result) => self.started(*result),
            Command::Exited(id, exit) => self.exited(&id, exit).await,
            Command::DrainedOrLate(id) => self.stop_one(&id),
            Command::SetPaused(paused, reply) => {
                self.paused = paused;
                self.backoff = Backoff::default();
                self.publish_status();
                if paused {
                    self.log.say("", "the app was paused");
                    self.stop_all().await;
                } else {
                    self.log.say("", "the app was resumed");
                    self.ensure_floor();
                }
                let _gone = reply.send(());
            }
            Command::Sleep(reply) => {
                self.stop_all().await;
                let _gone = reply.send(());
            }
            Command::Status(reply) => {
                let _gone = reply.send(self.status().await);
            }
            Command::Check => self.ensure_floor(),
            Command::End(_) => unreachable!("handled by the loop"),
        }
    }

    /// A visitor waits, for none is there or all are full: start an instance unless one is on its way.
    fn wake(&mut self) {
        let Some(live) = &self.live else { return };
        if self.paused || self.starting || self.ready().count() >= live.spec.resources.max_instances as usize {
            return;
        }
        if let Some(failure) = self.backoff.refusal(Instant::now()) {
            self.handle.fail_waiting(failure);
            return;
        }
        self.starting = true;
        self.start(live.clone());
    }

    fn start(&self, live: Live) {
        let (specs, engine, log, app) = (Arc::clone(&self.specs), Arc::clone(&self.engine), self.log.clone(), self.app.clone());
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move {
            let (spec, port) = specs.instance(&live);
            let image = specs.in_use(&live.spec.image);
            let result = match Instance::create(&engine, &app, live.number, port, spec, &log, image).await {
                Ok(instance) => match instance.ready(&engine).await {
                    Ok(()) => Ok(instance),
                    Err(failure) => Err((failure, Some(instance))),
                },
                Err(failure) => Err((failure, None)),
            };
            if let Err(mpsc::error::SendError(Command::Started(result))) = mailbox.send(Command::Started(Box::new(result))) {
                // The app's task has ended meanwhile: nobody else would stop this instance.
                if let Ok(instance) | Err((_, Some(instance))) = *result {
                    instance.stop(&engine).await;
                }
            }
        });
    }

    fn started(&mut self, result: Result<Instance, (StartFailure, Option<Instance>)>) {
        self.starting = false;
        match result {
            Ok(instance) => {
                let current = self.live.as_ref().is_some_and(|live| live.number == instance.revision);
                if !current || self.paused {
                    // A deployment or a pause came in between.
                    self.stop_in_background(instance);
                    if !self.paused && self.ready().next().is_none() {
                        self.wake();
                    }
                    return;
                }
                self.backoff.succeeded();
                self.publish_status();
                self.route(instance);
            }
            Err((failure, instance)) => {
                self.log.say(instance.as_ref().map_or("", |instance| &instance.id), &format!("{failure}"));
                if let Some(instance) = instance {
                    self.stop_in_background(instance);
                }
                let shown = visitors_words(&failure);
                self.backoff.failed(Instant::now(), shown.clone());
                self.handle.fail_waiting(shown);
            }
        }
    }

    /// Gives an instance to the edge, and watches for its end.
    fn route(&mut self, instance: Instance) {
        self.ready_since = Instant::now();
        self.handle.add_upstream(Upstream::new(instance.id.as_str(), instance.address));
        let (container, mailbox, id) = (Arc::clone(&instance.container), self.mailbox.clone(), instance.id.clone());
        tokio::spawn(async move {
            let exit = container.exited().await;
            let _ended = mailbox.send(Command::Exited(id, exit));
        });
        self.running.push(Running { instance, state: InstanceState::Ready, refused: false });
    }

    /// The new revision's instance takes all new requests in one step; the old ones finish theirs.
    fn promote(&mut self, live: Live, instance: Instance) {
        self.handle.set_settings(self.specs.edge_settings(&live.spec));
        self.live = Some(live);
        self.backoff = Backoff::default();
        let old: Vec<String> = self.ready().map(|running| running.instance.id.clone()).collect();
        if self.paused {
            self.stop_in_background(instance);
        } else {
            self.route(instance);
        }
        self.publish_status();
        for id in old {
            self.drain(&id);
        }
        self.ensure_floor();
    }

    fn drain(&mut self, id: &str) {
        let Some(running) = self.running.iter_mut().find(|running| running.instance.id == id) else { return };
        running.state = InstanceState::Draining;
        let drained = self.handle.remove_upstream(id);
        self.when_drained(id.to_owned(), drained);
    }

    fn when_drained(&self, id: String, drained: Option<Drained>) {
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move {
            if let Some(drained) = drained {
                let _late = time::timeout(DRAIN, drained).await;
            }
            let _ended = mailbox.send(Command::DrainedOrLate(id));
        });
    }

    fn stop_one(&mut self, id: &str) {
        if let Some(index) = self.running.iter().position(|running| running.instance.id == id) {
            let running = self.running.swap_remove(index);
            self.stop_in_background(running.instance);
        }
    }

    fn stop_in_background(&self, instance: Instance) {
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move { instance.stop(&engine).await });
    }

    async fn exited(&mut self, id: &str, exit: engine::Exit) {
        let Some(index) = self.running.iter().position(|running| running.instance.id == id) else { return };
        drop(self.handle.remove_upstream(id));
        let mut running = self.running.swap_remove(index);
        running.instance.drained().await;
        // Those that the platform stops are in no list any more: this one ended by itself.
        let how = describe(exit);
        self.log.say(id, &format!("the instance ended: {how}"));
        if running.state == InstanceState::Draining && !running.refused {
            return;
        }
        let failure = Failure::new(FailureKind::Start, "The app stopped unexpectedly", format!("Its process ended ({how})."));
        self.backoff.crashed(Instant::now(), self.ready_since, failure);
        if self.handle.waiting() > 0 {
            self.wake();
        }
        self.ensure_floor();
    }

    /// An app that closed its listener but runs on is of no use: it is replaced.
    fn refused(&mut self, drained: Drained) {
        let id = drained.upstream().id().to_owned();
        let Some(running) = self.running.iter_mut().find(|running| running.instance.id == id) else { return };
        (running.state, running.refused) = (InstanceState::Draining, true);
        let (container, mailbox) = (Arc::clone(&running.instance.container), self.mailbox.clone());
        self.log.say(&id, "the instance refused a connection and is replaced");
        tokio::spawn(async move {
            let _late = time::timeout(DRAIN, drained).await;
            // Most that refuse are about to end by themselves: then their own end is told, not ours.
            if time::timeout(TICK, container.exited()).await.is_err() {
                let _ended = mailbox.send(Command::DrainedOrLate(id));
            }
        });
        if self.handle.waiting() > 0 {
            self.wake();
        }
    }

    async fn tick(&mut self) {
        if self.backoff.expired(Instant::now()) {
            self.ensure_floor();
        }
        let Some(live) = &self.live else { return };
        let ready = u32::try_from(self.ready().count()).unwrap_or(u32::MAX);
        let quiet_for = self.handle.idle_for().unwrap_or_default().min(self.ready_since.elapsed());
        let load = idle::Load { in_flight: self.handle.in_flight(), quiet_for, ready };
        let surplus = idle::to_stop(load, self.specs.idle_timeout(&live.spec), live.spec.resources.min_instances);
        let ids: Vec<String> = self.ready().take(surplus as usize).map(|running| running.instance.id.clone()).collect();
        for id in ids {
            self.log.say(&id, "stopped: no request for a while");
            self.drain(&id);
        }
    }

    /// Keeps as many instances as the settings ask for without load.
    fn ensure_floor(&mut self) {
        let Some(live) = &self.live else { return };
        let ready = self.ready().count();
        if !self.paused && !self.starting && ready < live.spec.resources.min_instances.min(1) as usize && !self.backoff.waiting()
        {
            self.starting = true;
            self.start(live.clone());
        }
    }

    async fn stop_all(&mut self) {
        let mut stops = Vec::new();
        for running in self.running.drain(..) {
            // Requests in flight get the time that draining gives; then the instance ends.
            let drained = self.handle.remove_upstream(&running.instance.id);
            let engine = Arc::clone(&self.engine);
            stops.push(tokio::spawn(async move {
                if let Some(drained) = drained {
                    let _late = time::timeout(DRAIN, drained).await;
                }
                running.instance.stop(&engine).await;
            }));
        }
        for stop in stops {
            let _panicked = stop.await;
        }
    }

    async fn status(&self) -> Vec<InstanceStatus> {
        let mut list = Vec::new();
        for running in &self.running {
            let usage = self.engine.usage(&running.instance.container.id).await.unwrap_or_default();
            list.push(InstanceStatus {
                id: running.instance.id.clone(),
                revision: running.instance.revision,
                state: running.state,
                memory_bytes: usage.memory_bytes,
                cpu_seconds: usage.cpu_seconds,
            });
        }
        list
    }

    fn ready(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(|running| running.state == InstanceState::Ready)
    }

    fn publish_status(&self) {
        self.handle.set_status(match (&self.live, self.paused) {
            (_, true) => AppStatus::Paused,
            (None, false) => AppStatus::NoRevision,
            (Some(_), false) => AppStatus::Active,
        });
    }
}

/// A start failure for the app's visitors: what happened, nothing of the app's own output.
fn visitors_words(failure: &StartFailure) -> Failure {
    let kind = match failure {
        StartFailure::NoRoom(_) => FailureKind::Capacity,
        StartFailure::TimedOut { .. } => FailureKind::StartTimeout,
        _ => FailureKind::Start,
    };
    let title = match failure {
        StartFailure::NoRoom(_) => "There is no room for this app just now",
        StartFailure::TimedOut { .. } => "The app took too long to start",
        StartFailure::Elsewhere { .. } => "The app listens elsewhere",
        StartFailure::Exited { .. } | StartFailure::Workers { .. } | StartFailure::Engine(_) | StartFailure::Cancelled => {
            "The app did not start"
        }
    };
    let detail = match failure {
        StartFailure::Engine(_) | StartFailure::NoRoom(_) => String::new(),
        other => {
            let mut text = other.to_string();
            if let Some(first) = text.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            format!("{text}. The app's log tells more.")
        }
    };
    Failure::new(kind, title, detail)
}

/// The port that instances of a revision listen on.
pub(crate) fn port_of(spec: &RevisionSpec) -> u16 {
    environment::port(&spec.environment, crate::spec::PORT)
}

//! What runs of one app: a task that owns its instances, scales them, stops them when they are idle, and switches revisions.
//!
//! Everything that changes an app's instances goes through this one task's mailbox, so no two of them can disagree.

mod fleet;
mod prepare;
mod scaling;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::InstanceStatus;
use edge::{AppHandle, AppStatus, Drained};
use engine::Engine;
use model::scaling::Scaler;
use model::{AppName, RevisionNumber, RevisionSpec, environment};
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use crate::backoff::Backoff;
use crate::instance::{Instance, StartFailure};
use crate::machine::Machine;
use crate::output::AppLog;
use crate::spec::{self, Specs};
use fleet::{Running, Starting};

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
    /// A visitor waits: there is no instance, or all are full.
    Wake,
    /// A visitor has come to the app that was quiet.
    Resumed,
    /// An instance refused a connection; the edge has taken it out.
    Refused(Drained),
    /// How many instances does the app's load need, of a revision that takes it over?
    Needed(Live, oneshot::Sender<u32>),
    /// Candidates that are ready take the traffic.
    Promote {
        /// Their revision.
        live: Live,
        /// The instances.
        instances: Vec<Instance>,
        /// Answered once the edge sends visitors to them.
        reply: oneshot::Sender<()>,
    },
    /// A start has ended.
    Started(Box<Started>),
    /// An instance's process has ended.
    Exited(String, engine::Exit),
    /// A replaced instance has finished its requests, or its time for that is over.
    DrainedOrLate(String),
    /// The machine lacks memory: stop the instance that has been frozen for longest. Answered once it is gone, with whether there was one.
    Evict(oneshot::Sender<bool>),
    /// Pause or resume.
    SetPaused(bool, oneshot::Sender<()>),
    /// Stop all instances now; the next request starts one.
    Sleep(oneshot::Sender<()>),
    /// What runs?
    Status(oneshot::Sender<Vec<InstanceStatus>>),
    /// Start instances before visitors ask, up to this number in all.
    Prepare {
        /// How many.
        instances: u32,
        /// Dropped with all its clones once they have answered a first request, or can't.
        done: mpsc::Sender<()>,
    },
    /// The floor of instances or the idle time have changed, or the app begins.
    Check,
    /// Stop all instances and end the task.
    End(oneshot::Sender<()>),
}

/// How a start ended.
#[derive(Debug)]
pub(crate) struct Started {
    /// The instance's id.
    id: String,
    /// From the order to the first accepted connection.
    took: Duration,
    /// The instance; with a failure, as far as there is one.
    result: Result<Instance, (StartFailure, Option<Instance>)>,
}

/// The mailbox of an app's task.
pub(crate) type Mailbox = mpsc::UnboundedSender<Command>;

/// The task's state.
pub(crate) struct Runtime {
    app: AppName,
    specs: Arc<Specs>,
    engine: Arc<dyn Engine>,
    machine: Arc<Machine>,
    handle: Arc<AppHandle>,
    log: AppLog,
    live: Option<Live>,
    paused: bool,
    running: Vec<Running>,
    starting: Vec<Starting>,
    backoff: Backoff,
    /// When the last instance became ready.
    ready_since: Instant,
    /// How many instances are wanted before visitors ask, and who waits for them.
    prepared: Option<(u32, mpsc::Sender<()>)>,
    mailbox: Mailbox,
    scaler: Scaler,
    /// The moment from which the scaler counts.
    epoch: Instant,
    /// When the load was looked at last, and the handle's busy time then.
    looked: (Instant, Duration),
    /// The minute in which instances were asked last what they use.
    sampled: u32,
    /// Whether the edge is to tell of the next request, and nothing is looked at until then but the idle time.
    dormant: bool,
    /// Whether the memory of the instances that sleep has been pushed out since the last request.
    pushed_out: bool,
    /// How long the last starts took.
    starts: VecDeque<Duration>,
    /// The most memory that an instance was seen to hold, in bytes.
    memory_seen: Option<u64>,
}

/// What an app's task begins with.
pub(crate) struct RuntimeParts {
    /// Its name.
    pub(crate) app: AppName,
    /// How its containers are described.
    pub(crate) specs: Arc<Specs>,
    /// Where they run.
    pub(crate) engine: Arc<dyn Engine>,
    /// What all apps share.
    pub(crate) machine: Arc<Machine>,
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
        let RuntimeParts { app, specs, engine, machine, handle, log, live, paused } = parts;
        let (sender, mut receiver) = mailbox;
        let now = Instant::now();
        let looked = (now, handle.busy());
        let mut runtime = Self {
            app,
            specs,
            engine,
            machine,
            handle,
            log,
            live,
            paused,
            running: Vec::new(),
            starting: Vec::new(),
            backoff: Backoff::default(),
            ready_since: now,
            prepared: None,
            mailbox: sender,
            scaler: Scaler::default(),
            epoch: now,
            looked,
            sampled: 0,
            dormant: false,
            pushed_out: false,
            starts: VecDeque::new(),
            memory_seen: None,
        };
        tokio::spawn(async move {
            runtime.publish_status();
            loop {
                // From the last look on: commands that keep coming must not put the next one off.
                let next = runtime.next_look();
                let look = async {
                    match next {
                        // A sleeping app costs no wake-up.
                        None => std::future::pending().await,
                        Some(at) => time::sleep_until(at.into()).await,
                    }
                };
                let command = tokio::select! {
                    command = receiver.recv() => command,
                    () = look => {
                        runtime.look().await;
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
            Command::Wake | Command::Check => self.scale(),
            Command::Resumed => self.resumed(),
            Command::Refused(drained) => self.refused(drained),
            Command::Needed(live, reply) => {
                let _gone = reply.send(self.needed(&live));
            }
            Command::Promote { live, instances, reply } => {
                self.promote(live, instances);
                let _gone = reply.send(());
            }
            Command::Started(started) => {
                self.started(*started);
                self.tell_prepared();
            }
            Command::Exited(id, exit) => self.exited(&id, exit).await,
            Command::DrainedOrLate(id) => self.stop_one(&id),
            Command::Evict(reply) => self.evict(reply),
            Command::SetPaused(paused, reply) => {
                self.set_paused(paused).await;
                let _gone = reply.send(());
            }
            Command::Sleep(reply) => {
                self.scaler = Scaler::default();
                self.stop_all().await;
                let _gone = reply.send(());
            }
            Command::Status(reply) => {
                let _gone = reply.send(self.status().await);
            }
            Command::Prepare { instances, done } => self.prepare(instances, done),
            Command::End(_) => unreachable!("handled by the loop"),
        }
    }

    async fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.backoff = Backoff::default();
        self.scaler = Scaler::default();
        self.publish_status();
        if paused {
            self.log.say("", "the app was paused");
            self.stop_all().await;
        } else {
            self.log.say("", "the app was resumed");
            self.scale();
        }
    }

    /// The new revision's instances take all new requests in one step; the old ones finish theirs.
    fn promote(&mut self, live: Live, instances: Vec<Instance>) {
        self.live = Some(live);
        self.backoff = Backoff::default();
        self.publish_limits();
        if self.paused {
            for instance in instances {
                self.stop_in_background(instance);
            }
        } else {
            let upstreams = self.adopt(instances, true);
            for old in self.handle.replace_upstreams(upstreams) {
                let id = old.upstream().id().to_owned();
                self.drained(&id, Some(old));
            }
        }
        self.publish_status();
        self.scale();
    }

    /// Tells the edge the limits of the revision that is served.
    fn publish_limits(&self) {
        if let Some(live) = &self.live {
            self.handle.set_settings(spec::edge_settings(&live.spec, self.usual_start()));
        }
    }

    fn publish_status(&self) {
        self.handle.set_status(match (&self.live, self.paused) {
            (_, true) => AppStatus::Paused,
            (None, false) => AppStatus::NoRevision,
            (Some(_), false) => AppStatus::Active,
        });
    }
}

/// The port that instances of a revision listen on.
pub(crate) fn port_of(spec: &RevisionSpec) -> u16 {
    environment::port(&spec.environment, spec::PORT)
}

//! One instance from its creation to its end: container, output, and the wait until it accepts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Stream;
use database::Awake;
use engine::{Container, ContainerSpec, Engine, Exit};
use model::{AppName, RevisionNumber};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time;

use crate::meter::{Gauge, Meter, Phase};
use crate::output::{AppLog, Tail};
use crate::probe::Probe;
use crate::spec::InUse;

/// How long an app may take until it listens.
pub(crate) const START_TIMEOUT: Duration = Duration::from_mins(4);
/// How long an app may take to end after SIGTERM.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long a new revision may take for its first answer before it is taken as one that is slow, not broken.
const FIRST_ANSWER: Duration = Duration::from_secs(20);
/// How long what a server says of a request may come after its answer.
const SAID_LATER: Duration = Duration::from_millis(300);
/// How many workers may end before a first answer until the start is taken as failed.
const WORKERS: usize = 3;
/// How long after its start an app that listens elsewhere is given to come to the right port, before it is told.
const ELSEWHERE_AFTER: Duration = Duration::from_secs(10);

/// Why an instance did not come to accept connections.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StartFailure {
    /// The engine could not make the container.
    #[error("the container could not be made: {0}")]
    Engine(String),
    /// The machine has no room for it.
    #[error("the machine has no room for another instance: {0}")]
    NoRoom(String),
    /// Its database can't be had.
    #[error("{0}")]
    Database(String),
    /// Its process ended.
    #[error("the app ended before it {} on port {port}: {how}", if *listened { "answered a first request" } else { "listened" })]
    Exited {
        /// Where it should have listened.
        port: u16,
        /// Whether it did.
        listened: bool,
        /// How it ended.
        how: String,
    },
    /// It listens, but where the edge can't reach it.
    #[error("the app listens on {}, not on 0.0.0.0:{port}", join(elsewhere))]
    Elsewhere {
        /// Where it should listen.
        port: u16,
        /// Where it does.
        elsewhere: Vec<SocketAddr>,
    },
    /// Its server runs, but the processes that should answer end one after the other.
    #[error("the app's worker processes end before they answer a first request on port {port}")]
    Workers {
        /// Where it listens.
        port: u16,
    },
    /// Four minutes have passed.
    #[error("the app did not listen on port {port} within {} s", START_TIMEOUT.as_secs())]
    TimedOut {
        /// Where it should have listened.
        port: u16,
    },
    /// The path that the settings name was not answered well.
    #[error(
        "the app did not answer {path} with a status below 400 within {} s{}",
        START_TIMEOUT.as_secs(),
        last.map(|status| format!("; its last answer had status {status}")).unwrap_or_default()
    )]
    Unhealthy {
        /// What was asked.
        path: String,
        /// The last answer's status.
        last: Option<u16>,
    },
    /// Its server answers each request with 500, since what it was given is no application.
    #[error("the app's server answers every request on port {port} with 500")]
    NoApplication {
        /// Where it listens.
        port: u16,
    },
    /// Somebody stopped it.
    #[error("the start was cancelled")]
    Cancelled,
}

impl StartFailure {
    /// How the app ended, where it is the app that ended.
    pub(crate) fn end(&self) -> Option<build::explain::End> {
        use build::explain::End;
        match self {
            Self::Exited { how, .. } if how == OUT_OF_MEMORY => Some(End::OutOfMemory),
            Self::Exited { how, .. } => Some(End::Exited(how.clone())),
            Self::Workers { .. } => Some(End::Workers),
            Self::TimedOut { .. } => Some(End::Silent),
            Self::Unhealthy { path, last } => Some(End::Unhealthy { path: path.clone(), last: *last }),
            Self::Engine(_)
            | Self::NoRoom(_)
            | Self::Database(_)
            | Self::Elsewhere { .. }
            | Self::NoApplication { .. }
            | Self::Cancelled => None,
        }
    }

    /// What the owner can do.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Engine(_) => "`adaptable doctor` checks what the platform needs of this machine".to_owned(),
            Self::Database(_) => "see the platform's log; `adaptable db APP info` tries again".to_owned(),
            Self::NoRoom(_) => "stop or delete apps that are not needed, or lower their memory".to_owned(),
            Self::Exited { how, .. } if how == "exit code 0" => {
                "the start command must stay in the foreground and serve: it ended by itself, without an error".to_owned()
            }
            Self::Exited { .. } | Self::Workers { .. } | Self::NoApplication { .. } => {
                "its last lines in the log say why".to_owned()
            }
            Self::Elsewhere { port, elsewhere } if elsewhere.iter().all(|address| address.port() == *port) => {
                "bind to 0.0.0.0, not to localhost: the edge comes from outside of the container".to_owned()
            }
            Self::Elsewhere { elsewhere, .. } => {
                let port = elsewhere.first().map_or(0, SocketAddr::port);
                format!(
                    "listen on the port in the variable PORT, on 0.0.0.0; an app with a fixed port needs the variable PORT={port} in its settings"
                )
            }
            Self::TimedOut { .. } => "an app has four minutes to listen on the port in the variable PORT, on 0.0.0.0".to_owned(),
            Self::Unhealthy { .. } => "see its log, or change serving.probePath in the settings".to_owned(),
            Self::Cancelled => String::new(),
        }
    }
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A running instance. It is stopped with [`Instance::stop`]; dropping it alone leaves the container to the engine.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Its id, as in the log.
    pub(crate) id: String,
    /// What it runs.
    pub(crate) revision: RevisionNumber,
    /// Where it is to listen.
    pub(crate) address: SocketAddr,
    /// The container.
    pub(crate) container: Arc<Container>,
    /// Its last lines.
    pub(crate) tail: Tail,
    pumps: Vec<JoinHandle<()>>,
    gauge: Gauge,
    _image: InUse,
    /// Keeps its database's server running.
    _database: Option<Awake>,
}

impl Instance {
    /// Creates the container and begins to read its output. It does not listen yet.
    #[expect(clippy::too_many_arguments, reason = "each is of another kind, and they come from two callers")]
    pub(crate) async fn create(
        engine: &Arc<dyn Engine>,
        app: &AppName,
        revision: RevisionNumber,
        port: u16,
        spec: ContainerSpec,
        log: &AppLog,
        meter: &Arc<Meter>,
        image: InUse,
        database: Option<Awake>,
    ) -> Result<Self, StartFailure> {
        let id = spec.id.to_string();
        let mut container = engine.create(spec).await.map_err(|error| {
            if error.is_no_room() { StartFailure::NoRoom(error.to_string()) } else { StartFailure::Engine(error.to_string()) }
        })?;
        let tail = Tail::default();
        let mut pumps = Vec::new();
        if let Some((stdout, stderr)) = container.take_output() {
            let (log_out, id_out, tail_out) = (log.clone(), id.clone(), tail.clone());
            pumps.push(tokio::spawn(async move { log_out.pump(&id_out, Stream::Stdout, stdout, &tail_out).await }));
            let (log_err, id_err, tail_err) = (log.clone(), id.clone(), tail.clone());
            pumps.push(tokio::spawn(async move { log_err.pump(&id_err, Stream::Stderr, stderr, &tail_err).await }));
        }
        tracing::debug!(app = %app, instance = %id, %revision, "instance created");
        let container = Arc::new(container);
        let gauge = meter.follow(&container);
        Ok(Self {
            id,
            revision,
            address: SocketAddr::new(container.address, port),
            container,
            tail,
            pumps,
            gauge,
            _image: image,
            _database: database,
        })
    }

    /// Waits until the instance accepts a connection on its port, and answers what the settings ask for.
    pub(crate) async fn ready(&self, engine: &Arc<dyn Engine>, probe: &Probe) -> Result<(), StartFailure> {
        let started = Instant::now();
        self.listens(engine).await?;
        let Some(path) = probe.path() else { return Ok(()) };
        let port = self.address.port();
        tokio::select! {
            biased;
            exit = self.container.exited() => Err(StartFailure::Exited { port, listened: true, how: describe(exit) }),
            () = probe.healthy(self.address) => Ok(()),
            () = self.workers_end() => Err(StartFailure::Workers { port }),
            () = time::sleep(START_TIMEOUT.saturating_sub(started.elapsed())) => {
                Err(StartFailure::Unhealthy { path: path.to_owned(), last: probe.last() })
            }
        }
    }

    /// Waits until it accepts a connection.
    async fn listens(&self, engine: &Arc<dyn Engine>) -> Result<(), StartFailure> {
        let port = self.address.port();
        let started = Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            tokio::select! {
                biased;
                exit = self.container.exited() => {
                    return Err(StartFailure::Exited { port, listened: false, how: describe(exit) });
                }
                connected = time::timeout(Duration::from_secs(1), TcpStream::connect(self.address)) => {
                    if let Ok(Ok(_stream)) = connected {
                        self.gauge.reached(Phase::Accepting);
                        return Ok(());
                    }
                }
            }
            let waited = started.elapsed();
            if waited >= ELSEWHERE_AFTER
                && let Ok(listeners) = engine.listeners(&self.container.id).await
                && !listeners.is_empty()
                && !listeners.iter().any(|address| reachable(*address, port))
            {
                return Err(StartFailure::Elsewhere { port, elsewhere: listeners });
            }
            if waited >= START_TIMEOUT {
                return Err(StartFailure::TimedOut { port });
            }
            tokio::select! {
                exit = self.container.exited() => {
                    return Err(StartFailure::Exited { port, listened: false, how: describe(exit) });
                }
                () = time::sleep(pause) => {}
            }
            // Dense while most apps start, as a visitor waits for it to be noticed; sparse for those that take minutes.
            let longest = match waited.as_secs() {
                0 => 2,
                1..5 => 10,
                _ => 250,
            };
            pause = (pause * 5 / 4).min(Duration::from_millis(longest));
        }
    }

    /// Waits until the instance has answered a first request, whatever it says.
    ///
    /// Servers like gunicorn accept connections before they have read the app: only an answer, or staying alive for long, tells
    /// an app that works from one that is about to fail. An app whose first page takes its time is not failed for it.
    pub(crate) async fn answers(&self, probe: &Probe) -> Result<(), StartFailure> {
        let port = self.address.port();
        tokio::select! {
            biased;
            exit = self.container.exited() => Err(StartFailure::Exited { port, listened: true, how: describe(exit) }),
            () = time::sleep(FIRST_ANSWER) => Ok(()),
            () = self.workers_end() => Err(StartFailure::Workers { port }),
            () = probe.any_answer(self.address) => {
                // An app that falls over its first request ends within this moment, if it ends for it.
                match time::timeout(Duration::from_millis(2), self.container.exited()).await {
                    Ok(exit) => Err(StartFailure::Exited { port, listened: true, how: describe(exit) }),
                    Err(_alive) if probe.last() == Some(500) => self.is_application().await,
                    Err(_alive) => Ok(()),
                }
            }
        }
    }

    /// Whether what answered with 500 is an application. One that fails is: its first page may need what others do not. But a server that
    /// was given a function instead, which it can't call, has nothing else to answer ever.
    async fn is_application(&self) -> Result<(), StartFailure> {
        let told = async {
            while build::explain::never_answers(&self.tail.lines().join("\n")).is_none() {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        match time::timeout(SAID_LATER, told).await {
            Ok(()) => Err(StartFailure::NoApplication { port: self.address.port() }),
            Err(_silent) => Ok(()),
        }
    }

    /// Waits until the server has replaced several workers: gunicorn goes on forever when an app calls `sys.exit` as it is read.
    async fn workers_end(&self) {
        loop {
            time::sleep(Duration::from_millis(250)).await;
            let ended = |line: &&String| {
                line.contains("Worker exiting (pid") || line.contains("Child process [") && line.contains("] died")
            };
            if self.tail.lines().iter().filter(ended).count() >= WORKERS {
                return;
            }
        }
    }

    /// It was given to the edge.
    pub(crate) fn routed(&self) {
        self.gauge.reached(Phase::Routed);
    }

    /// SIGTERM, ten seconds, SIGKILL; returns once it is gone and its last lines are kept.
    pub(crate) async fn stop(mut self, engine: &Arc<dyn Engine>) {
        if let Err(error) = engine.stop(&self.container.id, STOP_GRACE).await {
            tracing::warn!(instance = %self.id, %error, "stop an instance");
        }
        self.drained().await;
    }

    /// Waits for the last lines of an instance that has ended.
    pub(crate) async fn drained(&mut self) {
        for pump in self.pumps.drain(..) {
            // A grandchild that was reparented could hold the pipe open; its container is gone, so this is short.
            let _late = time::timeout(Duration::from_secs(2), pump).await;
        }
    }
}

/// Whether a listener can be reached at the instance's address and port.
fn reachable(listener: SocketAddr, port: u16) -> bool {
    listener.port() == port && !listener.ip().is_loopback()
}

/// How a process ended that was killed for its memory.
const OUT_OF_MEMORY: &str = "killed, because it needed more memory than its limit";

/// How a process ended, for people.
pub(crate) fn describe(exit: Exit) -> String {
    if exit.oom_killed {
        return OUT_OF_MEMORY.to_owned();
    }
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "its container ended".to_owned(),
    }
}

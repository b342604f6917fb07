//! The platform once it has threads: its parts are put together, it serves, and ends in order or hands over to a successor.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::{Config, Control, Parts, Sharing, Urls};
use database::mongodb::Mongo;
use database::mssql::Mssql;
use database::postgres::Postgres;
use database::servers::{Servers, Timing};
use database::service::Images;
use database::{Certifier, Kind, Secret};
use edge::{Authority, Edge, HostName};
use engine::Engine;
use engine::local::{Kept, LocalEngine};
use github::GitHub;
use sandbox::LauncherEnd;
use source::git::Remote;
use store::{Sealer, Store};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::directory::Lock;
use super::handover::{API_NEW, Desk, Forerunner, Source, Successor};
use super::{Ground, authority, directory, platform_hosts};
use crate::config::{ServeConfig, SignUp};
use crate::identity;

/// How long visitors' requests may take to end once the platform is told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long they may take once a successor serves: nobody waits for this platform's end, and a request may take so long anyway.
const HANDED_OVER_DRAIN: Duration = Duration::from_mins(5);
/// How long, within that, a visitor who is connected and says nothing may take to send a request.
const SILENCE: Duration = Duration::from_secs(10);
/// How long after its name has become the successor's the platform's socket is served on.
const RENAMED: Duration = Duration::from_secs(1);
/// How long a successor waits for the apps that are in use.
const PREPARE: Duration = Duration::from_secs(30);
/// How long the access log may take for its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How long after the start what databases are made from is prepared; whoever asks for one before waits some seconds more.
const AHEAD: Duration = Duration::from_mins(1);
/// Where Debian has PostgreSQL's servers, one directory for each major version.
const POSTGRESQL: &str = "/usr/lib/postgresql";
/// How long a server that nobody needs any more may take to stop.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// The most that is kept of one app's log.
const LOG_BYTES: u64 = 32 * 1024 * 1024;
/// Free disk space below which nothing is deployed.
const DISK_RESERVE: u64 = 1024 * 1024 * 1024;

/// Ends when a launcher has ended.
type Gone = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a platform ended well.
pub(super) enum End {
    /// It was told to.
    Stopped,
    /// Another one serves now.
    HandedOver,
}

/// A platform that serves.
struct Running {
    edge: Edge,
    control: Control,
    engine: Arc<dyn Engine>,
    /// That of the servers that apps use.
    servers_engine: LocalEngine,
    servers: Servers,
    lock: &'static Lock,
    desk: Desk,
    forerunner: Option<Forerunner>,
    access_log: Option<std::thread::JoinHandle<()>>,
    /// Accepts connections to databases from outside.
    door: Option<tokio::task::JoinHandle<()>>,
    /// Ends the platform's socket.
    stop: CancellationToken,
    socket: tokio::task::JoinHandle<()>,
}

/// Runs the platform to its end.
pub(super) async fn platform(config: &ServeConfig, ground: Ground) -> anyhow::Result<End> {
    // Before anybody is answered, who might then send one.
    let mut signals = Signals::catch()?;
    let takes_over = ground.inherited.is_some();
    let (launcher_gone, mut running) = tokio::select! {
        started = start(config, ground) => started?,
        () = signals.next() => {
            anyhow::ensure!(!takes_over, "told to stop before it had taken over");
            return Ok(End::Stopped);
        }
    };
    let (cause, successor) = {
        let mut cause = pin!(ended(&mut signals, launcher_gone));
        loop {
            let mut successor = tokio::select! {
                cause = &mut cause => break (cause, None),
                successor = running.desk.next() => successor,
            };
            let source = Source {
                control: &running.control,
                edge: &running.edge,
                lock: running.lock,
                engine: &running.servers_engine,
                servers: &running.servers,
                forerunner: running.forerunner.as_ref(),
            };
            let given = tokio::select! {
                given = successor.give(&source) => given,
                cause = &mut cause => {
                    successor.refuse("it was told to stop");
                    break (cause, None);
                }
            };
            match given {
                Ok(()) => break (Ok(()), Some(successor)),
                Err(error) => tracing::warn!("the upgrade did not come about, and all is as before: {error:#}"),
            }
        }
    };
    let handed_over = successor.is_some();
    tokio::select! {
        () = running.end(successor) => {}
        () = signals.next() => tracing::warn!("stopped at once by another signal"),
    }
    cause.map(|()| if handed_over { End::HandedOver } else { End::Stopped })
}

/// Puts the parts together. Where the platform takes over, it serves when this returns, and the other one ends.
#[expect(clippy::too_many_lines, reason = "one part after the other")]
async fn start(config: &ServeConfig, ground: Ground) -> anyhow::Result<(impl Future<Output = ()> + use<>, Running)> {
    let Ground { domain, lock, bound, stacks, host, launcher, servers, backups, access_log, inherited } = ground;
    let (in_use, forerunner) = match inherited {
        Some((in_use, socket)) => (in_use, Some(Forerunner::attend(socket).context("listen to the running platform")?)),
        None => (Vec::new(), None),
    };
    let data = &config.data_dir;
    let database = data.join("adaptable.db");
    // Without its key an existing database can't be read: a new key would only hide that.
    let sealer = Sealer::load(&data.join("secret.key"), !database.exists())?;
    let authority = authority::load(data, &domain, &sealer)?;
    let servers_secret = authority::servers_secret(data, &sealer)?;
    let store = Store::open(&database, sealer)?;
    let (engine, launcher_gone) = LocalEngine::start(launcher)?;
    // Its first answer says that it is prepared; what it fails at is a failed start, not a platform that ends later.
    engine.layers().await.context("start the launcher; its own log lines stand above")?;
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let (servers_engine, servers, mut servers_gone) = servers_of(servers)?;
    let builder = build::Builder::open(data, Arc::clone(&engine), stacks, host)?;
    let door = config.postgres.map(bind_door).transpose()?;
    let control_config = Config {
        data_dir: data.clone(),
        urls: Urls { domain: config.domain.clone(), https_port: bound.https_addr().port() },
        platform_hosts: platform_hosts(&domain),
        http: bound.http_addr().to_string(),
        https: bound.https_addr().to_string(),
        idle_timeout: config.idle_timeout,
        sharing: Sharing {
            freeze_after: config.freeze_after,
            memory_reserve: config.memory_reserve.unwrap_or_else(memory_reserve),
        },
        log_bytes: LOG_BYTES,
        disk_reserve: DISK_RESERVE,
        authority_pem: authority.certificate_pem().to_owned(),
        build: identity::build().to_owned(),
        database_port: door.as_ref().and_then(|door| door.local_addr().ok()).map(|address| address.port()),
        sign_up: config.sign_up.into(),
        give_back: crate::allocator::give_back,
    };
    let socket = web::bind_socket(&data.join(API_NEW)).context("bind the platform's socket")?;
    let desk = Desk::open(data, config.told.clone()).context("bind the socket for a successor")?;
    if forerunner.is_none() {
        publish(data, &desk)?;
    }
    let git = Remote::open(&data.join("git")).context("prepare the git remote")?;
    let client = image::registry::Client::new(Arc::clone(builder.layout()), config.databases.registry.clone());
    // By the launcher that is this platform's from the beginning: that of servers may still be another's.
    let images = Arc::new(Images::new(client, Arc::clone(&engine)));
    let databases = databases(config, &servers, &domain, &authority, servers_secret, &images)?;
    let vaults = backups.open()?;
    let (edge, github) = (bound.handle(), GitHub::new(config.github.clone(), &[])?);
    let parts = Parts { store, engine: Arc::clone(&engine), edge, builder, git, databases, vaults, images, github };
    let control = Control::start(control_config, parts).map_err(|error| anyhow::anyhow!("{}: {}", error.message, error.help))?;
    if let Some(forerunner) = &forerunner {
        tokio::select! {
            () = control.prepare_instances(in_use, PREPARE) => {}
            () = forerunner.refused() => anyhow::bail!("the running platform goes on"),
        }
    }
    let access_log = access_log.map(|writer| control.keep_access_log(writer)).transpose().context("open the access log")?;
    let router = web::router(control.clone());
    let addresses = (bound.http_addr(), bound.https_addr());
    let edge = bound.run(authority, control.activate(), web::service(router.clone(), tokio::runtime::Handle::current()))?;
    if let Some(forerunner) = &forerunner {
        // The point of no return: from here on the other one ends, and its names are this one's.
        forerunner.ready()?;
        publish(data, &desk)?;
        directory::publish_pid(data)?;
        // It talks to the launcher of servers no more.
        servers_gone = take_servers(&servers_engine, &servers);
    }
    control.begin_github_work();
    let stop = CancellationToken::new();
    let door = door.map(|listener| tokio::spawn(database::door::serve(listener, Arc::new(control.clone()))));
    let socket = tokio::spawn(web::serve_socket(socket, router, stop.clone()));
    greet(config, &control, addresses).await;
    let launcher_gone = async {
        tokio::select! {
            () = launcher_gone => {}
            () = servers_gone => {}
        }
    };
    Ok((
        launcher_gone,
        Running { edge, control, engine, servers_engine, servers, lock, desk, forerunner, access_log, door, stop, socket },
    ))
}

impl From<SignUp> for control::SignUp {
    fn from(sign_up: SignUp) -> Self {
        match sign_up {
            SignUp::Invited => Self::Invited,
            SignUp::GitHub => Self::GitHub,
        }
    }
}

/// Says that the platform is ready, and prints the way in where nobody has come yet. To the terminal, not into the log: it is as good as a password for an hour.
async fn greet(config: &ServeConfig, control: &Control, addresses: (SocketAddr, SocketAddr)) {
    tracing::info!(http = %addresses.0, https = %addresses.1, data = %config.data_dir.display(), "the platform is ready");
    if config.detached || control.has_no_users().await != Ok(true) {
        return;
    }
    match control.sign_in_link(None).await {
        Ok(link) => {
            // Nobody may be reading.
            let _unread = writeln!(std::io::stdout(), "sign in: {}", link.url);
        }
        Err(error) => {
            tracing::warn!(error = %error.message, "no link to sign in by could be made; `adaptable sign-in-link` makes one");
        }
    }
}

/// Gives the sockets their names, in the place of those of a platform that ends.
fn publish(data: &Path, desk: &Desk) -> anyhow::Result<()> {
    std::fs::rename(data.join(API_NEW), data.join(crate::reach::SOCKET)).context("name the platform's socket")?;
    desk.publish().context("name the socket for a successor")
}

/// The port of databases. While a platform takes over, both have it.
fn bind_door(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || -> std::io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    };
    bind().with_context(|| format!("listen for databases at {address}"))
}

/// The kinds of databases that apps may have.
fn databases(
    config: &ServeConfig,
    servers: &Servers,
    domain: &HostName,
    authority: &Authority,
    secret: Secret,
    images: &Arc<Images>,
) -> anyhow::Result<Vec<Arc<dyn Kind>>> {
    let certifier: Arc<dyn Certifier> = Arc::new(authority::ForServers::of(authority)?);
    let domain = domain.to_string();
    let ground = database::Ground {
        servers: servers.clone(),
        certifier: Arc::clone(&certifier),
        domain: domain.clone(),
        secret,
        images: Some(Arc::clone(images)),
    };
    let settings = config.databases.clone();
    let postgres = Arc::new(Postgres::new(servers.clone(), certifier, POSTGRESQL.into(), domain));
    let ahead = Arc::clone(&postgres);
    tokio::spawn(async move {
        tokio::time::sleep(AHEAD).await;
        // So that the first app that asks for a database does not wait for it.
        if ahead.available().await.is_ok()
            && let Err(error) = ahead.prepare_template().await
        {
            tracing::warn!(%error, "prepare what databases are made from");
        }
    });
    let mongodb = Mongo::new(settings.mongodb, Some(ground.clone()))?;
    let mssql = Mssql::new(settings.mssql, Some(ground))?;
    Ok(vec![postgres, Arc::new(mongodb), Arc::new(mssql)])
}

/// The engine of the servers that apps use. Where a platform that runs still talks to its launcher, none is started yet.
fn servers_of((launcher, running): (LauncherEnd, Option<Vec<Kept>>)) -> anyhow::Result<(LocalEngine, Servers, Gone)> {
    let ours = running.is_none();
    let (engine, gone): (_, Gone) = match running {
        None => {
            let (engine, gone) = LocalEngine::start_kept(launcher)?;
            (engine, Box::pin(gone))
        }
        Some(running) => (LocalEngine::take_over(launcher, running)?, Box::pin(std::future::pending())),
    };
    let servers = Servers::new(Arc::new(engine.clone()), Timing::default());
    servers.set_open(ours);
    Ok((engine, servers, gone))
}

/// The launcher of servers is this platform's now. What nobody here has asked for goes once the other platform's visitors have gone.
fn take_servers(engine: &LocalEngine, servers: &Servers) -> Gone {
    let gone = Box::pin(engine.begin());
    servers.set_open(true);
    let engine = engine.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SILENCE + DRAIN).await;
        engine.stop_found(STOP_GRACE).await;
    });
    gone
}

/// Whether another process is the directory's platform: one that this one was to take over from, and did not.
pub(super) fn is_anothers(data: &Path) -> bool {
    let pid = std::fs::read_to_string(data.join("adaptable.pid")).ok().and_then(|text| text.trim().parse::<u32>().ok());
    pid.is_some_and(|pid| pid != std::process::id())
}

/// What is kept back of the machine's memory where no setting says: a twentieth, but no more than a GB.
fn memory_reserve() -> u64 {
    const GB: u64 = 1 << 30;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    total.map_or(GB / 8, |kilobytes| kilobytes * 1024 / 20).min(GB)
}

impl Running {
    /// Ends everything in order. Where a successor serves, visitors have more time, as long as it does not end itself.
    async fn end(mut self, successor: Option<Successor>) {
        if let Some(forerunner) = &self.forerunner {
            forerunner.hurry();
        }
        let handed_over = successor.is_some();
        if let Some(door) = &self.door {
            // Who is inside stays.
            door.abort();
        }
        match successor {
            None => {
                tracing::info!("stopping");
                self.edge.shutdown(DRAIN).await;
            }
            Some(mut successor) => {
                tracing::info!(process = successor.pid, "handed over; ending once what is in flight has ended");
                // Whoever follows a log here finds its next lines there; a client that connected just before is answered first.
                let stop = self.stop.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(RENAMED).await;
                    stop.cancel();
                });
                let began = tokio::time::Instant::now();
                let hurried = tokio::select! {
                    () = self.edge.leave(SILENCE) => false,
                    () = successor.hurry() => true,
                };
                let most = if hurried { DRAIN } else { HANDED_OVER_DRAIN.saturating_sub(began.elapsed()) };
                tokio::select! {
                    () = self.edge.shutdown(most) => {}
                    () = hurried_later(&mut successor, hurried) => {}
                }
            }
        }
        // The edge has ended, so the last line has come; a disk that takes nothing does not hold up the end.
        if let Some(writer) = self.access_log {
            let _late = tokio::time::timeout(LAST_LINES, tokio::task::spawn_blocking(|| writer.join())).await;
        }
        self.control.stop().await;
        self.stop.cancel();
        let _joined = self.socket.await;
        self.engine.shutdown().await;
        if !handed_over {
            self.servers.shutdown().await;
            self.servers_engine.shutdown().await;
        }
    }
}

/// Ends some time after the successor has said that it ends, too.
async fn hurried_later(successor: &mut Successor, hurried: bool) {
    if hurried {
        std::future::pending::<()>().await;
    }
    successor.hurry().await;
    tokio::time::sleep(DRAIN).await;
}

/// Waits for the order to stop, or for the end of the launcher, without which nothing can go on.
async fn ended(signals: &mut Signals, launcher_gone: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::select! {
        () = signals.next() => Ok(()),
        () = launcher_gone => anyhow::bail!("the launcher has ended; the platform can't go on without it"),
    }
}

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("wait for signals");
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

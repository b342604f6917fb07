//! `serve`: configuration, wiring, supervision, and nothing else.
//!
//! The order is the point. While there is one thread and root: the data directory and its lock, the ports, the stacks, and the
//! launcher, which keeps root. Then the process becomes its own user for good, and only then come threads and the internet.

mod authority;
mod directory;
mod privileges;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::{ErrorBody, ErrorCode};
use build::stack::{DEFAULT_RELEASES, Release, make};
use build::{HostSettings, Stacks};
use control::{Config, Control, Parts, Sharing, Urls};
use edge::{BoundEdge, Edge, EdgeConfig, HostName};
use engine::Engine;
use engine::local::LocalEngine;
use sandbox::{Launcher, LauncherConfig};
use source::git::Remote;
use store::{Sealer, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::ServeConfig;

/// How long visitors' requests may take to end once the platform is told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// The most that is kept of one app's log.
const LOG_BYTES: u64 = 32 * 1024 * 1024;
/// Free disk space below which nothing is deployed.
const DISK_RESERVE: u64 = 1024 * 1024 * 1024;

/// Runs the platform until SIGTERM or SIGINT. The process must have one thread, and be root's.
pub(crate) fn run(config: &ServeConfig) -> Result<(), ErrorBody> {
    if !nix::unistd::geteuid().is_root() {
        return Err(ErrorBody::new(ErrorCode::Forbidden, "a platform can only be started by root: it makes containers")
            .help("try again with sudo; the platform gives root up once it has started"));
    }
    start_log();
    serve(config)
        .map_err(|error| ErrorBody::new(ErrorCode::Client, format!("{error:#}")).help("`adaptable doctor` checks this machine"))
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ADAPTABLE_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new("info,access=off,libcontainer=error,libcgroups=error"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_writer(std::io::stderr).init();
}

fn serve(config: &ServeConfig) -> anyhow::Result<()> {
    let user = privileges::user(&config.user)?;
    let _lock = directory::prepare(&config.data_dir, &user)?;
    let domain: HostName = config.domain.parse().context("read the platform's domain")?;
    let mut edge_config = EdgeConfig::new(config.http, config.https, platform_hosts(&domain));
    edge_config.plain = config.plain_http;
    let bound = Edge::bind(edge_config)?;
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let host = HostSettings::discover(variables, std::env::home_dir().as_deref());
    host.notes.iter().for_each(|note| tracing::info!("{note}"));
    let stacks = stacks(&config.stack_dir, &host)?;
    let launcher = LauncherConfig::new(&config.data_dir, &config.stack_dir, user.uid.as_raw());
    let launcher = Launcher::start(launcher).context("start the launcher")?;
    privileges::become_user(&user)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("platform")
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(platform(config, domain, bound, stacks, host, launcher));
    runtime.shutdown_timeout(Duration::from_secs(2));
    let _gone = std::fs::remove_file(config.data_dir.join("adaptable.sock"));
    let _gone = std::fs::remove_file(config.data_dir.join("adaptable.pid"));
    result
}

/// The platform's domain, and the address at which a browser on this machine would look.
fn platform_hosts(domain: &HostName) -> Vec<HostName> {
    let mut hosts = vec![domain.clone()];
    hosts.extend(["localhost", "127.0.0.1"].iter().filter_map(|name| HostName::parse(name).ok()).filter(|name| name != domain));
    hosts
}

/// The base systems; those that are missing are made, which takes a minute or two once.
fn stacks(directory: &Path, host: &HostSettings) -> anyhow::Result<Stacks> {
    let releases = DEFAULT_RELEASES.into_iter().map(Release::parse).collect::<Result<Vec<_>, _>>()?;
    let progress = |release: &Release, doing: &str, line: &str| tracing::info!(%release, "{doing}: {line}");
    make::make(directory, &releases, false, host, &progress).context("make the base systems that apps are built on")?;
    Ok(Stacks::new(directory))
}

async fn platform(
    config: &ServeConfig,
    domain: HostName,
    bound: BoundEdge,
    stacks: Stacks,
    host: HostSettings,
    launcher: sandbox::LauncherEnd,
) -> anyhow::Result<()> {
    let data = &config.data_dir;
    let database = data.join("adaptable.db");
    // Without its key an existing database can't be read: a new key would only hide that.
    let sealer = Sealer::load(&data.join("secret.key"), !database.exists())?;
    let authority = authority::load(data, &domain, &sealer)?;
    let store = Store::open(&database, sealer)?;
    let (engine, launcher_gone) = LocalEngine::start(launcher)?;
    // Its first answer says that it is prepared; what it fails at is a failed start, not a platform that ends later.
    engine.layers().await.context("start the launcher; its own log lines stand above")?;
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let builder = build::Builder::open(data, Arc::clone(&engine), stacks, host)?;
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
    };
    let socket = web::bind_socket(&data.join("adaptable.sock")).context("bind the platform's socket")?;
    let git = Remote::open(&data.join("git")).context("prepare the git remote")?;
    let parts = Parts { store, engine: Arc::clone(&engine), edge: bound.handle(), builder, git };
    let control = Control::start(control_config, parts).map_err(|error| anyhow::anyhow!("{}: {}", error.message, error.help))?;
    let router = web::router(control.clone());
    let addresses = (bound.http_addr(), bound.https_addr());
    let edge = bound.run(authority, control.activate(), web::service(router.clone(), tokio::runtime::Handle::current()))?;
    let stop = CancellationToken::new();
    let socket = tokio::spawn(web::serve_socket(socket, router, stop.clone()));
    tracing::info!(http = %addresses.0, https = %addresses.1, data = %data.display(), "the platform is ready");

    let cause = ended(launcher_gone).await;
    tracing::info!("stopping");
    let orderly = async {
        edge.shutdown(DRAIN).await;
        control.stop().await;
        stop.cancel();
        let _joined = socket.await;
        engine.shutdown().await;
    };
    tokio::select! {
        () = orderly => {}
        _ = signalled() => tracing::warn!("stopped at once by a second signal"),
    }
    cause
}

/// What is kept back of the machine's memory where no setting says: a twentieth, but no more than a GB.
fn memory_reserve() -> u64 {
    const GB: u64 = 1 << 30;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    total.map_or(GB / 8, |kilobytes| kilobytes * 1024 / 20).min(GB)
}

/// Waits for the order to stop, or for the end of the launcher, without which nothing can go on.
async fn ended(launcher_gone: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::select! {
        signal = signalled() => signal,
        () = launcher_gone => anyhow::bail!("the launcher has ended; the platform can't go on without it"),
    }
}

async fn signalled() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

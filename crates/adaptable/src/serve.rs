//! `serve`: configuration, wiring, supervision, and nothing else.
//!
//! The order is the point. While there is one thread and root: the data directory and its lock, the ports, the stacks, and the
//! launcher, which keeps root. Then the process becomes its own user for good, and only then come threads and the internet. A platform
//! that takes over is given lock and ports by the one that runs.

mod authority;
mod backups;
mod directory;
pub(crate) mod handover;
mod privileges;
mod running;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use api::{ErrorBody, ErrorCode};
use build::stack::{DEFAULT_RELEASES, Release, make};
use build::{HostSettings, Stacks};
use control::{AccessDetail, AccessWriter};
use edge::{BoundEdge, Edge, EdgeConfig, HostName};
use engine::local::Kept;
use nix::unistd::User;
use sandbox::{Launcher, LauncherConfig, LauncherEnd};

use self::directory::Lock;
use self::handover::{Inheritance, Predecessor};
use self::running::End;
use crate::config::{self, ServeConfig};

/// What a platform has before it has threads.
struct Ground {
    domain: HostName,
    lock: &'static Lock,
    bound: BoundEdge,
    stacks: Stacks,
    host: HostSettings,
    launcher: LauncherEnd,
    /// The launcher of the servers that apps use; where another platform had it, with what runs there.
    servers: (LauncherEnd, Option<Vec<Kept>>),
    /// Where backups of databases lie.
    backups: backups::Places,
    /// The access log, where one is kept.
    access_log: Option<AccessWriter>,
    /// What was in use at the platform that ran, and the way to it.
    inherited: Option<(Vec<control::InUse>, std::os::fd::OwnedFd)>,
}

/// Runs the platform until SIGTERM or SIGINT, or until another one has taken over from it; takes over itself where there is one to
/// take over from. The process must have one thread, and be root's.
pub(crate) fn run(config: &ServeConfig, predecessor: Option<Predecessor>) -> Result<(), ErrorBody> {
    if !nix::unistd::geteuid().is_root() {
        return Err(ErrorBody::new(ErrorCode::Forbidden, "a platform can only be started by root: it makes containers")
            .help("try again with sudo; the platform gives root up once it has started"));
    }
    start_log();
    serve(config, predecessor)
        .map_err(|error| ErrorBody::new(ErrorCode::Client, format!("{error:#}")).help("`adaptable doctor` checks this machine"))
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ADAPTABLE_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new("info,libcontainer=error,libcgroups=error"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_writer(std::io::stderr).init();
}

fn serve(config: &ServeConfig, predecessor: Option<Predecessor>) -> anyhow::Result<()> {
    let user = privileges::user(&config.user)?;
    let ground = match predecessor {
        None => ground(config, &user)?,
        Some(predecessor) => taken_over(config, &user, predecessor)?,
    };
    privileges::become_user(&user)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("platform")
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(running::platform(config, ground));
    runtime.shutdown_timeout(Duration::from_secs(2));
    // What bears this platform's names is the successor's by now, where there is one.
    match &result {
        Ok(End::HandedOver) => {}
        Err(_) if running::is_anothers(&config.data_dir) => handover::remove_new(&config.data_dir),
        Ok(End::Stopped) | Err(_) => remove_names(&config.data_dir),
    }
    result.map(|_end| ())
}

fn remove_names(data_dir: &Path) {
    for name in ["adaptable.sock", "adaptable.pid"] {
        let _gone = std::fs::remove_file(data_dir.join(name));
    }
    handover::remove(data_dir);
    handover::remove_new(data_dir);
}

/// What an ordinary start begins with.
fn ground(config: &ServeConfig, user: &User) -> anyhow::Result<Ground> {
    let lock = directory::prepare(&config.data_dir, user)?.until_the_end();
    let (domain, edge, access_log) = edge(config)?;
    let bound = Edge::bind(edge)?;
    let (stacks, host) = stacks(&config.stack_dir)?;
    let launcher = LauncherConfig::new(&config.data_dir, &config.stack_dir, user.uid.as_raw());
    let launcher = Launcher::start(launcher).context("start the launcher")?;
    let servers = (start_servers(config, user)?, None);
    let backups = backups::prepare(config, user)?;
    Ok(Ground { domain, lock, bound, stacks, host, launcher, servers, backups, access_log, inherited: None })
}

/// What the platform that runs hands over, and a launcher beside its own.
fn taken_over(config: &ServeConfig, user: &User, predecessor: Predecessor) -> anyhow::Result<Ground> {
    predecessor.check_user(user)?;
    let (domain, edge, access_log) = edge(config)?;
    let backups = backups::prepare(config, user)?;
    // All that takes long comes before: from the moment it is asked, the other one refuses changes.
    let (stacks, host) = stacks(&config.stack_dir)?;
    let Inheritance { sockets, lock, in_use, servers, socket } = predecessor.receive()?;
    let lock = directory::adopt(&config.data_dir, lock, user)?.until_the_end();
    let bound = Edge::adopt(edge, sockets)?;
    let launcher = LauncherConfig::new(&config.data_dir, &config.stack_dir, user.uid.as_raw()).beside();
    let launcher = Launcher::start(launcher).context("start the launcher")?;
    let servers = match servers {
        Some((launcher, running)) => (launcher, Some(running)),
        None => (start_servers(config, user)?, None),
    };
    Ok(Ground { domain, lock, bound, stacks, host, launcher, servers, backups, access_log, inherited: Some((in_use, socket)) })
}

fn start_servers(config: &ServeConfig, user: &User) -> anyhow::Result<LauncherEnd> {
    let launcher = LauncherConfig::new(&config.data_dir, &config.stack_dir, user.uid.as_raw()).servers();
    Launcher::start(launcher).context("start the launcher of servers")
}

fn edge(config: &ServeConfig) -> anyhow::Result<(HostName, EdgeConfig, Option<AccessWriter>)> {
    let domain: HostName = config.domain.parse().context("read the platform's domain")?;
    let mut edge = EdgeConfig::new(config.http, config.https, platform_hosts(&domain));
    edge.plain = config.plain_http;
    let (access_log, writer) = access_log(config.access_log).unzip();
    edge.access_log = access_log;
    Ok((domain, edge, writer))
}

/// The two ends of the access log, where one is asked for.
fn access_log(asked: config::AccessLog) -> Option<(edge::AccessLog, AccessWriter)> {
    let detail = match asked {
        config::AccessLog::Off => return None,
        config::AccessLog::On => AccessDetail::Paths,
        config::AccessLog::Queries => AccessDetail::Queries,
    };
    Some(control::access_log(detail))
}

/// The platform's domain, and the address at which a browser on this machine would look.
fn platform_hosts(domain: &HostName) -> Vec<HostName> {
    let mut hosts = vec![domain.clone()];
    hosts.extend(["localhost", "127.0.0.1"].iter().filter_map(|name| HostName::parse(name).ok()).filter(|name| name != domain));
    hosts
}

/// The base systems; those that are missing are made, which takes a minute or two once.
fn stacks(directory: &Path) -> anyhow::Result<(Stacks, HostSettings)> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let host = HostSettings::discover(variables, std::env::home_dir().as_deref());
    host.notes.iter().for_each(|note| tracing::info!("{note}"));
    let releases = DEFAULT_RELEASES.into_iter().map(Release::parse).collect::<Result<Vec<_>, _>>()?;
    let progress = |release: &Release, doing: &str, line: &str| tracing::info!(%release, "{doing}: {line}");
    make::make(directory, &releases, false, &host, &progress).context("make the base systems that apps are built on")?;
    Ok((Stacks::new(directory), host))
}

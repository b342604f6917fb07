//! The threads that serve: one runtime per core, each with its own listeners and its own connections to the apps.

mod access;
pub(crate) mod client;
mod clients;
pub(crate) mod connection;
mod drain;
mod encode;
mod ending;
mod forward;
mod gathered;
pub(crate) mod headers;
pub(crate) mod http1;
pub(crate) mod inspect;
pub(crate) mod io;
mod multiplex;
mod pool;
mod prefixed;
mod redirect;
mod request;
mod response;
mod sender;
mod tunnel;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::clients::Clients;
use self::ending::{EdgeThread, Ending};
use crate::listen::Sockets;
use crate::tls::{self, Certificates, Leaves};
use crate::{AccessLog, Activate, Authority, EdgeConfig, EdgeError, HostName, Limits, Plain, PlatformService, Routes};

/// Changes the table of routes of an edge; cheap to clone.
#[derive(Debug, Clone)]
pub struct EdgeHandle {
    routes: Arc<ArcSwap<Routes>>,
    connections: Arc<AtomicUsize>,
    access_log_lost: Option<Arc<AtomicU64>>,
    leaves: Arc<Leaves>,
}

impl EdgeHandle {
    pub(crate) fn new(access_log_lost: Option<Arc<AtomicU64>>) -> Self {
        Self { routes: Arc::default(), connections: Arc::default(), access_log_lost, leaves: Arc::default() }
    }

    /// Puts another table in the place of the present one, for requests from now on.
    pub fn set_routes(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
    }

    /// The present table.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    /// The hosts that have a certificate since they were asked for, and until when it is good, by host.
    pub fn certificates(&self) -> Vec<(HostName, SystemTime)> {
        let leaves = self.leaves.load();
        let mut list: Vec<_> = leaves.iter().map(|(host, leaf)| (host.clone(), SystemTime::from(leaf.expires_at()))).collect();
        list.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        list
    }

    /// How many connections visitors have open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Lines that the access log has not taken; `None` where there is no such log.
    pub fn access_log_lost(&self) -> Option<u64> {
        self.access_log_lost.as_ref().map(|lost| lost.load(Ordering::Relaxed))
    }
}

/// All that the start needs.
pub(crate) struct Start {
    pub(crate) config: EdgeConfig,
    /// Those of each thread.
    pub(crate) listeners: Vec<Sockets>,
    /// All of them, for a successor.
    pub(crate) kept: Sockets,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) handle: EdgeHandle,
    pub(crate) authority: Authority,
    pub(crate) activate: Arc<dyn Activate>,
    pub(crate) platform: Arc<dyn PlatformService>,
}

/// What all threads share.
struct Shared {
    limits: Limits,
    routes: Arc<ArcSwap<Routes>>,
    activate: Arc<dyn Activate>,
    platform: Arc<dyn PlatformService>,
    tls: TlsAcceptor,
    plain: Plain,
    /// The port that a redirect to HTTPS names.
    https_port: u16,
    connections: Arc<AtomicUsize>,
    access_log: Option<AccessLog>,
    clients: Clients,
}

/// A running edge. Dropping it ends it at once; [`Edge::shutdown`] ends it in order.
#[derive(Debug)]
pub struct Edge {
    handle: EdgeHandle,
    http: SocketAddr,
    https: SocketAddr,
    sockets: Sockets,
    stop: watch::Sender<Option<Ending>>,
    threads: Vec<EdgeThread>,
}

pub(crate) fn run(start: Start) -> Result<Edge, EdgeError> {
    let Start { config, listeners, kept: sockets, http, https, handle, authority, activate, platform } = start;
    let certificates =
        Certificates::new(authority, Arc::clone(&handle.routes), config.platform_hosts, Arc::clone(&handle.leaves))?;
    let shared = Arc::new(Shared {
        limits: config.limits,
        plain: config.plain,
        routes: Arc::clone(&handle.routes),
        activate,
        platform,
        tls: TlsAcceptor::from(tls::server_config(Arc::new(certificates))?),
        https_port: config.public_https_port.unwrap_or(https.port()),
        connections: Arc::clone(&handle.connections),
        access_log: config.access_log,
        clients: Clients::default(),
    });
    let (stop, stopped) = watch::channel(None);
    let mut threads = Vec::with_capacity(listeners.len());
    for (index, listeners) in listeners.into_iter().enumerate() {
        let (done, ended) = ending::channel();
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EdgeError::Thread)?;
        let thread = std::thread::Builder::new()
            .name(format!("edge-{index}"))
            .spawn(move || {
                worker::run(&runtime, shared, listeners, stopped);
                // A blocking task of the platform's service may still run; it must not hold up the end.
                runtime.shutdown_timeout(Duration::from_secs(1));
                drop(done);
            })
            .map_err(EdgeError::Thread)?;
        threads.push(EdgeThread::new(thread, ended));
    }
    Ok(Edge { handle, http, https, sockets, stop, threads })
}

impl Edge {
    /// The handle through which routes are set.
    pub fn handle(&self) -> EdgeHandle {
        self.handle.clone()
    }

    /// The bound address for plain HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// The bound address for HTTPS.
    pub fn https_addr(&self) -> SocketAddr {
        self.https
    }
}

//! Binding the ports, before anything runs.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::platform::PlatformService;
use crate::server::{self, Edge, EdgeHandle};
use crate::{Activate, Authority, AuthorityError, EdgeConfig};

/// Connections that the kernel holds for a thread until it takes them.
const BACKLOG: i32 = 4096;

/// Why the edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A port can't be had.
    #[error("listening on {addr} for {what} failed: {source}; choose another address or stop what listens there")]
    Bind {
        /// HTTP or HTTPS.
        what: &'static str,
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread can't be had.
    #[error("starting a thread of the edge failed: {0}")]
    Thread(#[source] std::io::Error),
    /// No name of the platform was given, or none can be certified.
    #[error("making the platform's own certificate failed: {0}")]
    Certificate(#[from] AuthorityError),
    /// The TLS settings were refused.
    #[error("setting up TLS failed: {0}")]
    Tls(#[from] rustls::Error),
}

/// The sockets of one thread.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) http: TcpListener,
    pub(crate) https: TcpListener,
}

/// An edge whose ports are bound, and that does not answer yet: the kernel holds its visitors.
#[derive(Debug)]
pub struct BoundEdge {
    config: EdgeConfig,
    listeners: Vec<Listeners>,
    http: SocketAddr,
    https: SocketAddr,
    handle: EdgeHandle,
}

impl Edge {
    /// Binds the ports. Needs no runtime; where a port below 1024 is asked for, the right to it.
    pub fn bind(config: EdgeConfig) -> Result<BoundEdge, EdgeError> {
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let (http, http_sockets) = bind_all("HTTP", config.http, threads)?;
        let (https, https_sockets) = bind_all("HTTPS", config.https, threads)?;
        let listeners = http_sockets.into_iter().zip(https_sockets).map(|(http, https)| Listeners { http, https }).collect();
        Ok(BoundEdge { config, listeners, http, https, handle: EdgeHandle::new() })
    }
}

impl BoundEdge {
    /// The bound address for plain HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// The bound address for HTTPS.
    pub fn https_addr(&self) -> SocketAddr {
        self.https
    }

    /// The handle through which routes are set; usable before the edge runs.
    pub fn handle(&self) -> EdgeHandle {
        self.handle.clone()
    }

    /// Starts the threads, and answers from now on. Needs no runtime.
    pub fn run(
        self,
        authority: Authority,
        activate: Arc<dyn Activate>,
        platform: Arc<dyn PlatformService>,
    ) -> Result<Edge, EdgeError> {
        let Self { config, listeners, http, https, handle } = self;
        server::run(server::Start { config, listeners, http, https, handle, authority, activate, platform })
    }
}

/// One socket a thread on the same address; the kernel spreads the connections over them.
fn bind_all(what: &'static str, addr: SocketAddr, threads: usize) -> Result<(SocketAddr, Vec<TcpListener>), EdgeError> {
    let failed = |source| EdgeError::Bind { what, addr, source };
    // A shared port would silently be shared with another platform of the same user, too: ask for the whole port first.
    socket(addr, false).map_err(failed)?;
    let first = socket(addr, true).map_err(failed)?;
    let bound = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..threads {
        listeners.push(socket(bound, true).map_err(failed)?);
    }
    Ok((bound, listeners))
}

fn socket(addr: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(http: &str, https: &str) -> EdgeConfig {
        let mut config = EdgeConfig::new(http.parse().unwrap(), https.parse().unwrap(), vec!["localhost".parse().unwrap()]);
        config.threads = 3;
        config
    }

    #[test]
    fn a_free_port_is_shared_by_all_threads_and_reported() {
        let bound = Edge::bind(config("127.0.0.1:0", "127.0.0.1:0")).unwrap();
        assert_eq!(bound.listeners.len(), 3);
        for listeners in &bound.listeners {
            assert_eq!(listeners.http.local_addr().unwrap(), bound.http_addr());
            assert_eq!(listeners.https.local_addr().unwrap(), bound.https_addr());
        }
        assert_ne!(bound.http_addr().port(), 0);
    }

    #[test]
    fn a_second_platform_on_the_same_port_is_refused() {
        let first = Edge::bind(config("127.0.0.1:0", "127.0.0.1:0")).unwrap();
        let taken = first.https_addr().to_string();
        let error = Edge::bind(config("127.0.0.1:0", &taken)).unwrap_err().to_string();
        assert!(error.contains(&taken) && error.contains("HTTPS"), "{error}");
    }

    #[test]
    fn an_address_of_somebody_else_is_refused() {
        assert!(Edge::bind(config("192.0.2.1:0", "127.0.0.1:0")).is_err());
    }
}

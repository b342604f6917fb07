//! Binding the ports, before anything runs.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::platform::PlatformService;
use crate::server::{self, Edge, EdgeHandle};
use crate::{AccessLog, Activate, Authority, AuthorityError, EdgeConfig};

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
    /// Sockets that another process handed over are not what they should be.
    #[error("taking over the sockets that listen for {what} failed: {why}")]
    Adopt {
        /// HTTP or HTTPS.
        what: &'static str,
        /// Why.
        why: String,
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

/// The listening sockets of an edge, for its successor in another process. All of each kind listen at one address (`SO_REUSEPORT`):
/// the kernel spreads connections over them, so each must be accepted from as long as it is open anywhere.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those for plain HTTP.
    pub http: Vec<TcpListener>,
    /// Those for HTTPS.
    pub https: Vec<TcpListener>,
}

impl Sockets {
    /// Other descriptors of the same sockets.
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        let all = |sockets: &[TcpListener]| sockets.iter().map(TcpListener::try_clone).collect::<std::io::Result<Vec<_>>>();
        Ok(Self { http: all(&self.http)?, https: all(&self.https)? })
    }

    /// Those of each thread: its own, or where there are fewer than threads, one that it shares.
    fn spread(self, threads: usize) -> std::io::Result<Vec<Self>> {
        let mut spread: Vec<Self> = std::iter::repeat_with(Self::default).take(threads).collect();
        let shares = |sockets: Vec<TcpListener>, of: fn(&mut Self) -> &mut Vec<TcpListener>, spread: &mut [Self]| {
            for thread in sockets.len()..threads {
                of(&mut spread[thread]).push(sockets[thread % sockets.len()].try_clone()?);
            }
            for (number, socket) in sockets.into_iter().enumerate() {
                of(&mut spread[number % threads]).push(socket);
            }
            Ok::<_, std::io::Error>(())
        };
        shares(self.http, |it| &mut it.http, &mut spread)?;
        shares(self.https, |it| &mut it.https, &mut spread)?;
        Ok(spread)
    }
}

/// An edge whose ports are bound, and that does not answer yet: the kernel holds its visitors.
#[derive(Debug)]
pub struct BoundEdge {
    config: EdgeConfig,
    sockets: Sockets,
    http: SocketAddr,
    https: SocketAddr,
    handle: EdgeHandle,
}

impl Edge {
    /// Binds the ports. Needs no runtime; where a port below 1024 is asked for, the right to it.
    pub fn bind(config: EdgeConfig) -> Result<BoundEdge, EdgeError> {
        let threads = threads(&config);
        let (http, http_sockets) = bind_all("HTTP", config.http, threads)?;
        let (https, https_sockets) = bind_all("HTTPS", config.https, threads)?;
        let handle = EdgeHandle::new(config.access_log.as_ref().map(AccessLog::lost));
        let sockets = Sockets { http: http_sockets, https: https_sockets };
        Ok(BoundEdge { config, sockets, http, https, handle })
    }

    /// Goes on with the sockets of an edge in another process, which stays responsible for what it has accepted. Where an address
    /// has changed (a port of 0 has not), it is bound anew, and the sockets for the old one are closed.
    pub fn adopt(config: EdgeConfig, sockets: Sockets) -> Result<BoundEdge, EdgeError> {
        let threads = threads(&config);
        let (http, http_sockets) = adopt_all("HTTP", config.http, sockets.http, threads)?;
        let (https, https_sockets) = adopt_all("HTTPS", config.https, sockets.https, threads)?;
        let handle = EdgeHandle::new(config.access_log.as_ref().map(AccessLog::lost));
        let sockets = Sockets { http: http_sockets, https: https_sockets };
        Ok(BoundEdge { config, sockets, http, https, handle })
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
        let Self { config, sockets, http, https, handle } = self;
        let kept = sockets.try_clone().map_err(EdgeError::Thread)?;
        let listeners = sockets.spread(threads(&config)).map_err(EdgeError::Thread)?;
        server::run(server::Start { config, listeners, kept, http, https, handle, authority, activate, platform })
    }
}

fn threads(config: &EdgeConfig) -> usize {
    match config.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// The sockets of another process where they listen at the address that is wanted; else new ones.
fn adopt_all(
    what: &'static str,
    wanted: SocketAddr,
    sockets: Vec<TcpListener>,
    threads: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), EdgeError> {
    let failed = |why: String| EdgeError::Adopt { what, why };
    let mut bound = None;
    for socket in &sockets {
        let address = socket.local_addr().map_err(|error| failed(error.to_string()))?;
        if bound.is_some_and(|bound| bound != address) {
            return Err(failed("they listen at different addresses".to_owned()));
        }
        bound = Some(address);
        if !SockRef::from(socket).is_listener().map_err(|error| failed(error.to_string()))? {
            return Err(failed("one of them does not listen".to_owned()));
        }
        socket.set_nonblocking(true).map_err(|error| failed(error.to_string()))?;
    }
    match bound {
        Some(bound) if bound.ip() == wanted.ip() && [0, bound.port()].contains(&wanted.port()) => Ok((bound, sockets)),
        _ => bind_all(what, wanted, threads),
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
        assert_eq!((bound.sockets.http.len(), bound.sockets.https.len()), (3, 3));
        for (http, https) in bound.sockets.http.iter().zip(&bound.sockets.https) {
            assert_eq!(http.local_addr().unwrap(), bound.http_addr());
            assert_eq!(https.local_addr().unwrap(), bound.https_addr());
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

    /// Each of an edge's sockets is served by some thread of its successor, and each thread serves some.
    #[test]
    fn sockets_are_taken_over_by_any_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            let first = Edge::bind(config("127.0.0.1:0", "127.0.0.1:0")).unwrap();
            let mut successor = config("127.0.0.1:0", &first.https_addr().to_string());
            successor.threads = threads;
            let second = Edge::adopt(successor, first.sockets.try_clone().unwrap()).unwrap();
            assert_eq!((second.http_addr(), second.https_addr()), (first.http_addr(), first.https_addr()));
            let spread = second.sockets.spread(threads).unwrap();
            assert_eq!(spread.len(), threads);
            assert!(spread.iter().all(|it| !it.http.is_empty() && !it.https.is_empty()));
            assert_eq!(spread.iter().map(|it| it.https.len()).sum::<usize>(), threads.max(3));
        }
    }

    #[test]
    fn another_address_is_bound_anew_and_what_does_not_listen_is_refused() {
        let first = Edge::bind(config("127.0.0.1:0", "127.0.0.1:0")).unwrap();
        let second = Edge::adopt(config("127.0.0.1:0", "127.0.0.2:0"), first.sockets.try_clone().unwrap()).unwrap();
        assert_eq!(second.http_addr(), first.http_addr());
        assert_ne!(second.https_addr(), first.https_addr());
        let deaf = socket("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let sockets = Sockets { http: vec![deaf], https: Vec::new() };
        assert!(Edge::adopt(config("127.0.0.1:0", "127.0.0.1:0"), sockets).unwrap_err().to_string().contains("does not listen"));
    }
}

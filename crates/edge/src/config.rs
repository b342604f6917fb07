//! What the edge is told once, at its start.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{AccessLog, HostName};

/// Where the edge listens and how much it takes.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// The address for plain HTTP. Port 0 takes a free one.
    pub http: SocketAddr,
    /// What a visitor gets there.
    pub plain: Plain,
    /// The address for HTTPS. Port 0 takes a free one.
    pub https: SocketAddr,
    /// The HTTPS port that visitors see, where it is not the bound one.
    pub public_https_port: Option<u16>,
    /// Names and addresses of the platform itself. The first is the name on the certificate that a visitor without SNI gets.
    pub platform_hosts: Vec<HostName>,
    /// Threads that serve; 0 means one per core.
    pub threads: usize,
    /// Limits that protect the process.
    pub limits: Limits,
    /// Who is told of every request, if anybody.
    pub access_log: Option<AccessLog>,
}

impl EdgeConfig {
    /// A configuration with the usual limits.
    pub fn new(http: SocketAddr, https: SocketAddr, platform_hosts: Vec<HostName>) -> Self {
        Self {
            http,
            plain: Plain::Redirect,
            https,
            public_https_port: None,
            platform_hosts,
            threads: 0,
            limits: Limits::default(),
            access_log: None,
        }
    }
}

/// What a visitor gets at the address for plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plain {
    /// The way to HTTPS.
    #[default]
    Redirect,
    /// The same as over HTTPS, HTTP/2 by prior knowledge included: for a machine on which TLS ends before the edge. Apps are
    /// told that the visitor came by `http`, since that is what the edge knows.
    Serve,
}

/// Limits that hold for all apps.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections from visitors; what comes above is closed at once.
    pub max_connections: usize,
    /// Open connections from one client: an address of IPv4, or a network of 64 bits of IPv6, which is what one subscriber
    /// has. What comes above is closed at once. Loopback is exempt: who connects from there is this machine, as a proxy or a
    /// tunnel for many visitors.
    pub connections_per_client: usize,
    /// Bytes of a request's header block; more is answered with 431.
    pub header_bytes: u32,
    /// Fields of a request's header as its app gets it, with those that the edge adds; more is answered with 431. The usual
    /// servers (gunicorn among them) take no more, either.
    pub header_fields: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for a request's header block, and how long a connection may lie idle.
    pub header_read: Duration,
    /// How long a request's body may stand still.
    pub request_body_idle: Duration,
    /// How long a response's body may stand still on the app's side.
    pub response_body_idle: Duration,
    /// How long a visitor may take no byte of what is written to it.
    pub write_stall: Duration,
    /// How long an upgraded connection (WebSocket) may be silent both ways.
    pub upgrade_idle: Duration,
    /// Time to connect to an instance.
    pub connect: Duration,
    /// How long an unused connection to an instance is kept. Shorter than the keep-alive of the usual servers (gunicorn: 2 s),
    /// so that a request rarely meets a connection that the app is just closing.
    pub upstream_idle: Duration,
    /// Streams that one HTTP/2 connection may have open.
    pub h2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            connections_per_client: 1000,
            header_bytes: 32 * 1024,
            header_fields: 100,
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(30),
            request_body_idle: Duration::from_mins(1),
            response_body_idle: Duration::from_mins(5),
            write_stall: Duration::from_mins(1),
            upgrade_idle: Duration::from_hours(1),
            connect: Duration::from_secs(10),
            upstream_idle: Duration::from_millis(1500),
            h2_streams: 128,
        }
    }
}
